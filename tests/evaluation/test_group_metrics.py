from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from savs.evaluation import (
    correct_answers,
    group_accuracies,
    hallusion_accuracies,
    mean_over_splits,
    pair_accuracy,
)

answers = st.sampled_from([True, False, None])
FEW = {"n_resamples": 20}


def group_accuracies_by_loop(correct, groups):
    """NaturalBench's figures, one group, question and image after the other."""
    items = {}
    for right, group in zip(correct, groups, strict=True):
        items.setdefault(group, []).append(right is True)
    single = questions = images = whole = 0
    for four in items.values():
        by_place = {(question, image): four[2 * question + image] for question in (0, 1) for image in (0, 1)}
        single += sum(by_place.values())
        for this in (0, 1):
            questions += by_place[this, 0] and by_place[this, 1]
            images += by_place[0, this] and by_place[1, this]
        whole += all(by_place.values())
    n = len(items)
    return [single / (4 * n), questions / (2 * n), images / (2 * n), whole / n]


def values(found):
    return [estimate.value for estimate in found]


# Answers against labels.


def test__correct_answers__failed_and_other_types__none_and_wrong():
    assert correct_answers(["Yes", "1", 1, True], ["No", 1, 1, None]) == [False, False, True, None]
    with pytest.raises(ValueError, match="1 true labels, but 2 predictions"):
        correct_answers(["Yes"], ["Yes", "No"])


# Groups.


@pytest.mark.parametrize(
    ("group", "expected"),
    [
        pytest.param([1, 1, 1, 1], [1, 1, 1, 1], id="all"),
        pytest.param([1, 1, 0, 0], [0.5, 0.5, 0, 0], id="one question on both images"),
        pytest.param([1, 0, 1, 0], [0.5, 0, 0.5, 0], id="one image with both questions"),
        pytest.param([1, 0, 0, 1], [0.5, 0, 0, 0], id="always the same answer"),
        pytest.param([1, 1, 1, 0], [0.75, 0.5, 0.5, 0], id="three"),
        pytest.param([0, 0, 0, 0], [0, 0, 0, 0], id="none"),
    ],
)
def test__group_accuracies__one_group__as_defined(group, expected):
    found = group_accuracies([bool(right) for right in group], **FEW)
    assert values(found) == expected
    assert [(estimate.low, estimate.high) for estimate in found] == [(value, value) for value in expected]


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(answers, answers, answers, answers), min_size=1, max_size=12), st.randoms())
def test__group_accuracies__any_answers_and_mixed_groups__equal_the_loop(fours, random):
    rows = [(right, f"g{name}") for name, four in enumerate(fours) for right in four]
    order = [name for _, name in rows]
    random.shuffle(order)  # the groups are mixed; the four of a group stay in their order
    waiting = {f"g{name}": list(four) for name, four in enumerate(fours)}
    correct = [waiting[name].pop(0) for name in order]
    expected = group_accuracies_by_loop(correct, order)
    found = group_accuracies(correct, order, **FEW)
    assert values(found) == pytest.approx(expected)
    in_turn = group_accuracies([right for right, _ in rows], **FEW)
    assert values(in_turn) == pytest.approx(expected)
    assert {(one.n, one.n_failed) for one in found} == {(len(fours), correct.count(None))}


def test__group_accuracies__failed_item__wrong_and_counted():
    found = group_accuracies([None, True, True, True], **FEW)
    assert values(found) == [0.75, 0.5, 0.5, 0]
    assert {(one.n, one.n_failed) for one in found} == {(1, 1)}


def test__group_accuracies__group_that_is_not_whole__error():
    with pytest.raises(ValueError, match="group 'b' is not whole: it has 3 items, not 4"):
        group_accuracies([True] * 7, list("aaaabbb"))
    with pytest.raises(ValueError, match="the last group is not whole: 7 items"):
        group_accuracies([True] * 7)
    with pytest.raises(ValueError, match="4 items, but 3 group names"):
        group_accuracies([True] * 4, list("aaa"))
    with pytest.raises(ValueError, match="item 3 has no group"):
        group_accuracies([True] * 4, ["a", "a", "a", None])


