"""The final folder: float16 weights, tokenizer, processor and chat template in hub layout."""

from __future__ import annotations

import copy
import shutil
from pathlib import Path
from typing import Any

import torch
from tokenizers import Tokenizer
from transformers import FastVlmForConditionalGeneration, GenerationConfig, LlavaProcessor
from transformers.models.clip import CLIPImageProcessorPil

from savs.demo.scenes import SIDE
from training.architecture import END, IMAGE, PAD, SPECIAL
from training.vocabulary import wrap_tokenizer

LIMIT = 9_900_000
"""The weights' file stays below this many bytes."""

CHAT_TEMPLATE = (
    "{% for m in messages %}{% if m['role']=='assistant' %}<assistant>{% else %}<user>{% endif %}"
    "{% if m['content'] is string %}{{ m['content'] }}{% else %}{% for c in m['content'] %}"
    "{% if c['type']=='image' %}<image>{% elif c['type']=='text' %}{{ c['text'] }}{% endif %}"
    "{% endfor %}{% endif %}{% if m['role']=='assistant' %}<end>{% endif %}{% endfor %}"
    "{% if add_generation_prompt %}<assistant>{% endif %}"
)


def build_processor(tokenizer: Tokenizer) -> LlavaProcessor:
    """Processor around a trained `tokenizers.Tokenizer`: 64 x 64 pixels in [-1, 1], 16 tokens per image."""
    size = {"height": SIDE, "width": SIDE}
    image_processor = CLIPImageProcessorPil(
        size=size,
        crop_size=size,
        do_center_crop=False,
        image_mean=[0.5, 0.5, 0.5],
        image_std=[0.5, 0.5, 0.5],
    )
    return LlavaProcessor(  # type: ignore[no-untyped-call]
        image_processor=image_processor,
        tokenizer=wrap_tokenizer(tokenizer),
        patch_size=SIDE // 4,
        vision_feature_select_strategy="full",
        chat_template=CHAT_TEMPLATE,
        image_token=IMAGE,
    )


def export_model(model: FastVlmForConditionalGeneration, tokenizer: Tokenizer, folder: Path) -> int:
    """Write model and processor to `folder`, replacing it whole, and return the bytes of the weights.

    Raises
    ------
    ValueError
        If a weight does not survive the cast to float16 or the file grows over `LIMIT`.
    """
    half: Any = copy.deepcopy(model)
    half.half().to("cpu").eval()
    half.model.language_model.set_attn_implementation("sdpa")
    for name, tensor in half.state_dict().items():
        if not bool(torch.isfinite(tensor.float()).all()):
            raise ValueError(f"{name} is not finite in float16")
    half.generation_config = GenerationConfig(  # type: ignore[no-untyped-call]
        max_new_tokens=16, pad_token_id=SPECIAL.index(PAD), eos_token_id=SPECIAL.index(END)
    )
    partial = folder.with_name(folder.name + ".part")
    shutil.rmtree(partial, ignore_errors=True)
    half.save_pretrained(partial)
    build_processor(tokenizer).save_pretrained(partial)
    weights = (partial / "model.safetensors").stat().st_size
    if weights >= LIMIT:
        raise ValueError(f"the weights take {weights} bytes, {LIMIT} are allowed")
    _replace(partial, folder)
    return weights


def _replace(partial: Path, folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for file in partial.iterdir():
        file.chmod(0o644)
        file.replace(folder / file.name)
    partial.rmdir()
