"""`MultiLabelModel`: several labels per example, one yes/no classifier each, one pass for all of them."""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal, Self, overload

import numpy as np
from numpy.typing import NDArray

from savs._labels import key_of, warn_of_unknown_labels
from savs.artifact import LABELS_INDEX_NAME, Shot
from savs.backbones import Backbone
from savs.classifiers import HeadClassifier, Method
from savs.classifiers._validation import check_label_types
from savs.classifiers.head_scoring import rank_heads
from savs.data import Example, Label, as_examples
from savs.data._containers import warn_of_another_order
from savs.data._label_sets import as_label_sets
from savs.data.coercion import with_labels_apart
from savs.errors import ArtifactError, DataError, ExampleError
from savs.layout import Head
from savs.media import Sampling
from savs.model._drift import probes_read_once
from savs.model._parameters import BackboneEstimator
from savs.model._saving import given_settings
from savs.model._source import BackboneSource, ExampleReader, Named, saved_together
from savs.model._support_set import SupportSet, warn_of_unlike_inputs
from savs.model.predictions import MultiLabelPredictions
from savs.model.sav_model import SAVModel

__all__ = ["MultiLabelModel"]

INDEX_NAME = LABELS_INDEX_NAME
_FORMAT = "savs labels 1"


class MultiLabelModel(BackboneEstimator):
    """Few-shot classifier for examples that have any number of labels: one-vs-rest over the same heads.

    Parameters
    ----------
    backbone : Backbone, str or Path
        As for `SAVModel`.
    prompt : str, optional
        As for `SAVModel`.
    method : str, default="mean_proba"
        As for `SAVModel`, but not ``"sav"``, whose vote shares are not probabilities of a label, and none
        that reads class names. Methods that keep a number of heads keep the same ones for all labels: those
        with the best mean score over the labels.
    n_heads : int, optional
        As for `SAVModel`.
    store : path, optional
        As for `SAVModel`.

    Attributes
    ----------
    labels_ : list of label
        All labels, sorted.
    models_ : list of SAVModel
        One per label, with the classes False and True; each has its own ``estimate_``.

    Examples
    --------
    >>> from savs.backbones.fake import FakeBackbone
    >>> model = MultiLabelModel(FakeBackbone(), method="mean_proba_all")
    >>> texts, labels = ["red car", "red bus", "car", "tree"], [{"red", "car"}, {"red"}, {"car"}, set()]
    >>> model.fit(texts, labels).predict(["red car"])
    [['car', 'red']]
    """

    labels_: list[Label]
    models_: list[SAVModel]
    separator: str | None = None  # between two labels in the files of the commands

    def __init__(
        self,
        backbone: Backbone | BackboneSource | str | os.PathLike[str],
        *,
        prompt: str | None = None,
        method: str | HeadClassifier = "mean_proba",
        n_heads: int | str | None = None,
        store: str | os.PathLike[str] | None = None,
    ) -> None:
        self.store = store
        self.backbone = backbone
        self.prompt = prompt
        self.method = method
        self.n_heads = n_heads
        self._asked()

    def __repr__(self) -> str:
        state = f"{len(self.labels_)} labels" if self.__sklearn_is_fitted__() else "not fitted"
        return f"{type(self).__name__}({self._asked().name}, {state}, prompt={self.prompt!r})"

    def __sklearn_is_fitted__(self) -> bool:
        return hasattr(self, "models_")

    def fit(
        self,
        examples: Sequence[Any],
        labels: Any = None,
        *,
        classes: Sequence[Label] | None = None,
        progress: bool = False,
    ) -> Self:
        """Learn from examples and the labels of each; one forward pass per example in total.

        Parameters
        ----------
        examples : sequence
            Anything that `as_examples` takes.
        labels : sequence of collection of label, or indicator matrix, optional
            The labels of each example; may be empty for some. Or 0 and 1 for each example and label, shape
            (n_examples, n_labels): an array or sparse matrix with `classes`, or a DataFrame, whose columns
            are the labels. By default the examples' own: `Example.labels`, or the lists in the column
            ``label`` of rows.
        classes : sequence of label, optional
            All labels; of a matrix the labels of its columns, in order.
        progress : bool, default=False
            Show a progress bar.

        Raises
        ------
        ItemError
            If an example cannot be read, or its labels are missing or no labels.
        DataError
            If there are not as many sets of labels as examples, labels are of mixed types, a label is on all
            examples or on none, the same content has different labels, or a matrix of 0 and 1 comes without
            the names of its columns.
        """
        method, reader = self._asked(), ExampleReader(self._source, self.prompt)
        warn_of_another_order(examples, labels)
        items, own = with_labels_apart(examples)
        shots = reader.prompted(items)
        sets, names = _checked(shots, own if labels is None else labels, classes)
        marked = [replace(shot, label=names[0] in own) for shot, own in zip(shots, sets, strict=True)]
        records, rows = reader.read_shots(marked, method, progress=progress)
        _check_contents(records, sets)
        supports = [_support(records, rows, sets, name) for name in names]
        models = [_fitted_on(support, method, reader) for support in supports]
        common = _common_heads(models)
        if common is not None:
            chosen = Method(method.name, heads=common, parameters=method.parameters)
            models = [_fitted_on(support, chosen, reader) for support in supports]
        self.labels_, self.models_ = names, models
        return self

    def predict_proba(self, examples: Sequence[Any], *, progress: bool = False) -> NDArray[np.float64]:
        """Return the probability of each label.

        Parameters
        ----------
        examples : sequence
            Anything that `as_examples` takes.
        progress : bool, default=False
            Show a progress bar.

        Returns
        -------
        ndarray of float64, shape (n_examples, n_labels)
            Columns as ``labels_``.
        """
        models = self._models
        reader = models[0]._reader
        prompted = reader.prompted(with_labels_apart(examples)[0])
        if not prompted:
            raise DataError("at least one example is required, got 0")
        warn_of_unlike_inputs(models[0].shots_, prompted)
        return self._shares(reader.rows(prompted, self._heads, progress=progress))

    @overload
    def predict(
        self, examples: Sequence[Any], *, on_error: Literal["raise"] = ..., progress: bool = ...
    ) -> list[list[Label]]: ...

    @overload
    def predict(
        self,
        examples: Sequence[Any],
        *,
        on_error: Literal["collect"],
        max_errors: int = ...,
        progress: bool = ...,
    ) -> MultiLabelPredictions: ...

    def predict(
        self,
        examples: Sequence[Any],
        *,
        on_error: Literal["raise", "collect"] = "raise",
        max_errors: int = -1,
        progress: bool = False,
    ) -> list[list[Label]] | MultiLabelPredictions:
        """Return the labels of each example: those whose probability is above one half.

        Parameters
        ----------
        examples, on_error, max_errors, progress
            As for `SAVModel.predict`.

        Raises
        ------
        ItemError
            If an example cannot be read; for ``"collect"``, if more than `max_errors` cannot.
        """
        if on_error == "raise":
            return self._above_half(self.predict_proba(examples, progress=progress))
        if on_error != "collect":
            raise ValueError(f"on_error must be 'raise' or 'collect', got {on_error!r}")
        models, heads = self._models, self._heads
        found, read = models[0]._reader.rows_or_errors(
            with_labels_apart(examples)[0], heads, max_errors=max_errors, progress=progress
        )
        warn_of_unlike_inputs(models[0].shots_, read)
        shares = self._shares(found.features)
        return MultiLabelPredictions(found.indices, self._above_half(shares), shares, found.errors)

    def score(
        self, examples: Sequence[Any], labels: Any = None, *, classes: Sequence[Label] | None = None
    ) -> float:
        """Return the share of examples whose labels are all right and complete (subset accuracy).

        Parameters
        ----------
        examples, labels, classes
            As for `fit`.

        Warns
        -----
        DataWarning
            If labels are not among those of the model; the examples count as wrong.
        """
        warn_of_another_order(examples, labels)
        rows, own = with_labels_apart(examples)
        items = as_examples(rows)
        sets, _ = _label_sets(items, own if labels is None else labels, classes)
        if not items:
            raise DataError("at least one example is required, got 0")
        warn_of_unknown_labels([label for own in sets for label in own], self.labels_, several=True)
        truth = [{key_of(label) for label in own} for own in sets]
        answers = [{key_of(label) for label in own} for own in self.predict(items)]
        return float(np.mean([one == other for one, other in zip(truth, answers, strict=True)]))

    def _above_half(self, shares: NDArray[np.float64]) -> list[list[Label]]:
        return [[self.labels_[i] for i in np.flatnonzero(row > 0.5)] for row in shares]

    @property
    def _heads(self) -> list[Head]:
        """The heads in use for any label."""
        used = {head for model in self._models for head in model.heads_}
        return sorted(used, key=lambda head: head.place)

    def _shares(self, rows: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return the probability of each label from rows of the heads in use."""
        heads = self._heads
        return np.stack([_share(model, rows, heads) for model in self._models], axis=1)

    @classmethod
    def from_backbone(
        cls,
        backbone: Any,
        *,
        prompt: str | None = None,
        method: str | HeadClassifier = "mean_proba",
        n_heads: int | str | None = None,
        lazy: bool = False,
        store: str | os.PathLike[str] | None = None,
        **load_options: Any,
    ) -> Self:
        """Load a backbone by name and wrap it; parameters as for `SAVModel.from_backbone`."""
        source = BackboneSource(Named(backbone, load_options), store)
        made = cls(source, prompt=prompt, method=method, n_heads=n_heads, store=store)
        if not lazy:
            _ = source.backbone
        return made

    @property
    def classes_(self) -> NDArray[Any]:
        """``labels_`` as an array."""
        _ = self._models
        return np.asarray(self.labels_)

    @property
    def video_sampling_(self) -> Sampling | None:
        """Which frames of the shots' videos were read; None without videos, or if in several ways."""
        return self._models[0].video_sampling_

    @property
    def bit_depth_(self) -> int | None:
        """The bit depth that the shots' images were read with; None if none was named, or several."""
        return self._models[0].bit_depth_

    def save_pretrained(self, folder: str | os.PathLike[str]) -> None:
        """Write a folder with one saved classifier per label, each usable on its own, and an index of them.

        Raises
        ------
        ArtifactError
            If the folder is not new or empty, or cannot be written.
        """
        target = Path(folder)
        if target.exists() and (not target.is_dir() or any(target.iterdir())):
            raise ArtifactError(f"{target} is not empty: name a new folder for the classifiers")
        entries = []
        with probes_read_once():
            for number, (label, model) in enumerate(zip(self.labels_, self._models, strict=True)):
                name = f"label-{number:04d}"
                model.save_pretrained(target / name)
                entries.append({"label": label, "folder": name, "sha256": _digest(target / name)})
        content = {"format": _FORMAT, "separator": self.separator, "labels": entries}
        index = json.dumps(content, indent=1, ensure_ascii=False)
        try:
            (target / INDEX_NAME).write_text(index + "\n", encoding="utf-8")
        except OSError as error:
            raise ArtifactError(f"cannot write to {target}: {error.strerror or error}") from error

    @classmethod
    def from_pretrained(cls, folder: str | os.PathLike[str], *, backbone: Any = None, **options: Any) -> Self:
        """Read what `save_pretrained` wrote; the backbone is loaded once, when it is first needed.

        Parameters
        ----------
        folder : path
            What `save_pretrained` wrote.
        backbone, **options
            As for `SAVModel.from_pretrained`: allow_mismatch, accept_drift, store, and those of
            `savs.load_backbone`.

        Raises
        ------
        ArtifactError
            If the folder does not hold such a set of intact classifiers.
        BackboneMismatchError
            At the first use, if the backbone is not the one they were fitted on.
        DriftError
            At the first use, if the installed libraries compute other vectors than those of the fit.
        """
        root = Path(folder)
        index, store = _read_index(root), options.get("store")
        entries = index["labels"]
        with probes_read_once():
            first = SAVModel.from_pretrained(root / entries[0]["folder"], backbone=backbone, **options)
            models = [first, *(SAVModel.from_pretrained(root / entry["folder"]) for entry in entries[1:])]
            source = saved_together([model._source for model in models], store)
            for model in models:
                if (model._fingerprint, model.prompt) != (first._fingerprint, first.prompt):
                    raise ArtifactError(
                        f"{root}: its classifiers were fitted on different backbones or prompts"
                    )
                model._source, model._reader = source, ExampleReader(source, model.prompt)
            if isinstance(backbone, Backbone):
                _ = source.backbone
        made = cls(source, prompt=first.prompt, method=first.method, n_heads=first.n_heads, store=store)
        made.labels_, made.models_ = [entry["label"] for entry in entries], models
        made.separator = index.get("separator")
        return made

    def _asked(self) -> Method:
        method = super()._asked()
        if not method.estimator.is_calibrated or method.needs_prototypes or method.needs_options:
            raise ValueError(
                f"method {method.name!r} gives no probability of a single label; use 'votes' or another"
            )
        return method

    @property
    def _models(self) -> list[SAVModel]:
        if not self.__sklearn_is_fitted__():
            from savs.errors import NotFittedError  # defined there when it is first used

            raise NotFittedError("this MultiLabelModel is not fitted yet: call fit")
        return self.models_


def _fitted_on(support: SupportSet, method: Method, reader: ExampleReader) -> SAVModel:
    model = SAVModel(reader.source, prompt=reader.prompt, **given_settings(method))
    model._learn(method, reader, list(support.shots), support)
    return model


def _checked(
    shots: Sequence[Example], labels: Any, classes: Sequence[Label] | None
) -> tuple[list[frozenset[Label]], list[Label]]:
    """Return the labels of each example, and all labels, sorted."""
    sets, names = _label_sets(shots, labels, classes)
    if not names:
        raise DataError("no example has a label")
    nowhere = [name for name in names if not any(name in own for own in sets)]
    if nowhere:
        raise DataError(f"label {nowhere[0]!r} is on no example; it cannot be learned")
    everywhere = [name for name in names if all(name in own for own in sets)]
    if everywhere:
        raise DataError(f"label {everywhere[0]!r} is on all examples; it cannot be learned")
    return sets, names


def _label_sets(
    examples: Sequence[Example], labels: Any, classes: Sequence[Label] | None
) -> tuple[list[frozenset[Label]], list[Label]]:
    own = [example.labels for example in examples] if labels is None else labels
    try:
        return as_label_sets(own, len(examples), classes)
    except ExampleError as error:
        if error.id is not None:
            error.id = examples[int(error.id)].id
        raise


def _check_contents(records: Sequence[Shot], labels: Sequence[frozenset[Label]]) -> None:
    known: dict[str, tuple[str, frozenset[Label]]] = {}
    for record, own in zip(records, labels, strict=True):
        first, before = known.setdefault(record.digest, (record.id, own))
        if before != own:
            raise DataError(f"the same content has different labels: {first} and {record.id}")


def _support(
    records: Sequence[Shot],
    rows: NDArray[np.float32],
    labels: Sequence[frozenset[Label]],
    name: Label,
) -> SupportSet:
    shots = [replace(r, label=name in own) for r, own in zip(records, labels, strict=True)]
    return SupportSet.of(shots, rows)


def _common_heads(models: Sequence[SAVModel]) -> tuple[tuple[int, int], ...] | None:
    """Return the heads with the best mean score over the labels; None where a method keeps no number."""
    count = models[0].classifier_.n_heads_kept
    if count is None or models[0].head_scores_ is None:
        return None
    scores = np.stack([np.asarray(model.head_scores_, dtype=np.float64) for model in models], axis=1)
    layout = models[0].layout
    best = rank_heads(np.where(np.isnan(scores), -np.inf, scores), layout)[:count]
    return tuple((layout.heads[i].layer, layout.heads[i].index) for i in best)


def _share(model: SAVModel, rows: NDArray[np.float32], heads: Sequence[Head]) -> NDArray[np.float64]:
    columns = model.row_layout_.select(heads).column_indices(model.heads_)
    _, shares = model.predict_features(rows[:, columns])
    return shares[:, model.classes_.tolist().index(True)]


def _digest(folder: Path) -> str:
    return hashlib.sha256((folder / "savs.json").read_bytes()).hexdigest()


def _read_index(root: Path) -> dict[str, Any]:
    try:
        index: dict[str, Any] = json.loads((root / INDEX_NAME).read_bytes())
        entries: list[dict[str, Any]] = index["labels"]
        names = [entry["folder"] for entry in entries]
        known = index["format"] == _FORMAT and all(Path(name).name == name for name in names) and names
        known = known and isinstance(index.get("separator"), str | None)
        intact = known and all(_digest(root / entry["folder"]) == entry["sha256"] for entry in entries)
        check_label_types([entry["label"] for entry in entries])
    except (OSError, ValueError, KeyError, TypeError, RecursionError, DataError) as error:
        raise ArtifactError(f"{root} is not a set of classifiers that MultiLabelModel saved") from error
    if not intact:
        raise ArtifactError(f"{root} was altered: its classifiers are not those that were saved together")
    return index
