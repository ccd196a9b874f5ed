"""Grouping, padding and errors per item."""

from __future__ import annotations

import pytest
import torch

from savs.backbones.batching import BatchEncoder, ErrorLedger, plan_batches
from savs.errors import ExampleError


def encode(processor, examples, batch_size=8, side="right", max_tokens=None, ledger=None):
    ledger = ledger or ErrorLedger(0)
    encoder = BatchEncoder(processor, max_tokens)
    groups = plan_batches(processor, examples, batch_size, ledger)
    return [batch for group in groups for batch in encoder.encode(group, examples, ledger, side)]


def test__plan__pictures_and_texts_apart_longest_first__each_once(family, examples_for) -> None:
    processor, examples = family("llava").processor, examples_for("llava")
    groups = plan_batches(processor, examples, 3, ErrorLedger(0))
    assert sorted(index for group in groups for index, _ in group) == list(range(len(examples)))
    assert [{bool(item.images) for _, item in group} for group in groups] == [{True}, {True}, {False}]
    assert max(map(len, groups)) == 3
    sizes = [(len(item.images), len(item.text)) for group in groups for _, item in group if item.images]
    assert sizes == sorted(sizes, reverse=True)


@pytest.mark.parametrize("name", ["llama", "gpt2", "gemma3"])
@pytest.mark.parametrize("side", ["left", "right"])
def test__encode__padding__real_tokens_are_those_of_each_alone(name, side, family, ask) -> None:
    processor = family(name).processor
    tokenizer = getattr(processor, "tokenizer", processor)
    before = tokenizer.padding_side, tokenizer.pad_token
    examples = [ask("red?"), ask("the red dog sat on a blue mat"), ask("a")]
    (batch,) = encode(processor, examples, side=side)
    for row, index in enumerate(batch.indices):
        (alone,) = encode(processor, [examples[index]])
        ids, mask = batch.inputs["input_ids"][row], batch.attention_mask[row].bool()
        assert ids[mask].tolist() == alone.inputs["input_ids"][0].tolist()
        padded = mask if side == "right" else mask.flip(0)
        assert torch.equal(padded, padded.sort(descending=True).values)
    assert (tokenizer.padding_side, tokenizer.pad_token) == before


def test__encode__pictures__nested_in_the_order_of_the_texts(family, ask, picture) -> None:
    examples = [ask(picture(1), "a?"), ask(picture(2), picture(3), "the same?")]
    (batch,) = encode(family("llava").processor, examples)
    assert batch.indices == [1, 0]
    singles = [encode(family("llava").processor, [e])[0].inputs["pixel_values"] for e in examples]
    assert torch.equal(batch.inputs["pixel_values"], torch.cat([singles[1], singles[0]]))


def test__encode__too_long__error_with_both_numbers(family, ask) -> None:
    examples = [ask("a", id="s"), ask("!" * 90, id="l")]
    with pytest.raises(
        ExampleError, match=r"^l: its prompt has 107 tokens but the backbone reads at most 50"
    ):
        encode(family("qwen3").processor, examples, max_tokens=50)
    ledger = ErrorLedger(-1)
    batches = encode(family("qwen3").processor, examples, max_tokens=50, ledger=ledger)
    assert [batch.indices for batch in batches] == [[0]]
    assert [error.code for error in ledger.errors] == ["prompt_too_long"]


@pytest.mark.parametrize(("limit", "raised"), [(0, 1), (1, 2), (2, None), (-1, None)])
def test__ledger__limit__raises_at_the_first_one_too_many(limit, raised, ask) -> None:
    ledger = ErrorLedger(limit)
    count = 0
    try:
        for index in (5, 2):
            count += 1
            ledger.add(index, ask("a", id=f"i{index}"), ExampleError("bad", code="x"))
    except ExampleError:
        assert count == raised
    else:
        assert raised is None
        assert [error.id for error in ledger.errors] == ["i2", "i5"]


def test__ledger__example_without_id__its_position_stands_in(ask) -> None:
    ledger = ErrorLedger(-1)
    ledger.add(7, ask("a"), ExampleError("bad", code="x"))
    assert ledger.errors[0].record() == {"id": "7", "stage": "example", "code": "x", "message": "bad"}
