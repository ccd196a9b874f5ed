"""Writes the small datasets of the tests: Parquet, saved by the library, laid out as on the hub."""

from __future__ import annotations

import io
import json
import warnings
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image as PILImage

CLASSES = ["cat", "dog"]
REPEATED = "; make ids unique, or name another column (--id-column)"


def png(shade: int) -> bytes:
    stream = io.BytesIO()
    PILImage.new("L", (8, 8), shade).save(stream, "PNG")
    return stream.getvalue()


def write_parquet(path: Path, rows: list[dict[str, Any]], **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    names = list(dict.fromkeys(name for row in rows for name in row))
    pq.write_table(pa.table({name: [row.get(name) for row in rows] for name in names}), path, **options)
    return path


def library_rows() -> list[dict[str, Any]]:
    return [
        {"image": {"bytes": png(10), "path": "a.png"}, "views": [], "kind": 0, "question": "p"},
        {"image": {"bytes": png(20), "path": None}, "views": [png(1), png(2)], "kind": 1, "question": "q"},
        {"image": None, "views": [], "kind": None, "question": "r"},
    ]


def library_data() -> Any:
    """Return a dataset of the library with images, lists of images and classes."""
    from datasets import ClassLabel, Dataset, Features, Image, List, Value

    features = {
        "image": Image(),
        "views": List(Image()),
        "kind": ClassLabel(names=CLASSES),
        "question": Value("string"),
    }
    return Dataset.from_list(library_rows(), features=Features(features))


def quietly(do: Any, *arguments: Any, **options: Any) -> Any:
    """Call the library without its bars."""
    from datasets import disable_progress_bars, enable_progress_bars

    disable_progress_bars()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            return do(*arguments, **options)
    finally:
        enable_progress_bars()


def write_jsonl(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path
