"""Early answers: thresholds on held-out shots, and a classifier that looks only as deep as it must."""

from __future__ import annotations

import json

import numpy as np
import pytest
from sklearn.base import clone

from savs.classifiers import Method, make_method
from savs.classifiers._support_set import Shots
from savs.classifiers.cascade import PRIOR_SHOTS, CascadeClassifier, exit_thresholds
from savs.classifiers.methods import classifier_from_state
from savs.errors import ActivationError
from savs.layout import HeadLayout

LAYOUT = HeadLayout.uniform(8, 2, 4)
METHODS = ("sav", "kernel_ridge", "hec_v", "ensemble", "auto")


def make(seed=0, shots=40, hard=0.3, n_test=300):
    """Two classes; a share of the examples shows its class only in the last two layers."""
    rng = np.random.default_rng(seed)

    def draw(n):
        codes = rng.permutation(np.arange(n) % 2)
        rows = rng.standard_normal((n, LAYOUT.width))
        shows = rng.random(n) >= hard
        rows[:, :48] += 4 * (2 * codes - 1)[:, None] * shows[:, None]
        rows[:, 48:] += 4 * (2 * codes - 1)[:, None]
        return rows.astype(np.float32), codes

    return draw(2 * shots), draw(n_test)


def fitted(method="kernel_ridge", exit_early=0.02, **options):
    (rows, codes), test = make(**options)
    cascade = CascadeClassifier(make_method(method), exit_early=exit_early, layout=LAYOUT)
    return cascade.fit(rows, codes), rows, codes, test


def plain_thresholds(tables, codes, allowed):
    """The rule of `exit_thresholds`, shot by shot."""
    n, left, spent, found = len(codes), set(range(len(codes))), 0.0, []
    for place, table in enumerate(tables[:-1]):
        best = None
        for limit in sorted({table[i].max() for i in left}, reverse=True):
            over = [i for i in left if table[i].max() >= limit]
            lost = sum(table[i].argmax() != codes[i] == tables[-1][i].argmax() for i in over)
            claim = sum(1 - np.exp(table[i].max()) for i in over) / len(over)
            loss = (lost + lost**0.5 + PRIOR_SHOTS * claim) / (len(over) + PRIOR_SHOTS) * len(over) / n
            if loss > allowed * (place + 1) / (len(tables) - 1) - spent:
                break
            best = limit, max(loss, 0 if best is None else best[1]), over
        if best is None:
            found.append((None, 0.0, 0.0))
            continue
        found.append((best[0], best[1], len(best[2]) / n))
        left, spent = left - set(best[2]), spent + best[1]
    return found


@pytest.mark.parametrize("seed", range(6))
def test__exit_thresholds__random_tables__as_shot_by_shot(seed):
    rng = np.random.default_rng(seed)
    codes = rng.integers(0, 3, 50)
    scores = rng.standard_normal((4, 50, 3)).round(1) + (1 + seed) * np.eye(3)[codes]
    tables = list(scores - np.log(np.exp(scores).sum(axis=2, keepdims=True)))
    found = exit_thresholds(tables, codes, 0.05)
    for one, (limit, loss, share) in zip(found, plain_thresholds(tables, codes, 0.05), strict=True):
        assert (one["log_threshold"] is None) == (limit is None)
        assert limit is None or one["log_threshold"] == pytest.approx(limit, abs=1e-8)
        assert (one["loss"], one["share"]) == pytest.approx((loss, share))
    assert sum(one["loss"] for one in found) <= 0.05 + 1e-12


def test__exit_thresholds__nan_rows_and_no_shots__answer_nothing():
    nothing = np.full((4, 2), np.nan)
    found = exit_thresholds([nothing, nothing], np.zeros(4, np.intp), 0.1)
    assert found == [{"log_threshold": None, "share": 0.0, "loss": 0.0}]


def test__exit_thresholds__few_unsure_shots_all_right__not_taken_for_no_loss():
    table = np.log(np.tile([0.9, 0.1], (6, 1)))
    assert exit_thresholds([table, table], np.zeros(6, np.intp), 0.005)[0]["log_threshold"] is None


@pytest.mark.parametrize("method", METHODS)
def test__cascade__deeper_columns_of_answered_rows__are_not_looked_at(method):
    cascade, _, _, (test, _) = fitted(method, exit_early=0.05)
    layers = cascade.layers_passed(test)
    assert len(set(layers.tolist())) > 1
    cut = test.copy()
    for row, depth in zip(cut, layers.tolist(), strict=True):
        row[depth * 8 :] = np.nan
    assert (cascade.predict(cut) == cascade.predict(test)).all()
    assert np.array_equal(cascade.predict_proba(cut), cascade.predict_proba(test))


def test__cascade__many_draws__lose_no_more_than_is_allowed_and_read_less():
    lost, layers = [], []
    for seed in range(6):
        cascade, rows, codes, (test, truth) = fitted(exit_early=0.02, seed=seed, shots=200, n_test=1000)
        whole = make_method("kernel_ridge", LAYOUT).fit(rows, codes)
        lost.append((whole.predict(test) == truth).mean() - (cascade.predict(test) == truth).mean())
        layers.append(cascade.layers_passed(test).mean())
    assert np.mean(lost) <= 0.02
    assert np.mean(layers) < 7


def test__cascade__nan_in_a_row_that_needs_all_layers__is_named_by_its_place():
    cascade, *_, (rows, _) = fitted()
    late = np.flatnonzero(cascade.layers_passed(rows) == LAYOUT.n_layers)[-1]
    rows = rows.copy()
    rows[late, LAYOUT.columns((7, 1))] = np.nan
    with pytest.raises(ActivationError, match=f"row {late} .*layer 7, head 1"):
        cascade.predict(rows)


