#!/usr/bin/env bash
# PyAV 18.1.0 (FFmpeg 8.1): frames of JPEG and PNG that carry Exif have no readable side data.
#
# `frame.side_data` builds `av.sidedata.sidedata.Type` from FFmpeg's number, and its list ends at 27. FFmpeg 8 gives
# frames decoded from JPEG and PNG with Exif side data of number 31, so that `frame.side_data` raises ValueError, also
# for the display matrix beside it. `frame.rotation` works, but is an angle: it is the same for a picture that is turned
# by half and one that is mirrored. Other new numbers (several views in H.265) meet the same.
#
# Seen, Motion JPEG in MOV, Exif orientation 2 (mirrored): rotation -180, ValueError "31 is not a valid Type".
# What to do: pass the frame through FFmpeg's filter sidedata (mode=delete:type=31) first; its matrix is readable then.
# Exits 1 if the behavior has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m pip install --quiet --disable-pip-version-check --target "$folder" numpy==2.4.6 av==18.1.0 pillow==13.0.0
cd "$folder"
PYTHONPATH="$folder" python3 - <<'PYTHON'
import io
import sys
from fractions import Fraction

import av
from PIL import Image

exif = Image.Exif()
exif[0x0112] = 2
picture = io.BytesIO()
Image.new("RGB", (64, 48), "red").save(picture, "JPEG", exif=exif)
with av.open("a.mov", "w") as container:
    stream = container.add_stream("mjpeg", rate=10)
    stream.width, stream.height, stream.pix_fmt = 64, 48, "yuvj420p"
    packet = av.Packet(picture.getvalue())
    packet.pts = packet.dts = 0
    packet.time_base, packet.stream, packet.is_keyframe = Fraction(1, 10), stream, True
    container.mux(packet)
with av.open("a.mov") as container:
    frame = next(container.decode(video=0))
print("rotation", frame.rotation)
try:
    print("side data", list(frame.side_data))
    as_seen = False
except ValueError as error:
    print("side data: ValueError:", error)
    as_seen = True
graph = av.filter.Graph()
source = graph.add("buffer", f"video_size=64x48:pix_fmt={frame.format.name}:time_base=1/10:range=pc")
removal, sink = graph.add("sidedata", "mode=delete:type=31"), graph.add("buffersink")
source.link_to(removal)
removal.link_to(sink)
graph.configure()
graph.push(frame)
kinds = [data.type.name for data in graph.pull().side_data]
print("side data without number 31:", kinds)
sys.exit(0 if as_seen and "DISPLAYMATRIX" in kinds else 1)
PYTHON
