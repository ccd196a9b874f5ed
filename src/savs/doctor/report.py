"""What an examination found: one `Check` per question, and the `Report` of them all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

from savs.backbones import JSONValue
from savs.backbones._modes import Mode

__all__ = ["Check", "Report", "Timing", "Verdict"]

Verdict = Literal["ok", "unsafe", "differs", "skipped"]


@dataclass(frozen=True)
class Check:
    """The answer to one question about a backbone.

    Attributes
    ----------
    name : str
        What was asked.
    verdict : {"ok", "unsafe", "differs", "skipped"}
        "unsafe": vectors are wrong in a way in which savs would read them. "differs": they differ under a
        kernel, dtype or padding that savs does not use here. "skipped": not asked; the note says why.
    max_difference : float or None
        Largest absolute difference of a vector's entry from the reference, as a share of the largest entry
        that its head has in the reference; the largest such share over heads and examples.
    min_cosine : float or None
        Smallest cosine between a head's vector and the reference, over heads and examples.
    label_flips : int or None
        How many probes a classifier fitted on the reference vectors answers differently.
    tolerance : float or None
        The largest `max_difference` that counts as rounding; where vectors must change, the smallest that
        counts as a change.
    note : str
        What else there is to say.
    must_change : bool
        Not compared with the reference: two prompts whose vectors must differ, by more than the tolerance.
    """

    name: str
    verdict: Verdict
    max_difference: float | None = None
    min_cosine: float | None = None
    label_flips: int | None = None
    tolerance: float | None = None
    note: str = ""
    must_change: bool = False


@dataclass(frozen=True)
class Timing:
    """How fast examples went through in one mode.

    Attributes
    ----------
    batch_size : int
    attn_implementation : str or None
    prefix_reuse : bool or None
        With or without, on questions that begin alike; None: on the probes, where it does not apply.
    examples_per_second : float
    """

    batch_size: int
    prefix_reuse: bool | None
    attn_implementation: str | None
    examples_per_second: float


@dataclass(frozen=True)
class Report:
    """The whole examination.

    Attributes
    ----------
    backbone : mapping
        Facts: model class, layers, heads, modalities, processor, kernels, dtypes.
    checks : tuple of Check
    timings : tuple of Timing
        Of the safe modes, in the order in which they were tried.
    mode : Mode or None
        The fastest safe mode, or None if even one example alone is not read correctly.
    stored : str or None
        The file in which it is kept.
    removed : str or None
        The file of an older mode that is no longer safe.
    """

    backbone: Mapping[str, JSONValue]
    checks: tuple[Check, ...]
    timings: tuple[Timing, ...] = ()
    mode: Mode | None = None
    stored: str | None = None
    removed: str | None = None

    @property
    def safe(self) -> bool:
        """Whether no check found anything unsafe."""
        return not self.unsafe

    @property
    def unsafe(self) -> list[str]:
        """Names of the checks that found something unsafe."""
        return [check.name for check in self.checks if check.verdict == "unsafe"]

    def check(self, name: str) -> Check:
        """Return one check; `KeyError` if there is none of that name."""
        for check in self.checks:
            if check.name == name:
                return check
        raise KeyError(name)

    def to_json(self) -> dict[str, Any]:
        """Return everything as JSON-able values."""
        return {
            "backbone": dict(self.backbone),
            "checks": [asdict(check) for check in self.checks],
            "timings": [asdict(timing) for timing in self.timings],
            "mode": None if self.mode is None else asdict(self.mode),
            "stored": self.stored,
            "removed": self.removed,
            "safe": self.safe,
        }
