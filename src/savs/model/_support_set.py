"""The support set: the shots by id, label and content, their rows while at hand, and what media they hold."""

from __future__ import annotations

import warnings
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from savs._reprs import short_repr
from savs.artifact import Shot, common_bit_depth, common_media, common_sampling
from savs.data import DataWarning, Example, Label, example_hash
from savs.data.reading import sampled, with_bit_depth
from savs.errors import DataError
from savs.media import Audio, Sampling, Video

# The support set: the shots by id, label and content, and their feature rows while they are at hand.


class LabelIssue(NamedTuple):
    """A shot that most heads would label otherwise.

    Attributes
    ----------
    id : str
        Of the shot.
    label, suggested : label
        What it is labeled, and what most heads say.
    support, doubt : float
        Share of the heads that say either.
    """

    id: str
    label: Label
    suggested: Label
    support: float
    doubt: float


@dataclass(frozen=True, eq=False)
class SupportSet:
    """Shots and their feature rows, in the order of their content's digests.

    Sums must not depend on the order of a file: their last bits would.

    Attributes
    ----------
    shots : tuple of Shot
        Ids, labels and content digests.
    rows : ndarray of float32, shape (n_shots, width), or None
        Their feature rows; None for a classifier that was saved without them.
    """

    shots: tuple[Shot, ...]
    rows: NDArray[np.float32] | None

    __repr__ = short_repr

    @property
    def labels(self) -> list[Label]:
        """Label of each shot."""
        return [shot.label for shot in self.shots]

    def codes(self, classes: Sequence[Label]) -> NDArray[np.intp]:
        """Return the index of each shot's label among the classes, shape (n_shots,)."""
        place = {label: code for code, label in enumerate(classes)}
        return np.array([place[label] for label in self.labels], dtype=np.intp)

    @classmethod
    def of(cls, shots: Sequence[Shot], rows: NDArray[np.float32] | None) -> Self:
        """Return the set of shots that come in any order, `rows` in the same one."""
        order = canonical_order(shots)
        if order == list(range(len(shots))):
            return cls(tuple(shots), rows)
        return cls(tuple(shots[i] for i in order), None if rows is None else rows[order])

    def known_rows(self) -> NDArray[np.float32]:
        """Return the feature rows; `DataError` where a saved classifier came without them."""
        if self.rows is None:
            raise DataError(
                "the shots' feature rows were not saved with the classifier: fit again, or save it with "
                "keep_shots=True (savs fit --keep-shots)"
            )
        return self.rows

    def with_more(self, shots: Sequence[Shot], rows: NDArray[np.float32]) -> Self:
        """Return the set with more shots.

        Raises
        ------
        DataError
            If an id is taken, or a shot's content is there under another label.
        """
        taken = {shot.id: shot for shot in self.shots}
        known = {shot.digest: shot for shot in self.shots}
        for shot in shots:
            if shot.id in taken:
                raise DataError(f"there is a shot with id {shot.id!r} already; give the new one another id")
            same = known.get(shot.digest)
            if same is not None and same.label != shot.label:
                raise DataError(
                    f"the same content has different labels: {same.id} ({same.label!r}) and {shot.id} "
                    f"({shot.label!r})"
                )
        joined = np.concatenate([self.known_rows(), rows])
        return self.of((*self.shots, *shots), joined)

    def without(self, id: str) -> Self:
        """Return the set without one shot; `DataError` if there is none of that id."""
        place, rows = self._place(id), self.known_rows()
        return replace(
            self, shots=self.shots[:place] + self.shots[place + 1 :], rows=np.delete(rows, place, axis=0)
        )

    def relabelled(self, id: str, label: Label) -> Self:
        """Return the set with another label on a shot, and on every other shot of the same content."""
        digest = self.shots[self._place(id)].digest
        self.known_rows()
        changed = tuple(replace(s, label=label) if s.digest == digest else s for s in self.shots)
        return replace(self, shots=changed)

    def free_id(self) -> Callable[[str], str]:
        """Return a function that gives a new shot its id where a position as text is taken already."""
        taken = {shot.id for shot in self.shots}
        state = {"next": len(self.shots)}

        def chosen(id: str) -> str:
            if id not in taken or not id.isdecimal():
                return id
            while str(state["next"]) in taken:
                state["next"] += 1
            taken.add(str(state["next"]))
            return str(state["next"])

        return chosen

    def _place(self, id: str) -> int:
        places = [i for i, shot in enumerate(self.shots) if shot.id == id]
        if not places:
            raise DataError(f"no shot has the id {id!r}; ids of shots are in shots_")
        if len(places) > 1:
            raise DataError(
                f"{len(places)} shots have the id {id!r}, so it does not tell which one is meant; fit again "
                "with an id of its own for each (an example without one is named by its position)"
            )
        return places[0]


def canonical_order(shots: Sequence[Shot]) -> list[int]:
    """Return the positions of shots by digest, then id."""
    return sorted(range(len(shots)), key=lambda i: (shots[i].digest, shots[i].id))


# What shots hold, their media and which frames of videos, and a word where new examples are unlike them.

_NAMES = {"audio": "audio", "image": "an image", "video": "a video"}


def as_shot(example: Example, label: Label) -> Shot:
    """Return what is remembered of a labeled example, as the model reads it."""
    media = tuple(sorted(_media(example)))
    return Shot(str(example.id), label, example_hash(example), media, _sampling(example), _bit_depth(example))


def read_alike(examples: Collection[Example], shots: Sequence[Shot]) -> list[Example]:
    """Return examples whose media are read as those of the shots were, where they were in one way."""
    deep = [with_bit_depth(example, common_bit_depth(shots)) for example in examples]
    learned = common_sampling(shots)
    if learned is None:
        return deep
    return [sampled(example, learned.n_frames, learned.fps) for example in deep]


def warn_of_unlike_inputs(shots: Sequence[Shot], examples: Collection[Example]) -> None:
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
            f"there are examples without {names}, and every shot had that: their answers rest on what is "
            "left; look for empty cells",
            DataWarning,
            stacklevel=4,
        )


def _warn_of_other_frames(learned: Sampling | None, examples: Collection[Example]) -> None:
    found = {video.sampling for example in examples for video in example.videos}
    others = sorted(sampling.in_words for sampling in found - {learned})
    if learned is not None and others:
        warnings.warn(
            f"videos are read with {' or '.join(others)}, the shots' were read with {learned.in_words}: "
            "answers may suffer; read both alike",
            DataWarning,
            stacklevel=4,
        )


def _media(example: Example) -> set[str]:
    kinds = {Audio: "audio", Video: "video"}
    return {kinds.get(type(part), "image") for part in (*example.images, *example.audios)}


def _shown(media: set[str]) -> set[str]:
    # Frames of a video are images to many models.
    visual = {"image", "video"}
    return media | visual if media & visual else media


def _sampling(example: Example) -> Sampling | None:
    found = {video.sampling for video in example.videos}
    return found.pop() if len(found) == 1 else None


def _bit_depth(example: Example) -> int | None:
    found = {image.bit_depth for image in example.images if not isinstance(image, Video)}
    return found.pop() if len(found) == 1 else None
