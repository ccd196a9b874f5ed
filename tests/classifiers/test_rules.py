"""Every rule against plain loops, and its leave-one-out against fitting again without the shot."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from savs.classifiers import CosineRule, GaussianRule, NearestShotRule, available_rules, make_rule
from savs.classifiers._support_set import Shots
from savs.layout import HeadLayout

QUICK = settings(max_examples=15, deadline=None)
DIM = 4
LAYOUT = HeadLayout.uniform(1, 3, DIM)


def make(counts=(4, 3, 5), seed=0, noise=1.0):
    rng = np.random.default_rng(seed)
    codes = rng.permutation(np.repeat(np.arange(len(counts)), counts))
    means = rng.standard_normal((len(counts), LAYOUT.width))
    rows = noise * rng.standard_normal((len(codes), LAYOUT.width)) + means[codes]
    return Shots(rows, codes, len(counts), LAYOUT)


def vectors_of(shots):
    (block,) = shots.blocks()
    return block.vectors


def cosine(a, b):
    norms = np.sqrt(sum(x * x for x in a)) * np.sqrt(sum(x * x for x in b))
    return sum(x * y for x, y in zip(a, b, strict=True)) / norms if norms > 0 else 0.0


def cosine_oracle(vectors, codes, query):
    return [
        cosine(query, np.mean([v for v, c in zip(vectors, codes, strict=True) if c == k], axis=0))
        for k in range(max(codes) + 1)
    ]


def gaussian_parts(vectors, codes, oas=False):
    """[HEC] means and precision in plain numpy, one head."""
    unit = [v / np.linalg.norm(v) for v in vectors]
    n_classes, n, d = max(codes) + 1, len(codes), len(vectors[0])
    means = [
        np.mean([u for u, c in zip(unit, codes, strict=True) if c == k], axis=0) for k in range(n_classes)
    ]
    scatter = sum(np.outer(u - means[c], u - means[c]) for u, c in zip(unit, codes, strict=True))
    if oas:
        freedom = n - n_classes
        s = scatter / freedom
        a, b = np.trace(s @ s), np.trace(s) ** 2
        rho = min(1.0, ((1 - 2 / d) * a + b) / ((freedom + 1 - 2 / d) * (a - b / d)))
        precision = np.linalg.inv((1 - rho) * s + rho * np.trace(s) / d * np.eye(d))
    else:
        s = scatter / (n - 1)
        precision = d * np.linalg.pinv((n - 1) * s + np.trace(s) * np.eye(d))
    return means, precision


def gaussian_oracle(vectors, codes, query, oas=False, prior=False):
    means, precision = gaussian_parts(vectors, codes, oas)
    x = query / np.linalg.norm(query)
    scores = [-0.5 * (x - mean) @ precision @ (x - mean) for mean in means]
    shares = [np.mean([c == k for c in codes]) for k in range(len(means))]
    return np.array(scores) + (np.log(shares) if prior else 0)


def deviations(vectors, codes):
    """Squared deviation of each shot from its class as the others see it, without the others' own noise."""
    found = {}
    for shot, code in enumerate(codes):
        n = codes.count(code)
        if n == 1:
            continue
        rest = [i for i in range(len(codes)) if i != shot]
        means, precision = gaussian_parts([vectors[i] for i in rest], [codes[i] for i in rest])
        off = vectors[shot] / np.linalg.norm(vectors[shot]) - means[code]
        found[shot] = off @ precision @ off * (n - 1) / n
    return found


def noise_of_means(vectors, codes, held_out=None):
    """What the scores of the classes lack for the noise of their means."""
    others = [value for shot, value in deviations(vectors, codes).items() if shot != held_out]
    left = [code for shot, code in enumerate(codes) if shot != held_out]
    noise = np.mean(others) if others else 0.0
    return np.array([0.5 * noise / left.count(k) for k in range(max(codes) + 1)])


def nearest_oracle(vectors, codes, query, center, beta):
    cosines = [cosine(query - center, v - center) for v in vectors]
    by_class = [[s for s, c in zip(cosines, codes, strict=True) if c == k] for k in range(max(codes) + 1)]
    if beta is None:
        return [max(one) for one in by_class]
    return [np.log(np.mean([np.exp(-beta * (1 - s)) for s in one])) for one in by_class]


def oracle(name, vectors, codes, query, center):
    if name == "cosine":
        return cosine_oracle(vectors, codes, query)
    if name in ("gaussian", "hec_v", "oas"):
        return gaussian_oracle(vectors, codes, query, oas=name == "oas", prior=name == "hec_v")
    return nearest_oracle(vectors, codes, query, center, make_rule(name).beta)


def up_to_constant(scores):
    return scores - np.mean(scores, axis=-1, keepdims=True)


