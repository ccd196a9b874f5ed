"""The lettered options of a prompt, and the same prompt with its options in another order."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from savs._labels import Label
from savs.data import Example, Text

_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_FORMS = (r"\({letter}\)\s+", r"{letter}[.):]\s+")
"""How a letter stands before its option: (A) or A. or A) or A:"""


def find_options(text: str, classes: Sequence[Label]) -> list[tuple[int, int]]:
    r"""Return where the texts of the options A, B, ... of a prompt stand; none if there are no two.

    An option ends before the next letter; the last one at the end of its line, or behind the name of a class
    that it begins with. The last such list of the text counts.

    Parameters
    ----------
    text : str
        The prompt.
    classes : sequence of label
        The classes.

    Examples
    --------
    >>> text = "What is it?\nA. a cat B. a dog\nAnswer with the letter."
    >>> [text[start:end] for start, end in find_options(text, ["A", "B"])]
    ['a cat', 'a dog']
    """
    for form in _FORMS:
        first = list(re.finditer(r"(?<![A-Za-z0-9(])" + form.format(letter="A"), text))
        for match in reversed(first):
            spans = _from(text, match.end(), form, classes)
            if len(spans) > 1:
                return spans
    return []


def _from(text: str, start: int, form: str, classes: Sequence[Label]) -> list[tuple[int, int]]:
    spans = []
    for letter in _LETTERS[1:]:
        found = re.compile(r"(?<=\s)" + form.format(letter=letter)).search(text, start)
        if found is None:
            break
        spans.append(_stripped(text, start, found.start()))
        start = found.end()
    line = text.find("\n", start)
    end = len(text) if line < 0 else line
    names = sorted((str(name) for name in classes), key=len, reverse=True)
    for name in names:
        behind = text[start + len(name) : start + len(name) + 1]
        if name and text.startswith(name, start) and not behind.isalnum() and len(name) > 1:
            end = start + len(name)
            break
    return [*spans, _stripped(text, start, end)]


def _stripped(text: str, start: int, end: int) -> tuple[int, int]:
    inner = text[start:end]
    return start + len(inner) - len(inner.lstrip()), end - len(inner) + len(inner.rstrip())


def permute_options(example: Example, classes: Sequence[Label], rng: np.random.Generator) -> Example | None:
    """Return an example whose options stand in another order, and its label with them; None without any.

    A label that is a letter becomes the letter at which its option stands now. Other labels stay.

    Parameters
    ----------
    example : Example
        With its prompt.
    classes : sequence of label
        The classes.
    rng : numpy.random.Generator
        Chooses one of the other orders.
    """
    last = example.messages[-1]
    for place in range(len(last.parts) - 1, -1, -1):
        part = last.parts[place]
        spans = find_options(part.text, classes) if isinstance(part, Text) else []
        if isinstance(part, Text) and spans:
            order = _other_order(len(spans), rng)
            parts = (*last.parts[:place], Text(_reordered(part.text, spans, order)), *last.parts[place + 1 :])
            messages = (*example.messages[:-1], replace(last, parts=parts))
            return replace(example, messages=messages, label=_moved(example.label, order))
    return None


def _other_order(n: int, rng: np.random.Generator) -> list[int]:
    """Return which option stands at each place: any order but the given one."""
    while True:
        order: list[int] = rng.permutation(n).tolist()
        if order != list(range(n)):
            return order


def _reordered(text: str, spans: Sequence[tuple[int, int]], order: Sequence[int]) -> str:
    texts = [text[start:end] for start, end in spans]
    pieces, end = [], 0
    for (start, stop), source in zip(spans, order, strict=True):
        pieces += [text[end:start], texts[source]]
        end = stop
    return "".join([*pieces, text[end:]])


def _moved(label: Label | None, order: Sequence[int]) -> Label | None:
    letter = re.fullmatch(r"(\(?)([A-Z])([.):]?)", label) if isinstance(label, str) else None
    if letter is None or _LETTERS.index(letter[2]) >= len(order):
        return label
    return letter[1] + _LETTERS[order.index(_LETTERS.index(letter[2]))] + letter[3]
