"""Images, videos and audio: what they are as parts of an example, and the one guarded way to open them.

`load_image`, `load_audio` and `load_video` check limits before they decode. Knows no models.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from savs._lazy import attach

if TYPE_CHECKING:
    from savs.media._paths import resolve_media_path
    from savs.media.addresses import Fetcher, UrlPolicy
    from savs.media.audio import load_audio
    from savs.media.image import content_hash, image_area, load_image
    from savs.media.limits import DEFAULT_LIMITS, MediaLimits, MediaWarning
    from savs.media.parts import Audio, Image, Sampling, Video
    from savs.media.video import load_video

__all__ = [
    "Audio",
    "DEFAULT_LIMITS",
    "Fetcher",
    "Image",
    "MediaLimits",
    "MediaWarning",
    "Sampling",
    "UrlPolicy",
    "Video",
    "content_hash",
    "image_area",
    "load_audio",
    "load_image",
    "load_video",
    "resolve_media_path",
]

__getattr__, __dir__ = attach(
    __name__,
    {
        "savs.media._paths": ["resolve_media_path"],
        "savs.media.addresses": ["Fetcher", "UrlPolicy"],
        "savs.media.audio": ["load_audio"],
        "savs.media.image": ["content_hash", "image_area", "load_image"],
        "savs.media.limits": ["DEFAULT_LIMITS", "MediaLimits", "MediaWarning"],
        "savs.media.parts": ["Audio", "Image", "Sampling", "Video"],
        "savs.media.video": ["load_video"],
    },
)
