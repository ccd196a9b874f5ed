"""Running the contenders of a comparison on its draws: what each got right, or why it could not."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from functools import cached_property, partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from savs.backbones import Backbone
from savs.errors import ItemError, SAVsError
from savs.evaluation.contenders import Answers, Contender, ReadExamples, ask
from savs.evaluation.results import Trial
from savs.evaluation.splits import Rows
from savs.examples import Label

__all__ = ["Judge"]


class Judge:
    """Runs contenders; the model is asked in words once, when the first one wants it.

    Parameters
    ----------
    backbone : Backbone
        The model to ask.
    read : ReadExamples
        What the contenders get.
    classes : sequence of label
        The answers that the model may give.
    asked : list of int
        Rows that are put to the model.
    progress : bool
        Show progress bars on a terminal.

    Attributes
    ----------
    failure : Exception or None
        Why the model could not be asked.
    """

    def __init__(
        self,
        backbone: Backbone,
        read: ReadExamples,
        classes: Sequence[Label],
        asked: list[int],
        progress: bool,
    ) -> None:
        self._read = read
        self._ask = partial(ask, backbone, {row: read.examples[row] for row in asked}, classes)
        self._n_asked, self._progress = len(asked), progress
        self.failure: Exception | None = None

    @cached_property
    def answers(self) -> Answers:
        """What the model said; it is asked at the first access."""
        with _bar(self._n_asked, "answer", self._progress) as tell:
            return self._ask(tell)

    def _answers(self) -> Answers:
        # Asked in vain once, not in every draw.
        if self.failure is not None:
            raise self.failure
        try:
            return self.answers
        except (SAVsError, ValueError, MemoryError) as error:
            self.failure = error
            raise

    def run(
        self, methods: Sequence[str], splits: dict[tuple[int, int], tuple[Rows, Rows]], progress: bool
    ) -> dict[tuple[str, int], list[Trial]]:
        """Return the trials of each method and number of shots, in the order of the draws."""
        trials: dict[tuple[str, int], list[Trial]] = {}
        with _bar(len(methods) * len(splits), "fit", progress) as tell:
            for name in methods:
                contender = self._read.contender(name, self._answers)
                for (count, _), (drawn, items) in splits.items():
                    trial = _tried(contender, drawn, items, self._read.labels)
                    trials.setdefault((name, count), []).append(trial)
                    tell(1)
        return trials


def _tried(contender: Contender, drawn: Rows, items: Rows, labels: NDArray[Any]) -> Trial:
    try:
        turn = contender(drawn, items)
    except MemoryError:
        return Trial.failed("it needs more memory than there is")
    except (SAVsError, ValueError) as error:
        message = error.message if isinstance(error, ItemError) else str(error)
        return Trial.failed(" ".join(message.split()))
    if not len(turn.rows):
        return Trial.failed("none of this draw's test items was asked")
    truth = labels[turn.rows].tolist()
    right = [
        type(label) is type(true) and label == true for label, true in zip(turn.labels, truth, strict=True)
    ]
    return Trial(turn.rows, np.array(right), turn.seconds, turn.n_bytes)


@contextmanager
def _bar(total: int, unit: str, progress: bool) -> Iterator[Callable[[int], object]]:
    from tqdm import tqdm

    with tqdm(total=total, unit=unit, delay=2, disable=None if progress else True, leave=False) as bar:
        yield bar.update
