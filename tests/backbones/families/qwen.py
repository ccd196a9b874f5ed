"""Qwen's image models and those built like them: patches of any number, three-way positions."""

from __future__ import annotations

from typing import Any

from tests.backbones.families.parts import make_tokenizer, template, text_options

from savs.backbones._processors import for_images

QWEN_TOKENS = ["<|vision_start|>", "<|vision_end|>", "<|image_pad|>", "<|video_pad|>"]
QWEN_TEMPLATE = template("<|vision_start|><|image_pad|><|vision_end|>")


def qwen_ids(tokenizer: Any) -> dict[str, int]:
    names = ["vision_start_token_id", "vision_end_token_id", "image_token_id", "video_token_id"]
    return dict(zip(names, tokenizer.convert_tokens_to_ids(QWEN_TOKENS), strict=True))


def build_qwen2_vl() -> tuple[Any, Any]:
    from transformers import (
        Qwen2VLConfig,
        Qwen2VLForConditionalGeneration,
        Qwen2VLImageProcessorPil,
        Qwen2VLProcessor,
    )

    tokenizer = make_tokenizer(QWEN_TOKENS)
    images = Qwen2VLImageProcessorPil(patch_size=14, min_pixels=28 * 28, max_pixels=4 * 28 * 28)
    processor = for_images(Qwen2VLProcessor)(images, tokenizer, chat_template=QWEN_TEMPLATE)
    rope = {"rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 10000.0}
    config = Qwen2VLConfig(
        text_config=text_options(tokenizer, rope_parameters=rope, head_dim=8),
        vision_config={
            "depth": 2,
            "embed_dim": 32,
            "hidden_size": 32,
            "num_heads": 4,
            "mlp_ratio": 2,
            "patch_size": 14,
        },
        **qwen_ids(tokenizer),
    )
    return Qwen2VLForConditionalGeneration(config), processor


def build_qwen2_5_vl() -> tuple[Any, Any]:
    from transformers import (
        Qwen2_5_VLConfig,
        Qwen2_5_VLForConditionalGeneration,
        Qwen2_5_VLProcessor,
        Qwen2VLImageProcessorPil,
    )

    tokenizer = make_tokenizer(QWEN_TOKENS)
    images = Qwen2VLImageProcessorPil(patch_size=14, min_pixels=28 * 28, max_pixels=4 * 28 * 28)
    processor = for_images(Qwen2_5_VLProcessor)(images, tokenizer, chat_template=QWEN_TEMPLATE)
    rope = {"rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 10000.0}
    config = Qwen2_5_VLConfig(
        text_config=text_options(tokenizer, rope_parameters=rope, head_dim=8),
        vision_config={
            "depth": 2,
            "hidden_size": 32,
            "intermediate_size": 48,
            "num_heads": 4,
            "out_hidden_size": 32,
            "patch_size": 14,
            "fullatt_block_indexes": [1],
            "window_size": 56,
        },
        **qwen_ids(tokenizer),
    )
    return Qwen2_5_VLForConditionalGeneration(config), processor


def build_qwen3_vl() -> tuple[Any, Any]:
    from transformers import (
        Qwen2VLImageProcessorPil,
        Qwen3VLConfig,
        Qwen3VLForConditionalGeneration,
        Qwen3VLProcessor,
    )

    tokenizer = make_tokenizer(QWEN_TOKENS)
    images = Qwen2VLImageProcessorPil(patch_size=14, min_pixels=28 * 28, max_pixels=4 * 28 * 28)
    processor = for_images(Qwen3VLProcessor)(images, tokenizer, chat_template=QWEN_TEMPLATE)
    rope = {"rope_type": "default", "mrope_section": [2, 2, 2], "rope_theta": 10000.0}
    config = Qwen3VLConfig(
        text_config=text_options(tokenizer, rope_parameters=rope),
        vision_config={
            "depth": 2,
            "hidden_size": 32,
            "intermediate_size": 48,
            "num_heads": 4,
            "out_hidden_size": 32,
            "patch_size": 14,
            "deepstack_visual_indexes": [0],
            "num_position_embeddings": 16,
        },
        **qwen_ids(tokenizer),
    )
    return Qwen3VLForConditionalGeneration(config), processor


def build_qwen3_5() -> tuple[Any, Any]:
    from transformers import (
        Qwen2VLImageProcessorPil,
        Qwen3_5Config,
        Qwen3_5ForConditionalGeneration,
        Qwen3VLProcessor,
    )

    tokenizer = make_tokenizer(QWEN_TOKENS)
    images = Qwen2VLImageProcessorPil(patch_size=14, min_pixels=28 * 28, max_pixels=4 * 28 * 28)
    processor = for_images(Qwen3VLProcessor)(images, tokenizer, chat_template=QWEN_TEMPLATE)
    rope = {"rope_type": "default", "mrope_section": [2, 1, 1], "rope_theta": 10000.0}
    linear = {
        "layer_types": ["linear_attention", "full_attention"],
        "linear_key_head_dim": 8,
        "linear_value_head_dim": 8,
        "linear_num_key_heads": 2,
        "linear_num_value_heads": 4,
    }
    sizes = text_options(
        tokenizer, rope_parameters=rope | {"partial_rotary_factor": 0.5}, head_dim=16, **linear
    )
    config = Qwen3_5Config(
        text_config=sizes,
        vision_config={
            "depth": 2,
            "hidden_size": 32,
            "intermediate_size": 48,
            "num_heads": 4,
            "out_hidden_size": 32,
            "patch_size": 14,
            "num_position_embeddings": 16,
        },
        **qwen_ids(tokenizer),
    )
    return Qwen3_5ForConditionalGeneration(config), processor


def build_glm4v() -> tuple[Any, Any]:
    from transformers import (
        Glm4vConfig,
        Glm4vForConditionalGeneration,
        Glm4vImageProcessorPil,
        Glm4vProcessor,
    )

    names = [
        "<|image|>",
        "<|video|>",
        "<|begin_of_image|>",
        "<|end_of_image|>",
        "<|begin_of_video|>",
        "<|end_of_video|>",
    ]
    tokenizer = make_tokenizer(names)
    images = Glm4vImageProcessorPil(
        patch_size=14, size={"shortest_edge": 2 * 28 * 28, "longest_edge": 8 * 28 * 28}
    )
    mark = template("<|begin_of_image|><|image|><|end_of_image|>")
    processor = for_images(Glm4vProcessor)(images, tokenizer, chat_template=mark)
    ids = tokenizer.convert_tokens_to_ids(names)
    rope = {
        "rope_type": "default",
        "mrope_section": [1, 1, 2],
        "rope_theta": 10000.0,
        "partial_rotary_factor": 1.0,
    }
    sizes = text_options(tokenizer, rope_parameters=rope)
    sizes.pop("head_dim")
    config = Glm4vConfig(
        text_config=sizes,
        vision_config={
            "depth": 2,
            "hidden_size": 32,
            "intermediate_size": 48,
            "num_heads": 4,
            "out_hidden_size": 32,
            "patch_size": 14,
            "image_size": 56,
        },
        image_token_id=ids[0],
        video_token_id=ids[1],
        image_start_token_id=ids[2],
        image_end_token_id=ids[3],
        video_start_token_id=ids[4],
        video_end_token_id=ids[5],
    )
    return Glm4vForConditionalGeneration(config), processor


def build_mistral3() -> tuple[Any, Any]:
    from transformers import Mistral3Config, Mistral3ForConditionalGeneration

    processor, sizes, tower = pixtral_parts(spatial_merge_size=2)
    config = Mistral3Config(
        vision_config=tower,
        text_config=sizes | {"model_type": "mistral"},
        image_token_index=processor.image_token_id,
        vision_feature_layer=-1,
        spatial_merge_size=2,
    )
    return Mistral3ForConditionalGeneration(config), processor


def build_pixtral() -> tuple[Any, Any]:
    from transformers import LlavaConfig, LlavaForConditionalGeneration

    processor, sizes, tower = pixtral_parts(spatial_merge_size=1)
    config = LlavaConfig(
        vision_config=tower,
        text_config=sizes | {"model_type": "mistral"},
        image_token_index=processor.image_token_id,
        vision_feature_layer=-1,
        vision_feature_select_strategy="full",
    )
    return LlavaForConditionalGeneration(config), processor


def pixtral_parts(spatial_merge_size: int) -> tuple[Any, dict[str, Any], dict[str, Any]]:
    import transformers
    from transformers import PixtralImageProcessorPil

    tokenizer = make_tokenizer(["[IMG]", "[IMG_BREAK]", "[IMG_END]"])
    images = PixtralImageProcessorPil(size={"longest_edge": 56}, patch_size={"height": 7, "width": 7})
    # A placeholder where torchvision is missing.
    named = transformers.PixtralProcessor
    processor = (for_images(named) or named)(
        images,
        tokenizer,
        patch_size=7,
        spatial_merge_size=spatial_merge_size,
        chat_template=template("[IMG]"),
    )
    tower = {
        "model_type": "pixtral",
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "head_dim": 8,
        "image_size": 56,
        "patch_size": 7,
    }
    return processor, text_options(tokenizer, sliding_window=None), tower
