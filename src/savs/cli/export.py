"""``savs export``: rows of a feature store in one NumPy or Parquet file, with ids and labels."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, NamedTuple

import click

from savs.cli._inputs import Source, in_chunks
from savs.cli._options import (
    PathName,
    backbone_options,
    data_argument,
    data_options,
    error_options,
    example_help,
    heads_of,
    output_options,
)
from savs.cli._output import print_json
from savs.cli._prompt_options import one_prompt_option
from savs.cli._results import check_new_file, report_counts
from savs.cli._session import ITEM_ERRORS, Session, pass_session, remark
from savs.cli._tables import whole_output
from savs.errors import DataError

if TYPE_CHECKING:
    import numpy as np
    import pyarrow as pa
    from numpy.typing import NDArray

    from savs.backbones import PromptTemplate
    from savs.cache import FeatureStore, StoredBackbone
    from savs.data import DataSource, ErrorLedger, Label, ReadOptions
    from savs.layout import Head, HeadLayout

__all__ = ["export"]

_ROWS_AT_ONCE = 512


def _file_name(_context: click.Context, _option: click.Parameter, path: Path) -> Path:
    if path.suffix.lower() not in {".npz", ".parquet"}:
        raise click.BadParameter(f"{path.name}: features are written as .npz or .parquet")
    return path


@click.command(
    short_help="Write rows of a feature store to a NumPy or Parquet file.",
    epilog=example_help(
        "savs export my-store -o features.npz",
        'savs export my-store train.csv -b tiny --prompt "What is it?" -o train.parquet',
    ),
)
@click.argument("folder", metavar="STORE", type=PathName(exists=True, file_okay=False))
@data_argument("data", required=False)
@click.option(
    "--output",
    "-o",
    required=True,
    type=PathName(dir_okay=False),
    callback=_file_name,
    help="File for the rows: .npz or .parquet.",
)
@click.option("--backbone", "-b", metavar="NAME", help="With DATA: the backbone of the store.")
@one_prompt_option("With DATA: question for the model, as in savs fit.")
@click.option(
    "--heads-of",
    "heads_from",
    type=PathName(),
    metavar="CLASSIFIER",
    help="Write only the heads that this saved classifier uses.",
)
@click.option("--states", is_flag=True, help="Write the final hidden states too.")
@error_options()
@data_options()
@backbone_options(store=False)
@output_options()
@pass_session
def export(
    session: Session,
    /,
    folder: Path,
    data: DataSource | None,
    output: Path,
    backbone: str | None,
    prompt: str | None,
    heads_from: Path | None,
    states: bool,
    max_errors: int,
    reading: ReadOptions,
    loading: dict[str, Any],
) -> int:
    """Write rows of a feature store to a file that NumPy, pandas and others read.

    A store knows neither ids nor labels, only keys. Without DATA, all its rows are written, with their keys
    and in no particular order; no model is loaded. With DATA, the rows of these examples are written in their
    order, with ids and labels; what the store lacks is computed and added, as by savs extract.

    A .npz file has the arrays features (n, width), keys, ids, labels (if every example has one), heads
    (n_heads, 4: layer, head, first column, number of columns), about (JSON) and states. A .parquet file has a
    column for each but heads and about, which are the JSON of its metadata entry savs. docs/store.md shows
    how to read both.

    --json prints {"output", "n", "width", "n_heads", "n_errors", ...}.
    """
    from savs.cache import FeatureStore
    from savs.data import ErrorLedger
    from savs.data._sources import expanded

    if data is None and (backbone is not None or prompt is not None):
        raise click.UsageError("--backbone and --prompt are for DATA; without it all rows are written")
    if data is not None and backbone is None:
        raise click.UsageError("with DATA, name the backbone of the store: -b")
    check_new_file(output, *([] if data is None else expanded(data)), outside=[folder])
    store = FeatureStore.existing(folder)
    if states and store.description.states_width is None:
        raise click.BadParameter(f"{folder} holds no final hidden states", param_hint="--states")
    layout = _selected(store.description.layout, heads_of(heads_from))
    ledger = ErrorLedger(max_errors)
    if data is None:
        blocks, kind, counts = _all_rows(store, layout, states), None, None
    else:
        source = Source(data, reading)
        source.check(max_errors)
        kind = _label_kind(source)
        stored = _stored(store, str(backbone), loading, session)
        blocks = _Reading(stored, source, prompt, layout, states, ledger).blocks()
        counts = stored
    about = _About(layout, dict(store.description.fingerprint), prompt)
    n = _write(output, blocks, about, kind)
    found = {} if counts is None else report_counts(counts.total, session)
    if session.as_json:
        shape = {"n": n, "width": layout.width, "n_heads": layout.n_heads, "n_errors": ledger.n_errors}
        print_json({"output": str(output), **shape, **found})
    elif not session.quiet:
        failed = f", {ledger.n_errors} examples with errors" if ledger.n_errors else ""
        remark(f"{n} rows of {layout.width} columns ({layout.n_heads} heads) in {output}{failed}")
    return ITEM_ERRORS if ledger.n_errors else 0


def _selected(layout: HeadLayout, heads: Sequence[tuple[int, int]] | None) -> HeadLayout:
    if heads is None:
        return layout
    try:
        return layout.select(heads)
    except KeyError as error:
        raise click.BadParameter(
            f"the store has no head {tuple(error.args[0])}; the classifier is another backbone's",
            param_hint="--heads-of",
        ) from None


# Rows of the store, in blocks.


class _Block(NamedTuple):
    """Some rows; ids and labels are None where only keys are known."""

    features: NDArray[np.float32]
    keys: list[bytes]
    ids: list[str] | None
    labels: list[Label | None] | None
    states: NDArray[np.float32] | None


def _all_rows(store: FeatureStore, layout: HeadLayout, states: bool) -> Iterator[_Block]:
    keys = store.keys()
    for start in range(0, len(keys), _ROWS_AT_ONCE):
        some = keys[start : start + _ROWS_AT_ONCE]
        rows = store.get(some, layout.heads, states=states)
        known = [key for key, found in zip(some, rows.found, strict=True) if found]
        kept = None if rows.states is None else rows.states[rows.found]
        yield _Block(rows.features[rows.found], known, None, None, kept)


def _stored(store: FeatureStore, backbone: str, loading: dict[str, Any], session: Session) -> StoredBackbone:
    from savs.backbones import load_backbone
    from savs.cache import with_store

    model = load_backbone(backbone, progress=session.progress, **loading)
    return with_store(model, store.folder, on_full="raise")


def _label_kind(source: Source) -> type | None:
    """Return the type of the labels; None if there is none. Labels of several types are refused."""
    from savs.data import ErrorLedger, check_labels

    firsts: dict[type, Any] = {}
    for _, example in source.rows(ErrorLedger(-1)):
        if example.label is not None:
            firsts.setdefault(type(example.label), example.label)
    check_labels(list(firsts.values()))
    return next(iter(firsts), None)


@dataclass
class _Reading:
    """Reads the rows of examples, from the store where it has them."""

    stored: StoredBackbone
    source: Source
    prompt: str | None
    layout: HeadLayout
    states: bool
    ledger: ErrorLedger
    _template: PromptTemplate | None = field(init=False)

    def __post_init__(self) -> None:
        from savs.backbones import PromptTemplate

        self._template = None if self.prompt is None else PromptTemplate(self.prompt)

    def blocks(self) -> Iterator[_Block]:
        """Yield the rows in the order of the data; the ledger notes examples that cannot be read."""
        from savs.cache import feature_keys
        from savs.data import Example

        heads: Sequence[Head] = self.layout.heads
        with self.stored.holding():
            for chunk in in_chunks(self.source.rows(self.ledger), self.ledger):
                examples = {index: item for index, item in chunk.items() if isinstance(item, Example)}
                if self._template is not None:
                    examples = self.ledger.collect(self._template.apply, examples)
                positions, items = list(examples), list(examples.values())
                found = self.stored.extract(items, heads, max_errors=self.ledger.left, states=self.states)
                rows = found.indices.tolist()
                self.ledger.note_rest(examples, {positions[row] for row in rows}, found.errors)
                self.ledger.hand_over()
                read = [items[row] for row in rows]
                keys = [key for key in feature_keys(self.stored.backbone, read) if key is not None]
                labels = [example.label for example in read]
                yield _Block(found.features, keys, [str(one.id) for one in read], labels, found.states)


# The files.


class _About(NamedTuple):
    """What the columns are, and where they come from."""

    layout: HeadLayout
    fingerprint: Mapping[str, Any]
    prompt: str | None

    def heads(self) -> list[list[int]]:
        """Return layer, head, first column and number of columns of each head."""
        places = [(head, self.layout.columns(head)) for head in self.layout.heads]
        return [[head.layer, head.index, at.start, at.stop - at.start] for head, at in places]

    def as_json(self, **more: Any) -> str:
        """Return it as JSON."""
        return json.dumps({"fingerprint": dict(self.fingerprint), "prompt": self.prompt, **more})


def _write(path: Path, blocks: Iterator[_Block], about: _About, kind: type | None) -> int:
    """Write the file, whole or not at all, and return the number of rows."""
    write = _write_npz if path.suffix.lower() == ".npz" else _write_parquet
    with whole_output(path) as file:
        n = write(file, blocks, about, kind)
        if not n:
            raise DataError("there are no rows to write")
    return n


def _write_npz(file: IO[bytes], blocks: Iterator[_Block], about: _About, kind: type | None) -> int:
    import numpy as np

    found = list(blocks)
    features = np.concatenate([np.empty((0, about.layout.width), np.float32), *(b.features for b in found)])
    arrays: dict[str, Any] = {
        "features": features,
        "keys": np.array([key.hex() for block in found for key in block.keys], dtype="U64"),
        "heads": np.array(about.heads(), dtype=np.int64).reshape(-1, 4),
        "about": np.array(about.as_json()),
    }
    if any(block.ids is not None for block in found):
        arrays["ids"] = np.array([id for block in found for id in block.ids or ()])
        labels = [label for block in found for label in block.labels or ()]
        if kind is not None and None not in labels:
            arrays["labels"] = np.array(labels)
    if any(block.states is not None for block in found):
        arrays["states"] = np.concatenate([block.states for block in found if block.states is not None])
    np.savez(file, **arrays)
    return len(features)


def _write_parquet(file: IO[bytes], blocks: Iterator[_Block], about: _About, kind: type | None) -> int:
    import pyarrow.parquet as pq

    writer, n = None, 0
    try:
        for table in _row_groups(_table(block, about, kind) for block in blocks):
            writer = writer or pq.ParquetWriter(file, table.schema, compression="none")
            writer.write_table(table)
            n += table.num_rows
    finally:
        if writer is not None:
            writer.close()
    return n


def _row_groups(tables: Iterable[pa.Table]) -> Iterator[pa.Table]:
    """Yield tables of so many rows that readers are quick."""
    import pyarrow as pa

    waiting: list[pa.Table] = []
    for table in tables:
        waiting.append(table)
        if sum(one.num_rows for one in waiting) >= _ROWS_AT_ONCE:
            yield pa.concat_tables(waiting)
            waiting = []
    if waiting:
        yield pa.concat_tables(waiting)


def _table(block: _Block, about: _About, kind: type | None) -> pa.Table:
    import pyarrow as pa

    kinds = {str: pa.string(), int: pa.int64(), bool: pa.bool_()}
    columns: dict[str, Any] = {}
    if block.ids is not None:
        columns["id"] = pa.array(block.ids, pa.string())
        if kind is not None:
            columns["label"] = pa.array(block.labels, kinds[kind])
    columns["key"] = pa.array([key.hex() for key in block.keys], pa.string())
    columns["features"] = _vectors(block.features)
    if block.states is not None:
        columns["states"] = _vectors(block.states)
    return pa.table(columns).replace_schema_metadata({"savs": about.as_json(heads=about.heads())})


def _vectors(rows: NDArray[np.float32]) -> pa.Array:
    import pyarrow as pa

    return pa.FixedSizeListArray.from_arrays(pa.array(rows.ravel()), rows.shape[1])
