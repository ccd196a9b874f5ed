"""Heads, or whole classifiers, that were found on one dataset and are used on another."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np

from savs._labels import key_of
from savs._progress import progress_bar
from savs.backbones import Backbone
from savs.classifiers import HeadClassifier, Method
from savs.data import Example, Label
from savs.errors import DataError, SAVsError
from savs.experiments.heads import check_keeps_heads
from savs.experiments.reading import (
    Draw,
    ReadSet,
    Rows,
    check_data,
    default_shots,
    make_draws,
    read_set,
)
from savs.experiments.results import Experiment, Row
from savs.layout import Head

__all__ = ["RANDOM_HEADS", "transfer_experiment"]

SHOTS = 20
RANDOM_HEADS = "random heads"


def transfer_experiment(
    backbone: Backbone,
    datasets: Mapping[str, Sequence[Example]],
    *,
    method: str = "sav",
    n_heads: int | None = None,
    shots: int | None = None,
    draws: int = 5,
    seed: int = 0,
    prompts: Mapping[str, str | None] | None = None,
    max_errors: int = 0,
    progress: bool = False,
) -> Experiment:
    """Measure how well heads chosen on one dataset serve on another: every pair of datasets.

    In each draw, the heads are chosen on the shots of one dataset (the source). The method is then fitted on
    the shots of the other (the target) with these heads alone, and judged on the target's test items. Where
    both have the same labels, the classifier of the source also answers the target's test items as it is. The
    heads of the target itself and as many heads chosen at random are judged beside them, with the same shots
    and test items. No test item has the content of a shot of any dataset.

    Parameters
    ----------
    backbone : Backbone
        The frozen model; each example passes it once.
    datasets : mapping of str to sequence of Example
        Two or more, by name; labeled, the prompt applied.
    method : str, default="sav"
        A method with a parameter ``n_heads``.
    n_heads : int, optional
        Heads to keep; by default as the method sets.
    shots : int, optional
        Shots per class; by default 20, or half of the smallest class of all.
    draws, seed : int
        Number and seed of the draws.
    prompts : mapping of str to str or None, optional
        The template that the examples of each dataset had, for methods that put the classes' names to the
        model.
    max_errors : int, default=0
        Examples of each dataset that may be unreadable.
    progress : bool, default=False
        Show progress bars on a terminal.

    Returns
    -------
    Experiment
        `x` is the target. The series are ``heads of A`` for each source A, ``classifier of A`` where another
        dataset has the labels of A, and ``random heads``.

    Raises
    ------
    ValueError
        If the method keeps no number of heads, or a number is out of range.
    DataError
        If there are fewer than two datasets, or one cannot be used.
    ItemError
        If more than `max_errors` examples of a dataset cannot be read.
    """
    check_keeps_heads([method])
    if len(datasets) < 2:
        raise DataError(
            f"heads are carried from one dataset to another: give two or more, got {len(datasets)}"
        )
    if shots is None:
        shots = min(default_shots(one, [SHOTS], fixed_test=False)[-1] for one in datasets.values())
    for one in datasets.values():
        check_data(one, [shots], draws)
    asked = prompts or {}
    sets = {
        name: read_set(backbone, examples, prompt=asked.get(name), max_errors=max_errors, progress=progress)
        for name, examples in datasets.items()
    }
    chosen = Method(method, n_heads=n_heads)
    draws_of = _draws_apart(sets, shots, draws, seed)
    rows: list[Row] = []
    with progress_bar(draws, "fit", progress) as tell:
        for number in range(draws):
            at = {name: made[number] for name, made in draws_of.items()}
            rows += _one_draw(sets, at, chosen, shots, seed)
            tell(1)
    settings = {
        "n_heads": n_heads,
        "shots": shots,
        "draws": draws,
        "seed": seed,
        "prompts": {name: asked.get(name) for name in sets},
    }
    errors = [error for read in sets.values() for error in read.errors]
    title = "dataset of the test items"
    rows = _in_order(rows, list(sets))
    return Experiment("transfer", "+".join(sets), [method], title, rows, settings, errors)


def _draws_apart(sets: Mapping[str, ReadSet], shots: int, draws: int, seed: int) -> dict[str, list[Draw]]:
    """Return the draws of every dataset, with no copy of another dataset's shot among the test items."""
    first = {name: make_draws(read, [shots], draws, seed) for name, read in sets.items()}
    taken = [
        [
            hash_
            for name, read in sets.items()
            for hash_ in read.hashes[first[name][draw].shots[shots]].tolist()
        ]
        for draw in range(draws)
    ]
    return {name: make_draws(read, [shots], draws, seed, apart_from=taken) for name, read in sets.items()}


