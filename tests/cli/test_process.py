"""What only a real process shows: exit codes, streams, signals, imports."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest

pytestmark = pytest.mark.slow

HEAVY = {"torch", "transformers", "PIL", "sklearn", "matplotlib", "rich", "numpy"}


def modules_after(*arguments: object) -> set[str]:
    code = (
        "import sys; from savs.cli.main import run; run(sys.argv[1:]); "
        "print(*{name.split('.')[0] for name in sys.modules})"
    )
    command = [sys.executable, "-c", code, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return set(done.stdout.splitlines()[-1].split())


@pytest.mark.parametrize(
    "arguments", [("--help",), ("fit", "--help"), ("predict", "--help"), ("extract", "--help")]
)
def test__help__loads_nothing_heavy(arguments):
    assert not modules_after(*arguments) & HEAVY


def test__inspect__loads_no_model_library(classifier):
    assert not modules_after("inspect", classifier) & {"torch", "transformers", "PIL"}


@pytest.mark.parametrize(
    ("arguments", "code"), [(["--version"], 0), ([], 2), (["fit"], 2), (["inspect", "nowhere"], 1)]
)
def test__fault_35__exit_code_of_the_process(arguments, code, start_cold, tmp_path):
    process = start_cold(*arguments, cwd=tmp_path)
    _, error = process.communicate(timeout=60)
    assert process.returncode == code
    assert "Traceback" not in error
    if code == 1:
        assert error == (
            "savs: error: nowhere is not a classifier: expected a folder written by save_pretrained or "
            "'savs fit'\n"
        )


@pytest.mark.parametrize(
    "arguments",
    [
        *(("extract", "", "-b", "tiny", "-o", "s"), ("extract", "a.jsonl", "-b", "tiny", "-o", "")),
        *(("fit", "", "-b", "tiny", "-o", "c"), ("fit", "a.jsonl", "-b", "tiny", "-o", "")),
        ("fit", "a.jsonl", "-b", "tiny", "-o", "c", "--store", ""),
        *(("store", "info", ""), ("store", "verify", ""), ("store", "prune", "")),
        *(("inspect", ""), ("predict", "", "a.jsonl"), ("predict", "c", "a.jsonl", "-o", "")),
        ("compare", "", "-b", "tiny"),
    ],
    ids=" ".join,
)
def test__fault_35__empty_name__wrong_usage_and_not_the_current_folder(
    arguments, tmp_path, monkeypatch, savs
):
    monkeypatch.chdir(tmp_path)
    code, text, error = savs(*arguments)
    assert (code, text) == (2, "")
    assert "the name is empty; the current folder is '.'" in " ".join(error.split())
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("inside", ["savs.json", "answers.jsonl"])
def test__predict__output_inside_the_classifier__refused_and_nothing_lost(
    classifier, test_folder, savs, inside
):
    before = {path: path.read_bytes() for path in classifier.iterdir()}
    code, text, error = savs("predict", classifier, test_folder, "-o", classifier / inside)
    assert (code, text) == (2, "")
    assert "only savs writes files" in " ".join(error.split())
    code, _, error = savs("explain", classifier, test_folder, "--plot", classifier / inside)
    assert code == 2
    assert "--plot" in error
    assert {path: path.read_bytes() for path in classifier.iterdir()} == before


def test__predict__rows_on_stdout_and_nothing_on_stderr(classifier, test_folder, start):
    process = start("predict", classifier, test_folder)
    text, error = process.communicate(timeout=120)
    assert process.returncode == 0
    assert [json.loads(line)["id"] for line in text.splitlines()] == [
        f"{colour}/{index:02d}.png" for colour in ("blue", "red") for index in range(3)
    ]
    assert error == ""


@pytest.fixture(scope="session")
def many(tmp_path_factory, draw):
    """A folder of 3000 images that are one file."""
    folder = tmp_path_factory.mktemp("many")
    draw("red", 0).save(folder / "0000.png")
    for index in range(1, 3000):
        os.link(folder / "0000.png", folder / f"{index:04d}.png")
    return folder


def wait_for(condition, process, seconds=120.0):
    deadline = time.monotonic() + seconds
    while not condition() and time.monotonic() < deadline:
        assert process.poll() is None, "the process ended too soon"
        time.sleep(0.01)
    assert condition()


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test__fault_35__signal_during_predict__whole_rows_kept_beside_the_output(
    number, code, classifier, many, tmp_path, start
):
    target = tmp_path / "answers.jsonl"
    target.write_text("old\n")
    process = start("predict", classifier, many, "-o", target, "--batch-size", "1")
    partial = target.with_name(f"{target.name}.partial")
    wait_for(lambda: partial.exists() and partial.stat().st_size, process)
    process.send_signal(number)
    text, error = process.communicate(timeout=60)
    assert process.returncode == code
    assert text == ""
    lines = [line for line in error.splitlines() if line]
    kept = f"savs: the rows written so far are in {partial}; the same command continues from there"
    assert lines[0] == kept
    assert lines[1:] == [{130: "savs: interrupted", 143: "savs: terminated"}[code]]
    assert target.read_text() == "old\n"
    assert all(json.loads(line)["label"] for line in partial.read_text().splitlines())


@pytest.mark.parametrize(
    ("command", "number", "code"),
    [("fit", signal.SIGINT, 130), ("evaluate", signal.SIGTERM, 143), ("compare", signal.SIGINT, 130)],
)
def test__fault_35__signal_between_passes__nothing_half_written_and_the_rows_kept(
    command, number, code, backbone, classifier, tmp_path, start
):
    data, store, target = tmp_path / "texts.jsonl", tmp_path / "store", tmp_path / "target"
    rows = ({"question": f"text {index}", "label": ("blue", "red")[index % 2]} for index in range(900))
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    arguments = {
        "fit": ("fit", data, "-b", backbone, "-o", target),
        "evaluate": ("evaluate", classifier, data),
        "compare": ("compare", data, "-b", backbone, "--methods", "sav", "--shots", "4"),
    }[command]
    process = start(*arguments, "--store", store, "--batch-size", "1")
    parts = store / "parts"
    wait_for(lambda: parts.is_dir() and any(parts.glob("*.parquet")), process)
    process.send_signal(number)
    text, error = process.communicate(timeout=60)
    assert (process.returncode, text) == (code, "")
    assert error.splitlines()[-1] == {130: "savs: interrupted", 143: "savs: terminated"}[code]
    assert "Traceback" not in error
    assert not target.exists()
    assert not [path for path in store.rglob("*") if "tmp" in path.name]
    done = start("store", "verify", store, "--json")
    verdict, _ = done.communicate(timeout=60)
    assert (done.returncode, json.loads(verdict)["bad"]) == (0, [])


def test__reader_hangs_up__ends_without_a_word(classifier, many, start):
    process = start("predict", classifier, many, "--batch-size", "1")
    first = process.stdout.readline()
    process.stdout.close()
    error = process.stderr.read()
    process.stderr.close()
    assert process.wait(timeout=60) == 1
    assert json.loads(first)["id"] == "0000.png"
    assert error == ""


@pytest.mark.skipif(not os.path.exists("/dev/full"), reason="no /dev/full here")  # noqa: PTH110
def test__fault_25__full_disk_behind_stdout__one_line(classifier, start):
    with open("/dev/full", "w") as full:  # noqa: PTH123
        process = start("inspect", classifier, "--json", stdout=full)
        _, error = process.communicate(timeout=60)
    assert process.returncode == 1
    assert error == "savs: error: No space left on device\n"


def test__terminal_without_unicode__everything_still_prints(classifier, environment):
    command = [sys.executable, "-m", "savs.cli.main", "inspect", str(classifier)]
    done = subprocess.run(
        command, capture_output=True, env={**environment, "PYTHONIOENCODING": "ascii"}, check=True
    )
    text = done.stdout.decode("ascii")
    assert text.count("*") == 5 + 1
    assert "Which colour?" in text
