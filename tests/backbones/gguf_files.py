"""Small language models in GGUF files, written with the package gguf as llama.cpp's converter does."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

TEMPLATE = (
    "{% for message in messages %}<|{{ message['role'] }}|>{{ message['content'] }}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>{% endif %}"
)
TEXTS = [
    "is this a cat? Yes or No",
    "the red dog sat on a blue mat in 2024",
    "What is the capital of France?",
]


def tokens_and_merges() -> tuple[list[str], list[str]]:
    """Return a byte-level vocabulary and its merges, trained on a few texts."""
    import json

    from tokenizers import Tokenizer, models, pre_tokenizers, trainers

    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    trainer = trainers.BpeTrainer(
        vocab_size=320,
        special_tokens=["<|endoftext|>", "<|user|>", "<|assistant|>"],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    tokenizer.train_from_iterator(TEXTS * 4, trainer)
    model = json.loads(tokenizer.to_str())["model"]
    vocabulary = sorted(model["vocab"], key=model["vocab"].get)
    return vocabulary, [pair if isinstance(pair, str) else " ".join(pair) for pair in model["merges"]]


def write_gguf(
    path: Path, quantization: str = "Q8_0", *, pre: str = "gpt-2", kind: str | None = None, **metadata: Any
) -> Any:
    """Write a model of random weights; return the transformers model with the weights that the file holds.

    Parameters
    ----------
    path : Path
    quantization : str
        Of the matrices, such as ``"Q8_0"`` or ``"F16"``; the rest is F32.
    pre : str
        Name of the rule by which text is cut.
    kind : str, optional
        ``general.type``.
    **metadata
        More numbers, with ``_`` for ``.``.
    """
    import gguf
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    vocabulary, merges = tokens_and_merges()
    config = LlamaConfig(
        vocab_size=len(vocabulary),
        hidden_size=64,
        intermediate_size=96,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        head_dim=16,
        max_position_embeddings=128,
        tie_word_embeddings=False,
        bos_token_id=0,
        eos_token_id=0,
    )
    torch.manual_seed(0)
    model = LlamaForCausalLM(config).eval()
    writer = gguf.GGUFWriter(path, "llama")
    if kind is not None:
        writer.add_type(kind)
    writer.add_block_count(config.num_hidden_layers)
    writer.add_context_length(config.max_position_embeddings)
    writer.add_embedding_length(config.hidden_size)
    writer.add_feed_forward_length(config.intermediate_size)
    writer.add_head_count(config.num_attention_heads)
    writer.add_head_count_kv(config.num_key_value_heads)
    writer.add_layer_norm_rms_eps(config.rms_norm_eps)
    writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
    writer.add_vocab_size(len(vocabulary))
    writer.add_rope_dimension_count(config.head_dim)
    writer.add_tokenizer_model("gpt2")
    writer.add_tokenizer_pre(pre)
    writer.add_token_list(vocabulary)
    writer.add_token_types([3 if token.startswith("<|") else 1 for token in vocabulary])
    writer.add_token_merges(merges)
    writer.add_bos_token_id(0)
    writer.add_eos_token_id(0)
    writer.add_add_bos_token(False)
    writer.add_chat_template(TEMPLATE)
    for name, number in metadata.items():
        writer.add_uint16(name.replace("_", "."), number)
    weights = model.state_dict()
    for name, tensor in list(weights.items()):
        array = tensor.numpy()
        heads = {"q_proj": config.num_attention_heads, "k_proj": config.num_key_value_heads}
        rotated = next((count for part, count in heads.items() if part in name), None)
        written = array if rotated is None else _interleaved(array, rotated)
        if array.ndim == 1:
            writer.add_tensor(_name(name), written)
            continue
        kind_of_weight = gguf.GGMLQuantizationType[quantization]
        packed = gguf.quantize(written, kind_of_weight)
        writer.add_tensor(_name(name), packed, raw_dtype=kind_of_weight)
        unpacked = gguf.dequantize(packed, kind_of_weight)
        weights[name] = torch.from_numpy(unpacked if rotated is None else _in_halves(unpacked, rotated))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    model.load_state_dict(weights)
    return model


def _interleaved(array: np.ndarray, heads: int) -> np.ndarray:
    """Order rows as llama.cpp's rotary embedding wants them: pairs side by side, not in two halves."""
    return array.reshape(heads, 2, -1, array.shape[1]).swapaxes(1, 2).reshape(array.shape)


def _in_halves(array: np.ndarray, heads: int) -> np.ndarray:
    return array.reshape(heads, -1, 2, array.shape[1]).swapaxes(1, 2).reshape(array.shape)


_NAMES = {
    "self_attn.q_proj": "attn_q",
    "self_attn.k_proj": "attn_k",
    "self_attn.v_proj": "attn_v",
    "self_attn.o_proj": "attn_output",
    "mlp.gate_proj": "ffn_gate",
    "mlp.up_proj": "ffn_up",
    "mlp.down_proj": "ffn_down",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ffn_norm",
}


def _name(name: str) -> str:
    """Return llama.cpp's name of a weight."""
    whole = {
        "model.embed_tokens.weight": "token_embd.weight",
        "model.norm.weight": "output_norm.weight",
        "lm_head.weight": "output.weight",
    }
    if name in whole:
        return whole[name]
    _, _, layer, rest = name.split(".", 3)
    return f"blk.{layer}.{_NAMES[rest.removesuffix('.weight')]}.weight"
