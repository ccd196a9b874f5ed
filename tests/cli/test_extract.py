"""`savs extract` in one process: what it prints, what it leaves, what it refuses."""

from __future__ import annotations

import json
import shutil

import numpy as np
import pytest

from savs.backbones import load_backbone
from savs.cache import FeatureStore
from savs.cache._keys import feature_keys
from savs.data import read_examples

pytestmark = pytest.mark.slow


@pytest.fixture
def many(rows):
    """Seven rows: two share their content, one names a broken image, one is not an example."""
    return rows(
        {"id": "a", "image": "red.png", "question": "one?"},
        {"id": "b", "image": "blue.png", "question": "one?"},
        {"id": "bad", "image": "broken.png", "question": "one?"},
        {"id": "c", "image": "red.png", "question": "two?"},
        {"id": "none", "image": 7},
        {"id": "a2", "image": "red.png", "question": "one?"},
        {"id": "d", "question": "no picture?"},
    )


def report(text):
    found = json.loads(text)
    assert found.pop("seconds") > 0
    assert found.pop("examples_per_second") > 0
    return found


def test__extract__twice__counts_errors_and_rows(savs, many, backbone, tmp_path):
    store, errors = tmp_path / "store", tmp_path / "logs" / "errors.jsonl"
    command = ("extract", many, "-b", backbone, "-o", store, "--max-errors", -1, "--errors", errors, "--json")
    code, text, error = savs(*command)
    assert (code, error) == (3, "")
    wanted = {"store": str(store), "n": 7, "computed": 4, "stored": 1, "n_errors": 2}
    assert report(text) == wanted
    records = [json.loads(line) for line in errors.read_text().splitlines()]
    assert [record["id"] for record in records] == ["bad", "none"]
    assert all(set(record) == {"id", "stage", "code", "message"} for record in records)
    assert [record["code"] for record in records] == ["image_undecodable", "image_type"]
    code, text, _ = savs(*command)
    assert (code, report(text)) == (3, wanted | {"computed": 0, "stored": 5})
    assert len(errors.read_text().splitlines()) == 2
    assert len(list((store / "parts").iterdir())) == 1


