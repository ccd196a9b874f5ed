"""Which frames of videos a model has learnt from, and a word where those of new examples are others."""

from __future__ import annotations

import warnings
from collections.abc import Iterable

from savs.examples import DataWarning, Example, Sampling

__all__ = ["sampling_of", "warn_of_other_frames"]


def sampling_of(example: Example) -> Sampling | None:
    """Return which frames of an example's videos are read; None without videos, or if in several ways."""
    found = {video.sampling for video in example.videos}
    return found.pop() if len(found) == 1 else None


def warn_of_other_frames(learnt: Sampling | None, examples: Iterable[Example]) -> None:
    """Warn if videos are read in another way than those of the shots were.

    Parameters
    ----------
    learnt : Sampling or None
        Of the shots; None warns of nothing.
    examples : iterable of Example

    Warns
    -----
    DataWarning
        Once, however many there are.
    """
    found = {video.sampling for example in examples for video in example.videos}
    others = sorted(sampling.in_words for sampling in found - {learnt})
    if learnt is None or not others:
        return
    warnings.warn(
        f"videos are read with {' or '.join(others)}, the shots' were read with {learnt.in_words}: answers "
        "may suffer; read both alike",
        DataWarning,
        stacklevel=3,
    )
