"""A small benchmark run in the layout of docs/benchmarks.md, with labels and texts that look like markup."""

from __future__ import annotations

import io
import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from PIL import Image

TASK = "my photos"
LABELS = ("<script>alert(1)</script>", "b & c", "$d$")
TEXT = 'What is "this"? <img src=x onerror=alert(2)>'
METHODS = ("sav", "auto", "knn", "majority")
N_ITEMS = 12


def write_run(
    folder: Path, *, audit: bool = True, experiments: bool = True, shots: Sequence[int] = (1, 5)
) -> Path:
    """Write a run of two draws: sav is right but for every fourth item, majority answers the first label."""
    run: dict[str, Any] = {
        "schema": 1,
        "command": f"savs benchmark photos/ -b tiny --shots {','.join(map(str, shots))} -o run",
        "created": "2026-11-28T12:00:00+00:00",
        "savs": "0.1.0",
        "versions": {"savs": "0.1.0", "torch": "2.13.0"},
        "settings": {"methods": list(METHODS[:3]), "shots": list(shots), "draws": 2, "seed": 0},
        "tasks": [TASK],
        "data": {TASK: {"protocol": "n_way", "metric": "accuracy", "prompt": TEXT}},
        "backbone": {"name": "tiny", "fingerprint": {"model_class": "Tiny", "dtype": "float32"}},
    }
    _write(folder / "run.json", run)
    for method in METHODS:
        for count in shots:
            for draw in range(2):
                _write_cell(folder, method, count, draw)
    picture = io.BytesIO()
    Image.new("RGB", (200, 100), "red").save(picture, "JPEG")
    (folder / "thumbs").mkdir()
    (folder / "thumbs" / "a.jpg").write_bytes(picture.getvalue())
    items = [
        {
            "id": f"<i>{n}</i>",
            "label": _label(n),
            "text": f"{TEXT} {n}",
            "thumbnail": "thumbs/a.jpg" if n == 3 else None,
        }
        for n in range(N_ITEMS)
    ]
    _write_lines(folder / "items" / "my_photos.jsonl", items)
    if audit:
        figure = {"value": 0.4, "low": 0.3, "high": 0.5, "n": N_ITEMS}
        lines = [
            {
                "task": TASK,
                "method": "sav",
                "shots": 5,
                "draw": draw,
                "control": control,
                "figures": {"accuracy": figure, "accuracy_unchanged": {**figure, "value": 0.75}},
                "reason": None,
            }
            for control in ("image_blanked", "shuffled_labels")
            for draw in range(2)
        ]
        _write_lines(folder / "audit.jsonl", lines)
    if experiments:
        rows = [
            {"x": x, "series": "<b>sav</b>", "draw": draw, "accuracy": 0.5, "n_test": 9, "failure": None}
            for x in (1, 20, 96)
            for draw in range(2)
        ]
        record = {"schema": 1, "kind": "heads", "task": TASK, "methods": ["sav"], "x_name": "heads"}
        _write(folder / "experiments" / "heads-x.json", {**record, "rows": rows, "settings": {}})
    return folder


def _label(n: int) -> str:
    return LABELS[n % 3]


def _write_cell(folder: Path, method: str, shots: int, draw: int) -> None:
    lines = []
    for n in range(N_ITEMS):
        answer = LABELS[0] if method == "majority" else LABELS[(n + (n % 4 == 3)) % 3]
        line = {"id": f"<i>{n}</i>", "label": _label(n), "answer": answer, "probability": 0.6 + 0.01 * n}
        if answer != line["label"] and method == "sav":
            line["votes"] = {answer: 14, line["label"]: 6}
        lines.append(line)
    share = sum(line["answer"] == line["label"] for line in lines) / N_ITEMS
    name = f"{method}-{shots}-{draw}"
    _write_lines(folder / "answers" / "my_photos" / f"{name}.jsonl", lines)
    if method == "sav":
        scores = [[layer, head, layer + head] for layer, n in enumerate((2, 3)) for head in range(n)]
        heads = {"n_layers": 2, "n_heads": [2, 3], "scores": scores, "kept": [[1, 2], [1, draw]]}
        _write(folder / "heads" / "my_photos" / f"{name}.json", heads)
    failed = method == "knn" and draw == 1
    figure = {"value": share, "low": share - 0.1, "high": share + 0.1, "n": N_ITEMS}
    cell = {
        "task": TASK,
        "protocol": "n_way",
        "metric": "accuracy",
        "part": None,
        "method": method,
        "shots": shots,
        "draw": draw,
        "n_test": N_ITEMS,
        "n_failed": 0,
        "failure": "<u>no</u> memory" if failed else None,
        "figures": {} if failed else {"accuracy": figure},
        "probability": None if failed else {"log_loss": 0.5, "ece": 0.1, "brier": 0.3},
        "seconds": 0.1,
        "bytes": 2048,
    }
    _write(folder / "cells" / "my_photos" / f"{name}.json", cell)


def _write(file: Path, value: Any) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text(json.dumps(value))


def _write_lines(file: Path, values: Sequence[Any]) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("".join(f"{json.dumps(value)}\n" for value in values))
