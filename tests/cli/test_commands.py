"""Every command as its users call it, on a small random LMM."""

from __future__ import annotations

import json
import math
import shutil

import pytest

from savs.artifact import load_artifact
from savs.cli._tables import read_json_lines


def only_object(text: str) -> dict:
    """Return the one JSON object on stdout."""
    assert text.count("\n") == 1
    return json.loads(text)


def error_lines(error: str) -> list[str]:
    assert "Traceback" not in error
    return error.splitlines()


@pytest.mark.parametrize("command", ["demo", "doctor", "fit", "predict", "evaluate", "compare", "inspect"])
def test__help_of_every_command__shows_an_example(command, savs):
    code, text, _ = savs(command, "--help")
    assert code == 0
    assert f"Example:\n    savs {command}" in text


def test__version__is_printed(savs):
    from savs import __version__

    assert savs("--version")[:2] == (0, f"savs, version {__version__}\n")


class TestFit:
    def test__json__says_what_was_made(self, train, backbone, tmp_path, savs):
        arguments = [
            "--shots",
            3,
            "--n-heads",
            4,
            "--prompt",
            "Which colour?",
            "-o",
            tmp_path / "c",
            "--json",
        ]
        code, text, _ = savs("fit", train, "-b", backbone, *arguments)
        summary, artifact = only_object(text), load_artifact(tmp_path / "c")
        assert code == 0
        assert summary["classes"] == ["blue", "red"]
        assert summary["shots_per_class"] == {"blue": 3, "red": 3}
        assert (summary["n_layers"], summary["n_heads"]) == (3, 12)
        assert summary["estimate"]["n"] == 6
        assert artifact.prompt == "Which colour?"
        assert [head[:2] for head in summary["heads"]] == [list(head) for head in artifact.heads]
        assert len(summary["heads"]) == 4

    def test__table__names_shots_estimate_and_next_step(self, train, backbone, tmp_path, savs):
        folder = tmp_path / "my classifier"
        code, text, error = savs("fit", train, "-b", backbone, "-o", folder, "--n-heads", 12)
        assert (code, error) == (0, "")
        for words in (
            "blue",
            "12 of 12 heads in use",
            "from 8 held-out shots",
            "95 % interval",
            f"savs evaluate '{folder}' TEST",
        ):
            assert words in text

    def test__quiet__prints_nothing_and_replaces_an_older_classifier(self, train, backbone, tmp_path, savs):
        for n_heads in (2, 3):
            assert savs(
                "fit", train, "-b", backbone, "-o", tmp_path / "c", "--n-heads", n_heads, "--quiet"
            ) == (0, "", "")
        assert len(load_artifact(tmp_path / "c").heads) == 3

    def test__folder_of_other_things__is_refused_before_anything_is_read(self, tmp_path, savs):
        (tmp_path / "mine.txt").write_text("keep")
        code, text, error = savs("fit", tmp_path / "gone", "-b", "gone", "-o", tmp_path)
        assert (code, text) == (1, "")
        assert "holds other files (mine.txt" in error
        assert (tmp_path / "mine.txt").read_text() == "keep"

    def test__output_below_a_file__is_refused_before_anything_is_read(self, tmp_path, savs):
        (tmp_path / "file").write_text("")
        code, _, error = savs("fit", tmp_path / "gone", "-b", "gone", "-o", tmp_path / "file" / "c")
        assert code == 1
        assert error_lines(error) == [f"savs: error: Not a folder: {tmp_path / 'file'}"]

    @pytest.mark.parametrize(("n_red", "words"), [(2, "'red' has 2"), (0, "0 images")])
    def test__fault_13__one_class_or_nothing__says_the_counts(self, n_red, words, draw, tmp_path, savs):
        (tmp_path / "d" / "red").mkdir(parents=True)
        for index in range(n_red):
            draw("red", index).save(tmp_path / "d" / "red" / f"{index}.png")
        code, _, error = savs("fit", tmp_path / "d", "-b", "no-such-model", "-o", tmp_path / "c")
        assert code == 1
        assert len(error_lines(error)) == 1
        assert words in error
        assert not (tmp_path / "c").exists()

    def test__fault_14__contradiction__both_ids_before_any_model(self, rows, tmp_path, savs):
        data = rows(
            {"image": "red.png", "label": "x"},
            {"image": "red.png", "label": "y"},
            {"text": "z", "label": "y"},
        )
        code, _, error = savs("fit", data, "-b", "no-such-model", "-o", tmp_path / "c")
        assert code == 1
        assert "data.jsonl:1 ('x') and data.jsonl:2 ('y')" in error

    def test__fault_14__duplicate__one_warning_line(self, rows, backbone, tmp_path, savs):
        data = rows(
            {"image": "red.png", "label": "r"},
            {"image": "red.png", "label": "r"},
            {"image": "blue.png", "label": "b"},
        )
        code, _, error = savs("fit", data, "-b", backbone, "-o", tmp_path / "c", "--n-heads", 4)
        assert code == 0
        assert error_lines(error) == [
            "savs: warning: 1 of 3 shots repeat another one (data.jsonl:1, data.jsonl:2); they count twice"
        ]

    def test__fault_09__missing_files__are_listed_before_any_model_is_loaded(self, rows, tmp_path, savs):
        data = rows(*({"image": f"gone{i}.png", "label": "ab"[i % 2]} for i in range(30)))
        code, text, error = savs("fit", data, "-b", "no-such-model", "-o", tmp_path / "c", "--json")
        lines = error_lines(error)
        assert code == 1
        assert "30 of 30 examples" in lines[0]
        assert len(lines) == 1 + 20 + 1
        assert all(line.startswith("savs: error: ") for line in lines)
        assert "data.jsonl:20" in lines[20]
        assert only_object(text)["error"]["code"] == "data_error"

    @pytest.mark.parametrize(
        ("content", "words"),
        [
            (b'{"text": "a", "label": "x"}\n{"image": \n', "data.jsonl:2"),
            (b'{"text": "a", "label": 1}\n{"text": "b", "label": "1"}\n', "int"),
            (b'{"text": "a", "label": 0.5}\n', "data.jsonl:1"),
            (b'{"text": "a", "label": "x", "id": "7"}\n{"text": "b", "label": "y", "id": "7"}\n', ":2"),
            (b'{"image": "../secret.png", "label": "x"}\n', "data.jsonl:1"),
            (b'{"text": "<image> and <image>", "image": "a.png", "label": "x"}\n', "2"),
            (b"", "0 examples"),
        ],
    )
    def test__fault_17__bad_data_file__one_line_that_names_the_place(self, content, words, tmp_path, savs):
        (tmp_path / "data.jsonl").write_bytes(content)
        code, _, error = savs("fit", tmp_path / "data.jsonl", "-b", "no-such-model", "-o", tmp_path / "c")
        assert code == 1
        assert len(error_lines(error)) == 1
        assert error.startswith("savs: error: ")
        assert words in error

    def test__unknown_backbone__one_line(self, train, tmp_path, savs):
        code, _, error = savs("fit", train, "-b", tmp_path / "nowhere", "-o", tmp_path / "c")
        assert code == 1
        assert error_lines(error) == [f"savs: error: there is no folder {tmp_path / 'nowhere'}"]

    def test__label_column_in_the_prompt__refused_under_any_name(self, rows, tmp_path, savs):
        data = rows({"text": "p", "klass": "x"}, {"text": "q", "klass": "y"})
        code, text, error = savs(
            "fit",
            data,
            "-b",
            "no-such-model",
            "-o",
            tmp_path / "c",
            "--label-column",
            "klass",
            "--prompt",
            "{text} {klass}",
        )
        assert (code, text) == (1, "")
        assert error_lines(error) == [
            "savs: error: data.jsonl:1: the prompt template names {klass}, the label: the answer must not "
            "stand in the prompt"
        ]

    def test__one_shot_per_class__warning_and_no_hits_of_nothing(self, rows, backbone, tmp_path, savs):
        data = rows({"image": "red.png", "label": "r"}, {"image": "blue.png", "label": "b"})
        code, text, error = savs("fit", data, "-b", backbone, "-o", tmp_path / "c", "--n-heads", 4)
        assert code == 0
        assert len(error_lines(error)) == 1
        assert error.startswith("savs: warning: every class has one shot: no head can be scored")
        assert "4 of 12 heads in use; heads are not scored" in text
        code, shown, _ = savs("inspect", tmp_path / "c")
        assert code == 0
        assert "heads are not scored" in shown
        for meaningless in ("0/0", "\u25c6", "\u2588"):
            assert meaningless not in text + shown

    def test__more_heads_wanted_than_there_are__said_once_and_by_inspect(
        self, train, backbone, tmp_path, savs
    ):
        code, _, error = savs("fit", train, "-b", backbone, "-o", tmp_path / "c")
        assert code == 0
        assert error_lines(error) == [
            "savs: warning: n_heads is 20, but the backbone has 12 heads: all of them vote, none is picked"
        ]
        assert "20 heads were set, but the backbone has no more" in savs("inspect", tmp_path / "c")[1]
        assert only_object(savs("inspect", tmp_path / "c", "--json")[1])["n_wanted"] == 20


