"""Several labels per example in every form: sets, lists, indicator matrices, tables."""

from __future__ import annotations

from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from scipy import sparse
from sklearn.metrics import accuracy_score
from sklearn.preprocessing import MultiLabelBinarizer

from savs.backbones import FakeBackbone
from savs.data import DataWarning, as_examples
from savs.data._label_sets import as_label_sets, split_labels
from savs.errors import DataError, ExampleError
from savs.model import MultiLabelModel

NAMES = ["red", "car", "old", "new"]
MATRIX = np.random.default_rng(0).integers(0, 2, (12, 4))
MATRIX[0], MATRIX[1] = 1, 0  # one example with all labels, one with none
TEXTS = [f"text {number}" for number in range(12)]
SETS = [{name for name, cell in zip(NAMES, row, strict=True) if cell} for row in MATRIX.tolist()]
MATRICES = {
    "int": MATRIX,
    "bool": MATRIX.astype(bool),
    "float": MATRIX.astype(float),
    "lists": MATRIX.tolist(),
    "lists of bool": MATRIX.astype(bool).tolist(),
    "arrays": list(MATRIX),
    "sparse": sparse.csr_matrix(MATRIX),
    "sparse array": sparse.coo_array(MATRIX),
    "tensor": torch.tensor(MATRIX),
    "object": MATRIX.astype(object),
}


def model() -> MultiLabelModel:
    return MultiLabelModel(FakeBackbone(), method="mean_proba_all")


@pytest.mark.parametrize("labels", MATRICES.values(), ids=MATRICES)
def test__indicator_matrix__with_classes__is_the_sets_it_means(labels: Any) -> None:
    sets, names = as_label_sets(labels, 12, NAMES)
    assert [set(own) for own in sets] == SETS
    assert names == sorted(NAMES)
    expected = model().fit(TEXTS, SETS).predict_proba(TEXTS)
    np.testing.assert_array_equal(model().fit(TEXTS, labels, classes=NAMES).predict_proba(TEXTS), expected)


@pytest.mark.parametrize("labels", MATRICES.values(), ids=MATRICES)
def test__indicator_matrix__without_classes__the_form_wanted(labels: Any) -> None:
    with pytest.raises(DataError, match=r"indicator matrix, 12 rows of 4 .* classes=\[...\]"):
        model().fit(TEXTS, labels)


def test__indicator_table__columns_are_the_labels() -> None:
    table = pd.DataFrame(MATRIX, columns=NAMES)
    for form in (table, table.astype(bool), table.astype("Int64"), table.astype("boolean")):
        assert [set(own) for own in as_label_sets(form, 12)[0]] == SETS
    assert [set(own) for own in as_label_sets(table[NAMES[::-1]], 12, NAMES)[0]] == SETS
    with pytest.raises(DataError, match="not the columns of the table: 'blue'"):
        as_label_sets(table, 12, [*NAMES, "blue"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ((3, 1, 2), "3: the indicator of 'car' is neither 0 nor 1"),
        ((3, 1, 0.5), "3: the indicator of 'car' is neither 0 nor 1"),
        ((3, 1, np.nan), "3: the indicator of 'car' is neither 0 nor 1"),
    ],
)
def test__indicator_matrix__other_cells__item_error(change: Any, message: str) -> None:
    matrix = MATRIX.astype(float)
    matrix[change[0], change[1]] = change[2]
    with pytest.raises(ExampleError, match=message):
        model().fit(TEXTS, matrix, classes=NAMES)
    with pytest.raises(DataError, match="4 columns, and there are 3 classes"):
        model().fit(TEXTS, MATRIX, classes=NAMES[:3])


@pytest.mark.parametrize(
    "labels",
    [
        [list(own) for own in SETS],
        [tuple(own) for own in SETS],
        [np.array(sorted(own), dtype=str) for own in SETS],
        [frozenset(map(np.str_, own)) for own in SETS],
        pd.Series([list(own) for own in SETS]),
        pa.array([list(own) for own in SETS]),
    ],
    ids=["list", "tuple", "array", "frozenset", "Series", "pyarrow"],
)
def test__collections_of_every_kind__are_the_same_sets(labels: Any) -> None:
    sets, names = as_label_sets(labels, 12)
    assert [set(own) for own in sets] == SETS
    assert names == sorted(NAMES)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        (None, "2: its labels are missing; an example without any has an empty list"),
        (float("nan"), "2: its labels are missing"),
        (pd.NA, "2: its labels are missing"),
        ("red", r"2: give a collection of labels, such as \['a'\] for one, not str"),
        (3, "2: give a collection of labels"),
        ({"red": 1, "car": 0}, "2: give a collection of labels"),
        (["red", None], "2: the label is missing"),
        (["red", 1.5], "2: a label is text"),
        ([["red"]], "2: a label is text"),
    ],
)
def test__labels_of_one_example_that_cannot_be_meant__item_error(row: Any, message: str) -> None:
    labels: list[Any] = [{"red"}, {"car"}, row]
    with pytest.raises(ExampleError, match=message) as caught:
        model().fit(TEXTS[:3], labels)
    assert caught.value.code == "label"
    examples = [*TEXTS[:2], {"text": "x", "id": "mine"}]
    with pytest.raises(ExampleError, match=r"^mine: "):
        model().fit(examples, labels)


