"""Class names as text: prompts that describe a class, and answers that stand for it."""

from __future__ import annotations

import re
from collections.abc import Sequence

from savs._labels import as_label
from savs.classifiers import Method
from savs.data import Example, Label, Text, as_examples, check_labels
from savs.errors import DataError

_PLACEHOLDER = re.compile(r"\{[^{}]*\}")


def class_prompts(classes: Sequence[Label], prompt: str | None) -> list[Example]:
    r"""Return a text-only example for each class: its name, then the question put to the examples.

    [HEC] arXiv:2603.24181: "You are given an image of a {class}", a new line, the prompt. Placeholders for an
    example's own text or columns are left out of the prompt, as a class has none.

    Examples
    --------
    >>> [example.text for example in class_prompts(["cat"], "What is it? {question}")]
    ['You are given an image of a cat\nWhat is it?']
    """
    question = "" if prompt is None else _PLACEHOLDER.sub("", prompt).strip()
    texts = [f"You are given an image of a {label}\n{question}".strip() for label in classes]
    return as_examples([[Text(text)] for text in texts])


def option_texts(classes: Sequence[Label]) -> tuple[str, ...]:
    """Return the answers that stand for classes: their names; Yes and No for True and False.

    Examples
    --------
    >>> option_texts(["cat", "dog"]), option_texts([False, True])
    (('cat', 'dog'), ('No', 'Yes'))
    """
    return tuple(("No", "Yes")[label] if isinstance(label, bool) else str(label) for label in classes)


def checked_names(method: Method, classes: Sequence[Label]) -> list[Label]:
    """Return the classes sorted, for a method that learns from their names alone.

    Parameters
    ----------
    method : Method
        What is to be fitted.
    classes : sequence of label
        In any order.

    Raises
    ------
    DataError
        If the method needs shots, or the classes cannot be used.
    """
    if not method.estimator.can_fit_class_names:
        raise DataError(
            f"method {method.name!r} learns from shots; names alone are for 'auto_names', "
            "'option_likelihood' and 'hec_t'"
        )
    if isinstance(classes, str | bytes):
        raise DataError("classes must be a list of labels, not one text")
    found = [as_label(label) for label in classes]
    check_labels(found)
    if len(set(found)) < len(found):
        twice = next(label for label in found if found.count(label) > 1)
        raise DataError(f"the class {twice!r} is named twice; name each once")
    if len(found) < 2:
        raise DataError(f"at least 2 classes are required, got {len(found)}")
    return sorted(found)


def check_same_names(options: Sequence[str], labels: Sequence[Label]) -> None:
    """Refuse shots of other classes than those whose likelihoods their rows hold.

    Parameters
    ----------
    options : sequence of str
        Texts of the classes that the likelihoods belong to.
    labels : sequence of label
        Of the shots.

    Raises
    ------
    DataError
        If a class was added, or has no shot any more.
    """
    now = set(option_texts(labels))
    changed = sorted(now ^ set(options))
    if changed:
        what = "is new" if changed[0] in now else "has no shot any more"
        raise DataError(
            f"the class {changed[0]!r} {what}, and the rows of the other shots hold the likelihoods of the "
            "old class names: fit again with all shots"
        )
