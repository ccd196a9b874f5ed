import json

import pytest

from savs.data import adopt_label_type, read_examples


@pytest.mark.parametrize(("classes", "expected"), [([0, 7], [0, 7, "x"]), (["0", "7"], ["0", "7", "x"])])
def test__fault_16__csv_labels__become_the_classes_they_read_like(tmp_path, classes, expected):
    path = tmp_path / "d.csv"
    path.write_text("text,label\na,0\nb,7\nc,x\n")
    assert [example.label for example in adopt_label_type(read_examples(path), path, classes)] == expected


def test__jsonl_labels__keep_their_own_type(tmp_path):
    path = tmp_path / "d.jsonl"
    path.write_text("\n".join(json.dumps({"text": text, "label": "0"}) for text in "ab"))
    assert [example.label for example in adopt_label_type(read_examples(path), path, [0, 7])] == ["0", "0"]


@pytest.mark.parametrize(
    "spelling", [str, lambda label: str(label).lower(), lambda label: str(label).upper()]
)
def test__csv_labels__truth_values_of_any_case(tmp_path, spelling):
    path = tmp_path / "d.csv"
    path.write_text(f"text,label\na,{spelling(True)}\nb,{spelling(False)}\nc,1\n")
    labels = [example.label for example in adopt_label_type(read_examples(path), path, [False, True])]
    assert labels == [True, False, "1"]


def test__csv_labels__text_classes__case_is_kept_apart(tmp_path):
    path = tmp_path / "d.csv"
    path.write_text("text,label\na,true\nb,True\n")
    with pytest.warns(UserWarning, match="differ only in"):
        examples = read_examples(path)
    assert [e.label for e in adopt_label_type(examples, path, ["True", "x"])] == ["true", "True"]
