from __future__ import annotations

import csv
import json
import subprocess
import sys
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from tests.data.tables import REPEATED, library_data, png, quietly, write_jsonl, write_parquet

from savs.data import DataWarning, ErrorLedger, count_rows, iter_examples, read_examples
from savs.errors import DataError, ItemError

pytestmark = pytest.mark.slow

ROWS: list[dict[str, Any]] = [
    {"question": f"q{number}", "label": "xy"[number % 2], "id": None if number % 5 else f"own {number}"}
    for number in range(23)
]


def as_jsonl(folder: Path) -> Path:
    return write_jsonl(folder / "a.jsonl", ROWS)


def as_json(folder: Path) -> Path:
    (folder / "a.json").write_text(json.dumps(ROWS))
    return folder / "a.json"


def as_csv(folder: Path) -> Path:
    with (folder / "a.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["question", "label", "id"])
        writer.writeheader()
        writer.writerows(ROWS)
    return folder / "a.csv"


def as_parquet(folder: Path) -> Path:
    for start in (0, 10):
        write_parquet(folder / "parts" / f"{start}.parquet", ROWS[start : start + 10 or None][:13])
    write_parquet(folder / "parts" / "10.parquet", ROWS[10:], row_group_size=5)
    return folder / "parts"


def as_saved(folder: Path) -> Path:
    from datasets import Dataset

    quietly(Dataset.from_list(ROWS).save_to_disk, folder / "saved")
    return folder / "saved"


def as_images(folder: Path) -> Path:
    for number in range(23):
        path = folder / "images" / "xy"[number % 2] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(png(number))
    return folder / "images"


WRITERS = [as_jsonl, as_json, as_csv, as_parquet, as_saved, as_images]


@pytest.fixture(scope="module", params=WRITERS, ids=[writer.__name__ for writer in WRITERS])
def source(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return Path(request.param(tmp_path_factory.mktemp("source")))


@settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(count=st.integers(1, 30), index=st.integers(0, 29), limit=st.none() | st.integers(1, 30))
def test__iter_examples__any_shard_and_limit__the_same_ids_at_the_same_positions(
    source: Path, count: int, index: int, limit: int | None
) -> None:
    index %= count
    whole = list(iter_examples(source))
    assert [position for position, _ in whole] == list(range(23))
    expected = [(p, e.id, e.label) for p, e in whole if p < (limit or 23) and p % count == index]
    found = [(p, e.id, e.label) for p, e in iter_examples(source, shard=(index, count), limit=limit)]
    assert found == expected


def test__count_rows__known_or_none(source: Path) -> None:
    assert count_rows(source) == (None if source.suffix in {".json", ".csv"} else 23)


def test__read_examples__is_the_collected_form(source: Path) -> None:
    streamed = [(e.id, e.label, e.text, dict(e.fields)) for _, e in iter_examples(source, limit=9)]
    assert [(e.id, e.label, e.text, dict(e.fields)) for e in read_examples(source, limit=9)] == streamed


def test__iter_examples__nothing_is_read_before_it_is_asked_for(tmp_path: Path) -> None:
    good = [json.dumps({"question": "q", "label": "x"})] * 5
    (tmp_path / "a.jsonl").write_text("\n".join([*good, "{", '{"question": "\\ud800"}']))
    examples = iter_examples(tmp_path / "a.jsonl")
    assert len(list(islice(examples, 5))) == 5
    with pytest.raises(DataError, match=r"a\.jsonl:6: not valid JSON"):
        next(examples)
    (tmp_path / "b.jsonl").write_text("{\n")
    with pytest.raises(DataError, match=r"b\.jsonl:1: not valid JSON at column 2;"):
        next(iter_examples(tmp_path / "b.jsonl"))
    assert len(read_examples(tmp_path / "a.jsonl", limit=5)) == 5


def test__iter_examples__wrong_arguments__refused_by_the_call(tmp_path: Path) -> None:
    path = write_jsonl(tmp_path / "a.jsonl", [{"question": "q"}])
    wrong: list[dict[str, Any]] = [
        {"shard": (2, 2)},
        {"shard": (-1, 2)},
        {"shard": (0, 0)},
        {"limit": 0},
        {"limit": -3},
        {"split": "train"},
        {"config": "x"},
        {"revision": "x"},
        {"root": tmp_path / "nowhere"},
    ]
    for options in wrong:
        with pytest.raises(DataError):
            iter_examples(path, **options)
    with pytest.raises(DataError, match="there is no file"):
        iter_examples(tmp_path / "b.jsonl")
    with pytest.raises(DataError, match="columns and a media root"):
        iter_examples(as_images(tmp_path), text_column="x")


def test__fault_18__iter_examples__errors_stand_at_their_positions_in_each_shard(tmp_path: Path) -> None:
    rows = [{"question": "<image>" if number % 4 == 1 else "q"} for number in range(12)]
    path = write_jsonl(tmp_path / "a.jsonl", rows)
    for index in range(3):
        ledger = ErrorLedger(-1)
        found = [position for position, _ in iter_examples(path, shard=(index, 3), ledger=ledger)]
        bad = [position for position in range(index, 12, 3) if position % 4 == 1]
        assert found == [position for position in range(index, 12, 3) if position % 4 != 1]
        assert list(ledger.by_index) == bad
        assert [error.id for error in ledger.errors] == [f"a.jsonl:{position + 1}" for position in bad]
    with pytest.raises(ItemError, match=r"a\.jsonl:2: the text has 1 <image>"):
        list(iter_examples(path))
    stopped: Iterator[Any] = iter_examples(path, ledger=ErrorLedger(1))
    assert [position for position, _ in islice(stopped, 4)] == [0, 2, 3, 4]
    with pytest.raises(ItemError, match=r"a\.jsonl:6"):
        next(stopped)


def test__fault_17__duplicate_ids__found_among_own_ids_and_places(tmp_path: Path) -> None:
    def message(rows: list[dict[str, Any]]) -> str:
        with pytest.raises(DataError) as caught:
            list(iter_examples(write_jsonl(tmp_path / "a.jsonl", rows)))
        return str(caught.value)

    def row(own: Any = None) -> dict[str, Any]:
        return {"question": "q", "id": own}

    expected = "a.jsonl:3: the id '1' stands at a.jsonl:1 already" + REPEATED
    assert message([row(1), row(), row("1")]) == expected
    assert message([row(), row(), row("a.jsonl:2")]).endswith(
        "the id 'a.jsonl:2' stands at a.jsonl:2 already" + REPEATED
    )
    assert message([row("a.jsonl:2"), row()]).endswith(
        "a.jsonl:2: the id 'a.jsonl:2' stands at a.jsonl:1 already" + REPEATED
    )
    # Rows that look like places of other rows, but are none.
    fine = [row("a.jsonl:1"), row("a.jsonl:9"), row("b.jsonl:1"), row("a.jsonl:x"), row()]
    assert len(list(iter_examples(write_jsonl(tmp_path / "a.jsonl", fine)))) == 5


def test__several_image_columns__images_in_the_order_named(tmp_path: Path) -> None:
    row = {"b": "2.png", "a": ["1.png", "3.png"], "none": None, "image": "other.png", "question": "q"}
    path = write_jsonl(tmp_path / "a.jsonl", [row])
    (example,) = read_examples(path, image_column=("a", "none", "b"))
    assert [image.source.name for image in example.images if isinstance(image.source, Path)] == [
        "1.png",
        "3.png",
        "2.png",
    ]
    assert len(read_examples(path, image_column="b")[0].images) == 1
    with pytest.raises(DataError, match="no column 'c'"):
        read_examples(path, image_column=["a", "c"])
    with pytest.raises(DataError, match="must not stand in the prompt"):
        read_examples(path, image_column=["a", "b"], label_column="b")


PUBLIC: list[tuple[dict[str, Any], int, str]] = [
    ({"image": "1.png", "question": "Is it?", "label": "Yes"}, 1, "Is it?"),
    (
        {
            "image_1": "1.png",
            "image_2": "2.png",
            "image_3": None,
            "image_4": None,
            "question": "<image> or <image>?",
            "label": "(A)",
        },
        2,
        "<image> or <image>?",
    ),
    ({"image_path": "1.png", "claim": "A bus", "label": "hallucination"}, 1, "A bus"),
    ({"image": "1.png", "instruction": "Cut it", "label": "unsafe"}, 1, "Cut it"),
]


@pytest.mark.parametrize(("row", "n_images", "text"), PUBLIC)
@pytest.mark.parametrize("form", ["jsonl", "json", "parquet"])
def test__public_shapes__given_only_a_root__read(
    tmp_path: Path, form: str, row: dict[str, Any], n_images: int, text: str
) -> None:
    (tmp_path / "media").mkdir()
    path = tmp_path / f"a.{form}"
    writers: dict[str, Callable[[], object]] = {
        "jsonl": lambda: write_jsonl(path, [row, row]),
        "json": lambda: path.write_text(json.dumps([row, row])),
        "parquet": lambda: write_parquet(path, [row, row]),
    }
    writers[form]()
    examples = read_examples(path, root=tmp_path / "media", require_labels=True)
    assert [(len(e.images), e.text, e.label) for e in examples] == [(n_images, text, row["label"])] * 2
    assert [image.source for image in examples[0].images] == [
        (tmp_path / "media" / f"{number}.png").resolve() for number in range(1, n_images + 1)
    ]


MEASURE = """
import sys
from savs.data import iter_examples
def resident():
    return int(open("/proc/self/statm").read().split()[1]) * 4096
marks = []
for position, example in iter_examples(sys.argv[1]):
    if position % 5000 == 4999:
        marks.append(resident())
print(marks[1], marks[-1], len(marks))
"""


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="memory is read from /proc")
@pytest.mark.parametrize("form", ["jsonl", "parquet"])
def test__iter_examples__thirty_thousand_rows__memory_does_not_grow(tmp_path: Path, form: str) -> None:
    rows = [{"question": f"{number} " + "word " * 400, "label": "x"} for number in range(30_000)]
    path = tmp_path / f"a.{form}"
    if form == "jsonl":
        write_jsonl(path, rows)
    else:
        write_parquet(path, rows, row_group_size=5000)
    done = subprocess.run(
        [sys.executable, "-c", MEASURE, str(path)], capture_output=True, text=True, check=True
    )
    early, late, n_marks = map(int, done.stdout.split())
    # The 20 000 rows between the two hold 40 MB of text; allocators keep a few MB more or less.
    assert n_marks == 6
    assert late - early < 16 * 2**20


def test__folder_of_images__split_named__is_the_folder_inside(tmp_path: Path) -> None:
    for name in ("train/x/1.png", "train/y/2.png", "test/x/3.png", "test/y/4.png"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(png(1))
    assert [(e.id, e.label) for e in read_examples(tmp_path, split="test")] == [
        ("x/3.png", "x"),
        ("y/4.png", "y"),
    ]
    for split in ("dev", "../" + tmp_path.name, "train/x"):
        with pytest.raises(DataError, match="has no split "):
            read_examples(tmp_path, split=split)
    with pytest.raises(DataError, match="name one of them, as the folder or as the split"):
        read_examples(tmp_path)
    (tmp_path / "train" / "notes.txt").touch()
    with pytest.warns(DataWarning, match="skipped 1"):
        read_examples(tmp_path, split="train")


def test__fault_17__line_without_an_end__refused_before_it_fills_the_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("savs.data._text_files.LONGEST_LINE", 100)
    for name in ("a.jsonl", "a.csv"):
        (tmp_path / name).write_text('{"question": "p"}\n' + "x" * 101)
        with pytest.raises(DataError, match=f"{name}:2: the line is longer than 100 bytes"):
            list(iter_examples(tmp_path / name))


def test__iter_examples__features_of_the_library__shards_keep_their_images(tmp_path: Path) -> None:
    quietly(library_data().to_parquet, tmp_path / "a.parquet")
    for index in range(3):
        ((position, example),) = iter_examples(tmp_path / "a.parquet", image_column="image", shard=(index, 3))
        assert (position, example.id) == (index, f"a.parquet:{index + 1}")
        assert len(example.images) == (1, 1, 0)[index]
