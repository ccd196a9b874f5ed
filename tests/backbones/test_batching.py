"""Padding, nested images and errors per item."""

from __future__ import annotations

import pytest
import torch

from savs.backbones._batching import BatchEncoder, Item, by_length, render_all
from savs.backbones._rendering import Rendered


def encode(processor, examples, side="right", max_tokens=None):
    items, _ = render_all(processor, examples)
    return BatchEncoder(processor, max_tokens).encode(by_length(items), side)


@pytest.mark.parametrize("name", ["llama", "gpt2", "gemma3"])
@pytest.mark.parametrize("side", ["left", "right"])
def test__encode__padding__real_tokens_are_those_of_each_alone(name, side, family, ask) -> None:
    processor = family(name).processor
    tokenizer = getattr(processor, "tokenizer", processor)
    before = tokenizer.padding_side, tokenizer.pad_token
    examples = [ask("red?"), ask("the red dog sat on a blue mat"), ask("a")]
    ((batch,), _) = encode(processor, examples, side)
    for row, index in enumerate(batch.indices):
        ((alone,), _) = encode(processor, [examples[index]])
        ids, mask = batch.inputs["input_ids"][row], batch.attention_mask[row].bool()
        assert ids[mask].tolist() == alone.inputs["input_ids"][0].tolist()
        padded = mask if side == "right" else mask.flip(0)
        assert torch.equal(padded, padded.sort(descending=True).values)
    assert (tokenizer.padding_side, tokenizer.pad_token) == before


def test__encode__images__nested_in_the_order_of_the_texts(family, ask, image) -> None:
    examples = [ask(image(1), "a?"), ask(image(2), image(3), "the same?")]
    ((batch,), _) = encode(family("llava").processor, examples)
    assert batch.indices == [1, 0]
    singles = [encode(family("llava").processor, [e])[0][0].inputs["pixel_values"] for e in examples]
    assert torch.equal(batch.inputs["pixel_values"], torch.cat([singles[1], singles[0]]))


def test__encode__too_long__error_with_both_numbers(family, ask) -> None:
    examples = [ask("a", id="s"), ask("!" * 90, id="l")]
    batches, errors = encode(family("qwen3").processor, examples, max_tokens=50)
    assert [batch.indices for batch in batches] == [[0]]
    assert [(index, error.code) for index, error in errors.items()] == [(1, "prompt_too_long")]
    assert str(errors[1]).startswith("its prompt has 107 tokens but the backbone reads at most 50")


def test__encode__text_beyond_any_context__refused_before_the_tokenizer_sees_it(
    family, ask, monkeypatch
) -> None:
    processor = family("qwen3").processor
    seen = []
    call = type(processor).__call__
    monkeypatch.setattr(
        type(processor), "__call__", lambda self, text, **rest: seen.extend(text) or call(self, text, **rest)
    )
    examples = [ask("a", id="s"), ask("z " * 6500, id="l"), ask("z " * 500, id="m")]
    batches, errors = encode(processor, examples, max_tokens=50)
    assert [batch.indices for batch in batches] == [[0]]
    assert {index: error.code for index, error in errors.items()} == dict.fromkeys((1, 2), "prompt_too_long")
    messages = {index: str(error) for index, error in errors.items()}
    assert messages[1].endswith(" characters but the backbone reads at most 50 tokens; shorten the text")
    assert " tokens but the backbone reads at most 50;" in messages[2]
    assert seen
    assert max(map(len, seen)) < 12_800


def test__encode__no_image_where_one_is_needed__error_says_so(family, ask) -> None:
    batches, errors = encode(family("paligemma").processor, [ask("red?"), ask("blue?")])
    assert not batches
    assert list(errors) == [1, 0]
    assert str(errors[1]).endswith("it has no image, and this model may need one")


def test__encode__one_prompt_without_tokens__error_of_that_item_alone(fresh_family) -> None:
    from tokenizers import normalizers

    tokenizer = fresh_family("llama").processor
    tokenizer.chat_template = None
    tokenizer.backend_tokenizer.normalizer = normalizers.Strip()
    items = [Item(i, Rendered(text, (), True)) for i, text in enumerate(["red", "  ", "a mat"])]
    batches, errors = BatchEncoder(tokenizer).encode(items)
    assert [batch.indices for batch in batches] == [[0], [2]]
    assert [(index, error.code) for index, error in errors.items()] == [(1, "empty_example")]


def test__encode__half_a_character__said_so(family) -> None:
    _, errors = BatchEncoder(family("llava").processor).encode([Item(0, Rendered("a \ud800", (), True))])
    assert "a lone surrogate" in errors[0].message


def test__encode__processor_without_lists_of_images__said_so(family, ask, image, monkeypatch) -> None:
    def refuse(*_, **__):
        raise ValueError(
            "Nested images are only supported with `multi_page` set to `True`."
        )  # GotOcr2Processor

    processor = family("llava").processor
    monkeypatch.setattr(type(processor), "__call__", refuse)
    _, errors = encode(processor, [ask(image(1), "a?")])
    assert "takes no list of images per prompt" in errors[0].message
