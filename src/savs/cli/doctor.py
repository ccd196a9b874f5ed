"""``savs doctor``: checks of a backbone's head vectors, and its fastest safe mode."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import TYPE_CHECKING, Any

import click

from savs.cli._options import backbone_options, example_help, output_options
from savs.cli._output import print_json, show, table
from savs.cli._session import FAILED, Session, pass_session

if TYPE_CHECKING:
    from rich.table import Table

    from savs.doctor import Check, Report

__all__ = ["doctor"]

LARGEST_BATCH = 8


@click.command(short_help="Check the head vectors of a backbone.", epilog=example_help("savs doctor tiny"))
@click.argument("backbone")
@backbone_options(store=False)
@click.option("--no-store", is_flag=True, help="Do not store the recommended mode.")
@output_options()
@pass_session
def doctor(session: Session, /, backbone: str, no_store: bool, loading: dict[str, Any]) -> int:
    """Check BACKBONE, a folder, a hub id, a registered name or tiny, on generated images and short texts.

    Head vectors must not depend on batching, padding, order, kernel or dtype, except for rounding, and images
    must change them. The fastest safe mode is stored, and used whenever this backbone is loaded on this
    machine. --batch-size is the largest size to try.

    The exit code is 1 if a check fails. --json prints {"backbone", "checks": [{"name", "verdict",
    "max_difference", "min_cosine", "label_flips", "tolerance", "note"}], "mode", "stored", "safe", ...}.
    """
    from savs.backbones import load_backbone
    from savs.doctor import examine

    size = loading.get("batch_size")
    largest = size if isinstance(size, int) else LARGEST_BATCH
    settings = {"prefix_reuse": True, **loading, "batch_size": largest}
    loaded = load_backbone(backbone, progress=session.progress, **settings)
    report = examine(loaded, batch_size=largest, store=not no_store, progress=session.progress)
    if session.as_json:
        print_json(report.to_json())
    else:
        _show(report, brief=session.quiet)
    return 0 if report.safe else FAILED


def _show(report: Report, *, brief: bool) -> None:
    if not brief:
        show(*_fact_lines(report.backbone), _table(report.checks))
        show(*_notes(report.checks), "", *_timing_lines(report))
    show(*_verdict_lines(report))


def _fact_lines(facts: Any) -> Iterator[str]:
    yield f"backbone    {facts['source'] or 'a model object'}: {facts['model_class']}"
    shapes = _geometry(facts["heads_per_layer"])
    yield f"heads       {facts['n_heads']} in {facts['n_layers']} layers: {shapes}"
    if facts["gated_layers"]:
        yield f"gates       before the projection of layers {_ranges(facts['gated_layers'])}"
    if facts["skipped"]:
        yield f"not read    {', '.join(f'{count} x {kind}' for kind, count in facts['skipped'].items())}"
    yield f"reads       {', '.join(facts['modalities'])}"
    for form, reason in facts["refused_prompts"].items():
        yield f"            not {form}: {reason}"
    images = facts["image_processor_class"]
    image_processor = f", {images} (backend {facts['image_backend']})" if images else ""
    yield f"processor   {facts['processor_class']}{image_processor}"
    template = "chat template" if facts["chat_template"] else "no chat template"
    yield f"prompts     {template}, tokenizer pads on the {facts['padding_side']} (savs on the right)"
    ids = ", ".join(map(str, facts["prompt_end_ids"]))
    yield f"            end in {facts['prompt_end']!r}, token ids ..., {ids}"
    for name, value in facts["template_options"].items():
        yield f"            chat template with {name}={json.dumps(value)}"
    yield f"runs        {facts['dtype']} on {facts['device']}, kernel {facts['attn_implementation']}"
    yield f"            kernels here: {', '.join(facts['kernels'])}; dtypes: {', '.join(facts['dtypes'])}"


def _geometry(runs: list[list[int]]) -> str:
    if len(runs) == 1:
        return f"{runs[0][2]} of width {runs[0][3]} in each"
    said = [f"{n} of width {dim} ({_ranges(range(a, b + 1))})" for a, b, n, dim in runs]
    return ", ".join(said[:6]) + (f" and {len(said) - 6} more" if len(said) > 6 else "")


def _ranges(numbers: Any) -> str:
    """Return ``0-2, 5`` for 0, 1, 2, 5."""
    runs: list[list[int]] = []
    for number in numbers:
        if runs and number == runs[-1][-1] + 1:
            runs[-1][1:] = [number]
        else:
            runs.append([number])
    return ", ".join("-".join(map(str, run)) for run in runs)


def _table(checks: tuple[Check, ...]) -> Table:
    rows = (
        (
            check.name,
            check.verdict.upper() if check.verdict == "unsafe" else check.verdict,
            _number(check.max_difference),
            "-" if check.min_cosine is None else f"{check.min_cosine:.4f}",
            "-" if check.label_flips is None else check.label_flips,
            "-" if check.tolerance is None else f"{'>' if check.must_change else '<'} {check.tolerance:g}",
        )
        for check in checks
    )
    return table(["check", "verdict", "difference", "cosine", "flips", "limit"], rows)


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.2g}"


def _notes(checks: tuple[Check, ...]) -> Iterator[str]:
    for check in checks:
        if check.note:
            yield f"{check.name}: {check.note}"


def _timing_lines(report: Report) -> Iterator[str]:
    if not report.timings:
        return
    yield "examples per second"
    for timing in report.timings:
        reuse = {True: ", with prefix reuse", False: ", without", None: ""}[timing.prefix_reuse]
        kind = "probes" if timing.prefix_reuse is None else "questions on one beginning"
        yield (
            f"  {timing.examples_per_second:>9.1f}  {kind}, batches of {timing.batch_size}, kernel "
            f"{timing.attn_implementation}{reuse}"
        )
    yield ""


def _verdict_lines(report: Report) -> Iterator[str]:
    yield "safe" if report.safe else f"UNSAFE: {', '.join(report.unsafe)}"
    mode = report.mode
    if mode is None:
        yield "no mode is recommended: even the vectors of a single example are unsafe"
    else:
        reuse = "with" if mode.prefix_reuse else "without"
        yield (
            f"mode: batches of {mode.batch_size}, {reuse} prefix reuse, kernel {mode.attn_implementation}, "
            "the fastest safe one here"
        )
    if report.stored:
        yield f"stored: {report.stored}"
    if report.removed:
        yield f"removed the mode stored before: {report.removed}"
