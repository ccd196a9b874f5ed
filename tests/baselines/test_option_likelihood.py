"""The likeliest class name, with and without what is subtracted from its likelihood."""

from __future__ import annotations

import numpy as np
import pytest

from savs.backbones import FakeBackbone, load_backbone
from savs.baselines import content_free_example, option_likelihood
from savs.data import Example, Message, Text, as_examples
from savs.errors import DataError, MediaError
from savs.media import Audio, Image, Video

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


def test__impossible__named(tmp_path) -> None:
    video = Example((Message("user", (Video(b"no video"), Text("Which?"))),))
    with pytest.raises(DataError, match="a video cannot be blanked"):
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
