from __future__ import annotations

import contextlib
import datetime
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from tests.data.tables import REPEATED, library_data, png, quietly, write_parquet

from savs.backbones import PromptTemplate
from savs.data import (
    DataWarning,
    ErrorLedger,
    Example,
    adopt_label_type,
    check_support,
    count_rows,
    iter_examples,
    preflight,
    read_examples,
)
from savs.errors import DataError, ItemError, SAVsError
from savs.media import load_image

ROWS = [
    {"question": "p", "label": "x", "id": "a"},
    {"question": "q\n\u2028é", "label": "y", "id": "b"},
    {"question": "r", "label": None, "id": None},
]


def refused(path: Path | str, **options: Any) -> str:
    with pytest.raises(SAVsError) as caught:
        read_examples(path, **options)
    assert isinstance(caught.value, DataError | ItemError)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test__parquet__rows__examples_with_ids_by_column_or_row(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "a.parquet", ROWS)
    assert [(e.id, e.text, e.label) for e in read_examples(path)] == [
        ("a", "p", "x"),
        ("b", "q\n\u2028é", "y"),
        ("a.parquet:3", "r", None),
    ]
    assert count_rows(path) == 3
    assert "1 of 3" in refused(path, require_labels=True)


def test__parquet__types_of_labels__kept(tmp_path: Path) -> None:
    for kind, labels in ((int, [3, 4]), (str, ["3", "4"]), (bool, [True, False])):
        rows = [{"text": f"t{label}", "label": label} for label in labels]
        path = write_parquet(tmp_path / f"{kind.__name__}.parquet", rows)
        examples = read_examples(path)
        assert [example.label for example in examples] == labels
        assert {type(example.label) for example in examples} == {kind}
        # A text that looks like a number is a text here: only CSV and folders have no other types.
        assert [e.label for e in adopt_label_type(examples, path, [3, 4])] == labels


def test__parquet__features_of_the_library__class_names_and_images_undecoded(tmp_path: Path) -> None:
    quietly(library_data().to_parquet, tmp_path / "a.parquet")
    examples = read_examples(tmp_path / "a.parquet", image_column=["image", "views"], label_column="kind")
    assert [(e.label, e.text, len(e.images)) for e in examples] == [
        ("cat", "p", 1),
        ("dog", "q", 3),
        (None, "r", 0),
    ]
    assert [image.source for image in examples[1].images] == [png(20), png(1), png(2)]
    assert load_image(examples[1].images[0].source).getpixel((0, 0)) == (20, 20, 20)
    assert examples[0].fields["image"] == "a.png"


def test__parquet__class_beyond_the_names__error_with_the_row(tmp_path: Path) -> None:
    quietly(library_data().to_parquet, tmp_path / "a.parquet")
    table = pq.read_table(tmp_path / "a.parquet")
    kinds = table.schema.get_field_index("kind")
    pq.write_table(
        table.set_column(kinds, table.schema.field("kind"), pa.array([0, -1, 7])), tmp_path / "b.parquet"
    )
    message = refused(tmp_path / "b.parquet", label_column="kind")
    assert message.startswith("b.parquet:3: 7 in column 'kind' is none of its 2 classes")
    (cat, unknown) = read_examples(tmp_path / "b.parquet", label_column="kind", limit=2)
    assert (cat.label, unknown.label) == ("cat", None)


def test__parquet__broken_description_of_features__one_line(tmp_path: Path) -> None:
    table = pa.table({"question": ["p"]}).replace_schema_metadata({"huggingface": "{"})
    pq.write_table(table, tmp_path / "a.parquet")
    assert "its description of features" in refused(tmp_path / "a.parquet")


def test__parquet__prompt_over_any_column__filled(tmp_path: Path) -> None:
    rows = [{"image": {"bytes": png(1), "path": None}, "instruction": "Cut it", "n": 3, "label": "x"}]
    (example,) = read_examples(write_parquet(tmp_path / "a.parquet", rows))
    prompt = PromptTemplate("Instruction: {instruction} ({n}) Is this harmful?")
    assert prompt.apply(example).text == "Instruction: Cut it (3) Is this harmful?"
    assert len(prompt.apply(example).images) == 1


