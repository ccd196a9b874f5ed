"""What prompts have in common goes through the model once, and every vector is as if it had not."""

from __future__ import annotations

import logging

import numpy as np
import pytest
import torch

from savs.backbones import TransformersBackbone
from savs.data import Example, Message, Text
from savs.layout import Head
from savs.media import Image

# Small videos have more steps in time than rows, which no release of transformers places right.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]

TOLERANCE = 1e-5
BLOCK = "the red dog sat on a blue mat. " * 6


def in_full(built, examples, **options):
    backbone = TransformersBackbone(built.model, built.processor, batch_size=1, prefix_reuse=False)
    found = backbone.extract(examples, **options)
    assert backbone.report.n_forward == len(examples)
    assert backbone.report.n_prefixes == 0
    return found


def questions(name, ask, image):
    """Two images with several questions each, one with a single one, and plain text where it is allowed."""
    one, two = image(1), image(2, 64, 40)
    found = [ask(one, f"is this a cat? {'x' * n}") for n in (0, 3, 9, 20)]
    found += [ask(two, f"a dog {'y' * n}") for n in (1, 5, 2)] + [ask(image(3), "the mat?")]
    return found if name == "paligemma" else [*found, ask("red?")]


def test__extract__questions_on_one_image__as_in_full_with_each_image_read_once(
    image_family, family, ask, image
) -> None:
    built = family(image_family)
    examples = questions(image_family, ask, image)
    order = np.random.default_rng(0).permutation(len(examples))
    backbone = TransformersBackbone(built.model, built.processor, batch_size=4)
    found = backbone.extract([examples[i] for i in order])
    np.testing.assert_allclose(found.features, in_full(built, examples).features[order], atol=TOLERANCE)
    report = backbone.report
    if image_family == "paligemma":  # its prompt is read in both directions
        assert report.n_reused == 0
        assert report.prefix_check.startswith("failed: vectors differ from the full pass by ")
    else:
        assert (report.n_prefixes, report.n_reused, report.prefix_check) == (2, 7, "passed")
        assert report.n_forward == len(examples) - 7 + 1  # one question is read both ways


def test__extract__text_with_a_common_block__as_in_full(text_family, family, ask) -> None:
    built = family(text_family)
    block = BLOCK if text_family != "gpt2" else BLOCK[:70] * 2
    examples = [ask(f"{block}{'z' * n}?") for n in range(4)] + [ask("red?")]
    backbone = TransformersBackbone(built.model, built.processor)
    found = backbone.extract(examples)
    np.testing.assert_allclose(found.features, in_full(built, examples).features, atol=TOLERANCE)
    assert (backbone.report.n_reused, backbone.report.prefix_check) == (4, "passed")


@pytest.mark.parametrize("name", ["qwen2_5_vl", "qwen2_vl", "qwen3_vl"])
def test__extract__images_then_plain_text__positions_of_the_images_are_forgotten(
    name, family, ask, image
) -> None:
    """The model remembers how far an image moved the positions of what follows; text has no image."""
    built = family(name)
    shown = image(1)
    examples = [ask(shown, f"q{i}") for i in range(3)] + [ask(f"{BLOCK}{i}?") for i in range(3)]
    backbone = TransformersBackbone(built.model, built.processor)
    found = backbone.extract(examples)
    np.testing.assert_allclose(found.features, in_full(built, examples).features, atol=TOLERANCE)
    assert (backbone.report.n_reused, len(backbone.report.checked)) == (6, 2)


@pytest.mark.parametrize("name", ["llava_onevision", "qwen2_5_vl", "gemma3"])
def test__extract__bfloat16_shared__within_its_precision(name, fresh_family, ask, image) -> None:
    built = fresh_family(name)
    built.model.to(torch.bfloat16)
    examples = questions(name, ask, image)
    backbone = TransformersBackbone(built.model, built.processor)
    found = backbone.extract(examples).features
    assert backbone.report.n_reused == 7
    np.testing.assert_allclose(found, in_full(built, examples).features, atol=0.06)


