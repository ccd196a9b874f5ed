"""A dataset after the forward pass, its draws of shots, and the answers of a method in one draw."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from savs._labels import key_of
from savs.backbones import Backbone
from savs.baselines import (
    BaselineResult,
    all_heads,
    knn,
    last_layer,
    logistic_probe,
    majority_class,
    ridge_probe,
)
from savs.classifiers import HeadClassifier, Method, available_methods
from savs.data import DataWarning, Example, Label, example_hash
from savs.data.checks import class_counts
from savs.errors import DataError, ItemError, SAVsError
from savs.evaluation import draw_rows
from savs.evaluation.comparison import failure_reason
from savs.layout import Head, HeadLayout
from savs.model._class_names import class_prompts, option_texts
from savs.model._rows import option_columns

__all__ = [
    "BASELINES",
    "Draw",
    "Outcome",
    "ReadSet",
    "Rows",
    "check_data",
    "check_methods",
    "default_shots",
    "make_draws",
    "read_set",
]

Rows = NDArray[np.intp]
"""Rows of a `ReadSet`."""

BASELINES: tuple[str, ...] = (
    *("majority", "last_layer", "all_heads", "knn", "ridge_probe", "logistic_probe"),
)
"""What experiments know besides `savs.classifiers.available_methods`: the baselines on rows."""


# What is asked for, checked before a model reads anything.


def check_methods(methods: Sequence[str]) -> None:
    """Raise `ValueError` unless there are methods, each one known."""
    known = (*available_methods(), *BASELINES)
    unknown = [name for name in methods if name not in known]
    if unknown or not methods:
        wrong = f"no method is named {unknown[0]!r}" if unknown else "at least one method is required"
        raise ValueError(f"{wrong}; available are {', '.join(known)}")


def check_data(
    examples: Sequence[Example], shots: Sequence[int], draws: int, *, fixed_test: bool = False
) -> None:
    """Refuse data from which the shots cannot be drawn.

    Parameters
    ----------
    examples : sequence of Example
        Labeled; the shots are drawn from them.
    shots : sequence of int
        Shots per class.
    draws : int
        Number of draws.
    fixed_test : bool, default=False
        Whether there is a separate test set. Otherwise each class needs one example more than its shots.

    Raises
    ------
    ValueError
        If a number is below 1.
    DataError
        If there are fewer than two classes, or too few examples of one for the shots.
    """
    if not shots or min(shots) < 1 or draws < 1:
        raise ValueError("an experiment needs at least one shot per class and at least one draw")
    counts = class_counts(examples)
    if len(counts) < 2:
        raise DataError(f"an experiment needs at least two classes, got {len(counts)}")
    labels: list[Any] = [example.label for example in examples]
    draw_rows(labels, max(shots), 0, leave=0 if fixed_test else 1)


def default_shots(examples: Sequence[Example], wanted: Sequence[int], *, fixed_test: bool) -> list[int]:
    """Return those of the wanted numbers of shots that the data reach; at least one number.

    At most half of the smallest class are shots, so that the other half is left for the test; all of it where
    the test is a separate set.

    Parameters
    ----------
    examples : sequence of Example
        Labeled.
    wanted : sequence of int
        Shots per class, ascending.
    fixed_test : bool
        Whether there is a separate test set.
    """
    smallest = min(class_counts(examples).values(), default=0)
    most = max(1, smallest if fixed_test else smallest // 2)
    return [count for count in wanted if count <= most] or [most]


# The forward pass: head vectors and last-layer states of all examples, read once.


@dataclass(frozen=True, eq=False)
class ReadSet:
    """A dataset after the forward pass, one row per example that could be read.

    Attributes
    ----------
    backbone : Backbone
        The frozen model.
    examples : list of Example
        As the model saw them; first those that shots are drawn from, then the separate test set.
    n_pool : int
        How many of them shots are drawn from.
    features : ndarray of float32, shape (n_examples, width)
        Head vectors.
    states : ndarray of float32, shape (n_examples, hidden_size), or None
        Last-layer states; None where the backbone gives none.
    layout : HeadLayout
        Of `features`.
    positions : ndarray of int, shape (n_examples,)
        Places of the examples among those that were given, the test set behind the others.
    errors : list of ItemError
        Of the examples that could not be read.
    prompt : str or None
        The template that the examples had, for methods that put the names of the classes to the model.
    heads : tuple of Head, or None
        The heads that `features` holds; None for all of the backbone.
    """

    backbone: Backbone
    examples: list[Example]
    n_pool: int
    features: NDArray[np.float32]
    states: NDArray[np.float32] | None
    layout: HeadLayout
    positions: Rows
    errors: list[ItemError]
    prompt: str | None = None
    heads: tuple[Head, ...] | None = None

    @cached_property
    def labels(self) -> NDArray[Any]:
        """The labels, each of its own type, shape (n_examples,)."""
        # As objects: a test set may have labels of another type than the shots.
        return np.array([example.label for example in self.examples], dtype=object)

    @cached_property
    def classes(self) -> list[Label]:
        """The classes of the examples that shots are drawn from, sorted."""
        return sorted(class_counts(self.examples[: self.n_pool]))

    @cached_property
    def hashes(self) -> NDArray[Any]:
        """Hash of each example's content, the same for copies, shape (n_examples,)."""
        return np.array([example_hash(example) for example in self.examples])

    @property
    def fixed_test(self) -> bool:
        """Whether there is a separate test set."""
        return self.n_pool < len(self.examples)

    @cached_property
    def _likelihoods(self) -> NDArray[np.float32]:
        return option_columns(self.backbone, self.examples, option_texts(self.classes)).features

    @cached_property
    def _prototypes(self) -> dict[Label, NDArray[np.float32]]:
        rows = self.backbone.extract(class_prompts(self.classes, self.prompt), self.heads).features
        return dict(zip(self.classes, rows, strict=True))

    def with_heads(self, heads: Sequence[Head]) -> ReadSet:
        """Return the same examples with the given heads alone.

        Parameters
        ----------
        heads : sequence of Head
            In the order of the new columns.
        """
        features = self.features[:, self.layout.column_indices(heads)]
        return replace(self, features=features, layout=self.layout.select(heads), heads=tuple(heads))

    def fit(self, method: Method, shots: Rows, labels: NDArray[Any] | None = None) -> HeadClassifier:
        """Return a method fitted on shots.

        Parameters
        ----------
        method : Method
            The method and its settings.
        shots : ndarray of int
            Rows of the shots.
        labels : ndarray of object, shape (n_examples,), optional
            The labels to fit on instead of the true ones.
        """
        names = np.array((self.labels if labels is None else labels)[shots].tolist())
        rows, layout = self._rows_for(method)
        prototypes, classes = None, np.unique(names)
        if method.needs_prototypes:
            prototypes = np.stack([self._prototypes[label] for label in classes.tolist()])
        return method.make(layout, classes, prototypes).fit(rows[shots], names)

    def predict(self, method: Method, fitted: HeadClassifier, items: Rows) -> list[Label]:
        """Return the labels that a method gives items.

        Parameters
        ----------
        method : Method
            What `fitted` was made of.
        fitted : HeadClassifier
            From `fit`, of this dataset or another one of the same backbone.
        items : ndarray of int
            Rows to answer.
        """
        return list(fitted.predict(self._rows_for(method)[0][items]).tolist())

    def _rows_for(self, method: Method) -> tuple[NDArray[np.float32], HeadLayout]:
        """Return the feature rows with all that a method reads, and their layout."""
        parts, layout = [self.features], self.layout
        if method.needs_state and not (method.state_is_optional and self.states is None):
            parts.append(self.last_states())
            layout = layout.with_state(parts[-1].shape[1])
        if method.needs_options:
            parts.append(self._likelihoods)
            layout = layout.with_options(parts[-1].shape[1])
        return (np.hstack(parts) if len(parts) > 1 else self.features), layout

    def last_states(self) -> NDArray[np.float32]:
        """Return the last-layer states; `DataError` where the backbone gives none."""
        if self.states is None:
            raise DataError("the backbone gives no last-layer states; choose another method")
        return self.states

    def answers(
        self, method: str | Method, shots: Rows, items: Rows, labels: NDArray[Any] | None = None
    ) -> list[Label]:
        """Return what a method or baseline answers to items, fitted on shots.

        Parameters
        ----------
        method : str or Method
            One of `savs.classifiers.available_methods` or `BASELINES`, or a method with settings.
        shots, items : ndarray of int
            Rows of the shots and of the items.
        labels : ndarray of object, shape (n_examples,), optional
            The labels to fit on instead of the true ones.
        """
        names = np.array((self.labels if labels is None else labels)[shots].tolist())
        if isinstance(method, str) and method in BASELINES:
            found = self._baseline(method, names, shots, items)
            return [label for label in found.labels if label is not None]
        made = Method(method) if isinstance(method, str) else method
        return self.predict(made, self.fit(made, shots, labels), items)

    def _baseline(self, name: str, names: NDArray[Any], shots: Rows, items: Rows) -> BaselineResult:
        if name == "majority":
            return majority_class(names, len(items))
        if name == "last_layer":
            states = self.last_states()
            return last_layer(states[shots], names, states[items])
        if name in ("all_heads", "knn"):
            on_heads = all_heads if name == "all_heads" else knn
            return on_heads(self.features[shots], names, self.features[items], self.layout)
        probe = ridge_probe if name == "ridge_probe" else logistic_probe
        rows = self.features if self.states is None else np.hstack([self.features, self.states])
        return probe(rows[shots], names, rows[items])

    def judge(
        self, method: str | Method, shots: Rows, items: Rows, labels: NDArray[Any] | None = None
    ) -> Outcome:
        """Return how many items a method answers rightly, or why it has no answers.

        Parameters
        ----------
        method, shots, items, labels
            As in `answers`.
        """
        return self.outcome(items, partial(self.answers, method, shots, items, labels))

    def outcome(self, items: Rows, answer: Callable[[], Sequence[Label]]) -> Outcome:
        """Return how many items are answered rightly, or why there are no answers.

        Parameters
        ----------
        items : ndarray of int
            Rows of the items.
        answer : callable
            Returns one label per item.
        """
        try:
            given = answer()
        except (SAVsError, ValueError, MemoryError) as error:
            return Outcome(0, len(items), failure_reason(error))
        truth = self.labels[items].tolist()
        right = sum(key_of(one) == key_of(true) for one, true in zip(given, truth, strict=True))
        return Outcome(right, len(items))


