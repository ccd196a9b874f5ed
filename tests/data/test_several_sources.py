"""Several files, glob patterns, and tables beside images."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from tests.data.tables import png, write_jsonl, write_parquet

from savs.data import DataWarning, adopt_label_type, count_rows, iter_examples, preflight, read_examples
from savs.errors import DataError


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    for name in ("photos/img10.jpg", "photos/img2.jpg", "photos/deep/a.png", "photos/.hidden.jpg"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(png(3))
    (tmp_path / "more").mkdir()
    for number, place in enumerate((tmp_path, tmp_path / "more")):
        (place / "own.png").write_bytes(png(number))
        write_jsonl(place / "a.jsonl", [{"image": "own.png", "question": place.name, "label": "x"}] * 2)
    (tmp_path / "b.csv").write_text("question;label\nr;y\n")
    write_parquet(tmp_path / "c.parquet", [{"question": "s", "label": "z"}] * 3)
    monkeypatch.chdir(tmp_path)
    return tmp_path


def ids(source: Any, **options: Any) -> list[str | None]:
    examples = read_examples(source, **options)
    assert count_rows(source, **options) in (None, len(examples))
    return [example.id for example in examples]


def test__several_images__in_the_order_given(folder: Path) -> None:
    assert ids(["photos/img10.jpg", Path("photos/img2.jpg")]) == ["img10.jpg", "img2.jpg"]
    assert ids(["own.png", "photos/img2.jpg"]) == ["own.png", "photos/img2.jpg"]
    assert ids([folder / "own.png", "more/own.png"]) == ["own.png", "more/own.png"]
    assert ids(("own.png",)) == ["own.png"]


def test__glob__natural_order_without_hidden_files(folder: Path) -> None:
    assert ids("photos/*.jpg") == ["img2.jpg", "img10.jpg"]
    assert ids(folder / "photos" / "*.jpg") == ["img2.jpg", "img10.jpg"]
    assert ids("photos/**/*.*g") == ["deep/a.png", "img2.jpg", "img10.jpg"]
    assert ids("photos/img?.jpg") == ["img2.jpg"]
    assert ids(["photos/img[0-9].jpg", "own.png"]) == ["photos/img2.jpg", "own.png"]
    assert ids("photos/**") == ["deep/a.png", "img2.jpg", "img10.jpg"]


def test__glob__name_of_a_file_that_exists__is_that_file(folder: Path) -> None:
    (folder / "photo[1].jpg").write_bytes(png(1))
    assert ids("photo[1].jpg") == ["photo[1].jpg"]


def test__several_data_files__each_with_its_own_folder_for_media(folder: Path) -> None:
    source = ["a.jsonl", "more/a.jsonl", "b.csv", "c.parquet"]
    examples = read_examples(source)
    assert [example.id for example in examples] == [
        *("a.jsonl:1", "a.jsonl:2", "more/a.jsonl:1", "more/a.jsonl:2"),
        *("b.csv:2", "c.parquet:1", "c.parquet:2", "c.parquet:3"),
    ]
    assert [str(example.images[0].source) for example in examples[1:3]] == [
        str((place / "own.png").resolve()) for place in (folder, folder / "more")
    ]
    assert preflight(examples) == []
    assert [example.label for example in examples] == [*"xxxxyzzz"]
    assert ids("**/*.jsonl") == [f"{file}:{row}" for file in ("a.jsonl", "more/a.jsonl") for row in (1, 2)]


@pytest.mark.parametrize("limit", [None, 1, 3, 4, 6, 7, 100])
@pytest.mark.parametrize("n_shards", [1, 2, 3])
@pytest.mark.usefixtures("folder")
def test__several__limit_and_shards__positions_of_all_together(limit: int | None, n_shards: int) -> None:
    source = ["c.parquet", "a.jsonl", "photos/img2.jpg", "b.csv", "more/a.jsonl"]
    whole = dict(iter_examples(source))
    assert list(whole) == list(range(9))
    expected = {position: example for position, example in whole.items() if position < (limit or 9)}
    found = {}
    for index in range(n_shards):
        part = dict(iter_examples(source, limit=limit, shard=(index, n_shards)))
        assert all(position % n_shards == index for position in part)
        found |= part
    assert {position: found[position].id for position in sorted(found)} == {
        position: example.id for position, example in expected.items()
    }
    assert {position: found[position].text for position in found} == {
        position: example.text for position, example in expected.items()
    }


def test__several__folders_with_classes__prefixed(folder: Path) -> None:
    for name in ("one/cat/1.png", "one/dog/1.png", "two/cat/1.png", "two/dog/1.png"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_bytes(png(5))
    examples = read_examples(["one", "two"])
    assert [(example.id, example.label) for example in examples] == [
        (f"{top}/{label}/1.png", label) for top in ("one", "two") for label in ("cat", "dog")
    ]


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ([], "it is empty"),
        ([3], "it holds an int"),
        ([{"question": "q"}], r"it holds a dict\); examples in memory are read by savs\.data\.as_examples"),
        (["own.png", "own.png"], "'own.png' is named twice"),
        (["own.png", "./more/../own.png"], "is named twice"),
        (["photos/*.jpg", "photos/img2.jpg"], "'photos/img2.jpg' is named twice"),
        ("photos/*.gif", r"no file fits the pattern 'photos/\*\.gif'"),
        ("nowhere/*.jpg", "no file fits the pattern"),
        ("photo[2].jpg", "no file fits the pattern"),
        (["own.png", "gone.png"], None),
        (["own.png", "gone.csv"], "there is no file"),
        (["own.png", "notes.docx"], "'notes.docx' does not exist"),
    ],
)
@pytest.mark.usefixtures("folder")
def test__several__none_or_twice__error(source: Any, words: str | None) -> None:
    if words is None:
        (bad,) = preflight(read_examples(source))
        assert (bad.id, bad.code) == ("gone.png", "media_missing")
        return
    for call in (read_examples, count_rows, iter_examples):
        with pytest.raises(DataError, match=words) as caught:
            call(source)
        assert "\n" not in str(caught.value)


def test__several__same_id_in_two_files__error(folder: Path) -> None:
    write_jsonl(folder / "1.jsonl", [{"question": "p", "id": "a"}])
    write_jsonl(folder / "2.jsonl", [{"question": "q", "id": "a"}])
    with pytest.raises(DataError, match=r"2\.jsonl:1: the id 'a' stands"):
        read_examples(["1.jsonl", "2.jsonl"])


def test__several__labels_of_text_alone__adopt_the_type_of_the_classes(folder: Path) -> None:
    for name in ("1.csv", "2.csv"):
        (folder / name).write_text("question,label\np,1\nq,2\n")
    for source in (["1.csv", "2.csv"], "[12].csv"):
        examples = read_examples(source)
        assert [one.label for one in adopt_label_type(examples, source, [1, 2])] == [1, 2, 1, 2]
    typed = ["1.csv", "a.jsonl"]
    assert [one.label for one in adopt_label_type(read_examples(typed), typed, [1, 2])][:2] == ["1", "2"]


# A table beside images.

ROWS = [("1.png", "cat"), ("sub/2.png", "dog")]


def described(top: Path, name: str, column: str = "file_name") -> Path:
    for file, _ in ROWS:
        (top / file).parent.mkdir(parents=True, exist_ok=True)
        (top / file).write_bytes(png(1))
    rows = [{column: file, "label": label} for file, label in ROWS]
    if name.endswith(".csv"):
        lines = [f"{column},label", *(f"{file},{label}" for file, label in ROWS)]
        (top / name).write_text("\n".join(lines) + "\n")
    elif name.endswith(".parquet"):
        write_parquet(top / name, rows)
    else:
        write_jsonl(top / name, rows)
    return top


@pytest.mark.parametrize("name", ["metadata.csv", "metadata.jsonl", "metadata.parquet"])
def test__metadata__beside_images__gives_their_labels(tmp_path: Path, name: str) -> None:
    top = described(tmp_path / "set", name)
    examples = read_examples(top)
    assert [(Path(str(one.images[0].source)).name, one.label) for one in examples] == [
        ("1.png", "cat"),
        ("2.png", "dog"),
    ]
    assert preflight(examples) == []
    untyped = [one.label for one in adopt_label_type(examples, top, ["cat", "dog"])]
    assert untyped == ["cat", "dog"]


@pytest.mark.parametrize("name", ["metadata.csv", "metadata.jsonl", "metadata.parquet"])
def test__metadata__images_that_it_does_not_name__counted_in_a_warning(tmp_path: Path, name: str) -> None:
    top = described(tmp_path / "set", name)
    for file in ("3.png", "sub/4.png"):
        (top / file).write_bytes(png(1))
    with pytest.warns(DataWarning, match=r"are left out, .* \(2, the first is 3.png\)"):
        assert len(read_examples(top)) == 2


def test__metadata__in_each_split__chosen(tmp_path: Path) -> None:
    for split in ("train", "val"):
        described(tmp_path / "set" / split, "metadata.csv")
    with pytest.raises(DataError, match="holds the parts of a split"):
        read_examples(tmp_path / "set")
    for split in ("train", "val", "validation"):
        assert [one.label for one in read_examples(tmp_path / "set", split=split)] == ["cat", "dog"]
    with pytest.raises(DataError, match="no split 'test'"):
        read_examples(tmp_path / "set", split="test")
    with pytest.raises(DataError, match="--split"):
        read_examples(tmp_path / "set" / "train", split="train")


def test__metadata__without_a_column_of_images__named_with_the_option(tmp_path: Path) -> None:
    top = tmp_path / "set"
    for label in ("cat", "dog"):
        (top / label).mkdir(parents=True)
        (top / label / "1.png").write_bytes(png(1))
    (top / "metadata.csv").write_text("picture,kind\ncat/1.png,x\n")
    with pytest.warns(DataWarning) as caught:
        assert [one.label for one in read_examples(top)] == ["cat", "dog"]
    first, second = (str(warning.message) for warning in caught)
    assert "metadata.csv of set is not read, but the folders: it names no image" in first
    assert "--image-column" in first
    assert "skipped 1 .csv file" in second
    with pytest.warns(DataWarning, match=r"left out, .* \(1, the first is dog/1.png\)"):
        (example,) = read_examples(top, image_column="picture", label_column="kind")
    assert example.label == "x"


def test__metadata__several_tables__error(tmp_path: Path) -> None:
    described(described(tmp_path / "set", "metadata.csv"), "metadata.jsonl")
    with pytest.raises(DataError, match="several tables"):
        read_examples(tmp_path / "set")


# Names of columns.


@pytest.mark.parametrize(
    ("header", "label"),
    [
        ("image,label", "x"),
        ("Image,Label", "x"),
        ("IMAGE,LABEL", "x"),
        ("file_name,label", "x"),
        ("filename, Label", "x"),
        ("FileName,label", "x"),
    ],
)
def test__columns__usual_spellings__found(tmp_path: Path, header: str, label: str) -> None:
    (tmp_path / "a.csv").write_text(f"{header}\na.png,{label}\n")
    (example,) = read_examples(tmp_path / "a.csv")
    assert ([Path(str(one.source)).name for one in example.images], example.label) == (["a.png"], label)
    assert example.label_column == header.split(",")[1].strip()


def test__columns__file_name_beside_text__is_no_image(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("filename,text,label\ndoc1.txt,q,x\n")
    (example,) = read_examples(tmp_path / "a.csv")
    assert (example.images, example.text) == ((), "q")


def test__columns__label_under_another_name__error_with_columns_and_option(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("filename,class\na.png,x\n")
    with pytest.raises(DataError, match=r"--label-column; columns: 'filename', 'class'"):
        read_examples(tmp_path / "a.csv", require_labels=True)
    (example,) = read_examples(tmp_path / "a.csv", label_column="class", require_labels=True)
    assert example.label == "x"


def test__several__a_folder_and_what_lies_in_it__error(folder: Path) -> None:
    write_parquet(folder / "more" / "p.parquet", [{"question": "s", "label": "z"}])
    for source in (["photos", "photos/deep"], ["photos/deep/a.png", "photos"], ["more", "more/p.parquet"]):
        with pytest.raises(DataError, match="by itself and by a folder around it"):
            read_examples(source)
    assert len(read_examples(["photos/img2.jpg", "photos/deep", "more", "c.parquet"])) == 6
