"""What a saved classifier holds, and whether it fits together."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import numpy as np
from numpy.typing import NDArray

from savs.backbones.prompts import PromptTemplate
from savs.examples import Label, Sampling
from savs.examples.labels import as_label
from savs.examples.pictures import check_sampling
from savs.features import HeadLayout
from savs.heads.base import HeadClassifier
from savs.heads.estimate import Estimate
from savs.heads.methods import FittedClassifier, Method

__all__ = ["LABEL_TYPES", "Artifact", "Shot", "check_artifact", "common_media", "common_sampling"]

_KINDS = ("audio", "image", "video")
_MEDIA = [kinds for number in range(len(_KINDS) + 1) for kinds in combinations(_KINDS, number)]

LABEL_TYPES: dict[str, type] = {"str": str, "int": int, "bool": bool}


@dataclass(frozen=True)
class Shot:
    """One support example, as remembered by a saved classifier: never its content.

    Attributes
    ----------
    id : str
    label : label
    digest : str
        Hash of its content.
    media : tuple of {"audio", "image", "video"}, or None
        What it holds beside text; None where an older savs did not say.
    video : Sampling or None
        Which frames of its videos were read, where it has some and all were read in one way.
    """

    id: str
    label: Label
    digest: str
    media: tuple[str, ...] | None = None
    video: Sampling | None = None


@dataclass(frozen=True)
class Artifact:
    """What a saved classifier holds.

    Attributes
    ----------
    method : Method
        What was asked for.
    prompt : str or None
        Prompt template.
    classifier : SAVClassifier or HeadClassifier
        The fitted estimator, on rows of all heads.
    shots : list of Shot
        The support set.
    left_out : ndarray of float64, shape (n_shots, n_classes), or None
        Log probabilities of each shot under the classifier fitted again without it; NaN rows were not left
        out.
    rows : ndarray of float32, shape (n_shots, layout.width), or None
        Feature rows of the shots, in their order, if they are kept.
    estimate : dict or None
        Honest estimate from the shots (`savs.heads.estimate`).
    report : dict or None
        What an automatic choice compared and chose.
    fingerprint : dict
        The backbone's.
    """

    method: Method
    prompt: str | None
    classifier: FittedClassifier
    shots: list[Shot]
    left_out: NDArray[np.float64] | None
    rows: NDArray[np.float32] | None
    estimate: dict[str, Any] | None
    report: dict[str, Any] | None
    fingerprint: dict[str, Any]

    @property
    def classes(self) -> list[Label]:
        """The labels, sorted."""
        return list(self.classifier.classes_.tolist())

    @property
    def layout(self) -> HeadLayout:
        """All heads of the feature rows."""
        return self.classifier.layout_

    @property
    def heads(self) -> list[tuple[int, int]]:
        """The heads in use, best first."""
        return [(head.layer, head.index) for head in self.classifier.heads_]

    @property
    def head_scores(self) -> list[float] | None:
        """Score of every head in layout order, where the method ranks heads; hits for the published rule."""
        scores = getattr(self.classifier, "head_scores_", None)
        return None if scores is None else scores.tolist()

    @property
    def video_sampling(self) -> Sampling | None:
        """Which frames of the shots' videos were read, where there are some and one way to read them."""
        return common_sampling(self.shots)

    @property
    def shots_per_class(self) -> dict[Label, int]:
        """Number of shots of each class, in the order of `classes`."""
        counts = Counter(shot.label for shot in self.shots)
        return {label: counts[label] for label in self.classes}


