"""Results of the demo: as data, as a table for the terminal, as one plot."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from savs.data import Label
from savs.layout import Head, HeadLayout

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from PIL import Image as PILImage
    from rich.console import RenderableType
    from rich.table import Table

__all__ = ["METHODS", "Accuracy", "Exhibit", "Outcome", "render_table", "draw_results"]


# The results of one task: everything that the table, the plot and the JSON file show.

METHODS: Mapping[str, str] = {
    "sav": "SAVs",
    "auto": "savs auto",
    "zero_shot": "zero-shot generation",
    "last_layer": "last-layer state",
    "majority": "majority class",
    "pixels": "pixels alone",
}
"""Methods in the order of the table, with their names there and in the plot."""


@dataclass(frozen=True)
class Accuracy:
    """Accuracy of a method on a task.

    Attributes
    ----------
    mean : float
        Share of test examples classified correctly, mean over the draws.
    interval : tuple of float
        95 %: Student's t over the draws; Wilson's for methods without shots and for a single draw.
    draws : tuple of float
        One share per draw of the shots; a single one for methods without shots.
    """

    mean: float
    interval: tuple[float, float]
    draws: tuple[float, ...]


@dataclass(frozen=True)
class Exhibit:
    """A test example to show: its images, its note, the true label and the answer."""

    images: tuple[PILImage.Image, ...]
    text: str
    truth: Label | None
    answer: Label


@dataclass(frozen=True)
class Outcome:
    """Results of one task.

    Attributes
    ----------
    name, title, about, prompt, zero_shot_prompt : str
        As in `savs.demo.tasks.Task`.
    classes : list of label
        Sorted.
    shots : int
        Shots per class.
    n_test : int
        Test items per draw.
    accuracy : mapping of str to Accuracy
        By the keys of `METHODS`.
    controls : mapping of str to Accuracy
        SAVs with one part of the example taken away; empty for tasks of images alone.
    n_zero_shot, unparsed : int
        Items that zero-shot generation answered, and how many answers named no class.
    said : mapping of str to int
        The most frequent generated answers, word for word.
    layout : HeadLayout
        All heads of the backbone.
    heads : list of Head
        The heads kept in the first draw, best first.
    head_scores : ndarray of int, shape (n_heads,)
        Hits of every head on the shots of the first draw, in layout order.
    confusion : ndarray of int, shape (n_classes, n_classes)
        Test items of the first draw by truth (rows) and answer of SAVs (columns).
    exhibits : list of Exhibit
        A few test items of the first draw, chosen before they were answered.
    seconds : float
        Time for the whole task.
    """

    name: str
    title: str
    about: str
    prompt: str
    zero_shot_prompt: str
    classes: list[Label]
    shots: int
    n_test: int
    accuracy: Mapping[str, Accuracy]
    controls: Mapping[str, Accuracy]
    n_zero_shot: int
    unparsed: int
    said: Mapping[str, int]
    layout: HeadLayout
    heads: list[Head]
    head_scores: NDArray[np.int64]
    confusion: NDArray[np.int64]
    exhibits: list[Exhibit] = field(default_factory=list)
    seconds: float = 0.0

    @property
    def best(self) -> str:
        """The method with the highest mean; SAVs where it shares the first place."""
        return max(self.accuracy, key=lambda method: (self.accuracy[method].mean, method == "sav"))

    def record(self) -> dict[str, Any]:
        """Return the JSON object of the task; accuracies are shares of 1, to four digits."""
        share = self.shots * len(self.classes)
        return {
            "name": self.name,
            "title": self.title,
            "about": self.about,
            "prompt": self.prompt,
            "zero_shot_prompt": self.zero_shot_prompt,
            "classes": self.classes,
            "shots": self.shots,
            "n_test": self.n_test,
            "accuracy": {method: round(value.mean, 4) for method, value in self.accuracy.items()},
            "interval": {method: _rounded(value.interval) for method, value in self.accuracy.items()},
            "draws": {method: _rounded(value.draws) for method, value in self.accuracy.items()},
            "controls": {
                name: {"accuracy": round(value.mean, 4), "interval": _rounded(value.interval)}
                for name, value in self.controls.items()
            },
            "best": self.best,
            "n_zero_shot": self.n_zero_shot,
            "unparsed": self.unparsed,
            "said": dict(self.said),
            "heads": [
                [head.layer, head.index, round(int(self.head_scores[self.layout.position(head)]) / share, 4)]
                for head in self.heads
            ],
            "confusion": self.confusion.tolist(),
            "seconds": round(self.seconds, 1),
        }


def _rounded(values: tuple[float, ...]) -> list[float]:
    return [round(value, 4) for value in values]


# The demo's results for a terminal.

_HEADERS = ("SAVs", "auto", "zero-\nshot", "last\nlayer", "major-\nity", "pixels")
_HEADS_SHOWN = 5
_ANSWERS_SHOWN = 3


def render_table(result: Mapping[str, Any]) -> RenderableType:
    """Return the result of `savs.demo.run_demo` for rich to print: table, remarks, heads, answers, files."""
    from rich.console import Group
    from rich.text import Text

    tasks = result["tasks"]
    blocks: list[RenderableType] = [_accuracies(result)]
    blocks += [Text(line, style="dim") for line in _remarks(tasks)]
    blocks += [
        Text(""),
        Text(
            f"the {_HEADS_SHOWN} best heads of the first draw (layer.head, shots right) and seconds",
            style="bold",
        ),
    ]
    blocks += [Text(f"  {task['title']}: {_heads(task)}; {task['seconds']:.0f} s") for task in tasks]
    blocks += [Text(""), Text("new files, answered by the saved classifiers", style="bold")]
    for task in result["new_files"]:
        blocks += [Text(f"  $ {task['command']}", style="cyan", overflow="fold")]
        blocks += [Text(f"    {_answer(answer)}") for answer in task["answers"][:_ANSWERS_SHOWN]]
    blocks += [
        Text(""),
        Text(f"image: {result['files']['image']}   results: {result['files']['results']}"),
    ]
    blocks += [Text(f"{result['seconds']:.0f} seconds in all")]
    return Group(*blocks)


def _accuracies(result: Mapping[str, Any]) -> Table:
    from rich import box
    from rich.table import Table

    drawn = f"{result['shots']} shots per class, mean and 95 % interval of {result['n_draws']} draws"
    table = Table(title=f"accuracy in %, {drawn}", box=box.SIMPLE_HEAD, padding=0, title_justify="left")
    table.show_edge = table.pad_edge = False  # eighty columns are enough for everything
    table.add_column("task", no_wrap=True)
    for header in ("n", *_HEADERS):
        table.add_column(header, justify="right")
    for task in result["tasks"]:
        table.add_row(task["title"], str(task["n_test"]), *(_cell(task, method) for method in METHODS))
        for name, control in task["controls"].items():
            table.add_row(
                f"  SAVs, {name}", "", _spread(control["accuracy"], control["interval"]), style="dim"
            )
    return table


def _cell(task: Mapping[str, Any], method: str) -> str:
    shown = _spread(task["accuracy"][method], task["interval"][method])
    return f"[bold]{shown}[/bold]" if method == task["best"] else shown


def _spread(mean: float, interval: Sequence[float]) -> str:
    half = 50 * (interval[1] - interval[0])
    if half < 0.05:
        return f"{100 * mean:.1f}"
    return f"{100 * mean:.1f}±{half:.1f}" if half < 10 else f"{100 * mean:.1f}±{half:.0f}"


def _remarks(tasks: Sequence[Mapping[str, Any]]) -> list[str]:
    """Return lines on tasks where SAVs are not best, and on zero-shot answers that name no class."""
    lines = []
    for task in tasks:
        shares = task["accuracy"]
        rival = max((name for name in METHODS if name not in ("sav", "auto")), key=shares.__getitem__)
        ours = {METHODS[name]: 100 * shares[name] for name in ("sav", "auto")}
        behind = [f"{name} {share:.1f}" for name, share in ours.items() if share < 100 * shares[rival]]
        if behind:
            best = f"{METHODS[rival]} {100 * shares[rival]:.1f}"
            lines.append(f"Behind {best} on {task['title']}: {', '.join(behind)}.")
    for task in tasks:
        if task["unparsed"]:
            said = ", ".join(f"“{answer}”" for answer in list(task["said"])[:3])
            lines.append(
                f"Zero-shot on {task['title']}: {task['unparsed']} of {task['n_zero_shot']} answers name no "
                f"class and count as wrong; it answers {said}."
            )
    return lines


def _heads(task: Mapping[str, Any]) -> str:
    return ", ".join(
        f"{layer}.{index} {100 * score:.0f}%" for layer, index, score in task["heads"][:_HEADS_SHOWN]
    )


def _answer(answer: Mapping[str, Any]) -> str:
    verdict = "right" if str(answer["truth"]) == str(answer["label"]) else f"wrong, it is {answer['truth']}"
    return f"{answer['id']} → {answer['label']} ({100 * answer['share']:.0f} % of the votes; {verdict})"


# The plot: bars of all methods, a confusion matrix, examples, head maps.

COLORS = {
    "sav": "#D55E00",
    "auto": "#E69F00",
    "zero_shot": "#0072B2",
    "last_layer": "#56B4E9",
    "pixels": "#999999",
    "majority": "#DDDDDD",
}
"""Okabe and Ito's palette, which color-blind readers can distinguish; gray for methods without a backbone."""

