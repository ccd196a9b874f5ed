"""How a model is written to a folder and read from one; see `savs.artifact` for the format."""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from savs.artifact import Artifact, load_artifact, save_artifact
from savs.backbones import Backbone
from savs.classifiers import Estimate
from savs.errors import ArtifactError
from savs.model._fitted import FittedModel
from savs.model._learning import Learned
from savs.model._source import BackboneSource, Saved
from savs.model._support_set import SupportSet
from savs.model_card import render_card

if TYPE_CHECKING:
    from typing import Self


class SavableModel(FittedModel):
    """A fitted model that can be kept in a folder."""

    def save_pretrained(self, folder: str | os.PathLike[str], *, keep_shots: bool = False) -> None:
        """Write the fitted classifier (not the backbone) to a folder: safetensors, JSON and a model card.

        Parameters
        ----------
        folder : path
            New, empty, or holding an older classifier.
        keep_shots : bool, default=False
            Keep the shots' feature rows too, so that the loaded classifier can learn on, find suspect
            labels, tell unknown examples and name nearest shots. 4 bytes per column of the layout and shot.

        Raises
        ------
        ArtifactError
            If the folder cannot be written or holds something else, or the backbone's weights have changed
            since the fit; an older classifier there stays intact.
        """
        _ = self._fitted
        self._check_unchanged()
        artifact = self._to_artifact(keep_shots)
        save_artifact(artifact, Path(folder), card=render_card(artifact))

    @classmethod
    def from_pretrained(
        cls,
        folder: str | os.PathLike[str],
        *,
        backbone: Any = None,
        allow_mismatch: Sequence[str] = (),
        store: str | os.PathLike[str] | None = None,
        **load_options: Any,
    ) -> Self:
        """Read a saved classifier; its backbone is loaded when it is first needed.

        Parameters
        ----------
        folder : path
            What `save_pretrained` wrote.
        backbone : str, Path or Backbone, optional
            Where the backbone is now; by default the place recorded at fit.
        allow_mismatch : sequence of str
            Entries of the fingerprint that may differ, such as ``"dtype"``; everything else is refused.
        store
            As for `SAVModel`.
        **load_options
            As for `savs.load_backbone`; revision, dtype and attention kernel are those of the fit by default.

        Raises
        ------
        ArtifactError
            If the folder is not an intact classifier.
        StoreError
            If the store's folder holds something else; at the first use, if it is another backbone's.
        BackboneMismatchError
            At the first use, if the backbone is not the one it was fitted on.
        """
        artifact = load_artifact(Path(folder))
        source = BackboneSource(Saved(artifact, backbone, tuple(allow_mismatch), load_options), store)
        model = cls.__new__(cls)
        model._set_up(source, artifact.prompt, artifact.method)
        model._restore(artifact)
        if isinstance(backbone, Backbone):
            _ = model.backbone
        return model

    def _restore(self, artifact: Artifact) -> None:
        out_of_fold = artifact.out_of_fold
        if out_of_fold is None:
            out_of_fold = np.full((len(artifact.shots), len(artifact.classes)), np.nan)
        estimate = None if artifact.estimate is None else Estimate(**artifact.estimate)
        self._learned = Learned(artifact.classifier, out_of_fold, estimate, artifact.report or {})
        self.shots_ = artifact.shots
        self._support = SupportSet(tuple(artifact.shots), artifact.rows)
        self._row_layout, self._fingerprint = artifact.layout, artifact.fingerprint

    def _to_artifact(self, keep_shots: bool) -> Artifact:
        learned = self._learned
        return Artifact(
            method=self._method,
            prompt=self.prompt,
            classifier=learned.classifier,
            shots=list(self._support.shots),
            out_of_fold=learned.out_of_fold,
            rows=self._support.known_rows() if keep_shots else None,
            estimate=None if learned.estimate is None else asdict(learned.estimate),
            report=learned.report,
            fingerprint=self._fingerprint,
        )

    def _check_unchanged(self) -> None:
        """Refuse to save what was fitted on weights that the model object has no more."""
        backbone = self._source.loaded
        model = getattr(backbone, "model", None)
        if backbone is None or model is None:
            return
        from savs.backbones._fingerprint import weights_digest

        if weights_digest(model) != backbone.fingerprint.get("weights_digest"):
            raise ArtifactError(
                "the model's weights have changed since its backbone was made, so the classifier belongs to "
                "weights that are gone: make the backbone again (load_backbone), fit, then save"
            )
