from __future__ import annotations

import numpy as np
import pytest

from savs.baselines import BaselineResult, last_layer, majority_class
from savs.errors import DataError


def test__majority_class__most_frequent_then_first_sorted():
    assert majority_class([3, 1, 3], 2) == BaselineResult("majority", [3, 3], [])
    assert majority_class(["dog", "cat"], 1).labels == ["cat"]
    assert majority_class([True, False, True], 1).labels == [True]
    assert type(majority_class(np.array([3, 3, 1]), 1).labels[0]) is int


def test__majority_class__no_or_mixed_labels__error():
    with pytest.raises(ValueError, match="at least one label"):
        majority_class([], 2)
    with pytest.raises(DataError, match="one type"):
        majority_class([1, "1"], 2)


def test__last_layer__nearest_mean_by_cosine_not_by_distance():
    states = np.array([[1.0, 0], [1, 0.2], [0, 10], [1, 10]], dtype=np.float32)
    found = last_layer(states, ["a", "a", "b", "b"], np.array([[100.0, 30], [0.01, 0.1]]))
    assert found == BaselineResult("last_layer", ["a", "b"], [])
    assert found.unparsed == []
    assert last_layer(states, ["a", "a", "b", "b"], states[:0]).labels == []


def test__last_layer__other_width__error():
    with pytest.raises(ValueError, match=r"3.*2"):
        last_layer(np.eye(2), [0, 1], np.eye(3))
