"""Options that say how heads become a classifier."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from savs.cli.options import PathName

if TYPE_CHECKING:
    from savs.examples import Example

__all__ = ["by_label", "check_method", "heads_of", "method_options"]


class _HeadCount(click.ParamType["int | str"]):
    name = "n_heads"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> int | str:
        """Return a number, ``auto`` or ``all``."""
        text = str(value)
        if text in ("auto", "all"):
            return text
        if not (text.isascii() and text.isdecimal() and len(text) < 10 and int(text) > 0):
            self.fail(f"{value!r} is not a positive number, auto or all", param, ctx)
        return int(text)


class _Priors(click.ParamType["str | dict[str, float]"]):
    name = "priors"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> str | dict[str, float]:
        """Return ``uniform``, ``empirical`` or a share per label from ``LABEL=SHARE,...``."""
        if value in ("uniform", "empirical"):
            return str(value)
        found: dict[str, float] = {}
        for piece in str(value).split(","):
            label, _, share = piece.rpartition("=")
            try:
                found[label] = float(share)
            except ValueError:
                label = ""
            if not label:
                self.fail(f"{value!r} is not uniform, empirical or LABEL=SHARE,LABEL=SHARE,...", param, ctx)
        return found


def method_options() -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return a decorator that adds --method, --n-heads, --scoring, --priors, --heads-of and --keep-shots."""
    options = [
        click.option(
            "--method",
            default="sav",
            show_default=True,
            callback=_known,
            metavar="NAME",
            help="sav, the published rule; auto, the most accurate; or another of docs/methods.md.",
        ),
        click.option(
            "--n-heads",
            type=_HeadCount(),
            metavar="N|auto|all",
            help="Heads to keep [default: the method's own; 20 for sav].",
        ),
        click.option(
            "--scoring",
            type=click.Choice(["in_sample", "leave_one_out", "cross_validated"]),
            help="How heads are ranked [default: the method's own].",
        ),
        click.option(
            "--priors",
            type=_Priors(),
            metavar="P",
            help="uniform, empirical, or LABEL=SHARE,... [default: the method's own].",
        ),
        click.option(
            "--heads-of",
            "heads_from",
            type=PathName(),
            metavar="CLASSIFIER",
            help="Use only the heads that this saved classifier uses (method votes, soft, hec_v, ...).",
        ),
        click.option(
            "--keep-shots",
            is_flag=True,
            help="Save the shots' feature rows too: for savs predict --unknown and for learning on.",
        ),
    ]

    def decorated(command: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(options):
            command = option(command)
        return command

    return decorated


def check_method(
    name: str,
    n_heads: int | str | None,
    scoring: str | None,
    priors: str | dict[str, float] | None,
    heads: Sequence[tuple[int, int]] | None = None,
) -> None:
    """Raise `click.UsageError` if the method does not take the settings."""
    from savs.heads.methods import Method

    try:
        Method(name, n_heads, scoring, priors, None if heads is None else tuple(heads))
    except ValueError as error:
        raise click.UsageError(str(error)) from None


def heads_of(folder: Path | None) -> list[tuple[int, int]] | None:
    """Return the heads that a saved classifier uses."""
    from savs.artifact import load_artifact

    return None if folder is None else [head for head in load_artifact(folder).heads if head[1] >= 0]


def by_label(
    priors: str | dict[str, float] | None, examples: Sequence[Example]
) -> str | dict[Any, float] | None:
    """Return priors with the labels' own type: on a command line every label is text."""
    if not isinstance(priors, dict):
        return priors
    own = {str(example.label): example.label for example in examples if example.label is not None}
    return {own.get(label, label): share for label, share in priors.items()}


def _known(context: click.Context, parameter: click.Parameter, name: str) -> str:
    from savs.heads.methods import METHODS, TEXT_METHODS

    if name not in (*METHODS, *TEXT_METHODS):
        known = ", ".join((*METHODS, *TEXT_METHODS))
        raise click.BadParameter(f"no method is called {name!r}; there are {known}", context, parameter)
    return name
