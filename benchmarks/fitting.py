"""Fit on a support set: savs, the published procedure, and one bare forward per shot."""

from __future__ import annotations

import numpy as np

from benchmarks.findings import Finding, Goal, faster, slower
from benchmarks.images import support_set
from benchmarks.plain import plain_pass
from benchmarks.reference import fit_reference, read_heads
from benchmarks.setting import Setting
from benchmarks.timing import interleave
from savs.model import SAVModel

__all__ = ["measure_agreement", "measure_fit"]


def measure_fit(setting: Setting) -> list[Finding]:
    """Return fit against the published procedure and against the floor."""
    counts = setting.counts
    shots = support_set(counts.classes, counts.shots)
    backbone = setting.backbone()
    _ = backbone.fingerprint  # reads all weights once per loaded model, whatever the number of shots
    times = interleave(
        {
            "savs": lambda: SAVModel(backbone, n_heads=20).fit(shots),
            "reference": lambda: fit_reference(setting.built, setting.anatomy, shots),
            "bare": lambda: plain_pass(setting.built, shots),
        },
        counts.repeats,
        setting.device,
        setting.advance,
        warm_up=lambda: plain_pass(setting.built, shots[:2]),
    )
    least = 3.0 if setting.device == "cpu" else 6.0
    note = f"{counts.classes} classes x {counts.shots} shots, up to {setting.n_tokens} tokens"
    return [
        faster(
            setting.name,
            "fit: times faster than the published procedure",
            times,
            "savs",
            "reference",
            Goal(">=", least),
            note,
        ),
        slower(
            setting.name,
            "fit: time over one bare forward per shot",
            times,
            "savs",
            "bare",
            Goal("<=", 1.05),
            note,
        ),
    ]


def measure_agreement(setting: Setting) -> list[Finding]:
    """Return the largest difference to the published procedure's vectors, over their largest entry."""
    shots = support_set(2, 2)
    setting.advance("vectors of both")
    ours = setting.backbone().extract(shots).features
    theirs = np.stack(
        [
            read_heads(setting.built, setting.anatomy.sites, shot).flatten().float().cpu().numpy()
            for shot in shots
        ]
    )
    worst = float(np.abs(ours - theirs).max() / np.abs(theirs).max())
    bound = 1e-4 if setting.built.model.dtype.itemsize == 4 else 2.0**-5
    measure = "vectors: largest difference to the published procedure, relative"
    return [
        Finding(
            setting.name,
            measure,
            worst,
            worst,
            worst,
            Goal("<=", bound),
            note=f"{len(shots)} shots, all heads",
        )
    ]
