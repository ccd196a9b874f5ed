"""`savs fit --unlabelled`, with shots and without."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from savs.data import read_examples

ASKED = ("--prompt", "Which colour?")


@pytest.fixture
def loose(tmp_path, draw):
    """A folder of images without labels."""
    folder = tmp_path / "loose"
    folder.mkdir()
    for number in range(8):
        draw(("blue", "red")[number % 2], 500 + number).save(folder / f"{number}.png")
    return folder


def test__fit__unlabelled__used_and_shown(train, loose, backbone, savs, tmp_path):
    fit = ("fit", train, "--shots", 1, "-b", backbone, *ASKED, "--method", "auto", "-o", tmp_path / "c")
    code, text, _ = savs(*fit, "--unlabelled", loose)
    assert code == 0
    assert "8 unlabelled items shift the classes by at most" in text
    assert "8 unlabelled items shift the classes" in savs("inspect", tmp_path / "c")[1]
    code, text, _ = savs(*fit, "--unlabelled", loose, "--json")
    report = json.loads(text)["selection_report"]["unlabelled"]
    assert (code, report["n"], len(report["offsets"])) == (0, 8, 2)
    assert "unlabelled items" not in savs(*fit)[1]


def test__fit__unlabelled_with_labels__one_warning(train, test_folder, backbone, savs, tmp_path):
    given = ("--shots", 1, "-b", backbone, "--method", "auto", "--unlabelled", test_folder)
    code, _, error = savs("fit", train, *given, "-o", tmp_path / "c")
    assert code == 0
    assert error.count("6 of 6 unlabelled items have labels, which are not read") == 1


@pytest.mark.parametrize("ending", ["csv", "jsonl", "parquet"])
def test__fit__classes_alone__proposals_that_fit_reads_after_review(loose, backbone, savs, tmp_path, ending):
    review = loose / f"review.{ending}"
    asked = ("--unlabelled", loose, "--classes", "blue,red", "-b", backbone, *ASKED)
    code, text, error = savs("fit", *asked, "-o", review)
    assert (code, error) == (0, "")
    assert "8 labels proposed, none used" in text
    assert not [path for path in tmp_path.iterdir() if path != loose]  # nothing was fitted
    assert "--root" not in text
    read = read_examples(review)
    assert {example.label for example in read} <= {"blue", "red"}
    assert sorted(example.images[0].source.name for example in read) == [f"{n}.png" for n in range(8)]


def test__fit__proposals_after_review__fitted_as_corrected(loose, backbone, savs, tmp_path):
    review = loose / "review.csv"
    asked = ("--unlabelled", loose, "--classes", "blue,red", "-b", backbone, *ASKED)
    assert savs("fit", *asked, "-o", review)[0] == 0
    with review.open(newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        row["label"] = ("blue", "red")[int(row["id"][0]) % 2]
    with review.open("w", newline="") as file:
        writer = csv.DictWriter(file, rows[0])
        writer.writeheader()
        writer.writerows(rows)
    code, text, error = savs(
        "fit", review, "-b", backbone, *ASKED, "--n-heads", 5, "-o", tmp_path / "c", "--json"
    )
    assert (code, error) == (0, "")
    assert json.loads(text)["shots_per_class"] == {"blue": 4, "red": 4}


def test__fit__classes_alone__unsure_ones_first_and_json(loose, backbone, savs, tmp_path):
    asked = ("--unlabelled", loose, "--classes", "blue,red", "-b", backbone, *ASKED, "-o", tmp_path / "r.csv")
    code, text, _ = savs("fit", *asked, "--json")
    found = json.loads(text)
    assert (code, found["n"], sum(found["proposed_per_class"].values())) == (0, 8, 8)
    with Path(found["review"]).open(newline="") as file:
        rows = list(csv.DictReader(file))
    sure = [float(row["confidence"]) for row in rows]
    assert sure == sorted(sure)
    assert {row["image"] for row in rows} == {f"{number}.png" for number in range(8)}
    assert found["confidence"]["0.5"] == int(np.sum(np.array(sure) >= 0.5))
    Path(found["review"]).unlink()
    code, text, _ = savs("fit", *asked)
    assert f"--root {loose}" in text


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--unlabelled", "LOOSE"], "--classes A,B is needed too"),
        (["--classes", "a,b"], "--unlabelled DATA is needed too"),
        (["TRAIN", "--classes", "a,b"], "--classes is for proposing labels without TRAIN"),
        (["--unlabelled", "LOOSE", "--classes", "a"], "at least 2 classes"),
        (["--unlabelled", "LOOSE", "--classes", "a,b, a"], "'a' is named twice"),
        (["--unlabelled", "LOOSE", "--classes", "a,,b"], "a name is empty"),
        (["--unlabelled", "LOOSE", "--unlabelled", "TRAIN", "--classes", "a,b"], "give one --unlabelled"),
        (
            ["TRAIN", "--unlabelled", "LOOSE", "--exit-early", 0.1],
            "--exit-early does not go with --unlabelled",
        ),
        (
            ["TRAIN", "--unlabelled", "LOOSE", "--prompt", "a", "--prompt", "b"],
            "more than one --prompt does not go with --unlabelled",
        ),
        (["--unlabelled", "LOOSE", "--classes", "a,b", "--method", "auto"], "learns from shots"),
        (["--unlabelled", "missing.csv", "--classes", "a,b"], "missing.csv"),
        (["TRAIN", "--unlabelled", "LOOSE"], "method 'sav' cannot use unlabelled items"),
        (["TRAIN", "--unlabelled", "LOOSE", "--multi-label", ";"], "--unlabelled is not for several labels"),
        (["--unlabelled", "LOOSE", "--classes", "a,b", "--shots", 2], "--shots is not for proposing labels"),
        (["--unlabelled", "LOOSE", "--classes", "a,b", "--exit-early", 0.1], "--exit-early is not for"),
        ([], "Missing argument 'TRAIN...'"),
    ],
)
def test__fit__unlabelled_or_classes_that_do_not_go__one_line(
    arguments, message, train, loose, backbone, savs, tmp_path
):
    places = {"TRAIN": train, "LOOSE": loose}
    given = [places.get(argument, argument) for argument in arguments]
    code, text, error = savs("fit", *given, "-b", backbone, "-o", tmp_path / "out.csv")
    assert (code, text) in ((1, ""), (2, ""))
    assert message in " ".join(error.split())
    assert not (tmp_path / "out.csv").exists()


def test__fit__classes_alone__output_that_is_a_folder_or_the_data__refused(loose, backbone, savs, tmp_path):
    asked = ("fit", "--unlabelled", loose, "--classes", "a,b", "-b", backbone)
    assert "is a folder" in savs(*asked, "-o", loose)[2]
    assert "written as .jsonl, .csv" in savs(*asked, "-o", tmp_path / "r.xlsx")[2]
    data = tmp_path / "d.jsonl"
    data.write_text("".join(json.dumps({"text": word}) + "\n" for word in ("one", "two")))
    before = data.read_bytes()
    asked = ("fit", "--unlabelled", data, "--classes", "a,b", "-b", backbone)
    assert "is the data itself" in savs(*asked, "-o", data)[2]
    assert data.read_bytes() == before
    assert savs(*asked, "-o", tmp_path / "r.jsonl")[0] == 0
    rows = [json.loads(line) for line in (tmp_path / "r.jsonl").read_text().splitlines()]
    assert {row["text"] for row in rows} == {"one", "two"}


def test__fit__unlabelled_or_method_that_do_not_go_together__wrong_usage(
    train, loose, backbone, savs, tmp_path
):
    code, _, error = savs("fit", train, "--unlabelled", loose, "-b", backbone, "-o", tmp_path / "c")
    assert (code, "method 'sav' cannot use unlabelled items" in " ".join(error.split())) == (2, True)


def test__fit__unlabelled_twice__both_are_used(train, loose, test_folder, backbone, savs, tmp_path):
    given = ("--shots", 1, "-b", backbone, "--method", "auto", "-o", tmp_path / "c", "--json")
    code, text, _ = savs("fit", train, *given, "--unlabelled", loose, "--unlabelled", test_folder)
    assert (code, json.loads(text)["selection_report"]["unlabelled"]["n"]) == (0, 8 + 6)


def test__fit__classes_alone__corrected_file_is_not_overwritten(loose, backbone, savs, tmp_path):
    review = tmp_path / "r.csv"
    review.write_text("corrected")
    code, _, error = savs("fit", "--unlabelled", loose, "--classes", "a,b", "-b", backbone, "-o", review)
    assert (code, "perhaps with labels that you have corrected" in " ".join(error.split())) == (2, True)
    assert review.read_text() == "corrected"


@pytest.mark.parametrize("name", ["review", "review.txt", "review.jsonl.gz"])
def test__fit__classes_alone__file_that_fit_would_not_read__refused(loose, backbone, savs, tmp_path, name):
    code, _, error = savs(
        "fit", "--unlabelled", loose, "--classes", "a,b", "-b", backbone, "-o", tmp_path / name
    )
    assert (code, "written as .jsonl, .csv, .tsv, .parquet" in " ".join(error.split())) == (2, True)


def test__fit__classes_alone__blanks_around_names_are_not_part_of_them(loose, backbone, savs, tmp_path):
    asked = ("--unlabelled", loose, "--classes", " blue, red", "-b", backbone, *ASKED)
    code, text, _ = savs("fit", *asked, "-o", tmp_path / "r.csv", "--json")
    assert (code, json.loads(text)["classes"]) == (0, ["blue", "red"])


def test__fit__classes_alone__labels_that_are_there_are_told(test_folder, backbone, savs, tmp_path):
    asked = ("--unlabelled", test_folder, "--classes", "blue,red", "-b", backbone, *ASKED)
    code, _, error = savs("fit", *asked, "-o", tmp_path / "r.csv")
    assert (code, error.count("6 of 6 items have labels, which are not read")) == (0, 1)


def test__place__video_or_audio_file_of_a_folder__named_in_its_column():
    from savs.cli._review import _place
    from savs.data import Audio, Text, Video, as_examples

    for kind, part in (("video", Video("a/b.mp4")), ("audio", Audio("a/b.wav"))):
        [example] = as_examples([[part, Text("")]])
        assert list(_place(example)) == ["id", kind]


def test__fit__classes_alone__store__likelihoods_are_said_not_to_be_in_it(loose, backbone, savs, tmp_path):
    asked = ("--unlabelled", loose, "--classes", "blue,red", "-b", backbone, "--store", tmp_path / "s")
    code, _, error = savs("fit", *asked, "-o", tmp_path / "r.csv")
    assert (code, "likelihoods of class names are not stored" in " ".join(error.split())) == (0, True)