def test__cascades_of_two_methods__same_shots_object__as_on_shots_of_their_own():
    (rows, codes), _ = make()
    classes, shared = np.arange(2), Shots(rows, codes, 2, LAYOUT)
    for method in (make_method("lda"), make_method("hec_v"), make_method("hec_v", n_heads=2)):
        cascade = CascadeClassifier(method, exit_early=0.05)
        alone = clone(cascade).fit_shots(classes, Shots(rows, codes, 2, LAYOUT))
        assert cascade.fit_shots(classes, shared).log_thresholds_ == alone.log_thresholds_


def test__cascade__row_that_is_not_answered_early_with_nan__is_refused():
    cascade, _, _, (test, _) = fitted(exit_early=0.05)
    late = test[cascade.layers_passed(test) == 8][:1].copy()
    late[:, 56:] = np.nan
    with pytest.raises(ActivationError):
        cascade.predict(late)


@pytest.mark.parametrize("method", METHODS)
def test__cascade__state__gives_the_same_answers_as_json_and_arrays(method):
    cascade, _, _, (test, _) = fitted(method, exit_early=0.05)
    state = cascade.to_state()
    again = classifier_from_state(state._replace(settings=json.loads(json.dumps(state.settings))))
    assert np.array_equal(again.predict_proba(test), cascade.predict_proba(test))
    assert again.to_state().settings == state.settings
    assert again.heads_ == cascade.heads_


@pytest.mark.parametrize("method", METHODS)
def test__cascade__restricted_to_its_heads__answers_alike(method):
    cascade, _, _, (test, _) = fitted(method, exit_early=0.05)
    kept = test[:, LAYOUT.column_indices(cascade.heads_)]
    assert np.array_equal(
        cascade.restrict_to(cascade.heads_).predict_proba(kept), cascade.predict_proba(test)
    )


def test__cascade__altered_state__is_refused():
    state = fitted(exit_early=0.05)[0].to_state()
    for change in ({"log_thresholds": [0.5]}, {"classes": [1, 0]}, {"exit_early": 0}, {"stages": []}):
        with pytest.raises((ValueError, IndexError)):
            classifier_from_state(state._replace(settings={**state.settings, **change}))


def test__cascade__few_shots__says_that_nothing_is_answered_early():
    cascade, _, _, (test, _) = fitted(exit_early=0.001, shots=2)
    report = cascade.selection_report_["exit_early"]
    assert "no early answers" in report["why"]
    assert report["layers_expected"] == report["n_layers"] == 8
    assert set(cascade.layers_passed(test).tolist()) == {8}


def test__out_of_fold__answers__are_the_cascades_with_thresholds_of_the_other_folds():
    (rows, codes), _ = make()
    shots = Shots(rows, codes, 2, LAYOUT)
    cascade = CascadeClassifier(make_method("kernel_ridge"), exit_early=0.05).fit_shots(np.arange(2), shots)
    folds = cascade.cross_validation_folds(shots)
    found = cascade.out_of_fold_log_proba(shots, folds)
    layouts = [LAYOUT.select(LAYOUT.heads[: 2 * depth]) for depth in (2, 4, 6, 8)]
    tables = [
        make_method("kernel_ridge").out_of_fold_log_proba(
            Shots(rows[:, : layout.width], codes, 2, layout), folds
        )
        for layout in layouts
    ]
    early = 0
    for fold in folds:
        others = np.setdiff1d(np.arange(len(codes)), fold)
        limits = exit_thresholds([table[others] for table in tables], codes[others], 0.05)
        for shot in fold:
            stage = next(
                (
                    k
                    for k, one in enumerate(limits)
                    if one["log_threshold"] is not None and tables[k][shot].max() >= one["log_threshold"]
                ),
                3,
            )
            early += stage < 3
            assert np.array_equal(found[shot], tables[stage][shot])
    assert early > 10


def test__cascade__last_state__only_the_full_classifier_reads_it():
    (rows, codes), (test, _) = make()
    layout = LAYOUT.with_state(5)
    states = np.random.default_rng(1).standard_normal((len(rows), 5)).astype(np.float32)
    cascade = CascadeClassifier(make_method("auto"), exit_early=0.05, layout=layout)
    cascade.fit(np.hstack([rows, states]), codes)
    assert cascade.needs_state
    assert cascade.state_is_optional
    assert not any(head.is_state for one in cascade.exits() for head in one.heads)
    assert cascade.layers_passed(np.hstack([test, np.zeros((len(test), 5), np.float32)])).max() == 8


@pytest.mark.parametrize("wrong", [0, 1, -0.1, True, "0.005", float("nan")])
def test__method__impossible_allowed_loss__is_refused(wrong):
    with pytest.raises(ValueError, match="exit_early"):
        Method("auto", exit_early=wrong)


@pytest.mark.parametrize("name", ["hec_t", "hec_vt", "last_state", "option_likelihood", "auto_names"])
def test__method__that_cannot_answer_early__says_so(name):
    with pytest.raises(ValueError, match="takes no exit_early"):
        Method(name, exit_early=0.005)
    with pytest.raises(ValueError, match="does not go with heads"):
        Method("votes", exit_early=0.005, heads=[(0, 0)])


def test__method__exit_early__survives_json_and_is_absent_without():
    assert (
        Method.from_json(json.loads(json.dumps(Method("auto", exit_early=0.01).to_json()))).exit_early == 0.01
    )
    assert "exit_early" not in Method("auto").to_json()
    made = Method("auto", exit_early=0.01).make(LAYOUT, np.arange(2))
    assert isinstance(clone(made), CascadeClassifier)
