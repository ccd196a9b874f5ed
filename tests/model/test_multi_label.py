import json

import datasets
import numpy as np
import pandas as pd
import pytest
from sklearn.exceptions import NotFittedError
from tests.model.colors import PROMPT, image, shots, tiny

from savs.backbones import FakeBackbone, PromptTemplate
from savs.classifiers import make_method
from savs.classifiers.head_scoring import rank_heads
from savs.errors import ArtifactError, DataError, ExampleError, ItemError
from savs.model import MultiLabelModel, SAVModel

pytestmark = pytest.mark.slow

LABELS = {"red": {"warm", "red"}, "green": {"natural"}, "blue": {"cold", "natural"}}


def given(per_class: int = 5, start: int = 0):
    images, colours = shots(per_class, start)
    return images, [LABELS[colour] for colour in colours]


def fitted(method: str = "mean_proba", **options) -> MultiLabelModel:
    return MultiLabelModel(tiny(), prompt=PROMPT, method=method, **options).fit(*given())


def test__parameters__of_a_named_backbone__as_those_of_sav_model(tmp_path):
    model = MultiLabelModel("tiny", prompt=PROMPT).set_params(store=tmp_path / "store")
    assert model.get_params()["backbone"] == "tiny"
    model.fit(*given()).save_pretrained(tmp_path / "m")
    assert model.backbone is model.models_[0].backbone
    loaded = MultiLabelModel.from_pretrained(tmp_path / "m", store=tmp_path / "store")
    assert loaded.get_params()["store"] == tmp_path / "store"
    loaded.predict(given()[0])
    assert loaded.store_counts.stored == 15


def test__set_params__store_of_a_backbone_loaded_with_options__is_used(tmp_path):
    model = MultiLabelModel.from_backbone("tiny", lazy=True, batch_size=4)
    model.set_params(store=tmp_path / "store").fit(*given())
    assert (tmp_path / "store").is_dir()


@pytest.mark.parametrize("method", ["votes", "mean_proba", "kernel_ridge", "ensemble"])
def test__labels__of_new_images__come_back(method, tmp_path):
    model = fitted(method)
    assert model.labels_ == ["cold", "natural", "red", "warm"]
    images, truth = given(2, start=60)
    assert [set(labels) for labels in model.predict(images)] == truth
    shares = model.predict_proba(images)
    assert shares.shape == (6, 4)
    model.save_pretrained(tmp_path / "m")
    loaded = MultiLabelModel.from_pretrained(tmp_path / "m", backbone=tiny())
    np.testing.assert_array_equal(loaded.predict_proba(images), shares)
    alone = SAVModel.from_pretrained(tmp_path / "m" / "label-0003", backbone=tiny())
    np.testing.assert_allclose(alone.predict_proba(images)[:, 1], shares[:, 3], atol=1e-6)


def test__heads__are_the_same_for_all_labels_and_those_of_the_classifier_on_arrays():
    model = fitted("mean_proba", n_heads=6)
    assert len({frozenset(one.heads_) for one in model.models_}) == 1
    support = model.models_[0]._support
    order = {shot.id: i for i, shot in enumerate(support.shots)}
    _, labels = given()
    table = np.array([[name in own for name in model.labels_] for own in labels], dtype=int)
    rows = support.rows[[order[str(i)] for i in range(len(labels))]]
    layout = model.models_[0].layout
    alone = [make_method("mean_proba", layout, n_heads=6).fit(rows, column) for column in table.T]
    best = rank_heads(np.stack([one.head_scores_ for one in alone], axis=1), layout)[:6]
    heads = [layout.heads[i] for i in best]
    expected = [
        make_method("mean_proba", layout, n_heads=6).set_params(heads=heads).fit(rows, column)
        for column in table.T
    ]
    assert set(expected[0].heads_) == set(model.models_[0].heads_)
    queries = [image("red", 90), image("blue", 91)]
    full = tiny().extract([PromptTemplate(PROMPT).apply(one) for one in as_list(queries)]).features
    np.testing.assert_allclose(
        model.predict_proba(queries),
        np.stack([one.predict_proba(full)[:, 1] for one in expected], axis=1),
        atol=1e-5,
    )


def as_list(items):
    from savs.data import as_examples

    return as_examples(items)


