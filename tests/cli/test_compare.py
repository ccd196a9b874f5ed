"""`savs compare` as its users call it, on a small random LMM."""

from __future__ import annotations

import json

import pandas as pd
import pytest
from PIL import Image as PILImage

from savs.cli.compare import _told_apart

ASKED = ("sav", "auto", "hec_v", "calm", "nearest_shot", "zero_shot", "majority")


def test__json__one_number_of_shots__has_the_documented_shape(train, backbone, savs):
    arguments = ("--shots", 2, "--draws", 2, "--zero-shot-items", 4, "--prompt", "Which colour?", "--json")
    code, text, error = savs("compare", train, "-b", backbone, "--methods", ",".join(ASKED), *arguments)
    assert (code, error, text.count("\n")) == (0, "", 1)
    found = json.loads(text)
    assert (found["data"], found["shots"]) == (str(train), 2)
    assert tuple(found["methods"]) == ASKED
    for figures in found["methods"].values():
        assert len(figures["accuracy"]) == 2
        assert figures["seconds"] >= 0
        assert isinstance(figures["bytes"], int)
    assert found["methods"]["majority"]["accuracy"] == [0.5, 0.5]
    assert found["zero_shot"]["items"] == 4


def test__table__names_methods_rivals_and_what_was_asked(train, backbone, savs, monkeypatch):
    monkeypatch.setenv("COLUMNS", "140")
    code, text, error = savs(
        "compare", train, "-b", backbone, "--shots", "1,2", "--draws", 2, "--zero-shot-items", 3
    )
    assert (code, error) == (0, "")
    for words in (
        "1 shots per class, draws: 2, test items: 6",
        "2 shots per class, draws: 2, test items: 4",
        "last_layer",
        "ensemble",
        "+- sav",
        "zero_shot: 3 test items, ",
    ):
        assert words in text


def test__table_and_json__log_loss_ece_and_brier_with_intervals(train, backbone, savs):
    arguments = ("compare", train, "-b", backbone, "--methods", "sav,majority,last_layer", "--shots", 2)
    figures = json.loads(savs(*arguments, "--draws", 3, "--json")[1])["methods"]
    text = savs(*arguments, "--draws", 3)[1]
    _, table = text.split("log loss ", 1)
    rows = {line.split()[0]: line for line in table.splitlines() if line.strip()}
    for metric in ("log_loss", "ece", "brier"):
        one = figures["sav"][metric]
        assert len(one["draws"]) == 3
        low, high = one["interval"]
        assert f"{one['mean']:.3f} ({low:.2f}-{high:.2f})" in rows["sav"]
        assert figures["last_layer"][metric] is None
    assert "0.693 (0.69-0.69)" in rows["majority"]
    assert rows["last_layer"].split() == ["last_layer", "-", "-", "-"]
    assert max(map(len, text.splitlines()[:-1])) <= 80


@pytest.mark.parametrize("method", ["sav", "hec_v"])
def test__figures__are_those_of_evaluate_on_the_same_shots(
    method, train, test_folder, backbone, savs, tmp_path
):
    prompt = ("-b", backbone, "--prompt", "Which colour?")
    arguments = ("--methods", method, "--shots", 4, "--draws", 1, "--json")
    found = json.loads(savs("compare", train, *prompt, "--test", test_folder, *arguments)[1])["methods"]
    assert savs("fit", train, *prompt, "--method", method, "-o", tmp_path / "c", "-q")[0] == 0
    report = json.loads(savs("evaluate", tmp_path / "c", test_folder, "--json")[1])
    assert found[method]["mean"] == pytest.approx(report["accuracy"])
    for metric in ("log_loss", "ece", "brier"):
        assert found[method][metric]["mean"] == pytest.approx(report[metric]["value"], rel=1e-3, abs=1e-4)


@pytest.mark.parametrize("ending", ["csv", "parquet", "jsonl"])
def test__output__has_the_figures_of_probabilities(ending, train, backbone, savs, tmp_path):
    methods = ("--methods", "sav,last_layer,zero_shot", "--shots", "0,2", "--draws", 2)
    file = tmp_path / f"rows.{ending}"
    code, text, _ = savs("compare", train, "-b", backbone, *methods, "-o", file, "--json")
    assert code == 0
    if ending == "jsonl":
        rows = pd.json_normalize([json.loads(line) for line in file.read_text().splitlines()])
    else:
        rows = pd.read_csv(file) if ending == "csv" else pd.read_parquet(file)
    named = ["zero_shot 0", "sav 2", "last_layer 2", "zero_shot 2"]
    assert [f"{row.method} {row.shots}" for row in rows.itertuples()] == named
    assert rows["draws"].tolist() == [1, 2, 2, 2]
    found = json.loads(text)["methods"]["sav"]
    for metric in ("log_loss", "ece", "brier"):
        low, high = found[metric]["2"]["interval"]
        assert rows[f"{metric}.mean"][1] == pytest.approx(found[metric]["2"]["mean"])
        assert (rows[f"{metric}.low"][1], rows[f"{metric}.high"][1]) == pytest.approx((low, high))
        assert rows[f"{metric}.mean"].isna().tolist() == [True, False, True, True]


