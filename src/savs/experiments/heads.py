"""Accuracy against the number of heads that a method keeps."""

from __future__ import annotations

from collections.abc import Sequence

from savs._progress import progress_bar
from savs.backbones import Backbone
from savs.classifiers import Method, available_methods, make_method
from savs.data import Example
from savs.experiments.reading import (
    check_data,
    check_methods,
    default_shots,
    make_draws,
    read_set,
)
from savs.experiments.results import Experiment, Row

__all__ = ["METHODS", "default_counts", "heads_experiment", "methods_with_heads"]

METHODS: tuple[str, ...] = ("sav", "calm", "hec_v", "nearest_shot")
SHOTS = 20
"""Shots per class where the caller names no number and the data reach."""


def methods_with_heads() -> list[str]:
    """Return the methods that keep a number of heads, which can be set."""
    return [name for name in available_methods() if _keeps_heads(name)]


def _keeps_heads(name: str) -> bool:
    return name in available_methods() and "n_heads" in make_method(name).get_params(deep=False)


def check_keeps_heads(methods: Sequence[str]) -> None:
    """Raise `ValueError` unless every method keeps a number of heads that can be set."""
    check_methods(methods)
    for name in methods:
        if not _keeps_heads(name):
            able = ", ".join(methods_with_heads())
            raise ValueError(f"method {name!r} keeps no number of heads; these do: {able}")


def default_counts(n_heads: int) -> list[int]:
    """Return 1, 2, 5, 10, 20, 40, 80, ... and all heads of a backbone.

    Examples
    --------
    >>> default_counts(64), default_counts(10)
    ([1, 2, 5, 10, 20, 40, 64], [1, 2, 5, 10])
    """
    counts = [1, 2, 5, 10, 20]
    while counts[-1] < n_heads:
        counts.append(2 * counts[-1])
    return [*(count for count in counts if count < n_heads), n_heads]


def heads_experiment(
    backbone: Backbone,
    examples: Sequence[Example],
    *,
    methods: Sequence[str] = METHODS,
    heads: Sequence[int] | None = None,
    shots: int | None = None,
    draws: int = 5,
    test: Sequence[Example] = (),
    seed: int = 0,
    task: str = "data",
    prompt: str | None = None,
    max_errors: int = 0,
    progress: bool = False,
) -> Experiment:
    """Measure accuracy against the number of heads that a method keeps, on the same draws.

    Parameters
    ----------
    backbone : Backbone
        The frozen model; each example passes it once.
    examples : sequence of Example
        Labeled, the prompt applied. Shots are drawn from them; the others are the test, unless `test` is.
    methods : sequence of str
        Methods with a parameter ``n_heads``.
    heads : sequence of int, optional
        Numbers of heads; by default 1, 2, 5, 10, 20, 40, 80, ... and all.
    shots : int, optional
        Shots per class; by default 20, or half of the smallest class.
    draws, test, seed, task, prompt, max_errors, progress
        As in `savs.experiments.shots_experiment`.

    Returns
    -------
    Experiment
        The series are the methods; `x` is the number of heads.

    Raises
    ------
    ValueError
        If a method is not known or keeps no number of heads, or a number is out of range.
    DataError
        If there are fewer than two classes or too few examples of one for the shots.
    ItemError
        If more than `max_errors` examples cannot be read.

    Examples
    --------
    >>> from savs.backbones.fake import FakeBackbone
    >>> from savs.data import as_examples
    >>> examples = as_examples(["red", "rose", "wine", "navy", "sea", "sky"], ["warm"] * 3 + ["cold"] * 3)
    >>> found = heads_experiment(FakeBackbone(), examples, methods=["sav"], shots=2, draws=1)
    >>> found.x_values
    [1, 2, 5, 10, 16]
    """
    check_keeps_heads(methods)
    n_heads = backbone.layout.n_heads
    counts = default_counts(n_heads) if heads is None else sorted(set(heads))
    if not counts or counts[0] < 1 or counts[-1] > n_heads:
        raise ValueError(f"the backbone has {n_heads} heads: ask for 1 to {n_heads}, not {list(counts)}")
    n_shots = default_shots(examples, [SHOTS], fixed_test=bool(test))[-1] if shots is None else shots
    names = list(dict.fromkeys(methods))
    check_data(examples, [n_shots], draws, fixed_test=bool(test))
    read = read_set(backbone, examples, test, prompt=prompt, max_errors=max_errors, progress=progress)
    all_draws = make_draws(read, [n_shots], draws, seed)
    rows = []
    with progress_bar(len(names) * len(counts) * draws, "fit", progress) as tell:
        for name in names:
            for count in counts:
                method = Method(name, n_heads=count)
                for draw in all_draws:
                    outcome = read.judge(method, draw.shots[n_shots], draw.test)
                    rows.append(Row.of(count, name, draw.number, outcome))
                    tell(1)
    settings = {
        "heads": counts,
        "shots": n_shots,
        "draws": draws,
        "seed": seed,
        "prompt": prompt,
        "fixed_test": bool(test),
    }
    return Experiment("heads", task, names, "number of heads", rows, settings, read.errors)
