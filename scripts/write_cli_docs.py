"""Write docs/cli.md from the ``--help`` of every command.

    python scripts/write_cli_docs.py            write the page
    python scripts/write_cli_docs.py --check    exit with 1 if the page is out of date

No model is loaded. The text depends neither on the terminal's width nor on its colors.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from pathlib import Path

import click

from savs.cli.main import cli

PAGE = Path(__file__).resolve().parents[1] / "docs" / "cli.md"
WIDTH = 100
HEAD = """\
# Command line

<!-- Written by `python scripts/write_cli_docs.py`. Change the commands in src/savs/cli, not this page. -->

Every command prints this help with `--help`. The [guide](guide.md) shows the commands at work.
"""


def commands(command: click.Command, context: click.Context) -> Iterator[click.Context]:
    """Yield the context of a command and of all commands below it, in the order that help lists them."""
    yield context
    if isinstance(command, click.Group):
        for name in command.list_commands(context):
            below = command.get_command(context, name)
            if below is not None and not below.hidden:
                yield from commands(below, context_of(below, name, context))


def context_of(command: click.Command, name: str, parent: click.Context | None = None) -> click.Context:
    """Return the context in which a command prints its help at the width of the page."""
    settings = {**command.context_settings, "terminal_width": WIDTH, "max_content_width": WIDTH}
    return click.Context(command, parent=parent, info_name=name, color=False, **settings)


def section(context: click.Context) -> str:
    """Return the part of the page that shows one command."""
    lines = context.get_help().splitlines()
    text = "\n".join(line.rstrip() for line in lines)
    return f"## {context.command_path}\n\n```text\n{text}\n```\n"


def render() -> str:
    """Return the whole page."""
    return "\n".join([HEAD, *map(section, commands(cli, context_of(cli, "savs")))])


def main() -> int:
    """Write the page, or compare it."""
    parser = argparse.ArgumentParser(description="Write docs/cli.md from the help of every command.")
    parser.add_argument("--check", action="store_true", help="write nothing; exit with 1 if out of date")
    if not parser.parse_args().check:
        PAGE.write_text(render(), encoding="utf-8")
    elif not PAGE.exists() or PAGE.read_text(encoding="utf-8") != render():
        print(f"{PAGE} is out of date; run: python scripts/write_cli_docs.py", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
