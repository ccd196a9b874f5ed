import io
import warnings
from fractions import Fraction
from functools import partial

import av
import numpy as np
import pytest

from savs.backbones import FakeBackbone
from savs.data import DataWarning, as_example
from savs.media import Audio, Image, MediaWarning, Sampling, Video
from savs.model import MultiLabelModel, SAVModel, predict_together
from savs.model._support_set import as_shot, warn_of_unlike_inputs


def clip(level: int) -> bytes:
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
        for index in range(8):
            frame = av.VideoFrame.from_ndarray(np.full((32, 32, 3), level + index, np.uint8), "rgb24")
            frame.pts, frame.time_base = index, Fraction(1, 10)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return file.getvalue()


@pytest.fixture(scope="module")
def videos():
    return [clip(level) for level in (10, 20, 200, 210)]


LABELS = ["dark", "dark", "bright", "bright"]


def fitted(videos, *samplings) -> SAVModel:
    shots = [Video(content, *samplings[i % len(samplings)]) for i, content in enumerate(videos)]
    return SAVModel(FakeBackbone(), n_heads=4).fit(shots, LABELS)


def quiet(call, *arguments):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        return call(*arguments)


GREY = np.full((8, 8, 3), 99, np.uint8)
TONE = Audio(np.zeros(1600, np.float32), 16_000)


@pytest.mark.parametrize(
    ("example", "media"),
    [
        ("text", ()),
        ([Image(GREY), "what?"], ("image",)),
        ([TONE, Image(GREY), TONE], ("audio", "image")),
    ],
)
def test__as_shot__example__its_media(example, media):
    assert as_shot(as_example(example), "a").media == media


def test__as_shot__videos__their_one_way_or_none(videos):
    def shot(*samplings):
        return as_shot(as_example([*(Video(videos[0], *how) for how in samplings), "same?"]), "a")

    assert shot((4,), (4,)).video == Sampling(4)
    assert shot((4,), (4, 2.0)).video is None
    assert shot((4,)).media == ("video",)


@pytest.mark.parametrize(
    ("sampling", "words"),
    [((4,), "4 frames"), ((1,), "1 frame"), ((64, 2), "2 frames a second, 64 frames at most")],
)
def test__video_sampling__after_fit__said_in_repr_of_words_and_card(videos, sampling, words, tmp_path):
    model = fitted(videos, sampling)
    assert model.video_sampling_ == Sampling(*sampling)
    model.save_pretrained(tmp_path / "model")
    assert f"| Videos | {words} |" in (tmp_path / "model" / "README.md").read_text()
    assert SAVModel.from_pretrained(tmp_path / "model").video_sampling_ == Sampling(*sampling)


@pytest.mark.parametrize("method", ["predict", "predict_proba", "collect", "explain", "predict_set"])
def test__fault_14__videos_read_otherwise_than_the_shots__one_warning(videos, method):
    model, other = fitted(videos, (4,)), Video(videos[0], 2)
    asked = other if method == "explain" else [other, Video(videos[2], 2)]
    with warnings.catch_warnings(record=True) as seen:
        warnings.simplefilter("always")
        model.predict(asked, on_error="collect") if method == "collect" else getattr(model, method)(asked)
    told = [str(one.message) for one in seen if "videos are read with" in str(one.message)]
    told_apart = "videos are read with 2 frames, the shots' were read with 4 frames"
    assert told == [f"{told_apart}: answers may suffer; read both alike"]


def test__predict__videos_read_alike_or_no_videos__no_warning(videos):
    model = fitted(videos, (4,))
    assert quiet(model.predict, [Video(videos[0], 4), [Video(videos[0], 4), "text"]]).tolist()[0] == "dark"
    assert quiet(fitted(videos, (4,), (2,)).predict, [Video(videos[0], 8)]).shape == (1,)


def test__partial_fit__shots_read_otherwise__warned_and_then_no_one_way(videos):
    model = fitted(videos, (4,))
    with pytest.warns(DataWarning, match="read with 2 frames"):
        model.partial_fit([Video(clip(220), 2)], ["bright"])
    assert model.video_sampling_ is None


def test__partial_fit_relabel_forget__keep_the_way(videos):
    model = fitted(videos, (4,))
    quiet(model.partial_fit, [Video(clip(220), 4)], ["bright"])
    model.relabel("0", "bright")
    model.remove_shots(["2"])
    assert [shot.video for shot in model.shots_] == [Sampling(4)] * 4


