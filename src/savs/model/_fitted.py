"""What a fit leaves in a model: the classifier, the shots, and reading examples through the heads in use."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from savs.artifact import Shot, common_bit_depth, common_sampling
from savs.backbones._canary import Canary
from savs.classifiers import Estimate, HeadChange, HeadClassifier, Method
from savs.classifiers.head_sets import HeadSet
from savs.classifiers.prompt_ensemble import PromptEnsembleClassifier
from savs.data import Example
from savs.errors import DataError
from savs.layout import Head, HeadLayout
from savs.media import Sampling
from savs.model._class_names import option_texts
from savs.model._learning import Learned
from savs.model._parameters import BackboneEstimator
from savs.model._prompts import checked_prompts, reader_with
from savs.model._source import BatchSize, ExampleReader
from savs.model._support_set import SupportSet, warn_of_unlike_inputs


class FittedModel(BackboneEstimator):
    """The attributes of a fitted model; each raises `NotFittedError` before a fit."""

    shots_: list[Shot]
    method_: Method
    head_change_: HeadChange
    _learned: Learned | None
    _support: SupportSet  # in canonical order, as the rows of `out_of_fold_log_proba_`
    _reader: ExampleReader  # of the last fit
    prompts: Sequence[str] | None
    _fingerprint: dict[str, Any]
    _canary: Canary | None

    @property
    def classifier_(self) -> HeadClassifier:
        """The fitted head classifier, on rows of all heads."""
        return self._fitted.classifier

    @property
    def classes_(self) -> NDArray[Any]:
        """The labels, sorted."""
        return np.asarray(self.classifier_.classes_)

    @property
    def heads_(self) -> list[Head]:
        """The heads in use, best first where the method ranks them; then last-layer state and options.

        With several prompts every head that some prompt uses, by layer and index.
        """
        return list(self.classifier_.backbone_heads_)

    @property
    def head_set_(self) -> HeadSet:
        """The heads in use, as an object that other tasks can take."""
        return HeadSet(tuple(head for head in self.heads_ if head.index >= 0), self.layout)

    @property
    def head_scores_(self) -> NDArray[Any] | None:
        """Score of every head in layout order, hits for the published rule; None where none are ranked."""
        return self.classifier_.head_scores_

    @property
    def estimate_(self) -> Estimate | None:
        """Accuracy to expect on new examples, estimated from the shots alone."""
        return self._fitted.estimate

    @property
    def selection_report_(self) -> dict[str, Any]:
        """How stable the choice of heads is, and what an automatic choice compared, chose, and why."""
        return self._fitted.report

    @property
    def video_sampling_(self) -> Sampling | None:
        """Which frames of the shots' videos were read; None without videos, or if in several ways."""
        _ = self._fitted
        return common_sampling(self.shots_)

    @property
    def bit_depth_(self) -> int | None:
        """The bit depth that the shots' images were read with; None if none was named, or several."""
        _ = self._fitted
        return common_bit_depth(self.shots_)

    @property
    def out_of_fold_log_proba_(self) -> NDArray[np.float64]:
        """Log probabilities of held-out shots, sorted by content digest, shape (n_shots, n_classes)."""
        return self._fitted.out_of_fold

    def _new_reader(self) -> ExampleReader:
        """Return what reads examples with the prompt, or prompts, that are set now."""
        return reader_with(self._source, checked_prompts(self.prompt, self.prompts))

    @property
    def row_layout_(self) -> HeadLayout:
        """Layout of the rows that the classifier was fitted on: all heads, and the state if it was read.

        With several prompts their rows stand side by side (`savs.classifiers.prompt_ensemble.PromptRows`).
        """
        return self.classifier_.layout_

    @property
    def layout(self) -> HeadLayout:
        """All heads of the backbone."""
        return (
            self.backbone.layout
            if self._learned is None
            else self.classifier_.backbone_layout_.without_state()
        )

    @property
    def prompt_weights_(self) -> dict[str | None, float]:
        """How much each prompt counts, sum 1: 1 for a single one, which is None without a prompt."""
        classifier, prompts = self.classifier_, self._reader.prompts
        if not isinstance(classifier, PromptEnsembleClassifier):
            return dict.fromkeys(prompts, 1.0)
        return dict(zip(prompts, classifier.weights_.tolist(), strict=True))

    def __sklearn_is_fitted__(self) -> bool:
        return self._learned is not None

    @property
    def _fitted(self) -> Learned:
        if self._learned is None:
            from savs.errors import NotFittedError  # defined there when it is first used

            raise NotFittedError("this SAVModel is not fitted yet: call fit with labeled examples")
        return self._learned

    @property
    def _fitted_reader(self) -> ExampleReader:
        _ = self._fitted
        return self._reader

    def _shots_with_rows(self) -> SupportSet:
        _ = self._fitted, self._support.known_rows()
        return self._support

    def _kept_features(
        self,
        examples: Sequence[Any],
        *,
        batch_size: BatchSize = None,
        progress: bool = False,
        whole: bool = False,
    ) -> NDArray[np.float32]:
        prompted = self._fitted_reader.prompted(examples)
        if not prompted:
            raise DataError("at least one example is required, got 0")
        return self._rows(prompted, batch_size=batch_size, progress=progress, whole=whole)

    def _rows(
        self,
        prompted: Sequence[Example],
        *,
        batch_size: BatchSize = None,
        progress: bool = False,
        whole: bool = False,
    ) -> NDArray[np.float32]:
        """Return rows of the heads in use; NaN above the depth that answers an example, unless `whole`."""
        exits = () if whole else self._fitted.exits
        rows = self._reader.rows(prompted, self.heads_, exits=exits, batch_size=batch_size, progress=progress)
        warn_of_unlike_inputs(self.shots_, prompted)
        return rows

    def _kept_shot_rows(self) -> NDArray[np.float32] | None:
        rows = self._support.rows
        if rows is None or not len(rows):
            return None
        return rows[:, self.row_layout_.column_indices(self.classifier_.heads_)]

    def _log_proba(self, features: NDArray[np.float32]) -> NDArray[np.float64]:
        return self._fitted.restricted.decision_log_proba(features)

    def _keep(
        self,
        method: Method,
        reader: ExampleReader,
        learned: Learned,
        records: list[Shot],
        support: SupportSet,
        *,
        fingerprint: dict[str, Any] | None = None,
        canary: Canary | None = None,
    ) -> None:
        """Take what was learned, from the backbone as it is or, with its `fingerprint`, as it was."""
        if fingerprint is None:
            fingerprint = dict(reader.source.backbone.fingerprint)
        self.method_, self._reader, self._learned = method, reader, learned
        if learned.classifier.layout_.options is not None:
            reader.options = option_texts(learned.classifier.classes_.tolist())
        self.shots_, self._support = records, support
        self._fingerprint, self._canary = fingerprint, canary
