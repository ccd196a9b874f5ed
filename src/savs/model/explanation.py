"""Why an answer is what it is: votes of the heads, the nearest shots, and what it hangs on."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from savs._reprs import short_repr
from savs.artifact import Shot
from savs.classifiers import HeadClassifier
from savs.classifiers._support_set import Shots
from savs.classifiers._validation import encode_labels
from savs.classifiers.evidence import HeadOpinions, agreement_entropy, head_opinions, shot_cosines
from savs.data import Example, Label, Message, Part, Text
from savs.errors import ItemError
from savs.layout import Head
from savs.media import Image, Video, load_image
from savs.model._support_set import SupportSet

__all__ = [
    "Variant",
    "Where",
    "occluded",
    "Explanation",
    "HeadEvidence",
    "NearShot",
    "Occlusion",
    "PromptEvidence",
    "explain_rows",
]


# Variants of an example with one tile of an image, or some words, taken away.

_MOST_PIECES = 48
"""Of one text; longer ones are cut into pieces of several words."""


class Where(NamedTuple):
    """What was taken away.

    Attributes
    ----------
    part : int
        Which content part of the example as the model reads it.
    kind : str
        ``"tile"`` or ``"words"``.
    box : tuple of int
        Of a tile: left, top, right, bottom in pixels. Of words: first and last character, the latter not
        included.
    text : str
        The words; empty for a tile.
    """

    part: int
    kind: str
    box: tuple[int, ...]
    text: str = ""


class Variant(NamedTuple):
    """An example without something."""

    where: Where
    example: Example


def occluded(example: Example, tiles: int) -> Iterator[Variant]:
    """Yield the example without each tile of each image (the image's mean color instead), and each word.

    Videos and audio clips are left alone.

    Parameters
    ----------
    example : Example
        As the model reads it, after the prompt template.
    tiles : int
        Tiles along each side of an image; 0 leaves images alone.

    Raises
    ------
    ItemError
        If an image cannot be read.
    """
    try:
        yield from _variants(example, tiles)
    except ItemError as error:
        error.id = error.id if error.id is not None else example.id
        raise


def _variants(example: Example, tiles: int) -> Iterator[Variant]:
    place = 0
    for number, message in enumerate(example.messages):
        for index, part in enumerate(message.parts):
            for where, changed in _without_pieces(part, place + index, tiles):
                yield Variant(where, _with_part(example, number, index, changed))
        place += len(message.parts)


def _without_pieces(part: Part, place: int, tiles: int) -> Iterator[tuple[Where, Part]]:
    if isinstance(part, Text):
        for start, end in _pieces(part.text):
            kept = f"{part.text[:start]}{part.text[end:]}"
            yield Where(place, "words", (start, end), part.text[start:end]), Text(kept)
    elif isinstance(part, Image) and not isinstance(part, Video) and tiles:
        pixels = np.asarray(load_image(part))
        gray = pixels.reshape(-1, pixels.shape[-1]).mean(axis=0).round().astype(pixels.dtype)
        for left, top, right, bottom in _boxes(pixels.shape[1], pixels.shape[0], tiles):
            hidden = pixels.copy()
            hidden[top:bottom, left:right] = gray
            yield Where(place, "tile", (left, top, right, bottom)), replace(part, source=hidden)


def _pieces(text: str) -> list[tuple[int, int]]:
    words = [match.span() for match in re.finditer(r"\S+", text)]
    step = -(-len(words) // _MOST_PIECES)
    return [
        (words[i][0], words[min(i + step, len(words)) - 1][1]) for i in range(0, len(words), max(step, 1))
    ]


def _boxes(width: int, height: int, tiles: int) -> Iterator[tuple[int, int, int, int]]:
    columns = np.linspace(0, width, min(tiles, width) + 1).astype(int).tolist()
    rows = np.linspace(0, height, min(tiles, height) + 1).astype(int).tolist()
    for top, bottom in pairwise(rows):
        for left, right in pairwise(columns):
            yield left, top, right, bottom


def _with_part(example: Example, number: int, index: int, part: Part) -> Example:
    message = example.messages[number]
    parts = (*message.parts[:index], part, *message.parts[index + 1 :])
    changed = Message(message.role, parts)
    return replace(example, messages=(*example.messages[:number], changed, *example.messages[number + 1 :]))


# Why an answer is what it is: votes of the heads, the shots nearest to it, and what it hangs on.

_NEAREST = 3


class NearShot(NamedTuple):
    """A shot and its cosine to the query in one head, or the mean over the heads in use."""

    id: str
    label: Label
    cosine: float


class HeadEvidence(NamedTuple):
    """What one head says.

    Attributes
    ----------
    head : Head
        Which one.
    vote : label
        The class it is for.
    margin : float
        Score of that class less the next one's, in the explanation's ``unit``.
    nearest : list of NearShot
        The shots nearest to the query in this head; empty where the shots' rows are not at hand.
    """

    head: Head
    vote: Label
    margin: float
    nearest: list[NearShot]

    def __repr__(self) -> str:
        return short_repr(self)


class Occlusion(NamedTuple):
    """How much the answer hangs on something.

    Attributes
    ----------
    where : Where
        What was taken away.
    drop : float
        Log probability of the answer before less after; negative where the answer became surer.
    label : label
        The answer without it.
    """

    where: Where
    drop: float
    label: Label


@dataclass(frozen=True)
class Explanation:
    """Evidence for one answer.

    Attributes
    ----------
    label : label
        The answer.
    proba : dict of label to float
        As `SAVModel.predict_proba`.
    agreement_entropy : float or None
        Of the heads' votes: 0 all agree, 1 all classes alike. None where single heads cannot be asked.
    heads : list of HeadEvidence
        One per head in use, best first; empty where single heads cannot be asked.
    unit : str or None
        Of the margins: ``"cosine"`` or ``"probability"``.
    nearest : list of NearShot
        The shots nearest over all heads in use, by mean cosine.
    occlusion : list of Occlusion
        What matters most first.
    prompts : list of PromptEvidence
        With several prompts, what each of them says; ``heads`` and ``agreement_entropy`` are told there.
    """

    label: Label
    proba: dict[Label, float]
    agreement_entropy: float | None
    heads: list[HeadEvidence]
    unit: str | None
    nearest: list[NearShot]
    occlusion: list[Occlusion]
    prompts: list[PromptEvidence] = field(default_factory=list)

    __repr__ = short_repr

    def record(self) -> dict[str, Any]:
        """Return it as plain data for JSON."""
        heads = [
            {"layer": h.head.layer, "head": h.head.index, "vote": h.vote, "margin": h.margin}
            | {"nearest": [near._asdict() for near in h.nearest]}
            for h in self.heads
        ]
        occlusion = [{**o.where._asdict(), "drop": o.drop, "label": o.label} for o in self.occlusion]
        plain = asdict(self) | {"proba": {str(name): share for name, share in self.proba.items()}}
        return plain | {
            "heads": heads,
            "nearest": [near._asdict() for near in self.nearest],
            "occlusion": occlusion,
            "prompts": [
                {"prompt": one.prompt, "weight": one.weight, **one.alone.record()} for one in self.prompts
            ],
        }

    def votes(self) -> dict[Label, int]:
        """Return how many heads are for each class, most first."""
        return dict(Counter(one.vote for one in self.heads).most_common())


@dataclass(frozen=True)
class PromptEvidence:
    """What one of several prompts says.

    Attributes
    ----------
    prompt : str
        The prompt template.
    weight : float
        How much it counts for the answer to all; the weights' sum is 1.
    alone : Explanation
        Of the answer that its classifier gives alone.
    """

    prompt: str
    weight: float
    alone: Explanation

    __repr__ = short_repr


def explain_rows(
    classifier: HeadClassifier,
    rows: NDArray[np.float32],
    wheres: Sequence[Where],
    support: SupportSet,
    kept_rows: NDArray[np.float32] | None,
) -> Explanation:
    """Return the explanation of the first row; the others are its occluded variants.

    Parameters
    ----------
    classifier : HeadClassifier
        Fitted, and restricted to its heads in use.
    rows : ndarray of float32, shape (1 + n_variants, width of the kept heads)
        The example, then each variant.
    wheres : sequence of Where
        What each variant lacks.
    support : SupportSet
        The shots.
    kept_rows : ndarray of float32, shape (n_shots, width of the kept heads), or None
        Their rows, if they are at hand.
    """
    labels: list[Label] = classifier.classes_.tolist()
    if not classifier.layout_.heads:
        kept_rows = None  # of the last-layer state alone: no head can be asked
    shots = None if kept_rows is None else _shots(support, kept_rows, classifier)
    opinions = head_opinions(classifier, rows[:1], shots)
    near = None if kept_rows is None else shot_cosines(rows[:1], kept_rows, classifier.layout_)[:, 0]
    logs = classifier.decision_log_proba(rows)
    answer = labels.index(classifier.predict(rows[:1]).tolist()[0])
    return Explanation(
        label=labels[answer],
        proba=dict(zip(labels, classifier.predict_proba(rows[:1])[0].tolist(), strict=True)),
        agreement_entropy=None if opinions is None else _entropy(opinions, len(labels)),
        heads=[] if opinions is None else _heads(classifier, opinions, near, support.shots),
        unit=None if opinions is None else opinions.unit,
        nearest=[] if near is None else nearest_shots(near.mean(axis=0), support.shots),
        occlusion=occlusions(logs, answer, labels, wheres),
    )


def _shots(support: SupportSet, rows: NDArray[np.float32], classifier: HeadClassifier) -> Shots:
    classes, codes = encode_labels(np.asarray(support.labels))
    return Shots(rows, codes, len(classes), classifier.layout_)


def _entropy(opinions: HeadOpinions, n_classes: int) -> float:
    return float(agreement_entropy(opinions.votes, n_classes)[0])


def _heads(
    classifier: HeadClassifier,
    opinions: HeadOpinions,
    near: NDArray[np.float64] | None,
    shots: Sequence[Shot],
) -> list[HeadEvidence]:
    labels = classifier.classes_.tolist()
    return [
        HeadEvidence(
            head,
            labels[int(opinions.votes[place, 0])],
            float(opinions.margins[place, 0]),
            [] if near is None else nearest_shots(near[place], shots),
        )
        for place, head in enumerate(classifier.layout_.heads)  # the final state, if in use, is none
    ]


def nearest_shots(cosines: NDArray[np.float64], shots: Sequence[Shot]) -> list[NearShot]:
    """Return the shots with the largest cosines, shape (n_shots,)."""
    best = np.argsort(-cosines, kind="stable")[:_NEAREST]
    return [NearShot(shots[i].id, shots[i].label, float(cosines[i])) for i in best.tolist()]


def occlusions(
    logs: NDArray[np.float64], answer: int, labels: Sequence[Label], wheres: Sequence[Where]
) -> list[Occlusion]:
    """Return how much the answer hangs on what each variant lacks, what matters most first.

    Parameters
    ----------
    logs : ndarray of float64, shape (1 + n_variants, n_classes)
        Log probabilities of the example, then of each variant.
    answer : int
        Index of the example's class.
    labels : sequence of label
        The classes.
    wheres : sequence of Where
        What each variant lacks.
    """
    found = [
        Occlusion(where, float(logs[0, answer] - row[answer]), labels[int(row.argmax())])
        for where, row in zip(wheres, logs[1:], strict=True)
    ]
    return sorted(found, key=lambda one: -one.drop)
