"""Videos through a real processor and model, whose family reads them as images."""

from __future__ import annotations

import io
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

import savs
from savs.cache._keys import feature_keys
from savs.data import as_example, example_hash
from savs.errors import ItemError
from savs.media import Video
from savs.media.video import load_video


def clip(dark: int) -> bytes:
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream: Any = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 64, 64, "yuv420p"
        for index in range(12):
            pixels = np.full((64, 64, 3), dark + index * 8, np.uint8)
            frame = av.VideoFrame.from_ndarray(pixels, format="rgb24")
            frame.pts, frame.time_base = index, Fraction(1, 10)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return file.getvalue()


@pytest.fixture(scope="module")
def backbone() -> Any:
    return savs.load_backbone("tiny")


@pytest.fixture
def items(tmp_path: Path) -> list[dict[str, str]]:
    rows = []
    for number, dark in enumerate((0, 90, 150)):
        (tmp_path / f"{number}.mp4").write_bytes(clip(dark))
        rows.append({"video": str(tmp_path / f"{number}.mp4"), "question": "What " + "moves " * number + "?"})
    return rows


def vectors(backbone: Any, items: list[Any]) -> Any:
    return backbone.extract([as_example(item) for item in items]).features


def test__video__batched_single_and_shuffled__same(backbone: Any, items: list[Any]) -> None:
    given = [*items, {"question": "only text"}]
    batched = vectors(backbone, given)
    single = np.concatenate([vectors(backbone, [item]) for item in given])
    np.testing.assert_allclose(batched, single, atol=1e-5)
    np.testing.assert_allclose(vectors(backbone, given[::-1])[::-1], batched, atol=1e-5)
    assert min(np.abs(batched[i] - batched[j]).max() for i in range(4) for j in range(i)) > 1e-3


def test__video__same_as_its_frames_as_images(backbone: Any, items: list[Any]) -> None:
    frames = load_video(Path(items[1]["video"]), 8)
    images = {"images": frames, "question": items[1]["question"]}
    np.testing.assert_allclose(vectors(backbone, [items[1]]), vectors(backbone, [images]), atol=1e-5)


def test__video__broken_one__item_error_alone(backbone: Any, items: list[Any], tmp_path: Path) -> None:
    (tmp_path / "bad.mp4").write_bytes(b"nothing" * 99)
    with pytest.raises(ItemError) as caught:
        vectors(backbone, [*items, {"video": str(tmp_path / "bad.mp4"), "question": "q", "id": "bad"}])
    assert (caught.value.code, caught.value.id) == ("video_undecodable", "bad")


def test__fault_28__key_and_hash__content_and_number_of_frames(backbone: Any) -> None:
    parts = [Video(clip(0), 2), Video(clip(0), 2), Video(clip(0), 3), Video(clip(9), 2)]
    examples = [as_example([part, "q"]) for part in parts]
    keys = feature_keys(backbone, examples)
    assert None not in keys
    for same in (keys, [example_hash(example) for example in examples]):
        assert same[0] == same[1]
        assert len(set(same)) == 3


def test__markers__video_and_image__each_in_its_place() -> None:
    row = {"video": "a.mp4", "image": "b.png", "question": "first <video> then <image>."}
    example = as_example(row)
    assert [type(part).__name__ for part in example.parts] == ["Text", "Video", "Text", "Image", "Text"]
    assert example.text == row["question"]
    assert as_example("what does <video> do in HTML?").text == "what does <video> do in HTML?"
    with pytest.raises(ItemError, match="one marker per video"):
        as_example(row | {"question": "<video> <video> <image>"})


def test__chat__video_part() -> None:
    chat = [{"role": "user", "content": [{"type": "video", "video": "x.mp4"}, {"type": "text", "text": "q"}]}]
    assert [type(part).__name__ for part in as_example(chat).parts] == ["Video", "Text"]
