#!/usr/bin/env bash
# datasets 5.2.0 with pyarrow 26.0.1: a text in a Json column comes back as a number, a truth value or null.
#
# A column of mixed types is stored as JSON texts (features.Json; by itself when JSONL is loaded, and with
# on_mixed_types="use_json" elsewhere). Json.encode_example writes a text that happens to be valid JSON as it is,
# not as a JSON text, so that decoding takes it for what it spells: "1" becomes 1, "true" True, "null" None.
# Labels "1" and 1 are one label then, and nothing is raised. load_dataset("json") does the same with the texts
# of a column that holds another type, too.
#
# Seen: in  ['1', 1, 'true', 'null', 'a']
#       out [1, 1, True, None, 'a'], from memory and from JSON Lines.
# What to do: keep columns of one type, or read JSON Lines without the library.
# Exits 1 if the behavior has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
# dill, which the library hashes with, wants packages in an environment, not in a folder on the path.
python3 -m venv "$folder/environment"
"$folder/environment/bin/python" -m pip install --quiet --disable-pip-version-check datasets==5.2.0 \
    pyarrow==26.0.1 pandas==3.1.1 dill==0.4.1
export HF_HOME="$folder/home" HF_HUB_OFFLINE=1
cd "$folder"
environment/bin/python - <<'PYTHON'
import json
import sys
from pathlib import Path

from datasets import Dataset, disable_progress_bars, load_dataset

disable_progress_bars()
values = ["1", 1, "true", "null", "a"]
rows = [{"label": value} for value in values]
in_memory = Dataset.from_list(rows, on_mixed_types="use_json")["label"][:]
Path("rows.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
from_file = load_dataset("json", data_files="rows.jsonl", split="train")["label"][:]
print("in        ", values)
print("in memory ", in_memory)
print("JSON Lines", from_file)
seen = [1, 1, True, None, "a"]
sys.exit(0 if list(map(repr, in_memory)) == list(map(repr, from_file)) == list(map(repr, seen)) else 1)
PYTHON
