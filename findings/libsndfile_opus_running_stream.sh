#!/usr/bin/env bash
# soundfile 0.14.0 (libsndfile 1.2.2): Opus whose clock does not start at zero begins with what is to be skipped.
#
# An Opus stream says how many samples at its beginning are warm-up of the decoder (its pre-skip, RFC 7845, section
# 4.2). Where the file was recorded from a stream that runs already, the first granule position is more than the
# samples of its page (section 4.5 allows that). libsndfile then plays the warm-up as sound, so that everything comes
# 312 samples late and the last 312 are not read; `frames` agrees with it. After seek(0) all is right.
#
# Seen, one second of noise: 48 000 samples, of which the first 312 are warm-up; after seek(0) they are bit for bit
# those of the same file whose clock starts at zero.
# What to do: call seek(0) before the first read.
# Exits 1 if the behavior has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m pip install --quiet --disable-pip-version-check --target "$folder" numpy==2.4.6 soundfile==0.14.0
cd "$folder"
PYTHONPATH="$folder" python3 - <<'PYTHON'
import io
import struct
import sys

import numpy as np
import soundfile

LATER = 10 * 48_000  # samples, after which the recording began


def checksum(page):
    """Return the checksum of an Ogg page (RFC 3533, section 6)."""
    value = 0
    for byte in page:
        value ^= byte << 24
        for _ in range(8):
            value = (value << 1 ^ (0x04C11DB7 if value & 0x80000000 else 0)) & 0xFFFFFFFF
    return value


def later(data):
    """Return the file as if the stream had run for ten seconds before it."""
    pages, at = [], 0
    while at < len(data):
        n_segments = data[at + 26]
        end = at + 27 + n_segments + sum(data[at + 27 : at + 27 + n_segments])
        page = bytearray(data[at:end])
        (position,) = struct.unpack_from("<q", page, 6)
        if position > 0:  # not the two pages of headers
            struct.pack_into("<q", page, 6, position + LATER)
            struct.pack_into("<I", page, 22, 0)
            struct.pack_into("<I", page, 22, checksum(page))
        pages.append(bytes(page))
        at = end
    return b"".join(pages)


def read(data, seek=False):
    with soundfile.SoundFile(io.BytesIO(data)) as file:
        if seek:
            file.seek(0)
        return file.read(dtype="float32")


sound = np.random.default_rng(0).normal(0, 0.1, 48_000)
written = io.BytesIO()
soundfile.write(written, sound, 48_000, format="OGG", subtype="OPUS")
from_zero = read(written.getvalue())
running = later(written.getvalue())
found, after_seek = read(running), read(running, seek=True)
(skip,) = struct.unpack_from("<H", running, running.index(b"OpusHead") + 10)
print("pre-skip", skip, "samples read", len(found))
late = len(found) == len(from_zero) and np.abs(found[skip:] - from_zero[:-skip]).max() < 0.01
print("late by the pre-skip:", late, "right after seek(0):", np.array_equal(after_seek, from_zero))
sys.exit(0 if late and np.array_equal(after_seek, from_zero) else 1)
PYTHON