def test__extract__some_heads_and_states__shared_as_in_full(family, ask, image) -> None:
    built, examples = family("llava"), questions("llava", ask, image)
    backbone = TransformersBackbone(built.model, built.processor)
    for heads in ([Head(0, 1)], [Head(1, 3), Head(0, 0)]):
        found = backbone.extract(examples, heads).features
        np.testing.assert_allclose(found, in_full(built, examples, heads=heads).features, atol=TOLERANCE)
        assert backbone.report.n_reused == 7
    found, expected = (b.extract(examples, states=True) for b in (backbone, _plain(built)))
    np.testing.assert_allclose(found.states, expected.states, atol=2e-5)
    np.testing.assert_allclose(found.features, expected.features, atol=TOLERANCE)
    np.testing.assert_array_equal(backbone.last_layer_states(examples), found.states)
    assert backbone.report.n_reused == 7


def test__extract__later_calls__checked_again_only_where_deeper_or_the_model_has_changed(
    fresh_family, ask, image
) -> None:
    built = fresh_family("llava")
    shown = image(1)
    examples = [ask(shown, f"a dog {'y' * n}") for n in (1, 5, 2)]
    backbone = TransformersBackbone(built.model, built.processor)

    def n_whole(**options) -> int:
        backbone.extract(examples, **options)
        assert (backbone.report.n_reused, backbone.report.prefix_check) == (3, "passed")
        return backbone.report.n_forward

    shallow, deep = [Head(0, 1)], [Head(1, 0)]
    assert [n_whole(heads=heads) for heads in (shallow, shallow, deep, shallow, None)] == [1, 0, 1, 0, 0]
    assert [n_whole(states=True), n_whole(states=True), n_whole()] == [1, 0, 0]
    with torch.no_grad():
        next(built.model.parameters()).mul_(1.01)
    assert [n_whole(), n_whole()] == [1, 0]
    other = backbone.in_mode(4, prefix_reuse=True)
    other.extract(examples)
    assert other.report.n_forward == 1


def _plain(built):
    return TransformersBackbone(built.model, built.processor, prefix_reuse=False)


def test__extract__many_questions__suffixes_in_several_passes(family, ask, image) -> None:
    built, shown = family("qwen2_5_vl"), image(1)
    examples = [ask(shown, f"question {i} {'?' * (i % 7)}") for i in range(70)]
    backbone = TransformersBackbone(built.model, built.processor, batch_size=1)
    found = backbone.extract(examples)
    np.testing.assert_allclose(found.features, in_full(built, examples).features, atol=TOLERANCE)
    assert (backbone.report.n_prefixes, backbone.report.n_reused) == (2, 70)


def test__extract__same_prompt_twice__same_vector(family, ask, image) -> None:
    built, shown = family("llava"), image(1)
    found = TransformersBackbone(built.model, built.processor).extract([ask(shown, "a cat?")] * 3).features
    np.testing.assert_allclose(found, in_full(built, [ask(shown, "a cat?")] * 3).features, atol=TOLERANCE)


def test__extract__earlier_turns_are_shared__as_in_full(family, image) -> None:
    built = family("llava")
    first = Message("user", (Image(image(1)), Text("what is it?")))
    turns = (first, Message("assistant", (Text("a dog"),)))
    examples = [Example((*turns, Message("user", (Text(f"is it {c}?"),)))) for c in ("red", "blue", "old")]
    backbone = TransformersBackbone(built.model, built.processor)
    np.testing.assert_allclose(
        backbone.extract(examples).features, in_full(built, examples).features, atol=TOLERANCE
    )
    assert backbone.report.n_reused == 3


def test__extract__bad_item_in_a_family__only_that_one_is_lost(family, ask, image, tmp_path) -> None:
    built, shown = family("llava"), image(1)
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    examples = [ask(shown, "a?"), ask(broken, "b?", id="x"), ask(broken, "c?", id="y"), ask(shown, "d?")]
    backbone = TransformersBackbone(built.model, built.processor)
    found = backbone.extract(examples, max_errors=2)
    assert [error.id for error in found.errors] == ["x", "y"]
    assert found.indices.tolist() == [0, 3]
    expected = in_full(built, [examples[0], examples[3]]).features
    np.testing.assert_allclose(found.features, expected, atol=TOLERANCE)


