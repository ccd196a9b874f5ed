"""Rows of any JSON values: examples or one-line errors of savs, in every format that can hold them."""

from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from savs.data import ErrorLedger, read_examples
from savs.errors import DataError, ItemError

NAMES = st.sampled_from(
    ["image", "images", "image_1", "question", "text", "claim", "label", "id", "messages", "video", "x", ""]
)
TEXTS = st.text(max_size=8) | st.sampled_from(
    [
        "<image>",
        "a.png",
        "../a.png",
        "/dev/zero",
        "http://x/a.png",
        "data:image/png;base64,AA",
        "\0",
        "\ud800",
    ]
)
SCALARS = st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | TEXTS
PARTS = st.fixed_dictionaries(
    {"type": st.sampled_from(["text", "image", "video", "x"])}, optional={"text": TEXTS}
)
TURNS = st.fixed_dictionaries(
    {
        "role": st.sampled_from(["user", "assistant", "system", "x"]),
        "content": TEXTS | st.lists(PARTS, max_size=3),
    }
)
VALUES = st.recursive(
    SCALARS | st.lists(TURNS, max_size=2),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=3),
    max_leaves=6,
)
ROWS = st.lists(st.dictionaries(NAMES, VALUES, max_size=5) | VALUES, max_size=4)


def read(path) -> None:
    ledger = ErrorLedger(-1)
    said: list[Exception] = []
    try:
        for example in read_examples(path, ledger=ledger):
            assert example.id
            assert example.parts
    except (DataError, ItemError) as error:
        said.append(error)
    assert all(str(error).isprintable() for error in [*said, *ledger.errors])
    assert all(error.record()["id"] for error in ledger.errors)


@pytest.mark.filterwarnings("ignore::savs.data.DataWarning")
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(rows=ROWS)
def test__any_json_rows__examples_or_one_line_errors(tmp_path, rows):
    (tmp_path / "a.json").write_text(json.dumps(rows))
    read(tmp_path / "a.json")
    (tmp_path / "a.jsonl").write_text("\n".join(map(json.dumps, rows)))
    read(tmp_path / "a.jsonl")


@pytest.mark.filterwarnings("ignore::savs.data.DataWarning")
@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    content=st.text(st.sampled_from("abtexlabel,\"\t\r\n\0\ufeff;'é<>./"), max_size=80).map(str.encode)
    | st.binary(max_size=80),
    suffix=st.sampled_from([".csv", ".tsv", ".json", ".jsonl", ".parquet"]),
)
def test__any_bytes__examples_or_one_line_errors(tmp_path, content, suffix):
    path = tmp_path / f"a{suffix}"
    path.write_bytes(b"text,label\n" + content if suffix == ".csv" else content)
    read(path)
