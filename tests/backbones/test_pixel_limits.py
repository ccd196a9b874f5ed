"""Limits of pixels that chat parts name: they reach the processor that resizes, or are item errors."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from tests.backbones.families.reference import reference
from tests.backbones.test_videos import clip

from savs.backbones import FakeBackbone, TransformersBackbone
from savs.cache._keys import feature_keys
from savs.data import Example, Message, Text, as_example, example_hash
from savs.errors import ExampleError
from savs.media import Image, Video

FEW, SOME, MANY = 28 * 28, 4 * 28 * 28, 16 * 28 * 28


def ask(*parts) -> Example:
    return Example((Message("user", tuple(Text(p) if isinstance(p, str) else p for p in parts)),))


def rows(built, examples, **options) -> np.ndarray:
    return TransformersBackbone(built.model, built.processor, **options).extract(examples).features


@pytest.mark.parametrize("name", ["qwen2_vl", "qwen2_5_vl", "qwen3_vl"])
def test__pixel_limits__of_images__as_a_processor_with_these_limits(
    name, family, fresh_family, image
) -> None:
    built, pixels = family(name), image(1, 120, 160)
    limits = [{}, {"max_pixels": FEW}, {"min_pixels": MANY, "max_pixels": MANY}]
    examples = [ask(Image(pixels, **limit), "is it a cat?") for limit in limits]
    plain = dict(built.processor.image_processor.size)
    expected = []
    for limit in limits:
        other = fresh_family(name)
        size = {
            "shortest_edge": limit.get("min_pixels", plain["shortest_edge"]),
            "longest_edge": limit.get("max_pixels", plain["longest_edge"]),
        }
        other.processor.image_processor.size = type(other.processor.image_processor.size)(**size)
        expected.append(reference(other, ask(Image(pixels), "is it a cat?")))
    assert np.abs(expected[0] - expected[1]).max() > 0.01
    assert np.abs(expected[0] - expected[2]).max() > 0.01
    for options in ({"batch_size": 16}, {"batch_size": 1}, {"prefix_reuse": False}):
        found = rows(built, examples, **options)
        np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())
    assert dict(built.processor.image_processor.size) == plain


def test__pixel_limits__of_videos__as_a_processor_with_these_limits(family, fresh_family) -> None:
    built, other = family("qwen2_vl_video"), fresh_family("qwen2_vl_video")
    size = {"shortest_edge": FEW, "longest_edge": FEW}
    other.processor.video_processor.size = type(other.processor.video_processor.size)(**size)
    expected = reference(other, ask(Video(clip(0), 4), "is it?"))
    plain = reference(built, ask(Video(clip(0), 4), "is it?"))
    assert np.abs(expected - plain).max() > 0.01
    found = rows(built, [ask(Video(clip(0), 4, max_pixels=FEW), "is it?"), ask(Video(clip(0), 4), "is it?")])
    np.testing.assert_allclose(found, [expected, plain], atol=1e-5 * np.abs(expected).max())


def test__pixel_limits__of_a_video_read_as_images__reach_its_frames(family) -> None:
    built = family("qwen2_vl")
    found = rows(
        built,
        [ask(Video(clip(0), 2, min_pixels=SOME * 2, max_pixels=MANY), "?"), ask(Video(clip(0), 2), "?")],
    )
    assert np.abs(found[0] - found[1]).max() > 0.01


@pytest.mark.parametrize(
    ("name", "part", "message"),
    [
        (
            "llava",
            Image(np.zeros((112, 112, 3), np.uint8), max_pixels=900),
            "images have min_pixels or max_pixels",
        ),
        (
            "llava_onevision",
            Image(np.zeros((112, 112, 3), np.uint8), max_pixels=900),
            "images have min_pixels or max_pixels",
        ),
        ("qwen3_vl_video", Video(clip(0), 4, max_pixels=900), "videos have min_pixels or max_pixels"),
    ],
)
def test__pixel_limits__processor_without_them__item_error(name, part, message, family) -> None:
    built = family(name)
    backbone = TransformersBackbone(built.model, built.processor)
    found = backbone.extract([ask(part, "?"), ask(replace(part, max_pixels=None), "?")], max_errors=-1)
    assert [error.code for error in found.errors] == ["pixel_limits"]
    assert message in found.errors[0].message
    assert found.indices.tolist() == [1]


def test__pixel_limits__different_ones_in_a_prompt__item_error(family, image) -> None:
    built = family("qwen2_vl")
    mixed = ask(Image(image(1), max_pixels=FEW), Image(image(2)), "?")
    with pytest.raises(ExampleError, match="different min_pixels or max_pixels"):
        TransformersBackbone(built.model, built.processor).extract([mixed])


@pytest.mark.parametrize(
    "limits",
    [{"max_pixels": 0}, {"min_pixels": True}, {"max_pixels": 9.5}, {"min_pixels": 9, "max_pixels": 4}],
)
def test__pixel_limits__that_mean_nothing__refused(limits) -> None:
    for part in (Image(b"x", **limits), Video(b"x", **limits)):
        with pytest.raises(ExampleError) as caught:
            as_example([part])
        assert caught.value.code == "pixel_limits"


def test__fault_28__pixel_limits__are_part_of_digest_and_key(family, image) -> None:
    built = family("qwen2_vl")
    examples = [
        ask(Image(image(1)), "?"),
        ask(Image(image(1), max_pixels=FEW), "?"),
        ask(Image(image(1), min_pixels=FEW), "?"),
        ask(Image(image(1), min_pixels=FEW, max_pixels=FEW), "?"),
        ask(Video(clip(0), 2), "?"),
        ask(Video(clip(0), 2, max_pixels=FEW), "?"),
    ]
    assert len({example_hash(example) for example in examples}) == len(examples)
    for backbone in (TransformersBackbone(built.model, built.processor), FakeBackbone()):
        assert len(set(feature_keys(backbone, examples))) == len(examples)
    native = family("qwen2_vl_video")
    assert len(set(feature_keys(TransformersBackbone(native.model, native.processor), examples[4:]))) == 2
    assert len(np.unique(FakeBackbone().extract(examples).features, axis=0)) == len(examples)
