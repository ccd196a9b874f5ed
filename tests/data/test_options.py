"""`ReadOptions`: one definition of how data are read."""

from __future__ import annotations

from dataclasses import FrozenInstanceError, fields
from pathlib import Path
from typing import get_type_hints

import pytest
from tests.data.tables import write_jsonl

from savs.data import ReadKeywords, ReadOptions, as_example, count_rows, iter_examples, read_examples
from savs.data.reading import with_bit_depth
from savs.errors import DataError, ItemError
from savs.media import Image


def test__keywords__are_the_fields_with_the_same_types() -> None:
    names = [field.name for field in fields(ReadOptions)]
    assert list(ReadKeywords.__annotations__) == names
    hints = get_type_hints(ReadOptions)
    assert get_type_hints(ReadKeywords) == {name: hints[name] for name in names}


def test__docstring__has_every_field() -> None:
    for field in fields(ReadOptions):
        assert field.name in (ReadOptions.__doc__ or "")


def test__options__keywords_win(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "a.jsonl", [{"t": f"q{n}", "y": "ab"[n % 2]} for n in range(5)])
    options = ReadOptions(text_column="t", label_column="y", limit=4)
    assert [(e.text, e.label) for e in read_examples(path, options)] == [
        ("q0", "a"),
        ("q1", "b"),
        ("q2", "a"),
        ("q3", "b"),
    ]
    assert [position for position, _ in iter_examples(path, options, limit=3, shard=(1, 2))] == [1]
    assert (count_rows(path, options), count_rows(path), count_rows(path, shard=(1, 2))) == (4, 5, 2)


def test__options__frozen_and_checked_when_made() -> None:
    with pytest.raises(FrozenInstanceError):
        ReadOptions().limit = 3  # type: ignore[misc]
    with pytest.raises(DataError, match="the limit must be at least 1"):
        ReadOptions(limit=0)
    with pytest.raises(DataError, match="shard 2 of 2 does not exist"):
        ReadOptions(shard=(2, 2))
    with pytest.raises(TypeError, match="colour"):
        read_examples("a.jsonl", colour="red")  # type: ignore[call-arg]


def test__read_examples__bit_depth__of_every_image_without_its_own(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text('{"image": "a.png", "video": "b.mp4", "question": "what?"}\n')
    (example,) = read_examples(tmp_path / "rows.jsonl", bit_depth=12)
    assert [part.bit_depth for part in example.images] == [12, None]
    own = as_example([Image("a.png", bit_depth=10), "what?"])
    assert with_bit_depth(own, 12).images[0].bit_depth == 10
    for bit_depth in (7, 17):
        with pytest.raises(ItemError, match="from 8 to 16"):
            read_examples(tmp_path / "rows.jsonl", bit_depth=bit_depth)
