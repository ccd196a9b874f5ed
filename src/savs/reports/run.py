"""The report of a benchmark run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from savs._labels import key_of
from savs.benchmarks.published import published_results
from savs.benchmarks.results_table import ResultRow, in_order, result_rows
from savs.errors import DataError
from savs.evaluation import interval_over_draws
from savs.evaluation.contenders import BASELINES, works_without_shots
from savs.experiments.plots import curves_of, draw_experiment
from savs.experiments.results import mean_over_draws
from savs.experiments.shortcuts import CONTROLS
from savs.figures import Point, plot_confusion, plot_heads, plot_reliability, plot_shots
from savs.reports._run_files import RunFiles, mean_head_map
from savs.reports.content import (
    DASH,
    Block,
    Card,
    Cards,
    Cell,
    Facts,
    Headline,
    Note,
    Picture,
    Report,
    Section,
    Table,
    interval,
    name_of,
    percent,
)

__all__ = ["run_report"]

MOST_LABELS = 12
"""Labels of a confusion matrix; of more, those that are confused most."""
_MOST_CURVES = 7
_MOST_SUSPECTS = 20
_MOST_OTHER_ANSWERS = 3
_NO_ANSWER, _OTHERS = "no answer", "(other answers)"
_CONTROLS = ("majority", "tf_idf", "pixels", "metadata")
"""Methods whose answers say little about a label."""


def run_report(folder: str | Path, *, method: str | None = None) -> Report:
    """Return the report of a benchmark run, finished or not.

    Parameters
    ----------
    folder : str or Path
        Written by ``savs benchmark``.
    method : str, optional
        What the headline, the figures and the mistakes are about, at its largest number of shots; by default
        the first method of the run that learns from shots and is no baseline, whatever the results are.

    Raises
    ------
    DataError
        If it is no run, nothing of it is finished, a file is damaged, or the method is not in it.
    """
    return _RunReport(RunFiles(Path(folder)), method).report()


class _Subject(NamedTuple):
    """The method that the report looks at closely."""

    method: str
    shots: int

    @property
    def name(self) -> str:
        return f"{self.method}, {self.shots} shots per class" if self.shots else self.method


class _RunReport:
    def __init__(self, run: RunFiles, method: str | None) -> None:
        self.run = run
        self.rows = in_order(result_rows(run.cells), run.settings)
        self.subject = self._chosen(method)
        self.command = str(run.configuration.get("command", "savs benchmark"))

    def _chosen(self, method: str | None) -> _Subject:
        names = list(dict.fromkeys(row.method for row in self.rows))
        if method is not None and method not in names:
            raise DataError(
                f"{self.run.path}: no method {method!r} in this run; there are {', '.join(names)}"
            )
        name = method
        if name is None:
            wanted = [one for one in self.run.settings.get("methods", []) if one in names]
            done = {row.method for row in self.rows if row.mean is not None}
            finished = [one for one in [*wanted, *names] if one in done]
            name = next(iter(_baselines_last(finished)), names[0])
        counts = [row.shots for row in self.rows if row.method == name]
        known = [row.shots for row in self.rows if row.method == name and row.mean is not None]
        return _Subject(name, max(known or counts))

    def report(self) -> Report:
        """Return all sections."""
        tasks, backbone = self.run.tasks, self.run.configuration.get("backbone", {})
        title = tasks[0] if len(tasks) == 1 else f"{len(tasks)} tasks, {len(self._methods())} methods"
        sections = [
            Section(
                "Results",
                list(self._results()),
                "Percent, with the 95 % interval below.",
            ),
            Section("Probabilities, time and size", list(self._costs())),
            Section("Curves", list(self._curves()), "Accuracy with 95 % intervals over draws."),
            Section("Heads", list(self._head_maps())),
            Section("Confusions", list(self._confusions())),
            Section("Calibration", list(self._reliability())),
            Section("Shortcut audit", list(self._audit())),
            Section("Most confident mistakes", list(self._mistakes())),
            Section("Suspect labels", list(self._suspects())),
            Section("Configuration", [Facts(list(self._configuration()))]),
        ]
        return Report(
            title=title,
            subtitle="Benchmark run",
            headline=self._headline(),
            facts=[
                ("backbone", str(backbone.get("name", "unknown"))),
                ("method", self.subject.method),
                ("shots per class", str(self.subject.shots)),
                ("draws", str(self.run.settings.get("draws", ""))),
                ("tasks", ", ".join(tasks)),
            ],
            sections=[one for one in sections if one.blocks],
        )

    # Numbers.

    def _methods(self) -> list[str]:
        return list(dict.fromkeys(row.method for row in self.rows))

    def _main_figure(self, task: str) -> str:
        return next(row.figure for row in self.rows if row.task == task)

    def _headline(self) -> Headline | None:
        method, shots = self.subject
        figures = {task: self._main_figure(task) for task in self.run.tasks}
        found: dict[int, dict[str, Mapping[str, float]]] = {}
        for cell in self.run.cells:
            figure = cell["figures"].get(figures[cell["task"]])
            if (cell["method"], cell["shots"]) == (method, shots) and figure is not None:
                found.setdefault(cell["draw"], {})[cell["task"]] = figure
        tasks = sorted({task for by_task in found.values() for task in by_task})
        whole = [by_task for by_task in found.values() if len(by_task) == len(tasks)]
        if not whole:
            return None
        values = [float(np.mean([one["value"] for one in by_task.values()])) for by_task in whole]
        low, high = interval_over_draws(values) or (None, None)
        over = f"{len(values)} draws of the shots (Student's t)"
        if len(values) == 1:
            over = "one draw of the shots"
            if len(tasks) == 1:
                (one,) = whole[0].values()
                low, high = one["low"], one["high"]
                over += ", interval over its test items"
        names = sorted({figures[task].replace("_", " ") for task in tasks})
        what = " / ".join(names)
        n_test = sum(row.n_test for row in self.rows if self._is_main(row, figures))
        about = f"Mean over {over}, on {n_test} test items that are no shots."
        name = f"{what[:1].upper()}{what[1:]} of {self.subject.name}"
        if len(tasks) > 1:
            name += f", mean over {len(tasks)} tasks"
        return Headline(name, float(np.mean(values)), low, high, about)

    def _is_main(self, row: ResultRow, figures: Mapping[str, str]) -> bool:
        return (row.method, row.shots, row.figure) == (*self.subject, figures[row.task])

    def _results(self) -> Iterator[Block]:
        main = [row for row in self.rows if " of " not in row.figure]
        for shots in dict.fromkeys(row.shots for row in main):
            rows = [row for row in main if row.shots == shots]
            figures = list(dict.fromkeys((row.task, row.figure) for row in rows if row.figure != "-"))
            if not figures:
                figures = list(dict.fromkeys((row.task, row.figure) for row in rows))
            by_place = {(row.method, row.task, row.figure): row for row in rows}
            best = {
                place: max(
                    (row.mean for row in rows if (row.task, row.figure) == place and row.mean), default=None
                )
                for place in figures
            }
            table = [
                [
                    Cell(method, strong=method == self.subject.method),
                    *(
                        self._cell(
                            by_place.get((method, *place)) or by_place.get((method, place[0], "-")),
                            best[place],
                        )
                        for place in figures
                    ),
                ]
                for method in dict.fromkeys(row.method for row in rows)
            ]
            protocols = {row.task: row.protocol for row in rows}
            columns = [f"{task} ({protocols[task]}), {figure.replace('_', ' ')}" for task, figure in figures]
            caption = f"{shots} shots per class" if shots else "No shots: class names alone"
            yield Table(f"{caption}; bold numbers are the best of their column", ["method", *columns], table)
        failed = [
            f"{row.method} on {row.task}: {row.n_failed} items without an answer, counted as wrong"
            for row in main
            if row.n_failed
        ]
        if failed:
            yield Note("; ".join(failed) + ".")

    def _cell(self, row: ResultRow | None, best: float | None) -> Cell:
        if row is None:
            return Cell(DASH)
        if row.mean is None:
            return Cell("failed", row.failure or "")
        detail = interval(row.low, row.high)
        published = published_results(row.task, row.protocol, row.figure, row.method, row.shots)
        detail += "".join(f"; published: {one.value} ({one.backbone})" for one in published)
        if row.n_failures:
            detail += f"; {row.n_failures} draws failed: {row.failure}"
        return Cell(f"{100 * row.mean:.1f}", detail.removeprefix("; "), row.mean, strong=row.mean == best)

    def _costs(self) -> Iterator[Block]:
        rows = []
        for method in self._methods():
            cells = [cell for cell in self.run.cells if cell["method"] == method and cell["failure"] is None]
            shots = max((cell["shots"] for cell in cells), default=0)
            cells = [cell for cell in cells if cell["shots"] == shots]
            given = [cell["probability"] for cell in cells if cell["probability"] is not None]
            if not cells:
                continue
            figures = [
                f"{np.mean([one[name] for one in given]):.3f}" if given else DASH
                for name in ("log_loss", "ece", "brier")
            ]
            sizes = [cell["bytes"] for cell in cells if cell["bytes"] is not None]
            size = f"{np.mean(sizes) / 1024:.0f} kB" if sizes else DASH
            seconds = f"{np.mean([cell['seconds'] for cell in cells]):.2f} s"
            name = Cell(method, strong=method == self.subject.method)
            rows.append([name, *map(Cell, (*figures, seconds, size))])
        columns = ["method", "log loss", "calibration error", "Brier score", "fit and answer", "size"]
        caption = (
            "Means over tasks and draws at the most shots; time is without the forward pass that methods on "
            "heads share"
        )
        yield Table(caption, columns, rows)

    # Figures.

    def _curves(self) -> Iterator[Block]:
        counts = sorted({row.shots for row in self.rows if row.shots})
        for task in self.run.tasks if len(counts) > 1 else []:
            figure, by_method = self._main_figure(task), dict[str, list[Point]]()
            for row in self.rows:
                if (row.task, row.figure) == (task, figure) and row.shots and row.mean is not None:
                    points = by_method.setdefault(row.method, [])
                    points.append(Point(row.shots, row.mean, row.low, row.high))
            shown = {name: sorted(by_method[name]) for name in self._shown(list(by_method))}
            if shown:
                yield self._shots_picture(task, shown, len(by_method))
        for found in self.run.experiments():
            alt = f"{found.kind} experiment on {found.task}"
            if found.kind in ("transfer", "interleaved"):
                yield Picture(draw_experiment(found), alt, alt, wide=True)
                continue
            curves = {name: points for name, points in curves_of(found).items() if points}
            if curves:
                drawn = plot_shots(
                    curves, x_name=found.x_name, logarithmic=found.kind != "noise", title=found.task
                )
                yield Picture(drawn, f"{alt}: {_ends(curves)}", f"{found.x_name}, {found.task}")
        if len(counts) < 2 and not (self.run.path / "experiments").is_dir():
            yield Note(
                "One number of shots. Curves against shots and heads come from",
                f"savs experiment shots DATA -b BACKBONE -o {self.run.path / 'experiments'}",
            )

    def _shown(self, methods: Sequence[str]) -> list[str]:
        """Return the methods that have a curve: the subject first, the majority class last."""
        first, last = self.subject.method, "majority"
        kept = {first, last} & set(methods)
        rest = [name for name in _baselines_last(methods) if name not in kept]
        shown = [*kept, *rest[: _MOST_CURVES - len(kept)]]
        order = [first, *rest, last]
        return sorted(shown, key=order.index)

    def _shots_picture(self, task: str, curves: Mapping[str, Sequence[Point]], n_methods: int) -> Picture:
        drawn = plot_shots(curves, title=task)
        some = f": {len(curves)} of {n_methods} methods" if len(curves) < n_methods else ""
        alt = f"Accuracy against shots on {task}: {_ends(curves)}"
        return Picture(drawn, alt, f"{task}, from this run{some}")

    def _head_maps(self) -> Iterator[Block]:
        for task in self.run.tasks:
            method, maps = self._ranked_heads(task)
            heads, means, kept = mean_head_map(maps) if maps else ([], None, [])
            if not heads:
                continue
            drawn = plot_heads(heads, means, kept, score_name="mean score", title=f"{task}, {method}")
            over = f"mean over {len(maps)} draws" if len(maps) > 1 else "one draw"
            color = f"Color: score, {over}. " if means is not None else "The method ranks no heads. "
            often = "kept in most draws" if len(maps) > 1 else "kept"
            alt = f"Map of {len(heads)} heads on {task} by {method}: " + (
                f"{len(kept)} {often}, in layers {_listed(sorted({layer for layer, _ in kept}))}"
            )
            caption = f"{color}Outlined: the {len(kept)} of {len(heads)} heads that are {often}."
            yield Picture(drawn, alt, caption, wide=max(index for _, index in heads) > 40)

    def _ranked_heads(self, task: str) -> tuple[str, list[dict[str, Any]]]:
        """Return a method with its head maps: the subject, or the first that ranks heads if it does not."""
        others = [name for name in self._methods() if name != self.subject.method]
        for method in (self.subject.method, *others):
            maps = self.run.head_maps(task, method, self.subject.shots)
            if maps and all(one["scores"] for one in maps):
                return method, maps
        return self.subject.method, self.run.head_maps(task, *self.subject)

    def _confusions(self) -> Iterator[Block]:
        for task in self.run.tasks:
            answers = self.run.answers(task, *self.subject)
            if not answers:
                continue
            pairs = Counter(
                (str(one["label"]), _NO_ANSWER if one["answer"] is None else str(one["answer"]))
                for one in answers
            )
            labels, n_labels = _most_confused(pairs)
            said, counts = _confusion_counts(pairs, labels)
            wrong = [(pair, n) for pair, n in pairs.most_common() if pair[0] != pair[1]][:3]
            most = "; ".join(
                f"{name_of(label)} taken for {name_of(answer)}: {n}" for (label, answer), n in wrong
            )
            alt = f"Confusion matrix of {len(labels)} labels on {task}. Most often: {most or 'no mistakes'}"
            some = (
                f"The {len(labels)} of {n_labels} labels with the most mistakes. "
                if len(labels) < n_labels
                else ""
            )
            draws = len(self.run.draws(task, *self.subject))
            caption = f"{some}Answers of {draws} draws. " + (
                f"Most often: {most}." if most else "No mistakes."
            )
            yield Picture(plot_confusion(counts, labels, said, title=task), alt, caption)

    def _reliability(self) -> Iterator[Block]:
        unsure = []
        for task in self.run.tasks:
            answers = [one for one in self.run.answers(task, *self.subject) if one["probability"] is not None]
            if not answers:
                unsure.append(task)
                continue
            sure = np.clip([one["probability"] for one in answers], 0, 1)
            right = np.array([_is_right(one) for one in answers])
            text = (
                f"{task}: answers have a mean probability of {percent(float(sure.mean()))}, and "
                f"{percent(float(right.mean()))} of them are right."
            )
            caption = f"{text} Larger points are more answers; on the dashed line both are equal."
            draws = len(self.run.draws(task, *self.subject))
            if draws > 1:  # of the same items
                caption += f" Intervals take the answers of {draws} draws as independent."
            yield Picture(plot_reliability(sure, right, title=task), f"Reliability diagram. {text}", caption)
        if unsure:
            yield Note(
                f"{self.subject.method} gives no probabilities on {_listed(unsure)}; other methods may:",
                f"savs report {self.run.path} --method NAME -o report.html",
            )

    # Shortcuts, mistakes, suspect labels.

    def _audit(self) -> Iterator[Block]:
        lines = self.run.audits()
        if not lines:
            yield Note(
                "No audit was made. It is part of a run with",
                f"{self.command.partition(' -o ')[0]} --audit -o NEW-RUN",
            )
            return
        tasks = list(dict.fromkeys(line["task"] for line in lines))
        rows = [[Cell("unchanged", "the method as it is"), *(_audited(lines, task, None) for task in tasks)]]
        rows += [
            [Cell(control.replace("_", " "), what), *(_audited(lines, task, control) for task in tasks)]
            for control, what in CONTROLS.items()
        ]
        first = lines[0]
        caption = f"Accuracy of {first['method']}, {first['shots']} shots per class, mean over draws"
        yield Table(caption, ["control", *tasks], rows)
        yield Note(
            "Where a control is clearly above the most frequent class, something other than what is asked "
            "gives the label away."
        )

    def _mistakes(self) -> Iterator[Block]:
        most = 12 if len(self.run.tasks) == 1 else 6
        for task in self.run.tasks:
            items, seen = self.run.items(task), dict[str, dict[str, Any]]()
            answers = self.run.answers(task, *self.subject)
            wrong = [one for one in answers if one["answer"] is not None and not _is_right(one)]
            wrong.sort(key=lambda one: (-_sureness(one), str(one["id"])))
            for one in wrong:
                if _sureness(one) > 0:
                    seen.setdefault(str(one["id"]), one)
            if len({item.get("text") for item in items.values()}) == 1:  # the prompt alone
                items = {id: {**item, "text": ""} for id, item in items.items()}
            cards = [self._card(one, items.get(id, {})) for id, one in list(seen.items())[:most]]
            if cards:
                yield Note(
                    f"{task}: {len(cards)} of {len(seen)} items that were answered wrong in some draw."
                )
                yield Cards(cards)
            elif wrong:
                yield Note(
                    f"{task}: {self.subject.method} gives neither probabilities nor votes, so no mistake "
                    "is the most confident one."
                )

    def _card(self, one: Mapping[str, Any], item: Mapping[str, Any]) -> Card:
        votes = one.get("votes") or {}
        shown = sorted(votes.items(), key=lambda pair: -pair[1])[:4]
        total = sum(votes.values()) or 1
        sure = f"with {percent(one['probability'])}" if one["probability"] is not None else ""
        return Card(
            id=str(one["id"]),
            label=name_of(one["label"]),
            answer=name_of(one["answer"]),
            sure=sure,
            text=str(item.get("text", "")),
            thumbnail=self.run.thumbnail(item),
            votes=[(name_of(label), n / total) for label, n in shown],
        )

    def _suspects(self) -> Iterator[Block]:
        methods = [name for name in self._methods() if name not in _CONTROLS]
        if len(methods) < 3:
            yield Note(
                "Found where three methods or more answer the same items. For the shots of a classifier:",
                "savs inspect CLASSIFIER --label-issues",
            )
            return
        rows = []
        for task in self.run.tasks:
            said: dict[str, Counter[str]] = {}
            labels: dict[str, str] = {}
            for method in self._better_than_majority(task, methods):
                counts = [row.shots for row in self.rows if (row.method, row.task) == (method, task)]
                by_item: dict[str, Counter[str]] = {}
                for one in self.run.answers(task, method, max(counts, default=0)):
                    labels[str(one["id"])] = str(one["label"])
                    by_item.setdefault(str(one["id"]), Counter())[str(one["answer"])] += 1
                for id, answers in by_item.items():  # every method has one voice
                    said.setdefault(id, Counter())[answers.most_common(1)[0][0]] += 1
            for id, answers in said.items():
                (answer, n), total = answers.most_common(1)[0], sum(answers.values())
                if answer != labels[id] and total >= 3 and 10 * n >= 9 * total:
                    rows.append((n / total, n, total, task, id, labels[id], answer))
        rows.sort(key=lambda row: (-row[0], -row[1], row[3], row[4]))
        if not rows:
            yield Note("No item has nine of ten methods against its label.")
            return
        table = [
            [
                Cell(name_of(id)),
                Cell(task),
                Cell(name_of(label)),
                Cell(name_of(answer)),
                Cell(f"{n} of {total}"),
            ]
            for _, n, total, task, id, label, answer in rows[:_MOST_SUSPECTS]
        ]
        caption = (
            f"{len(table)} of {len(rows)} test items that nine of ten methods answer with the same other "
            "label: it may be wrong, or the item hard. Only methods better than the majority class count."
        )
        yield Table(caption, ["item", "task", "label", "answer", "methods"], table)

    def _better_than_majority(self, task: str, methods: Sequence[str]) -> list[str]:
        figure = self._main_figure(task)
        means: dict[str, float] = {}
        for row in self.rows:
            if (row.task, row.figure) == (task, figure) and row.mean is not None:
                means[row.method] = max(means.get(row.method, 0.0), row.mean)
        return [name for name in methods if means.get(name, 0.0) > means.get("majority", 0.0)]

    # Configuration.

    def _configuration(self) -> Iterator[tuple[str, str]]:
        found = self.run.configuration
        yield "command", self.command
        yield "created", str(found.get("created", ""))
        backbone = found.get("backbone", {})
        yield "backbone", str(backbone.get("name", ""))
        for name in ("model_class", "dtype", "commit", "weights_digest"):
            value = backbone.get("fingerprint", {}).get(name)
            if value is not None:
                yield name.replace("_", " "), str(value)
        for name, value in self.run.settings.items():
            if value is not None:
                yield name.replace("_", " "), _listed(value) if isinstance(value, list) else str(value)
        for name, data in found.get("data", {}).items():
            known = {key: value for key, value in data.items() if value not in (None, [], "")}
            yield (
                f"task {name}",
                "; ".join(f"{key.replace('_', ' ')}: {value}" for key, value in known.items()),
            )
        yield "versions", ", ".join(f"{name} {one}" for name, one in found.get("versions", {}).items())


def _is_right(one: Mapping[str, Any]) -> bool:
    return one["answer"] is not None and key_of(one["answer"]) == key_of(one["label"])


def _sureness(one: Mapping[str, Any]) -> float:
    if one["probability"] is not None:
        return float(one["probability"])
    votes = one.get("votes") or {}
    return max(votes.values()) / sum(votes.values()) if votes else 0.0


def _most_confused(pairs: Counter[tuple[str, str]]) -> tuple[list[str], int]:
    """Return the labels with the most mistakes, in order of their names, and the number of all labels."""
    labels = sorted({label for label, _ in pairs})
    if len(labels) <= MOST_LABELS:
        return labels, len(labels)
    mistakes: Counter[str] = Counter()
    for (label, answer), n in pairs.items():
        mistakes[label] += n * (label != answer)
    return sorted(label for label, _ in mistakes.most_common(MOST_LABELS)), len(labels)


def _confusion_counts(
    pairs: Counter[tuple[str, str]], labels: Sequence[str]
) -> tuple[list[str], NDArray[np.int64]]:
    """Return the columns of a confusion matrix and its counts; a last column has what is not drawn.

    Every row counts all answers of its label, so that shares of a row are shares of its items.
    """
    known = {label for label, _ in pairs}
    strange: Counter[str] = Counter()
    for (label, answer), n in pairs.items():
        if label in labels and answer not in known:
            strange[answer] += n
    said = [*labels, *sorted(answer for answer, _ in strange.most_common(_MOST_OTHER_ANSWERS))]
    counts = np.array([[pairs[label, answer] for answer in said] for label in labels], dtype=np.int64)
    totals = [sum(n for (label, _), n in pairs.items() if label == row) for row in labels]
    others = np.array(totals) - counts.sum(axis=1)
    if others.any():
        return [*said, _OTHERS], np.column_stack([counts, others])
    return said, counts


def _baselines_last(methods: Sequence[str]) -> list[str]:
    """Return the methods in their order: those that learn from shots, those that need none, baselines."""
    return sorted(methods, key=lambda name: (name in BASELINES, works_without_shots(name)))


def _audited(lines: Sequence[Mapping[str, Any]], task: str, control: str | None) -> Cell:
    """Return the mean of a control over draws; None for the method as it is."""
    name = "accuracy" if control else "accuracy_unchanged"
    wanted = control or next(iter(CONTROLS))
    rows = [line for line in lines if line["task"] == task and line["control"] == wanted]
    values = [line["figures"][name]["value"] for line in rows if name in line["figures"]]
    if not values:
        reason = next((line["reason"] for line in rows if line.get("reason")), "")
        return Cell(DASH, str(reason))
    found = mean_over_draws(values)
    return Cell(f"{100 * found['mean']:.1f}", interval(found["low"], found["high"]), found["mean"])


def _ends(curves: Mapping[str, Sequence[Point]]) -> str:
    return "; ".join(
        f"{name} from {percent(points[0].mean)} at {points[0].x:g} to {percent(points[-1].mean)} at "
        f"{points[-1].x:g}"
        for name, points in curves.items()
    )


def _listed(values: Sequence[object]) -> str:
    return ", ".join(map(str, values))


def _counted(n: int, noun: str) -> str:
    return f"{n} {noun}" if n == 1 else f"{n} {noun}s"
