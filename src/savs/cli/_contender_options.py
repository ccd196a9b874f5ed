"""Which methods and baselines a command compares, on how many shots, and what the baselines need."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import wraps
from typing import Any

import click

from savs.cli._options import check_method

Command = Callable[..., Any]


def baseline_options() -> Callable[[Command], Command]:
    """Add the options of `BaselineSettings`; the command receives them as ``baselines``."""
    options = [
        click.option(
            "--image-text-model",
            metavar="NAME",
            help="Folder or hub id of a CLIP or SigLIP model, for the baselines clip_*.",
        ),
        click.option(
            "--embedding-model",
            metavar="NAME",
            help="Folder or hub id of a sentence-transformers model, for embedding_* and setfit.",
        ),
        click.option(
            "--in-context-shots",
            type=click.IntRange(1),
            default=4,
            show_default=True,
            metavar="N",
            help="Shots in the prompt of the baseline in_context.",
        ),
    ]
    names = ("image_text_model", "embedding_model", "in_context_shots")

    def add(command: Command) -> Command:
        @wraps(command)
        def with_baselines(*session: Any, **values: Any) -> Any:
            return command(*session, baselines={name: values.pop(name) for name in names}, **values)

        wrapped: Command = with_baselines
        for option in reversed(options):
            wrapped = option(wrapped)
        return wrapped

    return add


def named_methods(text: str | None, n_prompts: int) -> list[str]:
    """Return the methods and baselines that a text lists, or the default ones.

    Raises
    ------
    click.BadParameter
        If it names none, or one that there is not.
    """
    from savs.classifiers import available_methods
    from savs.evaluation.contenders import default_contenders, known_contenders

    if text is None:
        return list(default_contenders(n_prompts))
    names = [name.strip() for name in text.split(",") if name.strip()]
    known = known_contenders()
    unknown = [name for name in names if name not in known]
    if unknown or not names:
        wrong = f"no method named {unknown[0]!r}" if unknown else "at least one method is required"
        raise click.BadParameter(f"{wrong}; available are {', '.join(known)}", param_hint="--methods")
    for name in names:
        if name in available_methods():
            check_method(name, None, None, None, n_prompts=n_prompts)
    return list(dict.fromkeys(names))


def shot_counts(text: str) -> list[int]:
    """Return the numbers of shots that a text lists."""
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isascii() and part.isdecimal() and len(part) < 10 for part in parts):
        raise click.BadParameter(
            f"{text!r} is not one or more whole numbers, such as 5 or 0,5,10,20", param_hint="--shots"
        )
    return list(dict.fromkeys(int(part) for part in parts))


def check_shots(names: Sequence[str], counts: Sequence[int]) -> None:
    """Refuse numbers of shots with which none of the methods works."""
    from savs.evaluation.contenders import check_shots_needed

    try:
        check_shots_needed(names, counts)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="--shots") from None