def test__parquet__plain_bytes_and_paths__images(tmp_path: Path) -> None:
    (tmp_path / "m").mkdir()
    (tmp_path / "m" / "1.png").write_bytes(png(9))
    for cell in (png(9), "m/1.png", {"bytes": None, "path": "m/1.png"}):
        path = write_parquet(tmp_path / "a.parquet", [{"image": cell, "question": "q"}])
        (example,) = read_examples(path)
        assert preflight([example]) == []
        assert load_image(example.images[0].source).getpixel((0, 0)) == (9, 9, 9)


def test__parquet__folder__files_in_natural_order_and_one_split(tmp_path: Path) -> None:
    for number in (10, 2):
        write_parquet(tmp_path / "d" / f"train-{number}.parquet", [{"question": f"t{number}"}])
    write_parquet(tmp_path / "d" / "_temporary" / "x.parquet", [{"question": "half"}])
    folder = tmp_path / "d"
    expected = [("train-2.parquet:1", "t2"), ("train-10.parquet:1", "t10")]
    assert [(e.id, e.text) for e in read_examples(folder)] == expected
    write_parquet(folder / "test" / "0.parquet", [{"question": "s"}])
    assert "several splits; name one of test, train" in refused(folder)
    assert "no split 'dev'" in refused(folder, split="dev")
    assert [(e.id, e.text) for e in read_examples(folder, split="train")] == expected
    assert [(e.id, e.text) for e in read_examples(folder, split="test")] == [("test/0.parquet:1", "s")]
    assert (count_rows(folder, split="train"), count_rows(folder, split="test")) == (2, 1)


def test__parquet__pattern__its_files_or_an_error(tmp_path: Path) -> None:
    for name in ("a1", "a2", "b"):
        write_parquet(tmp_path / f"{name}.parquet", [{"question": name}])
    assert [e.id for e in read_examples(tmp_path / "a*.parquet")] == ["a1.parquet:1", "a2.parquet:1"]
    assert "no file is called 'c*.parquet'" in refused(tmp_path / "c*.parquet")
    assert "there is no file" in refused(tmp_path / "c.parquet")


def test__parquet__metadata_beside_images__is_no_data(tmp_path: Path) -> None:
    for name in ("x", "y"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "1.png").write_bytes(png(1))
    write_parquet(tmp_path / "metadata.parquet", [{"file_name": "x/1.png"}])
    with pytest.warns(DataWarning) as caught:
        assert [e.label for e in read_examples(tmp_path)] == ["x", "y"]
    first, second = (str(warning.message) for warning in caught)
    assert "metadata.parquet" in first
    assert "it has no label; name its column (--label-column)" in first
    assert "skipped 1 .parquet file" in second
    (example,) = read_examples(tmp_path / "metadata.parquet")
    assert (example.label, len(example.images)) == (None, 1)


def test__fault_10__parquet_path_outside_the_root__refused_with_the_row(tmp_path: Path) -> None:
    (tmp_path / "d").mkdir()
    (tmp_path / "secret.png").write_bytes(png(1))
    for cell in ("../secret.png", {"bytes": None, "path": str(tmp_path / "secret.png")}):
        path = write_parquet(tmp_path / "d" / "a.parquet", [{"image": cell, "question": "q"}])
        assert refused(path).startswith("a.parquet:1: the media path")
        assert preflight(read_examples(path, allow_outside=True)) == []


def test__fault_13__parquet_without_rows__error_with_the_count(tmp_path: Path) -> None:
    pq.write_table(pa.table({"question": pa.array([], pa.string())}), tmp_path / "a.parquet")
    assert refused(tmp_path / "a.parquet") == "a.parquet holds 0 examples; at least one row is needed"


def test__fault_14__parquet_images_twice__warning_or_an_error_that_lists_them(tmp_path: Path) -> None:
    def examples(labels: str) -> list[Example]:
        shades = (1, 2, 1)
        rows = [
            {"image": {"bytes": png(shade), "path": f"{label}.png"}, "question": "q", "label": label}
            for shade, label in zip(shades, labels, strict=True)
        ]
        return read_examples(write_parquet(tmp_path / "a.parquet", rows))

    with pytest.raises(DataError, match=r"a.parquet:1 \('x'\) and a.parquet:3 \('y'\)"):
        check_support(examples("xyy"))
    with pytest.warns(DataWarning, match="1 of 3 shots repeat another one"):
        check_support(examples("xyx"))


