"""What shots hold, their media and which frames of videos, and a word where new examples are unlike them."""

from __future__ import annotations

import warnings
from collections.abc import Collection, Sequence

from savs.artifact import Shot, common_media, common_sampling
from savs.datasets import example_hash
from savs.datasets.films import sampled
from savs.examples import Audio, DataWarning, Example, Label, Sampling, Video

__all__ = ["as_shot", "read_alike", "warn_of_unlike"]

_NAMES = {"audio": "sound", "image": "picture", "video": "video"}


def as_shot(example: Example, label: Label) -> Shot:
    """Return what is remembered of a labelled example, as the model reads it."""
    return Shot(
        str(example.id), label, example_hash(example), tuple(sorted(_media(example))), _sampling(example)
    )


def read_alike(examples: Collection[Example], shots: Sequence[Shot]) -> list[Example]:
    """Return examples whose videos are read as those of the shots were, where they were in one way."""
    learnt = common_sampling(shots)
    if learnt is None:
        return list(examples)
    return [sampled(example, learnt.n_frames, learnt.fps) for example in examples]


def warn_of_unlike(shots: Sequence[Shot], examples: Collection[Example]) -> None:
    """Warn if examples lack a medium that every shot has, or have videos that are read in another way.

    Warns
    -----
    DataWarning
        Once for each of both, however many examples there are.
    """
    _warn_of_missing(common_media(shots), examples)
    _warn_of_other_frames(common_sampling(shots), examples)


def _warn_of_missing(media: Collection[str], examples: Collection[Example]) -> None:
    missing = {kind for example in examples for kind in set(media) - _shown(_media(example))}
    if missing:
        names = " or ".join(_NAMES[kind] for kind in sorted(missing))
        warnings.warn(
            f"there are examples without a {names}, and every shot had one: their answers rest on what is "
            "left; look for empty cells",
            DataWarning,
            stacklevel=4,
        )


def _warn_of_other_frames(learnt: Sampling | None, examples: Collection[Example]) -> None:
    found = {video.sampling for example in examples for video in example.videos}
    others = sorted(sampling.in_words for sampling in found - {learnt})
    if learnt is not None and others:
        warnings.warn(
            f"videos are read with {' or '.join(others)}, the shots' were read with {learnt.in_words}: "
            "answers may suffer; read both alike",
            DataWarning,
            stacklevel=4,
        )


def _media(example: Example) -> set[str]:
    kinds = {Audio: "audio", Video: "video"}
    return {kinds.get(type(part), "image") for part in (*example.images, *example.audios)}


def _shown(media: set[str]) -> set[str]:
    # Frames of a video are pictures to many models.
    visual = {"image", "video"}
    return media | visual if media & visual else media


def _sampling(example: Example) -> Sampling | None:
    found = {video.sampling for video in example.videos}
    return found.pop() if len(found) == 1 else None
