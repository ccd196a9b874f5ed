"""A decoded video frame as an image: what a player shows of it.

Colors by the frame's own matrix and range, transparent areas on the background, pixels made square, and the
picture turned or mirrored by its display matrix, in this order. Knows nothing of files and times.
"""

from __future__ import annotations

import struct
import warnings
from math import hypot
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image as PILImage

from savs._optional import import_optional
from savs.errors import MediaError
from savs.media._hdr import to_standard_range
from savs.media.limits import MediaLimits, MediaWarning

__all__ = ["Screen"]

# Where the x axis (to the right) and the y axis (down) of the stored picture go, and the name of PIL's
# transpose that takes them there.
_ORIENTATIONS = {
    ((1, 0), (0, 1)): None,
    ((-1, 0), (0, 1)): "FLIP_LEFT_RIGHT",
    ((1, 0), (0, -1)): "FLIP_TOP_BOTTOM",
    ((-1, 0), (0, -1)): "ROTATE_180",
    ((0, 1), (-1, 0)): "ROTATE_270",
    ((0, -1), (1, 0)): "ROTATE_90",
    ((0, 1), (1, 0)): "TRANSPOSE",
    ((0, -1), (-1, 0)): "TRANSVERSE",
}
_STRAIGHT = 0.02  # of an axis of length 1: a bit more than one degree
_MATRIX = struct.Struct("=9i")

# PyAV knows FFmpeg's kinds of side data up to a number, and lists none of a frame's that has a newer one.
_NEWER_SIDE_DATA = range(28, 48)

# ITU-T H.273, table 4: those that FFmpeg converts, and 0 for RGB and 2 and 3 where the file does not say.
_KNOWN_MATRICES = frozenset({0, 1, 2, 3, 4, 5, 6, 7, 9})
_NOT_SAID = frozenset({2, 3})
_OTHER_MATRICES = {8: "YCgCo", 10: "BT.2020 constant luminance", 14: "ICtCp", 15: "IPT-PQ-C2"}
_HDR = {16: "PQ", 18: "HLG"}  # ITU-T H.273, table 3
_BT2020_PRIMARIES = frozenset({2, 9})  # also where the file does not say: PQ and HLG are of BT.2100

_GRAY, _LIMITED = ("gray", "ya"), 1  # the second is FFmpeg's number of a range

_ALMOST_SQUARE = 0.01


class Screen:
    """Shows the frames of one stream: give it every decoded frame with `note`, in order.

    Parameters
    ----------
    stream : av.VideoStream
    limits : MediaLimits
        Of each image; the color behind transparent areas.
    """

    def __init__(self, stream: Any, limits: MediaLimits) -> None:
        self._limits = limits
        self._codec = str(stream.codec_context.name)
        self._pixel_aspect = float(stream.sample_aspect_ratio or 1)
        self._matrix: tuple[int, ...] | None = None

    def note(self, frame: Any) -> None:
        """Remember a frame's display matrix, which holds until the next key frame."""
        # Containers give it to every frame, a stream of H.264 or H.265 to those that begin a sequence.
        found = _display_matrix(frame)
        if found is not None or frame.key_frame:
            self._matrix = found

    def size(self, frame: Any) -> tuple[int, int]:
        """Return width and height of a frame's image before it is turned, and check them.

        Raises
        ------
        MediaError
            The codes of an image's size.
        """
        self._limits.check_size(frame.width, frame.height)
        size = _square(frame.width, frame.height, self._pixel_aspect)
        self._limits.check_size(*size)
        return size

    def image(self, frame: Any) -> PILImage.Image:
        """Return the image of the frame that was noted last, of mode RGB, 8 bits per channel.

        Raises
        ------
        MediaError
            ``video_color`` if its colors cannot be converted, and the codes of an image's size.
        """
        size = self.size(frame)
        if frame.interlaced_frame:
            warnings.warn(
                "a video is interlaced: each of its frames holds two moments, in every other line; if things "
                "move fast in it, deinterlace it (ffmpeg -i FILE -vf bwdif file.mp4)",
                MediaWarning,
                stacklevel=2,
            )
        image = _colors(frame, self._codec, self._limits.background)
        if image.size != size:
            image = image.resize(size, PILImage.Resampling.BICUBIC)
        turn = None if self._matrix is None else orientation(self._matrix)
        return image if turn is None else image.transpose(PILImage.Transpose[turn])


def orientation(matrix: tuple[int, ...]) -> str | None:
    """Return the name of PIL's transpose nearest to a display matrix; None: the picture as it is.

    Parameters
    ----------
    matrix : tuple of int
        Nine numbers (a, b, u, c, d, v, x, y, w): a point (p, q) goes to (a p + c q + x, b p + d q + y), with
        p to the right and q down (ISO/IEC 14496-12, section 6.2.2).

    Warns
    -----
    MediaWarning
        If the matrix turns by another angle or distorts.
    """
    a, b, u, c, d, v = matrix[:6]
    lengths = hypot(a, b), hypot(c, d)
    axes = [(p / (n or 1), q / (n or 1)) for p, q, n in ((a, b, lengths[0]), (c, d, lengths[1]))]

    def agreement(one: tuple[tuple[int, int], tuple[int, int]]) -> float:
        (xx, xy), (yx, yy) = one
        return xx * axes[0][0] + xy * axes[0][1] + yx * axes[1][0] + yy * axes[1][1]

    best = max(_ORIENTATIONS, key=agreement)
    # The axes have length 1, so that a whole agreement is 2.
    if 2 - agreement(best) > _STRAIGHT**2 or u or v:
        warnings.warn(
            "a video's display matrix turns it by an angle between quarter turns, or distorts it: it is "
            "read with the nearest quarter turn and mirroring",
            MediaWarning,
            stacklevel=3,
        )
    return _ORIENTATIONS[best]


