import json

import pytest

from savs.cli.main import run

N_SHOTS, N_ROWS = 8, 16


def rows_of(path, name, count, *more):
    rows = [
        {"id": f"{name} {index}", "question": f"{name} {index} is red", "label": "ab"[index % 2]}
        for index in range(count)
    ]
    path.write_text("".join(json.dumps(row) + "\n" for row in [*rows, *more]))
    return path


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """Texts and a classifier of the bundled model, fitted with a store."""
    folder = tmp_path_factory.mktemp("stored")
    train = rows_of(folder / "train.jsonl", "shot", N_SHOTS)
    rows_of(folder / "test.jsonl", "query", N_ROWS)
    arguments = ["fit", train, "-b", "tiny", "--n-heads", "5", "--quiet", "--store", folder / "store"]
    assert run([str(argument) for argument in [*arguments, "-o", folder / "classifier"]]) == 0
    return folder


def test__fit__other_labels_heads_and_seed__no_forward_pass(savs, place, tmp_path):
    store = place / "store"
    text = (place / "train.jsonl").read_text()
    relabelled = tmp_path / "train.jsonl"
    relabelled.write_text(text.replace('"b"', '"c"').replace('"a"', '"b"'))
    arguments = ("-b", "tiny", "--n-heads", 3, "--shots", 3, "--seed", 5, "-o", tmp_path / "classifier")
    code, out, err = savs("fit", relabelled, *arguments, "--store", store, "--json")
    assert code == 0
    assert json.loads(out)["classes"] == ["b", "c"]
    assert json.loads(out)["store"] == {"from_store": 6, "computed": 0}
    assert err == "savs: 6 of 6 examples from the store, 0 forward passes\n"
    assert savs("fit", relabelled, *arguments, "--quiet")[0] == 0  # the same classifier without a store
    assert savs("fit", relabelled, *arguments, "--store", store, "--quiet") == (0, "", "")


def test__fit__store__same_classifier_as_without(savs, place, tmp_path):
    train = place / "train.jsonl"
    assert savs("fit", train, "-b", "tiny", "--n-heads", 5, "-o", tmp_path / "plain", "--quiet")[0] == 0
    plain, kept = (
        {path.name: path.read_bytes() for path in folder.iterdir()}
        for folder in (tmp_path / "plain", place / "classifier")
    )
    assert plain == kept


def test__evaluate__errors_in_the_middle__exit_3_and_the_rest_is_stored(savs, place, tmp_path):
    (tmp_path / "bad.png").write_bytes(b"no picture")
    bad = {"id": "bad", "question": "look", "image": "bad.png", "label": "a"}
    good = {"id": "good", "question": "shot 0 is red", "label": "a"}
    test = rows_of(tmp_path / "test.jsonl", "item", 2, bad, good)
    for counts in ({"from_store": 1, "computed": 2}, {"from_store": 3, "computed": 0}):
        code, out, _ = savs(
            "evaluate", place / "classifier", test, "--store", place / "store", "--json", "--max-errors", 1
        )
        report = json.loads(out)
        assert (code, report["n"], report["store"]) == (3, 3, counts)
        assert [error["id"] for error in report["errors"]] == ["bad"]
    assert savs("evaluate", place / "classifier", test, "--store", place / "store")[0] == 1


def test__fault_24__store_of_another_backbone__exit_1_with_the_difference(savs, place, backbone, tmp_path):
    before = sorted((place / "store" / "parts").iterdir())
    arguments = ("fit", place / "train.jsonl", "-b", backbone, "--n-heads", 5, "-o", tmp_path / "classifier")
    code, out, err = savs(*arguments, "--store", place / "store", "--json")
    assert code == 1
    assert json.loads(out)["error"]["code"] == "store_mismatch_error"
    assert "weights_digest: " in err
    assert "name another folder" in err
    assert not (tmp_path / "classifier").exists()
    assert sorted((place / "store" / "parts").iterdir()) == before


def test__store__that_is_no_folder_for_one__refused(savs, place, tmp_path):
    command = ("predict", place / "classifier", place / "test.jsonl", "--store")
    assert savs(*command, place / "test.jsonl")[0] == 2
    same = tmp_path / "same"
    code, _, err = savs("fit", place / "train.jsonl", "-b", "tiny", "-o", same, "--store", f"{same}/.")
    assert code == 2
    assert "it is the output" in err
    (tmp_path / "notes.txt").touch()
    code, _, err = savs(*command, tmp_path)
    assert code == 1
    assert "holds other files" in err


def test__no_store__no_word_of_one(savs, place, tmp_path):
    rows = rows_of(tmp_path / "few.jsonl", "few", 2)
    code, out, err = savs("evaluate", place / "classifier", rows, "--json")
    assert (code, err) == (0, "")
    assert "store" not in json.loads(out)
