"""Greedy answers: batched = single = a plain loop over full forward passes."""

from __future__ import annotations

import pytest
import torch

from savs.backbones import TransformersBackbone
from savs.errors import BackboneError, MediaError

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")


def test__generate__batched__equals_single(any_family, family, examples_for) -> None:
    built, examples = family(any_family), examples_for(any_family)
    batched = TransformersBackbone(built.model, built.processor, batch_size=8).generate(
        examples, max_new_tokens=6
    )
    single = TransformersBackbone(built.model, built.processor, batch_size=1).generate(
        examples, max_new_tokens=6
    )
    assert batched == single
    assert len(set(batched)) > 1


@pytest.mark.parametrize("name", ["llama", "gpt2", "qwen3"])
def test__generate__text__equals_argmax_of_full_passes(name, family, ask) -> None:
    built = family(name)
    tokenizer, backbone = built.processor, TransformersBackbone(built.model, built.processor)
    for question in ("is this a cat?", "Yes"):
        item = ask(question)
        prompt = question
        if tokenizer.chat_template:
            chat = [{"role": "user", "content": question}]
            prompt = tokenizer.apply_chat_template(chat, add_generation_prompt=True, tokenize=False)
        ids = tokenizer(prompt, add_special_tokens=False, return_tensors="pt")["input_ids"]
        length = ids.shape[1]
        with torch.no_grad():
            for _ in range(5):
                step = built.model(ids).logits[0, -1].argmax()
                if int(step) == 1:
                    break
                ids = torch.cat([ids, step[None, None]], dim=1)
        expected = tokenizer.decode(ids[0, length:], skip_special_tokens=True).strip()
        assert (
            backbone.generate([item, ask("the red dog sat on a blue mat")], max_new_tokens=5)[0] == expected
        )


def test__generate__sampling_in_the_models_own_settings__still_greedy(fresh_family, examples_for) -> None:
    built, examples = fresh_family("llama"), examples_for("llama")
    backbone = TransformersBackbone(built.model, built.processor)
    expected = backbone.generate(examples)
    built.model.generation_config.do_sample = True
    built.model.generation_config.temperature = 9.0
    built.model.generation_config.num_beams = 2
    built.model.generation_config.max_length = 3
    before = built.model.generation_config.to_dict()
    assert backbone.generate(examples) == expected
    assert built.model.generation_config.to_dict() == before


def test__generate__bad_image__its_error(family, ask, tmp_path) -> None:
    built = family("llava")
    with pytest.raises(MediaError, match=r"^gone"):
        TransformersBackbone(built.model, built.processor).generate(
            [ask(tmp_path / "no.png", "a", id="gone")]
        )


def test__generate__model_without_a_language_head__error(family, ask) -> None:
    built = family("llama")
    with pytest.raises(BackboneError, match="cannot generate"):
        TransformersBackbone(built.model.model, built.processor).generate([ask("a")])
