"""Where a thinking model's answer begins: behind the mark that ends its thoughts."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

MARKS = (
    ("<think>", "</think>"),
    ("<thinking>", "</thinking>"),
    ("[THINK]", "[/THINK]"),
    ("◁think▷", "◁/think▷"),
)
"""How families begin and end thoughts."""


def without_thoughts(text: str) -> str | None:
    """Return the answer behind the last thought; None if the thought was not ended, so that there is none.

    Examples
    --------
    >>> without_thoughts("<think>a dog? no.</think> cat"), without_thoughts("cat")
    ('cat', 'cat')
    >>> without_thoughts("<think>it may be a dog") is None
    True
    """
    for _, end in MARKS:
        text = text.rpartition(end)[2]
    if any(begin in text for begin, _ in MARKS):
        return None
    return text.strip()


def open_thought(prompt: str) -> str:
    """Return the mark of the thought that a prompt ends inside, as some templates' do; else nothing."""
    for begin, end in MARKS:
        if prompt.rfind(begin) > prompt.rfind(end):
            last = prompt[prompt.rfind(begin) + len(begin) :]
            return begin if not last.strip() else ""
    return ""


def thought_end(prompt: str) -> str:
    r"""Return what ends the thought that a prompt ends inside, as templates write an empty one; else nothing.

    Examples
    --------
    >>> thought_end("<assistant><think>\n"), thought_end("<assistant>")
    ('\n</think>\n\n', '')
    """
    begin = open_thought(prompt)
    if not begin:
        return ""
    blank = "" if prompt.endswith("\n") else "\n"
    return f"{blank}\n{dict(MARKS)[begin]}\n\n"


def decoded(tokenizer: Any, tokens: Sequence[int]) -> str:
    """Return tokens as text without special ones, except those that begin and end thoughts."""
    ids = {tokenizer.convert_tokens_to_ids(mark): mark for pair in MARKS for mark in pair}
    # Another token stands for what is not in the vocabulary.
    marks = {
        token: mark
        for token, mark in ids.items()
        if token is not None and tokenizer.convert_ids_to_tokens(token) == mark
    }
    pieces, start = [], 0
    for place, token in enumerate(tokens):
        if token in marks:
            pieces += [tokenizer.decode(tokens[start:place], skip_special_tokens=True), marks[token]]
            start = place + 1
    pieces.append(tokenizer.decode(tokens[start:], skip_special_tokens=True))
    return "".join(pieces)
