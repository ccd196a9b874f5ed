"""The likeliest class name, with and without what is subtracted from its likelihood."""

from __future__ import annotations

import io
from fractions import Fraction

import av
import numpy as np
import pytest

from savs.backbones import FakeBackbone, load_backbone
from savs.baselines import content_free_example, option_likelihood
from savs.data import Example, Message, Text, as_examples
from savs.errors import DataError, MediaError
from savs.media import Audio, Image, Video
from savs.media.video import decode_video

CLASSES = ["cat", "a sea lion", "dog"]


@pytest.fixture(scope="module")
def queries() -> list[Example]:
    rng = np.random.default_rng(0)
    return [
        Example((Message("user", (Image(rng.integers(0, 255, (32, 40, 3), np.uint8)), Text("What is it?"))),))
        for _ in range(4)
    ]


@pytest.fixture(scope="module")
def tiny():
    return load_backbone("tiny")


def softmax(scores):
    shares = np.exp(scores)
    return shares / shares.sum(axis=1, keepdims=True)


def test__none__softmax_of_sums_or_means(tiny, queries) -> None:
    found = tiny.option_log_likelihood(queries, CLASSES)
    for per_token, scores in ((False, found.sums), (True, found.means)):
        result = option_likelihood(tiny, queries, CLASSES, per_token=per_token)
        np.testing.assert_allclose(result.proba, softmax(scores), atol=1e-9)
        assert result.classes == CLASSES
        assert result.labels == [CLASSES[winner] for winner in scores.argmax(axis=1)]
        assert (result.name, result.answers, result.unparsed) == ("option_likelihood", [], [])


def test__content_free__what_a_gray_image_says_is_subtracted(tiny, queries) -> None:
    gray = Image(np.full((32, 40, 3), 128, np.uint8))
    blank = Example((Message("user", (gray, Text("What is it?"))),))
    scores = tiny.option_log_likelihood([*queries, blank], CLASSES).sums
    result = option_likelihood(tiny, queries, CLASSES, calibration="content_free")
    np.testing.assert_allclose(result.proba, softmax(scores[:4] - scores[4]), atol=1e-5)


def test__batch__mean_log_probability_of_the_queries_is_subtracted(tiny, queries) -> None:
    logs = np.log(softmax(tiny.option_log_likelihood(queries, CLASSES).sums))
    result = option_likelihood(tiny, queries, CLASSES, calibration="batch")
    np.testing.assert_allclose(result.proba, softmax(logs - logs.mean(axis=0)), atol=1e-9)


def test__truth_values__answered_with_themselves() -> None:
    result = option_likelihood(FakeBackbone(), as_examples(["ruby", "ice", "sea"]), [True, False])
    sums = FakeBackbone().option_log_likelihood(as_examples(["ruby", "ice", "sea"]), ["Yes", "No"]).sums
    assert result.labels == [not winner for winner in sums.argmax(axis=1)]


def test__content_free_example__sizes_and_lengths_stay_words_too() -> None:
    sound = np.sin(np.arange(8000) / 5).astype(np.float32)
    parts = (Image(np.zeros((20, 30), np.uint8)), Text("Which?"), Audio(sound, 8000))
    blank = content_free_example(Example((Message("user", parts),), label="x", id="a"))
    image, text, audio = blank.parts
    assert (image.source.shape, set(image.source.ravel().tolist())) == ((20, 30, 3), {128})
    assert text == Text("Which?")
    assert len(audio.source) == audio.sampling_rate
    assert not audio.source.any()
    assert (blank.label, blank.id) == ("x", "a")


@pytest.mark.parametrize(
    ("size", "n_frames", "rate"),
    [
        ((64, 48), 12, 10),
        ((63, 37), 30, Fraction(30000, 1001)),
        ((16, 16), 1, 25),
        ((32, 32), 3, Fraction(1, 600)),
    ],
)
@pytest.mark.parametrize(("n_read", "fps"), [(8, None), (64, 2), (1, None)])
def test__content_free_example__video_of_the_same_size_and_time(size, n_frames, rate, n_read, fps) -> None:
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("mpeg4", rate=rate)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        for place in range(n_frames):
            pixels = np.full((size[1], size[0], 3), 7 * place, np.uint8)
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = place, 1 / Fraction(rate)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    part = Video(file.getvalue(), n_read, fps)
    blank, words = content_free_example(Example((Message("user", (part, Text("Which?"))),))).parts
    read = [decode_video(one.source, n_read, fps=fps) for one in (part, blank)]
    assert words == Text("Which?")
    assert (blank.n_frames, blank.fps) == (n_read, fps)
    assert len(read[0].images) == len(read[1].images)
    assert {image.size for image in read[1].images} == {size}
    assert read[1].duration == pytest.approx(read[0].duration, rel=0.01)
    assert {int(pixel) for image in read[1].images for pixel in np.unique(np.asarray(image))} == {128}
    again, _ = content_free_example(Example((Message("user", (part, Text("Which?"))),))).parts
    assert again.source == blank.source


def test__impossible__named(tmp_path) -> None:
    video = Example((Message("user", (Video(b"no video"), Text("Which?"))),))
    with pytest.raises(MediaError):
        content_free_example(video)
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no image")
    with pytest.raises(MediaError):
        content_free_example(Example((Message("user", (Image(broken),)),)))
    with pytest.raises(DataError, match="at least two classes"):
        option_likelihood(FakeBackbone(), [], ["cat"])
    with pytest.raises(ValueError, match="calibration is one of none, content_free, batch"):
        option_likelihood(FakeBackbone(), [], CLASSES, calibration="prior")
    assert option_likelihood(FakeBackbone(), [], CLASSES, calibration="batch").labels == []
