"""``savs fit``: labeled examples in, a saved classifier out."""

from __future__ import annotations

import shlex
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click
from click.core import ParameterSource

from savs.cli._multi_label import METHOD, fit_labels, multi_label_option
from savs.cli._options import (
    DATA,
    PathName,
    backbone_options,
    by_label,
    check_method,
    data_argument,
    data_options,
    example_help,
    heads_of,
    method_options,
    one_or_all,
    output_options,
)
from savs.cli._output import (
    NOT_SCORED,
    chosen_methods,
    estimate_lines,
    exit_lines,
    hits,
    n_scored,
    print_json,
    prompt_records,
    prompt_table,
    scored_heads,
    show,
    table,
    unlabelled_lines,
)
from savs.cli._prompt_options import prompt_option, prompt_setting
from savs.cli._results import check_writable, report_store
from savs.cli._review import METHOD as PROPOSING
from savs.cli._review import propose_labels
from savs.cli._session import Session, pass_session

if TYPE_CHECKING:
    from savs.data import DataSource, ReadOptions
    from savs.model import SAVModel

__all__ = ["fit"]

HEADS_SHOWN = 5
CLASSES_SHOWN = 20


def _class_names(_context: click.Context, _option: click.Parameter, text: str | None) -> list[str] | None:
    if text is None:
        return None
    names = [name.strip() for name in text.split(",")]
    if "" in names:
        raise click.BadParameter("a name is empty; write them as A,B,...")
    twice = [name for name, count in Counter(names).items() if count > 1]
    if twice:
        raise click.BadParameter(f"{twice[0]!r} is named twice")
    if len(names) < 2:
        raise click.BadParameter(f"at least 2 classes are required, got {len(names)}")
    return names


