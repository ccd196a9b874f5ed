"""Families that are known not to work, and those whose attention goes past transformers' interface."""

from __future__ import annotations

from transformers import __version__

_RELEASE = tuple(map(int, __version__.split(".")[:2]))

EXPECTED: dict[str, tuple[str, str]] = {
    "cpmant": (
        "refused",
        "puts 32 prompt tokens before the text inside the model: the last token cannot be told",
    ),
    "diffusion_gemma": (
        "refused",
        "a diffusion model: its decoder reads a canvas of 256 tokens, not the prompt",
    ),
    "falcon_mamba": ("refused", "state-space layers only"),
    "gemma3n": ("not built", "its picture tower needs timm; the decoder is that of gemma3n_text"),
    "gemma4_assistant": ("not built", "a drafter: reads the cache of the model it drafts for"),
    "gemma4_unified_assistant": ("not built", "a drafter: reads the cache of the model it drafts for"),
    "jetmoe": ("refused", "the output projections of its heads are in a mixture of experts"),
    "mamba": ("refused", "state-space layers only"),
    "mamba2": ("refused", "state-space layers only"),
    "pi0": ("refused", "a robot policy of two stacks; needs the robot's state. sites= can name one stack"),
    "prophetnet": ("refused", "folds its predicted streams into the sequence: the last token cannot be told"),
    "qwen2_5_omni": ("refused", "has no forward pass of its own; use its part model.thinker"),
    "qwen3_omni_moe": ("refused", "has no forward pass of its own; use its part model.thinker"),
    "rwkv": ("refused", "linear attention only"),
    "xlnet": ("refused", "keeps its projections as bare parameters, not modules"),
    "xlstm": ("refused", "recurrent layers only"),
}
if _RELEASE == (5, 24):
    EXPECTED["llama4"] = ("failed", "a whole pass fails in 5.24.0; its head vectors are read before that")
BYPASSING = frozenset(
    {
        "big_bird",
        "blip",
        "bloom",
        "codegen",
        "falcon",
        "git",
        "gpt_neo",
        "gpt_neox_japanese",
        "gptj",
        "megatron-bert",
        "mpt",
        "mvp",
        "openai-gpt",
        "reformer",
        "rembert",
        "roformer",
        "trocr",
        "xglm",
        "xlm",
    }
) - frozenset({"codegen", "gptj"} if _RELEASE >= (5, 24) else ())
