"""Throughput by batch size, and whether a batch gives the vectors of its examples alone."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any, Literal

import numpy as np
import torch

from benchmarks.findings import Finding, Goal
from benchmarks.images import QUESTION, QUESTIONS, ask, encoded, jpeg
from benchmarks.plain import bare_forward, plain_inputs
from benchmarks.setting import Setting
from benchmarks.timing import Ratio, Times, interleave
from savs.data import Example

__all__ = ["measure_batches", "measure_equality"]


def measure_batches(setting: Setting) -> list[Finding]:
    """Return examples per second of savs by batch size, and the best over the best bare prefill.

    savs gets images of different sizes in turn; the bare prefill gets them sorted, with the least padding.
    """
    n_examples = max(setting.counts.queries, 2 * setting.counts.largest_batch)
    examples = [ask(jpeg(40_000 + i), QUESTION) for i in range(n_examples)]
    sizes = _powers(setting.counts.largest_batch)
    ready = _that_fit(
        setting, {size: _prefill(setting, sorted(examples, key=_bytes), size) for size in sizes}
    )
    wanted: list[int | Literal["auto"]] = [*sizes, "auto"]
    contestants: dict[str, Callable[[], object]] = {
        f"savs {size}": partial(setting.backbone(size, prefix_reuse=False).extract, examples)
        for size in wanted
    }
    contestants |= {f"bare {size}": partial(_run, setting, batches) for size, batches in ready.items()}
    times = interleave(
        contestants, setting.counts.repeats, setting.device, setting.advance, contestants[f"bare {sizes[0]}"]
    )
    found = [_throughput(setting, times, name, n_examples) for name in contestants]
    return [*found, _best(setting, times)]


def _bytes(example: Example) -> int:
    return len(encoded(example)[0])


def _powers(largest: int) -> list[int]:
    return [2**power for power in range(largest.bit_length())]


def _prefill(setting: Setting, examples: list[Example], size: int) -> list[dict[str, Any]]:
    """Return processor answers on the device: the bare prefill is of the model alone."""
    return [plain_inputs(setting.built, examples[at : at + size]) for at in range(0, len(examples), size)]


def _that_fit(setting: Setting, ready: dict[int, list[dict[str, Any]]]) -> dict[int, list[dict[str, Any]]]:
    """Return the batch sizes whose largest batch fits into memory."""
    fit = {}
    for size, batches in ready.items():
        try:
            bare_forward(setting.built.model, max(batches, key=lambda inputs: inputs["input_ids"].numel()))
        except torch.OutOfMemoryError:
            torch.cuda.empty_cache()
            break
        fit[size] = batches
    return fit


def _run(setting: Setting, batches: list[dict[str, Any]]) -> None:
    for inputs in batches:
        bare_forward(setting.built.model, inputs)


def _throughput(setting: Setting, times: Times, name: str, n_examples: int) -> Finding:
    rates = sorted(n_examples / seconds for seconds in times.used[name])
    who, size = name.split()
    label = "extract" if who == "savs" else "bare prefill, inputs ready"
    note = f"{n_examples} images, up to {setting.n_tokens} tokens"
    measure = f"{label}, batch size {size}: examples per second"
    return Finding(
        setting.name,
        measure,
        float(np.median(rates)),
        rates[0],
        rates[-1],
        None,
        {name: times.medians()[name]},
        note,
    )


def _best(setting: Setting, times: Times) -> Finding:
    medians = times.medians()
    ours, theirs = (
        min((name for name in medians if name.startswith(who)), key=lambda name: medians[name])
        for who in ("savs", "bare")
    )
    ratio: Ratio = times.ratio(theirs, ours)
    goal = Goal(">=", 0.95) if setting.device == "cuda" else None
    measure = "extract at its best batch size: throughput over the best bare prefill"
    seconds = {name: medians[name] for name in (ours, theirs)}
    return Finding(
        setting.name, measure, ratio.median, ratio.low, ratio.high, goal, seconds, f"{ours} and {theirs}"
    )


def measure_equality(setting: Setting) -> list[Finding]:
    """Return the largest difference between vectors in a batch and alone, over the largest entry."""
    setting.advance("batched and single")
    examples = [
        ask(jpeg(50_000 + i), QUESTIONS[i % len(QUESTIONS)]) for i in range(setting.counts.largest_batch)
    ]
    batched = setting.backbone(len(examples), prefix_reuse=False).extract(examples).features
    alone = setting.backbone(1, prefix_reuse=False).extract(examples).features
    worst = float(np.abs(batched - alone).max() / np.abs(alone).max())
    bound = 1e-4 if setting.built.model.dtype.itemsize == 4 else 2.0**-5
    measure = f"batches of {len(examples)}: largest difference to one by one, relative"
    return [
        Finding(
            setting.name, measure, worst, worst, worst, Goal("<=", bound), note="different lengths and sizes"
        )
    ]
