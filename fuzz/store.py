"""Feature stores: a description and one part, checksums and names right, and contents that lie.

An input is the JSON of ``store.json``, a null byte, and the bytes of a part; without a null byte there is no
part.
`place` makes the description's own checksum right, writes the store's id and the digests of the columns into
the part's footer, and names the part by its content.
"""

from __future__ import annotations

import hashlib
import io
import json
import random
import re
import warnings
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

from fuzz.json_changes import change_text, dump
from savs.cache import FeatureStore, StoreWarning
from savs.cache._parquet import MAGIC, Chunk, column_digest, footer
from savs.errors import StoreError

__all__ = ["ALLOWED", "SUFFIXES", "mutate", "place", "read", "split"]

SUFFIXES = (".store",)
ALLOWED = (StoreError,)

FIELDS = ("kind", "schema_version", "fingerprint", "layout", "dtype", "states_width")
_STORE = re.compile(rb'"store": ?"([0-9a-f]{64})"')


def place(body: bytes, _suffix: str, folder: Path) -> Path:
    """Write a store's folder with checksums that hold, and return it."""
    raw, null, part = body.partition(b"\0")
    description, identity = _signed(raw)
    home = folder / "store"
    (home / "parts").mkdir(parents=True)
    (home / "store.json").write_bytes(description)
    if null:
        part, name = _sealed(part, identity)
        (home / "parts" / name).write_bytes(part)
    return home


def split(body: bytes) -> tuple[bytes, bytes | None]:
    """Return the description and the part of an input."""
    description, null, part = body.partition(b"\0")
    return description, part if null else None


def _signed(raw: bytes) -> tuple[bytes, str]:
    try:
        content = json.loads(raw)
        if not isinstance(content, dict):
            return raw, "0" * 64
        content.pop("sha256", None)
        text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    except (ValueError, RecursionError):
        return raw, "0" * 64
    identity = hashlib.sha256(text.encode()).hexdigest()
    return dump({**content, "sha256": identity}), identity


def _sealed(part: bytes, identity: str) -> tuple[bytes, str]:
    """Return a part that says it belongs to the store, with the digests of its values, and its right name."""
    part = _STORE.sub(b'"store": "' + identity.encode() + b'"', part)
    rest, end = hashlib.sha256(), 0
    try:
        metadata = pq.read_metadata(io.BytesIO(part))
        stated = json.loads((metadata.metadata or {})[b"savs"])["digests"]
        n_rows, group = metadata.num_rows, metadata.row_group(0)
        for number in range(metadata.num_columns):
            chunk, width = group.column(number), metadata.schema.column(number).length
            stop = chunk.data_page_offset + chunk.total_compressed_size
            start = stop - n_rows * width
            if not end <= start < stop <= len(part):
                break
            right = column_digest(np.frombuffer(part[start:stop], np.uint8).reshape(n_rows, width))
            part = part.replace(stated[chunk.path_in_schema].encode(), right.encode())
            rest.update(part[end:start])
            end = stop
    except (pa.ArrowException, OSError, ValueError, LookupError, TypeError, AttributeError, OverflowError):
        pass
    # The footer's digests are in the name: it is taken when all of them are right.
    rest.update(part[end:])
    return part, f"{rest.hexdigest()}.parquet"


def read(path: Path) -> str | None:
    """Open a store, read and verify what it has, write to it, and read it again."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", StoreWarning)
        store = FeatureStore.existing(path)
        info = store.info()
        assert info["rows"] <= 2**24
        keys = [bytes(32), *(hashlib.sha256(bytes([row])).digest() for row in range(3))]
        got = store.get(keys)
        assert got.features.shape == (len(keys), store.description.layout.width)
        assert np.isnan(got.features[~got.found]).all()
        heads = store.description.layout.heads
        narrow = store.get(keys, [heads[-1], heads[0]] if len(heads) > 1 else heads)
        assert (narrow.found == got.found).all()
        bad = store.verify()
        store.append([b"\1" * 32], np.ones((1, store.description.layout.width), np.float32))
        store.flush()
        store.prune()
        assert FeatureStore.existing(path).get([b"\1" * 32]).found.all()
    return "part set aside" if bad else None


def mutate(body: bytes, _suffix: str, chance: random.Random) -> bytes:
    """Change the description, or the part's footer, or build another footer for its values."""
    description, part = split(body)
    if part is None or chance.random() < 0.5:
        changed = change_text(description, chance, FIELDS)
        return changed if part is None else changed + b"\0" + part
    change = _other_footer if chance.random() < 0.6 else _bytes_changed
    return description + b"\0" + change(part, chance)


def _bytes_changed(part: bytes, chance: random.Random) -> bytes:
    changed = bytearray(part)
    length = int.from_bytes(part[-8:-4], "little")
    start = max(0, len(part) - 8 - length) if chance.random() < 0.8 else 0
    for _ in range(chance.randint(1, 3)):
        if start < len(changed):
            changed[chance.randrange(start, len(changed))] = chance.randrange(256)
    return bytes(changed)


def _other_footer(part: bytes, chance: random.Random) -> bytes:
    """Return the same values with a footer, well formed, that says something else of them."""
    try:
        metadata = pq.read_metadata(io.BytesIO(part))
        chunks = [_chunk_of(metadata, number) for number in range(metadata.num_columns)]
        facts = (metadata.metadata or {})[b"savs"].decode()
        n_rows = metadata.num_rows
    except (pa.ArrowException, OSError, ValueError, LookupError, TypeError, OverflowError):
        return part
    values = part[: len(part) - 8 - int.from_bytes(part[-8:-4], "little")]
    kind = chance.randrange(5)
    if kind == 0:
        n_rows = chance.choice([0, 1, n_rows - 1, n_rows + 1, 2 * n_rows, 2**31, 2**62])
    elif kind == 1:
        facts = change_text(facts.encode(), chance, ("store", "digests", "dtype", "key")).decode()
    elif kind == 2:
        chance.shuffle(chunks)
    else:
        _change_chunk(chunks, chance)
    try:
        return values + footer(chunks, abs(n_rows), {"savs": facts}, "savs")
    except (ValueError, OverflowError):
        return part


def _chunk_of(metadata: object, number: int) -> Chunk:
    group, schema = metadata.row_group(0), metadata.schema  # type: ignore[attr-defined]
    chunk, width = group.column(number), schema.column(number).length
    header = chunk.total_compressed_size - metadata.num_rows * width  # type: ignore[attr-defined]
    return Chunk(chunk.path_in_schema, width, chunk.data_page_offset, header)


def _change_chunk(chunks: list[Chunk], chance: random.Random) -> None:
    position = chance.randrange(len(chunks))
    chunk = chunks[position]
    changed = (
        chunk._replace(name=chance.choice(["key", "states", "layer_000", "layer_001", "", "x" * 300])),
        chunk._replace(width=chance.choice([1, 4, 32, chunk.width + 1, 2**31 - 1])),
        chunk._replace(offset=chance.choice([0, 4, chunk.offset + 1, 2**31, 2**62, len(MAGIC)])),
        chunk._replace(n_header=chance.choice([0, 1, chunk.n_header + 1, 4096, 4097])),
        chance.choice(chunks),
    )
    chunks[position] = chance.choice(changed)
    if chance.random() < 0.1:
        del chunks[chance.randrange(len(chunks))]
