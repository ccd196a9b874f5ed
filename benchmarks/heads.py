"""Head numerics against plain loops: `python -m benchmarks.heads [--json PATH]`.

Scores and selects heads on random features in the size of a 7-billion-parameter model, against the published
procedure written as loops over heads, examples and classes (on some of the heads: the loop's time grows with
their number), in one process on the same data. Times are of the process, so that other programs count little.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
import tracemalloc
from collections.abc import Callable, Sequence
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
from numpy.typing import NDArray

from savs.classifiers import SAVClassifier, make_rule
from savs.classifiers._probabilities import softmax
from savs.classifiers._support_set import Shots
from savs.classifiers.head_scoring import true_class_values
from savs.layout import HeadLayout

__all__ = ["main", "measure"]

_TAU = 0.1


def plain_hits(vectors: NDArray[np.float32], centroids: NDArray[np.float64], codes: NDArray[np.intp]) -> int:
    """Return one head's hits, example by example and class by class."""
    hits = 0
    for vector, code in zip(vectors, codes, strict=True):
        similarities = [
            float(vector @ centroid) / float(np.linalg.norm(vector) * np.linalg.norm(centroid))
            for centroid in centroids
        ]
        hits += int(np.argmax(similarities)) == code
    return hits


def plain_fit(
    rows: NDArray[np.float32], codes: NDArray[np.intp], layout: HeadLayout, n_heads: int
) -> list[int]:
    """Return the hits of the first heads by the published procedure, as loops."""
    found = []
    for head in layout.heads[:n_heads]:
        vectors = rows[:, layout.columns(head)]
        centroids = np.stack([vectors[codes == code].mean(axis=0) for code in np.unique(codes)])
        found.append(plain_hits(vectors, centroids.astype(np.float64), codes))
    return found


def score_heads(
    rows: NDArray[np.float32], codes: NDArray[np.intp], layout: HeadLayout, out_of_fold: bool
) -> Any:
    """Return the mean true-class probability of each head, from all shots or without the scored one."""
    shots, rule = Shots(rows, codes, int(codes.max()) + 1, layout), make_rule("cosine")
    scores = np.empty(layout.n_heads)
    for positions, vectors in shots.blocks():
        if out_of_fold:
            cosines = rule.held_out_scores(vectors, shots)
        else:
            cosines = rule.scores(vectors, rule.fit(vectors, shots), codes)
        scores[positions] = true_class_values(softmax(cosines / _TAU), codes, "probability").mean(axis=1)
    return scores


def seconds(call: Callable[[], Any], repeats: int = 1) -> float:
    """Return the median process time of a call."""
    taken = []
    for _ in range(repeats):
        start = time.process_time()
        call()
        taken.append(time.process_time() - start)
    return median(taken)


def peak_bytes(call: Callable[[], Any]) -> int:
    """Return the most that a call held at once, beyond what was there."""
    tracemalloc.start()
    call()
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    return peak


def measure(sizes: argparse.Namespace) -> dict[str, Any]:
    """Return every figure, by name."""
    layout = HeadLayout.uniform(1, sizes.heads, sizes.dim)
    rng = np.random.default_rng(0)
    codes = np.repeat(np.arange(sizes.classes), sizes.shots)
    rows = rng.standard_normal((len(codes), layout.width), dtype=np.float32)
    rows[:, : layout.width // 4] += codes[:, None] / sizes.classes
    classifier = SAVClassifier(20, layout)
    ours = seconds(lambda: classifier.fit(rows, codes), sizes.repeats)
    plain = seconds(lambda: plain_fit(rows, codes, layout, sizes.plain_heads))
    agree = plain_fit(rows, codes, layout, 1)[0] == int(classifier.head_scores_[0])
    in_sample = seconds(lambda: score_heads(rows, codes, layout, False), sizes.repeats)
    out_of_fold = seconds(lambda: score_heads(rows, codes, layout, True), sizes.repeats)
    peak = peak_bytes(lambda: classifier.fit(rows, codes))
    peak_held_out = peak_bytes(lambda: score_heads(rows, codes, layout, True))
    scaled = plain * sizes.heads / sizes.plain_heads
    return {
        "sizes": {name: getattr(sizes, name) for name in ("heads", "classes", "shots", "dim", "queries")},
        "fit_seconds": ours,
        "plain_seconds": scaled,
        "times_faster": scaled / ours,
        "same_hits": bool(agree),
        "in_sample_seconds": in_sample,
        "leave_one_out_seconds": out_of_fold,
        "leave_one_out_ratio": out_of_fold / in_sample,
        "peak_over_features": 1 + peak / rows.nbytes,
        "peak_over_features_leave_one_out": 1 + peak_held_out / rows.nbytes,
        **measure_prediction(classifier.restrict_to(classifier.heads_), sizes, rng),
    }


def measure_prediction(
    classifier: SAVClassifier, sizes: argparse.Namespace, rng: np.random.Generator
) -> dict[str, float]:
    """Return the speed of predictions and of the bare matrix products in them, in GFLOP/s."""
    kept, dim = len(classifier.heads_), sizes.dim
    queries = rng.standard_normal((sizes.queries, kept * dim), dtype=np.float32)
    targets = rng.standard_normal((kept, dim, sizes.classes))
    work = 2e-9 * sizes.queries * kept * dim * sizes.classes

    def bare() -> None:
        step = 1000
        for start in range(0, sizes.queries, step):
            part = queries[start : start + step].astype(np.float64).reshape(-1, kept, dim)
            np.ascontiguousarray(part.transpose(1, 0, 2)) @ targets

    predict = work / seconds(lambda: classifier.predict(queries), sizes.repeats)
    product = work / seconds(bare, sizes.repeats)
    return {"predict_gflops": predict, "matmul_gflops": product, "predict_over_matmul": predict / product}


def main(argv: Sequence[str] | None = None) -> int:
    """Measure and print; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.heads", description=__doc__)
    defaults = {"heads": 784, "classes": 100, "shots": 20, "dim": 128, "queries": 100_000}
    for name, value in {**defaults, "plain_heads": 2, "repeats": 3}.items():
        parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=value)
    parser.add_argument("--json", type=Path, help="also write the figures here")
    options = parser.parse_args(argv)
    figures = measure(options)
    text = json.dumps(figures, indent=1)
    sys.stdout.write(text + "\n")
    if options.json:
        options.json.write_text(text + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
