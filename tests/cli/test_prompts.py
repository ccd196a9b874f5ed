"""Several `--prompt`, as users of the commands meet them."""

from __future__ import annotations

import json

import pytest

PROMPTS = ("Which colour?", "Name the colour.", "Red or blue?")
ASKED = [part for prompt in PROMPTS for part in ("--prompt", prompt)]
FEW = ("--n-heads", 4)


@pytest.fixture
def classifier(train, backbone, savs, tmp_path):
    code, _, error = savs("fit", train, "-b", backbone, *ASKED, *FEW, "--keep-shots", "-o", tmp_path / "c")
    assert (code, error) == (0, "")
    return tmp_path / "c"


def test__fit__json__weight_and_loss_of_each_prompt(train, backbone, savs, tmp_path):
    code, text, error = savs("fit", train, "-b", backbone, *ASKED, *FEW, "-o", tmp_path / "c", "--json")
    assert (code, error) == (0, "")
    found = json.loads(text)
    assert [one["prompt"] for one in found["prompts"]] == list(PROMPTS)
    assert sum(one["weight"] for one in found["prompts"]) == pytest.approx(1)
    assert found["prompt"] is None
    code, text, _ = savs("inspect", tmp_path / "c", "--json")
    assert (code, json.loads(text)["prompts"]) == (0, found["prompts"])
    assert json.loads(text)["heads"] == found["heads"]


def test__fit_and_inspect__table_of_the_prompts(classifier, train, backbone, savs, tmp_path):
    _, text, _ = savs("fit", train, "-b", backbone, *ASKED, "-o", tmp_path / "d")
    for shown in (text, savs("inspect", classifier)[1]):
        assert "3 prompts, weighed on held-out shots" in shown
        assert all(prompt in shown for prompt in PROMPTS)


def test__fit__one_prompt__no_table_and_nothing_new_in_the_record(train, backbone, savs, tmp_path):
    _, text, _ = savs("fit", train, "-b", backbone, *ASKED[:2], "-o", tmp_path / "c", "--json")
    assert json.loads(text)["prompt"] == PROMPTS[0]
    assert "prompts" not in json.loads(text)
    assert "weighed" not in savs("inspect", tmp_path / "c")[1]


def test__predict_evaluate_explain__classifier_of_several_prompts(classifier, test_folder, savs):
    code, text, error = savs("predict", classifier, test_folder, "--sets", 0.4)
    rows = [json.loads(line) for line in text.splitlines()]
    assert (code, error.replace("savs: ", "")[:8] in ("", "warning:")) == (0, True)
    assert len(rows) == 6
    code, text, _ = savs("evaluate", classifier, test_folder, "--json")
    assert (code, json.loads(text)["n"]) == (0, 6)
    code, text, _ = savs("explain", classifier, test_folder, "--tiles", 2, "--json")
    found = json.loads(text)
    assert (code, [one["prompt"] for one in found["prompts"]]) == (0, list(PROMPTS))
    assert all(one["heads"] for one in found["prompts"])
    code, text, _ = savs("explain", classifier, test_folder, "--tiles", 2)
    assert "answer alone" in text
    assert PROMPTS[2] in text


def test__fit__heads_of_a_classifier_of_several_prompts(classifier, train, backbone, savs, tmp_path):
    arguments = ("--method", "votes", "--heads-of", classifier, "-o", tmp_path / "d", "--json")
    code, text, _ = savs("fit", train, "-b", backbone, *arguments)
    assert code == 0
    wanted = json.loads(savs("inspect", classifier, "--json")[1])["heads"]
    assert {tuple(head[:2]) for head in json.loads(text)["heads"]} == {tuple(head[:2]) for head in wanted}


