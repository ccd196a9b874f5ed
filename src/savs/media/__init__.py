"""Encoded bytes to pixels, with limits: the one guarded way in for every picture. Knows no models."""

from __future__ import annotations

from savs.media.images import content_hash, image_area, load_image
from savs.media.limits import DEFAULT_LIMITS, MediaLimits, MediaWarning
from savs.media.paths import resolve_media_path

__all__ = [
    "DEFAULT_LIMITS",
    "MediaLimits",
    "MediaWarning",
    "content_hash",
    "image_area",
    "load_image",
    "resolve_media_path",
]
