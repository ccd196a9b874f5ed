"""Draw docs/images/architecture.svg: how an example becomes a label, and which layer may import which.

    python scripts/draw_architecture.py            write the drawing
    python scripts/draw_architecture.py --check    exit with 1 if the drawing is out of date

The layers and their order come from the import contract in pyproject.toml, so the drawing cannot say
anything else than the check that runs with the tests.
"""

from __future__ import annotations

import argparse
import sys
import tomllib
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple
from xml.sax.saxutils import escape

ROOT = Path(__file__).resolve().parents[1]
DRAWING = ROOT / "docs" / "images" / "architecture.svg"

WIDTH, MARGIN = 840, 16
BOX_WIDTH, BOX_HEIGHT, BOX_GAP = 144, 62, 22
UPPER, LOWER = 64, 196  # top edges of the two rows of boxes
LAYERS_TOP, LAYER_HEIGHT = 368, 26

RULE = "A layer may import the layers below it, never one above it. Colors are those of the steps above."
LAYERS = {
    "cli": ("use", "the commands"),
    "reports": ("use", "runs and classifiers as one HTML file"),
    "experiments": ("use", "what accuracy depends on, shortcuts"),
    "benchmarks": ("use", "runs of tasks, methods and baselines"),
    "demo": ("use", "the demo on real images"),
    "doctor": ("use", "whether a backbone can be trusted"),
    "tasks": ("use", "public benchmarks: prompt, files, metric"),
    "evaluation": ("use", "metrics, intervals, comparisons"),
    "baselines": ("use", "what a classifier is compared with"),
    "model": ("model", "SAVModel: backbone, prompt and classifier in one"),
    "model_card": ("model", "the README of a saved classifier"),
    "artifact": ("model", "saved classifiers"),
    "figures": ("model", "figures of arrays, one style"),
    "classifiers": ("numerics", "scores, kept heads, votes"),
    "cache": ("backbone", "the feature store"),
    "backbones": ("backbone", "frozen models: prompts, batches, head vectors"),
    "data": ("input", "examples, files, splits, checks"),
    "media": ("input", "images, videos, audio: the one guarded way in"),
    "layout": ("base", "which columns belong to which head"),
    "errors": ("base", "every error, in one tree"),
}
"""Kind and one line for each layer of the contract."""

STYLE = """
  .page { fill: #ffffff; }
  text { font: 14px system-ui, "Segoe UI", Roboto, "DejaVu Sans", sans-serif; fill: #1f2328; }
  .title { font-size: 17px; font-weight: 600; }
  .name { font-weight: 600; }
  .code { font-family: ui-monospace, Menlo, "DejaVu Sans Mono", monospace; font-size: 13px; }
  .note { font-size: 13px; fill: #57606a; }
  .middle { text-anchor: middle; }
  .end { text-anchor: end; }
  .arrow { stroke: #57606a; stroke-width: 1.6; fill: none; marker-end: url(#tip); }
  #tip path { fill: #57606a; }
  rect.box { stroke-width: 1.2; }
  .use { fill: #eef1f4; stroke: #8c959f; }
  .model { fill: #e5dcfa; stroke: #8250df; }
  .numerics { fill: #d6f2dd; stroke: #1a7f37; }
  .backbone { fill: #d9ebff; stroke: #0969da; }
  .input { fill: #fdeecb; stroke: #9a6700; }
  .base { fill: #eef1f4; stroke: #8c959f; }
  @media (prefers-color-scheme: dark) {
    .page { fill: #1b1f24; }
    text { fill: #e6edf3; }
    .note { fill: #adbac7; }
    .arrow { stroke: #adbac7; }
    #tip path { fill: #adbac7; }
    .use, .base { fill: #2d333b; stroke: #768390; }
    .model { fill: #3a2a63; stroke: #b083f0; }
    .numerics { fill: #17402a; stroke: #57ab5a; }
    .backbone { fill: #143d68; stroke: #539bf5; }
    .input { fill: #4d3a12; stroke: #daaa3f; }
  }
"""


class Box(NamedTuple):
    """A step from example to label."""

    name: str
    note: str
    package: str
    kind: str
    column: int
    top: int

    @property
    def left(self) -> int:
        """Left edge."""
        return MARGIN + self.column * (BOX_WIDTH + BOX_GAP)

    @property
    def center(self) -> int:
        """Horizontal middle."""
        return self.left + BOX_WIDTH // 2


BOXES = (
    Box("Example", "media and text", "data, media", "input", 0, UPPER),
    Box("Prompt", "with your question", "backbones", "backbone", 1, UPPER),
    Box("Batch", "of similar length", "backbones", "backbone", 2, UPPER),
    Box("Frozen backbone", "one forward pass", "backbones", "backbone", 3, UPPER),
    Box("Head vectors", "at the last token", "backbones", "backbone", 4, UPPER),
    Box("Head scores", "hits on the shots", "classifiers", "numerics", 4, LOWER),
    Box("Kept heads", "the best 20", "classifiers", "numerics", 3, LOWER),
    Box("Votes", "one per kept head", "classifiers", "numerics", 2, LOWER),
    Box("Label", "and how sure it is", "model", "model", 1, LOWER),
)


