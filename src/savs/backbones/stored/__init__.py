"""A backbone that looks into a feature store before it runs its model."""

from __future__ import annotations

from savs.backbones.stored.call import Counts
from savs.backbones.stored.opening import with_store
from savs.backbones.stored.stored_backbone import StoredBackbone

__all__ = ["Counts", "StoredBackbone", "with_store"]
