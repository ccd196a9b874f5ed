"""Memory of `savs extract` over many small examples: resident set over rows, as an SVG image.

    python -m benchmarks.extraction_memory
    python -m benchmarks.extraction_memory --rows 50000 --backbone fake --plot docs/extraction-memory.svg

The command runs in a process of its own, on a JSONL file of short texts. `fake` is `FakeBackbone` with 28
layers of 8 heads, 32 wide, in the place of the model: everything else is the command itself, so that 50 000
rows take a minute or two and what grows would be the command's. Any other name is a backbone as for
`savs extract`. Every thousandth row is no example.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from statistics import median

_PROGRAM = """
import sys
from savs.backbones.fake import FakeBackbone
from savs.layout import HeadLayout
import savs.backbones
if sys.argv.pop(1) == "fake":
    savs.backbones.load_backbone = lambda *_, **__: FakeBackbone(HeadLayout.uniform(28, 8, 32))
from savs.cli import _progress as progress
plain = progress.Progress.advance
def advance(self, n_rows):
    plain(self, n_rows)
    with open(sys.argv[1], "w") as file:
        file.write(str(self.done))
progress.Progress.advance = advance
from savs.cli.main import run
sys.exit(run(sys.argv[2:]))
"""


def main() -> None:
    """Run, watch, and print the figures as JSON."""
    options = _options()
    with tempfile.TemporaryDirectory(prefix="savs-memory-", dir=options.folder) as folder:
        rows, megabytes = _watch(Path(folder), options.rows, options.backbone)
    late = [size for row, size in zip(rows, megabytes, strict=True) if row >= options.rows / 10]
    half = len(late) // 2
    figures = {
        "rows": rows[-1],
        "backbone": options.backbone,
        "mb_after_a_tenth": round(late[0], 1),
        "mb_median_first_half": round(median(late[:half]), 1),
        "mb_median_second_half": round(median(late[half:]), 1),
        "mb_highest": round(max(late), 1),
    }
    if options.plot is not None:
        _plot(options.plot, rows, megabytes)
    sys.stdout.write(json.dumps(figures) + "\n")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--rows", type=int, default=50_000)
    parser.add_argument("--backbone", default="fake")
    parser.add_argument("--folder", type=Path, default=None, help="for data and store")
    parser.add_argument("--plot", type=Path, default=None, help="SVG or PNG file")
    return parser.parse_args()


def _watch(folder: Path, n_rows: int, backbone: str) -> tuple[list[int], list[float]]:
    """Return rows done and megabytes resident, from the first row on."""
    data, count = folder / "data.jsonl", folder / "count"
    with data.open("w") as file:
        for index in range(n_rows):
            row = {"id": f"row {index}", "question": f"Is {index} a number?"}
            file.write(json.dumps({**row, "image": 7} if index % 1000 == 999 else row) + "\n")
    command = [sys.executable, "-c", _PROGRAM, backbone, count, "extract", data, "-b", backbone]
    command += ["-o", folder / "store", "--max-errors", "-1", "--quiet"]
    process = subprocess.Popen([str(part) for part in command])
    rows, megabytes = [], []
    while process.poll() is None:
        done = count.read_text() if count.exists() else ""
        size = _resident(process.pid)
        if done and size:
            rows.append(int(done))
            megabytes.append(size)
        time.sleep(0.2)
    if process.returncode != 3:
        raise RuntimeError(f"the command ended with exit code {process.returncode}")
    return rows, megabytes


def _resident(pid: int) -> float:
    try:
        pages = int(Path(f"/proc/{pid}/statm").read_text().split()[1])
    except (OSError, IndexError):
        return 0.0
    return pages * os.sysconf("SC_PAGE_SIZE") / 1e6


def _plot(path: Path, rows: list[int], megabytes: list[float]) -> None:
    import matplotlib as mpl

    mpl.use("agg")
    import matplotlib.pyplot as plt

    figure, axes = plt.subplots(figsize=(7, 3.2), layout="constrained")
    axes.plot(rows, megabytes, color="#1f6feb", linewidth=1.2)
    axes.set(xlabel="examples done", ylabel="resident memory, MB")
    axes.set(xlim=(0, None), ylim=(0, 1.25 * max(megabytes)))
    axes.set_title(f"savs extract: memory over {rows[-1]} examples", fontsize=10)
    axes.grid(alpha=0.3)
    axes.spines[["top", "right"]].set_visible(False)
    figure.savefig(path, metadata={"Date": None} if path.suffix == ".svg" else None)


if __name__ == "__main__":
    main()
