"""`ShotLearner`: a classifier whose shots may come, go and change their label, without another forward pass.

The feature rows are kept, and every change fits again from them: the result is that of a fit from scratch on
the same rows in the same order, to the last bit.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from typing import Any, NamedTuple, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from sklearn.base import clone

from savs.classifiers._validation import check_label_types
from savs.classifiers.base import HeadClassifier
from savs.errors import DataError
from savs.layout import Head

__all__ = ["HeadChange", "ShotLearner"]


class HeadChange(NamedTuple):
    """Which heads a change of the shots brought in and dropped, each by (layer, index)."""

    added: list[Head]
    dropped: list[Head]


class ShotLearner:
    """Keeps the shots of a classifier and lets them change.

    Parameters
    ----------
    classifier : HeadClassifier
        What is fitted; it is cloned for each fit and never changed.

    Attributes
    ----------
    classifier_ : HeadClassifier
        Fitted on the present shots.
    ids : list
        Ids of the present shots, in order.

    Examples
    --------
    >>> from savs.classifiers.head_voting import HeadVoteClassifier
    >>> learner = ShotLearner(HeadVoteClassifier())
    >>> learner.add(np.eye(3), ["a", "b", "c"])
    HeadChange(added=[Head(layer=0, index=0)], dropped=[])
    >>> _ = learner.relabel(2, "b")
    >>> learner.classifier_.predict(np.eye(3)).tolist()
    ['a', 'b', 'b']
    """

    classifier_: HeadClassifier

    def __init__(self, classifier: HeadClassifier) -> None:
        self.classifier = classifier
        self.ids: list[Hashable] = []
        self._labels: list[Any] = []
        self._rows: NDArray[np.floating] | None = None
        self._next = 0

    @property
    def labels(self) -> list[Any]:
        """Labels of the present shots, in order."""
        return list(self._labels)

    @property
    def rows(self) -> NDArray[np.floating]:
        """Feature rows of the present shots, shape (n_shots, width)."""
        if self._rows is None:
            raise DataError("there are no shots yet; add some")
        return self._rows

    def add(self, X: ArrayLike, y: Sequence[Any], ids: Sequence[Hashable] | None = None) -> HeadChange:
        """Add shots, of known or new classes, and fit again.

        Parameters
        ----------
        X : array-like of float, shape (n_new, width)
            Feature rows; the first call decides their dtype.
        y : sequence of label
            Their labels.
        ids : sequence, optional
            Their ids; counted on from 0 by default.

        Raises
        ------
        DataError
            If an id is taken, or the fit refuses the shots. Nothing is changed then.
        """
        new, labels = np.asarray(X), _plain(y)
        if new.dtype.kind != "f":
            new = new.astype(np.float64)
        names = list(range(self._next, self._next + len(new))) if ids is None else list(ids)
        if new.ndim != 2 or not len(new) == len(labels) == len(names):
            raise ValueError(
                f"rows, labels and ids must be equally many: {new.shape}, {len(labels)}, {len(names)}"
            )
        taken = [name for name in names if name in set(self.ids)]
        if taken or len(set(names)) < len(names):
            raise DataError(f"id {(taken or names)[0]!r} is taken or stands twice; give every shot its own")
        rows = new if self._rows is None else np.concatenate([self._rows, new.astype(self._rows.dtype)])
        change = self._fit(rows.copy(), [*self._labels, *labels], [*self.ids, *names])
        self._next += len(new)
        return change

    partial_fit = add

    def forget(self, id: Hashable) -> HeadChange:
        """Drop a shot and fit again; `DataError` if there is none of that id or only one class is left."""
        place = self._place(id)
        kept = [i for i in range(len(self.ids)) if i != place]
        return self._fit(self.rows[kept], [self._labels[i] for i in kept], [self.ids[i] for i in kept])

    def relabel(self, id: Hashable, label: Any) -> HeadChange:
        """Give a shot another label and fit again; `DataError` if there is none of that id."""
        place = self._place(id)
        labels = list(self._labels)
        labels[place] = label
        return self._fit(self.rows, labels, self.ids)

    def copy(self) -> Self:
        """Return another learner with the same shots, to try changes on."""
        other = type(self)(self.classifier)
        if self._rows is not None:
            other._fit(self._rows, self._labels, self.ids)
            other._next = self._next
        return other

    def _place(self, id: Hashable) -> int:
        if id not in self.ids:
            raise DataError(f"there is no shot with id {id!r}")
        return self.ids.index(id)

    def _fit(self, rows: NDArray[np.floating], labels: list[Any], ids: list[Hashable]) -> HeadChange:
        before = list(getattr(self, "classifier_", None).heads_) if hasattr(self, "classifier_") else []  # type: ignore[union-attr]
        check_label_types(labels)
        fitted = clone(self.classifier).fit(rows, labels)
        self.classifier_, self._rows, self._labels, self.ids = fitted, rows, list(labels), list(ids)
        after = fitted.heads_
        return HeadChange(sorted(set(after) - set(before)), sorted(set(before) - set(after)))


def _plain(labels: Sequence[Any]) -> list[Any]:
    return labels.tolist() if isinstance(labels, np.ndarray) else list(labels)