@pytest.mark.parametrize(
    ("labels", "classes", "message"),
    [
        ([{"red"}, {"car"}, set()], ["red"], "example 1 has the label 'car', which is not among the classes"),
        ([{"red"}, {"car"}, set()], ["red", "car", "old"], "label 'old' is on no example"),
        ([{"red"}, {"car"}, set()], ["red", "red"], "the class 'red' is named twice"),
        ([{"red"}, {"car"}, set()], "red", "classes must be a list"),
        ([{1}, {"1"}, set()], None, "different types"),
        ([{1}, {True, 2}, set()], None, "different types"),
        ("abc", None, "collection of labels for each of the 3"),
        ({"a": 1, "b": 2, "c": 3}, None, "collection of labels for each of the 3"),
    ],
)
def test__labels_and_classes_that_do_not_go_together__error(labels: Any, classes: Any, message: str) -> None:
    with pytest.raises(DataError, match=message):
        model().fit(TEXTS[:3], labels, classes=classes)


def test__labels_that_are_0_and_1__as_sets__are_labels() -> None:
    sets, names = as_label_sets([{0, 1}, {1}, {0}], 3)
    assert ([set(own) for own in sets], names) == ([{0, 1}, {1}, {0}], [0, 1])
    with pytest.raises(DataError, match="go as sets"):
        as_label_sets([[0, 1], [1, 0], [1, 1]], 3)
    assert as_label_sets([[0, 1], [1], [0]], 3)[1] == [0, 1]


def test__example_labels__are_taken_by_default() -> None:
    from dataclasses import replace

    examples = [
        replace(example, labels=tuple(own)) for example, own in zip(as_examples(TEXTS), SETS, strict=True)
    ]
    expected = model().fit(TEXTS, SETS)
    found = model().fit(examples)
    np.testing.assert_array_equal(found.predict_proba(TEXTS), expected.predict_proba(TEXTS))
    assert found.score(examples) == expected.score(TEXTS, SETS)
    with pytest.raises(ExampleError, match="0: its labels are missing"):
        model().fit(TEXTS)


def test__score__is_scikit_learns_subset_accuracy() -> None:
    fitted = model().fit(TEXTS[:8], SETS[:8])
    table = MultiLabelBinarizer(classes=fitted.labels_)
    expected = accuracy_score(table.fit_transform(SETS), table.fit_transform(fitted.predict(TEXTS)))
    assert fitted.score(TEXTS, SETS) == expected
    assert fitted.score(TEXTS, MATRIX, classes=NAMES) == expected
    with pytest.warns(DataWarning, match=r"labels of the test examples are not .* only in case"):
        assert fitted.score(TEXTS[:2], [{"Red"}, {"CAR"}]) == 0


def test__predict__collect__reports_bad_items_and_answers_the_rest(tmp_path) -> None:
    fitted = model().fit(TEXTS, SETS)
    (tmp_path / "broken.jpg").write_bytes(b"not an image")
    found = fitted.predict([TEXTS[0], tmp_path / "broken.jpg", TEXTS[2]], on_error="collect")
    assert found.indices.tolist() == [0, 2]
    assert found.labels == fitted.predict([TEXTS[0], TEXTS[2]])
    assert [error.code for error in found.errors] == ["image_undecodable"]


@pytest.mark.parametrize(
    ("cell", "expected"),
    [
        ("red;car", ("red", "car")),
        (" red ; car; ", ("red", "car")),
        ("red", ("red",)),
        ("", ()),
        ([], ()),
        (["red", "red"], ("red",)),
        ([1, 2], (1, 2)),
        (np.array(["red"]), ("red",)),
        (None, None),
        (float("nan"), None),
    ],
)
def test__split_labels__cells(cell: Any, expected: Any) -> None:
    assert split_labels(cell, ";") == expected


@pytest.mark.parametrize("cell", ["['red', 'car']", '["red"]', "[]", "[1 0 1]", '{"choices": ["red"]}'])
@pytest.mark.parametrize("separator", [",", ";"])
def test__split_labels__list_as_text__error(cell: str, separator: str) -> None:
    with pytest.raises(ExampleError, match="the labels are a list written as text") as caught:
        split_labels(cell, separator)
    assert caught.value.code == "label"


def test__split_labels__names_in_brackets__are_names() -> None:
    assert split_labels("[NEG]; [POS]", ";") == ("[NEG]", "[POS]")
