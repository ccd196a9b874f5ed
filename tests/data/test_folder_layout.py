"""Folders that are classes, parts of a split, or around them."""

from __future__ import annotations

import warnings
from pathlib import Path

import pytest
from tests.data.tables import png

from savs.data import DataWarning, count_rows, read_examples
from savs.data._folder_layout import folder_layout
from savs.errors import DataError

CLASSES = "cat/1.png", "dog/1.png"


def made(top: Path, *names: str) -> Path:
    for number, name in enumerate(names):
        (top / name).parent.mkdir(parents=True, exist_ok=True)
        (top / name).write_bytes(png(number % 250))
    return top


def under(*folders: str) -> list[str]:
    return [f"{folder}/{name}" for folder in folders for name in CLASSES]


def labels(top: Path, split: str | None = None) -> dict[str, object]:
    examples = read_examples(top, split=split)
    assert count_rows(top, split=split) == len(examples)
    return {str(example.id): example.label for example in examples}


FOUND = {"cat/1.png": "cat", "dog/1.png": "dog"}


@pytest.mark.parametrize(
    ("folders", "split", "others"),
    [
        (("seg_train", "seg_test"), "train", ("test", "seg_test")),
        (("seg_train/seg_train", "seg_test/seg_test", "seg_pred/seg_pred"), "train", ("seg_test",)),
        (("train_images", "val_images"), "train", ("val", "valid", "validation", "val_images", "dev")),
        (("Train Set", "Test Set"), "train", ("test", "Test Set")),
        (("TrainSet", "ValSet"), "training", ("validation",)),
        (("training", "testing", "validation"), "train", ("test", "val")),
        (("train", "dev"), "train", ("dev", "validation")),
        (("TRAIN", "TEST"), "train", ("test",)),
        (("01-train", "02-test"), "train", ("test",)),
        (("fold1", "fold2", "fold10"), "fold1", ("fold2", "fold10")),
        (("imagenet/train", "imagenet/val"), "train", ("val",)),
        (("dataset/dataset/train", "dataset/dataset/test"), "train", ("test",)),
        (("data_train", "data_test", "previews"), "train", ("test",)),
        (("asl_alphabet_train", "asl_alphabet_test"), "train", ("test",)),
        (("train",), "train", ()),
    ],
)
def test__split_folders__any_common_name__named_or_chosen_never_classes(
    tmp_path: Path, folders: tuple[str, ...], split: str, others: tuple[str, ...]
) -> None:
    top = made(tmp_path / "set", *under(*folders))
    with pytest.raises(DataError, match="holds the parts of a split") as caught:
        read_examples(top)
    assert "--split" in str(caught.value)
    assert {str(name).split("/")[-2]: label for name, label in labels(top, split).items()} == {
        "cat": "cat",
        "dog": "dog",
    }
    for other in others:
        assert sorted(map(str, labels(top, other).values())) == ["cat", "dog"]
    with pytest.raises(DataError, match=r"no split 'nowhere' \(--split\)"):
        read_examples(top, split="nowhere")


@pytest.mark.parametrize(
    "names", [("train/1.png", "test1/2.png"), ("trainA/1.png", "trainB/2.png", "testA/3.png", "testB/4.png")]
)
def test__split_folders__without_classes__named(tmp_path: Path, names: tuple[str, ...]) -> None:
    with pytest.raises(DataError, match="holds the parts of a split"):
        read_examples(made(tmp_path / "set", *names))


@pytest.mark.parametrize(
    "names",
    [
        ("car", "plane", "train"),
        ("exam", "test", "quiz"),
        ("train", "bus"),
        ("test", "result"),
        ("valid", "broken"),
        ("train_station", "bus_station"),
        ("train", "Trained"),
        ("0", "1"),
        ("猫", "犬"),
        ("images", "videos"),
        ("label", "price"),
        ("eval", "exec"),
    ],
)
def test__classes__called_like_a_part_of_a_split__are_classes(tmp_path: Path, names: tuple[str, ...]) -> None:
    top = made(tmp_path / "set", *(f"{name}/1.png" for name in names))
    assert labels(top) == {f"{name}/1.png": name for name in names}


@pytest.mark.parametrize("names", [("train_station", "test_tube"), ("train", "test", "car")])
def test__classes__two_called_like_parts_of_a_split__warning(tmp_path: Path, names: tuple[str, ...]) -> None:
    top = made(tmp_path / "set", *(f"{name}/1.png" for name in names))
    with pytest.warns(DataWarning, match=r"are read as classes; if they are the parts of a split.*--split"):
        examples = read_examples(top)
    assert {example.label for example in examples} == set(names)


@pytest.mark.parametrize(
    ("folders", "found"),
    [
        (("set",), {f"set/{name}": label for name, label in FOUND.items()}),
        (("data/images",), {f"data/images/{name}": label for name, label in FOUND.items()}),
        (("dataset",), {f"dataset/{name}": label for name, label in FOUND.items()}),
    ],
)
def test__wrapper__one_folder_around_the_classes__looked_through(
    tmp_path: Path, folders: tuple[str, ...], found: dict[str, str]
) -> None:
    assert labels(made(tmp_path / "set", *under(*folders))) == found


