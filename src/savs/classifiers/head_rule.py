"""What a rule is that scores the classes by one head.

Rules see blocks of heads of one width and treat each head by itself. The built-in ones are in
`savs.classifiers.rules` and `savs.classifiers.gaussian_rule`.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from savs.classifiers._support_set import Shots

__all__ = ["HeadRule", "LeftOutScorer", "Parameters"]

Parameters = dict[str, NDArray[np.float64]]
"""Named arrays whose first axis is the heads of a block."""


LeftOutScorer = Callable[[slice], NDArray[Any]]
"""From a slice of the shots to their scores."""


class HeadRule:
    """Scores of classes by single heads; subclass it for a rule of your own.

    A rule sees the vectors of a block of heads of one width at a time and treats each head by itself. It
    writes `fit` and `scores`; everything else has defaults. An object of it gets a name by `register_rule`,
    or by an entry point ``savs.rules`` of an installed package, and then works as
    ``HeadVoteClassifier(rule=name)`` like the built-in ones: head scoring, selection, voting, calibration,
    cross-validation and saving need nothing more. A saved classifier holds the name of the rule and the
    arrays that `fit` returned; it loads where the name is registered.

    Attributes
    ----------
    default_temperature : float or None
        What scores are divided by before the softmax. None: one per head is fitted on held-out shots.

    Examples
    --------
    The negative squared distance to the class mean:

    >>> class NearestMean(HeadRule):
    ...     def fit(self, vectors, shots):
    ...         return {"means": shots.class_sums(vectors) / shots.counts[:, None]}
    ...
    ...     def scores(self, vectors, parameters, codes):
    ...         gaps = vectors[:, :, None] - parameters["means"][:, None]
    ...         return -(gaps**2).sum(axis=3)
    >>> from savs.classifiers import HeadVoteClassifier, register_rule
    >>> register_rule("doctest_nearest_mean", NearestMean())
    >>> X, y = np.array([[0.0, 0], [1, 0], [4, 4], [5, 4]]), ["low", "low", "high", "high"]
    >>> HeadVoteClassifier(rule="doctest_nearest_mean").fit(X, y).predict([[1.0, 1]]).tolist()
    ['low']
    """

    default_temperature: float | None = None

    def fit(self, vectors: NDArray[np.float64], shots: Shots) -> Parameters:
        """Learn from the shots.

        Parameters
        ----------
        vectors : ndarray of float64, shape (n_block_heads, n_shots, head_dim)
            Vectors of some heads; may be overwritten.
        shots : Shots
            Their labels: ``codes`` (n_shots,), the class index of each; ``counts`` (n_classes,);
            ``n_classes``; ``class_sums(vectors)``, the sums by class (n_block_heads, n_classes, head_dim).
            Every class has at least one shot.

        Returns
        -------
        dict of str to ndarray of float64
            Whatever `scores` needs, by names without ``.`` and ``/``; the first axis of each array is the
            heads of the block.
        """
        raise NotImplementedError

    def scores(
        self, vectors: NDArray[np.float64], parameters: Parameters, codes: NDArray[np.intp]
    ) -> NDArray[np.float64]:
        """Score the classes for new vectors.

        Parameters
        ----------
        vectors : ndarray of float64, shape (n_block_heads, n_rows, head_dim)
            New vectors of the heads.
        parameters : dict of str to ndarray of float64
            From `fit`, for the same heads.
        codes : ndarray of int, shape (n_shots,)
            Class indices of the shots, for rules whose parameters hold the shots.

        Returns
        -------
        ndarray of float64, shape (n_block_heads, n_rows, n_classes)
            Finite scores; the largest wins.
        """
        raise NotImplementedError

    def held_out_scorer(self, vectors: NDArray[np.float64], shots: Shots) -> LeftOutScorer:
        """Return what gives the scores of a slice of the shots, each from all other shots.

        By default the rule is fitted again without each shot. A rule that knows a closed form is faster with
        its own.

        Parameters
        ----------
        vectors : ndarray of float64, shape (n_block_heads, n_shots, head_dim)
            Vectors of some heads.
        shots : Shots
            Their labels.

        Returns
        -------
        callable
            From a slice of the shots to scores of shape (n_block_heads, n_rows, n_classes), float32 where
            ``shots.is_large``. A shot without another one of its class has a finite but meaningless score
            for its own class; `Shots.can_be_held_out` says which.
        """
        n_shots = len(shots.codes)

        def score(rows: slice) -> NDArray[Any]:
            places = np.arange(n_shots)[rows]
            dtype = np.float32 if shots.is_large else np.float64
            table = np.zeros((len(vectors), len(places), shots.n_classes), dtype=dtype)
            for row, shot in enumerate(places):
                if shots.can_be_held_out[shot]:
                    others = np.arange(n_shots) != shot
                    codes = shots.codes[others]
                    rest = Shots(np.empty((n_shots - 1, 0)), codes, shots.n_classes, shots.layout)
                    parameters = self.fit(vectors[:, others], rest)
                    table[:, row] = self.scores(vectors[:, [shot]], parameters, codes)[:, 0]
            return table

        return score

    def held_out_scores(self, vectors: NDArray[np.float64], shots: Shots) -> NDArray[Any]:
        """Return the scores of all shots, each from all other shots.

        Parameters
        ----------
        vectors : ndarray of float64, shape (n_block_heads, n_shots, head_dim)
            Vectors of some heads.
        shots : Shots
            Their labels.

        Returns
        -------
        ndarray of float64 or float32, shape (n_block_heads, n_shots, n_classes)
            See `held_out_scorer`.
        """
        scorer = self.held_out_scorer(vectors, shots)
        if not shots.is_large:
            return scorer(slice(None))
        table = np.empty((len(vectors), len(shots.codes), shots.n_classes), dtype=np.float32)
        for rows in shots.row_slices():
            table[:, rows] = scorer(rows)
        return table
