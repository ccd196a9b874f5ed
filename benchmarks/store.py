"""How fast the feature store is, next to `numpy.save` and `numpy.load` of the same bytes.

    python -m benchmarks.store
    python -m benchmarks.store --rows 512 --repeats 7 --json

Store and NumPy take turns, and every ratio is taken within one round, so that a slow spell of the machine
hits both. Files of the same size are written on both sides. `numpy.save` by itself leaves them in the page
cache, and the store flushes them to the disk before they get their names; so writing is measured twice, with
both flushed and with neither (the store's `os.fsync` does nothing then). Reading comes out of the page cache
on both sides, and the store checks every value on the way. Values are of the clock on the wall; beside them
stands what the process used on all its threads, which other programs on the machine change less.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import shutil
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import nullcontext
from pathlib import Path
from statistics import median
from unittest.mock import patch

import numpy as np
from numpy.typing import NDArray

from savs.cache import FeatureStore
from savs.layout import Head, HeadLayout

N_LAYERS, N_HEADS, HEAD_DIM = 28, 28, 128
LAYERS_READ = (3, 9, 14, 20, 27)
TARGETS = {
    "write, both flushed": (">=", 0.5),
    "write, neither flushed": (">=", 0.5),
    "read": (">=", 0.5),
    "read 5 of 28 layers": ("<=", 0.3),
    "open 100 000 rows": ("<=", 1.0),
}


def main() -> None:
    """Measure and print a table, or JSON."""
    options = _options()
    folder = Path(tempfile.mkdtemp(prefix="savs-store-", dir=options.folder))
    try:
        result = _bandwidth(folder, options.rows, options.part_rows, options.repeats)
        result["open 100 000 rows"] = _open_large(folder, options.open_rows, options.repeats)
    finally:
        shutil.rmtree(folder)
    sys.stdout.write((json.dumps(result) if options.json else _table(result)) + "\n")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=512, help="rows of 28 layers of 3584 float32 values")
    parser.add_argument("--part-rows", type=int, default=None)
    parser.add_argument("--open-rows", type=int, default=100_000)
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--folder", type=Path, default=None, help="on the disk to measure")
    parser.add_argument("--json", action="store_true")
    return parser.parse_args()


def _bandwidth(folder: Path, n_rows: int, part_rows: int | None, repeats: int) -> dict[str, dict[str, float]]:
    layout = HeadLayout.uniform(N_LAYERS, N_HEADS, HEAD_DIM)
    rows = np.random.default_rng(0).standard_normal((n_rows, layout.width), dtype=np.float32)
    keys = [_key(index) for index in range(n_rows)]
    heads = [head for head in layout.heads if head.layer in LAYERS_READ]
    probe = FeatureStore.open(folder / "probe", {}, layout, part_rows=part_rows)
    pieces = [rows[start : start + probe.part_rows] for start in range(0, n_rows, probe.part_rows)]
    clocks = _Clocks()
    for repeat in range(repeats + 1):
        for flushed in (False, True):
            stored, saved = folder / f"store-{repeat}-{flushed}", folder / f"numpy-{repeat}-{flushed}"
            saved.mkdir()
            store = FeatureStore.open(stored, {}, layout, part_rows=part_rows)
            os.sync()
            turns = {
                f"store write {flushed}": lambda: _write(store, keys, rows, flushed),  # noqa: B023
                f"numpy write {flushed}": lambda: _save(saved, pieces, flushed),  # noqa: B023
            }
            clocks.take_turns(turns, repeat)
            if not flushed:
                shutil.rmtree(stored)
                shutil.rmtree(saved)
        turns = {
            "store read": lambda: store.get(keys),  # noqa: B023 - called in this round
            "numpy read": lambda: _load(saved),  # noqa: B023
            "store read 5": lambda: store.get(keys, heads),  # noqa: B023
        }
        clocks.take_turns(turns, repeat)
        if repeat == 0:
            _check(store, keys, rows)
            clocks.clear()
        shutil.rmtree(stored)
        shutil.rmtree(saved)
    gigabytes = rows.nbytes / 1e9
    return {
        "write, both flushed": clocks.ratio("numpy write True", "store write True", gigabytes),
        "write, neither flushed": clocks.ratio("numpy write False", "store write False", gigabytes),
        "read": clocks.ratio("numpy read", "store read", gigabytes),
        "read 5 of 28 layers": clocks.ratio("store read 5", "store read"),
    }


class _Clocks:
    """Seconds on the wall and of the processor, by what ran."""

    def __init__(self) -> None:
        self.wall: dict[str, list[float]] = {}
        self.processor: dict[str, list[float]] = {}

    def take_turns(self, turns: dict[str, Callable[[], object]], repeat: int) -> None:
        """Time each once, in an order that changes from round to round."""
        for name, run in list(turns.items()) if repeat % 2 else reversed(turns.items()):
            started = time.perf_counter(), time.process_time()
            found = run()
            self.wall.setdefault(name, []).append(time.perf_counter() - started[0])
            self.processor.setdefault(name, []).append(time.process_time() - started[1])
            del found

    def clear(self) -> None:
        """Forget the round that warms up."""
        self.wall.clear()
        self.processor.clear()

    def ratio(self, above: str, below: str, gigabytes: float | None = None) -> dict[str, float]:
        """Return how long one takes as a share of the other, round by round."""
        found = _ratio(self.wall[above], self.wall[below], gigabytes)
        found["processor"] = _ratio(self.processor[above], self.processor[below])["value"]
        return found


def _open_large(folder: Path, n_rows: int, repeats: int) -> dict[str, float]:
    layout = HeadLayout.uniform(N_LAYERS, 2, 4)
    rows = np.zeros((n_rows, layout.width), np.float32)
    with FeatureStore.open(folder / "large", {}, layout) as store:
        store.append([_key(index) for index in range(n_rows)], rows)
    times = []
    for _ in range(repeats):
        started = time.perf_counter()
        opened = FeatureStore.open(folder / "large", {}, layout)
        times.append(time.perf_counter() - started)
        if len(opened) != n_rows:
            raise RuntimeError(f"{len(opened)} of {n_rows} rows")
    return {"value": median(times), "low": min(times), "high": max(times), "parts": opened.info()["parts"]}


def _write(store: FeatureStore, keys: list[bytes], rows: NDArray[np.float32], flushed: bool) -> None:
    with nullcontext() if flushed else patch("os.fsync", lambda _descriptor: None):
        store.append(keys, rows)
        store.flush()


def _save(folder: Path, pieces: list[NDArray[np.float32]], flushed: bool) -> None:
    for number, piece in enumerate(pieces):
        with (folder / f"{number}.npy").open("wb") as file:
            np.save(file, piece)
            if flushed:
                file.flush()
                os.fsync(file.fileno())


def _load(folder: Path) -> list[NDArray[np.float32]]:
    return [np.load(path) for path in sorted(folder.iterdir())]


def _check(store: FeatureStore, keys: list[bytes], rows: NDArray[np.float32]) -> None:
    kept = store.get(keys)
    if not kept.found.all() or not np.array_equal(kept.features, rows):
        raise RuntimeError("the store gave back other rows")
    columns = store.description.layout.column_indices([Head(9, 3)])
    if not np.array_equal(store.get(keys, [Head(9, 3)]).features, rows[:, columns]):
        raise RuntimeError("the store gave back another head")


def _ratio(above: list[float], below: list[float], gigabytes: float | None = None) -> dict[str, float]:
    ratios = [a / b for a, b in zip(above, below, strict=True)]
    found = {"value": median(ratios), "low": min(ratios), "high": max(ratios)}
    if gigabytes is not None:
        found |= {"store_gb_per_s": gigabytes / median(below), "numpy_gb_per_s": gigabytes / median(above)}
    return found


def _table(result: dict[str, dict[str, float]]) -> str:
    lines = [
        "| what | value (lowest to highest) | wanted | processor time | store GB/s | NumPy GB/s |",
        "|---|---|---|---|---|---|",
    ]
    for name, found in result.items():
        sign, limit = TARGETS[name]
        unit = " s" if name.startswith("open") else ""
        speeds = [found.get(f"{side}_gb_per_s") for side in ("store", "numpy")]
        shown = " | ".join("" if speed is None else f"{speed:.2f}" for speed in speeds)
        value = f"{found['value']:.2f}{unit} ({found['low']:.2f} to {found['high']:.2f})"
        clock = f"{found['processor']:.2f}" if "processor" in found else ""
        lines.append(f"| {name} | {value} | {sign} {limit}{unit} | {clock} | {shown} |")
    return "\n".join(lines)


def _key(index: int) -> bytes:
    return hashlib.sha256(str(index).encode()).digest()


if __name__ == "__main__":
    main()
