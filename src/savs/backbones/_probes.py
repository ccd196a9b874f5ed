"""Inputs of the canary: text, images, audio and frames made by integer arithmetic, the same everywhere.

No random number generator, no file, nothing of a user's data. The value of a pixel is

    (row * (5 + 2 * channel) + column * (3 + channel) + (row * column) // (7 + seed) + 37 * seed) mod 256

and the sample ``i`` of the audio clip is ``((i * (i // 50 + 7)) mod 201 - 100) / 128``, 16 000 a second. A
change of either needs another name for the probe, because the names stand in saved classifiers and stores.
The video is six such images in an AVI file without compression, so that no codec has a say.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable, Sequence

import numpy as np
from numpy.typing import NDArray

from savs.data import Example, Message, Text
from savs.media import Audio, Image, Video

_SHORT = "A small red house stands near the lake. What is it?"
_LONG = (
    'On 12 March 2024, at 07:45, the keeper wrote: "It\'s 3.5 degrees; wind from the north-west, 18 knots."\n'
    "He counted 1234567 gulls, 42 seals and one caf\u00e9 table, which nobody's dog had claimed yet.\n\n"
    "  - First, he lit the lamp.\n  - Then he read yesterday's page (twice!) and corrected two words.\n\n"
    "By noon the fog was gone, and the island's only road, 2 km long, lay dry in the sun. Which of the "
    "animals did he count, and how many were there?"
)
_RATE = 16_000


def probe_names(modalities: Iterable[str]) -> list[str]:
    """Return the names of the probes for kinds of content, in order; those for text are always among them.

    Parameters
    ----------
    modalities : iterable of {"text", "image", "audio", "video"}
    """
    wanted = {"text", *modalities}
    return [name for name, (kind, _) in _PROBES.items() if kind in wanted]


def is_probe(name: object) -> bool:
    """Return whether there is a probe of this name."""
    return isinstance(name, str) and name in _PROBES


def probe(name: str) -> Example:
    """Return the input of a name; `KeyError` if there is none."""
    return Example((Message("user", _PROBES[name][1]()),), id=name)


def pattern(height: int, width: int, seed: int) -> NDArray[np.uint8]:
    """Return an image, shape (height, width, 3); see the module for the formula."""
    row = np.arange(height)[:, None, None]
    column = np.arange(width)[None, :, None]
    channel = np.arange(3)[None, None, :]
    slopes = row * (5 + 2 * channel) + column * (3 + channel)
    values: NDArray[np.uint8] = ((slopes + (row * column) // (7 + seed) + 37 * seed) % 256).astype(np.uint8)
    return values


def clip(n_samples: int) -> NDArray[np.float32]:
    """Return audio samples in [-1, 1]; see the module for the formula."""
    index = np.arange(n_samples)
    return (((index * (index // 50 + 7)) % 201 - 100) / 128).astype(np.float32)


def avi(frames: Sequence[NDArray[np.uint8]], rate: int) -> bytes:
    """Return frames as an AVI file of uncompressed pixels: 24 bits, blue first, the last row first.

    Parameters
    ----------
    frames : sequence of ndarray of uint8, shape (height, width, 3)
        The width is a multiple of 4, so that rows need no padding.
    rate : int
        Frames a second.

    References
    ----------
    "AVI RIFF File Reference", Microsoft: ``AVIMAINHEADER``, ``AVISTREAMHEADER``, ``BITMAPINFOHEADER``.
    """
    height, width, _ = frames[0].shape
    size, n = 3 * height * width, len(frames)
    has_index = 0x10
    main = struct.pack(
        "<14I", 10**6 // rate, size * rate, 0, has_index, n, 0, 1, size, width, height, *[0] * 4
    )
    scales = (0, 0, 0, 0, 1, rate, 0, n, size, 0xFFFFFFFF, size)
    stream = struct.pack("<4s4s11I4h", b"vids", b"DIB ", *scales, 0, 0, width, height)
    pixels = struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, 0, size, 0, 0, 0, 0)
    header = _list(
        b"hdrl", _chunk(b"avih", main), _list(b"strl", _chunk(b"strh", stream), _chunk(b"strf", pixels))
    )
    movie = _list(b"movi", *(_chunk(b"00db", frame[::-1, :, ::-1].tobytes()) for frame in frames))
    key_frame = 0x10
    index = (struct.pack("<4s3I", b"00db", key_frame, 4 + i * (size + 8), size) for i in range(n))
    return _chunk(b"RIFF", b"AVI " + header + movie + _chunk(b"idx1", b"".join(index)))


def _chunk(name: bytes, content: bytes) -> bytes:
    return name + struct.pack("<I", len(content)) + content + b"\0" * (len(content) % 2)


def _list(name: bytes, *chunks: bytes) -> bytes:
    return _chunk(b"LIST", name + b"".join(chunks))


_Parts = tuple[Text | Image | Audio, ...]

# Images of several shapes, beside and behind text: positions of image tokens depend on all of that. Windows
# of attention (112 pixels in Qwen2.5-VL) are crossed by the wide one.
_PROBES: dict[str, tuple[str, Callable[[], _Parts]]] = {
    "text 1": ("text", lambda: (Text(_SHORT),)),
    "text 2": ("text", lambda: (Text(_LONG),)),
    "image 1": ("image", lambda: (Image(pattern(84, 56, 0)), Text(_SHORT))),
    "image 2": ("image", lambda: (Image(pattern(224, 336, 1)), Text(_SHORT))),
    "images 1": (
        "image",
        lambda: (
            Text("First"),
            Image(pattern(140, 56, 2)),
            Text("then"),
            Image(pattern(56, 112, 3)),
            Text(_SHORT),
        ),
    ),
    "video 1": (
        "video",
        lambda: (Video(avi([pattern(84, 112, seed) for seed in range(6)], 2), n_frames=4), Text(_SHORT)),
    ),
    "audio 1": ("audio", lambda: (Audio(clip(3 * _RATE // 2), _RATE), Text(_SHORT))),
}
