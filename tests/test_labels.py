"""Labels of every library, one by one and in sets, for models on examples and for estimators on arrays."""

from __future__ import annotations

import enum
import warnings
from typing import Any

import datasets
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch

from savs import SAVClassifier, SAVModel
from savs._labels import as_label, class_index, is_missing
from savs.backbones import FakeBackbone
from savs.data import DataWarning, as_examples, check_support
from savs.errors import DataError, ExampleError, ItemError
from savs.evaluation import accuracy_report

TEXTS = ["red", "crimson", "blue", "navy"]
ROWS = np.random.default_rng(0).normal(size=(4, 8))


class Warmth(enum.StrEnum):
    HIGH = "w"
    LOW = "c"


class OldWarmth(str, enum.Enum):  # noqa: UP042  # str() of its members gives their names
    HIGH = "w"
    LOW = "c"


class Level(enum.IntEnum):
    HIGH = 2
    LOW = 1


class Bare(enum.Enum):
    HIGH = "w"


W_W_C_C = ["w", "w", "c", "c"]
TEXT_FORMS = {
    "StringDType": np.array(W_W_C_C, dtype=np.dtypes.StringDType()),
    "object": np.array(W_W_C_C, dtype=object),
    "np.str_": [np.str_(label) for label in W_W_C_C],
    "Categorical": pd.Categorical(W_W_C_C),
    "category": pd.Series(W_W_C_C, dtype="category"),
    "string": pd.Series(W_W_C_C, dtype="string"),
    "Index": pd.Index(W_W_C_C),
    "pyarrow": pa.array(W_W_C_C),
    "chunked": pa.chunked_array([W_W_C_C[:1], W_W_C_C[1:]]),
    "dictionary": pa.array(W_W_C_C).dictionary_encode(),
    "scalars": list(pa.array(W_W_C_C)),
    "StrEnum": [Warmth.HIGH, Warmth.HIGH, Warmth.LOW, Warmth.LOW],
    "str enum": [OldWarmth.HIGH, OldWarmth.HIGH, OldWarmth.LOW, OldWarmth.LOW],
    "no dimension": [np.array(label) for label in W_W_C_C],
}
INT_FORMS = {
    "int32": np.array([2, 2, 1, 1], dtype=np.int32),
    "Int64": pd.Series([2, 2, 1, 1], dtype="Int64"),
    "Categorical": pd.Categorical([2, 2, 1, 1]),
    "pyarrow": pa.array([2, 2, 1, 1], type=pa.uint8()),
    "tensor": torch.tensor([2, 2, 1, 1]),
    "IntEnum": [Level.HIGH, Level.HIGH, Level.LOW, Level.LOW],
    "np.int64": list(np.array([2, 2, 1, 1])),
}
BOOL_FORMS = {
    "np.bool_": list(np.array([True, True, False, False])),
    "boolean": pd.Series([True, True, False, False], dtype="boolean"),
    "pyarrow": pa.array([True, True, False, False]),
    "tensor": torch.tensor([True, True, False, False]),
}
FORMS = [
    *(
        (f"{kind} {name}", labels, ["c", "w"])
        for kind, name, labels in [("text", *f) for f in TEXT_FORMS.items()]
    ),
    *((f"int {name}", labels, [1, 2]) for name, labels in INT_FORMS.items()),
    *((f"bool {name}", labels, [False, True]) for name, labels in BOOL_FORMS.items()),
]


@pytest.mark.parametrize(("labels", "classes"), [pytest.param(*form[1:], id=form[0]) for form in FORMS])
def test__fault_15__labels_of_every_library__become_the_same_classes(labels: Any, classes: list[Any]) -> None:
    model = SAVModel(FakeBackbone(), n_heads=4).fit(TEXTS, labels)
    assert model.classes_.tolist() == classes
    assert [type(label) for label in model.classes_.tolist()] == [type(label) for label in classes]
    assert model.score(TEXTS, labels) == np.mean(
        [
            answer == as_label(label)
            for answer, label in zip(model.predict(TEXTS).tolist(), labels, strict=True)
        ]
    )
    alone = SAVClassifier(layout=(2, 2, 2)).fit(ROWS, labels)
    assert alone.classes_.tolist() == classes
    assert [type(label) for label in alone.predict(ROWS).tolist()] == [type(classes[0])] * 4
    assert 0 <= alone.score(ROWS, labels) <= 1