def _one_draw(
    sets: Mapping[str, ReadSet], at: Mapping[str, Draw], method: Method, shots: int, seed: int
) -> list[Row]:
    """Return the rows of one draw: all sources and random heads, on all targets."""
    fitted = {name: _fitted(read, method, at[name].shots[shots]) for name, read in sets.items()}
    rows = []
    for target, read in sets.items():
        draw = at[target]
        given = draw.shots[shots]

        apart = partial(_judged, read, draw)
        for source, made in fitted.items():
            rows.append(
                apart(target, f"heads of {source}", partial(_carried, read, method, made, given, draw.test))
            )
            if source != target and _same_classes(sets[source], read):
                rows.append(
                    apart(
                        target, f"classifier of {source}", partial(_as_it_is, read, method, made, draw.test)
                    )
                )
        random = partial(_with_random_heads, read, method, fitted[target], given, draw, seed)
        rows.append(apart(target, RANDOM_HEADS, random))
    return rows


def _judged(
    read: ReadSet, draw: Draw, target: str, series: str, answer: Callable[[], Sequence[Label]]
) -> Row:
    return Row.of(target, series, draw.number, read.outcome(draw.test, answer))


_Fitted = Callable[[], HeadClassifier]
"""Gives the fitted method, or raises the error of its fit."""


def _fitted(read: ReadSet, method: Method, shots: Rows) -> _Fitted:
    try:
        made = read.fit(method, shots)
    except (SAVsError, ValueError) as error:
        failure = error

        def fail() -> HeadClassifier:
            raise failure

        return fail
    return lambda: made


def _carried(read: ReadSet, method: Method, source: _Fitted, shots: Rows, items: Rows) -> list[Label]:
    """Return the answers of a method that is fitted here, with the heads that a source chose."""
    return _with_heads(read, method, _heads_of(source()), shots, items)


def _as_it_is(read: ReadSet, method: Method, source: _Fitted, items: Rows) -> list[Label]:
    """Return the answers of a classifier that was fitted elsewhere."""
    return read.predict(method, source(), items)


def _heads_of(fitted: HeadClassifier) -> list[Head]:
    return [head for head in fitted.heads_ if not head.is_state and not head.is_options]


def _with_heads(
    read: ReadSet, method: Method, heads: Sequence[Head], shots: Rows, items: Rows
) -> list[Label]:
    """Return the answers of a method that is fitted on some heads alone, and keeps all of them."""
    return read.with_heads(heads).answers(Method(method.name, n_heads=len(heads)), shots, items)


def _with_random_heads(
    read: ReadSet, method: Method, own: _Fitted, shots: Rows, draw: Draw, seed: int
) -> list[Label]:
    """Return the answers with as many heads as the target chose itself; the same ones for all targets."""
    every = read.layout.heads
    rng = np.random.default_rng((seed, draw.number, 2))
    chosen = rng.choice(len(every), size=len(_heads_of(own())), replace=False)
    return _with_heads(read, method, [every[place] for place in sorted(chosen.tolist())], shots, draw.test)


def _same_classes(one: ReadSet, other: ReadSet) -> bool:
    return {key_of(label) for label in one.classes} == {key_of(label) for label in other.classes}


def _in_order(rows: Sequence[Row], names: Sequence[str]) -> list[Row]:
    """Return rows by series, then target, then draw."""
    series = [f"{what} of {name}" for what in ("heads", "classifier") for name in names] + [RANDOM_HEADS]
    return sorted(rows, key=lambda row: (series.index(row.series), names.index(str(row.x)), row.draw))