def test__wrapper__with_a_name_of_its_own__looked_through_with_a_warning(tmp_path: Path) -> None:
    top = made(tmp_path / "set", *under("pets"))
    with pytest.warns(DataWarning, match=r"holds one folder, 'pets', and that holds folders.*\(cat, dog\)"):
        examples = read_examples(top)
    assert [example.label for example in examples] == ["cat", "dog"]


def test__single_class__with_a_folder_in_it__is_the_class(tmp_path: Path) -> None:
    assert labels(made(tmp_path / "a", "cat/monday/1.png")) == {"cat/monday/1.png": "cat"}
    assert labels(made(tmp_path / "b", "cat/1.png")) == {"cat/1.png": "cat"}
    # A folder that only says what it holds is no class.
    assert labels(made(tmp_path / "c", "images/1.png", "images/2.png")) == {
        "images/1.png": None,
        "images/2.png": None,
    }


@pytest.mark.parametrize("beside", ["masks", "labels", "annotations", "ground_truth"])
def test__masks__beside_the_images_of_a_class__left_out_with_a_warning(tmp_path: Path, beside: str) -> None:
    names = [f"{label}/{folder}/1.png" for label in ("cat", "dog") for folder in ("images", beside)]
    top = made(tmp_path / "set", *names)
    with pytest.warns(DataWarning, match="2 files beside images are masks"):
        examples = read_examples(top)
    assert [(example.id, example.label) for example in examples] == [
        ("cat/images/1.png", "cat"),
        ("dog/images/1.png", "dog"),
    ]


@pytest.mark.parametrize("mask", ["b (1)_mask.png", "b (1)_mask_1.png", "b (1)-GT.jpg", "b (1) seg.png"])
def test__masks__named_after_their_images__left_out_with_a_warning(tmp_path: Path, mask: str) -> None:
    top = made(tmp_path / "set", "benign/b (1).png", f"benign/{mask}", "normal/1.png")
    with pytest.warns(DataWarning, match="1 files beside images are masks"):
        examples = read_examples(top)
    assert [example.id for example in examples] == ["benign/b (1).png", "normal/1.png"]
    with pytest.warns(DataWarning, match="1 files beside images are masks"):
        examples = read_examples(top / "benign")
    assert [example.id for example in examples] == ["b (1).png"]


def test__masks__names_without_an_image_of_that_name__are_images(tmp_path: Path) -> None:
    names = (
        "with_mask/with_mask_1.png",
        "with_mask/with_mask_2.png",
        "without_mask/1.png",
        "without_mask/3 mask.png",
    )
    assert len(read_examples(made(tmp_path / "set", *names))) == 4


def test__masks__beside_all_images__error(tmp_path: Path) -> None:
    with pytest.raises(DataError, match=r"images and what describes them \(images, masks\)"):
        read_examples(made(tmp_path / "set", "images/1.png", "masks/1.png"))
    yolo = made(tmp_path / "yolo", "train/images/1.png", "val/images/2.png")
    (yolo / "train" / "labels").mkdir()
    assert labels(yolo, "train") == {"images/1.png": None}


def test__splits__inside_each_class__chosen_or_named(tmp_path: Path) -> None:
    top = made(tmp_path / "set", "cat/train/1.png", "cat/test/2.png", "dog/train/3.png", "dog/test/4.png")
    with pytest.raises(DataError, match=r"each class of set holds the parts of a split \(test, train\)"):
        read_examples(top)
    assert labels(top, "train") == {"cat/train/1.png": "cat", "dog/train/3.png": "dog"}
    assert labels(top, "test") == {"cat/test/2.png": "cat", "dog/test/4.png": "dog"}


def test__folders__the_same_in_every_class__warning(tmp_path: Path) -> None:
    top = made(tmp_path / "set", *under("2023", "2024"))
    with pytest.warns(DataWarning, match=r"holds the folders cat, dog: the classes are 2023, 2024"):
        examples = read_examples(top)
    assert {example.label for example in examples} == {"2023", "2024"}
    assert labels(top, "2023") == FOUND


def test__folders_of_systems__never_classes(tmp_path: Path) -> None:
    top = made(tmp_path / "set", *CLASSES, "__MACOSX/cat/1.png", ".cache/cat/1.png", "@eaDir/dog/1.png")
    with pytest.warns(
        DataWarning, match="skipped 2 folders of the system, 1 hidden file or folder: not images"
    ):
        assert [example.label for example in read_examples(top)] == ["cat", "dog"]


def test__large_folder__layout_in_one_pass() -> None:
    rows = [(f"class{number % 1000}", f"{number}.png") for number in range(100_000)]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        layout = folder_layout("set", rows)
    assert (len(layout.folders), layout.labeled) == (1000, True)
