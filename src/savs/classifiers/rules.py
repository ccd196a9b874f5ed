"""Rules that score the classes by one head, by name: cosine to the centroid, nearest shot, Gaussian.

`savs.classifiers.head_rule` says what a rule is.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from savs._registry import NotRegisteredError, Registry
from savs.classifiers._numerics import power_of_two_scale, reciprocal
from savs.classifiers._support_set import Shots, head_blocks, unit_vectors
from savs.classifiers.gaussian_rule import GaussianRule
from savs.classifiers.head_rule import HeadRule, LeftOutScorer, Parameters
from savs.layout import Head, HeadLayout

__all__ = [
    "CosineRule",
    "NearestShotRule",
    "available_rules",
    "make_rule",
    "register_rule",
    "fit_every_head",
    "score_every_head",
]


# Cosine to the class centroid ([SAV] section 3), with leave-one-out centroids from cached sums.

_LOST = 1e-14
"""A leave-one-out sum this much shorter (squared) than its parts is rounding, not a direction."""


@dataclass(frozen=True)
class CosineRule(HeadRule):
    """Score of a class: cosine to the plain mean of its shots; 0 where either vector is zero."""

    def fit(self, vectors: NDArray[np.float64], shots: Shots) -> Parameters:
        """Learn the class centroids ([SAV] section 3).

        Parameters
        ----------
        vectors : ndarray of float64, shape (n_block_heads, n_shots, head_dim)
            Vectors of some heads.
        shots : Shots
            Their labels.

        Returns
        -------
        dict of str to ndarray of float64
            ``centroids`` of length 1, shape (n_block_heads, n_classes, head_dim).
        """
        return {"centroids": unit_vectors(shots.class_sums(_scaled(vectors)))}

    def scores(
        self,
        vectors: NDArray[np.float64],
        parameters: Parameters,
        codes: NDArray[np.intp],  # noqa: ARG002
    ) -> NDArray[np.float64]:
        """Return the cosine of each vector to each class centroid.

        Parameters
        ----------
        vectors : ndarray of float64, shape (n_block_heads, n_rows, head_dim)
            New vectors of the heads.
        parameters : dict of str to ndarray of float64
            From `fit`, for the same heads.
        codes : ndarray of int, shape (n_shots,)
            Not used.

        Returns
        -------
        ndarray of float64, shape (n_block_heads, n_rows, n_classes)
            Cosines; 0 where either vector is zero.
        """
        return np.asarray(unit_vectors(vectors) @ parameters["centroids"].transpose(0, 2, 1))

    def held_out_scorer(self, vectors: NDArray[np.float64], shots: Shots) -> LeftOutScorer:
        """Return a function that scores shots by their cosines to centroids computed without them.

        The centroid of the shot's own class is that of the other shots, ``(sum - h) / (n - 1)``.

        Parameters
        ----------
        vectors : ndarray of float64, shape (n_block_heads, n_shots, head_dim)
            Vectors of some heads.
        shots : Shots
            Their labels.

        Returns
        -------
        callable
            From a slice of the shots to float64 scores of shape (n_block_heads, n_rows, n_classes); see
            `HeadRule.held_out_scorer`.
        """
        vectors = _scaled(vectors)
        sums = shots.class_sums(vectors)
        lengths = np.einsum("hcd,hcd->hc", sums, sums)
        squares = np.einsum("hnd,hnd->hn", vectors, vectors)

        def score(rows: slice) -> NDArray[np.float64]:
            return _held_out_cosines(vectors[:, rows], squares[:, rows], sums, lengths, shots.codes[rows])

        return score


def _held_out_cosines(
    vectors: NDArray[np.float64],
    squares: NDArray[np.float64],
    sums: NDArray[np.float64],
    lengths: NDArray[np.float64],
    codes: NDArray[np.intp],
) -> NDArray[np.float64]:
    dots = vectors @ sums.transpose(0, 2, 1)
    rows = np.arange(len(codes))
    own_dots = dots[:, rows, codes]
    dots *= reciprocal(np.sqrt(squares))[..., None]
    dots *= reciprocal(np.sqrt(lengths))[:, None]
    # |s - h|^2 and <h, s - h> from the products
    length = lengths[:, codes] - 2 * own_dots + squares
    length = np.where(length > _LOST * (lengths[:, codes] + squares), length, 0.0)
    own = (own_dots - squares) * reciprocal(np.sqrt(squares)) * reciprocal(np.sqrt(length))
    dots[:, rows, codes] = np.clip(own, -1.0, 1.0)
    return np.asarray(dots)


def _scaled(vectors: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return each head's vectors times a power of two, which changes no cosine and prevents overflow."""
    peaks = np.abs(vectors).max(axis=(1, 2), initial=0.0)
    return vectors * power_of_two_scale(peaks)[:, None, None]


