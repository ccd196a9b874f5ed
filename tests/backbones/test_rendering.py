"""Examples to prompts: chat templates where there are some, images where they belong, one BOS."""

from __future__ import annotations

import datetime
from typing import Any

import pytest

from savs.backbones._batching import BatchEncoder, render_all
from savs.backbones._rendering import render
from savs.data import Example, Message, Text
from savs.errors import BackboneError, ExampleError


def test__render__image_processor__parts_in_order_and_a_generation_prompt(family, ask, image) -> None:
    processor = family("qwen2_5_vl").processor
    found = render(processor, ask("is ", image(1), " or ", image(2), " red?"))
    mark = "<|vision_start|><|image_pad|><|vision_end|>"
    assert found.text == f"<|user|>is {mark} or {mark} red?<|assistant|>"
    assert [int(part.source[0, 0, 0]) for part in found.images] == [
        int(image(1)[0, 0, 0]),
        int(image(2)[0, 0, 0]),
    ]


def test__render__no_chat_template__plain_text_with_image_tokens(family, ask, image) -> None:
    assert render(family("paligemma").processor, ask(image(1), "red?")).text == "<image>red?"
    assert render(family("gpt2").processor, ask("red?")).text == "red?"


def test__render__processor_that_writes_its_own_image_tokens__text_alone(family, ask, image) -> None:
    processor = family("blip2").processor
    assert render(processor, ask(image(1), "red?")).text == "red?"
    with pytest.raises(ExampleError, match=r"^x: it has 2 images, but .* exactly one per prompt$"):
        render(processor, ask(image(1), image(2), "same?", id="x"))
    with pytest.raises(ExampleError, match=r"^x: it has 0 images, but .* exactly one per prompt$"):
        render(processor, ask("red?", id="x"))


def test__render__text_template__content_is_a_string(family) -> None:
    turns = (Message("system", (Text("be brief"),)), Message("user", (Text("red"), Text("?"))))
    found = render(family("llama").processor, Example(turns))
    assert found.text == "<bos><|system|>be brief<|user|>red?<|assistant|>"
    assert not found.add_special_tokens


@pytest.mark.parametrize("name", ["llama", "gemma3"])
def test__encode__template_writes_bos__one_bos_only(name, family, ask) -> None:
    processor, examples = family(name).processor, [ask("red?"), ask("a longer question")]
    (batch,), failures = BatchEncoder(processor).encode(render_all(processor, examples)[0])
    assert not failures
    assert (batch.inputs["input_ids"] == 2).sum(1).tolist() == [1, 1]


def test__render__empty__error_with_the_id(family, ask) -> None:
    for empty in (ask(id="e"), Example((), id="e"), ask("", id="e")):
        with pytest.raises(ExampleError, match=r"^e: "):
            render(family("gpt2").processor, empty)


def test__render__template_refuses__its_reason_in_one_line(family, ask, monkeypatch) -> None:
    tokenizer = family("qwen3").processor
    monkeypatch.setattr(tokenizer, "chat_template", "{{ raise_exception('roles must\nalternate') }}")
    with pytest.raises(ExampleError, match=r"^x: the chat template refuses it: roles must alternate$"):
        render(tokenizer, ask("a", id="x"))


def test__render__template_writes_todays_date__same_prompt_on_every_day(family, ask, monkeypatch) -> None:
    tokenizer = family("qwen3").processor
    monkeypatch.setattr(
        tokenizer, "chat_template", "Today: {{ strftime_now('%Y-%m-%d') }} {{ messages[0].content }}"
    )
    text = render(tokenizer, ask("a")).text
    assert text == "Today: 2025-01-01 a"
    assert str(datetime.date.today()) not in text


def test__render__several_templates__the_default_one(family, ask, monkeypatch) -> None:
    tokenizer = family("qwen3").processor
    monkeypatch.setattr(tokenizer, "chat_template", {"tools": "t", "default": "d{{ messages[0].content }}"})
    assert render(tokenizer, ask("a")).text == "da"
    monkeypatch.setattr(tokenizer, "chat_template", {"tools": "t"})
    with pytest.raises(BackboneError, match="default"):
        render(tokenizer, ask("a"))


def test__render__template_that_drops_images__error_with_both_numbers(
    family, ask, image, monkeypatch
) -> None:
    processor = family("llava").processor
    monkeypatch.setattr(processor, "chat_template", "{{ messages[0]['content'][1]['text'] }}")
    with pytest.raises(ExampleError, match="has 0 <image> tokens but there are 1 images"):
        render(processor, ask(image(1), "red?"))


def test__render__braces_and_jinja_in_the_text__stay_text(family) -> None:
    item = Example((Message("user", (Text("{{ 7 * 7 }} {% raw %} {x}"),)),))
    assert "{{ 7 * 7 }} {% raw %} {x}" in render(family("llava").processor, item).text


def test__render__processor_is_not_changed(image_family, family, examples_for) -> None:
    processor: Any = family(image_family).processor
    before = processor.to_dict(), processor.tokenizer.padding_side, processor.chat_template
    for example in examples_for(image_family):
        render(processor, example)
    assert (processor.to_dict(), processor.tokenizer.padding_side, processor.chat_template) == before
