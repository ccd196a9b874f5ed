"""``savs evaluate``: accuracy of a saved classifier on labeled test examples."""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from savs.cli._inputs import read_data
from savs.cli._multi_label import evaluate_labels, multi_label_option, reading_of
from savs.cli._options import PathName, SavedClassifier, classifier_options, data_argument, example_help
from savs.cli._output import percent, percents, show, table
from savs.cli._results import (
    Answer,
    answer,
    by_position,
    check_new_file,
    error_entry,
    finish_evaluation,
    mean_layers,
    shares_by_name,
)
from savs.cli._session import Session
from savs.cli._tables import ERROR_COLUMNS, Columns, check_table_name

if TYPE_CHECKING:
    from savs.data import DataSource, ErrorLedger, Example, ReadOptions
    from savs.evaluation.probabilities import ItemScores
    from savs.model import SAVModel

__all__ = ["evaluate"]

CONFUSIONS_SHOWN = 5
CLASSES_SHOWN = 40


@click.command(
    short_help="Measure a classifier on labeled examples.",
    epilog=example_help(
        "savs evaluate my-classifier test.jsonl", "savs evaluate my-classifier test.jsonl -o answers.csv"
    ),
)
@click.argument("classifier", type=PathName())
@data_argument("test")
@click.option(
    "--output",
    "-o",
    type=PathName(dir_okay=False),
    help="File for the answer to each example: .csv, .tsv, .parquet, else JSON lines.",
)
@multi_label_option("Text between two labels of a label cell [default: as at fit].")
@classifier_options()
def evaluate(
    session: Session,
    /,
    classifier: SavedClassifier,
    test: DataSource,
    output: Path | None,
    multi_label: str | None,
    max_errors: int,
    reading: ReadOptions,
) -> int:
    """Report accuracy, log loss, ECE and Brier score with 95 % intervals, and figures for each class.

    The intervals describe other test examples: Wilson's of the accuracy, bootstrap of the others. The most
    frequent confusions are listed, too.

    TEST is read like the data of savs fit. Examples that cannot be read are listed, and not counted. Shots
    that are also in the test set are counted, with a warning.

    --output writes one row per example, in the order of TEST: id, true_label, label (the answer), correct,
    proba, log_loss and brier (its own), is_shot, and the error of one that could not be read. In CSV and
    Parquet, nested names have dots: proba.red, error.code.

    A classifier of several labels per example is judged by subset accuracy, F1 and Hamming loss, as
    scikit-learn defines them; its rows have true_labels and labels, and its JSON {"subset_accuracy",
    "micro_f1", "macro_f1", "hamming_loss", "per_label", ...}.

    --json prints {"accuracy", "interval", "n", "log_loss": {"value", "interval"}, "ece", "brier",
    "per_class", "confusion", "n_errors", "n_leaks", ...}.
    """
    from savs.data import ErrorLedger, adopt_label_type
    from savs.data._sources import expanded
    from savs.model import MultiLabelModel

    started = time.perf_counter()
    model = classifier.load_any()
    reading = reading_of(model, reading, multi_label)
    if output is not None:
        check_table_name(output)
        check_new_file(output, *expanded(test), outside=classifier.folders)
    ledger = ErrorLedger(max_errors)
    if isinstance(model, MultiLabelModel):
        return evaluate_labels(session, model, test, reading, ledger, output)
    examples = read_data(test, reading, ledger, require_labels=True)
    examples = adopt_label_type(examples, test, model.classes_.tolist())
    report, items = _report(model, examples, ledger, progress=session.progress)
    columns = _columns(items, model.classes_.tolist())
    return finish_evaluation(
        session, model, report, items, columns, output=output, started=started, show=_show
    )


def _report(
    model: SAVModel, examples: list[Example], ledger: ErrorLedger, *, progress: bool
) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    """Return the figures, and a row for each example."""
    import numpy as np

    from savs._labels import key_of
    from savs.data import warn_of_test_leakage
    from savs.evaluation import accuracy_report
    from savs.evaluation.probabilities import PROBABILITY_METRICS, ClassProbabilities, score_items

    positions = by_position(examples, ledger)
    answers = answer(model, positions, ledger, progress=progress)
    truth = {index: example.label for index, example in positions.items() if example.label is not None}
    classes = model.classes_.tolist()
    labels = [one.label for one in answers.values()]
    true = [truth[index] for index in answers]
    report = accuracy_report(true, labels, classes)
    proba = np.reshape([one.proba for one in answers.values()], (len(answers), len(classes)))
    scores = score_items(ClassProbabilities(classes, proba), true, labels)
    report |= scores.report() if answers else dict.fromkeys(PROBABILITY_METRICS)
    leaks = model.find_test_leakage(examples)
    warn_of_test_leakage(leaks, examples)
    leaked = {list(positions)[row] for row in leaks}
    fresh = [
        key_of(truth[index]) == key_of(one.label) for index, one in answers.items() if index not in leaked
    ]
    report |= mean_layers([one.n_layers for one in answers.values()])
    report["n_errors"] = len(ledger.errors)
    report["errors"] = [error.record() for error in ledger.errors]
    report["n_leaks"] = len(leaks)
    report["accuracy_without_leaks"] = sum(fresh) / len(fresh) if fresh else None
    return report, _items(positions, answers, scores, ledger, classes, leaked)