# Nearest shot instead of centroid: the largest cosine to a shot of the class, or Tip-Adapter's soft form.

_NOWHERE = -1.0
"""Score of a class without any other shot: as far away as a cosine can be."""


@dataclass(frozen=True)
class NearestShotRule(HeadRule):
    """Score of a class: cosine to its nearest shot, or a soft form over all of its shots.

    Parameters
    ----------
    beta : float or None, default=None
        None: the largest cosine. A number: ``log(mean_j exp(-beta (1 - cos_j)))`` over the shots j of the
        class, the cache model of [Tip] (eq. 3) as a mean, so that larger classes have no advantage.
    center : bool, default=True
        Whether the mean of all shots is subtracted first. It is not recomputed in leave-one-out, because it
        does not depend on the labels.
    """

    beta: float | None = None
    center: bool = True

    @property
    def default_temperature(self) -> float | None:  # type: ignore[override]
        """None: cosines need a fitted one; 1 for the soft form, whose scores are logs already."""
        return None if self.beta is None else 1.0

    def fit(self, vectors: NDArray[np.float64], shots: Shots) -> Parameters:  # noqa: ARG002
        """Keep the shots, centered if `center`, as vectors of length 1.

        Parameters
        ----------
        vectors : ndarray of float64, shape (n_block_heads, n_shots, head_dim)
            Vectors of some heads.
        shots : Shots
            Not used.

        Returns
        -------
        dict of str to ndarray of float64
            ``shots`` of shape (n_block_heads, n_shots, head_dim), and ``center`` of shape
            (n_block_heads, head_dim), zeros unless `center`.
        """
        center = vectors.mean(axis=1) * self.center
        return {"shots": unit_vectors(vectors - center[:, None]), "center": center}

    def scores(
        self, vectors: NDArray[np.float64], parameters: Parameters, codes: NDArray[np.intp]
    ) -> NDArray[np.float64]:
        """Score each class by the shots of the class that are close to the vector.

        Parameters
        ----------
        vectors : ndarray of float64, shape (n_block_heads, n_rows, head_dim)
            New vectors of the heads.
        parameters : dict of str to ndarray of float64
            From `fit`, for the same heads.
        codes : ndarray of int, shape (n_shots,)
            Class indices of the shots.

        Returns
        -------
        ndarray of float64, shape (n_block_heads, n_rows, n_classes)
            Cosines, or log mean similarities if `beta` is a number ([Tip] eq. 3, as a mean).
        """
        unit = unit_vectors(vectors - parameters["center"][:, None])
        return self._by_class(unit @ parameters["shots"].transpose(0, 2, 1), codes)

    def held_out_scorer(self, vectors: NDArray[np.float64], shots: Shots) -> LeftOutScorer:
        """Return a function that scores shots without comparing any shot with itself.

        Parameters
        ----------
        vectors : ndarray of float64, shape (n_block_heads, n_shots, head_dim)
            Vectors of some heads.
        shots : Shots
            Their labels.

        Returns
        -------
        callable
            From a slice of the shots to scores of shape (n_block_heads, n_rows, n_classes), from cosines in
            float32 where ``shots.is_large``; see `HeadRule.held_out_scorer`.
        """
        unit: NDArray[np.floating] = self.fit(vectors, shots)["shots"]
        unit = unit.astype(np.float32) if shots.is_large else unit

        def score(rows: slice) -> NDArray[np.floating]:
            cosines = unit[:, rows] @ unit.transpose(0, 2, 1)
            itself = np.arange(len(shots.codes))[rows]
            cosines[:, np.arange(len(itself)), itself] = -np.inf
            return self._by_class(cosines, shots.codes)

        return score

    def _by_class(self, cosines: NDArray[Any], codes: NDArray[np.intp]) -> NDArray[Any]:
        order = np.argsort(codes, kind="stable")
        starts = np.searchsorted(codes[order], np.arange(int(codes.max()) + 1))
        ordered = cosines[..., order]
        if self.beta is None:
            return np.maximum(np.maximum.reduceat(ordered, starts, axis=-1), _NOWHERE)
        # a log-sum-exp over each class's shots; a sole shot left out is as far as can be
        exponents = -self.beta * (1 - ordered)
        lowest = 2 * self.beta * _NOWHERE
        peaks = np.maximum(np.maximum.reduceat(exponents, starts, axis=-1), lowest)
        near = np.exp(exponents - np.repeat(peaks, np.bincount(codes), axis=-1))
        total = np.add.reduceat(near, starts, axis=-1)
        count = np.add.reduceat(np.isfinite(ordered).astype(np.float64), starts, axis=-1)
        return np.asarray(
            np.where(count > 0, peaks + np.log(np.where(count > 0, total / np.maximum(count, 1), 1)), lowest)
        )


