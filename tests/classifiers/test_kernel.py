"""Kernel methods against plain loops and against fitting again without the shot."""

from __future__ import annotations

import numpy as np
import pytest

from savs.classifiers import KernelDiscriminantClassifier, KernelRidgeClassifier
from savs.classifiers import kernel as kernels
from savs.classifiers._probabilities import softmax
from savs.classifiers._support_set import Shots
from savs.classifiers.gaussian_rule import leave_one_out_gaussian_scores
from savs.classifiers.kernel import (
    Frame,
    frame_of_shots,
    head_losses,
    linear_weights,
    rbf_kernel_to_shots,
    ridge_leave_one_out,
    shot_coordinates,
    shot_kernel,
)
from savs.errors import DataError
from savs.layout import HeadLayout

LAYOUT = HeadLayout.from_layers([(0, 2, 3), (1, 1, 5)])


def make(counts=(5, 4, 6), seed=0):
    rng = np.random.default_rng(seed)
    codes = rng.permutation(np.repeat(np.arange(len(counts)), counts))
    means = rng.standard_normal((len(counts), LAYOUT.width))
    rows = rng.standard_normal((len(codes), LAYOUT.width)) + means[codes]
    return Shots(rows, codes, len(counts), LAYOUT)


def kernel_oracle(rows, others, means, weights, gamma):
    found = np.zeros((len(rows), len(others)))
    for i, row in enumerate(rows):
        for j, other in enumerate(others):
            for head, weight in zip(LAYOUT.heads, weights, strict=True):
                columns = LAYOUT.columns(head)
                u, v = (row - means)[columns], (other - means)[columns]
                similarity = u @ v / np.linalg.norm(u) / np.linalg.norm(v)
                found[i, j] += weight * (similarity if gamma is None else np.exp(-gamma * (1 - similarity)))
    return found


@pytest.mark.parametrize("gamma", [None, 0.7])
def test__shot_kernel__plain_loop__equal(gamma):
    shots, weights = make(), np.array([0.5, 0.2, 0.3])
    means = shots.rows.mean(axis=0)
    wanted = kernel_oracle(shots.rows, shots.rows, means, weights, gamma)
    assert shot_kernel(shots, Frame(means), weights, gamma) == pytest.approx(wanted)


def test__new_rows__primal_of_dual_and_rbf__plain_loop_equal():
    shots, weights = make(), np.array([0.5, 0.2, 0.3])
    rows, means = make(seed=5).rows, shots.rows.mean(axis=0)
    dual = np.random.default_rng(1).standard_normal((len(shots.codes), 2))
    units = np.concatenate(
        [
            (part := (rows - means)[:, LAYOUT.columns(head)]) / np.linalg.norm(part, axis=1, keepdims=True)
            for head in LAYOUT.heads
        ],
        axis=1,
    )
    wanted = kernel_oracle(rows, shots.rows, means, weights, None) @ dual
    assert units @ linear_weights(shots, Frame(means), weights, dual).T == pytest.approx(wanted)
    of_shots = np.concatenate(
        [
            (part := (shots.rows - means)[:, LAYOUT.columns(head)])
            / np.linalg.norm(part, axis=1, keepdims=True)
            for head in LAYOUT.heads
        ],
        axis=1,
    )
    found = rbf_kernel_to_shots(rows, of_shots, LAYOUT, Frame(means), weights, 0.7)
    assert found == pytest.approx(kernel_oracle(rows, shots.rows, means, weights, 0.7))


def test__coordinates__give_back_the_kernel_and_linear_functions():
    shots = make()
    kernel = shot_kernel(shots, frame_of_shots(shots, "before"), np.ones(3) / 3, None)
    coordinates, lift = shot_coordinates(kernel)
    assert coordinates @ coordinates.T == pytest.approx(kernel)
    function = np.random.default_rng(0).standard_normal(coordinates.shape[1])
    assert kernel @ (lift @ function) == pytest.approx(coordinates @ function)