def test__predict_together__videos_read_otherwise__warned(videos):
    model = fitted(videos, (4,))
    with pytest.warns(DataWarning, match="read with 2 frames"):
        predict_together([model], [Video(videos[0], 2)])


def test__warn_of_unlike__several_ways__all_named(videos):
    given = [as_example(Video(videos[0], n)) for n in (2, 3, 4)]
    with pytest.warns(DataWarning, match="with 2 frames or 3 frames, the shots' were read with 4 frames"):
        warn_of_unlike_inputs([as_shot(given[2], "a")], given)


def test__predict__without_the_medium_of_every_shot__warned_once(videos):
    model = fitted(videos, (4,))
    with pytest.warns(
        DataWarning, match="there are examples without a video, and every shot had that"
    ) as seen:
        model.predict(["bright?", "dark?", Video(videos[0], 4)])
    assert len(seen) == 1
    shots = [Image(GREY), Image(GREY + 1), "no image"]
    images = SAVModel(FakeBackbone(), n_heads=4).fit(shots, ["a", "b", "a"])
    assert quiet(images.predict, ["text"]).shape == (1,)


def test__predict__a_video_for_a_image_or_an_unreadable_one__no_warning_of_missing_media(videos):
    images = SAVModel(FakeBackbone(), n_heads=4).fit([Image(GREY + i) for i in range(4)], ["a", "b"] * 2)
    assert quiet(images.predict, [Video(videos[0], 4)]).shape == (1,)
    assert quiet(
        partial(images.predict, on_error="collect", max_errors=1), [Image(b"none"), Image(GREY)]
    ).errors
    with pytest.warns(DataWarning, match="without an image"):
        images.predict([TONE])


def test__multi_label__without_the_medium_of_every_shot__warned(videos):
    model = MultiLabelModel(FakeBackbone(), n_heads=4).fit(
        [Video(one, 4) for one in videos], [["a"], ["a", "b"], ["b"], []]
    )
    with pytest.warns(DataWarning, match="without a video"):
        model.predict(["bright?"])


def test__find_leaks__the_same_video_read_with_other_frames__found(videos):
    model = fitted(videos, (4,))
    assert model.find_test_leakage(
        [Video(videos[1], 2), Video(clip(220), 4), Video(videos[3], 8, 2.0), "text"]
    ) == [
        0,
        2,
    ]
    assert fitted(videos, (4,), (2,)).find_test_leakage([Video(videos[1], 8)]) == []


# Bit depths of images.

DEEP = [np.full((8, 8), level, np.uint16) for level in (100, 110, 3900, 4000)]


def fitted_on_images(bit_depth):
    return SAVModel(FakeBackbone(), n_heads=4).fit([Image(one, bit_depth=bit_depth) for one in DEEP], LABELS)


def test__bit_depth__after_fit__kept_in_the_saved_classifier_and_said(tmp_path):
    model = fitted_on_images(12)
    assert model.bit_depth_ == 12
    assert {shot.bit_depth for shot in model.shots_} == {12}
    model.save_pretrained(tmp_path / "model")
    loaded = SAVModel.from_pretrained(tmp_path / "model", backbone=FakeBackbone())
    assert loaded.bit_depth_ == 12
    assert set(loaded.shots_) == set(model.shots_)
    assert "read as 12 bits" in (tmp_path / "model" / "README.md").read_text()
    assert model.find_test_leakage(DEEP) == [0, 1, 2, 3]


def test__bit_depth__none_named__nothing_is_written_of_it(tmp_path):
    model = fitted_on_images(16)
    model.partial_fit([Image(np.full((8, 8), 4001, np.uint16), bit_depth=12)], ["bright"])
    assert model.bit_depth_ is None
    plain = SAVModel(FakeBackbone(), n_heads=4).fit([GREY, GREY // 2, GREY // 3, GREY // 4], LABELS)
    plain.save_pretrained(tmp_path / "model")
    assert not any(b"bit_depth" in file.read_bytes() for file in (tmp_path / "model").iterdir())


def test__fit__12_bits_in_16__one_warning_for_all_shots():
    from tests.model.colors import tiny

    images = [np.dstack([one] * 3).repeat(4, axis=0).repeat(4, axis=1) for one in DEEP]
    with pytest.warns(MediaWarning, match="bit_depth=12") as caught:
        SAVModel(tiny().backbone, n_heads=4).fit(images, LABELS)
    assert len(caught) == 1
    quiet(SAVModel(tiny().backbone, n_heads=4).fit, [Image(one, bit_depth=12) for one in images], LABELS)
