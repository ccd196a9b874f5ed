"""`SAVModel`: what most users touch; see the package."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from savs.artifact import Shot
from savs.backbones import Backbone
from savs.classifiers import HeadChange, HeadClassifier, Method
from savs.classifiers._validation import encode_labels
from savs.classifiers.head_sets import HeadSet
from savs.data import ErrorLedger, Example, Label, as_examples, check_labels, check_support
from savs.errors import DataError
from savs.layout import HeadLayout
from savs.media._hashes import hashed_once
from savs.model._learning import Learned, class_prompts, learn, read_rows
from savs.model._saving import SavableModel
from savs.model._source import BackboneSource, Given, Named
from savs.model._support_set import SupportSet, as_shot, canonical_order

if TYPE_CHECKING:
    from typing import Self

__all__ = ["SAVModel"]


class SAVModel(SavableModel):
    """Few-shot classifier on examples: heads of a frozen backbone, read by one of several methods.

    Parameters
    ----------
    backbone : Backbone
        The frozen model, see `load_backbone`; never changed.
    prompt : str, optional
        Prompt template. ``{question}`` stands for the example's own text, any other name in braces for a
        column of its row; without any placeholder the prompt follows the example's own text. By default the
        own text is all.
    method : str or HeadClassifier, default="sav"
        How heads become a classifier: a name of `savs.classifiers.available_methods` or an
        unfitted estimator.
        ``"sav"`` is the published rule, ``"auto"`` compares and mixes methods on held-out shots and is the
        one to take for accuracy (docs/methods.md has the measurements).
    n_heads : int, "auto" or "all", optional
        How many heads to keep, for methods that keep some; 20 for ``"sav"``. More than the backbone has
        keeps all of them, with a warning at `fit`.
    scoring : {"in_sample", "leave_one_out", "cross_validated"}, optional
        How heads are ranked, for methods that can do it in more than one way.
    priors : "uniform", "empirical" or mapping of label to float, optional
        Class priors; not for ``"sav"``.
    heads : HeadSet or sequence of (layer, index), optional
        Only these heads may be used, such as another model's `head_set_`: for methods that keep some, but not
        ``"sav"`` (``"votes"`` is the same rule and takes them).
    store : path, optional
        Folder of a feature store, made if it is not there: what the backbone says about an example is kept
        in it and never computed again, whatever the labels, the method or other settings.

    Attributes
    ----------
    classes_ : ndarray of shape (n_classes,)
        The labels, sorted.
    heads_ : list of Head
        The heads in use, best first where the method ranks them.
    head_scores_ : ndarray, shape (layout.n_heads,), or None
        Score of every head in layout order, hits on the shots for ``"sav"``; None where heads are not ranked.
    estimate_ : Estimate or None
        What accuracy to expect on new examples: nested leave-one-out over the shots, every choice repeated.
    selection_report_ : dict
        ``head_stability``, the mean overlap (Jaccard) of the heads in use between fits without some shots;
        for ``"auto"`` also what it compared, what it chose and why.
    out_of_fold_log_proba_ : ndarray of float64, shape (n_shots, n_classes)
        Log probabilities behind the estimate, rows as ``shots_`` sorted by content digest; NaN rows could not
        be left out.
    shots_ : list of Shot
        Ids, labels and content digests of the support set, in the order given, with their media.
    video_sampling_ : Sampling or None
        Which frames of the shots' videos were read, if they have some and all were read in one way.

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

    def __init__(
        self,
        backbone: Backbone,
        *,
        prompt: str | None = None,
        method: str | HeadClassifier = "sav",
        n_heads: int | str | None = None,
        scoring: str | None = None,
        priors: str | Mapping[Label, float] | None = None,
        heads: HeadSet | Sequence[tuple[int, int]] | None = None,
        store: str | os.PathLike[str] | None = None,
    ) -> None:
        self._set_up(
            BackboneSource(Given(backbone), store),
            prompt,
            Method(method, n_heads, scoring, priors, _pairs(heads)),
        )

    @classmethod
    def from_backbone(
        cls,
        backbone: Any,
        *,
        prompt: str | None = None,
        method: str | HeadClassifier = "sav",
        n_heads: int | str | None = None,
        scoring: str | None = None,
        priors: str | Mapping[Label, float] | None = None,
        heads: HeadSet | Sequence[tuple[int, int]] | None = None,
        lazy: bool = False,
        store: str | os.PathLike[str] | None = None,
        **load_options: Any,
    ) -> Self:
        """Load a backbone by name and wrap it.

        Parameters
        ----------
        backbone : str, Path or transformers model
            ``"tiny"`` for the bundled model, a folder in hub layout, a hub id, or a model object (then
            `processor` is needed).
        prompt, method, n_heads, scoring, priors, heads
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
        source = BackboneSource(Named(backbone, load_options), store)
        model._set_up(source, prompt, Method(method, n_heads, scoring, priors, _pairs(heads)))
        if not lazy:
            _ = model.backbone
        return model

    @hashed_once()
    def fit(
        self, examples: Sequence[Any], labels: Sequence[Label] | None = None, *, progress: bool = False
    ) -> Self:
        """Learn from labeled examples; one forward pass per example in total.

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
        ValueError
            If the method's settings do not fit the shots.

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
        shots = self._labelled(examples, labels)
        check_support(shots)
        records, rows = self._read_shots(shots, progress=progress)
        self._take(records, SupportSet.of(records, rows))
        return self

    def fit_class_names(self, classes: Sequence[Label]) -> Self:
        """Take the class names alone, without any shot: for the method ``"hec_t"``.

        Parameters
        ----------
        classes : sequence of label
            At least two, each once; their names are put to the model as text.

        Raises
        ------
        DataError
            If the method is another one, or the classes cannot be used.

        References
        ----------
        [HEC] arXiv:2603.24181, HEC-T.
        """
        if not self._method.estimator.can_fit_class_names:
            raise DataError(f"method {self._method.name!r} learns from shots; names alone are for 'hec_t'")
        check_labels(classes)
        names, codes = encode_labels(np.asarray(classes))
        if len(names) < len(codes):
            raise DataError("a class is named twice")
        made = self._method.make(self.backbone.layout, names, self._prototypes(names))
        classifier = made.fit_class_names(names)
        learned = Learned(classifier, np.empty((0, len(names))), None, {})
        none = SupportSet((), np.empty((0, self.backbone.layout.width), np.float32))
        self._keep(learned, [], none)
        return self

    @hashed_once()
    def partial_fit(
        self, examples: Sequence[Any], labels: Sequence[Label] | None = None, *, progress: bool = False
    ) -> HeadChange:
        """Add shots, of known or new classes; only they pass the model.

        Parameters
        ----------
        examples, labels, progress
            As for `fit`. Ids that are positions, because the examples came without any, are counted on.

        Returns
        -------
        HeadChange
            Which heads came into use, and which are not used any more.

        Raises
        ------
        DataError
            If an id is taken, a content is there under another label, the labels do not go with those of
            `fit`, or the shots' rows are not at hand. Nothing is changed then.

        Notes
        -----
        The classifier is that of a fit on all shots together: everything but the forward pass is done again.
        """
        shots = self._labelled(examples, labels)
        _ = self._fitted, self._support.known_rows()
        check_labels([*self._support.labels, *(shot.label for shot in shots)])
        self._warn_of_unlike(shots)
        name = self._support.free_id()
        records, rows = self._read_shots(shots, progress=progress)
        records = [replace(record, id=name(record.id)) for record in records]
        return self._change([*self.shots_, *records], self._support.with_more(records, rows))

    def relabel(self, id: str, label: Label) -> HeadChange:
        """Give a shot another label, without a forward pass; shots of the same content get it too.

        Raises
        ------
        DataError
            If there is no such shot, the label cannot be used, or the shots' rows are not at hand.
        """
        _ = self._fitted
        check_labels([*self._support.labels, label])
        changed = self._support.relabelled(id, label)
        known = {(shot.id, shot.digest): shot for shot in changed.shots}
        return self._change([known[shot.id, shot.digest] for shot in self.shots_], changed)

    def forget(self, id: str) -> HeadChange:
        """Drop a shot, without a forward pass.

        Raises
        ------
        DataError
            If there is no such shot, only one class would be left, or the shots' rows are not at hand.
        """
        _ = self._fitted
        return self._change([shot for shot in self.shots_ if shot.id != id], self._support.without(id))

    def _labelled(self, examples: Sequence[Any], labels: Sequence[Label] | None) -> list[Example]:
        given = dict(enumerate(as_examples(examples, labels)))
        return list(self._prompted(given, ErrorLedger()).values())

    def _read_shots(
        self, shots: Sequence[Example], *, progress: bool
    ) -> tuple[list[Shot], NDArray[np.float32]]:
        """Return records and rows of shots, read in the order of their contents so that batches are too."""
        for shot in shots:
            if shot.label is None:
                raise DataError(f"the shot {shot.id} has no label")
        records = [as_shot(shot, shot.label) for shot in shots if shot.label is not None]
        order = canonical_order(records)
        found = self._full_rows([shots[i] for i in order], progress=progress)
        if order == list(range(len(order))):
            return records, found
        rows = np.empty_like(found)
        rows[order] = found
        return records, rows

    def _take(self, records: list[Shot], support: SupportSet) -> None:
        layout = self._layout_of(support.known_rows().shape[1])
        prototypes = None
        if self._method.needs_prototypes:
            prototypes = self._prototypes(np.unique(np.asarray(support.labels)))
        self._keep(learn(self._method, support, layout, prototypes), records, support)

    def _keep(self, learned: Learned, records: list[Shot], support: SupportSet) -> None:
        self._learned, self.shots_, self._support = learned, records, support
        self._row_layout, self._fingerprint = learned.classifier.layout_, dict(self.backbone.fingerprint)

    def _full_rows(self, prompted: Sequence[Example], *, progress: bool = False) -> NDArray[np.float32]:
        """Return rows of all heads, and of the final state where the method uses it."""
        return read_rows(
            self.backbone,
            prompted,
            state=self._method.needs_state,
            state_is_optional=self._method.state_is_optional,
            progress=progress,
        ).features

    def _layout_of(self, width: int) -> HeadLayout:
        """Return the layout of rows so wide."""
        layout = self.backbone.layout
        return layout if width == layout.width else layout.with_state(width - layout.width)

    def _change(self, records: list[Shot], support: SupportSet) -> HeadChange:
        before = set(self.heads_)
        self._take(records, support)
        after = set(self.heads_)
        return HeadChange(sorted(after - before), sorted(before - after))

    def _prototypes(self, classes: NDArray[Any]) -> NDArray[np.float32]:
        return self._full_rows(class_prompts(classes.tolist(), self.prompt))


def _pairs(heads: HeadSet | Sequence[tuple[int, int]] | None) -> tuple[tuple[int, int], ...] | None:
    if heads is None:
        return None
    chosen = heads.heads if isinstance(heads, HeadSet) else heads
    return tuple((layer, index) for layer, index in chosen)
