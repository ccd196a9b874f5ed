"""Families that hear: audio clips as mel spectrograms, alone or beside images."""

from __future__ import annotations

from typing import Any

from tests.backbones.families.parts import PADS, make_tokenizer, template, text_options

from savs.backbones._processors import for_images, written_prompts

AUDIO_TOKENS = ["<|AUDIO|>", "<|audio_bos|>", "<|audio_eos|>"]
_AUDIO = "{% elif c['type'] == 'audio' %}<|audio_bos|><|AUDIO|><|audio_eos|>{% else %}"


def _template(image: str) -> str:
    return template(image).replace("{% else %}{{ c['text'] }}", _AUDIO + "{{ c['text'] }}")


def _extractor(seconds: int) -> Any:
    from transformers import WhisperFeatureExtractor

    # Samples every 10 ms of a mel spectrogram of 8 bands, `seconds` long.
    return WhisperFeatureExtractor(feature_size=8, chunk_length=seconds, return_attention_mask=True)


def build_qwen2_audio() -> tuple[Any, Any]:
    from transformers import Qwen2AudioConfig, Qwen2AudioForConditionalGeneration, Qwen2AudioProcessor

    tokenizer = make_tokenizer(AUDIO_TOKENS)
    processor = Qwen2AudioProcessor(_extractor(2), tokenizer, chat_template=_template(""))
    sizes = text_options(tokenizer)
    sizes.pop("head_dim")
    config = Qwen2AudioConfig(
        audio_config={
            "model_type": "qwen2_audio_encoder",
            "num_mel_bins": 8,
            "encoder_layers": 2,
            "encoder_attention_heads": 4,
            "encoder_ffn_dim": 48,
            "d_model": 32,
            "max_source_positions": 100,
        },
        text_config={"model_type": "qwen2", **sizes},
        audio_token_index=tokenizer.convert_tokens_to_ids("<|AUDIO|>"),
    )
    return Qwen2AudioForConditionalGeneration(config), processor


def build_qwen2_5_omni_thinker() -> tuple[Any, Any]:
    from transformers import (
        Qwen2_5OmniProcessor,
        Qwen2_5OmniThinkerConfig,
        Qwen2_5OmniThinkerForConditionalGeneration,
        Qwen2VLImageProcessorPil,
    )

    names = {
        "image_token": "<|IMAGE|>",
        "video_token": "<|VIDEO|>",
        "audio_token": "<|AUDIO|>",
        "vision_bos_token": "<|vision_bos|>",
        "vision_eos_token": "<|vision_eos|>",
        "audio_bos_token": "<|audio_bos|>",
        "audio_eos_token": "<|audio_eos|>",
    }
    tokenizer = make_tokenizer(list(names.values()), extra_special_tokens=names)
    images = Qwen2VLImageProcessorPil(patch_size=14, min_pixels=28 * 28, max_pixels=4 * 28 * 28)
    chat = _template("<|vision_bos|><|IMAGE|><|vision_eos|>")
    parts = {"feature_extractor": _extractor(3), "tokenizer": tokenizer}
    processor = for_images(Qwen2_5OmniProcessor)(images, **parts, chat_template=chat)
    rope = {"rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 10000.0}
    sizes = text_options(tokenizer, rope_parameters=rope)
    sizes.pop("head_dim")
    ids = {name: tokenizer.convert_tokens_to_ids(token) for name, token in names.items()}
    config = Qwen2_5OmniThinkerConfig(
        audio_config={
            "num_mel_bins": 8,
            "encoder_layers": 2,
            "encoder_attention_heads": 4,
            "encoder_ffn_dim": 48,
            "d_model": 32,
            "output_dim": 32,
            "n_window": 20,
        },
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
        text_config=sizes,
        audio_token_index=ids["audio_token"],
        image_token_index=ids["image_token"],
        video_token_index=ids["video_token"],
        audio_start_token_id=ids["audio_bos_token"],
        audio_end_token_id=ids["audio_eos_token"],
        vision_start_token_id=ids["vision_bos_token"],
        vision_end_token_id=ids["vision_eos_token"],
    )
    return Qwen2_5OmniThinkerForConditionalGeneration(config), processor


def build_voxtral() -> tuple[Any, Any]:
    from transformers import VoxtralConfig, VoxtralForConditionalGeneration

    # The tokens of audio clips stand where transformers expects them, at 24.
    marks = ["[INST]", "[/INST]", "<s>", "</s>", "[SYSTEM_PROMPT]", "[/SYSTEM_PROMPT]", "[BEGIN_AUDIO]"]
    fill = [f"<SPECIAL_{number}>" for number in range(24 - len(PADS) - len(marks))]
    tokenizer = make_tokenizer([*marks, *fill, "[AUDIO]"])
    processor = written_prompts()(_extractor(2), tokenizer)
    config = VoxtralConfig(
        audio_config={
            "model_type": "voxtral_encoder",
            "num_mel_bins": 8,
            "hidden_size": 32,
            "intermediate_size": 128,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "max_source_positions": 100,
        },
        text_config={"model_type": "llama", **text_options(tokenizer)},
        audio_token_id=24,
    )
    return VoxtralForConditionalGeneration(config), processor