@pytest.mark.parametrize("ending", ["png", "svg", "PNG"])
def test__plot__of_one_and_of_several_data_sets__is_written(
    ending, train, test_folder, backbone, savs, tmp_path
):
    methods = ("--methods", "sav,majority,zero_shot", "--shots", "0,1,2", "--draws", 2)
    file = tmp_path / "plots" / f"plot.{ending}"
    for data in ([train], [train, test_folder]):
        code, _, error = savs("compare", *data, "-b", backbone, *methods, "--plot", file, "-q")
        assert (code, error) == (0, "")
        if ending == "svg":
            assert b"<svg" in file.read_bytes()
        else:
            with PILImage.open(file) as image:
                assert image.width > 1000
        assert [path.name for path in file.parent.iterdir()] == [file.name]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--plot", "plot.pdf"), "plot.pdf: a plot is written as .png or .svg"),
        (("--plot", "plot"), "plot: a plot is written as .png or .svg"),
        (("--plot", "a.png", "--output", "a.png"), "a.png is the --output, too; name another file"),
        (("--plot", "data.png"), "data.png is the data itself"),
    ],
)
def test__plot_that_cannot_be__said_before_anything_is_read(arguments, words, tmp_path, monkeypatch, savs):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "data.png").write_text("")
    code, text, error = savs("compare", "data.png", "-b", "no-such-model", *arguments)
    assert (code, text) == (2, "")
    assert words in " ".join(error.split())


def test__fixed_test__is_the_test_of_every_draw(train, test_folder, backbone, savs):
    arguments = ("--methods", "sav,majority", "--shots", 4, "--draws", 2, "--json")
    code, text, _ = savs("compare", train, "-b", backbone, "--test", test_folder, *arguments)
    assert code == 0
    assert json.loads(text)["n_test"] == [6, 6]


def test__fixed_test_of_the_same_images__warns(train, backbone, savs):
    arguments = ("--methods", "sav,majority", "--shots", 2, "--draws", 1, "--json")
    code, text, error = savs("compare", train, "-b", backbone, "--test", train, *arguments)
    assert code == 0
    assert "8 of 8 test examples are in the data of the shots too" in error
    assert json.loads(text)["n_test"] == [4]


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("--methods", "sav,best"), "'best'; available are sav, votes, "),
        (("--methods", ","), "at least one method is required"),
        (("--shots", "5,x"), "such as 5 or 0,5,10,20"),
        (("--shots", "-1"), "whole numbers"),
        (
            ("--shots", "0", "--methods", "sav,calm"),
            "that need none are option_likelihood, ",
        ),
        (("--draws", "0"), "--draws"),
    ],
)
def test__wrong_usage__exit_2_before_anything_is_read(arguments, words, tmp_path, savs):
    code, text, error = savs("compare", tmp_path / "gone", "-b", "gone", *arguments)
    assert (code, text) == (2, "")
    assert words in " ".join(error.split())


def test__fault_13__too_few_for_the_shots__one_line_before_any_model(train, savs):
    code, _, error = savs("compare", train, "-b", "no-such-model", "--shots", "2,4")
    assert (code, error.count("\n")) == (1, 1)
    assert "4 shots leave no test example of some class" in error
    assert "4" in error


def test__fault_13__one_class__one_line_before_any_model(tmp_path, draw, savs):
    (tmp_path / "d" / "red").mkdir(parents=True)
    for index in range(3):
        draw("red", index).save(tmp_path / "d" / "red" / f"{index}.png")
    code, _, error = savs("compare", tmp_path / "d", "-b", "no-such-model", "--shots", 1)
    assert (code, error.count("\n")) == (1, 1)
    assert "'red' has 3" in error


def test__unreadable_rows__max_errors__exit_3_and_the_rest_is_compared(rows, backbone, savs):
    items = [{"text": f"number {i}", "label": "ab"[i % 2]} for i in range(8)]
    data = rows(*items, {"image": "broken.png", "label": "a"}, {"image": "gone.png", "label": "b"})
    arguments = ("compare", data, "-b", backbone, "--methods", "sav,majority", "--shots", 2, "--draws", 1)
    code, text, _ = savs(*arguments, "--max-errors", 2, "--json")
    found = json.loads(text)
    assert code == 3
    assert found["n_errors"] == 2
    assert {error["id"] for error in found["errors"]} == {"data.jsonl:9", "data.jsonl:10"}
    assert found["n_test"] == [4]
    assert savs(*arguments, "--max-errors", 1)[0] == 1
    assert savs(*arguments)[0] == 1


