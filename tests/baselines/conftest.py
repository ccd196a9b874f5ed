"""Small random models of transformers' own classes, saved as folders in hub layout."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

WORDS = ["a", "photo", "of", "no", "yes", "cat", "dog", "bird", ".", "picture", "the", "runs", "flies", "sky"]
TEXT_WORDS = ["match", "team", "goal", "coach", "bread", "soup", "cake", "salt"]
_TOWER = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2, "num_attention_heads": 2}
_SIDE, _LONGEST = 32, 12


@pytest.fixture(scope="session")
def image_text_folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Return folders of a CLIP, a SigLIP and a SigLIP 2 model."""
    import torch

    makers: dict[str, Callable[[Path, Any], None]] = {
        "clip": _clip,
        "siglip": _siglip,
        "siglip2": _siglip2,
    }
    folders = {}
    for name, make in makers.items():
        folder = tmp_path_factory.mktemp(name)
        with torch.random.fork_rng():
            torch.manual_seed(0)
            make(folder, word_tokenizer(_LONGEST))
        folders[name] = folder
    return folders


def word_tokenizer(longest: int) -> Any:
    """Return a tokenizer with one token per word; 0 fills up, 1 ends a text."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers
    from tokenizers.processors import TemplateProcessing
    from transformers import PreTrainedTokenizerFast

    vocabulary = {token: place for place, token in enumerate(["<pad>", "</s>", "<unk>", *WORDS])}
    tokenizer = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Lowercase()
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    tokenizer.post_processor = TemplateProcessing(single="$A </s>", special_tokens=[("</s>", 1)])
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer,
        pad_token="<pad>",
        eos_token="</s>",
        unk_token="<unk>",
        model_max_length=longest,
        model_input_names=["input_ids"],
    )


def _text(tokenizer: Any) -> dict[str, Any]:
    ids = {"pad_token_id": 0, "eos_token_id": 1, "bos_token_id": 1}
    return {**_TOWER, **ids, "vocab_size": len(tokenizer), "max_position_embeddings": _LONGEST}


def _clip(folder: Path, tokenizer: Any) -> None:
    from transformers import CLIPConfig, CLIPImageProcessor, CLIPModel, CLIPProcessor

    vision = {**_TOWER, "image_size": _SIDE, "patch_size": 16}
    CLIPModel(
        CLIPConfig(text_config=_text(tokenizer), vision_config=vision, projection_dim=8)
    ).save_pretrained(folder)
    images = CLIPImageProcessor(size={"shortest_edge": _SIDE}, crop_size={"height": _SIDE, "width": _SIDE})
    CLIPProcessor(images, tokenizer).save_pretrained(folder)


def _siglip(folder: Path, tokenizer: Any) -> None:
    from transformers import SiglipConfig, SiglipImageProcessor, SiglipModel, SiglipProcessor

    vision = {**_TOWER, "image_size": _SIDE, "patch_size": 16}
    text = {**_text(tokenizer), "projection_size": 16}
    SiglipModel(SiglipConfig(text_config=text, vision_config=vision)).save_pretrained(folder)
    images = SiglipImageProcessor(size={"height": _SIDE, "width": _SIDE})
    SiglipProcessor(images, tokenizer).save_pretrained(folder)


def _siglip2(folder: Path, tokenizer: Any) -> None:
    from transformers import Siglip2Config, Siglip2ImageProcessor, Siglip2Model, Siglip2Processor

    vision = {**_TOWER, "num_patches": 16, "patch_size": 8}
    text = {**_text(tokenizer), "projection_size": 16}
    Siglip2Model(Siglip2Config(text_config=text, vision_config=vision)).save_pretrained(folder)
    images = Siglip2ImageProcessor(patch_size=8, max_num_patches=12)
    Siglip2Processor(images, tokenizer).save_pretrained(folder)


@pytest.fixture(scope="session")
def text_encoder_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the folder of a sentence-transformers model: a random BERT, the mean of its tokens."""
    package = pytest.importorskip("sentence_transformers")
    import torch
    from sentence_transformers.sentence_transformer.modules import Pooling, Transformer
    from transformers import BertConfig, BertModel, BertTokenizer

    base, folder = tmp_path_factory.mktemp("bert"), tmp_path_factory.mktemp("encoder")
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS, *TEXT_WORDS]
    vocabulary += [letter for letter in "abcdefghijklmnopqrstuvwxyz" if letter not in vocabulary]
    vocabulary += [f"##{letter}" for letter in "abcdefghijklmnopqrstuvwxyz"]
    (base / "vocab.txt").write_text("\n".join(vocabulary), encoding="utf-8")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        config = BertConfig(
            vocab_size=len(vocabulary), max_position_embeddings=64, **_TOWER, hidden_dropout_prob=0.0
        )
        BertModel(config).save_pretrained(base)
    BertTokenizer(vocab=str(base / "vocab.txt")).save_pretrained(base)
    modules = [Transformer(str(base)), Pooling(_TOWER["hidden_size"])]
    package.SentenceTransformer(modules=modules, device="cpu").save(str(folder), create_model_card=False)
    return folder


@pytest.fixture(scope="session")
def two_tower_folder(tmp_path_factory: pytest.TempPathFactory, image_text_folders: dict[str, Path]) -> Path:
    """Return the folder of a sentence-transformers model that takes texts and images: the CLIP above."""
    package = pytest.importorskip("sentence_transformers")
    from sentence_transformers.sentence_transformer.modules import Transformer

    folder = tmp_path_factory.mktemp("two-towers")
    modules = [Transformer(str(image_text_folders["clip"]))]
    package.SentenceTransformer(modules=modules, device="cpu").save(str(folder), create_model_card=False)
    return folder
