"""The shortcut audit: how accurate a method is where what it should look at is taken away."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from savs._reprs import short_repr
from savs.backbones import Backbone
from savs.baselines import content_free_example, metadata
from savs.classifiers import wilson_interval
from savs.data import Example, Label
from savs.errors import DataError, ItemError, SAVsError
from savs.evaluation.comparison import failure_reason
from savs.experiments._options import permute_options
from savs.experiments.interleaved import without_media
from savs.experiments.reading import (
    Draw,
    Outcome,
    ReadSet,
    Rows,
    check_data,
    check_methods,
    default_shots,
    make_draws,
    read_set,
)
from savs.experiments.results import (
    PlotFormat,
    mean_over_draws,
    write_csv,
    write_files,
)

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = ["CONTROLS", "Control", "ShortcutAudit", "shortcut_audit"]

Control = Literal["image_blanked", "text_only", "shuffled_labels", "options_permuted", "metadata_only"]
CONTROLS: Mapping[Control, str] = {
    "image_blanked": "images and videos gray, audio silent, in shots and test items",
    "text_only": "images, videos and audio left out, in shots and test items",
    "shuffled_labels": "the labels of the shots in random order",
    "options_permuted": "the options A, B, ... of the test items in another order",
    "metadata_only": "a logistic regression on width, height, format, file size and length of the prompt",
}
"""What each control changes."""
SHOTS = 20


@dataclass(frozen=True)
class ShortcutAudit:
    """What a shortcut audit found.

    Attributes
    ----------
    task : str
        Name of the dataset.
    method : str
        The method.
    shots : int
        Shots per class.
    rows : list of dict
        One per control and draw: ``{"task", "method", "shots", "draw", "control", "figures", "reason"}``.
        ``figures`` has ``accuracy`` under the control and ``accuracy_unchanged``, the accuracy of the method
        on the same test items as they are, each as ``{"value", "low", "high", "n"}`` with Wilson's 95 %
        interval; it is empty where the control cannot be applied, and ``reason`` says why.
    chance : list of float
        Share of the most frequent class of the shots among the test items, for each draw.
    settings : dict
        With what the audit can be run again, JSON-able.
    errors : list of ItemError
        Of the examples that could not be read.
    """

    task: str
    method: str
    shots: int
    rows: list[dict[str, Any]]
    chance: list[float]
    settings: dict[str, Any]
    errors: list[ItemError] = field(default_factory=list)

    __repr__ = short_repr

    def summary(self) -> list[dict[str, Any]]:
        """Return mean accuracy and 95 % interval over draws (Student's t) by control.

        Returns
        -------
        list of dict
            ``{"control", "what", "mean", "low", "high", "n_draws", "reason"}``; the first is ``unchanged``,
            the last ``majority``. The reason is None unless the control cannot apply.
        """
        first = next(iter(CONTROLS))
        unchanged = [self._value(row, "accuracy_unchanged") for row in self.rows if row["control"] == first]
        found = [_line("unchanged", "the method as it is", unchanged, None)]
        for control, what in CONTROLS.items():
            rows = [row for row in self.rows if row["control"] == control]
            reason = next((row["reason"] for row in rows if row["reason"]), None)
            found.append(_line(control, what, [self._value(row, "accuracy") for row in rows], reason))
        return [*found, _line("majority", "the most frequent class of the shots", self.chance, None)]

    def _value(self, row: Mapping[str, Any], name: str) -> float | None:
        return row["figures"][name]["value"] if name in row["figures"] else None

    def record(self) -> dict[str, Any]:
        """Return everything as plain data, for JSON."""
        return {
            "schema": 1,
            "kind": "shortcuts",
            "task": self.task,
            "method": self.method,
            "shots": self.shots,
            "rows": self.rows,
            "summary": self.summary(),
            "settings": self.settings,
        }

    def plot(self) -> Figure:
        """Return the plot, as a matplotlib figure (needs ``savs[plots]``)."""
        from savs.experiments.plots import draw_audit

        return draw_audit(self)

    def write_csv(self, file: str | Path) -> None:
        """Write one line per control and draw.

        Parameters
        ----------
        file : str or Path
            Where to; an older file stays until the new one is complete.
        """
        write_csv(Path(file), [_flat(row) for row in self.rows])

    def write(self, folder: str | Path, *, plot_format: PlotFormat = "png") -> list[Path]:
        """Write record, table and plot as ``shortcuts-<task>.json``, ``.csv`` and ``.png``.

        Parameters
        ----------
        folder : str or Path
            Where to; made if it is missing.
        plot_format : {"png", "svg"}, default="png"
            Of the plot.
        """
        return write_files(Path(folder), "shortcuts", self, plot_format)


def _line(control: str, what: str, values: Sequence[float | None], reason: str | None) -> dict[str, Any]:
    known = [value for value in values if value is not None]
    return {"control": control, "what": what, **mean_over_draws(known), "reason": reason}


def _flat(row: Mapping[str, Any]) -> dict[str, Any]:
    names = ("accuracy", "accuracy_unchanged")
    figures = {
        name if part == "value" else f"{name}.{part}": row["figures"].get(name, {}).get(part)
        for name in names
        for part in ("value", "low", "high", "n")
    }
    return {**{key: value for key, value in row.items() if key not in ("figures", "reason")}, **figures} | {
        "reason": row["reason"]
    }


def shortcut_audit(
    backbone: Backbone,
    examples: Sequence[Example],
    *,
    method: str = "sav",
    shots: int | None = None,
    draws: int = 5,
    test: Sequence[Example] = (),
    seed: int = 0,
    task: str = "data",
    prompt: str | None = None,
    max_errors: int = 0,
    progress: bool = False,
) -> ShortcutAudit:
    """Measure the accuracy that is left where what a method should look at is taken away.

    A control that is clearly above the most frequent class shows a shortcut: something else than the content
    tells the labels apart, in the shots and in the test items. All controls have the same draws and the same
    test items as the method itself.

    - ``image_blanked``: images and videos become gray, of the same size, and audio clips silent, of the same
      length, in shots and test items.
    - ``text_only``: shots and test items are left without images, videos and audio clips.
    - ``shuffled_labels``: the labels of the shots change places at random, so that the classes keep their
      numbers; those of the test items stay. What is left is chance, or a test item that is wrongly easy.
    - ``options_permuted``: where prompts list options as A, B, ..., those of the test items stand in another
      order, and labels that are letters move with them. A method that knows the position alone falls.
    - ``metadata_only``: `savs.baselines.controls.metadata` on the same shots, without the backbone.

    Parameters
    ----------
    backbone : Backbone
        The frozen model; each example passes it once as it is, and once for each control that changes it.
    examples : sequence of Example
        Labeled, the prompt applied. Shots are drawn from them; the others are the test, unless `test` is.
    method : str, default="sav"
        Name of `savs.classifiers.available_methods` or `savs.experiments.reading.BASELINES`.
    shots : int, optional
        Shots per class; by default 20, or half of the smallest class.
    draws, test, seed, task, prompt, max_errors, progress
        As in `savs.experiments.shots_experiment`.

    Raises
    ------
    ValueError
        If the method is not known, or a number is out of range.
    DataError
        If there are fewer than two classes or too few examples of one for the shots.
    ItemError
        If more than `max_errors` examples cannot be read.

    References
    ----------
    Gururangan et al., "Annotation Artifacts in Natural Language Inference Data", arXiv 1803.02324:
    classifiers trained and tested on a part of the input.
    """
    check_methods([method])
    n_shots = default_shots(examples, [SHOTS], fixed_test=bool(test))[-1] if shots is None else shots
    check_data(examples, [n_shots], draws, fixed_test=bool(test))
    read = read_set(backbone, examples, test, prompt=prompt, max_errors=max_errors, progress=progress)
    made = make_draws(read, [n_shots], draws, seed)
    audited = _Audited(read, method, n_shots, seed, progress)
    unchanged = [audited.plain(draw) for draw in made]
    rows = []
    for control in CONTROLS:
        for draw, plain, outcome in zip(made, unchanged, audited.outcomes(control, made), strict=True):
            figures = {} if outcome.failure else {"accuracy": _figure(outcome)}
            if plain.failure is None:
                figures["accuracy_unchanged"] = _figure(plain)
            rows.append(
                {
                    "task": task,
                    "method": method,
                    "shots": n_shots,
                    "draw": draw.number,
                    "control": control,
                    "figures": figures,
                    "reason": outcome.failure,
                }
            )
    chance = [read.judge("majority", draw.shots[n_shots], draw.test).accuracy or 0.0 for draw in made]
    settings = {"draws": draws, "seed": seed, "prompt": prompt, "fixed_test": bool(test)}
    return ShortcutAudit(task, method, n_shots, rows, chance, settings, read.errors)


def _figure(outcome: Outcome) -> dict[str, float]:
    low, high = wilson_interval(outcome.n_right, outcome.n_test)
    return {"value": outcome.n_right / outcome.n_test, "low": low, "high": high, "n": outcome.n_test}


class _Audited(NamedTuple):
    """A dataset and the method that is audited on it."""

    read: ReadSet
    method: str
    shots: int
    seed: int
    progress: bool

    def plain(self, draw: Draw) -> Outcome:
        """Return the method's outcome without any change."""
        given = draw.shots[self.shots]
        return self.read.judge(self.method, given, draw.test)

    def outcomes(self, control: Control, draws: Sequence[Draw]) -> list[Outcome]:
        """Return the outcome of a control in each draw, with the reason where it cannot be applied."""
        under: Mapping[Control, Callable[[], Callable[[Draw], Outcome]]] = {
            "image_blanked": self._image_blanked,
            "text_only": self._text_only,
            "shuffled_labels": lambda: self._shuffled_labels,
            "options_permuted": self._options_permuted,
            "metadata_only": lambda: self._metadata_only,
        }
        try:
            judge = under[control]()
        except SAVsError as error:
            return [Outcome(0, len(draw.test), failure_reason(error)) for draw in draws]
        return [judge(draw) for draw in draws]

    def _image_blanked(self) -> Callable[[Draw], Outcome]:
        if not any(example.images or example.audios for example in self.read.examples):
            raise DataError("no example has an image, video or audio clip")
        return self._on_changed([content_free_example(example) for example in self.read.examples])

    def _text_only(self) -> Callable[[Draw], Outcome]:
        if not any(example.images or example.audios for example in self.read.examples):
            raise DataError("no example has an image, video or audio clip to leave out")
        bare = [without_media(example) for example in self.read.examples]
        if len({tuple(message.parts for message in example.messages) for example in bare}) == 1:
            raise DataError("all examples have the same text")
        return self._on_changed(bare)

    def _on_changed(self, changed: Sequence[Example]) -> Callable[[Draw], Outcome]:
        """Return what fits and judges the method on changed shots and test items."""
        other = self._read(changed)

        def judge(draw: Draw) -> Outcome:
            given = draw.shots[self.shots]
            return other.judge(self.method, given, draw.test)

        return judge

    def _read(self, changed: Sequence[Example]) -> ReadSet:
        # Every row must be there: the draws are those of the examples as they are.
        n_pool = self.read.n_pool
        return read_set(
            self.read.backbone,
            changed[:n_pool],
            changed[n_pool:],
            prompt=self.read.prompt,
            progress=self.progress,
        )

    def _shuffled_labels(self, draw: Draw) -> Outcome:
        given = draw.shots[self.shots]
        labels = shuffled_labels(self.read.labels, given, (self.seed, draw.number, 3))
        return self.read.judge(self.method, given, draw.test, labels)

    def _options_permuted(self) -> Callable[[Draw], Outcome]:
        examples, classes = self.read.examples, self.read.classes
        permuted = [
            permute_options(example, classes, np.random.default_rng((self.seed, row, 4)))
            for row, example in enumerate(examples)
        ]
        without = [example for example, other in zip(examples, permuted, strict=True) if other is None]
        if without:
            raise DataError(f"{len(without)} of {len(examples)} prompts have no options A, B, ...")
        other = self._read([example for example in permuted if example is not None])
        if not {*map(str, other.classes)} <= {*map(str, classes)}:
            raise DataError("a label would become a letter that is no class")

        def judge(draw: Draw) -> Outcome:
            given = draw.shots[self.shots]
            return other.outcome(draw.test, partial(self._answers_to, other, given, draw.test))

        return judge

    def _answers_to(self, other: ReadSet, shots: Rows, items: Rows) -> list[Label]:
        """Return the answers to items of another reading, fitted on the shots as they are."""
        both = replace(self.read, features=_behind(self.read.features, other.features))
        both = replace(
            both,
            examples=[*self.read.examples, *other.examples],
            states=None
            if self.read.states is None or other.states is None
            else _behind(self.read.states, other.states),
        )
        return both.answers(self.method, shots, items + len(self.read.examples))

    def _metadata_only(self, draw: Draw) -> Outcome:
        examples = self.read.examples
        shots = [examples[row] for row in draw.shots[self.shots].tolist()]
        items = [examples[row] for row in draw.test.tolist()]

        def answer() -> Sequence[Label]:
            return [label for label in metadata(shots, items).labels if label is not None]

        return self.read.outcome(draw.test, answer)


def _behind(first: NDArray[np.float32], second: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.vstack([first, second])


def shuffled_labels(labels: NDArray[Any], shots: Rows, seed: int | Sequence[int]) -> NDArray[Any]:
    """Return labels in which those of the shots have changed places at random; the others stay.

    Parameters
    ----------
    labels : ndarray of object, shape (n_examples,)
        The true labels; they are not changed.
    shots : ndarray of int
        Rows of the shots.
    seed : int or sequence of int
        As for `numpy.random.default_rng`.
    """
    shuffled = labels.copy()
    shuffled[shots] = labels[np.random.default_rng(seed).permutation(shots)]
    return shuffled