def test__group_accuracies__ids_of_two_types__two_groups():
    found = group_accuracies([True] * 4 + [False] * 4, [1] * 4 + ["1"] * 4, **FEW)
    assert found.g_acc.n == 2


def test__group_accuracies__interval__resamples_whole_groups():
    # All four items of a group agree, so there are as many independent results as groups, not as items.
    of_groups = np.random.default_rng(0).random(60) < 0.5
    found = group_accuracies(np.repeat(of_groups, 4), seed=3)
    assert found.accuracy == found.q_acc == found.i_acc == found.g_acc
    rng = np.random.default_rng(1)
    by_loop = [np.mean([of_groups[rng.integers(60)] for _ in range(60)]) for _ in range(2000)]
    assert found.g_acc[1:3] == pytest.approx(np.percentile(by_loop, [2.5, 97.5]), abs=0.02)
    of_items = mean_over_splits(np.repeat(of_groups, 4), ["all"] * 240).mean
    assert found.accuracy.high - found.accuracy.low > 1.8 * (of_items.high - of_items.low)


# Pairs.


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(answers, answers), min_size=1, max_size=20))
def test__pair_accuracy__any_answers__equals_the_loop(pairs):
    right = 0
    for one, other in pairs:
        if one is True and other is True:
            right += 1
    correct = [one for pair in pairs for one in pair]
    found = pair_accuracy(correct, **FEW)
    assert found.value == pytest.approx(right / len(pairs))
    assert found[3:] == (len(pairs), correct.count(None))
    positives_first = [one for one, _ in pairs] + [other for _, other in pairs]
    assert pair_accuracy(positives_first, [*range(len(pairs))] * 2, **FEW).value == found.value


def test__pair_accuracy__caption_without_its_negative__error():
    with pytest.raises(ValueError, match="pair 'b' is not whole: it has 1 items, not 2"):
        pair_accuracy([True, True, True], ["a", "a", "b"])


# Splits.


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(answers, st.sampled_from("xyz")), min_size=1, max_size=40))
def test__mean_over_splits__any_answers__equals_the_loop(rows):
    right, count = {}, {}
    for answer, split in rows:
        count[split] = count.get(split, 0) + 1
        right[split] = right.get(split, 0) + (answer is True)
    found = mean_over_splits([answer for answer, _ in rows], [split for _, split in rows], **FEW)
    assert {name: one.value for name, one in found.splits.items()} == pytest.approx(
        {name: right[name] / count[name] for name in count}
    )
    assert found.mean.value == pytest.approx(sum(right[name] / count[name] for name in count) / len(count))
    assert (found.mean.n, found.mean.n_failed) == (len(rows), [answer for answer, _ in rows].count(None))
    assert {name: one.n for name, one in found.splits.items()} == count
    assert sum(one.n_failed for one in found.splits.values()) == found.mean.n_failed


def test__mean_over_splits__pairs__a_pair_per_split_and_name():
    correct = [True, True, True, False, False, None]
    splits = ["swap", "swap", "add", "add", "add", "add"]
    found = mean_over_splits(correct, splits, ["0", "0", "0", "1", "1", "0"], **FEW)
    assert {name: one.value for name, one in found.splits.items()} == {"swap": 1, "add": 0}
    assert {name: one.n for name, one in found.splits.items()} == {"swap": 1, "add": 2}
    assert (found.mean.value, found.mean.n, found.mean.n_failed) == (0.5, 3, 1)
    with pytest.raises(ValueError, match="pair 0 is not whole"):
        mean_over_splits([True, True], ["swap", "add"], [0, 0])
    with pytest.raises(ValueError, match="2 items, but 4 pair names"):
        mean_over_splits([True, True], ["swap", "swap"], [0, 0, 1, 1])
    with pytest.raises(ValueError, match="the name of a split is text, got 1"):
        mean_over_splits([True, True], [1, 1])


