"""Classifiers of several labels per example: fit and evaluate, and the option that says how labels stand."""

from __future__ import annotations

import shlex
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from savs.cli._inputs import read_data, with_sampling_of
from savs.cli._output import percent, percents, print_json, show, table
from savs.cli._results import (
    Answer,
    answer,
    by_position,
    check_writable,
    error_entry,
    finish_evaluation,
    report_store,
    shares_by_name,
)
from savs.cli._session import Session
from savs.cli._tables import ERROR_COLUMNS, Columns

if TYPE_CHECKING:
    from savs.data import DataSource, ErrorLedger, Example, ReadOptions
    from savs.model import MultiLabelModel, SAVModel

METHOD = "mean_proba"
"""What stands in for the published rule, whose vote shares are not probabilities of a label."""


def multi_label_option(help: str) -> Callable[[Any], Any]:
    """Return the option ``--multi-label``."""
    return click.option("--multi-label", metavar="SEP", callback=_checked, help=help)


def _checked(_context: click.Context, _option: click.Parameter, value: str | None) -> str | None:
    if value is not None and not value.strip():
        raise click.BadParameter("name the text between two labels, such as ';'")
    return value


def reading_of(
    model: SAVModel | MultiLabelModel, reading: ReadOptions, multi_label: str | None
) -> ReadOptions:
    """Return how a saved classifier's data are read: videos as at fit, and labels where they are several.

    Raises
    ------
    click.UsageError
        If `multi_label` is given for a classifier of one label per example.
    """
    from savs.model import MultiLabelModel

    reading = with_sampling_of(model, reading)
    if isinstance(model, MultiLabelModel):
        return replace(reading, multi_label=multi_label or model.separator or ";")
    if multi_label is not None:
        raise click.UsageError("--multi-label: the classifier was fitted with one label per example")
    return reading


# savs fit --multi-label


def fit_labels(
    session: Session,
    train: DataSource,
    reading: ReadOptions,
    backbone: str,
    output: Path,
    settings: Mapping[str, Any],
    loading: Mapping[str, Any],
) -> None:
    """Fit a classifier of several labels per example, save it, and print what it is.

    Parameters
    ----------
    session : Session
    train : path, address or several of them
    reading : ReadOptions
        With `multi_label`.
    backbone : str
    output : Path
        New or empty.
    settings : mapping
        Keywords of `savs.MultiLabelModel`: prompt, method, n_heads.
    loading : mapping
        Keywords of `savs.load_backbone`, and ``store``.
    """
    from savs.model import MultiLabelModel

    started = time.perf_counter()
    if output.exists() and (not output.is_dir() or any(output.iterdir())):
        raise click.BadParameter(f"{output} is not empty; name a new folder", param_hint="--output")
    check_writable(output)
    try:
        model = MultiLabelModel.from_backbone(
            backbone, lazy=True, progress=session.progress, **settings, **loading
        )
    except ValueError as error:  # a setting that the method does not take
        raise click.UsageError(str(error)) from None
    examples = read_data(train, reading, require_labels=True)
    model.fit(examples, progress=session.progress)
    model.separator = reading.multi_label
    model.save_pretrained(output)
    summary = _summary(model, examples, output, time.perf_counter() - started)
    summary |= report_store(model, session)
    if session.as_json:
        print_json(summary)
    elif not session.quiet:
        _show_fit(summary)


def _summary(
    model: MultiLabelModel, examples: Sequence[Example], output: Path, seconds: float
) -> dict[str, Any]:
    from dataclasses import asdict

    estimates = {str(label): one.estimate_ for label, one in zip(model.labels_, model.models_, strict=True)}
    return {
        "classifier": str(output),
        "labels": model.labels_,
        "n_shots": len(examples),
        "shots_per_label": {
            str(label): sum(label in (example.labels or ()) for example in examples)
            for label in model.labels_
        },
        "n_without_label": sum(not example.labels for example in examples),
        "method": model.models_[0].method_.name,
        "estimates": {name: None if one is None else asdict(one) for name, one in estimates.items()},
        "prompt": model.prompt,
        "seconds": round(seconds, 2),
    }