def _display_matrix(frame: Any) -> tuple[int, ...] | None:
    try:
        found = list(frame.side_data)
    except ValueError:  # of Exif in JPEG and PNG frames, several views in H.265
        found = list(_without_newer_side_data(frame).side_data)
    # The container's comes before the stream's.
    for data in found:
        if data.type.name == "DISPLAYMATRIX" and data.buffer_size >= _MATRIX.size:
            return _MATRIX.unpack(bytes(data)[: _MATRIX.size])
    return None


def _without_newer_side_data(frame: Any) -> Any:
    av = import_optional("av")
    graph = av.filter.Graph()
    last = graph.add(
        "buffer",
        f"video_size={frame.width}x{frame.height}:pix_fmt={frame.format.name}:time_base=1/1:"
        f"colorspace={int(frame.colorspace)}:range={int(frame.color_range)}",
    )
    for kind in _NEWER_SIDE_DATA:
        node = graph.add("sidedata", f"mode=delete:type={kind}")
        last.link_to(node)
        last = node
    last.link_to(graph.add("buffersink"))
    graph.configure()
    graph.push(frame)
    return graph.pull()


def _square(width: int, height: int, pixel_aspect: float) -> tuple[int, int]:
    """Return the size of the same picture with square pixels, the shorter way made longer."""
    if abs(pixel_aspect - 1) < _ALMOST_SQUARE:
        return width, height
    if pixel_aspect > 1:
        return round(width * pixel_aspect), height
    return width, round(height / pixel_aspect)


def _colors(frame: Any, codec: str, background: tuple[int, int, int]) -> PILImage.Image:
    matrix = int(frame.colorspace)
    if matrix not in _KNOWN_MATRICES:
        name = _OTHER_MATRICES.get(matrix, f"number {matrix}")
        raise MediaError(
            f"the video's colors are coded in a way that is not read ({name}); convert it (ffmpeg -i FILE "
            "-colorspace bt709 file.mp4)",
            code="video_color",
        )
    transfer = _HDR.get(int(frame.color_trc))
    kinds = ("rgb24", "rgba") if transfer is None else ("rgb48le", "rgba64le")
    pixels = _converted(frame, kinds[_has_alpha(frame)], codec)
    colors = np.ascontiguousarray(pixels[:, :, :3])
    if transfer is not None:
        colors = to_standard_range(colors, transfer, wide=int(frame.color_primaries) in _BT2020_PRIMARIES)
    image = PILImage.fromarray(colors)
    if pixels.shape[2] == 3:
        return image
    alpha = pixels[:, :, 3] if transfer is None else (pixels[:, :, 3] >> 8).astype(np.uint8)
    # As in BMP files: programs leave the fourth byte of each pixel at 0.
    if codec == "rawvideo" and not alpha.any():
        return image
    canvas = PILImage.new("RGB", image.size, background)
    canvas.paste(image, mask=PILImage.fromarray(alpha))
    return canvas


def _has_alpha(frame: Any) -> bool:
    return frame.format.name == "pal8" or any(part.is_alpha for part in frame.format.components)


def _converted(frame: Any, kind: str, codec: str) -> NDArray[Any]:
    """Return a frame's pixels, exact to half a level; FFmpeg's fast way is up to 3 too dark."""
    av = import_optional("av")
    ways = av.video.reformatter.Interpolation
    exact = ways.BILINEAR | ways.FULL_CHR_H_INT | ways.ACCURATE_RND | ways.BITEXACT
    source = "ITU709" if _is_unsaid_bt709(frame, codec) else None
    pixels: NDArray[Any] = frame.reformat(
        format=kind, src_colorspace=source, interpolation=exact
    ).to_ndarray()
    # FFmpeg takes gray for full range, whatever the frame says.
    if frame.format.name.startswith(_GRAY) and int(frame.color_range) == _LIMITED:
        pixels[:, :, :3] = _from_limited(pixels[:, :, :3])
    return pixels


def _from_limited(gray: NDArray[Any]) -> NDArray[Any]:
    """Return gray values of 16 to 235 in 0 to 255, or the same of 16 bits."""
    largest = np.iinfo(gray.dtype).max
    unit = (largest + 1) / 256
    wide = np.rint((gray.astype(np.float32) - 16 * unit) * (largest / (219 * unit)))
    result: NDArray[Any] = np.clip(wide, 0, largest).astype(gray.dtype)
    return result


def _is_unsaid_bt709(frame: Any, codec: str) -> bool:
    """Return whether players take a frame that does not say its matrix for BT.709: of high definition."""
    # VP8 has one matrix, that of BT.601 (RFC 6386, section 9.2).
    is_large = frame.width >= 1280 or frame.height > 576
    return int(frame.colorspace) in _NOT_SAID and is_large and codec not in {"vp8", "libvpx"}