BAD_ROWS = [
    {"image": "red.png", "id": "a", "label": "red"},
    {"image": "red.png", "text": "<image><image>", "id": "b", "label": "red"},
    {"image": "https://x.org/a.png", "label": "red"},
    {"image": "../red.png", "id": "d", "label": "red"},
    {"image": "broken.png", "id": "e", "label": "red"},
    {"image": "clip.mp4", "id": "f", "label": "red"},
    {"image": "nowhere.png", "id": "g", "label": "red"},
    {"image": "blue.png", "id": "h", "label": "blue"},
    {"image": 3, "id": "i", "label": "red"},
]
BAD_IDS = ["b", "data.jsonl:3", "d", "e", "f", "g", "i"]


class TestPredict:
    def test__folder__one_row_per_image_in_order(self, classifier, test_folder, tmp_path, savs):
        target = tmp_path / "new" / "answers.jsonl"
        code, text, error = savs("predict", classifier, test_folder, "-o", target, "--json")
        assert (code, error) == (0, "")
        assert only_object(text) == {"output": str(target), "n": 6, "n_errors": 0}
        answers = [json.loads(line) for line in target.read_text().splitlines()]
        assert [row["id"] for row in answers] == [
            f"{c}/{i:02d}.png" for c in ("blue", "red") for i in range(3)
        ]
        for row in answers:
            assert set(row) == {"id", "label", "proba"}
            assert row["label"] == max(row["proba"], key=row["proba"].get) == row["id"].split("/")[0]
            assert sum(row["proba"].values()) == pytest.approx(1)
        assert [path.name for path in target.parent.iterdir()] == ["answers.jsonl"]

    def test__one_image__row_on_stdout(self, classifier, draw, tmp_path, savs):
        draw("red", 5).save(tmp_path / "new.png")
        code, text, error = savs("predict", classifier, tmp_path / "new.png")
        assert (code, error) == (0, "")
        assert only_object(text)["id"] == "new.png"

    def test__limit_and_chunks__same_rows_as_in_one_go(self, classifier, test_folder, savs, monkeypatch):
        whole = savs("predict", classifier, test_folder)[1].splitlines()
        monkeypatch.setattr("savs.cli.predict.ROWS_PER_CHUNK", 4)  # six images, one by one: two chunks
        assert savs("predict", classifier, test_folder, "--batch-size", 1)[1].splitlines() == whole
        assert savs("predict", classifier, test_folder, "--limit", 2)[1].splitlines() == whole[:2]

    def test__bad_items_allowed__rows_say_so_and_exit_3(self, classifier, rows, savs):
        data = rows(
            {"image": "red.png", "id": "a"},
            {"image": "broken.png", "id": "b"},
            {"image": "nowhere.png", "id": "c"},
            {"image": "blue.png", "id": "d"},
        )
        code, text, _ = savs("predict", classifier, data, "--max-errors", "2")
        answers = [json.loads(line) for line in text.splitlines()]
        assert code == 3
        assert [(row["id"], row["label"]) for row in answers] == [
            ("a", "red"),
            ("b", None),
            ("c", None),
            ("d", "blue"),
        ]
        assert answers[1]["proba"] is None
        assert set(answers[1]["error"]) == {"stage", "code", "message"}
        assert answers[1]["error"]["code"] == "image_undecodable"
        assert answers[2]["error"]["stage"] == "media"

    @pytest.mark.parametrize("chunk", [1, 3, 100])
    def test__fault_18__rows_that_are_no_examples__answered_as_errors_in_place(
        self, chunk, classifier, rows, savs, monkeypatch
    ):
        monkeypatch.setattr("savs.cli.predict.ROWS_PER_CHUNK", chunk)
        data = rows(*BAD_ROWS)
        code, text, error = savs("predict", classifier, data, "--max-errors", 7, "--batch-size", 1)
        answers = [json.loads(line) for line in text.splitlines()]
        assert (code, error) == (3, "")
        assert [row["id"] for row in answers] == ["a", "b", "data.jsonl:3", *"defghi"]
        assert [row["id"] for row in answers if row["label"] is None] == BAD_IDS
        assert [row["label"] for row in answers if row["label"]] == ["red", "blue"]
        assert answers[1]["error"]["code"] == "marker_mismatch"
        assert "data.jsonl:2: the text has 2 <image> marker(s)" in answers[1]["error"]["message"]
        assert savs("predict", classifier, data, "--max-errors", 6, "--batch-size", 1)[0] == 1
        assert savs("predict", classifier, data, "--max-errors", -1, "--limit", 2)[1].count("\n") == 2

    def test__fault_17__broken_line__stops_whatever_is_allowed(self, classifier, rows, savs):
        data = rows(*BAD_ROWS)
        data.write_text(data.read_text() + "{\n")
        code, text, error = savs("predict", classifier, data, "--max-errors", -1)
        assert (code, text) == (1, "")
        (line,) = error_lines(error)
        assert line.startswith("savs: error: data.jsonl:10: not valid JSON at column 2; one object")

    def test__nothing_can_be_answered__all_rows_are_errors_and_exit_3(self, classifier, rows, savs):
        code, text, _ = savs("predict", classifier, rows({"image": 3}, {"image": 4}), "--max-errors", -1)
        assert (code, text.count("image_type")) == (3, 2)

    def test__no_such_file__one_line(self, classifier, tmp_path, savs):
        code, _, error = savs("predict", classifier, tmp_path / "nofile.jsonl")
        assert code == 1
        assert error_lines(error) == [
            f"savs: error: there is no file '{tmp_path / 'nofile.jsonl'}'; check the path"
        ]

    def test__one_bad_item_too_many__exit_1_names_it_and_old_output_stays(
        self, classifier, rows, tmp_path, savs
    ):
        data, target = rows({"image": "red.png"}, {"image": "broken.png", "id": "culprit"}), tmp_path / "o"
        target.write_text("old")
        code, _, error = savs("predict", classifier, data, "-o", target)
        assert code == 1
        assert error_lines(error)[-1].startswith("savs: error: culprit: ")
        assert target.read_text() == "old"
        assert not list(tmp_path.glob("*.partial"))

    def test__rows_before_the_error__stay_beside_the_output(
        self, classifier, rows, tmp_path, savs, monkeypatch
    ):
        monkeypatch.setattr("savs.cli.predict.ROWS_PER_CHUNK", 8)
        data = rows(*({"image": "red.png", "id": str(i)} for i in range(8)), {"image": "broken.png"})
        code, _, error = savs("predict", classifier, data, "-o", tmp_path / "o", "--batch-size", 1)
        (partial,) = tmp_path.glob("*.partial")
        assert code == 1
        assert len(partial.read_text().splitlines()) == 8
        assert str(partial) in error
        assert not (tmp_path / "o").exists()

    def test__output_is_the_data__wrong_usage(self, classifier, rows, savs):
        data = rows({"image": "red.png"})
        before = data.read_text()
        code, _, error = savs("predict", classifier, data, "-o", data)
        assert code == 2
        assert "is the data itself" in error
        assert data.read_text() == before

    def test__output_is_a_device__is_written_to_and_not_replaced(self, classifier, test_folder, savs):
        from pathlib import Path

        assert savs("predict", classifier, test_folder, "-o", "/dev/null")[0] == 0
        assert Path("/dev/null").is_char_device()

    def test__output_is_a_link__its_target_is_replaced(self, classifier, test_folder, tmp_path, savs):
        (tmp_path / "there").write_text("old")
        (tmp_path / "link").symlink_to("there")
        assert savs("predict", classifier, test_folder, "-o", tmp_path / "link", "-q") == (0, "", "")
        assert (tmp_path / "link").is_symlink()
        assert (tmp_path / "there").read_text().count("\n") == 6

    def test__fault_30__other_backbone__is_refused_unless_named(
        self, classifier, backbone, test_folder, tmp_path, savs
    ):
        shutil.copytree(backbone, tmp_path / "other")
        template = tmp_path / "other" / "chat_template.jinja"
        template.write_text("hello " + template.read_text())
        arguments = ["predict", classifier, test_folder, "-b", tmp_path / "other"]
        code, _, error = savs(*arguments)
        assert code == 1
        assert "or accept the difference with --allow-mismatch processor_digest" in error
        assert len(error_lines(error)) == 1
        found = only_object(savs(*arguments, "--json")[1])["error"]
        assert (found["code"], found["entries"]) == ("backbone_mismatch_error", ["processor_digest"])
        assert savs(*arguments, "--allow-mismatch", "processor_digest")[0] == 0
        code, _, error = savs(*arguments, "--allow-mismatch", "everything")
        assert code == 2
        assert "processor_digest" in error

    @pytest.mark.parametrize("name", ["savs.json", "classifier-*.safetensors"])
    def test__fault_29__altered_classifier__one_line(self, name, classifier, test_folder, tmp_path, savs):
        shutil.copytree(classifier, tmp_path / "c")
        (part,) = (tmp_path / "c").glob(name)
        part.write_bytes(part.read_bytes()[:-9] + b"x" * 9)
        code, text, error = savs("predict", tmp_path / "c", test_folder)
        assert (code, text) == (1, "")
        assert len(error_lines(error)) == 1
        assert "cannot be used as a classifier" in error


