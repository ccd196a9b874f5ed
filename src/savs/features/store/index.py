"""Where each key's row is, in about 60 bytes for each: small machines open stores of millions of rows.

A dictionary of keys takes four times as much. This is a hash table with open addressing and linear probing
(Knuth, The Art of Computer Programming, volume 3, section 6.4, algorithm L), at most half full; a slot holds
the number of a part and of a row in it, and the key is looked up there.
"""

from __future__ import annotations

from array import array

from savs.features.store.parts import Part

__all__ = ["KeyIndex"]

_EMPTY = -1
_SMALLEST = 64


class KeyIndex:
    """Part and row of each key; where a key stands twice, a row with the final hidden state is preferred."""

    def __init__(self) -> None:
        self.clear()

    def __len__(self) -> int:
        """Return the number of different keys."""
        return self._n_keys

    def clear(self) -> None:
        """Forget all parts."""
        self._parts: list[Part] = []
        self._n_keys = 0
        self._slots = array("q", [_EMPTY]) * _SMALLEST

    def add(self, part: Part) -> None:
        """Note the rows of a part."""
        number = len(self._parts)
        self._parts.append(part)
        self._make_space(part.n_rows)
        for row in range(part.n_rows):
            slot = self._slot(part.key(row))
            code = self._slots[slot]
            if code == _EMPTY:
                self._n_keys += 1
            elif not part.has_states or self._parts[code >> 32].has_states:
                continue
            self._slots[slot] = number << 32 | row

    def get(self, key: bytes) -> tuple[Part, int] | None:
        """Return a key's part and row, or None."""
        code = self._slots[self._slot(key)]
        return None if code == _EMPTY else (self._parts[code >> 32], code & 0xFFFFFFFF)

    def _slot(self, key: bytes) -> int:
        """Return the slot that holds a key, or the empty one where it belongs."""
        # Python's hash is another one in every process: nobody can write keys that all fall into one slot.
        last = len(self._slots) - 1
        slot = hash(key) & last
        while (code := self._slots[slot]) != _EMPTY and self._parts[code >> 32].key(code & 0xFFFFFFFF) != key:
            slot = (slot + 1) & last
        return slot

    def _make_space(self, n_more: int) -> None:
        size = len(self._slots)
        while 2 * (self._n_keys + n_more) > size:
            size *= 2
        if size == len(self._slots):
            return
        codes = [code for code in self._slots if code != _EMPTY]
        self._slots = array("q", [_EMPTY]) * size
        for code in codes:
            self._slots[self._slot(self._parts[code >> 32].key(code & 0xFFFFFFFF))] = code
