"""Several comparisons, one per data set, as one: means over the data sets, and where a method loses most."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from savs.evaluation.results import PUBLISHED, Comparison

__all__ = ["Overall", "overall", "record_overall"]


class Overall(NamedTuple):
    """A method over several data sets, at one number of shots.

    Attributes
    ----------
    mean : float or None
        Mean over the data sets of the mean over the draws; None where it failed on one.
    against_sav : float or None
        The same of the published rule, taken off.
    worst : float or None
        The smallest difference to the published rule on a data set.
    worst_on : str or None
        Which one that is.
    """

    mean: float | None
    against_sav: float | None = None
    worst: float | None = None
    worst_on: str | None = None


def overall(found: Mapping[str, Comparison]) -> dict[int, dict[str, Overall]]:
    """Return every method's figures over all data sets, by number of shots and method.

    Parameters
    ----------
    found : mapping of str to Comparison
        By name of the data set; all of the same methods and numbers of shots.

    Raises
    ------
    ValueError
        If there is none, or they differ in methods or shots.
    """
    first = next(iter(found.values()), None)
    if first is None or any(
        (one.methods, one.shots) != (first.methods, first.shots) for one in found.values()
    ):
        raise ValueError("comparisons of the same methods and shots are needed, at least one")
    return {shots: {name: _of_method(name, shots, found) for name in first.methods} for shots in first.shots}


def record_overall(figures: Mapping[int, Mapping[str, Overall]]) -> dict[str, Any]:
    """Return the figures as plain data, ``{shots: {method: {...}}}``."""
    return {
        str(shots): {name: one._asdict() for name, one in by_name.items()}
        for shots, by_name in figures.items()
    }


def _of_method(name: str, shots: int, found: Mapping[str, Comparison]) -> Overall:
    means = {data: one.mean(name, shots) for data, one in found.items()}
    known = {data: value for data, value in means.items() if value is not None}
    if len(known) < len(means):
        return Overall(None)
    mean = float(np.mean(list(known.values())))
    first = next(iter(found.values()))
    published = {
        data: one.mean(PUBLISHED, shots) for data, one in found.items() if PUBLISHED in first.methods
    }
    if name == PUBLISHED or not published or None in published.values():
        return Overall(mean)
    gains = {data: known[data] - value for data, value in published.items() if value is not None}
    worst_on = min(gains, key=gains.__getitem__)
    return Overall(mean, float(np.mean(list(gains.values()))), gains[worst_on], worst_on)
