from __future__ import annotations

import math

import pytest


def figures_by_loop(shares, truth, answers, names):
    """The three figures in float64, one item after the other."""
    loss = brier = 0.0
    bins = [[0, 0.0, 0.0] for _ in range(10)]
    for row, true, answer in zip(shares, truth, answers, strict=True):
        of_truth = row[names.index(true)] if true in names else 0.0
        loss += -math.log(max(of_truth, 1e-9))
        for name, share in zip(names, row, strict=True):
            brier += (share - (name == true)) ** 2
        brier += true not in names  # one-hot of a class that has no column
        confidence = row[names.index(answer)]
        place = bins[min(int(confidence * 10), 9)]
        place[0] += 1
        place[1] += confidence
        place[2] += answer == true
    ece = 0.0
    for count, confidence, right in bins:
        if count:
            ece += count / len(truth) * abs(right / count - confidence / count)
    return {"log_loss": loss / len(truth), "ece": ece, "brier": brier / len(truth)}


@pytest.fixture(scope="session")
def by_loop():
    """Compute log loss, ECE and Brier score as the formulas say, in plain Python."""
    return figures_by_loop
