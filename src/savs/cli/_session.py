"""How a run of the command line ends: signals, errors and warnings as lines, JSON and exit codes.

====  ==========================================================
code  meaning
====  ==========================================================
0     done
1     failure: one ``savs: error:`` line
2     wrong usage
3     finished, but some examples failed
130   interrupted (SIGINT)
143   terminated (SIGTERM)
====  ==========================================================

With ``--json`` a failure or wrong usage also prints ``{"error": {"code", "message"}}`` on stdout. If the
backbone is not the classifier's, ``"entries"`` names what differs.
"""

from __future__ import annotations

import os
import re
import signal
import sys
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from types import FrameType

import click

from savs.cli._output import print_json, printable
from savs.errors import BackboneMismatchError, DriftError, ItemError, SAVsError

# How a run shows its results; known before and after the command itself runs.


def _debugging() -> bool:
    return os.environ.get("SAVS_DEBUG", "") not in {"", "0"}


@dataclass
class Session:
    """How a command prints its output.

    Attributes
    ----------
    as_json : bool
        One JSON object on stdout and nothing else; errors too.
    quiet : bool
        Results and errors only: no progress, warnings or notes.
    verbose : bool
        Also tracebacks, and the messages of transformers and Python.
    """

    as_json: bool = False
    quiet: bool = False
    verbose: bool = field(default_factory=_debugging)

    @property
    def progress(self) -> bool:
        """Whether to show progress, on stderr."""
        return not self.quiet


pass_session = click.make_pass_decorator(Session, ensure=True)


def current_session(context: click.Context) -> Session:
    """Return the session of a running command."""
    return context.ensure_object(Session)


def remember(context: click.Context, option: click.Parameter, value: bool) -> None:
    """Record a flag in the session (callback of the output options)."""
    session = current_session(context)
    if value:
        setattr(session, str(option.name), True)
    if option.name == "verbose" and not session.verbose:
        # Read when these packages are imported, which only happens in a command.
        os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
        os.environ.setdefault("HF_HUB_VERBOSITY", "error")


# SIGTERM unwinds like Ctrl-C: files are closed and flushed before the exit code 143.

SIGINT_CODE = 130
SIGTERM_CODE = 143


class Terminated(BaseException):
    """SIGTERM arrived; not an `Exception`, so that no handler of errors catches it."""


def catch_sigterm() -> None:
    """Turn the first SIGTERM into `Terminated`; a second one ends the process at once."""
    signal.signal(signal.SIGTERM, _terminate)


def _terminate(_signal: int, _frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    raise Terminated


# The one place where errors and warnings become lines on stderr, JSON and exit codes.

FAILED, USAGE, ITEM_ERRORS = 1, 2, 3


def report_failure(error: BaseException, session: Session) -> int:
    """Print what went wrong, and return the exit code."""
    if isinstance(error, (click.Abort, KeyboardInterrupt)):
        remark("interrupted")
        return SIGINT_CODE
    if isinstance(error, Terminated):
        remark("terminated")
        return SIGTERM_CODE
    if session.verbose:
        traceback.print_exception(error)
    code, message = _described(error)
    if isinstance(error, click.UsageError):
        error.show()
    else:
        for line in message.splitlines():
            remark(f"error: {line}")
    if session.as_json:
        # The error may be that stdout cannot be written to.
        with suppress(OSError):
            print_json({"error": {"code": code, "message": message, **_entries(error)}})
    return USAGE if isinstance(error, click.UsageError) else FAILED


def _entries(error: BaseException) -> dict[str, list[str]]:
    return {"entries": list(error.entries)} if isinstance(error, BackboneMismatchError) else {}


def _described(error: BaseException) -> tuple[str, str]:
    """Return an error's stable code and its message."""
    if isinstance(error, ItemError):
        return error.code, str(error)
    if isinstance(error, BackboneMismatchError):
        return "backbone_mismatch_error", _with_options(error)
    if isinstance(error, DriftError):
        return "drift_error", str(error).replace("accept_drift=True", "--accept-drift")
    if isinstance(error, SAVsError):
        return _snake_case(type(error).__name__), str(error)
    if isinstance(error, click.UsageError):
        return "usage_error", error.format_message()
    if isinstance(error, click.ClickException):
        return "failure", error.format_message()
    if isinstance(error, OSError):
        where = f": {error.filename}" if error.filename else ""
        return "os_error", f"{error.strerror or type(error).__name__}{where}"
    text = " ".join(f"{type(error).__name__}: {error}".split())
    return "internal_error", f"{text[:500]} (a bug in savs; --verbose shows where)"


def _with_options(error: BackboneMismatchError) -> str:
    """Return the message with the options that accept the difference."""
    options = " ".join(f"--allow-mismatch {entry}" for entry in error.entries)
    return str(error).replace(f"allow_mismatch={list(error.entries)!r}", options)


def _snake_case(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name.replace("SAVs", "Savs")).lower()


def remark(text: str) -> None:
    """Print one line to stderr, above a progress bar if there is one."""
    line = printable(f"savs: {' '.join(text.split())}")
    if "tqdm" in sys.modules:
        from tqdm import tqdm

        tqdm.write(line, file=sys.stderr)
    else:
        click.echo(line, err=True)


@contextmanager
def warnings_as_lines(session: Session) -> Iterator[None]:
    """Show each warning of savs once, as one line; warnings of other packages only with --verbose."""
    shown: set[str] = set()
    with warnings.catch_warnings():
        # Every warning must get here, whatever filters Python was started with.
        warnings.simplefilter("always")
        others = warnings.showwarning

        def show(message: Warning | str, category: type[Warning], *place: object) -> None:
            ours = category.__module__.partition(".")[0] == "savs"
            if session.verbose and not ours:
                others(message, category, *place)  # type: ignore[arg-type]
            elif ours and not session.quiet and str(message) not in shown:
                shown.add(str(message))
                remark(f"warning: {message}")

        warnings.showwarning = show  # type: ignore[assignment]
        yield
