"""Controls: words against scikit-learn's own pipeline, pixels, and what is around the content."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image as PILImage
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import make_pipeline

from savs.baselines import metadata, pixels, tf_idf
from savs.baselines.controls import pixel_rows
from savs.data import Example, Message, Text
from savs.errors import DataError, MediaError
from savs.media import Audio, Image, Video, image_area
from savs.media.image import image_header

SPORT = [
    "the match was won",
    "the team lost the match",
    "a goal in the last minute",
    "the coach and the team",
]
FOOD = ["bread and soup", "the soup was salty", "a cake with plums", "bread from the oven, with salt"]


def example(*parts, label=None, id=None) -> Example:
    return Example((Message("user", tuple(Text(p) if isinstance(p, str) else p for p in parts)),), label, id)


def square(value: int, size: tuple[int, int] = (16, 16)) -> Image:
    return Image(np.full((size[1], size[0], 3), value, np.uint8))


def test__tf_idf__scikit_learns_pipeline() -> None:
    shots = [example(text, label="sport") for text in SPORT] + [example(text, label="food") for text in FOOD]
    queries = [example(square(0), "the team"), example("soup", "of the day"), example("")]
    pipeline = make_pipeline(
        TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True), LogisticRegression(C=10, max_iter=1000)
    ).fit(SPORT + FOOD, ["sport"] * 4 + ["food"] * 4)
    found = tf_idf(shots, queries)
    expected = pipeline.predict_proba(["the team", "soup\nof the day", ""])
    np.testing.assert_allclose(found.proba, expected, atol=1e-9)
    assert (found.name, found.labels[:2], found.classes) == ("tf_idf", ["sport", "food"], ["food", "sport"])
    assert tf_idf(shots, []).labels == []


def test__tf_idf__no_words__says_so() -> None:
    shots = [example(square(0), label=0), example("a b", label=1)]  # scikit-learn's words have two letters
    with pytest.raises(DataError, match="the shots have no words"):
        tf_idf(shots, shots)


def test__pixel_rows__two_images__stand_side_by_side() -> None:
    rows = pixel_rows([example(square(0), square(255))])
    assert rows.shape == (1, 2 * 192)
    assert (rows[0, :192].max(), rows[0, 192:].min()) == pytest.approx((0.0, 1.0))


def test__pixels__bright_and_dark__are_told_apart() -> None:
    shots = [example(square(value), label=value > 100) for value in (0, 20, 40, 200, 220, 240)]
    found = pixels(shots, [example(square(10)), example(square(250))])
    assert (found.name, found.labels, found.classes) == ("pixels", [False, True], [False, True])
    np.testing.assert_allclose(found.proba.sum(axis=1), 1)


def test__pixels__no_image_or_another_number__names_the_example() -> None:
    shots = [example(square(0), label="a", id="one"), example(square(9), label="b", id="two")]
    with pytest.raises(DataError, match="example q has no image"):
        pixels(shots, [example("text", id="q")])
    with pytest.raises(DataError, match="example 3 has 2 images, the first example 1"):
        pixels(shots, [example(square(0)), example(square(0), square(0))])
    with pytest.raises(MediaError, match="broken: ") as caught:
        pixels(shots, [example(Image(b"no image"), id="broken")])
    assert caught.value.id == "broken"


def encoded(size: tuple[int, int], format: str, seed: int) -> bytes:
    values = np.random.default_rng(seed).integers(0, 255, (size[1], size[0], 3), np.uint8)
    file = io.BytesIO()
    PILImage.fromarray(values).save(file, format)
    return file.getvalue()


@pytest.mark.parametrize(
    "leak",
    [
        lambda label, seed: [Image(encoded((16, 16), ("PNG", "JPEG")[label], seed))],
        lambda label, seed: [Image(encoded((16 + 8 * label, 16), "PNG", seed))],
        lambda label, seed: [Image(encoded((16, 16), "BMP", seed))] * (1 + label),
        lambda label, _: [("word " * (3 + 5 * label)).strip()],
        lambda label, seed: [Audio(np.zeros(9, np.float32), 9)] * label + [str(seed)],
    ],
    ids=["format", "width", "number", "length", "audio"],
)
def test__metadata__classes_that_differ_in_what_is_around_them__are_found(leak) -> None:
    shots = [example(*leak(seed % 2, seed), label=["no", "yes"][seed % 2]) for seed in range(8)]
    queries = [example(*leak(seed % 2, seed)) for seed in range(8, 14)]
    found = metadata(shots, queries)
    assert found.labels == ["no", "yes"] * 3
    assert found.name == "metadata"
    assert found.classes == ["no", "yes"]


def test__metadata__files_bytes_and_pil__same_size_and_format(tmp_path) -> None:
    data = encoded((20, 12), "PNG", 0)
    (tmp_path / "a.png").write_bytes(data)
    assert image_header(tmp_path / "a.png") == image_header(data) == (20, 12, "PNG", len(data))
    with PILImage.open(tmp_path / "a.png") as opened:
        assert image_header(opened) == (20, 12, "PNG", 0)
    assert image_header(np.zeros((12, 20), np.uint8)) == (20, 12, "", 0)
    for source, code in ((tmp_path / "none.png", "media_missing"), (tmp_path, "media_not_a_file")):
        with pytest.raises(MediaError) as caught:
            image_header(source)
        assert caught.value.code == code
    with pytest.raises(MediaError):
        image_header(b"no image")


def test__metadata__size_behind_the_first_bytes__is_found_by_decoding() -> None:
    """A TIFF may have its directory at the end."""
    data = encoded((400, 200), "TIFF", 0)
    directory = int.from_bytes(data[4:8], "little")
    padding = bytes(80_000)
    data = data[:4] + (len(data) + len(padding)).to_bytes(4, "little") + data[8:] + padding + data[directory:]
    assert image_area(data) == 0
    assert image_header(data)[:2] == (400, 200)


def test__controls__unusable_shots__one_line() -> None:
    for control in (tf_idf, pixels, metadata):
        with pytest.raises(DataError, match="example x has no label"):
            control([example(square(0), "red", label=1), example(square(0), "red", id="x")], [])
        with pytest.raises(DataError, match="one class"):
            control([example(square(0), "red", label=1)] * 2, [])
        with pytest.raises(DataError, match="got no shot"):
            control([], [])


def test__metadata__broken_image__is_named_and_a_video_is_not_opened() -> None:
    shots = [example("aa", label=1), example("b", label=2)]
    with pytest.raises(MediaError, match="broken: "):
        metadata(shots, [example(Image(b"no image"), id="broken")])
    assert len(metadata(shots, [example(Video(b"no video"))]).labels) == 1