def _items(
    examples: Mapping[int, Example],
    answers: Mapping[int, Answer],
    scores: ItemScores,
    ledger: ErrorLedger,
    classes: list[Any],
    leaked: Collection[int],
) -> list[dict[str, Any]]:
    """Return a row for each example, in the order of the data."""
    from savs._labels import key_of

    rows: dict[int, dict[str, Any]] = {}
    for index, error in ledger.by_index.items():
        true = examples[index].label if index in examples else None
        rows[index] = {
            "id": error.record()["id"],
            "true_label": true,
            **dict.fromkeys(("label", "correct", "proba", "log_loss", "brier")),
            "is_shot": index in leaked,
            "error": error_entry(error),
        }
    own = zip(scores.losses.tolist(), scores.distances.tolist(), strict=True)
    for (index, one), (loss, distance) in zip(answers.items(), own, strict=True):
        example = examples[index]
        rows[index] = {
            "id": example.id,
            "true_label": example.label,
            "label": one.label,
            "correct": key_of(example.label) == key_of(one.label),
            "proba": shares_by_name(classes, one.proba),
            "log_loss": round(loss, 6),
            "brier": round(distance, 6),
            "is_shot": index in leaked,
        }
    return [rows[index] for index in sorted(rows)]


def _columns(items: Sequence[Mapping[str, Any]], classes: list[Any]) -> Columns:
    kind = type(classes[0])
    known = {type(item["true_label"]) for item in items if item["true_label"] is not None}
    return {
        "id": str,
        "true_label": known.pop() if len(known) == 1 else kind,
        "label": kind,
        "correct": bool,
        **{f"proba.{label}": float for label in classes},
        **dict.fromkeys(("log_loss", "brier"), float),
        "is_shot": bool,
        **ERROR_COLUMNS,
    }


def _show(report: dict[str, Any], *, brief: bool) -> None:
    if report["accuracy"] is None:
        show("no accuracy: no example could be classified")
    else:
        show(
            f"accuracy {percent(report['accuracy'])} (95 % interval {percents(report['interval'])}, "
            f"n = {report['n']}), macro F1 {percent(report['macro_f1'])}"
        )
        names = {"log_loss": "log loss", "ece": "ECE", "brier": "Brier score"}
        show(", ".join(f"{name} {_with_interval(report[key])}" for key, name in names.items()))
    if "mean_layers" in report:
        show(f"{report['mean_layers']:.1f} layers per answer")
    if report["n_leaks"]:
        fresh = percent(report["accuracy_without_leaks"])
        show(f"accuracy without the {report['n_leaks']} test examples that are also shots: {fresh}")
    if not brief:
        _show_classes(report["per_class"])
        for count, true, answer in _confusions(report["confusion"])[:CONFUSIONS_SHOWN]:
            show(f"{count} x {true} classified as {answer}")
        for error in report["errors"]:
            show(f"not classified: {error['id']}: {error['message']}")


def _with_interval(figure: dict[str, Any]) -> str:
    low, high = figure["interval"]
    return f"{figure['value']:.3f} ({low:.3f} to {high:.3f})"


def _show_classes(per_class: dict[str, dict[str, Any]]) -> None:
    shown = list(per_class.items())
    if len(shown) > CLASSES_SHOWN:
        shown = sorted(shown, key=lambda item: item[1]["f1"])[:CLASSES_SHOWN]
        show(f"the {CLASSES_SHOWN} of {len(per_class)} classes with the lowest F1 (--json prints all)")
    rows = [
        (name, f["n"], f["correct"], percent(f["accuracy"]), percent(f["precision"]), percent(f["f1"]))
        for name, f in shown
    ]
    show(table(["class", "n", "correct", "accuracy", "precision", "F1"], rows))


def _confusions(confusion: dict[str, Any]) -> list[tuple[int, str, str]]:
    """Return (count, true label, answer) of wrong answers, the most frequent first."""
    matrix, labels = confusion["matrix"], [str(label) for label in confusion["labels"]]
    if len(set(labels)) < len(labels):
        labels = [repr(label) for label in confusion["labels"]]  # 1 and "1" are two labels
    pairs = [
        (count, labels[row], labels[column])
        for row, counts in enumerate(matrix)
        for column, count in enumerate(counts)
        if row != column and count
    ]
    return sorted(pairs, key=lambda pair: (-pair[0], pair[1:]))
