"""`PromptTemplate`: wraps an example's own text into the user's prompt. Knows no model."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

from savs.data import Example, Text, place_images
from savs.errors import ExampleError

__all__ = ["PromptTemplate"]

_TOKEN = re.compile(r"\{\{|\}\}|\{([^{}]*)\}|[{}]")
_NAME = re.compile(r"\w[\w -]*")


@dataclass(frozen=True)
class PromptTemplate:
    r"""A prompt with placeholders for an example's text and the columns of its row.

    Parameters
    ----------
    template : str
        ``{question}`` is the example's own text, images included; so is ``{text}`` unless there is a column
        of that name; any other name in braces is a column of ``example.fields``. ``{{`` and ``}}`` give
        braces. Without any placeholder the template follows the example's own text on a new line, so that the
        own text is never dropped silently.

    Raises
    ------
    ExampleError
        With code ``prompt_template``, for a single brace, a placeholder that is not a plain name, or blanks
        alone, which would only add them to every text.

    Examples
    --------
    >>> from savs.data import Example, Message, Text
    >>> example = Example((Message("user", (Text("Is it red?"),)),))
    >>> PromptTemplate("Question: {question}").apply(example).text
    'Question: Is it red?'
    >>> PromptTemplate("Answer Yes or No.").apply(example).text
    'Is it red?\nAnswer Yes or No.'
    """

    template: str

    def __post_init__(self) -> None:
        if not isinstance(self.template, str):
            raise ExampleError(
                f"a prompt template is a string, not {type(self.template).__name__}", code="prompt_template"
            )
        if not self.template.strip():
            raise ExampleError(
                "the prompt template is blank; leave it out where the examples' own text is enough",
                code="prompt_template",
            )
        _ = self._pieces

    @cached_property
    def _pieces(self) -> tuple[tuple[str, str | None], ...]:
        """Pairs of a literal text and the name of the placeholder after it."""
        pieces: list[tuple[str, str | None]] = []
        literal, end = "", 0
        for match in _TOKEN.finditer(self.template):
            literal += self.template[end : match.start()]
            end = match.end()
            if match[0] in {"{{", "}}"}:
                literal += match[0][0]
                continue
            pieces.append((literal, _checked_name(match)))
            literal = ""
        return (*pieces, (literal + self.template[end:], None))

    @property
    def placeholders(self) -> tuple[str, ...]:
        """Names in braces, in order."""
        return tuple(name for _, name in self._pieces if name is not None)

    def apply(self, example: Example) -> Example:
        """Return the example with its last message rewritten; earlier messages, label, id and fields stay.

        Raises
        ------
        ExampleError
            If a placeholder names no column, or the result's markers are not one per image or audio clip.
        """
        if not example.messages:
            raise ExampleError("it has no message", code="empty_example", id=example.id)
        last = example.messages[-1]
        media = [part for part in last.parts if not isinstance(part, Text)]
        try:
            parts = place_images(self._fill(example), media)
        except ExampleError as error:
            error.id = example.id
            raise
        return replace(example, messages=(*example.messages[:-1], replace(last, parts=parts)))

    def _fill(self, example: Example) -> str:
        filled = "".join(
            literal if name is None else literal + _value(example, name) for literal, name in self._pieces
        )
        own = example.text
        return filled if self.placeholders or not own else f"{own}\n{filled}"


def _checked_name(match: re.Match[str]) -> str:
    name = match[1]
    if name is None:
        raise ExampleError(
            f"the prompt template has a single {match[0]} at position {match.start()}; write "
            f"{match[0] * 2} for a literal brace",
            code="prompt_template",
        )
    if not _NAME.fullmatch(name):
        raise ExampleError(
            f"the prompt template's placeholder {match[0]!r} is not a plain column name; write "
            "{{ and }} for literal braces",
            code="prompt_template",
        )
    return name


def _value(example: Example, name: str) -> str:
    if name == "question":
        return example.text
    if name in ("label", example.label_column):
        raise ExampleError(
            f"the prompt template names {{{name}}}, the label: the answer must not stand in the prompt",
            code="prompt_column",
        )
    if name == "text" and name not in example.fields:
        return example.text
    if name not in example.fields:
        columns = ", ".join(map(str, example.fields)) or "none"
        raise ExampleError(
            f"the prompt template names {{{name}}}, but there is no such column; columns: {columns}",
            code="prompt_column",
        )
    value = example.fields[name]
    if _holds_bytes(value):
        raise ExampleError(
            f"the prompt template names {{{name}}}, but that column holds bytes and no text",
            code="prompt_column",
        )
    return "" if value is None else str(_plain(value))


def _plain(value: Any) -> Any:
    """Return arrays, tensors and their numbers at any depth as Python has them: the same in every library."""
    if isinstance(value, Mapping):
        return {key: _plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return type(value)(map(_plain, value)) if type(value) in (list, tuple) else value
    if hasattr(value, "tolist") and getattr(getattr(value, "dtype", None), "kind", "") not in ("M", "m"):
        plain = value.tolist()
        return list(map(_plain, plain)) if isinstance(plain, list) else plain
    return value


def _holds_bytes(value: Any) -> bool:
    """Return whether a cell is bytes, or a list or dict with some, as media are stored."""
    if isinstance(value, Mapping):
        return any(map(_holds_bytes, value.values()))
    if isinstance(value, list | tuple):
        return any(map(_holds_bytes, value))
    return isinstance(value, bytes | bytearray | memoryview)