@click.command(
    short_help="Fit a classifier to labeled examples.",
    epilog=example_help(
        'savs fit train/ -b tiny --prompt "What is in this picture?" --shots 20 -o my-classifier'
    ),
)
@data_argument("train", required=False)
@click.option(
    "--backbone",
    "-b",
    required=True,
    metavar="NAME",
    help="tiny, a model folder, a hub id or a registered name.",
)
@click.option(
    "--output",
    "-o",
    required=True,
    type=PathName(),
    help="Folder for the classifier; with --classes, the file for the proposed labels.",
)
@prompt_option(
    "Question for the model. {question} stands for the example's text, {NAME} for a column; without "
    "either, the prompt follows the text. Repeatable: each prompt has a classifier, and their probabilities "
    "are averaged [default: the text alone]."
)
@multi_label_option(
    "Each example has any number of labels: a list, or a text with SEP between two of them, such as ';'. "
    "--method is then mean_proba by default."
)
@method_options()
@click.option(
    "--exit-early",
    type=click.FloatRange(0, 1, min_open=True, max_open=True),
    metavar="LOSS",
    help="Answer from the lower layers where they are sure enough: the share of answers that may become "
    "wrong by that, such as 0.005 [default: always read all heads in use].",
)
@click.option(
    "--unlabelled",
    type=DATA,
    multiple=True,
    callback=one_or_all,
    metavar="DATA",
    help="Further examples whose labels are not known, such as those to be answered later, in about the "
    "proportions of --priors: they shift how readily each class is answered. Not for sav. "
    "Repeatable.",
)
@click.option(
    "--classes",
    metavar="A,B,...",
    callback=_class_names,
    help="In place of TRAIN: propose one of these labels for each of the --unlabelled examples, in a file "
    "for review. Nothing is fitted.",
)
@click.option("--shots", type=click.IntRange(1), help="Examples per class, drawn at random [default: all].")
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Seed of the draw.")
@data_options()
@backbone_options()
@output_options()
@pass_session
def fit(
    session: Session,
    /,
    train: DataSource | None,
    backbone: str,
    output: Path,
    prompts: list[str],
    method: str,
    n_heads: int | str | None,
    scoring: str | None,
    priors: dict[str, float] | str | None,
    heads_from: Path | None,
    keep_shots: bool,
    exit_early: float | None,
    multi_label: str | None,
    unlabelled: DataSource | None,
    classes: list[str] | None,
    shots: int | None,
    seed: int,
    reading: ReadOptions,
    loading: dict[str, Any],
) -> None:
    """Fit a classifier on the attention heads of a frozen model, and save it.

    TRAIN is a .jsonl, .json, .csv, .tsv or .parquet file with columns such as image, question and label; a
    dataset saved by the datasets library; hf://owner/name; or a folder with one folder of images per class.
    Several are read one after the other; 'parts/*.jsonl' in quotes is a pattern of names.
    An older classifier in the output folder is replaced.

    With --multi-label, the output is a new folder with a classifier for each label; savs evaluate and
    savs predict take it, too.

    With --classes and --unlabelled and without TRAIN, the model's own answers are written to the file of
    --output, with their confidence, unsure ones first. Correct the file and give it to savs fit as TRAIN.

    --json prints {"classifier", "classes", "method", "heads": [[layer, index, score], ...], "estimate", ...},
    with several prompts also "prompts": [{"prompt", "weight", "log_loss"}, ...];
    with --multi-label, {"classifier", "labels", "shots_per_label", "estimates", ...};
    with --classes, {"review", "n", "proposed_per_class", "confidence": {level: number of labels}, ...}.
    """
    from savs.artifact import check_target
    from savs.cli._inputs import read_data
    from savs.data import draw_positions
    from savs.model import SAVModel

    if classes is not None or train is None:
        source, names = _for_proposing(train, classes, unlabelled)
        idle = {
            "--multi-label": multi_label,
            "--n-heads": n_heads,
            "--scoring": scoring,
            "--priors": priors,
            "--heads-of": heads_from,
            "--keep-shots": keep_shots,
            "--exit-early": exit_early,
            "--shots": shots,
            "more than one --prompt": len(prompts) > 1,
        }
        _refuse([name for name in idle if idle[name]], "is not for proposing labels (--classes)")
        asked = {**prompt_setting(prompts), "method": method if _is_given("method") else PROPOSING}
        propose_labels(session, source, reading, backbone, output, names, asked, loading)
        return
    if multi_label is not None:
        others: dict[str, Any] = {
            "--scoring": scoring,
            "--priors": priors,
            "--heads-of": heads_from,
            "--shots": shots,
            "--exit-early": exit_early,
            "--keep-shots": keep_shots,
            "--unlabelled": unlabelled,
            "more than one --prompt": len(prompts) > 1,
        }
        _refuse(
            [name for name in others if others[name]],
            "is not for several labels per example (--multi-label)",
        )
        chosen = method if _is_given("method") else METHOD
        settings = {**prompt_setting(prompts), "method": chosen, "n_heads": n_heads}
        reading = replace(reading, multi_label=multi_label)
        fit_labels(session, train, reading, backbone, output, settings, loading)
        return
    started = time.perf_counter()
    heads = heads_of(heads_from)
    check_method(method, n_heads, scoring, priors, heads, exit_early, len(prompts))
    if unlabelled is not None:
        _check_unlabelled(method, prompts, exit_early)
    if "store" in loading and loading["store"].resolve() == output.resolve():
        raise click.BadParameter("it is the output folder; name another one", param_hint="--store")
    check_target(output)
    check_writable(output)
    examples = read_data(train, replace(reading, skip_unread=False), require_labels=True)
    more = None if unlabelled is None else read_data(unlabelled, replace(reading, skip_unread=False))
    if shots is not None:
        examples = [examples[position] for position in draw_positions(examples, shots, seed)]
    model = SAVModel.from_backbone(
        backbone,
        **prompt_setting(prompts),
        method=method,
        n_heads=n_heads,
        scoring=scoring,
        priors=by_label(priors, examples),
        heads=heads,
        exit_early=exit_early,
        lazy=True,
        progress=session.progress,
        **loading,
    )
    model.fit(examples, unlabelled=more, progress=session.progress)
    model.save_pretrained(output, keep_shots=keep_shots)
    summary = _summary(model, output, time.perf_counter() - started) | report_store(model, session)
    if session.as_json:
        print_json(summary)
    elif not session.quiet:
        _show(summary)


