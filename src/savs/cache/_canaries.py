"""The canaries in a store's folder: which code computed its rows, and which other code computes the same.

``canaries/first.safetensors`` holds the vectors of the probes when the store began. ``savs store rekey`` adds
another one beside it, named by its digest, whose rows have keys of their own: a store may hold the vectors
of two libraries that differ. ``canaries/<name>-<digest of the environment>.json`` notes an environment in
which the probes came out the same, or which was accepted. No file is ever changed, so that any number of
processes may use them; of two that begin at once the second compares with the first.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from savs.backbones import Backbone, DriftWarning
from savs.backbones._canary import (
    Canary,
    Environment,
    check,
    environment_digest,
    environment_of,
    record,
)
from savs.cache._description import Description
from savs.cache._files import create, open_regular, remove_stale
from savs.cache._part_catalog import CANARIES
from savs.data import Example
from savs.errors import DriftError, StoreError

_FIRST = "first"
_SUFFIX = ".safetensors"
_LARGEST_FILE = 2**30


class Generation(NamedTuple):
    """A canary of a store, and what its rows' keys have in addition to the store's identity.

    Attributes
    ----------
    name : str
        Of its file.
    canary : Canary
    key : str or None
        None for the first one.
    """

    name: str
    canary: Canary
    key: str | None


class Canaries:
    """The canaries of a store.

    Parameters
    ----------
    folder : Path
        The store's.
    description : Description
        Of which heads its rows are, and whether it may hold states.
    """

    def __init__(self, folder: Path, description: Description) -> None:
        self.store = folder
        self.folder = folder / CANARIES
        width = description.states_width
        self._states = width is not None
        self._versions = description.fingerprint.get("versions")  # those it began with; not in older stores
        self._widths = [*description.layout.dims, *([] if width is None else [width])]

    def key(self, backbone: Backbone, *, n_rows: int) -> str | None:
        """Return what the keys of this backbone's rows have in addition, after a check where one is due.

        Parameters
        ----------
        backbone : Backbone
            Without a store.
        n_rows : int
            How many rows the store holds.

        Raises
        ------
        DriftError
            If the installed code computes other vectors than all the code that filled the store.
        StoreError
            If a canary is damaged.

        Warns
        -----
        DriftWarning
            If there are rows and no canary, unless the store began with these versions. One is recorded then.
        """
        now = environment_of(backbone.fingerprint)
        known = self._known(now)
        if known is not None:
            return known.key
        there = list(self._generations())
        if not there:
            if n_rows and self._versions != backbone.fingerprint.get("versions"):
                self._warn_of_unchecked_rows()
            canary = self._record(backbone)
            if canary is None or self._write(_FIRST, canary, None):
                return None
            there = list(self._generations())  # another process was first
        return self._matching(there, backbone, now)

    def rekey(self, backbone: Backbone, *, accept_drift: bool) -> bool:
        """Let the store take the rows of code that computes other vectors; False if it does already.

        Parameters
        ----------
        backbone : Backbone
            Without a store.
        accept_drift : bool
            Serve the rows that are there to this code too, instead of keeping its own beside them.

        Raises
        ------
        OSError
            If the folder cannot be written.
        """
        now, there = environment_of(backbone.fingerprint), list(self._generations())
        if self._known(now) is not None:
            return False
        if accept_drift and there:
            self._note(there[0], now, "accepted", or_raise=True)
            return True
        try:
            self._matching(there, backbone, now)
        except DriftError:
            canary = self._record(backbone)
            if canary is not None:
                self._write(canary.digest[:16], canary, canary.digest, or_raise=True)
            return True
        return False

    def environments(self) -> list[dict[str, Any]]:
        """Return the environments whose rows the store has or serves, for `FeatureStore.info`."""
        found = [{"canary": one.name, **one.canary.environment} for one in self._generations()]
        for path in self._paths(".json"):
            name, _, _ = path.stem.rpartition("-")
            found.append({"canary": name, **_environment(path)})
        return found

    def _known(self, now: Environment) -> Generation | None:
        """Return the canary that this environment belongs to, if that is known."""
        digest = environment_digest(now)[:16]
        noted = {
            path.stem.rpartition("-")[0] for path in self._paths(".json") if path.stem.endswith(f"-{digest}")
        }
        found = (one for one in self._generations() if one.canary.environment == now or one.name in noted)
        return next(found, None)

    def _matching(self, there: Sequence[Generation], backbone: Backbone, now: Environment) -> str | None:
        failure: DriftError | None = None
        for one in there:
            try:
                check(
                    one.canary,
                    backbone,
                    self._read,
                    self._widths,
                    of=f"those in {self.store}",
                    advice=f"keep new vectors beside the old ones ('savs store rekey {self.store} -b ...'), "
                    "use the old ones all the same (rekey with --accept-drift), or install the old versions",
                )
            except DriftError as error:
                failure = failure or error
            else:
                self._note(one, now, "equal")
                return one.key
        if failure is None:
            return None
        raise failure

    def _record(self, backbone: Backbone) -> Canary | None:
        return record(backbone, backbone.modalities, self._read)

    def _read(self, backbone: Backbone, examples: Sequence[Example]) -> NDArray[np.float32]:
        found = backbone.extract(examples, None, states=self._states)
        return found.features if found.states is None else np.hstack([found.features, found.states])

    def _warn_of_unchecked_rows(self) -> None:
        warnings.warn(
            f"{self.store} was filled without check vectors, by an older savs or by hand, so it cannot be "
            "told whether its rows are what the installed versions compute; from now on a change is noticed",
            DriftWarning,
            stacklevel=2,
        )

    def _generations(self) -> Iterator[Generation]:
        """Yield the canaries, the first one first."""
        paths = self._paths(_SUFFIX)
        for path in sorted(paths, key=lambda path: (path.stem != _FIRST, path.stem)):
            found = _loaded(path)
            if found.canary.vectors.shape[1] != sum(self._widths):
                raise _damaged(path)
            yield found

    def _paths(self, suffix: str) -> list[Path]:
        try:
            return sorted(
                path for path in self.folder.iterdir() if path.suffix == suffix and path.name[0] != "."
            )
        except (FileNotFoundError, NotADirectoryError):
            return []
        except OSError as error:
            raise StoreError(f"cannot read {self.folder}: {error.strerror or error}") from error

    def _write(self, name: str, canary: Canary, key: str | None, *, or_raise: bool = False) -> bool:
        """Write a canary; False if one of this name is there. True also where nothing can be written."""
        from safetensors.numpy import save

        about = {"environment": dict(canary.environment), "probes": list(canary.probes), "key": key}
        metadata = {"savs": json.dumps(about), "digest": canary.digest}
        content = save({"vectors": np.ascontiguousarray(canary.vectors)}, metadata=metadata)
        return self._create(name + _SUFFIX, content, or_raise=or_raise)

    def _note(self, one: Generation, now: Environment, how: str, *, or_raise: bool = False) -> None:
        content = json.dumps({"environment": dict(now), "result": how}, indent=1) + "\n"
        self._create(f"{one.name}-{environment_digest(now)[:16]}.json", content.encode(), or_raise=or_raise)

    def _create(self, name: str, content: bytes, *, or_raise: bool) -> bool:
        try:
            self.folder.mkdir(exist_ok=True)
            remove_stale(self.folder)
            return create(self.folder / name, content)
        except OSError:
            if or_raise:
                raise
            return True


def _loaded(path: Path) -> Generation:
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        with open_regular(path) as file:
            raw = file.read(_LARGEST_FILE)
        length = int.from_bytes(raw[:8], "little")
        metadata = json.loads(raw[8 : 8 + length])["__metadata__"]
        about = json.loads(metadata["savs"])
        canary = Canary(about["environment"], tuple(about["probes"]), load(raw)["vectors"])
        if canary.digest != metadata["digest"]:
            raise ValueError("its checksum differs")
        return Generation(path.stem, canary, about["key"])
    except OSError as error:
        raise StoreError(f"cannot read {path}: {error.strerror or error}") from error
    except (SafetensorError, ValueError, KeyError, TypeError, RecursionError) as error:
        raise _damaged(path) from error


def _damaged(path: Path) -> StoreError:
    return StoreError(
        f"{path} is damaged, so it cannot be told whether the installed versions compute the vectors of this "
        "store; restore it, or delete it to go on without that check"
    )


def _environment(path: Path) -> dict[str, Any]:
    """Return the environment that was noted in a file; nothing if it cannot be read."""
    try:
        return dict(json.loads(path.read_text())["environment"])
    except (OSError, ValueError, KeyError, TypeError, RecursionError):
        return {}
