"""Python processes that start warm: forks of one process that has imported torch and transformers.

A cold ``python -m savs`` imports for seconds before it does anything. Tests that need a real process
(signals, exit codes, streams, kill -9), but not a cold start, take a fork of a server instead. The server
imports and runs nothing, so the fork loses no thread that it needs. The fork has its own arguments, folder,
environment and streams. A second process waits for each fork, since only a parent learns how a process ends.
Outside Linux every process is a cold one.
"""

from __future__ import annotations

import atexit
import gc
import json
import os
import runpy
import signal
import socket
import subprocess
import sys
import threading
import traceback
import warnings
from collections.abc import Sequence
from pathlib import Path
from typing import IO, Any

LARGEST_REQUEST = 1 << 20
PACKAGE_FOLDER = str(Path(__file__).parents[1] / "src")


class WarmProcess:
    """The part of `subprocess.Popen` that the tests use, for a fork of the server."""

    def __init__(self, status: IO[str], stdout: IO[str] | None, stderr: IO[str] | None) -> None:
        self.stdout, self.stderr = stdout, stderr
        self.returncode: int | None = None
        self.pid = int(status.readline())
        self._status = status
        self._waiter = threading.Thread(target=self._note_end, daemon=True)
        self._waiter.start()

    def _note_end(self) -> None:
        line = self._status.readline()
        self._status.close()
        # Nothing where the process that waits for the fork was killed itself, as where memory runs out.
        self.returncode = int(line) if line else -signal.SIGKILL

    def poll(self) -> int | None:
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        self._waiter.join(timeout)
        if self.returncode is None:
            raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0)
        return self.returncode

    def send_signal(self, number: int) -> None:
        if self.poll() is None:
            os.kill(self.pid, number)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)

    def communicate(self, timeout: float | None = None) -> tuple[str | None, str | None]:
        texts: list[str | None] = [None, None]

        def read(place: int, stream: IO[str]) -> None:
            with stream:
                texts[place] = stream.read()

        streams = [(place, stream) for place, stream in enumerate((self.stdout, self.stderr)) if stream]
        readers = [threading.Thread(target=read, args=each, daemon=True) for each in streams]
        for reader in readers:
            reader.start()
        self.wait(timeout)
        for reader in readers:
            reader.join(timeout)
        return texts[0], texts[1]


class WarmPython:
    """Starts Python processes as ``python ARGUMENTS`` would; `close` ends the server."""

    def __init__(self) -> None:
        self._server: subprocess.Popen[bytes] | None = None

    def start(
        self,
        arguments: Sequence[object],
        *,
        cwd: object = None,
        env: dict[str, str] | None = None,
        stdout: Any = subprocess.PIPE,
        stderr: Any = subprocess.PIPE,
    ) -> WarmProcess | subprocess.Popen[str]:
        """Start ``python [-W OPTION] -m savs ...``, or the same with ``-c CODE`` or a file."""
        words, folder = [str(argument) for argument in arguments], str(cwd or Path.cwd())
        environment = dict(os.environ) if env is None else env
        if sys.platform != "linux":
            command = [sys.executable, *words]
            return subprocess.Popen(
                command, cwd=folder, env=environment, stdout=stdout, stderr=stderr, text=True
            )
        if self._server is None:
            self._start_server()
        given, kept = zip(
            *(_ends(stream, place) for place, stream in ((1, stdout), (2, stderr))), strict=True
        )
        reading, writing = os.pipe()
        request = json.dumps({"arguments": words, "cwd": folder, "env": environment}).encode()
        socket.send_fds(self._socket, [request], [*given, writing])
        for descriptor, stream in zip((*given, writing), (*kept, True), strict=True):
            if stream:
                os.close(descriptor)
        return WarmProcess(open(reading), *kept)  # noqa: PTH123

    def run(self, arguments: Sequence[object], **options: Any) -> subprocess.CompletedProcess[str]:
        """Start a process, wait for it and return what it wrote and its exit code."""
        check, timeout = options.pop("check", False), options.pop("timeout", 600)
        process = self.start(arguments, **options)
        out, error = process.communicate(timeout)
        done = subprocess.CompletedProcess(list(arguments), process.returncode or 0, out or "", error or "")
        if check:
            done.check_returncode()
        return done

    def _start_server(self) -> None:
        self._socket, other = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        size = LARGEST_REQUEST
        self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, size)
        command = [sys.executable, __file__, str(other.fileno())]
        environment = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": PACKAGE_FOLDER}
        self._server = subprocess.Popen(command, pass_fds=[other.fileno()], env=environment)
        other.close()

    def close(self) -> None:
        """End the server, which ends by itself once nobody can send it a request."""
        if self._server is not None:
            self._socket.close()
            self._server.wait(60)


