"""Changes to JSON that leave it JSON: what a reader's own checks must stand up to."""

from __future__ import annotations

import copy
import json
import random
from typing import Any

__all__ = ["VALUES", "change_json", "change_text"]

VALUES: tuple[Any, ...] = (
    None,
    True,
    False,
    0,
    1,
    -1,
    2**31,
    2**63 - 1,
    2**63,
    -(2**63) - 1,
    10**400,
    0.5,
    -0.0,
    1e308,
    float("nan"),
    float("inf"),
    "",
    "\0",
    "\ud800",
    "a\nb",
    "\u202e",
    "<image>",
    "<image><image>",
    "a.png",
    "../../../etc/passwd",
    "/dev/zero",
    "http://127.0.0.1/a.png",
    "file:///etc/passwd",
    "data:image/png;base64,AAAA",
    "data:image/png;base64,",
    "x" * 5000,
    [],
    {},
    [[]],
    [0, 0, 0],
    {"": None},
    {"role": "user", "content": "x"},
    {"type": "image"},
    {"type": "text", "text": "x"},
    {"bytes": "x", "path": None},
)

NAMES = ("image", "images", "image_1", "question", "text", "label", "id", "ID", "messages", "video", "fields")


def change_text(text: bytes, chance: random.Random, names: tuple[str, ...] = NAMES) -> bytes:
    """Return JSON text with one to three changes, or the text itself where it is no JSON."""
    try:
        value = json.loads(text)
    except (ValueError, RecursionError):
        return text
    for _ in range(chance.randint(1, 3)):
        value = change_json(value, chance, names)
    return dump(value)


def dump(value: Any) -> bytes:
    """Return JSON text of a value, lone surrogates and NaN as they are."""
    return json.dumps(value, ensure_ascii=True, separators=(",", ":")).encode()


def change_json(value: Any, chance: random.Random, names: tuple[str, ...] = NAMES) -> Any:
    """Return a copy of a JSON value with one change somewhere in it."""
    whole = [copy.deepcopy(value)]
    holder, key = _somewhere(whole, chance)
    kind = chance.randrange(8)
    if kind == 0 and isinstance(holder[key], dict):
        holder[key][chance.choice(names)] = copy.deepcopy(chance.choice(VALUES))
    elif kind == 1 and holder is not whole:
        del holder[key]
    elif kind == 2 and isinstance(holder, list) and holder is not whole:
        holder.insert(key, copy.deepcopy(holder[key]))
    elif kind == 3 and isinstance(holder, list) and holder is not whole:
        chance.shuffle(holder)
    elif kind == 4:
        holder[key] = [holder[key]]
    elif kind == 5 and isinstance(holder, dict):
        holder[chance.choice(names)] = holder.pop(key)
    elif kind == 6 and isinstance(holder[key], int | float) and not isinstance(holder[key], bool):
        holder[key] = _other_number(holder[key], chance)
    else:
        holder[key] = copy.deepcopy(chance.choice(VALUES))
    return whole[0]


def _other_number(number: float, chance: random.Random) -> float:
    # Infinity has no whole number and NaN compares with nothing: they are replaced.
    if number != number or number in (float("inf"), float("-inf")):
        return 0
    half = number + 0.5 if abs(number) < 2**60 else 0
    return chance.choice([number + 1, number - 1, -number, number * 2, number // 2, half])


def _somewhere(whole: list[Any], chance: random.Random) -> tuple[Any, Any]:
    """Return a container and a key of it, any place in the value."""
    places: list[tuple[Any, Any]] = []
    waiting: list[tuple[Any, Any]] = [(whole, 0)]
    while waiting and len(places) < 5000:
        holder, key = waiting.pop()
        places.append((holder, key))
        inner = holder[key]
        if isinstance(inner, dict):
            waiting.extend((inner, name) for name in inner)
        elif isinstance(inner, list):
            waiting.extend((inner, position) for position in range(len(inner)))
    return chance.choice(places)
