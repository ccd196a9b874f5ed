"""The report of a saved classifier, made without its backbone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from savs.artifact import Artifact, load_artifact
from savs.classifiers import Estimate
from savs.errors import DataError
from savs.model import SAVModel
from savs.reports.content import (
    Block,
    Card,
    Cards,
    Cell,
    Facts,
    Headline,
    Note,
    Picture,
    Report,
    Section,
    Table,
    interval,
    name_of,
    percent,
)

__all__ = ["classifier_report"]

MOST_MISTAKES = 12
_MOST_CLASSES = 60
_FROM_SHOTS = (
    "Estimated on the shots themselves: each was answered by a classifier that was fitted without it. No "
    "other example was seen, so that this holds for new examples that look like the shots, and for no others."
)


def classifier_report(folder: str | Path) -> Report:
    """Return the report of a saved classifier; its backbone is not loaded.

    Parameters
    ----------
    folder : str or Path
        Written by `SAVModel.save_pretrained` or ``savs fit``.

    Raises
    ------
    ArtifactError
        If it is no classifier, or a damaged one.
    """
    artifact = load_artifact(folder)
    model = SAVModel.from_pretrained(folder)
    sections = [
        Section("Classes", list(_classes(artifact, model))),
        Section("Heads", list(_heads(artifact, model))),
        Section(
            "Held-out shots", list(_held_out(model)), "Answers to shots by classifiers fitted without them."
        ),
        Section(
            "Most confident mistakes", list(_mistakes(model)), "Held-out shots; their images are not kept."
        ),
        Section("Suspect labels", list(_suspects(model))),
        Section("What is not here", list(_missing(artifact))),
        Section("Configuration", [Facts(list(_configuration(artifact)))]),
    ]
    source = artifact.fingerprint.get("source") or "a model object"
    return Report(
        title=Path(folder).resolve().name,
        subtitle="Saved classifier",
        headline=_headline(artifact),
        warning=_warning(artifact),
        facts=[
            ("backbone", str(source)),
            ("method", artifact.method.name),
            ("classes", str(len(artifact.classes))),
            ("shots", str(len(artifact.shots))),
        ],
        sections=[one for one in sections if one.blocks],
    )


def _headline(artifact: Artifact) -> Headline | None:
    estimate = _estimate(artifact)
    if estimate is None or not estimate.covers_all_classes:
        return None
    low, high = estimate.interval
    about = f"Cross-validated on {estimate.n} shots; macro F1 {percent(estimate.macro_f1)}."
    return Headline("Estimated accuracy", estimate.accuracy, low, high, about)


def _estimate(artifact: Artifact) -> Estimate | None:
    return None if artifact.estimate is None else Estimate(**artifact.estimate)


def _warning(artifact: Artifact) -> str:
    estimate = _estimate(artifact)
    if estimate is None:
        return "There is no estimate of accuracy: no class has two shots."
    note = f" {estimate.note[:1].upper()}{estimate.note[1:]}." if estimate.note else ""
    if not estimate.covers_all_classes:
        return (
            f"There is no estimate over all classes: {estimate.n_untested_classes} of them have one shot. Of "
            f"the others, {percent(estimate.accuracy)} of {estimate.n} held-out shots were right.{note}"
        )
    return f"{_FROM_SHOTS}{note}"


def _classes(artifact: Artifact, model: SAVModel) -> Iterator[Block]:
    held_out = model.held_out_shots_
    tested: Counter[object] = Counter()
    right: Counter[object] = Counter()
    for shot, correct in zip(held_out.shots, held_out.correct.tolist(), strict=True):
        tested[shot.label] += 1
        right[shot.label] += correct
    rows = []
    for label, n in list(artifact.shots_per_class.items())[:_MOST_CLASSES]:
        share = right[label] / tested[label] if tested[label] else None
        text = f"{right[label]} of {tested[label]}" if tested[label] else "not tested"
        rows.append([Cell(name_of(label)), Cell(str(n)), Cell(text, share=share)])
    more = len(artifact.classes) - len(rows)
    caption = "Shots of each class, and how many of them were answered right while left out"
    yield Table(caption + (f"; {more} more classes" if more else ""), ["class", "shots", "right"], rows)


def _heads(artifact: Artifact, model: SAVModel) -> Iterator[Block]:
    layout, kept = model.layout, [head for head in artifact.heads if head[1] >= 0]
    layers = ", ".join(map(str, sorted({layer for layer, _ in kept})))
    text = f"{len(kept)} of {layout.n_heads} heads are in use" + (f", in layers {layers}" if kept else "")
    scored = "Color: score. " if artifact.head_scores is not None else "The method ranks no heads. "
    wide = max(head.index for head in layout.heads) > 40
    yield Picture(model.plot_heads(), f"Map of heads: {text}", f"{scored}Outlined: {text}.", wide=wide)


def _held_out(model: SAVModel) -> Iterator[Block]:
    held_out = model.held_out_shots_
    if not held_out.shots:
        yield Note("No shot was held out: no class has two.")
        return
    wrong = Counter(
        (name_of(shot.label), name_of(answer))
        for shot, answer in zip(held_out.shots, held_out.answers, strict=True)
        if shot.label != answer
    ).most_common(3)
    most = "; ".join(f"{label} taken for {answer}: {n}" for (label, answer), n in wrong) or "no mistakes"
    yield Picture(
        model.plot_confusion(), f"Confusion matrix. Most often: {most}", f"Confusions. Most often: {most}."
    )
    text = (
        f"Answers have a mean probability of {percent(float(held_out.probabilities.mean()))}, and "
        f"{percent(float(held_out.correct.mean()))} of them are right."
    )
    yield Picture(model.plot_reliability(), f"Reliability diagram. {text}", f"Calibration. {text}")


def _mistakes(model: SAVModel) -> Iterator[Block]:
    held_out = model.held_out_shots_
    rows = np.flatnonzero(~held_out.correct)
    rows = rows[np.argsort(-held_out.probabilities[rows], kind="stable")][:MOST_MISTAKES]
    cards = [
        Card(
            id=held_out.shots[row].id,
            label=name_of(held_out.shots[row].label),
            answer=name_of(held_out.answers[row]),
            sure=f"with {percent(float(held_out.probabilities[row]))}",
        )
        for row in rows.tolist()
    ]
    if cards:
        yield Cards(cards)
    elif held_out.shots:
        yield Note("Every held-out shot was answered right.")


def _suspects(model: SAVModel) -> Iterator[Block]:
    try:
        issues = model.find_label_issues()
    except DataError:
        yield Note(
            "The rows of the shots were not kept, so that labels cannot be checked; keep them with",
            "savs fit ... --keep-shots",
        )
        return
    if not issues:
        yield Note("No shot has most of the heads against its label.")
        return
    rows = [
        [
            Cell(one.id),
            Cell(name_of(one.label), f"{percent(one.support)} of heads"),
            Cell(name_of(one.suggested), f"{percent(one.doubt)} of heads", one.doubt),
        ]
        for one in issues
    ]
    caption = f"{len(rows)} shots that most heads, fitted without the shot, answer with another label"
    yield Table(caption, ["shot", "label", "suggested"], rows)


def _missing(artifact: Artifact) -> Iterator[Block]:
    backbone = artifact.fingerprint.get("source") or "BACKBONE"
    yield Note("Accuracy on examples that are no shots:", "savs evaluate CLASSIFIER TEST-DATA")
    yield Note("Accuracy against shots and heads:", f"savs experiment shots DATA -b {backbone} -o FOLDER")
    yield Note(
        "Whether a shortcut explains the accuracy:", f"savs experiment shortcuts DATA -b {backbone} -o FOLDER"
    )
    yield Note(
        "Mistakes with images, other methods and baselines:", f"savs benchmark DATA -b {backbone} -o RUN"
    )


def _configuration(artifact: Artifact) -> Iterator[tuple[str, str]]:
    yield "method", artifact.method.name
    for name, value in artifact.method.to_json().items():
        if name != "name" and value not in (None, {}, []):
            yield name.replace("_", " "), str(value)
    chosen = (artifact.report or {}).get("chosen")
    if chosen:
        yield "chosen", f"{', '.join(chosen)} ({(artifact.report or {}).get('why', '')})"
    for number, prompt in enumerate(artifact.prompts or [artifact.prompt], start=1):
        yield f"prompt {number}" if artifact.prompts else "prompt", prompt or "(the text of the example)"
    if artifact.estimate is not None:
        estimate = Estimate(**artifact.estimate)
        yield "interval of the estimate", f"{interval(*estimate.interval)} %"
        for name, figure in (("log loss", estimate.log_loss), ("calibration error", estimate.ece)):
            if figure is not None:
                yield name, f"{figure:.3f}"
    for name, entry in artifact.fingerprint.items():
        if isinstance(entry, (str, int, float)) and str(entry):
            yield f"backbone {name.replace('_', ' ')}", str(entry)
