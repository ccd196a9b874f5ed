"""`savs experiment` as its users call it, on a small random LMM."""

from __future__ import annotations

import json

import pytest
from PIL import Image as PILImage

ASKED = ("--draws", 2, "--prompt", "Which colour?")
KINDS = {
    "shots": ("--methods", "sav,majority", "--shots", "1,2"),
    "heads": ("--methods", "sav,hec_v", "--heads", "1,12", "--shots", 2),
    "noise": ("--methods", "sav", "--levels", "0,50", "--shots", 2),
}


@pytest.mark.parametrize("kind", KINDS)
def test__json__is_the_record_that_is_written(kind, train, backbone, savs, tmp_path):
    out = tmp_path / "results"
    code, text, error = savs(
        "experiment", kind, train, "-b", backbone, *ASKED, *KINDS[kind], "-o", out, "--json"
    )
    assert (code, error, text.count("\n")) == (0, "", 1)
    found = json.loads(text)
    written = json.loads((out / f"{kind}-images.json").read_text())
    assert {name: found[name] for name in written} == written
    assert (found["kind"], found["task"], found["errors"]) == (kind, "images", [])
    assert found["files"] == [str(out / f"{kind}-images.{ending}") for ending in ("json", "csv", "png")]
    assert len(found["rows"]) == 2 * len(found["summary"])
    with PILImage.open(out / f"{kind}-images.png") as image:
        assert image.width == 900


def test__table__has_a_mean_and_interval_for_each_place(train, backbone, savs, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "140")
    arguments = ("experiment", "shots", train, "-b", backbone, *ASKED, *KINDS["shots"], "-o", tmp_path / "r")
    code, text, error = savs(*arguments)
    assert (code, error) == (0, "")
    assert "50.0 (50-50)" in text
    assert f"wrote {tmp_path / 'r' / 'shots-images.png'}" in text
    quiet = savs(*arguments, "--quiet")
    assert quiet[0] == 0
    assert "wrote" not in quiet[1]


def test__transfer__every_pair_and_a_prompt_for_each(train, test_folder, backbone, savs, tmp_path):
    data = (train, test_folder)
    prompts = ("--prompt", "Which colour?", "--prompt", "What colour is it?")
    code, text, error = savs(
        "experiment", "transfer", *data, "-b", backbone, *prompts, "--shots", 1, "--draws", 1,
        "--n-heads", 3, "-o", tmp_path / "r", "--json",
    )  # fmt: skip
    assert (code, error) == (0, "")
    found = json.loads(text)
    assert list(found["settings"]["prompts"].values()) == ["Which colour?", "What colour is it?"]
    names = [str(train), str(test_folder)]  # both folders are called images
    assert {row["x"] for row in found["rows"]} == set(names)
    assert len(found["rows"]) == 2 * 4


def test__interleaved__reads_texts_beside_images(rows, backbone, savs, tmp_path):
    data = rows(
        *({"image": f"{colour}.png", "text": f"note {row}", "label": colour}
          for row in range(4) for colour in ("red", "blue"))
    )  # fmt: skip
    code, text, error = savs(
        "experiment", "interleaved", data, "-b", backbone, "--prompt", "Right?", "--methods", "sav",
        "--shots", 2, "--draws", 1, "-o", tmp_path / "r", "--json",
    )  # fmt: skip
    assert (code, error) == (0, "")
    assert [row["x"] for row in json.loads(text)["rows"]] == [
        "image only",
        "text only",
        "side by side",
        "both",
    ]


def test__shortcuts__says_what_does_not_apply(train, backbone, savs, tmp_path, monkeypatch):
    monkeypatch.setenv("COLUMNS", "140")
    arguments = ("experiment", "shortcuts", train, "-b", backbone, *ASKED, "--shots", 2, "-o", tmp_path / "r")
    code, text, error = savs(*arguments)
    assert (code, error) == (0, "")
    assert "all examples have the same text" in text
    assert "8 of 8 prompts have no options A, B, ..." in text
    assert savs(*arguments, "--json")[0] == 0
    assert (tmp_path / "r" / "shortcuts-images.csv").read_text().count("\n") == 1 + 5 * 2


def test__store__second_run_without_a_forward_pass(train, backbone, savs, tmp_path):
    store = ("--store", tmp_path / "store")
    arguments = ("experiment", "shots", train, "-b", backbone, *ASKED, *KINDS["shots"], "--json", *store)
    first = json.loads(savs(*arguments, "-o", tmp_path / "a")[1])
    second = json.loads(savs(*arguments, "-o", tmp_path / "b")[1])
    assert (first["store"]["computed"], second["store"]["computed"]) == (8, 0)
    assert first["rows"] == second["rows"]


def test__max_errors__left_out_and_exit_code_3(rows, backbone, savs, tmp_path):
    items = [{"image": f"{colour}.png", "text": f"{row}", "label": colour}
             for row in range(3) for colour in ("red", "blue")]  # fmt: skip
    data = rows(*items, {"image": "broken.png", "text": "x", "label": "red"})
    arguments = ("experiment", "shots", data, "-b", backbone, "--methods", "sav", "--shots", 1)
    options = ("--draws", 1, "-o", tmp_path / "r", "--json")
    assert savs(*arguments, *options)[0] == 1
    code, text, _ = savs(*arguments, *options, "--max-errors", 1)
    assert code == 3
    found = json.loads(text)
    assert [error["code"] for error in found["errors"]] == ["image_undecodable"]
    assert found["rows"][0]["n_test"] == 4


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("shots", "a", "--methods", "savs"), "no method is named 'savs'"),
        (("shots", "a", "--shots", "1,x"), "is not one or more whole numbers"),
        (("shots", "a", "--shots", "0"), "is not one or more whole numbers"),
        (("heads", "a", "--methods", "auto"), "method 'auto' keeps no number of heads"),
        (("noise", "a", "--levels", "0,100"), "is not one or more percentages below 100"),
        (("noise", "a", "--levels", "ten"), "is not one or more percentages below 100"),
        (("transfer", "a"), "name two or more datasets"),
        (("transfer", "a", "a"), "are the same dataset"),
        (("transfer", "a", "b", "c", "--prompt", "x", "--prompt", "y"), "once for each of the 3 DATA"),
        (("shots", "a", "-o", "a/plots"), "is in the folder of the data"),
        (("shots", "a", "-o", "file"), "file is no folder"),
        (("shots", "a", "--shots", "9"), "9 shots leave no test example of some class"),
    ],
)
def test__impossible_request__said_before_a_model_is_loaded(
    arguments, words, train, tmp_path, monkeypatch, savs
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "a").symlink_to(train)
    (tmp_path / "file").write_text("")
    output = () if "-o" in arguments else ("-o", "out")
    code, text, error = savs("experiment", *arguments, *output, "-b", "no-such-model")
    assert code in (1, 2)
    assert text == ""
    assert words in " ".join(error.split())
    assert not (tmp_path / "out").exists()