def _for_proposing(
    train: DataSource | None, classes: list[str] | None, unlabelled: DataSource | None
) -> tuple[Path | str, list[str]]:
    """Return the items and class names; refuse one without the other, and labeled examples beside them."""
    if train is not None:
        raise click.UsageError("--classes is for proposing labels without TRAIN; with TRAIN its labels count")
    if classes is None and unlabelled is None:
        raise click.UsageError("Missing argument 'TRAIN...'.")
    if classes is None or unlabelled is None:
        missing = "--classes A,B" if classes is None else "--unlabelled DATA"
        raise click.UsageError(f"without TRAIN, {missing} is needed too: labels are proposed for review")
    if not isinstance(unlabelled, Path | str):
        raise click.UsageError("give one --unlabelled with --classes: there is one file for review")
    return unlabelled, classes


def _check_unlabelled(method: str, prompts: Sequence[str], exit_early: float | None) -> None:
    """Refuse what unlabelled items do not go with."""
    from savs.classifiers import make_method
    from savs.classifiers.semi_supervised import checked_for_unlabelled
    from savs.errors import DataError

    others = {"more than one --prompt": len(prompts) > 1, "--exit-early": exit_early}
    _refuse([name for name in others if others[name]], "does not go with --unlabelled")
    try:
        checked_for_unlabelled(make_method(method), method)
    except DataError as error:
        raise click.UsageError(str(error)) from None


def _is_given(name: str) -> bool:
    """Return whether an option stands on the command line."""
    source = click.get_current_context().get_parameter_source(name)
    return source is not None and source is not ParameterSource.DEFAULT


def _refuse(options: Sequence[str], why: str) -> None:
    if options:
        raise click.UsageError(f"{options[0]} {why}")


def _summary(model: SAVModel, output: Path, seconds: float) -> dict[str, Any]:
    from dataclasses import asdict

    scores = model.head_scores_
    counts = Counter(shot.label for shot in model.shots_)
    return {
        "classifier": str(output),
        "classes": model.classes_.tolist(),
        "n_shots": counts.total(),
        "n_scored": n_scored(model.shots_),
        "shots_per_class": {str(label): counts[label] for label in model.classes_.tolist()},
        "method": model.method_.name,
        "selection_report": model.selection_report_,
        "heads": scored_heads(model.heads_, model.layout, None if scores is None else scores.tolist()),
        "last_state": any(head.is_state for head in model.heads_),
        "class_names": model.heads_[-1].is_options,
        "n_layers": model.layout.n_layers,
        "n_heads": model.layout.n_heads,
        "estimate": None if model.estimate_ is None else asdict(model.estimate_),
        "prompt": model.prompt,
        **_weighed_prompts(model),
        "seconds": round(seconds, 2),
    }


def _weighed_prompts(model: SAVModel) -> dict[str, Any]:
    """Return how much each of several prompts counts; nothing for one."""
    return (
        {} if model.prompts is None else {"prompts": prompt_records(model.prompts, model.selection_report_)}
    )


def _show(summary: dict[str, Any]) -> None:
    folder = shlex.quote(summary["classifier"])
    classes = list(summary["shots_per_class"].items())
    show(table(["class", "shots"], classes[:CLASSES_SHOWN]))
    if len(classes) > CLASSES_SHOWN:
        show(f"... and {len(classes) - CLASSES_SHOWN} more classes, {summary['n_shots']} shots in total")
    show(
        f"method {summary['method']}{chosen_methods(summary['selection_report'])}",
        f"{len(summary['heads'])} of {summary['n_heads']} heads in use{_best(summary)}",
        *exit_lines(summary["selection_report"]),
        *unlabelled_lines(summary["selection_report"]),
        *prompt_table(summary.get("prompts")),
        *estimate_lines(summary["estimate"]),
        f"saved to {summary['classifier']} after {summary['seconds']:.1f} s; next:",
        f"  savs evaluate {folder} TEST",
        f"  savs predict {folder} DATA -o answers.jsonl",
    )


def _best(summary: dict[str, Any]) -> str:
    if summary["method"] != "sav" or "prompts" in summary:
        others = {"last_state": "the final state", "class_names": "the likelihood of the class names"}
        return "".join(f", and {words}" for key, words in others.items() if summary[key])
    if not summary["n_scored"]:
        return f"; {NOT_SCORED}"
    shown = (
        f"layer {layer} head {index} ({hits(score, summary['n_scored'])})"
        for layer, index, score in summary["heads"][:HEADS_SHOWN]
    )
    return f"; best: {', '.join(shown)}"
