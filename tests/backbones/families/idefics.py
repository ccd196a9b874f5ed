"""Idefics and its kin."""

from __future__ import annotations

from typing import Any

from tests.backbones.families.parts import VISION, make_tokenizer, template, text_options

from savs.backbones._processors import for_images

IDEFICS_TOKENS = ["<image>", "<fake_token_around_image>", "<end_of_utterance>", "<global-img>"] + [
    f"<row_{r}_col_{c}>" for r in range(1, 4) for c in range(1, 4)
]


def idefics_parts(image_processor: Any) -> tuple[Any, Any, dict[str, Any]]:
    from transformers import Idefics3Processor

    tokenizer = make_tokenizer(IDEFICS_TOKENS)
    images = image_processor(size={"longest_edge": 56}, max_image_size={"longest_edge": 28})
    processor = Idefics3Processor(images, tokenizer, image_seq_len=4, chat_template=template())
    return processor, tokenizer, VISION | {"patch_size": 7}


def build_idefics3() -> tuple[Any, Any]:
    from transformers import (
        Idefics3Config,
        Idefics3ForConditionalGeneration,
        Idefics3ImageProcessorPil,
        LlamaConfig,
    )

    processor, tokenizer, vision = idefics_parts(Idefics3ImageProcessorPil)
    config = Idefics3Config(
        vision_config=vision,
        text_config=LlamaConfig(**text_options(tokenizer)),
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        scale_factor=2,
    )
    return Idefics3ForConditionalGeneration(config), processor


def build_smolvlm() -> tuple[Any, Any]:
    from transformers import (
        LlamaConfig,
        SmolVLMConfig,
        SmolVLMForConditionalGeneration,
        SmolVLMImageProcessorPil,
        SmolVLMProcessor,
    )

    _, tokenizer, vision = idefics_parts(SmolVLMImageProcessorPil)
    images = SmolVLMImageProcessorPil(size={"longest_edge": 56}, max_image_size={"longest_edge": 28})
    settings = {"image_seq_len": 4, "chat_template": template()}
    processor = for_images(SmolVLMProcessor).from_args_and_dict([images, tokenizer], settings)
    config = SmolVLMConfig(
        vision_config=vision,
        text_config=LlamaConfig(**text_options(tokenizer)),
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
        scale_factor=2,
    )
    return SmolVLMForConditionalGeneration(config), processor


def build_idefics2() -> tuple[Any, Any]:
    from transformers import (
        Idefics2Config,
        Idefics2ForConditionalGeneration,
        Idefics2ImageProcessorPil,
        Idefics2Processor,
        MistralConfig,
    )

    tokenizer = make_tokenizer(["<image>", "<fake_token_around_image>", "<end_of_utterance>"])
    images = Idefics2ImageProcessorPil(size={"shortest_edge": 14, "longest_edge": 28})
    processor = Idefics2Processor(images, tokenizer, image_seq_len=4, chat_template=template())
    config = Idefics2Config(
        vision_config=VISION | {"patch_size": 7},
        perceiver_config={
            "hidden_size": 32,
            "resampler_n_latents": 4,
            "resampler_depth": 1,
            "resampler_n_heads": 4,
            "resampler_head_dim": 8,
            "num_key_value_heads": 2,
        },
        text_config=MistralConfig(**text_options(tokenizer, sliding_window=None)),
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
    )
    return Idefics2ForConditionalGeneration(config), processor
