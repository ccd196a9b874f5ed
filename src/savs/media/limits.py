"""Bytes, pixels and proportions that an image may have at most, checked before it is decoded."""

from __future__ import annotations

from dataclasses import dataclass

from savs.errors import MediaError

__all__ = ["DEFAULT_LIMITS", "MediaLimits", "MediaWarning"]


MEDIA = {"image": "image", "video": "video", "audio": "audio clip"}
"""The kinds of media, as they begin error codes and as messages call them."""


class MediaWarning(UserWarning):
    """An image was read, but not all of it is used, such as the later frames of an animation."""


@dataclass(frozen=True)
class MediaLimits:
    """Limits of one image, and the color behind its transparent parts.

    The defaults accept a 50-megapixel photograph. A side under 4 pixels is refused because image processors
    confuse a height of 1 or 3 with the channel axis. An aspect ratio over 100 is refused because processors
    that keep the aspect ratio fail at 200.

    Parameters
    ----------
    max_bytes : int
        Largest encoded file, in bytes.
    max_pixels : int
        Largest width times height, in pixels.
    min_side : int
        Shortest side in pixels.
    max_aspect : float
        Largest ratio of the longer to the shorter side.
    background : tuple of int
        Red, green and blue (0 to 255) behind transparent parts. It changes pixels, so it is part of every
        cache key.
    """

    max_bytes: int = 64 * 2**20
    max_pixels: int = 52_000_000
    min_side: int = 4
    max_aspect: float = 100.0
    background: tuple[int, int, int] = (255, 255, 255)

    def check_size(self, width: int, height: int) -> None:
        """Check the size of an image.

        Parameters
        ----------
        width, height : int
            In pixels.

        Raises
        ------
        MediaError
            ``image_too_many_pixels``, ``image_too_small`` (a side is too short) or ``image_aspect`` (one side
            is too long for the other).
        """
        if width * height > self.max_pixels:
            raise too_many_pixels(self, f"{width}x{height} pixels")
        if min(width, height) < self.min_side:
            raise MediaError(
                f"the image has {width}x{height} pixels; each side needs at least {self.min_side}, and "
                f"the longer one may be at most {self.max_aspect:g} times the shorter",
                code="image_too_small",
            )
        if max(width, height) > self.max_aspect * min(width, height):
            raise MediaError(
                f"the image has {width}x{height} pixels; its longer side may be at most "
                f"{self.max_aspect:g} times the shorter: crop it",
                code="image_aspect",
            )


DEFAULT_LIMITS = MediaLimits()
"""Used wherever no other limits are given."""


def too_large(kind: str, max_bytes: int) -> MediaError:
    """Return the error for an encoded ``"image"``, ``"video"`` or ``"audio"`` of too many bytes."""
    advice = "make it smaller" if kind == "image" else "cut or compress it"
    message = f"the {MEDIA[kind]}'s file is larger than the limit of {max_bytes} bytes; {advice}"
    return MediaError(message, code=f"{kind}_too_large")


def too_many_pixels(limits: MediaLimits, given: str) -> MediaError:
    """Return the error for an image of too many pixels."""
    message = f"the image has {given}, more than the limit of {limits.max_pixels} pixels; make it smaller"
    return MediaError(message, code="image_too_many_pixels")
