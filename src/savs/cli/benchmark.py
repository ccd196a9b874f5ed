"""``savs benchmark``: tasks, methods and baselines in one resumable run."""

from __future__ import annotations

import sys
import time
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from savs.cli._contender_options import baseline_options, check_shots, named_methods, shot_counts
from savs.cli._options import Option, PathName, backbone_options, error_options, example_help, output_options
from savs.cli._output import percent, print_json, show, table
from savs.cli._session import ITEM_ERRORS, Session, pass_session, remark

if TYPE_CHECKING:
    from savs.benchmarks import BenchmarkSettings, ResultRow, RunFolder, TaskData
    from savs.benchmarks.runner import Audit
    from savs.tasks import Task

__all__ = ["benchmark"]

LIBRARIES = ("numpy", "scikit-learn", "tokenizers", "torch", "transformers")


class _TaskPath(click.ParamType["tuple[str, str]"]):
    name = "task=path"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, str]:
        """Return task and path from ``TASK=PATH``."""
        if isinstance(value, tuple):
            return value
        task, equals, path = str(value).partition("=")
        if not (task and equals and path):
            self.fail(f"{value!r} is not TASK=PATH", param, ctx)
        return task, path


def _task_option(name: str, help: str) -> Option:
    return click.option(
        name,
        type=_TaskPath(),
        multiple=True,
        metavar="TASK=PATH",
        callback=lambda _context, _option, pairs: dict(pairs),
        help=help,
    )


