"""`compare_methods`: methods and baselines on the same draws of one dataset, from one forward pass."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import cached_property, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from savs.backbones import Backbone
from savs.classifiers import Method, available_methods, make_method
from savs.classifiers.prompt_ensemble import check_takes_prompts
from savs.data import Example, Label
from savs.data.checks import class_counts
from savs.errors import DataError, ItemError, SAVsError
from savs.evaluation.contenders import (
    Answers,
    Contender,
    ReadExamples,
    Rows,
    Turn,
    ask,
    check_shots_needed,
    default_contenders,
    items_to_ask,
    known_contenders,
    shots_and_tests,
    works_without_shots,
)
from savs.evaluation.probabilities import score_items
from savs.evaluation.protocol import draw_rows
from savs.evaluation.results import Comparison, Trial
from savs.model._class_names import class_prompts, option_texts
from savs.model._prompts import WithPrompts, checked_prompts, first_prompt, read_side_by_side
from savs.model._rows import option_columns

__all__ = ["Judge", "check_request", "compare_methods"]


# Running the contenders of a comparison on its draws: what each got right, or why it could not.


class Judge:
    """Runs contenders; the model is asked in words only once, when a contender first needs it.

    Parameters
    ----------
    backbone : Backbone
        The model to ask.
    read : ReadExamples
        What the contenders get.
    classes : sequence of label
        The answers that the model may give.
    asked : list of int
        Rows that are put to the model.
    progress : bool
        Show progress bars on a terminal.

    Attributes
    ----------
    failure : Exception or None
        Why the model could not be asked.
    """

    def __init__(
        self,
        backbone: Backbone,
        read: ReadExamples,
        classes: Sequence[Label],
        asked: list[int],
        progress: bool,
    ) -> None:
        self._read = read
        self._ask = partial(ask, backbone, {row: first_prompt(read.examples[row]) for row in asked}, classes)
        self._n_asked, self._progress = len(asked), progress
        self.failure: Exception | None = None

    @cached_property
    def answers(self) -> Answers:
        """What the model said; it is asked at the first access."""
        with _bar(self._n_asked, "answer", self._progress) as tell:
            return self._ask(tell)

    def _answers(self) -> Answers:
        # Asked in vain once, not in every draw.
        if self.failure is not None:
            raise self.failure
        try:
            return self.answers
        except (SAVsError, ValueError, MemoryError) as error:
            self.failure = error
            raise

    def run(
        self, methods: Sequence[str], splits: dict[tuple[int, int], tuple[Rows, Rows]], progress: bool
    ) -> dict[tuple[str, int], list[Trial]]:
        """Run the methods on all draws; where there are no shots, those that work without any.

        Parameters
        ----------
        methods : sequence of str
            Names of `savs.evaluation.contenders.known_contenders`.
        splits : dict of (int, int) to (ndarray of int, ndarray of int)
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
        with _bar(len(runs), "fit", progress) as tell:
            for name, (count, draw) in runs:
                contender = self._read.contender(name, self._answers)
                trial = _tried(contender, *splits[count, draw], self._read.labels)
                trials.setdefault((name, count), []).append(trial)
                tell(1)
        return trials


def _tried(contender: Contender, drawn: Rows, items: Rows, labels: NDArray[Any]) -> Trial:
    try:
        return _judged(contender(drawn, items), labels)
    except MemoryError:
        return Trial.failed("it needs more memory than there is")
    except (SAVsError, ValueError) as error:
        message = error.message if isinstance(error, ItemError) else str(error)
        return Trial.failed(" ".join(message.split()))


def _judged(turn: Turn, labels: NDArray[Any]) -> Trial:
    if not len(turn.rows):
        return Trial.failed("none of this draw's test items was asked")
    truth = labels[turn.rows].tolist()
    right = [
        type(label) is type(true) and label == true for label, true in zip(turn.labels, truth, strict=True)
    ]
    scores = None if turn.probabilities is None else score_items(turn.probabilities, truth, turn.labels)
    return Trial(turn.rows, np.array(right), turn.seconds, turn.n_bytes, scores=scores)


@contextmanager
def _bar(total: int, unit: str, progress: bool) -> Iterator[Callable[[int], object]]:
    from tqdm import tqdm

    with tqdm(total=total, unit=unit, delay=2, disable=None if progress else True, leave=False) as bar:
        yield bar.update


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
        Largest number of test items that ``zero_shot`` puts to the model itself, classes in turn.
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
    given = [*examples, *test]
    found = read_side_by_side(backbone, given, len(asked), max_errors=max_errors, progress=progress)
    kept = [given[index] for index in found.indices.tolist()]
    n_pool = int(np.sum(found.indices < len(examples)))
    _check_left(kept, n_pool, classes, shots, fixed_test=bool(test))
    read = replace(_rows(kept, found.features, found.states, backbone), n_prompts=len(asked))
    likelihoods = partial(option_columns, backbone, kept, option_texts(classes), progress=progress)
    read = replace(read, classes=tuple(classes), likelihoods=_once(lambda: likelihoods().features))
    if any(make_method(name).needs_prototypes for name in methods if name in available_methods()):
        of_each = [backbone.extract(class_prompts(classes, one)).features for one in asked]
        rows = np.hstack(of_each)
        read = replace(read, prototypes=dict(zip(classes, rows, strict=True)))
    splits = shots_and_tests(read, n_pool, shots, draws, seed, classes, fixed_test=bool(test))
    items = items_to_ask(read.labels, [test_rows for _, test_rows in splits.values()], zero_shot_items, seed)
    judge = Judge(backbone, read, classes, items, progress)
    trials = judge.run(methods, splits, progress)
    return Comparison(
        methods=tuple(methods),
        shots=tuple(shots),
        draws=draws,
        trials=trials,
        n_test={
            count: [len(items) for (shot_count, _), (_, items) in splits.items() if shot_count == count]
            for count in shots
        },
        answers=judge.answers if "zero_shot" in methods and judge.failure is None else None,
        errors=list(found.errors),
        seed=seed,
    )


def _once(read: Callable[[], NDArray[np.float32]]) -> Callable[[], NDArray[np.float32]]:
    """Return a function that reads at its first call; what was read, or the error, stays."""
    known: list[NDArray[np.float32] | Exception] = []

    def recall() -> NDArray[np.float32]:
        if not known:
            try:
                known.append(read())
            except (SAVsError, ValueError, MemoryError) as error:
                known.append(error)
        if isinstance(known[0], Exception):
            raise known[0]
        return known[0]

    return recall


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
