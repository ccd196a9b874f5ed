"""Shots whose label the other shots doubt: leave-one-out votes of every head."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from savs.heads.rules import RULES
from savs.heads.shots import Shots
from savs.heads.similarity import nearest_classes

__all__ = ["Suspect", "left_out_votes", "suspect_shots"]


class Suspect(NamedTuple):
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


def left_out_votes(
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
        votes[:, places] = nearest_classes(RULES[rule].left_out_scores(vectors, shots)).T
    votes[~shots.can_be_left_out] = -1
    return votes[:, chosen]


def suspect_shots(votes: NDArray[np.intp], codes: NDArray[np.intp], n_classes: int) -> list[Suspect]:
    """Return the shots for which another class has more votes than their own, most doubtful first.

    Parameters
    ----------
    votes : ndarray of int, shape (n_shots, n_heads)
        From `left_out_votes`.
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
            found.append(Suspect(shot, int(code), best, float(shares[code]), float(shares[best])))
    return sorted(found, key=lambda suspect: (suspect.support - suspect.doubt, suspect.shot))
