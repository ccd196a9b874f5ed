"""Queries of a classifier that answers early against the same queries through all layers, side by side."""

from __future__ import annotations

from functools import partial

import numpy as np
from numpy.typing import NDArray

from benchmarks.findings import Finding, Goal, faster
from benchmarks.images import QUESTION, ask, jpeg
from benchmarks.setting import Setting
from benchmarks.timing import interleave
from savs.data import Example, as_examples
from savs.layout import EarlyExit, HeadLayout

__all__ = ["measure_early_exit"]

SHARES = {0.25: 0.457, 0.5: 0.088, 0.75: 0.153}
"""Answered after these shares of the layers: `auto` with ``exit_early=0.005`` on the 25 tasks of the bundled
model at 20 shots (`python -m training.early_answers` has such cases)."""


def measure_early_exit(setting: Setting) -> list[Finding]:
    """Return how many times as many queries are answered in a time, for texts and for images."""
    texts = as_examples(
        [f"{QUESTION} {'It is day. ' * 40}{number}" for number in range(setting.counts.queries)]
    )
    images = [ask(jpeg(30_000 + number), QUESTION) for number in range(setting.counts.queries)]
    return [*_faster(setting, "texts", texts), *_faster(setting, "images", images)]


def _faster(setting: Setting, kind: str, examples: list[Example]) -> list[Finding]:
    findings = []
    for batch_size in sorted({1, setting.counts.largest_batch}):
        backbone = setting.backbone(batch_size, prefix_reuse=False)
        exits = planned_exits(backbone.layout, backbone.extract(examples).features)
        times = interleave(
            {
                "all layers": partial(backbone.extract, examples),
                "early": partial(backbone.extract_early, examples, None, exits),
            },
            setting.counts.repeats,
            setting.device,
            setting.advance,
        )
        measure = f"query, {kind}, batches of {batch_size}: answered early, throughput over all layers"
        shares = ", ".join(f"{100 * share:.0f} % after {depth:g}" for depth, share in SHARES.items())
        note = f"{len(examples)} examples; {shares} of the layers, the rest after all"
        findings.append(faster(setting.name, measure, times, "early", "all layers", Goal(">=", 1.4), note))
    return findings


def planned_exits(layout: HeadLayout, whole: NDArray[np.float32]) -> list[EarlyExit]:
    """Return exits that answer the shares of the examples that `SHARES` says, whatever the batch.

    Parameters
    ----------
    layout : HeadLayout
        All heads.
    whole : ndarray of float32, shape (n_examples, layout.width)
        The rows of the examples, by whose first head they are known again.
    """
    columns = layout.columns(layout.heads[0])
    known = whole[:, columns]
    places = (np.random.default_rng(0).permutation(len(known)) + 0.5) / len(known)
    exits, answered = [], 0.0
    for depth, share in SHARES.items():
        answered += share
        n_layers = max(1, round(depth * layout.n_layers))
        heads = tuple(head for head in layout.heads if head.layer < n_layers)
        if not exits or n_layers > exits[-1].n_layers:
            exits.append(EarlyExit(heads, n_layers, partial(_is_answered, known, places < answered)))
    return exits


def _is_answered(
    known: NDArray[np.float32], answered: NDArray[np.bool_], rows: NDArray[np.float32]
) -> NDArray[np.bool_]:
    gaps = np.abs(rows[:, None, : known.shape[1]] - known[None]).max(axis=2)
    return np.asarray(answered[gaps.argmin(axis=1)])
