"""What single heads answer for examples, and which shots seem to have a wrong label."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from savs.classifiers._numerics import class_centroids, cosine_similarities, nearest_classes
from savs.classifiers._support_set import Shots, head_blocks, unit_vectors
from savs.classifiers.base import HeadClassifier, HeadOpinions
from savs.classifiers.rules import make_rule
from savs.layout import HeadLayout

__all__ = [
    "HeadOpinions",
    "agreement_entropy",
    "head_opinions",
    "shot_cosines",
    "LabelIssue",
    "held_out_votes",
    "find_label_issues",
]


# What single heads answer: scores of every class from every head in use, votes, margins, agreement.


def head_opinions(
    classifier: HeadClassifier, rows: NDArray[np.floating], shots: Shots | None = None
) -> HeadOpinions | None:
    """Return what each head in use answers, by the classifier's own rule where its heads vote one by one.

    Parameters
    ----------
    classifier : HeadClassifier
        Fitted, and restricted to its heads in use (`HeadClassifier.restrict_to`).
    rows : ndarray of float, shape (n_rows, width of the kept heads)
        What is asked.
    shots : Shots, optional
        The support set at the kept heads. Heads of kernel methods and ensembles do not vote one by one: the
        cosine to the class means of the shots, both minus the mean of all shots, is used instead.

    Returns
    -------
    HeadOpinions or None
        None where heads do not vote one by one and there are no shots.
    """
    opinions = classifier.head_opinions(rows)
    if opinions is not None or shots is None:
        return opinions
    center = np.asarray(shots.rows, dtype=np.float64).mean(axis=0)
    means = class_centroids(shots.rows, shots.codes, shots.n_classes) - center
    return HeadOpinions.from_scores(
        cosine_similarities(rows - center, means, classifier.layout_).transpose(1, 0, 2), "cosine"
    )


def agreement_entropy(votes: NDArray[np.intp], n_classes: int) -> NDArray[np.float64]:
    """Return the entropy of the votes over its maximum: 0 if all heads agree, 1 if all classes tie.

    Parameters
    ----------
    votes : ndarray of int, shape (n_heads, n_rows)
        Class indices.
    n_classes : int
        Number of classes.

    Examples
    --------
    >>> agreement_entropy(np.array([[0, 0], [0, 1]]), 2)
    array([0., 1.])
    """
    shares = np.stack([(votes == code).mean(axis=0) for code in range(n_classes)])
    logs = np.log(np.where(shares > 0, shares, 1.0))
    return np.asarray(np.abs((shares * logs).sum(axis=0)) / np.log(n_classes))


def shot_cosines(
    rows: NDArray[np.floating], shots: NDArray[np.floating], layout: HeadLayout
) -> NDArray[np.float64]:
    """Return the cosine of each row to each shot, head by head.

    Parameters
    ----------
    rows : ndarray of float, shape (n_rows, layout.width)
        Feature rows.
    shots : ndarray of float, shape (n_shots, layout.width)
        Feature rows of the shots.
    layout : HeadLayout
        Which columns belong to which head, for both.

    Returns
    -------
    ndarray of float64, shape (n_heads, n_rows, n_shots)
        Cosines, with heads in layout order; 0 where either vector is zero.
    """
    found = np.empty((layout.n_heads, len(rows), len(shots)))
    for positions, vectors in head_blocks(np.concatenate([rows, shots]), layout):
        units = unit_vectors(vectors)
        found[positions] = units[:, : len(rows)] @ units[:, len(rows) :].transpose(0, 2, 1)
    return found


# Shots whose label the other shots doubt: leave-one-out votes of every head.


class LabelIssue(NamedTuple):
    """A shot that most heads would label otherwise.

    Attributes
    ----------
    shot : int
        Row of the shot.
    label : int
        Its class index.
    suggested : int
        The class that most heads vote for.
    support, doubt : float
        Share of the heads that vote for the label, and for the suggestion.
    """

    shot: int
    label: int
    suggested: int
    support: float
    doubt: float


def held_out_votes(
    shots: Shots, positions: NDArray[np.intp] | None = None, rule: str = "gaussian"
) -> NDArray[np.intp]:
    """Return what each head says about each shot when the shot is left out.

    Parameters
    ----------
    shots : Shots
        The shots.
    positions : ndarray of int, optional
        Only these heads of the layout, ascending; all by default.
    rule : str, default="gaussian"
        Name of the rule.

    Returns
    -------
    ndarray of int, shape (n_shots, n_heads)
        Class indices; -1 for a shot that is alone in its class.
    """
    chosen = np.arange(shots.layout.n_heads) if positions is None else np.asarray(positions)
    votes = np.empty((len(shots.codes), shots.layout.n_heads), dtype=np.intp)
    for places, vectors in shots.blocks(chosen):
        votes[:, places] = nearest_classes(make_rule(rule).held_out_scores(vectors, shots)).T
    votes[~shots.can_be_held_out] = -1
    return votes[:, chosen]


def find_label_issues(votes: NDArray[np.intp], codes: NDArray[np.intp], n_classes: int) -> list[LabelIssue]:
    """Return the shots for which another class has more votes than their own, most doubtful first.

    Parameters
    ----------
    votes : ndarray of int, shape (n_shots, n_heads)
        From `held_out_votes`.
    codes : ndarray of int, shape (n_shots,)
        The labels.
    n_classes : int
        Number of classes.
    """
    found = []
    for shot, (row, code) in enumerate(zip(votes, codes, strict=True)):
        if (row < 0).any():
            continue
        shares = np.bincount(row, minlength=n_classes) / len(row)
        best = int(shares.argmax())
        if shares[best] > shares[code]:
            found.append(LabelIssue(shot, int(code), best, float(shares[code]), float(shares[best])))
    return sorted(found, key=lambda label_issue: (label_issue.support - label_issue.doubt, label_issue.shot))
