"""The fastest of the safe modes, by the clock, on the probes."""

from __future__ import annotations

import math
import time
from collections.abc import Iterable, Sequence
from functools import partial

from savs.backbones.loading.modes import Mode, checked_versions
from savs.doctor.kernels import kernel_in_use, under_kernel
from savs.doctor.probes import Probe
from savs.doctor.report import Timing
from savs.doctor.reuse import without_remarks
from savs.doctor.subject import Subject, variant
from savs.examples import Example

__all__ = ["best_mode", "time_modes"]

_ROUNDS = 3
_LONG = 6.0  # seconds after which no further round begins
_CLEARLY_FASTER = 1.1  # a clock on a busy machine wavers by more than a few percent


def time_modes(subject: Subject, sizes: Sequence[int], kernels: Iterable[str | None]) -> list[Timing]:
    """Time every batch size under every kernel, the smallest first."""
    wanted = [(size, kernel) for kernel in kernels for size in sorted(sizes)]
    return _timed(subject, subject.examples, [(size, None, kernel) for size, kernel in wanted])


def best_mode(
    subject: Subject, timings: Sequence[Timing], asked: Sequence[Probe], reuse: str
) -> tuple[Mode, list[Timing]]:
    """Return the fastest mode, and the timings with and without prefix reuse that decided on that.

    Parameters
    ----------
    subject : Subject
    timings : sequence of Timing
        Of safe modes, at least one. A later one must be clearly faster to be preferred.
    asked : sequence of Probe
        Prompts with a common beginning.
    reuse : {"ok", "unsafe", "differs", "skipped"}
        Verdict on prefix reuse. Where it could not be tried it stays on, as the backbone checks it by itself.
    """
    best = timings[0]
    for timing in timings[1:]:
        if timing.examples_per_second > best.examples_per_second * _CLEARLY_FASTER:
            best = timing
    compared: list[Timing] = []
    on = reuse == "skipped"
    if reuse == "ok":
        examples = _one_family(asked)
        size, kernel = best.batch_size, best.attn_implementation
        compared = _timed(subject, examples, [(size, True, kernel), (size, False, kernel)])
        on = compared[0].examples_per_second * _CLEARLY_FASTER > compared[1].examples_per_second
    return Mode(best.batch_size, on, best.attn_implementation, checked_versions()), compared


def _one_family(asked: Sequence[Probe]) -> list[Example]:
    """Return the largest set of questions on one picture, or on one opening where there are no pictures."""
    families: dict[int, list[Example]] = {}
    for probe in asked:
        pictures = probe.example.images
        families.setdefault(id(pictures[0].source) if pictures else 0, []).append(probe.example)
    return max(families.values(), key=len)


def _timed(
    subject: Subject, examples: Sequence[Example], modes: Sequence[tuple[int, bool | None, str | None]]
) -> list[Timing]:
    """Time (batch size, prefix reuse, kernel) in turns: what else the machine does hits them alike."""
    works = [partial(_run, subject, examples, *mode) for mode in modes]
    best = [math.inf] * len(works)
    started = time.perf_counter()
    for _ in range(_ROUNDS):
        best = [min(shortest, work()) for shortest, work in zip(best, works, strict=True)]
        if time.perf_counter() - started > _LONG:
            break
    in_use = kernel_in_use(subject.model)
    return [
        Timing(size, reuse, kernel or in_use, round(len(examples) / max(seconds, 1e-9), 2))
        for (size, reuse, kernel), seconds in zip(modes, best, strict=True)
    ]


def _run(
    subject: Subject, examples: Sequence[Example], batch_size: int, reuse: bool | None, kernel: str | None
) -> float:
    """Return the seconds that the examples take."""
    backbone = variant(subject.backbone, batch_size, bool(reuse))
    with under_kernel(subject.model, kernel), without_remarks():
        started = time.perf_counter()
        backbone.extract(examples)
        return time.perf_counter() - started
