from __future__ import annotations

import json
import warnings

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, f1_score, hamming_loss, precision_score, recall_score
from sklearn.preprocessing import MultiLabelBinarizer

from savs.data import DataWarning
from savs.evaluation import multi_label_report

NAMES = ["ant", "bee", "cow"]
sets = st.sets(st.sampled_from(NAMES))


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(sets, sets), min_size=1, max_size=20))
def test__multi_label_report__any_predictions__equals_scikit_learn(rows):
    truth, answers = [a for a, _ in rows], [b for _, b in rows]
    report = multi_label_report(truth, answers, NAMES)
    table = MultiLabelBinarizer(classes=NAMES)
    both = table.fit_transform(truth), table.fit_transform(answers)
    assert report["subset_accuracy"] == accuracy_score(*both)
    assert report["hamming_loss"] == pytest.approx(hamming_loss(*both))
    for name in ("micro", "macro"):
        assert report[f"{name}_f1"] == pytest.approx(f1_score(*both, average=name, zero_division=0))
    for column, name in enumerate(NAMES):
        ours, theirs = both[0][:, column], both[1][:, column]
        figures = report["per_label"][name]
        assert (figures["precision"] or 0) == precision_score(ours, theirs, zero_division=0)
        assert (figures["recall"] or 0) == recall_score(ours, theirs, zero_division=0)
        assert figures["f1"] == pytest.approx(f1_score(ours, theirs, zero_division=0))
    json.dumps(report, allow_nan=False)


def test__fault_16__label_only_in_the_test__missed_and_reported():
    with pytest.warns(DataWarning, match=r"1 of 3 labels of the test examples are not classes .*\(elk\)"):
        report = multi_label_report([{"ant", "elk"}, {"bee"}], [{"ant"}, {"bee"}], NAMES)
    assert (report["subset_accuracy"], report["unknown_labels"]) == (0.5, {"elk": 1})
    table = MultiLabelBinarizer(classes=[*NAMES, "elk"])
    both = table.fit_transform([{"ant", "elk"}, {"bee"}]), table.fit_transform([{"ant"}, {"bee"}])
    assert report["hamming_loss"] == hamming_loss(*both)
    assert report["macro_f1"] == f1_score(*both, average="macro", zero_division=0)


def test__fault_15__whole_numbers_and_text__are_not_merged():
    with pytest.warns(DataWarning, match="the classes are of type int"):
        report = multi_label_report([{"1"}], [{1}], [1, 2])
    assert (report["subset_accuracy"], report["micro_f1"]) == (0, 0)


def test__multi_label_report__one_label_or_nothing__figures_and_no_warning():
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        report = multi_label_report([{"a"}, set()], [{"a"}, {"a"}], ["a"])
        assert multi_label_report([], [], ["a"])["subset_accuracy"] is None
    assert report["micro_f1"] == pytest.approx(2 / 3)
    assert report["hamming_loss"] == 0.5


@pytest.mark.parametrize("args", [([{"a"}], [], ["a"]), ([{"a"}], [{"b"}], ["a"]), ([{"b"}], [{"b"}], ["a"])])
@pytest.mark.filterwarnings("ignore::savs.data.DataWarning")
def test__multi_label_report__bad_input__error(args):
    with pytest.raises(ValueError, match=r"predicted|prediction"):
        multi_label_report(*args)