class TestEvaluate:
    def test__json__equals_the_rows_of_predict(self, classifier, test_folder, savs):
        code, text, error = savs("evaluate", classifier, test_folder, "--json")
        report = only_object(text)
        answers = [json.loads(line) for line in savs("predict", classifier, test_folder)[1].splitlines()]
        right = sum(row["label"] == row["id"].split("/")[0] for row in answers)
        assert (code, error) == (0, "")
        assert report["accuracy"] == right / 6
        assert (report["n"], report["n_errors"], report["n_leaks"]) == (6, 0, 0)
        assert report["classes"] == ["blue", "red"]
        assert {name: f["n"] for name, f in report["per_class"].items()} == {"blue": 3, "red": 3}

    def test__table__shows_interval_and_classes(self, classifier, test_folder, savs):
        code, text, _ = savs("evaluate", classifier, test_folder)
        assert code == 0
        for words in ("95 % interval", "n = 6", "macro F1", "log loss ", "Brier score ", "precision", "blue"):
            assert words in text

    def test__log_loss_ece_and_brier__equal_a_loop_over_rows(self, classifier, test_folder, tmp_path, savs):
        code, text, _ = savs("evaluate", classifier, test_folder, "--json", "-o", tmp_path / "rows.jsonl")
        report, rows = only_object(text), list(read_json_lines(tmp_path / "rows.jsonl"))
        bins = [[] for _ in range(10)]
        for row in rows:
            share, confidence = row["proba"][row["true_label"]], row["proba"][row["label"]]
            assert row["log_loss"] == pytest.approx(-math.log(max(share, 1e-9)), abs=1e-4)
            brier = sum((p - (name == row["true_label"])) ** 2 for name, p in row["proba"].items())
            assert row["brier"] == pytest.approx(brier, abs=1e-4)
            bins[min(int(confidence * 10), 9)].append(row["correct"] - confidence)
        assert code == 0
        ece = sum(abs(sum(gaps)) for gaps in bins) / 6
        assert report["ece"]["value"] == pytest.approx(ece, abs=1e-4)
        for metric in ("log_loss", "brier"):
            assert report[metric]["value"] == pytest.approx(sum(row[metric] for row in rows) / 6, abs=1e-4)
        for metric in ("log_loss", "ece", "brier"):
            low, high = report[metric]["interval"]
            assert low <= report[metric]["value"] <= high
        shown = savs("evaluate", classifier, test_folder, "--quiet")[1]
        low, high = report["log_loss"]["interval"]
        assert f"log loss {report['log_loss']['value']:.3f} ({low:.3f} to {high:.3f}), ECE " in shown

    def test__nothing_could_be_read__no_figures(self, classifier, rows, savs):
        data = rows({"image": "broken.png", "label": "red"})
        code, text, _ = savs("evaluate", classifier, data, "--max-errors", 1, "--json")
        report = only_object(text)
        assert code == 3
        assert [report[name] for name in ("accuracy", "log_loss", "ece", "brier")] == [None] * 4
        assert savs("evaluate", classifier, data, "--max-errors", 1)[1].startswith("no accuracy: no example")

    def test__confusions__are_named(self, classifier, rows, savs):
        data = rows({"image": "red.png", "label": "blue"}, {"image": "blue.png", "label": "blue"})
        code, text, _ = savs("evaluate", classifier, data)
        assert code == 0
        assert "accuracy 50.0 %" in text
        assert "1 x blue classified as red" in text

    def test__fault_15__text_labels_that_look_like_the_classes__are_told_apart(
        self, backbone, rows, tmp_path, savs
    ):
        shots = rows({"image": "red.png", "label": 1}, {"image": "blue.png", "label": 2})
        assert savs("fit", shots, "-b", backbone, "-o", tmp_path / "c", "-q")[0] == 0
        code, text, error = savs("evaluate", tmp_path / "c", rows({"image": "red.png", "label": "1"}))
        assert code == 0
        assert "accuracy 0.0 %" in text
        assert "1 x '1' classified as 1\n" in text
        assert "the classes are of type int, these labels are not" in error
        (tmp_path / "same.csv").write_text("image,label\nred.png,1\nblue.png,2\n")
        code, text, error = savs("evaluate", tmp_path / "c", tmp_path / "same.csv")
        assert code == 0
        assert "accuracy 100.0 %" in text
        assert "not a class of the classifier" not in error

    def test__fault_14__shots_in_the_test_set__are_counted_and_warned_of(
        self, classifier, train, test_folder, tmp_path, savs
    ):
        shutil.copytree(test_folder, tmp_path / "t")
        shutil.copy(train / "red" / "00.png", tmp_path / "t" / "red" / "again.png")
        code, text, error = savs("evaluate", classifier, tmp_path / "t", "--json")
        report = only_object(text)
        assert code == 0
        assert (report["n"], report["n_leaks"], report["accuracy_without_leaks"]) == (7, 1, 1.0)
        assert len(error_lines(error)) == 1
        assert error.startswith("savs: warning: 1 of 7 test examples are shots too")
        assert (
            "accuracy without the 1 test examples that are also shots: 100.0 %"
            in savs("evaluate", classifier, tmp_path / "t")[1]
        )
        assert savs("evaluate", classifier, tmp_path / "t", "--json", "--quiet")[2] == ""

    def test__fault_16__unknown_test_label__counts_as_wrong_and_is_named(self, classifier, rows, savs):
        data = rows({"image": "red.png", "label": "red"}, {"image": "blue.png", "label": "mauve"})
        code, text, error = savs("evaluate", classifier, data, "--json")
        report = only_object(text)
        assert code == 0
        assert report["unknown_labels"] == {"mauve": 1}
        assert report["accuracy"] == 0.5
        assert "1 of 2 test examples have a label that is not a class of the classifier (mauve)" in error

    def test__item_errors__are_listed_not_counted_and_exit_3(self, classifier, rows, savs):
        data = rows({"image": "red.png", "label": "red"}, {"image": "broken.png", "label": "red", "id": "b"})
        code, text, _ = savs("evaluate", classifier, data, "--max-errors", "-1", "--json")
        report = only_object(text)
        assert code == 3
        assert (report["n"], report["n_errors"], report["accuracy"]) == (1, 1, 1.0)
        assert report["errors"][0]["id"] == "b"
        assert savs("evaluate", classifier, data)[0] == 1

    def test__fault_18__rows_that_are_no_examples__are_listed_with_the_others(self, classifier, rows, savs):
        data = rows(*BAD_ROWS)
        code, text, _ = savs("evaluate", classifier, data, "--max-errors", 7, "--json")
        report = only_object(text)
        assert code == 3
        assert (report["n"], report["n_errors"], report["accuracy"]) == (2, 7, 1.0)
        assert [record["id"] for record in report["errors"]] == BAD_IDS
        assert savs("evaluate", classifier, data, "--max-errors", 6)[0] == 1

    def test__nothing_could_be_answered__says_so(self, classifier, rows, savs):
        data = rows({"image": "broken.png", "label": "red"})
        code, text, _ = savs("evaluate", classifier, data, "--max-errors", "-1")
        assert code == 3
        assert "no accuracy: no example could be classified" in text

    def test__no_labels__one_line(self, classifier, rows, savs):
        code, _, error = savs("evaluate", classifier, rows({"image": "red.png"}))
        assert code == 1
        assert "have no label" in error