def check_artifact(artifact: Artifact, label_type: type) -> None:
    """Raise `ValueError` if the contents do not fit together.

    Shapes and dtypes of a classifier's own arrays are tried rather than described: it must answer rows of
    zeros and of ones with finite probabilities.
    """
    classes, shots = artifact.classes, artifact.shots
    for video in {shot.video for shot in shots if shot.video is not None}:
        check_sampling(video)  # `ExampleError` is a `ValueError`
    checks = (
        len(classes) >= 2 and all(type(label) is label_type for label in classes),
        artifact.classifier.classes_.tolist() == np.unique(artifact.classifier.classes_).tolist(),
        all(as_label(label) == label for label in classes),
        all(type(shot.label) is label_type and shot.label in classes for shot in shots),
        all(isinstance(text, str) for shot in shots for text in (shot.id, shot.digest)),
        all(shot.media is None or shot.media in _MEDIA for shot in shots),
        artifact.prompt is None or _is_template(artifact.prompt),
        len(artifact.heads) > 0 and len(set(artifact.heads)) == len(artifact.heads),
        artifact.left_out is None or _has_left_out(artifact.left_out, (len(shots), len(classes))),
        artifact.rows is None or _is_finite(artifact.rows, (len(shots), artifact.layout.width), np.float32),
        artifact.estimate is None or _is_estimate(artifact.estimate),
        artifact.report is None or _says_what_it_chose(artifact.report),
        isinstance(artifact.fingerprint, dict),
        _answers(artifact.classifier, len(classes)),
    )
    if not all(checks):
        raise ValueError(f"check {checks.index(False)} of a classifier's contents failed")


def common_media(shots: Iterable[Shot]) -> set[str]:
    """Return the media that every shot has."""
    known = {shot.media or () for shot in shots}
    return set.intersection(*map(set, known)) if known else set()


def common_sampling(shots: Iterable[Shot]) -> Sampling | None:
    """Return which frames of the videos of shots were read; None without videos, or if in several ways."""
    found = {shot.video for shot in shots} - {None}
    return found.pop() if len(found) == 1 else None


def _is_template(prompt: Any) -> bool:
    """Return whether a prompt template can be made of this; `ExampleError`, a `ValueError`, says why not."""
    return isinstance(prompt, str) and PromptTemplate(prompt).template == prompt


def _says_what_it_chose(report: Any) -> bool:
    """Return whether a report holds what is shown of it."""
    if not isinstance(report, dict) or type(report.get("head_stability")) not in (float, int, type(None)):
        return False
    chosen, why = report.get("chosen", []), report.get("why", "")
    told = ("chosen" in report) == ("why" in report)
    return told and isinstance(chosen, list) and all(isinstance(text, str) for text in (*chosen, why))


def _is_estimate(content: Any) -> bool:
    """Return whether an `Estimate` can be made of this and shown."""
    found = Estimate(**content)
    numbers = [found.accuracy, found.macro_f1, *found.interval]
    numbers += [number for number in (found.ece, found.brier) if number is not None]
    return (
        all(type(number) in (int, float) for number in numbers)
        and type(found.n) is int
        and (found.note is None or isinstance(found.note, str))
    )


def _answers(classifier: FittedClassifier, n_classes: int) -> bool:
    if isinstance(classifier, HeadClassifier) and not _calibrated(classifier, n_classes):
        return False
    kept = classifier.for_kept_heads()
    rows = np.stack([np.zeros(kept.layout_.width), np.ones(kept.layout_.width)])
    return _is_finite(kept.predict_proba(rows), (2, n_classes), np.float64)


def _calibrated(classifier: HeadClassifier, n_classes: int) -> bool:
    left_out = classifier.left_out_
    return (
        np.isfinite(classifier.temperature_)
        and classifier.temperature_ > 0
        and _is_finite(classifier.log_priors_, (n_classes,), np.float64)
        and _has_left_out(left_out, (len(left_out), n_classes))
    )


def _has_left_out(array: NDArray[Any], shape: tuple[int, ...]) -> bool:
    """Return whether the array holds log probabilities, or NaN in whole rows."""
    if array.shape != shape or array.dtype != np.float64:
        return False
    absent = np.isnan(array).all(axis=1)
    return bool(np.isfinite(array[~absent]).all())


def _is_finite(array: NDArray[Any], shape: tuple[int, ...], dtype: type) -> bool:
    return array.shape == shape and array.dtype == dtype and bool(np.isfinite(array).all())
