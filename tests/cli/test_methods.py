import json

import pytest


def test__fit__with_a_method__its_choice_estimate_and_heads_are_told(savs, train, backbone, tmp_path):
    command = ["fit", train, "-b", backbone, "--prompt", "Which colour?", "--method", "auto"]
    code, text, error = savs(*command, "-o", tmp_path / "c", "--json")
    assert (code, error) == (0, "")
    found = json.loads(text)
    assert found["method"] == "auto"
    assert set(found["selection_report"]) >= {"chosen", "why", "candidates"}
    assert found["estimate"]["n"] == 8
    assert all(score is None for *_, score in found["heads"])
    shown = json.loads(savs("inspect", tmp_path / "c", "--json")[1])
    assert shown["method"]["name"] == "auto"
    assert shown["selection_report"] == found["selection_report"]
    assert shown["heads"] == found["heads"]
    assert shown["head_map"] is None
    text = savs("inspect", tmp_path / "c")[1]
    assert f"method    auto: {', '.join(found['selection_report']['chosen'])}" in text


def test__fit__numbers_of_heads_scoring_and_priors__reach_the_method(savs, train, backbone, tmp_path):
    command = [
        "fit",
        train,
        "-b",
        backbone,
        "--method",
        "mean_proba",
        "--n-heads",
        "3",
        "-o",
        tmp_path / "c",
        "-q",
    ]
    assert savs(*command, "--scoring", "in_sample", "--priors", "blue=0.75,red=0.25")[0] == 0
    shown = json.loads(savs("inspect", tmp_path / "c", "--json")[1])
    assert shown["method"] == {
        "name": "mean_proba",
        "n_heads": 3,
        "scoring": "in_sample",
        "priors": [["blue", 0.75], ["red", 0.25]],
        "heads": None,
    }
    assert (shown["n_kept"], len(shown["heads"])) == (3, 3)
    assert "score" in savs("inspect", tmp_path / "c")[1]
    answers = savs("predict", tmp_path / "c", train)[1].splitlines()
    assert len(answers) == 8


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--method", "magic"], "no method is named 'magic'; available are sav,"),
        (["--n-heads", "all"], "n_heads of method 'sav' is a positive number"),
        (["--n-heads", "0"], "not a positive number"),
        (["--method", "kernel_ridge", "--n-heads", "5"], "takes no n_heads"),
        (["--method", "auto", "--scoring", "in_sample"], "takes no scoring"),
        (["--method", "mean_proba", "--priors", "fair"], "is not uniform, empirical or LABEL=SHARE"),
        (["--method", "last_state", "--exit-early", "0.01"], "takes no exit_early"),
        (["--exit-early", "1"], "0<x<1"),
        (["--method", "mean_proba", "--priors", "a=x"], "is not uniform, empirical or LABEL=SHARE"),
    ],
)
def test__fit__settings_the_method_does_not_take__are_wrong_usage(savs, train, tmp_path, options, message):
    code, _, error = savs("fit", train, "-b", "no/model", "-o", tmp_path / "c", *options)
    assert code == 2
    assert message in " ".join(error.replace("\n", " ").split())


def test__fit__priors_of_other_labels__fail_before_the_end(savs, train, backbone, tmp_path):
    command = ["fit", train, "-b", backbone, "--method", "mean_proba", "--priors", "blue=0.5,green=0.5"]
    code, _, error = savs(*command, "-o", tmp_path / "c")
    assert code == 1
    assert "priors must name each class once" in error
    assert not (tmp_path / "c").exists()


