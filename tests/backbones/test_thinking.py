"""Answers of thinking models: marks of thoughts survive decoding, and answers stand behind them."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import pytest
import torch

from savs.backbones import TransformersBackbone
from savs.backbones._thinking import open_thought, without_thoughts
from savs.baselines import zero_shot
from savs.baselines.zero_shot import parse_answer


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("cat", "cat"),
        ("<think>\na dog? no, a cat\n</think>\n\ncat", "cat"),
        ("it may be a dog</think>cat", "cat"),  # the template opened the thought
        ("<think>dog</think>hm<think>cat</think> dog ", "dog"),
        ("<think></think>", ""),
        ("<think>it is a dog", None),
        ("<think>dog</think>cat <think>or", None),
        ("[THINK]dog[/THINK]cat", "cat"),
        ("◁think▷dog◁/think▷cat", "cat"),
    ],
)
def test__without_thoughts__is_what_stands_behind_the_last_one(text: str, answer: str | None) -> None:
    assert without_thoughts(text) == answer


@pytest.mark.parametrize(
    ("text", "label"),
    [
        ("<think>Could be a dog. It has whiskers.</think>\n\nIt is a cat.", "cat"),
        ("<think>It is a dog.", None),
        ("<think>It is a dog.</think>", None),
        ("no dog</think>cat", "cat"),
    ],
)
def test__parse_answer__of_a_thinking_model(text: str, label: str | None) -> None:
    assert parse_answer(text, ["cat", "dog"]) == label


@pytest.mark.parametrize(
    ("prompt", "mark"),
    [
        ("user: ?\nassistant: <think>\n", "<think>"),
        ("assistant: <think>\n\n</think>\n\n", ""),
        ("what does <think> mean?\nassistant: ", ""),
        ("assistant: ", ""),
        ("assistant: [THINK]", "[THINK]"),
    ],
)
def test__open_thought__of_a_prompt(prompt: str, mark: str) -> None:
    assert open_thought(prompt) == mark


def chain(built: Any, words: list[str]) -> Any:
    """Let a model answer with these tokens, one after the other, after a prompt that ends in the first."""
    tokenizer, model = built.processor, built.model
    tokenizer.add_tokens(["Yes", "dog", "cat"])
    tokenizer.add_tokens(["<think>", "</think>"], special_tokens=True)
    model.resize_token_embeddings(len(tokenizer))
    ids = [tokenizer.convert_tokens_to_ids(word) for word in words]
    assert None not in ids
    with torch.no_grad():
        for layer in model.model.layers:
            layer.self_attn.o_proj.weight.zero_()
            layer.mlp.down_proj.weight.zero_()
        embeddings = model.model.embed_tokens.weight
        embeddings.copy_(torch.randn(embeddings.shape, generator=torch.Generator().manual_seed(0)))
        states = model.model.norm(embeddings)
        model.lm_head.weight.zero_()
        for token, following in pairwise(ids):
            model.lm_head.weight[following] += states[token]
    return TransformersBackbone(model, tokenizer)


@pytest.mark.parametrize("opened", [False, True])
def test__generate__thoughts_of_a_real_model__answer_is_read_behind_them(opened, fresh_family, ask) -> None:
    built = fresh_family("llama")
    built.model.lm_head.weight = torch.nn.Parameter(built.model.lm_head.weight.clone())
    start = "<think>" if opened else "Yes"
    prompt = "{{ messages[0]['content'] }} " + start
    built.processor.chat_template = prompt
    words = [start, *([] if opened else ["<think>"]), "dog", "</think>", "cat", "<eos>"]
    backbone = chain(built, words)
    (answer,) = backbone.generate([ask("what is it")], max_new_tokens=8)
    assert answer.replace(" ", "") == "<think>dog</think>cat"
    result = zero_shot(backbone, [ask("what is it")], ["cat", "dog"], name_classes=False)
    assert result.labels == ["cat"]
    cut = zero_shot(backbone, [ask("what is it")], ["cat", "dog"], name_classes=False, max_new_tokens=2)
    assert cut.labels == [None]
