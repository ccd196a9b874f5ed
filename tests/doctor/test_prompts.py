"""What the doctor says of token ids, and of where prompts begin and end."""

from __future__ import annotations

import json

import pytest
from tests.backbones.families import make_family

from savs.backbones import TransformersBackbone
from savs.backbones._template_options import with_template_options
from savs.doctor._prompts import check_prompts, check_token_ids, prompt_facts
from savs.doctor._subject import Subject, admit


@pytest.fixture
def subject() -> Subject:
    built = make_family("qwen3")
    template = (
        "{% for m in messages %}{{ m.content }}{% endfor %}{{ 'A' * 70 }}<|{{ who | default('bot') }}|>"
    )
    built.processor.chat_template = template
    processor = with_template_options(built.processor, {"who": "me"})
    return admit(TransformersBackbone(built.model, processor))


def test__prompt_facts__the_end_as_text_and_ids_and_the_options(subject) -> None:
    facts = prompt_facts(subject)
    assert facts["prompt_end"] == "A" * 54 + "<|me|>"
    tokenizer = subject.processor
    assert tokenizer.decode(facts["prompt_end_ids"]).endswith("<|me|>")
    assert len(facts["prompt_end_ids"]) == 8
    assert facts["template_options"] == {"who": "me"}
    json.dumps(facts)


def test__check_prompts__one_bos__ok_and_two__unsafe(subject) -> None:
    assert check_prompts(subject).verdict == "ok"
    tokenizer = subject.processor
    tokenizer.chat_template = "{{ bos_token }}{{ bos_token }}{{ messages[0].content }}"
    found = check_prompts(subject)
    assert (found.verdict, found.note) == ("unsafe", f"prompts begin with two {tokenizer.bos_token}")


def test__check_token_ids__folder_with_another_pipeline__unsafe_with_an_example(subject, tmp_path) -> None:
    tokenizer = subject.processor
    assert check_token_ids(subject).verdict == "skipped"
    tokenizer.save_pretrained(tmp_path)
    tokenizer.name_or_path = str(tmp_path)
    assert check_token_ids(subject).verdict == "ok"
    content = json.loads((tmp_path / "tokenizer.json").read_text())
    content["normalizer"] = {"type": "Lowercase"}
    (tmp_path / "tokenizer.json").write_text(json.dumps(content))
    found = check_token_ids(subject)
    assert found.verdict == "unsafe"
    assert "'In 2024 it cost 1234567.89 dollars' is [" in found.note
