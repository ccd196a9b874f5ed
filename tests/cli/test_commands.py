"""Every command as its users call it, on the backbone in the box."""

import json
import shutil
from importlib.resources import files

import pytest
from conftest import draw

from savs.artifact import load_artifact
from savs.cli.main import run


def out(capsys) -> dict:
    """Return the one JSON object on stdout."""
    text = capsys.readouterr().out
    assert text.count("\n") == 1
    return json.loads(text)


def test__fit__json__says_what_was_made(train, tmp_path, capsys):
    arguments = ["fit", str(train), "-b", "tiny", "--shots", "3", "-o", str(tmp_path / "c"), "--json"]
    assert run([*arguments, "--n-heads", "7", "--prompt", "What colour?"]) == 0
    summary = out(capsys)
    assert summary["classes"] == ["blue", "red"]
    assert summary["shots_per_class"] == {"blue": 3, "red": 3}
    assert len(summary["heads"]) == 7
    assert summary["n_heads"] >= 64
    assert summary["estimate"]["n"] == 6
    artifact = load_artifact(tmp_path / "c")
    assert artifact.prompt == "What colour?"
    assert [[*head] for head in artifact.heads] == [head[:2] for head in summary["heads"]]


def test__fit__table__names_estimate_and_next_step(train, tmp_path, capsys):
    assert run(["fit", str(train), "-b", "tiny", "-o", str(tmp_path / "c")]) == 0
    text = capsys.readouterr().out
    for words in (
        "blue",
        "kept 20 of",
        "estimated accuracy on new examples",
        "95 % interval",
        "next: savs predict",
    ):
        assert words in text


def test__predict__folder__one_row_per_picture_in_order(classifier, test_folder, tmp_path, capsys):
    target = tmp_path / "answers.jsonl"
    assert run(["predict", str(classifier), str(test_folder), "-o", str(target), "--json"]) == 0
    assert out(capsys) == {"output": str(target), "n": 6, "n_errors": 0}
    answers = [json.loads(line) for line in target.read_text().splitlines()]
    assert [row["id"] for row in answers] == [f"{c}/{i:02d}.png" for c in ("blue", "red") for i in range(3)]
    for row in answers:
        assert set(row) == {"id", "label", "proba"}
        assert row["label"] == max(row["proba"], key=row["proba"].get)
        assert sum(row["proba"].values()) == pytest.approx(1)
    assert sum(row["label"] == row["id"].split("/")[0] for row in answers) >= 5


def test__predict__one_picture__row_on_stdout(classifier, tmp_path, capsys):
    draw("red", 5).save(tmp_path / "new.png")
    assert run(["predict", str(classifier), str(tmp_path / "new.png")]) == 0
    assert out(capsys)["id"] == "new.png"


def test__predict__bad_items_allowed__rows_say_so_and_exit_3(classifier, rows, tmp_path, capsys):
    (tmp_path / "broken.png").write_bytes(b"no picture")
    data = rows(
        {"image": "red.png", "id": "a"},
        {"image": "broken.png", "id": "b"},
        {"image": "nowhere.png", "id": "c"},
        {"image": "blue.png", "id": "d"},
    )
    assert run(["predict", str(classifier), str(data), "--max-errors", "-1"]) == 3
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [row["id"] for row in answers] == ["a", "b", "c", "d"]
    assert [row["label"] is None for row in answers] == [False, True, True, False]
    assert answers[1]["error"]["code"] == "image_undecodable"
    assert answers[2]["error"]["stage"] == "media"


def test__predict__bad_item_by_default__exit_1_and_no_output_file(classifier, rows, tmp_path, capsys):
    (tmp_path / "broken.png").write_bytes(b"no picture")
    data, target = rows({"image": "red.png"}, {"image": "broken.png", "id": "culprit"}), tmp_path / "o.jsonl"
    assert run(["predict", str(classifier), str(data), "-o", str(target)]) == 1
    assert "culprit" in capsys.readouterr().err
    assert not target.exists()


def test__fault_09__missing_files__are_listed_before_any_model_is_loaded(rows, tmp_path, capsys):
    data = rows(*({"image": f"gone{i}.png", "label": "ab"[i % 2]} for i in range(30)))
    arguments = ["fit", str(data), "-b", str(tmp_path / "no-such-model"), "-o", str(tmp_path / "c")]
    assert run(arguments) == 1
    error = capsys.readouterr().err
    assert "30 of 30" in error
    assert "gone19.png" in error
    assert "gone20.png" not in error
    assert "no-such-model" not in error


