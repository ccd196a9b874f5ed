from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from savs.classifiers._probabilities import (
    fit_temperature,
    log_losses,
    log_softmax,
    softmax,
    untested_temperature,
)


def draw(seed=0, n=400, scale=1.0, signal=1.0):
    rng = np.random.default_rng(seed)
    logits = signal * rng.standard_normal((n, 3))
    codes = np.array([rng.choice(3, p=row) for row in softmax(logits)])
    return scale * logits, codes


@pytest.mark.parametrize("scale", [1e-3, 1.0, 50.0])
def test__temperature__labels_drawn_from_scores__gives_back_the_scale(scale):
    scores, codes = draw(scale=scale, signal=2.0, n=2000)
    assert fit_temperature(scores, codes) == pytest.approx(scale, rel=0.15)


@settings(max_examples=20, deadline=None)
@given(seed=st.integers(0, 99), power=st.integers(-30, 30), shift=st.floats(-5, 5))
def test__temperature__scaled_and_shifted_scores__scales_alike(seed, power, shift):
    scores, codes = draw(seed, n=30)
    rows = shift * np.random.default_rng(seed).standard_normal((30, 1))
    found = fit_temperature((scores + rows) * 2.0**power, codes)
    assert found == pytest.approx(fit_temperature(scores, codes) * 2.0**power, rel=1e-6)


def test__temperature__all_right__not_certain():
    codes = np.arange(30) % 3
    scores = np.eye(3)[codes]
    shares = softmax(scores / fit_temperature(scores, codes))
    assert 0.9 < shares.max() < 0.999


def test__temperature__nothing_to_fit__one():
    assert fit_temperature(np.zeros((4, 2)), np.array([0, 1, 0, 1])) == 1
    assert fit_temperature(np.empty((0, 2)), np.empty(0, dtype=int)) == 1


def test__untested_temperature__log_odds_of_the_shots_are_4_on_average():
    scores, codes = np.random.default_rng(0).standard_normal((5, 3)), np.array([0, 2, 1, 1, 0])
    scores[np.arange(5), codes] += 3
    scaled = scores / untested_temperature(scores, codes)
    odds = [
        scaled[i, code] - scaled[i, other]
        for i, code in enumerate(codes)
        for other in {0, 1, 2} - {int(code)}
    ]
    assert np.mean(odds) == pytest.approx(4)
    assert untested_temperature(1000 * scores, codes) == pytest.approx(
        1000 * untested_temperature(scores, codes)
    )
    assert untested_temperature(-scores, codes) == 1
    assert untested_temperature(np.zeros((2, 2)), np.array([0, 1])) == 1
    same = np.tile([-0.1, -20.7, -20.7, -20.7, -20.7, -20.7, -20.7], (7, 1))  # all shots look alike
    assert untested_temperature(same, np.arange(7)) == 1


def test__softmax__huge_scores__finite():
    assert softmax(np.array([[1e300, -1e300]])).tolist() == [[1, 0]]
    assert np.exp(log_softmax(np.array([0.0, 1.0]))).sum() == pytest.approx(1)


def test__log_losses__by_hand():
    assert log_losses(np.log([[0.2, 0.8], [0.5, 0.5]]), np.array([0, 1])) == pytest.approx(
        -np.log([0.2, 0.5])
    )
