"""``savs store``: what a feature store holds, whether it is whole, and putting it in order."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from savs.cli._options import PathName, example_help, output_options
from savs.cli._output import print_json, show
from savs.cli._session import FAILED, Session, pass_session

if TYPE_CHECKING:
    from savs.cache import FeatureStore

__all__ = ["store"]


@click.group(
    short_help="Look at, check and tidy a feature store.",
    epilog=example_help(
        "savs store info my-store", "savs store verify my-store", "savs store prune my-store"
    ),
)
def store() -> None:
    """Look at, check and tidy a feature store: head vectors on disk, computed once. No model is loaded."""


@store.command(short_help="Show what a store holds.", epilog=example_help("savs store info my-store"))
@click.argument("folder", metavar="STORE", type=PathName())
@output_options()
@pass_session
def info(session: Session, /, folder: Path) -> None:
    """Show how many rows a store holds, of which backbone.

    --json prints {"rows", "parts", "bytes", "layers", "fingerprint", "dtype", "states_width", "duplicates",
    "quarantined"}.
    """
    found = _open(folder).info()
    if session.as_json:
        print_json(found)
        return
    states = "none" if found["states_width"] is None else f"{found['states_width']} wide"
    show(
        f"rows         {found['rows']}",
        f"parts        {found['parts']}, {_size(found['bytes'])}",
        f"layers       {found['layers']}, values of {found['dtype']}",
        f"states       {states}",
        f"duplicates   {found['duplicates']}",
        f"quarantined  {found['quarantined']}",
        *(f"{name}: {value}" for name, value in found["fingerprint"].items()),
    )


@store.command(
    short_help="Read every byte and compare it.", epilog=example_help("savs store verify my-store")
)
@click.argument("folder", metavar="STORE", type=PathName())
@output_options()
@pass_session
def verify(session: Session, /, folder: Path) -> int:
    """Read every byte of every part and set damaged ones aside; their rows are computed again when needed.

    The exit code is 1 when a part was bad. --json prints {"bad": [{"part", "reason"}, ...], "parts", "rows",
    "quarantined"}, with what is left and how many damaged parts lie aside, those of earlier commands too.
    """
    from tqdm import tqdm

    opened = _open(folder)
    n_bytes = opened.info()["bytes"]
    shown = None if session.progress else True
    with tqdm(total=n_bytes, unit="B", unit_scale=True, delay=2, disable=shown, leave=False) as bar:
        bad = opened.verify(bar.update)
    found = opened.info()
    if session.as_json:
        listed = [{"part": part.name, "reason": part.reason} for part in bad]
        print_json({"bad": listed, **{name: found[name] for name in ("parts", "rows", "quarantined")}})
    else:
        show(*(f"{part.name}: {part.reason}" for part in bad))
        show(f"{len(bad)} parts were bad; {found['parts']} parts with {found['rows']} rows are whole")
        if found["quarantined"]:
            show(f"{found['quarantined']} damaged parts lie in quarantine/; savs store prune deletes them")
    return FAILED if bad else 0


@store.command(
    short_help="Delete duplicates and leftovers.", epilog=example_help("savs store prune my-store")
)
@click.argument("folder", metavar="STORE", type=PathName())
@output_options()
@pass_session
def prune(session: Session, /, folder: Path) -> None:
    """Take out duplicates, put small parts together, delete damaged parts and leftovers of killed runs.

    Other processes may read and write meanwhile. --json prints {"duplicates", "parts_before", "parts_after",
    "quarantined", "temporary"}.
    """
    found = _open(folder).prune()
    if session.as_json:
        print_json(found._asdict())
        return
    show(
        f"duplicates taken out   {found.duplicates}",
        f"parts                  {found.parts_before} -> {found.parts_after}",
        f"damaged parts deleted  {found.quarantined}",
        f"leftovers deleted      {found.temporary}",
    )


def _open(folder: Path) -> FeatureStore:
    from savs.cache import FeatureStore

    return FeatureStore.existing(folder)


def _size(n_bytes: int) -> str:
    size, unit = float(n_bytes), "B"
    for larger in ("kB", "MB", "GB", "TB"):
        if size < 1000:
            break
        size, unit = size / 1000, larger
    return f"{size:.0f} {unit}" if unit == "B" else f"{size:.1f} {unit}"
