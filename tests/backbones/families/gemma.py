"""Gemma's image models."""

from __future__ import annotations

from typing import Any

from tests.backbones.families.parts import VISION, make_tokenizer, template, text_options

from savs.backbones._processors import for_images


def build_gemma3() -> tuple[Any, Any]:
    from transformers import (
        Gemma3Config,
        Gemma3ForConditionalGeneration,
        Gemma3ImageProcessorPil,
        Gemma3Processor,
        Gemma3TextConfig,
        SiglipVisionConfig,
    )

    names = {
        "boi_token": "<start_of_image>",
        "eoi_token": "<end_of_image>",
        "image_token": "<image_soft_token>",
    }
    tokenizer = make_tokenizer(list(names.values()), extra_special_tokens=names)
    images = Gemma3ImageProcessorPil(size={"height": 28, "width": 28})
    processor = Gemma3Processor(
        images, tokenizer, image_seq_length=4, chat_template="<bos>" + template("<start_of_image>")
    )
    ids = {f"{name}_index": tokenizer.convert_tokens_to_ids(token) for name, token in names.items()}
    config = Gemma3Config(
        text_config=Gemma3TextConfig(
            **text_options(
                tokenizer,
                sliding_window=8,
                layer_types=["sliding_attention", "full_attention"],
                query_pre_attn_scalar=12,
            )
        ),
        vision_config=SiglipVisionConfig(**(VISION | {"patch_size": 7}), vision_use_head=False),
        mm_tokens_per_image=4,
        tie_word_embeddings=False,
        boi_token_index=ids["boi_token_index"],
        eoi_token_index=ids["eoi_token_index"],
        image_token_id=ids["image_token_index"],
    )
    return Gemma3ForConditionalGeneration(config), processor


def build_paligemma() -> tuple[Any, Any]:
    from transformers import (
        GemmaConfig,
        PaliGemmaConfig,
        PaliGemmaForConditionalGeneration,
        PaliGemmaProcessor,
        SiglipImageProcessorPil,
        SiglipVisionConfig,
    )

    tokenizer = make_tokenizer(["<image>"], extra_special_tokens={"image_token": "<image>"})
    images = SiglipImageProcessorPil(size={"height": 28, "width": 28})
    images.image_seq_length = 4
    processor = PaliGemmaProcessor(images, tokenizer)
    config = PaliGemmaConfig(
        vision_config=SiglipVisionConfig(**VISION, vision_use_head=False, projection_dim=32),
        text_config=GemmaConfig(**text_options(tokenizer)),
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        projection_dim=32,
    )
    return PaliGemmaForConditionalGeneration(config), processor


def build_gemma4() -> tuple[Any, Any]:
    from transformers import (
        Gemma4AudioFeatureExtractor,
        Gemma4Config,
        Gemma4ForConditionalGeneration,
        Gemma4ImageProcessorPil,
        Gemma4Processor,
    )

    names = {"boi_token": "<|image>", "eoi_token": "<image|>", "image_token": "<|image|>"}
    names |= {"boa_token": "<|audio>", "eoa_token": "<audio|>", "audio_token": "<|audio|>"}
    tokenizer = make_tokenizer([*names.values(), "<|video|>"], extra_special_tokens=names)
    images = Gemma4ImageProcessorPil(patch_size=14, max_soft_tokens=70, pooling_kernel_size=2)
    settings = {"image_seq_length": 4, "chat_template": "<bos>" + template("<|image|>")}
    processor = for_images(Gemma4Processor).from_args_and_dict(
        [Gemma4AudioFeatureExtractor(), images, tokenizer], settings
    )
    sizes = text_options(
        tokenizer,
        sliding_window=8,
        layer_types=["sliding_attention", "full_attention"],
        global_head_dim=16,
        hidden_size_per_layer_input=0,
        num_kv_shared_layers=0,
    )
    tower = {
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        "head_dim": 8,
        "patch_size": 14,
        "pooling_kernel_size": 2,
        "position_embedding_size": 64,
    }
    config = Gemma4Config(
        text_config=sizes,
        vision_config=tower,
        audio_config=None,
        image_token_id=tokenizer.convert_tokens_to_ids("<|image|>"),
        boi_token_id=tokenizer.convert_tokens_to_ids("<|image>"),
        eoi_token_id=tokenizer.convert_tokens_to_ids("<image|>"),
        video_token_id=tokenizer.convert_tokens_to_ids("<|video|>"),
    )
    return Gemma4ForConditionalGeneration(config), processor
