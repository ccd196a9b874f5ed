"""Parts of chat messages: which medium they mean, how it is read, and keys that nobody reads."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from tests.data.tables import write_parquet

from savs.data import DataWarning, Example, as_example, as_examples, read_examples
from savs.errors import ExampleError
from savs.media import Video


def chat(*content: Any, **columns: Any) -> Any:
    messages = [{"role": "user", "content": list(content)}]
    return {"messages": messages, **columns} if columns else messages


def sources(example: Example) -> list[str]:
    return [str(part.source) for part in (*example.images, *example.audios)]


def refused(item: Any) -> ExampleError:
    with pytest.raises(ExampleError) as caught:
        as_example(item)
    return caught.value


def image(index: Any = None, **keys: Any) -> dict[str, Any]:
    return {"type": "image", "text": None, "index": index, **keys}


def text(content: str) -> dict[str, Any]:
    return {"type": "text", "text": content, "index": None}


def test__index__says_which_image_goes_there() -> None:
    turn = (text("Left:"), image(1), text("Right:"), image(0))
    example = as_example(chat(*turn, images=["first.png", "second.png"]))
    assert sources(example) == ["second.png", "first.png"]
    assert example.text == "Left:<image>Right:<image>"


def test__index__over_several_turns() -> None:
    messages = [
        {"role": "user", "content": [image(2), text("a")]},
        {"role": "assistant", "content": "b"},
        {"role": "user", "content": [image(0), text("c"), image(1)]},
    ]
    example = as_example({"messages": messages, "images": ["0.png", "1.png", "2.png"]})
    assert sources(example) == ["2.png", "0.png", "1.png"]


def test__index__counts_videos_and_audio_clips_on_their_own() -> None:
    turn = (
        {"type": "video", "index": 1},
        image(0),
        {"type": "audio", "index": 0},
        {"type": "video", "index": 0},
    )
    example = as_example(chat(*turn, images=["a.png"], videos=["0.mp4", "1.mp4"], audio="a.wav"))
    assert [str(part.source) for part in example.parts] == ["1.mp4", "a.png", "a.wav", "0.mp4"]


@pytest.mark.parametrize(
    ("parts", "message"),
    [
        ([image(0), image(2)], r"index 2, but there are 2 image\(s\); the first one is 0"),
        ([image(1), image(1)], "two parts have the index 1"),
        ([image(0), image()], "some image parts have an index and some have none"),
        ([image(1)], "no part has the index 0"),
        ([image(-1), image(0)], "index is a whole number"),
        ([image(True), image(0)], "index is a whole number"),
        ([image("1"), image(0)], "index is a whole number"),
        ([image(0, image="x.png"), image(1)], "both 'image' and 'index'"),
        ([image(), image(), image()], r"3 <image> marker\(s\) but 2 image\(s\)"),
    ],
)
def test__index__that_cannot_be_meant__item_error(parts: list[Any], message: str) -> None:
    error = refused(chat(*parts, text("?"), images=["a.png", "b.png"]))
    assert error.code in {"chat", "part_type", "marker_mismatch"}
    with pytest.raises(ExampleError, match=message):
        raise error


def test__index__without_images_beside__item_error() -> None:
    assert "names no image" in refused(chat(image(0), text("?"))).message


@pytest.mark.parametrize(
    ("part", "message"),
    [
        (
            {"type": "image", "image": "a.png", "resized_height": 280},
            "'resized_height' of a chat's image part",
        ),
        (
            {"type": "image", "image": "a.png", "crop": [0, 0, 1, 1]},
            "'crop' of a chat's image part is not read",
        ),
        ({"type": "image", "image": "a.png", "fps": 2}, "'fps' of a chat's image part"),
        ({"type": "image", "image": "a.png", "text": "a cat"}, "'text' of a chat's image part"),
        ({"type": "image", "source": {"type": "base64"}}, "'source' of a chat's image part"),
        ({"type": "text", "text": "a", "image": "a.png"}, "'image' of a chat's text part"),
        ({"type": "text", "text": "a", "cache_control": {}}, "'cache_control' of a chat's text part"),
        ({"type": "text", "text": None}, "a text part has no text"),
        ({"type": "text", "content": "a"}, "'content' of a chat's text part"),
        (
            {"type": "image_url", "image_url": {"url": "a.png", "detail": "low"}},
            "'detail' of a chat's image_url",
        ),
        ({"type": "video", "video": "a.mp4", "video_start": 1.0}, "'video_start'.*cut the file"),
        ({"type": "video", "video": "a.mp4", "total_pixels": 9}, "'total_pixels'.*max_pixels"),
        ({"type": "video", "image": "c.png"}, "'image' of a chat's video part"),
        ({"type": "audio", "audio": "a.wav", "language": "en"}, "'language' of a chat's audio part"),
        (
            {"type": "input_audio", "input_audio": {"data": "AAAA", "rate": 1}},
            "'rate' of a chat's input_audio",
        ),
        ({"type": "audio", "sampling_rate": 16000}, "sampling rate without samples"),
        ({"type": "tool_result", "text": "a"}, "a part's type is"),
        ({"type": ["image"], "image": "a.png"}, "a part's type is"),
    ],
)
def test__keys__that_are_not_read__item_error(part: dict[str, Any], message: str) -> None:
    with pytest.raises(ExampleError, match=message):
        as_example(chat(part, {"type": "text", "text": "?"}))


def test__keys__filled_with_none_by_tables_or_without_meaning__are_let_be() -> None:
    part = {"type": "image_url", "image_url": {"url": "a.png", "detail": "auto"}, "text": "", "fps": None}
    assert sources(as_example(chat(part))) == ["a.png"]
    audio = {"type": "input_audio", "input_audio": {"data": "UklGRg==", "format": "wav"}}
    assert as_example(chat(audio)).audios[0].source == b"RIFF"


def test__pixel_limits__of_a_part__are_its_image_s() -> None:
    limits = {"min_pixels": 3136, "max_pixels": 50176}
    own = as_example(chat({"type": "image", "image": "a.png", **limits}, text("?")))
    beside = as_example(chat(image(**limits), text("?"), images=["a.png"]))
    for example in (own, beside):
        assert example.images[0].pixel_limits == (3136, 50176)
        assert as_example(example).images[0].pixel_limits == (3136, 50176)


@pytest.mark.parametrize(
    ("keys", "sampling"),
    [
        ({}, "8"),
        ({"nframes": 3}, "3"),
        ({"num_frames": 12}, "12"),
        ({"fps": 2.0}, "64 at 2.0"),
        ({"fps": 1, "max_frames": 16}, "16 at 1.0"),
        ({"max_frames": 4, "min_frames": 2}, "4"),
        ({"min_frames": 16}, "16"),
        ({"max_frames": 768}, "8"),
        ({"nframes": 4, "min_frames": 2, "max_frames": 6}, "4"),
    ],
)
def test__frames__of_a_video_part__are_read(keys: dict[str, Any], sampling: str) -> None:
    for item in (
        chat({"type": "video", "video": "a.mp4", **keys}),
        chat({"type": "video", **keys}, videos=["a.mp4"]),
    ):
        assert [str(video.sampling) for video in as_example(item).videos] == [sampling]


@pytest.mark.parametrize(
    "keys",
    [
        {"nframes": 0},
        {"nframes": 2.5},
        {"nframes": 4, "fps": 1.0},
        {"nframes": 4, "num_frames": 4},
        {"fps": 0},
        {"fps": "2"},
        {"fps": 2.0, "min_frames": 4},
        {"min_frames": 9, "max_frames": 4},
        {"max_frames": True},
        {"nframes": 8, "max_frames": 4},
    ],
)
def test__frames__that_mean_nothing__item_error(keys: dict[str, Any]) -> None:
    assert refused(chat({"type": "video", "video": "a.mp4", **keys})).code in {"part_type", "video_type"}


def test__frames__of_a_part__win_over_the_option_for_the_dataset(tmp_path) -> None:
    import json

    rows = [
        {"messages": chat({"type": "video", "video": "a.mp4", "nframes": 8}), "label": "a"},
        {"messages": chat({"type": "video", "video": "a.mp4"}), "label": "b"},
    ]
    (tmp_path / "d.jsonl").write_text("\n".join(map(json.dumps, rows)))
    (tmp_path / "a.mp4").write_bytes(b"x")
    found = read_examples(tmp_path / "d.jsonl", video_frames=4)
    assert [video.n_frames for example in found for video in example.videos] == [8, 4]


def test__same_video__is_one__whoever_named_its_frames() -> None:
    from savs.data import example_hash

    named, plain = (as_example([Video(b"x", 4, own_frames=own)]) for own in (True, False))
    with pytest.raises(Exception, match="video"):
        example_hash(as_example([Video(b"")]))
    assert example_hash(named) == example_hash(plain)


def test__bare_path_in_a_chat__is_text_with_a_warning() -> None:
    with pytest.warns(DataWarning, match=r"'a.png' in a chat is read as text; a medium has a type there"):
        example = as_example(chat("a.png", "what is it?"))
    assert example.images == ()


def test__chat__lists_as_arrays_of_pandas__are_lists(tmp_path) -> None:
    import pandas as pd
    import pyarrow as pa
    import pyarrow.parquet as pq

    turn = {"role": "user", "content": [{"type": "image", "text": None}, {"type": "text", "text": "?"}]}
    row = {"messages": [turn], "images": ["a.png"]}
    pq.write_table(pa.Table.from_pylist([row]), tmp_path / "a.parquet")
    (record,) = pd.read_parquet(tmp_path / "a.parquet").to_dict("records")
    assert as_example(record).messages[0].parts[1] == as_example(row).messages[0].parts[1]
    assert sources(as_example(record)) == ["a.png"]


def test__parts_in_a_table_of_pandas__as_in_its_file(tmp_path: Path) -> None:
    # pandas makes decimals of whole numbers where other parts have none.
    turn = (text("Left:"), image(1, min_pixels=3136), text("Right:"), image(0, min_pixels=3136))
    path = write_parquet(tmp_path / "a.parquet", [chat(*turn, images=["first.png", "second.png"])])
    for (example,) in (as_examples(pd.read_parquet(path)), read_examples(path)):
        assert [Path(source).name for source in sources(example)] == ["second.png", "first.png"]
        assert {part.min_pixels for part in example.images} == {3136}
    assert refused(chat(image(0.5), images=["a.png"])).code == "part_type"
    assert sources(as_example(chat(image(float("nan")), images=["a.png"]))) == ["a.png"]
