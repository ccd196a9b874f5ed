import json
import math

import numpy as np
import pytest

from savs.backbones import FakeBackbone
from savs.data import as_examples
from savs.evaluation.comparison import compare_methods
from savs.evaluation.probabilities import ClassProbabilities, score_items
from savs.evaluation.results import Comparison, Overall, Trial, overall, record_overall


def comparison(**shares: float | None) -> Comparison:
    """One draw of ten items, each method right on so many of them; None failed."""
    trials = {
        (name, 5): [
            Trial.failed("no") if share is None else Trial(np.arange(10), np.arange(10) < 10 * share, 0.1, 10)
        ]
        for name, share in shares.items()
    }
    return Comparison(tuple(shares), (5,), 1, trials, {5: [10]})


def test__overall__means_differences_and_the_worst_data_set__by_hand():
    found = overall({"a": comparison(sav=0.5, auto=0.9), "b": comparison(sav=0.8, auto=0.7)})
    assert found[5]["sav"] == Overall(pytest.approx(0.65))
    assert found[5]["auto"] == Overall(pytest.approx(0.8), pytest.approx(0.15), pytest.approx(-0.1), "b")
    assert record_overall(found)["5"]["auto"]["worst_on"] == "b"


def test__overall__a_method_that_failed_on_one__has_no_mean():
    found = overall({"a": comparison(sav=0.5, auto=None), "b": comparison(sav=0.8, auto=0.7)})
    assert found[5]["auto"] == Overall(None)
    assert overall({"a": comparison(auto=0.5)})[5]["auto"] == Overall(0.5)


def scored(*by_draw: list[tuple[float, bool]] | None) -> Comparison:
    """Draws of two classes: the probability of each answer and whether it is right; None failed."""
    trials = []
    for items in by_draw:
        if items is None:
            trials.append(Trial.failed("no"))
            continue
        shares = np.array([[share, 1 - share] for share, _ in items])
        truth = ["a" if right else "b" for _, right in items]
        scores = score_items(ClassProbabilities(["a", "b"], shares), truth, ["a"] * len(items))
        trials.append(Trial(np.arange(len(items)), scores.correct, 0.1, 10, scores=scores))
    return Comparison(("auto",), (5,), len(trials), {("auto", 5): trials}, {5: [2] * len(trials)})


def test__over_draws__means_and_student_t__by_hand():
    one = scored([(0.8, True), (0.6, False)], [(0.9, True)], None)
    losses = [-(math.log(0.8) + math.log(0.4)) / 2, -math.log(0.9)]
    found = one.over_draws("auto", 5, "log_loss")
    assert found.draws == pytest.approx([*losses, None])
    assert found.mean == pytest.approx(sum(losses) / 2)
    half = 12.706204736 * abs(losses[0] - losses[1]) / 2
    assert found.interval == pytest.approx((max(0, found.mean - half), found.mean + half))
    assert one.over_draws("auto", 5, "brier").draws == pytest.approx([(0.08 + 0.72) / 2, 0.02, None])
    assert one.over_draws("auto", 5, "ece").draws == pytest.approx([(0.2 + 0.6) / 2, 0.1, None])
    assert one.figures("auto", 5)["ece"] == one.over_draws("auto", 5, "ece")._asdict()


def test__over_draws__all_failed_or_not_judged__nothing():
    one = scored(None, None)
    assert one.over_draws("auto", 5, "log_loss") == ([None, None], None, None)
    assert one.figures("auto", 5)["log_loss"] is None
    assert one.over_draws("auto", 0) == ([], None, None)


def test__overall__log_loss_over_data_sets__per_draw_and_its_interval():
    data = {
        "a": scored([(0.8, True)], [(0.9, True)], [(0.5, True)]),
        "b": scored([(0.6, False)], [(0.7, True)], None),
    }
    losses = {"a": [-math.log(p) for p in (0.8, 0.9, 0.5)], "b": [-math.log(p) for p in (0.4, 0.7)]}
    found = overall(data)[5]["auto"].log_loss
    both = [(mine + theirs) / 2 for mine, theirs in zip(losses["a"][:2], losses["b"], strict=True)]
    assert found.draws == pytest.approx([*both, None])
    assert found.mean == pytest.approx((sum(losses["a"]) / 3 + sum(losses["b"]) / 2) / 2)
    half = 12.706204736 * abs(both[0] - both[1]) / 2
    assert found.interval == pytest.approx((max(0, sum(both) / 2 - half), sum(both) / 2 + half))
    record = json.loads(json.dumps(record_overall(overall(data)), allow_nan=False))
    assert record["5"]["auto"]["brier"]["draws"][2] is None


def test__overall__a_data_set_without_probabilities__no_mean_of_them():
    found = overall({"a": comparison(auto=0.5), "b": comparison(auto=0.7)})[5]["auto"]
    assert (found.mean, found.log_loss, found.ece, found.brier) == (pytest.approx(0.6), None, None, None)


def test__overall__of_nothing_or_of_different_methods__is_refused():
    with pytest.raises(ValueError, match="same methods"):
        overall({})
    with pytest.raises(ValueError, match="same methods"):
        overall({"a": comparison(sav=0.5), "b": comparison(auto=0.5)})
    with pytest.raises(ValueError, match="draws are needed"):
        overall({"a": scored([(0.8, True)]), "b": scored([(0.8, True)], None)})


def test__overall__of_one_real_comparison__is_that_comparison():
    examples = as_examples(["red", "rose", "wine", "navy", "sea", "sky"], ["warm"] * 3 + ["cold"] * 3)
    one = compare_methods(FakeBackbone(), examples, methods=["sav", "mean_proba"], shots=[2], draws=2)
    found = overall({"only": one})[2]
    assert found["sav"].mean == one.mean("sav", 2)
    difference = one.difference("mean_proba", "sav", 2)
    assert difference is not None
    assert found["mean_proba"].against_sav == pytest.approx(difference.value)