@pytest.mark.parametrize("name", available_rules())
def test__scores__plain_loop__equal(name):
    shots, queries = make(), make(seed=9).rows.reshape(-1, 3, DIM)
    rule, vectors = make_rule(name), vectors_of(shots)
    found = rule.scores(queries.transpose(1, 0, 2).copy(), rule.fit(vectors, shots), shots.codes)
    for head in range(3):
        center = vectors[head].mean(axis=0)
        for row, query in enumerate(queries[:, head]):
            wanted = oracle(name, vectors[head], shots.codes.tolist(), query, center)
            if name == "gaussian":
                wanted = wanted + noise_of_means(vectors[head], shots.codes.tolist())
            assert up_to_constant(found[head, row]) == pytest.approx(up_to_constant(wanted), abs=1e-9)


@pytest.mark.parametrize("name", available_rules())
@pytest.mark.parametrize("counts", [(4, 3, 5), (2, 2), (1, 3, 2), (9, 2)])
def test__left_out__refit_without_the_shot__equal(name, counts):
    shots = make(counts, seed=3)
    rule, vectors = make_rule(name), vectors_of(shots)
    found = rule.held_out_scores(vectors.copy(), shots)
    for shot in np.flatnonzero(shots.can_be_held_out):
        rest = np.arange(len(shots.codes)) != shot
        codes = shots.codes[rest].tolist()
        if name == "oas" and len(codes) <= len(counts):
            continue  # no degree of freedom: the rule takes one, the formula has none
        for head in range(3):
            center = vectors[head].mean(axis=0)  # the center knows no labels and stays
            wanted = oracle(name, vectors[head][rest], codes, vectors[head][shot], center)
            if name == "gaussian":
                wanted = wanted + noise_of_means(vectors[head], shots.codes.tolist(), shot)
            assert up_to_constant(found[head, shot]) == pytest.approx(up_to_constant(wanted), abs=1e-8)


@pytest.mark.parametrize("name", available_rules())
@QUICK
@given(seed=st.integers(0, 1000), power=st.integers(-600, 600))
def test__rescaled_head__same_scores(name, seed, power):
    shots = make(seed=seed)
    rule, vectors = make_rule(name), vectors_of(shots)
    scaled = vectors * 2.0**power
    assert rule.held_out_scores(scaled.copy(), shots) == pytest.approx(
        rule.held_out_scores(vectors.copy(), shots), abs=1e-9
    )


@pytest.mark.parametrize("name", available_rules())
@QUICK
@given(seed=st.integers(0, 1000))
def test__order_of_shots_and_classes__changes_nothing(name, seed):
    shots = make(seed=seed)
    order = np.random.default_rng(seed).permutation(len(shots.codes))
    renamed = np.array([2, 0, 1])
    other = Shots(shots.rows[order], renamed[shots.codes[order]], 3, LAYOUT)
    rule = make_rule(name)
    one, two = rule.held_out_scores(vectors_of(shots), shots), rule.held_out_scores(vectors_of(other), other)
    assert two[:, :, renamed] == pytest.approx(one[:, order], abs=1e-9)


@pytest.mark.parametrize("name", available_rules())
def test__fault_20__zero_vectors__finite_scores(name):
    shots = make()
    shots.rows[0] = 0
    shots.rows[:, :DIM] = 0
    rule, vectors = make_rule(name), vectors_of(shots)
    assert np.isfinite(rule.held_out_scores(vectors.copy(), shots)).all()
    scores = rule.scores(np.zeros_like(vectors), rule.fit(vectors.copy(), shots), shots.codes)
    assert np.isfinite(scores).all()
    if name == "cosine":
        assert not scores.any()


@pytest.mark.parametrize("name", available_rules())
def test__identical_shots__finite_scores(name):
    shots = Shots(np.ones((6, LAYOUT.width)), np.array([0, 1, 0, 1, 0, 1]), 2, LAYOUT)
    rule, vectors = make_rule(name), vectors_of(shots)
    assert np.isfinite(rule.held_out_scores(vectors.copy(), shots)).all()
    assert np.isfinite(rule.scores(vectors, rule.fit(vectors.copy(), shots), shots.codes)).all()


def test__cosine__other_shots_cancel__no_direction_from_rounding():
    rows = np.array([[0.1, 0.7], [0.3, 0.2], [-0.3, -0.2], [1.0, 0.0]])
    shots = Shots(rows, np.array([0, 0, 0, 1]), 2, HeadLayout.uniform(1, 1, 2))
    assert CosineRule().held_out_scores(vectors_of(shots), shots)[0, 0, 0] == 0


def test__gaussian__larger_ridge__nearer_to_centroids():
    shots = make()
    vectors = vectors_of(shots)
    wide = GaussianRule(ridge=1e9).held_out_scores(vectors.copy(), shots)
    unit = vectors / np.linalg.norm(vectors, axis=2, keepdims=True)
    for head in range(3):
        for shot in range(len(shots.codes)):
            rest = np.arange(len(shots.codes)) != shot
            far = [
                np.sum((unit[head, shot] - unit[head][rest & (shots.codes == k)].mean(axis=0)) ** 2)
                for k in range(3)
            ]
            assert wide[head, shot].argmax() == np.argmin(far)