_ORDER = ("sav", "auto", "last_layer", "zero_shot", "pixels", "majority")
_KEPT = "#D55E00"
_SIDE, _CARD, _GAP = 64, 76, 4
_INK = "#222222"


def draw_results(outcomes: Sequence[Outcome], file: Path, *, n_draws: int) -> None:
    """Write the plot as PNG, about 1600 x 960 pixels.

    Parameters
    ----------
    outcomes : sequence of Outcome
        One per task, at most five or so; the first one's confusion matrix is shown.
    file : Path
        Where to write.
    n_draws : int
        Number of draws behind the means, for the caption.
    """
    from matplotlib import rc_context
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    with rc_context(
        {"font.family": "DejaVu Sans", "font.size": 11, "text.color": _INK, "axes.edgecolor": "#888888"}
    ):
        figure = Figure(figsize=(16, 9.6), dpi=100, facecolor="white")
        FigureCanvasAgg(figure)
        _draw_all(figure, outcomes, n_draws)
        figure.savefig(file, metadata={"Software": None})


def _draw_all(figure: Figure, outcomes: Sequence[Outcome], n_draws: int) -> None:
    first = outcomes[0]
    figure.text(0.03, 0.958, "Sparse Attention Vectors on images and questions", size=19, weight="bold")
    figure.text(
        0.03,
        0.924,
        f"{first.shots} labeled examples per class, {len(first.heads)} of {first.layout.n_heads} heads "
        f"kept, no training; mean accuracy and 95 % interval over {n_draws} draws of the examples",
        size=12,
        color="#555555",
    )
    upper = figure.add_gridspec(
        1, 2, left=0.045, right=0.985, top=0.86, bottom=0.54, width_ratios=(2.75, 1), wspace=0.13
    )
    _bars(figure.add_subplot(upper[0, 0]), outcomes)
    _confusion(figure.add_subplot(upper[0, 1]), first)
    lower = figure.add_gridspec(
        2,
        len(outcomes),
        left=0.045,
        right=0.94,
        top=0.425,
        bottom=0.095,
        height_ratios=(1, 1.35),
        hspace=0.3,
        wspace=0.13,
    )
    for column, outcome in enumerate(outcomes):
        _strip(figure, lower[0, column], outcome)
        image = _head_map(figure.add_subplot(lower[1, column]), outcome, labeled=column == 0)
    bar = figure.colorbar(image, cax=figure.add_axes((0.952, 0.095, 0.009, 0.17)), ticks=image.get_clim())
    bar.ax.set_yticklabels(["lowest", "highest"], size=9)
    bar.ax.tick_params(length=0)
    figure.text(
        0.045,
        0.018,
        "Maps: how many shots of the first draw each head alone gets right, from black to white in each map; "
        "framed: the heads that are kept and vote.",
        size=10,
        color="#555555",
    )


