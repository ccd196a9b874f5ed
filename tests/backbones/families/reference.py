"""Head vectors read without savs: one example, no padding, a whole forward pass, plain hooks."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from PIL import Image as PILImage
from tests.backbones.families import Family

from savs.data import Example, Part, Text
from savs.media import Audio, Video
from savs.media.video import decode_video

__all__ = ["forget_positions", "inputs_of", "projections", "prompt", "reference"]

_NAMES = ("self_attn.o_proj", "attn.c_proj", "self_attn.out_proj")
_NOT_DECODER = ("vision", "visual", "qformer", "connector", "vqmodel", "audio")


def projections(model: Any) -> list[Any]:
    """Find the decoder's output projections by their names in these families, not by savs' rule."""
    return [
        module
        for name, module in model.named_modules()
        if name.endswith(_NAMES) and not any(other in name for other in _NOT_DECODER)
    ]


def prompt(processor: Any, example: Example) -> str:
    """Write the prompt of an example of one message."""
    tokenizer = getattr(processor, "tokenizer", processor)
    token = str(getattr(processor, "image_token", ""))
    if getattr(processor, "num_query_tokens", None):
        token = ""  # BLIP-2 writes it
    flat = "".join(part.text if isinstance(part, Text) else token for part in example.parts)
    template = getattr(processor, "chat_template", None)
    if template is None:
        return flat
    content: Any = flat
    if processor is not tokenizer:
        content = [
            {"type": "text", "text": part.text} if isinstance(part, Text) else {"type": _kind(part)}
            for part in example.parts
        ]
    chat = [{"role": "user", "content": content}]
    return processor.apply_chat_template(chat, add_generation_prompt=True, tokenize=False)


def _kind(part: Part) -> str:
    if isinstance(part, Audio):
        return "audio"
    return "video" if isinstance(part, Video) else "image"


def inputs_of(family: Family, example: Example, text: str) -> dict[str, Any]:
    """Return model inputs of one rendered prompt with the media of an example."""
    processor = family.processor
    tokenizer = getattr(processor, "tokenizer", processor)
    images = [PILImage.fromarray(part.source) for part in example.images if not isinstance(part, Video)]
    videos = [decode_video(part.source, part.n_frames) for part in example.images if isinstance(part, Video)]
    options: dict[str, Any] = {"images": [images]} if images else {}
    if example.audios:
        options["audio"] = [part.source for part in example.audios]
        options["sampling_rate"] = 16_000
    if videos:
        options["videos"] = [np.stack([np.asarray(image) for image in video.images]) for video in videos]
        options["do_sample_frames"] = False
        # Frames of a steady rate: a number and a rate say when each is shown.
        options["video_metadata"] = [
            {
                "fps": 10.0,
                "total_num_frames": round(video.duration * 10),
                "frames_indices": [round(seconds * 10) for seconds in video.seconds],
            }
            for video in videos
        ]
    inputs = dict(
        processor(
            text=[text],
            return_tensors="pt",
            add_special_tokens=not text.startswith(tokenizer.bos_token),
            **options,
        )
    )
    inputs.pop("labels", None)
    dtype = family.model.dtype
    return {name: value.to(dtype) if value.is_floating_point() else value for name, value in inputs.items()}


def reference(family: Family, example: Example) -> np.ndarray:
    """Return the input of every output projection at the last position, in the order of the calls."""
    inputs = inputs_of(family, example, prompt(family.processor, example))
    seen: list[torch.Tensor] = []
    handles = [
        module.register_forward_pre_hook(lambda _module, args: seen.append(args[0]))
        for module in projections(family.model)
    ]
    try:
        with torch.no_grad():
            family.model(**inputs)
    finally:
        for handle in handles:
            handle.remove()
        forget_positions(family.model)
    return torch.cat([tensor[0, -1] for tensor in seen]).float().numpy()


def forget_positions(model: Any) -> None:
    """Put away the last prompt's offsets, which models with three-way positions remember."""
    for module in model.modules():
        if "rope_deltas" in vars(module):
            module.rope_deltas = None
