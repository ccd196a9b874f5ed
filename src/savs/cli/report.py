"""``savs report``: a benchmark run or a saved classifier as one HTML file."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from savs._optional import import_optional
from savs.cli._options import PathName, example_help, output_options
from savs.cli._output import print_json
from savs.cli._results import check_new_file
from savs.cli._session import Session, pass_session, remark
from savs.cli._tables import whole_output
from savs.errors import DataError

if TYPE_CHECKING:
    from savs.reports import Report

__all__ = ["report"]


@click.command(
    short_help="Write a run or classifier as one HTML file.",
    epilog=example_help("savs report run -o report.html", "savs report my-classifier -o my-classifier.html"),
)
@click.argument("source", metavar="RUN|CLASSIFIER", type=PathName())
@click.option(
    "--method",
    metavar="NAME",
    help="Method of the run that the headline and the figures are about [default: the first one that learns "
    "from shots and is no baseline].",
)
@click.option(
    "--output",
    "-o",
    required=True,
    type=PathName(dir_okay=False),
    help="HTML file; an older one is replaced.",
)
@output_options()
@pass_session
def report(session: Session, /, source: Path, method: str | None, output: Path) -> None:
    """Write a benchmark run, or a saved classifier, as one HTML file (needs savs[plots]).

    RUN is the folder of savs benchmark, finished or not; experiments in its folder "experiments" are in the
    report too. CLASSIFIER is the folder of savs fit; its accuracy is estimated on the shots themselves. No
    model is loaded. The file holds its figures and images, and needs neither network nor script.

    --json prints {"output", "title", "headline": {"name", "value", "low", "high"}, "sections": [...]}; the
    headline is null where no number can be claimed.
    """
    import_optional("matplotlib")
    check_new_file(output, outside=[source])
    found = _made(source, method)
    from savs.reports import to_html

    page = to_html(found).encode()
    with whole_output(output) as file:
        file.write(page)
    if session.as_json:
        one = found.headline
        headline = one and {"name": one.name, "value": one.value, "low": one.low, "high": one.high}
        sections = [section.title for section in found.sections]
        print_json({"output": str(output), "title": found.title, "headline": headline, "sections": sections})
    elif not session.quiet:
        remark(f"wrote {output}, {len(page) / 1024:.0f} kB")


def _made(source: Path, method: str | None) -> Report:
    from savs.reports import classifier_report, run_report

    if (source / "run.json").is_file():
        return run_report(source, method=method)
    if not (source / "savs.json").is_file():
        raise DataError(f"{source} is neither a run of savs benchmark nor a classifier of savs fit; name one")
    if method is not None:
        raise click.BadParameter("a classifier has one method; leave it out", param_hint="--method")
    return classifier_report(source)
