"""A model that is saved to folders and to the hub, and read from there; `savs.artifact` has the format."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from huggingface_hub import ModelCard, ModelHubMixin, snapshot_download
from huggingface_hub.errors import HfHubHTTPError, HFValidationError
from huggingface_hub.utils._validators import validate_repo_id
from numpy.typing import NDArray

from savs.artifact import IDENTITY, Artifact, load_artifact, probed_heads, save_artifact
from savs.backbones import Backbone
from savs.backbones._identity import differing
from savs.classifiers import Estimate, Method
from savs.errors import ArtifactError
from savs.model._drift import record_canary, same_versions
from savs.model._fitted import FittedModel
from savs.model._learning import Learned
from savs.model._source import BackboneSource, Saved
from savs.model._support_set import SupportSet
from savs.model_card import render_card

if TYPE_CHECKING:
    from typing import Self

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
        "exit_early": method.exit_early,
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
    prompts: Sequence[str] | None = None,
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
    prompts : sequence of str, optional
        Of the fit, where they are several; `prompt` is None then.
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
        prompts=None if prompts is None else tuple(prompts),
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
    canary = record_canary(backbone, artifact.shots, probed_heads(artifact.classifier))
    return replace(artifact, fingerprint=current | place, canary=canary)


class HubModel(ModelHubMixin, FittedModel):
    """`save_pretrained`, `from_pretrained` and `push_to_hub`, as users of the hub know them."""

    def save_pretrained(  # type: ignore[override]
        self, folder: str | os.PathLike[str], *, keep_shots: bool = False, **_hub_options: Any
    ) -> None:
        """Write the fitted classifier (not the backbone) to a folder: safetensors, JSON and a model card.

        Parameters
        ----------
        folder : path
            New, empty, or holding an older classifier.
        keep_shots : bool, default=False
            Keep the shots' feature rows too, so that the loaded classifier can add and remove shots, find
            label issues and out-of-distribution examples, and name the nearest shots. 4 bytes per column of
            the layout and shot.

        Raises
        ------
        ArtifactError
            If the folder cannot be written or holds something else, or the backbone's weights have changed
            since the fit; an older classifier there stays intact.

        Notes
        -----
        A few made-up inputs pass the backbone, two texts and up to five more for the media of the shots, so
        that the classifier notices later when other libraries compute something else (docs/artifact.md).
        """
        artifact = self._to_artifact(keep_shots)
        check_unchanged(self._reader.source)
        artifact = with_canary(artifact, self._reader.source)
        self._canary, self._fingerprint = artifact.canary, artifact.fingerprint
        save_artifact(artifact, Path(folder), card=render_card(artifact))

    def _save_pretrained(self, save_directory: Path) -> None:
        self.save_pretrained(save_directory)

    def generate_model_card(self, *_args: Any, **_kwargs: Any) -> ModelCard:
        """Return the model card that `save_pretrained` writes.

        Parameters
        ----------
        *_args, **_kwargs
            Ignored; `huggingface_hub.ModelHubMixin` passes them.

        Returns
        -------
        huggingface_hub.ModelCard
            The card.

        Raises
        ------
        NotFittedError
            If the model is not fitted.
        """
        return ModelCard(render_card(self._to_artifact(keep_shots=False)))

    def push_to_hub(self, repo_id: str, **hub_options: Any) -> str:
        """Upload the fitted classifier (not the backbone, not the shots' rows) to a repository of the hub.

        Parameters
        ----------
        repo_id : str
            ``"owner/name"``; created if it does not exist.
        **hub_options
            As for `huggingface_hub.ModelHubMixin.push_to_hub`: commit_message, private, token, branch,
            create_pr.

        Returns
        -------
        str
            Address of the commit.

        Raises
        ------
        ArtifactError
            If the hub cannot be reached or refuses the upload.
        """
        _ = self._fitted
        with from_hub(repo_id):
            return str(super().push_to_hub(repo_id, **hub_options))

    @classmethod
    def from_pretrained(  # type: ignore[override]
        cls,
        folder: str | os.PathLike[str],
        *,
        revision: str | None = None,
        backbone: Any = None,
        allow_mismatch: Sequence[str] = (),
        accept_drift: bool = False,
        store: str | os.PathLike[str] | None = None,
        **load_options: Any,
    ) -> Self:
        """Read a saved classifier; its backbone is loaded when it is first needed.

        Parameters
        ----------
        folder : path or str
            What `save_pretrained` wrote, or ``"owner/name"`` on the hub. A folder that exists is never looked
            up on the hub, and a `Path` is always a folder.
        revision : str, optional
            On the hub: branch, tag or commit of the classifier. Of a folder: of its backbone.
        backbone : str, Path or Backbone, optional
            Where the backbone is now; by default the place recorded at fit.
        allow_mismatch : sequence of str
            Entries of the fingerprint that may differ, such as ``"dtype"``; everything else is refused.
        accept_drift : bool, default=False
            Use the classifier even if the installed libraries compute other vectors than those of the fit.
        store : path, optional
            As for `SAVModel`.
        **load_options
            As for `savs.load_backbone`; revision, dtype and attention kernel are those of the fit by default.
            On the hub also token, cache_dir, force_download and local_files_only.

        Raises
        ------
        ArtifactError
            If the folder is not an intact classifier, or the hub has none of this name.
        StoreError
            If the store's folder holds something else; at the first use, if it is another backbone's.
        BackboneMismatchError
            At the first use, if the backbone is not the one it was fitted on.
        DriftError
            At the first use, if the installed libraries compute other vectors than those of the fit.
        """
        options = {
            "backbone": backbone,
            "allow_mismatch": allow_mismatch,
            "accept_drift": accept_drift,
            "store": store,
            **load_options,
        }
        if is_hub_name(folder):
            with from_hub(str(folder)):
                found: Self = super().from_pretrained(str(folder), revision=revision, **options)
            return found
        if revision is not None:
            options["revision"] = revision
        return cls._from_folder(Path(folder), **options)

    @classmethod
    def _from_pretrained(
        cls,
        *,
        model_id: str,
        revision: str | None,
        cache_dir: str | Path | None,
        force_download: bool,
        local_files_only: bool,
        token: str | bool | None,
        **options: Any,
    ) -> Self:
        folder = download(
            model_id,
            revision=revision,
            cache_dir=cache_dir,
            force_download=force_download,
            local_files_only=local_files_only,
            token=token,
        )
        return cls._from_folder(folder, **options)

    @classmethod
    def _from_folder(
        cls,
        folder: Path,
        *,
        backbone: Any,
        allow_mismatch: Sequence[str],
        accept_drift: bool,
        store: str | os.PathLike[str] | None,
        **load_options: Any,
    ) -> Self:
        artifact = load_artifact(folder)
        saved = Saved(artifact, backbone, tuple(allow_mismatch), load_options, accept_drift)
        source = BackboneSource(saved, store)
        settings = given_settings(artifact.method)
        model = cls(source, prompt=artifact.prompt, prompts=artifact.prompts, store=store, **settings)
        reader = model._new_reader()
        support = SupportSet(tuple(artifact.shots), artifact.rows)
        model._keep(
            artifact.method,
            reader,
            learned_of(artifact),
            artifact.shots,
            support,
            fingerprint=artifact.fingerprint,
            canary=artifact.canary,
        )
        if isinstance(backbone, Backbone):
            _ = model.backbone
        return model

    def _to_artifact(self, keep_shots: bool) -> Artifact:
        learned, rows = self._fitted, self._support.known_rows() if keep_shots else None
        found = as_artifact(
            self.method_,
            self._reader.prompt,
            learned,
            self._support,
            rows,
            self._fingerprint,
            self._reader.prompts_or_none,
        )
        return replace(found, canary=self._canary)
