"""Every attack file to its reader: a typed error of one line or a valid result, soon, within little memory.

The small files lie beside this module, by target: classic attacks (`python -m fuzz.attacks` writes them) and
what the fuzzers found. The larger ones are made here. What is named ``valid`` or ``accepted`` must be read,
all else refused.
"""

from __future__ import annotations

import resource
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from fuzz.attacks import LARGEST, TARGETS, built, is_kept
from fuzz.judging import BadMessageError, LeftBehindError, check_message, judge, load_target

pytestmark = pytest.mark.slow

FOLDER = Path(__file__).parent
MEMORY = 2**30
SECONDS = 10
ROOT = FOLDER.parents[1]


def attacks() -> Iterator[tuple[str, str]]:
    """Return target and file name of every attack."""
    for target in TARGETS:
        kept = {path.name for path in (FOLDER / target).iterdir()}
        yield from ((target, name) for name in sorted(kept | built(target).keys()))


@contextmanager
def bounded() -> Iterator[None]:
    """Stop a reader that takes too long, and refuse it memory beyond the bound."""

    def stop(*_: object) -> None:
        raise TimeoutError(f"not read within {SECONDS} seconds")

    pages = int(Path("/proc/self/statm").read_text().split()[0])
    before = resource.getrlimit(resource.RLIMIT_AS)
    former = signal.signal(signal.SIGALRM, stop)
    signal.alarm(SECONDS)
    resource.setrlimit(resource.RLIMIT_AS, (pages * resource.getpagesize() + MEMORY, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_AS, before)
        signal.alarm(0)
        signal.signal(signal.SIGALRM, former)


def content_of(target: str, name: str) -> bytes:
    path = FOLDER / target / name
    return path.read_bytes() if path.exists() else built(target)[name]


@pytest.mark.skipif(sys.platform != "linux", reason="the bounds are Linux's")
@pytest.mark.parametrize(("target", "name"), list(attacks()))
def test__attack__fed_to_its_reader__typed_error_or_valid_result_in_bounds(target, name, tmp_path):
    module = load_target(target)
    path = module.place(content_of(target, name), Path(name).suffix, tmp_path)
    with bounded():
        outcome = judge(module, path)
    assert (outcome == "valid") == name.startswith(("valid", "accepted")), outcome


def test__attack_files__all_small():
    sizes = [path.stat().st_size for target in TARGETS for path in (FOLDER / target).iterdir()]
    assert len(sizes) > 200
    assert max(sizes) <= LARGEST
    assert sum(sizes) < 300_000


@pytest.mark.parametrize("target", TARGETS)
def test__attack_files__of_the_script__are_kept(target):
    made = [name for name, content in built(target).items() if is_kept(name, content)]
    missing = [name for name in made if not (FOLDER / target / name).exists()]
    assert not missing, "python -m fuzz.attacks"


class Raising:
    """A reader that does what none may."""

    __name__ = "fuzz.raising"
    ALLOWED = (KeyError,)

    def __init__(self, kind: str) -> None:
        self.kind = kind

    def read(self, path: Path) -> None:
        if self.kind == "another error":
            raise ZeroDivisionError
        if self.kind == "two lines":
            raise KeyError("a\nb")
        if self.kind == "a file":
            (path.parent / "left").touch()
        if self.kind == "much memory":
            assert bytearray(2 * MEMORY)
        if self.kind == "long":
            while True:
                time.sleep(0.01)


@pytest.mark.parametrize(
    ("kind", "expected"),
    [
        ("another error", ZeroDivisionError),
        ("a file", LeftBehindError),
        ("much memory", MemoryError),
        ("long", TimeoutError),
    ],
)
def test__judge__reader_that_breaks_a_rule__is_found(kind, expected, tmp_path, monkeypatch):
    monkeypatch.setitem(globals(), "SECONDS", 1)
    with pytest.raises(expected), bounded():
        judge(Raising(kind), tmp_path / "input")


@pytest.mark.parametrize("message", ["a\nb", "\x1b[31mred", "\ud800", "x" * 5000, "<object at 0x7f00>"])
def test__judge__message_that_is_not_one_printable_line__is_found(message):
    with pytest.raises(BadMessageError):
        check_message(message)


@pytest.mark.parametrize("target", TARGETS)
def test__fuzz__a_second_of_each_target__executes_inputs(target, tmp_path):
    pytest.importorskip("atheris")
    command = [sys.executable, "-m", "fuzz", target, "--seconds", "1", "--home", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, cwd=ROOT, check=False, timeout=240)
    assert done.returncode in (0, 1), done.stdout + done.stderr
    assert '"executions": 0' not in done.stdout
    assert not [path.name for path in (tmp_path / target / "findings").iterdir()]
