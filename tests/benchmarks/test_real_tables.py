"""Tables of the measurement on real weights."""

from __future__ import annotations

import numpy as np
import pytest
from benchmarks.real_tables import (
    difference_table,
    estimate,
    method_table,
    outcomes,
    seconds_table,
    winner_table,
)

FOUND = {
    "set": "colors",
    "settings": {"shots": [1, 2]},
    "per_text": {"language model": 0.1234, "sentence encoder": 0.004},
    "right": {
        "auto": {"1": ["11-1", "110-"], "2": ["11--", "--11"]},
        "tf_idf": {"1": ["10-0", "100-"], "2": ["11--", "--10"]},
        "zero_shot": {"0": ["1-0-"]},
    },
}


def test__outcomes__strings__numbers_and_nan() -> None:
    np.testing.assert_array_equal(outcomes(FOUND, "auto", 1), [[1, 1, np.nan, 1], [1, 1, 0, np.nan]])
    assert outcomes(FOUND, "auto", 5) is None
    assert outcomes(FOUND, "sav", 1) is None


def test__estimate__texts_not_judged__left_out() -> None:
    value, low, high = estimate(outcomes(FOUND, "auto", 1))
    assert value == pytest.approx(100 * 5 / 6)
    assert low <= value <= high
    assert estimate(np.ones((3, 5))) == (100, 100, 100)


def test__estimate__one_draw__interval_of_a_share() -> None:
    """1.96 standard errors of a share of one half of 400 texts are 4.9 points."""
    right = np.tile([0.0, 1.0], (1, 200))
    value, low, high = estimate(right)
    assert (value, low, high) == pytest.approx((50, 45.1, 54.9), abs=0.6)


def test__estimate__draws_that_differ__wider_than_one_draw() -> None:
    """Each draw is all right or all wrong: only the number of draws says how sure the mean is."""
    right = np.repeat([[0.0], [1.0]] * 5, 400, axis=1)
    value, low, high = estimate(right)
    assert (value, low, high) == pytest.approx((50, 20, 80), abs=5)


def test__method_table__best_of_a_column__bold() -> None:
    lines = [
        [cell.strip().split(" (")[0] for cell in line.strip("|").split("|")]
        for line in method_table(FOUND).splitlines()
    ]
    assert lines == [
        ["shots per class", "0", "1", "2"],
        ["---"] * 4,
        ["`auto`", "", "**83.3**", "**100.0**"],
        ["zero-shot, the model's own answer", "**50.0**", "", ""],
        ["TF-IDF and logistic regression, no model", "", "33.3", "75.0"],
    ]


def test__difference_table__same_texts__mean_of_differences() -> None:
    lines = difference_table([FOUND], "auto", "tf_idf", [1, 2]).splitlines()
    assert lines[0] == "| shots per class | 1 | 2 |"
    assert lines[2].startswith("| colors | ")
    assert "+50.0 (" in lines[2]
    assert "+25.0 (" in lines[2]
    assert difference_table([FOUND], "auto", "sav", [1]).splitlines()[2] == "| colors |  |"


def test__winner_table__kinds__best_of_each() -> None:
    lines = winner_table([FOUND], [0, 1]).splitlines()
    assert lines[2] == "| colors | 0 |  |  |  | **50.0** `zero_shot` |"
    assert lines[3] == "| colors | 1 | **83.3** `auto` |  | 33.3 `tf_idf` |  |"


def test__seconds_table__milliseconds() -> None:
    assert seconds_table([FOUND]).splitlines()[2] == "| colors | 123 | 4 |"
