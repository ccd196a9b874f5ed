"""`savs predict` that was interrupted: what it goes on with, what it refuses, the same bytes at the end."""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import signal
import time

import pytest

pytestmark = pytest.mark.slow

N_ROWS, CHUNK = 22, 4
N_STORED = 400


@pytest.fixture(scope="module")
def place(tmp_path_factory, classifier, draw):
    """Rows, two that cannot be read among them, and what they give undisturbed."""
    from savs.cli.main import run

    folder = tmp_path_factory.mktemp("resumed")
    draw("red", 1).save(folder / "red.png")
    draw("blue", 1).save(folder / "blue.png")
    (folder / "broken.png").write_bytes(b"no picture")
    rows = [
        {"id": f"r{index}", "image": ["red.png", "blue.png"][index % 2], "question": f"{index}?"}
        for index in range(N_ROWS)
    ]
    rows[2]["image"], rows[5]["image"] = 3, "broken.png"
    (folder / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    arguments = [
        "predict",
        classifier,
        folder / "data.jsonl",
        "-o",
        folder / "whole",
        "--max-errors",
        2,
        "-q",
    ]
    assert run([str(argument) for argument in arguments]) == 3
    return folder


@pytest.fixture
def interrupted(place, classifier, savs, tmp_path, monkeypatch):
    """Stop a run in the middle of its fourth chunk, and return the command."""
    monkeypatch.setattr("savs.cli.predict.ROWS_PER_CHUNK", CHUNK)
    command = ["predict", classifier, place / "data.jsonl", "-o", tmp_path / "out", "--max-errors", 2]
    from savs.model import SAVModel

    plain, calls = SAVModel.predict, []

    def stops(self, *arguments, **options):
        calls.append(1)
        if len(calls) == 4:
            raise KeyboardInterrupt
        return plain(self, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(SAVModel, "predict", stops)
        code, _, error = savs(*command)
    assert code == 130
    assert "the same command continues from there" in error
    assert len((tmp_path / "out.partial").read_text().splitlines()) == 3 * CHUNK
    return command


@pytest.fixture
def asked(monkeypatch):
    """Ids that the model was asked about."""
    from savs.model import SAVModel

    plain, ids = SAVModel.predict, []

    def counted(self, examples, **options):
        ids.extend(example.id for example in examples)
        return plain(self, examples, **options)

    monkeypatch.setattr(SAVModel, "predict", counted)
    return ids


def test__fault_23__interrupted_predict__goes_on_and_ends_with_the_same_bytes(
    interrupted, asked, place, savs, tmp_path
):
    code, text, error = savs(*interrupted, "--json")
    assert code == 3
    assert json.loads(text) == {"output": str(tmp_path / "out"), "n": N_ROWS, "n_errors": 2}
    assert f"continuing after {3 * CHUNK} rows" in error
    assert asked == [f"r{index}" for index in range(3 * CHUNK, N_ROWS)]
    assert (tmp_path / "out").read_bytes() == (place / "whole").read_bytes()
    assert not list(tmp_path.glob("*.partial*"))


@pytest.mark.parametrize("torn", [b'{"id": "r1', b'{"id": "r12"}\n{"id', b"\xff\xfe\n", b"[1]\n", b"\n"])
def test__fault_23__torn_last_line__dropped(interrupted, place, savs, tmp_path, torn):
    with (tmp_path / "out.partial").open("ab") as file:
        file.write(torn)
    assert savs(*interrupted)[0] == 3
    assert (tmp_path / "out").read_bytes() == (place / "whole").read_bytes()


@pytest.mark.parametrize("kept", [0, 1, 57, 0.3, 0.6, 0.99])
def test__fault_23__partial_file_cut_anywhere__same_bytes(interrupted, place, savs, tmp_path, kept):
    partial = tmp_path / "out.partial"
    os.truncate(partial, kept if isinstance(kept, int) else int(kept * partial.stat().st_size))
    assert savs(*interrupted)[0] == 3
    assert (tmp_path / "out").read_bytes() == (place / "whole").read_bytes()


def test__fault_24__other_options_data_or_classifier__refused_with_the_difference(
    interrupted, place, savs, tmp_path
):
    _, code_of, data, *rest = interrupted
    shutil.copytree(code_of, tmp_path / "other")
    (tmp_path / "other" / "README.md").write_text("another")
    changed = place / "changed.jsonl"
    changed.write_text(data.read_text() + "\n")
    for arguments, difference in [
        (["predict", code_of, data, *rest, "--limit", 9], "limit: none -> 9"),
        (["predict", code_of, data, *rest, "--shard", "0/2"], "shard: none -> 0/2"),
        (["predict", code_of, data, *rest, "--text-column", "id"], "data options: "),
        (["predict", code_of, changed, *rest], "sha256 of the data: "),
        (["predict", tmp_path / "other", data, *rest], "classifier: "),
    ]:
        before = (tmp_path / "out.partial").read_bytes()
        code, _, error = savs(*arguments)
        assert code == 1
        assert difference in error
        assert "--no-resume starts over" in error
        assert (tmp_path / "out.partial").read_bytes() == before
    assert savs(*interrupted, "--no-resume")[0] == 3
    assert (tmp_path / "out").read_bytes() == (place / "whole").read_bytes()


def test__fault_24__rows_of_other_ids__refused(interrupted, savs, tmp_path):
    partial = tmp_path / "out.partial"
    partial.write_text(partial.read_text().replace('"r7"', '"r70"'))
    code, _, error = savs(*interrupted)
    assert code == 1
    assert "its row 8 is not for 'r7'" in error


@pytest.mark.parametrize("header", [b"", b"{", b"[]", b'{"format": "x"}', None])
def test__partial_without_a_header__starts_over_with_one_remark(interrupted, place, savs, tmp_path, header):
    beside = tmp_path / "out.partial.json"
    beside.unlink() if header is None else beside.write_bytes(header)
    code, _, error = savs(*interrupted)
    assert code == 3
    assert error.count("starting over") == 1
    assert (tmp_path / "out").read_bytes() == (place / "whole").read_bytes()


def _rename(header, entries, new):
    fields = json.loads(header.read_text())
    for name in entries:
        del fields[name]
    header.write_text(json.dumps(fields | new))


def test__partial_of_a_former_version__same_rows__goes_on(interrupted, asked, place, savs, tmp_path):
    # "flags" and "out_of_distribution" had other names; neither was asked for, so the rows are the same.
    header = tmp_path / "out.partial.json"
    _rename(header, ["flags", "out_of_distribution"], {"alarms": {}, "unknown": None})
    assert savs(*interrupted)[0] == 3
    assert len(asked) == N_ROWS - 3 * CHUNK
    assert (tmp_path / "out").read_bytes() == (place / "whole").read_bytes()


def test__partial_of_a_former_version__other_rows__starts_over_with_one_remark(
    interrupted, place, savs, tmp_path
):
    _rename(tmp_path / "out.partial.json", ["flags"], {"alarms": {"red": 0.1}})
    code, _, error = savs(*interrupted)
    assert code == 3
    assert error.count("starting over") == 1
    assert "another version of savs" in error
    assert (tmp_path / "out").read_bytes() == (place / "whole").read_bytes()


def test__fault_35__errors_of_the_earlier_run__count(interrupted, savs, tmp_path):
    limit = interrupted.index("--max-errors") + 1
    code, _, error = savs(*interrupted[:limit], 1, *interrupted[limit + 1 :])
    assert code == 1
    assert "2 of the rows" in error or error.splitlines()[-1].startswith("savs: error: r5: ")
    assert (tmp_path / "out.partial").read_text().count("\n") == 3 * CHUNK
    assert savs(*interrupted)[0] == 3


def test__fault_26__two_runs_with_one_output__the_second_is_refused(interrupted, savs, tmp_path):
    with (tmp_path / "out.partial").open() as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        code, _, error = savs(*interrupted)
    assert code == 1
    assert "another run is writing" in error
    assert (tmp_path / "out.partial").exists()


def test__shards__together_are_the_whole(place, classifier, savs, tmp_path):
    parts = []
    for index in range(3):
        output = tmp_path / f"out-{index}"
        code, _, _ = savs(
            "predict", classifier, place / "data.jsonl", "-o", output, "--shard", f"{index}/3",
            "--max-errors", -1, "-q",
        )  # fmt: skip
        assert code == (3 if index == 2 else 0)
        parts.append(output.read_text().splitlines())
    whole = (place / "whole").read_text().splitlines()
    assert [parts[index % 3][index // 3] for index in range(N_ROWS)] == whole


@pytest.mark.parametrize("shard", ["3/3", "1", "a/b", "-1/2", "1/0", "1/2/3", "٣/٤"])
def test__shard__that_is_none__wrong_usage(classifier, place, savs, shard):
    code, _, error = savs("predict", classifier, place / "data.jsonl", "--shard", shard)
    assert code == 2
    assert "Traceback" not in error


def test__fault_09__missing_files__found_before_the_model_is_loaded(classifier, rows, savs, monkeypatch):
    monkeypatch.setattr("savs.cli.predict._write", None)
    data = rows(*({"image": f"gone-{index}.png", "id": str(index)} for index in range(30)))
    code, _, error = savs("predict", classifier, data)
    assert code == 1
    assert "30 of 30 examples name a file that cannot be used" in error
    assert "... and 10 more" in error


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test__fault_23__predict_with_a_store_killed__goes_on_and_the_store_is_whole(
    savs, start, tmp_path, rows, classifier, number
):
    data = rows(
        *({"image": "red.png", "question": f"{index} is it?", "id": str(index)} for index in range(N_STORED))
    )
    command = ("predict", classifier, data, "--store", tmp_path / "store", "-o", tmp_path / "out")
    process = start(*command)
    partial = tmp_path / "out.partial"
    deadline = time.monotonic() + 120
    while process.poll() is None and time.monotonic() < deadline:
        if partial.exists() and partial.stat().st_size > 12_000:
            break
        time.sleep(0.002)
    process.send_signal(number)
    process.communicate()
    assert process.returncode == {signal.SIGKILL: -signal.SIGKILL, signal.SIGTERM: 143}[number]
    n_kept = partial.read_bytes().count(b"\n") // 64 * 64
    assert 64 <= n_kept < N_STORED
    code, text, error = savs(*command, "--json")
    assert code == 0
    assert f"continuing after {n_kept} rows" in error
    counts = json.loads(text)["store"]
    assert counts["from_store"] + counts["computed"] == N_STORED - n_kept
    parts = list((tmp_path / "store" / "parts").glob("*.parquet"))
    assert len(parts) <= 3
    code, text, _ = savs(*command, "--json", "-q")  # a whole run now, into the same file
    assert json.loads(text)["store"]["computed"] == (n_kept if number == signal.SIGKILL else 0)
    assert savs("predict", classifier, data, "-o", tmp_path / "plain", "-q")[0] == 0
    assert (tmp_path / "out").read_bytes() == (tmp_path / "plain").read_bytes()


@pytest.mark.parametrize("kind", ["link", "dangling link", "folder", "pipe"])
def test__something_else_where_rows_are_kept__one_line_and_untouched(classifier, rows, savs, tmp_path, kind):
    other, partial = tmp_path / "other.txt", tmp_path / "answers.jsonl.partial"
    other.write_text("somebody's")
    if kind == "folder":
        partial.mkdir()
    elif kind == "pipe":
        os.mkfifo(partial)
    else:
        partial.symlink_to(other if kind == "link" else tmp_path / "nowhere")
    code, text, error = savs(
        "predict", classifier, rows({"image": "red.png"}), "-o", tmp_path / "answers.jsonl"
    )
    assert (code, text, error.count("\n")) == (1, "", 1)
    assert "not a regular file; name another output" in error
    assert other.read_text() == "somebody's"
    assert not (tmp_path / "answers.jsonl").exists()
    assert not (tmp_path / "nowhere").exists()


def test__link_where_the_notes_of_a_run_are_kept__never_written_through(classifier, rows, savs, tmp_path):
    other = tmp_path / "other.txt"
    other.write_text("somebody's")
    for name in ("answers.jsonl.partial.json", "answers.jsonl.partial.json.tmp"):
        (tmp_path / name).symlink_to(other)
    code, _, _ = savs("predict", classifier, rows({"image": "red.png"}), "-o", tmp_path / "answers.jsonl")
    assert code == 0
    assert other.read_text() == "somebody's"
    assert len((tmp_path / "answers.jsonl").read_text().splitlines()) == 1
