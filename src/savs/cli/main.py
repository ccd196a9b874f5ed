"""The ``savs`` command: its group of commands, and how a run starts and ends."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from importlib import import_module

import click

from savs import __version__
from savs.cli._session import Session, Terminated, catch_sigterm, report_failure, warnings_as_lines
from savs.media._bit_depth import levels_checked

__all__ = ["cli", "main", "run"]

COMMANDS = (
    "demo",
    "fit",
    "predict",
    "evaluate",
    "compare",
    "benchmark",
    "experiment",
    "report",
    "extract",
    "inspect",
    "explain",
    "doctor",
    "store",
    "export",
)
"""In the order that a new user needs them; each is in the module of that name."""

EPILOG = """\b
Example:
  savs demo
  savs fit train/ -b tiny --prompt "What is in this picture?" -o my-classifier
  savs predict my-classifier new-images/ -o answers.jsonl

\b
Exit codes:
  0 done, 1 failure, 2 wrong usage, 3 finished but some examples failed,
  130 interrupted, 143 terminated

With --json a failure also prints {"error": {"code", "message"}} on stdout.
"""


class LazyGroup(click.Group):
    """A group whose commands are imported when they are named."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002 - click's signature
        """Return the names of all commands."""
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        """Return a command, or None if there is none of that name."""
        if cmd_name not in COMMANDS:
            return None
        command: click.Command = getattr(import_module(f"savs.cli.{cmd_name}"), cmd_name)
        return command


@click.group(cls=LazyGroup, epilog=EPILOG, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="savs")
def cli() -> None:
    """Few-shot classifiers from the attention heads of any frozen large multimodal model."""


def main() -> None:
    """Run the command line and leave with its exit code."""
    catch_sigterm()
    _prepare_streams()
    code = run(sys.argv[1:])
    sys.exit(_flushed(code))


def run(arguments: Sequence[str]) -> int:
    """Run one command in this process and return its exit code."""
    session = Session(as_json=_asks_for_json(arguments))
    with warnings_as_lines(session), levels_checked():
        try:
            result = cli.main(list(arguments), prog_name="savs", standalone_mode=False, obj=session)
        except SystemExit as stop:
            # Only where click finds that the reader of stdout has gone.
            _drop_stdout()
            return stop.code if isinstance(stop.code, int) else 1
        except (Exception, KeyboardInterrupt, Terminated) as error:
            return report_failure(error, session)
    return result if isinstance(result, int) else 0


def _asks_for_json(arguments: Sequence[str]) -> bool:
    # Wrong usage ends before the options are known.
    end = list(arguments).index("--") if "--" in arguments else len(arguments)
    return "--json" in arguments[:end]


def _prepare_streams() -> None:
    """Make any text printable on any terminal, and tolerate a closed stdout."""
    for name in ("stdout", "stderr"):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: PTH123, SIM115
        elif hasattr(stream, "reconfigure"):
            stream.reconfigure(errors="backslashreplace")


def _flushed(code: int) -> int:
    """Flush stdout while its errors can still be reported."""
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        _drop_stdout()
        return code or 1
    except OSError as error:
        _drop_stdout()
        return code or report_failure(error, Session())
    return code


def _drop_stdout() -> None:
    # Without this, Python complains once more when it flushes stdout on its way out.
    if sys.__stdout__ is not None:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.__stdout__.fileno())


if __name__ == "__main__":
    main()
