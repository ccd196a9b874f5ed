"""Duplicates taken out, small parts put together, leftovers deleted; safe beside readers, writers and itself.

Every part with a row that stands elsewhere too is written anew, and an old part goes only when all its rows
are durable in new ones. Two processes that prune at once therefore lose nothing, whatever each of them has
seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Any, NamedTuple

from numpy.typing import NDArray

from savs.cache._files import crash_point, remove_stale, sync_folder
from savs.cache._part_catalog import PartCatalog
from savs.cache._parts import BadPartError, Part, write_part
from savs.cache._writing import Buffer


class Pruned(NamedTuple):
    """What `prune` did.

    Attributes
    ----------
    duplicates : int
        Rows that stood elsewhere too.
    parts_before, parts_after : int
        Number of parts.
    quarantined : int
        Damaged parts deleted.
    temporary : int
        Files of killed processes deleted.
    """

    duplicates: int
    parts_before: int
    parts_after: int
    quarantined: int
    temporary: int


def prune(catalog: PartCatalog, part_rows: int) -> Pruned:
    """Prune the parts of a catalog; see the module.

    Parameters
    ----------
    catalog : PartCatalog
        Of the store.
    part_rows : int
        Rows of a full part.

    Raises
    ------
    OSError
        If a part cannot be written or deleted; nothing is lost then.
    """
    catalog.refresh()
    before, n_rows = len(catalog.parts), sum(part.n_rows for part in catalog.parts.values())
    old = _to_rewrite(catalog, part_rows)
    if old:
        kept = _rewrite(catalog, old, part_rows)
        crash_point("pruned-written")
        for part in old:
            if part.path.name not in kept:
                part.path.unlink(missing_ok=True)
                crash_point("pruned-deleted")
        sync_folder(catalog.folder)
        catalog.refresh()
    duplicates = n_rows - sum(part.n_rows for part in catalog.parts.values())
    return Pruned(
        max(duplicates, 0), before, len(catalog.parts), _empty_quarantine(catalog), _remove_stale(catalog)
    )


def _to_rewrite(catalog: PartCatalog, part_rows: int) -> list[Part]:
    """Return the parts that share a row with another, and the small ones if there are several of a kind."""
    owners: dict[bytes, str] = {}
    chosen: set[str] = set()
    for name, part in catalog.parts.items():
        for key in part.keys:
            owner = owners.setdefault(key, name)
            if owner != name:
                chosen |= {owner, name}
        if len(set(part.keys)) < part.n_rows:
            chosen.add(name)
    for with_states in (False, True):
        small = {
            name
            for name, part in catalog.parts.items()
            if part.has_states is with_states and 2 * part.n_rows <= part_rows
        }
        # What is rewritten may leave a small part of its own: the small one that is there goes with it.
        chosen |= small if len(small) > 1 or chosen else set()
    # Rows with final hidden states come first: they are the ones to keep.
    return sorted(
        (catalog.parts[name] for name in chosen), key=lambda part: (not part.has_states, part.path.name)
    )


def _rewrite(catalog: PartCatalog, old: Sequence[Part], part_rows: int) -> set[str]:
    """Write the rows of the old parts, each once, and return the new parts' names."""
    names: set[str] = set()
    seen: set[bytes] = set()
    for with_states in (True, False):
        buffer = Buffer(catalog.description, part_rows, with_states)
        for part in old:
            if part.has_states is with_states:
                names |= _add(catalog, part, buffer, seen)
        if len(buffer):
            names.add(write_part(catalog.folder, catalog.description, buffer.columns(set())).name)
    return names


def _add(catalog: PartCatalog, part: Part, buffer: Buffer, seen: set[bytes]) -> set[str]:
    try:
        columns = _read(catalog, part)
    except BadPartError as error:
        catalog.set_aside(part.path.name, str(error))
        return set()
    except FileNotFoundError:
        # Another process has pruned it: its rows are in a new part.
        return set()
    names: set[str] = set()
    part_keys = part.keys
    rows = [
        row for key, row in dict(zip(part_keys, range(part.n_rows), strict=True)).items() if key not in seen
    ]
    while rows:
        batch, rows = rows[: buffer.space], rows[buffer.space :]
        keys = [part_keys[row] for row in batch]
        seen.update(keys)
        buffer.add(keys, {name: values[batch] for name, values in columns.items()})
        if not buffer.space:
            names.add(write_part(catalog.folder, catalog.description, buffer.columns(set())).name)
            buffer.clear()
    return names


def _read(catalog: PartCatalog, part: Part) -> dict[str, NDArray[Any]]:
    with part.path.open("rb", buffering=0) as file:
        columns = catalog.description.columns
        return {name: part.read(file.fileno(), columns[name]) for name in part.starts if name != "key"}


def _empty_quarantine(catalog: PartCatalog) -> int:
    deleted = 0
    for path in catalog.quarantined():
        with suppress(OSError):
            path.unlink()
            deleted += 1
    return deleted


def _remove_stale(catalog: PartCatalog) -> int:
    return remove_stale(catalog.folder) + remove_stale(catalog.folder.parent)
