"""`-o x.csv` and `-o x.parquet`: the rows of JSON lines, read by pandas and Arrow alone."""

from __future__ import annotations

import csv
import json
import os

import pandas as pd
import pyarrow.parquet as pq
import pytest

from savs.cli._tables import read_json_lines, write_rows

FORMATS = ["csv", "tsv", "parquet"]


def read(path) -> pd.DataFrame:
    if path.suffix == ".parquet":
        return pq.read_table(path).to_pandas()
    return pd.read_csv(path, sep="\t" if path.suffix == ".tsv" else ",", dtype={"id": str})


@pytest.fixture(scope="module")
def data(tmp_path_factory, draw):
    folder = tmp_path_factory.mktemp("tables")
    for index in range(5):
        draw(["red", "blue"][index % 2], 50 + index).save(folder / f"{index}.png")
    (folder / "broken.png").write_bytes(b"no picture")
    rows = [
        {"id": f"r{index}", "image": f"{index}.png", "label": ["red", "blue"][index % 2]}
        for index in range(5)
    ]
    rows.insert(2, {"id": 'bad, "one"\n', "image": "broken.png", "label": "red"})
    rows[-1]["label"] = "green"
    (folder / "data.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    return folder / "data.jsonl"


@pytest.mark.parametrize("ending", FORMATS)
@pytest.mark.parametrize("command", [["predict", "--sets", "0.4", "--flag", "red=0.4"], ["evaluate"]])
def test__table__of_predict_and_evaluate__holds_the_json_lines(
    command, ending, data, classifier, savs, tmp_path
):
    name, *options = command
    for output in ("rows.jsonl", f"rows.{ending}"):
        code, _, error = savs(name, classifier, data, *options, "--max-errors", 1, "-o", tmp_path / output)
        assert code == 3, error
    lines = list(read_json_lines(tmp_path / "rows.jsonl"))
    expected, found = pd.json_normalize(lines), read(tmp_path / f"rows.{ending}")
    assert len(found) == 6
    assert set(expected.columns) - {"proba", "error"} <= set(found.columns)
    for column in found.columns:
        for mine, theirs in zip(found[column], expected[column], strict=True):
            assert same(mine, theirs, ending), (column, mine, theirs)


def same(mine, theirs, ending) -> bool:
    if isinstance(theirs, list):
        return (json.loads(mine) if ending != "parquet" else list(mine)) == theirs
    return (pd.isna(mine) and pd.isna(theirs)) or mine == theirs


def test__evaluate__rows_say_truth_answer_and_right_or_wrong(data, classifier, savs, tmp_path):
    code, out, _ = savs("evaluate", classifier, data, "--max-errors", 1, "-o", tmp_path / "a.jsonl", "--json")
    assert code == 3
    rows, report = list(read_json_lines(tmp_path / "a.jsonl")), json.loads(out)
    assert [row["id"] for row in rows] == ["r0", "r1", 'bad, "one"\n', "r2", "r3", "r4"]
    assert [row["true_label"] for row in rows] == ["red", "blue", "red", "red", "blue", "green"]
    read_ones = [row for row in rows if "error" not in row]
    assert all(row["correct"] == (row["label"] == row["true_label"]) for row in read_ones)
    assert sum(row["correct"] for row in read_ones) / len(read_ones) == report["accuracy"]
    assert rows[2]["error"]["code"] == "image_undecodable"
    assert not any(row["is_shot"] for row in rows)


@pytest.mark.parametrize("ending", FORMATS)
def test__compare__one_row_per_method_and_number_of_shots(ending, train, backbone, savs, tmp_path):
    command = ["compare", train, "-b", backbone, "--methods", "sav,majority", "--shots", "1,2", "--draws", 2]
    output = tmp_path / f"figures.{ending}"
    code, out, error = savs(*command, "-o", output, "--json")
    assert code == 0, error
    found, report = read(output), json.loads(out)
    assert list(zip(found["method"], found["shots"], strict=True)) == [
        (method, shots) for shots in (1, 2) for method in report["methods"]
    ]
    by_hand = [
        report["methods"][m]["mean"][str(s)] for m, s in zip(found["method"], found["shots"], strict=True)
    ]
    assert found["mean"].tolist() == pytest.approx(by_hand)


@pytest.mark.parametrize("name", ["rows.xlsx", "rows.npz", "rows.feather", "rows.jsonl.gz", "rows.csv.GZ"])
def test__format_that_is_not_written__wrong_usage_before_the_model(name, data, classifier, savs, tmp_path):
    code, _, error = savs("predict", classifier, data, "-o", tmp_path / name)
    assert code == 2
    assert ".csv, .tsv or .parquet" in error
    assert not list(tmp_path.iterdir())


def test__fault_23__interrupted_table__goes_on_and_ends_with_the_same_bytes(
    data, classifier, savs, tmp_path, monkeypatch
):
    monkeypatch.setattr("savs.cli.predict.ROWS_PER_CHUNK", 2)
    from savs.model import SAVModel

    command = ["predict", classifier, data, "--max-errors", 1, "-o"]
    for ending in FORMATS:
        assert savs(*command, tmp_path / f"whole.{ending}")[0] == 3
        plain, calls = SAVModel.predict, []

        def stops(self, *arguments, plain=plain, calls=calls, **options):
            calls.append(1)
            if len(calls) == 3:
                raise KeyboardInterrupt
            return plain(self, *arguments, **options)

        output = tmp_path / f"out.{ending}"
        with monkeypatch.context() as patch:
            patch.setattr(SAVModel, "predict", stops)
            assert savs(*command, output)[0] == 130
        assert not output.exists()
        assert len(output.with_name(output.name + ".partial").read_text().splitlines()) == 4
        code, _, error = savs(*command, output)
        assert code == 3
        assert "continuing after 4 rows" in error
        assert output.read_bytes() == (tmp_path / f"whole.{ending}").read_bytes()
    assert not list(tmp_path.glob("*.partial*"))
    assert not list(tmp_path.glob(".tmp*"))


def test__fault_25__table_that_cannot_be_written__rows_are_kept(
    data, classifier, savs, tmp_path, monkeypatch
):
    def full(*_arguments):
        raise OSError(28, "No space left on device")

    output = tmp_path / "rows.csv"
    output.write_text("old")
    with monkeypatch.context() as patch:
        patch.setattr("savs.cli._tables._write_lines", full)
        code, _, error = savs("predict", classifier, data, "--max-errors", 1, "-o", output)
    assert code == 1
    assert "No space left on device" in error
    assert output.read_text() == "old"
    assert savs("predict", classifier, data, "--max-errors", 1, "-o", output)[0] == 3
    assert len(read(output)) == 6


@pytest.mark.parametrize("ending", FORMATS)
def test__write_rows__any_text__comes_back(ending, tmp_path):
    texts = [
        "a,b",
        'say "x"',
        "two\nlines",
        "\r",
        "tab\t",
        "é 日本",
        "",
        " blank ",
        "=1+1",
        "None",
        "1.0",
        "\x00x",
    ]
    rows = [{"id": str(index), "label": text, "proba": {"a.b": 0.25}} for index, text in enumerate(texts)]
    path = tmp_path / f"rows.{ending}"
    write_rows(path, iter(rows), {"id": str, "label": str, "proba.a.b": float})
    if ending == "parquet":
        found = pq.read_table(path).column("label").to_pylist()
    else:
        with path.open(newline="", encoding="utf-8") as file:
            found = [row["label"] for row in csv.DictReader(file, delimiter="\t" if ending == "tsv" else ",")]
    assert found == texts


def test__write_rows__truth_values_and_whole_numbers__keep_their_type(tmp_path):
    rows = [{"label": True, "n": 1}, {"label": None, "n": 2**40}]
    write_rows(tmp_path / "a.parquet", rows, {"label": bool, "n": int})
    assert pq.read_table(tmp_path / "a.parquet").to_pylist() == rows
    write_rows(tmp_path / "a.csv", rows, {"label": bool, "n": int})
    assert (tmp_path / "a.csv").read_text() == f"label,n\ntrue,1\n,{2**40}\n"


def test__write_rows__through_a_link__replaces_what_it_leads_to(tmp_path):
    target, link = tmp_path / "folder" / "rows.csv", tmp_path / "link.csv"
    target.parent.mkdir()
    target.write_text("old")
    link.symlink_to(target)
    write_rows(link, [{"id": "a"}], {"id": str})
    assert link.is_symlink()
    assert target.read_text() == "id\na\n"


@pytest.mark.parametrize("name", ["/dev/null", "pipe"])
def test__write_rows__to_a_device_or_pipe__written_directly(name, tmp_path):
    path = tmp_path / name
    if name == "pipe":
        os.mkfifo(path)
        read_end = os.open(path, os.O_RDONLY | os.O_NONBLOCK)
    write_rows(path, [{"id": "a"}], {"id": str})
    assert not path.is_file()
    if name == "pipe":
        assert os.read(read_end, 100) == b'{"id": "a"}\n'
        os.close(read_end)
