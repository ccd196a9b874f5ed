"""Why an answer is what it is: votes of the heads, the shots nearest to it, and what it hangs on."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from savs.artifact import Shot
from savs.examples import Label
from savs.features import Head
from savs.heads import SAVClassifier
from savs.heads.evidence import HeadOpinions, agreement_entropy, head_opinions, shot_cosines
from savs.heads.labels import encode_labels
from savs.heads.methods import FittedClassifier
from savs.heads.shots import Shots
from savs.model.occlusion import Where
from savs.model.support import SupportSet

__all__ = ["Explanation", "HeadEvidence", "NearShot", "Occlusion", "explain_rows"]

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
    """

    label: Label
    proba: dict[Label, float]
    agreement_entropy: float | None
    heads: list[HeadEvidence]
    unit: str | None
    nearest: list[NearShot]
    occlusion: list[Occlusion]

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
        }

    def votes(self) -> dict[Label, int]:
        """Return how many heads are for each class, most first."""
        return dict(Counter(one.vote for one in self.heads).most_common())


def explain_rows(
    classifier: FittedClassifier,
    rows: NDArray[np.float32],
    wheres: Sequence[Where],
    support: SupportSet,
    kept_rows: NDArray[np.float32] | None,
) -> Explanation:
    """Return the explanation of the first row; the others are its occluded variants.

    Parameters
    ----------
    classifier : SAVClassifier or HeadClassifier
        Fitted, `for_kept_heads`.
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
    shots = None if kept_rows is None else _shots(support, kept_rows, classifier)
    opinions = head_opinions(classifier, rows[:1], shots)
    near = None if kept_rows is None else shot_cosines(rows[:1], kept_rows, classifier.layout_)[:, 0]
    logs = _logs(classifier, rows)
    answer = labels.index(classifier.predict(rows[:1]).tolist()[0])
    return Explanation(
        label=labels[answer],
        proba=dict(zip(labels, classifier.predict_proba(rows[:1])[0].tolist(), strict=True)),
        agreement_entropy=None if opinions is None else _entropy(opinions, len(labels)),
        heads=[] if opinions is None else _heads(classifier, opinions, near, support.shots),
        unit=None if opinions is None else opinions.unit,
        nearest=[] if near is None else _nearest(near.mean(axis=0), support.shots),
        occlusion=_occlusion(logs, answer, labels, wheres),
    )


def _shots(support: SupportSet, rows: NDArray[np.float32], classifier: FittedClassifier) -> Shots:
    classes, codes = encode_labels(np.asarray(support.labels))
    return Shots(rows, codes, len(classes), classifier.layout_)


def _logs(classifier: FittedClassifier, rows: NDArray[np.float32]) -> NDArray[np.float64]:
    if isinstance(classifier, SAVClassifier):
        return classifier.log_shares(rows)
    return classifier.predict_log_proba(rows)


def _entropy(opinions: HeadOpinions, n_classes: int) -> float:
    return float(agreement_entropy(opinions.votes, n_classes)[0])


def _heads(
    classifier: FittedClassifier,
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
            [] if near is None else _nearest(near[place], shots),
        )
        for place, head in enumerate(classifier.layout_.heads)  # the final state, if in use, is none
    ]


def _nearest(cosines: NDArray[np.float64], shots: Sequence[Shot]) -> list[NearShot]:
    best = np.argsort(-cosines, kind="stable")[:_NEAREST]
    return [NearShot(shots[i].id, shots[i].label, float(cosines[i])) for i in best.tolist()]


def _occlusion(
    logs: NDArray[np.float64], answer: int, labels: Sequence[Label], wheres: Sequence[Where]
) -> list[Occlusion]:
    found = [
        Occlusion(where, float(logs[0, answer] - row[answer]), labels[int(row.argmax())])
        for where, row in zip(wheres, logs[1:], strict=True)
    ]
    return sorted(found, key=lambda one: -one.drop)