@pytest.mark.parametrize("counts", [(5, 4, 6), (2, 9, 3)])
def test__ridge_left_out__solving_without_the_shot__equal(counts):
    shots = make(counts)
    kernel = shot_kernel(shots, frame_of_shots(shots, "before"), np.ones(3) / 3, None) + 1
    balance = shots.counts[shots.codes] * 3 / len(shots.codes)
    penalties = np.array([0.01, 1.0])
    fits = ridge_leave_one_out(kernel, shots.membership, balance, penalties)
    for penalty, (out_of_fold, dual) in zip(penalties, fits, strict=True):
        whole = np.linalg.solve(kernel + penalty * np.diag(balance), shots.membership)
        assert dual == pytest.approx(whole)
        for shot in range(len(shots.codes)):
            rest = np.arange(len(shots.codes)) != shot
            inner = kernel[np.ix_(rest, rest)] + penalty * np.diag(balance[rest])
            wanted = kernel[shot, rest] @ np.linalg.solve(inner, shots.membership[rest])
            assert out_of_fold[shot] == pytest.approx(wanted)


@pytest.mark.parametrize("counts", [(5, 4, 6), (2, 9, 3)])
@pytest.mark.parametrize("ridge", [0.05, 2.0])
def test__discriminant_left_out__refit_without_the_shot__equal(counts, ridge):
    shots = make(counts)
    coordinates, _ = shot_coordinates(
        shot_kernel(shots, frame_of_shots(shots, "before"), np.ones(3) / 3, None)
    )
    ((scores, parameters),) = leave_one_out_gaussian_scores(coordinates, shots, np.array([ridge]))
    d = coordinates.shape[1]

    def parts(points, codes):
        means = np.array([points[codes == k].mean(axis=0) for k in range(3)])
        scatter = sum(np.outer(p - means[c], p - means[c]) for p, c in zip(points, codes, strict=True))
        precision = np.linalg.inv(scatter / d + ridge * np.trace(scatter) / (len(codes) - 1) / d * np.eye(d))
        return means, precision

    def gaussian(points, codes, query, noise):
        means, precision = parts(points, codes)
        scores = [-0.5 * (query - m) @ precision @ (query - m) for m in means]
        return np.array(scores) + 0.5 * noise / np.bincount(codes)

    deviations = []
    for shot, code in enumerate(shots.codes):
        rest = np.arange(len(shots.codes)) != shot
        means, precision = parts(coordinates[rest], shots.codes[rest])
        off, n = coordinates[shot] - means[code], counts[code]
        deviations.append(off @ precision @ off * (n - 1) / n)
    deviations = np.array(deviations)
    for shot in range(len(shots.codes)):
        rest = np.arange(len(shots.codes)) != shot
        noise = deviations[rest].mean()
        wanted = gaussian(coordinates[rest], shots.codes[rest], coordinates[shot], noise)
        assert scores[shot] == pytest.approx(wanted, rel=1e-6, abs=1e-7)
    noise = deviations.mean()
    whole = np.array([gaussian(coordinates, shots.codes, one, noise) for one in coordinates])
    linear = coordinates @ parameters["weights"].T + parameters["offsets"]
    assert linear - linear[:, :1] == pytest.approx(whole - whole[:, :1], abs=1e-7)


@pytest.mark.parametrize("counts", [(5, 4, 6), (1, 4, 6), (1, 1, 1)])
def test__head_losses__plain_loop__equal(counts):
    from savs.classifiers import GaussianRule

    shots, rule = make(counts), GaussianRule(unbiased=True)
    weights = [1 / (3 * counts[code]) for code in shots.codes]
    logs, errors = [], []
    for block in shots.blocks():
        for vectors in block.vectors:
            scores = rule.held_out_scores(vectors[None].copy(), shots)[0]
            own = rule.scores(vectors[None], rule.fit(vectors[None].copy(), shots), shots.codes)[0]
            sole = np.array(counts)[shots.codes] == 1
            scores[sole] = own[sole]
            true = [softmax(row / 10)[code] for row, code in zip(scores, shots.codes, strict=True)]
            logs.append(-np.dot(weights, np.log(true)))
            wrong = [row.argmax() != code for row, code in zip(scores, shots.codes, strict=True)]
            errors.append(np.dot(weights, wrong))
    assert head_losses(shots, "log_loss") == pytest.approx(logs)
    assert head_losses(shots, "error") == pytest.approx(errors)


