from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from savs.features import Head, HeadLayout

RAGGED = HeadLayout.from_layers([(0, 2, 3), (4, 1, 5), (5, 2, 3)])

layouts = st.lists(
    st.tuples(st.integers(0, 9), st.integers(1, 3), st.integers(1, 4)),
    min_size=1,
    max_size=5,
    unique_by=lambda row: row[0],
).map(HeadLayout.from_layers)


def test__layout__ragged__counts_columns_positions():
    assert (RAGGED.width, RAGGED.n_heads, RAGGED.n_layers) == (17, 5, 6)
    assert RAGGED.heads[2] == (4, 0)
    assert RAGGED.columns((4, 0)) == slice(6, 11)
    assert RAGGED.position((5, 1)) == 4
    with pytest.raises(KeyError):
        RAGGED.columns((1, 0))


@settings(max_examples=50, deadline=None)
@given(layouts)
def test__layout__columns__partition_the_row_in_order(layout):
    joined = np.concatenate([np.r_[layout.columns(head)] for head in layout.heads])
    assert np.array_equal(joined, np.arange(layout.width))
    assert np.array_equal(layout.column_indices(layout.heads), joined)


@settings(max_examples=50, deadline=None)
@given(layouts)
def test__layout__groups__every_head_once_with_its_columns(layout):
    seen = {}
    for group in layout.groups:
        for position, columns in zip(group.positions, group.columns, strict=True):
            seen[int(position)] = columns.tolist()
    assert sorted(seen) == list(range(layout.n_heads))
    for position, head in enumerate(layout.heads):
        assert seen[position] == np.r_[layout.columns(head)].tolist()


@settings(max_examples=50, deadline=None)
@given(layouts, st.randoms(use_true_random=False))
def test__layout__select__same_columns_in_the_new_order(layout, random):
    picked = random.sample(layout.heads, random.randint(1, layout.n_heads))
    row = np.arange(layout.width)
    part, short = layout.select(picked), row[layout.column_indices(picked)]
    assert part.heads == tuple(picked)
    for head in picked:
        assert np.array_equal(short[part.columns(head)], row[layout.columns(head)])


@settings(max_examples=50, deadline=None)
@given(layouts)
def test__layout__json_round_trip__equal(layout):
    assert HeadLayout.from_json(json.loads(json.dumps(layout.to_json()))) == layout


@pytest.mark.parametrize(
    "rows", [[], [[0, 0]], [[0, 0, 0]], [[0, 0, 1.0]], [[0, 0, True]], [[0, -1, 4]], [[0, 0, 4], [0, 0, 4]]]
)
def test__layout__json_that_is_none__error(rows):
    with pytest.raises(ValueError, match=r"layout|width|head"):
        HeadLayout.from_json(rows)


def test__layout__lengths_differ__error_with_both():
    with pytest.raises(ValueError, match="1 heads, 2 widths"):
        HeadLayout((Head(0, 0),), (3, 4))


def test__layout__uniform__one_group_is_a_reshape():
    layout = HeadLayout.uniform(2, 3, 4)
    (group,) = layout.groups
    assert np.array_equal(group.columns.ravel(), np.arange(24))
