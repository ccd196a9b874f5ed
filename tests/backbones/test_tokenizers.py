"""Token ids as tokenizer.json says, whatever class transformers makes of it; one BOS, and no EOS behind."""

from __future__ import annotations

import json
import warnings
from pathlib import Path
from typing import Any

import pytest
from tests.backbones.conftest import ask
from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers

from savs.backbones import load_backbone
from savs.backbones._batching import BatchEncoder, render_all
from savs.backbones._model_files import Place
from savs.backbones._rendering import render
from savs.backbones._tokenizers import (
    TEXTS,
    TokenizerWarning,
    compare_with_file,
    end_at_generation_prompt,
    prompt_faults,
    reading_options,
    use_tokenizer,
)
from savs.errors import BackboneError

CORPUS = [
    "In 2024 it cost 1234567 dollars, 123 456 7 42 365 1984",
    "It's what they're asking: isn't it?",
    "hello world, what is red in the image",
] * 20
SPECIAL = ("<unk>", "<s>", "</s>", "<image>")
REBUILT = ("Qwen2Tokenizer", "GemmaTokenizer", "LlamaTokenizer", "GPT2Tokenizer", "CodeGenTokenizer")


def byte_level() -> Tokenizer:
    """Return a tokenizer that cuts numbers in threes, as Llama 3's and OLMo 2's do."""
    tokenizer = Tokenizer(models.BPE())
    split = pre_tokenizers.Split(Regex(r"\p{N}{1,3}"), "isolated")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [split, pre_tokenizers.ByteLevel(add_prefix_space=False)]
    )
    tokenizer.decoder = decoders.ByteLevel()
    return trained(tokenizer, pre_tokenizers.ByteLevel.alphabet())


def sentencepiece() -> Tokenizer:
    """Return a tokenizer that writes blanks as marks and folds wide forms in its normalizer."""
    tokenizer = Tokenizer(models.BPE(byte_fallback=True, fuse_unk=True, unk_token="<unk>"))
    tokenizer.normalizer = normalizers.Sequence(
        [normalizers.NFKC(), normalizers.Prepend("\u2581"), normalizers.Replace(" ", "\u2581")]
    )
    tokenizer.decoder = decoders.Sequence([decoders.Replace("\u2581", " "), decoders.Fuse()])
    return trained(tokenizer, [])


def trained(tokenizer: Tokenizer, alphabet: list[str]) -> Tokenizer:
    trainer = trainers.BpeTrainer(
        vocab_size=600,
        initial_alphabet=alphabet,
        special_tokens=[AddedToken(token, special=True, normalized=False) for token in SPECIAL],
        show_progress=False,
    )
    tokenizer.train_from_iterator(CORPUS, trainer)
    return tokenizer


def saved(folder: Path, tokenizer: Tokenizer, class_name: str, model_type: str = "llama") -> Place:
    """Return a folder with a tokenizer under the name of a class."""
    tokenizer.save(str(folder / "tokenizer.json"))
    settings = {
        "tokenizer_class": class_name,
        "bos_token": "<s>",
        "eos_token": "</s>",
        "unk_token": "<unk>",
        "extra_special_tokens": {"image_token": "<image>"},
    }
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    (folder / "config.json").write_text(json.dumps({"model_type": model_type}))
    return Place(folder, str(folder))


def opened(place: Place) -> Any:
    from transformers import AutoTokenizer

    return AutoTokenizer.from_pretrained(place.name)


def ids(tokenizer: Any, text: str) -> list[int]:
    return list(tokenizer(text, add_special_tokens=False)["input_ids"])


@pytest.mark.parametrize("class_name", REBUILT)
@pytest.mark.parametrize("build", [byte_level, sentencepiece])
@pytest.mark.parametrize("model_type", ["llama", "qwen2_vl"])
def test__use_tokenizer__class_of_another_pipeline__ids_of_the_file(
    build, class_name, model_type, tmp_path
) -> None:
    file = build()
    place = saved(tmp_path, file, class_name, model_type)
    tokenizer = opened(place)
    use_tokenizer(place, tokenizer, "file")
    assert compare_with_file(place.folder, tokenizer) is None
    for text in [*TEXTS, "<image>\nwhat is red?", "a <image> b", " <s>hello</s>"]:
        assert ids(tokenizer, text) == file.encode(text, add_special_tokens=False).ids, text
    assert tokenizer.bos_token == "<s>"
    assert tokenizer.decode(ids(tokenizer, "hello world")).strip() == "hello world"


