"""``savs inspect``: what a saved classifier consists of, without loading its backbone."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from savs.cli._options import PathName, example_help, output_options
from savs.cli._output import (
    NOT_SCORED,
    chosen_methods,
    estimate_lines,
    exit_lines,
    head_map,
    head_map_lines,
    hits,
    n_scored,
    percent,
    print_json,
    prompt_records,
    prompt_table,
    scored_heads,
    show,
    stdout_is_unicode,
    table,
    unlabelled_lines,
    wanted_heads,
)
from savs.cli._session import Session, pass_session

if TYPE_CHECKING:
    from savs.artifact import Artifact

__all__ = ["inspect"]

CLASSES_SHOWN = 20


@click.command(short_help="Show a saved classifier.", epilog=example_help("savs inspect my-classifier"))
@click.argument("classifier", type=PathName())
@click.option(
    "--label-issues",
    is_flag=True,
    help="List the shots whose label may be wrong (needs savs fit --keep-shots).",
)
@output_options()
@pass_session
def inspect(session: Session, /, classifier: Path, label_issues: bool) -> None:
    """Show backbone, prompt, classes, estimated accuracy and heads of a classifier. No model is loaded.

    --json prints {"heads": [[layer, index, score], ...], "n_layers", "n_heads", "head_map", ...}, and with
    --label-issues "label_issues".
    """
    from savs.artifact import load_artifact

    artifact = load_artifact(classifier)
    issues = _label_issues(classifier) if label_issues else []
    if session.as_json:
        print_json(_summary(artifact) | ({"label_issues": issues} if label_issues else {}))
    elif label_issues:
        _show_label_issues(issues, len(artifact.shots))
    else:
        _show_facts(artifact)
        if not session.quiet:
            _show_heads(artifact)


def _summary(artifact: Artifact) -> dict[str, Any]:
    layout, scores = artifact.layout, artifact.head_scores
    published = artifact.classifier.published_as is not None
    hits_or_none = [int(score) for score in scores] if published and scores is not None else None
    return {
        "method": artifact.method.to_json(),
        "heads": scored_heads(artifact.heads, layout, scores),
        "last_state": any(head.is_state for head in artifact.classifier.heads_),
        "class_names": any(head.is_options for head in artifact.classifier.heads_),
        "n_layers": layout.n_layers,
        "n_heads": layout.n_heads,
        "n_kept": sum(index >= 0 for _, index in artifact.heads),
        "n_wanted": wanted_heads(artifact.classifier),
        "head_map": head_map(layout, hits_or_none) if hits_or_none else None,
        "classes": artifact.classes,
        "prompt": artifact.prompt,
        **_prompts(artifact),
        "video_sampling": None if artifact.video_sampling is None else asdict(artifact.video_sampling),
        "bit_depth": artifact.bit_depth,
        "n_shots": len(artifact.shots),
        "n_scored": n_scored(artifact.shots),
        "shots_per_class": {str(label): count for label, count in artifact.shots_per_class.items()},
        "estimate": artifact.estimate,
        "selection_report": artifact.report,
        "backbone": artifact.fingerprint,
    }


def _prompts(artifact: Artifact) -> dict[str, Any]:
    several = artifact.prompts
    return {} if several is None else {"prompts": prompt_records(several, artifact.report)}


def _label_issues(classifier: Path) -> list[dict[str, Any]]:
    from savs.model import SAVModel

    return [one._asdict() for one in SAVModel.from_pretrained(classifier).find_label_issues()]


def _show_label_issues(issues: list[dict[str, Any]], n_shots: int) -> None:
    rows = [
        (one["id"], one["label"], percent(one["support"]), one["suggested"], percent(one["doubt"]))
        for one in issues
    ]
    title = f"{len(rows)} of {n_shots} shots: most heads, fitted without the shot, answer another label"
    show(table(["shot", "label", "heads for it", "suggested label", "heads for it"], rows, title=title))


def _show_facts(artifact: Artifact) -> None:
    fingerprint = artifact.fingerprint
    several = _prompts(artifact).get("prompts")
    prompt = "(the text of the example)" if artifact.prompt is None else artifact.prompt
    prompt = f"{len(several)}, see below" if several else prompt
    counts = [f"{label} ({count})" for label, count in artifact.shots_per_class.items()]
    more = f" and {len(counts) - CLASSES_SHOWN} more" if len(counts) > CLASSES_SHOWN else ""
    show(
        f"method    {artifact.method.name}{chosen_methods(artifact.report)}",
        f"backbone  {fingerprint.get('source') or 'a model object'} ({fingerprint.get('model_class')}, "
        f"{fingerprint.get('dtype')})",
        f"commit    {fingerprint.get('commit') or 'none: not from a hub; identified by its weights'}",
        f"prompt    {prompt}",
        f"classes   {', '.join(counts[:CLASSES_SHOWN])}{more}",
        f"shots     {len(artifact.shots)}",
        *([] if artifact.video_sampling is None else [f"videos    {artifact.video_sampling.in_words}"]),
        *([] if artifact.bit_depth is None else [f"images    read as {artifact.bit_depth} bits"]),
        *estimate_lines(artifact.estimate),
        *exit_lines(artifact.report),
        *unlabelled_lines(artifact.report),
        *prompt_table(several),
    )


def _show_heads(artifact: Artifact) -> None:
    layout, scores = artifact.layout, artifact.head_scores
    heads = scored_heads(artifact.heads, layout, scores)
    if scores is None:
        names = ", and the likelihood of the class names" if artifact.classifier.heads_[-1].is_options else ""
        scores_none = "" if artifact.prompts else "; this method does not score heads"
        show(f"{len(heads)} of {layout.n_heads} heads are in use{names}{scores_none}")
        return
    published, scored = artifact.classifier.published_as is not None, n_scored(artifact.shots)
    rows = [
        (rank, layer, index, hits(score, scored) if published else f"{score:.3f}")
        for rank, (layer, index, score) in enumerate(heads, start=1)
    ]
    unit = "correct shots" if published else "score"
    show(
        "", table(["rank", "layer", "head", unit], rows, title=f"{len(heads)} of {layout.n_heads} heads vote")
    )
    if (wanted_heads(artifact.classifier) or 0) > len(heads):
        show(f"{artifact.classifier.n_heads} heads were set, but the backbone has no more")
    if not scored:
        show(NOT_SCORED)
    elif published:
        show(
            *head_map_lines(
                layout, [int(score) for score in scores], set(artifact.heads), unicode=stdout_is_unicode()
            )
        )
