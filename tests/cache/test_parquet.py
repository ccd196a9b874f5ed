from __future__ import annotations

import hashlib

import numpy as np
import pyarrow.parquet as pq
import pytest

from savs.cache._parquet import MAGIC, Chunk, footer, page_header


def write(path, columns: dict[str, np.ndarray], metadata: dict[str, str]) -> None:
    raw, chunks, n_rows = bytearray(MAGIC), [], len(next(iter(columns.values())))
    for name, values in columns.items():
        header = page_header(n_rows, values.nbytes)
        chunks.append(Chunk(name, values.shape[1], len(raw), len(header)))
        raw += header + values.tobytes()
    path.write_bytes(bytes(raw) + footer(chunks, n_rows, metadata, "savs"))


@pytest.mark.parametrize(
    ("n_rows", "n_columns"), [(1, 1), (3, 14), (3, 15), (300, 16), (70_000, 2), (2, 400)]
)
def test__footer_and_headers__any_size__arrow_reads_the_values(tmp_path, n_rows, n_columns):
    rng = np.random.default_rng(0)
    columns = {
        f"layer_{number:03d}": rng.integers(0, 256, (n_rows, 1 + number % 5), np.uint8)
        for number in range(n_columns)
    }
    path = tmp_path / "part.parquet"
    write(path, columns, {"savs": "x" * 5000, "ä": "ö"})
    metadata = pq.read_metadata(path)
    assert (metadata.num_rows, metadata.num_row_groups, metadata.created_by) == (n_rows, 1, "savs")
    assert metadata.metadata == {b"savs": b"x" * 5000, "ä".encode(): "ö".encode()}
    table = pq.read_table(path)
    assert table.column_names == list(columns)
    for name, values in columns.items():
        assert table.schema.field(name).type.byte_width == values.shape[1]
        assert not table.schema.field(name).nullable
        assert b"".join(table[name].to_pylist()) == values.tobytes()


def test__footer__totals__are_those_of_the_chunks(tmp_path):
    path = tmp_path / "part.parquet"
    write(path, {"a": np.zeros((9, 100), np.uint8), "b": np.zeros((9, 7), np.uint8)}, {})
    group = pq.read_metadata(path).row_group(0)
    sizes = [group.column(number).total_compressed_size for number in range(2)]
    assert group.total_byte_size == sum(sizes)
    assert group.column(1).data_page_offset == 4 + sizes[0]


def test__page_header_and_footer__known_bytes__stay():
    """A part's name depends on them: other bytes are another schema version."""
    header = page_header(256, 3_670_016)
    whole = footer([Chunk("key", 32, 4, len(header))], 256, {"savs": "{}"}, "savs")
    assert header.hex() == "1500158080c003158080c0032c1580041500150615060000"
    assert (
        hashlib.sha256(header + whole).hexdigest()
        == "db14c67887e5f4c10b5410ccaefb4d323c4f9873aca1bee635902a0eaa9b4875"
    )