def test__mean_over_splits__interval__resamples_within_each_split():
    # Each split is all right or all wrong: no resample of its items moves the mean.
    found = mean_over_splits([True] * 10 + [False] * 10, ["easy"] * 10 + ["hard"] * 10)
    assert found.mean[:3] == (0.5, 0.5, 0.5)
    correct = np.random.default_rng(0).random(100) < 0.7
    splits = ["large"] * 80 + ["small"] * 20
    found = mean_over_splits(correct, splits)
    rng = np.random.default_rng(1)
    by_loop = [
        (rng.choice(correct[:80], 80).mean() + rng.choice(correct[80:], 20).mean()) / 2 for _ in range(2000)
    ]
    assert found.mean[1:3] == pytest.approx(np.percentile(by_loop, [2.5, 97.5]), abs=0.02)


# What all of them refuse.


@pytest.mark.parametrize(
    "metric", [group_accuracies, pair_accuracy, lambda c, **o: mean_over_splits(c, c, **o)]
)
def test__metrics_of_items__bad_input__error(metric):
    with pytest.raises(ValueError, match="there are no items"):
        metric([])
    with pytest.raises(ValueError, match="True, False or None, got 'Yes'"):
        metric(["Yes"] * 4)
    with pytest.raises(ValueError, match="level must lie between 0 and 1"):
        metric([True] * 4, level=95)
    with pytest.raises(ValueError, match="n_resamples must be at least 1"):
        metric([True] * 4, n_resamples=0)


def test__metrics_of_items__same_seed__same_interval():
    correct = (np.arange(80) % 7 > 2).tolist()
    assert group_accuracies(correct, seed=5) == group_accuracies(np.array(correct), seed=5)
    assert group_accuracies(correct, seed=5) != group_accuracies(correct, seed=6)


# Questions and figures.


def hallusion_by_loop(rows):
    """HallusionBench's figures, one question and figure after the other."""
    questions, figures = {}, {}
    n_right = 0
    for right, of_set, question, figure in rows:
        n_right += right is True
        questions.setdefault((of_set, question), []).append(right is True)
        if figure is not None:
            figures.setdefault((of_set, figure), []).append(right is True)

    def share(units):
        return sum(all(unit) for unit in units.values()) / len(units)

    return [n_right / len(rows), share(questions), share(figures)]


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(answers, st.sampled_from(["a", "b"]), st.integers(0, 2), st.sampled_from([None, 0, 1])),
        min_size=1,
        max_size=25,
    )
)
def test__hallusion_accuracies__any_answers__equal_the_loop(rows):
    rows = [*rows, (True, "a", 0, 0)]
    correct, sets, questions, figures = (list(column) for column in zip(*rows, strict=True))
    found = hallusion_accuracies(correct, sets, questions, figures, **FEW)
    assert values(found) == pytest.approx(hallusion_by_loop(rows))
    assert {(one.n, one.n_failed) for one in found} == {(len(set(sets)), correct.count(None))}
    assert all(0 <= one.low <= one.high <= 1 for one in found)


def test__hallusion_accuracies__sets_all_right_or_all_wrong__interval_of_sets_not_items():
    n_sets = 40
    sets = [number for number in range(n_sets) for _ in range(10)]
    correct = [number % 2 == 0 for number in sets]
    places = [(question, figure) for _ in range(n_sets) for question in range(5) for figure in range(2)]
    found = hallusion_accuracies(correct, sets, [one for one, _ in places], [one for _, one in places])
    assert values(found) == [0.5, 0.5, 0.5]
    for one in found:  # a share of 40 units, whose standard error is 0.079
        assert one.high - one.low == pytest.approx(4 * 0.079, rel=0.15)


def test__hallusion_accuracies__no_figures_or_other_lengths__refused():
    with pytest.raises(ValueError, match="no item has a figure"):
        hallusion_accuracies([True], ["s"], [0], [None])
    with pytest.raises(ValueError, match="2 items, but 1 figure names"):
        hallusion_accuracies([True, True], ["s", "s"], [0, 1], [0])
    with pytest.raises(ValueError, match="1 items, but 2 set names"):
        hallusion_accuracies([True], ["s", "s"], [0], [0])
