"""Examples in tables, datasets and loaders of torch, and tensors; labels in tensors."""

from __future__ import annotations

from collections import namedtuple

import datasets
import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from PIL import Image
from torch.utils.data import (
    BatchSampler,
    ConcatDataset,
    DataLoader,
    Dataset,
    IterableDataset,
    RandomSampler,
    SequentialSampler,
    Subset,
    SubsetRandomSampler,
    TensorDataset,
    WeightedRandomSampler,
)

from savs import MultiLabelModel, SAVModel
from savs.backbones.fake import FakeBackbone
from savs.classifiers._validation import label_array
from savs.data import DataWarning, as_example, as_examples, read_examples
from savs.data._label_sets import as_label_sets
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


def own_batches(make, collate, batch_size):
    return as_examples(DataLoader(Endless(make), batch_size=batch_size, collate_fn=collate))


def as_fields(items):
    return tuple(zip(*items, strict=True))


@pytest.mark.parametrize(("batch_size", "collate"), [(3, list), (4, list), (3, as_fields)])
def test__loader__own_collate_function__items_stay_together(batch_size, collate):
    check_same(own_batches(lambda i: (Image.fromarray(PIXELS[i]), LABELS[i]), collate, batch_size))


def test__loader__own_collate_function_of_two_images__not_mixed_between_items():
    pairs = own_batches(lambda i: [Image.fromarray(PIXELS[i]), Image.fromarray(PIXELS[-i])], list, 3)
    assert [len(example.images) for example in pairs] == [2] * len(PIXELS)
    np.testing.assert_array_equal(pairs[1].images[1].source, PIXELS[-1])
    # Tensors alone are no fields either.
    check_same(own_batches(lambda i: TENSOR[i], list, 2), labels=False)


def test__loader__own_batches_of_as_many_items_as_fields__refused():
    with pytest.raises(DataError, match=r"may be items or fields of items; hand in loader\.dataset"):
        own_batches(lambda i: [Image.fromarray(PIXELS[i]), Image.fromarray(PIXELS[-i])], list, 2)


LOADERS = {
    "shuffle": {"batch_size": 2, "shuffle": True},
    "random subset": {"sampler": SubsetRandomSampler(range(5))},
    "with replacement": {"sampler": WeightedRandomSampler([1.0] * 5, 5)},
    "batches in another order": {"batch_sampler": BatchSampler(RandomSampler(range(5)), 2, False)},
    "own batches": {"batch_sampler": [[4, 3], [2, 1, 0]]},
    "part of the items": {"sampler": SequentialSampler(range(3))},
    "last ones dropped": {"batch_size": 2, "drop_last": True},
}


@pytest.mark.parametrize("options", LOADERS.values(), ids=LOADERS)
def test__loader__that_shuffles_repeats_or_drops__refused(options):
    with pytest.raises(DataError, match="shuffles, repeats or leaves out items"):
        as_examples(DataLoader(TensorDataset(TENSOR), **options))


def test__loader__in_order__is_read_whatever_its_sampler_is_called():
    batches = BatchSampler(SequentialSampler(TENSOR), 2, drop_last=False)
    whole = DataLoader(TENSOR, batch_size=5, drop_last=True)
    for loader in (DataLoader(TENSOR, batch_sampler=batches), whole):
        check_same(as_examples(loader), labels=False)


def test__loader__stream_in_two_workers__refused():
    with pytest.raises(DataError, match="shuffles, repeats or leaves out items"):
        as_examples(DataLoader(Stream(), num_workers=2))


def classes_dataset(names=("cat", "dog")):
    features = datasets.Features(
        {"text": datasets.Value("string"), "label": datasets.ClassLabel(names=list(names))}
    )
    rows = {"text": ["first", "second", "third"], "label": [1, 0, -1]}
    return datasets.Dataset.from_dict(rows, features=features)


@pytest.mark.parametrize(
    "hold",
    [
        pytest.param(lambda rows: Subset(rows, range(3)), id="Subset"),
        pytest.param(lambda rows: DataLoader(rows, batch_size=2), id="DataLoader"),
        pytest.param(lambda rows: DataLoader(Subset(rows, range(3))), id="DataLoader of a Subset"),
        pytest.param(lambda rows: ConcatDataset([Subset(rows, [0]), Subset(rows, [1, 2])]), id="Concat"),
        pytest.param(lambda rows: rows.with_format("arrow")[:], id="Arrow table"),
        pytest.param(lambda rows: rows.with_format("torch"), id="torch format"),
    ],
)
def test__class_labels__in_whatever_holds_the_dataset__are_names(hold):
    found = as_examples(hold(classes_dataset()))
    assert [example.label for example in found] == ["dog", "cat", None]