def _bars(axes: Axes, outcomes: Sequence[Outcome]) -> None:
    width = 0.142
    for number, method in enumerate(_ORDER):
        places = np.arange(len(outcomes)) + (number - (len(_ORDER) - 1) / 2) * width
        values = np.array([outcome.accuracy[method].mean for outcome in outcomes]) * 100
        ends = np.array([outcome.accuracy[method].interval for outcome in outcomes]).T * 100
        errors = np.abs(ends - values)
        axes.bar(places, values, width * 0.92, color=COLORS[method], label=METHODS[method], zorder=2)
        axes.errorbar(places, values, yerr=errors, fmt="none", ecolor=_INK, elinewidth=1, capsize=2, zorder=3)
        for place, value, top in zip(places, values, ends[1], strict=True):
            weight = "bold" if method in ("sav", "auto") else "normal"
            axes.text(place, max(value, top) + 1.5, f"{value:.0f}", ha="center", size=9, weight=weight)
    axes.set_xticks(range(len(outcomes)), [outcome.title for outcome in outcomes], size=11)
    axes.set_ylim(0, 109)
    axes.set_yticks(range(0, 101, 25))
    axes.set_ylabel("accuracy, %")
    axes.grid(axis="y", color="#E6E6E6", zorder=0)
    axes.tick_params(length=0)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.legend(
        loc="lower left", bbox_to_anchor=(-0.01, 1.0), ncols=len(_ORDER), frameon=False, handlelength=1.1
    )


