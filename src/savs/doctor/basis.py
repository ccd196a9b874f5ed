"""What must hold for one example alone: the same twice, as read independently, sensitive to its content."""

from __future__ import annotations

from dataclasses import replace

from savs.doctor.comparing import CHANGE, compare
from savs.doctor.probes import contrasts
from savs.doctor.reading import read
from savs.doctor.report import Check, Verdict
from savs.doctor.subject import Subject
from savs.errors import ItemError, SAVsError
from savs.examples import Example

__all__ = ["check_contrasts", "check_reference", "check_repetition"]

_REQUIRED = ("text changed", "image swapped", "sound swapped", "video swapped")


def check_repetition(subject: Subject) -> Check:
    """Read the probes a second time, alone."""
    found = subject.judge(
        "same twice", lambda: read(subject.model, subject.processor, subject.sites, subject.examples)
    )
    return replace(found, note="bit for bit") if found.max_difference == 0 else found


def check_reference(subject: Subject) -> Check:
    """Compare what savs reads for each probe alone with an independent reading."""
    return subject.judge("reference", lambda: subject.extract(subject.examples))


def check_contrasts(subject: Subject) -> list[Check]:
    """Change the text, a picture, sound or film, or leave it out: the vectors must change, too."""
    found = contrasts(subject.backbone.modalities, bool(subject.positions("text")))
    twice = [subject.extract(subject.examples[:1]) for _ in range(2)]
    noise = compare(subject.layout, twice[0], twice[1]).max_difference
    return [_contrast(subject, name, pair, max(CHANGE, 10 * noise)) for name, pair in found.items()]


def _contrast(subject: Subject, name: str, pair: tuple[Example, Example], limit: float) -> Check:
    try:
        rows = subject.extract(pair)
    except ItemError as error:
        verdict: Verdict = "unsafe" if name in _REQUIRED else "skipped"
        return Check(name, verdict, note=error.message, must_change=True)
    except SAVsError as error:
        return Check(name, "unsafe", tolerance=limit, note=f"fails: {error}", must_change=True)
    found = compare(subject.layout, rows[:1], rows[1:])
    changed = found.max_difference > limit
    return Check(
        name,
        "ok" if changed else "unsafe",
        found.max_difference,
        found.min_cosine,
        tolerance=limit,
        note="" if changed else "the vectors stay the same: it does not reach the heads",
        must_change=True,
    )
