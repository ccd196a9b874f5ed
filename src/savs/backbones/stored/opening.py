"""`with_store`: a backbone and the folder where its vectors are kept."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Literal

from savs.backbones.base import Backbone
from savs.backbones.keys import store_identity
from savs.backbones.stored.stored_backbone import StoredBackbone

__all__ = ["with_store"]


def with_store(
    backbone: Backbone,
    folder: str | os.PathLike[str],
    *,
    on_full: Literal["warn", "raise"] = "warn",
    part_rows: int | None = None,
) -> StoredBackbone:
    """Return a backbone that keeps its vectors, as float32, in a folder; one that does already is returned.

    Parameters
    ----------
    backbone : Backbone
        If it has another store, that one is left.
    folder : path
        Made if it is not there; it may hold final hidden states then.
    on_full, part_rows
        As for `savs.features.store.FeatureStore.open`.

    Raises
    ------
    StoreMismatchError
        If the folder holds the features of another backbone, with the entries that differ.
    StoreError
        If it holds something else.

    Warns
    -----
    StoreWarning
        Once, if the folder cannot be written: the run goes on and keeps nothing.

    Examples
    --------
    >>> import tempfile
    >>> from savs.backbones.fake import FakeBackbone
    >>> from savs.examples import as_examples
    >>> backbone = with_store(FakeBackbone(), tempfile.mkdtemp())
    >>> for text in ("red", "red"):
    ...     _ = backbone.extract(as_examples([text]))
    ...     print(backbone.n_computed, backbone.n_stored)
    1 0
    0 1
    """
    from savs.features.store import FeatureStore
    from savs.features.store.description import read_description

    if isinstance(backbone, StoredBackbone):
        if backbone.store.folder.resolve() == Path(folder).resolve():
            return backbone
        backbone = backbone.backbone
    there = read_description(Path(folder)) if Path(folder).is_dir() else None
    store = FeatureStore.open(
        folder,
        store_identity(backbone.fingerprint),
        backbone.layout,
        dtype="float32",
        states_width=backbone.last_layer_states([]).shape[1] if there is None else there.states_width,
        on_full=on_full,
        part_rows=part_rows,
    )
    return StoredBackbone(backbone, store)
