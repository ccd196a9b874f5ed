"""Commands on audio clips: a small random Qwen2-Audio in a folder, low and high tones."""

import json

import numpy as np
import pytest
import soundfile

RATE = 16_000
HERTZ = {"high": 3000.0, "low": 200.0}


@pytest.fixture(scope="module")
def hearing(tmp_path_factory):
    import torch
    from tests.backbones.families.audio import build_qwen2_audio

    torch.manual_seed(0)
    model, processor = build_qwen2_audio()
    folder = tmp_path_factory.mktemp("backbones") / "hearing"
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


def tone(kind, seed):
    rng = np.random.default_rng(seed)
    times = np.arange(RATE // 2) / RATE
    return 0.4 * np.sin(2 * np.pi * HERTZ[kind] * times) + 0.01 * rng.standard_normal(len(times))


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """Audio clips in folders per class, and rows that name them in a column of their own."""
    folder = tmp_path_factory.mktemp("audio")
    for part, first in (("train", 0), ("test", 100)):
        rows = []
        for kind in HERTZ:
            for number in range(4):
                path = folder / part / kind / f"{number}.{'flac' if number % 2 else 'wav'}"
                path.parent.mkdir(parents=True, exist_ok=True)
                soundfile.write(path, tone(kind, first + number), RATE)
                rows.append({"heard": f"{part}/{kind}/{path.name}", "label": kind, "image": "none.png"})
        (folder / f"{part}.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder


@pytest.fixture(scope="module")
def classifier(data, hearing):
    from savs.cli.main import run

    target = data / "clf"
    command = [
        "fit",
        data / "train.jsonl",
        "--audio-column",
        "heard",
        "-b",
        hearing,
        "--prompt",
        "High or low?",
    ]
    assert run([*map(str, command), "--n-heads", "5", "--keep-shots", "-o", str(target), "-q"]) == 0
    return target


def test__audio_column_and_folder__the_same_answers(classifier, data, savs):
    reports = []
    for source in (
        [data / "test.jsonl", "--audio-column", "heard"],
        [data / "test"],
    ):
        code, text, error = savs("evaluate", classifier, *source, "--json")
        assert (code, error) == (0, "")
        reports.append({name: json.loads(text)[name] for name in ("n", "n_correct", "n_leaks")})
    assert reports[0] == reports[1]
    assert (reports[0]["n"], reports[0]["n_leaks"]) == (8, 0)
    assert reports[0]["n_correct"] >= 7


def test__shots_as_test_set__leaks_found(classifier, data, savs):
    code, text, _ = savs("evaluate", classifier, data / "train", "--json")
    assert (code, json.loads(text)["n_leaks"]) == (0, 8)


def test__explain__words_alone(classifier, data, savs, tmp_path):
    command = ["explain", classifier, data / "test", "--id", "low/0.wav", "--plot", tmp_path / "a.png"]
    code, text, error = savs(*command, "--json")
    assert (code, error) == (0, "")
    assert {one["kind"] for one in json.loads(text)["occlusion"]} == {"words"}
    assert (tmp_path / "a.png").stat().st_size > 1000


def test__fault_09__missing_audios__listed_before_a_model_loads(savs, tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text("".join(json.dumps({"audio": f"{n}.wav", "label": n % 2}) + "\n" for n in range(30)))
    code, _, error = savs("fit", path, "-b", tmp_path / "no-model", "-o", tmp_path / "clf")
    assert code == 1
    assert "30 of 30 examples name a file that cannot be used" in error
    assert "and 10 more" in error


def test__fault_01__one_broken_audio__reported_and_the_others_answered(classifier, data, savs, tmp_path):
    path = tmp_path / "a.jsonl"
    (tmp_path / "broken.wav").write_bytes(b"no sound")
    (tmp_path / "good.wav").write_bytes((data / "test" / "low" / "0.wav").read_bytes())
    path.write_text('{"audio": "broken.wav", "id": "x"}\n{"audio": "good.wav", "id": "y"}\n')
    code, text, _ = savs(
        "predict", classifier, path, "--max-errors", 1, "-o", tmp_path / "out.jsonl", "--json"
    )
    assert code == 3
    answers = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert {one["id"] for one in answers} == {"x", "y"}
    assert "audio_undecodable" in (tmp_path / "out.jsonl").read_text() + text


def test__backbone_without_ears__error_of_the_example(backbone, data, savs, tmp_path):
    code, _, error = savs("fit", data / "train", "-b", backbone, "-o", tmp_path / "clf")
    assert code != 0
    assert "audio" in error
    assert "Traceback" not in error
