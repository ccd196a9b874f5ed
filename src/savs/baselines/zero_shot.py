"""The model's own answer: ask with the class names, generate, read the answer; nothing is guessed."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Protocol

from savs.backbones._thinking import without_thoughts
from savs.baselines.on_features import BaselineResult
from savs.data import Example, Label, Text
from savs.errors import DataError

__all__ = ["Generator", "answer_prompt", "parse_answer", "zero_shot"]

# fmt: off
_NUMBERS = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten", "eleven", "twelve",
    "thirteen", "fourteen", "fifteen", "sixteen", "seventeen", "eighteen", "nineteen", "twenty",
)
# fmt: on
_SMALL = {str(number) for number in range(len(_NUMBERS))}
_NEGATIONS = re.compile(
    r"\b(not|no|none|never|neither|nor|isn't|aren't|wasn't|doesn't|don't|cannot|can't|without)\b"
)
_EDGES = " \t\n.,;:!?\"'`*()[]{}"


class Generator(Protocol):
    """The part of a backbone that answers in words."""

    def generate(self, examples: Sequence[Example], *, max_new_tokens: int = 16) -> list[str]:
        """Return the answer to each example.

        Parameters
        ----------
        examples : sequence of Example
            The examples to answer; labels are ignored.
        max_new_tokens : int, default=16
            Largest number of tokens in one answer.

        Returns
        -------
        list of str
            One answer per example, in the same order.
        """


def zero_shot(
    backbone: Generator,
    queries: Sequence[Example],
    classes: Sequence[Label],
    *,
    name_classes: bool = True,
    lettered: bool = False,
    max_new_tokens: int = 16,
) -> BaselineResult:
    """Let the model answer each query in words and read the class from the answer.

    Parameters
    ----------
    backbone : Generator
        Any backbone.
    queries : sequence of Example
        What to ask; labels are not read.
    classes : sequence of label
        The classes to choose from.
    name_classes : bool, default=True
        Append `answer_prompt`; switch off where the query lists the answers itself.
    lettered : bool, default=False
        The query lists the classes as options (A), (B), ... in the order of `classes`.
    max_new_tokens : int, default=16
        Longest answer, thoughts included: thinking models need some thousands, or a template without any.

    Raises
    ------
    DataError
        If there are no classes, or the backbone returns another number of answers than it was asked for.
    """
    asked = [ask_with(query, classes) for query in queries] if name_classes else list(queries)
    answers = backbone.generate(asked, max_new_tokens=max_new_tokens) if asked else []
    if len(answers) != len(asked):
        raise DataError(f"the backbone gave {len(answers)} answers to {len(asked)} queries")
    labels = [parse_answer(answer, classes, lettered=lettered) for answer in answers]
    return BaselineResult("zero_shot", labels, list(answers))


def answer_prompt(classes: Sequence[Label]) -> str:
    """Return the sentence that tells the model which answers there are.

    Examples
    --------
    >>> answer_prompt(["cat", "dog"]), answer_prompt([False, True])
    ('Answer with one of: cat, dog.', 'Answer with Yes or No.')
    """
    if not classes:
        raise DataError("zero-shot answers need at least one class, got 0")
    if _is_yes_no(classes):
        return "Answer with Yes or No."
    return f"Answer with one of: {', '.join(str(label) for label in classes)}."


def answer_text(label: Label, classes: Sequence[Label]) -> str:
    """Return the answer that stands for a class, in the words of `answer_prompt`.

    Examples
    --------
    >>> answer_text("false", ["false", "true"]), answer_text("cat", ["cat", "dog"])
    ('No', 'cat')
    """
    if _is_yes_no(classes):
        return "Yes" if _plain(str(label)) in ("yes", "true") else "No"
    return str(label)


def parse_answer(text: str, classes: Sequence[Label], *, lettered: bool = False) -> Label | None:
    """Return the class that an answer names, or None.

    The answer of a thinking model is read behind its last ``</think>`` (``[/THINK]`` and their kin); a
    thought that was cut off has no answer. Tried in this order: the class name exactly; the name apart from
    case, punctuation around it and number words ("three" for 3, "yes" for True); a leading yes or no where
    these are the classes; the only class named as whole words in an answer without a negation. A name inside
    a longer class name ("lion" in "sea lion") does not count.

    Parameters
    ----------
    text : str
        The model's answer.
    classes : sequence of label
        The classes to choose from.
    lettered : bool, default=False
        "(A)", "B." and the like stand for the first, second, ... class.

    Examples
    --------
    >>> parse_answer("It is a Dog.", ["cat", "dog"]), parse_answer("Three.", [2, 3])
    ('dog', 3)
    >>> parse_answer("cat or dog", ["cat", "dog"]), parse_answer("not harmful", ["harmful", "unharmful"])
    (None, None)
    """
    spoken = without_thoughts(text)
    if spoken is None:
        return None
    exact = [label for label in classes if str(label) == spoken]
    if exact:
        return _only(exact)
    answer = _plain(spoken)
    trimmed = answer.strip(_EDGES)
    same = [label for label in classes if trimmed and trimmed in {n.strip(_EDGES) for n in _names(label)}]
    if same:
        return _only(same)
    if lettered and (letter := re.match(r"\(?([a-z])(?:\)|[.:,]|$)", answer)):
        position = ord(letter[1]) - ord("a")
        return classes[position] if position < len(classes) else None
    if _is_yes_no(classes) and (lead := re.match(r"(yes|no|true|false)\b", trimmed)):
        wanted = "Yes" if lead[1] in ("yes", "true") else "No"
        return _only([label for label in classes if answer_text(label, classes) == wanted])
    return _named(answer, classes)


def ask_with(query: Example, classes: Sequence[Label]) -> Example:
    """Return the query with `answer_prompt` behind its last text."""
    suffix = answer_prompt(classes)
    last = query.messages[-1]
    parts = last.parts
    if parts and isinstance(parts[-1], Text):
        parts = (*parts[:-1], Text(f"{parts[-1].text}\n{suffix}" if parts[-1].text else suffix))
    else:
        parts = (*parts, Text(suffix))
    return replace(query, messages=(*query.messages[:-1], replace(last, parts=parts)))


def _is_yes_no(classes: Iterable[Label]) -> bool:
    return {_plain(str(label)) for label in classes} in ({"yes", "no"}, {"true", "false"})


def _plain(text: str) -> str:
    return " ".join(unicodedata.normalize("NFC", text).casefold().replace("\u2019", "'").split())


def _names(label: Label) -> list[str]:
    """Return the ways to write a label, plain."""
    if isinstance(label, bool):
        return ["yes", "true"] if label else ["no", "false"]
    name = _plain(str(label))
    return [name, _NUMBERS[int(name)]] if name in _SMALL else [name]


def _only(labels: list[Label]) -> Label | None:
    return labels[0] if len(labels) == 1 else None


def _named(answer: str, classes: Sequence[Label]) -> Label | None:
    """Return the only class named as whole words, unless the answer also negates."""
    hits = [(m.span(), label) for label in classes for name in _names(label) for m in _find(name, answer)]
    outer = [
        (span, label)
        for span, label in hits
        if not any(other != span and other[0] <= span[0] and span[1] <= other[1] for other, _ in hits)
    ]
    rest = answer
    for (start, end), _ in outer:
        rest = rest[:start] + " " * (end - start) + rest[end:]
    named = [label for label in classes if any(_same(label, hit) for _, hit in outer)]
    return None if _NEGATIONS.search(rest) else _only(named)


def _find(name: str, answer: str) -> Iterable[re.Match[str]]:
    if not name:
        return ()
    return re.finditer(rf"(?<![\w-])(?<!\d[.,]){re.escape(name)}(?![\w-])(?![.,]\d)", answer)


def _same(one: Label, other: Label) -> bool:
    return type(one) is type(other) and one == other
