"""What a store holds: whose features, of which heads, in which dtype. Written once, as ``store.json``."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from savs.backbones._identity import RECORDED_ONLY, differing, other_libraries
from savs.cache._files import create, open_regular
from savs.cache._parquet import DTYPES, STORED
from savs.errors import StoreError, StoreMismatchError
from savs.layout import HeadLayout

SCHEMA_VERSION = 2
FILE_NAME = "store.json"
KEY_BYTES = 32
_LARGEST_FILE = 64 * 2**20
_WIDEST_STATE = 2**24

Selection = slice | NDArray[np.intp]
"""Indices of rows or columns."""


@dataclass(frozen=True)
class Column:
    """A column of a part: `width` values of a stored dtype in every row."""

    name: str
    dtype: np.dtype[Any]
    width: int

    @property
    def n_bytes(self) -> int:
        """Bytes of one row."""
        return self.width * self.dtype.itemsize


@dataclass(frozen=True)
class Description:
    """Whose features a store holds, and how.

    Parameters
    ----------
    fingerprint : mapping of str to JSON value
        What decides the vectors; a store takes no others.
    layout : HeadLayout
        The heads of a feature row.
    dtype : {"float32", "float16", "bfloat16"}
        Of the stored values.
    states_width : int or None
        Width of the final hidden state; None if the store holds none.

    Raises
    ------
    ValueError
        If the dtype is another, the width is not positive, or the fingerprint is not JSON.
    """

    fingerprint: Mapping[str, Any]
    layout: HeadLayout
    dtype: str
    states_width: int | None = None

    def __post_init__(self) -> None:
        if self.dtype not in DTYPES:
            raise ValueError(f"a store's dtype is one of {', '.join(DTYPES)}, not {self.dtype!r}")
        width = self.states_width
        if width is not None and (type(width) is not int or not 0 < width <= _WIDEST_STATE):
            raise ValueError(f"states_width is None or an integer from 1 to {_WIDEST_STATE}, not {width!r}")
        try:
            json.dumps(dict(self.fingerprint), ensure_ascii=False, allow_nan=False).encode()
        except (TypeError, ValueError, RecursionError) as error:
            raise ValueError(f"a fingerprint holds JSON values: {error}") from error

    @cached_property
    def id(self) -> str:
        """The sha256 of everything here; every part carries it."""
        text = json.dumps(self._body(), sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(text.encode()).hexdigest()

    @cached_property
    def layers(self) -> dict[int, NDArray[np.intp]]:
        """The columns of a feature row that belong to each layer, in the order in which they are stored."""
        return layer_columns(self.layout)

    @cached_property
    def columns(self) -> dict[str, Column]:
        """The columns of a part by name: the key, one for each layer, ``states`` if there are any."""
        stored = STORED[self.dtype]
        columns = [Column("key", np.dtype("u1"), KEY_BYTES)]
        columns += [Column(layer_name(layer), stored, len(of)) for layer, of in self.layers.items()]
        if self.states_width is not None:
            columns.append(Column("states", stored, self.states_width))
        return {column.name: column for column in columns}

    @property
    def row_bytes(self) -> int:
        """Bytes of a whole row."""
        return sum(column.n_bytes for column in self.columns.values())

    def check_same(self, other: Description, folder: Path) -> None:
        """Refuse the description of another backbone, or of other heads or values.

        Raises
        ------
        StoreMismatchError
            Listing the entries that differ.
        """
        mine, others = self._own_entries(), other._own_entries()
        own = [name for name in mine if mine[name] != others[name]]
        saved, current = (json.loads(json.dumps(dict(one.fingerprint))) for one in (self, other))
        names = [name for name in dict.fromkeys([*saved, *current]) if name not in RECORDED_ONLY]
        unlike = differing(saved, current, names)
        if not own and not unlike:
            return
        mine, others = saved | mine, current | others
        details = [
            f"{name}: {_short(mine.get(name))} -> {_short(others.get(name))}" for name in [*unlike, *own]
        ]
        libraries = other_libraries(saved, current)
        if libraries:
            details.append(f"{', '.join(libraries)} may be the cause")
        raise StoreMismatchError(
            f"{folder} holds features of another backbone ({'; '.join(details)}); name another folder "
            "for this one"
        )

    def to_json(self) -> dict[str, Any]:
        """Return the content of ``store.json``."""
        return {**self._body(), "sha256": self.id}

    @classmethod
    def from_json(cls, content: Any) -> Description:
        """Return what `to_json` wrote.

        Raises
        ------
        ValueError
            If it is not that, or was altered.
        """
        if not isinstance(content, dict) or content.get("kind") != "savs feature store":
            raise ValueError("it is not a feature store's description")
        if content.get("schema_version") != SCHEMA_VERSION:
            raise ValueError(
                f"it is of schema {content.get('schema_version')!r}, this savs reads {SCHEMA_VERSION}"
            )
        try:
            layout = HeadLayout.from_json(content["layout"])
            description = cls(dict(content["fingerprint"]), layout, content["dtype"], content["states_width"])
            intact = description.id == content["sha256"]
        except (KeyError, TypeError, ValueError, RecursionError):
            raise ValueError("its content does not fit together") from None
        if not intact:
            raise ValueError("it was altered (its checksum differs)")
        if layout.state is not None:  # states have a column of their own, of `states_width`
            raise ValueError("its layout holds more than heads")
        return description

    def _body(self) -> dict[str, Any]:
        return {
            "kind": "savs feature store",
            "schema_version": SCHEMA_VERSION,
            "fingerprint": dict(self.fingerprint),
            "layout": self.layout.to_json(),
            "dtype": self.dtype,
            "states_width": self.states_width,
        }

    def _own_entries(self) -> dict[str, Any]:
        layout = self.layout
        heads = hashlib.sha256(json.dumps(layout.to_json()).encode()).hexdigest()
        return {
            "layout": f"{layout.n_heads} heads in {layout.n_layers} layers, {layout.width} wide, {heads[:8]}",
            "stored dtype": self.dtype,
            "states_width": self.states_width,
        }


def layer_name(layer: int) -> str:
    """Return the name of a layer's column."""
    return f"layer_{layer:03d}"


