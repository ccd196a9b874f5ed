from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from tests.data.tables import REPEATED, library_data, png, quietly

from savs.data import adopt_label_type, count_rows, iter_examples, read_examples
from savs.errors import DataError, SAVsError
from savs.media import load_image


@pytest.fixture(scope="module")
def saved(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with ``one`` dataset, and ``two`` with the splits train and test."""
    from datasets import DatasetDict

    folder = tmp_path_factory.mktemp("saved")
    data = library_data()
    quietly(data.save_to_disk, folder / "one")
    splits = DatasetDict({"train": data, "test": data.select([2, 1])})
    quietly(splits.save_to_disk, folder / "two")
    return folder


NAMED = {"image_column": ["image", "views"], "label_column": "kind"}


def refused(path: Path, **options: Any) -> str:
    with pytest.raises(SAVsError) as caught:
        read_examples(path, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test__saved__one__class_names_and_images_undecoded(
    saved: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    before = sorted(saved.rglob("*"))
    examples = read_examples(saved / "one", **NAMED)
    assert [(e.id, e.text, e.label) for e in examples] == [
        ("one:1", "p", "cat"),
        ("one:2", "q", "dog"),
        ("one:3", "r", None),
    ]
    assert [image.source for image in examples[1].images] == [png(20), png(1), png(2)]
    assert load_image(examples[0].images[0].source).getpixel((0, 0)) == (10, 10, 10)
    assert count_rows(saved / "one") == 3
    assert adopt_label_type(examples, saved / "one", [1]) == examples
    assert capfd.readouterr() == ("", "")
    assert sorted(saved.rglob("*")) == before


def test__saved__splits__one_has_to_be_named(saved: Path) -> None:
    assert refused(saved / "two") == "two has several splits; name one of train, test (--split)"
    assert refused(saved / "two", split="dev") == "two has no split 'dev'; name one of train, test (--split)"
    # Rows that were selected without being written again.
    test = read_examples(saved / "two", split="test", **NAMED)
    assert [(e.id, e.text, e.label) for e in test] == [("two/test:1", "r", None), ("two/test:2", "q", "dog")]
    assert (count_rows(saved / "two", split="test"), count_rows(saved / "two", split="train")) == (2, 3)
    assert [e.text for e in read_examples(saved / "two" / "test")] == ["r", "q"]
    assert "leave the split 'train' away" in refused(saved / "one", split="train")


def test__saved__with_a_format_of_its_own__read_as_stored(tmp_path: Path) -> None:
    quietly(library_data().with_format("numpy").save_to_disk, tmp_path / "set")
    assert [e.label for e in read_examples(tmp_path / "set", **NAMED)] == ["cat", "dog", None]


def test__fault_10__saved_path_outside_the_root__refused_with_the_row(tmp_path: Path) -> None:
    from datasets import Dataset

    (tmp_path / "secret.png").write_bytes(png(1))
    rows = [{"image": "../secret.png", "question": "q"}]
    quietly(Dataset.from_list(rows).save_to_disk, tmp_path / "set")
    assert refused(tmp_path / "set").startswith("set:1: the media path")
    assert len(read_examples(tmp_path / "set", allow_outside=True)) == 1


def test__fault_13__saved_without_rows__error_with_the_count(tmp_path: Path) -> None:
    quietly(library_data().select([]).save_to_disk, tmp_path / "set")
    # The library writes no file of rows then, and reads none.
    assert refused(tmp_path / "set").startswith(
        "set cannot be read as a saved dataset (damaged, or without rows)"
    )


def test__fault_17__saved_set_that_is_damaged__one_line(tmp_path: Path) -> None:
    quietly(library_data().save_to_disk, tmp_path / "set")
    (arrow,) = (tmp_path / "set").glob("*.arrow")
    whole = arrow.read_bytes()
    for content in (b"", b"x" * 100, whole[: len(whole) // 2]):
        arrow.write_bytes(content)
        assert refused(tmp_path / "set").startswith("set")
    arrow.unlink()
    assert "cannot be read as a saved dataset" in refused(tmp_path / "set")
    for content in ("", "[]", json.dumps({"_data_files": 3})):
        (tmp_path / "set" / "state.json").write_text(content)
        assert "cannot be read as a saved dataset" in refused(tmp_path / "set")


def test__fault_17__saved_offsets_that_lead_astray__error_with_the_row(tmp_path: Path) -> None:
    from datasets import Dataset

    rows = [{"question": f"question {number:04}"} for number in range(100)]
    quietly(Dataset.from_list(rows).save_to_disk, tmp_path / "set")
    (arrow,) = (tmp_path / "set").glob("*.arrow")
    whole = arrow.read_bytes()
    # The offsets of the texts, 13 bytes each, stand one after the other; the eleventh text gets another end.
    place = whole.index((13 * 10).to_bytes(4, "little") + (13 * 11).to_bytes(4, "little")) + 4
    arrow.write_bytes(whole[:place] + (2**31 - 1).to_bytes(4, "little") + whole[place + 4 :])
    assert refused(tmp_path / "set").startswith("set:11: the row is damaged")


def test__fault_17__saved_duplicate_id__both_rows_in_every_shard(tmp_path: Path) -> None:
    from datasets import Dataset

    rows = [{"question": "q", "id": f"{number % 99}"} for number in range(100)]
    quietly(Dataset.from_list(rows).save_to_disk, tmp_path / "set")
    assert refused(tmp_path / "set") == "set:100: the id '0' stands at set:1 already" + REPEATED
    for shard in ((0, 2), (1, 2)):
        with pytest.raises(DataError, match="set:100: the id '0' stands at set:1"):
            list(iter_examples(tmp_path / "set", shard=shard))
