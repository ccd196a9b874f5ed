"""LLaVA and its kin: a CLIP or SigLIP tower and a projector."""

from __future__ import annotations

from typing import Any

from tests.backbones.families.parts import VISION, make_tokenizer, template, text_options

from savs.backbones._processors import for_images


def build_llava() -> tuple[Any, Any]:
    from transformers import (
        CLIPImageProcessorPil,
        CLIPVisionConfig,
        LlamaConfig,
        LlavaConfig,
        LlavaForConditionalGeneration,
        LlavaProcessor,
    )

    tokenizer = make_tokenizer(["<image>"])
    images = CLIPImageProcessorPil(
        size={"height": 28, "width": 28}, crop_size={"height": 28, "width": 28}, do_center_crop=False
    )
    processor = LlavaProcessor(
        images,
        tokenizer,
        patch_size=14,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=template(),
    )
    config = LlavaConfig(
        vision_config=CLIPVisionConfig(**VISION),
        text_config=LlamaConfig(**text_options(tokenizer)),
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        image_seq_length=4,
    )
    return LlavaForConditionalGeneration(config), processor


def build_llava_onevision() -> tuple[Any, Any]:
    from transformers import (
        LlavaOnevisionConfig,
        LlavaOnevisionForConditionalGeneration,
        LlavaOnevisionImageProcessorPil,
        LlavaOnevisionProcessor,
        Qwen2Config,
        SiglipVisionConfig,
    )

    tokenizer = make_tokenizer(["<image>", "<video>"])
    pinpoints = [[28, 28], [28, 56], [56, 28], [56, 56]]
    images = LlavaOnevisionImageProcessorPil(size={"height": 28, "width": 28}, image_grid_pinpoints=pinpoints)
    processor = for_images(LlavaOnevisionProcessor)(
        images,
        tokenizer,
        num_image_tokens=4,
        vision_feature_select_strategy="full",
        chat_template=template(),
    )
    config = LlavaOnevisionConfig(
        vision_config=SiglipVisionConfig(**VISION, vision_use_head=False),
        text_config=Qwen2Config(**text_options(tokenizer)),
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        video_token_index=tokenizer.convert_tokens_to_ids("<video>"),
        image_grid_pinpoints=pinpoints,
        vision_feature_select_strategy="full",
    )
    return LlavaOnevisionForConditionalGeneration(config), processor


def build_internvl() -> tuple[Any, Any]:
    from transformers import (
        GotOcr2ImageProcessorPil,
        InternVLConfig,
        InternVLForConditionalGeneration,
        InternVLProcessor,
        InternVLVisionConfig,
        Qwen2Config,
    )

    names = {
        "start_image_token": "<img>",
        "end_image_token": "</img>",
        "context_image_token": "<IMG_CONTEXT>",
        "video_token": "<video>",
    }
    tokenizer = make_tokenizer(list(names.values()), extra_special_tokens=names)
    images = GotOcr2ImageProcessorPil(
        size={"height": 28, "width": 28}, crop_to_patches=True, min_patches=1, max_patches=2
    )
    processor = for_images(InternVLProcessor)(
        images, tokenizer, image_seq_length=4, chat_template=template("<IMG_CONTEXT>")
    )
    config = InternVLConfig(
        vision_config=InternVLVisionConfig(**(VISION | {"image_size": [28, 28], "patch_size": [7, 7]})),
        text_config=Qwen2Config(**text_options(tokenizer)),
        image_token_id=tokenizer.convert_tokens_to_ids("<IMG_CONTEXT>"),
        downsample_ratio=0.5,
        image_seq_length=4,
    )
    return InternVLForConditionalGeneration(config), processor


def build_llava_next() -> tuple[Any, Any]:
    from transformers import (
        CLIPVisionConfig,
        LlamaConfig,
        LlavaNextConfig,
        LlavaNextForConditionalGeneration,
        LlavaNextImageProcessorPil,
        LlavaNextProcessor,
    )

    tokenizer = make_tokenizer(["<image>"])
    pinpoints = [[28, 56], [56, 28], [56, 56]]
    images = LlavaNextImageProcessorPil(
        size={"shortest_edge": 28}, crop_size={"height": 28, "width": 28}, image_grid_pinpoints=pinpoints
    )
    processor = LlavaNextProcessor(
        images,
        tokenizer,
        patch_size=14,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=template(),
    )
    config = LlavaNextConfig(
        vision_config=CLIPVisionConfig(**VISION),
        text_config=LlamaConfig(**text_options(tokenizer)),
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        image_grid_pinpoints=pinpoints,
        image_seq_length=4,
    )
    return LlavaNextForConditionalGeneration(config), processor


def build_vipllava() -> tuple[Any, Any]:
    from transformers import CLIPVisionConfig, LlamaConfig, VipLlavaConfig, VipLlavaForConditionalGeneration

    _, processor = build_llava()
    config = VipLlavaConfig(
        vision_config=CLIPVisionConfig(**VISION),
        text_config=LlamaConfig(**text_options(processor.tokenizer)),
        image_token_index=processor.tokenizer.convert_tokens_to_ids("<image>"),
        image_seq_length=4,
        vision_feature_layers=[-2, -1],
    )
    return VipLlavaForConditionalGeneration(config), processor