def test__use_tokenizer__disagreement__warning_with_an_example_and_both_ids(tmp_path) -> None:
    file = byte_level()
    place = saved(tmp_path, file, "Qwen2Tokenizer")
    tokenizer = opened(place)
    theirs = ids(tokenizer, TEXTS[0])
    with pytest.warns(TokenizerWarning) as said:
        use_tokenizer(place, tokenizer, None)
    message = str(said[0].message)
    assert "\n" not in message
    assert f"{TEXTS[0]!r} is [" in message
    assert "Qwen2Tokenizer" in message
    assert "--tokenizer file" in message
    different = next(
        one for one, other in zip(theirs, ids(tokenizer, TEXTS[0]), strict=False) if one != other
    )
    assert f"{different}, " in message
    assert ids(tokenizer, TEXTS[0]) == file.encode(TEXTS[0]).ids


def test__use_tokenizer__transformers__stays_as_it_is_without_a_word(tmp_path) -> None:
    place = saved(tmp_path, byte_level(), "Qwen2Tokenizer")
    tokenizer = opened(place)
    before = tokenizer.backend_tokenizer.to_str()
    use_tokenizer(place, tokenizer, "transformers")
    assert tokenizer.backend_tokenizer.to_str() == before
    assert compare_with_file(place.folder, tokenizer) is not None


@pytest.mark.parametrize("class_name", ["PreTrainedTokenizerFast", "TokenizersBackend"])
def test__use_tokenizer__class_that_takes_the_file__nothing_to_do(class_name, tmp_path) -> None:
    place = saved(tmp_path, byte_level(), class_name)
    tokenizer = opened(place)
    use_tokenizer(place, tokenizer, None)
    assert reading_options(tokenizer) == {}


def test__use_tokenizer__unknown_choice__one_line(tmp_path) -> None:
    place = saved(tmp_path, byte_level(), "LlamaTokenizer")
    with pytest.raises(BackboneError, match=r"^unknown tokenizer 'slow'; use 'file' or 'transformers'$"):
        use_tokenizer(place, opened(place), "slow")


@pytest.fixture(scope="module")
def rebuilt_model(tmp_path_factory) -> Path:
    """A small model whose folder names a class that cuts numbers into digits; its tokenizer.json: threes."""
    import torch
    from transformers import LlamaConfig, LlamaForCausalLM

    folder = tmp_path_factory.mktemp("rebuilt")
    file = byte_level()
    torch.manual_seed(0)
    config = LlamaConfig(
        vocab_size=file.get_vocab_size() + 8,  # the class adds tokens of its own
        hidden_size=32,
        intermediate_size=48,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
    )
    LlamaForCausalLM(config).save_pretrained(folder)
    settings = json.loads((folder / "config.json").read_text())
    saved(folder, file, "Qwen2Tokenizer")
    (folder / "config.json").write_text(json.dumps(settings))
    return folder


def test__load__default__follows_the_file_and_says_so(rebuilt_model) -> None:
    with pytest.warns(TokenizerWarning, match="builds its tokenizer anew as Qwen2Tokenizer"):
        default = load_backbone(rebuilt_model)
    chosen = load_backbone(rebuilt_model, tokenizer="file")
    assert default.fingerprint["tokenizer"] == "file"
    assert default.fingerprint == chosen.fingerprint
    theirs = load_backbone(rebuilt_model, tokenizer="transformers")
    assert "tokenizer" not in theirs.fingerprint
    number = [ask("1234567")]
    assert abs(chosen.extract(number).features - theirs.extract(number).features).max() > 1e-3


