"""A made-up text set and a sentence encoder of random weights, in the files that real ones come in."""

from __future__ import annotations

from pathlib import Path

WORDS = {"w": ["rose", "wine", "sun", "fire"], "c": ["sea", "sky", "ice", "moss"]}


def write_texts(file: Path) -> None:
    """Write a table of Orange: four texts of each class."""
    rows = [f"{label}\tthe {word} is like others" for label in WORDS for word in WORDS[label]]
    file.parent.mkdir(parents=True, exist_ok=True)
    file.write_text("\n".join(["Label\tText", "d\tstring", "class\t", *rows]) + "\n")


def write_encoder(folder: Path) -> Path:
    """Write a small BERT with random weights and its tokenizer."""
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers, processors
    from transformers import BertConfig, BertModel, PreTrainedTokenizerFast

    words = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "the", "is", "like", "others", "warm", "cold"]
    words += [word for those in WORDS.values() for word in those]
    tokenizer = Tokenizer(
        models.WordLevel({word: place for place, word in enumerate(words)}, unk_token="[UNK]")
    )
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = processors.TemplateProcessing(
        single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 2), ("[SEP]", 3)]
    )
    fast = PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, unk_token="[UNK]", pad_token="[PAD]", cls_token="[CLS]", sep_token="[SEP]"
    )
    fast.save_pretrained(folder)
    torch.manual_seed(0)
    config = BertConfig(
        vocab_size=len(words),
        hidden_size=16,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=32,
        max_position_embeddings=32,
    )
    BertModel(config).save_pretrained(folder)
    return folder
