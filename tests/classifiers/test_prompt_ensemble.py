"""One classifier per prompt: rows side by side, weights from held-out shots, the mean probability."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.base import clone

from savs.classifiers import Method, SAVClassifier, Shots, State, make_method
from savs.classifiers._support_set import nested_folds
from savs.classifiers.prompt_ensemble import (
    PromptEnsembleClassifier,
    PromptMethod,
    PromptRows,
    mixed_out_of_fold,
    prompt_weights,
    restored,
)
from savs.layout import Head, HeadLayout

ONE = HeadLayout.from_layers([(0, 3, 4), (1, 2, 6)])
N_CLASSES = 3


def support(n_prompts: int = 3, per_class: int = 6, layout: HeadLayout = ONE, noise=(0.6, 1.0, 4.0)):
    """Rows of each prompt; the last prompt hardly shows the class."""
    rng = np.random.default_rng(3)
    codes = np.arange(N_CLASSES).repeat(per_class)
    means = rng.standard_normal((N_CLASSES, layout.width))
    of_each = [
        (means[codes] + scale * rng.standard_normal((len(codes), layout.width))).astype(np.float32)
        for scale in noise[:n_prompts]
    ]
    return of_each, codes


def fitted(method: str = "sav", layout: HeadLayout = ONE, per_class: int = 6, **settings):
    of_each, codes = support(per_class=per_class, layout=layout)
    rows = PromptRows.of(layout, len(of_each))
    classes = np.array(["a", "b", "c"])
    made = PromptMethod(Method(method, **settings), rows).make(rows.layout, classes)
    shots = Shots(rows.joined(of_each), codes, N_CLASSES, rows.layout)
    return made.fit_shots(classes, shots), of_each, codes, shots


# Rows side by side.


@pytest.mark.parametrize("layout", [ONE, ONE.with_state(5), ONE.with_state(5, layer=4)])
def test__rows__of_all_prompts__hold_each_prompts_own_at_its_columns(layout) -> None:
    rows = PromptRows.of(layout, 3)
    of_each = [100 * prompt + np.arange(layout.width, dtype=float)[None] for prompt in range(3)]
    joined = rows.joined(of_each)
    assert joined.shape == (1, rows.layout.width)
    for prompt, own in enumerate(of_each):
        np.testing.assert_array_equal(joined[:, rows.columns(prompt)], own)
        for head, moved in zip(layout.heads, rows.moved(layout.heads, prompt), strict=True):
            np.testing.assert_array_equal(joined[:, rows.layout.columns(moved)], own[:, layout.columns(head)])
    if layout.state is not None:
        states = np.hstack([own[:, layout.heads_width :] for own in of_each])
        np.testing.assert_array_equal(joined[:, rows.layout.columns(rows.layout.state_head)], states)


# Weights.


def test__weights__equal_a_plain_loop_over_prompts_and_shots() -> None:
    rng = np.random.default_rng(0)
    logs = np.log(rng.dirichlet(np.ones(N_CLASSES), (4, 10)))
    codes = rng.integers(0, N_CLASSES, 10)
    logs[:, 7] = np.nan  # was never held out
    raw = []
    for prompt in range(4):
        loss = 0.0
        for shot in range(10):
            if shot != 7:
                loss -= logs[prompt, shot, codes[shot]] / 9
        raw.append(np.exp(-4 * loss))
    np.testing.assert_allclose(prompt_weights(logs, codes), np.array(raw) / sum(raw), rtol=1e-12)


def test__weights__nothing_held_out__equal() -> None:
    assert prompt_weights(np.full((4, 2, 2), np.nan), np.array([0, 1])).tolist() == [0.25] * 4


def test__out_of_fold__equals_a_plain_loop__weights_never_see_the_shots_own_fold() -> None:
    rng = np.random.default_rng(1)
    logs = np.log(rng.dirichlet(np.ones(2), (2, 6)))
    codes = np.array([0, 0, 0, 1, 1, 1])
    folds = [np.array([0, 3]), np.array([1, 4]), np.array([2])]  # 5 is in none
    logs[:, 5] = np.nan
    found = mixed_out_of_fold(logs, codes, folds)
    for fold in folds:
        others = [shot for shot in range(5) if shot not in fold]
        raw = [np.exp(4 * np.mean([logs[p, s, codes[s]] for s in others])) for p in range(2)]
        for shot in fold:
            mean = sum(w * np.exp(logs[p, shot]) for p, w in enumerate(raw)) / sum(raw)
            np.testing.assert_allclose(np.exp(found[shot]), mean, rtol=1e-12)
    assert np.isnan(found[5]).all()
    flipped = codes.copy()
    flipped[folds[0]] = 1 - flipped[folds[0]]
    np.testing.assert_array_equal(mixed_out_of_fold(logs, flipped, folds)[folds[0]], found[folds[0]])


# The classifier.


@pytest.mark.parametrize("method", ["sav", "mean_proba", "kernel_ridge", "auto"])
def test__fit__each_prompt__is_the_classifier_of_its_rows_alone(method) -> None:
    made, of_each, codes, shots = fitted(method)
    folds = made.cross_validation_folds(shots)
    logs = []
    for estimator, own in zip(made.estimators_, of_each, strict=True):
        alone = make_method(method, ONE).fit(own, np.array(["a", "b", "c"])[codes])
        np.testing.assert_array_equal(estimator.predict_proba(own), alone.predict_proba(own))
        assert estimator.heads_ == alone.heads_
        logs.append(alone.out_of_fold_log_proba(Shots(own, codes, N_CLASSES, ONE), folds))
    np.testing.assert_allclose(made.weights_, prompt_weights(np.stack(logs), codes), rtol=1e-12)
    np.testing.assert_allclose(
        made.out_of_fold_log_proba(shots, folds), mixed_out_of_fold(np.stack(logs), codes, folds), rtol=1e-12
    )
    mean = sum(
        w * e.predict_proba(own) for w, e, own in zip(made.weights_, made.estimators_, of_each, strict=True)
    )
    np.testing.assert_allclose(made.predict_proba(shots.rows), mean, rtol=1e-12)
    assert (made.predict(shots.rows) == made.classes_[mean.argmax(axis=1)]).mean() > 0.9


def test__fit__prompt_that_shows_nothing__hardly_counts() -> None:
    made, *_ = fitted("mean_proba")
    assert made.weights_[2] < 0.1 < made.weights_[0]
    assert made.selection_report_["prompts"][2]["weight"] == made.weights_[2]


def test__fit__one_shot_per_class__equal_weights() -> None:
    made, *_ = fitted("sav", per_class=1)
    assert made.weights_.tolist() == [1 / 3] * 3
    assert made.selection_report_["prompts"][0]["log_loss"] is None


def test__out_of_fold__unfitted_copy_on_other_folds__equals_refits() -> None:
    made, _, codes, shots = fitted("mean_proba")
    folds = nested_folds(codes, 3)
    kept: list[list[Head]] = []
    found = clone(made).out_of_fold_log_proba(shots, folds, kept)
    np.testing.assert_allclose(made.out_of_fold_log_proba(shots, folds), found, rtol=1e-12)
    assert len(kept) == len(folds)


@pytest.mark.parametrize("method", ["sav", "auto", "last_state", "ensemble"])
@pytest.mark.parametrize("layout", [ONE.with_state(5)])
def test__restricted__to_the_heads_in_use__same_answers_and_state(method, layout) -> None:
    made, _, _, shots = fitted(method, layout, **({"n_heads": 2} if method == "sav" else {}))
    restricted = made.restrict_to(made.heads_)
    own = shots.rows[:, made.layout_.column_indices(made.heads_)]
    np.testing.assert_array_equal(restricted.predict_proba(own), made.predict_proba(shots.rows))
    assert restricted.restrict_to(restricted.heads_).backbone_heads_ == made.backbone_heads_
    assert len(made.heads_) == (3 if method != "last_state" else 0) * sum(
        not head.is_state for head in made.backbone_heads_
    ) + sum(head.is_state for head in made.backbone_heads_)
    for one in (made, restricted):
        state = one.to_state()
        again = restored(State(dict(state.arrays), state.settings))
        rows = shots.rows if one is made else own
        np.testing.assert_array_equal(again.predict_proba(rows), made.predict_proba(shots.rows))
        assert again.heads_ == one.heads_


def test__heads__of_any_prompt__read_of_all() -> None:
    made, *_ = fitted("sav", n_heads=1)
    used = {estimator.heads_[0] for estimator in made.estimators_}
    assert made.backbone_heads_ == sorted(used)
    assert made.heads_ == [Head(h.layer + 2 * p, h.index) for p in range(3) for h in sorted(used)]


def test__restricted__other_heads_by_prompt__refused() -> None:
    made, *_ = fitted("sav", n_heads=2)
    with pytest.raises(ValueError, match="same heads of all prompts"):
        made.restrict_to([*made.heads_, next(h for h in made.layout_.heads if h not in made.heads_)])


def test__opinions__heads_of_each_prompt_in_turn() -> None:
    made, of_each, _, shots = fitted("sav", n_heads=2)
    found = made.head_opinions(shots.rows)
    assert found is not None
    votes = [e.head_opinions(own).votes for e, own in zip(made.estimators_, of_each, strict=True)]
    np.testing.assert_array_equal(found.votes, np.concatenate(votes))


def test__layout__of_other_rows__refused() -> None:
    of_each, codes = support()
    estimators = [SAVClassifier(n_heads=2) for _ in of_each]
    with pytest.raises(ValueError, match="3 prompts side by side"):
        PromptEnsembleClassifier(estimators, 2, HeadLayout.uniform(2, 2, 6)).fit(np.ones((18, 24)), codes)


@pytest.mark.parametrize(
    ("arrays", "settings"),
    [
        ({"weights": np.array([0.5, 0.5])}, {}),
        ({"weights": np.array([2.0, -0.5, -0.5])}, {}),
        ({"weights": np.array([np.nan, 0.5, 0.5])}, {}),
        ({"3/centroids": np.ones(3)}, {}),
        ({"other": np.ones(3)}, {}),
        ({}, {"classes": ["a", "b", "d"]}),
        ({}, {"parameters": {"n_layers": 1}}),
        ({}, {"parameters": {"n_layers": "2"}}),
        ({}, {"estimators": []}),
    ],
)
def test__state__altered__refused(arrays, settings) -> None:
    state = fitted("sav")[0].to_state()
    with pytest.raises((ValueError, IndexError, TypeError)):
        restored(State({**state.arrays, **arrays}, {**state.settings, **settings}))
