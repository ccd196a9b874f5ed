"""What small models are made of: a trained tokenizer, a chat template, sizes."""

from __future__ import annotations

from typing import Any

WORDS = ["the red dog sat on a blue mat", "is this image a cat? Yes or No.", "<user> 0123456789 !?.,()"]
PADS = ["<pad>", "<eos>", "<bos>"]


def make_tokenizer(special: list[str] = (), **options: Any) -> Any:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=360,
        special_tokens=[*PADS, *special],
        initial_alphabet=pre_tokenizers.ByteLevel.alphabet(),
        show_progress=False,
    )
    backend.train_from_iterator(WORDS, trainer)
    defaults = {"pad_token": "<pad>", "eos_token": "<eos>", "bos_token": "<bos>"}
    return PreTrainedTokenizerFast(tokenizer_object=backend, **(defaults | options))


CHAT = """{% for m in messages %}<|{{ m['role'] }}|>
{%- if m['content'] is string %}{{ m['content'] }}
{%- else %}
{%- for c in m['content'] %}{% if c['type'] == 'image' %}IMAGE{% else %}{{ c['text'] }}{% endif %}{% endfor %}
{%- endif %}
{%- endfor %}
{%- if add_generation_prompt %}<|assistant|>{% endif %}"""


def template(image: str = "<image>") -> str:
    return CHAT.replace("IMAGE", image)


TEXT = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 12,
    "max_position_embeddings": 512,
    "pad_token_id": 0,
    "eos_token_id": 1,
    "bos_token_id": 2,
    "initializer_range": 0.25,
}
VISION = {
    "hidden_size": 32,
    "intermediate_size": 48,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "image_size": 28,
    "patch_size": 14,
}


def text_options(tokenizer: Any, **more: Any) -> dict[str, Any]:
    return TEXT | {"vocab_size": len(tokenizer)} | more
