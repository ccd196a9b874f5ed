"""Options of a chat template, such as ``enable_thinking``: checked against its variables, then set in it."""

from __future__ import annotations

import copy
import json
from collections.abc import Mapping
from typing import Any

from savs.backbones._rendering import chat_template, tokenizer_of
from savs.errors import BackboneError

__all__ = ["parse_option", "template_options", "template_variables", "with_template_options"]

_GIVEN = frozenset({"messages", "add_generation_prompt", "raise_exception", "strftime_now"})
"""What savs and transformers give every chat template, beside the special tokens."""
_OPTIONS = "savs_template_options"  # an attribute of tokenizers, so that copies of them have it too
_PYTHON = {"True": "true", "False": "false", "None": "null"}


def parse_option(text: str) -> tuple[str, Any]:
    """Return name and value of ``NAME=VALUE``; the value is JSON, and a text if it is not.

    Parameters
    ----------
    text : str
        Such as ``"enable_thinking=false"`` or ``"reasoning_effort=low"``.

    Raises
    ------
    ValueError
        Without ``=`` or a name, and for ``True``, ``False`` and ``None``, which would be texts that count as
        true.

    Examples
    --------
    >>> parse_option("enable_thinking=false"), parse_option("reasoning_effort=low")
    (('enable_thinking', False), ('reasoning_effort', 'low'))
    """
    name, equals, value = text.partition("=")
    if not equals or not name.strip():
        raise ValueError(f"{text!r} is not NAME=VALUE")
    if value in _PYTHON:
        raise ValueError(f"{text!r}: values are JSON, so write {name}={_PYTHON[value]}")
    try:
        return name.strip(), json.loads(value)
    except (ValueError, RecursionError):
        return name.strip(), value


def with_template_options(processor: Any, options: Mapping[str, Any] | None) -> Any:
    """Return a processor whose chat template has some of its variables set; the given one stays as it is.

    Parameters
    ----------
    processor : transformers processor or tokenizer
    options : mapping of str to JSON value, optional
        Values by variable.

    Raises
    ------
    BackboneError
        If there is no chat template, it has no such variable, or a value is not JSON.
    """
    if not options:
        return processor
    if not isinstance(options, Mapping):
        raise BackboneError(f"template_options maps names to values; got {type(options).__name__}")
    template, in_processor = chat_template(processor)
    if template is None:
        raise BackboneError(f"it has no chat template, so no template option {next(iter(options))!r}")
    _check_names(options, template_variables(processor))
    # A newline behind a block is dropped: the template itself begins at the start of a line, as before.
    set_first = "".join(
        f"{{% set {name} = {_literal(name, value)} %}}\n" for name, value in sorted(options.items())
    )
    changed = copy.copy(processor)
    if processor is not tokenizer_of(processor):
        changed.tokenizer = copy.copy(processor.tokenizer)
    (changed if in_processor else tokenizer_of(changed)).chat_template = set_first + template
    setattr(tokenizer_of(changed), _OPTIONS, template_options(processor) | dict(options))
    return changed


def template_options(processor: Any) -> dict[str, Any]:
    """Return the options that were set in a processor's chat template."""
    return dict(getattr(tokenizer_of(processor), _OPTIONS, {}))


def template_variables(processor: Any) -> list[str]:
    """Return the variables that a chat template takes beside the conversation and the special tokens.

    Raises
    ------
    BackboneError
        If the template is not one.
    """
    from jinja2 import Environment, TemplateError, nodes
    from jinja2.ext import Extension
    from jinja2.meta import find_undeclared_variables

    class Generation(Extension):
        """What transformers adds to the language: a block around the model's own turns."""

        tags = {"generation"}  # noqa: RUF012

        def parse(self, parser: Any) -> list[nodes.Node]:
            next(parser.stream)
            return list(parser.parse_statements(("name:endgeneration",), drop_needle=True))

    template, _ = chat_template(processor)
    environment = Environment(extensions=["jinja2.ext.loopcontrols", Generation])  # parses, never renders
    try:
        names = find_undeclared_variables(environment.parse(template or ""))
    except TemplateError as error:
        raise BackboneError(
            f"its chat template cannot be read: {' '.join(str(error).split())[:200]}"
        ) from error
    special = getattr(tokenizer_of(processor), "special_tokens_map", {})
    return sorted(names - _GIVEN - set(special) - {"bos_token", "eos_token", "pad_token", "unk_token"})


def _check_names(options: Mapping[str, Any], known: list[str]) -> None:
    unknown = [name for name in options if name not in known]
    if unknown:
        has = f"; it has {', '.join(known)}" if known else ", nor any other"
        raise BackboneError(f"the chat template has no option {unknown[0]!r}{has}")


def _literal(name: str, value: Any) -> str:
    """Return a JSON value as a template writes it, which is as Python does."""
    try:
        again = json.loads(json.dumps(value, allow_nan=False))
    except (TypeError, ValueError, RecursionError) as error:
        raise BackboneError(f"the template option {name!r} is not a JSON value") from error
    if again != value:
        raise BackboneError(f"the template option {name!r} is not a JSON value")
    return ascii(again)
