"""The canary of a saved classifier: recorded when it is saved, checked at its first use by other code."""

from __future__ import annotations

import hashlib
import json
import os
import warnings
from collections.abc import Hashable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from contextvars import ContextVar
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from savs.artifact import Artifact, Shot, kept_widths
from savs.backbones import Backbone, DriftWarning, Extraction
from savs.backbones._canary import (
    Canary,
    changes,
    check,
    environment_digest,
    environment_of,
    in_words,
    record,
)
from savs.backbones._modes import cache_folder
from savs.cache import StoredBackbone
from savs.data import Example
from savs.layout import Head
from savs.model._rows import read_rows

_KEPT = "canaries"
_ADVICE = "fit again, install those versions again, or accept the difference with accept_drift=True"


def record_canary(backbone: Backbone, shots: Sequence[Shot], heads: Sequence[Head]) -> Canary | None:
    """Return the vectors of the probes for the kinds of content that the shots have.

    Parameters
    ----------
    backbone : Backbone
    shots : sequence of Shot
        One whose media are not known counts as having all that the backbone reads.
    heads : sequence of Head
        The heads in use.
    """
    media = {kind for shot in shots for kind in (backbone.modalities if shot.media is None else shot.media)}
    return record(_computing(backbone), media, _reader(heads))


def check_drift(artifact: Artifact, backbone: Backbone) -> None:
    """Refuse a classifier if the installed code computes other vectors than that of its fit.

    The probes are read once for each environment, and what came out is remembered in the user's cache.

    Raises
    ------
    DriftError
        With the versions then and now, and the difference.

    Warns
    -----
    DriftWarning
        If the classifier has no canary and its fit ran on other versions.
    """
    now, canary = environment_of(backbone.fingerprint), artifact.canary
    if canary is None:
        _warn_of_other_versions(artifact.fingerprint, now)
    elif canary.environment != now:
        passed = _passed(canary, artifact.heads, now)
        if not _is_file(passed):
            check(
                canary,
                _computing(backbone),
                _reader(artifact.classifier.backbone_heads_),
                kept_widths(artifact.classifier),
                of="the classifier was fitted on",
                advice=_ADVICE,
            )
            _remember(passed, now)


def same_versions(saved: Mapping[str, Any], current: Mapping[str, Any]) -> bool:
    """Return whether two fingerprints are of backbones that the same code ran, as far as it was recorded."""
    return not _known_changes(saved, environment_of(current))


def _warn_of_other_versions(saved: Mapping[str, Any], now: Mapping[str, str | None]) -> None:
    changed = _known_changes(saved, now)
    if changed:
        warnings.warn(
            "the classifier was saved by a savs that kept no check vectors, so it cannot be told whether "
            f"the installed versions compute the same ({in_words(changed)}): check its accuracy on labeled "
            "examples, or fit again",
            DriftWarning,
            stacklevel=2,
        )


def _known_changes(
    saved: Mapping[str, Any], now: Mapping[str, str | None]
) -> dict[str, tuple[str | None, str | None]]:
    """Return what is other than recorded; an old fingerprint does not name every library, nor the device."""
    then = {
        name: value for name, value in environment_of(saved).items() if value is not None and name != "savs"
    }
    return changes(then, {name: now.get(name) for name in then})


_SHARED: ContextVar[dict[Hashable, Extraction] | None] = ContextVar("_SHARED", default=None)


@contextmanager
def probes_read_once() -> Iterator[None]:
    """Read each probe once, whatever heads it is wanted for: several classifiers on one backbone."""
    if _SHARED.get() is not None:
        yield
        return
    token = _SHARED.set({})
    try:
        yield
    finally:
        _SHARED.reset(token)


def _reader(heads: Sequence[Head]) -> Any:
    with_state = heads[-1].is_state

    def read(backbone: Backbone, examples: Sequence[Example]) -> NDArray[np.float32]:
        shared = _SHARED.get()
        if shared is None:
            return read_rows(backbone, examples, heads).features
        fingerprint = backbone.fingerprint
        where = environment_digest(environment_of(fingerprint)), fingerprint.get("weights_digest")
        key = (*where, with_state, *(example.id for example in examples))
        if key not in shared:
            shared[key] = read_rows(backbone, examples, state=with_state)
        rows, layout = shared[key].features, backbone.layout
        if with_state:
            layout = layout.with_state(rows.shape[1] - layout.width, heads[-1].layer)
        return rows[:, layout.column_indices(heads)]

    return read


def _computing(backbone: Backbone) -> Backbone:
    """Return the backbone without a store, which would answer from memory."""
    return backbone.backbone if isinstance(backbone, StoredBackbone) else backbone


def _passed(canary: Canary, heads: Sequence[tuple[int, int]], now: Mapping[str, str | None]) -> Path:
    key = [canary.digest, [list(head) for head in heads], environment_digest(now)]
    return cache_folder() / _KEPT / f"{hashlib.sha256(json.dumps(key).encode()).hexdigest()}.json"


def _is_file(path: Path) -> bool:
    try:
        return path.is_file()
    except OSError:
        return False


def _remember(path: Path, now: Mapping[str, str | None]) -> None:
    """Note that a check passed; where nothing can be written it is made again by the next process."""
    with suppress(OSError):
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary = path.with_name(f".{path.name}.{os.getpid()}")
        temporary.write_text(json.dumps(dict(now), indent=1) + "\n")
        temporary.replace(path)
