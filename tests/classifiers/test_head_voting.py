"""Pooling of head scores: ranking, numbers of heads, votes, class-conditional weights."""

from __future__ import annotations

import numpy as np
import pytest

from savs.classifiers import HeadVoteClassifier, SAVClassifier, make_rule
from savs.classifiers._probabilities import fit_temperature, softmax
from savs.classifiers._support_set import Shots
from savs.classifiers.ensemble import make_base_estimator
from savs.classifiers.head_scoring import choose_n_heads, fit_head_temperatures, rank_heads, true_class_values
from savs.errors import DataError
from savs.layout import Head, HeadLayout

LAYOUT = HeadLayout.from_layers([(0, 4, 3), (1, 3, 5)])


def make(seed=0, counts=(6, 6, 6), noise=1.0):
    rng = np.random.default_rng(seed)
    codes = np.repeat(np.arange(len(counts)), counts)
    means = rng.standard_normal((len(counts), LAYOUT.width))
    means[:, : LAYOUT.width // 2] *= 0.2
    rows = noise * rng.standard_normal((len(codes), LAYOUT.width)) + means[codes]
    return rows, codes, noise * rng.standard_normal((25, LAYOUT.width)) + means[rng.integers(0, 3, 25)]


def test__hec_v__paper_step_by_step__same_probabilities_and_heads():
    rows, codes, queries = make(counts=(6, 4, 8))
    fitted = make_base_estimator("hec_v", LAYOUT).set_params(n_heads=3).fit(rows, codes)
    scores, pooled = {}, {}
    for head in LAYOUT.heads:
        columns = LAYOUT.columns(head)
        x = rows[:, columns] / np.linalg.norm(rows[:, columns], axis=1, keepdims=True)
        q = queries[:, columns] / np.linalg.norm(queries[:, columns], axis=1, keepdims=True)
        means = np.array([x[codes == k].mean(axis=0) for k in range(3)])
        n, d = x.shape
        s = sum(np.outer(a - means[c], a - means[c]) for a, c in zip(x, codes, strict=True)) / (n - 1)
        p = d * np.linalg.pinv((n - 1) * s + 1.0 * np.trace(s) * np.eye(d))
        prior = np.log(np.bincount(codes) / n)

        def z(points, means=means, p=p, prior=prior):
            logits = [[-0.5 * (a - m) @ p @ (a - m) for m in means] for a in points]
            return softmax((np.array(logits) + prior) / 10)

        scores[head] = z(x)[np.arange(n), codes].mean()
        pooled[head] = z(q)
    best = sorted(LAYOUT.heads, key=lambda head: -scores[head])[:3]
    assert fitted.heads_ == best
    assert fitted.head_scores_ == pytest.approx([scores[head] for head in LAYOUT.heads])
    mean = np.mean([pooled[head] for head in best], axis=0)
    assert fitted.predict(queries).tolist() == mean.argmax(axis=1).tolist()
    raw = fitted._raw_scores(queries[:, LAYOUT.column_indices(best)], LAYOUT.select(best))
    assert np.exp(raw) == pytest.approx(mean)


def test__leave_one_out_majority__plain_loop__same_scores():
    rows, codes, _ = make()
    fitted = HeadVoteClassifier(voting="majority", temperature=0.1, n_heads=3, layout=LAYOUT).fit(rows, codes)
    for position, head in enumerate(LAYOUT.heads):
        x = rows[:, LAYOUT.columns(head)]
        total = 0.0
        for shot in range(len(x)):
            rest = np.arange(len(x)) != shot
            means = [x[rest & (codes == k)].mean(axis=0) for k in range(3)]
            cosines = [x[shot] @ m / np.linalg.norm(x[shot]) / np.linalg.norm(m) for m in means]
            total += softmax(np.array(cosines) / 0.1)[codes[shot]]
        assert fitted.head_scores_[position] == pytest.approx(total / len(x))


def test__in_sample_majority__same_heads_as_votes__labels_of_published_rule():
    rows, codes, queries = make()
    published = SAVClassifier(n_heads=7, layout=LAYOUT).fit(rows, codes)
    ours = HeadVoteClassifier(
        voting="majority", scoring="in_sample", n_heads=7, heads=published.heads_, layout=LAYOUT
    ).fit(rows, codes)
    votes = published.votes(queries)
    order = [published.heads_.index(head) for head in ours.heads_]
    for row, answer in zip(votes[:, order], ours.predict(queries), strict=True):
        counts = np.bincount(row, minlength=3)
        leaders = {k for k in range(3) if counts[k] == counts.max()}
        assert answer == next(vote for vote in row if vote in leaders)


def test__class_conditional__plain_loop__same_scores():
    rows, codes, queries = make()
    fitted = HeadVoteClassifier(voting="class_conditional", temperature=0.2, n_heads=2, layout=LAYOUT).fit(
        rows, codes
    )
    shots = Shots(rows, codes, 3, LAYOUT)
    reliability, shares = np.zeros((7, 3)), np.zeros((7, len(queries), 3))
    for positions, vectors in shots.blocks():
        out_of_fold = softmax(make_rule("cosine").held_out_scores(vectors.copy(), shots) / 0.2)
        parameters = make_rule("cosine").fit(vectors, shots)
        for place, head in enumerate(positions):
            x = queries[:, LAYOUT.columns(LAYOUT.heads[head])]
            cosines = x @ parameters["centroids"][place].T / np.linalg.norm(x, axis=1, keepdims=True)
            shares[head] = softmax(cosines / 0.2)
            for k in range(3):
                gains = [
                    max(0.0, out_of_fold[place, i, k] - max(np.delete(out_of_fold[place, i], k)))
                    for i in np.flatnonzero(codes == k)
                ]
                reliability[head, k] = np.mean(gains)
    wanted = np.zeros((len(queries), 3))
    for k in range(3):
        best = np.argsort(-reliability[:, k])[:2]
        weights = reliability[best, k] / reliability[best, k].sum()
        wanted[:, k] = (weights[:, None] * shares[best, :, k]).sum(axis=0)
    raw = fitted._raw_scores(queries[:, LAYOUT.column_indices(fitted.heads_)], LAYOUT.select(fitted.heads_))
    assert np.exp(raw) == pytest.approx(wanted)


def test__cross_validated__shots_never_score_themselves():
    rng = np.random.default_rng(0)
    rows, codes = rng.standard_normal((40, 60)), np.repeat([0, 1], 20)
    scores = {
        scoring: HeadVoteClassifier("gaussian", scoring=scoring, temperature=0.2, layout=(1, 1, 60)).fit(
            rows, codes
        )
        for scoring in ("in_sample", "cross_validated", "leave_one_out")
    }
    assert scores["in_sample"].head_scores_[0] > 0.9
    assert scores["cross_validated"].head_scores_[0] < 0.7
    assert scores["leave_one_out"].head_scores_[0] < 0.7


def test__n_heads__auto_all_integer():
    rng = np.random.default_rng(0)
    codes = np.repeat([0, 1], 15)
    rows = 2 * rng.standard_normal((30, LAYOUT.width))
    rows[:, LAYOUT.columns((1, 2))] += 6 * codes[:, None] - 3
    few = HeadVoteClassifier("gaussian", temperature=None, n_heads="auto", layout=LAYOUT).fit(rows, codes)
    assert few.heads_[0] == Head(1, 2)
    assert len(few.heads_) == min(few.n_heads_losses_, key=few.n_heads_losses_.get) < 7
    everything = HeadVoteClassifier("gaussian", n_heads="all", layout=LAYOUT).fit(rows, codes)
    assert len(everything.heads_) == 7
    weights = everything.arrays_["weights"][:, 0]
    assert weights[0] == weights.max()
    assert weights.sum() == pytest.approx(1)
    assert len(HeadVoteClassifier(n_heads=50, layout=LAYOUT).fit(rows, codes).heads_) == 7


def test__choose_n_heads__plain_loop__same_losses():
    rng = np.random.default_rng(0)
    codes = np.arange(12) % 3
    shares = softmax(rng.standard_normal((6, 12, 3)) + 2 * np.eye(3)[codes])
    chosen, losses = choose_n_heads(shares, codes, 4)
    assert set(losses) == {1, 2, 3, 4, 5, 6}
    for k, loss in losses.items():
        scores = np.log(shares[:k].mean(axis=0))
        temperature = fit_temperature(scores, codes)
        wanted = [-np.log(softmax(row / temperature)[code]) for row, code in zip(scores, codes, strict=True)]
        assert loss == pytest.approx(np.mean(wanted))
    assert chosen in losses
    assert choose_n_heads(shares[:, :1], codes[:1], 4) == (4, {})


def test__choose_n_heads__noise_after_two_heads__two_clearly_better_than_default():
    rng = np.random.default_rng(0)
    codes = np.arange(90) % 3
    scores = rng.standard_normal((20, 90, 3))
    scores[:2] += 3 * np.eye(3)[codes]
    scores[2:] *= 4
    assert choose_n_heads(softmax(scores), codes, 20)[0] in (1, 2, 3)


def test__given_heads__only_these_are_kept():
    rows, codes, _ = make()
    fitted = HeadVoteClassifier(heads=[(1, 2), (0, 1)], layout=LAYOUT).fit(rows, codes)
    assert set(fitted.heads_) == {Head(1, 2), Head(0, 1)}
    assert np.isnan(fitted.head_scores_).sum() == 5


def test__margin__true_class_less_best_other():
    shares = np.array([[[0.5, 0.3, 0.2], [0.1, 0.6, 0.3]]])
    assert true_class_values(shares, np.array([0, 2]), "margin") == pytest.approx(np.array([[0.2, -0.3]]))


def test__ranking__equal_scores__lower_layer_and_index_first():
    layout = HeadLayout(((2, 0), (0, 1), (0, 0)), (1, 1, 1))
    assert rank_heads(np.array([[0.5], [0.5], [0.5]]), layout).tolist() == [2, 1, 0]


def test__head_temperatures__informative_head_sharper_than_noise():
    rng = np.random.default_rng(0)
    codes = np.repeat([0, 1], 30)
    scores = rng.standard_normal((2, 60, 2))
    scores[0, np.arange(60), codes] += 4
    sharp, flat = fit_head_temperatures(scores, codes)
    assert sharp < flat


@pytest.mark.parametrize(
    "settings_",
    [
        {"rule": "cosine"},
        {"rule": "cosine", "voting": "majority", "scoring": "in_sample"},
        {"rule": "cosine", "voting": "class_conditional"},
        {"rule": "cosine", "n_heads": "all"},
        {"rule": "gaussian"},
        {"rule": "hec_v", "scoring": "in_sample"},
        {"rule": "oas", "scoring": "cross_validated"},
        {"rule": "oas"},
        {"rule": "nearest"},
        {"rule": "near"},
    ],
    ids=lambda one: "-".join(one.values()),
)
def test__large_table__made_in_slices_and_float32__same_heads_and_probabilities(settings_, monkeypatch):
    layout = HeadLayout.from_layers([(0, 3, 4), (2, 2, 6)])
    rng = np.random.default_rng(4)
    codes = rng.permutation(np.append(np.repeat(np.arange(5), 7), 5))  # the sixth class has one shot
    means = 2 * rng.standard_normal((6, layout.width))
    rows = rng.standard_normal((36, layout.width)) + means[codes]
    queries = rng.standard_normal((20, layout.width)) + means[rng.integers(0, 6, 20)]
    settings_ = {"n_heads": 3, **settings_}
    small = HeadVoteClassifier(layout=layout, **settings_).fit(rows, codes)
    monkeypatch.setattr("savs.classifiers._support_set._LARGE_TABLE", 8)
    monkeypatch.setattr("savs.classifiers._numerics.TABLE_SLICE", 30)
    monkeypatch.setattr("savs.classifiers._probabilities._LARGE", 8)
    large = HeadVoteClassifier(layout=layout, **settings_).fit(rows, codes)
    assert large.heads_ == small.heads_
    assert large.temperature_ == pytest.approx(small.temperature_, rel=1e-4)
    assert large.out_of_fold_log_proba_ == pytest.approx(small.out_of_fold_log_proba_, abs=1e-3, nan_ok=True)
    assert large.predict_proba(queries) == pytest.approx(small.predict_proba(queries), abs=1e-5)


def test__large_table__number_of_heads_by_comparison__refused(monkeypatch):
    monkeypatch.setattr("savs.classifiers._support_set._LARGE_TABLE", 8)
    rng = np.random.default_rng(0)
    with pytest.raises(DataError, match="give a number"):
        HeadVoteClassifier(n_heads="auto").fit(rng.standard_normal((12, 4)), np.arange(12) % 3)


def test__one_shot_per_class__many_classes__few_rows_are_scored_at_once(monkeypatch):
    """A table of all shots by all classes for every head does not fit the memory where classes are many."""
    n_classes = 60
    rows = np.random.default_rng(0).standard_normal((n_classes, LAYOUT.width))
    codes, wanted = np.arange(n_classes), {}
    for rule in ("cosine", "gaussian"):
        wanted[rule] = HeadVoteClassifier(rule, n_heads=3, layout=LAYOUT).fit(rows, codes)
    monkeypatch.setattr("savs.classifiers._support_set._LARGE_TABLE", 8)
    monkeypatch.setattr("savs.classifiers._numerics.TABLE_SLICE", 5 * n_classes)
    monkeypatch.setattr("savs.classifiers.base._CHUNK_VALUES", 5 * (LAYOUT.width + 3 * n_classes))
    for rule, whole in wanted.items():
        seen, original = [], type(make_rule(rule)).scores

        def scores(self, vectors, parameters, codes, seen=seen, original=original):
            seen.append(vectors.shape[1])
            return original(self, vectors, parameters, codes)

        monkeypatch.setattr(type(make_rule(rule)), "scores", scores)
        fitted = HeadVoteClassifier(rule, n_heads=3, layout=LAYOUT).fit(rows, codes)
        assert seen
        assert max(seen) < 15
        assert fitted.temperature_ == pytest.approx(whole.temperature_)
        assert fitted.heads_ == whole.heads_
