"""``python -m benchmarks.restricting``: rows of the heads in use only, by slices or by file format.

Prints the median time of both ways for some methods, in one run, and their ratio.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable

import numpy as np

from savs.classifiers import HeadClassifier, State, make_method
from savs.layout import HeadLayout

LAYERS, HEADS_PER_LAYER, HEAD_DIM = 64, 40, 128
METHODS = ("sav", "mean_proba", "kernel_ridge", "ensemble")


def by_file_format(classifier: HeadClassifier) -> HeadClassifier:
    """Return the restricted classifier through `to_state` and `from_state`, as it was done before."""
    arrays, settings = classifier.to_state()
    layout = classifier.layout_.select(classifier.heads_)
    if classifier.head_scores_ is not None and "head_scores" in arrays:
        scores = [classifier.head_scores_[classifier.layout_.position(head)] for head in classifier.heads_]
        arrays = {**arrays, "head_scores": np.array(scores)}
    return type(classifier).from_state(State(arrays, {**settings, "layout": layout.to_json()}))


def seconds(call: Callable[[], object], repeats: int = 7) -> float:
    """Return the median time of a call."""
    times = []
    for _ in range(repeats):
        start = time.perf_counter()
        call()
        times.append(time.perf_counter() - start)
    return statistics.median(times)


def main() -> None:
    """Measure and print."""
    layout = HeadLayout.uniform(LAYERS, HEADS_PER_LAYER, HEAD_DIM)
    rng = np.random.default_rng(0)
    labels = np.arange(40) % 4
    rows = rng.standard_normal((40, layout.width), dtype=np.float32)
    for name in METHODS:
        fitted = make_method(name, layout).fit(rows, labels)
        sliced = seconds(lambda fitted=fitted: fitted.restrict_to(fitted.heads_))
        encoded = seconds(lambda fitted=fitted: by_file_format(fitted))
        times = f"slices {1000 * sliced:.2f} ms, file format {1000 * encoded:.2f} ms"
        sys.stdout.write(f"{name}: {layout.n_heads} heads, {times}, ratio {encoded / sliced:.0f}\n")


if __name__ == "__main__":
    main()
