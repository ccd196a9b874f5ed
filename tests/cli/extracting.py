"""Runs of the command line that are killed: one process imports everything, each run is a fork of it.

Each line of its input is a plan: a list of runs {"arguments", "log", "output", "point", "occurrence", "go",
"kill_after", "signal_at", "signal", "limit", "background", "touch"}, all but the first three optional. A
run notes the ids that the model is given in its log, and prints to its output. At a named crash point it
kills itself, or, if "go" is a path, waits until that file is there. After "kill_after" seconds it is sent
the signal, SIGKILL by default; with "signal_at", once its log holds so many ids. "limit" is RLIMIT_FSIZE in
bytes. A run in the background is waited for at the end of the plan; after any other one the file "touch" is
made. Each plan is answered by a line of JSON, {"exits", "seconds"}.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
import time
from pathlib import Path
from typing import Any


def preload() -> None:
    """Import what a run needs; nothing here starts a thread."""
    from savs.backbones import load_backbone

    load_backbone("tiny")


def note_computed(log: Path) -> None:
    from savs.backbones import TransformersBackbone
    from savs.backbones._probes import is_probe  # read for the store's canary

    plain = TransformersBackbone.extract

    def extract(self, examples, *arguments, **options):
        with log.open("a") as file:
            file.write("".join(f"{example.id}\n" for example in examples if not is_probe(example.id)))
        return plain(self, examples, *arguments, **options)

    TransformersBackbone.extract = extract


def act_at(point: str, occurrence: int, go: str | None) -> None:
    from savs.cache import _files as files

    left = [occurrence]

    def crash(name: str) -> None:
        if name != point:
            return
        left[0] -= 1
        if left[0] == 0 and go is None:
            os.kill(os.getpid(), signal.SIGKILL)
        elif left[0] == 0:
            Path(go + ".reached").touch()
            deadline = time.monotonic() + 60
            while not Path(go).exists() and time.monotonic() < deadline:
                time.sleep(0.005)

    files._crash_point = crash


def child(plan: dict[str, Any]) -> int:
    from savs.cli._session import catch_sigterm
    from savs.cli.main import run

    with Path(plan["output"]).open("w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    catch_sigterm()
    note_computed(Path(plan["log"]))
    if plan.get("point"):
        act_at(plan["point"], plan.get("occurrence", 1), plan.get("go"))
    if plan.get("limit"):
        resource.setrlimit(resource.RLIMIT_FSIZE, (plan["limit"], plan["limit"]))
    code = run(plan["arguments"])
    sys.stdout.flush()
    return code


def start(plan: dict[str, Any]) -> int:
    Path(plan["output"]).write_text("")
    pid = os.fork()
    if pid == 0:
        code = 70
        try:
            code = child(plan)
        finally:
            os._exit(code)
    return pid


def finish(pid: int, plan: dict[str, Any], started: float) -> int:
    if plan.get("signal_at") is not None:
        log = Path(plan["log"])
        while not os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
            if log.exists() and len(log.read_text().split()) >= plan["signal_at"]:
                os.kill(pid, plan["signal"])
                break
            time.sleep(0.001)
    if plan.get("kill_after") is not None:
        while time.monotonic() - started < plan["kill_after"]:
            if os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT):
                break
            time.sleep(0.001)
        else:
            os.kill(pid, plan.get("signal", signal.SIGKILL))
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def carry_out(plans: list[dict[str, Any]]) -> dict[str, list[float]]:
    exits, seconds, background = [0] * len(plans), [0.0] * len(plans), []
    for number, plan in enumerate(plans):
        started = time.monotonic()
        pid = start(plan)
        if plan.get("background"):
            background.append((number, pid, started))
            while plan.get("go") and not Path(plan["go"] + ".reached").exists():
                time.sleep(0.005)
            continue
        exits[number] = finish(pid, plan, started)
        seconds[number] = time.monotonic() - started
        if plan.get("touch"):
            Path(plan["touch"]).touch()
    for number, pid, started in background:
        exits[number] = finish(pid, plans[number], started)
    return {"exits": exits, "seconds": seconds}


if __name__ == "__main__":
    preload()
    for line in sys.stdin:
        sys.stdout.write(json.dumps(carry_out(json.loads(line))) + "\n")
        sys.stdout.flush()
