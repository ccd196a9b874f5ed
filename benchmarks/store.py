"""How fast the feature store is, next to `numpy.save` and `numpy.load` of the same bytes.

    python -m benchmarks.store
    python -m benchmarks.store --rows 512 --repeats 7 --json

Store and NumPy take turns, and every ratio is taken within one round, so that a slow spell of the machine
hits both. Writing is timed on the wall, since it waits for the disk: both sides flush files of the same size
to it. Reading comes out of the page cache on both sides, and the store checks every value on the way; it is
timed by what the process uses on all its threads, which other programs on the machine hardly change. The
other clock, the processor's for writing and the wall's for reading, is shown beside it.
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
from pathlib import Path
from statistics import median

import numpy as np
from numpy.typing import NDArray

from savs.features import Head, HeadLayout
from savs.features.store import FeatureStore

N_LAYERS, N_HEADS, HEAD_DIM = 28, 28, 128
LAYERS_READ = (3, 9, 14, 20, 27)
TARGETS = {
    "write": (">=", 0.5),
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
    seconds: dict[str, list[float]] = {}
    other: dict[str, list[float]] = {}

    def timed(name: str, run: Callable[[], object]) -> None:
        started = time.perf_counter(), time.process_time()
        found = run()
        wall, used = time.perf_counter() - started[0], time.process_time() - started[1]
        seconds.setdefault(name, []).append(wall if name.endswith("write") else used)
        other.setdefault(name, []).append(used if name.endswith("write") else wall)
        del found

    for repeat in range(repeats + 1):
        store_folder, numpy_folder = folder / f"store-{repeat}", folder / f"numpy-{repeat}"
        numpy_folder.mkdir()
        store = FeatureStore.open(store_folder, {}, layout, part_rows=part_rows)
        os.sync()
        turns = [
            ("store write", lambda: _write(store, keys, rows)),  # noqa: B023 - called in this round
            ("numpy write", lambda: _save(numpy_folder, pieces)),  # noqa: B023
        ]
        for name, run in turns if repeat % 2 else reversed(turns):
            timed(name, run)
        turns = [
            ("store read", lambda: store.get(keys)),  # noqa: B023
            ("numpy read", lambda: _load(numpy_folder)),  # noqa: B023
            ("store read 5", lambda: store.get(keys, heads)),  # noqa: B023
        ]
        for name, run in turns if repeat % 2 else reversed(turns):
            timed(name, run)
        if repeat == 0:
            _check(store, keys, rows)
            seconds.clear()
            other.clear()
        shutil.rmtree(store_folder)
        shutil.rmtree(numpy_folder)
    gigabytes = rows.nbytes / 1e9
    found = {
        "write": _ratio(seconds["numpy write"], seconds["store write"], gigabytes),
        "read": _ratio(seconds["numpy read"], seconds["store read"], gigabytes),
        "read 5 of 28 layers": _ratio(seconds["store read 5"], seconds["store read"]),
    }
    found["write"]["other_clock"] = _ratio(other["numpy write"], other["store write"])["value"]
    found["read"]["other_clock"] = _ratio(other["numpy read"], other["store read"])["value"]
    found["read 5 of 28 layers"]["other_clock"] = _ratio(other["store read 5"], other["store read"])["value"]
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


def _write(store: FeatureStore, keys: list[bytes], rows: NDArray[np.float32]) -> None:
    store.append(keys, rows)
    store.flush()


def _save(folder: Path, pieces: list[NDArray[np.float32]]) -> None:
    for number, piece in enumerate(pieces):
        with (folder / f"{number}.npy").open("wb") as file:
            np.save(file, piece)
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
        "| what | value (lowest to highest) | target | other clock | store GB/s | NumPy GB/s |",
        "|---|---|---|---|---|---|",
    ]
    for name, found in result.items():
        sign, limit = TARGETS[name]
        unit = " s" if name.startswith("open") else ""
        speeds = [found.get(f"{side}_gb_per_s") for side in ("store", "numpy")]
        shown = " | ".join("" if speed is None else f"{speed:.2f}" for speed in speeds)
        value = f"{found['value']:.2f}{unit} ({found['low']:.2f} to {found['high']:.2f})"
        clock = f"{found['other_clock']:.2f}" if "other_clock" in found else ""
        lines.append(f"| {name} | {value} | {sign} {limit}{unit} | {clock} | {shown} |")
    return "\n".join(lines)


def _key(index: int) -> bytes:
    return hashlib.sha256(str(index).encode()).digest()


if __name__ == "__main__":
    main()