def test__extract__shared_reading_goes_wrong__logged_once_and_read_in_full(
    fresh_family, ask, image, caplog
) -> None:
    built = fresh_family("llava")
    examples = questions("llava", ask, image)
    expected = in_full(built, examples).features
    attention = built.model.get_decoder().layers[0].self_attn

    def forget_the_cache(_module, args, kwargs):
        name = next(name for name in ("cache", "past_key_values") if name in kwargs)
        cache = kwargs[name]
        if cache is not None and cache.get_seq_length() > 0:
            kwargs[name] = None
            kwargs["attention_mask"] = None
        return args, kwargs

    attention.register_forward_pre_hook(forget_the_cache, with_kwargs=True)
    backbone = TransformersBackbone(built.model, built.processor)
    with caplog.at_level(logging.WARNING):
        found = backbone.extract(examples)
        again = backbone.extract(examples)
    np.testing.assert_allclose(found.features, expected, atol=TOLERANCE)
    np.testing.assert_allclose(again.features, expected, atol=TOLERANCE)
    assert backbone.report.n_reused == 0
    assert len([r for r in caplog.records if "prefix reuse is off" in r.message]) == 1


def test__extract__pixels_of_a_shared_image__computed_once(family, ask, image, monkeypatch) -> None:
    built, shown = family("qwen2_5_vl"), image(1)
    kind = type(built.processor.image_processor)
    calls = []
    real = kind.preprocess
    monkeypatch.setattr(
        kind, "preprocess", lambda self, *args, **kw: calls.append(1) or real(self, *args, **kw)
    )
    backbone = TransformersBackbone(built.model, built.processor)
    backbone.extract([ask(shown, f"q{i}") for i in range(5)])
    assert backbone.report.n_reused == 5
    assert len(calls) == 1
    assert type(built.processor.image_processor) is kind


def test__extract__file_of_a_shared_image__decoded_once(family, ask, image, tmp_path, monkeypatch) -> None:
    from PIL import Image as PILImage

    from savs.backbones import _batching as decoding

    opened: list[object] = []
    load = decoding.decode_image
    monkeypatch.setattr(
        decoding, "decode_image", lambda source, **how: (opened.append(source), load(source, **how))[1]
    )
    PILImage.fromarray(image(1)).save(tmp_path / "one.png")
    examples = [ask(f"is this a cat? {'x' * n}") for n in (0, 3, 9, 20)]
    examples = [
        Example((Message("user", (Image(tmp_path / "one.png"), *example.parts)),)) for example in examples
    ]
    built = family("llava")
    backbone = TransformersBackbone(built.model, built.processor)
    found = backbone.extract(examples)
    assert backbone.report.n_reused == 4
    assert opened == [tmp_path / "one.png"]
    np.testing.assert_allclose(found.features, in_full(built, examples).features, atol=TOLERANCE)


@pytest.mark.parametrize(
    ("name", "part"),
    [
        ("qwen2_audio", "feature_extractor"),
        ("voxtral", "feature_extractor"),
        ("qwen2_vl_video", "video_processor"),
    ],
)
def test__extract__shared_audio_or_video__prepared_once(name, part, family, monkeypatch) -> None:
    from tests.backbones.test_audio import TASK, waveform
    from tests.backbones.test_audio import ask as ask_of
    from tests.backbones.test_videos import clip

    from savs.media import Video

    built = family(name)
    kind = type(getattr(built.processor, part))
    calls = []
    real = kind.__call__
    monkeypatch.setattr(
        kind, "__call__", lambda self, *args, **kw: calls.append(1) or real(self, *args, **kw)
    )
    medium = Video(clip(0), 4) if part == "video_processor" else waveform(1, 1.0)
    backbone = TransformersBackbone(built.model, built.processor)
    backbone.extract([ask_of(medium, f"{TASK}q{i}") for i in range(4)])
    assert backbone.report.n_reused == 4
    assert len(calls) == 1