def text(x: int, y: int, words: str, style: str) -> str:
    """Return one line of text."""
    return f'<text x="{x}" y="{y}" class="{style}">{escape(words)}</text>'


def arrow(*points: tuple[int, int]) -> str:
    """Return an arrow through some points."""
    return f'<path class="arrow" d="M {" L ".join(f"{x} {y}" for x, y in points)}"/>'


def draw_box(box: Box) -> list[str]:
    """Return a step with its name, what it is, and the package it happens in."""
    return [
        f'<rect class="box {box.kind}" x="{box.left}" y="{box.top}" width="{BOX_WIDTH}" '
        f'height="{BOX_HEIGHT}" rx="7"/>',
        text(box.center, box.top + 21, box.name, "name middle"),
        text(box.center, box.top + 38, box.note, "note middle"),
        text(box.center, box.top + 54, box.package, "code middle"),
    ]


def draw_flow() -> list[str]:
    """Return the steps from example to label, and the arrows between them."""
    upper, lower = BOXES[:5], BOXES[5:]
    parts = [text(MARGIN, 32, "From an example to a label", "title")]
    for before, after in pairwise(upper):
        y = UPPER + BOX_HEIGHT // 2
        parts.append(arrow((before.left + BOX_WIDTH, y), (after.left - 3, y)))
    for before, after in pairwise(lower):
        y = LOWER + BOX_HEIGHT // 2
        parts.append(arrow((before.left, y), (after.left + BOX_WIDTH + 3, y)))
    vectors, votes = upper[-1], lower[2]
    below, turn = UPPER + BOX_HEIGHT, UPPER + BOX_HEIGHT + 36
    parts.append(arrow((vectors.center + 30, below), (vectors.center + 30, LOWER - 3)))
    parts.append(text(vectors.center + 22, LOWER - 12, "shots", "note end"))
    parts.append(
        arrow(
            (vectors.center - 30, below),
            (vectors.center - 30, turn),
            (votes.center, turn),
            (votes.center, LOWER - 3),
        )
    )
    parts.append(text(votes.center + 12, turn - 8, "new examples", "note"))
    for box in BOXES:
        parts += draw_box(box)
    return parts


def draw_layers(names: list[str]) -> list[str]:
    """Return the stack of layers."""
    bottom = LAYERS_TOP + len(names) * LAYER_HEIGHT
    left = MARGIN + 104
    parts = [
        text(MARGIN, LAYERS_TOP - 48, "Which layer may import which", "title"),
        text(MARGIN, LAYERS_TOP - 24, RULE, "note"),
        arrow((MARGIN + 70, LAYERS_TOP + 6), (MARGIN + 70, bottom - 10)),
        text(MARGIN, LAYERS_TOP + 20, "imports", "note"),
    ]
    for row, name in enumerate(names):
        kind, words = LAYERS[name]
        top = LAYERS_TOP + row * LAYER_HEIGHT
        parts += [
            f'<rect class="box {kind}" x="{left}" y="{top}" width="{WIDTH - MARGIN - left}" '
            f'height="{LAYER_HEIGHT - 4}" rx="4"/>',
            text(left + 12, top + 16, f"savs.{name}", "code"),
            text(left + 170, top + 16, words, ""),
        ]
        if kind == "numerics":
            parts.append(text(WIDTH - MARGIN - 12, top + 16, "imports only layout and errors", "note end"))
    return parts


def layers() -> list[str]:
    """Return the public layers of the import contract, highest first, without the name of the package."""
    contracts = tomllib.loads((ROOT / "pyproject.toml").read_text())["tool"]["importlinter"]["contracts"]
    (contract,) = (contract for contract in contracts if contract["type"] == "layers")
    names = [name.removeprefix("savs.") for name in contract["layers"]]
    return [name for name in names if not name.startswith("_")]


def render() -> str:
    """Return the drawing."""
    names = layers()
    if unknown := sorted(set(names) ^ set(LAYERS)):
        raise SystemExit(f"the layers here and in pyproject.toml differ: {', '.join(unknown)}; mend LAYERS")
    height = LAYERS_TOP + len(names) * LAYER_HEIGHT + MARGIN
    lines = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" role="img">',
        "<title>How an example becomes a label, and which layer may import which</title>",
        f"<style>{STYLE}</style>",
        '<defs><marker id="tip" viewBox="0 0 8 8" refX="7" refY="4" markerWidth="7" markerHeight="7" '
        'orient="auto"><path d="M 0 0 L 8 4 L 0 8 z"/></marker></defs>',
        f'<rect class="page" width="{WIDTH}" height="{height}" rx="10"/>',
        *draw_flow(),
        *draw_layers(names),
        "</svg>",
    ]
    return "\n".join(lines) + "\n"


def main() -> int:
    """Write the drawing, or compare it."""
    parser = argparse.ArgumentParser(description="Draw docs/images/architecture.svg.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 if out of date")
    if not parser.parse_args().check:
        DRAWING.write_text(render(), encoding="utf-8")
    elif not DRAWING.exists() or DRAWING.read_text(encoding="utf-8") != render():
        print(f"{DRAWING} is out of date; run: python scripts/draw_architecture.py", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
