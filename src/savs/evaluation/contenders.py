"""What can be compared, by name, and which rows of a dataset are shots, judged, or asked in words."""

from __future__ import annotations

import time
import warnings
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from savs._labels import key_of
from savs.classifiers import HeadClassifier, Method, available_methods, make_method
from savs.classifiers.evidence import head_opinions
from savs.classifiers.prompt_ensemble import PromptMethod, PromptRows
from savs.data import DataWarning, Example, Label, example_hash
from savs.errors import DataError
from savs.evaluation.named_baselines import (
    BASELINES,
    Baseline,
    BaselineInput,
    BaselineModels,
    BaselineSettings,
)
from savs.evaluation.probabilities import ClassProbabilities
from savs.evaluation.protocol import draw_rows
from savs.layout import HeadLayout

__all__ = [
    "Rows",
    "items_to_ask",
    "shots_and_tests",
    "BASELINES",
    "DEFAULT_CONTENDERS",
    "BaselineModels",
    "BaselineSettings",
    "Contender",
    "ReadExamples",
    "Turn",
    "check_shots_needed",
    "default_contenders",
    "known_contenders",
    "works_without_shots",
]


# Which rows of a comparison are shots, which are judged, and which are put to the model in words.

Rows = NDArray[np.intp]


def shots_and_tests(
    read: ReadExamples,
    n_pool: int,
    shots: Sequence[int],
    draws: int,
    seed: int,
    classes: Sequence[Label],
    *,
    fixed_test: bool,
) -> dict[tuple[int, int], tuple[Rows, Rows]]:
    """Return rows of shots and test items by number of shots and draw.

    Parameters
    ----------
    read : ReadExamples
        The pool of the shots, then the fixed test set if there is one.
    n_pool : int
        How many of them are the pool.
    shots : sequence of int
        Shots per class; 0 has one draw, all there is to vary.
    draws, seed : int
        Number and seed of the draws.
    classes : sequence of label
        The classes of the shots.
    fixed_test : bool
        Whether the rows after the pool are the test; else the rows of the pool that were not drawn are.

    Raises
    ------
    DataError
        If a draw leaves no test item that is not a copy of a shot.

    Warns
    -----
    DataWarning
        If items of a fixed test set are in the pool too, or have labels that no shot has.
    """
    copies = _copies(read.examples)
    fixed = np.arange(n_pool, len(read.examples)) if fixed_test else None
    if fixed is not None:
        _warn_of_test(read, fixed, copies, classes)
    pool = read.labels[:n_pool].tolist()
    splits: dict[tuple[int, int], tuple[Rows, Rows]] = {}
    for count in shots:
        for draw in range(draws if count else 1):
            drawn, rest = np.arange(0), np.arange(n_pool)
            if count:
                drawn, rest = draw_rows(pool, count, (seed, draw), leave=0 if fixed_test else 1)
            items = rest if fixed is None else fixed
            items = items[~np.isin(copies[items], copies[drawn])]
            if not len(items):
                raise DataError(f"{count} shots leave no test item that is not a copy of a shot")
            splits[count, draw] = drawn, items
    return splits


def _copies(examples: Sequence[Example]) -> Rows:
    """Return a number per example, the same for the same content."""
    numbers: dict[str, int] = {}
    return np.array([numbers.setdefault(example_hash(example), len(numbers)) for example in examples])


def _warn_of_test(read: ReadExamples, fixed: Rows, copies: Rows, classes: Sequence[Label]) -> None:
    items = [read.examples[row] for row in fixed.tolist()]
    leaks = np.flatnonzero(np.isin(copies[fixed], copies[: fixed[0]])).tolist()
    if leaks:
        warnings.warn(
            f"{len(leaks)} of {len(items)} test examples are in the data of the shots too, the first is "
            f"{items[leaks[0]].id}: each is left out of the draws that it is a shot of",
            DataWarning,
            stacklevel=2,
        )
    known = {(type(label), label) for label in classes}
    unknown = [item for item in items if (type(item.label), item.label) not in known]
    if unknown:
        warnings.warn(
            f"{len(unknown)} of {len(items)} test examples have a label that no shot has, the first is "
            f"{unknown[0].id} ({unknown[0].label!r}): they count as wrong{_of_other_type(unknown, classes)}",
            DataWarning,
            stacklevel=2,
        )


def _of_other_type(items: Sequence[Example], classes: Sequence[Label]) -> str:
    if not {str(item.label) for item in items} & {str(label) for label in classes}:
        return ""
    return f"; the shots' labels are of type {type(classes[0]).__name__}, these are not"