@pytest.mark.parametrize(
    "labels",
    [
        ["w", "w", "c", None],
        ["w", "w", "c", float("nan")],
        [1, 1, 2, np.nan],
        pd.Series([1, 1, 2, None], dtype="Int64"),
        pd.Series(["w", "w", "c", None], dtype="string"),
        pd.Categorical(["w", "w", "c", None]),
        pa.array(["w", "w", "c", None]),
        np.ma.array([1, 1, 2, 2], mask=[0, 0, 0, 1]),
        np.array(["w", "w", "c", None], dtype=np.dtypes.StringDType(na_object=None)),
        ["w", "w", "c", pd.NaT],
    ],
    ids=lambda labels: type(labels).__name__,
)
def test__fault_15__missing_labels_of_every_library__are_named(labels: Any) -> None:
    with pytest.raises(DataError, match=r"1 of 4 labels are missing .* the first at position 3"):
        SAVModel(FakeBackbone()).fit(TEXTS, labels)
    with pytest.raises(DataError, match="label 3: the label is missing"):
        SAVClassifier(layout=(2, 2, 2)).fit(ROWS, labels)


@pytest.mark.parametrize(
    "label", [Bare.HIGH, b"w", 1.0, np.float64(1), ["w"], {"w"}, np.array([1]), {"w": 1}]
)
def test__fault_15__what_is_no_label__is_refused(label: Any) -> None:
    with pytest.raises(ExampleError) as caught:
        as_label(label)
    assert caught.value.code == "label"


@pytest.mark.parametrize(
    "value", [None, float("nan"), pd.NA, pd.NaT, np.datetime64("NaT"), pa.scalar(None), np.ma.masked]
)
def test__is_missing__values_for_none_of_every_library(value: Any) -> None:
    assert is_missing(value)


@pytest.mark.parametrize("value", ["", 0, False, "nan", 0.0, pa.scalar(1), np.datetime64("2020-01-01")])
def test__is_missing__other_values__no(value: Any) -> None:
    assert not is_missing(value)


def test__class_index__one_is_not_true() -> None:
    assert class_index(np.int64(1), [0, 1]) == 1
    assert class_index(True, [0, 1]) is None
    assert class_index(np.str_("b"), ["a", "b"]) == 1


def test__labels__as_a_matrix__are_asked_about() -> None:
    with pytest.raises(DataError, match=r"shape \(4, 1\).*MultiLabelModel"):
        SAVModel(FakeBackbone()).fit(TEXTS, np.array(W_W_C_C)[:, None])
    with pytest.raises(ItemError, match="several labels of an example are for MultiLabelModel"):
        SAVModel(FakeBackbone()).fit(TEXTS, [["w"], ["w"], ["c"], ["c", "w"]])


def _dataset(labels: list[int]) -> datasets.Dataset:
    kinds = datasets.Features(
        {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["cold", "warm"])}
    )
    return datasets.Dataset.from_dict({"text": TEXTS, "label": labels}, features=kinds)


def test__dataset__class_labels__become_names_as_in_the_readers(tmp_path) -> None:
    data = _dataset([1, 1, 0, 0])
    model = SAVModel(FakeBackbone(), n_heads=4).fit(data)
    assert model.classes_.tolist() == ["cold", "warm"]
    data.save_to_disk(tmp_path / "saved")
    from savs.data import read_examples

    assert [e.label for e in as_examples(data)] == [e.label for e in read_examples(tmp_path / "saved")]
    assert model.score(data) == model.score(TEXTS, ["warm", "warm", "cold", "cold"])
    assert [e.label for e in as_examples(data.to_iterable_dataset())] == ["warm", "warm", "cold", "cold"]


@pytest.mark.parametrize("form", ["numpy", "torch"])
def test__dataset__class_labels_in_another_format__become_names(form: str) -> None:
    data = _dataset([1, -1, 0, 0]).with_format(form)
    assert [e.label for e in as_examples(data)] == ["warm", None, "cold", "cold"]