def build_fast_vlm() -> tuple[Any, Any]:
    # The real tower comes from timm; a ResNet stands in for it, as another convolutional one.
    from transformers import (
        CLIPImageProcessorPil,
        FastVlmConfig,
        FastVlmForConditionalGeneration,
        LlavaProcessor,
        Qwen2Config,
        ResNetConfig,
    )

    tokenizer = make_tokenizer(["<image>"])
    images = CLIPImageProcessorPil(
        size={"height": 32, "width": 32}, crop_size={"height": 32, "width": 32}, do_center_crop=False
    )
    processor = LlavaProcessor(
        images, tokenizer, patch_size=16, vision_feature_select_strategy="full", chat_template=template()
    )
    tower = ResNetConfig(
        embedding_size=8,
        hidden_sizes=[8, 16],
        depths=[1, 1],
        layer_type="basic",
        hidden_size=16,
        downsample_in_first_stage=True,
    )
    config = FastVlmConfig(
        vision_config=tower,
        text_config=Qwen2Config(**text_options(tokenizer)),
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
        vision_feature_layer=-1,
        image_seq_length=4,
    )
    return FastVlmForConditionalGeneration(config), processor


def build_aya_vision() -> tuple[Any, Any]:
    from transformers import (
        AyaVisionConfig,
        AyaVisionForConditionalGeneration,
        AyaVisionProcessor,
        Cohere2Config,
        GotOcr2ImageProcessorPil,
        SiglipVisionConfig,
    )

    names = ["<image>", "<|START_OF_IMG|>", "<|END_OF_IMG|>", "<|IMG_PATCH|>", "TILE_GLOBAL", "TILE"]
    tokenizer = make_tokenizer(names)
    images = GotOcr2ImageProcessorPil(
        size={"height": 28, "width": 28}, crop_to_patches=True, min_patches=1, max_patches=2
    )
    processor = AyaVisionProcessor(
        images, tokenizer, patch_size=7, img_size=28, downsample_factor=2, chat_template=template()
    )
    layers = {"sliding_window": 8, "layer_types": ["sliding_attention", "full_attention"]}
    config = AyaVisionConfig(
        vision_config=SiglipVisionConfig(**(VISION | {"patch_size": 7}), vision_use_head=False),
        text_config=Cohere2Config(**text_options(tokenizer, head_dim=8, **layers)),
        image_token_index=tokenizer.convert_tokens_to_ids("<|IMG_PATCH|>"),
        downsample_factor=2,
    )
    return AyaVisionForConditionalGeneration(config), processor


def build_deepseek_vl() -> tuple[Any, Any]:
    from transformers import (
        DeepseekVLConfig,
        DeepseekVLForConditionalGeneration,
        DeepseekVLImageProcessorPil,
        DeepseekVLProcessor,
        LlamaConfig,
        SiglipVisionConfig,
    )

    tokenizer = make_tokenizer(["<image>"], extra_special_tokens={"image_token": "<image>"})
    images = DeepseekVLImageProcessorPil(size={"height": 28, "width": 28})
    processor = DeepseekVLProcessor(images, tokenizer, chat_template=template(), num_image_tokens=4)
    config = DeepseekVLConfig(
        vision_config=SiglipVisionConfig(**VISION, vision_use_head=False),
        text_config=LlamaConfig(**text_options(tokenizer)),
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
    )
    return DeepseekVLForConditionalGeneration(config), processor


def build_janus() -> tuple[Any, Any]:
    from transformers import (
        JanusConfig,
        JanusForConditionalGeneration,
        JanusImageProcessorPil,
        JanusProcessor,
        LlamaConfig,
    )

    names = {"image_token": "<image>", "boi_token": "<boi>", "eoi_token": "<eoi>"}
    tokenizer = make_tokenizer(list(names.values()), extra_special_tokens=names)
    images = JanusImageProcessorPil(size={"height": 28, "width": 28})
    processor = JanusProcessor(images, tokenizer, chat_template=template(), num_image_tokens=4)
    sizes = VISION | {"num_image_tokens": 4, "projection_dim": 32, "depth": 2, "mlp_ratio": 2}
    sizes.pop("intermediate_size")
    drawing = {
        "embed_dim": 4,
        "num_embeddings": 8,
        "latent_channels": 4,
        "base_channels": 32,
        "channel_multiplier": [1, 1],
        "num_res_blocks": 1,
        "num_patches": 2,
        "projection_dim": 32,
        "image_token_embed_dim": 32,
    }
    config = JanusConfig(
        vision_config=sizes,
        vq_config=drawing,
        text_config=LlamaConfig(**text_options(tokenizer)),
        image_token_id=tokenizer.convert_tokens_to_ids("<image>"),
    )
    return JanusForConditionalGeneration(config), processor


def build_ovis2() -> tuple[Any, Any]:
    from transformers import (
        Ovis2Config,
        Ovis2ForConditionalGeneration,
        Ovis2ImageProcessorPil,
        Ovis2Processor,
        Qwen2Config,
    )

    indicators = ["<IMG_START>", "<IMG_GRID>", "<IMG_COL>", "<IMG_ROW>", "<IMG_END>"]
    tokenizer = make_tokenizer(["<image>", "<IMG_ATOM>", *indicators])
    images = Ovis2ImageProcessorPil(size={"height": 28, "width": 28}, crop_to_patches=True, max_patches=2)
    processor = Ovis2Processor(images, tokenizer, chat_template=template(), image_seq_length=4)
    config = Ovis2Config(
        vision_config=VISION | {"vocab_size": 16, "hidden_stride": 1, "model_type": "ovis2"},
        text_config=Qwen2Config(**text_options(tokenizer)),
        image_token_id=tokenizer.convert_tokens_to_ids("<IMG_ATOM>"),
        visual_indicator_token_ids=tokenizer.convert_tokens_to_ids(indicators),
        vocab_size=len(tokenizer),
        hidden_size=32,
    )
    return Ovis2ForConditionalGeneration(config), processor
