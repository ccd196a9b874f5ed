"""The lettered options of a prompt, and the same prompt with its options in another order."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from dataclasses import replace

import numpy as np

from savs._labels import Label
from savs.data import Example, Text
from savs.errors import DataError
from savs.model._class_names import option_texts

_LETTERS = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"
_FORMS = (r"\({letter}\)\s+", r"{letter}[.):]\s+")
"""How a letter stands before its option: (A) or A. or A) or A:"""


def find_options(text: str, classes: Sequence[Label]) -> list[tuple[int, int]]:
    r"""Return where the texts of the options A, B, ... of a prompt stand; none if there are no two.

    An option ends before the next letter; the last one at the end of its line, or, where all others are names
    of classes, behind the name that it begins with. The last such list of the text counts.

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
    names = {str(name) for name in classes}
    if all(text[first:last] in names for first, last in spans):
        # Options are classes: what follows the last one on its line is no part of it.
        end = start + _length_of_name(text[start:end], names)
    return [*spans, _stripped(text, start, end)]


def _length_of_name(line: str, names: Collection[str]) -> int:
    """Return how much of a line is the name of a class that it begins with; all of it without one."""
    for name in sorted(names, key=len, reverse=True):
        if name and line.startswith(name) and not line[len(name) : len(name) + 1].isalnum():
            return len(name)
    return len(line)


def _stripped(text: str, start: int, end: int) -> tuple[int, int]:
    inner = text[start:end]
    return start + len(inner) - len(inner.lstrip()), end - len(inner) + len(inner.rstrip())


def permute_options(example: Example, classes: Sequence[Label], rng: np.random.Generator) -> Example | None:
    """Return an example whose options stand in another order, and its label with them; None without any.

    A label that is a letter becomes the letter at which its option stands now. One that is the text of an
    option stays.

    Parameters
    ----------
    example : Example
        With its prompt.
    classes : sequence of label
        The classes.
    rng : numpy.random.Generator
        Chooses one of the other orders.

    Raises
    ------
    DataError
        If the label is neither a letter nor an option, so that nobody knows what becomes of it.
    """
    last = example.messages[-1]
    for place in range(len(last.parts) - 1, -1, -1):
        part = last.parts[place]
        spans = find_options(part.text, classes) if isinstance(part, Text) else []
        if isinstance(part, Text) and spans:
            order = _other_order(len(spans), rng)
            texts = [part.text[start:end] for start, end in spans]
            reordered = Text(_reordered(part.text, spans, [texts[source] for source in order]))
            parts = (*last.parts[:place], reordered, *last.parts[place + 1 :])
            messages = (*example.messages[:-1], replace(last, parts=parts))
            return replace(example, messages=messages, label=_moved(example.label, texts, order))
    return None


def _other_order(n: int, rng: np.random.Generator) -> list[int]:
    """Return which option stands at each place: any order but the given one."""
    while True:
        order: list[int] = rng.permutation(n).tolist()
        if order != list(range(n)):
            return order


def _reordered(text: str, spans: Sequence[tuple[int, int]], texts: Sequence[str]) -> str:
    pieces, end = [], 0
    for (start, stop), option in zip(spans, texts, strict=True):
        pieces += [text[end:start], option]
        end = stop
    return "".join([*pieces, text[end:]])


def _moved(label: Label | None, texts: Sequence[str], order: Sequence[int]) -> Label | None:
    letter = re.fullmatch(r"(\(?)([A-Z])([.):]?)", label) if isinstance(label, str) else None
    if letter is not None and _LETTERS.index(letter[2]) < len(order):
        return letter[1] + _LETTERS[order.index(_LETTERS.index(letter[2]))] + letter[3]
    if label is None or option_texts([label])[0].casefold() not in {text.casefold() for text in texts}:
        raise DataError(f"the label {label!r} is neither a letter nor one of the options")
    return label
