"""Feature rows: which columns belong to which head."""

from savs.features.layout import Head, HeadGroup, HeadLayout

__all__ = ["Head", "HeadGroup", "HeadLayout"]
