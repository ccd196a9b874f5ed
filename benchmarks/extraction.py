"""Measures savs against the published procedure and against bare forwards, on models with random weights.

    python -m benchmarks.extraction --quick
    python -m benchmarks.extraction --size 250m --json cpu.json --write docs/performance.md
    python -m benchmarks.extraction --size 7b --device cuda --attention sdpa,flash_attention_2 --json gpu.json
    python -m benchmarks.extraction --read cpu.json --write docs/performance.md

All ratios are of times taken side by side in one run. What each measure is stands in docs/performance.md.
"""

from __future__ import annotations

import argparse
import datetime
import json
import os
import platform
import shlex
import sys
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

from benchmarks.asking import measure_questions
from benchmarks.batching import measure_batches, measure_equality
from benchmarks.early_exit import measure_early_exit
from benchmarks.findings import Finding
from benchmarks.fitting import measure_agreement, measure_fit
from benchmarks.memory import measure_memory
from benchmarks.overhead import measure_overhead
from benchmarks.prompting import measure_prompts
from benchmarks.querying import measure_query
from benchmarks.setting import Counts, Setting
from benchmarks.shapes import FAMILIES, SIZES, build
from benchmarks.table import has_markers, markdown, show, write_between

__all__ = ["main"]

MEASURES: dict[str, Callable[[Setting], list[Finding]]] = {
    "agreement": measure_agreement,
    "fit": measure_fit,
    "query": measure_query,
    "early": measure_early_exit,
    "questions": measure_questions,
    "prompts": measure_prompts,
    "memory": measure_memory,
    "equality": measure_equality,
    "batches": measure_batches,
}
ALL = (*MEASURES, "overhead")
QUICK = Counts(classes=10, shots=1, queries=2, images=1, repeats=1, largest_batch=2)


def arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.extraction", description=__doc__.split("\n")[0]
    )
    parser.add_argument("--size", choices=SIZES, default="250m")
    parser.add_argument("--device", choices=("cpu", "cuda"), default="cpu")
    parser.add_argument(
        "--dtype", choices=("float32", "bfloat16"), help="default: float32 on a CPU, else bfloat16"
    )
    parser.add_argument("--families", default=",".join(FAMILIES), help=f"of {', '.join(FAMILIES)}")
    parser.add_argument("--measures", default=",".join(ALL), help=f"of {', '.join(ALL)}")
    parser.add_argument(
        "--attention", default="sdpa", help="kernels, each measured; what is not installed is skipped"
    )
    defaults = Counts()
    parser.add_argument("--shots", type=_positive, default=defaults.shots, help="per class, of 10 classes")
    parser.add_argument(
        "--queries", type=_positive, default=defaults.queries, help="images of query, batches, equality"
    )
    parser.add_argument(
        "--images", type=_positive, default=defaults.images, help="with eight questions or five prompts each"
    )
    parser.add_argument("--repeats", type=_positive, default=defaults.repeats)
    parser.add_argument("--largest-batch", type=_positive, default=defaults.largest_batch)
    parser.add_argument("--threads", type=_positive, default=1, help="of torch")
    parser.add_argument("--quick", action="store_true", help="least counts: shows that everything runs")
    parser.add_argument("--json", type=Path, help="write all numbers to this file")
    parser.add_argument("--read", type=Path, nargs="+", help="take the numbers of earlier runs instead")
    parser.add_argument("--write", type=Path, help="put the table into this page, between its markers")
    parser.add_argument("--quiet", action="store_true", help="no progress and no table")
    options = parser.parse_args(argv)
    options.families = _among(parser, options.families, FAMILIES)
    options.measures = _among(parser, options.measures, ALL)
    if options.device == "cuda" and not torch.cuda.is_available() and not options.read:
        parser.error("there is no CUDA device on this machine")
    _check_files(parser, options)
    options.dtype = options.dtype or ("float32" if options.device == "cpu" else "bfloat16")
    return options


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise ValueError
    return number


def _check_files(parser: argparse.ArgumentParser, options: argparse.Namespace) -> None:
    """Find out before the long run what would fail after it."""
    for file in options.read or []:
        if not file.is_file():
            parser.error(f"there is no file {file}")
    if options.json and not options.json.parent.is_dir():
        parser.error(f"there is no folder {options.json.parent}")
    if options.write and not has_markers(options.write, f"extraction {options.device}"):
        parser.error(f"{options.write} is no page with markers for extraction {options.device}")


def _among(parser: argparse.ArgumentParser, text: str, known: Any) -> list[str]:
    names = text.split(",")
    wrong = [name for name in names if name not in known]
    if wrong:
        parser.error(f"unknown: {', '.join(wrong)}; known: {', '.join(known)}")
    return names