@pytest.mark.parametrize("kernel", ["linear", "rbf"])
def test__ridge_classifier__by_hand__same_scores(kernel):
    shots = make()
    labels, queries = shots.codes, make(seed=3).rows
    fitted = KernelRidgeClassifier(kernel, layout=LAYOUT).fit(shots.rows, labels)
    means, gamma = shots.rows.mean(axis=0), None if kernel == "linear" else 2.0
    inner = kernel_oracle(shots.rows, shots.rows, means, fitted.head_weights_, gamma) + 1
    outer = kernel_oracle(queries, shots.rows, means, fitted.head_weights_, gamma) + 1
    balance = shots.counts[labels] * 3 / len(labels)
    inner += fitted.penalty_ * len(labels) * np.diag(balance)
    scores = outer @ np.linalg.solve(inner, shots.membership)
    wanted = softmax(scores / fitted.temperature_)
    assert fitted.predict_proba(queries) == pytest.approx(wanted, abs=1e-8)


def test__classes_on_a_line__discriminant_keeps_the_middle_one():
    rng = np.random.default_rng(0)
    codes = np.repeat(np.arange(5), 12)
    along = np.outer(codes - 2.0, np.ones(30)) + 0.3 * rng.standard_normal((60, 30))
    angles = np.concatenate([np.cos(along / 2), np.sin(along / 2)], axis=1)
    fitted = KernelDiscriminantClassifier(layout=(1, 1, 60)).fit(angles, codes)
    assert (fitted.predict(angles) == codes).mean() > 0.95


def test__weights__better_heads_weigh_more():
    rng = np.random.default_rng(0)
    codes = np.repeat([0, 1], 10)
    rows = rng.standard_normal((20, LAYOUT.width))
    rows[:, LAYOUT.columns((0, 1))] += 4 * codes[:, None]
    for kind in (KernelRidgeClassifier, KernelDiscriminantClassifier):
        weights = kind(layout=LAYOUT).fit(rows, codes).head_weights_
        assert weights.argmax() == 1
        assert weights.sum() == pytest.approx(1)
        assert kind(layout=LAYOUT, sharpness=0).fit(rows, codes).head_weights_ == pytest.approx([1 / 3] * 3)


def test__too_many_shots__clear_error(monkeypatch):
    monkeypatch.setattr(kernels, "MAX_KERNEL_SHOTS", 10)
    with pytest.raises(DataError, match="15 shots are too many"):
        KernelRidgeClassifier(layout=LAYOUT).fit(make().rows, make().codes)


def test__centring_after__plain_loop__same_kernel():
    shots, weights = make(), np.array([0.5, 0.2, 0.3])
    wanted = np.zeros((len(shots.codes), len(shots.codes)))
    for head, weight in zip(LAYOUT.heads, weights, strict=True):
        vectors = shots.rows[:, LAYOUT.columns(head)]
        unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
        residuals = unit - unit.mean(axis=0)
        wanted += weight * residuals @ residuals.T / np.mean(np.sum(residuals**2, axis=1))
    found = shot_kernel(shots, frame_of_shots(shots, "after"), weights, None)
    assert found == pytest.approx(wanted)
    assert np.trace(found) == pytest.approx(len(found))


def test__centring_none__plain_loop__same_kernel():
    shots, weights = make(), np.ones(3) / 3
    wanted = kernel_oracle(shots.rows, shots.rows, np.zeros(LAYOUT.width), weights, None)
    assert shot_kernel(shots, frame_of_shots(shots, "none"), weights, None) == pytest.approx(wanted)
