from __future__ import annotations

import base64
import io
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from savs.backbones import PromptTemplate
from savs.data import DataWarning, Example, Message, Text, as_example, as_examples
from savs.errors import DataError, ExampleError
from savs.media import Audio, Image, Video
from savs.media._coercion import as_audio

SAMPLES = np.zeros(100)
DATA = b"RIFF...."
URL = "data:audio/wav;base64," + base64.b64encode(DATA).decode()
WAV = Path("a.wav")


def shape(example: Example) -> list[Any]:
    """Texts as they are, media as their kind and source."""
    return [p.text if isinstance(p, Text) else (type(p).__name__, p.source) for p in example.parts]


def refused(item: Any, **options: Any) -> ExampleError:
    with pytest.raises(ExampleError) as caught:
        as_example(item, **options)
    assert caught.value.message.isprintable()
    assert " at 0x" not in caught.value.message
    return caught.value


@pytest.mark.parametrize(
    ("item", "parts"),
    [
        ("a.wav", [WAV]),
        ("a.FLAC", [Path("a.FLAC")]),
        (WAV, [WAV]),
        (URL, [DATA]),
        (Audio(WAV), [WAV]),
        (Audio("a.wav"), [WAV]),  # type: ignore[arg-type]
        (Audio(DATA), [DATA]),
        ({"array": SAMPLES, "sampling_rate": 8000}, [SAMPLES]),
        (("a.wav", "What is it?"), [WAV, "What is it?"]),
        ((Audio(DATA), "What is it?"), [DATA, "What is it?"]),
        ((["a.wav", "b.mp3"], "Which?"), [WAV, Path("b.mp3"), "Which?"]),
        (("a.wav", "In <audio>: what?"), ["In ", WAV, ": what?"]),
        (["Before", "a.wav", "after"], ["Before", WAV, "after"]),
        ([{"type": "audio", "audio": "a.wav"}, "q"], [WAV, "q"]),
        ({"audio": "a.wav", "question": "q"}, [WAV, "q"]),
        ({"audio_path": "a.wav"}, [WAV]),
        ({"audios": ["a.wav", "b.mp3"], "question": "q"}, [WAV, Path("b.mp3"), "q"]),
        ({"audio": {"bytes": DATA, "path": "x.wav"}, "question": "q"}, [DATA, "q"]),
        ({"audio": {"bytes": None, "path": "a.wav"}, "question": "q"}, [WAV, "q"]),
        ({"audio": {"array": SAMPLES, "sampling_rate": 8000}, "question": "q"}, [SAMPLES, "q"]),
        ({"audio": {"path": "x.wav", "array": SAMPLES, "sampling_rate": 8000}}, [SAMPLES]),
        ({"audio": "no_ending", "question": "q"}, [Path("no_ending"), "q"]),
        ({"audio": io.BytesIO(DATA)}, [DATA]),
        ({"image": "a.wav", "question": "q"}, [WAV, "q"]),
        ({"image": {"bytes": DATA, "path": "x.wav"}}, [DATA]),
        ({"audio": None, "audios": float("nan"), "question": "q"}, ["q"]),
    ],
)
def test__as_example__audio_in_every_form__audio_part(item: Any, parts: list[Any]) -> None:
    example = as_example(item)
    found = [part.text if isinstance(part, Text) else part.source for part in example.parts]
    assert len(found) == len(parts)
    assert all(one is other or one == other for one, other in zip(found, parts, strict=True))
    assert all(isinstance(part, Text | Audio) for part in example.parts)
    assert as_example(example) is example


@pytest.mark.parametrize(
    "part",
    [
        {"type": "audio", "audio": "a.wav"},
        {"type": "audio", "path": "a.wav"},
        {"type": "audio", "url": "a.wav"},
        {"type": "audio_url", "audio_url": {"url": "a.wav"}},
        {"type": "audio_url", "audio_url": "a.wav"},
        {"type": "audio", "audio": URL},
        {"type": "audio", "base64": base64.b64encode(DATA).decode()},
        {"type": "audio", "base64": URL},
        {"type": "input_audio", "input_audio": {"data": base64.b64encode(DATA).decode(), "format": "wav"}},
        {"type": "audio_url", "audio_url": {"url": URL}},
        {"type": "audio", "audio": SAMPLES, "sampling_rate": 8000},
        {"type": "audio", "array": SAMPLES, "sampling_rate": 8000},
        {"type": "audio", "array": list(SAMPLES), "sampling_rate": 8000.0},
        {"type": "audio", "audio": {"array": SAMPLES, "sampling_rate": np.int64(8000)}},
        Audio(DATA),
    ],
)
def test__chat__audio_part_in_every_form__audio_part(part: Any) -> None:
    (audio, text) = as_example([{"role": "user", "content": [part, {"type": "text", "text": "q"}]}]).parts
    assert isinstance(audio, Audio)
    assert text == Text("q")
    if isinstance(audio.source, np.ndarray):
        assert audio.sampling_rate == 8000
        assert type(audio.sampling_rate) is int
    else:
        assert audio.source in (WAV, DATA)


