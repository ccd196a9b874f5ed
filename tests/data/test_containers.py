"""Examples in tables, datasets and loaders of torch, and tensors; labels in tensors."""

from __future__ import annotations

from collections import namedtuple

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from PIL import Image
from torch.utils.data import ConcatDataset, DataLoader, Dataset, IterableDataset, Subset, TensorDataset

from savs.data import as_example, as_examples
from savs.errors import DataError, ExampleError

PIXELS = np.random.default_rng(1).integers(0, 256, (5, 6, 7, 3), dtype=np.uint8)
TENSOR = torch.from_numpy(PIXELS).permute(0, 3, 1, 2)
LABELS = [2, 0, 1, 1, 0]
EXPECTED = as_examples(list(PIXELS), LABELS)
Pair = namedtuple("Pair", ["image", "label"])


class Endless(Dataset):
    """Map-style, and with an item for every number, as some datasets wrap around."""

    def __init__(self, make) -> None:
        self.make = make

    def __len__(self) -> int:
        return len(PIXELS)

    def __getitem__(self, index: int):
        return self.make(index % len(PIXELS))


class Stream(IterableDataset):
    def __iter__(self):
        return iter([(image, label) for image, label in zip(TENSOR, LABELS, strict=True)])


def images_of(examples) -> list[np.ndarray]:
    return [np.asarray(example.images[0].source) for example in examples]


def check_same(examples, *, labels: bool = True) -> None:
    assert len(examples) == len(PIXELS)
    for found, expected in zip(images_of(examples), PIXELS, strict=True):
        np.testing.assert_array_equal(found, expected)
    assert [example.label for example in examples] == (LABELS if labels else [None] * len(LABELS))
    assert {type(example.label) for example in examples} == {int if labels else type(None)}


@pytest.mark.parametrize(
    "items",
    [
        pytest.param(lambda: Endless(lambda i: (Image.fromarray(PIXELS[i]), LABELS[i])), id="pairs"),
        pytest.param(lambda: Endless(lambda i: (TENSOR[i], torch.tensor(LABELS[i]))), id="tensors"),
        pytest.param(lambda: Endless(lambda i: {"image": TENSOR[i], "label": LABELS[i]}), id="rows"),
        pytest.param(lambda: Endless(lambda i: Pair(TENSOR[i], np.int64(LABELS[i]))), id="named pairs"),
        pytest.param(lambda: TensorDataset(TENSOR, torch.tensor(LABELS)), id="TensorDataset"),
        pytest.param(lambda: Subset(TensorDataset(TENSOR, torch.tensor(LABELS)), range(5)), id="Subset"),
        pytest.param(Stream, id="IterableDataset"),
    ],
)
@pytest.mark.parametrize("batch_size", [0, None, 1, 2, 5])
def test__torch_dataset__and_its_loader__are_the_examples(items, batch_size, request):
    if batch_size and request.node.callspec.id.endswith("-pairs"):
        pytest.skip("torch makes no batch of PIL images")
    dataset = items()
    check_same(as_examples(dataset if batch_size == 0 else DataLoader(dataset, batch_size=batch_size)))


def test__loader__rows_and_own_collate_functions__are_the_examples():
    rows = Endless(lambda i: {"image": TENSOR[i], "label": LABELS[i]})
    check_same(as_examples(DataLoader(rows, batch_size=2)))
    check_same(as_examples(DataLoader(rows, batch_size=2, collate_fn=lambda batch: batch)))
    check_same(as_examples(DataLoader(TENSOR, batch_size=2)), labels=False)
    check_same(as_examples(DataLoader(ConcatDataset([TensorDataset(TENSOR)]), batch_size=2)), labels=False)


def test__loader__that_shuffles__refused():
    with pytest.raises(DataError, match="shuffle"):
        as_examples(DataLoader(TensorDataset(TENSOR), shuffle=True))


def test__tensor__of_images__is_a_list_of_them():
    check_same(as_examples(TENSOR, torch.tensor(LABELS)))
    assert len(as_examples(TENSOR[:, 0])) == len(PIXELS)
    for one in (TENSOR[0], TENSOR[0, 0], PIXELS[0], PIXELS[0, ..., :1]):
        with pytest.raises(DataError, match="a list of examples is needed"):
            as_examples(one)


@pytest.mark.parametrize(
    "table",
    [
        pytest.param(lambda rows: pd.DataFrame(rows, index=[9] * len(rows)), id="pandas"),
        pytest.param(pa.Table.from_pylist, id="Arrow"),
    ],
)
def test__table__rows_are_examples(table):
    rows = [{"text": f"text {index}", "label": index % 2, "id": f"r{index}"} for index in range(4)]
    found, expected = as_examples(table(rows)), as_examples(rows)
    assert [example.text for example in found] == [example.text for example in expected]
    assert [(example.id, example.label) for example in found] == [(e.id, e.label) for e in expected]
    assert {type(example.label) for example in found} == {int}


def test__table__two_columns_of_one_name__refused():
    with pytest.raises(DataError, match="two columns named 'text'"):
        as_examples(pd.DataFrame([["a", "b"]], columns=["text", "text"]))


@pytest.mark.parametrize("label", [3, np.int64(3), True, np.bool_(True), torch.tensor(3), torch.tensor(True)])
def test__pair_with_a_number__is_an_example_with_its_label(label):
    example = as_example((PIXELS[0], label))
    plain = label.item() if hasattr(label, "item") else label
    assert example.label == plain
    assert type(example.label) is type(plain)
    assert as_example(("a text", label)).text == "a text"


@pytest.mark.parametrize("second", [3.0, None, torch.tensor(3.0), torch.tensor([3]), np.array([3])])
def test__pair_with_something_else__refused(second):
    with pytest.raises(ExampleError, match="is not an"):
        as_example((PIXELS[0], second))


def test__pair__of_a_pair_and_a_number__question_and_label():
    example = as_example(((PIXELS[0], "What is it?"), 3))
    assert (example.text, example.label) == ("What is it?", 3)
    nested: object = PIXELS[0]
    for _ in range(5000):
        nested = (nested, 3)
    with pytest.raises(ExampleError, match="pair"):
        as_example(nested)


@pytest.mark.parametrize(
    "labels",
    [
        torch.tensor(LABELS),
        pd.DataFrame({"label": LABELS}, index=[4, 3, 2, 1, 0]),
        pd.Series(LABELS, index=[4, 3, 2, 1, 0]),
        pd.Series(LABELS, dtype="Int64"),
        np.array(LABELS, np.int16),
    ],
)
def test__labels__of_any_container__by_position_and_plain(labels):
    check_same(as_examples(list(PIXELS), labels))


def test__one_example_or_a_folder_instead_of_a_list__says_what_to_do(tmp_path):
    for one, advice in [
        ("a text", r"\[example\]"),
        (tmp_path, "read_examples"),
        (str(tmp_path), "read_examples"),
        ("train.csv", "read_examples"),
        ({"text": ["a", "b"], "label": [1, 2]}, "DataFrame"),
        ({"text": "a"}, r"\[example\]"),
        ("x" * 5000, r"\[example\]"),
        ("nul\0.csv", "read_examples"),
    ]:
        with pytest.raises(DataError, match=advice):
            as_examples(one)
