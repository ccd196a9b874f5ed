"""Accuracy against the share of shots with a wrong label."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from savs._progress import progress_bar
from savs.backbones import Backbone
from savs.data import Example
from savs.experiments.reading import (
    Rows,
    check_data,
    check_methods,
    default_shots,
    make_draws,
    read_set,
)
from savs.experiments.results import Experiment, Row

__all__ = ["LEVELS", "METHODS", "noise_experiment", "wrong_labels"]

LEVELS: tuple[float, ...] = (0.0, 0.1, 0.2, 0.3, 0.4)
METHODS: tuple[str, ...] = ("sav", "hec_v", "nearest_shot", "kernel_ridge", "auto", "last_layer")
SHOTS = 20


def wrong_labels(
    labels: NDArray[Any], shots: Rows, per_class: int, seed: int | Sequence[int]
) -> NDArray[Any]:
    """Return labels of which `per_class` shots of every class have a wrong one.

    Which shots it is, and which wrong class each gets, is random; with the same seed, what is wrong with a
    smaller number is wrong in the same way with a larger one.

    Parameters
    ----------
    labels : ndarray of object, shape (n_examples,)
        The true labels; they are not changed.
    shots : ndarray of int
        Rows of the shots; no other label becomes wrong.
    per_class : int
        Wrong labels in each class.
    seed : int or sequence of int
        As for `numpy.random.default_rng`.

    Examples
    --------
    >>> labels = np.array(["a", "a", "b", "b", "a"], dtype=object)
    >>> wrong = wrong_labels(labels, np.arange(4), 1, seed=0)
    >>> [int(np.sum(wrong[rows] != labels[rows])) for rows in ([0, 1], [2, 3], [4])]
    [1, 1, 0]
    """
    rng = np.random.default_rng(seed)
    wrong = labels.copy()
    classes = sorted(set(labels[shots].tolist()))
    for name in classes:
        others = [other for other in classes if other != name]
        members = rng.permutation([row for row in shots.tolist() if labels[row] == name])
        chosen = rng.integers(len(others), size=len(members))
        for row, place in zip(members[:per_class].tolist(), chosen.tolist(), strict=False):
            wrong[row] = others[place]
    return wrong


def noise_experiment(
    backbone: Backbone,
    examples: Sequence[Example],
    *,
    methods: Sequence[str] = METHODS,
    levels: Sequence[float] = LEVELS,
    shots: int | None = None,
    draws: int = 5,
    test: Sequence[Example] = (),
    seed: int = 0,
    task: str = "data",
    prompt: str | None = None,
    max_errors: int = 0,
    progress: bool = False,
) -> Experiment:
    """Measure accuracy against the share of shots with a wrong label, in percent of each class.

    Labels of shots become wrong, those of test items stay. All methods see the same wrong labels, and those
    of a lower share are wrong at a higher one too.

    Parameters
    ----------
    backbone : Backbone
        The frozen model; each example passes it once.
    examples : sequence of Example
        Labeled, the prompt applied. Shots are drawn from them; the others are the test, unless `test` is.
    methods : sequence of str
        Names of `savs.classifiers.available_methods` or `savs.experiments.reading.BASELINES`.
    levels : sequence of float, default=(0, 0.1, 0.2, 0.3, 0.4)
        Shares of wrong labels, from 0 to below 1. The number of wrong labels is cut to a whole number per
        class, and `x` is the share that this number is.
    shots : int, optional
        Shots per class; by default 20, or half of the smallest class.
    draws, test, seed, task, prompt, max_errors, progress
        As in `savs.experiments.shots_experiment`.

    Returns
    -------
    Experiment
        The series are the methods; `x` is the percentage of wrong labels in each class.

    Raises
    ------
    ValueError
        If a method is not known, or a number is out of range.
    DataError
        If there are fewer than two classes or too few examples of one for the shots.
    ItemError
        If more than `max_errors` examples cannot be read.
    """
    check_methods(methods)
    if not levels or not all(0 <= level < 1 for level in levels):
        raise ValueError(f"shares of wrong labels are from 0 to below 1, got {list(levels)}")
    n_shots = default_shots(examples, [SHOTS], fixed_test=bool(test))[-1] if shots is None else shots
    names = list(dict.fromkeys(methods))
    check_data(examples, [n_shots], draws, fixed_test=bool(test))
    numbers = sorted({int(level * n_shots + 1e-9) for level in levels})
    read = read_set(backbone, examples, test, prompt=prompt, max_errors=max_errors, progress=progress)
    all_draws = make_draws(read, [n_shots], draws, seed)
    rows = []
    with progress_bar(len(names) * len(numbers) * draws, "fit", progress) as tell:
        for name in names:
            for number in numbers:
                for draw in all_draws:
                    given = draw.shots[n_shots]
                    labels = wrong_labels(read.labels, given, number, (seed, draw.number, 1))
                    outcome = read.judge(name, given, draw.test, labels)
                    rows.append(Row.of(round(100 * number / n_shots, 6), name, draw.number, outcome))
                    tell(1)
    settings = {
        "levels": list(levels),
        "wrong_per_class": numbers,
        "shots": n_shots,
        "draws": draws,
        "seed": seed,
        "prompt": prompt,
        "fixed_test": bool(test),
    }
    title = "wrong labels among the shots of each class, %"
    return Experiment("noise", task, names, title, rows, settings, read.errors)
