"""The feature store: rows of head vectors on disk, by key, shared by tasks and processes.

Reading order: `description` (whose features), `numbers` (lossless dtypes), `digests`, `files` (whole or not
at all), `parquet` (headers and footer), `parts` (one file), `index` (where each key is), `shelf` (all parts),
`buffering`, `reading`, `pruning`, `feature_store`.
"""

from __future__ import annotations

from savs.features.store.feature_store import FeatureStore, StoredRows
from savs.features.store.shelf import BadPart, StoreWarning

__all__ = ["BadPart", "FeatureStore", "StoreWarning", "StoredRows"]
