from __future__ import annotations

import json

import numpy as np
import pytest

from savs.classifiers._support_set import Shots
from savs.classifiers.ensemble import make_base_estimator
from savs.classifiers.evidence import find_label_issues, held_out_votes
from savs.classifiers.head_sets import HeadSet, jaccard, stability
from savs.layout import Head, HeadLayout

LAYOUT = HeadLayout.from_layers([(0, 4, 3), (1, 2, 5)])


def make(seed=0, n=20, signal=3.0):
    rng = np.random.default_rng(seed)
    codes = np.arange(n) % 2
    rows = rng.standard_normal((n, LAYOUT.width)) + signal * np.outer(codes - 0.5, np.ones(LAYOUT.width))
    return rows, codes


def test__head_set__json_and_another_task__same_heads():
    rows, codes = make()
    chosen = make_base_estimator("mean_proba", LAYOUT).set_params(n_heads=2).fit(rows, codes)
    saved = json.loads(json.dumps(HeadSet(tuple(chosen.heads_), chosen.layout_).to_json()))
    again = HeadSet.from_json(saved)
    other_rows, other_codes = make(5)
    other = (
        make_base_estimator("mean_proba", LAYOUT)
        .set_params(heads=again.for_layout(LAYOUT))
        .fit(other_rows, other_codes)
    )
    assert set(other.heads_) == set(chosen.heads_)


def test__head_set__another_layout_or_bad_heads__error():
    heads = HeadSet((Head(1, 1),), LAYOUT)
    with pytest.raises(ValueError, match="no head like layer 1, head 1"):
        heads.for_layout(HeadLayout.uniform(2, 2, 3))
    for bad in [(), (Head(0, 0), Head(0, 0)), (Head(7, 0),)]:
        with pytest.raises(ValueError, match="one or more heads"):
            HeadSet(bad, LAYOUT)
    with pytest.raises(ValueError, match="'heads' and 'layout'"):
        HeadSet.from_json({"heads": []})


def test__overlap__by_hand():
    assert jaccard([], []) == 1
    assert jaccard([(0, 0)], [(0, 1)]) == 0
    assert stability([[(0, 0)], [(0, 0)], [(0, 1)]]) == pytest.approx(1 / 3)
    assert stability([[(0, 0)]]) is None


def test__suspects__flipped_label__found_first():
    rows, codes = make()
    wrong = codes.copy()
    wrong[6] = 1 - wrong[6]
    votes = held_out_votes(Shots(rows, wrong, 2, LAYOUT))
    label_issues = find_label_issues(votes, wrong, 2)
    assert label_issues[0].shot == 6
    assert label_issues[0].suggested == codes[6]
    assert label_issues[0].doubt > label_issues[0].support
    assert not find_label_issues(held_out_votes(Shots(rows, codes, 2, LAYOUT)), codes, 2)


def test__left_out_votes__sole_shot_and_chosen_heads():
    rows, codes = make()
    codes = codes.copy()
    codes[0] = 2
    votes = held_out_votes(Shots(rows, codes, 3, LAYOUT), np.array([1, 4]))
    assert votes.shape == (20, 2)
    assert (votes[0] == -1).all()
    assert (votes[1:] >= 0).all()
    whole = held_out_votes(Shots(rows, codes, 3, LAYOUT))
    assert np.array_equal(whole[:, [1, 4]], votes)