@pytest.mark.parametrize("choice", ["file", "transformers"])
def test__saved_classifier__reads_text_as_at_fit(rebuilt_model, choice, tmp_path) -> None:
    from savs import SAVModel
    from savs.errors import BackboneMismatchError

    texts = ["in 2024", "in 1984", "123456 dollars", "1234567 dollars"]
    model = SAVModel(load_backbone(rebuilt_model, tokenizer=choice), n_heads=2).fit(texts, list("aabb"))
    model.save_pretrained(tmp_path / "saved")
    again = SAVModel.from_pretrained(tmp_path / "saved")
    assert list(again.predict(texts)) == list(model.predict(texts))
    other = {"file": "transformers", "transformers": "file"}[choice]
    with pytest.raises(BackboneMismatchError, match="tokenizer: "):
        SAVModel.from_pretrained(tmp_path / "saved", tokenizer=other).predict(texts)


# Where prompts begin and end.


@pytest.mark.parametrize("blank", [" ", "\n", "\n\n  "])
@pytest.mark.parametrize("name", ["llama", "gemma3"])
def test__encode__blank_before_the_templates_bos__one_bos_first(
    blank, name, fresh_family, monkeypatch
) -> None:
    processor = fresh_family(name).processor
    owner = processor if getattr(processor, "chat_template", None) else processor.tokenizer
    monkeypatch.setattr(owner, "chat_template", blank + owner.chat_template)
    tokenizer = getattr(processor, "tokenizer", processor)
    tokenizer.add_bos_token = True
    (batch,), failures = BatchEncoder(processor).encode(render_all(processor, [ask("red?")])[0])
    assert not failures
    [row] = batch.inputs["input_ids"].tolist()
    assert row[0] == tokenizer.bos_token_id
    assert row.count(tokenizer.bos_token_id) == 1
    assert prompt_faults(processor) == []


def test__prompt_faults__template_that_writes_two_bos__says_so(fresh_family, monkeypatch) -> None:
    tokenizer = fresh_family("llama").processor
    monkeypatch.setattr(tokenizer, "chat_template", "{{ bos_token }}" + tokenizer.chat_template)
    assert prompt_faults(tokenizer) == ["prompts begin with two <bos>"]


def test__prompt_faults__bos_that_is_no_token_in_text__says_so(fresh_family, monkeypatch) -> None:
    tokenizer = fresh_family("llama").processor
    tokenizer.add_bos_token = True
    assert prompt_faults(tokenizer) == []
    monkeypatch.setattr(tokenizer, "split_special_tokens", True)
    found = prompt_faults(tokenizer)
    assert found == ["prompts do not begin with <bos>, which the tokenizer puts before any text"]


def answering(tokenizer: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Give a tokenizer that adds BOS and EOS a template without either."""
    template = "{% for m in messages %}{{ m.content }}{% endfor %}<|assistant|>"
    monkeypatch.setattr(tokenizer, "chat_template", template)
    tokenizer.add_bos_token = True
    tokenizer.add_eos_token = True
    return tokenizer


def test__end_at_generation_prompt__tokenizer_that_adds_eos__bos_alone(fresh_family, monkeypatch) -> None:
    tokenizer = answering(fresh_family("llama").processor, monkeypatch)
    assert prompt_faults(tokenizer) == ["the tokenizer puts <eos> behind the place where the answer begins"]
    end_at_generation_prompt(tokenizer)
    assert prompt_faults(tokenizer) == []
    assert reading_options(tokenizer) == {"leaves_out_eos": True}
    text = render(tokenizer, ask("red?")).text
    assert tokenizer(text)["input_ids"] == [tokenizer.bos_token_id, *ids(tokenizer, text)]


def test__load__given_processor_that_adds_eos__warning_and_unchanged(fresh_family, monkeypatch) -> None:
    built = fresh_family("llama")
    tokenizer = answering(built.processor, monkeypatch)
    with pytest.warns(TokenizerWarning, match="behind the place where the answer begins"):
        load_backbone(built.model, processor=tokenizer)
    assert tokenizer.add_eos_token


def test__load__tokenizer_of_a_base_model_that_adds_eos__stays(fresh_family) -> None:
    """Without a chat template there is no place for an answer, and models that embed text end in EOS."""
    built = fresh_family("gpt2")
    built.processor.add_eos_token = True
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        load_backbone(built.model, processor=built.processor)
    end_at_generation_prompt(built.processor)
    assert built.processor.add_eos_token