def items_to_ask(labels: NDArray[Any], tests: Sequence[Rows], most: int, seed: int) -> list[int]:
    """Choose at random which test items to put to the model, taking the classes in turn.

    Parameters
    ----------
    labels : ndarray, shape (n_examples,)
        Labels of all examples.
    tests : sequence of ndarray of int
        Rows of the test items of each draw.
    most : int
        Largest number of items.
    seed : int
        Seed of the random order.

    Returns
    -------
    list of int
        At most `most` different rows, in the order in which they are asked.
    """
    rows = np.random.default_rng(seed).permutation(np.unique(np.concatenate(tests))).tolist()
    turns: dict[Any, int] = {}
    order = []
    for row in rows:
        turn = turns[labels[row]] = turns.get(labels[row], 0) + 1
        order.append((turn, row))
    return [row for _, row in sorted(order, key=lambda pair: pair[0])[:most]]


# What can be compared: every method on head vectors and every baseline, by name, on rows read once.

DEFAULT_CONTENDERS: tuple[str, ...] = (
    *("sav", "calm", "hec_v", "nearest_shot", "kernel_ridge", "ensemble", "auto", "option_likelihood"),
    *("majority", "last_layer", "zero_shot"),
)


def default_contenders(n_prompts: int = 1) -> tuple[str, ...]:
    """Return what is compared where nothing is named.

    Parameters
    ----------
    n_prompts : int, default=1
        How many prompts there are; with several, methods that read the likelihoods of class names are left
        out, as they take one.
    """
    if n_prompts < 2:
        return DEFAULT_CONTENDERS
    return tuple(name for name in DEFAULT_CONTENDERS if name in BASELINES or not Method(name).needs_options)


def known_contenders() -> tuple[str, ...]:
    """Return the names of all methods and baselines that can be compared."""
    return (*available_methods(), *BASELINES)


def works_without_shots(name: str) -> bool:
    """Return whether a method or baseline answers where there is no shot at all, from the class names."""
    if name in BASELINES:
        return "shots" not in BASELINES[name].needs
    return name in available_methods() and bool(make_method(name).can_fit_class_names)


def check_shots_needed(names: Sequence[str], shots: Sequence[int]) -> None:
    """Refuse a comparison that never has shots, of methods that all need some.

    Parameters
    ----------
    names : sequence of str
        Of methods and baselines.
    shots : sequence of int
        Shots per class.

    Raises
    ------
    ValueError
        If there is nothing to compare.
    """
    if not any(shots) and not any(map(works_without_shots, names)):
        able = ", ".join(filter(works_without_shots, known_contenders()))
        raise ValueError(f"every one of these methods needs shots; those that need none are {able}")


class Turn(NamedTuple):
    """One method in one draw.

    Attributes
    ----------
    rows : ndarray of int
        The items it answered.
    labels : list of label or None
        One per item; None where an answer in words names no class.
    seconds : float
        For fit and answers.
    n_bytes : int or None
        Size of what it keeps; None where that is not known.
    probabilities : ClassProbabilities or None
        One row per item; None for what gives no probabilities.
    answers : list of str
        What the model said, for baselines that answer in words; else empty.
    classifier : HeadClassifier or None
        What was fitted, of a method on heads.
    votes : mapping of int to dict
        How many of the heads in use answer each label, by place among the items: for the `MOST_VOTES` wrong
        answers with the largest probabilities, of a method whose heads vote one by one.
    """

    rows: Rows
    labels: list[Label | None]
    seconds: float
    n_bytes: int | None
    probabilities: ClassProbabilities | None = None
    answers: Sequence[str] = ()
    classifier: HeadClassifier | None = None
    votes: Mapping[int, dict[Label, int]] = MappingProxyType({})


MOST_VOTES = 60

Contender = Callable[[Rows, Rows], Turn]
"""From rows of the shots and of the test items to a `Turn`."""


def _no_likelihoods() -> NDArray[np.float32]:
    raise DataError("the likelihoods of the class names were not read")


