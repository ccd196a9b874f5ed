"""`savs export`: the file, read by NumPy and Arrow alone, equals what the backbone computes."""

from __future__ import annotations

import json

import numpy as np
import pyarrow.parquet as pq
import pytest

from savs.backbones import PromptTemplate, load_backbone
from savs.cache import FeatureStore, feature_keys
from savs.cli._inputs import in_chunks
from savs.data import read_examples
from savs.layout import Head, HeadLayout

PROMPT = "Which colour?"


@pytest.fixture(scope="module")
def model(backbone):
    return load_backbone(backbone)


@pytest.fixture(scope="module")
def store(train, backbone, tmp_path_factory):
    from savs.cli.main import run

    folder = tmp_path_factory.mktemp("export") / "store"
    arguments = ["extract", train, "-b", backbone, "--prompt", PROMPT, "--store", folder, "-q"]
    assert run([str(argument) for argument in arguments]) == 0
    return folder


@pytest.fixture(scope="module")
def examples(train):
    return [PromptTemplate(PROMPT).apply(example) for example in read_examples(train)]


def read(path):
    """Return features, keys, ids, labels, heads, states and the note, with NumPy or Arrow alone."""
    if path.suffix == ".npz":
        with np.load(path, allow_pickle=False) as found:
            arrays = dict(found)
        about = json.loads(str(arrays["about"]))
        return {**arrays, "about": about}
    table = pq.read_table(path)
    about = json.loads(table.schema.metadata[b"savs"])
    arrays = {
        name + "s": np.array(table[name].to_pylist())
        for name in ("id", "label", "key")
        if name in table.column_names
    }
    for name in {"features", "states"} & set(table.column_names):
        arrays[name] = table[name].combine_chunks().flatten().to_numpy().reshape(len(table), -1)
    return {**arrays, "heads": np.array(about["heads"]), "about": about}


@pytest.mark.parametrize("ending", ["npz", "parquet"])
def test__export__with_data__rows_ids_and_labels_in_its_order(
    ending, store, train, backbone, model, examples, savs, tmp_path
):
    output = tmp_path / f"features.{ending}"
    code, out, error = savs(
        "export", store, train, "-b", backbone, "--prompt", PROMPT, "--states", "-o", output, "--json"
    )
    assert code == 0, error
    expected = model.extract(examples, states=True)
    found = read(output)
    np.testing.assert_array_equal(found["features"], expected.features)
    np.testing.assert_array_equal(found["states"], expected.states)
    assert found["features"].dtype == np.float32
    assert found["ids"].tolist() == [example.id for example in examples]
    assert found["labels"].tolist() == [example.label for example in examples]
    assert found["keys"].tolist() == [key.hex() for key in feature_keys(model, examples)]
    report = json.loads(out)
    assert report["store"] == {"from_store": len(examples), "computed": 0}
    assert (report["n"], report["width"], report["n_heads"]) == (*expected.features.shape, 12)
    assert found["about"]["prompt"] == PROMPT
    assert found["about"]["fingerprint"]["weights_digest"] == model.fingerprint["weights_digest"]
    for layer, head, first, width in found["heads"].tolist():
        assert model.layout.columns(Head(layer, head)) == slice(first, first + width)
    layers, indices, _, widths = found["heads"].T.tolist()
    assert HeadLayout(tuple(map(Head, layers, indices)), tuple(widths)) == model.layout


@pytest.mark.parametrize("ending", ["npz", "parquet"])
def test__export__without_data__all_rows_by_key_and_no_model(
    ending, store, model, examples, savs, tmp_path, monkeypatch
):
    monkeypatch.setattr("savs.backbones.load_backbone", None)
    code, _, error = savs("export", store, "-o", tmp_path / f"all.{ending}")
    assert code == 0
    assert f"8 rows of {model.layout.width} columns" in error
    found = read(tmp_path / f"all.{ending}")
    assert not {"ids", "labels", "states"} & set(found)
    rows = dict(zip(found["keys"].tolist(), found["features"], strict=True))
    for key, row in zip(feature_keys(model, examples), model.extract(examples).features, strict=True):
        np.testing.assert_array_equal(rows[key.hex()], row)


