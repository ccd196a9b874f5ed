#!/usr/bin/env bash
# transformers 5.5.0 and 5.5.4: the same Qwen2.5-VL weights and the same image give other logits.
#
# Before 5.5.4, `get_rope_index` multiplied the temporal position at which an image starts by tokens_per_second, which
# is meant for videos (huggingface/transformers#45325). A patch release mended it, as it should; but neither the
# configuration nor the checkpoint tells which release computed a stored vector, and nothing warns. By the rule of
# the Qwen2-VL paper, an image after two tokens of text starts at temporal position 2.
#
# Seen, tokens_per_second 4: the image's temporal position is 8 in 5.5.0 and 2 in 5.5.4; the logits at the last token
# differ by 0.09, where the largest is 3.07.
# What to do: transformers 5.5.4 or newer for images; keep the release with stored vectors, and compute some again
# after a change.
# Exits 1 if the behavior has changed.
set -euo pipefail
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
pip() { python3 -m pip install --quiet --disable-pip-version-check "$@"; }
pip --target "$folder/torch" numpy==2.4.6 torch==2.13.0
for version in 5.5.0 5.5.4; do
  pip --target "$folder/$version" transformers=="$version"
done
cat > "$folder/run.py" <<'PYTHON'
import sys

import torch
from transformers import Qwen2_5_VLConfig, Qwen2_5_VLForConditionalGeneration

IMAGE, BEFORE, AFTER = 9, 2, 3
config = Qwen2_5_VLConfig(
    image_token_id=IMAGE,
    video_token_id=10,
    vision_start_token_id=11,
    vision_end_token_id=12,
    text_config={
        "vocab_size": 32, "hidden_size": 32, "intermediate_size": 48, "num_hidden_layers": 2,
        "num_attention_heads": 4, "num_key_value_heads": 2, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
        "initializer_range": 0.25,
        "rope_parameters": {"rope_type": "default", "rope_theta": 10000.0, "mrope_section": [1, 1, 2]},
    },
    vision_config={
        "depth": 1, "hidden_size": 32, "intermediate_size": 48, "num_heads": 4, "out_hidden_size": 32,
        "patch_size": 14, "fullatt_block_indexes": [0], "window_size": 56, "tokens_per_second": 4,
    },
)
torch.manual_seed(0)
model = Qwen2_5_VLForConditionalGeneration(config).eval()
with torch.no_grad():
    for name, parameter in sorted(model.named_parameters()):
        if parameter.dim() > 1:
            generator = torch.Generator().manual_seed(len(name))
            parameter.copy_(torch.randn(parameter.shape, generator=generator) / parameter[0].numel() ** 0.5)
ids = torch.tensor([[5] * BEFORE + [IMAGE] * 4 + [6] * AFTER])
inputs = {
    "input_ids": ids,
    "mm_token_type_ids": (ids == IMAGE).int(),
    "attention_mask": torch.ones_like(ids),
    "image_grid_thw": torch.tensor([[1, 4, 4]]),
    "pixel_values": torch.randn(16, 3 * 2 * 14 * 14, generator=torch.Generator().manual_seed(1)),
}
grid = {name: inputs[name] for name in ("input_ids", "mm_token_type_ids", "image_grid_thw", "attention_mask")}
positions, _ = model.model.get_rope_index(**grid)
with torch.no_grad():
    logits = model(**inputs).logits[0, -1]
torch.save((int(positions[0, 0, BEFORE]), logits), sys.argv[1])
PYTHON
cd "$folder"
for version in 5.5.0 5.5.4; do
  PYTHONPATH="$folder/$version:$folder/torch" HF_HUB_OFFLINE=1 python3 run.py "$version.pt"
done
PYTHONPATH="$folder/torch" python3 - <<'PYTHON'
import sys

import torch

(before, old), (after, new) = (torch.load(f"{version}.pt") for version in ("5.5.0", "5.5.4"))
difference, largest = float((old - new).abs().max()), float(new.abs().max())
print(f"temporal position of the image: {before} in 5.5.0, {after} in 5.5.4")
print(f"logits at the last token differ by {difference:.2f}, where the largest is {largest:.2f}")
sys.exit(0 if (before, after) == (8, 2) and difference > 0.01 * largest else 1)
PYTHON
