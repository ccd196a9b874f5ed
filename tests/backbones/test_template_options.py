"""Options of a chat template: checked, set in a copy, in the fingerprint, saved with a classifier."""

from __future__ import annotations

from typing import Any

import pytest
from tests.backbones.conftest import ask

from savs import SAVModel
from savs.backbones import load_backbone
from savs.backbones._rendering import render
from savs.backbones._template_options import (
    parse_option,
    template_options,
    template_variables,
    with_template_options,
)
from savs.errors import BackboneError, BackboneMismatchError

THINKING = (
    "{% for message in messages %}<|{{ message.role }}|>{{ message.content }}{% endfor %}"
    "{% if add_generation_prompt %}<|assistant|>"
    "{% if enable_thinking is defined and enable_thinking is false %}<think></think>{% endif %}{% endif %}"
)


@pytest.fixture
def thinking(fresh_family) -> Any:
    """A tokenizer with the option of Qwen 3's template."""
    tokenizer = fresh_family("qwen3").processor
    tokenizer.chat_template = THINKING
    return tokenizer


def test__with_template_options__reaches_the_template_in_a_copy(thinking) -> None:
    changed = with_template_options(thinking, {"enable_thinking": False})
    assert render(changed, ask("red?")).text == "<|user|>red?<|assistant|><think></think>"
    assert render(thinking, ask("red?")).text == "<|user|>red?<|assistant|>"
    assert template_options(changed) == {"enable_thinking": False}
    assert template_options(thinking) == {}
    assert changed("hello")["input_ids"] == thinking("hello")["input_ids"]


def test__with_template_options__template_of_a_processor__copy_too(fresh_family) -> None:
    processor = fresh_family("qwen2_5_vl").processor
    before = processor.chat_template
    processor.chat_template = "{{ opening }}" + before
    changed = with_template_options(processor, {"opening": "Look: "})
    assert render(changed, ask("red?")).text == "Look: <|user|>red?<|assistant|>"
    assert processor.chat_template == "{{ opening }}" + before
    assert template_options(processor) == {}


@pytest.mark.parametrize(
    "value",
    [
        True,
        None,
        3,
        -1.5e30,
        "low",
        "é%} }} {{ ' \" \U0001f642\n \\x",
        ["a", {"b": [None, False]}],
        {"k": "v"},
    ],
)
def test__with_template_options__any_json_value__arrives_as_it_is(value, thinking) -> None:
    import json

    thinking.chat_template = "{{ given | tojson }}{{ messages[0].content }}"
    text = render(with_template_options(thinking, {"given": value}), ask("!")).text
    assert json.loads(text.removesuffix("!")) == value


def test__with_template_options__blanks_at_the_start_of_a_template__as_without(thinking) -> None:
    thinking.chat_template = "\n  {% if flag %}yes{% endif %}\n{{ messages[0].content }}"
    without = render(thinking, ask("a")).text
    assert render(with_template_options(thinking, {"flag": False}), ask("a")).text == without


@pytest.mark.parametrize(
    ("options", "reason"),
    [
        ({"enable_thinkin": False}, r"has no option 'enable_thinkin'; it has enable_thinking$"),
        ({"messages": []}, r"has no option 'messages'"),
        ({"bos_token": ""}, r"has no option 'bos_token'"),
        ({"enable_thinking": float("nan")}, r"'enable_thinking' is not a JSON value$"),
        ({"enable_thinking": object()}, r"'enable_thinking' is not a JSON value$"),
        (["enable_thinking"], r"maps names to values"),
    ],
)
def test__with_template_options__cannot_be_set__one_line(options, reason, thinking) -> None:
    with pytest.raises(BackboneError, match=reason):
        with_template_options(thinking, options)


def test__with_template_options__no_chat_template__one_line(family) -> None:
    with pytest.raises(BackboneError, match="no chat template, so no template option 'enable_thinking'"):
        with_template_options(family("gpt2").processor, {"enable_thinking": False})


def test__template_variables__blocks_that_transformers_adds__are_read(thinking) -> None:
    thinking.chat_template = (
        "{% set b = b | default(1) %}{% set mine = 2 %}{% generation %}{{ a }}{% endgeneration %}"
        "{% for x in messages %}{% if x == mine %}{% break %}{% endif %}{% endfor %}{{ strftime_now('%Y') }}"
    )
    assert template_variables(thinking) == ["a", "b"]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a=false", ("a", False)),
        ("a=2", ("a", 2)),
        ('a="2"', ("a", "2")),
        ("a=low", ("a", "low")),
        ("a=", ("a", "")),
        ('a={"b": [null]}', ("a", {"b": [None]})),
        ("a=b=c", ("a", "b=c")),
    ],
)
def test__parse_option__json_or_a_text(text, expected) -> None:
    assert parse_option(text) == expected


@pytest.mark.parametrize(
    ("text", "reason"), [("a", "is not NAME=VALUE"), ("=1", "is not NAME="), ("a=False", "write a=false")]
)
def test__parse_option__cannot_be_read__says_what_to_write(text, reason) -> None:
    with pytest.raises(ValueError, match=reason):
        parse_option(text)


@pytest.fixture
def thinking_folder(fresh_family, tmp_path) -> Any:
    built = fresh_family("qwen3")
    built.processor.chat_template = THINKING
    built.model.save_pretrained(tmp_path / "model")
    built.processor.save_pretrained(tmp_path / "model")
    return tmp_path / "model"


def test__load__template_options__in_the_fingerprint_and_saved_with_a_classifier(
    thinking_folder, tmp_path
) -> None:
    backbone = load_backbone(thinking_folder, template_options={"enable_thinking": False})
    assert backbone.fingerprint["template_options"] == {"enable_thinking": False}
    plain = load_backbone(thinking_folder)
    assert "template_options" not in plain.fingerprint
    assert abs(plain.extract([ask("red?")]).features - backbone.extract([ask("red?")]).features).max() > 1e-3
    texts = ["red", "rose", "blue", "sea"]
    model = SAVModel(backbone, n_heads=2).fit(texts, list("aabb"))
    model.save_pretrained(tmp_path / "saved")
    again = SAVModel.from_pretrained(tmp_path / "saved")
    assert list(again.predict(texts)) == list(model.predict(texts))
    with pytest.raises(BackboneMismatchError, match="template_options: "):
        SAVModel.from_pretrained(tmp_path / "saved", backbone=plain).predict(texts)


def test__load__unknown_template_option__names_the_model(thinking_folder) -> None:
    with pytest.raises(BackboneError, match=rf"^{thinking_folder}: the chat template has no option 'x'"):
        load_backbone(thinking_folder, template_options={"x": 1})
