"""Audio clips through real processors and models: alone, in batches, beside images, on a shared beginning."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile
import torch
from tests.backbones.families import AUDIOS
from tests.backbones.families.reference import reference

import savs
from savs.backbones import TransformersBackbone
from savs.cache._keys import feature_keys
from savs.data import Example, Message, Text
from savs.errors import ItemError
from savs.media import Audio, Image

RATE = 16_000
TASK = "the red dog sat on a blue mat. The blue cat sat on the red dog. Say Yes or No, and nothing else. "
pytestmark = pytest.mark.parametrize("name", AUDIOS)


def waveform(seed: int, seconds: float) -> Audio:
    rng = np.random.default_rng(seed)
    times = np.arange(int(seconds * RATE)) / RATE
    wave = 0.3 * np.sin(2 * np.pi * rng.uniform(200, 2000) * times) + 0.1 * rng.standard_normal(len(times))
    return Audio(wave.astype(np.float32), RATE)


def ask(*parts: Any, id: str | None = None) -> Example:
    made = tuple(Text(part) if isinstance(part, str) else part for part in parts)
    return Example((Message("user", made),), id=id)


def some_examples() -> list[Example]:
    return [
        ask("is this a cat?"),
        ask(waveform(1, 1.0), "is it?"),
        ask(waveform(2, 0.1), "x"),
        ask(waveform(3, 1.9), "the red dog sat on a blue mat"),
        ask("a ", waveform(4, 0.5), " and ", waveform(5, 1.2), " same?"),
        ask(waveform(6, 0.1), waveform(7, 0.1), "y"),
    ]


def assert_same(found: np.ndarray, expected: np.ndarray, tolerance: float = 1e-5) -> None:
    assert np.isfinite(found).all()
    np.testing.assert_array_less(np.abs(found - expected), tolerance * np.abs(expected).max())


def rows(built: Any, examples: list[Example], **options: Any) -> np.ndarray:
    options = {"prefix_reuse": False} | options
    return TransformersBackbone(built.model, built.processor, **options).extract(examples).features


def test__fault_21__audios_in_any_batch_and_order__equal_the_unbatched_reference(name, family) -> None:
    built, examples = family(name), some_examples()
    expected = np.stack([reference(built, example) for example in examples])
    for batch_size in (1, 2, 16):
        assert_same(rows(built, examples, batch_size=batch_size), expected)
    assert_same(rows(built, examples[::-1], batch_size=16)[::-1], expected)
    assert np.abs(expected[:, None] - expected[None]).max(2)[~np.eye(len(examples), dtype=bool)].min() > 0.01


def test__fault_21__bfloat16__batched_equals_single(name, fresh_family) -> None:
    built, examples = fresh_family(name), some_examples()
    built.model.to(torch.bfloat16)
    assert_same(rows(built, examples, batch_size=16), rows(built, examples, batch_size=1), 4e-2)


def test__prefix_reuse__questions_on_two_audios__same_vectors(name, family) -> None:
    built = family(name)
    questions = ["is this a cat?", "Yes or No", "the red dog sat on a blue mat. Is it?", "a?"]
    first, second = waveform(1, 1.5), waveform(2, 0.7)
    examples = [ask(first, TASK + text) for text in questions]
    examples += [ask(second, TASK + text) for text in questions[:3]]
    backbone = TransformersBackbone(built.model, built.processor)
    assert_same(backbone.extract(examples).features, rows(built, examples))
    assert (backbone.report.prefix_check, backbone.report.n_reused) == ("passed", 7)


def test__prefix_reuse__one_array_at_two_rates__two_audios(name, family) -> None:
    fast = waveform(1, 1.0)
    slow = Audio(fast.source, RATE // 2)
    examples = [ask(audio, TASK + text) for text in ("is it?", "Yes or No") for audio in (fast, slow)]
    found = TransformersBackbone(family(name).model, family(name).processor).extract(examples).features
    assert_same(found, rows(family(name), examples))


def test__generate__audios_batched__answers_as_alone(name, family) -> None:
    built = family(name)
    backbone = TransformersBackbone(built.model, built.processor)
    examples = [
        ask(waveform(seed, seconds), "is it?" * seed) for seed, seconds in ((1, 1.0), (2, 0.3), (3, 1.7))
    ]
    alone = [backbone.generate([example], max_new_tokens=6)[0] for example in examples]
    assert backbone.generate(examples, max_new_tokens=6) == alone
    assert len(set(alone)) > 1


def test__extract__audio_swapped__vectors_differ(name, family) -> None:
    one, two = waveform(1, 1.0), waveform(2, 1.0)
    found = rows(family(name), [ask(one, two, "same?"), ask(two, one, "same?"), ask(one, two, "same?")])
    assert np.abs(found[0] - found[1]).max() > 1e-3 * np.abs(found).max()
    assert_same(found[2], found[0])


@pytest.mark.parametrize(
    ("seconds", "code"), [(0.05, "audio_too_short"), (3.2, "audio_too_long")], ids=["short", "long"]
)
def test__extract__audio_too_short_or_cut_off_by_the_processor__item_error_alone(
    name, family, seconds, code
) -> None:
    built = family(name)
    if name == "voxtral" and code == "audio_too_long":
        inputs = built.processor(text=["[AUDIO]"], audio=[waveform(2, seconds).source])
        assert inputs["input_ids"] == [[24] * 50]  # nothing is cut: two pieces of two seconds
        return
    backbone = TransformersBackbone(built.model, built.processor, batch_size=16)
    examples = [
        ask(waveform(1, 1.0), "a?"),
        ask(waveform(2, seconds), "b?", id="bad"),
        ask(waveform(3, 0.4), "c?"),
    ]
    found = backbone.extract(examples, max_errors=1)
    assert [(error.id, error.code) for error in found.errors] == [("bad", code)]
    assert found.indices.tolist() == [0, 2]
    assert_same(found.features, rows(built, [examples[0], examples[2]]))


def test__extract__own_token_in_the_text__item_error(name, family) -> None:
    with pytest.raises(ItemError) as caught:
        rows(family(name), [ask(waveform(1, 1.0), f"what is {family(name).processor.audio_token}?")])
    assert caught.value.code == "audio_count"


def test__fault_28__keys__samples_and_rate_count(name, family) -> None:
    built = family(name)
    backbone = TransformersBackbone(built.model, built.processor)
    wave = waveform(1, 1.0).source
    given = [Audio(wave, RATE), Audio(wave.copy(), RATE), Audio(wave, 8_000), Audio(wave * 0.5, RATE)]
    keys = feature_keys(backbone, [ask(audio, "q") for audio in given])
    assert None not in keys
    assert keys[0] == keys[1]
    assert len(set(keys)) == 3


def test__fault_22__extract__model_as_before(name, family) -> None:
    built = family(name)
    before = {key: value.clone() for key, value in built.model.state_dict().items()}
    facts = [(vars(module).keys(), module.training) for module in built.model.modules()]
    config, template = repr(built.model.config), built.processor.chat_template
    built.model.train()
    try:
        rows(built, some_examples()[:2])
        assert built.model.training
    finally:
        built.model.eval()
    assert all(torch.equal(value, before[key]) for key, value in built.model.state_dict().items())
    assert [(vars(module).keys(), module.training) for module in built.model.modules()] == facts
    assert (repr(built.model.config), built.processor.chat_template) == (config, template)


def test__load_backbone__folder_and_files__same_vectors(name, folder_of, family, tmp_path: Path) -> None:
    backbone = savs.load_backbone(str(folder_of(name)), prefix_reuse=False)
    assert "audio" in backbone.modalities
    audio = waveform(1, 1.0)
    soundfile.write(tmp_path / "a.wav", audio.source, RATE, subtype="FLOAT")
    given = ask(Audio(tmp_path / "a.wav"), "is it?")
    assert_same(backbone.extract([given]).features, rows(family(name), [ask(audio, "is it?")]))


def test__load_backbone__model_that_also_speaks__the_part_that_reads(name, family, tmp_path: Path) -> None:
    from transformers import Qwen2_5OmniConfig, Qwen2_5OmniForConditionalGeneration

    built = family(name)
    if "thinker" not in name:
        assert not hasattr(built.model, "talker")
        return
    config = Qwen2_5OmniConfig(thinker_config=built.model.config.to_dict(), enable_audio_output=False)
    whole = Qwen2_5OmniForConditionalGeneration(config).eval()
    whole.thinker.load_state_dict(built.model.state_dict())
    whole.save_pretrained(tmp_path)
    built.processor.save_pretrained(tmp_path)
    (tmp_path / "spk_dict.pt").write_bytes(b"a pickle that nobody opens")
    expected = rows(built, some_examples())
    loaded = savs.load_backbone(str(tmp_path), prefix_reuse=False)
    assert_same(loaded.extract(some_examples()).features, expected)
    handed_in = TransformersBackbone(whole, built.processor, prefix_reuse=False)
    assert_same(handed_in.extract(some_examples()).features, expected)


def test__extract__audio_and_image_in_one_prompt(name, family, image) -> None:
    built = family(name)
    examples = [ask(Image(image(seed)), waveform(seed, 1.0), "match?") for seed in (1, 2)]
    if "image" not in TransformersBackbone(built.model, built.processor).modalities:
        with pytest.raises(ItemError, match="reads text and audio clips only"):
            rows(built, examples)
        return
    expected = np.stack([reference(built, example) for example in examples])
    assert_same(rows(built, [*examples, *some_examples()])[:2], expected)


def test__extract__backbone_that_does_not_hear__item_error(name, family) -> None:
    for deaf, reads in (("qwen3", "text"), ("llava", "text and images")):
        with pytest.raises(ItemError, match=f"reads {reads} only") as caught:
            rows(family(deaf), [ask(waveform(1, 1.0), name)])
        assert caught.value.code == "no_audio"
