"""Rows that a reader wants, from the parts that hold them."""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from savs.features.store.parts import BadPartError, Part
from savs.features.store.reading import Job
from savs.features.store.shelf import Shelf

__all__ = ["fetch"]

_THREADS, _WORTH_THREADS = 4, 16 * 2**20

Places = list[tuple[Part, list[tuple[int, int]]]]


def fetch(shelf: Shelf, job: Job) -> None:
    """Read what is left of a job from a store's parts; damaged ones are set aside on the way."""
    while places := _places(shelf, job):
        _from_parts(shelf, places, job)


def _places(shelf: Shelf, job: Job) -> Places:
    """Return, part by part, the (row, position) pairs that are left to read."""
    grouped: dict[str, tuple[Part, list[tuple[int, int]]]] = {}
    for position in np.flatnonzero(~job.found):
        place = shelf.places.get(job.keys[position])
        if place is not None and (job.states is None or place[0].has_states):
            part, row = place
            grouped.setdefault(part.path.name, (part, []))[1].append((row, int(position)))
    return list(grouped.values())


def _from_parts(shelf: Shelf, places: Places, job: Job) -> None:
    """Read rows of parts, several at a time; one that cannot be read is out of the index afterwards."""
    most = _THREADS if job.n_bytes > _WORTH_THREADS else 1
    n_threads = min(len(places), os.cpu_count() or 1, most)
    if n_threads == 1:
        errors = [_read_part(part, pairs, job) for part, pairs in places]
    else:
        with ThreadPoolExecutor(n_threads, thread_name_prefix="savs-store-read") as pool:
            errors = list(pool.map(lambda place: _read_part(place[0], place[1], job), places))
    for (part, _), error in zip(places, errors, strict=True):
        _note(shelf, part, error)


def _note(shelf: Shelf, part: Part, error: BadPartError | OSError | None) -> None:
    if isinstance(error, BadPartError):
        shelf.set_aside(part.path.name, str(error))
    elif isinstance(error, FileNotFoundError):
        # Pruned by another process: the rows are in a new part.
        shelf.forget([part.path.name])
        shelf.refresh()
    elif error is not None:
        shelf.ignore(part.path.name, f"it cannot be read: {error.strerror or error}")


def _read_part(part: Part, pairs: list[tuple[int, int]], job: Job) -> BadPartError | OSError | None:
    """Read rows of a part and return why they cannot be read, if so."""
    try:
        with part.path.open("rb", buffering=0) as file:
            scratch = np.empty(part.n_rows * job.widest, np.uint8)
            job.fill(pairs, lambda column: part.read(file.fileno(), column, scratch))
    except (BadPartError, OSError) as error:
        return error
    return None
