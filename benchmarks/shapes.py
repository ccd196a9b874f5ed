"""Models of known shapes with random weights, and their own processors, built offline.

Speed depends on shapes, never on what the weights say: nothing here is trained. Every model is the
transformers class that a checkpoint of its family loads into, with a vocabulary as large as the checkpoint's.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch

__all__ = ["FAMILIES", "SIZES", "Built", "build", "build_decoder"]

VOCABULARY = {"small": 2_000, "250m": 151_936, "7b": 152_064}
SIZES = tuple(VOCABULARY)

# The decoders of Qwen2-0.5B (14 of its 24 layers) and of Qwen2-7B.
TEXT: dict[str, dict[str, Any]] = {
    "small": {
        "hidden_size": 64,
        "intermediate_size": 128,
        "num_hidden_layers": 4,
        "num_attention_heads": 8,
        "num_key_value_heads": 2,
    },
    "250m": {
        "hidden_size": 896,
        "intermediate_size": 4864,
        "num_hidden_layers": 14,
        "num_attention_heads": 14,
        "num_key_value_heads": 2,
    },
    "7b": {
        "hidden_size": 3584,
        "intermediate_size": 18944,
        "num_hidden_layers": 28,
        "num_attention_heads": 28,
        "num_key_value_heads": 4,
    },
}
SIGLIP: dict[str, dict[str, Any]] = {
    "small": {"hidden_size": 32, "intermediate_size": 64, "num_hidden_layers": 2, "num_attention_heads": 4},
    "250m": {
        "hidden_size": 512,
        "intermediate_size": 2048,
        "num_hidden_layers": 12,
        "num_attention_heads": 8,
    },
    "7b": {
        "hidden_size": 1152,
        "intermediate_size": 4304,
        "num_hidden_layers": 26,
        "num_attention_heads": 16,
    },
}
TILE = {"small": 56, "250m": 140, "7b": 384}  # pixels of one side; patches have 14
QWEN_VISION: dict[str, dict[str, Any]] = {
    "small": {
        "hidden_size": 32,
        "intermediate_size": 64,
        "depth": 2,
        "num_heads": 4,
        "fullatt_block_indexes": [1],
    },
    "250m": {
        "hidden_size": 512,
        "intermediate_size": 1376,
        "depth": 12,
        "num_heads": 8,
        "fullatt_block_indexes": [5, 11],
    },
    "7b": {
        "hidden_size": 1280,
        "intermediate_size": 3420,
        "depth": 32,
        "num_heads": 16,
        "fullatt_block_indexes": [7, 15, 23, 31],
    },
}
# Of one image; at 7b the checkpoint's own limit. At 250m images of 640x480 keep their resolution.
QWEN_PIXELS = {"small": 40 * 28 * 28, "250m": 512 * 28 * 28, "7b": 16_384 * 28 * 28}
MROPE = {16: [2, 3, 3], 8: [1, 1, 2], 64: [8, 12, 12], 128: [16, 24, 24]}  # by head width

QWEN_TOKENS = ["<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"]
TEMPLATE = (
    "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n"
    "{% for c in m['content'] %}{% if c['type'] == 'image' %}IMAGE{% else %}{{ c['text'] }}{% endif %}"
    "{% endfor %}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
WORDS = [
    "You are a helpful assistant. user system assistant",
    "What is shown in this picture? Answer with the class name. A person, animal, vehicle or building?",
    "Which colour is the largest object? How many are there? Where was it taken, at day or night? Yes or No.",
]


@dataclass(frozen=True)
class Built:
    """A model with its processor.

    Attributes
    ----------
    name : str
    model, processor
    n_parameters : int
        Without the vocabulary.
    n_vocabulary : int
        Parameters of the token embedding and of the output layer, which are one where they are tied.
    """

    name: str
    model: Any
    processor: Any
    n_parameters: int
    n_vocabulary: int


def build(family: str, size: str, device: str, dtype: str, attention: str = "sdpa", seed: int = 0) -> Built:
    """Return a model of a family and size, its weights drawn on the device.

    Parameters
    ----------
    family : {"llava_onevision", "qwen2_5_vl"}
    size : {"small", "250m", "7b"}
    device, dtype : str
    attention : str
        Name of the attention kernel, ``"sdpa"``, ``"eager"``, ``"flash_attention_2"``.
    seed : int
    """
    model_class, config, processor = FAMILIES[family](size)
    model = _drawn(model_class, config, device, dtype, attention, seed)
    return _counted(f"{family} {size}", model, processor)


def build_decoder(n_layers: int, hidden_size: int, device: str, dtype: str, seed: int = 0) -> Built:
    """Return a text-only decoder, for the cost of recording at different sizes; it has no processor."""
    from transformers import Qwen2Config, Qwen2ForCausalLM

    config = Qwen2Config(
        hidden_size=hidden_size,
        intermediate_size=4 * hidden_size,
        num_hidden_layers=n_layers,
        num_attention_heads=hidden_size // 64,
        num_key_value_heads=hidden_size // 64,
        vocab_size=2_000,
        tie_word_embeddings=True,
    )
    model = _drawn(Qwen2ForCausalLM, config, device, dtype, "sdpa", seed)
    return _counted(f"decoder {n_layers} x {hidden_size}", model, None)


def _drawn(model_class: Any, config: Any, device: str, dtype: str, attention: str, seed: int) -> Any:
    torch.manual_seed(seed)
    with torch.device(device):
        model = model_class._from_config(config, dtype=getattr(torch, dtype), attn_implementation=attention)
    return model.eval().requires_grad_(False)


def _counted(name: str, model: Any, processor: Any) -> Built:
    words = {id(layer.weight): layer.weight.numel() for layer in _vocabulary(model)}
    total = sum(parameter.numel() for parameter in model.parameters())
    return Built(name, model, processor, total - sum(words.values()), sum(words.values()))


def _vocabulary(model: Any) -> list[Any]:
    return [
        layer for layer in (model.get_input_embeddings(), model.get_output_embeddings()) if layer is not None
    ]


def _tokenizer(special: list[str]) -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=600,
        special_tokens=["<pad>", "<|im_start|>", "<|im_end|>", *special],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator(WORDS, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=backend, pad_token="<pad>", eos_token="<|im_end|>")


def _without_video(cls: type) -> type:
    """Return a processor class that needs no torchvision."""
    names = [name for name in cls.get_attributes() if "video" not in name]  # type: ignore[attr-defined]
    return type(cls.__name__, (cls,), {"get_attributes": classmethod(lambda _cls: names)})


def _text(size: str, tokenizer: Any) -> dict[str, Any]:
    return TEXT[size] | {
        "vocab_size": VOCABULARY[size],
        "max_position_embeddings": 32_768,
        "pad_token_id": tokenizer.pad_token_id,
        "eos_token_id": tokenizer.eos_token_id,
        "bos_token_id": None,
        "tie_word_embeddings": size != "7b",
    }


def _llava_onevision(size: str) -> tuple[Any, Any, Any]:
    from transformers import (
        LlavaOnevisionConfig,
        LlavaOnevisionForConditionalGeneration,
        LlavaOnevisionImageProcessorPil,
        LlavaOnevisionProcessor,
        Qwen2Config,
        SiglipVisionConfig,
    )

    side = TILE[size]
    most = 6 if size == "7b" else 2
    pinpoints = [
        [side * rows, side * columns] for rows in range(1, most + 1) for columns in range(1, most + 1)
    ]
    tokenizer = _tokenizer(["<image>", "<video>"])
    processor = _without_video(LlavaOnevisionProcessor)(
        LlavaOnevisionImageProcessorPil(size={"height": side, "width": side}, image_grid_pinpoints=pinpoints),
        tokenizer,
        num_image_tokens=(side // 14) ** 2,
        vision_feature_select_strategy="full",
        chat_template=TEMPLATE.replace("IMAGE", "<image>"),
    )
    config = LlavaOnevisionConfig(
        vision_config=SiglipVisionConfig(
            **SIGLIP[size], image_size=side, patch_size=14, vision_use_head=False
        ),
        text_config=Qwen2Config(**_text(size, tokenizer)),
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        video_token_index=tokenizer.convert_tokens_to_ids("<video>"),
        image_grid_pinpoints=pinpoints,
        vision_feature_select_strategy="full",
        tie_word_embeddings=size != "7b",
    )
    return LlavaOnevisionForConditionalGeneration, config, processor


def _qwen2_5_vl(size: str) -> tuple[Any, Any, Any]:
    from transformers import (
        Qwen2_5_VLConfig,
        Qwen2_5_VLForConditionalGeneration,
        Qwen2_5_VLProcessor,
        Qwen2VLImageProcessorPil,
    )

    tokenizer = _tokenizer(QWEN_TOKENS)
    images = Qwen2VLImageProcessorPil(patch_size=14, min_pixels=4 * 28 * 28, max_pixels=QWEN_PIXELS[size])
    processor = _without_video(Qwen2_5_VLProcessor)(
        images,
        tokenizer,
        chat_template=TEMPLATE.replace("IMAGE", "<|vision_start|><|image_pad|><|vision_end|>"),
    )
    names = ["vision_start_token_id", "vision_end_token_id", "image_token_id", "video_token_id"]
    width = TEXT[size]["hidden_size"] // TEXT[size]["num_attention_heads"]
    rope = {"rope_type": "default", "mrope_section": MROPE[width], "rope_theta": 1e6}
    vision = QWEN_VISION[size] | {
        "out_hidden_size": TEXT[size]["hidden_size"],
        "patch_size": 14,
        "window_size": 112,
    }
    config = Qwen2_5_VLConfig(
        text_config=_text(size, tokenizer) | {"rope_parameters": rope},
        vision_config=vision,
        tie_word_embeddings=size != "7b",
        **dict(zip(names, tokenizer.convert_tokens_to_ids(QWEN_TOKENS), strict=True)),
    )
    return Qwen2_5_VLForConditionalGeneration, config, processor


FAMILIES: dict[str, Callable[[str], tuple[Any, Any, Any]]] = {
    "llava_onevision": _llava_onevision,
    "qwen2_5_vl": _qwen2_5_vl,
}
