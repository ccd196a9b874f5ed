"""Audio and videos by the commands: fitted, kept in a store, predicted, bad ones reported."""

from __future__ import annotations

import io
import json
from collections.abc import Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
import soundfile
from tests.backbones.families import make_family

# Small videos have more steps in time than rows, which no release of transformers places right.

RATE = 16_000


def save_tone(path: Path, hertz: float, seed: int) -> None:
    times = np.arange(RATE // 2) / RATE
    wave = 0.4 * np.sin(2 * np.pi * hertz * times) + np.random.default_rng(seed).normal(0, 0.02, len(times))
    soundfile.write(path, wave, RATE)


def save_video(path: Path, brightening: bool, seed: int) -> None:
    levels = np.linspace(20, 220, 12) if brightening else np.linspace(220, 20, 12)
    noise = np.random.default_rng(seed).normal(0, 5, (12, 32, 32, 3))
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream: Any = container.add_stream("mpeg4", rate=10)
        stream.width, stream.height, stream.pix_fmt = 32, 32, "yuv420p"
        for index, level in enumerate(levels):
            frame = av.VideoFrame.from_ndarray((noise[index] + level).clip(0, 255).astype(np.uint8), "rgb24")
            frame.pts, frame.time_base = index, Fraction(1, 10)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    path.write_bytes(file.getvalue())


def write_rows(path: Path, rows: list[dict[str, str]]) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def save_backbone(name: str, folder: Path) -> Path:
    built = make_family(name)
    built.model.save_pretrained(folder)
    built.processor.save_pretrained(folder)
    if name.endswith("_video"):
        built.processor.video_processor.save_pretrained(folder)
    return folder


def make_data(folder: Path, kind: str) -> dict[str, Path]:
    found = {}
    for part, per_class, seed in (("shots", 5, 0), ("test", 3, 100)):
        rows = []
        for index in range(per_class):
            for number, label in enumerate(("low", "high")):
                name = f"{part}-{label}-{index}." + ("wav" if kind == "audio" else "mp4")
                if kind == "audio":
                    save_tone(folder / name, (300.0, 1500.0)[number] + 7 * index, seed + index)
                else:
                    save_video(folder / name, bool(number), seed + index)
                rows.append({kind: name, "question": "is it?", "label": label})
        found[part] = write_rows(folder / f"{part}.jsonl", rows)
    return found


Savs = Callable[..., tuple[int, str, str]]


def done(savs: Savs, *arguments: Any, code: int = 0) -> str:
    found, output, error = savs(*arguments)
    assert found == code, error
    assert "Traceback" not in error
    return output


@pytest.mark.parametrize(
    ("name", "kind"),
    [("qwen2_audio", "audio"), ("qwen2_5_vl_video", "video"), ("llava", "video")],
    ids=["audios", "videos", "videos_as_images"],
)
def test__fit_and_predict__audios_and_videos__answered_and_kept(
    name: str, kind: str, savs: Savs, tmp_path: Path
) -> None:
    backbone, data = save_backbone(name, tmp_path / "backbone"), make_data(tmp_path, kind)
    model, store = tmp_path / "model", tmp_path / "store"
    how = ["--video-frames", "4"] if kind == "video" else []
    fit = ["fit", data["shots"], "--backbone", backbone, "-o", model, "--store", store, "--n-heads", "4"]
    done(savs, *fit, *how)
    # Videos are read as those of the shots were, without being told.
    rows = [json.loads(line) for line in done(savs, "predict", model, data["test"]).splitlines()]
    assert done(savs, "predict", model, data["test"], *how).splitlines() == list(map(json.dumps, rows))
    truth = [json.loads(line)["label"] for line in data["test"].read_text().splitlines()]
    assert [row["label"] for row in rows] == truth
    if kind == "video":
        shown = json.loads(done(savs, "inspect", model, "--json"))
        assert shown["video_sampling"] == {"n_frames": 4, "fps": None}
        code, _, error = savs("predict", model, data["test"], "--video-frames", "2")
        assert code == 0
        assert error.count("videos are read with 2 frames, the shots' were read with 4 frames") == 1
    again = ["extract", data["shots"], "--backbone", backbone, "-o", store, "--json", *how]
    assert json.loads(done(savs, *again))["computed"] == 0


def test__fault_35__bad_audios_and_a_bad_video__item_errors_and_code_3(
    savs: Savs, start: Callable[..., Any], tmp_path: Path
) -> None:
    backbone, data = save_backbone("qwen2_audio", tmp_path / "backbone"), make_data(tmp_path, "audio")
    (tmp_path / "garbage.wav").write_bytes(b"RIFF nothing of the kind")
    soundfile.write(tmp_path / "short.wav", np.zeros(200), RATE)
    soundfile.write(tmp_path / "long.wav", np.zeros(RATE * 3), RATE)
    model = tmp_path / "model"
    done(savs, "fit", data["shots"], "--backbone", backbone, "-o", model, "--n-heads", "4")
    rows = [json.loads(line) for line in data["test"].read_text().splitlines()][:2]
    rows += [{"audio": f"{name}.wav", "question": "is it?"} for name in ("garbage", "short", "long")]
    mixed = write_rows(tmp_path / "mixed.jsonl", rows)
    # In a process of its own: what it ends with, and what it writes to which stream.
    process = start("predict", model, mixed, "--max-errors", "-1")
    output, error = process.communicate(timeout=240)
    assert process.returncode == 3, error
    assert "Traceback" not in error
    answers = [json.loads(line) for line in output.splitlines()]
    assert [answer.get("label") for answer in answers[:2]] == ["low", "high"]
    assert [answer["error"]["code"] for answer in answers[2:]] == [
        "audio_undecodable",
        "audio_too_short",
        "audio_too_long",
    ]


def test__predict__audio_for_a_backbone_that_does_not_hear__one_line(
    classifier: Path, savs: Savs, tmp_path: Path
) -> None:
    save_tone(tmp_path / "a.wav", 440.0, 0)
    code, _, error = savs("predict", classifier, write_rows(tmp_path / "a.jsonl", [{"audio": "a.wav"}]))
    assert code == 1
    assert "reads text and images only" in error
    assert len(error.splitlines()) == 1
