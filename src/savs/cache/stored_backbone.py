"""`StoredBackbone`: a backbone that looks into a feature store before it runs its model.

Whatever the caller wants, a row that is computed is computed whole, so that the next caller finds all heads
and the final hidden state.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import numpy as np

from savs.backbones.base import Backbone, Extraction, JSONValue, RunReport
from savs.backbones.keys import feature_keys
from savs.backbones.stored.call import Call, Counts, Rows, named, note_all, selected
from savs.examples import Example
from savs.examples.ledger import ErrorLedger
from savs.features import Head, HeadLayout

if TYPE_CHECKING:
    from savs.features.store import FeatureStore

__all__ = ["StoredBackbone"]

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

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.backbone!r}, {str(self.store.folder)!r})"

    def extract(
        self,
        examples: Sequence[Example],
        heads: Sequence[Head] | None = None,
        *,
        max_errors: int = 0,
        progress: bool = False,
        states: bool = False,
    ) -> Extraction:
        """Return head vectors, from the store as far as it has them.

        The others are computed in chunks of ``store.part_rows`` examples, at full depth, and a part is
        written when it is full or has been waiting for a minute: a process that is killed computes again at
        most that. What is left is written at the end, also after an exception. Vectors from the store are,
        bit for bit, those that were computed. See `savs.backbones.base.Backbone.extract`.

        Raises
        ------
        ItemError
            When more than `max_errors` examples cannot be read; those that are in the store count too.
        BackboneError
            If the model fails, or a wanted head does not exist.
        StoreError
            If the store cannot be written and was opened with ``on_full="raise"``.
        """
        (layout, columns), n = selected(self.layout, heads), len(examples)
        features = np.empty((n, layout.width), np.float32)
        call = Call(examples, columns, states, ErrorLedger(max_errors), features)
        self.last, self.report = Counts(), RunReport(n_examples=n)
        with self._flushing(), _bar(n, progress) as bar:
            for start in range(0, n, self.store.part_rows):
                part = range(start, min(start + self.store.part_rows, n))
                self._read(call, part, layout)
                bar.update(len(part))
        return self._result(call, features)

    def fill(self, examples: Sequence[Example], *, max_errors: int = 0) -> ErrorLedger:
        """Compute and store the rows that the store lacks; those that it has are not read.

        Parameters
        ----------
        examples : sequence of Example
        max_errors : int, default=0
            How many examples may fail before the error of one more is raised; -1 means any number.

        Returns
        -------
        ErrorLedger
            The errors of the examples that could not be read, by position.

        Raises
        ------
        ItemError, BackboneError, StoreError
            As by `extract`.
        """
        call = Call(examples, np.empty(0, np.intp), self._wants_states(False), ErrorLedger(max_errors))
        self.last, self.report = Counts(), RunReport(n_examples=len(examples))
        with self._flushing():
            for start in range(0, len(examples), self.store.part_rows):
                self._fill(call, range(start, min(start + self.store.part_rows, len(examples))))
        return call.ledger

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
        """Return the model's own answers; they are not stored."""
        return self.backbone.generate(examples, max_new_tokens=max_new_tokens)

    def _keys(self, call: Call, part: range) -> _Keys:
        keys = feature_keys(self.backbone, [call.examples[index] for index in part])
        return dict(zip(part, keys, strict=True))

    def _read(self, call: Call, part: range, layout: HeadLayout) -> None:
        """Find or compute the rows of a chunk."""
        keys = self._keys(call, part)
        counts = Counts(len(part), self._find(call, keys, layout), 0)
        # Counted before the model runs, so that they hold too if it fails.
        self._count(counts)
        left = {index: key for index, key in keys.items() if not call.done[index]}
        if left:
            self._compute(call, left)

    def _fill(self, call: Call, part: range) -> None:
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

    def _find(self, call: Call, keys: _Keys, layout: HeadLayout) -> int:
        """Take in the rows that the store has, and return how many."""
        if call.states_wanted and self.store.description.states_width is None:
            return 0
        known = {index: key for index, key in keys.items() if key is not None}
        got = self.store.get(list(known.values()), layout.heads, states=call.states_wanted)
        places = [index for index, found in zip(known, got.found, strict=True) if found]
        call.put(places, got.features[got.found], None if got.states is None else got.states[got.found])
        return len(places)

    def _compute(self, call: Call, left: _Keys) -> None:
        """Run the model on each content once, store the rows, and hand them to all examples with it."""
        alike: dict[bytes | int, list[int]] = {}
        for index, key in left.items():
            alike.setdefault(index if key is None else key, []).append(index)
        groups = list(alike.values())
        wants = self._wants_states(call.states_wanted)
        # Errors are named after the example's place among all, not among those that are left.
        asked = [named(call.examples[group[0]], group[0]) for group in groups]
        found = self.backbone.extract(asked, None, max_errors=call.ledger.left, states=wants)
        self._add_report(len(found.indices))
        self._count(Counts(computed=len(found.indices)))
        done = [groups[row] for row in found.indices.tolist()]
        self._keep(found, [left[group[0]] for group in done])
        self._hand_out(call, found, done)
        rest = np.delete(np.arange(len(groups)), found.indices).tolist()
        note_all(call, list(zip((groups[row] for row in rest), found.errors, strict=True)))

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

    def _hand_out(self, call: Call, found: Extraction, groups: Sequence[Sequence[int]]) -> None:
        if call.features is None:
            return
        places = [index for group in groups for index in group]
        rows = np.asarray([row for row, group in enumerate(groups) for _ in group], dtype=np.intp)
        states = found.states[rows] if call.states_wanted and found.states is not None else None
        call.put(places, found.features[np.ix_(rows, call.columns)], states)

    def _result(self, call: Call, features: Rows) -> Extraction:
        indices = np.flatnonzero(call.done)
        states = call.states
        if call.states_wanted and states is None:
            states = self.backbone.last_layer_states([])  # of no rows, but as wide as any
        if len(indices) < len(call.examples):
            features = features[indices]
            states = None if states is None or not len(states) else states[indices]
        return Extraction(features, indices, call.ledger.errors, states)

    def _count(self, counts: Counts) -> None:
        self.last, self.total = self.last + counts, self.total + counts

    def _add_report(self, n_computed: int) -> None:
        """Add what the backbone says of its last call."""
        part = getattr(self.backbone, "report", RunReport(n_forward=n_computed))
        for name in ("n_forward", "n_prefixes", "n_reused", "n_out_of_memory"):
            setattr(self.report, name, getattr(self.report, name) + getattr(part, name))
        self.report.batch_size = part.batch_size
        self.report.prefix_failure = self.report.prefix_failure or part.prefix_failure
        self.report.checked |= part.checked


@contextmanager
def _bar(total: int, progress: bool) -> Iterator[Any]:
    """Show a bar on stderr if asked to, stderr is a terminal and it takes longer than two seconds."""
    from tqdm import tqdm

    with tqdm(total=total, unit="example", delay=2, disable=None if progress else True, leave=False) as bar:
        yield bar
