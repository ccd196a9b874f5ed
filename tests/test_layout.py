from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from savs.layout import Head, HeadLayout

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


STATEFUL = RAGGED.with_state(7)


def test__layout__with_state__heads_stay_width_grows():
    assert (STATEFUL.heads, STATEFUL.dims, STATEFUL.n_heads) == (RAGGED.heads, RAGGED.dims, 5)
    assert (STATEFUL.width, STATEFUL.heads_width, RAGGED.width) == (24, 17, 17)
    assert STATEFUL.state_head == (6, -1)
    assert STATEFUL.parts == (*RAGGED.heads, (6, -1))
    assert STATEFUL.columns((6, -1)) == slice(17, 24)
    assert [group.columns.max() for group in STATEFUL.groups] == [16, 10]
    assert STATEFUL.without_state() == RAGGED
    with pytest.raises(KeyError):
        STATEFUL.position((6, -1))
    with pytest.raises(KeyError):
        RAGGED.columns((6, -1))


def test__head__is_state__tells_by_itself():
    assert [head.is_state for head in STATEFUL.parts] == [False] * 5 + [True]
    assert RAGGED.state_head is None
    assert RAGGED.parts == RAGGED.heads


def test__layout__state_of_a_deeper_decoder__its_layer_kept():
    layout = RAGGED.with_state(7, layer=12)
    assert layout.state_head == (12, -1)
    assert layout.select([(0, 1), (12, -1)]).state_head == (12, -1)


@settings(max_examples=50, deadline=None)
@given(layouts, st.integers(1, 5), st.booleans(), st.randoms(use_true_random=False))
def test__layout__select_with_state__same_columns_in_the_new_order(layout, hidden, keep, random):
    layout = layout.with_state(hidden)
    picked = [*random.sample(layout.heads, random.randint(0 if keep else 1, layout.n_heads))]
    picked += [layout.state_head] if keep else []
    row = np.arange(layout.width)
    part, short = layout.select(picked), row[layout.column_indices(picked)]
    assert part.parts == tuple(picked)
    assert (part.state is not None) == keep
    assert part.width == len(short)
    for head in picked:
        assert np.array_equal(short[part.columns(head)], row[layout.columns(head)])
    assert HeadLayout.from_json(json.loads(json.dumps(part.to_json()))) == part


def test__layout__select_state_before_a_head__error():
    with pytest.raises(ValueError, match="behind all heads"):
        STATEFUL.select([(6, -1), (0, 0)])


def test__layout__state_alone__no_heads_no_groups():
    layout = STATEFUL.select([(6, -1)])
    assert (layout.n_heads, layout.width, layout.groups) == (0, 7, ())
    assert layout.column_indices(layout.heads).shape == (0,)
    assert layout.to_json() == [[6, -1, 7]]
    with pytest.raises(ValueError, match="no heads"):
        layout.without_state()


def test__layout__json_of_a_layout_without_state__as_before():
    assert HeadLayout.uniform(1, 2, 3).to_json() == [[0, 0, 3], [0, 1, 3]]
    assert HeadLayout.from_json([[0, 0, 3], [0, 1, 3]]).state is None


@pytest.mark.parametrize("rows", [[[0, 0, 4], [0, -1, 4]], [[1, -1, 4], [0, 0, 4]], [[0, 0, 4], [1, -1, 0]]])
def test__layout__json_with_an_impossible_state__error(rows):
    with pytest.raises(ValueError, match=r"state|head"):
        HeadLayout.from_json(rows)


@pytest.mark.parametrize(("hidden", "layer"), [(0, None), (-3, None), (4, 5)])
def test__layout__impossible_state__error(hidden, layer):
    with pytest.raises(ValueError, match="after the last layer"):
        RAGGED.with_state(hidden, layer)


BAD_HEADS = ["0", 5, None, 1.5, ["0"], [0], [None], [(0,)], [(0, 0, 0)], [(0.0, 1)], [("0", "1")], [([0], 0)]]


@pytest.mark.parametrize("heads", BAD_HEADS, ids=repr)
def test__layout__heads_that_are_no_pairs__one_line(heads):
    for layout in (RAGGED, STATEFUL):
        for call in (layout.select, layout.column_indices):
            with pytest.raises(ValueError, match=r"a list of|a pair") as caught:
                call(heads)
            assert str(caught.value).isprintable()


def test__layout__heads_of_numpy__are_plain_whole_numbers_then():
    part = RAGGED.select(np.array([[4, 0], [0, 1]]))
    assert part == RAGGED.select([(4, 0), (0, 1)])
    assert HeadLayout.from_json(json.loads(json.dumps(part.to_json()))) == part


NAMED = STATEFUL.with_options(3)


def test__layout__with_options__last_columns_behind_the_state():
    assert (NAMED.heads, NAMED.state, NAMED.width) == (RAGGED.heads, STATEFUL.state, 27)
    assert NAMED.options_head == (6, -2)
    assert NAMED.parts == (*RAGGED.heads, (6, -1), (6, -2))
    assert (NAMED.columns((6, -1)), NAMED.columns((6, -2))) == (slice(17, 24), slice(24, 27))
    assert [head.is_options for head in NAMED.parts] == [False] * 6 + [True]
    in_order = sorted(NAMED.parts, key=lambda head: head.place)
    assert in_order == [*sorted(RAGGED.heads), *NAMED.parts[-2:]]
    assert RAGGED.with_options(2).columns((6, -2)) == slice(17, 19)
    assert NAMED.without_state() == RAGGED
    assert "likelihoods of 3 class names" in repr(NAMED)


@settings(max_examples=50, deadline=None)
@given(layouts, st.integers(2, 5), st.booleans(), st.booleans(), st.randoms(use_true_random=False))
def test__layout__select_with_options__same_columns_in_the_new_order(layout, n, state, keep, random):
    layout = (layout.with_state(4) if state else layout).with_options(n)
    picked = random.sample(layout.heads, random.randint(0 if keep else 1, layout.n_heads))
    picked += [layout.state_head] if state and random.random() < 0.5 else []
    picked += [layout.options_head] if keep else []
    row = np.arange(layout.width)
    part, short = layout.select(picked), row[layout.column_indices(picked)]
    assert part.parts == tuple(picked)
    for head in picked:
        assert np.array_equal(short[part.columns(head)], row[layout.columns(head)])
    assert HeadLayout.from_json(json.loads(json.dumps(part.to_json()))) == part


def test__layout__impossible_options__error():
    with pytest.raises(ValueError, match="two classes or more"):
        RAGGED.with_options(1)
    with pytest.raises(ValueError, match="behind that"):
        NAMED.select([(6, -2), (6, -1)])
    with pytest.raises(ValueError, match="behind all heads"):
        NAMED.select([(6, -2), RAGGED.heads[0]])
    with pytest.raises(ValueError, match="no heads"):
        NAMED.select([(6, -2)]).without_state()
    with pytest.raises(KeyError):
        STATEFUL.columns((6, -2))