@dataclass(frozen=True)
class ReadExamples:
    """Examples after the forward pass, one row each.

    Attributes
    ----------
    examples : list of Example
        As the model saw them.
    labels : ndarray of object, shape (n_examples,)
        Their labels, each of its own type.
    features : ndarray of float32, shape (n_examples, width)
        Head vectors.
    states : ndarray of float32, shape (n_examples, hidden_size), or None
        Last-layer states; None where the backbone gives none.
    layout : HeadLayout
        Of `features`.
    prototypes : dict of label to ndarray of float32, shape (width,)
        Row of each class's text prompt, for methods that read names; may be empty.
    likelihoods : callable
        Returns the log likelihood of each class name behind each example, shape (n_examples, n_classes), in
        the order of the sorted classes.
    classes : tuple of label
        The classes of the shots, sorted.
    n_prompts : int
        How many prompts there are. `features`, `states` and `prototypes` hold all of them side by side;
        `layout` is that of one.
    """

    examples: list[Example]
    labels: NDArray[Any]
    features: NDArray[np.float32]
    states: NDArray[np.float32] | None
    layout: HeadLayout
    prototypes: Mapping[Label, NDArray[np.float32]] = field(default_factory=dict)
    likelihoods: Callable[[], NDArray[np.float32]] = field(default=_no_likelihoods, repr=False)
    classes: tuple[Label, ...] = ()
    n_prompts: int = 1

    def contender(self, name: str, models: BaselineModels | None = None) -> Contender:
        """Return a method or baseline on these rows.

        Parameters
        ----------
        name : str
            One of `known_contenders`.
        models : BaselineModels, optional
            What baselines run besides the rows; needed by those that need a model.
        """
        if name in BASELINES:
            return lambda shots, test: self._baseline(BASELINES[name], models, shots, test)
        return lambda shots, test: self._on_heads(name, shots, test)

    def _baseline(self, baseline: Baseline, models: BaselineModels | None, shots: Rows, test: Rows) -> Turn:
        models = models or BaselineModels(None, self.classes, {})
        items = test[np.isin(test, list(models.asked))] if baseline.slow else test
        if not len(items):
            raise DataError("none of this draw's test items was asked")
        given = BaselineInput(self, shots, items, models)
        started = time.perf_counter()
        found = baseline.answer(given)
        seconds = time.perf_counter() - started
        if models.answered is not None and baseline.name == "zero_shot":
            seconds = models.answered.seconds * len(items) / len(models.asked)
        proba = None
        if found.proba is not None:
            classes = given.classes if found.classes is None else found.classes
            proba = ClassProbabilities(classes, found.proba)
        size = None if baseline.kept_bytes is None else baseline.kept_bytes(given)
        return Turn(items, found.labels, seconds, size, proba, found.answers)

    def _names(self, shots: Rows) -> NDArray[Any]:
        # Shots are of one label type, which is not known of the test.
        return np.array(self.labels[shots].tolist() if len(shots) else list(self.classes))

    def _on_heads(self, name: str, shots: Rows, test: Rows) -> Turn:
        started = time.perf_counter()
        names = self._names(shots)
        made: HeadClassifier = make_method(name)
        states = None
        if made.needs_state and not (made.state_is_optional and self.states is None):
            states = self.last_states()
        layout, classes, prototypes = self.layout, np.unique(names), None
        if states is not None:
            layout = layout.with_state(states.shape[1] // self.n_prompts)
        likelihoods = self.likelihoods() if made.needs_options else None
        if likelihoods is not None:
            layout = layout.with_options(likelihoods.shape[1])
        if made.needs_prototypes:
            prototypes = np.stack([self.prototypes[label] for label in classes.tolist()])
        if self.n_prompts == 1:
            made = Method(name).make(layout, classes, prototypes)
        else:
            rows = PromptRows.of(layout, self.n_prompts)
            made = PromptMethod(Method(name), rows).make(rows.layout, classes, prototypes)
        if len(shots):
            fitted = made.fit(self._rows(shots, states, likelihoods), names)
        else:
            fitted = made.fit_class_names(names)
        queries = self._rows(test, states, likelihoods)
        labels = fitted.predict(queries).tolist()
        seconds = time.perf_counter() - started
        proba = ClassProbabilities(fitted.classes_.tolist(), fitted.predict_proba(queries))
        votes = self._votes(fitted, queries, test, labels, proba)
        return Turn(test, labels, seconds, fitted.prediction_bytes(), proba, classifier=fitted, votes=votes)

    def _votes(
        self,
        fitted: HeadClassifier,
        queries: NDArray[np.float32],
        test: Rows,
        said: Sequence[Label],
        proba: ClassProbabilities,
    ) -> dict[int, dict[Label, int]]:
        """Return the heads' votes on the wrong answers with the largest probabilities."""
        truth = self.labels[test].tolist()
        pairs = enumerate(zip(said, truth, strict=True))
        wrong = [at for at, (answer, label) in pairs if key_of(answer) != key_of(label)]
        shares = proba.values.max(axis=1)
        wrong = sorted(wrong, key=lambda at: -shares[at])[:MOST_VOTES]
        if self.n_prompts > 1 or not wrong:
            return {}
        columns = fitted.layout_.column_indices(fitted.heads_)
        opinions = head_opinions(fitted.restrict_to(fitted.heads_), queries[wrong][:, columns])
        if opinions is None:
            return {}
        classes = fitted.classes_.tolist()
        return {
            at: {classes[code]: n for code, n in Counter(column.tolist()).most_common()}
            for at, column in zip(wrong, opinions.votes.T, strict=True)
        }

    def _rows(self, rows: Rows, *behind: NDArray[np.float32] | None) -> NDArray[np.float32]:
        parts = [self.features, *(part for part in behind if part is not None)]
        return np.hstack([part[rows] for part in parts]) if len(parts) > 1 else self.features[rows]

    def last_states(self) -> NDArray[np.float32]:
        """Return the last-layer states of all prompts, side by side.

        Raises
        ------
        DataError
            If the backbone gives none.
        """
        if self.states is None:
            raise DataError("the backbone gives no last-layer states; choose another method")
        return self.states
