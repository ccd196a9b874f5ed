#!/usr/bin/env bash
# Pillow 13.0.0: TIFF files in which 0 is white are inverted up to 8 bits, and not beyond.
#
# PhotometricInterpretation 0 (WhiteIsZero) says that 0 is white, as X-ray machines and scanners write it. Pillow
# inverts such images of 1 to 8 bits, so that 0 is black in what it returns. Of 16 bits and of decimals it returns the
# stored values, in modes whose 0 is black (I;16, F), without a word: the same picture is a negative at another depth.
#
# Seen, a ramp of stored values from 0 to the largest: 8 bits 255 to 0; 16 bits 0 to 65535; float32 0 to 255.
# What to do: look at tag 262, `image.tag_v2[262] == 0`, and invert these modes.
# Exits 1 if the behavior has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m pip install --quiet --disable-pip-version-check --target "$folder" numpy==2.4.6 pillow==13.0.0
cd "$folder"
PYTHONPATH="$folder" python3 - <<'PYTHON'
import io
import struct
import sys

import numpy as np
from PIL import Image


def tiff(data, bits, kind):
    """Return a little-endian TIFF file of 16 x 16 gray pixels in which 0 is white."""
    long, short = 4, 3
    tags = [(256, long, 16), (257, long, 16), (258, short, bits), (259, short, 1), (262, short, 0)]
    tags += [(273, long, 134), (277, short, 1), (278, long, 16), (279, long, len(data)), (339, short, kind)]
    entries = b"".join(struct.pack("<HHII", tag, size, 1, value) for tag, size, value in tags)
    return b"II*\0" + struct.pack("<IH", 8, len(tags)) + entries + bytes(4) + data


ends = {}
for name, dtype, largest, kind in (
    ("8 bits", "<u1", 255, 1), ("16 bits", "<u2", 65_535, 1), ("float32", "<f4", 255, 3)
):
    stored = np.tile(np.linspace(0, largest, 16).astype(dtype), (16, 1))
    image = Image.open(io.BytesIO(tiff(stored.tobytes(), 8 * stored.itemsize, kind)))
    found = np.asarray(image)[0]
    ends[name] = (int(found[0]), int(found[-1]))
    print(f"{name:8} mode {image.mode:5} {ends[name][0]} to {ends[name][1]}")
seen = {"8 bits": (255, 0), "16 bits": (0, 65_535), "float32": (0, 255)}
sys.exit(0 if ends == seen else 1)
PYTHON
