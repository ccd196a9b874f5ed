"""Stand-ins in the public layouts of image sets; the images are made up here."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PILImage

from savs.backbones import FakeBackbone, PromptTemplate
from savs.classifiers import SAVClassifier
from savs.errors import DataError
from savs.model import SAVModel
from savs.tasks import get_task, list_tasks, score_task
from savs.tasks._class_names import _SIGNS, traffic_sign
from savs.tasks.image_sets import IMAGE_SETS, with_four_options

HEC = ["pets", "eurosat", "ucf101", "sun397", "caltech101", "dtd", "aircraft", "food101", "flowers", "cars"]
HEC += ["cub", "traffic_signs"]


def pictures(folder: Path, *names: str) -> None:
    for number, name in enumerate(names):
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        PILImage.new("RGB", (32, 32), (8 * number, 99 * number % 256, 120)).save(path)


def labels(examples) -> dict[str, str]:
    return {example.id: example.label for example in examples}


def test__registry__hec_and_the_paper__both_protocols_of_each_set():
    names = list_tasks()
    for name in [*HEC, "imagenet"]:
        assert get_task(name).protocol == "four_way"
        assert get_task(f"{name}_n_way").protocol == "n_way"
        assert {name, f"{name}_n_way"} <= set(names)
    assert {one.name for one in IMAGE_SETS} == {*HEC, "imagenet"}
    assert get_task("oxford_flowers") is get_task("flowers_n_way")
    aliases = [alias for one in IMAGE_SETS for alias in one.aliases]
    assert len(set(aliases)) == len(aliases)
    assert not set(aliases) & set(names)


@pytest.mark.parametrize(
    ("name", "files", "split", "expected"),
    [
        pytest.param(
            "food101",
            ["images/apple_pie/1.jpg", "images/french_fries/2.jpg"],
            None,
            {"images/apple_pie/1.jpg": "apple pie", "images/french_fries/2.jpg": "french fries"},
            id="one folder around the classes",
        ),
        pytest.param(
            "dtd",
            [
                "train/banded/1.jpg",
                "train/polka-dotted/1.jpg",
                "test/banded/1.jpg",
                "test/polka-dotted/1.jpg",
            ],
            "test",
            {"banded/1.jpg": "banded", "polka-dotted/1.jpg": "polka-dotted"},
            id="folders of splits",
        ),
        pytest.param(
            "cub",
            ["001.Black_footed_Albatross/a.jpg", "040.Olive_sided_Flycatcher/b.jpg"],
            None,
            {
                "001.Black_footed_Albatross/a.jpg": "Black footed Albatross",
                "040.Olive_sided_Flycatcher/b.jpg": "Olive sided Flycatcher",
            },
            id="numbers before names",
        ),
        pytest.param(
            "sun397",
            ["a/abbey/1.jpg", "a/apartment_building/outdoor/2.jpg", "b/badlands/3.jpg"],
            None,
            {
                "a/abbey/1.jpg": "abbey",
                "a/apartment_building/outdoor/2.jpg": "outdoor apartment building",
                "b/badlands/3.jpg": "badlands",
            },
            id="letters and places",
        ),
        pytest.param(
            "caltech101",
            ["BACKGROUND_Google/1.jpg", "Faces/2.jpg", "Faces_easy/3.jpg", "electric_guitar/4.jpg"],
            None,
            {"Faces/2.jpg": "face", "electric_guitar/4.jpg": "electric guitar"},
            id="folders that are no classes",
        ),
        pytest.param(
            "cars",
            ["train/Acura RL Sedan 2012/1.jpg", "train/AM General Hummer SUV 2000/2.jpg", "test/x/3.jpg"],
            "train",
            {
                "Acura RL Sedan 2012/1.jpg": "2012 Acura RL Sedan",
                "AM General Hummer SUV 2000/2.jpg": "2000 AM General Hummer SUV",
            },
            id="year first",
        ),
        pytest.param(
            "traffic_signs",
            ["Train/13/1.png", "Train/14/1.png", "Test/13/1.png"],
            "train",
            {"13/1.png": "yield", "14/1.png": "stop"},
            id="numbers as names",
        ),
        pytest.param(
            "ucf101",
            ["ApplyEyeMakeup/1.jpg", "YoYo/2.jpg"],
            None,
            {"ApplyEyeMakeup/1.jpg": "Apply Eye Makeup", "YoYo/2.jpg": "Yo Yo"},
            id="words run together",
        ),
        pytest.param(
            "eurosat",
            ["2750/SeaLake/1.jpg", "2750/River/2.jpg"],
            None,
            {"2750/SeaLake/1.jpg": "Sea or Lake", "2750/River/2.jpg": "River"},
            id="what it shows",
            marks=pytest.mark.filterwarnings("ignore:.*holds one folder, '2750'"),
        ),
    ],
)
def test__load__class_folders__names_as_people_say_them(name, files, split, expected, tmp_path):
    pictures(tmp_path / name, *files)
    examples = get_task(f"{name}_n_way").load(tmp_path / name, split=split)
    assert labels(examples) == expected
    assert all(example.images[0].source.is_file() for example in examples)


def test__load__imagenet__names_of_a_file_and_val_for_test(tmp_path):
    pictures(tmp_path / "images", "train/n01440764/1.jpg", "train/n01443537/2.jpg")
    pictures(tmp_path / "images", "val/n01440764/3.jpg", "val/n01443537/4.jpg")
    (tmp_path / "classnames.txt").write_text(
        "n01440764 tench\nn01443537 goldfish\nn01484850 great white shark\n"
    )
    found = get_task("imagenet_n_way").load(tmp_path / "images", split="test")
    assert labels(found) == {"n01440764/3.jpg": "tench", "n01443537/4.jpg": "goldfish"}


@pytest.mark.parametrize(
    ("name", "file", "images"),
    [("flowers", "split_zhou_OxfordFlowers.json", "jpg"), ("cars", "split_zhou_StanfordCars.json", ".")],
)
def test__load__split_file_of_coop__paths_and_classes_of_the_split(name, file, images, tmp_path):
    folder = tmp_path / name
    pictures(folder / images, "image_1.jpg", "deep/image_2.jpg", "image_3.jpg")
    splits = {
        "train": [["image_1.jpg", 0, "pink_primrose"]],
        "val": [],
        "test": [["deep/image_2.jpg", 0, "pink_primrose"], ["image_3.jpg", 1, "globe thistle"]],
    }
    (folder / file).write_text(json.dumps(splits))
    task = get_task(f"{name}_n_way")
    test = task.load(folder, split="test")
    assert labels(test) == {"deep/image_2.jpg": "pink primrose", "image_3.jpg": "globe thistle"}
    assert test[0].images[0].source == (folder / images / "deep" / "image_2.jpg").resolve()
    assert labels(task.load(folder, split="train")) == {"image_1.jpg": "pink primrose"}
    with pytest.raises(DataError, match="has no split 'other'; there are train, val, test"):
        task.load(folder, split="other")
    splits["test"].append(["gone.jpg", 1, "globe thistle"])
    (folder / file).write_text(json.dumps(splits))
    with pytest.raises(DataError, match=r"1 of 3 images are not in .*, such as 'gone.jpg'"):
        task.load(folder, split="test")
    splits["test"] = [["../../outside.jpg", 1, "globe thistle"]]
    (folder / file).write_text(json.dumps(splits))
    with pytest.raises(Exception, match="leaves the dataset's folder"):
        task.load(folder, split="test")
    (folder / file).write_text('{"test": [["only a path"]]}')
    with pytest.raises(DataError, match=r"row 0 of test is not \[path, number, class\]"):
        task.load(folder, split="test")
    (folder / file).write_text("[")
    with pytest.raises(DataError, match="is not a JSON object"):
        task.load(folder, split="test")


def test__load__lists_of_the_sets_themselves__aircraft_and_pets(tmp_path):
    aircraft, pets = tmp_path / "aircraft", tmp_path / "pets"
    pictures(aircraft / "images", "0034309.jpg", "1025794.jpg")
    (aircraft / "images_variant_train.txt").write_text("1025794 707-320\n")
    (aircraft / "images_variant_test.txt").write_text("0034309 A330-200\n1025794 707-320\n")
    assert labels(get_task("aircraft_n_way").load(aircraft, split="test")) == {
        "0034309.jpg": "A330-200",
        "1025794.jpg": "707-320",
    }
    pictures(pets / "images", "Egyptian_Mau_1.jpg", "pug_20.jpg")
    (pets / "annotations").mkdir()
    (pets / "annotations" / "test.txt").write_text("#Image CLASS-ID\nEgyptian_Mau_1 1 1 1\npug_20 2 2 1\n")
    assert labels(get_task("pets_n_way").load(pets, split="test")) == {
        "Egyptian_Mau_1.jpg": "egyptian mau",
        "pug_20.jpg": "pug",
    }
    with pytest.raises(DataError, match="has no list of split 'val'; there are train, test"):
        get_task("pets_n_way").load(pets, split="val")


def test__load__folder_in_hub_layout__class_names_of_its_features(tmp_path, monkeypatch):
    import datasets

    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    names = ["001.Black_footed_Albatross", "002.Laysan_Albatross"]
    features = datasets.Features(image=datasets.Image(), label=datasets.ClassLabel(names=names))
    pixels = [np.full((32, 32, 3), number, dtype=np.uint8) for number in range(2)]
    (tmp_path / "cub" / "data").mkdir(parents=True)
    for split in ("train", "test"):
        data = datasets.Dataset.from_dict({"image": pixels, "label": [1, 0]}, features=features)
        data.to_parquet(tmp_path / "cub" / "data" / f"{split}-00000-of-00001.parquet")
    found = get_task("cub_n_way").load(f"hf://{tmp_path}/cub", split="test")
    assert [one.label for one in found] == ["Laysan Albatross", "Black footed Albatross"]
    assert len(found[0].images) == 1


def test__load__set_without_a_copy_on_the_hub__asks_for_the_folder(tmp_path):
    with pytest.raises(DataError, match="ucf101: no copy on the hub is known"):
        get_task("ucf101_n_way").load(split="test")
    with pytest.raises(DataError, match="'none' is not a folder"):
        get_task("ucf101_n_way").load(tmp_path / "none", split="test")


def test__load__two_folders_of_one_name__refused(tmp_path):
    pictures(tmp_path / "food", "apple_pie/1.jpg", "apple pie/2.jpg")
    with pytest.raises(DataError, match="get the same name 'apple pie'"):
        get_task("food101_n_way").load(tmp_path / "food", split=None)


def test__four_way__folder__four_options_that_do_not_depend_on_the_others(tmp_path):
    names = ["bonsai", "camera", "dalmatian", "electric_guitar", "ferry", "gramophone"]
    pictures(tmp_path / "set", *(f"{name}/{number}.jpg" for name in names for number in range(5)))
    task = get_task("caltech101")
    examples = task.load(tmp_path / "set", split=None)
    assert len(examples) == 30
    for example in examples:
        task._check(example)  # as rows of four-way files are
        shown = re.split(r" ?[A-D]\. ", example.text.rpartition("\n")[2])[1:]
        assert len(set(shown)) == 4
        assert shown["ABCD".index(example.fields["answer"])] == example.label
    places = [example.fields["answer"] for example in examples]
    assert set(places) == set("ABCD")
    again = with_four_options(examples[:7] + examples[-20:], "What is the main object in this photo?")
    assert [one.text for one in again] == [one.text for one in examples[:7] + examples[-20:]]
    prompt = PromptTemplate(task.prompt).apply(examples[0])
    assert prompt.text.startswith("\nWhat is the main object in this photo?\nA. ")
    with pytest.raises(DataError, match="four options need at least 4 classes, and there are 2"):
        with_four_options(examples[:10], "What?")


def test__n_way__folder_to_accuracy__no_class_in_the_prompt(tmp_path):
    names = ["bonsai", "camera", "dalmatian"]
    pictures(tmp_path / "set", *(f"{name}/{number}.jpg" for name in names for number in range(4)))
    task = get_task("caltech101_n_way")
    examples = task.read(tmp_path / "set")
    model = SAVModel(FakeBackbone(), method=SAVClassifier(n_heads=4), prompt=task.prompt).fit(examples)
    shown = PromptTemplate(task.prompt).apply(examples[0]).text
    assert shown == "What is the main object in this photo?"
    figures = score_task(task, examples, model.predict(examples))
    assert figures["accuracy"].n == 12


def test__n_way__annotation_file__renamed_and_four_way_as_it_is(tmp_path):
    pictures(tmp_path, "1.jpg")
    question = "What?\nA. apple_pie B. b C. c D. d"
    rows = [{"image": "/elsewhere/1.jpg", "question": question, "label": "apple_pie"}]
    (tmp_path / "test.json").write_text(json.dumps(rows))
    (example,) = get_task("food101_n_way").load(tmp_path / "test.json")
    assert (example.label, example.text) == ("apple pie", "")  # the options would stand in the prompt
    assert get_task("food101").load(tmp_path / "test.json")[0].label == "apple_pie"


def test__traffic_sign__each_number__one_name():
    assert len(_SIGNS) == len(set(_SIGNS)) == 43
    assert [traffic_sign(number) for number in ("0", "00041", "42")] == [
        "speed limit 20 km/h",
        "end of no overtaking",
        "end of no overtaking by vehicles over 3.5 tons",
    ]
    assert traffic_sign("43") == "43"