def test__chat__empty_audio_parts_and_markers__filled_from_the_row() -> None:
    content = [{"type": "audio"}, {"type": "image"}, {"type": "text", "text": "q"}]
    row = {"messages": [{"role": "user", "content": content}], "image": "i.png", "audio": "a.wav"}
    assert shape(as_example(row)) == [("Audio", WAV), ("Image", Path("i.png")), "q"]
    text = {"messages": [{"role": "user", "content": "<audio> and <image>"}], "image": "i.png", "audio": WAV}
    assert shape(as_example(text)) == [("Audio", WAV), " and ", ("Image", Path("i.png"))]
    two = [{"role": "user", "content": "one"}, {"role": "assistant", "content": "two"}]
    chat = {"messages": [*two, {"role": "user", "content": "three"}], "audio": WAV}
    assert shape(as_example(chat)) == ["one", "two", ("Audio", WAV), "three"]
    assert "names no audio clip" in refused([{"role": "user", "content": [{"type": "audio"}]}]).message
    assert "names no audio clip" in refused([{"type": "audio"}, "q"]).message
    assert refused({**row, "audio": None, "audios": ["a.wav", "b.wav"]}).code == "marker_mismatch"


def test__markers__of_audios__count_only_where_there_is_a_audio() -> None:
    assert as_example("Write <audio> here").text == "Write <audio> here"
    assert as_example(("i.png", "Write <audio> here")).text == "Write <audio> here"
    error = refused(("a.wav", "<audio> <audio>"))
    assert error.code == "marker_mismatch"
    assert "2 <audio> marker(s) but 1 audio clip(s)" in error.message
    assert refused((["a.wav", "i.png"], "<image> q")).code == "marker_mismatch"
    mixed = as_example((["a.wav", "i.png", "v.mp4"], "<video> <image> <audio> q"))
    kinds = [type(part) for part in mixed.parts if not isinstance(part, Text)]
    assert kinds == [Video, Image, Audio]
    assert mixed.text == "<video> <image> <audio> q"


def test__prompt_template__audios_stay() -> None:
    example = as_example(("a.wav", "Is it loud?"))
    assert shape(PromptTemplate("{question} Yes or no?").apply(example)) == [
        ("Audio", WAV),
        "Is it loud? Yes or no?",
    ]
    placed = as_example((["i.png", "a.wav"], "<image> beside <audio>"))
    assert shape(PromptTemplate("Q: {question}").apply(placed)) == [
        "Q: ",
        ("Image", Path("i.png")),
        " beside ",
        ("Audio", WAV),
    ]
    assert shape(PromptTemplate("<audio> What?").apply(as_example("a.wav"))) == [("Audio", WAV), " What?"]


def test__root__paths_are_relative_to_it(tmp_path: Path) -> None:
    (tmp_path / "my audio clip.wav").write_bytes(b"x")
    for item in (
        "my audio clip.wav",
        Path("my audio clip.wav"),
        {"audio": {"bytes": None, "path": "my audio clip.wav"}},
    ):
        assert as_example(item, root=tmp_path).audios[0].source == tmp_path / "my audio clip.wav"
    with pytest.raises(ExampleError, match="a file that does not exist"):
        as_example("my other audio clip.wav", root=tmp_path)


@pytest.mark.parametrize(
    ("item", "code"),
    [
        ({"array": SAMPLES}, "audio_rate"),
        ({"array": SAMPLES, "sampling_rate": 0}, "audio_rate"),
        ({"array": SAMPLES, "sampling_rate": 8000.5}, "audio_rate"),
        ({"array": SAMPLES, "sampling_rate": True}, "audio_rate"),
        ({"array": SAMPLES, "sampling_rate": float("nan")}, "audio_rate"),
        (Audio(SAMPLES), "audio_rate"),
        (Audio(WAV, 8000), "audio_rate"),
        (Audio(DATA, 8000), "audio_rate"),
        (Audio(SAMPLES.astype(np.int32), 8000), "audio_array"),
        (Audio(SAMPLES.astype(np.uint8), 8000), "audio_array"),
        (Audio(SAMPLES.astype(complex), 8000), "audio_array"),
        (Audio(SAMPLES.astype(np.longdouble), 8000), "audio_array"),
        (Audio(np.ma.masked_array(SAMPLES), 8000), "audio_array"),
        ({"array": "x", "sampling_rate": 8000}, "audio_rate"),
        ({"array": {}, "sampling_rate": 8000}, "audio_array"),
        ([{"type": "audio", "array": object(), "sampling_rate": 8000}], "audio_array"),
        (Audio(np.array(["a"]), 8000), "audio_array"),  # type: ignore[arg-type]
        (Audio(np.zeros((2, 100)), 8000), "audio_array"),
        (Audio(np.zeros((1, 10, 2)), 8000), "audio_array"),
        (Audio(np.zeros(()), 8000), "audio_array"),
        (Audio(np.zeros(0), 8000), "audio_array"),
        ({"array": [[0.0], [0.0, 1.0]], "sampling_rate": 8000}, "audio_array"),
        ({"array": [1, 2], "sampling_rate": 8000}, "audio_array"),
        (Audio(3), "audio_type"),  # type: ignore[arg-type]
        ({"audio": 3}, "audio_type"),
        ({"audio": {"bytes": 3, "path": None}}, "audio_type"),
        ({"audio": "a.m4a"}, "audio_format"),
        ("a.m4a", "audio_format"),
        ({"audio": "https://x.org/a.wav"}, "url_refused"),
        ("https://x.org/a.wav", "url_refused"),
        ({"audio": "file:///a.wav"}, "url_refused"),
        ({"audio": "a\0.wav"}, "audio_path"),
        ({"audio": "x" * 5000}, "audio_path"),
        ({"audio": "data:audio/wav;base64,AAA"}, "data_url"),
        ({"audio": "data:audio/wav;base64,"}, "data_url"),
        ({"audio": "data:image/png;base64,AAAA"}, "data_url"),
        ({"audio": "data:audio/wav,AAAA"}, "data_url"),
        ([{"type": "audio", "audio": "a.wav", "path": "b.wav"}], "part_type"),
        ([{"type": "input_audio", "input_audio": {"data": 3}}], "audio_type"),
        ([{"type": "input_audio", "input_audio": {}}], "audio_type"),
        ([{"type": "image", "image": "a.wav"}], "image_type"),
        ([{"type": "video", "video": "a.wav"}], "image_type"),
    ],
)
def test__audio__that_is_none__error_of_one_line(item: Any, code: str) -> None:
    assert refused(item).code == code


