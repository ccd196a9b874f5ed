from __future__ import annotations

import hashlib
from pathlib import Path

from hypothesis import given, settings
from hypothesis import strategies as st

from savs.cache._part_catalog import KeyIndex
from savs.cache._parts import Part


def key(number: int) -> bytes:
    return hashlib.sha256(bytes([number % 256, number // 256])).digest()


def part(numbers, states=False) -> Part:
    starts = {"key": 4} | ({"states": 9} if states else {})
    return Part(Path("x"), len(numbers), 0, b"".join(map(key, numbers)), starts, {})


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.lists(st.integers(0, 300), min_size=1, max_size=90), st.booleans()), max_size=8))
def test__index__any_parts__is_the_dictionary_of_first_rows_with_states_preferred(given_parts):
    index, plain = KeyIndex(), {}
    for numbers, states in given_parts:
        added = part(numbers, states)
        index.add(added)
        for row, number in enumerate(numbers):
            known = plain.get(number)
            if known is None or (states and not known[0].has_states):
                plain[number] = (added, row)
    assert len(index) == len(plain)
    for number in range(302):
        found, wanted = index.get(key(number)), plain.get(number)
        assert (found is None) == (wanted is None)
        assert found is None or (found[0] is wanted[0] and found[1] == wanted[1])
    index.clear()
    assert (len(index), index.get(key(0))) == (0, None)


def test__index__many_keys__grows_and_finds_all():
    index = KeyIndex()
    for start in range(0, 40_000, 250):
        index.add(part(range(start, start + 250)))
    assert len(index) == 40_000
    assert all(index.get(key(number))[1] == number % 250 for number in range(0, 40_000, 7))
    assert len(index._slots) * index._slots.itemsize < 40 * 40_000
