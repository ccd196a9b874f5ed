"""`savs fit --multi-label`, and evaluate and predict with such a classifier, from every kind of file."""

from __future__ import annotations

import csv
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from sklearn.metrics import accuracy_score, f1_score, hamming_loss
from sklearn.preprocessing import MultiLabelBinarizer

from savs import MultiLabelModel
from savs.cli._tables import read_json_lines
from savs.cli.main import run

TAGS = {"red": ["warm", "color"], "blue": ["color"], "none": []}


@pytest.fixture(scope="module")
def data(tmp_path_factory, draw):
    folder = tmp_path_factory.mktemp("tags")
    kinds = ["red", "blue", "red", "blue", "none", "none", "red", "blue", "none", "red"]
    rows = []
    for index, kind in enumerate(kinds):
        draw("blue" if kind == "none" else kind, 70 + index).save(folder / f"{index}.png")
        rows.append({"id": f"r{index}", "image": f"{index}.png", "question": kind, "label": TAGS[kind]})
    (folder / "list.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    pq.write_table(pa.Table.from_pylist(rows), folder / "list.parquet")
    texts = [{**row, "label": "; ".join(row["label"])} for row in rows]
    (folder / "text.jsonl").write_text("".join(json.dumps(row) + "\n" for row in texts))
    with (folder / "text.csv").open("w", newline="") as file:
        writer = csv.DictWriter(file, ["id", "image", "question", "label"])
        writer.writeheader()
        writer.writerows(texts)
    return folder


@pytest.fixture(scope="module")
def fitted(data, backbone, tmp_path_factory):
    target = tmp_path_factory.mktemp("fit") / "tags"
    arguments = ["fit", data / "list.jsonl", "-b", backbone, "--multi-label", ";", "-o", target, "--quiet"]
    assert run(list(map(str, arguments))) == 0
    return target


def test__multi_label__fit_as_json__says_what_was_learned(data, backbone, savs, tmp_path):
    code, out, error = savs(
        "fit", data / "list.jsonl", "-b", backbone, "--multi-label", ";", "-o", tmp_path / "m", "--json"
    )
    assert code == 0, error
    summary = json.loads(out)
    assert summary["labels"] == ["color", "warm"]
    assert summary["shots_per_label"] == {"color": 7, "warm": 4}
    assert (summary["n_shots"], summary["n_without_label"], summary["method"]) == (10, 3, "mean_proba")
    assert set(summary["estimates"]) == {"color", "warm"}


@pytest.mark.parametrize("name", ["list.parquet", "text.jsonl", "text.csv"])
def test__multi_label__every_kind_of_file__gives_the_same_classifier(
    name, data, fitted, backbone, savs, tmp_path
):
    target = tmp_path / "again"
    code, out, error = savs("fit", data / name, "-b", backbone, "--multi-label", ";", "-o", target)
    assert code == 0, error
    assert "3 of them without any label" in out
    for label in ("label-0000", "label-0001"):
        for file in ("savs.json", "classifier.safetensors"):
            if (fitted / label / file).exists():
                assert (target / label / file).read_bytes() == (fitted / label / file).read_bytes()


@pytest.mark.parametrize("name", ["list.jsonl", "list.parquet", "text.csv"])
def test__multi_label__evaluate__figures_and_rows(name, data, fitted, savs, tmp_path):
    code, out, error = savs("evaluate", fitted, data / name, "--json", "-o", tmp_path / "rows.jsonl")
    assert code == 0, error
    report, rows = json.loads(out), list(read_json_lines(tmp_path / "rows.jsonl"))
    assert [row["id"] for row in rows] == [f"r{index}" for index in range(10)]
    table = MultiLabelBinarizer(classes=["color", "warm"])
    truth = table.fit_transform([row["true_labels"] for row in rows])
    answers = table.fit_transform([row["labels"] for row in rows])
    assert report["subset_accuracy"] == accuracy_score(truth, answers)
    assert report["micro_f1"] == pytest.approx(f1_score(truth, answers, average="micro"))
    assert report["hamming_loss"] == pytest.approx(hamming_loss(truth, answers))
    assert [row["correct"] for row in rows] == (truth == answers).all(axis=1).tolist()
    assert report["n_leaks"] == 10
    assert "10 of 10 test examples are shots too" in error
    model = MultiLabelModel.from_pretrained(fitted)
    assert model.separator == ";"
    assert rows[0]["proba"] == pytest.approx(
        dict(zip(["color", "warm"], model.predict_proba([_row(data, 0)])[0].tolist(), strict=True)), abs=2e-6
    )


def _row(data, index):
    row = json.loads((data / "list.jsonl").read_text().splitlines()[index])
    return {"image": str(data / row["image"]), "question": row["question"]}


def test__multi_label__evaluate_for_people__one_line_and_a_table(data, fitted, savs):
    code, out, _ = savs("evaluate", fitted, data / "text.csv")
    assert code == 0
    assert out.startswith("all labels right ")
    assert "Hamming loss" in out.splitlines()[0]


@pytest.mark.parametrize("ending", ["jsonl", "csv", "parquet"])
def test__multi_label__predict__labels_of_every_row(ending, data, fitted, savs, tmp_path):
    (data / "broken.png").write_bytes(b"no image")
    rows = [{"id": "a", "image": "0.png"}, {"id": "b", "image": "broken.png"}, {"id": "c", "image": "1.png"}]
    (data / "new.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    target = tmp_path / f"out.{ending}"
    code, _, error = savs("predict", fitted, data / "new.jsonl", "-o", target, "--max-errors", 1)
    assert code == 3, error
    if ending == "parquet":
        found = pq.read_table(target).to_pylist()
    elif ending == "csv":
        found = list(csv.DictReader(target.read_text().splitlines()))
    else:
        found = list(read_json_lines(target))
    assert [row["id"] for row in found] == ["a", "b", "c"]
    labels = [
        json.loads(row["labels"]) if ending == "csv" and row["labels"] else row["labels"] for row in found
    ]
    model = MultiLabelModel.from_pretrained(fitted)
    assert [labels[0], labels[2]] == model.predict([data / "0.png", data / "1.png"])
    assert not labels[1]


def test__multi_label__data_with_labels__predict_reads_them_as_at_fit(data, fitted, savs):
    code, out, error = savs("predict", fitted, data / "list.jsonl", "--limit", 2)
    assert code == 0, error
    assert all(isinstance(json.loads(line)["labels"], list) for line in out.splitlines())


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--shots", "1"], "--shots is not for several labels"),
        (["--priors", "uniform"], "--priors is not for several labels"),
        (["--keep-shots"], "--keep-shots is not for several labels"),
        (["--method", "sav"], "no probability of a single label"),
    ],
)
def test__multi_label__options_of_one_label__usage_error(options, message, data, backbone, savs, tmp_path):
    code, _, error = savs(
        "fit", data / "list.jsonl", "-b", backbone, "--multi-label", ";", "-o", tmp_path / "x", *options
    )
    assert code == 2
    assert message in error


