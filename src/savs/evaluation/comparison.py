"""`compare_methods`: methods and baselines on the same draws of one dataset, from one forward pass."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from savs._progress import progress_bar
from savs.backbones import Backbone
from savs.classifiers import Method, available_methods, make_method
from savs.classifiers.prompt_ensemble import check_takes_prompts
from savs.data import Example, Label
from savs.data.checks import class_counts
from savs.errors import DataError, ItemError, SAVsError
from savs.evaluation.contenders import (
    BaselineModels,
    BaselineSettings,
    Contender,
    ReadExamples,
    Rows,
    Turn,
    check_shots_needed,
    default_contenders,
    items_to_ask,
    known_contenders,
    shots_and_tests,
    works_without_shots,
)
from savs.evaluation.named_baselines import once
from savs.evaluation.probabilities import check_probabilities, score_items
from savs.evaluation.protocol import draw_rows
from savs.evaluation.results import Comparison, Trial
from savs.model._class_names import class_prompts, option_texts
from savs.model._prompts import WithPrompts, checked_prompts, first_prompt, read_side_by_side
from savs.model._rows import option_columns

__all__ = [
    "check_request",
    "compare_methods",
    "read_for_comparison",
    "failure_reason",
    "run_contenders",
    "turn_or_reason",
]


# Running the contenders of a comparison on its draws: what each got right, or why it could not.


def run_contenders(
    read: ReadExamples,
    models: BaselineModels,
    methods: Sequence[str],
    splits: Mapping[tuple[int, int], tuple[Rows, Rows]],
    progress: bool,
) -> dict[tuple[str, int], list[Trial]]:
    """Run methods and baselines on all draws; where there are no shots, those that work without any.

    Parameters
    ----------
    read : ReadExamples
        What the contenders get.
    models : BaselineModels
        What baselines run besides.
    methods : sequence of str
        Names of `savs.evaluation.contenders.known_contenders`.
    splits : mapping of (int, int) to (ndarray of int, ndarray of int)
        Rows of the shots and of the test items, by number of shots and draw.
    progress : bool
        Show a progress bar on a terminal.

    Returns
    -------
    dict of (str, int) to list of Trial
        The trials by method and number of shots, in the order of the draws.
    """
    trials: dict[tuple[str, int], list[Trial]] = {}
    runs = [(name, draw) for name in methods for draw in splits if draw[0] or works_without_shots(name)]
    with progress_bar(len(runs), "fit", progress) as tell:
        for name, (count, draw) in runs:
            turn = turn_or_reason(read.contender(name, models), *splits[count, draw])
            trial = Trial.failed(turn) if isinstance(turn, str) else _judged(turn, read.labels)
            trials.setdefault((name, count), []).append(trial)
            tell(1)
    return trials


def turn_or_reason(contender: Contender, drawn: Rows, items: Rows) -> Turn | str:
    """Return what a contender answered in one draw, or why it could not use the draw, as one line.

    Parameters
    ----------
    contender : Contender
        From `ReadExamples.contender`.
    drawn, items : ndarray of int
        Rows of the shots and of the test items.
    """
    try:
        turn = contender(drawn, items)
        if turn.probabilities is not None:
            check_probabilities(turn.probabilities, len(turn.rows))
    except (SAVsError, ValueError, MemoryError) as error:
        return failure_reason(error)
    return turn


def failure_reason(error: Exception) -> str:
    """Return why a method could not be used, as one line; of an item's error, what is wrong with the item.

    Parameters
    ----------
    error : Exception
        What it raised.
    """
    if isinstance(error, MemoryError):
        return "it needs more memory than there is"
    return " ".join((error.message if isinstance(error, ItemError) else str(error)).split())


def _judged(turn: Turn, labels: NDArray[Any]) -> Trial:
    truth = labels[turn.rows].tolist()
    right = [
        type(label) is type(true) and label == true for label, true in zip(turn.labels, truth, strict=True)
    ]
    scores = None if turn.probabilities is None else score_items(turn.probabilities, truth, turn.labels)
    unparsed = sum(label is None for label in turn.labels) if turn.answers else None
    return Trial(turn.rows, np.array(right), turn.seconds, turn.n_bytes, scores=scores, n_unparsed=unparsed)


@contextmanager
def _late_bar(total: int, unit: str, progress: bool) -> Iterator[Callable[[int], object]]:
    """Show a bar from the first time on that there is progress: perhaps nothing is asked."""
    with ExitStack() as opened:
        bars: list[Callable[[int], object]] = []

        def tell(count: int) -> None:
            if not bars:
                bars.append(opened.enter_context(progress_bar(total, unit, progress)))
            bars[0](count)

        yield tell


# Methods and baselines on the same draws of one dataset, from one forward pass.


def compare_methods(
    backbone: Backbone,
    examples: Sequence[Example],
    *,
    methods: Sequence[str] | None = None,
    shots: Sequence[int] = (5,),
    draws: int = 5,
    test: Sequence[Example] = (),
    seed: int = 0,
    prompt: str | None = None,
    prompts: Sequence[str] | None = None,
    zero_shot_items: int = 100,
    baselines: BaselineSettings | None = None,
    max_errors: int = 0,
    progress: bool = False,
) -> Comparison:
    """Run every method on the same random draws of the shots, on features that are read once.

    An item is judged if neither it nor another item with the same content is a shot of the draw. Within a
    draw, fewer shots are a subset of more shots. A method that cannot use a draw is recorded as failed there.

    Parameters
    ----------
    backbone : Backbone
        The frozen model; each example passes it once, for its head vectors and its last-layer state, and
        once more for the likelihoods of the class names where a method reads them.
    examples : sequence of Example
        Labeled, the prompt applied. Shots are drawn from them; the others are the test, unless `test` is.
    methods : sequence of str, optional
        Names of `savs.evaluation.contenders.known_contenders`; by default
        `savs.evaluation.contenders.default_contenders`.
    shots : sequence of int, default=(5,)
        Shots per class; more than one number gives a comparison for each. With 0 there is one draw, and only
        ``zero_shot`` and methods that `can_fit_class_names` are judged.
    draws, seed : int
        Number and seed of the draws.
    test : sequence of Example, optional
        A fixed test set.
    prompt : str, optional
        The template that `examples` had, for methods that put the classes' names to the model.
    prompts : sequence of str, optional
        Several templates instead, which `examples` and `test` get here. Every method on heads is fitted once
        for each prompt, and the probabilities are averaged as by `savs.SAVModel`; ``last_layer`` and
        ``zero_shot`` have the first prompt alone.
    zero_shot_items : int, default=100
        Largest number of test items that ``zero_shot`` and the other slow baselines are judged on, classes in
        turn.
    baselines : BaselineSettings, optional
        Names of other models, and numbers, for the baselines that need some. One whose model is not named is
        recorded as failed.
    max_errors : int, default=0
        Examples that may be unreadable before the error of one more is raised; -1 means any number.
    progress : bool, default=False
        Show progress bars on a terminal.

    Raises
    ------
    ValueError
        If a method is not known, or a number is out of range.
    DataError
        If there are fewer than two classes or too few examples of one for the shots.
    ItemError
        If more than `max_errors` examples cannot be read.

    Warns
    -----
    DataWarning
        If items of `test` are in `examples` too, or have labels that no shot has.

    Examples
    --------
    >>> from savs.backbones.fake import FakeBackbone
    >>> from savs.data import as_examples
    >>> examples = as_examples(["red", "rose", "wine", "navy", "sea", "sky"], ["warm"] * 3 + ["cold"] * 3)
    >>> found = compare_methods(FakeBackbone(), examples, methods=["majority"], shots=[1], draws=2)
    >>> found.accuracies("majority", 1)
    [0.5, 0.5]
    """
    asked = checked_prompts(prompt, prompts)
    names = default_contenders(len(asked)) if methods is None else methods
    methods, shots = list(dict.fromkeys(names)), list(dict.fromkeys(shots))
    if len(asked) > 1:
        prompted = WithPrompts(asked)
        examples, test = list(map(prompted, examples)), list(map(prompted, test))
    check_request(examples, methods, shots, fixed_test=bool(test), draws=draws, n_prompts=len(asked))
    classes = sorted(class_counts(examples))
    read, n_pool, errors = read_for_comparison(
        backbone,
        examples,
        test,
        methods=methods,
        prompts=asked,
        max_errors=max_errors,
        progress=progress,
    )
    _check_left(read.examples, n_pool, classes, shots, fixed_test=bool(test))
    splits = shots_and_tests(read, n_pool, shots, draws, seed, classes, fixed_test=bool(test))
    items = items_to_ask(read.labels, [test_rows for _, test_rows in splits.values()], zero_shot_items, seed)
    with _late_bar(len(items), "answer", progress) as tell:
        to_ask = {row: first_prompt(read.examples[row]) for row in items}
        models = BaselineModels(backbone, classes, to_ask, baselines, tell)
        trials = run_contenders(read, models, methods, splits, progress)
    return Comparison(
        methods=tuple(methods),
        shots=tuple(shots),
        draws=draws,
        trials=trials,
        n_test={
            count: [len(items) for (shot_count, _), (_, items) in splits.items() if shot_count == count]
            for count in shots
        },
        answers=models.answered,
        errors=errors,
        seed=seed,
    )


def read_for_comparison(
    backbone: Backbone,
    pool: Sequence[Example],
    test: Sequence[Example],
    *,
    methods: Sequence[str],
    prompts: Sequence[str | None] = (None,),
    max_errors: int = 0,
    progress: bool = False,
) -> tuple[ReadExamples, int, list[ItemError]]:
    """Let the examples of a comparison pass the backbone, each once for all methods.

    Parameters
    ----------
    backbone : Backbone
        The frozen model.
    pool, test : sequence of Example
        The shots are drawn from `pool`; both have their prompts.
    methods : sequence of str
        What is compared: the text prompts of the classes are read where a method needs them, the likelihoods
        of the class names when a method first asks for them.
    prompts : sequence of str or None, default=(None,)
        The prompts that the examples have.
    max_errors : int, default=0
        Examples that may be unreadable before the error of one more is raised; -1 means any number.
    progress : bool, default=False
        Show progress bars on a terminal.

    Returns
    -------
    read : ReadExamples
        The examples that could be read, those of `pool` first.
    n_pool : int
        How many of them are the pool's.
    errors : list of ItemError
        Of the others.
    """
    classes = sorted(class_counts(pool))
    given = [*pool, *test]
    found = read_side_by_side(backbone, given, len(prompts), max_errors=max_errors, progress=progress)
    kept = [given[index] for index in found.indices.tolist()]
    likelihoods = partial(option_columns, backbone, kept, option_texts(classes), progress=progress)
    read = replace(
        _rows(kept, found.features, found.states, backbone),
        n_prompts=len(prompts),
        classes=tuple(classes),
        likelihoods=once(lambda: likelihoods().features),
    )
    if any(make_method(name).needs_prototypes for name in methods if name in available_methods()):
        of_each = [backbone.extract(class_prompts(classes, one)).features for one in prompts]
        read = replace(read, prototypes=dict(zip(classes, np.hstack(of_each), strict=True)))
    return read, int(np.sum(found.indices < len(pool))), list(found.errors)


def check_request(
    examples: Sequence[Example],
    methods: Sequence[str],
    shots: Sequence[int],
    *,
    fixed_test: bool = False,
    draws: int = 1,
    n_prompts: int = 1,
) -> None:
    """Refuse a comparison that cannot be run, before any model is loaded; see `compare_methods`.

    Parameters
    ----------
    examples : sequence of Example
        Labeled; the shots are drawn from them.
    methods : sequence of str
        Names of `savs.evaluation.contenders.known_contenders`.
    shots : sequence of int
        Shots per class.
    fixed_test : bool, default=False
        Whether there is a separate test set. Otherwise each class needs one example more than its shots.
    draws : int, default=1
        Number of draws.
    n_prompts : int, default=1
        Number of prompts.

    Raises
    ------
    ValueError
        If a method is unknown, there is no method, a number is out of range, or a method takes one prompt
        only.
    DataError
        If there are fewer than two classes, or too few examples of one for the shots.
    """
    known = known_contenders()
    unknown = [name for name in methods if name not in known]
    if unknown:
        raise ValueError(f"no method is named {unknown[0]!r}; available are {', '.join(known)}")
    if not methods or not shots or min(shots) < 0 or draws < 1:
        raise ValueError("a comparison needs a method, a number of shots from 0 on and at least one draw")
    for name in methods:
        if name in available_methods():
            check_takes_prompts(Method(name), n_prompts)
    counts = class_counts(examples)
    if len(counts) < 2:
        only = ", ".join(f"{label!r} has {count}" for label, count in counts.items())
        raise DataError(f"a comparison needs at least two classes; {only}")
    check_shots_needed(methods, shots)
    labels: list[Any] = [example.label for example in examples]
    draw_rows(labels, max(shots) or 1, 0, leave=1 if max(shots) and not fixed_test else 0)


def _check_left(
    kept: Sequence[Example], n_pool: int, classes: Sequence[Label], shots: Sequence[int], *, fixed_test: bool
) -> None:
    pool = kept[:n_pool]
    lost = set(classes) - {example.label for example in pool}
    if lost:
        raise DataError(f"no example of class {min(lost)!r} can be read")
    if fixed_test and n_pool == len(kept):
        raise DataError("no example of the test set can be read")
    check_request(pool, ["zero_shot"], shots, fixed_test=fixed_test)


def _rows(
    kept: list[Example], features: NDArray[np.float32], states: NDArray[np.float32] | None, backbone: Backbone
) -> ReadExamples:
    # As objects: a test set may have labels of another type than the shots, and NumPy would merge 1 and "1".
    labels = np.array([example.label for example in kept], dtype=object)
    return ReadExamples(kept, labels, features, states, backbone.layout)
