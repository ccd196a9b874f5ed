"""``python -m fuzz TARGET --seconds N``: fuzz in pieces, and note what each piece did."""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import re
import resource
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import IO

from fuzz.attacks import built
from fuzz.judging import LONGEST_INPUT, NAMES, judge, load_target, signature

ATTACKS = Path(__file__).parents[1] / "tests" / "attacks"
PIECE = 120  # seconds of the clock: what is lost when a piece is killed


def main() -> int:
    """Run the command line."""
    parser = argparse.ArgumentParser(prog="python -m fuzz", description="Fuzz one of the readers of savs.")
    parser.add_argument("target", choices=NAMES)
    parser.add_argument("--seconds", type=int, default=60, help="CPU seconds to add (default: 60)")
    parser.add_argument("--home", type=Path, default=Path(tempfile.gettempdir()) / "savs-fuzz")
    parser.add_argument("--replay", type=Path, nargs="+", help="read these files once instead")
    arguments = parser.parse_args()
    if arguments.replay:
        return replay(arguments.target, arguments.replay)
    return fuzz(arguments.target, arguments.seconds, arguments.home / arguments.target)


def fuzz(name: str, seconds: int, home: Path) -> int:
    """Fuzz for some CPU seconds; returns 1 if there are findings."""
    home.mkdir(parents=True, exist_ok=True)
    seed(name, home / "corpus")
    used = 0.0
    while used < seconds:
        record = run_piece(name, PIECE if seconds - used > PIECE / 4 else max(2, int(seconds - used)), home)
        used += record["cpu_seconds"]
        with (home / "log.jsonl").open("a") as log:
            log.write(json.dumps(record) + "\n")
        sys.stdout.write(json.dumps(record) + "\n")
        sys.stdout.flush()
        if not record["executions"]:
            sys.stdout.write((home / "last.txt").read_text()[-3000:])
            return 2
    return int(any((home / "findings").iterdir()))


def run_piece(name: str, seconds: int, home: Path) -> dict[str, float]:
    """Run one process and return its executions, CPU seconds, wall seconds and number of findings."""
    before, start = _cpu_of_children(), time.monotonic()
    with (home / "last.txt").open("w") as output:
        command = [sys.executable, "-m", "fuzz.child", name, str(seconds), str(home)]
        code = _run_and_wait(command, output, 3 * seconds + 120)
    if code:
        keep_current(home)
    text = (home / "last.txt").read_text(errors="replace")
    runs = [int(number) for number in re.findall(r"^#(\d+)\t", text, re.MULTILINE)]
    total = re.findall(r"number_of_executed_units: (\d+)", text)
    edges = re.findall(r"cov: (\d+)", text)
    for left in home.glob("savs-fuzz-*"):
        shutil.rmtree(left, ignore_errors=True)
    findings = home / "findings"
    return {
        "executions": int(total[-1]) if total else max(runs, default=0),
        "cpu_seconds": round(_cpu_of_children() - before, 1),
        "wall_seconds": round(time.monotonic() - start, 1),
        "edges": int(edges[-1]) if edges else 0,
        "exit": code,
        "findings": len(list(findings.iterdir())) if findings.is_dir() else 0,
    }


def _run_and_wait(command: list[str], output: IO[str], patience: int) -> int:
    """Return the exit code of a process, which is killed when it does not end."""
    with subprocess.Popen(command, stdout=output, stderr=subprocess.STDOUT) as child:
        try:
            return child.wait(patience)
        except subprocess.TimeoutExpired:
            child.kill()
            return child.wait()


def keep_current(home: Path) -> None:
    """Keep the input that a process died of: it took too long, too much memory, or crashed."""
    current, findings = home / "current", home / "findings"
    if current.exists():
        kept = findings / f"died-{hashlib.sha256(current.read_bytes()).hexdigest()[:8]}"
        current.replace(kept)
        shutil.copy(home / "last.txt", kept.with_name(kept.name + ".txt"))


def seed(name: str, corpus: Path) -> None:
    """Put the attack files of a target into its corpus."""
    corpus.mkdir(parents=True, exist_ok=True)
    suffixes = load_target(name).SUFFIXES
    kept = {path.name: path.read_bytes() for path in (ATTACKS / name).iterdir()}
    for file, content in {**built(name), **kept}.items():
        suffix = Path(file).suffix
        if suffix in suffixes and len(content) < LONGEST_INPUT:
            (corpus / f"seed-{file}").write_bytes(bytes([suffixes.index(suffix)]) + content)


def replay(name: str, paths: list[Path]) -> int:
    """Read inputs once: files as in tests/attacks, or the fuzzer's own, which have no known ending."""
    target, failed = load_target(name), 0
    for path in paths:
        body = path.read_bytes()
        suffix = path.suffix
        if suffix not in target.SUFFIXES:
            suffix, body = target.SUFFIXES[body[0] % len(target.SUFFIXES)], body[1:]
        with tempfile.TemporaryDirectory() as folder:
            try:
                outcome = judge(target, target.place(body, suffix, Path(folder)))
            except Exception as error:
                outcome, failed = f"FINDING {signature(error)}: {error!s:.300}", 1
        sys.stdout.write(f"{path.name}: {outcome}\n")
    return failed


def _cpu_of_children() -> float:
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


if __name__ == "__main__":
    os.environ.setdefault("OMP_NUM_THREADS", "1")
    sys.exit(main())
