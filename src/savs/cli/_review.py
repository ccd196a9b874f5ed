"""Labels proposed for review: ``savs fit --unlabelled FILE --classes A,B``, where there is no shot at all."""

from __future__ import annotations

import shlex
import time
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from savs.cli._output import percent, print_json, show, table
from savs.cli._results import check_new_file, report_store
from savs.cli._session import Session
from savs.cli._tables import write_rows
from savs.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from savs.data import Example, ReadOptions
    from savs.model import SAVModel

__all__ = ["propose_labels"]

METHOD = "option_likelihood"
_FORMATS = (".jsonl", ".csv", ".tsv", ".parquet")  # which `savs fit` reads
_LEVELS = (0.5, 0.8, 0.95)
_FLOOR = 1e-12


def propose_labels(
    session: Session,
    source: Path | str,
    reading: ReadOptions,
    backbone: str,
    output: Path,
    classes: Sequence[str],
    settings: dict[str, Any],
    loading: dict[str, Any],
) -> None:
    """Write the class names that the model itself finds likeliest, with their probability, unsure ones first.

    The probabilities are shifted as by unlabelled items of a fit, as if the classes were about alike frequent
    (`savs.classifiers.semi_supervised.class_offsets`).

    Nothing is fitted on them: the file is data for ``savs fit`` once a person has read and corrected it.

    Parameters
    ----------
    session : Session
    source : Path or str
        The items; labels in them are not read.
    reading : ReadOptions
    backbone : str
    output : Path
        The file to write: .csv, .tsv, .parquet or JSON lines.
    classes : sequence of str
        The names to choose from.
    settings : dict
        Prompt and method of the model.
    loading : dict
        Options of the backbone.

    Raises
    ------
    DataError
        If an item has media without a file, which the file could not name.
    click.BadParameter
        If the file cannot be written, `savs fit` would not read it, or it exists.
    """
    from dataclasses import replace

    from savs.cli._inputs import read_data
    from savs.model import SAVModel

    started = time.perf_counter()
    if output.is_dir():
        raise click.BadParameter(
            f"{output} is a folder; without labeled examples, name a file for the proposed labels, such as "
            "review.csv",
            param_hint="--output",
        )
    if output.suffix.lower() not in _FORMATS:
        raise click.BadParameter(
            f"{output.name}: proposed labels are written as {', '.join(_FORMATS)}", param_hint="--output"
        )
    check_new_file(output, source, outside=[path for path in [loading.get("store")] if path])
    if output.exists():
        raise click.BadParameter(
            f"{output} exists, perhaps with labels that you have corrected; delete it or name another file",
            param_hint="--output",
        )
    examples = read_data(source, replace(reading, skip_unread=False))
    if not examples:
        raise DataError("there are no unlabelled items")
    _warn_of_labels(examples)
    places = [_place(example) for example in examples]
    model = SAVModel.from_backbone(
        backbone, **settings, lazy=True, progress=session.progress, **loading
    ).fit_class_names(classes)
    plain = [replace(example, label=None, labels=None) for example in examples]
    found = model.predict(plain, on_error="collect", max_errors=0, progress=session.progress)
    labels, sure = _balanced(model, found.proba)
    rows = [
        {**place, _label_column(example): label, "confidence": round(share, 4)}
        for place, example, label, share in zip(places, examples, labels, sure, strict=True)
    ]
    rows = [rows[i] for i in sorted(range(len(rows)), key=lambda i: (sure[i], str(rows[i]["id"])))]
    write_rows(output, rows, _columns(rows))
    summary: dict[str, Any] = {
        "review": str(output),
        "classes": model.classes_.tolist(),
        "n": len(rows),
        "proposed_per_class": {name: labels.count(name) for name in model.classes_.tolist()},
        "confidence": {str(level): sum(share >= level for share in sure) for level in _LEVELS},
        "method": model.method_.name,
        "prompt": model.prompt,
        "seconds": round(time.perf_counter() - started, 2),
    } | report_store(model, session)
    if session.as_json:
        print_json(summary)
    elif not session.quiet:
        _show(summary, output, Path(reading.root or _root(source, output)))


def _balanced(model: SAVModel, proba: NDArray[np.float64]) -> tuple[list[Any], list[float]]:
    """Return labels and confidences, without the model's liking for some names whatever it sees."""
    import numpy as np

    from savs.classifiers._probabilities import log_softmax
    from savs.classifiers.semi_supervised import class_offsets

    logs = np.log(np.maximum(proba, _FLOOR))
    shares = np.full(proba.shape[1], 1 / proba.shape[1])
    moved = np.exp(log_softmax(logs + class_offsets(logs, shares)))
    return model.classes_[moved.argmax(axis=1)].tolist(), moved.max(axis=1).tolist()


def _warn_of_labels(examples: Sequence[Example]) -> None:
    from savs.data import DataWarning

    n_labeled = sum(example.label is not None or example.labels is not None for example in examples)
    if n_labeled:
        warnings.warn(
            f"{n_labeled} of {len(examples)} items have labels, which are not read: proposed ones take their "
            "place in the file",
            DataWarning,
            stacklevel=2,
        )


def _place(example: Example) -> dict[str, Any]:
    """Return what names an item in a row: its own columns, or the file of its image in a folder."""
    from savs.data import Text

    media = [part for part in example.parts if not isinstance(part, Text)]
    if not all(isinstance(getattr(part, "source", None), str | Path) for part in media):
        raise DataError(
            f"the item {example.id} has an image, video or audio clip without a file of its own, which a "
            "file of proposed labels could not name; save them as files first"
        )
    if example.fields:
        return {"id": example.id, **example.fields}
    for kind, found in (("video", example.videos), ("audio", example.audios), ("image", example.images)):
        if found:
            return {"id": example.id, kind: example.id}
    return {"id": example.id, "text": example.text}


def _label_column(example: Example) -> str:
    return example.label_column or "label"


def _columns(rows: Sequence[dict[str, Any]]) -> dict[str, Any]:
    names = dict.fromkeys(name for row in rows for name in row if name != "confidence")
    return {**{name: _kind([row.get(name) for row in rows]) for name in names}, "confidence": float}


def _kind(values: Sequence[Any]) -> type:
    kinds = {type(value) for value in values if value is not None}
    return kinds.pop() if len(kinds) == 1 and kinds <= {str, int, float, bool} else str


def _root(source: Path | str, output: Path) -> Path:
    """Return the folder that paths of media in the data are relative to; that of the output for addresses."""
    if isinstance(source, str):
        return output.parent
    place = source
    return place if place.is_dir() else place.parent


def _show(summary: dict[str, Any], output: Path, root: Path) -> None:
    n = summary["n"]
    show(table(["class", "proposed"], list(summary["proposed_per_class"].items())))
    shares = [f"{percent(count / n)} at {level} or more" for level, count in summary["confidence"].items()]
    there = "" if root.resolve() == output.resolve().parent else f" --root {shlex.quote(str(root))}"
    show(
        f"{n} labels proposed, none used; confidence: {', '.join(shares)}",
        f"{output} has them, unsure ones first: correct its labels, then",
        f"  savs fit {shlex.quote(str(output))}{there} ...",
    )
