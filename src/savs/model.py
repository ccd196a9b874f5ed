"""`SAVModel`: a frozen backbone, a prompt and a head classifier in one object, on examples.

    example -> prompt -> head vectors -> head scores -> kept heads -> votes -> label

It knows neither the command line nor the server.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from savs.artifact import Artifact, Shot, check_backbone, load_artifact, save_artifact
from savs.backbones import Backbone, Extraction, PromptTemplate, load_backbone
from savs.backbones.stored import Counts, StoredBackbone, with_store
from savs.datasets import check_support, example_hash, find_leaks
from savs.errors import ArtifactError, BackboneError, DataError, ItemError
from savs.examples import DataWarning, ErrorLedger, Example, Label, as_examples
from savs.features import Head, HeadLayout
from savs.heads import Estimate, SAVClassifier, estimate_accuracy
from savs.model_card import render_card

if TYPE_CHECKING:
    from typing import Self

__all__ = ["Predictions", "SAVModel"]


@dataclass(frozen=True)
class Predictions:
    """Answers for the examples that could be read, and the errors of the others.

    Attributes
    ----------
    indices : ndarray of int, shape (n_ok,)
        Which example each answer belongs to, ascending.
    labels : list of label
        The answers.
    proba : ndarray of float64, shape (n_ok, n_classes)
        Vote shares, columns in the order of ``classes_``.
    errors : list of ItemError
        One per example that could not be read, with its id.
    """

    indices: NDArray[np.intp]
    labels: list[Label]
    proba: NDArray[np.float64]
    errors: list[ItemError]


class SAVModel:
    """Few-shot classifier on examples: Sparse Attention Vectors over a frozen backbone.

    Parameters
    ----------
    backbone : Backbone
        The frozen model, see `load_backbone`; never changed.
    prompt : str, optional
        Prompt template. ``{question}`` stands for the example's own text, any other name in braces for a
        column of its row; without any placeholder the prompt follows the example's own text. By default the
        own text is all.
    n_heads : int, default=20
        Number of heads to keep; all of them, with a warning at `fit`, if the backbone has fewer.
    store : path, optional
        Folder of a feature store, made if it is not there: what the backbone says about an example is kept
        in it and never computed again, whatever the labels, `n_heads` or other settings.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The labels, sorted.
    heads_ : list of Head
        The kept heads, best first.
    head_scores_ : ndarray of int64, shape (layout.n_heads,)
        Hits of every head on the shots, in layout order.
    estimate_ : Estimate or None
        What accuracy to expect on new examples, estimated from the shots alone.
    shots_ : list of Shot
        Ids, labels and content digests of the support set, in the order given to `fit`.

    References
    ----------
    Mitra et al., "Sparse Attention Vectors: Generative Multimodal Model Features Are Discriminative
    Vision-Language Classifiers", arXiv 2412.00142, section 3.

    Examples
    --------
    >>> from savs.backbones.fake import FakeBackbone
    >>> model = SAVModel(FakeBackbone(), prompt="Is this about {question}?", n_heads=8)
    >>> model.fit(["red", "crimson", "blue", "navy"], ["warm", "warm", "cold", "cold"]).predict(["crimson"])
    array(['warm'], dtype='<U4')
    """

    _store: Path | None  # not opened yet; None too once the backbone is wrapped

    def __init__(
        self,
        backbone: Backbone,
        *,
        prompt: str | None = None,
        n_heads: int = 20,
        store: str | os.PathLike[str] | None = None,
    ) -> None:
        self._backbone: Backbone | None = backbone
        self._resolve: Callable[[], Backbone] | None = None
        self._set_store(store)
        self.n_heads = n_heads
        self._set_prompt(prompt)

    @classmethod
    def from_backbone(
        cls,
        backbone: Any,
        *,
        prompt: str | None = None,
        n_heads: int = 20,
        lazy: bool = False,
        store: str | os.PathLike[str] | None = None,
        **load_options: Any,
    ) -> Self:
        """Load a backbone by name and wrap it.

        Parameters
        ----------
        backbone : str, Path or transformers model
            ``"tiny"`` for the model in the box, a folder in hub layout, a hub id, or a model object (then
            `processor` is needed).
        prompt, n_heads
            As for `SAVModel`.
        lazy : bool, default=False
            Load the backbone only when it is first needed: `fit` checks the shots before.
        store
            As for `SAVModel`.
        **load_options
            As for `savs.load_backbone`: revision, dtype, device, device_map, attn_implementation, batch_size,
            processor.

        Raises
        ------
        BackboneError
            If it cannot be loaded or has no attention heads that can be read.
        StoreError
            If the store's folder holds something else, or the features of another backbone.
        """
        model = cls.__new__(cls)
        model._set_store(store)
        model._backbone = None
        model._resolve = partial(load_backbone, backbone, **load_options)
        model.n_heads = n_heads
        model._set_prompt(prompt)
        if not lazy:
            _ = model.backbone
        return model

    @property
    def backbone(self) -> Backbone:
        """The frozen model; a saved classifier's is loaded and checked when it is first needed."""
        if self._backbone is None:
            if self._resolve is None:
                raise RuntimeError("a model without a backbone")
            self._backbone = self._resolve()
        if self._store is not None:
            self._backbone = with_store(self._backbone, self._store)
            self._store = None
        return self._backbone

    @property
    def store_counts(self) -> Counts | None:
        """How many examples the store spared so far, all calls together; None without a store."""
        if isinstance(self._backbone, StoredBackbone):
            return self._backbone.total
        return None if self._store is None else Counts()

    @property
    def prompt(self) -> str | None:
        """The prompt template."""
        return self._prompt

    def __repr__(self) -> str:
        backbone = repr(self._source) if isinstance(self._source, str) else type(self._source).__name__
        try:
            state = f"{len(self.classes_)} classes, {len(self.heads_)} heads"
        except AttributeError:
            state = f"not fitted, n_heads={self.n_heads}"
        return f"{type(self).__name__}({backbone}, {state}, prompt={self.prompt!r})"

    @property
    def _source(self) -> Any:
        """Where the backbone comes from, as far as that is known without loading it."""
        if self._backbone is None and isinstance(self._resolve, _Resolver):
            named = self._resolve.backbone
            return str(named) if named is not None else self._fingerprint.get("source")
        if self._backbone is None and isinstance(self._resolve, partial):
            named = self._resolve.args[0]
            return str(named) if isinstance(named, str | os.PathLike) else named
        source = None if self._backbone is None else self._backbone.fingerprint.get("source")
        return source if source is not None else self._backbone

    def _set_store(self, store: str | os.PathLike[str] | None) -> None:
        """Note a store; it is opened together with the backbone, but a wrong folder is refused now."""
        self._store = None if store is None else Path(store)
        if self._store is not None:
            from savs.features.store.shelf import check_folder

            check_folder(self._store)

    def _set_prompt(self, prompt: str | None) -> None:
        self._prompt = prompt
        self._template = None if prompt is None else PromptTemplate(prompt)

    def fit(
        self, examples: Sequence[Any], labels: Sequence[Label] | None = None, *, progress: bool = False
    ) -> Self:
        """Pick the heads from labelled examples; one forward pass per example in total.

        Parameters
        ----------
        examples : sequence
            Anything that `as_examples` takes.
        labels : sequence of label, optional
            By default the examples' own.
        progress : bool, default=False
            Show a progress bar.

        Returns
        -------
        SAVModel
            Itself. On an error a model fitted before stays as it was.

        Raises
        ------
        ItemError
            If an example cannot be read.
        DataError
            If the labels cannot be used: missing, mixed types, one class, contradictions.

        Warns
        -----
        DataWarning
            If fewer heads than `n_heads` are there, so that none is picked, or every class has one shot, so
            that no head can be scored.

        Notes
        -----
        The order of the examples decides nothing: they are read in the order of their content's digests, and
        a classifier saved from them holds the same bytes.
        """
        given = dict(enumerate(as_examples(examples, labels)))
        shots = list(self._prompted(given, ErrorLedger()).values())
        check_support(shots)
        records = [Shot(str(s.id), s.label, example_hash(s)) for s in shots if s.label is not None]
        # Batches and sums must not depend on the order of the training file: the last bits would.
        order = sorted(range(len(shots)), key=lambda position: _canonical(records[position]))
        backbone = self.backbone
        features = backbone.extract([shots[position] for position in order], progress=progress).features
        targets = np.asarray([shots[position].label for position in order])
        classifier = SAVClassifier(n_heads=self.n_heads, layout=backbone.layout).fit(features, targets)
        estimate = estimate_accuracy(features, targets, layout=backbone.layout, n_heads=self.n_heads)
        _warn_of_idle_scores(targets, self.n_heads, backbone.layout)
        self._classifier, self.estimate_ = classifier, estimate
        self._layout, self._fingerprint = backbone.layout, dict(backbone.fingerprint)
        self.shots_ = records
        return self

    def predict(self, examples: Sequence[Any]) -> NDArray[Any]:
        """Return one label per example, shape (n_examples,); the first bad example raises its `ItemError`."""
        return self._voters.predict(self._kept_features(examples))

    def predict_proba(self, examples: Sequence[Any]) -> NDArray[np.float64]:
        """Return the share of votes of each class, shape (n_examples, n_classes), columns as ``classes_``."""
        return self._voters.predict_proba(self._kept_features(examples))

    def decision_function(self, examples: Sequence[Any]) -> NDArray[np.float64]:
        """Return votes plus a tie bonus below one, so that the largest is the answer.

        Shape (n_examples, n_classes), or (n_examples,) for two classes, positive for ``classes_[1]``.
        """
        return self._voters.decision_function(self._kept_features(examples))

    def votes(self, examples: Sequence[Any]) -> NDArray[Any]:
        """Return the label each kept head votes for, shape (n_examples, n_kept_heads), best head first."""
        voters = self._voters
        return np.asarray(voters.classes_[voters.votes(self._kept_features(examples))])

    def score(self, examples: Sequence[Any], labels: Sequence[Label] | None = None) -> float:
        """Return the accuracy on labelled examples."""
        items = as_examples(examples, labels)
        missing = [item.id for item in items if item.label is None]
        if missing or not items:
            raise DataError(f"score needs at least one example and a label on each; without: {missing[:5]}")
        answers = self.predict(items).tolist()
        return float(np.mean([item.label == answer for item, answer in zip(items, answers, strict=True)]))

    def predict_each(
        self, examples: Sequence[Any], *, max_errors: int = 0, progress: bool = False
    ) -> Predictions:
        """Answer what can be answered and report the rest.

        Parameters
        ----------
        examples : sequence
            Anything that `as_examples` takes.
        max_errors : int, default=0
            How many examples may fail before the error of one more is raised; -1 means any number.
        progress : bool, default=False
            Show a progress bar.
        """
        kept = self._extract(examples, self.heads_, ErrorLedger(max_errors), progress=progress)
        return Predictions(kept.indices, *self.answer(kept.features), kept.errors)

    def answer(self, features: NDArray[np.float32]) -> tuple[list[Label], NDArray[np.float64]]:
        """Return labels and vote shares for rows that hold the kept heads' vectors.

        Parameters
        ----------
        features : ndarray of float32, shape (n_examples, width)
            As `head_vectors` gives them for ``heads_``; may have no rows.

        Returns
        -------
        labels : list of label
        proba : ndarray of float64, shape (n_examples, n_classes)
            Columns in the order of ``classes_``.
        """
        voters = self._voters
        if not len(features):
            return [], np.empty((0, len(voters.classes_)))
        return voters.predict(features).tolist(), voters.predict_proba(features)

    def find_leaks(self, examples: Sequence[Any]) -> list[int]:
        """Return the indices of examples whose prompted content, text and media bytes, is that of a shot.

        Examples that cannot be read are passed over: `predict_each` reports them.
        """
        _ = self._fitted  # unfitted, there are no shots to compare with: say so as every other method does
        digests = {shot.digest for shot in self.shots_}
        ledger = ErrorLedger(-1)
        prompted = self._prompted(_placed(examples, ledger), ledger)
        indices = list(prompted)
        return [indices[position] for position in find_leaks(digests, list(prompted.values()))]

    def head_vectors(
        self, examples: Sequence[Any], heads: Sequence[Head] | None = None
    ) -> NDArray[np.float32]:
        """Return feature rows, shape (n_examples, width), of all heads or the given ones, in that order."""
        return self._extract(examples, heads, ErrorLedger(), progress=False).features

    def save_pretrained(self, folder: str | os.PathLike[str]) -> None:
        """Write the fitted classifier (not the backbone) to a folder: safetensors, JSON and a model card.

        Raises
        ------
        ArtifactError
            If the folder cannot be written or holds something else, or the backbone's weights have changed
            since the fit; an older classifier there stays intact.
        """
        self._check_unchanged()
        artifact = self._to_artifact()
        save_artifact(artifact, Path(folder), card=render_card(artifact))

    @classmethod
    def from_pretrained(
        cls,
        folder: str | os.PathLike[str],
        *,
        backbone: Any = None,
        allow_mismatch: Sequence[str] = (),
        store: str | os.PathLike[str] | None = None,
        **load_options: Any,
    ) -> Self:
        """Read a saved classifier; its backbone is loaded when it is first needed.

        Parameters
        ----------
        folder : path
            What `save_pretrained` wrote.
        backbone : str, Path or Backbone, optional
            Where the backbone is now; by default the place recorded at fit.
        allow_mismatch : sequence of str
            Entries of the fingerprint that may differ, such as ``"dtype"``; everything else is refused.
        store
            As for `SAVModel`.
        **load_options
            As for `savs.load_backbone`; revision, dtype and attention kernel are those of the fit by default.

        Raises
        ------
        ArtifactError
            If the folder is not an intact classifier.
        StoreError
            If the store's folder holds something else; at the first use, if it is another backbone's.
        BackboneMismatchError
            At the first use, if the backbone is not the one it was fitted on.
        """
        artifact = load_artifact(Path(folder))
        model = cls.__new__(cls)
        model._restore(artifact)
        model._set_store(store)
        model._backbone = None
        model._resolve = _Resolver(artifact, backbone, tuple(allow_mismatch), load_options)
        if isinstance(backbone, Backbone):
            model._backbone = model._resolve()
        return model

    def _restore(self, artifact: Artifact) -> None:
        self.n_heads = artifact.n_heads
        self._set_prompt(artifact.prompt)
        self._classifier = SAVClassifier.from_parts(
            n_heads=artifact.n_heads,
            layout=artifact.layout,
            classes=np.asarray(artifact.classes),
            heads=[Head(*head) for head in artifact.heads],
            head_scores=artifact.head_scores,
            centroids=artifact.centroids,
        )
        self.estimate_ = None if artifact.estimate is None else Estimate(**artifact.estimate)
        self.shots_ = artifact.shots
        self._layout, self._fingerprint = artifact.layout, artifact.fingerprint

    def _to_artifact(self) -> Artifact:
        fitted = self._fitted
        return Artifact(
            classes=fitted.classes_.tolist(),
            prompt=self.prompt,
            n_heads=self.n_heads,
            layout=self._layout,
            heads=[(head.layer, head.index) for head in fitted.heads_],
            head_scores=np.asarray(fitted.head_scores_, dtype=np.int64),
            centroids=np.asarray(fitted.centroids_, dtype=np.float64),
            shots=sorted(self.shots_, key=_canonical),
            estimate=None if self.estimate_ is None else asdict(self.estimate_),
            fingerprint=self._fingerprint,
        )

    def _check_unchanged(self) -> None:
        """Refuse to save what was fitted on weights that the model object has no more."""
        model = getattr(self._backbone, "model", None)
        if self._backbone is None or model is None:
            return
        from savs.backbones.fingerprint import weights_digest

        if weights_digest(model) != self._backbone.fingerprint.get("weights_digest"):
            raise ArtifactError(
                "the model's weights have changed since its backbone was made, so the classifier belongs to "
                "weights that are gone: make the backbone again (load_backbone), fit, then save"
            )

    def _extract(
        self, examples: Sequence[Any], heads: Sequence[Head] | None, ledger: ErrorLedger, *, progress: bool
    ) -> Extraction:
        prompted = self._prompted(_placed(examples, ledger), ledger)
        found = self.backbone.extract(
            list(prompted.values()), heads, max_errors=ledger.left, progress=progress
        )
        indices = np.asarray(list(prompted), dtype=np.intp)[found.indices]
        ledger.note_rest(prompted, set(indices.tolist()), found.errors)
        return Extraction(found.features, indices, ledger.errors)

    def _prompted(self, examples: Mapping[int, Example], ledger: ErrorLedger) -> dict[int, Example]:
        """Return the examples as the model reads them, by position."""
        return dict(examples) if self._template is None else ledger.collect(self._template.apply, examples)

    def _kept_features(self, examples: Sequence[Any]) -> NDArray[np.float32]:
        heads, items = self._fitted.heads_, as_examples(examples)
        if not items:
            raise DataError("there are 0 examples; hand in at least one")
        return self.head_vectors(items, heads)

    @property
    def _fitted(self) -> SAVClassifier:
        try:
            return self._classifier
        except AttributeError:
            from sklearn.exceptions import NotFittedError

            raise NotFittedError("this SAVModel is not fitted yet: call fit with labelled examples") from None

    @property
    def _voters(self) -> SAVClassifier:
        """The classifier on rows that hold only the kept heads: a query is read no deeper than they stand."""
        return self._fitted.for_kept_heads()

    @property
    def classes_(self) -> NDArray[Any]:
        """The labels, sorted."""
        return np.asarray(self._fitted.classes_)

    @property
    def heads_(self) -> list[Head]:
        """The kept heads, best first."""
        return list(self._fitted.heads_)

    @property
    def head_scores_(self) -> NDArray[np.int64]:
        """Hits of every head on the shots, in layout order."""
        return np.asarray(self._fitted.head_scores_)

    @property
    def layout(self) -> HeadLayout:
        """All heads of the backbone."""
        return self._layout if hasattr(self, "_layout") else self.backbone.layout