def test__dataset__class_label_that_is_not_known__is_no_label() -> None:
    assert [e.label for e in as_examples(_dataset([1, -1, 0, 0]))] == ["warm", None, "cold", "cold"]
    with pytest.raises(DataError, match="1 of 4 examples have no label, the first is 1"):
        SAVModel(FakeBackbone()).fit(_dataset([1, -1, 0, 0]))


@pytest.mark.parametrize(
    ("labels", "reason"),
    [
        ([1, 1, 0, 0], "the classes are of type str, these labels are not (int)"),
        ([True, True, False, False], "these labels are not (bool)"),
        (["x", "x", "y", "y"], "none is known: the classes are 'c', 'w'"),
        (["W", "W", "C", "C"], "differ only in case"),
        (["w ", "w ", "c", "c"], "differ only in white space"),
    ],
)
def test__fault_16__score__labels_that_are_no_classes__says_so(labels: list[Any], reason: str) -> None:
    model = SAVModel(FakeBackbone(), n_heads=4).fit(TEXTS, W_W_C_C)
    with pytest.warns(DataWarning, match="have a label that is not a class of the classifier") as caught:
        assert model.score(TEXTS, labels) <= 0.5
    assert reason in str(caught[-1].message)
    with pytest.warns(DataWarning) as caught:
        accuracy_report(labels, model.predict(TEXTS).tolist(), model.classes_.tolist())
    assert reason in str(caught[-1].message)


def test__fault_15__score__whole_numbers_are_no_truth_values() -> None:
    model = SAVModel(FakeBackbone(), n_heads=4).fit(TEXTS, [True, True, False, False])
    with pytest.warns(DataWarning, match="of type bool"):
        assert model.score(TEXTS, [1, 1, 0, 0]) == 0
    with pytest.raises(DataError, match="there is no class 1"):
        model.threshold_at_fpr(1, 0.5)


def test__estimator_score__labels_that_are_no_classes__says_so() -> None:
    alone = SAVClassifier(layout=(2, 2, 2)).fit(ROWS, W_W_C_C)
    with pytest.warns(DataWarning, match="none is known"):
        assert alone.score(ROWS, ["x"] * 4) == 0


def test__relabel__numpy_scalar__is_the_label() -> None:
    model = SAVModel(FakeBackbone(), n_heads=4).fit(TEXTS, [1, 1, 2, 2])
    model.relabel("0", np.int64(2))
    assert model.shots_[0].label == 2
    assert type(model.shots_[0].label) is int


def test__pairs_with_labels__are_asked_about(tmp_path) -> None:
    from PIL import Image

    pairs = []
    for number, name in enumerate(["cat", "dog"] * 2):
        path = tmp_path / f"{number}.png"
        Image.new("RGB", (30, 30), (number * 60, 0, 0)).save(path)
        pairs.append((path, name))
    with pytest.raises(DataError, match="if 'cat' and 'dog' are labels and no questions"):
        SAVModel(FakeBackbone()).fit(pairs)
    model = SAVModel(FakeBackbone(), n_heads=4).fit([path for path, _ in pairs], [name for _, name in pairs])
    for use in (model.score, model.add_shots, model.partial_fit):
        with pytest.raises(DataError, match="if 'cat' and 'dog' are labels"):
            use(pairs)


def test__rows_without_labels__columns_are_named_and_no_talk_of_pairs() -> None:
    rows = [{"image": np.zeros((8, 8), np.uint8) + i, "text": "ab"[i], "target": i} for i in range(2)]
    with pytest.raises(DataError) as caught:
        SAVModel(FakeBackbone()).fit(rows)
    assert str(caught.value) == (
        "2 of 2 examples have no label, the first is 0; call the column of the labels 'label', or give them "
        "as labels=[...]; columns: 'image', 'text', 'target'"
    )
    with pytest.raises(DataError, match=r"1 of 2 examples have no label, the first is 1$"):
        SAVModel(FakeBackbone()).fit([{"text": "a", "label": "x"}, {"text": "b", "label": None}])


def test__parts_of_a_split__instead_of_examples__named() -> None:
    part = datasets.Dataset.from_dict({"text": TEXTS, "label": ["x", "y"] * 2})
    parts = datasets.DatasetDict(train=part, test=part)
    with pytest.raises(DataError, match=r"the parts of a split: hand in one of them, such as \['train'\]$"):
        SAVModel(FakeBackbone()).fit(parts)
    assert SAVModel(FakeBackbone(), n_heads=4).fit(parts["train"]).classes_.tolist() == ["x", "y"]


