"""Chats as training sets hold them: ``[{"from": "human", "value": ...}, {"from": "gpt", "value": ...}]``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from savs.errors import ExampleError

__all__ = ["as_question", "is_conversation", "last_answer"]

_ROLES = {
    "human": "user",
    "user": "user",
    "gpt": "assistant",
    "chatgpt": "assistant",
    "assistant": "assistant",
    "model": "assistant",
    "bot": "assistant",
    "system": "system",
}


def is_conversation(value: Any) -> bool:
    """Return whether a cell is a list of turns: ``from`` and ``value``, or ``role`` and ``content``."""
    if not isinstance(value, list | tuple) or not value:
        return False
    return all(
        isinstance(turn, Mapping) and ({"from", "value"} <= turn.keys() or {"role", "content"} <= turn.keys())
        for turn in value
    )


def as_question(turns: Any) -> list[dict[str, Any]]:
    """Return the messages up to the last one of the user; the answers after it are what is to be found.

    Parameters
    ----------
    turns : list of mapping
        ``from`` (``human``, ``gpt``, ``system``, ...) and ``value``; or ``role`` and ``content``.

    Raises
    ------
    ExampleError
        ``chat`` if it is no such list, a speaker is not known, or the user says nothing.
    """
    messages = _messages(turns)
    while messages and messages[-1]["role"] == "assistant":
        messages.pop()
    if not messages:
        raise ExampleError("the conversation has no turn of the user (from: human)", code="chat")
    return messages


def last_answer(turns: Any) -> str | None:
    """Return what the assistant says after the user's last turn, or None if that is the last one.

    Raises
    ------
    ExampleError
        As `as_question`.
    """
    content = _messages(turns)[-1]
    return content["content"] if content["role"] == "assistant" else None


def _messages(turns: Any) -> list[dict[str, Any]]:
    if not is_conversation(turns):
        raise ExampleError(
            "a conversation is a list of {'from': 'human' or 'gpt', 'value': text}, at least one of them",
            code="chat",
        )
    return [_message(turn) for turn in turns]


def _message(turn: Mapping[str, Any]) -> dict[str, Any]:
    # Tables fill the keys that other rows have with None.
    speaker = turn.get("from") if turn.get("from") is not None else turn.get("role")
    content = turn.get("value") if turn.get("value") is not None else turn.get("content")
    role = _ROLES.get(speaker.lower()) if isinstance(speaker, str) else None
    if role is None:
        shown = repr(speaker[:50]) if isinstance(speaker, str) else type(speaker).__name__
        raise ExampleError(f"a conversation is between {', '.join(_ROLES)}, not {shown}", code="chat")
    return {"role": role, "content": content}