def test__channels_first__advice() -> None:
    assert "channels first; use .T" in refused(Audio(np.zeros((2, 1000)), 8000)).message


def test__open_file__named_like_a_audio__audio(tmp_path: Path) -> None:
    for name, kind in (("a.wav", Audio), ("a.png", Image)):
        (tmp_path / name).write_bytes(DATA)
        with (tmp_path / name).open("rb") as file:
            (part,) = as_example(file).parts
        assert type(part) is kind
        assert part.source == DATA


def test__tensor__samples_as_its_array() -> None:
    import torch

    wave = torch.linspace(-1, 1, 100)
    for item in (Audio(wave, 8000), {"array": wave, "sampling_rate": 8000}):  # type: ignore[arg-type]
        np.testing.assert_array_equal(as_example(item).audios[0].source, wave.numpy())
    for other in (wave.clone().requires_grad_(), wave.bfloat16()):
        found = as_example(Audio(other, 8000)).audios[0].source  # type: ignore[arg-type]
        np.testing.assert_array_equal(found, other.detach().float().numpy())


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        *[(f"a.{ending}", Video) for ending in ("3gp", "3g2", "MTS", "m2ts", "vob", "asf", "f4v")],
        *[(f"a.{ending}", Image) for ending in ("mpo", "dib", "pjpeg")],
        ("a.mp2", Audio),
    ],
)
def test__endings_of_what_is_read__a_medium_and_not_a_text(name: str, kind: type) -> None:
    for item in (name, [name, "What is it?"], {"file_name": name, "question": "What is it?"}):
        example = as_example(item)
        assert type((*example.images, *example.audios)[0]) is kind
        assert name not in example.text


@pytest.mark.parametrize(
    ("name", "advice"), [("a.ogv", "the video to MP4"), ("a.m4b", "to WAV or FLAC"), ("a.cur", "PNG")]
)
def test__endings_of_what_is_not_read__advice_and_not_a_text(name: str, advice: str) -> None:
    for item in (name, [name, "What is it?"], {"file_name": name, "question": "What is it?"}):
        assert advice in refused(item).message


def test__as_audio__same_audio__itself() -> None:
    for audio in (Audio(WAV), Audio(DATA), Audio(SAMPLES, 8000)):
        assert as_audio(audio) is audio
    assert as_audio(bytearray(DATA)).source == DATA


def test__decoder_of_the_datasets_library__says_how_not_to_decode() -> None:
    class AudioDecoder:
        pass

    assert "Audio(decode=False)" in refused({"audio": AudioDecoder()}).message


def test__as_examples__one_audio__not_taken_for_a_list() -> None:
    with pytest.raises(DataError, match="a list of examples is needed"):
        as_examples(Audio(WAV))  # type: ignore[arg-type]
    with pytest.raises(DataError, match="put it into a list"):
        as_examples(("a.wav", "q"))
    with pytest.raises(DataError, match="put it into a list"):
        as_examples((Audio(WAV), "q"))
    examples = as_examples(["a.wav", Audio(DATA), ("b.mp3", "q")], ["x", "y", "x"])
    assert [len(example.audios) for example in examples] == [1, 1, 1]


def test__bare_text__that_ends_like_a_audio__a_sentence_is_text_with_a_warning() -> None:
    with pytest.warns(DataWarning, match="ends like"):
        assert as_example("Why? See such.wav").text == "Why? See such.wav"
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert as_example("What about .wav files?").text == "What about .wav files?"


def test__example_made_by_hand__checked_and_kept() -> None:
    example = Example((Message("user", (Audio(WAV), Text("q"))),))
    assert as_example(example) is example
    assert example.audios == (example.parts[0],)
    assert example.images == ()
    assert example.text == "q"
