"""Text-only models."""

from __future__ import annotations

from typing import Any

from tests.backbones.families.parts import make_tokenizer, template, text_options


def build_llama() -> tuple[Any, Any]:
    from transformers import LlamaConfig, LlamaForCausalLM

    tokenizer = make_tokenizer(chat_template="{{ bos_token }}" + template(""))
    return LlamaForCausalLM(LlamaConfig(**text_options(tokenizer))), tokenizer


def build_qwen3() -> tuple[Any, Any]:
    from transformers import Qwen3Config, Qwen3ForCausalLM

    tokenizer = make_tokenizer(chat_template=template(""))
    return Qwen3ForCausalLM(Qwen3Config(**text_options(tokenizer))), tokenizer


def build_gpt2() -> tuple[Any, Any]:
    from transformers import GPT2Config, GPT2LMHeadModel

    tokenizer = make_tokenizer(pad_token=None)
    config = GPT2Config(
        vocab_size=len(tokenizer),
        n_embd=32,
        n_layer=2,
        n_head=4,
        n_positions=128,
        bos_token_id=2,
        eos_token_id=1,
        initializer_range=0.25,
    )
    return GPT2LMHeadModel(config), tokenizer
