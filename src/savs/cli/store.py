"""``savs store``: show, verify and clean up a feature store."""

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
    short_help="Show, verify or clean up a feature store.",
    epilog=example_help(
        "savs store info my-store", "savs store verify my-store", "savs store prune my-store"
    ),
)
def store() -> None:
    """Show, verify or clean up a feature store: head vectors on disk, computed once. No model is loaded."""


@store.command(short_help="Show what a store holds.", epilog=example_help("savs store info my-store"))
@click.argument("folder", metavar="STORE", type=PathName())
@output_options()
@pass_session
def info(session: Session, /, folder: Path) -> None:
    """Show the number of rows of a store, and the backbone they are from.

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
    short_help="Verify the checksum of every part.", epilog=example_help("savs store verify my-store")
)
@click.argument("folder", metavar="STORE", type=PathName())
@output_options()
@pass_session
def verify(session: Session, /, folder: Path) -> int:
    """Verify the checksum of every part, and move damaged ones to quarantine/.

    Their rows are computed again when they are needed. The exit code is 1 if a part is damaged. --json prints
    {"bad": [{"part", "reason"}, ...], "parts", "rows", "quarantined"}: the damaged parts, the numbers of
    intact parts and rows, and the number of parts in quarantine, also from earlier commands.
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
        show(f"{len(bad)} parts are damaged; {found['parts']} parts with {found['rows']} rows are intact")
        if found["quarantined"]:
            show(f"{found['quarantined']} damaged parts are in quarantine/; savs store prune deletes them")
    return FAILED if bad else 0


@store.command(
    short_help="Delete duplicates and leftovers.", epilog=example_help("savs store prune my-store")
)
@click.argument("folder", metavar="STORE", type=PathName())
@output_options()
@pass_session
def prune(session: Session, /, folder: Path) -> None:
    """Delete duplicates, damaged parts and leftovers of killed runs, and merge small parts.

    Other processes may use the store at the same time. --json prints {"duplicates", "parts_before",
    "parts_after", "quarantined", "temporary"}.
    """
    found = _open(folder).prune()
    if session.as_json:
        print_json(found._asdict())
        return
    show(
        f"duplicates deleted     {found.duplicates}",
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
