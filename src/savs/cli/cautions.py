"""Options that hold answers back: sets of classes, alarms, unknown examples."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from savs.model import Caution, SAVModel

__all__ = ["asked_caution", "caution_options"]

_SHARE = click.FloatRange(0, 1, min_open=True, max_open=True)


class _Alarm(click.ParamType["tuple[str, float]"]):
    name = "alarm"

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> tuple[str, float]:
        """Return label and rate from ``LABEL=RATE``."""
        label, _, rate = str(value).rpartition("=")
        try:
            share = float(rate)
        except ValueError:
            share = 0.0
        if not label or not 0 < share < 1:
            self.fail(f"{value!r} is not LABEL=RATE with a rate between 0 and 1", param, ctx)
        return label, share


def caution_options() -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """Return a decorator that adds --sets, --alarm and --unknown."""
    options = [
        click.option(
            "--sets",
            type=_SHARE,
            metavar="LEVEL",
            help="Also every class an example may be, so that a class is missed at most this often.",
        ),
        click.option(
            "--alarm",
            "alarms",
            type=_Alarm(),
            multiple=True,
            callback=lambda _context, _option, pairs: dict(pairs),
            metavar="LABEL=RATE",
            help="Also whether to announce LABEL, with at most this rate of false alarms; repeatable.",
        ),
        click.option(
            "--unknown",
            type=_SHARE,
            metavar="QUANTILE",
            help="No label for examples farther from all shots than this share of the shots from each other "
            "(savs fit --keep-shots).",
        ),
    ]

    def decorated(command: Callable[..., Any]) -> Callable[..., Any]:
        for option in reversed(options):
            command = option(command)
        return command

    return decorated


def asked_caution(
    model: SAVModel, sets: float | None, alarms: dict[str, float], unknown: float | None
) -> Caution | None:
    """Return the caution of a classifier, or None if none was asked for; no backbone is loaded."""
    if sets is None and unknown is None and not alarms:
        return None
    own = {str(label): label for label in model.classes_.tolist()}
    named = {own.get(label, label): rate for label, rate in alarms.items()}
    return model.caution(sets=sets, alarms=named, unknown=unknown)
