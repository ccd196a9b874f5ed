"""`StoredBackbone`: a backbone that looks into a feature store before it runs its model.

Whatever the caller wants, a row that is computed is computed whole, so that the next caller finds all heads
and the final hidden state.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from savs._progress import progress_bar
from savs.backbones import Backbone, Extraction, JSONValue
from savs.backbones._canary import environment_of
from savs.backbones._identity import RECORDED_ONLY, differing
from savs.backbones.base import RunReport
from savs.backbones.option_likelihood import OptionLogLikelihood, as_scorer
from savs.cache._keys import feature_keys, store_identity
from savs.data import ErrorLimit, Example
from savs.errors import BackboneError, ItemError
from savs.layout import EarlyExit, Head, HeadLayout
from savs.media._hashes import hashed_once

if TYPE_CHECKING:
    from savs.cache.feature_store import FeatureStore

__all__ = ["Counts", "StoredBackbone", "with_store"]


# One call of a backbone with a store: what is wanted, what is stored, and how many rows were computed.

Rows = NDArray[np.float32]


@dataclass
class Counts:
    """How many rows came from a store, and how many were computed.

    Attributes
    ----------
    examples : int
        Examples handed in.
    stored : int
        Those whose row was in the store.
    computed : int
        Rows that the model computed; examples with the same content share one.
    """

    examples: int = 0
    stored: int = 0
    computed: int = 0

    def __add__(self, other: Counts) -> Counts:
        """Return both together."""
        return Counts(
            self.examples + other.examples, self.stored + other.stored, self.computed + other.computed
        )


@dataclass
class _Call:
    """One call of `extract` or `fill`: what is wanted, and the rows and errors so far, by position."""

    examples: Sequence[Example]
    columns: NDArray[np.intp]
    states_wanted: bool
    limit: ErrorLimit
    features: Rows | None = None  # None where nothing is handed back
    states: Rows | None = None
    done: NDArray[np.bool_] = field(init=False)
    errors: dict[int, ItemError] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.done = np.zeros(len(self.examples), bool)

    def put(self, positions: Sequence[int], features: Rows, states: Rows | None) -> None:
        """Take in rows of the wanted heads."""
        if not positions or self.features is None:
            return
        self.features[positions] = features
        self.done[positions] = True
        if states is not None:
            if self.states is None:
                self.states = np.empty((len(self.examples), states.shape[1]), np.float32)
            self.states[positions] = states

    def put_errors(self, errors: Mapping[int, ItemError]) -> None:
        """Take in errors in the order of the examples, each under the name of its own example."""
        for index, error in sorted(errors.items()):
            self.errors[index] = self.limit.count(error, self.examples[index].id or str(index))


def _named(example: Example, index: int) -> Example:
    """Return an example with its place for an id if it has none."""
    return example if example.id else replace(example, id=str(index))


def _selected(layout: HeadLayout, heads: Sequence[Head] | None) -> tuple[HeadLayout, NDArray[np.intp]]:
    """Return the wanted heads and their columns, or raise what a backbone raises for wrong ones."""
    try:
        wanted = layout if heads is None else layout.select(heads)
        return wanted, layout.column_indices(wanted.heads)
    except KeyError as error:
        raise BackboneError(f"this backbone has no head {tuple(error.args[0])}") from None
    except ValueError as error:
        raise BackboneError(f"the wanted heads cannot be used: {error}") from None


# `StoredBackbone`: a backbone that looks into a feature store before it runs its model.

_PATIENCE = 60.0  # seconds of work that may wait in memory for its part to fill up

_Keys = dict[int, bytes | None]  # by position of the example


class StoredBackbone:
    """A `Backbone` around another one and a `FeatureStore` of its vectors; see `with_store`.

    Attributes that are not listed are those of the backbone inside.

    Parameters
    ----------
    backbone : Backbone
    store : FeatureStore
        Opened with ``store_identity(backbone.fingerprint)`` and the backbone's layout.

    Attributes
    ----------
    backbone, store
        As given.
    keeps_states : bool
        Whether the final hidden states of new rows are kept too, if the store may hold them.
    last, total : Counts
        Of the last call of `extract`, and of all calls.
    report : RunReport
        How the rows that the last call of `extract` had to compute went through the model.
    """

    def __init__(self, backbone: Backbone, store: FeatureStore) -> None:
        self.backbone = backbone
        self.store = store
        self.keeps_states = True
        self._held = False
        self._checked: tuple[Mapping[str, JSONValue], dict[str, Any]] | None = None
        self.last, self.total = Counts(), Counts()
        self.report = RunReport()

    @property
    def layout(self) -> HeadLayout:
        """The heads of a full feature row."""
        return self.backbone.layout

    @property
    def fingerprint(self) -> Mapping[str, JSONValue]:
        """That of the backbone inside."""
        return self.backbone.fingerprint

    @property
    def modalities(self) -> frozenset[str]:
        """The content parts that the model reads."""
        return self.backbone.modalities

    @property
    def n_computed(self) -> int:
        """Rows that the model computed in the last call of `extract`."""
        return self.last.computed

    @property
    def n_stored(self) -> int:
        """Examples of the last call of `extract` whose row was in the store."""
        return self.last.stored

    def __getattr__(self, name: str) -> Any:
        # Copying and unpickling ask before `backbone` is there.
        if name == "backbone" or name.startswith("__"):
            raise AttributeError(name)
        return getattr(self.backbone, name)

    def __deepcopy__(self, _memo: dict[int, Any]) -> Self:
        return self  # as the backbone inside

    def __reduce__(self) -> tuple[Callable[..., Any], tuple[Any, ...], dict[str, Any]]:
        kept = {"keeps_states": self.keeps_states, "total": self.total}
        return with_store, (self.backbone, self.store.folder), kept

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.backbone!r}, {str(self.store.folder)!r})"

    @hashed_once()
    def extract(
        self,
        examples: Sequence[Example],
        heads: Sequence[Head] | None = None,
        *,
        max_errors: int = 0,
        progress: bool = False,
        states: bool = False,
    ) -> Extraction:
        """Return head vectors: stored ones from the store, all others from the model.

        Missing vectors are computed in chunks of ``store.part_rows`` examples, for the heads of all layers.
        Rows are written to the store when a part is full or has waited for a minute, so a process that is
        killed loses at most one part. The remaining rows are written at the end, also after an exception (in
        a `holding` block: at the end of the block). Stored vectors equal the computed ones bit for bit.

        Parameters
        ----------
        examples : sequence of Example
            Labels are not read.
        heads : sequence of Head, optional
            The heads to return, in this order; all heads of `layout` by default. The store
            keeps all heads, whichever are returned.
        max_errors : int, default=0
            How many examples may fail before an error is raised; -1 means any number.
        progress : bool, default=False
            Show a progress bar when the work takes longer than two seconds and stderr is a terminal.
        states : bool, default=False
            Also return the decoder's final hidden states.

        Returns
        -------
        Extraction
            ``features`` is float32 of shape (n_ok, width), one row per example that could be read. The width
            is that of ``layout.select(heads)``. ``states`` is float32 of shape (n_ok, hidden_size), or None.

        Raises
        ------
        ItemError
            When more than `max_errors` examples cannot be read. This includes examples with stored vectors
            whose files have become unreadable.
        BackboneError
            If the model fails, or one of `heads` does not exist.
        StoreError
            If the store cannot be written and was opened with ``on_full="raise"``.
        """
        (layout, columns), n = _selected(self.layout, heads), len(examples)
        features = np.empty((n, layout.width), np.float32)
        call = _Call(examples, columns, states, ErrorLimit(max_errors), features)
        self.last, self.report = Counts(), RunReport(n_examples=n)
        with self._flushing(), progress_bar(n, "example", progress) as advance:
            for start in range(0, n, self.store.part_rows):
                part = range(start, min(start + self.store.part_rows, n))
                self._read(call, part, layout)
                advance(len(part))
        return self._result(call, features)

    def extract_early(
        self,
        examples: Sequence[Example],
        heads: Sequence[Head] | None,
        exits: Sequence[EarlyExit],  # noqa: ARG002
        *,
        max_errors: int = 0,
        progress: bool = False,
        states: bool = False,
    ) -> Extraction:
        """Return vectors as `extract` does, however early an example is answered: a store keeps whole rows.

        Parameters
        ----------
        examples, heads, max_errors, progress, states
            As for `extract`.
        exits : sequence of EarlyExit
            Not used.
        """
        return self.extract(examples, heads, max_errors=max_errors, progress=progress, states=states)

    @hashed_once()
    def fill(self, examples: Sequence[Example], *, max_errors: int = 0) -> dict[int, ItemError]:
        """Compute and store the rows that the store lacks; those that it has are not read.

        Parameters
        ----------
        examples : sequence of Example
        max_errors : int, default=0
            How many examples may fail before the error of one more is raised; -1 means any number.

        Returns
        -------
        dict of int to ItemError
            The errors of the examples that could not be read, by position, ascending.

        Raises
        ------
        ItemError, BackboneError, StoreError
            As by `extract`.
        """
        call = _Call(examples, np.empty(0, np.intp), self._wants_states(False), ErrorLimit(max_errors))
        self.last, self.report = Counts(), RunReport(n_examples=len(examples))
        with self._flushing():
            for start in range(0, len(examples), self.store.part_rows):
                self._fill(call, range(start, min(start + self.store.part_rows, len(examples))))
        return call.errors

    @contextmanager
    def holding(self) -> Iterator[None]:
        """Let rows wait for full parts from one call of `extract` or `fill` to the next, up to a minute.

        What is left is written at the end of the block, also after an exception or a signal.
        """
        before, self._held = self._held, True
        try:
            yield
        finally:
            self._held = before
            if not before:
                self.store.flush()

    @contextmanager
    def _flushing(self) -> Iterator[None]:
        try:
            yield
        finally:
            if not self._held:
                self.store.flush()

    def last_layer_states(self, examples: Sequence[Example]) -> Rows:
        """Return the decoder's final hidden states, shape (n_examples, hidden_size); stored if the store may.

        Raises
        ------
        ItemError
            For the first example that cannot be read.
        """
        if self.store.description.states_width is None:
            return self.backbone.last_layer_states(examples)
        found = self.extract(examples, self.layout.heads[:1], states=True).states
        return np.empty((0, self.store.description.states_width), np.float32) if found is None else found

    def generate(self, examples: Sequence[Example], *, max_new_tokens: int = 16) -> list[str]:
        """Return the model's own answer to each example; answers are not stored.

        Parameters
        ----------
        examples : sequence of Example
            Labels are not read.
        max_new_tokens : int, default=16
            Largest number of tokens in an answer.

        Returns
        -------
        list of str
            One answer per example, in the order of the examples.

        Raises
        ------
        ItemError
            For the first example that cannot be read.
        """
        return self.backbone.generate(examples, max_new_tokens=max_new_tokens)

    def option_log_likelihood(
        self,
        examples: Sequence[Example],
        options: Sequence[str],
        *,
        max_errors: int = 0,
        progress: bool = False,
    ) -> OptionLogLikelihood:
        """Return the log likelihood of each option as the beginning of the answer; they are not stored.

        Parameters
        ----------
        examples, options, max_errors, progress
            As for `OptionScorer.option_log_likelihood`.

        Raises
        ------
        ItemError
            When more than `max_errors` examples cannot be read.
        BackboneError
            If the backbone inside cannot give them.
        """
        scorer = as_scorer(self.backbone)
        return scorer.option_log_likelihood(examples, options, max_errors=max_errors, progress=progress)

    def _keys(self, call: _Call, part: range) -> _Keys:
        examples = [call.examples[index] for index in part]
        keys = feature_keys(self.backbone, examples, self._identity()) if examples else []
        return dict(zip(part, keys, strict=True))

    def _identity(self) -> Mapping[str, Any]:
        """Return what the keys of this backbone's rows are made of; the store may be checked for that."""
        fingerprint = self.backbone.fingerprint
        if self._checked is None or self._checked[0] != fingerprint:
            self._checked = fingerprint, self._identity_of(fingerprint)
        return self._checked[1]

    def _identity_of(self, fingerprint: Mapping[str, Any]) -> dict[str, Any]:
        recorded, current = self.store.description.fingerprint, json.loads(json.dumps(dict(fingerprint)))
        if differing(recorded, current, (recorded.keys() | current.keys()) - RECORDED_ONLY):
            # The model was changed since, such as by an adapter that is switched off: no canary is its own.
            environment: Any = environment_of(fingerprint)
            return store_identity(fingerprint) | {"environment": environment}
        key = self.store.canaries.key(self.backbone, n_rows=len(self.store))
        return dict(recorded) if key is None else {**recorded, "canary": key}

    def rekey(self, *, accept_drift: bool = False) -> bool:
        """Let the store take vectors of libraries that compute others than those it holds.

        Parameters
        ----------
        accept_drift : bool, default=False
            Serve the rows that are there to these libraries too. By default theirs are kept beside them: what
            is needed is computed again, and the old libraries still find their own.

        Returns
        -------
        bool
            False if nothing had to be done.

        Raises
        ------
        StoreError
            If the store cannot be written.
        """
        from savs.cache._writing import unwritable

        try:
            return self.store.canaries.rekey(self.backbone, accept_drift=accept_drift)
        except OSError as error:
            raise unwritable(self.store.folder, error) from error

    def _read(self, call: _Call, part: range, layout: HeadLayout) -> None:
        """Find or compute the rows of a chunk."""
        keys = self._keys(call, part)
        counts = Counts(len(part), self._find(call, keys, layout), 0)
        # Counted before the model runs, so that they hold too if it fails.
        self._count(counts)
        left = {index: key for index, key in keys.items() if not call.done[index]}
        if left:
            self._compute(call, left)

    def _fill(self, call: _Call, part: range) -> None:
        """Compute the rows of a chunk that are not there."""
        keys = self._keys(call, part)
        known = [key for key in keys.values() if key is not None]
        missing = set(self.store.missing(known, states=call.states_wanted))
        left = {index: key for index, key in keys.items() if key is None or key in missing}
        self._count(Counts(len(part), len(part) - len(left), 0))
        if left:
            self._compute(call, left)

    def _wants_states(self, asked: bool) -> bool:
        return asked or (self.keeps_states and self.store.description.states_width is not None)

    def _find(self, call: _Call, keys: _Keys, layout: HeadLayout) -> int:
        """Take in the rows that the store has, and return how many."""
        if call.states_wanted and self.store.description.states_width is None:
            return 0
        known = {index: key for index, key in keys.items() if key is not None}
        got = self.store.get(list(known.values()), layout.heads, states=call.states_wanted)
        places = [index for index, found in zip(known, got.found, strict=True) if found]
        call.put(places, got.features[got.found], None if got.states is None else got.states[got.found])
        return len(places)

    def _compute(self, call: _Call, left: _Keys) -> None:
        """Run the model on each content once, store the rows, and hand them to all examples with it."""
        alike: dict[bytes | int, list[int]] = {}
        for index, key in left.items():
            alike.setdefault(index if key is None else key, []).append(index)
        groups = list(alike.values())
        wants = self._wants_states(call.states_wanted)
        # Errors are named after the example's place among all, not among those that are left.
        asked = [_named(call.examples[group[0]], group[0]) for group in groups]
        found = self.backbone.extract(asked, None, max_errors=call.limit.left, states=wants)
        self._add_report(len(found.indices))
        self._count(Counts(computed=len(found.indices)))
        done = [groups[row] for row in found.indices.tolist()]
        self._keep(found, [left[group[0]] for group in done])
        self._hand_out(call, found, done)
        call.put_errors(_errors_of_groups(groups, found))

    def _keep(self, found: Extraction, keys: Sequence[bytes | None]) -> None:
        rows = [row for row, key in enumerate(keys) if key is not None]
        # Chunks are never torn: a later run computes whole ones again, in the same batches.
        if self.store.space < len(rows):
            self.store.flush()
        kept_states = found.states if self.store.description.states_width is not None else None
        self.store.append(
            [key for key in keys if key is not None],
            found.features[rows],
            None if kept_states is None else kept_states[rows],
        )
        if self.store.waiting_seconds > _PATIENCE:
            self.store.flush()

    def _hand_out(self, call: _Call, found: Extraction, groups: Sequence[Sequence[int]]) -> None:
        if call.features is None:
            return
        places = [index for group in groups for index in group]
        rows = np.asarray([row for row, group in enumerate(groups) for _ in group], dtype=np.intp)
        states = found.states[rows] if call.states_wanted and found.states is not None else None
        call.put(places, found.features[np.ix_(rows, call.columns)], states)

    def _result(self, call: _Call, features: Rows) -> Extraction:
        indices = np.flatnonzero(call.done)
        states = call.states
        if call.states_wanted and states is None:
            states = self.backbone.last_layer_states([])  # of no rows, but as wide as any
        if len(indices) < len(call.examples):
            features = features[indices]
            states = None if states is None or not len(states) else states[indices]
        return Extraction(features, indices, list(call.errors.values()), states)

    def _count(self, counts: Counts) -> None:
        self.last, self.total = self.last + counts, self.total + counts

    def _add_report(self, n_computed: int) -> None:
        """Add the backbone's report on its last call."""
        part = getattr(self.backbone, "report", RunReport(n_forward=n_computed))
        for name in ("n_forward", "n_prefixes", "n_reused", "n_out_of_memory"):
            setattr(self.report, name, getattr(self.report, name) + getattr(part, name))
        self.report.batch_size = part.batch_size
        self.report.prefix_failure = self.report.prefix_failure or part.prefix_failure
        self.report.checked |= part.checked


