"""Accuracy against the number of shots per class."""

from __future__ import annotations

from collections.abc import Sequence

from savs._progress import progress_bar
from savs.backbones import Backbone
from savs.data import Example
from savs.experiments.reading import (
    check_data,
    check_methods,
    default_shots,
    make_draws,
    read_set,
)
from savs.experiments.results import Experiment, Row

__all__ = ["METHODS", "SHOTS", "shots_experiment"]

SHOTS: tuple[int, ...] = (1, 2, 5, 10, 20, 50, 100)
METHODS: tuple[str, ...] = (
    *("sav", "hec_v", "nearest_shot", "kernel_ridge", "auto"),
    *("last_layer", "majority"),
)


def shots_experiment(
    backbone: Backbone,
    examples: Sequence[Example],
    *,
    methods: Sequence[str] = METHODS,
    shots: Sequence[int] | None = None,
    draws: int = 5,
    test: Sequence[Example] = (),
    seed: int = 0,
    task: str = "data",
    prompt: str | None = None,
    max_errors: int = 0,
    progress: bool = False,
) -> Experiment:
    """Measure accuracy against the number of shots per class.

    In each draw, all methods and numbers of shots are judged on the same test items: those that are left by
    the largest number. Fewer shots are a subset of more.

    Parameters
    ----------
    backbone : Backbone
        The frozen model; each example passes it once.
    examples : sequence of Example
        Labeled, the prompt applied. Shots are drawn from them; the others are the test, unless `test` is.
    methods : sequence of str
        Names of `savs.classifiers.available_methods` or `savs.experiments.reading.BASELINES`.
    shots : sequence of int, optional
        Shots per class; by default 1, 2, 5, 10, 20, 50 and 100, as far as the data reach with half of each
        class left for the test.
    draws, seed : int
        Number and seed of the draws.
    test : sequence of Example, optional
        A separate test set.
    task : str, default="data"
        Name of the dataset, for the record.
    prompt : str, optional
        The template that `examples` had, for methods that put the classes' names to the model.
    max_errors : int, default=0
        Examples that may be unreadable before the error of one more is raised; -1 means any number.
    progress : bool, default=False
        Show progress bars on a terminal.

    Returns
    -------
    Experiment
        The series are the methods; `x` is the number of shots per class.

    Raises
    ------
    ValueError
        If a method is not known, or a number is out of range.
    DataError
        If there are fewer than two classes or too few examples of one for the shots.
    ItemError
        If more than `max_errors` examples cannot be read.

    Examples
    --------
    >>> from savs.backbones.fake import FakeBackbone
    >>> from savs.data import as_examples
    >>> examples = as_examples(["red", "rose", "wine", "navy", "sea", "sky"], ["warm"] * 3 + ["cold"] * 3)
    >>> found = shots_experiment(FakeBackbone(), examples, methods=["majority"], shots=[1, 2], draws=2)
    >>> [(row.x, row.draw, row.accuracy, row.n_test) for row in found.rows]
    [(1, 0, 0.5, 2), (1, 1, 0.5, 2), (2, 0, 0.5, 2), (2, 1, 0.5, 2)]
    """
    check_methods(methods)
    counts = default_shots(examples, SHOTS, fixed_test=bool(test)) if shots is None else sorted(set(shots))
    names = list(dict.fromkeys(methods))
    check_data(examples, counts, draws, fixed_test=bool(test))
    read = read_set(backbone, examples, test, prompt=prompt, max_errors=max_errors, progress=progress)
    all_draws = make_draws(read, counts, draws, seed)
    rows = []
    with progress_bar(len(names) * len(counts) * draws, "fit", progress) as tell:
        for name in names:
            for count in counts:
                for draw in all_draws:
                    outcome = read.judge(name, draw.shots[count], draw.test)
                    rows.append(Row.of(count, name, draw.number, outcome))
                    tell(1)
    settings = {"shots": counts, "draws": draws, "seed": seed, "prompt": prompt, "fixed_test": bool(test)}
    return Experiment("shots", task, names, "shots per class", rows, settings, read.errors)
