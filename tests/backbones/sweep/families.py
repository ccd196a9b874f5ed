"""What shrinking cannot know: settings by model type, what special forward passes need, and known exceptions.

An exception that no longer is one fails the sweep, like a strict xfail.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch

_ROPE: dict[str, Any] = {"rope_type": "default", "rope_theta": 10000.0}
_WIDE_SECTIONS = {**_ROPE, "mrope_section": [4, 2, 2]}
_SECTIONS = {**_ROPE, "mrope_section": [2, 1, 1]}
_SMALL_VQ = {"vq_config.base_channels": 32, "vq_config.num_res_blocks": 1}
_SIGLIP = {
    "model_type": "siglip_vision_model",
    "hidden_size": 32,
    "intermediate_size": 64,
    "num_hidden_layers": 1,
    "num_attention_heads": 4,
    "image_size": 32,
    "patch_size": 8,
}
_NEITHER_LINEAR = {
    "num_hidden_layers": 5,
    "layers_block_type": ["linear_attention", "hybrid", "linear_attention", "hybrid", "hybrid"],
    "attention_hidden_size": 64,
}
_SHARED_CACHE = {
    "num_hidden_layers": 4,
    "layer_types": ["sliding_attention", "full_attention"] * 2,
    "num_kv_shared_layers": 2,
    "intermediate_size": [64] * 4,
    "activation_sparsity_pattern": [0.5, 0.5, 0.0, 0.0],
}
_SMALL_SOUND = {
    f"{part}_tokenizer_encoder_config.{name}": value
    for part in ("acoustic", "semantic")
    for name, value in {"num_filters": 2, "depths": [1] * 7}.items()
}
_INDEXER = {
    "indexer_n_heads": 2,
    "indexer_kv_heads": 1,
    "indexer_head_dim": 16,
    "indexer_budget": 8,
    "indexer_compress_ratio": 4,
}
_DOTS_LAYER = {"num_attention_heads": 2, "num_key_value_heads": 2, "kv_lora_rank": 16, "qk_nope_head_dim": 24}


def _text(options: dict[str, Any]) -> dict[str, Any]:
    return {f"text_config.{name}": value for name, value in options.items()}


# Of releases after the oldest that is supported.
NEWEST = frozenset(
    {
        "apertus1p5",
        "dory",
        "dots3_note",
        "dots3_note_text",
        "hy_v4_vl",
        "inkling2_loop",
        "nemo_speechlm",
    }
)

OVERRIDES: dict[str, dict[str, Any]] = {
    "apertus1p5": {
        "text_config.vocab_size": 320,
        "image_token_offset": 192,
        "audio_token_offset": 256,
        "vision_config.codebook_size": 64,
        "audio_config.codebook_size": 64,
        "image_token_id": 180,
        "audio_token_id": 181,
    },
    "aria": {"projector_patch_to_query_dict": {16: 4}, "max_value_projector_patch_to_query_dict": 4},
    "bamba": {"attn_layer_indices": [1]},
    "blip-2": {"image_token_index": 200, "num_query_tokens": 2},
    "blt": {f"{part}_config.head_dim": 8 for part in ("patcher", "decoder", "global", "encoder")},
    "chameleon": {"vocabulary_map": {"<image>": 200}, "vq_config.channel_multiplier": [1, 1], **_SMALL_VQ},
    "codegen": {"rotary_dim": 4},
    "cohere_compass": {"text_config.rope_parameters": {"full_attention": _WIDE_SECTIONS}},
    "cohere_compass_text": {"rope_parameters": {"full_attention": _WIDE_SECTIONS}},
    "cpmant": {"dim_head": 8},
    "dbrx": {"attn_config.rope_theta": 10000.0, "attn_config.clip_qkv": 8.0},
    "deepseek_ocr2": {
        "text_config.mlp_layer_types": ["dense", "sparse"],
        "text_config.num_experts_per_tok": 2,
    },
    "deepseek_v2": {"num_experts_per_tok": 2},
    "deepseek_v4": {"o_groups": 2},
    "diffusion_gemma": _text({"num_experts": 4, "top_k_experts": 2, "moe_intermediate_size": 32}),
    # Its blocks of attention and MLP are counted one by one: four layers, the middle two run twice.
    "dory": {
        "num_hidden_layers": 8,
        "layer_types": ["sliding_attention", "mlp", "full_attention", "mlp"] * 2,
        "n_input_layers": 2,
        "n_recurrent_layers": 4,
        "n_output_layers": 2,
    },
    "dots1": {"n_routed_experts": 4, "num_experts_per_tok": 2, "n_shared_experts": 1},
    "dots3_note": _text({"head_dim": 32, "per_layer_config": {"2": _DOTS_LAYER}}),
    "dots3_note_text": {"head_dim": 32, "per_layer_config": {"2": _DOTS_LAYER}},
    "emu3": {
        "vocabulary_map": {"<image>": 200, "<|extra_0|>": 201},
        "vq_config.channel_multiplier": [1, 1, 1, 1],
        **_SMALL_VQ,
    },
    "ernie4_5_vl_moe": _text(
        {"moe_intermediate_size": [32, 32], "rope_parameters": {**_ROPE, "mrope_section": [1, 1, 2]}}
    ),
    "fast_vlm": {"vision_config": _SIGLIP},
    "fun_asr_nano": {"adaptor_config.intermediate_size": 8},
    "gemma3n": _text(_SHARED_CACHE),
    "gemma3n_text": _SHARED_CACHE,
    "glm46v": {"text_config.rope_parameters": _SECTIONS},
    "glm4v": {"text_config.rope_parameters": _SECTIONS},
    "glm4v_moe": _text({"head_dim": 16, "rope_parameters": {**_SECTIONS, "partial_rotary_factor": 0.5}}),
    "glm5_next": _text({"index_topk": 16, "qk_head_dim": 8}),
    "glm_ocr": {"text_config.rope_parameters": _SECTIONS},
    "glmga": {"text_config.rope_parameters": _SECTIONS},
    "gptj": {"rotary_dim": 4},
    "granite4_vision": {
        "deepstack_layer_map": [[-1, 0]],
        "downsample_rate": "1/2",
        "vision_config.hidden_size": 64,
    },
    "granitemoehybrid": {"layer_types": ["linear_attention", "full_attention"]},
    "helium": {"head_dim": 8},
    "hrm_text": {"num_layers_per_stack": 2},
    "hunyuan_v1_dense": {"head_dim": 16},
    "hunyuan_v1_moe": {"head_dim": 16},
    "hunyuan_vl": _text({"head_dim": 16, "rope_parameters": {**_ROPE, "mrope_section": [2, 2, 2, 2]}}),
    "hy_v4_vl": {"text_config.rope_parameters": _SECTIONS},
    # The second layer runs three times.
    "inkling2_loop": _text(
        {"n_layers_per_attn_res_block": 1, "loop_layer_index_start": 1, "loop_layer_index_end": 2}
    ),
    "instructblip": {"image_token_index": 200, "num_query_tokens": 2},
    "instructblipvideo": {"video_token_index": 200, "num_query_tokens": 1},
    "jamba": {"attn_layer_period": 2, "attn_layer_offset": 1},
    "kosmos-2": {"latent_query_num": 4},
    "kyutai_speech_to_text": {"num_codebooks": 2, "codebook_vocab_size": 64, "audio_pad_token_id": 300},
    "lfm2": {"layer_types": ["conv", "full_attention"]},
    "lfm2_vl": _text({"layer_types": ["conv", "full_attention"]}),
    "lfm2_moe": {"layer_types": ["conv", "full_attention"]},
    "ministral": {"head_dim": 16},
    "nemo_speechlm": {
        "text_config.layers_block_type": ["linear_attention", "moe", "full_attention", "moe"],
        "audio_config.diarization_config.chunk_length": 500,
    },
    "nemotron": {"num_key_value_heads": 2},
    "paddleocr_vl": {"text_config.rope_parameters": _WIDE_SECTIONS},
    "perception_lm": {"vision_config": {**_SIGLIP, "model_args": {"embed_dim": 32}}},
    "pix2struct": {"text_config.d_kv": 8, "vision_config.d_kv": 8},
    "qwen2_5_omni_thinker": {"vision_start_token_id": 201, "text_config.rope_parameters": _SECTIONS},
    "qwen2_5_vl": {"text_config.rope_parameters": _SECTIONS},
    "qwen2_vl": {"text_config.rope_parameters": _SECTIONS},
    "qwen3_omni_moe": {
        "talker_config.text_config.shared_expert_intermediate_size": 32,
        "talker_config.spatial_merge_size": 2,
    },
    "qwen3_omni_moe_thinker": {"vision_start_token_id": 201},
    "qwen4_exp": _text(_INDEXER),
    "qwen4_exp_text": _INDEXER,
    "recurrent_gemma": {"num_hidden_layers": 3, "head_dim": 8},
    "reformer": {"is_decoder": True, "axial_pos_shape": [8, 16], "axial_pos_embds_dim": [16, 16]},
    "step3p7": {"text_config.sliding_window": 4},
    "vibevoice_asr": {"acoustic_tokenizer_chunk_size": 3200, **_SMALL_SOUND},
    "xlnet": {"d_head": 8},
    "xmod": {"default_language": "en_XX"},
    "zamba": {**_NEITHER_LINEAR},
    "zamba2": {**_NEITHER_LINEAR, "hybrid_layer_ids": [1, 3, 4], "n_mamba_heads": 8, "mamba_headdim": 8},
}

# The maps name the whole model's configuration, the class wants its decoder's.
CONFIG_PART = {"musicgen": "decoder", "musicgen_melody": "decoder"}

Inputs = dict[str, Any]


def _pixels(_config: Any, inputs: Inputs) -> Inputs:
    return {"pixel_values": _noise(len(inputs["input_ids"]), 3, 32, 32)}


def _noise(*shape: int) -> torch.Tensor:
    # The same for every example, so that one alone sees the picture that it sees in a batch.
    return torch.randn(1, *shape[1:], generator=torch.Generator().manual_seed(2)).expand(*shape).clone()


def _queried(config: Any, inputs: Inputs) -> Inputs:
    ids = inputs["input_ids"].clone()
    ids[:, : config.num_query_tokens] = config.image_token_index
    return {"input_ids": ids, **_pixels(config, inputs)}


def _instructed(config: Any, inputs: Inputs) -> Inputs:
    return {**_queried(config, inputs), "qformer_input_ids": torch.full((len(inputs["input_ids"]), 3), 5)}


def _instructed_video(config: Any, inputs: Inputs) -> Inputs:
    ids = inputs["input_ids"].clone()
    ids[:, : 4 * config.num_query_tokens] = config.video_token_index
    asked = torch.full((len(ids), 3), 5)
    return {"input_ids": ids, "pixel_values": _noise(len(ids), 4, 3, 32, 32), "qformer_input_ids": asked}


def _picture_ahead(config: Any, inputs: Inputs) -> Inputs:
    return {**_pixels(config, inputs), "attention_mask": None}


def _kosmos2(config: Any, inputs: Inputs) -> Inputs:
    mask = torch.zeros_like(inputs["input_ids"])
    mask[:, : config.latent_query_num] = 1
    return {**_pixels(config, inputs), "image_embeds_position_mask": mask}


def _idefics(_config: Any, inputs: Inputs) -> Inputs:
    n, tokens = inputs["input_ids"].shape
    return {"pixel_values": _noise(n, 1, 3, 32, 32), "image_attention_mask": torch.ones(n, tokens, 1)}


def _patches(config: Any, inputs: Inputs) -> Inputs:
    patches = _noise(len(inputs["input_ids"]), 4, 2 + config.vision_config.patch_embed_hidden_size)
    patches[:, :, :2] = torch.arange(8).view(1, 4, 2) // 2 + 1
    return {"flattened_patches": patches, "attention_mask": None, "decoder_attention_mask": None}


def _boxes(_config: Any, inputs: Inputs) -> Inputs:
    return {"bbox": torch.tensor([0.1, 0.1, 0.4, 0.4]).expand(*inputs["input_ids"].shape, 4)}


def _codebooks(config: Any, inputs: Inputs) -> Inputs:
    return {"input_ids": inputs["input_ids"][..., None].expand(-1, -1, config.num_codebooks + 1) % 60}


def _sound_ahead(config: Any, inputs: Inputs) -> Inputs:
    n, tokens = inputs["input_ids"].shape
    return {
        "encoder_inputs_embeds": _noise(n, tokens * config.downsample_factor, config.audio_config.hidden_size)
    }


def _types(_config: Any, inputs: Inputs) -> Inputs:
    return {"token_type_ids": torch.zeros_like(inputs["input_ids"])}


def _codes(config: Any, inputs: Inputs) -> Inputs:
    ids = inputs["input_ids"]
    return {"input_ids": ids.repeat_interleave(config.num_codebooks, 0)}


INPUTS: dict[str, Callable[[Any, Inputs], Inputs]] = {
    "blip": _pixels,
    "blip-2": _queried,
    "idefics": _idefics,
    "instructblip": _instructed,
    "instructblipvideo": _instructed_video,
    "kosmos-2": _kosmos2,
    "kyutai_speech_to_text": _codebooks,
    "musicgen": _codes,
    "musicgen_melody": _codes,
    "paligemma": _types,
    "pix2struct": _patches,
    "pp_formulanet": _pixels,
    "udop": _boxes,
    "vision-encoder-decoder": _picture_ahead,
    "voxtral_realtime": _sound_ahead,
}
