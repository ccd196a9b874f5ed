"""Writing one part of a store: its columns one after the other, digests and footer last; see `parts`."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from savs.features.store.description import Column, Description
from savs.features.store.digests import column_digest
from savs.features.store.files import reached, whole_file, write_all
from savs.features.store.parquet import MAGIC, Chunk, page_header
from savs.features.store.parts import SUFFIX, facts_text, part_footer

__all__ = ["write_part"]

_WORTH_A_THREAD = 2**19


def write_part(folder: Path, description: Description, columns: Mapping[str, NDArray[Any]]) -> Path:
    """Write a part and return its path, when it is durable.

    Parameters
    ----------
    folder : Path
    description : Description
    columns : mapping of str to ndarray
        Arrays of shape (n_rows, width) by column name, in the stored dtype: all columns of the description,
        ``states`` only if these rows have them.

    Raises
    ------
    OSError
        If it cannot be written; nothing is left of it.
    """
    specs = [spec for name, spec in description.columns.items() if name in columns]
    with whole_file(folder) as (descriptor, finish):
        rest = hashlib.sha256()
        for piece, is_value in _pieces(description, specs, columns):
            if not is_value:
                rest.update(piece)
            write_all(descriptor, piece)
        reached("encoded")
        return finish(rest.hexdigest() + SUFFIX)


def _pieces(
    description: Description, specs: list[Column], columns: Mapping[str, NDArray[Any]]
) -> Iterator[tuple[bytes | memoryview, bool]]:
    """Yield the bytes of a part in order, and whether they are values."""
    n_rows = len(columns["key"])
    chunks: list[Chunk] = []
    digests: dict[str, str] = {}
    offset = len(MAGIC)
    yield MAGIC, False
    for spec, (values, digests[spec.name]) in zip(specs, _digested(specs, columns), strict=True):
        header = page_header(n_rows, values.nbytes)
        yield header, False
        yield values.reshape(-1).view(np.uint8).data, True
        chunks.append(Chunk(spec.name, spec.n_bytes, offset, len(header)))
        offset += len(header) + values.nbytes
    yield part_footer(chunks, n_rows, facts_text(description, digests)), False


def _digested(specs: list[Column], columns: Mapping[str, NDArray[Any]]) -> Iterator[tuple[NDArray[Any], str]]:
    """Yield each column's values without gaps, valid until the next, and their digest."""
    # One column at a time goes through memory that stays in the processor's cache.
    widest = max(len(columns[spec.name]) * spec.n_bytes for spec in specs)
    memories = np.empty((2, widest), np.uint8)

    def prepare(number: int) -> tuple[NDArray[Any], str]:
        spec = specs[number]
        values = _gathered(columns[spec.name], spec, memories[number % 2])
        return values, column_digest(values)

    if widest < _WORTH_A_THREAD:
        yield from map(prepare, range(len(specs)))
        return
    # While one column is written, another thread makes the next one ready.
    with ThreadPoolExecutor(1, thread_name_prefix="savs-store-write") as pool:
        ahead = pool.submit(prepare, 0)
        for number in range(len(specs)):
            ready = ahead.result()
            if number + 1 < len(specs):
                ahead = pool.submit(prepare, number + 1)
            yield ready


def _gathered(values: NDArray[Any], spec: Column, scratch: NDArray[np.uint8]) -> NDArray[Any]:
    """Return values without gaps, in `scratch` if they have any."""
    if values.flags.c_contiguous:
        return values
    whole = scratch[: len(values) * spec.n_bytes].view(spec.dtype).reshape(values.shape)
    whole[...] = values
    return whole