class TestInspect:
    def test__json__agrees_with_the_artifact(self, classifier, backbone, savs):
        code, text, _ = savs("inspect", classifier, "--json")
        summary, artifact = only_object(text), load_artifact(classifier)
        assert code == 0
        assert [head[:2] for head in summary["heads"]] == [list(head) for head in artifact.heads]
        scores = [score for _, _, score in summary["heads"]]
        assert scores == sorted(scores, reverse=True)
        for layer, index, score in summary["heads"]:
            assert summary["head_map"][layer][index] == score
        assert (summary["n_layers"], summary["n_heads"], summary["n_kept"]) == (3, 12, 5)
        assert (summary["n_shots"], summary["n_scored"], summary["prompt"]) == (8, 8, "Which colour?")
        assert summary["backbone"]["source"] == str(backbone)

    def test__table__marks_the_kept_heads(self, classifier, savs):
        code, text, _ = savs("inspect", classifier)
        assert code == 0
        assert text.count("◆") == 5 + 1
        for words in ("Which colour?", "blue (4), red (4)", "/8", "LlavaForConditionalGeneration"):
            assert words in text

    def test__quiet__leaves_the_heads_out(self, classifier, savs):
        text = savs("inspect", classifier, "--quiet")[1]
        assert "Which colour?" in text
        assert "◆" not in text


