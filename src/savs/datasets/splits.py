"""Few-shot splits: seeded, stratified draws of shots."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from savs.datasets.support import class_counts
from savs.errors import DataError
from savs.examples import Example

__all__ = ["draw_shots", "split_draws"]


def draw_shots(examples: Sequence[Example], shots: int, seed: int) -> tuple[list[Example], list[Example]]:
    """Return a drawn few-shot set and all other examples, both in the order given.

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
        raise DataError(f"{shots} shots per class were asked for, but {', '.join(short)}")
    generator = np.random.default_rng(seed)
    drawn: set[int] = set()
    for label in sorted(counts):
        members = [position for position, example in enumerate(examples) if example.label == label]
        drawn.update(int(position) for position in generator.choice(members, shots, replace=False))
    rest = [example for position, example in enumerate(examples) if position not in drawn]
    return [examples[position] for position in sorted(drawn)], rest


def split_draws(
    examples: Sequence[Example], shots: int, n_draws: int, seed: int
) -> Iterator[tuple[list[Example], list[Example]]]:
    """Yield `n_draws` independent draws of `draw_shots`; the first ones do not depend on `n_draws`.

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