@pytest.mark.parametrize("prompt", [None, "Is this {question}"])
def test__extract__then_the_backbone__same_bits_under_the_same_keys(savs, many, backbone, tmp_path, prompt):
    from savs.backbones import PromptTemplate
    from savs.data import ErrorLedger

    store = tmp_path / "store"
    more = [] if prompt is None else ["--prompt", prompt]
    assert savs("extract", many, "-b", backbone, "-o", store, "--max-errors", 2, "-q", *more)[0] == 3
    model = load_backbone(str(backbone))
    examples = [e for e in read_examples(many, ledger=ErrorLedger(-1)) if e.id != "bad"]
    if prompt is not None:
        examples = [PromptTemplate(prompt).apply(example) for example in examples]
    opened = FeatureStore.existing(store)
    got = opened.get(feature_keys(model, examples), states=True)
    assert got.found.all()
    plain = model.extract(examples, states=True)
    np.testing.assert_allclose(got.features, plain.features, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(got.states, plain.states, rtol=1e-5, atol=1e-6)


def test__fit_evaluate_predict_and_compare__after_extract__no_forward_pass(
    savs, train, test_folder, backbone, tmp_path
):
    prompt, store = ["--prompt", "Which colour?"], tmp_path / "store"
    for data in (train, test_folder):
        assert savs("extract", data, "-b", backbone, "-o", store, *prompt, "-q")[0] == 0
    fit = ("fit", train, "-b", backbone, *prompt, "--n-heads", 4, "-o", tmp_path / "c", "--store", store)
    assert json.loads(savs(*fit, "--json")[1])["store"] == {"from_store": 8, "computed": 0}
    for command in ("evaluate", "predict"):
        more = ["-o", tmp_path / "rows"] if command == "predict" else []
        code, text, _ = savs(command, tmp_path / "c", test_folder, "--store", store, "--json", *more)
        assert (code, json.loads(text)["store"]) == (0, {"from_store": 6, "computed": 0})
    compare = ("compare", train, "-b", backbone, *prompt, "--shots", 2, "--draws", 2, "--test", test_folder)
    for methods in ("sav,last_layer", "calm,nearest_shot"):
        code, text, error = savs(*compare, "--methods", methods, "--store", store, "--json")
        assert code == 0, error
        assert json.loads(text)["store"] == {"from_store": 14, "computed": 0}
        assert "14 of 14 examples from the store, 0 forward passes" in error


def test__no_states__rows_without_them_are_computed_once_more_when_wanted(savs, many, backbone, tmp_path):
    command = ("extract", many, "-b", backbone, "-o", tmp_path / "store", "--max-errors", 2, "--json")
    assert report(savs(*command, "--no-states")[1])["computed"] == 4
    small = FeatureStore.existing(tmp_path / "store").info()["bytes"]
    assert report(savs(*command, "--no-states")[1])["computed"] == 0
    assert report(savs(*command, "--states")[1])["computed"] == 4
    assert FeatureStore.existing(tmp_path / "store").info()["bytes"] > 2 * small


def test__another_prompt__other_rows_in_the_same_store(savs, many, backbone, tmp_path):
    command = ("extract", many, "-b", backbone, "-o", tmp_path / "store", "--max-errors", 2, "--json")
    for prompt, computed in (("One {question}", 4), ("Two {question}", 4), ("One {question}", 0)):
        assert report(savs(*command, "--prompt", prompt)[1])["computed"] == computed
    assert len(FeatureStore.existing(tmp_path / "store")) == 8


@pytest.mark.parametrize("change", [["--dtype", "bfloat16"], ["-b", "tiny"]])
def test__fault_24__another_model_or_dtype__refused_with_the_difference(
    savs, many, backbone, tmp_path, change
):
    command = ["extract", many, "-b", backbone, "-o", tmp_path / "store", "--max-errors", 2]
    assert savs(*command)[0] == 3
    before = sorted((tmp_path / "store" / "parts").iterdir())
    code, text, error = savs(*command, *change, "--json")
    assert code == 1
    assert json.loads(text)["error"]["code"] == "store_mismatch_error"
    wanted = {"--dtype": "dtype: float32 -> bfloat16", "-b": "weights_digest: "}[change[0]]
    assert wanted in error
    assert sorted((tmp_path / "store" / "parts").iterdir()) == before


def test__fault_24__another_processor__refused_with_the_difference(savs, many, backbone, tmp_path):
    other = tmp_path / "other"
    shutil.copytree(backbone, other)
    path = other / "processor_config.json"
    content = json.loads(path.read_text())
    content["image_processor"]["image_mean"] = [0.1, 0.2, 0.3]
    path.write_text(json.dumps(content))
    command = ["extract", many, "-o", tmp_path / "store", "--max-errors", 2, "-b"]
    assert savs(*command, backbone)[0] == 3
    code, _, error = savs(*command, other)
    assert code == 1
    assert "processor_digest: " in error


def test__limit_and_shards__together_are_the_whole(savs, many, backbone, tmp_path):
    command = ("extract", many, "-b", backbone, "--max-errors", -1, "--json", "-o")
    assert report(savs(*command, tmp_path / "first", "--limit", 2)[1])["n"] == 2
    sizes = [
        report(savs(*command, tmp_path / "pieces", "--shard", f"{index}/3")[1])["n"] for index in range(3)
    ]
    assert sizes == [3, 2, 2]
    assert len(FeatureStore.existing(tmp_path / "pieces")) == 4


def test__too_many_errors__exit_1_what_came_before_is_kept(savs, rows, backbone, tmp_path, monkeypatch):
    monkeypatch.setattr("savs.cli.extract.ROWS_PER_CHUNK", 4)
    data = rows(
        *({"id": str(index), "image": "red.png", "question": f"{index}?"} for index in range(9)),
        {"id": "bad", "image": "broken.png"},
    )
    errors, store = tmp_path / "errors.jsonl", tmp_path / "store"
    code, text, error = savs("extract", data, "-b", backbone, "-o", store, "--errors", errors, "--json")
    assert code == 1
    assert error.splitlines()[-1].startswith("savs: error: bad: ")
    assert json.loads(text)["error"]["code"] == "image_undecodable"
    assert json.loads(errors.read_text())["id"] == "bad"
    assert len(FeatureStore.existing(store)) == 8


def test__errors_without_a_file__the_first_are_told(savs, rows, backbone, tmp_path):
    data = rows({"image": "red.png"}, *({"id": str(index), "image": index} for index in range(25)))
    command = ("extract", data, "-b", backbone, "-o", tmp_path / "store", "--max-errors", -1)
    code, text, error = savs(*command)
    assert (code, text, error.count("not read: ")) == (3, "", 20)
    assert "26 examples: 1 computed, 0 without a forward pass, 25 with errors" in error
    assert savs(*command, "-q") == (3, "", "")


def test__wrong_targets__refused_before_the_model_is_loaded(savs, many, tmp_path, monkeypatch):
    monkeypatch.setattr("savs.backbones.load_backbone", None)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "notes.txt").touch()
    for arguments, code, words in [
        (["-o", tmp_path / "mine"], 1, "holds other files"),
        (["-o", many], 2, "is a file"),
        (["-o", tmp_path / "s", "--errors", many], 2, "is the data itself"),
        (["-o", tmp_path / "s", "--prompt", "{"], 1, "brace"),
        (["-o", tmp_path / "s", "--part-rows", 0], 2, "part-rows"),
        (["-o", "/proc/nothing/store"], 1, "savs: error:"),
        ([], 2, "--output"),
    ]:
        found, _, error = savs("extract", many, "-b", "tiny", *arguments)
        assert (found, words in error) == (code, True), error
    gone = tmp_path / "gone.jsonl"
    assert savs("extract", gone, "-b", "tiny", "-o", tmp_path / "s")[0] == 1
    gone.write_text('{"image": "nowhere.png"}\n')
    code, _, error = savs("extract", gone, "-b", "tiny", "-o", tmp_path / "s")
    assert (code, "1 of 1 examples name a file that cannot be used" in error) == (1, True)
    assert not (tmp_path / "s").exists()


