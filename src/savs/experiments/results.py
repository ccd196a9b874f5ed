"""`Experiment`: accuracy of every series at every place of the x axis, by draw, as JSON, CSV and plot."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, get_args

from savs._reprs import short_repr
from savs.cache._files import whole_file, write_all
from savs.errors import ItemError
from savs.evaluation import interval_over_draws

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from savs.experiments.reading import Outcome
    from savs.experiments.shortcuts import ShortcutAudit

__all__ = ["Experiment", "Kind", "PlotFormat", "Row", "file_stem"]

SCHEMA = 1

Kind = Literal["shots", "heads", "transfer", "interleaved", "noise"]
PlotFormat = Literal["png", "svg"]


@dataclass(frozen=True)
class Row:
    """One series at one place in one draw.

    Attributes
    ----------
    x : int, float or str
        The place on the x axis.
    series : str
        What is compared, such as a method.
    draw : int
        Which draw, from 0 on.
    accuracy : float or None
        Share of the test items that were right; None where there are no answers.
    n_test : int
        Number of test items.
    failure : str or None
        Why there are no answers.
    """

    x: float | str
    series: str
    draw: int
    accuracy: float | None
    n_test: int
    failure: str | None = None

    @classmethod
    def of(cls, x: float | str, series: str, draw: int, outcome: Outcome) -> Row:
        """Return the row of an outcome."""
        return cls(x, series, draw, outcome.accuracy, outcome.n_test, outcome.failure)


@dataclass(frozen=True)
class Experiment:
    """What an experiment found.

    Attributes
    ----------
    kind : str
        ``shots``, ``heads``, ``transfer``, ``interleaved`` or ``noise``.
    task : str
        Name of the dataset.
    methods : list of str
        The methods.
    x_name : str
        Title of the x axis.
    rows : list of Row
        One per place, series and draw.
    settings : dict
        With what the experiment can be run again, JSON-able.
    errors : list of ItemError
        Of the examples that could not be read.
    """

    kind: Kind
    task: str
    methods: list[str]
    x_name: str
    rows: list[Row]
    settings: dict[str, Any]
    errors: list[ItemError] = field(default_factory=list)

    __repr__ = short_repr

    @property
    def x_values(self) -> list[float | str]:
        """The places on the x axis, in order."""
        return list(dict.fromkeys(row.x for row in self.rows))

    @property
    def series(self) -> list[str]:
        """What is compared, in order."""
        return list(dict.fromkeys(row.series for row in self.rows))

    def summary(self) -> list[dict[str, Any]]:
        """Return mean accuracy and 95 % interval over draws (Student's t) by series and place.

        Returns
        -------
        list of dict
            ``{"x", "series", "mean", "low", "high", "n_draws"}``. Draws without answers are left out; the
            mean is None without any draw, the interval with fewer than two.
        """
        values: dict[tuple[str, float | str], list[float]] = {}
        for series in self.series:
            for row in self.rows:
                if row.series == series:
                    kept = values.setdefault((series, row.x), [])
                    kept.extend([] if row.accuracy is None else [row.accuracy])
        return [{"x": x, "series": series, **mean_over_draws(found)} for (series, x), found in values.items()]

    def failures(self) -> dict[str, str]:
        """Return the first reason of every series that gave no answers somewhere."""
        found: dict[str, str] = {}
        for row in self.rows:
            if row.failure is not None:
                found.setdefault(row.series, row.failure)
        return found

    def record(self) -> dict[str, Any]:
        """Return everything as plain data, for JSON."""
        return {
            "schema": SCHEMA,
            "kind": self.kind,
            "task": self.task,
            "methods": self.methods,
            "x_name": self.x_name,
            "rows": [asdict(row) for row in self.rows],
            "summary": self.summary(),
            "settings": self.settings,
        }

    @classmethod
    def from_record(cls, record: Mapping[str, Any]) -> Experiment:
        """Return what `record` wrote; `ValueError` for anything else."""
        kind: Any = record.get("kind")
        if record.get("schema") != SCHEMA or kind not in get_args(Kind):
            raise ValueError(f"this is no record of an experiment of schema {SCHEMA}")
        rows = [Row(**row) for row in record["rows"]]
        names = ("task", "methods", "x_name", "settings")
        return cls(kind=kind, rows=rows, **{name: record[name] for name in names})

    def plot(self) -> Figure:
        """Return the plot, as a matplotlib figure (needs ``savs[plots]``)."""
        from savs.experiments.plots import draw_experiment

        return draw_experiment(self)

    def write_csv(self, file: str | Path) -> None:
        """Write one line per place, series and draw.

        Parameters
        ----------
        file : str or Path
            Where to; an older file stays until the new one is complete.
        """
        write_csv(Path(file), [asdict(row) for row in self.rows])

    def write(self, folder: str | Path, *, plot_format: PlotFormat = "png") -> list[Path]:
        """Write record, table and plot as ``<kind>-<task>.json``, ``.csv`` and ``.png``.

        Parameters
        ----------
        folder : str or Path
            Where to; made if it is missing.
        plot_format : {"png", "svg"}, default="png"
            Of the plot.

        Returns
        -------
        list of Path
            The files.
        """
        return write_files(Path(folder), self.kind, self, plot_format)


def mean_over_draws(values: Sequence[float]) -> dict[str, Any]:
    """Return mean, interval and number of draws.

    Examples
    --------
    >>> mean_over_draws([0.5])
    {'mean': 0.5, 'low': None, 'high': None, 'n_draws': 1}
    """
    low, high = interval_over_draws(values) or (None, None)
    mean = sum(values) / len(values) if values else None
    return {"mean": mean, "low": low, "high": high, "n_draws": len(values)}


def write_files(
    folder: Path, kind: str, found: Experiment | ShortcutAudit, plot_format: PlotFormat
) -> list[Path]:
    """Write record, table and plot of what was found, and return the three files.

    Parameters
    ----------
    folder : Path
        Made if it is missing.
    kind : str
        Begins the names of the files.
    found : Experiment or ShortcutAudit
        What to write.
    plot_format : {"png", "svg"}
        Of the plot.
    """
    base = folder / file_stem(kind, found.task)
    folder.mkdir(parents=True, exist_ok=True)
    files = [base.with_name(f"{base.name}.{ending}") for ending in ("json", "csv", plot_format)]
    write_json(files[0], found.record())
    found.write_csv(files[1])
    write_plot(files[2], found.plot())
    return files


def file_stem(kind: str, task: str) -> str:
    """Return the name of an experiment's files, without ending.

    Parameters
    ----------
    kind, task : str
        Of the experiment.

    Examples
    --------
    >>> file_stem("shots", "my data/part 1")
    'shots-my-data-part-1'
    """
    return f"{kind}-{re.sub(r'[^A-Za-z0-9_.+-]+', '-', task).strip('-.') or 'data'}"


def write_json(file: Path, record: Mapping[str, Any]) -> None:
    """Write a record as JSON; an older file stays until the new one is complete."""
    _write(file, (json.dumps(record, allow_nan=False, indent=1) + "\n").encode())


def write_csv(file: Path, rows: Sequence[Mapping[str, Any]]) -> None:
    """Write rows of the same keys as CSV; an older file stays until the new one is complete."""
    text = io.StringIO()
    table = csv.DictWriter(text, list(rows[0]), lineterminator="\n", quoting=csv.QUOTE_MINIMAL)
    table.writeheader()
    table.writerows(rows)
    _write(file, text.getvalue().encode())


def write_plot(file: Path, figure: Figure) -> None:
    """Write a figure in the format that the file's name ends in, with nothing of the time in it."""
    from matplotlib import rc_context

    kind = file.suffix.removeprefix(".")
    stream = io.BytesIO()
    stamp = {"Software": None} if kind == "png" else {"Date": None, "Creator": None}
    with rc_context({"svg.hashsalt": "savs"}):
        figure.savefig(stream, format=kind, metadata=stamp)
    _write(file, stream.getvalue())


def _write(file: Path, content: bytes) -> None:
    with whole_file(file.parent) as (descriptor, finish):
        write_all(descriptor, content)
        finish(file.name)