def test__compare__several_prompts__methods_and_baselines(train, backbone, savs, tmp_path):
    methods = ("sav", "auto", "hec_vt", "last_layer", "majority", "zero_shot")
    arguments = ("--methods", ",".join(methods), "--shots", 2, "--draws", 2, "--zero-shot-items", 2, "--json")
    code, text, error = savs("compare", train, "-b", backbone, *ASKED, *arguments, "--store", tmp_path / "s")
    assert code == 0, error
    found = json.loads(text)
    assert tuple(found["methods"]) == methods
    assert not any(figures["failures"] for figures in found["methods"].values())
    one = json.loads(savs("compare", train, "-b", backbone, *ASKED[:2], *arguments)[1])
    for name in ("last_layer", "majority"):
        assert found["methods"][name]["accuracy"] == one["methods"][name]["accuracy"]


@pytest.mark.parametrize("command", ["fit", "compare"])
def test__same_prompt_twice__wrong_usage(command, train, backbone, savs, tmp_path):
    output = ("-o", tmp_path / "c") if command == "fit" else ()
    code, _, error = savs(command, train, "-b", backbone, "--prompt", "a", "--prompt", "a", *output)
    assert code == 2
    assert "the same prompt is given twice" in error


def test__fit__several_labels__several_prompts_refused(train, backbone, savs, tmp_path):
    code, _, error = savs("fit", train, "-b", backbone, *ASKED, "--multi-label", ";", "-o", tmp_path / "c")
    assert code == 2
    assert "more than one --prompt is not for several labels per example" in error


def test__compare__column_that_a_row_lacks__told_with_max_errors(backbone, savs, tmp_path):
    rows = [{"question": f"q{i}", "tone": "x", "label": str(i % 2)} for i in range(8)]
    del rows[3]["tone"]
    data = tmp_path / "d.jsonl"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    asked = ("--prompt", "{question}", "--prompt", "{question} {tone}")
    arguments = (
        "compare",
        data,
        "-b",
        backbone,
        *asked,
        "--methods",
        "sav,majority",
        "--shots",
        2,
        "--draws",
        1,
    )
    code, text, _ = savs(*arguments, "--max-errors", 1, "--json")
    assert code == 3
    assert [error["code"] for error in json.loads(text)["errors"]] == ["prompt_column"]
    assert savs(*arguments)[0] == 1


def test__compare__several_prompts_and_no_methods_named__default_without_likelihoods_of_names(
    train, backbone, savs
):
    few = ("--shots", 1, "--draws", 1, "--zero-shot-items", 1, "--json")
    code, text, error = savs("compare", train, "-b", backbone, *ASKED, *few)
    assert code == 0, error
    one = json.loads(savs("compare", train, "-b", backbone, *ASKED[:2], *few)[1])
    assert set(one["methods"]) - set(json.loads(text)["methods"]) == {"option_likelihood"}


def test__compare__several_prompts_and_likelihoods_of_names__wrong_usage(train, backbone, savs):
    code, _, error = savs("compare", train, "-b", backbone, *ASKED, "--methods", "sav,auto_names")
    assert code == 2
    assert "method 'auto_names' reads the likelihoods of class names after one prompt" in " ".join(
        error.split()
    )


def test__fit_and_inspect__one_shot_per_class__prompts_are_not_said_to_be_weighed(
    train, backbone, savs, tmp_path
):
    arguments = ("--shots", 1, "--method", "auto", "-o", tmp_path / "c")
    _, text, _ = savs("fit", train, "-b", backbone, *ASKED, *arguments)
    for shown in (text, savs("inspect", tmp_path / "c")[1]):
        assert "3 prompts, which count alike" in shown


def test__inspect__published_rule_on_several_prompts__not_said_to_score_no_heads(classifier, savs):
    assert "does not score heads" not in savs("inspect", classifier)[1]


@pytest.mark.parametrize("command", ["extract", "export"])
def test__prompt_twice__command_that_takes_one__wrong_usage(command, train, backbone, savs, tmp_path):
    place = () if command == "extract" else (tmp_path / "store",)
    asked = ("--prompt", "a", "--prompt", "b", "-o", tmp_path / "s.npz")
    code, _, error = savs(command, *place, train, "-b", backbone, *asked)
    assert code == 2
    assert "give one prompt, and run the command once for each" in " ".join(error.split())
    assert not (tmp_path / "s.npz").exists()
