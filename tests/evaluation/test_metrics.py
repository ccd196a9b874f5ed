from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, precision_score, recall_score

from savs.data import DataWarning
from savs.evaluation import accuracy_report

NAMES = ["ant", "bee", "cow"]
pairs = st.lists(st.tuples(st.sampled_from(NAMES), st.sampled_from(NAMES)), min_size=1, max_size=40)


@settings(max_examples=50, deadline=None)
@given(pairs)
def test__accuracy_report__any_predictions__equals_scikit_learn(rows):
    truth, answers = [a for a, _ in rows], [b for _, b in rows]
    report = accuracy_report(truth, answers, NAMES)
    assert report["accuracy"] == pytest.approx(accuracy_score(truth, answers))
    assert report["macro_f1"] == pytest.approx(f1_score(truth, answers, average="macro", zero_division=0))
    assert report["confusion"]["matrix"] == confusion_matrix(truth, answers, labels=NAMES).tolist()
    recalls = recall_score(truth, answers, labels=NAMES, average=None, zero_division=0)
    precisions = precision_score(truth, answers, labels=NAMES, average=None, zero_division=0)
    for name, recall, precision in zip(NAMES, recalls, precisions, strict=True):
        figures = report["per_class"][name]
        assert (figures["accuracy"] or 0) == pytest.approx(recall)
        assert (figures["precision"] or 0) == pytest.approx(precision)
        assert (figures["accuracy"] is None) == (name not in truth)


def test__fault_16__label_only_in_the_test__wrong_and_reported():
    truth, answers = ["ant", "elk", "elk", "bee"], ["ant", "ant", "bee", "bee"]
    with pytest.warns(DataWarning, match=r"2 of 4 test examples .* \(elk\)"):
        report = accuracy_report(truth, answers, NAMES)
    assert report["accuracy"] == 0.5
    assert report["unknown_labels"] == {"elk": 2}
    assert report["confusion"]["labels"] == [*NAMES, "elk"]
    assert report["confusion"]["matrix"][3] == [1, 1, 0]
    assert report["per_class"]["ant"]["precision"] == 0.5
    assert report["macro_f1"] == pytest.approx(f1_score(truth, answers, average="macro"))


def test__accuracy_report__no_answer__wrong_and_counted():
    report = accuracy_report(["ant", "bee"], [None, "bee"], NAMES)
    assert (report["accuracy"], report["n_unanswered"]) == (0.5, 1)
    assert report["per_class"]["ant"] == {"n": 1, "correct": 0, "accuracy": 0.0, "precision": None, "f1": 0.0}
    assert report["confusion"]["unanswered"] == [1, 0, 0]


@pytest.mark.parametrize("classes", [[1, 2], np.array([1, 2]), [False, True], np.array(["1", "2"])])
def test__accuracy_report__any_label_type__json_with_text_keys(classes):
    labels = np.asarray(classes)
    report = accuracy_report(labels[[0, 1, 1]], labels[[0, 0, 1]], classes)
    assert json.loads(json.dumps(report, allow_nan=False)) == report
    assert report["n_correct"] == 2
    assert report["classes"] == labels.tolist()
    assert list(report["per_class"]) == [str(label) for label in labels.tolist()]


def test__fault_15__int_and_text_labels__are_not_merged():
    with pytest.warns(DataWarning, match="the classes are of type int"):
        report = accuracy_report(["1", "2"], [1, 2], [1, 2])
    assert report["accuracy"] == 0
    assert report["unknown_labels"] == {"1": 1, "2": 1}


def test__accuracy_report__empty__no_figures_no_crash():
    report = accuracy_report([], [], NAMES)
    assert (report["accuracy"], report["macro_f1"], report["n"]) == (None, None, 0)
    assert report["interval"] == [0, 1]


def test__accuracy_report__bad_input__error():
    with pytest.raises(ValueError, match="2 true labels, but 1"):
        accuracy_report(["ant", "ant"], ["ant"], NAMES)
    with pytest.raises(ValueError, match="'elk' is none of the 3"):
        accuracy_report(["ant"], ["elk"], NAMES)
    with pytest.raises(ValueError, match="twice"):
        accuracy_report(["ant"], ["ant"], ["ant", "ant"])
