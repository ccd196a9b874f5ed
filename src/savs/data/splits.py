"""Few-shot splits: seeded, stratified draws of shots; no content is on both sides."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Sequence

import numpy as np

from savs._labels import DataWarning
from savs.data.checks import class_counts, find_copies
from savs.data.example import Example
from savs.errors import DataError

__all__ = ["draw_positions", "draw_shots", "split_draws"]

_LISTED = 20


def draw_shots(examples: Sequence[Example], shots: int, seed: int) -> tuple[list[Example], list[Example]]:
    """Return a drawn few-shot set and all examples with other contents, both in the order given.

    Parameters
    ----------
    examples, shots, seed
        As in `draw_positions`. Give the examples as the model reads them, after the prompt template, if
        columns in the prompt tell them apart.

    Raises
    ------
    DataError
        As `draw_positions`.

    Warns
    -----
    DataWarning
        If examples that were not drawn are copies of a shot, with their number: they are left out.
    """
    drawn = draw_positions(examples, shots, seed)
    chosen = [examples[position] for position in drawn]
    others = sorted(set(range(len(examples))) - set(drawn))
    return chosen, _without_copies([examples[position] for position in others], chosen)


def draw_positions(examples: Sequence[Example], shots: int, seed: int) -> list[int]:
    """Return the positions of a drawn few-shot set, ascending; no file is read.

    Parameters
    ----------
    examples : sequence of Example
        With labels.
    shots : int
        How many of each class.
    seed : int
        Decides the draw, together with the examples' order within each class.

    Raises
    ------
    DataError
        If a label is missing, types of labels are mixed, or a class has fewer than `shots` examples.
    """
    if shots < 1 or seed < 0:
        raise DataError(f"shots must be at least 1 and the seed at least 0, not {shots} and {seed}")
    counts = class_counts(examples)
    short = [f"{label!r} has {count}" for label, count in counts.items() if count < shots]
    if short:
        more = f" and {len(short) - _LISTED} more classes have too few" if len(short) > _LISTED else ""
        raise DataError(
            f"{shots} shots per class were asked for, but {', '.join(short[:_LISTED])}{more}; ask for "
            f"at most {min(counts.values())}, or add examples"
        )
    generator = np.random.default_rng(seed)
    drawn: set[int] = set()
    for label in sorted(counts):
        members = [position for position, example in enumerate(examples) if example.label == label]
        drawn.update(int(position) for position in generator.choice(members, shots, replace=False))
    return sorted(drawn)


def split_draws(
    examples: Sequence[Example], shots: int, n_draws: int, seed: int
) -> Iterator[tuple[list[Example], list[Example]]]:
    """Yield independent draws of a few-shot set, each with the remaining examples.

    A larger `n_draws` adds draws at the end and leaves the first ones unchanged.

    Parameters
    ----------
    examples : sequence of Example
        With labels.
    shots : int
        How many of each class.
    n_draws : int
        How many draws, at least 1.
    seed : int
        Seeds all draws, at least 0.

    Yields
    ------
    tuple of (list of Example, list of Example)
        The shots and the rest, as `draw_shots` returns them.

    Raises
    ------
    DataError
        As `draw_shots`, or if `n_draws` or `seed` is out of range.
    """
    if n_draws < 1 or seed < 0:
        raise DataError(
            f"the number of draws must be at least 1 and the seed at least 0, not {n_draws} and {seed}"
        )
    for draw_seed in np.random.SeedSequence(seed).generate_state(n_draws):
        yield draw_shots(examples, shots, int(draw_seed))


def _without_copies(rest: list[Example], shots: list[Example]) -> list[Example]:
    copies = set(find_copies(shots, rest))
    if copies:
        first = rest[min(copies)].id
        warnings.warn(
            f"{len(copies)} of {len(rest)} examples that were not drawn have the content of a shot, the "
            f"first is {first}; they are left out of the rest",
            DataWarning,
            stacklevel=3,
        )
    return [example for position, example in enumerate(rest) if position not in copies]
