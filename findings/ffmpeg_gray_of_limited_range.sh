#!/usr/bin/env bash
# PyAV 18.1.0 (FFmpeg 8.1): gray videos of limited range stay between 16 and 235 when they become RGB.
#
# libswscale takes every gray format for full range, whatever the frame says. H.265 without color planes (4:0:0), which
# is of limited range unless it says otherwise, decodes to the format gray with color_range 1, and black and white
# become 16 and 235: pale pictures. H.264 without color planes decodes to yuv420p and comes out right.
#
# Seen: black and white in H.265 become 16 and 235; in H.264, 0 and 255.
# What to do: spread the values, (value - 16) * 255 / 219, where the format is gray and color_range is 1.
# Exits 1 if the behavior has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m pip install --quiet --disable-pip-version-check --target "$folder" numpy==2.4.6 av==18.1.0
cd "$folder"
PYTHONPATH="$folder" python3 - <<'PYTHON'
import io
import sys

import av
import numpy as np

PIXELS = np.full((48, 64), 16, np.uint8)
PIXELS[:, 32:] = 235


def black_and_white(codec: str, options: dict[str, str]) -> list[int]:
    file = io.BytesIO()
    with av.open(file, "w", format="matroska") as container:
        stream = container.add_stream(codec, rate=10, options=options)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "gray"
        stream.codec_context.color_range = 1
        frame = av.VideoFrame.from_ndarray(PIXELS, format="gray")
        frame.color_range = 1
        container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    with av.open(io.BytesIO(file.getvalue())) as container:
        frame = next(container.decode(video=0))
    found = frame.to_ndarray(format="rgb24")[20, [5, 60], 0].tolist()
    print(codec, "decoded as", frame.format.name, "of range", int(frame.color_range), "becomes", found)
    return found


h265 = black_and_white("libx265", {"x265-params": "log-level=none:lossless=1"})
h264 = black_and_white("libx264", {"qp": "0"})
sys.exit(0 if h265 == [16, 235] and h264 == [0, 255] else 1)
PYTHON
