"""The fastest of the safe modes, by the clock, on the probes."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence

from savs.backbones.modes import Mode, checked_versions
from savs.doctor.kernels import kernel_in_use, under_kernel
from savs.doctor.probes import Probe
from savs.doctor.report import Timing
from savs.doctor.reuse import without_remarks
from savs.doctor.subject import Subject, variant
from savs.examples import Example

__all__ = ["best_mode", "time_modes"]

_ROUNDS = 3
_CLEARLY_FASTER = 1.05  # a clock on a busy machine wavers by a few percent


def time_modes(subject: Subject, sizes: Sequence[int], kernels: Iterable[str | None]) -> list[Timing]:
    """Time every batch size under every kernel, the smallest first."""
    return [
        _timed(subject, subject.examples, size, None, kernel) for kernel in kernels for size in sorted(sizes)
    ]


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
        compared = [
            _timed(subject, examples, best.batch_size, flag, best.attn_implementation)
            for flag in (True, False)
        ]
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
    subject: Subject, examples: Sequence[Example], batch_size: int, reuse: bool | None, kernel: str | None
) -> Timing:
    backbone = variant(subject.backbone, batch_size, bool(reuse))
    with under_kernel(subject.model, kernel), without_remarks():
        seconds = _shortest(lambda: backbone.extract(examples))
    in_use = kernel if kernel is not None else kernel_in_use(subject.model)
    return Timing(batch_size, reuse, in_use, round(len(examples) / seconds, 2))


def _shortest(work: Callable[[], object]) -> float:
    """Return the shortest of some runs in seconds, fewer if they are long."""
    seconds: list[float] = []
    while len(seconds) < _ROUNDS and sum(seconds) < 2:
        started = time.perf_counter()
        work()
        seconds.append(time.perf_counter() - started)
    return max(min(seconds), 1e-9)