def test__prompt_with_an_unknown_column__one_line(train, savs):
    code, _, error = savs("compare", train, "-b", "no-such-model", "--prompt", "{nothing}?", "--shots", 2)
    assert (code, error.count("\n")) == (1, 1)
    assert "nothing" in error


def test__several_data_sets__each_has_its_table_and_the_means_follow(savs, backbone, tmp_path):
    for name, seed in (("one", 0), ("two", 40)):
        for split, per_class in (("train", 4), ("test", 2)):
            rows = [
                {"text": f"{word} {seed + i} {split}", "label": word}
                for word in ("apple", "brick")
                for i in range(per_class)
            ]
            path = tmp_path / name / f"{split}.jsonl"
            path.parent.mkdir(exist_ok=True)
            path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    data = [tmp_path / name / "train.jsonl" for name in ("one", "two")]
    command = [
        "compare",
        *data,
        "-b",
        backbone,
        "--shots",
        "2,3",
        "--draws",
        "2",
        "--methods",
        "sav,mean_proba",
    ]
    code, text, error = savs(*command, "--test", "test.jsonl", "--json")
    assert (code, error) == (0, "")
    found = json.loads(text)
    assert list(found["datasets"]) == [str(path) for path in data]
    for shots in ("2", "3"):
        means = [one["methods"]["mean_proba"]["mean"][shots] for one in found["datasets"].values()]
        assert found["overall"][shots]["mean_proba"]["mean"] == pytest.approx(sum(means) / 2)
        for metric in ("log_loss", "ece", "brier"):
            one = found["overall"][shots]["mean_proba"][metric]
            by_data = [own["methods"]["mean_proba"][metric][shots] for own in found["datasets"].values()]
            draws = zip(*(own["draws"] for own in by_data), strict=True)
            assert one["draws"] == pytest.approx([sum(values) / 2 for values in draws])
            assert one["mean"] == pytest.approx(sum(one["draws"]) / 2)
            assert one["interval"][0] <= one["mean"] <= one["interval"][1]
    alone = json.loads(
        savs("compare", data[0], *command[3:], "--test", data[0].parent / "test.jsonl", "--json")[1]
    )
    first = found["datasets"][str(data[0])]
    assert alone["methods"]["sav"]["accuracy"] == first["methods"]["sav"]["accuracy"]
    text = savs(*command, "--test", "test.jsonl")[1]
    assert "mean over 2 datasets, 3 shots per class" in text
    means = text.split("mean over 2 datasets, 3 shots per class")[1]
    assert {"log", "loss", "ECE", "Brier"} <= set(means.split())
    code, _, error = savs(*command, "--test", tmp_path / "one" / "test.jsonl")
    assert code == 2
    assert "beside each" in error


@pytest.mark.parametrize("again", ["{0}", "{0}/../{0.name}", "{0.parent}/link"])
def test__data_set_given_twice__said_before_anything_is_read(train, savs, again):
    link = train.parent / "link"
    if not link.exists():
        link.symlink_to(train)
    other = again.format(train)
    code, text, error = savs("compare", train, other, "-b", "no-such-model", "--shots", "2")
    assert (code, text) == (2, "")
    assert f"{train} and {other} are the same dataset; name each once" in " ".join(error.split())
    hub = ("hf://someone/something", "hf://someone/something")
    assert savs("compare", *hub, "-b", "no-such-model", "--shots", "2")[0] == 2


def test__no_shots__class_names_alone_have_figures(train, backbone, savs):
    methods = "sav,auto_names,option_likelihood"
    arguments = ("compare", train, "-b", backbone, "--methods", methods, "--draws", "2")
    code, text, _ = savs(*arguments, "--shots", "0,1")
    assert code == 0
    assert "0 shots per class, draws: 1" in text
    assert "failed" not in text
    at_none, at_one = (
        [line.split()[0] for line in part.splitlines() if line.strip()]
        for part in text.split("1 shots per class")
    )
    assert "sav" not in at_none
    assert at_one.count("sav") == 2
    code, text, _ = savs(*arguments, "--shots", "0", "--json")
    figures = json.loads(text)["methods"]
    assert list(figures) == ["auto_names", "option_likelihood"]
    assert figures["auto_names"]["mean"] == figures["option_likelihood"]["mean"] > 0


@pytest.mark.parametrize(
    ("names", "short"),
    [
        (["a/one/train.jsonl", "a/two/train.jsonl"], ["one", "two"]),
        (["a/x/y/t", "a/z/t"], ["x/y", "z"]),
        (["a", "a/b"], ["a", "a/b"]),
        (["one.csv", "two.csv"], ["one.csv", "two.csv"]),
        (["hf://a/b", "hf://a/c"], ["b", "c"]),
        (["x/x", "x/x/x"], ["x", "x/x"]),
    ],
)
def test__names_of_data_sets__without_what_they_share(names, short):
    assert list(_told_apart(names).values()) == short
