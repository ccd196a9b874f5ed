"""What holds examples: tables, datasets and loaders of torch, and tensors become lists."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from savs._labels import DataWarning
from savs.errors import DataError
from savs.media._arrays import CHANNELS, is_tensor
from savs.media._coercion import is_image, type_name


def unpacked(items: Any) -> Any:
    """Return what holds examples as a list of them; anything else as it is.

    Parameters
    ----------
    items : object
        - A table of pandas, Polars or Arrow: its rows, by column name.
        - A `torch.utils.data.DataLoader`: the items of its batches, if it keeps their order.
        - What has a length and items by number, such as a map-style dataset of torch.
        - A tensor of (n, channels, height, width), or of (n, height, width).

    Raises
    ------
    DataError
        If a table has two columns of one name, or a loader shuffles, repeats or leaves out items.
    """
    if is_tensor(items):
        return _from_tensor(items)
    rows = _rows(items)
    if rows is not None:
        return rows
    loader = _torch_type("utils.data.DataLoader")
    if loader is not None and isinstance(items, loader):
        return list(_from_loader(items))
    by_number = hasattr(items, "__getitem__") and hasattr(items, "__len__")
    if by_number and not isinstance(items, Iterable) and not is_image(items):
        return [items[index] for index in range(len(items))]
    return items


def unpacked_labels(labels: Any) -> Any:
    """Return a tensor of labels, or a table of one column, as a list; anything else as it is."""
    if is_tensor(labels):
        return labels.tolist() if labels.ndim == 1 else labels
    columns = getattr(labels, "columns", None)
    if columns is not None and len(columns) == 1:
        return [next(iter(row.values())) for row in _rows(labels) or []]  # the index, if named, comes after
    return labels


def warn_of_another_order(items: Any, labels: Any) -> None:
    """Warn if a table and labels of pandas have the same index in another order: positions count alone.

    Warns
    -----
    DataWarning
    """
    indices = [getattr(part, "index", None) for part in (items, labels)]
    one, other = (index if callable(getattr(index, "sort_values", None)) else None for index in indices)
    if one is None or other is None or len(one) != len(other) or one.equals(other):
        return
    try:
        the_same = one.sort_values().equals(other.sort_values())
    except TypeError:  # of texts and numbers
        return
    if the_same:
        warnings.warn(
            "examples and labels have the same index in another order, and go together by position; "
            "if they belong together by the index, use labels.loc[examples.index]",
            DataWarning,
            stacklevel=5,
        )


def is_number(value: Any) -> bool:
    """Return whether a value is a whole number or truth value, which is a label and never a question."""
    if is_tensor(value):
        return value.ndim == 0 and not value.is_floating_point() and not value.is_complex()
    return isinstance(value, int | np.integer | np.bool_)


def inner_datasets(items: Any) -> list[Any]:
    """Return the datasets inside a Subset, ConcatDataset or DataLoader of torch, whose items they leave."""
    for name, attribute in (("Subset", "dataset"), ("DataLoader", "dataset"), ("ConcatDataset", "datasets")):
        kind = _torch_type(f"utils.data.{name}")
        if kind is not None and isinstance(items, kind):
            found = getattr(items, attribute)
            return list(found) if attribute == "datasets" else [found]
    return []


def _rows(table: Any) -> list[Any] | None:
    """Return the rows of a table; None for anything else."""
    if callable(getattr(table, "to_dicts", None)) and hasattr(table, "columns"):  # Polars
        return list(table.to_dicts())
    if callable(getattr(table, "to_pylist", None)) and hasattr(table, "column_names"):  # Arrow
        _check_names(table.column_names)
        return list(table.to_pylist())
    if callable(getattr(table, "to_dict", None)) and hasattr(table, "columns"):  # pandas
        _check_names(table.columns)
        return _rows_of_pandas(table)
    return None


def _rows_of_pandas(table: Any) -> list[Any]:
    """Return the rows, with a named index as a column."""
    columns = list(table.columns)
    index = [name for name in getattr(table.index, "names", ()) if name is not None and name not in columns]
    if index:  # as pandas writes it into Parquet
        table = table.reset_index(level=index)[[*columns, *index]]
    return list(table.to_dict("records"))


def _check_names(names: Iterable[Any]) -> None:
    seen: set[Any] = set()
    for name in names:
        if name in seen:
            raise DataError(f"the table has two columns named {name!r}; give them different names")
        seen.add(name)


def _from_tensor(tensor: Any) -> Any:
    shape = tuple(tensor.shape)
    # (3, 8, 8) may be one color image: its channels must not pass for three gray ones.
    return list(tensor) if len(shape) == 4 or (len(shape) == 3 and shape[0] not in CHANNELS) else tensor


def _from_loader(loader: Any) -> Iterator[Any]:
    if not _keeps_items(loader):
        raise DataError(
            "the DataLoader shuffles, repeats or leaves out items, by its sampler, workers or drop_last, so "
            "nobody could tell which answer or label belongs to which example; hand in its dataset "
            "(loader.dataset), or one with shuffle=False"
        )
    holds_fields = None if _has_own_collate(loader) else True
    for batch in loader:
        if loader.batch_sampler is None:  # batch_size=None: single items, their tuples as lists
            yield tuple(batch) if isinstance(batch, list) and batch and is_number(batch[-1]) else batch
            continue
        if holds_fields is None and _is_list_of_lists(batch):
            holds_fields = _holds_fields(batch, _n_items(loader))
        yield from _items(batch, holds_fields=bool(holds_fields))


def _has_own_collate(loader: Any) -> bool:
    usual = sys.modules["torch"].utils.data.default_collate
    return loader.collate_fn is not usual


def _n_items(loader: Any) -> int:
    """Return how many items the first batch has; of a stream, how many it would have."""
    size: int = loader.batch_size
    return min(size, len(loader.dataset)) if hasattr(loader.dataset, "__len__") else size


def _holds_fields(batch: Sequence[Any], n_items: int) -> bool:
    """Return whether a batch that its user put together is a list of fields, not of items."""
    fields, items = all(len(field) == n_items for field in batch), len(batch) == n_items
    if fields == items:
        raise DataError(
            "the DataLoader's collate_fn gives lists of lists, which may be items or fields of items; "
            "hand in loader.dataset"
        )
    return fields


def _keeps_items(loader: Any) -> bool:
    """Return whether a loader gives each item of its dataset once, in order."""
    sequential, plain = _torch_type("utils.data.SequentialSampler"), _torch_type("utils.data.BatchSampler")
    iterable = _torch_type("utils.data.IterableDataset")
    batches: Any = loader.batch_sampler
    if iterable is not None and isinstance(loader.dataset, iterable):
        return loader.num_workers < 2 and not getattr(batches, "drop_last", False)
    if not getattr(loader, "in_order", True) and loader.num_workers:
        return False
    if type(batches) not in (type(None), plain):
        return False
    if getattr(batches, "drop_last", False) and len(loader.dataset) % batches.batch_size:
        return False
    sampler: Any = getattr(batches, "sampler", loader.sampler)
    return type(sampler) in (sequential,) and len(sampler) == len(loader.dataset)


def _items(batch: Any, *, holds_fields: bool) -> Iterator[Any]:
    """Yield the items of a batch; torch puts them together as fields of lists and tensors."""
    if isinstance(batch, Mapping):
        names = list(batch)
        yield from (dict(zip(names, values, strict=True)) for values in _by_item(list(batch.values())))
    elif holds_fields and _is_list_of_lists(batch):
        yield from _by_item(list(batch))
    elif isinstance(batch, Iterable) and not isinstance(batch, str):
        yield from _values(batch)
    else:
        raise DataError(
            f"a batch of the DataLoader is one {type_name(batch)}; a list, a dict or a tensor is needed: "
            "hand in loader.dataset"
        )


def _is_list_of_lists(batch: Any) -> bool:
    if not isinstance(batch, tuple | list) or not batch:
        return False
    return all(is_tensor(field) or isinstance(field, tuple | list) for field in batch)


def _by_item(fields: Sequence[Any]) -> Iterator[tuple[Any, ...]]:
    columns = [_values(field) for field in fields]
    if len({len(column) for column in columns}) > 1:
        raise DataError("the fields of a batch of the DataLoader differ in length; hand in loader.dataset")
    yield from zip(*columns, strict=True)


def _values(field: Any) -> list[Any]:
    return field.tolist() if is_tensor(field) and field.ndim == 1 else list(field)


def _torch_type(name: str) -> type | None:
    """Return a class of torch; None before torch is imported, as nobody can hold an object of it then."""
    found: Any = sys.modules.get("torch")
    for part in name.split("."):
        found = getattr(found, part, None)
    return found if isinstance(found, type) else None
