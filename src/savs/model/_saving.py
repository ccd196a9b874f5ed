"""Saved classifiers of `SAVModel`, in folders and on the hub; `savs.artifact` has the format."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
from huggingface_hub import snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError
from huggingface_hub.utils._validators import validate_repo_id
from numpy.typing import NDArray

from savs.artifact import IDENTITY, Artifact
from savs.backbones._identity import differing
from savs.classifiers import Estimate, Method
from savs.errors import ArtifactError
from savs.model._drift import record_canary, same_versions
from savs.model._learning import Learned
from savs.model._source import BackboneSource
from savs.model._support_set import SupportSet

_PLACE = ("source", "revision", "commit")
_FILES = ["savs.json", "*.safetensors", "README.md"]


def is_hub_name(place: str | os.PathLike[str]) -> bool:
    """Return whether this is a text ``owner/name`` and no folder or file of this name exists."""
    if not isinstance(place, str) or place.count("/") != 1 or os.path.lexists(place):
        return False
    try:
        validate_repo_id(place)
    except HFValidationError:
        return False
    return not place.startswith(".")


@contextmanager
def from_hub(name: str) -> Iterator[None]:
    """Turn errors of the hub's client into one line."""
    try:
        yield
    except (HfHubHTTPError, HFValidationError, OSError) as error:
        reason = str(error).strip().split("\n")[0][:300] or type(error).__name__
        raise ArtifactError(
            f"{name} is not a folder, and the hub refused that name or cannot be reached: {reason}"
        ) from error


def download(name: str, **options: Any) -> Path:
    """Return the folder of the hub client's cache that holds a saved classifier; nothing else is fetched.

    Parameters
    ----------
    name : str
        ``"owner/name"``.
    **options
        As for `huggingface_hub.snapshot_download`.
    """
    return Path(snapshot_download(name, allow_patterns=_FILES, **options))


def given_settings(method: Method) -> dict[str, Any]:
    """Return a method as the parameters of `SAVModel`."""
    name = method.name if method.parameters is None else method.estimator
    return {
        "method": name,
        "n_heads": method.n_heads,
        "scoring": method.scoring,
        "priors": method.priors,
        "heads": method.heads,
    }


def learned_of(artifact: Artifact) -> Learned:
    """Return what a saved classifier had learned."""
    out_of_fold = artifact.out_of_fold
    if out_of_fold is None:
        out_of_fold = np.full((len(artifact.shots), len(artifact.classes)), np.nan)
    estimate = None if artifact.estimate is None else Estimate(**artifact.estimate)
    return Learned(artifact.classifier, out_of_fold, estimate, artifact.report or {})


def as_artifact(
    method: Method,
    prompt: str | None,
    learned: Learned,
    support: SupportSet,
    rows: NDArray[np.float32] | None,
    fingerprint: dict[str, Any],
) -> Artifact:
    """Return what is saved of a fitted model.

    Parameters
    ----------
    method, prompt
        Of the fit.
    learned : Learned
        The result of the fit.
    support : SupportSet
        The shots.
    rows : ndarray of float32, shape (n_shots, width), or None
        The shots' rows, if they are kept.
    fingerprint : dict
        The backbone's.
    """
    return Artifact(
        method=method,
        prompt=prompt,
        classifier=learned.classifier,
        shots=list(support.shots),
        out_of_fold=learned.out_of_fold,
        rows=rows,
        estimate=None if learned.estimate is None else asdict(learned.estimate),
        report=learned.report,
        fingerprint=fingerprint,
    )


def check_unchanged(source: BackboneSource) -> None:
    """Refuse to save a classifier that was fitted on weights which the model object no longer has."""
    backbone = source.loaded
    model = getattr(backbone, "model", None)
    if backbone is None or model is None:
        return
    from savs.backbones._fingerprint import weights_digest

    if weights_digest(model) != backbone.fingerprint.get("weights_digest"):
        raise ArtifactError(
            "the model's weights have changed since its backbone was made, so the classifier belongs to "
            "weights that are gone: make the backbone again (load_backbone), fit, then save"
        )


def with_canary(artifact: Artifact, source: BackboneSource) -> Artifact:
    """Return what is saved with its canary, recorded now if there is none.

    A classifier that an older savs saved gets one, and a fingerprint of today, if its backbone was used and
    runs on the versions of its fit; on others it stays as it is, since they may compute something else.

    Parameters
    ----------
    artifact : Artifact
    source : BackboneSource
        Of its backbone.
    """
    backbone, saved = source.loaded, artifact.fingerprint
    if artifact.canary is not None or backbone is None:
        return artifact
    current = dict(backbone.fingerprint)
    if not same_versions(saved, current) or set(differing(saved, current, IDENTITY)) - set(_PLACE):
        return artifact
    place = {name: saved[name] for name in _PLACE if name in saved}
    canary = record_canary(backbone, artifact.shots, artifact.classifier.heads_)
    return replace(artifact, fingerprint=current | place, canary=canary)