def test__fault_16__parquet_labels_of_other_types__stay_as_they_are(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "a.parquet", [{"question": "q", "label": "7"}])
    assert [e.label for e in adopt_label_type(read_examples(path), path, [7, 8])] == ["7"]


def test__fault_15__parquet_labels_that_are_none__error_with_the_row(tmp_path: Path) -> None:
    for label in (1.5, float("nan"), [1], {"a": 1}, datetime.date(2020, 1, 1), b"x"):
        path = write_parquet(tmp_path / "a.parquet", [{"question": "q", "label": label}])
        if label != label:
            assert read_examples(path)[0].label is None  # tables hold NaN for nothing
        else:
            assert refused(path).startswith("a.parquet:1: a label is text, a whole number or")
    huge = pa.table({"question": ["q"], "label": pa.array([2**63], pa.uint64())})
    pq.write_table(huge, tmp_path / "huge.parquet")
    assert "beyond 64 bits" in refused(tmp_path / "huge.parquet")


def test__fault_15__parquet_labels_of_two_files__may_not_mix(tmp_path: Path) -> None:
    write_parquet(tmp_path / "d" / "0.parquet", [{"question": "p", "label": 1}])
    write_parquet(tmp_path / "d" / "1.parquet", [{"question": "q", "label": "1"}])
    assert "mixed: 1 (int) and '1' (str)" in refused(tmp_path / "d")


def test__fault_17__parquet_missing_column_and_wrong_type__error_with_the_row(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "a.parquet", [{"question": "q", "n": 1}])
    assert refused(path, label_column="kind") == (
        "a.parquet:1: there is no column 'kind' (--label-column); columns: 'question', 'n'"
    )
    assert refused(path, text_column="n").startswith("a.parquet:1: column 'n' must hold text, not int")
    assert refused(path, image_column="n").startswith("a.parquet:1: an int stands where an image")
    assert refused(path, id_column="question", text_column="n").startswith("q: a.parquet:1: ")


def test__fault_17__parquet_duplicate_id__error_with_both_rows(tmp_path: Path) -> None:
    rows = [{"question": str(number), "id": number} for number in range(150)] + [{"question": "x", "id": 7}]
    path = write_parquet(tmp_path / "a.parquet", rows, row_group_size=40)
    assert refused(path) == "a.parquet:151: the id '7' stands at a.parquet:8 already" + REPEATED
    for shard in ((0, 3), (1, 3)):
        with pytest.raises(DataError, match=r"a.parquet:151: the id '7' stands at a.parquet:8"):
            list(iter_examples(path, shard=shard))


