"""The one place where errors and warnings become lines on stderr, JSON and exit codes.

====  ==========================================================
code  meaning
====  ==========================================================
0     done
1     failure: one ``savs: error:`` line
2     wrong usage
3     finished, but some examples could not be answered
130   interrupted (SIGINT)
143   terminated (SIGTERM)
====  ==========================================================

With ``--json`` a failure or wrong usage also prints ``{"error": {"code", "message"}}`` on stdout, and
``"entries"`` with the names of what differs if the backbone is not the classifier's.
"""

from __future__ import annotations

import re
import sys
import traceback
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import click

from savs.cli.output import print_json, printable
from savs.cli.session import Session
from savs.cli.signals import SIGINT_CODE, SIGTERM_CODE, Terminated
from savs.errors import BackboneMismatchError, ItemError, SAVsError

__all__ = ["FAILED", "ITEM_ERRORS", "USAGE", "remark", "report_failure", "warnings_as_lines"]

FAILED, USAGE, ITEM_ERRORS = 1, 2, 3


def report_failure(error: BaseException, session: Session) -> int:
    """Tell the user what went wrong and return the exit code."""
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
        # A stdout that cannot be written to may be the very error.
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
    return "internal_error", f"{text[:500]} (a fault in savs; --verbose shows where)"


def _with_options(error: BackboneMismatchError) -> str:
    """Return the message with the command line's own way to accept the difference."""
    options = " ".join(f"--allow-mismatch {entry}" for entry in error.entries)
    return str(error).replace(f"allow_mismatch={list(error.entries)!r}", options)


def _snake_case(name: str) -> str:
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", name.replace("SAVs", "Savs")).lower()


def remark(text: str) -> None:
    """Print one line about the run to stderr, above a progress bar if there is one."""
    line = printable(f"savs: {' '.join(text.split())}")
    if "tqdm" in sys.modules:
        from tqdm import tqdm

        tqdm.write(line, file=sys.stderr)
    else:
        click.echo(line, err=True)


@contextmanager
def warnings_as_lines(session: Session) -> Iterator[None]:
    """Show each warning of savs once, as one line; those of other packages only when verbose."""
    said: set[str] = set()
    with warnings.catch_warnings():
        # What is shown is decided here, so nothing may be dropped or raised before.
        warnings.simplefilter("always")
        others = warnings.showwarning

        def show(message: Warning | str, category: type[Warning], *place: object) -> None:
            ours = category.__module__.partition(".")[0] == "savs"
            if session.verbose and not ours:
                others(message, category, *place)  # type: ignore[arg-type]
            elif ours and not session.quiet and str(message) not in said:
                said.add(str(message))
                remark(f"warning: {message}")

        warnings.showwarning = show  # type: ignore[assignment]
        yield