def _errors_of_groups(groups: Sequence[Sequence[int]], found: Extraction) -> dict[int, ItemError]:
    """Return the error of each content that was not read, by position of every example that has it."""
    unread = np.delete(np.arange(len(groups)), found.indices).tolist()
    return {
        index: error if index == groups[row][0] else type(error)(error.message, code=error.code)
        for row, error in zip(unread, found.errors, strict=True)
        for index in groups[row]
    }


# `with_store`: a backbone and the folder where its vectors are kept.


def with_store(
    backbone: Backbone,
    folder: str | os.PathLike[str],
    *,
    on_full: Literal["warn", "raise"] = "warn",
    part_rows: int | None = None,
) -> StoredBackbone:
    """Return a backbone that keeps its vectors, as float32, in a folder; one that does already is returned.

    Parameters
    ----------
    backbone : Backbone
        If it has another store, that one is left.
    folder : path
        Made if it is not there; it may hold final hidden states then.
    on_full, part_rows
        As for `savs.cache.FeatureStore.open`.

    Raises
    ------
    StoreMismatchError
        If the folder holds the features of another backbone, with the entries that differ.
    StoreError
        If it holds something else.
    DriftError
        At the first use, if the installed libraries compute other vectors than those in the folder.

    Warns
    -----
    StoreWarning
        Once, if the folder cannot be written: the run goes on and keeps nothing.
    DriftWarning
        At the first use, if an older savs filled the folder, so that this cannot be told.

    Examples
    --------
    >>> import tempfile
    >>> from savs.backbones.fake import FakeBackbone
    >>> from savs.data import as_examples
    >>> backbone = with_store(FakeBackbone(), tempfile.mkdtemp())
    >>> for text in ("red", "red"):
    ...     _ = backbone.extract(as_examples([text]))
    ...     print(backbone.n_computed, backbone.n_stored)
    1 0
    0 1
    """
    from savs.cache._description import read_description
    from savs.cache.feature_store import FeatureStore

    if isinstance(backbone, StoredBackbone):
        if backbone.store.folder.resolve() == Path(folder).resolve():
            return backbone
        backbone = backbone.backbone
    there = read_description(Path(folder)) if Path(folder).is_dir() else None
    store = FeatureStore.open(
        folder,
        store_identity(backbone.fingerprint),
        backbone.layout,
        dtype="float32",
        states_width=backbone.last_layer_states([]).shape[1] if there is None else there.states_width,
        on_full=on_full,
        part_rows=part_rows,
    )
    return StoredBackbone(backbone, store)