def _ends(stream: Any, place: int) -> tuple[int, IO[str] | None]:
    """Return the descriptor for the process and, of a pipe, the end that the test reads."""
    if stream is None:
        return place, None
    if stream == subprocess.DEVNULL:
        raise ValueError("open /dev/null and pass the file")
    if stream != subprocess.PIPE:
        return stream if isinstance(stream, int) else stream.fileno(), None
    reading, writing = os.pipe()
    return writing, open(reading, encoding="utf-8")  # noqa: PTH123


# The server.


def preload() -> None:
    """Import what the commands and the pages of the documentation need."""
    import datasets  # noqa: F401
    import soxr  # noqa: F401
    import torch

    import savs.cli.main as command_line
    from savs.backbones import load_backbone
    from savs.cli.main import cli

    torch.set_num_threads(1)
    for name in command_line.COMMANDS:
        cli.get_command(None, name)  # type: ignore[arg-type]
    load_backbone("tiny")
    import savs

    for name in savs.__all__:
        getattr(savs, name)


def serve(connection: socket.socket) -> None:
    """Fork for each request until the other side has closed the connection."""
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)
    while True:
        message, descriptors, _, _ = socket.recv_fds(connection, LARGEST_REQUEST, 3)
        if not message:
            return
        if os.fork() == 0:
            connection.close()
            watch(json.loads(message), *descriptors)
        for descriptor in descriptors:
            os.close(descriptor)


def watch(request: dict[str, Any], stdout: int, stderr: int, status: int) -> None:
    """Fork again, and report the number of that process and, later, its exit code."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    pid = os.fork()
    if pid == 0:
        os.close(status)
        behave(request, stdout, stderr)
    os.write(status, f"{pid}\n".encode())
    os.close(stdout)
    os.close(stderr)
    code = os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])
    os.write(status, f"{code}\n".encode())
    os._exit(0)


def behave(request: dict[str, Any], stdout: int, stderr: int) -> None:
    """Become the process of a request and end."""
    os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
    for descriptor, place in ((stdout, 1), (stderr, 2)):
        os.dup2(descriptor, place)
        os.close(descriptor)
    sys.stdin = sys.__stdin__ = open(0, closefd=False)  # type: ignore[misc] # noqa: SIM115
    sys.stdout = sys.__stdout__ = open(1, "w", encoding="utf-8", closefd=False)  # type: ignore[misc] # noqa: SIM115
    sys.stderr = sys.__stderr__ = open(  # type: ignore[misc] # noqa: SIM115
        2, "w", encoding="utf-8", errors="backslashreplace", buffering=1, closefd=False
    )
    signal.signal(signal.SIGINT, signal.default_int_handler)
    os.chdir(request["cwd"])
    os.environ.clear()
    os.environ.update(request["env"])
    os._exit(exit_code_of(request["arguments"]))


def exit_code_of(arguments: list[str]) -> int:
    """Run a program as the interpreter does, up to and including what is done at exit."""
    code = 0
    try:
        execute(arguments)
    except SystemExit as stop:
        code = stop.code if isinstance(stop.code, int) else int(stop.code is not None)
    except BaseException:
        traceback.print_exc()
        code = 1
    atexit._run_exitfuncs()
    try:
        sys.stdout.flush()
    except OSError:
        return code or 120
    return code


def execute(arguments: list[str]) -> None:
    options = [os.environ["PYTHONWARNINGS"]] if os.environ.get("PYTHONWARNINGS") else []
    while arguments[0] == "-W":
        options.append(arguments[1])
        arguments = arguments[2:]
    sys.warnoptions[:] = options
    warnings._processoptions(options)  # type: ignore[attr-defined]
    kind, *rest = arguments
    if kind == "-m":
        sys.argv, sys.path[0] = rest, str(Path.cwd())
        runpy.run_module(rest[0], run_name="__main__", alter_sys=True)
    elif kind == "-c":
        sys.argv, sys.path[0] = ["-c", *rest[1:]], ""
        exec(compile(rest[0], "<string>", "exec"), {"__name__": "__main__"})
    else:
        sys.argv, sys.path[0] = arguments, str(Path(kind).parent)
        runpy.run_path(kind, run_name="__main__")


if __name__ == "__main__":
    preload()
    gc.collect()
    gc.freeze()
    serve(socket.socket(fileno=int(sys.argv[1])))
