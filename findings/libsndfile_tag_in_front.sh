#!/usr/bin/env bash
# soundfile 0.14.0 (libsndfile 1.2.2): with an ID3 tag in front, a WAV or AIFF file loses as much of its end.
#
# libsndfile skips an ID3v2 tag in front of every kind of file, and then reckons the end of the samples as if the file
# still began at 0: the length of the tag is missing from the sound, without an error. FFmpeg reads all of it.
#
# Seen: 8 000 samples with a tag of 5 010 bytes: 5 495 are read from WAV and AIFF of 16 bits, 8 000 from AU.
# What to do: cut tags off in front before decoding.
# Exits 1 if the behavior has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m pip install --quiet --disable-pip-version-check --target "$folder" numpy==2.4.6 soundfile==0.14.0
cd "$folder"
PYTHONPATH="$folder" python3 - <<'PYTHON'
import io
import sys

import numpy as np
import soundfile

sound = np.random.default_rng(0).normal(0, 0.1, 8000)
tag = b"ID3" + bytes([4, 0, 0, 0, 0, 39, 8]) + b"TIT2" + bytes(5000 - 4)
found = {}
for kind in ("WAV", "AIFF", "AU"):
    file = io.BytesIO()
    soundfile.write(file, sound, 8000, format=kind, subtype="PCM_16")
    found[kind] = len(soundfile.read(io.BytesIO(tag + file.getvalue()))[0])
print("samples of 8000:", found)
sys.exit(0 if found["WAV"] == found["AIFF"] == 5495 and found["AU"] == 8000 else 1)
PYTHON