def test__multi_label__mistakes__one_line(data, fitted, classifier, backbone, savs, tmp_path):
    code, _, error = savs("evaluate", classifier, data / "list.jsonl", "--multi-label", ";")
    assert code == 2
    assert "fitted with one label per example" in error
    code, _, error = savs("inspect", fitted)
    assert code == 1
    assert (
        "a classifier for each of several labels; name one of its folders, such as tags/label-0000" in error
    )
    code, _, error = savs("predict", fitted, data / "list.jsonl", "--sets", "0.2")
    assert code == 2
    assert "not for several labels" in error
    code, _, error = savs("fit", data / "list.jsonl", "-b", backbone, "--multi-label", ";", "-o", fitted)
    assert code == 2
    assert "is not empty" in error
    code, _, error = savs("fit", data / "list.jsonl", "-b", backbone, "-o", tmp_path / "one")
    assert code == 1
    assert (
        "several labels of an example are for MultiLabelModel, as its labels=[...] (savs fit --multi-label)"
        in error
    )
    rows = [{"image": "0.png", "label": ["a"]}, {"image": "1.png", "label": None}]
    (data / "gap.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    code, _, error = savs(
        "fit", data / "gap.jsonl", "-b", backbone, "--multi-label", ";", "-o", tmp_path / "g"
    )
    assert code == 1
    assert "1 of 2 examples have no label, the first is gap.jsonl:2" in error


def test__multi_label__test_label_that_nobody_knows__is_named(data, fitted, savs):
    (data / "odd.jsonl").write_text(
        json.dumps({"image": "0.png", "question": "?", "label": ["Warm", "color"]})
    )
    code, out, error = savs("evaluate", fitted, data / "odd.jsonl", "--json")
    assert code == 0
    assert json.loads(out)["unknown_labels"] == {"Warm": 1}
    assert "'Warm' and the class 'warm' differ only in case" in error


@pytest.mark.parametrize("name", ["rows.parquet", "rows.jsonl"])
def test__multi_label__true_labels_of_another_type__written_and_wrong(name, data, fitted, savs, tmp_path):
    (data / "numbers.jsonl").write_text(json.dumps({"image": "0.png", "question": "red", "label": [1, 0]}))
    code, _, error = savs("evaluate", fitted, data / "numbers.jsonl", "-o", tmp_path / name)
    assert code == 0, error
    assert "the classes are of type str, these labels are not (int)" in error
    read = read_json_lines if name.endswith("l") else lambda path: pq.read_table(path).to_pylist()
    [row] = read(tmp_path / name)
    assert (row["true_labels"], row["correct"]) == ([1, 0], False)


def test__multi_label__one_is_not_true__in_the_rows_as_in_the_figures(data, backbone, savs, tmp_path):
    kinds = [[True], [False], [True, False], [True], [False], [True]]
    shots = [{"image": f"{n}.png", "question": "", "label": own} for n, own in enumerate(kinds)]
    (data / "truths.jsonl").write_text("".join(json.dumps(row) + "\n" for row in shots))
    code, _, error = savs(
        "fit", data / "truths.jsonl", "-b", backbone, "--multi-label", ";", "-o", tmp_path / "m"
    )
    assert code == 0, error
    numbers = [{**row, "label": list(map(int, row["label"]))} for row in shots]
    (data / "ones.jsonl").write_text("".join(json.dumps(row) + "\n" for row in numbers))
    code, out, _ = savs("evaluate", tmp_path / "m", data / "ones.jsonl", "--json", "-o", tmp_path / "a.jsonl")
    assert code == 0
    report, rows = json.loads(out), list(read_json_lines(tmp_path / "a.jsonl"))
    assert [row["correct"] for row in rows].count(True) == report["n_correct"]
    assert any(row["labels"] for row in rows)
