import numpy as np
import pytest

from savs.backbones import FakeBackbone
from savs.data import as_examples
from savs.evaluation.comparison import compare_methods
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


def test__overall__of_nothing_or_of_different_methods__is_refused():
    with pytest.raises(ValueError, match="same methods"):
        overall({})
    with pytest.raises(ValueError, match="same methods"):
        overall({"a": comparison(sav=0.5), "b": comparison(auto=0.5)})


def test__overall__of_one_real_comparison__is_that_comparison():
    examples = as_examples(["red", "rose", "wine", "navy", "sea", "sky"], ["warm"] * 3 + ["cold"] * 3)
    one = compare_methods(FakeBackbone(), examples, methods=["sav", "mean_proba"], shots=[2], draws=2)
    found = overall({"only": one})[2]
    assert found["sav"].mean == one.mean("sav", 2)
    difference = one.difference("mean_proba", "sav", 2)
    assert difference is not None
    assert found["mean_proba"].against_sav == pytest.approx(difference.value)
