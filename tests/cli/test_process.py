"""What only a real process shows: exit codes, streams, signals, imports."""

import json
import os
import signal
import subprocess
import sys
import time

import pytest
from conftest import draw, shell

HEAVY = {"torch", "transformers", "PIL", "sklearn", "matplotlib", "rich"}


def test__help__loads_nothing_heavy():
    code = (
        "import sys; from savs.cli.main import run; run(['--help']); "
        "print(*{n.split('.')[0] for n in sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert not set(done.stdout.splitlines()[-1].split()) & HEAVY


def test__inspect__loads_no_model_library(classifier):
    code = (
        "import sys; from savs.cli.main import run; run(['inspect', sys.argv[1], '--json']); "
        "print(*{n.split('.')[0] for n in sys.modules})"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, classifier], capture_output=True, text=True, check=True
    )
    assert not set(done.stdout.splitlines()[-1].split()) & {"torch", "transformers"}


@pytest.mark.parametrize("command", ["fit", "predict", "evaluate", "inspect", "demo"])
def test__help_of_every_command__shows_an_example(command):
    done = shell(command, "--help")
    assert done.returncode == 0
    assert f"Example:\n  savs {command}" in done.stdout


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["--version"], 0),
        ([], 2),
        (["fit"], 2),
        (["no-such-command"], 2),
        (["predict", "x", "y", "--max-errors", "-2"], 2),
        (["inspect", "no-such-folder"], 1),
        (["predict", "no-such-folder", "nothing"], 1),
        (["evaluate", "no-such-folder", "nothing", "--json"], 1),
    ],
)
def test__fault_35__exit_codes__and_one_line_errors(arguments, code, tmp_path):
    done = shell(*arguments, cwd=tmp_path)
    assert done.returncode == code
    assert "Traceback" not in done.stderr
    if code == 1:
        assert done.stderr.startswith("savs: error: ")
        assert done.stderr.count("\n") == 1
        if "--json" in arguments:
            assert json.loads(done.stdout)["error"]["code"] == "artifact_error"


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b'{"image": "a.png", "label": "x"}\n{"image": \n', "data.jsonl:2"),
        (b'{"text": "a", "label": 1}\n{"text": "b", "label": "1"}\n', "int"),
        (b'{"text": "a", "label": 0.5}\n', "data.jsonl:1"),
        (b'{"text": "a", "label": "x", "id": "7"}\n{"text": "b", "label": "y", "id": "7"}\n', "data.jsonl:2"),
        (b'{"image": "../secret.png", "label": "x"}\n', "data.jsonl:1"),
        (b"", "no"),
    ],
)
def test__fault_17__bad_data_file__one_line_with_file_and_line(content, words, tmp_path):
    (tmp_path / "data.jsonl").write_bytes(content)
    done = shell("fit", "data.jsonl", "-b", "tiny", "-o", "c", cwd=tmp_path)
    assert done.returncode == 1
    assert done.stderr.startswith("savs: error: ")
    assert words in done.stderr
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "c").exists()


def test__fit_into_a_folder_of_other_things__is_refused_before_any_work(tmp_path, train):
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "mine.txt").write_text("keep")
    done = shell("fit", train, "-b", "tiny", "-o", tmp_path / "photos")
    assert done.returncode == 1
    assert "holds other files" in done.stderr
    assert (tmp_path / "photos" / "mine.txt").read_text() == "keep"


def test__predict_rows_on_stdout__nothing_else_there(classifier, test_folder):
    done = shell("predict", classifier, test_folder)
    assert done.returncode == 0
    assert [json.loads(line)["label"] in ("red", "blue") for line in done.stdout.splitlines()] == [True] * 6


@pytest.fixture
def many(tmp_path):
    folder = tmp_path / "many"
    folder.mkdir()
    for index in range(1500):
        draw("red", 0).save(folder / f"{index:04d}.png")
    return folder


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test__fault_35__signal_during_predict__exit_code_and_no_final_file(
    number, code, classifier, many, tmp_path
):
    target = tmp_path / "o.jsonl"
    command = [
        sys.executable,
        "-m",
        "savs.cli.main",
        "predict",
        str(classifier),
        str(many),
        "-o",
        str(target),
    ]
    process = subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"}
    )
    partial = tmp_path / "o.jsonl.partial"
    deadline = time.monotonic() + 120
    while not (partial.exists() and partial.stat().st_size) and time.monotonic() < deadline:
        time.sleep(0.01)
    process.send_signal(number)
    _, error = process.communicate(timeout=60)
    assert process.returncode == code
    assert "Traceback" not in error
    assert not target.exists()
    for line in partial.read_text().splitlines():
        assert json.loads(line)["label"]


def test__reader_hangs_up__no_traceback(classifier, many):
    command = f"{sys.executable} -m savs.cli.main predict {classifier} {many} | head -n 1"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=True)
    assert json.loads(done.stdout)["id"] == "0000.png"
    assert "Traceback" not in done.stderr
    assert "BrokenPipe" not in done.stderr