class Outcome(NamedTuple):
    """How many items of a draw were right.

    Attributes
    ----------
    n_right, n_test : int
        Right items, and all items.
    failure : str or None
        Why there are no answers; None if there are.
    """

    n_right: int
    n_test: int
    failure: str | None = None

    @property
    def accuracy(self) -> float | None:
        """Share of right items; None without answers."""
        return None if self.failure is not None else self.n_right / self.n_test


def read_set(
    backbone: Backbone,
    examples: Sequence[Example],
    test: Sequence[Example] = (),
    *,
    prompt: str | None = None,
    max_errors: int = 0,
    progress: bool = False,
) -> ReadSet:
    """Read a dataset: one forward pass per example.

    Parameters
    ----------
    backbone : Backbone
        The frozen model.
    examples : sequence of Example
        Labeled, with the prompt; shots are drawn from them.
    test : sequence of Example, optional
        A separate test set.
    prompt : str, optional
        The template that the examples had.
    max_errors : int, default=0
        Examples that may be unreadable before the error of one more is raised; -1 means any number.
    progress : bool, default=False
        Show a progress bar.

    Raises
    ------
    ItemError
        If more examples cannot be read.
    DataError
        If no example of a class, or of the test set, can be read.

    Warns
    -----
    DataWarning
        If test items have labels that no other example has.
    """
    given = [*examples, *test]
    known = {key_of(example.label) for example in examples}
    unknown = [item for item in test if key_of(item.label) not in known]
    if unknown:
        warnings.warn(
            f"{len(unknown)} of {len(test)} test examples have a label that no shot has, the first is "
            f"{unknown[0].id} ({unknown[0].label!r}): they count as wrong",
            DataWarning,
            stacklevel=3,
        )
    found = backbone.extract(given, max_errors=max_errors, progress=progress, states=True)
    kept = [given[index] for index in found.indices.tolist()]
    n_pool = int(np.sum(found.indices < len(examples)))
    lost = set(class_counts(examples)) - {example.label for example in kept[:n_pool]}
    if lost:
        raise DataError(f"no example of class {min(lost, key=str)!r} can be read")
    if test and n_pool == len(kept):
        raise DataError("no example of the test set can be read")
    return ReadSet(
        backbone,
        kept,
        n_pool,
        found.features,
        found.states,
        backbone.layout,
        found.indices,
        list(found.errors),
        prompt,
    )