def test__unbiased__class_of_one_shot_among_many__is_answered_as_often():
    """In many dimensions, one shot lies farther from the others of its class than their mean does."""
    dim, n_many = 64, 40
    layout, rng = HeadLayout.uniform(1, 1, dim), np.random.default_rng(0)
    centers = np.zeros((2, dim))
    centers[:, 0] = -2.0, 2.0

    def draw(code, n):
        return centers[code] + rng.standard_normal((n, dim)) / 2

    hits = {True: [], False: []}
    for _ in range(20):
        shots = Shots(
            np.concatenate([draw(0, 1), draw(1, n_many)]), np.repeat([0, 1], [1, n_many]), 2, layout
        )
        queries = np.concatenate([draw(0, 50), draw(1, 50)])[None]
        for unbiased, found in hits.items():
            rule = GaussianRule(unbiased=unbiased)
            scores = rule.scores(queries, rule.fit(vectors_of(shots), shots), shots.codes)[0]
            answers = scores.argmax(axis=1)
            found.append([(answers[:50] == 0).mean(), (answers[50:] == 1).mean()])
    sole, many = np.mean(hits[True], axis=0)
    assert abs(sole - many) < 0.1
    assert min(sole, many) > 0.75
    assert np.mean(hits[False], axis=0)[0] < sole - 0.2


def test__unbiased__as_many_shots_of_each_class__fit_unchanged():
    shots = make((4, 4, 4))
    vectors = vectors_of(shots)
    plain, unbiased = (GaussianRule(unbiased=way).fit(vectors.copy(), shots) for way in (False, True))
    assert np.array_equal(plain["offsets"], unbiased["offsets"])


@pytest.mark.parametrize("counts", [(2, 1), (2, 1, 1), (2, 4)])
@pytest.mark.parametrize("spread", [0.0, 1e-5])
@pytest.mark.parametrize("covariance", ["ridge", "oas"])
def test__scatter_of_one_class_of_two__no_other_class_lost_or_favored(counts, spread, covariance):
    """Without one of the two shots, only rounding or what near copies differ by is left of the scatter."""
    dim, n_heads, rng = 16, 40, np.random.default_rng(2)
    layout, codes = HeadLayout.uniform(1, n_heads, dim), np.repeat(np.arange(len(counts)), counts)
    means = 2 * rng.standard_normal((len(counts), layout.width))
    widths = np.where(codes == 0, 1.0, spread)[:, None]
    shots = Shots(
        means[codes] + widths * rng.standard_normal((len(codes), layout.width)), codes, len(counts), layout
    )
    rule, vectors = GaussianRule(covariance, unbiased=True), vectors_of(shots)
    parameters = rule.fit(vectors.copy(), shots)
    assert np.ptp(parameters["offsets"], axis=1).max() < 20 * dim
    queries = means.reshape(len(counts), n_heads, dim).transpose(1, 0, 2)
    answers = rule.scores(queries, parameters, codes).argmax(axis=2)
    assert (answers == np.arange(len(counts))).mean() > 0.95


@pytest.mark.parametrize("counts", [(2, 1), (2, 1, 1)])
@pytest.mark.parametrize("unbiased", [False, True])
def test__left_out__all_scatter_was_the_shots__as_one_shot_per_class(counts, unbiased):
    shots = make(counts, seed=5)
    vectors = vectors_of(shots)
    found = GaussianRule(unbiased=unbiased).held_out_scores(vectors.copy(), shots)
    for shot in np.flatnonzero(shots.can_be_held_out):
        for head in range(3):
            unit = [v / np.linalg.norm(v) for v in vectors[head]]
            nearest = [
                next(u for i, u in enumerate(unit) if shots.codes[i] == k and i != shot)
                for k in range(len(counts))
            ]
            wanted = [-0.5 * DIM * np.sum((unit[shot] - one) ** 2) for one in nearest]
            assert up_to_constant(found[head, shot]) == pytest.approx(up_to_constant(wanted), rel=1e-6)


def test__nearest__far_class__no_underflow():
    rows = np.array([[1.0, 0.0], [1.0, 0.1], [-1.0, 0.0], [-1.0, 0.1]])
    shots = Shots(rows, np.array([0, 0, 1, 1]), 2, HeadLayout.uniform(1, 1, 2))
    rule = NearestShotRule(beta=1e4, center=False)
    assert np.isfinite(rule.held_out_scores(vectors_of(shots), shots)).all()


def test__make_rule__unknown__error():
    with pytest.raises(ValueError, match="rule must be one of"):
        make_rule("euclid")


@pytest.mark.parametrize("name", ["gaussian", "hec_v", "oas"])
def test__one_shot_per_class__the_nearest_one_wins(name):
    rows = np.array([[1.0, 0, 0], [0, 1, 0], [0, 0, 1]])
    shots = Shots(rows, np.arange(3), 3, HeadLayout.uniform(1, 1, 3))
    rule = make_rule(name)
    queries = np.array([[[5.0, 1, 0], [1, 4, 0], [0, 0.1, 0.3]]])
    scores = rule.scores(queries, rule.fit(rows[None], shots), shots.codes)
    assert scores[0].argmax(axis=1).tolist() == [0, 1, 2]
