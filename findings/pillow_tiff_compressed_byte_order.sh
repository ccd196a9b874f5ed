#!/usr/bin/env bash
# Pillow 13.0.0: compressed big-endian TIFF files of signed or decimal values are read with their bytes swapped.
#
# libtiff gives decompressed values in the machine's order. For unsigned 16 bits Pillow knows that; signed integers and
# 32-bit decimals it reads in the file's order once more. Such files come from scientific software (maps of heights,
# microscopes), and nothing is raised: the pixels are other numbers.
#
# Seen, values 0, 100, 200 compressed with zlib, on a little-endian machine: int16 0, 25600, -14336; int32 0,
# 1677721600, -939524096; float32 0, 7.2e-41, 2.6e-41. Right: uint16, and every type without compression.
# What to do: swap the bytes of such an image, or replace the raw mode of its tile by that of the machine's order.
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
import zlib

import numpy as np
from PIL import Image

NONE, ZLIB = 1, 8
UNSIGNED, SIGNED, DECIMAL = 1, 2, 3
VALUES = np.tile(np.arange(16) * 100, (16, 1))


def tiff(data, bits, kind, compression):
    """Return a big-endian TIFF file of 16 x 16 gray pixels in one strip."""
    long, short = 4, 3
    tags = [(256, long, 16), (257, long, 16), (258, short, bits), (259, short, compression), (262, short, 1)]
    tags += [(273, long, 134), (277, short, 1), (278, long, 16), (279, long, len(data)), (339, short, kind)]
    entries = [
        struct.pack(">HHII", tag, size, 1, value if size == long else value << 16) for tag, size, value in tags
    ]
    return b"MM\0*" + struct.pack(">IH", 8, len(tags)) + b"".join(entries) + bytes(4) + data


def pixels(dtype, kind, compression):
    data = VALUES.astype(dtype).tobytes()
    if compression == ZLIB:
        data = zlib.compress(data)
    return np.asarray(Image.open(io.BytesIO(tiff(data, 8 * np.dtype(dtype).itemsize, kind, compression))))


wrong = []
for name, dtype, kind in (
    ("uint16", ">u2", UNSIGNED), ("int16", ">i2", SIGNED), ("int32", ">i4", SIGNED), ("float32", ">f4", DECIMAL)
):
    plain, packed = (pixels(dtype, kind, compression) for compression in (NONE, ZLIB))
    print(f"{name:8} plain {plain[0, :3]} compressed {packed[0, :3]}")
    assert np.array_equal(plain, VALUES)
    if not np.array_equal(packed, VALUES):
        wrong.append(name)
sys.exit(0 if wrong == ["int16", "int32", "float32"] else 1)
PYTHON
