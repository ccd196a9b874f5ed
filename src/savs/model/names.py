"""Class names as text prompts, for methods that read them through the same heads as the examples."""

from __future__ import annotations

import re
from collections.abc import Sequence

from savs.examples import Example, Label, as_examples
from savs.examples.content import Text

__all__ = ["class_prompts"]

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
