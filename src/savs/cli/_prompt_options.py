"""The option ``--prompt``, of commands that take several prompts and of those that take one."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import click

from savs.cli._options import Option

__all__ = ["one_prompt_option", "prompt_option", "prompt_setting"]


def prompt_option(help: str) -> Option:
    """Return the option ``--prompt``, which may be given several times; the command gets ``prompts``."""
    return click.option(
        "--prompt", "prompts", metavar="TEXT", multiple=True, callback=_different_prompts, help=help
    )


def _different_prompts(
    _context: click.Context, _option: click.Parameter, prompts: Sequence[str]
) -> list[str]:
    if len(set(prompts)) < len(prompts):
        raise click.BadParameter("the same prompt is given twice")
    return list(prompts)


def prompt_setting(prompts: Sequence[str]) -> dict[str, Any]:
    """Return the keywords of `savs.SAVModel` for no prompt, one, or several."""
    return {"prompts": list(prompts)} if len(prompts) > 1 else {"prompt": next(iter(prompts), None)}


def one_prompt_option(help: str) -> Option:
    """Return the option ``--prompt`` that is refused where it is given twice; the command gets ``prompt``."""
    return click.option("--prompt", metavar="TEXT", multiple=True, callback=_one_prompt, help=help)


def _one_prompt(_context: click.Context, _option: click.Parameter, prompts: Sequence[str]) -> str | None:
    if len(prompts) > 1:
        raise click.BadParameter("give one prompt, and run the command once for each")
    return next(iter(prompts), None)