def test__examples_without_labels__of_text__no_talk_of_pairs() -> None:
    with pytest.raises(DataError) as caught:
        check_support(as_examples(TEXTS))
    assert "pair" not in str(caught.value)


def test__twins__of_classes_and_test_labels__in_composed_and_decomposed_form() -> None:
    model = SAVModel(FakeBackbone(), n_heads=4).fit(TEXTS, ["é", "é", "c", "c"])
    with pytest.warns(DataWarning, match="Unicode form"):
        model.score(TEXTS, ["e\u0301", "e\u0301", "c", "c"])


def test__priors__by_numpy_labels__are_saved(tmp_path) -> None:
    model = SAVModel(FakeBackbone(), method="mean_proba", priors={np.int64(1): 0.9, np.int64(2): 0.1})
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        model.fit([*TEXTS, "rose", "sea"], [1, 1, 2, 2, 1, 2]).save_pretrained(tmp_path / "m")
    loaded = SAVModel.from_pretrained(tmp_path / "m", backbone=FakeBackbone())
    assert loaded.method_.priors == {1: 0.9, 2: 0.1}


@pytest.mark.parametrize(
    ("twin", "difference"),
    [
        ("two words\u200b", "characters that are not shown"),
        ("two  words", "white space"),
        ("two\u00a0words", "white space"),
        ("Two words", "case"),
        ("\uff54\uff57\uff4f words", "the form of their characters"),
        ("two words\n", "white space around them"),
    ],
)
def test__twins__of_every_kind__are_warned_of(twin: str, difference: str) -> None:
    with pytest.warns(DataWarning, match="two classes") as caught:
        as_examples(TEXTS, ["two words", twin, "c", "c"])
    assert difference in str(caught[0].message)


def test__twins__names_that_differ__no_warning() -> None:
    as_examples(TEXTS, ["a-b", "ab", "a b", "c"])


def test__labels__of_a_table__are_asked_about() -> None:
    one = pd.DataFrame({"label": W_W_C_C})
    assert SAVModel(FakeBackbone(), n_heads=4).fit(TEXTS, one).classes_.tolist() == ["c", "w"]
    with pytest.raises(DataError, match=r"shape \(4, 2\)"):
        SAVModel(FakeBackbone()).fit(TEXTS, one.assign(other=1))


def test__fit_class_names__one_text__is_no_list_of_letters() -> None:
    with pytest.raises(DataError, match="not one text"):
        SAVModel(FakeBackbone(), method="hec_t").fit_class_names("ab")


@pytest.mark.parametrize("separator", [";", "|", ", "])
def test__labels_that_look_like_several__are_asked_about(separator: str) -> None:
    labels = [f"red{separator}car", "red", "car", f"old{separator}car"]
    with pytest.warns(DataWarning, match=r"looks like several.*--multi-label"):
        as_examples(TEXTS, labels)


@pytest.mark.parametrize(
    "cell", ["['red', 'car']", '["red"]', "[]", "['red' 'car']", "[1 0 1]", '{"choices": ["a"]}']
)
def test__labels_that_are_lists_as_text__are_asked_about(cell: str) -> None:
    with pytest.warns(DataWarning, match=r"is a list written as text"):
        as_examples(TEXTS, [cell, "red", "red", "red"])


@pytest.mark.parametrize("name", ["[NEG]", "{x}", "[", "[a; b]", "(1, 2)", "[other] x"])
def test__labels_in_brackets__no_warning(name: str) -> None:
    as_examples(TEXTS, [name, "red", "red", "red"])


def test__labels_with_commas_of_their_own__no_warning() -> None:
    as_examples(TEXTS, ["tench, Tinca tinca", "crane, bird", "crane, machine", "a;b"])


@pytest.mark.parametrize("blank", [" ", "\t", "\u00a0", "\n"])
def test__blank_label__is_no_class(blank: str) -> None:
    with pytest.raises(ExampleError, match="the label is blank; leave it out or name the class"):
        as_examples(TEXTS, ["a", "b", blank, "a"])