# Draws: the same for everything that an experiment compares.


class Draw(NamedTuple):
    """One draw of the shots.

    Attributes
    ----------
    number : int
        Which one, from 0 on.
    shots : dict of int to ndarray of int
        Rows of the shots by their number per class; fewer are a subset of more.
    test : ndarray of int
        Rows of the test items, the same for every number of shots: no shot, nor a copy of one.
    """

    number: int
    shots: Mapping[int, Rows]
    test: Rows


def make_draws(
    read: ReadSet, shots: Sequence[int], draws: int, seed: int, *, apart_from: Sequence[Any] = ()
) -> list[Draw]:
    """Draw shots at random; all other examples, or the separate test set, are the test.

    Parameters
    ----------
    read : ReadSet
        The dataset.
    shots : sequence of int
        Shots per class. The test items are those that are left by the largest number.
    draws, seed : int
        Number and seed of the draws.
    apart_from : sequence of sequence of str, optional
        For each draw, hashes of further contents that may not be among the test items.

    Raises
    ------
    DataError
        If there are too few examples of a class, or a draw leaves no test item that is not a copy of a shot.
    """
    check_data(read.examples[: read.n_pool], shots, draws, fixed_test=read.fixed_test)
    pool = read.labels[: read.n_pool].tolist()
    leave = 0 if read.fixed_test else 1
    made = []
    for number in range(draws):
        by_count = {count: draw_rows(pool, count, (seed, number), leave=leave)[0] for count in shots}
        most = by_count[max(shots)]
        rest = np.setdiff1d(np.arange(read.n_pool), most)
        items = np.arange(read.n_pool, len(read.examples)) if read.fixed_test else rest
        others = apart_from[number] if len(apart_from) else ()
        taken = {*read.hashes[most].tolist(), *others}
        items = items[[hash_ not in taken for hash_ in read.hashes[items].tolist()]]
        if not len(items):
            raise DataError(f"{max(shots)} shots leave no test item that is not a copy of a shot")
        made.append(Draw(number, by_count, items))
    return made
