from __future__ import annotations

import pytest

from savs.data import ErrorLedger, Example, as_examples
from savs.errors import ExampleError


def bad(name=None):
    return ExampleError("wrong", code="test", id=name)


def refuse_odd(number):
    if number % 2:
        raise bad()
    return 10 * number


@pytest.mark.parametrize(
    ("named", "example", "expected"),
    [
        ("own", Example((), id="x"), "own"),
        (None, Example((), id="x"), "x"),
        (None, Example(()), "4"),
        (None, None, "4"),
    ],
)
def test__add__nameless_error__named_after_its_example_or_position(named, example, expected):
    ledger = ErrorLedger(-1)
    ledger.add(4, example, bad(named))
    assert [error.id for error in ledger.errors] == [expected]


def test__collect__more_than_the_limit__the_one_beyond_is_raised():
    ledger = ErrorLedger(2)
    with pytest.raises(ExampleError, match=r"^5: wrong"):
        ledger.collect(refuse_odd, dict(enumerate(range(9))))
    assert ErrorLedger(-1).collect(refuse_odd, dict(enumerate(range(9)))) == {
        n: 10 * n for n in (0, 2, 4, 6, 8)
    }


def test__ledger__several_stages__one_limit_and_the_order_of_the_examples():
    ledger = ErrorLedger(3)
    assert (ledger.left, ledger.kept(3)) == (3, [0, 1, 2])
    ledger.collect(refuse_odd, {0: 0, 1: 2, 2: 3})
    ledger.add(0, None, bad())
    assert [error.id for error in ledger.errors] == ["0", "2"]
    assert list(ledger.by_index) == [0, 2]
    assert (ledger.left, ledger.kept(2)) == (1, [1, 3])
    assert ErrorLedger(-1).left == -1


def test__as_examples__ledger__the_other_items_and_all_their_errors():
    ledger = ErrorLedger(-1)
    items = ["a", 7, "http://x.org/a.png", ("a.png", "<image><image>"), {"question": "<image>"}, "c"]
    found = as_examples(items, ledger=ledger)
    assert [(example.id, example.text) for example in found] == [("0", "a"), ("5", "c")]
    assert [error.id for error in ledger.errors] == ["1", "2", "3", "4"]
    assert [error.code for error in ledger.errors][-1] == "marker_mismatch"
    with pytest.raises(ExampleError, match=r"^1: "):
        as_examples(items)


def test__as_examples__ledger__labels_that_are_none_count_too():
    ledger = ErrorLedger(1)
    found = as_examples(["a", "b"], ["x", 0.5], ledger=ledger)
    assert [(example.text, example.label) for example in found] == [("a", "x")]
    assert [(error.id, error.code) for error in ledger.errors] == [("1", "label")]
