"""Whether reading a common beginning once gives the same vectors as reading every prompt in full."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

from savs.doctor.probes import Probe, prefix_probes
from savs.doctor.reading import read
from savs.doctor.report import Check
from savs.doctor.subject import Rows, Subject, variant
from savs.errors import SAVsError

__all__ = ["check_reuse", "reuse_probes", "without_remarks"]

_NAME = "prefix reuse"


def reuse_probes(subject: Subject) -> list[Probe]:
    """Return the prompts with a common beginning that the backbone can read."""
    candidates = prefix_probes(subject.backbone.modalities)
    backbone = variant(subject.backbone, 1)
    found = backbone.extract([probe.example for probe in candidates], max_errors=-1)
    return [candidates[index] for index in found.indices.tolist()]


def check_reuse(subject: Subject, asked: list[Probe], batch_size: int) -> Check:
    """Read prompts with a common beginning with prefix reuse, and each alone.

    "differs" if the backbone's own check has refused to share, which is safe: every prompt was read in full.
    """
    examples = [probe.example for probe in asked]
    if not examples:
        return Check(_NAME, "skipped", note="does not apply: no prompts with a common beginning can be read")
    backbone = variant(subject.backbone, batch_size, prefix_reuse=True)

    def rows() -> Rows:
        with without_remarks():
            return backbone.extract(examples).features

    try:
        reference = read(subject.model, subject.processor, subject.sites, examples)
    except SAVsError as error:
        return Check(_NAME, "unsafe", note=f"fails: {error}")
    found = subject.judge(_NAME, rows, reference)
    if found.verdict != "ok":
        return found
    report = backbone.report
    if report.prefix_failure:
        return Check(_NAME, "differs", note=f"{report.prefix_failure}; savs reads every prompt in full")
    if not report.n_reused:
        return Check(_NAME, "skipped", note="does not apply: no beginning was shared")
    note = f"{report.n_reused} of {report.n_examples} prompts on {report.n_prefixes} beginnings"
    return replace(found, note=note)


@contextmanager
def without_remarks() -> Iterator[None]:
    """Keep the backbones' log lines off the terminal: the doctor says the same in its table."""
    logger = logging.getLogger("savs.backbones")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