def compact(indices: NDArray[np.intp]) -> Selection:
    """Return consecutive indices as a slice, which copies much faster."""
    if len(indices) and np.array_equal(indices, np.arange(indices[0], indices[0] + len(indices))):
        return slice(int(indices[0]), int(indices[0]) + len(indices))
    return indices


def layer_columns(layout: HeadLayout) -> dict[int, NDArray[np.intp]]:
    """Return the columns of a feature row by layer, layers ascending, heads in the layout's order."""
    heads: dict[int, list[tuple[int, int]]] = {}
    for head in layout.heads:
        heads.setdefault(head.layer, []).append(head)
    return {layer: layout.column_indices(heads[layer]) for layer in sorted(heads)}


def read_description(folder: Path) -> Description | None:
    """Return the description of the store in a folder, or None if there is no store.

    Raises
    ------
    StoreError
        If the folder's ``store.json`` cannot be read, is damaged or of another version.
    """
    path = folder / FILE_NAME
    try:
        with open_regular(path) as file:
            raw = file.read(_LARGEST_FILE + 1)
    except FileNotFoundError:
        return None
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error.strerror or error}") from error
    try:
        return Description.from_json(json.loads(raw[:_LARGEST_FILE]))
    except (ValueError, RecursionError) as error:
        why = "it is not JSON" if isinstance(error, (json.JSONDecodeError, RecursionError)) else str(error)
        raise StoreError(
            f"{path} cannot be used: {why}; name another folder, or delete this store"
        ) from error


def write_description(folder: Path, description: Description) -> None:
    """Write the description of a new store; one that another process has just written stays.

    Raises
    ------
    OSError
        If the folder cannot be written.
    """
    content = json.dumps(description.to_json(), indent=1, allow_nan=False) + "\n"
    create(folder / FILE_NAME, content.encode())


def _short(value: object) -> str:
    text = "none" if value is None else str(value)
    return text if len(text) <= 64 else text[:61] + "..."
