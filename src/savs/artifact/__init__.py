"""A fitted classifier on disk: safetensors + JSON, never pickle.

A folder holds three files:

``savs.json``
    Everything but the numbers: schema version, method, labels, prompt, layout, kept heads, shots, estimate,
    and the fingerprint of the backbone. It names the file of numbers and carries its checksum and its own.
``classifier-<checksum>.safetensors``
    What the fitted estimator needs for an answer (``classifier.*``); the honest probabilities of left-out
    shots (``left_out``); on request the shots' feature rows (``rows``).
``README.md``
    The model card, for people.

Writing goes through temporary files; the rename of ``savs.json`` is the moment at which the new classifier
replaces the old one. Reading checks everything before anything is used.
"""

from __future__ import annotations

from savs.artifact.content import Artifact, Shot, common_media, common_sampling
from savs.artifact.folder import check_target, load_artifact, save_artifact
from savs.artifact.identity import IDENTITY, check_backbone
from savs.artifact.index import SCHEMA_VERSION

__all__ = [
    "IDENTITY",
    "SCHEMA_VERSION",
    "Artifact",
    "Shot",
    "check_backbone",
    "check_target",
    "common_media",
    "common_sampling",
    "load_artifact",
    "save_artifact",
]
