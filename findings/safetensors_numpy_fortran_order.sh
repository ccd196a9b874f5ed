#!/usr/bin/env bash
# safetensors 0.8.0 with NumPy 2.4.6: arrays in Fortran order come back with their values in other places.
#
# `safetensors.numpy.save` writes the array's memory as it lies and the array's shape as it is; `load` reads
# the same bytes in C order. For an array whose memory is not in C order (a transpose, a column slice made
# contiguous by column, what scipy.linalg or np.asfortranarray return) shape and dtype survive and the values are
# permuted. Nothing is raised. safetensors.torch refuses such tensors ("non contiguous tensor"), so code that
# moves from torch to NumPy loses that guard.
#
# Seen: saved [[0, 1, 2], [3, 4, 5]], loaded [[0, 3, 1], [4, 2, 5]].
# What to do: np.ascontiguousarray before saving.
# Exits 1 if the behavior has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
python3 -m pip install --quiet --disable-pip-version-check --target "$folder" numpy==2.4.6 safetensors==0.8.0
PYTHONPATH="$folder" python3 - <<'PYTHON'
import sys

import numpy as np
from safetensors.numpy import load, save

array = np.asfortranarray(np.arange(6.0).reshape(2, 3))
again = load(save({"a": array}))["a"]
print("saved ", array.tolist())
print("loaded", again.tolist())
as_seen = again.shape == array.shape and again.tolist() == [[0.0, 3.0, 1.0], [4.0, 2.0, 5.0]]
whole = (load(save({"a": np.ascontiguousarray(array)}))["a"] == array).all()
sys.exit(0 if as_seen and whole else 1)
PYTHON