@click.command(
    short_help="Run benchmark tasks with methods and baselines.",
    epilog=example_help(
        "savs benchmark demo_photos demo_shape -b tiny --methods sav,auto,zero_shot --shots 5,20 -o run"
    ),
)
@click.argument("tasks", metavar="[TASK]...", nargs=-1)
@click.option("--list", "list_only", is_flag=True, help="List the tasks, and do nothing else.")
@click.option("--backbone", "-b", metavar="NAME", help="tiny, a model folder, a hub id or a registered name.")
@click.option(
    "--methods",
    metavar="A,B,...",
    help="Methods of docs/methods.md and baselines of docs/benchmarks.md [default: a selection]. majority is "
    "run in any case.",
)
@click.option("--shots", default="20", show_default=True, metavar="N,...", help="Shots per class.")
@click.option(
    "--draws", type=click.IntRange(1), default=5, show_default=True, help="Random draws of the shots."
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of all random choices.")
@_task_option(
    "--source",
    "Files of a task: a folder in its public layout, or a file, whose examples are both shots and test items "
    "unless --test is given. Repeatable [default: the hub, or examples that come with savs].",
)
@_task_option("--test", "File of a task's test items. Repeatable.")
@_task_option("--media-root", "Folder of a task's images, videos and audio clips. Repeatable.")
@click.option("--prompt", metavar="TEXT", help="Question for the model, for data of your own.")
@click.option(
    "--items",
    type=click.IntRange(1),
    default=100,
    show_default=True,
    metavar="N",
    help="Test items that slow baselines are judged on, at most.",
)
@click.option("--max-test", type=click.IntRange(1), metavar="N", help="Test items, at most [default: all].")
@baseline_options()
@click.option(
    "--audit/--no-audit",
    default=False,
    show_default=True,
    help="Also look for shortcuts: images blanked, text alone, labels shuffled, ...",
)
@click.option("--output", "-o", type=PathName(file_okay=False), help="Folder of the run; it is resumed.")
@error_options()
@backbone_options(store=False)
@output_options()
@pass_session
def benchmark(session: Session, /, tasks: tuple[str, ...], list_only: bool, **values: Any) -> int:
    """Run every method on every TASK, and write a table of the results.

    A TASK is a name of --list, an alias, or a data file or folder of your own. Every example passes the model
    once, for all methods, shots and draws. The same command on the same folder goes on where it was stopped;
    cells that failed are tried again. A baseline that cannot run is in the results, with the reason.

    Where a task has files of its own for the shots, they are drawn from these, and test items that are copies
    of shots are left out, with their whole group. Items that cannot be read, and answers in words that name
    no class, count as wrong. table.md in the folder has published numbers beside your own where task,
    protocol and number of shots are the same.

    --json prints {"output", "tasks", "results": [{"task", "figure", "method", "shots", "mean", ...}], ...}.
    """
    if list_only:
        return _list(session)
    for name, text in (("output", "'--output' / '-o'"), ("backbone", "'--backbone' / '-b'")):
        if values[name] is None:
            raise click.UsageError(f"Missing option {text}.")
    if not tasks:
        raise click.UsageError("Missing argument '[TASK]...'; --list shows the tasks.")
    return _run(session, tasks, **values)


def _run(
    session: Session,
    tasks: Sequence[str],
    *,
    backbone: str,
    methods: str | None,
    shots: str,
    draws: int,
    seed: int,
    source: dict[str, str],
    test: dict[str, str],
    media_root: dict[str, str],
    prompt: str | None,
    items: int,
    max_test: int | None,
    baselines: dict[str, Any],
    audit: bool,
    output: Path,
    max_errors: int,
    loading: dict[str, Any],
) -> int:
    from savs.backbones import load_backbone
    from savs.benchmarks import BenchmarkSettings, RunFolder, run_benchmark
    from savs.benchmarks.runner import check_benchmark
    from savs.errors import DataError
    from savs.evaluation.contenders import BaselineSettings

    started = time.perf_counter()
    names, counts = named_methods(methods, 1), shot_counts(shots)
    check_shots(names, counts)
    settings = BenchmarkSettings(
        tuple(names), tuple(counts), draws, seed, items, max_test, BaselineSettings(**baselines)
    )
    auditor = _audit(settings) if audit else None
    found = _task_data(tasks, settings, sources=source, tests=test, media_roots=media_root, prompt=prompt)
    _check_media(found, max_errors)
    try:
        check_benchmark(found, settings)
    except DataError:
        raise
    except ValueError as error:
        raise click.UsageError(str(error)) from None
    folder = RunFolder(output)
    with folder.locked():
        configuration: dict[str, Any] = {
            "command": _command(),
            "created": datetime.now(UTC).isoformat(timespec="seconds"),
            "versions": _versions(),
            "settings": {**settings.record(), "audit": audit},
            "tasks": [data.name for data in found],
            "data": {data.name: data.record() for data in found},
        }
        folder.check(configuration)
        model = load_backbone(backbone, progress=session.progress, **loading)
        configuration["backbone"] = {"name": backbone, "fingerprint": dict(model.fingerprint)}
        folder.begin({"savs": configuration["versions"]["savs"], **configuration})
        errors = run_benchmark(
            model,
            found,
            folder,
            settings,
            audit=auditor,
            max_errors=max_errors,
            progress=session.progress,
        )
        _report(session, folder, time.perf_counter() - started, [error.record() for error in errors])
    return ITEM_ERRORS if errors else 0


# The tasks.


def _known_tasks() -> dict[str, Task]:
    from savs.benchmarks import DEMO_TASKS
    from savs.tasks import get_task, list_tasks

    return {
        **{name: get_task(name) for name in list_tasks()},
        **{name: one.task for name, one in DEMO_TASKS.items()},
    }


def _list(session: Session) -> int:
    from savs.benchmarks import DEMO_TASKS

    lines: list[dict[str, Any]] = [
        {
            "name": task.name,
            "protocol": task.protocol,
            "metric": task.metric,
            "origin": task.origin,
            "aliases": list(task.aliases),
            "needs_files": task.name not in DEMO_TASKS,
        }
        for task in sorted(_known_tasks().values(), key=lambda task: task.name)
    ]
    if session.as_json:
        print_json({"tasks": lines})
        return 0
    for line in lines:
        aliases = f" (also {', '.join(map(str, line['aliases']))})" if line["aliases"] else ""
        show(f"{line['name']}{aliases}", f"    {line['protocol']}, {line['metric']}; {line['origin']}")
    return 0


def _task_data(
    names: Sequence[str],
    settings: BenchmarkSettings,
    *,
    sources: Mapping[str, str],
    tests: Mapping[str, str],
    media_roots: Mapping[str, str],
    prompt: str | None,
) -> list[TaskData]:
    from savs.benchmarks import load_task_data, own_task

    known = _known_tasks()
    by_name = {alias: task for task in known.values() for alias in (*task.aliases, task.name)}
    found: dict[str, TaskData] = {}
    used: set[str] = set()
    for name in names:
        task, own = by_name.get(name), name not in by_name
        if own and not (Path(name).exists() or "://" in name):
            raise click.BadParameter(
                f"there is no task {name!r} (--list shows them), and no such file or folder",
                param_hint="TASK",
            )
        task = task or own_task(Path(name).name if Path(name).is_dir() else Path(name).stem, prompt)
        if task.name in found or (own and task.name in known):
            raise click.BadParameter(f"{name}: there are two tasks called {task.name}", param_hint="TASK")
        keys = {name, task.name} & ({*sources} | {*tests} | {*media_roots})
        used |= keys
        of = [next((one[key] for key in keys if key in one), None) for one in (sources, tests, media_roots)]
        found[task.name] = load_task_data(
            task,
            name if own else of[0],
            test=of[1],
            media_root=of[2],
            seed=settings.seed,
            max_test=settings.max_test,
            own=own,
        )
    for option, given in (("--source", sources), ("--test", tests), ("--media-root", media_roots)):
        unused = sorted(set(given) - used)
        if unused:
            raise click.BadParameter(f"{unused[0]} is none of the tasks", param_hint=option)
    return list(found.values())


def _check_media(tasks: Sequence[TaskData], max_errors: int) -> None:
    """Refuse missing and unusable files before a model is loaded."""
    from savs.cli._inputs import unusable_files
    from savs.data import describe_errors, preflight

    examples = [example for data in tasks for example in data.examples]
    bad = preflight(examples)
    if 0 <= max_errors < len(bad):
        raise unusable_files(len(bad), len(examples), 0, describe_errors(bad))


# The run.


def _command() -> str:
    import shlex

    return shlex.join(["savs", *sys.argv[1:]])


def _versions() -> dict[str, str]:
    from importlib.metadata import PackageNotFoundError, version

    from savs import __version__

    found = {"savs": __version__, "python": sys.version.split()[0]}
    for name in LIBRARIES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found


def _audit(settings: BenchmarkSettings) -> Audit:
    """Return what audits the published rule, or the first method on heads, at the largest number of shots."""
    from savs.classifiers import available_methods
    from savs.experiments import shortcut_audit

    on_heads = [name for name in settings.methods if name in available_methods()]
    if not on_heads or not max(settings.shots):
        raise click.UsageError("--audit needs a method on heads, such as sav, and shots")
    method = "sav" if "sav" in on_heads else on_heads[0]

    def audit(backbone: Any, data: TaskData) -> list[dict[str, Any]]:
        return [
            row
            for part in data.parts
            for row in shortcut_audit(
                backbone,
                part.pool,
                method=method,
                shots=max(settings.shots),
                draws=settings.draws,
                test=part.test,
                seed=settings.seed,
                task=data.name,
                prompt=data.task.prompt or None,
                max_errors=-1,
            ).rows
        ]

    return audit


def _report(session: Session, folder: RunFolder, seconds: float, errors: list[Any]) -> None:
    from savs.benchmarks.results_table import failure_lines, in_order, result_rows

    settings = (folder.configuration or {})["settings"]
    rows = in_order(result_rows(folder.cells()), settings)
    if session.as_json:
        print_json(
            {
                "output": str(folder.path),
                "tasks": (folder.configuration or {})["tasks"],
                "results": [row._asdict() for row in rows],
                "n_errors": len(errors),
                "errors": errors,
                "seconds": round(seconds, 2),
            }
        )
        return
    main = [row for row in rows if " of " not in row.figure]
    for task, shots in dict.fromkeys((row.task, row.shots) for row in main):
        lines = [
            (row.method, row.figure, _spread(row), row.n_draws, row.n_test, row.n_failed)
            for row in main
            if (row.task, row.shots) == (task, shots)
        ]
        title = f"{task}, {shots} shots per class"
        show(table(["method", "figure", "mean (95 %)", "draws", "items", "failed"], lines, title))
    for line in failure_lines(rows):
        show(line)
    if not session.quiet:
        for error in errors:
            show(f"not read: {error['id']}: {error['message']}")
        remark(f"results: {folder.path / 'table.md'}")


def _spread(row: ResultRow) -> str:
    if row.mean is None:
        return "failed"
    spread = "" if row.low is None or row.high is None else f" ({100 * row.low:.1f} to {100 * row.high:.1f})"
    return percent(row.mean) + spread
