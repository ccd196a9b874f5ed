"""A query with 20 kept heads, at different depths, against a bare forward."""

from __future__ import annotations

from functools import partial
from statistics import median

import numpy as np

from benchmarks.findings import Finding, Goal, slower
from benchmarks.images import QUESTION, ask, jpeg
from benchmarks.plain import plain_pass, stopped_before_decoder
from benchmarks.setting import Setting
from benchmarks.timing import Times, interleave
from savs.layout import Head

__all__ = ["measure_query"]

N_KEPT = 20
DEPTHS = {"all layers": 1.0, "the first half": 0.5, "the first quarter": 0.25}


def measure_query(setting: Setting) -> list[Finding]:
    """Return the time of a query over that of a bare forward, and over what its depth predicts."""
    examples = [ask(jpeg(20_000 + number), QUESTION) for number in range(setting.counts.queries)]
    backbone = setting.backbone()
    n_layers = setting.anatomy.n_layers
    depths = {name: max(1, round(share * n_layers)) for name, share in DEPTHS.items()}
    contestants = {
        name: partial(backbone.extract, examples, kept_heads(setting, depth))
        for name, depth in depths.items()
    }
    times = interleave(
        {
            **contestants,
            "bare": lambda: plain_pass(setting.built, examples),
            "before the decoder": lambda: stopped_before_decoder(
                setting.built, setting.anatomy.decoder, examples
            ),
        },
        setting.counts.repeats,
        setting.device,
        setting.advance,
        warm_up=lambda: plain_pass(setting.built, examples[:2]),
    )
    findings = []
    for name, depth in depths.items():
        note = f"{len(examples)} images, deepest kept head in layer {depth} of {n_layers}"
        measure = f"query, 20 heads in {name}: time over a bare forward"
        findings.append(slower(setting.name, measure, times, name, "bare", Goal("<=", 1.0), note))
        if depth < n_layers:
            findings.append(_in_proportion(setting, times, name, depth / n_layers, note))
    return findings


def kept_heads(setting: Setting, depth: int) -> list[Head]:
    """Return 20 heads of the first `depth` layers, one of them in the last of these."""
    within = [head for head in setting.backbone().layout.heads if head.layer < depth]
    deepest = [head for head in within if head.layer == depth - 1]
    chosen = np.random.default_rng(0).choice(len(within), min(N_KEPT, len(within)), replace=False)
    heads = [within[index] for index in chosen]
    return heads if set(deepest) & set(heads) else [*heads[:-1], deepest[0]]


def _in_proportion(setting: Setting, times: Times, name: str, share: float, note: str) -> Finding:
    """Compare with the bare forward's time before the decoder plus a share of its time in the decoder."""
    used = times.used
    ratios = [
        seconds / (before + share * (bare - before))
        for seconds, before, bare in zip(used[name], used["before the decoder"], used["bare"], strict=True)
    ]
    measure = f"query, 20 heads in {name}: time over what the depth predicts"
    seconds = {key: times.medians()[key] for key in (name, "before the decoder", "bare")}
    return Finding(
        setting.name, measure, median(ratios), min(ratios), max(ratios), Goal("<=", 1.05), seconds, note
    )
