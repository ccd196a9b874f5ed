from __future__ import annotations

import math

import numpy as np
import pytest

from savs.classifiers._item_scores import ItemScores
from savs.classifiers._probabilities import log_losses, softmax


def scores_of(values, codes):
    values, codes = np.asarray(values, float), np.asarray(codes)
    return ItemScores.of(values, codes, values.argmax(axis=1))


def test__calibration_error__by_hand_and_calibrated():
    shares = [[0.9, 0.1], [0.9, 0.1], [0.4, 0.6], [0.35, 0.65]]
    # bin of 0.9: confidence 0.9, accuracy 0.5; bin of 0.6: confidence 0.625, accuracy 1
    wanted = (2 * 0.4 + 2 * 0.375) / 4
    assert scores_of(shares, [0, 1, 1, 1]).figures()["ece"] == pytest.approx(wanted)
    rng = np.random.default_rng(0)
    shares = softmax(rng.standard_normal((20_000, 3)))
    codes = [rng.choice(3, p=row) for row in shares]
    assert scores_of(shares, codes).figures()["ece"] < 0.02


def test__log_loss__loop_by_hand_and_floor_at_one_billionth():
    shares, codes = [[0.25, 0.75], [1.0, 0.0], [1.0, 0.0]], [1, 0, 1]
    total = 0.0
    for row, code in zip(shares, codes, strict=True):
        total += -math.log(max(row[code], 1e-9))
    found = scores_of(shares, codes)
    assert found.figures()["log_loss"] == pytest.approx(total / 3, rel=1e-12)
    assert found.losses[2] == pytest.approx(20.7233, abs=1e-4)
    logits = np.random.default_rng(1).standard_normal((50, 3))
    codes = np.arange(50) % 3
    assert scores_of(softmax(logits), codes).losses == pytest.approx(log_losses(logits, codes), rel=1e-12)


def test__certain_and_right__loss_and_distance_are_zero_and_not_below():
    found = scores_of([[1.0, 0.0], [0.1, 0.9]], [0, 1])
    assert str(found.losses[0]) == str(found.distances[0]) == "0.0"
    # 0.9**2 + 0.1**2 - 2 * 0.9 + 1 is another number in its last bits.
    assert found.distances[1] == 0.1**2 + (0.9 - 1) ** 2


def test__brier__hand_computed_and_of_no_known_class():
    values = np.array([[1.0, 0.0], [0.5, 0.5], [0.5, 0.5]])
    found = ItemScores.of(values, np.array([0, 0, -1]), np.array([0, 1, -1]))
    assert found.distances.tolist() == [0, 0.5, 1.5]
    assert found.correct.tolist() == [True, False, False]
    assert found.confidences.tolist() == [1, 0.5, 0.5]