def test__evaluate__json__equals_the_rows_of_predict(classifier, test_folder, capsys):
    assert run(["evaluate", str(classifier), str(test_folder), "--json"]) == 0
    report = out(capsys)
    assert run(["predict", str(classifier), str(test_folder)]) == 0
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    right = sum(row["label"] == row["id"].split("/")[0] for row in answers)
    assert report["accuracy"] == right / 6
    assert (report["n"], report["n_errors"], report["n_leaks"]) == (6, 0, 0)
    assert report["classes"] == ["blue", "red"]
    assert set(report["per_class"]) == {"blue", "red"}


def test__fault_14__shots_in_the_test_set__are_counted_and_warned_of(
    classifier, train, test_folder, tmp_path, capsys
):
    shutil.copytree(test_folder, tmp_path / "t")
    shutil.copy(train / "red" / "00.png", tmp_path / "t" / "red" / "again.png")
    assert run(["evaluate", str(classifier), str(tmp_path / "t"), "--json"]) == 0
    captured = capsys.readouterr()
    report = json.loads(captured.out)
    assert report["n_leaks"] == 1
    assert report["accuracy_without_leaks"] is not None
    assert "savs: warning: 1 of 7 test examples are shots too" in captured.err


def test__fault_16__unknown_test_label__counts_as_wrong_and_is_named(classifier, rows, capsys):
    data = rows({"image": "red.png", "label": "red"}, {"image": "blue.png", "label": "mauve"})
    assert run(["evaluate", str(classifier), str(data), "--json"]) == 0
    captured = capsys.readouterr()
    report = json.loads(captured.out)
    assert report["unknown_labels"] == {"mauve": 1}
    assert report["accuracy"] <= 0.5
    assert "mauve" in captured.err


def test__evaluate__table__shows_interval_and_classes(classifier, test_folder, capsys):
    assert run(["evaluate", str(classifier), str(test_folder)]) == 0
    text = capsys.readouterr().out
    assert "95 % interval" in text
    assert "precision" in text


def test__inspect__json__agrees_with_the_artefact(classifier, capsys):
    assert run(["inspect", str(classifier), "--json"]) == 0
    summary, artifact = out(capsys), load_artifact(classifier)
    assert [head[:2] for head in summary["heads"]] == [[*head] for head in artifact.heads]
    scores = [score for _, _, score in summary["heads"]]
    assert scores == sorted(scores, reverse=True)
    for layer, index, score in summary["heads"]:
        assert summary["head_map"][layer][index] == score
    assert summary["n_layers"] == len(summary["head_map"])
    assert summary["n_heads"] == artifact.layout.n_heads == sum(map(len, summary["head_map"]))
    assert summary["backbone"]["source"] == "tiny"


def test__inspect__table__marks_the_kept_heads(classifier, capsys):
    assert run(["inspect", str(classifier)]) == 0
    text = capsys.readouterr().out
    assert text.count("◆") + text.count("*") >= 20 + 1
    assert "What colour is it?" in text


@pytest.mark.parametrize("n_per_class", [(3, 0), (0, 0)])
def test__fault_13__one_class_or_nothing__says_the_counts(n_per_class, tmp_path, capsys):
    (tmp_path / "d" / "red").mkdir(parents=True)
    for index in range(n_per_class[0]):
        draw("red", index).save(tmp_path / "d" / "red" / f"{index}.png")
    assert run(["fit", str(tmp_path / "d"), "-b", "tiny", "-o", str(tmp_path / "c")]) == 1
    assert capsys.readouterr().err.startswith("savs: error: ")


def test__fault_30__other_backbone__is_refused_with_the_difference(classifier, test_folder, tmp_path, capsys):
    copy = tmp_path / "other"
    shutil.copytree(files("savs.backbones") / "tiny", copy)
    template = copy / "chat_template.jinja"
    template.write_text("hello " + template.read_text())
    arguments = ["predict", str(classifier), str(test_folder), "-b", str(copy)]
    assert run(arguments) == 1
    assert "processor_digest" in capsys.readouterr().err
    assert run([*arguments, "--allow-mismatch", "processor_digest"]) == 0
    assert run([*arguments, "--allow-mismatch", "everything"]) == 2