def main(argv: Sequence[str] | None = None) -> int:
    """Measure, show and write; return the exit status."""
    argv = list(sys.argv[1:] if argv is None else argv)
    options = arguments(argv)
    report = _read(options.read) if options.read else _measure(options, argv)
    _save(options.json, report)
    findings = [Finding.from_json(finding) for finding in report["findings"]]
    if not options.quiet:
        show(findings)
    if options.write:
        write_between(
            options.write, f"extraction {report['machine']['device']}", markdown(findings, report["machine"])
        )
    return 0


def _save(file: Path | None, report: dict[str, Any]) -> None:
    if file is not None:
        file.write_text(json.dumps(report, indent=1) + "\n")


def _read(files: Sequence[Path]) -> dict[str, Any]:
    """Join reports of several runs on one kind of device; of one measure the last file's number counts."""
    reports = [json.loads(file.read_text()) for file in files]
    machine = dict(reports[-1]["machine"])
    if len({report["machine"]["device"] for report in reports}) > 1:
        raise SystemExit("these runs were on different kinds of devices")
    machine["commands"] = [command for report in reports for command in report["machine"]["commands"]]
    machine["models"] = {name: text for r in reports for name, text in r["machine"]["models"].items()}
    found = {(one["subject"], one["measure"]): one for report in reports for one in report["findings"]}
    return {"machine": machine, "findings": list(found.values())}


def _measure(options: argparse.Namespace, argv: Sequence[str]) -> dict[str, Any]:
    warnings.simplefilter("ignore")
    torch.set_num_threads(options.threads)
    machine = _machine(options, argv)
    findings: list[Finding] = []
    report: dict[str, Any] = {"machine": machine, "findings": []}

    def keep(more: list[Finding]) -> None:
        findings.extend(more)
        report["findings"] = [finding.to_json() for finding in findings]
        _save(options.json, report)  # a long run that is stopped leaves what it has

    with _Progress(options.quiet) as advance:
        for attention in options.attention.split(","):
            for family in options.families:
                keep(_of_family(options, family, attention, machine, advance))
        if "overhead" in options.measures:
            keep(measure_overhead(options.device, options.dtype, advance, quick=options.quick))
    return report


def _of_family(
    options: argparse.Namespace,
    family: str,
    attention: str,
    machine: dict[str, Any],
    advance: Callable[[str], object],
) -> list[Finding]:
    wanted = [measure for name, measure in MEASURES.items() if name in options.measures]
    if not wanted:
        return []
    advance(f"building {family}")
    try:
        built = build(family, options.size, options.device, options.dtype, attention)
    except (ImportError, ValueError) as error:
        machine["models"][f"{family} {options.size}, {attention}"] = (
            f"not measured: {str(error).splitlines()[0][:120]}"
        )
        return []
    if attention != "sdpa":
        built = replace(built, name=f"{built.name}, {attention}")
    setting = Setting(built, options.device, _counts(options), lambda what: advance(f"{built.name}: {what}"))
    machine["models"][built.name] = (
        f"{built.n_parameters / 1e6:.1f}M parameters and {built.n_vocabulary / 1e6:.1f}M of the vocabulary, "
        f"{setting.anatomy.n_layers} layers, {setting.anatomy.layout.n_heads} heads, "
        f"up to {setting.n_tokens} tokens a prompt"
    )
    findings: list[Finding] = []
    for measure in wanted:
        advance(f"{built.name}: {measure.__name__}")
        findings += measure(setting)
    return findings


def _counts(options: argparse.Namespace) -> Counts:
    if options.quick:
        return QUICK
    return Counts(
        shots=options.shots,
        queries=options.queries,
        images=options.images,
        repeats=options.repeats,
        largest_batch=options.largest_batch,
    )


def _machine(options: argparse.Namespace, argv: Sequence[str]) -> dict[str, Any]:
    import transformers

    on_gpu = options.device == "cuda"
    return {
        "date": datetime.datetime.now(datetime.UTC).date().isoformat(),
        "device": options.device,
        "name": torch.cuda.get_device_name() if on_gpu else platform.machine(),
        "cores": os.cpu_count(),
        "threads": options.threads,
        "dtype": options.dtype,
        "clock": "time on the wall" if on_gpu else "time of the process",
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "commands": [shlex.join(["python", "-m", "benchmarks.extraction", *_without_outputs(argv)])],
        "models": {},
    }


def _without_outputs(argv: Sequence[str]) -> list[str]:
    kept, skip = [], False
    for argument in argv:
        if skip or argument in ("--json", "--write"):
            skip = not skip
        elif not argument.startswith(("--json=", "--write=")):
            kept.append(argument)
    return kept


class _Progress:
    """One line on stderr that says what is being measured, if it is a terminal."""

    def __init__(self, quiet: bool) -> None:
        from rich.console import Console

        console = Console(stderr=True)
        self._status = None if quiet or not console.is_terminal else console.status("")

    def __enter__(self) -> Callable[[str], object]:
        if self._status is None:
            return lambda _what: None
        self._status.start()
        return self._status.update

    def __exit__(self, *_exc: object) -> None:
        if self._status is not None:
            self._status.stop()


if __name__ == "__main__":
    sys.exit(main())
