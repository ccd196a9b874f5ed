"""Where a model's backbone comes from: handed in, loaded when it is first needed, or a saved classifier's."""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from savs.artifact import Artifact, check_backbone
from savs.backbones import Backbone, load_backbone
from savs.backbones.loading import saved_options
from savs.cache import Counts, StoredBackbone, with_store
from savs.errors import BackboneError


@dataclass(frozen=True)
class Given:
    """A backbone that is there."""

    backbone: Backbone

    @property
    def name(self) -> Any:
        """Where it was loaded from, or the object itself."""
        source = self.backbone.fingerprint.get("source")
        return source if source is not None else self.backbone

    def load(self) -> Backbone:
        """Return it."""
        return self.backbone


@dataclass(frozen=True)
class Named:
    """A backbone to be loaded: what `load_backbone` takes."""

    model: Any
    options: Mapping[str, Any]

    @property
    def name(self) -> Any:
        """What it is called."""
        return str(self.model) if isinstance(self.model, str | os.PathLike) else self.model

    def load(self) -> Backbone:
        """Load it."""
        return load_backbone(self.model, **self.options)


@dataclass(frozen=True)
class Saved:
    """The backbone that a saved classifier belongs to; any other is refused.

    Attributes
    ----------
    artifact : Artifact
        What was saved.
    backbone : str, Path, Backbone or None
        Where it is now; None for the place recorded at fit.
    allow_mismatch : tuple of str
        Entries of the fingerprint that may differ.
    options : mapping
        For `load_backbone`; win over what was recorded.
    """

    artifact: Artifact
    backbone: Any
    allow_mismatch: tuple[str, ...]
    options: Mapping[str, Any]

    @property
    def name(self) -> Any:
        """Where it is now, or was."""
        if self.backbone is not None:
            return str(self.backbone)
        return self.artifact.fingerprint.get("source")

    def load(self) -> Backbone:
        """Load it, unless it is there, and check it."""
        backbone = self.backbone if isinstance(self.backbone, Backbone) else self._loaded()
        check_backbone(self.artifact, backbone.fingerprint, backbone.layout, self.allow_mismatch)
        return backbone

    def _loaded(self) -> Backbone:
        saved = self.artifact.fingerprint
        source = self.backbone if self.backbone is not None else saved.get("source")
        if source is None:
            raise BackboneError(
                "the classifier was fitted on a model object: hand the same one in as backbone="
            )
        options = saved_options(saved, self.backbone)
        try:
            return load_backbone(source, **{**options, **self.options})
        except BackboneError as error:
            if self.backbone is not None:
                raise
            moved = "if the backbone is elsewhere now, name it with backbone= or --backbone"
            raise BackboneError(f"{error}; {moved}") from error


Origin = Given | Named | Saved


class BackboneSource:
    """A backbone, loaded at the first use, with a feature store around it if one is wanted.

    Parameters
    ----------
    origin : Given, Named or Saved
        Where it comes from.
    store : path, optional
        Folder of the feature store.

    Raises
    ------
    StoreError
        If the store's folder holds something else.
    """

    def __init__(self, origin: Origin, store: str | os.PathLike[str] | None = None) -> None:
        self.origin = origin
        self._backbone: Backbone | None = None
        self._store = None if store is None else Path(store)
        if self._store is not None:
            from savs.cache._part_catalog import check_folder

            check_folder(self._store)

    @property
    def name(self) -> Any:
        """Where the backbone comes from, as far as that is known without loading it."""
        return self.origin.name

    @property
    def loaded(self) -> Backbone | None:
        """The backbone, if it was needed before."""
        return self._backbone

    @property
    def backbone(self) -> Backbone:
        """The backbone; loaded, checked and wrapped now if it was not."""
        if self._backbone is None:
            self._backbone = self.origin.load()
        if self._store is not None:
            self._backbone = with_store(self._backbone, self._store)
            self._store = None
        return self._backbone

    @property
    def store_counts(self) -> Counts | None:
        """How many examples the store spared so far, all calls together; None without a store."""
        if isinstance(self._backbone, StoredBackbone):
            return self._backbone.total
        return None if self._store is None else Counts()
