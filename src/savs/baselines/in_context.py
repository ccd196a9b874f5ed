"""In-context learning: a few shots in the prompt, each with its answer, before the query; then generate."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from savs._labels import key_of
from savs.baselines.on_features import BaselineResult
from savs.baselines.zero_shot import Generator, answer_text, ask_with, zero_shot
from savs.data import Example, Label, Message, Text
from savs.errors import DataError

__all__ = ["demonstrations", "in_context", "with_demonstrations"]


def in_context(
    backbone: Generator,
    shots: Sequence[Example],
    queries: Sequence[Example],
    classes: Sequence[Label],
    *,
    n_shots: int = 4,
    seed: int = 0,
    name_classes: bool = True,
    max_new_tokens: int = 16,
) -> BaselineResult:
    """Let the model answer each query behind a few solved ones, and read the class from the answer.

    The prompt is one chat: for each demonstration a turn of the user, with its media and its question, and
    one of the assistant, the name of its class; the query comes last. All queries have the same
    demonstrations, in the same order.

    Parameters
    ----------
    backbone : Generator
        Any backbone whose prompts may have several turns and, if the examples have media, several of them.
    shots : sequence of Example
        Labeled, with the prompt; the demonstrations are chosen from them, see `demonstrations`.
    queries : sequence of Example
        What to ask; labels are not read.
    classes : sequence of label
        The classes to choose from.
    n_shots : int, default=4
        Number of demonstrations in all; every shot where there are fewer.
    seed : int, default=0
        Chooses the demonstrations and their order.
    name_classes : bool, default=True
        Append `savs.baselines.answer_prompt` to every turn of the user; switch off where the prompts list the
        answers.
    max_new_tokens : int, default=16
        Longest answer.

    Raises
    ------
    DataError
        If there are no classes or no shots, or a shot has no label or another one than `classes`.
    ItemError
        If the model cannot take such a prompt, with the id of the query.
    ValueError
        If `n_shots` is below 1.
    """
    chosen = demonstrations(shots, classes, n_shots=n_shots, seed=seed)
    asked = [with_demonstrations(query, chosen, classes, name_classes=name_classes) for query in queries]
    found = zero_shot(backbone, asked, classes, name_classes=name_classes, max_new_tokens=max_new_tokens)
    return replace(found, name="in_context")


def demonstrations(
    shots: Sequence[Example], classes: Sequence[Label], *, n_shots: int, seed: int = 0
) -> list[Example]:
    """Choose shots at random, the classes in turn, so that no class has two more than another.

    Parameters
    ----------
    shots : sequence of Example
        Labeled.
    classes : sequence of label
        The labels that they may have.
    n_shots : int
        How many to choose.
    seed : int, default=0
        Of the choice, and of the order of the classes.

    Returns
    -------
    list of Example
        At most `n_shots` of them.

    Raises
    ------
    DataError
        If there are no shots, or one has no label or another one than `classes`.
    ValueError
        If `n_shots` is below 1.
    """
    if n_shots < 1:
        raise ValueError(f"n_shots must be at least 1, got {n_shots}")
    if not shots:
        raise DataError("in-context answers need at least one shot, got 0")
    known = {key_of(label) for label in classes}
    stray = next((shot for shot in shots if shot.label is None or key_of(shot.label) not in known), None)
    if stray is not None:
        raise DataError(f"{stray.id}: the label of a shot is {stray.label!r}, which is none of the classes")
    rng = np.random.default_rng(seed)
    rank = {key_of(classes[place]): at for at, place in enumerate(rng.permutation(len(classes)).tolist())}
    turns: dict[object, int] = {}
    order = []
    for place in rng.permutation(len(shots)).tolist():
        key = key_of(shots[place].label)
        turns[key] = turns.get(key, 0) + 1
        order.append((turns[key], rank[key], place))
    return [shots[place] for _, _, place in sorted(order)[:n_shots]]


def with_demonstrations(
    query: Example, chosen: Sequence[Example], classes: Sequence[Label], *, name_classes: bool = True
) -> Example:
    """Return the query behind solved examples, in one chat.

    System messages are the query's alone. The question of the query is left as it is: `zero_shot` appends the
    names of the classes to it.

    Parameters
    ----------
    query : Example
        What to ask.
    chosen : sequence of Example
        From `demonstrations`.
    classes : sequence of label
        The classes.
    name_classes : bool, default=True
        Append the names of the classes to the questions of the demonstrations.
    """
    system = tuple(message for message in query.messages if message.role == "system")
    own = tuple(message for message in query.messages if message.role != "system")
    solved: list[Message] = []
    for shot in chosen:
        asked = ask_with(shot, classes) if name_classes else shot
        solved += [message for message in asked.messages if message.role != "system"]
        solved.append(Message("assistant", (Text(answer_text(_label(shot), classes)),)))
    return replace(query, messages=(*system, *solved, *own))


def _label(shot: Example) -> Label:
    if shot.label is None:
        raise DataError(f"{shot.id}: a shot needs a label")
    return shot.label