class TestFailures:
    def test__json__error_object_on_stdout(self, tmp_path, savs):
        code, text, error = savs("inspect", tmp_path / "nowhere", "--json")
        found = only_object(text)["error"]
        assert code == 1
        assert found["code"] == "artifact_error"
        assert error == f"savs: error: {found['message']}\n"

    def test__json__wrong_usage_too(self, savs):
        code, text, error = savs("evaluate", "--json")
        assert code == 2
        assert only_object(text)["error"]["code"] == "usage_error"
        assert "Usage: savs evaluate" in error

    @pytest.mark.parametrize(
        "arguments",
        [["no-such-command"], ["fit"], ["predict", "c", "d", "--max-errors", "-2"], ["demo", "--x"]],
    )
    def test__wrong_usage__exit_2(self, arguments, savs):
        code, text, error = savs(*arguments)
        assert (code, text) == (2, "")
        assert "Usage: savs" in error

    def test__verbose__shows_the_traceback(self, tmp_path, savs):
        error = savs("inspect", tmp_path / "nowhere", "--verbose")[2]
        assert "Traceback" in error
        assert error.splitlines()[-1].startswith("savs: error: ")

    def test__debug_variable__shows_the_traceback(self, tmp_path, savs, monkeypatch):
        monkeypatch.setenv("SAVS_DEBUG", "1")
        assert "Traceback" in savs("inspect", tmp_path / "nowhere")[2]

    def test__fault_in_savs__is_admitted_in_one_line(self, classifier, savs, monkeypatch):
        def broken(_):
            raise RuntimeError("two\nlines")

        monkeypatch.setattr("savs.artifact.load_artifact", broken)
        code, _, error = savs("inspect", classifier)
        assert code == 1
        assert error == "savs: error: RuntimeError: two lines (a bug in savs; --verbose shows where)\n"
