"""How one run of the command line shows its results; known before and after the command itself runs."""

from __future__ import annotations

import os
from dataclasses import dataclass, field

import click

__all__ = ["Session", "current_session", "pass_session", "remember"]


def _debugging() -> bool:
    return os.environ.get("SAVS_DEBUG", "") not in {"", "0"}


@dataclass
class Session:
    """What the user asked about the output.

    Attributes
    ----------
    as_json : bool
        One JSON object on stdout and nothing else; errors too.
    quiet : bool
        No progress, no warnings, no remarks: results and errors only.
    verbose : bool
        Tracebacks, and what transformers and Python have to say.
    """

    as_json: bool = False
    quiet: bool = False
    verbose: bool = field(default_factory=_debugging)

    @property
    def progress(self) -> bool:
        """Whether progress bars are wanted (they go to stderr, and only to a terminal)."""
        return not self.quiet


pass_session = click.make_pass_decorator(Session, ensure=True)


def current_session(context: click.Context) -> Session:
    """Return the session of a running command."""
    return context.ensure_object(Session)


def remember(context: click.Context, option: click.Parameter, value: bool) -> None:
    """Note a flag in the session (callback of the output options)."""
    session = current_session(context)
    if value:
        setattr(session, str(option.name), True)
    if option.name == "verbose" and not session.verbose:
        # Read when these packages are imported, which only happens in a command.
        os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
        os.environ.setdefault("HF_HUB_VERBOSITY", "error")