def test__fault_17__parquet_cut_short_or_something_else__one_line(tmp_path: Path) -> None:
    rows = [{"question": f"question {number} " * 20} for number in range(500)]
    path = write_parquet(tmp_path / "a.parquet", rows, row_group_size=50, compression="none")
    whole = path.read_bytes()
    for content in (b"", b"PAR1", b"x" * 1000, whole[: len(whole) // 2], whole[len(whole) // 2 :][:-8]):
        path.write_bytes(content)
        assert "is not a Parquet file, or damaged" in refused(path)
    (tmp_path / "b.parquet").mkdir()
    assert "0 images" in refused(tmp_path / "b.parquet")


def test__fault_17__parquet_flipped_bytes__examples_or_an_error_with_the_row(tmp_path: Path) -> None:
    rows = [{"question": f"question {number} é", "label": number % 3} for number in range(200)]
    path = write_parquet(tmp_path / "a.parquet", rows, compression="none", use_dictionary=False)
    whole = path.read_bytes()
    n_refused = 0
    for position in range(4, len(whole) - 8, 97):
        path.write_bytes(whole[:position] + bytes([whole[position] ^ 0xFF]) + whole[position + 1 :])
        with contextlib.suppress(DataError):
            list(iter_examples(path, ledger=ErrorLedger(-1)))
            continue
        n_refused += 1
        assert refused(path, ledger=ErrorLedger(-1)).startswith("a.parquet")
    assert n_refused > 5


def test__fault_17__parquet_text_that_is_no_unicode__error_with_the_row(tmp_path: Path) -> None:
    offsets = pa.py_buffer(b"".join(number.to_bytes(4, "little") for number in (0, 1, 2, 3)))
    texts = pa.Array.from_buffers(pa.string(), 3, [None, offsets, pa.py_buffer(b"a\xffc")])
    pq.write_table(pa.table({"question": texts}), tmp_path / "a.parquet")
    assert refused(tmp_path / "a.parquet").startswith("a.parquet:2: the row is damaged")


def test__fault_17__parquet_columns_twice_and_times_out_of_range__one_line(tmp_path: Path) -> None:
    pq.write_table(pa.table([["p"], ["q"]], names=["question", "question"]), tmp_path / "a.parquet")
    assert refused(tmp_path / "a.parquet") == "a.parquet: column 'question' stands twice"
    late = pa.array([0, 2**60], pa.timestamp("ms"))
    pq.write_table(pa.table({"question": ["p", "q"], "at": late}), tmp_path / "b.parquet")
    assert refused(tmp_path / "b.parquet").startswith("b.parquet:2: column 'at' holds a value")


def test__fault_18__parquet_markers_and_images_differ__noted_at_the_row(tmp_path: Path) -> None:
    rows = [
        {"image": {"bytes": png(1), "path": None}, "question": text} for text in ("a", "<image><image>", "c")
    ]
    path = write_parquet(tmp_path / "a.parquet", rows)
    ledger = ErrorLedger(1)
    assert [e.id for e in read_examples(path, ledger=ledger)] == ["a.parquet:1", "a.parquet:3"]
    assert [(index, str(error)) for index, error in ledger.by_index.items()] == [
        (
            1,
            "a.parquet:2: the text has 2 <image> marker(s) but 1 image(s) come with it; give one marker "
            "per image, or none",
        )
    ]


def test__parquet__without_features__the_library_is_not_loaded_and_nothing_is_cached(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "a.parquet", ROWS)
    code = (
        "import sys; from savs.data import read_examples\n"
        f"assert len(read_examples({str(path)!r})) == 3\n"
        "assert not {'datasets', 'torch', 'transformers', 'pandas'} & set(sys.modules)"
    )
    home = tmp_path / "home"
    environment = {"HOME": str(home), "PATH": "/usr/bin:/bin"}
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", code], env=environment, capture_output=True, text=True
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert not home.exists()
    assert sorted(file.name for file in tmp_path.iterdir()) == ["a.parquet"]


def partitioned(folder: Path, places: list[str], **more: Any) -> Path:
    for number, place in enumerate(places):
        (folder / place).mkdir(parents=True)
        write_parquet(folder / place / "0.parquet", [{"question": f"q{number}", **more}])
    return folder


def test__parquet__folders_of_partitions__columns_as_pandas_reads_them(tmp_path: Path) -> None:
    folder = partitioned(tmp_path / "rows", ["label=cat/year=2023", "label=a%20dog/year=2024"])
    found = read_examples(folder)
    assert sorted((e.text, e.label, e.fields["year"]) for e in found) == [
        ("q0", "cat", 2023),
        ("q1", "a dog", 2024),
    ]
    table = pd.read_parquet(folder)
    pairs = zip(table["question"], table["label"], table["year"], strict=True)
    assert sorted((e.text, e.label, e.fields["year"]) for e in found) == sorted(pairs)
    assert count_rows(folder) == 2
    assert [e.id for e in read_examples(folder, limit=1)] == ["label=a%20dog/year=2024/0.parquet:1"]


@pytest.mark.parametrize(
    ("places", "labels"),
    [
        (["label=1", "label=-2"], [1, -2]),
        (["label=01", "label=2"], ["01", "2"]),
        (["label=1", "label=__HIVE_DEFAULT_PARTITION__"], [1, None]),
        (["label=a=b", "label=c"], ["a=b", "c"]),
        (["train/label=x", "train/label=y"], ["x", "y"]),
    ],
)
def test__parquet__values_of_partitions__whole_numbers_or_text(
    tmp_path: Path, places: list[str], labels: list[Any]
) -> None:
    found = {e.text: e.label for e in read_examples(partitioned(tmp_path / "rows", places))}
    assert [found["q0"], found["q1"]] == labels
    assert [type(found["q0"]), type(found["q1"])] == list(map(type, labels))


def test__parquet__column_of_a_file_and_its_folder__the_file_is_right(tmp_path: Path) -> None:
    folder = partitioned(tmp_path / "rows", ["label=x"], label="own")
    assert [e.label for e in read_examples(folder)] == ["own"]
