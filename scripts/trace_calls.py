"""Count what one fit and one predicted image pass through: functions, modules, changes of module.

    python scripts/trace_calls.py                           the table, for the methods sav and auto
    python scripts/trace_calls.py --method sav --no-cli     the library alone
    python scripts/trace_calls.py --json counts.json        also as JSON, with the functions entered most
    python scripts/trace_calls.py --photos FOLDER           other images, one folder per class

Each call is made once before it is counted, so that imports and caches are left out. Counted is, over all
threads, every entry into a function of the package that has a name: lambdas, comprehensions and module bodies
are left out, and a generator is entered once more whenever it goes on. A change of module is an entry into
another module than that of the entry before. Offline; about a minute on one core.
"""

from __future__ import annotations

import argparse
import contextlib
import inspect
import io
import json
import os
import platform
import shutil
import sys
import tempfile
import threading
import warnings
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from importlib import import_module
from itertools import pairwise
from pathlib import Path
from types import CodeType, FrameType
from typing import Any

PROMPT = "What is in this image?"
SHOTS = 3
MOST = 15
WIDTHS = {"call": 12, "method": 15, "functions": 11, "modules": 9, "changes": 9, "entries": 9}

Entry = tuple[int, str, str]
"""Thread, module, qualified name."""


@dataclass(frozen=True)
class Counts:
    """What one call passes through.

    Attributes
    ----------
    call, method : str
        What was called, and with which method of the classifier.
    functions, modules : int
        Distinct ones that were entered.
    changes : int
        Entries into another module than that of the entry before, whichever thread that was in.
    changes_in_threads : int
        The same, each thread on its own.
    entries : int
        All entries.
    top : dict of str to int
        The functions entered most, most first, as ``module:function``.
    coercions : dict of str to int
        Those that bring something into a form, by their name ``as_...``, most entered first.
    """

    call: str
    method: str
    functions: int
    modules: int
    changes: int
    changes_in_threads: int
    entries: int
    top: dict[str, int] = field(repr=False)
    coercions: dict[str, int] = field(repr=False)


class Recorder:
    """Notes entries into functions whose code lies in a package, in this thread and in those begun later."""

    def __init__(self, package: Path) -> None:
        self._package = package
        self._names: dict[CodeType, tuple[str, str] | None] = {}
        self._entries: list[Entry] | None = None
        threading.setprofile(self._note)  # threads of pools live on: they are told before there are any

    def record(self, call: Callable[[], object]) -> list[Entry]:
        """Return the entries of one call."""
        entries: list[Entry] = []
        self._entries = entries
        sys.setprofile(self._note)
        try:
            call()
        finally:
            sys.setprofile(None)
            self._entries = None
        return entries

    def _note(self, frame: FrameType, event: str, argument: Any) -> None:  # noqa: ARG002 - Python's signature
        entries, code = self._entries, frame.f_code
        if entries is None or event != "call":
            return
        if code not in self._names:
            self._names[code] = self._named(code)
        names = self._names[code]
        if names is not None:
            entries.append((threading.get_ident(), *names))

    def _named(self, code: CodeType) -> tuple[str, str] | None:
        path = Path(code.co_filename)
        if code.co_name.startswith("<") or not path.is_relative_to(self._package):
            return None
        parts = path.relative_to(self._package.parent).with_suffix("").parts
        module = ".".join(parts[:-1] if parts[-1] == "__init__" else parts)
        return module, f"{module}:{code.co_qualname}"


def counted(call: str, method: str, entries: Sequence[Entry]) -> Counts:
    """Return the counts over entries in their order."""
    often = Counter(function for _, _, function in entries)
    threads: dict[int, list[str]] = {}
    for thread, module, _ in entries:
        threads.setdefault(thread, []).append(module)
    return Counts(
        call=call,
        method=method,
        functions=len(often),
        modules=len({module for _, module, _ in entries}),
        changes=_changes([module for _, module, _ in entries]),
        changes_in_threads=sum(map(_changes, threads.values())),
        entries=len(entries),
        top=dict(often.most_common(MOST)),
        coercions={name: n for name, n in often.most_common() if _last(name).lstrip("_").startswith("as_")},
    )


def _changes(modules: Sequence[str]) -> int:
    return sum(before != after for before, after in pairwise(modules))


def _last(name: str) -> str:
    return name.rsplit(":", 1)[-1].rsplit(".", 1)[-1]


def few_images(photos: Path, target: Path) -> tuple[Path, Path]:
    """Copy the first images of each class, and the last of all, which is none of them.

    Parameters
    ----------
    photos : Path
        One folder per class.
    target : Path
        The copies go below it.

    Returns
    -------
    shots : Path
        One folder per class.
    image : Path
        In none of these folders.
    """
    files = sorted(path for path in photos.glob("*/*") if path.is_file())
    if not files:
        raise SystemExit(f"{photos} has no images in one folder per class")
    for folder in {path.parent for path in files}:
        shots = target / "shots" / folder.name
        shots.mkdir(parents=True)
        for path in [path for path in files if path.parent == folder][:SHOTS]:
            shutil.copy(path, shots)
    return target / "shots", Path(shutil.copy(files[-1], target))


