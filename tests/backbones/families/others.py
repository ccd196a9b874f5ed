"""Families with a way of their own to take images: cross-attention, query tokens, codebook tokens."""

from __future__ import annotations

from typing import Any

from tests.backbones.families.parts import VISION, make_tokenizer, template, text_options


def build_mllama() -> tuple[Any, Any]:
    from transformers import (
        MllamaConfig,
        MllamaForConditionalGeneration,
        MllamaImageProcessorPil,
        MllamaProcessor,
    )

    tokenizer = make_tokenizer(["<|image|>", "<|python_tag|>"])
    images = MllamaImageProcessorPil(size={"height": 28, "width": 28}, max_image_tiles=2)
    processor = MllamaProcessor(images, tokenizer, chat_template=template("<|image|>"))
    tower = {
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_global_layers": 1,
        "attention_heads": 4,
        "image_size": 28,
        "patch_size": 14,
        "max_num_tiles": 2,
        "vision_output_dim": 64,
        "intermediate_layers_indices": [0],
        "supported_aspect_ratios": [[1, 1], [1, 2], [2, 1]],
    }
    sizes = text_options(tokenizer, num_hidden_layers=3, cross_attention_layers=[1])
    sizes.pop("head_dim")
    config = MllamaConfig(
        vision_config=tower,
        text_config=sizes,
        image_token_index=tokenizer.convert_tokens_to_ids("<|image|>"),
    )
    return MllamaForConditionalGeneration(config), processor


def build_chameleon() -> tuple[Any, Any]:
    from transformers import (
        ChameleonConfig,
        ChameleonForConditionalGeneration,
        ChameleonImageProcessorPil,
        ChameleonProcessor,
    )

    marks = ["<image>", "<racm3:break>", "<eoss>"]
    drawn = [f"IMGIMG{letter}Z" for letter in "ABCDEFGH"]
    tokenizer = make_tokenizer([*marks, *drawn])
    images = ChameleonImageProcessorPil(size={"shortest_edge": 32}, crop_size={"height": 32, "width": 32})
    processor = ChameleonProcessor(images, tokenizer, image_seq_length=16)
    sizes = text_options(tokenizer)
    sizes.pop("head_dim")
    config = ChameleonConfig(
        **sizes,
        vq_config={
            "embed_dim": 4,
            "num_embeddings": 8,
            "latent_channels": 4,
            "resolution": 32,
            "base_channels": 32,
            "channel_multiplier": [1, 1, 1, 1],
            "num_res_blocks": 1,
        },
        vocabulary_map={token: tokenizer.convert_tokens_to_ids(token) for token in [*marks, *drawn]},
    )
    return ChameleonForConditionalGeneration(config), processor


def build_blip2() -> tuple[Any, Any]:
    from transformers import (
        Blip2Config,
        Blip2ForConditionalGeneration,
        Blip2Processor,
        Blip2QFormerConfig,
        Blip2VisionConfig,
        BlipImageProcessorPil,
        OPTConfig,
    )

    tokenizer = make_tokenizer(["<image>"])
    tokenizer.add_special_tokens({"additional_special_tokens": ["<image>"]})
    images = BlipImageProcessorPil(size={"height": 28, "width": 28})
    processor = Blip2Processor(images, tokenizer, num_query_tokens=4)
    config = Blip2Config(
        vision_config=Blip2VisionConfig(**VISION, initializer_range=0.02).to_dict(),
        qformer_config=Blip2QFormerConfig(
            vocab_size=40,
            hidden_size=32,
            num_hidden_layers=2,
            num_attention_heads=4,
            intermediate_size=48,
            encoder_hidden_size=32,
        ).to_dict(),
        text_config=OPTConfig(
            vocab_size=len(tokenizer),
            hidden_size=32,
            word_embed_proj_dim=32,
            ffn_dim=48,
            num_hidden_layers=2,
            num_attention_heads=4,
            max_position_embeddings=512,
            pad_token_id=0,
            eos_token_id=1,
            bos_token_id=2,
            init_std=0.25,
        ).to_dict(),
        num_query_tokens=4,
        image_token_index=tokenizer.convert_tokens_to_ids("<image>"),
    )
    return Blip2ForConditionalGeneration(config), processor
