"""What a query costs: heads, the model's own answer, and an answer behind four solved examples.

``python -m benchmarks.baselines --write docs/performance.md`` measures the bundled backbone and a random
model of 250 million parameters, one query at a time. Ratios are taken side by side (`benchmarks.timing`).
"""

from __future__ import annotations

import argparse
import gc
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import torch

from benchmarks.images import QUESTION, ask, jpeg
from benchmarks.memory import LiveBytes
from benchmarks.shapes import build
from benchmarks.table import write_between
from benchmarks.timing import Times, interleave
from savs.backbones import TransformersBackbone, load_backbone
from savs.baselines import in_context, zero_shot
from savs.data import Example
from savs.model import SAVModel

CLASSES = ("cat", "dog", "ship", "truck")
SHOTS = 4
HEADS, WORDS, SOLVED = "SAVs", "zero-shot generation", "4 shots in context"
SECTION = "baselines"


class Cost(NamedTuple):
    """What one model's queries cost.

    Attributes
    ----------
    model : str
    times : Times
        Of all queries, in each repeat.
    n_queries : int
    peak : dict of str to int
        Bytes of all tensors of one query at once, weights left out.
    """

    model: str
    times: Times
    n_queries: int
    peak: dict[str, int]


def measure(name: str, backbone: TransformersBackbone, n_queries: int, repeats: int, n_tokens: int) -> Cost:
    """Return the cost of queries, one by one, by each way to answer them.

    Parameters
    ----------
    name : str
        Of the model.
    backbone : TransformersBackbone
    n_queries, repeats : int
    n_tokens : int
        Longest generated answer.
    """
    shots = [
        ask(jpeg(4 * number + place), QUESTION, label, f"{label}-{number}")
        for place, label in enumerate(CLASSES)
        for number in range(SHOTS)
    ]
    queries = [ask(jpeg(10_000 + number), QUESTION) for number in range(n_queries)]
    model = SAVModel(backbone, method="sav").fit(shots)
    ways: dict[str, Callable[[Example], object]] = {
        HEADS: lambda query: model.predict([query]),
        WORDS: lambda query: zero_shot(backbone, [query], CLASSES, max_new_tokens=n_tokens),
        SOLVED: lambda query: in_context(backbone, shots, [query], CLASSES, max_new_tokens=n_tokens),
    }

    def one_by_one(way: Callable[[Example], object]) -> None:
        for query in queries:
            way(query)

    runs = {way: partial(one_by_one, answer) for way, answer in ways.items()}
    times = interleave(runs, repeats, "cpu")
    return Cost(
        name, times, n_queries, {way: _peak(backbone, answer, queries[0]) for way, answer in ways.items()}
    )


def _peak(backbone: TransformersBackbone, answer: Callable[[Example], object], query: Example) -> int:
    gc.collect()
    with LiveBytes([*backbone.model.parameters(), *backbone.model.buffers()]) as live:
        answer(query)
        return live.peak


def table(costs: Sequence[Cost], n_tokens: int) -> str:
    """Return the table."""
    lines = [
        "| model | way | times SAVs | CPU seconds per query | MiB at the peak, without weights |",
        "|---|---|---|---|---|",
    ]
    for cost in costs:
        seconds = cost.times.medians()
        for way in seconds:
            ratio = cost.times.ratio(way, HEADS)
            spread = "1" if way == HEADS else f"{ratio.median:.1f} ({ratio.low:.1f} to {ratio.high:.1f})"
            lines.append(
                f"| {cost.model} | {way} | {spread} | {seconds[way] / cost.n_queries:.3f} | "
                f"{cost.peak[way] / 2**20:.0f} |"
            )
    note = (
        f"One query at a time, one image each, one thread, answers of at most {n_tokens} tokens; SAVs keep "
        "20 heads. Ratios: median, smallest and largest of the repeats, of processor time. A model with "
        f"random weights never ends its answer before {n_tokens} tokens; one that does is that much cheaper."
    )
    return "\n".join([*lines, "", note])


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, print, and write the table where asked."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.baselines", description=__doc__)
    parser.add_argument("--size", default="250m", choices=("small", "250m"))
    parser.add_argument("--queries", type=int, default=4)
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--tokens", type=int, default=16, help="longest answer")
    parser.add_argument("--write", type=Path, help="page with the markers of the table")
    options = parser.parse_args(argv)
    torch.set_num_threads(1)
    costs = [_of_tiny(options), _of_random(options)]
    text = table(costs, options.tokens)
    if options.write is not None:
        write_between(options.write, SECTION, text)
    print(text)  # noqa: T201


def _of_tiny(options: Any) -> Cost:
    backbone = load_backbone("tiny")
    assert isinstance(backbone, TransformersBackbone)
    return measure("bundled, 4.9 M", backbone, options.queries, options.repeats, options.tokens)


def _of_random(options: Any) -> Cost:
    built = build("llava_onevision", options.size, "cpu", "float32")
    backbone = TransformersBackbone(built.model, built.processor)
    return measure(built.name, backbone, options.queries, options.repeats, options.tokens)


if __name__ == "__main__":
    main()
