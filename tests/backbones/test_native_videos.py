"""Videos through families that take them as such, with their own video processors."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.backbones.families import VIDEOS
from tests.backbones.families.reference import reference
from tests.backbones.test_videos import clip

import savs
from savs.backbones import TransformersBackbone
from savs.backbones._batching import BatchEncoder, render_all
from savs.cache._keys import feature_keys
from savs.data import Example, Message, Text
from savs.errors import BackboneError, ItemError
from savs.media import Image, Video

# Small videos have more steps in time than rows, which no release of transformers places right.
pytestmark = pytest.mark.slow

TASK = "the red dog sat on a blue mat. The blue cat sat on the red dog. Say Yes or No, and nothing else. "


def ask(*parts: Any, id: str | None = None) -> Example:
    made = tuple(Text(part) if isinstance(part, str) else part for part in parts)
    return Example((Message("user", made),), id=id)


def assert_same(found: np.ndarray, expected: np.ndarray, tolerance: float = 1e-5) -> None:
    assert np.isfinite(found).all()
    np.testing.assert_array_less(np.abs(found - expected), tolerance * np.abs(expected).max())


def rows(built: Any, examples: list[Example], **options: Any) -> np.ndarray:
    options = {"prefix_reuse": False} | options
    return TransformersBackbone(built.model, built.processor, **options).extract(examples).features


@pytest.mark.parametrize("name", VIDEOS)
def test__fault_21__videos_in_any_batch_and_order__equal_the_unbatched_reference(name, family, image) -> None:
    built = family(name)
    examples = [
        ask("is this a cat?"),
        ask(Video(clip(0), 4), "is it?"),
        ask(Video(clip(90), 4), "the red dog sat on a blue mat. Yes or No."),
        ask(Video(clip(90), 6), "x"),
        ask("a ", Video(clip(30), 4), " and ", Video(clip(150), 4), "the same?"),
        ask(Image(image(1)), Video(clip(60), 4), "match?"),
        ask(Video(clip(9), 3), "odd"),
    ]
    expected = np.stack([reference(built, example) for example in examples])
    for batch_size in (1, 16):
        assert_same(rows(built, examples, batch_size=batch_size), expected)
    assert_same(rows(built, examples[::-1], batch_size=3)[::-1], expected)
    assert np.abs(expected[:, None] - expected[None]).max(2)[~np.eye(len(examples), dtype=bool)].min() > 0.01


@pytest.mark.parametrize("name", VIDEOS)
def test__encode__videos_of_as_many_frames__are_one_batch(name, family) -> None:
    built = family(name)
    examples = [ask(Video(clip(dark), 4), "a" * (dark + 1)) for dark in (0, 30, 60)]
    batches, failures = BatchEncoder(built.processor).encode(render_all(built.processor, examples)[0])
    assert not failures
    assert [batch.indices for batch in batches] == [[0, 1, 2]]
    assert batches[0].sizes[0] == [(64, 64)] * 4


@pytest.mark.parametrize("name", VIDEOS)
def test__prefix_reuse__questions_on_one_video__same_vectors(name, family) -> None:
    built = family(name)
    examples = [ask(Video(source, 4), TASK + text) for source in [clip(9)] for text in ("is it?", "a?", "no")]
    backbone = TransformersBackbone(built.model, built.processor)
    assert_same(backbone.extract(examples).features, rows(built, examples))
    assert (backbone.report.prefix_check, backbone.report.n_reused) == ("passed", 3)


@pytest.mark.parametrize("name", VIDEOS)
def test__generate__videos_batched__answers_as_alone(name, family) -> None:
    built = family(name)
    backbone = TransformersBackbone(built.model, built.processor)
    examples = [ask(Video(clip(dark), 4), "is it?" * (1 + dark // 60)) for dark in (0, 60, 150)]
    alone = [backbone.generate([example], max_new_tokens=6)[0] for example in examples]
    assert backbone.generate(examples, max_new_tokens=6) == alone
    assert len(set(alone)) > 1


@pytest.mark.parametrize("name", VIDEOS)
def test__load_backbone__folder_with_a_video_section__reads_videos(name, family, tmp_path: Path) -> None:
    built = family(name)
    built.model.save_pretrained(tmp_path)
    built.processor.save_pretrained(tmp_path)
    built.processor.video_processor.save_pretrained(tmp_path)
    backbone = savs.load_backbone(str(tmp_path), prefix_reuse=False)
    assert backbone.modalities == {"text", "image", "video"}
    example = ask(Video(clip(3), 4), "is it?")
    assert_same(backbone.extract([example]).features, rows(built, [example]))


def test__load_backbone__folder_without_a_video_section__reads_frames_as_images(family, tmp_path) -> None:
    built = family("llava_onevision")
    built.model.save_pretrained(tmp_path)
    built.processor.save_pretrained(tmp_path)
    backbone = savs.load_backbone(str(tmp_path))
    assert backbone.modalities == {"text", "image"}
    frames = ask(*(Image(np.asarray(image)) for image in _frames(clip(3), 2)), "is it?")
    found = backbone.extract([ask(Video(clip(3), 2), "is it?")]).features
    assert_same(found, backbone.extract([frames]).features)


def _frames(data: bytes, n_frames: int) -> list[Any]:
    from savs.media.video import load_video

    return load_video(data, n_frames)


def test__extract__two_videos_of_unlike_numbers_of_frames__error_that_says_so_or_vectors(family) -> None:
    example = ask(Video(clip(0), 4), Video(clip(90), 2), "same?", id="two")
    built = family("llava_onevision_video")
    with pytest.raises(ItemError, match=r"two: .* its videos are read with 4 and 2 frames") as caught:
        rows(built, [example])
    assert caught.value.code == "processor_refused"
    built = family("qwen2_5_vl_video")
    assert_same(rows(built, [example]), reference(built, example)[None])


def test__fault_28__keys__frames_rate_and_settings_count(fresh_family) -> None:
    built = fresh_family("qwen2_5_vl_video")
    backbone = TransformersBackbone(built.model, built.processor)
    videos = [Video(clip(0), 4), Video(clip(0), 4), Video(clip(0), 6), Video(clip(0), 4, fps=2.0)]
    keys = feature_keys(backbone, [ask(video, "q") for video in [*videos, Video(clip(9), 4)]])
    assert None not in keys
    assert keys[0] == keys[1]
    assert len(set(keys)) == 4
    built.processor.video_processor.do_normalize = False
    assert feature_keys(backbone, [ask(videos[0], "q")])[0] != keys[0]


def test__extract__fps__as_many_frames_as_the_time_asks_for(family) -> None:
    built = family("qwen2_5_vl_video")
    timed, counted = ask(Video(clip(0), 100, fps=5.0), "q"), ask(Video(clip(0), 6), "q")  # 1.2 s
    assert_same(rows(built, [timed]), rows(built, [counted]))


def test__extract__fps_of_frames_as_images__as_many_as_the_time_asks_for(family) -> None:
    built = family("llava")
    timed, counted = ask(Video(clip(0), 100, fps=5.0), "q"), ask(Video(clip(0), 6), "q")
    assert_same(rows(built, [timed]), rows(built, [counted]))
    most = ask(Video(clip(0), 3, fps=5.0), "q")
    assert_same(rows(built, [most]), rows(built, [ask(Video(clip(0), 3), "q")]))


def test__extract__own_video_token_in_the_text__item_error(family) -> None:
    with pytest.raises(ItemError) as caught:
        rows(family("qwen2_5_vl_video"), [ask(Video(clip(0), 4), "what is <|video_pad|>?", id="x")])
    assert (caught.value.id, caught.value.code) == ("x", "video_count")


def test__fault_11__broken_video__item_error_alone(family) -> None:
    built = family("qwen2_5_vl_video")
    backbone = TransformersBackbone(built.model, built.processor)
    examples = [ask(Video(clip(0), 4), "q"), ask(Video(b"nothing" * 99, 4), "q", id="bad")]
    found = backbone.extract(examples, max_errors=1)
    assert [(error.id, error.code) for error in found.errors] == [("bad", "video_undecodable")]
    assert_same(found.features, rows(built, examples[:1]))


def test__extract__one_frame_where_two_are_needed__error_says_so(family) -> None:
    with pytest.raises(ItemError, match="one frame of its video is read, and this model may need two"):
        rows(family("qwen3_vl_video"), [ask(Video(clip(0), 1), "q")])
    assert rows(family("qwen2_5_vl_video"), [ask(Video(clip(0), 1), "q")]).shape[0] == 1


def test__extract__model_without_videos__refused(family, fresh_family) -> None:
    deaf, built = fresh_family("llava"), family("llava_onevision_video")
    with pytest.raises(BackboneError, match="takes no pixel_values_videos, so videos would be ignored"):
        TransformersBackbone(deaf.model, built.processor).extract([ask(Video(clip(0), 4), "q")])