def test__class_labels__of_unlike_datasets_put_together__refused():
    rows = ConcatDataset([classes_dataset(), classes_dataset(("dog", "cat"))])
    with pytest.raises(DataError, match="classes of different names"):
        as_examples(rows)


@pytest.mark.parametrize("kind", ["column", "torch format", "iterable"])
def test__class_labels__column_as_labels__are_names_and_minus_one_is_none(kind):
    rows = classes_dataset()
    if kind == "torch format":
        rows = rows.with_format("torch")
    held = rows.to_iterable_dataset() if kind == "iterable" else rows
    with pytest.raises(DataError, match="1 of 3 labels are missing"):
        as_examples(rows["text"], held["label"])
    known = rows.select([0, 1])
    held = known.to_iterable_dataset() if kind == "iterable" else known
    assert [example.label for example in as_examples(known["text"], held["label"])] == ["dog", "cat"]
    assert label_array(known["label"]).tolist() == ["dog", "cat"]


def test__class_labels__lists_of_them__are_names_in_rows_and_as_labels():
    features = datasets.Features(
        {
            "text": datasets.Value("string"),
            "kinds": datasets.List(datasets.ClassLabel(names=["cat", "dog"])),
        }
    )
    rows = datasets.Dataset.from_dict({"text": ["a", "b"], "kinds": [[0, 1], []]}, features=features)
    assert as_examples(rows)[0].fields["kinds"] == ["cat", "dog"]
    assert as_label_sets(rows["kinds"], 2)[0] == [frozenset({"cat", "dog"}), frozenset()]


def test__class_labels__number_of_no_class__refused():
    table = classes_dataset().with_format("arrow")[:]
    odd = table.set_column(1, table.schema.field("label"), pa.array([0, 1, 2]))
    with pytest.raises(DataError, match="2 is none of the 2 classes"):
        as_examples(odd)


@pytest.mark.parametrize("by_path", [False, True])
def test__pandas__whole_numbers_with_gaps_in_a_prompt__warned_of_once(by_path, tmp_path):
    table = pd.DataFrame({"text": ["a", "b", "c"], "year": [2020, 2021, None], "share": [1.0, None, 0.5]})
    table.to_parquet(tmp_path / "rows.parquet")
    model = SAVModel(FakeBackbone(), prompt="{text} {year} {share}")
    with pytest.warns(DataWarning) as caught:
        model.head_vectors(read_examples(tmp_path / "rows.parquet") if by_path else table)
    assert [str(one.message) for one in caught] == [
        "the column 'year' says 2020.0 in the prompt: pandas makes whole numbers decimals where some are "
        "missing; if they are whole, convert the column with astype('Int64')"
    ]
    whole = table.astype({"year": "Int64"})
    model.head_vectors(whole)
    assert [example.fields["year"] for example in as_examples(whole)] == [2020, 2021, None]


@pytest.mark.parametrize("index", [["a", "b", "c", "d"], [7, 3, 5, 1]])
def test__pandas__labels_in_another_order_than_the_table__warned_of(index):
    table = pd.DataFrame({"text": list("wxyz")}, index=index)
    labels = pd.Series([0, 0, 1, 1], index=index)
    assert [example.label for example in as_examples(table, labels)] == [0, 0, 1, 1]
    assert [example.label for example in as_examples(table, labels.reset_index(drop=True))] == [0, 0, 1, 1]
    assert [example.label for example in as_examples(list("wxyz"), labels[::-1])] == [1, 1, 0, 0]
    turned = labels[::-1]
    with pytest.warns(DataWarning, match=r"same index in another order.*labels\.loc\[examples\.index\]"):
        assert [example.label for example in as_examples(table, turned)] == [1, 1, 0, 0]
    matrix = pd.DataFrame({"a": [1, 1, 0, 0], "b": [0, 1, 1, 0]}, index=index)[::-1]
    with pytest.warns(DataWarning, match="same index in another order"):
        model = MultiLabelModel(FakeBackbone(), n_heads=4).fit(table, matrix)
    with pytest.warns(DataWarning, match="same index in another order"):
        model.score(table, matrix)


def test__pandas__named_index__is_a_column_as_in_parquet(tmp_path):
    table = pd.DataFrame({"id": ["p", "q"], "text": ["a", "b"], "label": ["x", "y"]}).set_index("id")
    table.to_parquet(tmp_path / "rows.parquet")
    found, expected = as_examples(table), read_examples(tmp_path / "rows.parquet")
    assert [(e.id, e.label, dict(e.fields)) for e in found] == [
        ("p", "x", {"text": "a", "id": "p"}),
        ("q", "y", {"text": "b", "id": "q"}),
    ]
    assert [(e.id, e.label, dict(e.fields)) for e in expected] == [
        (e.id, e.label, dict(e.fields)) for e in found
    ]
    assert [e.label for e in as_examples(["a", "b"], table[["label"]])] == ["x", "y"]


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
