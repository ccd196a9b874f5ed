"""Likelihoods of options: from one reading of each prompt, and as if every text had been read alone."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.backbones.families.reference import forget_positions, inputs_of, prompt

from savs.backbones import TransformersBackbone
from savs.backbones.option_likelihood import OptionLogLikelihood, OptionScorer, check_options
from savs.errors import BackboneError, DataError, ItemError

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]

TOLERANCE = 1e-4
OPTIONS = ["Yes", "No", "a red dog", "a red mat", "blue"]
LETTERS = ["a", "b", "?"]


def plain_loop(built, example, options, between=""):
    """Return log likelihood and number of tokens of each option, every whole text read alone."""
    text = prompt(built.processor, example)
    wholes = [inputs_of(built, example, f"{text}{between}{option}") for option in options]
    ids = [inputs["input_ids"][0].tolist() for inputs in wholes]
    of_prompt = inputs_of(built, example, text)["input_ids"][0].tolist()
    common = 0
    while common < len(of_prompt) and all(one[common : common + 1] == of_prompt[common:][:1] for one in ids):
        common += 1
    found = []
    for inputs, tokens in zip(wholes, ids, strict=True):
        with torch.no_grad():
            logs = built.model(**inputs, use_cache=False).logits[0].double().log_softmax(-1)
        forget_positions(built.model)
        steps = [logs[place - 1, tokens[place]] for place in range(common, len(tokens))]
        found.append((float(sum(steps)), len(steps)))
    return np.array(found).T


def expected(built, examples, options, between=""):
    sums, counts = np.stack([plain_loop(built, one, options, between) for one in examples], axis=1)
    return sums, counts


def between_of(built):
    processor = built.processor
    return "" if getattr(processor, "chat_template", None) else " "


@pytest.mark.parametrize("options", [OPTIONS, LETTERS], ids=["words", "letters"])
def test__option_log_likelihood__any_family__as_every_text_alone(
    any_family, options, family, examples_for
) -> None:
    built, examples = family(any_family), examples_for(any_family)
    if any_family == "paligemma":
        pytest.skip("it reads its prompt in both directions: refused, see below")
    sums, counts = expected(built, examples, options, between_of(built))
    for batch_size in (1, 4):
        for prefix_reuse in (True, False):
            backbone = TransformersBackbone(
                built.model, built.processor, batch_size=batch_size, prefix_reuse=prefix_reuse
            )
            found = backbone.option_log_likelihood(examples, options)
            np.testing.assert_allclose(found.sums, sums, atol=TOLERANCE)
            np.testing.assert_array_equal(found.n_tokens, counts)
            np.testing.assert_allclose(found.means, sums / counts, atol=TOLERANCE)
            assert found.indices.tolist() == list(range(len(examples)))
            several = counts.max() > 1
            assert backbone.report.n_reused == (len(examples) if several and prefix_reuse else 0)


def test__option_log_likelihood__model_that_reads_in_both_directions__refused(family, examples_for) -> None:
    built, examples = family("paligemma"), examples_for("paligemma")
    backbone = TransformersBackbone(built.model, built.processor)
    with pytest.raises(BackboneError, match=r"PaliGemma.* reads a prompt in both directions"):
        backbone.option_log_likelihood(examples, OPTIONS)


def test__option_log_likelihood__image__goes_through_the_vision_tower_once(family, ask, image) -> None:
    built = family("llava")
    calls: list[int] = []
    handle = built.model.model.vision_tower.register_forward_hook(
        lambda _module, _args, out: calls.append(len(out.last_hidden_state))
    )
    try:
        backbone = TransformersBackbone(built.model, built.processor)
        backbone.option_log_likelihood([ask(image(i), "a cat?") for i in range(3)], OPTIONS)
    finally:
        handle.remove()
    assert sum(calls) == 3 + len(OPTIONS) + 1  # one prompt is checked: each option in full, the prompt alone
    assert backbone.report.n_prefixes == 3
    assert backbone.report.prefix_check == "passed"


def test__option_log_likelihood__letters__prompts_go_together(family, ask, image) -> None:
    built = family("qwen2_vl")
    examples = [ask(image(i), f"{'x' * i}?") for i in range(6)]
    passes: list[int] = []
    handle = built.model.model.language_model.register_forward_pre_hook(
        lambda _module, _args, kwargs: passes.append(len(kwargs["inputs_embeds"])), with_kwargs=True
    )
    try:
        TransformersBackbone(built.model, built.processor, batch_size=6).option_log_likelihood(
            examples, LETTERS
        )
    finally:
        handle.remove()
    assert passes == [6]


@pytest.mark.parametrize("name", ["llama", "llava", "qwen2_vl"])
def test__option_log_likelihood__processor_that_pads_on_the_left__as_every_text_alone(
    name, fresh_family, examples_for
) -> None:
    built, examples = fresh_family(name), examples_for(name)
    sums, _ = expected(built, examples, OPTIONS)
    getattr(built.processor, "tokenizer", built.processor).padding_side = "left"
    for prefix_reuse in (True, False):
        backbone = TransformersBackbone(built.model, built.processor, batch_size=4, prefix_reuse=prefix_reuse)
        found = backbone.option_log_likelihood(examples, OPTIONS).sums
        np.testing.assert_allclose(found, sums, atol=TOLERANCE)


def test__option_log_likelihood__options_of_one_image_in_several_passes__as_every_text_alone(
    family, ask, image
) -> None:
    built, options = family("qwen2_5_vl"), [f"dog {i} {'?' * (i % 5)}" for i in range(40)]
    examples = [ask(image(1), "what?"), ask("red?")]
    backbone = TransformersBackbone(built.model, built.processor, batch_size=1)
    sums, counts = expected(built, examples, options)
    found = backbone.option_log_likelihood(examples, options)
    np.testing.assert_allclose(found.sums, sums, atol=TOLERANCE)
    np.testing.assert_array_equal(found.n_tokens, counts)
    assert backbone.report.n_reused == 2


@pytest.mark.parametrize("name", ["llama", "gpt2"])
def test__option_log_likelihood__prompt_that_merges_with_an_option__counted_from_the_common_place(
    name, family, ask
) -> None:
    built = family(name)
    for options in (["red dog", "cat", "mat"], ["dog", "blue mat", "?"]):
        found = TransformersBackbone(built.model, built.processor).option_log_likelihood(
            [ask("is this a "), ask("Yes or ")], options
        )
        text = prompt(built.processor, ask("is this a "))
        sums, counts = expected(built, [ask("is this a "), ask("Yes or ")], options)
        np.testing.assert_allclose(found.sums, sums, atol=TOLERANCE)
        np.testing.assert_array_equal(found.n_tokens, counts)
    if name == "gpt2":  # a blank at the end of a prompt is part of the next word's token
        assert text.endswith(" ")
        alone = built.processor("red dog")["input_ids"]
        assert counts[0, 0] != len(alone) or found.n_tokens[0].tolist() == counts[0].tolist()


def test__option_log_likelihood__bfloat16__within_its_precision(fresh_family, examples_for) -> None:
    built, examples = fresh_family("llava"), examples_for("llava")
    built.model.to(torch.bfloat16)
    sums, _ = expected(built, examples, OPTIONS)
    found = TransformersBackbone(built.model, built.processor).option_log_likelihood(examples, OPTIONS)
    np.testing.assert_allclose(found.sums, sums, atol=0.3)


def test__option_log_likelihood__cache_that_does_not_work__every_text_in_full(
    fresh_family, examples_for
) -> None:
    built, examples = fresh_family("llava"), examples_for("llava")
    sums, _ = expected(built, examples, OPTIONS)
    attention = built.model.get_decoder().layers[0].self_attn

    def forget_the_cache(_module, args, kwargs):
        name = next(name for name in ("cache", "past_key_values") if name in kwargs)
        if kwargs[name] is not None and kwargs[name].get_seq_length() > 0:
            kwargs[name] = kwargs["attention_mask"] = None
        return args, kwargs

    attention.register_forward_pre_hook(forget_the_cache, with_kwargs=True)
    backbone = TransformersBackbone(built.model, built.processor)
    found = backbone.option_log_likelihood(examples, OPTIONS).sums
    np.testing.assert_allclose(found, sums, atol=TOLERANCE)
    assert backbone.report.n_reused == 0
    assert backbone.report.prefix_check.startswith("failed: ")


def test__option_log_likelihood__memory_for_two_texts__goes_on_with_fewer(fresh_family, ask, caplog) -> None:
    built = fresh_family("llama")
    examples = [ask("is this a cat?"), ask("red?")]
    sums, _ = expected(built, examples, OPTIONS)

    def refuse(_module, _args, kwargs):
        if len(kwargs["input_ids"]) > 2:
            raise torch.OutOfMemoryError("out of memory")

    built.model.register_forward_pre_hook(refuse, with_kwargs=True)
    backbone = TransformersBackbone(built.model, built.processor, batch_size=8, prefix_reuse=False)
    np.testing.assert_allclose(backbone.option_log_likelihood(examples, OPTIONS).sums, sums, atol=TOLERANCE)
    assert "out of memory with" in caplog.text


def test__option_log_likelihood__unreadable_image__only_that_example_is_lost(
    family, ask, image, tmp_path
) -> None:
    built, broken = family("llava"), tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    examples = [ask(image(1), "a?"), ask(broken, "b?", id="x"), ask(image(2), "c?")]
    backbone = TransformersBackbone(built.model, built.processor)
    for options in (OPTIONS, LETTERS):
        found = backbone.option_log_likelihood(examples, options, max_errors=1)
        assert [(error.id, error.code) for error in found.errors] == [("x", "image_undecodable")]
        assert found.indices.tolist() == [0, 2]
        sums, _ = expected(built, [examples[0], examples[2]], options)
        np.testing.assert_allclose(found.sums, sums, atol=TOLERANCE)
        with pytest.raises(ItemError):
            backbone.option_log_likelihood(examples, options)


def test__option_log_likelihood__option_too_long_for_the_model__error_of_the_example(family, ask) -> None:
    built = family("gpt2")
    with pytest.raises(ItemError, match="reads at most 128") as caught:
        TransformersBackbone(built.model, built.processor).option_log_likelihood(
            [ask("red?", id="r")], ["yes", "q!" * 80]
        )
    assert caught.value.id == "r"


def test__option_log_likelihood__model__unchanged_afterwards(fresh_family, ask, image) -> None:
    built = fresh_family("qwen2_vl")
    built.model.train()
    before = {name: dict(module._forward_pre_hooks) for name, module in built.model.named_modules()}
    backbone = TransformersBackbone(built.model, built.processor)
    backbone.option_log_likelihood([ask(image(1), "a?")], OPTIONS)
    assert built.model.training
    assert {n: dict(m._forward_pre_hooks) for n, m in built.model.named_modules()} == before


def test__option_log_likelihood__no_examples__no_rows(family) -> None:
    built = family("llama")
    found = TransformersBackbone(built.model, built.processor).option_log_likelihood([], ["a", "b"])
    assert found.sums.shape == found.n_tokens.shape == (0, 2)


def test__option_log_likelihood__template_with_a_blank_before_answers__blank_is_part_of_the_option(
    fresh_family, ask
) -> None:
    built = fresh_family("llama")
    own = built.processor.chat_template
    built.processor.chat_template = (
        "{% for m in messages %}{% if m['role'] == 'user' %}[I]{{ m['content'] }}[/I]"
        "{% else %}{{ ' ' + m['content'] }}{% endif %}{% endfor %}"
    )
    try:
        backbone = TransformersBackbone(built.model, built.processor)
        found = backbone.option_log_likelihood([ask("a cat?")], OPTIONS).sums
        sums, _ = expected(built, [ask("a cat?")], OPTIONS, " ")
        np.testing.assert_allclose(found, sums, atol=TOLERANCE)
    finally:
        built.processor.chat_template = own


def test__option_log_likelihood__prompt_inside_a_thought__thought_is_ended_first(fresh_family, ask) -> None:
    built = fresh_family("qwen3")
    built.processor.chat_template += "{% if add_generation_prompt %}<think>\n{% endif %}"
    found = TransformersBackbone(built.model, built.processor).option_log_likelihood([ask("a cat?")], OPTIONS)
    sums, _ = expected(built, [ask("a cat?")], OPTIONS, "\n</think>\n\n")
    np.testing.assert_allclose(found.sums, sums, atol=TOLERANCE)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ("yes", "not one text"),
        ([], "at least one option"),
        (["yes", 1], "got int"),
        (["yes", " "], "blank"),
        (["yes", "yes"], "'yes' stands twice"),
        (["yes", "\ud800"], "half a character"),
    ],
)
def test__check_options__impossible__named(options, message) -> None:
    with pytest.raises(DataError, match=message):
        check_options(options)


def test__option_scorer__transformers_backbone__is_one(family) -> None:
    built = family("llama")
    backbone = TransformersBackbone(built.model, built.processor)
    assert isinstance(backbone, OptionScorer)
    found = backbone.option_log_likelihood([], ["a"])
    assert isinstance(found, OptionLogLikelihood)
