from __future__ import annotations

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from savs.classifiers.sav import decision_values, select_heads, vote_counts, vote_shares
from savs.layout import Head, HeadLayout


@settings(max_examples=100, deadline=None)
@given(st.lists(st.integers(0, 3), min_size=1, max_size=12))
def test__decision_values__any_votes__largest_is_most_votes_then_best_ranked_voter(choices):
    votes = np.array([choices])
    most = max(choices.count(c) for c in choices)
    winner = next(c for c in choices if choices.count(c) == most)
    values = decision_values(votes, 4)
    assert values.argmax() == winner
    assert np.array_equal(np.floor(values), vote_counts(votes, 4))
    assert vote_counts(votes, 4)[0].tolist() == [choices.count(c) for c in range(4)]
    assert vote_shares(votes, 4)[0].tolist() == [choices.count(c) / len(choices) for c in range(4)]


def test__select_heads__equal_scores__lower_layer_then_index_whatever_the_column_order():
    layout = HeadLayout((Head(1, 1), Head(0, 7), Head(1, 0), Head(0, 2)), (2, 2, 2, 2))
    assert select_heads(np.array([5, 5, 5, 5]), layout, 3) == [Head(0, 2), Head(0, 7), Head(1, 0)]
    everything = [Head(1, 1), Head(0, 7), Head(1, 0), Head(0, 2)]
    assert select_heads(np.array([6, 5, 5, -1]), layout, 9) == everything
