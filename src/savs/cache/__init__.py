"""The feature store: rows of head vectors on disk, by key, shared by tasks and processes.

Reading order: `_description` (whose features), `_parquet` (lossless columns and their bytes), `_files` (whole
or not at all), `_parts` (one file), `_part_catalog` (all parts, and where each key is), `_writing`,
`_pruning`, `feature_store`; `_keys` and `stored_backbone` put a store in front of a backbone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from savs._lazy import attach

if TYPE_CHECKING:
    from savs.cache._keys import feature_keys, store_identity
    from savs.cache._part_catalog import BadPart, StoreWarning
    from savs.cache.feature_store import FeatureStore, StoredRows
    from savs.cache.stored_backbone import Counts, StoredBackbone, with_store

__all__ = [
    "BadPart",
    "Counts",
    "FeatureStore",
    "StoreWarning",
    "StoredBackbone",
    "StoredRows",
    "feature_keys",
    "store_identity",
    "with_store",
]

__getattr__, __dir__ = attach(
    __name__,
    {
        "savs.cache._keys": ["feature_keys", "store_identity"],
        "savs.cache._part_catalog": ["BadPart", "StoreWarning"],
        "savs.cache.feature_store": ["FeatureStore", "StoredRows"],
        "savs.cache.stored_backbone": ["Counts", "StoredBackbone", "with_store"],
    },
)