def test__predict__sets_alarms_and_unknown__come_with_each_row(savs, train, backbone, tmp_path):
    command = [
        "fit",
        train,
        "-b",
        backbone,
        "--method",
        "mean_proba",
        "--keep-shots",
        "-o",
        tmp_path / "c",
        "-q",
    ]
    assert savs(*command)[0] == 0
    (tmp_path / "data.jsonl").write_text(
        json.dumps({"text": "an essay about taxes, far from any image"})
        + "\n"
        + json.dumps({"image": str(next(train.glob("red/*.png")))})
        + "\n"
    )
    asked = ["--sets", "0.25", "--flag", "red=0.25", "--out-of-distribution", "0.8"]
    data = [tmp_path / "data.jsonl", "--allow-outside"]
    code, text, error = savs("predict", tmp_path / "c", *data, *asked, "-q")
    assert (code, error) == (0, "")
    far, near = map(json.loads, text.splitlines())
    assert (far["out_of_distribution"], far["label"]) == (True, None)
    assert "error" not in far
    assert (near["out_of_distribution"], near["label"]) == (False, "red")
    assert "red" in near["set"]
    assert set(near["flag"]) <= {"red"}
    plain = json.loads(savs("predict", tmp_path / "c", *data, "-q")[1].splitlines()[1])
    assert set(plain) == {"id", "label", "proba"}
    for options, code, message in (
        (["--flag", "green=0.2"], 1, "there is no class 'green'"),
        (["--flag", "red"], 2, "is not LABEL=RATE"),
        (["--flag", "red=0.001"], 1, "cannot promise"),
        (["--out-of-distribution", "0.999"], 1, "cannot promise"),
        (["--sets", "1"], 2, "--sets"),
    ):
        found = savs("predict", tmp_path / "c", *data, *options)
        assert (found[0], message in found[2]) == (code, True), found


def test__predict__sets__reach_a_file_and_nothing_is_left_beside_it(savs, train, backbone, tmp_path):
    assert savs("fit", train, "-b", backbone, "--method", "mean_proba", "-o", tmp_path / "c", "-q")[0] == 0
    answers = tmp_path / "answers.jsonl"
    command = ["predict", tmp_path / "c", train, "-o", answers]
    assert savs(*command, "--sets", "0.3")[0] == 0
    rows = [json.loads(line) for line in answers.read_text().splitlines()]
    assert all("set" in row for row in rows)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["answers.jsonl", "c"]


def test__fit__heads_of_another_classifier__are_the_only_ones(savs, train, backbone, classifier, tmp_path):
    command = ["fit", train, "-b", backbone, "--heads-of", classifier, "-o", tmp_path / "c", "-q"]
    assert savs(*command, "--method", "votes")[0] == 0
    before, after = (
        json.loads(savs("inspect", folder, "--json")[1])["heads"] for folder in (classifier, tmp_path / "c")
    )
    assert {(layer, head) for layer, head, _ in after} == {(layer, head) for layer, head, _ in before}
    code, _, error = savs(*command)
    assert code == 2
    assert "takes no heads" in error


def test__fit__exit_early__is_told_saved_and_counted(savs, train, backbone, tmp_path):
    command = ["fit", train, "-b", backbone, "--method", "kernel_ridge", "--exit-early", "0.2"]
    code, text, error = savs(*command, "-o", tmp_path / "c", "--json")
    assert (code, error) == (0, "")
    found = json.loads(text)["selection_report"]["exit_early"]
    assert found["allowed"] == 0.2
    assert found["layers_expected"] < found["n_layers"]
    assert "layers per answer expected" in savs(*command, "-o", tmp_path / "c")[1]
    assert "layers per answer expected" in savs("inspect", tmp_path / "c")[1]
    output = tmp_path / "answers.jsonl"
    summary = json.loads(savs("predict", tmp_path / "c", train, "-o", output, "--json")[1])
    rows = [json.loads(line) for line in output.read_text(encoding="utf-8").splitlines()]
    layers = [row["layers"] for row in rows]
    assert summary["mean_layers"] == pytest.approx(sum(layers) / len(layers), abs=1e-3)
    assert min(layers) < found["n_layers"]
    evaluated = json.loads(savs("evaluate", tmp_path / "c", train, "--json")[1])
    assert evaluated["mean_layers"] == summary["mean_layers"]
    assert "layers per answer" in savs("evaluate", tmp_path / "c", train)[1]
    assert "layers" in savs("predict", tmp_path / "c", train, "-o", tmp_path / "a.csv")[2]
    assert "layers" in (tmp_path / "a.csv").read_text(encoding="utf-8").splitlines()[0].split(",")