def _placed(examples: Sequence[Any], ledger: ErrorLedger) -> dict[int, Example]:
    """Return the examples that are some, by position; the ledger is new."""
    items = as_examples(examples, ledger=ledger)
    return dict(zip(ledger.kept(len(items)), items, strict=True))


def _canonical(shot: Shot) -> tuple[str, str]:
    return shot.digest, shot.id


def _warn_of_idle_scores(targets: NDArray[Any], n_heads: int, layout: HeadLayout) -> None:
    """Say when the head scores pick nothing."""
    if n_heads > layout.n_heads:
        warnings.warn(
            f"n_heads is {n_heads}, but the backbone has {layout.n_heads} heads: all of them vote, none is "
            "picked",
            DataWarning,
            stacklevel=3,
        )
    if np.unique(targets, return_counts=True)[1].max() == 1:
        warnings.warn(
            "every class has one shot: no head can be scored, so the first ones vote, whatever they see; "
            "give two shots per class or more",
            DataWarning,
            stacklevel=3,
        )


@dataclass(frozen=True)
class _Resolver:
    """Finds a saved classifier's backbone and refuses any other."""

    artifact: Artifact
    backbone: Any
    allow_mismatch: tuple[str, ...]
    load_options: dict[str, Any]

    def __call__(self) -> Backbone:
        backbone = self.backbone if isinstance(self.backbone, Backbone) else self._load()
        check_backbone(self.artifact, backbone.fingerprint, backbone.layout, self.allow_mismatch)
        return backbone

    def _load(self) -> Backbone:
        saved = self.artifact.fingerprint
        source = self.backbone if self.backbone is not None else saved.get("source")
        if source is None:
            raise BackboneError(
                "the classifier was fitted on a model object: hand the same one in as backbone="
            )
        options: dict[str, Any] = {
            name: saved.get(name) for name in ("dtype", "attn_implementation", "sites")
        }
        quantization = saved.get("quantization")
        if isinstance(quantization, dict) and quantization.get("method") is not None:
            options["quantization"] = quantization
        if saved.get("processor_backend") in {"pil", "torchvision"}:
            options["image_backend"] = saved["processor_backend"]
        if self.backbone is None:
            options["revision"] = saved.get("commit") or saved.get("revision")
        try:
            return load_backbone(source, **{**options, **self.load_options})
        except BackboneError as error:
            if self.backbone is not None:
                raise
            moved = "if the backbone is elsewhere now, name it with backbone= or --backbone"
            raise BackboneError(f"{error}; {moved}") from error
