"""``--template-option`` and ``--tokenizer``: what reaches `load_backbone`, and what is refused at once."""

from __future__ import annotations

import json
from typing import Any

import click
import pytest
from click.testing import CliRunner, Result

from savs.cli._options import backbone_options


def run(*arguments: str) -> Result:
    @click.command()
    @backbone_options(store=False)
    def command(loading: dict[str, Any]) -> None:
        click.echo(json.dumps(loading))

    return CliRunner().invoke(command, arguments)


def test__template_option__repeated__typed_values_by_name() -> None:
    found = run("--template-option", "enable_thinking=false", "--template-option", "effort=low")
    assert json.loads(found.output) == {"template_options": {"enable_thinking": False, "effort": "low"}}


def test__template_option__not_given__is_left_out() -> None:
    assert json.loads(run().output) == {}
    assert json.loads(run("--tokenizer", "file").output) == {"tokenizer": "file"}


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("--template-option", "enable_thinking"), "'enable_thinking' is not NAME=VALUE"),
        (("--template-option", "enable_thinking=False"), "values are JSON, so write enable_thinking=false"),
        (("--tokenizer", "slow"), "'slow' is not one of 'file', 'transformers'"),
    ],
)
def test__options__cannot_be_read__exit_2_with_the_reason(arguments, reason) -> None:
    found = run(*arguments)
    assert found.exit_code == 2
    assert reason in found.output
