"""The shape of the model: stock transformers FastVLM, ResNet tower and Qwen3 decoder, 4.9 M parameters.

8 layers x 12 query heads x 32 dimensions: 96 heads whose widths do not add up to the hidden size (384, not
128), so code that guesses the head size breaks at once.
"""

from __future__ import annotations

from transformers import FastVlmConfig, FastVlmForConditionalGeneration, Qwen3Config, ResNetConfig

IMAGE_TOKENS = 16
PAD, UNKNOWN, USER, ASSISTANT, END, IMAGE = "<pad>", "<unk>", "<user>", "<assistant>", "<end>", "<image>"
SPECIAL = (PAD, UNKNOWN, USER, ASSISTANT, END, IMAGE)
CONTEXT = 512


def build_config(vocabulary: int) -> FastVlmConfig:
    """Return configuration of the whole model for a vocabulary of so many tokens."""
    tower = ResNetConfig(  # type: ignore[call-arg]
        num_channels=3,
        embedding_size=64,
        hidden_sizes=[64, 128, 256],
        depths=[2, 2, 2],
        layer_type="basic",
        hidden_act="relu",
        out_features=["stage3"],
    )
    tower.hidden_size = 256
    decoder = Qwen3Config(
        vocab_size=vocabulary,
        hidden_size=128,
        intermediate_size=304,
        num_hidden_layers=8,
        num_attention_heads=12,
        num_key_value_heads=4,
        head_dim=32,
        max_position_embeddings=CONTEXT,
        rms_norm_eps=1e-6,
        rope_parameters={"rope_type": "default", "rope_theta": 1000.0},
        initializer_range=0.03,
        tie_word_embeddings=True,
        pad_token_id=SPECIAL.index(PAD),
        bos_token_id=None,
        eos_token_id=SPECIAL.index(END),
    )
    return FastVlmConfig(  # type: ignore[call-arg]
        vision_config=tower,
        text_config=decoder,
        image_token_id=SPECIAL.index(IMAGE),
        image_seq_length=IMAGE_TOKENS,
        projector_hidden_act="gelu",
        multimodal_projector_bias=True,
        tie_word_embeddings=True,
    )


def build_model(vocabulary: int) -> FastVlmForConditionalGeneration:
    """Return the model with fresh weights."""
    return FastVlmForConditionalGeneration(build_config(vocabulary))
