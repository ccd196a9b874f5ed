"""Missing and unreadable media files, found before a model is loaded."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from savs.errors import ItemError, MediaError
from savs.examples import Example, Video
from savs.media import DEFAULT_LIMITS, MediaLimits
from savs.media.audio import check_audio_file
from savs.media.paths import check_media_file
from savs.media.video import VideoLimits

__all__ = ["describe_errors", "preflight"]


def preflight(examples: Sequence[Example], limits: MediaLimits = DEFAULT_LIMITS) -> list[ItemError]:
    """Return an error for each example that names a file which cannot be a medium; nothing is opened.

    Found are missing files, dangling links, folders, pipes and devices, unreadable, empty and too large
    files.
    """
    errors: list[ItemError] = []
    for example in examples:
        try:
            for image in example.images:
                if isinstance(image.source, Path):
                    check_media_file(image.source, _video_limits() if isinstance(image, Video) else limits)
            for audio in example.audios:
                if isinstance(audio.source, Path):
                    check_audio_file(audio.source)
        except MediaError as error:
            error.id = example.id
            errors.append(error)
    return errors


def _video_limits() -> MediaLimits:
    return MediaLimits(VideoLimits().max_bytes)


def describe_errors(errors: Sequence[ItemError], n_shown: int = 20) -> str:
    """Return errors as text, one line each, at most `n_shown` of them and how many more there are."""
    lines = [str(error) for error in errors[:n_shown]]
    if len(errors) > n_shown:
        lines.append(f"... and {len(errors) - n_shown} more")
    return "\n".join(lines)
