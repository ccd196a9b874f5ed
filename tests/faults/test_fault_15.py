"""Labels that numpy would merge or that cannot be written."""

from __future__ import annotations

import numpy as np
import pytest

from savs.data import as_example, read_examples
from savs.errors import ExampleError, SAVsError


@pytest.mark.parametrize("label", ["cat\0", "\0", "c\0at"])
def test__fault_15__label_with_a_null_character__refused_for_numpy_would_merge_it(label):
    assert np.asarray(["cat\0"])[0] == "cat"
    with pytest.raises(ExampleError) as caught:
        as_example("q", label=label)
    assert caught.value.code == "label"


@pytest.mark.parametrize(
    ("name", "content"),
    [
        ("a.csv", b"text,label\na,cat\0\n"),
        ("a.tsv", b"text\tlabel\na\tcat\0\n"),
        ("a.json", b'[{"text": "a", "label": "cat\\u0000"}]'),
        ("a.jsonl", b'{"text": "a", "label": "\\ud800"}\n'),
        ("a.jsonl", b'{"text": "a", "label": 1.0}\n'),
        ("a.jsonl", b'{"text": "a", "label": NaN}\n'),
        ("a.jsonl", b'{"text": "a", "label": 1e999}\n'),
        ("a.jsonl", b'{"text": "a", "label": 9223372036854775808}\n'),
        ("a.jsonl", b'{"text": "a", "label": [1]}\n'),
        ("a.jsonl", b'{"text": "a", "label": {"a": 1}}\n'),
    ],
)
def test__fault_15__unusable_label_in_a_file__error_at_load_with_the_place(tmp_path, name, content):
    (tmp_path / name).write_bytes(content)
    with pytest.raises(SAVsError, match=rf"^{name}:") as caught:
        read_examples(tmp_path / name, require_labels=True)
    assert str(caught.value).isprintable()