def test__export__heads_of_a_classifier__only_their_columns(
    store, train, backbone, classifier, model, examples, savs, tmp_path
):
    from savs.model import SAVModel

    kept = SAVModel.from_pretrained(classifier).heads_
    command = ["export", store, train, "-b", backbone, "--prompt", PROMPT, "--heads-of", classifier]
    assert savs(*command, "-o", tmp_path / "kept.npz")[0] == 0
    found = read(tmp_path / "kept.npz")
    assert [tuple(row[:2]) for row in found["heads"].tolist()] == [tuple(head) for head in kept]
    np.testing.assert_array_equal(found["features"], model.extract(examples, kept).features)


def test__export__parquet__few_row_groups(store, train, backbone, savs, tmp_path, monkeypatch):
    monkeypatch.setattr("savs.cli.export._ROWS_AT_ONCE", 3)
    monkeypatch.setattr("savs.cli.export.in_chunks", lambda rows, ledger: in_chunks(rows, ledger, 2))
    output = tmp_path / "a.parquet"
    assert savs("export", store, train, "-b", backbone, "--prompt", PROMPT, "-o", output)[0] == 0
    found = pq.ParquetFile(output)
    assert [found.metadata.row_group(i).num_rows for i in range(found.num_row_groups)] == [4, 4]


def test__export__what_the_store_lacks__computed_and_added(backbone, train, savs, tmp_path):
    folder = tmp_path / "store"
    assert savs("extract", train, "-b", backbone, "-o", folder, "--limit", 3, "-q")[0] == 0
    code, out, _ = savs("export", folder, train, "-b", backbone, "-o", tmp_path / "a.npz", "--json")
    assert code == 0
    assert json.loads(out)["store"] == {"from_store": 3, "computed": 5}
    assert len(FeatureStore.existing(folder)) == 8


def test__export__examples_that_fail_or_have_no_label(backbone, rows, savs, tmp_path):
    data = rows(
        {"id": "a", "image": "red.png", "label": 1}, {"id": "b", "image": "broken.png", "label": 2},
        {"id": "c", "image": "blue.png"},
    )  # fmt: skip
    folder = tmp_path / "store"
    assert savs("extract", data, "-b", backbone, "-o", folder, "--max-errors", 1, "-q")[0] == 3
    command = ["export", folder, data, "-b", backbone, "-o"]
    assert savs(*command, tmp_path / "a.npz")[0] == 1
    assert not (tmp_path / "a.npz").exists()
    for ending in ("npz", "parquet"):
        assert savs(*command, tmp_path / f"a.{ending}", "--max-errors", 1)[0] == 3
        assert read(tmp_path / f"a.{ending}")["ids"].tolist() == ["a", "c"]
    assert "labels" not in read(tmp_path / "a.npz")
    assert pq.read_table(tmp_path / "a.parquet")["label"].to_pylist() == [1, None]
    assert not list(tmp_path.glob(".tmp*"))


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (["-o", "a.csv"], ".npz or .parquet"),
        (["-o", "a.npz", "-b", "tiny"], "are for DATA"),
        (["data", "-o", "a.npz"], "name the backbone"),
    ],
)
def test__export__wrong_usage__says_so(arguments, reason, store, savs, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, _, error = savs("export", store, *arguments)
    assert code == 2
    assert reason in " ".join(error.split())


def test__export__another_backbone_or_no_store__refused(store, train, savs, tmp_path):
    code, _, error = savs("export", store, train, "-b", "tiny", "-o", tmp_path / "a.npz")
    assert code == 1
    assert "another" in error
    (tmp_path / "empty").mkdir()
    code, _, error = savs("export", tmp_path / "empty", "-o", tmp_path / "a.npz")
    assert code == 1
    assert "is not a feature store" in error
    code, _, error = savs("export", store, "-o", store / "a.npz")
    assert code == 2


@pytest.mark.parametrize("name", ["features.csv", "features.parquet", "features.npz"])
def test__extract__to_the_name_of_a_file__names_export(name, train, backbone, savs, tmp_path):
    code, _, error = savs("extract", train, "-b", backbone, "-o", tmp_path / name)
    assert code == 2
    assert "savs export" in error
    assert not (tmp_path / name).exists()