def _confusion(axes: Axes, outcome: Outcome) -> None:
    counts = outcome.confusion
    shares: NDArray[Any] = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    for row, column in np.argwhere(shares >= 0.005):
        share = shares[row, column]
        color = "white" if share > 0.55 else _INK
        axes.text(column, row, f"{100 * share:.0f}", ha="center", va="center", size=8, color=color)
    names = [str(name) for name in outcome.classes]
    axes.set_xticks(range(len(names)), names)
    axes.set_yticks(range(len(names)), names)
    axes.tick_params(length=0, labelsize=10)
    axes.set_xlabel("answer of SAVs", size=10)
    axes.set_ylabel("truth", size=10)
    axes.set_title(f"{outcome.title}: first draw, % of each row", size=11, loc="center", pad=8)
    axes.spines[:].set_visible(False)


def _strip(figure: Figure, place: Any, outcome: Outcome) -> None:
    """Draw a few test items of one task with truth and answer."""
    exhibits = _that_fit(outcome.exhibits)
    grid = place.subgridspec(1, max(1, len(exhibits)), wspace=0.08)
    whole = figure.add_subplot(place)
    whole.set_axis_off()
    whole.set_title(outcome.title, size=12, weight="bold", loc="left", pad=8)
    for column, exhibit in enumerate(exhibits):
        axes = figure.add_subplot(grid[0, column])
        axes.imshow(_side_by_side(exhibit), interpolation="nearest")
        if exhibit.text:
            note = textwrap.fill(exhibit.text, 10)
            axes.text(_CARD / 2 + _SIDE + _GAP, _SIDE / 2, note, ha="center", va="center", size=9)
        axes.set_anchor("N")
        axes.set_xticks([])
        axes.set_yticks([])
        right = exhibit.truth == exhibit.answer
        for spine in axes.spines.values():
            spine.set(color="#009E73" if right else "#CC79A7", linewidth=2)
        axes.set_xlabel(_caption(exhibit, right), size=9, labelpad=4, linespacing=1.25)


def _that_fit(exhibits: Sequence[Exhibit]) -> Sequence[Exhibit]:
    wide = any(exhibit.text or len(exhibit.images) > 1 for exhibit in exhibits)
    return exhibits[:2] if wide else exhibits[:4]


def _caption(exhibit: Exhibit, right: bool) -> str:
    return f"✓ {exhibit.answer}" if right else f"✗ {exhibit.answer}\nnot {exhibit.truth}"


def _side_by_side(exhibit: Exhibit) -> NDArray[np.uint8]:
    """Join the images, and a blank card for the note, to shape (64, total width, 3)."""
    images = [np.asarray(image.convert("RGB").resize((_SIDE, _SIDE))) for image in exhibit.images]
    if exhibit.text:
        images.append(np.full((_SIDE, _CARD, 3), (255, 248, 220), dtype=np.uint8))
    gap = np.full((_SIDE, _GAP, 3), 255, dtype=np.uint8)
    pieces = [piece for image in images for piece in (gap, image)][1:]
    return np.concatenate(pieces, axis=1)


def _head_map(axes: Axes, outcome: Outcome, *, labeled: bool) -> Any:
    """Draw the share of shots that each head classifies correctly, layer by head; kept heads are framed."""
    from matplotlib.patches import Rectangle

    layout = outcome.layout
    width = max(head.index for head in layout.heads) + 1
    grid = np.full((layout.n_layers, width), np.nan)
    shares = outcome.head_scores / (outcome.shots * len(outcome.classes)) * 100
    for head, share in zip(layout.heads, shares, strict=True):
        grid[head.layer, head.index] = share
    image = axes.imshow(grid, cmap="Greys_r", origin="lower", aspect="auto")
    for head in outcome.heads:
        corner = (head.index - 0.42, head.layer - 0.42)
        axes.add_patch(Rectangle(corner, 0.84, 0.84, fill=False, edgecolor=_KEPT, linewidth=2))
    axes.set_title(
        f"heads: {shares.min():.0f} to {shares.max():.0f} % of shots right", size=10, loc="left", pad=5
    )
    axes.set_xticks(range(0, width, 2))
    axes.set_yticks(range(0, layout.n_layers))
    axes.tick_params(length=0, labelsize=9, labelleft=labeled)
    axes.set_xlabel("head", size=10)
    if labeled:
        axes.set_ylabel("layer", size=10)
    axes.spines[:].set_visible(False)
    return image
