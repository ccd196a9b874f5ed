"""The support set: the shots by id, label and content, and their feature rows while they are at hand."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray

from savs.artifact import Shot
from savs.errors import DataError
from savs.examples import Label

__all__ = ["SupportSet", "Suspect", "canonical_order"]


class Suspect(NamedTuple):
    """A shot that most heads would label otherwise.

    Attributes
    ----------
    id : str
        Of the shot.
    label, suggested : label
        What it is labelled, and what most heads say.
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

    @property
    def labels(self) -> list[Label]:
        """Label of each shot."""
        return [shot.label for shot in self.shots]

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
        if len(places) != 1:
            many = f"{len(places)} shots have" if places else "no shot has"
            raise DataError(f"{many} the id {id!r}; ids of shots are in shots_")
        return places[0]


def canonical_order(shots: Sequence[Shot]) -> list[int]:
    """Return the positions of shots by digest, then id."""
    return sorted(range(len(shots)), key=lambda i: (shots[i].digest, shots[i].id))
