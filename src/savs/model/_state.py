"""What a model holds: its backbone, prompt and method, what it has learned, and the rows it reads."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from savs.artifact import Shot, common_sampling
from savs.backbones import Backbone, Extraction, PromptTemplate
from savs.cache import Counts
from savs.classifiers import Estimate, HeadClassifier, Method
from savs.classifiers.head_sets import HeadSet
from savs.data import ErrorLedger, Example, as_examples
from savs.errors import DataError
from savs.layout import Head, HeadLayout
from savs.media import Sampling
from savs.model._learning import Learned, read_rows
from savs.model._source import BackboneSource
from savs.model._support_set import SupportSet, warn_of_unlike_inputs


class ModelState:
    """What a model holds, and the rows that it reads.

    Attributes
    ----------
    shots_ : list of Shot
        Ids, labels and content digests of the support set, in the order given.
    """

    shots_: list[Shot]
    _learned: Learned
    _support: SupportSet  # in canonical order, as the rows of `out_of_fold_log_proba_`
    _row_layout: HeadLayout
    _fingerprint: dict[str, Any]

    def _set_up(self, source: BackboneSource, prompt: str | None, method: Method) -> None:
        self._source = source
        self._prompt = prompt
        self._template = None if prompt is None else PromptTemplate(prompt)
        self._method = method

    @property
    def backbone(self) -> Backbone:
        """The frozen model; a saved classifier's is loaded and checked when it is first needed."""
        return self._source.backbone

    @property
    def store_counts(self) -> Counts | None:
        """How many examples the store spared so far, all calls together; None without a store."""
        return self._source.store_counts

    @property
    def prompt(self) -> str | None:
        """The prompt template."""
        return self._prompt

    @property
    def method(self) -> Method:
        """The method and its settings, as asked for."""
        return self._method

    def __repr__(self) -> str:
        name = self._source.name
        backbone = repr(name) if isinstance(name, str) else type(name).__name__
        try:
            state = f"{len(self.classes_)} classes, {len(self.heads_)} heads"
        except AttributeError:
            state = "not fitted"
        return f"{type(self).__name__}({backbone}, {self._method.name}, {state}, prompt={self.prompt!r})"

    def head_vectors(
        self, examples: Sequence[Any], heads: Sequence[Head] | None = None
    ) -> NDArray[np.float32]:
        """Return feature rows, shape (n_examples, width), of all heads or the given ones, in that order."""
        return self._extract(examples, heads, ErrorLedger(), progress=False).features

    def _extract(
        self, examples: Sequence[Any], heads: Sequence[Head] | None, ledger: ErrorLedger, *, progress: bool
    ) -> Extraction:
        prompted = self._prompted(placed(examples, ledger), ledger)
        found = read_rows(
            self.backbone, list(prompted.values()), heads, max_errors=ledger.left, progress=progress
        )
        indices = np.asarray(list(prompted), dtype=np.intp)[found.indices]
        ledger.note_rest(prompted, set(indices.tolist()), found.errors)
        self._warn_of_unlike([prompted[index] for index in indices.tolist()])
        return Extraction(found.features, indices, ledger.errors)

    def _rows(self, prompted: Sequence[Example], *, progress: bool) -> NDArray[np.float32]:
        """Return rows of the heads in use for examples that have their prompt."""
        return read_rows(self.backbone, prompted, self.heads_, progress=progress).features

    def _prompted(self, examples: Mapping[int, Example], ledger: ErrorLedger) -> dict[int, Example]:
        """Return the examples as the model reads them, by position."""
        return dict(examples) if self._template is None else ledger.collect(self._template.apply, examples)

    def _kept_features(self, examples: Sequence[Any]) -> NDArray[np.float32]:
        heads, items = self._fitted.heads_, as_examples(examples)
        if not items:
            raise DataError("there are 0 examples; hand in at least one")
        return self.head_vectors(items, heads)

    def _warn_of_unlike(self, examples: Collection[Example]) -> None:
        """Warn if examples have other media than the shots, where there are shots."""
        warn_of_unlike_inputs(getattr(self, "shots_", []), examples)

    @property
    def _codes(self) -> NDArray[np.intp]:
        """Class index of each shot, rows as those of ``out_of_fold_log_proba_``."""
        place = {label: code for code, label in enumerate(self.classes_.tolist())}
        return np.array([place[label] for label in self._support.labels], dtype=np.intp)

    @property
    def _fitted(self) -> HeadClassifier:
        try:
            return self._learned.classifier
        except AttributeError:
            from savs.errors import NotFittedError

            raise NotFittedError("this SAVModel is not fitted yet: call fit with labeled examples") from None

    @property
    def _voters(self) -> HeadClassifier:
        """The classifier on rows of the heads in use only: a query is read no deeper than they stand."""
        return self._fitted.restrict_to(self._fitted.heads_)

    @property
    def classes_(self) -> NDArray[Any]:
        """The labels, sorted."""
        return np.asarray(self._fitted.classes_)

    @property
    def heads_(self) -> list[Head]:
        """The heads in use, best first where the method ranks them; the final state, if in use, is last."""
        return list(self._fitted.heads_)

    @property
    def head_set_(self) -> HeadSet:
        """The heads in use, as an object that other tasks can take."""
        heads = tuple(head for head in self.heads_ if not head.is_state)
        return HeadSet(heads, self.layout)

    @property
    def head_scores_(self) -> NDArray[Any] | None:
        """Score of every head in layout order, hits for the published rule; None where none are ranked."""
        return self._fitted.head_scores_

    @property
    def estimate_(self) -> Estimate | None:
        """What accuracy to expect on new examples, estimated from the shots alone."""
        _ = self._fitted
        return self._learned.estimate

    @property
    def selection_report_(self) -> dict[str, Any]:
        """How stable the choice of heads is, and what an automatic choice compared, chose, and why."""
        _ = self._fitted
        return self._learned.report

    @property
    def video_sampling_(self) -> Sampling | None:
        """Which frames of the shots' videos were read; None without videos, or if in several ways."""
        _ = self._fitted
        return common_sampling(self.shots_)

    @property
    def out_of_fold_log_proba_(self) -> NDArray[np.float64]:
        """Log probabilities of held-out shots, sorted by content digest, shape (n_shots, n_classes)."""
        _ = self._fitted
        return self._learned.out_of_fold

    @property
    def row_layout_(self) -> HeadLayout:
        """Of the feature rows that the classifier was fitted on: all heads, and the state if it was read."""
        _ = self._fitted
        return self._row_layout

    @property
    def layout(self) -> HeadLayout:
        """All heads of the backbone."""
        known = hasattr(self, "_row_layout")
        return self._row_layout.without_state() if known else self.backbone.layout


def placed(examples: Sequence[Any], ledger: ErrorLedger) -> dict[int, Example]:
    """Return the examples that are some, by position; the ledger is new."""
    items = as_examples(examples, ledger=ledger)
    return dict(zip(ledger.kept(len(items)), items, strict=True))
