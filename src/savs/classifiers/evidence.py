"""What single heads say of examples, and which shots the other shots doubt."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from savs.classifiers._numerics import class_centroids, nearest_classes, similarity_blocks
from savs.classifiers._probabilities import softmax
from savs.classifiers._support_set import Shots, head_blocks, unit_vectors
from savs.classifiers.base import HeadClassifier
from savs.classifiers.head_voting import HeadVoteClassifier
from savs.classifiers.rules import RULES, make_rule, score_every_head
from savs.classifiers.sav import SAVClassifier
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


# What single heads say: scores of every class from every head in use, votes, margins, agreement.


class HeadOpinions(NamedTuple):
    """What each head in use says of some rows.

    Attributes
    ----------
    scores : ndarray of float64, shape (n_kept_heads, n_rows, n_classes)
        In the order of the classifier's ``heads_``.
    votes : ndarray of int, shape (n_kept_heads, n_rows)
        Index of the class with the largest score; ties go to the first.
    margins : ndarray of float64, shape (n_kept_heads, n_rows)
        Score of that class less the next one's.
    unit : str
        What the scores are: ``"cosine"`` or ``"probability"``.
    """

    scores: NDArray[np.float64]
    votes: NDArray[np.intp]
    margins: NDArray[np.float64]
    unit: str


def head_opinions(
    classifier: SAVClassifier | HeadClassifier, rows: NDArray[np.floating], shots: Shots | None = None
) -> HeadOpinions | None:
    """Return what each head in use says, by the classifier's own rule where its heads vote one by one.

    Parameters
    ----------
    classifier : SAVClassifier or HeadClassifier
        Fitted, `for_kept_heads`.
    rows : ndarray of float, shape (n_rows, width of the kept heads)
        What is asked.
    shots : Shots, optional
        The support set at the kept heads. Kernel methods and ensembles have no votes of single heads: the
        cosine to the class means of the shots, both less the mean of all shots, stands for them.

    Returns
    -------
    HeadOpinions or None
        None where the classifier has no votes of single heads and there are no shots.
    """
    layout = classifier.layout_
    if isinstance(classifier, SAVClassifier):
        return _opinions(_cosines(rows, classifier.centroids_, layout), "cosine")
    if isinstance(classifier, HeadVoteClassifier):
        return _opinions(_probabilities(classifier, rows), "probability")
    if shots is None:
        return None
    center = np.asarray(shots.rows, dtype=np.float64).mean(axis=0)
    means = class_centroids(shots.rows, shots.codes, shots.n_classes) - center
    return _opinions(_cosines(rows - center, means, layout), "cosine")


def agreement_entropy(votes: NDArray[np.intp], n_classes: int) -> NDArray[np.float64]:
    """Return the entropy of the votes over the classes in units of its maximum: 0 agreed, 1 all alike.

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
    """Return the cosine of each row to each shot in each head, (n_heads, n_rows, n_shots); 0 for zeros."""
    found = np.empty((layout.n_heads, len(rows), len(shots)))
    for positions, vectors in head_blocks(np.concatenate([rows, shots]), layout):
        units = unit_vectors(vectors)
        found[positions] = units[:, : len(rows)] @ units[:, len(rows) :].transpose(0, 2, 1)
    return found


def _cosines(
    rows: NDArray[np.floating], centroids: NDArray[np.float64], layout: HeadLayout
) -> NDArray[np.float64]:
    found = np.empty((layout.n_heads, len(rows), len(centroids)))
    for block, positions, similarities in similarity_blocks(rows, centroids, layout):
        found[positions, block] = similarities
    return found


def _probabilities(classifier: HeadVoteClassifier, rows: NDArray[np.floating]) -> NDArray[np.float64]:
    arrays, layout = classifier.arrays_, classifier.layout_
    found = np.empty((layout.n_heads, len(rows), len(classifier.classes_)))
    rule, codes = make_rule(classifier.rule), arrays["codes"].astype(np.intp)
    for positions, scores in score_every_head(rule, arrays, rows, layout, codes):
        found[positions] = softmax(scores / arrays["temperatures"][positions, None, None])
    return found


def _opinions(scores: NDArray[np.float64], unit: str) -> HeadOpinions:
    votes = nearest_classes(scores)
    best_two = np.sort(scores, axis=2)[:, :, -2:]
    return HeadOpinions(scores, votes, best_two[:, :, 1] - best_two[:, :, 0], unit)


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
        votes[:, places] = nearest_classes(RULES[rule].held_out_scores(vectors, shots)).T
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
