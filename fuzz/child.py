"""One process of fuzzing: it ends when its time is over, or when an input hangs it or takes all memory."""

from __future__ import annotations

import faulthandler
import os
import random
import resource
import shutil
import sys
import tempfile
from pathlib import Path
from types import ModuleType

import atheris

from fuzz.judging import LONGEST_INPUT, judge, load_target, signature

MEMORY = 4 * 2**30
SECONDS_FOR_AN_INPUT = 20


class Reading:
    """Feeds inputs to a target and keeps what it may not do.

    Parameters
    ----------
    target : module
    findings : Path
        Where inputs are kept that made it fail, one for each place in the code.
    """

    def __init__(self, target: ModuleType, findings: Path) -> None:
        self.target = target
        self.findings = findings
        self.outcomes: dict[str, int] = {}
        self._current = findings.parent / "current"
        self._work = Path(tempfile.mkdtemp(prefix="savs-fuzz-", dir=findings.parent))
        self._count = 0

    def __call__(self, data: bytes) -> None:
        """Read one input."""
        if not data:
            return
        suffix = self.target.SUFFIXES[data[0] % len(self.target.SUFFIXES)]
        folder = self._work / "case"
        # What is read now, for whoever finds this process dead; libFuzzer's own alarm does not survive Arrow.
        self._current.write_bytes(data)
        faulthandler.dump_traceback_later(SECONDS_FOR_AN_INPUT, exit=True)
        try:
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            outcome = judge(self.target, self.target.place(data[1:], suffix, folder))
        except Exception as error:
            outcome = "finding"
            self._keep(data, error)
        finally:
            faulthandler.cancel_dump_traceback_later()
        self.outcomes[outcome] = self.outcomes.get(outcome, 0) + 1

    def _keep(self, data: bytes, error: Exception) -> None:
        path = self.findings / signature(error)
        if not path.exists() or path.stat().st_size > len(data):
            path.write_bytes(data)
            path.with_name(path.name + ".txt").write_text(f"{type(error).__name__}: {error!s:.1000}\n")


def mutator(target: ModuleType) -> object:
    """Return libFuzzer's mutator: half of the time the target's own, else bytes alone."""

    def mutate(data: bytes, max_size: int, seed: int) -> bytes:
        chance = random.Random(seed)
        if len(data) < 2 or chance.random() < 0.4:
            return bytes(atheris.Mutate(data, max_size))
        suffix = target.SUFFIXES[data[0] % len(target.SUFFIXES)]
        try:
            changed = target.mutate(data[1:], suffix, chance)
        except (RecursionError, OverflowError, ValueError):
            # Too deep or too large to be changed as what it is; an error in here would hang the process.
            return bytes(atheris.Mutate(data, max_size))
        return (data[:1] + changed)[:max_size]

    return mutate


def main() -> None:
    """Fuzz ``TARGET`` for some seconds; arguments: target, seconds, folder with corpus and findings."""
    name, seconds, home = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
    # Pillow's plugins are Python; what they do with a header is worth following too.
    with atheris.instrument_imports(include=["savs", "PIL"] if name == "images" else ["savs"]):
        target = load_target(name)
    corpus, findings = home / "corpus", home / "findings"
    for folder in (corpus, findings):
        folder.mkdir(parents=True, exist_ok=True)
    resource.setrlimit(resource.RLIMIT_AS, (MEMORY, MEMORY))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    reading = Reading(target, findings)
    options = [
        f"-max_total_time={seconds}",
        "-handle_alrm=0",
        "-rss_limit_mb=2048",
        f"-max_len={LONGEST_INPUT}",
        f"-artifact_prefix={findings}/",
        "-print_final_stats=1",
        "-reload=0",
    ]
    atheris.Setup([sys.argv[0], *options, str(corpus)], reading, custom_mutator=mutator(target))
    # libFuzzer leaves by _exit: what was seen is written as it goes.
    atheris.Fuzz()


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    main()