def library_calls(shots: Path, image: Path, method: str) -> dict[str, Callable[[], object]]:
    """Return `SAVModel.fit` on a folder and `SAVModel.predict` of one image, by name."""
    from savs import SAVModel, read_examples

    model, examples = SAVModel.from_backbone("tiny", prompt=PROMPT, method=method), read_examples(shots)
    return {"fit": lambda: model.fit(examples), "predict": lambda: model.predict([image])}


def command_calls(shots: Path, image: Path, method: str) -> dict[str, Callable[[], object]]:
    """Return the commands ``savs fit`` on a folder and ``savs predict`` of one row, in this process, by name.

    They write beside the image.
    """
    run = _command_line()
    if run is None:
        print("the command line was not found: left out", file=sys.stderr)
        return {}
    classifier, data = image.with_name(f"classifier-{method}"), image.with_name("one.jsonl")
    data.write_text(json.dumps({"image": image.name}) + "\n", encoding="utf-8")
    fit = ["fit", shots, "-b", "tiny", "--prompt", PROMPT, "--method", method]
    return {
        "savs fit": lambda: _quietly(run, *fit, "-o", classifier, "-q"),
        "savs predict": lambda: _quietly(run, "predict", classifier, data, "-q"),
    }


def _command_line() -> Callable[[Sequence[str]], int] | None:
    for name in ("savs.cli.main", "savs.cli"):
        with contextlib.suppress(ImportError, AttributeError):
            found: Callable[[Sequence[str]], int] = import_module(name).run
            return found
    return None


def _quietly(run: Callable[[Sequence[str]], int], *arguments: object) -> None:
    said = io.StringIO()
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(said):
        code = run([str(argument) for argument in arguments])
    if code:
        raise SystemExit(f"savs {arguments[0]} ended with {code}: {said.getvalue()}")


def photo_folder(given: Path | None) -> Path:
    """Return the folder of images: the one given, or the photographs in the box."""
    if given is not None:
        return given
    for name in ("savs.demo.data", "savs.demo"):
        with contextlib.suppress(ImportError, AttributeError):
            return Path(import_module(name).PHOTO_FOLDER)
    raise SystemExit("the photographs in the box were not found; name a folder: --photos FOLDER")


def table(found: Sequence[Counts]) -> str:
    """Return counts as lines of text, then the functions entered most."""
    rows = [list(WIDTHS), *([getattr(one, name) for name in WIDTHS] for one in found)]
    lines = [
        "".join(f"{cell:>{width}}" for cell, width in zip(row, WIDTHS.values(), strict=True)) for row in rows
    ]
    for one in found:
        lines += ["", f"entered most by {one.call}, {one.method}:"]
        lines += [f"{n:8} {name}" for name, n in one.top.items()]
        rest = {name: n for name, n in one.coercions.items() if name not in one.top}
        lines += ["further as_... functions:"] if rest else []
        lines += [f"{n:8} {name}" for name, n in rest.items()]
    return "\n".join(lines)


def arguments() -> argparse.Namespace:
    """Return the parsed command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument(
        "--method", action="append", help="of the classifier; repeatable [default: sav, auto]"
    )
    parser.add_argument(
        "--photos", type=Path, help="images, one folder per class [default: those in the box]"
    )
    parser.add_argument(
        "--cli", action=argparse.BooleanOptionalAction, default=True, help="count commands too"
    )
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the counts here")
    return parser.parse_args()


def main() -> None:
    """Read the command line, make the calls, print the counts."""
    options = arguments()
    warnings.simplefilter("ignore")
    os.environ["HF_HUB_OFFLINE"] = "1"
    with tempfile.TemporaryDirectory() as folder:
        # What this machine has stored about backbones would change the way taken.
        os.environ["SAVS_HOME"] = f"{folder}/home"
        import savs

        recorder, found = Recorder(Path(inspect.getfile(savs)).parent), []
        shots, image = few_images(photo_folder(options.photos), Path(folder) / "images")
        for method in options.method or ["sav", "auto"]:
            calls = library_calls(shots, image, method)
            if options.cli:
                calls |= command_calls(shots, image, method)
            for name, call in calls.items():
                call()
                found.append(counted(name, method, recorder.record(call)))
    print(table(found))
    if options.json:
        made = {"python": platform.python_version(), "savs": savs.__version__, "shots_per_class": SHOTS}
        content = {**made, "counts": [asdict(one) for one in found]}
        options.json.write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
