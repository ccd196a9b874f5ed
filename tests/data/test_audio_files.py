"""Audio clips and videos in rows, tables, saved datasets and folders."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import soundfile
from tests.data.tables import png, quietly, write_parquet
from tests.media.test_video import clip

from savs.data import (
    DataWarning,
    Example,
    Message,
    Text,
    as_example,
    describe_errors,
    example_hash,
    find_duplicates,
    preflight,
    read_examples,
)
from savs.data.checks import find_copies
from savs.errors import DataError, ItemError, SAVsError
from savs.media import Audio, Image, Video
from savs.media.audio import audio_hash, load_audio


def waveform(hertz: float = 440.0, kind: str = "WAV") -> bytes:
    buffer = io.BytesIO()
    samples = 0.5 * np.sin(2 * np.pi * hertz * np.arange(800) / 8000)
    soundfile.write(buffer, samples, 8000, format=kind)
    return buffer.getvalue()


def written(path: Path, content: bytes) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content)
    return path


def lines(path: Path, *rows: dict[str, Any]) -> Path:
    return written(path, "\n".join(map(json.dumps, rows)).encode())


def refused(path: Path, **options: Any) -> str:
    with pytest.raises(SAVsError) as caught:
        read_examples(path, **options)
    assert str(caught.value).isprintable()
    return str(caught.value)


def library_audios() -> Any:
    """Return a dataset of the library with an Audio column, made without what it encodes audio clips with."""
    from datasets import Audio as AudioFeature
    from datasets import ClassLabel, Dataset, Features, Value

    rows = [
        {"clip": {"bytes": waveform(300), "path": "a.wav"}, "kind": 0, "question": "p"},
        {"clip": {"bytes": waveform(500, "FLAC"), "path": None}, "kind": 1, "question": "q"},
        {"clip": None, "kind": None, "question": "r"},
    ]
    features = {
        "clip": AudioFeature(),
        "kind": ClassLabel(names=["low", "high"]),
        "question": Value("string"),
    }
    return Dataset(pa.Table.from_pylist(rows, schema=Features(features).arrow_schema))


def test__rows__audio_columns__paths_in_the_folder_of_the_file(tmp_path: Path) -> None:
    path = lines(tmp_path / "a.jsonl", {"audio": "a.wav", "question": "q", "label": "x"})
    (example,) = read_examples(path)
    assert example.audios[0].source == (tmp_path / "a.wav").resolve()
    assert (example.text, example.label) == ("q", "x")
    path = lines(tmp_path / "b.jsonl", {"heard": "a.wav", "again": "b", "audio": "c.wav", "image": "i.png"})
    (example,) = read_examples(path, audio_column=["heard", "again"])
    assert [audio.source.name for audio in example.audios] == ["a.wav", "b"]
    assert example.images == ()
    (example,) = read_examples(path, audio_column="heard", image_column="image")
    assert [type(part) for part in example.parts] == [Image, Audio]
    csv = written(tmp_path / "a.csv", b"audio_path,label\na.wav,x\n")
    assert read_examples(csv)[0].audios[0].source == (tmp_path / "a.wav").resolve()


def test__rows__video_column__read_as_videos(tmp_path: Path) -> None:
    path = lines(tmp_path / "a.jsonl", {"seen": "clip", "question": "q"})
    (example,) = read_examples(path, video_column="seen")
    assert [type(part) for part in example.parts] == [Video, Text]
    assert example.images[0].source == (tmp_path / "clip").resolve()


@pytest.mark.parametrize("option", ["audio_column", "video_column"])
def test__columns__named_but_not_there_or_the_label__error(tmp_path: Path, option: str) -> None:
    path = lines(tmp_path / "a.jsonl", {"audio": "a.wav", "question": "q"})
    assert "no column 'nope'" in refused(path, **{option: "nope"})
    assert "must not stand in the prompt" in refused(path, **{option: "audio"}, label_column="audio")


def test__fault_10__audio_outside_the_root__refused_unless_allowed(tmp_path: Path) -> None:
    path = lines(tmp_path / "set" / "a.jsonl", {"audio": "../a.wav"})
    assert "leaves the dataset's folder" in refused(path)
    (example,) = read_examples(path, allow_outside=True)
    assert example.audios[0].source == (tmp_path / "a.wav").resolve()


@pytest.mark.parametrize("place", ["saved", "parquet", "hub"])
def test__audio_feature_of_the_library__undecoded_bytes(
    tmp_path: Path, place: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    import datasets

    monkeypatch.setattr(datasets.config, "HF_DATASETS_CACHE", tmp_path / "cache")
    data = library_audios()
    source: Any = tmp_path / "set"
    if place == "saved":
        quietly(data.save_to_disk, source)
    else:
        quietly(data.to_parquet, tmp_path / "set" / "data" / "train-00000-of-00001.parquet")
        source = f"hf://{source}" if place == "hub" else source
    examples = read_examples(source, audio_column="clip", label_column="kind")
    assert [(e.text, e.label) for e in examples] == [("p", "low"), ("q", "high"), ("r", None)]
    assert [[audio.source for audio in e.audios] for e in examples] == [
        [waveform(300)],
        [waveform(500, "FLAC")],
        [],
    ]
    assert len(load_audio(examples[1].audios[0], 8000)) == 800
    assert examples[0].fields["clip"] == "a.wav"


def test__parquet__decoded_samples__read_with_their_rate(tmp_path: Path) -> None:
    samples = [0.0, 0.5, -0.5] * 100
    row = {"audio": {"array": samples, "sampling_rate": 8000, "path": None}, "question": "q"}
    (example,) = read_examples(write_parquet(tmp_path / "a.parquet", [row]))
    np.testing.assert_allclose(load_audio(example.audios[0], 8000), samples)
    assert example.fields["audio"] is None


def test__folder__of_audios_and_videos_per_class__examples(tmp_path: Path) -> None:
    written(tmp_path / "loud" / "10.wav", waveform())
    written(tmp_path / "loud" / "2.FLAC", waveform(kind="FLAC"))
    written(tmp_path / "still" / "a.mp4", clip(4))
    written(tmp_path / "still" / "b.png", png(3))
    written(tmp_path / "still" / "c.m4a", b"x")
    with pytest.warns(DataWarning, match="skipped 1"):
        examples = read_examples(tmp_path, require_labels=True)
    assert [(e.id, e.label, type(e.parts[0])) for e in examples] == [
        ("loud/2.FLAC", "loud", Audio),
        ("loud/10.wav", "loud", Audio),
        ("still/a.mp4", "still", Video),
        ("still/b.png", "still", Image),
    ]
    assert preflight(examples) == []
    (single,) = read_examples(tmp_path / "loud" / "10.wav")
    assert (single.id, len(single.audios)) == ("10.wav", 1)
    assert "0 images, videos or audio clips" in refused(written(tmp_path / "x" / "a.txt", b"").parent)


def test__fault_09__audio_files_that_are_none__found_before_a_model_loads(tmp_path: Path) -> None:
    (tmp_path / "folder.wav").mkdir()
    (tmp_path / "empty.wav").touch()
    written(tmp_path / "good.wav", waveform())
    names = ["nowhere.wav", "folder.wav", "good.wav", "empty.wav"]
    path = lines(tmp_path / "a.jsonl", *({"audio": name} for name in names))
    errors = preflight(read_examples(path))
    assert [error.code for error in errors] == ["media_missing", "media_not_a_file", "audio_undecodable"]
    assert [error.id for error in errors] == ["a.jsonl:1", "a.jsonl:2", "a.jsonl:4"]
    assert "image" not in describe_errors(errors)


def test__example_hash__audios__by_content(tmp_path: Path) -> None:
    path = written(tmp_path / "a.wav", waveform())
    one = as_example((path, "q"))
    assert example_hash(one) == example_hash(as_example((Audio(waveform()), "q")))
    others = [
        as_example((Audio(waveform(500)), "q")),
        as_example((path, "other")),
        Example((Message("user", (Text("q"), Audio(path))),)),
        as_example({"image": png(1), "question": "q"}),
    ]
    assert len({example_hash(example) for example in (one, *others)}) == 5
    assert find_duplicates([one, others[0], as_example((Audio(waveform()), "q"))]) == [(0, 2)]
    assert find_copies([one], [others[0], as_example((Audio(waveform()), "q"))]) == [1]
    arrays = [as_example(Audio(np.zeros(9), rate)) for rate in (8000, 16_000, 8000)]
    assert find_duplicates(arrays) == [(0, 2)]
    # The bytes of an image and an audio clip may be the same; the examples are not.
    assert example_hash(as_example(Audio(png(1)))) != example_hash(as_example(png(1)))
    with pytest.raises(ItemError) as caught:
        example_hash(as_example(tmp_path / "nowhere.wav", id="lost"))
    assert (caught.value.id, caught.value.code) == ("lost", "media_missing")
    assert audio_hash(one.audios[0]) == audio_hash(Audio(waveform()))


def test__folder__options_of_columns__error(tmp_path: Path) -> None:
    written(tmp_path / "a.wav", waveform())
    with pytest.raises(DataError, match="belong to a data file"):
        read_examples(tmp_path, audio_column="x")
