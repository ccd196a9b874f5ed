import json

import pytest

from savs.datasets import adopt_label_type, read_examples


@pytest.mark.parametrize(("classes", "expected"), [([0, 7], [0, 7, "x"]), (["0", "7"], ["0", "7", "x"])])
def test__fault_16__csv_labels__become_the_classes_they_read_like(tmp_path, classes, expected):
    path = tmp_path / "d.csv"
    path.write_text("text,label\na,0\nb,7\nc,x\n")
    assert [example.label for example in adopt_label_type(read_examples(path), path, classes)] == expected


def test__jsonl_labels__keep_their_own_type(tmp_path):
    path = tmp_path / "d.jsonl"
    path.write_text("\n".join(json.dumps({"text": text, "label": "0"}) for text in "ab"))
    assert [example.label for example in adopt_label_type(read_examples(path), path, [0, 7])] == ["0", "0"]
