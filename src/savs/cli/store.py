"""``savs store``: show, verify, clean up and re-key a feature store."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from savs.cli._options import PathName, backbone_options, example_help, output_options
from savs.cli._output import print_json, show
from savs.cli._session import FAILED, Session, pass_session

if TYPE_CHECKING:
    from savs.cache import FeatureStore

__all__ = ["store"]


@click.group(
    short_help="Show, verify, clean up or re-key a feature store.",
    epilog=example_help(
        "savs store info my-store", "savs store verify my-store", "savs store prune my-store"
    ),
)
def store() -> None:
    """Show, verify, clean up or re-key a feature store: head vectors on disk, computed once.

    No model is loaded, except by savs store rekey.
    """


@store.command(short_help="Show what a store holds.", epilog=example_help("savs store info my-store"))
@click.argument("folder", metavar="STORE", type=PathName())
@output_options()
@pass_session
def info(session: Session, /, folder: Path) -> None:
    """Show the number of rows of a store, and the backbone they are from.

    --json prints {"rows", "parts", "bytes", "layers", "fingerprint", "dtype", "states_width", "duplicates",
    "quarantined", "environments"}; the last one lists the versions, attention kernels, devices and dtypes
    whose vectors the store holds.
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
        *(f"computed by  {_in_words(one)}" for one in found["environments"]),
        *(f"{name}: {value}" for name, value in found["fingerprint"].items() if not isinstance(value, dict)),
    )


def _in_words(environment: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in environment.items() if value is not None)


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


@store.command(
    short_help="Take vectors of libraries that compute others.",
    epilog=example_help(
        "savs store rekey my-store -b tiny", "savs store rekey my-store -b tiny --accept-drift"
    ),
)
@click.argument("folder", metavar="STORE", type=PathName())
@click.option(
    "--backbone",
    "-b",
    required=True,
    metavar="NAME",
    help="tiny, a model folder, a hub id or a registered name.",
)
@click.option(
    "--accept-drift",
    is_flag=True,
    help="Use the vectors that are there with the installed libraries too, although they differ.",
)
@backbone_options(store=False)
@output_options()
@pass_session
def rekey(
    session: Session, /, folder: Path, backbone: str, accept_drift: bool, loading: dict[str, Any]
) -> None:
    """Let a store take vectors of installed libraries that compute others than those it holds.

    The new vectors are kept beside the old ones, under keys of their own: what is needed is computed again,
    and under the old versions the old ones are still found. The backbone is loaded, and a few made-up inputs
    pass it. --json prints {"rekeyed"}: false if the installed libraries compute what the store holds.
    """
    from savs.backbones import load_backbone
    from savs.cache import with_store

    _open(folder)
    loaded = load_backbone(backbone, progress=session.progress, **loading)
    changed = with_store(loaded, folder, on_full="raise").rekey(accept_drift=accept_drift)
    if session.as_json:
        print_json({"rekeyed": changed})
    elif not changed:
        show("nothing to do: the installed libraries compute the vectors that the store holds")
    elif accept_drift:
        show("the vectors of the store are used with the installed libraries too")
    else:
        show("from now on the store takes the vectors of the installed libraries, beside the old ones")


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
