"""Videos that are cut, empty, something else, or name other files."""

from __future__ import annotations

import io

import av
import numpy as np

__all__ = ["attacks"]


def attacks() -> dict[str, bytes]:
    """Return the files by name."""
    mp4 = _made("mp4", "mpeg4")
    return {
        "valid.mp4": mp4,
        "valid.mkv": _made("matroska", "mpeg4"),
        "valid.avi": _made("avi", "mpeg4"),
        "empty.mp4": b"",
        "header-alone.mp4": mp4[:40],
        "no-frames.mp4": _made("mp4", "mpeg4", 0),
        "html.mp4": b"<!DOCTYPE html><html></html>",
        "playlist.mp4": b"#EXTM3U\n#EXT-X-TARGETDURATION:1\n#EXTINF:1,\nhttp://127.0.0.1:9/a.ts\n#EXT-X-ENDLIST\n",
        "concat.mkv": b"ffconcat version 1.0\nfile /etc/passwd\n",
        "box-of-4-gigabytes.mp4": b"\xff\xff\xff\xffmoov" + mp4[8:200],
        "boxes-in-boxes.mp4": b"".join((8 * (400 - n)).to_bytes(4, "big") + b"moov" for n in range(400)),
        "sound.avi": b"RIFF\x24\0\0\0WAVEfmt \x10\0\0\0\x01\0\x01\0" + bytes(20),
        "sizes-without-end.mkv": b"\x1aE\xdf\xa3" + b"\xff" * 200,
    }


def _made(container: str, codec: str, n_frames: int = 4) -> bytes:
    buffer = io.BytesIO()
    with av.open(buffer, "w", format=container) as output:
        stream = output.add_stream(codec, rate=4)
        stream.width, stream.height, stream.pix_fmt = 32, 16, "yuv420p"
        for number in range(n_frames):
            pixels = np.full((16, 32, 3), 60 * number, np.uint8)
            output.mux(stream.encode(av.VideoFrame.from_ndarray(pixels, format="rgb24")))
        output.mux(stream.encode())
    return buffer.getvalue()
