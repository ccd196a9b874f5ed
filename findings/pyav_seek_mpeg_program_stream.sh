#!/usr/bin/env bash
# PyAV 18.1.0 (FFmpeg): a backward seek in an MPEG program stream lands behind the wanted frame.
#
# `container.seek(time, backward=True)` is documented to go to a key frame at or before `time`, so decoding from
# there reaches the wanted frame. In MPEG-PS files (.mpg, a container without an index) the position is guessed from
# bytes and time stamps, and the first decoded frame is later than the wanted one. A reader that takes the first frame
# at or after the wanted time gets another frame, without a warning. In MP4 and Matroska the same seek is exact.
#
# Seen, 60 frames at 25 per second, a key frame every 12: for frames 16 and 20 the seek ends at frame 12 in MP4, and
# at frame 24 in MPEG-PS.
# What to do: decode from the start in containers without an index.
# Exits 1 if the behavior has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m pip install --quiet --disable-pip-version-check --target "$folder" numpy==2.4.6 av==18.1.0
cd "$folder"
PYTHONPATH="$folder" python3 - <<'PYTHON'
import sys

import av
import numpy as np

N_FRAMES, RATE = 60, 25


def write(path: str, container_format: str, codec: str) -> None:
    with av.open(path, "w", format=container_format) as container:
        stream = container.add_stream(codec, rate=RATE)
        stream.width = stream.height = 64
        stream.pix_fmt = "yuv420p"
        stream.gop_size = 12
        stream.max_b_frames = 0
        for index in range(N_FRAMES):
            pixels = np.full((64, 64, 3), 10 + 3 * index, np.uint8)
            pixels[:, :20] = 245 - 3 * index
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            for packet in stream.encode(frame):
                container.mux(packet)
        for packet in stream.encode():
            container.mux(packet)


def first_frame_after_seek(path: str, wanted: int) -> int:
    with av.open(path) as container:
        stream = container.streams.video[0]
        times = [packet.pts for packet in container.demux(stream) if packet.pts is not None]
    start = min(times)
    with av.open(path) as container:
        stream = container.streams.video[0]
        step = round(1 / RATE / stream.time_base)
        container.seek(start + wanted * step, stream=stream, backward=True)
        frame = next(container.decode(stream))
        return round((frame.pts - start) / step)


write("a.mp4", "mp4", "mpeg4")
write("a.mpg", "mpeg", "mpeg2video")
found = {
    wanted: (first_frame_after_seek("a.mp4", wanted), first_frame_after_seek("a.mpg", wanted))
    for wanted in (16, 20)
}
for wanted, (mp4, mpg) in found.items():
    print(f"wanted frame {wanted}: MP4 begins at {mp4}, MPEG-PS begins at {mpg}")
sys.exit(0 if all(mp4 <= wanted < mpg for wanted, (mp4, mpg) in found.items()) else 1)
PYTHON