def test__part_rows__parts_of_that_size(savs, test_folder, backbone, tmp_path):
    command = ("extract", test_folder, "-b", backbone, "-o", tmp_path / "store", "-q", "--part-rows", 4)
    assert savs(*command)[0] == 0
    assert FeatureStore.existing(tmp_path / "store").info()["parts"] == 2


def damage(store, *, cut: bool):
    path = max((store / "parts").iterdir(), key=lambda part: part.stat().st_size)
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 4
    path.write_bytes(raw[:-10] if cut else raw)
    return path.name


@pytest.mark.parametrize("cut", [True, False])
def test__fault_27__damaged_part__found_quarantined_computed_again_and_told(
    savs, test_folder, backbone, tmp_path, cut
):
    """A cut part shows when the store is opened; a flipped bit when it is read, or verified."""
    store = tmp_path / "store"
    command = ("extract", test_folder, "-b", backbone, "-o", store, "--part-rows", 2, "--json")
    assert savs(*command)[0] == 0
    names = sorted(path.name for path in (store / "parts").iterdir())
    name = damage(store, cut=cut)
    code, text, error = savs("store", "verify", store, "--json")
    assert code == 1
    assert [bad["part"] for bad in json.loads(text)["bad"]] == [name]
    assert name in error
    code, text, error = savs(*command)
    assert (code, error) == (0, "")
    assert (report(text)["computed"], report(text)["stored"]) == (2, 4)
    assert (store / "quarantine" / name).exists()
    assert sorted(path.name for path in (store / "parts").iterdir()) == names
    assert savs("store", "verify", store)[0] == 0


def test__fault_27__part_cut_short__told_by_the_extraction_that_finds_it(
    savs, test_folder, backbone, tmp_path
):
    command = ("extract", test_folder, "-b", backbone, "-o", tmp_path / "store", "--json")
    assert savs(*command)[0] == 0
    name = damage(tmp_path / "store", cut=True)
    code, text, error = savs(*command)
    assert (code, report(text)["computed"]) == (0, 6)
    assert f"{name}: it is not a Parquet file, or it was cut short" in error
    assert "its rows are computed again" in error


@pytest.mark.parametrize("inside", ["store.json", "errors.jsonl", "parts/errors.jsonl"])
def test__errors_inside_the_store__refused_and_the_store_is_whole(savs, rows, backbone, tmp_path, inside):
    store, data = tmp_path / "store", rows({"question": "one?"}, {"question": "two?"})
    command = ("extract", data, "-b", backbone, "-o", store)
    assert savs(*command)[0] == 0
    before = {path: path.read_bytes() for path in store.rglob("*") if path.is_file()}
    code, _, error = savs(*command, "--errors", store / inside)
    assert code == 2
    assert "--errors" in error
    assert "only savs writes files" in " ".join(error.split())
    assert {path: path.read_bytes() for path in store.rglob("*") if path.is_file()} == before


def test__limit_beyond_all_counting__everything(savs, rows, backbone, tmp_path):
    data = rows({"question": "one?"}, {"question": "two?"})
    code, text, _ = savs("extract", data, "-b", backbone, "-o", tmp_path / "s", "--limit", 10**30, "--json")
    assert (code, report(text)["n"]) == (0, 2)


@pytest.mark.parametrize("rate", ["nan", "NaN", "inf", "-1", "0", "1e300"])
def test__video_fps_that_is_no_rate__wrong_usage(savs, rows, tmp_path, rate):
    data = rows({"question": "one?"})
    code, text, error = savs("extract", data, "-b", "no-such", "-o", tmp_path / "s", "--video-fps", rate)
    assert (code, text) == (2, "")
    assert "--video-fps" in error
