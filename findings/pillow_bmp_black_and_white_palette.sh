#!/usr/bin/env bash
# Pillow 13.0.0: a BMP file of 4 or 8 bits whose palette is black and white is read as one bit for each pixel.
#
# Where the two colors of a palette are black and white, Pillow sets mode "1" whatever the depth of the pixels, and
# unpacks their bytes as eight pixels each. Masks and scans written by Windows programs look so: 8 bits, a palette of
# two colors. Nothing is raised: most of the picture is black.
#
# Seen, pixels 0, 1, 0, 1, ... with the palette black, white: at 1 bit 0 255 0 255; at 4 bits 0 0 0 0 0 0 0 255; at 8
# bits 0 up to the last of 16 pixels.
# What to do: compare the depth in the header (two bytes from 28 on) with mode "1", and read the indices as mode "P".
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

COLORS = bytes([0, 0, 0, 0, 255, 255, 255, 0])


def bmp(bits):
    """Return a BMP file of 16 x 4 pixels, black and white in turn."""
    row = np.tile([0, 1], 8).astype(np.uint8)
    packed = {
        1: np.packbits(row).tobytes(),
        4: (row[::2] << 4 | row[1::2]).astype(np.uint8).tobytes(),
        8: row.tobytes(),
    }[bits]
    data = packed.ljust(-(-len(packed) // 4) * 4, b"\0") * 4
    start = 54 + len(COLORS)
    header = struct.pack("<IiiHHIIiiII", 40, 16, 4, 1, bits, 0, len(data), 0, 0, 2, 0)
    return b"BM" + struct.pack("<IHHI", start + len(data), 0, 0, start) + header + COLORS + data


right = np.tile([0, 255], 8)
wrong = []
for bits in (1, 4, 8):
    image = Image.open(io.BytesIO(bmp(bits)))
    found = np.asarray(image.convert("L"))[0]
    print(f"{bits} bits: mode {image.mode} {' '.join(map(str, found))}")
    if not np.array_equal(found, right):
        wrong.append(bits)
sys.exit(0 if wrong == [4, 8] else 1)
PYTHON