# The rules by name.

_TIP_BETA = 5.5
"""The public code of [Tip] starts from this sharpness."""

_RULES: Registry[HeadRule] = Registry("rule", "savs.rules")

for _name, _rule in (
    ("cosine", CosineRule()),  # to the centroid
    ("gaussian", GaussianRule("ridge", unbiased=True)),  # HEC-V with equal class priors
    ("hec_v", GaussianRule("ridge", class_prior=True)),  # as published
    ("oas", GaussianRule("oas")),  # with OAS shrinkage
    ("nearest", NearestShotRule()),  # the nearest shot
    ("near", NearestShotRule(beta=_TIP_BETA)),  # Tip-Adapter's soft form of it
):
    _RULES.register(_name, _rule)


def register_rule(name: str, rule: HeadRule, *, replace: bool = False) -> None:
    """Give a rule a name, for ``HeadVoteClassifier(rule=name)`` and for saved classifiers.

    Parameters
    ----------
    name : str
        Letters, digits, ``_``, ``-`` and ``.``.
    rule : HeadRule
        The rule; see there for how to write one.
    replace : bool, default=False
        Allow a name that is taken.

    Raises
    ------
    ValueError
        If the name is taken or has other characters.
    """
    _RULES.register(name, rule, replace=replace)


def available_rules() -> tuple[str, ...]:
    """Return the names of all rules: built in, registered, or provided by installed packages."""
    return tuple(_RULES)


def make_rule(rule: object) -> HeadRule:
    """Return the rule of a name.

    Raises
    ------
    NotRegisteredError
        A `ValueError`, if there is no rule of that name.
    """
    if not isinstance(rule, str) or rule not in _RULES:
        raise NotRegisteredError(f"rule must be one of {', '.join(available_rules())}, got {rule!r}")
    return _RULES[rule]


# A rule fitted to every head of a layout: parameters as named arrays, scores of new rows block by block.


def fit_every_head(rule: HeadRule, shots: Shots, heads: Sequence[Head]) -> dict[str, NDArray[Any]]:
    """Fit the rule to each of the given heads.

    Parameters
    ----------
    rule : HeadRule
        The rule to fit.
    shots : Shots
        The shots.
    heads : sequence of Head
        Heads of ``shots.layout``.

    Returns
    -------
    dict of str to ndarray
        The rule's parameters, by ``"<group>.<name>"``. Heads of one width form a group, numbered as in
        ``shots.layout.select(heads).groups``. The first axis of each array is the heads of the group, in
        their order in `heads`.
    """
    found: dict[str, list[NDArray[np.float64]]] = {}
    dims = [group.columns.shape[1] for group in shots.layout.select(heads).groups]
    for block in shots.blocks_of(heads):
        group = dims.index(block.vectors.shape[2])
        for name, array in rule.fit(block.vectors, shots).items():
            found.setdefault(f"{group}.{name}", []).append(array)
    return {name: np.concatenate(parts) for name, parts in found.items()}


def score_every_head(
    rule: HeadRule,
    arrays: dict[str, NDArray[Any]],
    rows: NDArray[np.floating],
    layout: HeadLayout,
    codes: NDArray[np.intp],
) -> Iterator[tuple[NDArray[np.intp], NDArray[np.float64]]]:
    """Yield the scores of rows from each head, one block of heads at a time.

    Parameters
    ----------
    rule : HeadRule
        The rule that was fitted.
    arrays : dict of str to ndarray
        From `fit_every_head`, for the heads of `layout`.
    rows : ndarray of float, shape (n_rows, layout.width)
        Feature rows.
    layout : HeadLayout
        Which columns belong to which head.
    codes : ndarray of int, shape (n_shots,)
        Class indices of the shots that the rule was fitted on.

    Yields
    ------
    positions : ndarray of int, shape (n_block_heads,)
        Positions of the heads in `layout`.
    scores : ndarray of float64, shape (n_block_heads, n_rows, n_classes)
        Their scores; the largest wins.
    """
    dims = [group.columns.shape[1] for group in layout.groups]
    done = [0] * len(dims)
    for positions, vectors in head_blocks(rows, layout):
        group = dims.index(vectors.shape[2])
        piece = slice(done[group], done[group] + len(positions))
        done[group] += len(positions)
        yield positions, rule.scores(vectors, _piece(arrays, group, piece), codes)


def _piece(arrays: dict[str, NDArray[Any]], group: int, piece: slice) -> Parameters:
    prefix = f"{group}."
    return {
        name.removeprefix(prefix): array[piece] for name, array in arrays.items() if name.startswith(prefix)
    }