def _show_fit(summary: Mapping[str, Any]) -> None:
    folder = shlex.quote(summary["classifier"])
    rows = []
    for name, count in summary["shots_per_label"].items():
        one = summary["estimates"][name]
        known = one is not None and not one["n_untested_classes"]
        rows.append((name, count, percent(one["accuracy"]) if known else "-"))
    show(table(["label", "shots with it", "yes or no right"], rows))
    show(
        f"{summary['n_shots']} shots, {summary['n_without_label']} of them without any label",
        f"method {summary['method']}; the last column is estimated from held-out shots, label by label",
        f"saved to {summary['classifier']} after {summary['seconds']:.1f} s; next:",
        f"  savs evaluate {folder} TEST",
        f"  savs predict {folder} DATA -o answers.jsonl",
    )


# savs evaluate


def evaluate_labels(
    session: Session,
    model: MultiLabelModel,
    test: DataSource,
    reading: ReadOptions,
    ledger: ErrorLedger,
    output: Path | None,
) -> int:
    """Report the figures of a classifier of several labels on test data; return the exit code.

    Parameters
    ----------
    session : Session
    model : MultiLabelModel
    test : path, address or several of them
    reading : ReadOptions
        As `reading_of` returns it.
    ledger : ErrorLedger
        Empty.
    output : Path or None
        File for a row per example.
    """
    from savs.data import adopt_label_type, warn_of_test_leakage
    from savs.evaluation import multi_label_report

    started = time.perf_counter()
    examples = read_data(test, reading, ledger, require_labels=True)
    examples = adopt_label_type(examples, test, model.labels_)
    positions = by_position(examples, ledger)
    answers = answer(model, positions, ledger, progress=session.progress)
    truth = [positions[index].labels or () for index in answers]
    report = multi_label_report(truth, [one.label for one in answers.values()], model.labels_)
    leaks = model.models_[0].find_test_leakage(examples)
    warn_of_test_leakage(leaks, examples)
    report["n_errors"], report["n_leaks"] = len(ledger.errors), len(leaks)
    report["errors"] = [error.record() for error in ledger.errors]
    rows = _rows(positions, answers, ledger, model)
    return finish_evaluation(
        session, model, report, rows, _columns(model, rows), output=output, started=started, show=_show_report
    )


def _rows(
    examples: Mapping[int, Example],
    answers: Mapping[int, Answer],
    ledger: ErrorLedger,
    model: MultiLabelModel,
) -> list[dict[str, Any]]:
    from savs._labels import key_of

    rows: dict[int, dict[str, Any]] = {}
    for index, error in ledger.by_index.items():
        true = list(examples[index].labels or ()) if index in examples else None
        nothing = {"labels": None, "correct": None, "proba": None}
        rows[index] = {
            "id": error.record()["id"],
            "true_labels": true,
            **nothing,
            "error": error_entry(error),
        }
    for index, one in answers.items():
        true = list(examples[index].labels or ())
        rows[index] = {
            "id": examples[index].id,
            "true_labels": true,
            "labels": one.label,
            "correct": set(map(key_of, true)) == set(map(key_of, one.label)),
            "proba": shares_by_name(model.labels_, one.proba),
        }
    return [rows[index] for index in sorted(rows)]


def _columns(model: MultiLabelModel, rows: Sequence[Mapping[str, Any]]) -> Columns:
    kind: Any = list[type(model.labels_[0])]  # type: ignore[misc]
    known = {type(label) for row in rows for label in row["true_labels"] or ()}
    true: Any = list[known.pop()] if len(known) == 1 else kind  # type: ignore[misc]
    shares = {f"proba.{label}": float for label in model.labels_}
    return {"id": str, "true_labels": true, "labels": kind, "correct": bool, **shares, **ERROR_COLUMNS}


def _show_report(report: Mapping[str, Any], *, brief: bool) -> None:
    if report["subset_accuracy"] is None:
        show("no accuracy: no example could be classified")
    else:
        show(
            f"all labels right {percent(report['subset_accuracy'])} (95 % interval "
            f"{percents(report['interval'])}, n = {report['n']}), micro F1 {percent(report['micro_f1'])}, "
            f"macro F1 {percent(report['macro_f1'])}, Hamming loss {report['hamming_loss']:.3f}"
        )
    if not brief:
        shares = ("precision", "recall", "f1")
        rows = [
            (name, one["n"], one["n_predicted"], *(percent(one[share]) for share in shares))
            for name, one in report["per_label"].items()
        ]
        show(table(["label", "n", "answered", "precision", "recall", "F1"], rows))
        for error in report["errors"]:
            show(f"not classified: {error['id']}: {error['message']}")
