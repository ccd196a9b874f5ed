#!/usr/bin/env bash
# soundfile 0.14.0 (libsndfile 1.2.2): of an MP3 file without a Xing header, what exceeds a guess is not read.
#
# libsndfile asks mpg123 for the length when it opens a file. Without a Xing or Info header mpg123 guesses from the
# first frames and the size of the file, and libsndfile reads no more samples than that. In a file of variable rate
# (as after cutting a file, or writing one to a pipe) that begins loud and goes on quiet, or just has costly first
# frames, the end is missing: no error, and `frames` agrees with what is read.
#
# Seen, ten seconds of noise, the frame with the Xing header taken away: FFmpeg decodes 481 536 samples, soundfile
# 157 549.
# What to do: count the frames, and put an Info frame with their number in front.
# Exits 1 if the behavior has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m pip install --quiet --disable-pip-version-check --target "$folder" numpy==2.4.6 soundfile==0.14.0 av==18.1.0
cd "$folder"
PYTHONPATH="$folder" python3 - <<'PYTHON'
import io
import sys

import av
import numpy as np
import soundfile

KBITS = (0, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224, 256, 320)

noise = np.clip(np.random.default_rng(2).normal(0, 0.1, 480_000), -1, 1).astype(np.float32)
file = io.BytesIO()
soundfile.write(file, noise, 44_100, format="MP3")
whole = file.getvalue()
first = 144_000 * KBITS[whole[2] >> 4] // 44_100 + (whole[2] >> 1 & 1)
assert b"Xing" in whole[:first] or b"Info" in whole[:first]
data = whole[first:]
found, _ = soundfile.read(io.BytesIO(data))
with av.open(io.BytesIO(data)) as container:
    there = sum(frame.samples for frame in container.decode(audio=0))
with_header = len(soundfile.read(io.BytesIO(whole))[0])
print("samples: FFmpeg", there, "soundfile", len(found), "soundfile with the header", with_header)
sys.exit(0 if len(found) < 0.9 * there and with_header == 480_000 else 1)
PYTHON