def test__forward_passes__one_per_example_whatever_the_number_of_labels():
    backbone = FakeBackbone()
    texts = [f"text {i}" for i in range(8)]
    model = MultiLabelModel(backbone, method="mean_proba_all").fit(
        texts, [{i % 4, 10 + i % 2} for i in range(8)]
    )
    assert backbone.n_forward == 8
    model.predict(texts[:3])
    assert backbone.n_forward == 11
    assert model.labels_ == [0, 1, 2, 3, 10, 11]


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ([{"a"}, {"b"}], "collection of labels for each of the 3"),
        (["a", "b", "c"], "collection of labels"),
        ([{"a"}, {1}, set()], "one type"),
        ([set(), set(), set()], "no example has a label"),
        ([{"a"}, {"a"}, {"a", "b"}], "label 'a' is on all examples"),
    ],
)
def test__labels_that_cannot_be_learnt__are_refused(labels, message):
    with pytest.raises((DataError, ItemError), match=message):
        MultiLabelModel(FakeBackbone()).fit(["x", "y", "z"], labels)


def test__same_content_with_other_labels__is_refused():
    with pytest.raises(DataError, match="the same content has different labels: 0 and 2"):
        MultiLabelModel(FakeBackbone()).fit(["x", "y", "x"], [{"a"}, {"b"}, {"b"}])


def test__rows_with_lists_of_labels__are_labeled_and_their_own_labels_do_not_answer():
    sets = [["sky", "day"], ["sky"], ["day"], [], ["sky"], ["day"]]
    texts = [f"text {number}" for number in range(6)]
    expected = MultiLabelModel(FakeBackbone(), n_heads=4).fit(texts, sets)
    rows = [{"text": text, "label": labels} for text, labels in zip(texts, sets, strict=True)]
    names = ["day", "sky"]
    kind = datasets.List(datasets.ClassLabel(names=names))
    coded = {"text": texts, "label": [[names.index(label) for label in labels] for labels in sets]}
    table = datasets.Dataset.from_dict(
        coded, features=datasets.Features({"text": datasets.Value("string"), "label": kind})
    )
    for examples in (rows, pd.DataFrame(rows), table):
        model = MultiLabelModel(FakeBackbone(), n_heads=4).fit(examples)
        assert model.labels_ == ["day", "sky"]
        np.testing.assert_array_equal(model.predict_proba(examples), expected.predict_proba(texts))
        assert model.predict(examples, on_error="collect").labels == expected.predict(texts)
        assert model.score(examples) == expected.score(texts, sets)
    with pytest.raises(ExampleError, match="1: its labels are missing"):
        model.fit([rows[0], {**rows[1], "label": None}])


def test__methods_without_probabilities_of_a_label__are_refused():
    for method in ("sav", "hec_t"):
        with pytest.raises(ValueError, match="no probability of a single label"):
            MultiLabelModel(FakeBackbone(), method=method)
    with pytest.raises(NotFittedError):
        MultiLabelModel(FakeBackbone()).predict(["x"])
    with pytest.raises(DataError, match="got 0"):
        fitted().predict([])


def test__bad_image__is_its_item_error(tmp_path):
    (tmp_path / "a.png").write_bytes(b"no")
    with pytest.raises(ItemError):
        fitted().predict([tmp_path / "a.png"])


def test__fault_29__altered_set__is_refused(tmp_path):
    model = fitted()
    model.save_pretrained(tmp_path / "m")
    with pytest.raises(ArtifactError, match="not empty"):
        model.save_pretrained(tmp_path / "m")
    index = tmp_path / "m" / "savs-labels.json"
    original = index.read_text()
    data = json.loads(original)
    for change in (
        {"format": "other"},
        {"labels": []},
        {"labels": "all"},
        {"labels": [{**data["labels"][0], "sha256": "0"}]},
        {"labels": [{**data["labels"][0], "folder": "../m/label-0000"}]},
        {"labels": [{**data["labels"][0], "label": None}]},
    ):
        index.write_text(json.dumps({**data, **change}))
        with pytest.raises(ArtifactError):
            MultiLabelModel.from_pretrained(tmp_path / "m", backbone=tiny())
    index.write_text("[" * 100_000)
    with pytest.raises(ArtifactError):
        MultiLabelModel.from_pretrained(tmp_path / "m", backbone=tiny())
    with pytest.raises(ArtifactError):
        MultiLabelModel.from_pretrained(tmp_path / "nowhere")
    index.write_text(original)
    assert MultiLabelModel.from_pretrained(tmp_path / "m", backbone=tiny()).labels_ == model.labels_
