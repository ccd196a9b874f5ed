"""`SAVModel`: a frozen backbone, a prompt and a head classifier in one object, on examples."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Literal, overload

import numpy as np
from numpy.typing import NDArray
from sklearn.base import ClassifierMixin

from savs._labels import as_label, key_of, warn_of_unknown_labels
from savs.artifact import Shot
from savs.backbones import Backbone
from savs.backbones._canary import Canary
from savs.backbones.option_likelihood import as_scorer
from savs.classifiers import HeadChange, HeadClassifier, Method
from savs.classifiers.evidence import find_label_issues, head_opinions, held_out_votes
from savs.classifiers.head_sets import HeadSet
from savs.classifiers.prompt_ensemble import PromptEnsembleClassifier, check_takes_prompts
from savs.data import ErrorLedger, Label, check_labels, check_support, find_test_leakage
from savs.data.checks import true_labels
from savs.errors import DataError
from savs.layout import Head
from savs.media._hashes import hashed_once
from savs.model._abstaining import AbstainingModel
from savs.model._class_names import check_same_names, checked_names
from savs.model._learning import Learned, Maker, learn, learn_class_names, shots_of
from savs.model._prompt_evidence import explain_prompts
from savs.model._prompts import checked_prompts
from savs.model._saving import HubModel
from savs.model._source import BackboneSource, BatchSize, ExampleReader, Named
from savs.model._support_set import LabelIssue, SupportSet, read_alike, warn_of_unlike_inputs
from savs.model._unlabelled import unlabelled_items
from savs.model.explanation import Explanation, explain_rows, occluded
from savs.model.held_out import ModelFigures
from savs.model.predictions import AbstentionPolicy, Predictions

if TYPE_CHECKING:
    from typing import Self

    from sklearn.utils import Tags

__all__ = ["SAVModel"]


class SAVModel(ClassifierMixin, AbstainingModel, HubModel, ModelFigures):  # type: ignore[misc]
    """Few-shot classifier on examples: heads of a frozen backbone, read by one of several methods.

    Parameters
    ----------
    backbone : Backbone, str or Path
        The frozen model, see `load_backbone`; never changed, and shared by copies and `sklearn.base.clone`. A
        name or folder is loaded when it is first needed; `from_backbone` loads at once and takes options.
    prompt : str, optional
        Prompt template. ``{question}`` stands for the example's own text, any other name in braces for a
        column of its row; without any placeholder the prompt follows the example's own text. By default the
        own text is all.
    prompts : sequence of str, optional
        Several prompt templates in its place. Each example is read with every one, its media once where they
        come first; each prompt has a classifier of its own, and their probabilities are averaged with
        weights from held-out shots (`savs.classifiers.prompt_ensemble`). A prompt that is clearly worse
        hardly counts.
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
    exit_early : float, optional
        Answer from the lower layers where they are sure enough, and run the others only for the rest: the
        share of answers that may become wrong by that, such as 0.005, estimated on held-out shots. With few
        shots nothing may be answered early; ``selection_report_["exit_early"]`` says so. Not with `heads`,
        and not for methods that need the last-layer state or class names.
    store : path, optional
        Folder of a feature store, created if it does not exist: the features of an example are kept in it and
        never computed again, whatever the labels, the method or other settings.

    Attributes
    ----------
    classifier_ : HeadClassifier
        The fitted head classifier, on rows of all heads.
    method_ : Method
        The method and its settings at the last fit.
    classes_ : ndarray of shape (n_classes,)
        The labels, sorted.
    heads_ : list of Head
        The heads in use, best first where the method ranks them; with several prompts those of any.
    head_scores_ : ndarray, shape (layout.n_heads,), or None
        Score of every head in layout order, hits on the shots for ``"sav"``; None where heads are not ranked,
        and with several prompts.
    prompt_weights_ : dict of str to float
        How much each prompt counts.
    estimate_ : Estimate or None
        Accuracy to expect on new examples: cross-validated over the shots, every choice repeated.
    selection_report_ : dict
        ``head_stability``, the mean overlap (Jaccard) of the heads in use between fits without some shots;
        for ``"auto"`` also what it compared, what it chose and why; with several prompts that of each one
        under ``prompts``, with its ``weight`` and its ``log_loss`` on held-out shots.
    out_of_fold_log_proba_ : ndarray of float64, shape (n_shots, n_classes)
        Log probabilities behind the estimate, rows as ``shots_`` sorted by content digest; NaN rows could not
        be left out.
    shots_ : list of Shot
        Ids, labels and content digests of the support set, in the order given, with their media.
    video_sampling_ : Sampling or None
        Which frames of the shots' videos were read, if they have some and all were read in one way.
    bit_depth_ : int or None
        The bit depth that all shots' images were read with, if one was named.
    head_change_ : HeadChange
        Which heads came into use and which went with the last `partial_fit`, `add_shots`, `remove_shots` or
        `relabel`.

    Notes
    -----
    A model can be pickled, copied and sent to the workers of joblib. The classifier goes by its content, the
    backbone by the name that it was loaded from, so a pickle holds no weights: the process that opens it
    loads the backbone when it is first needed, and refuses another one. A backbone made from a model object
    has no name, and pickling raises `BackboneError`. To keep a classifier, use `save_pretrained`: opening a
    pickle can run any code, so open none that you have not made, and with the same versions of all packages.

    References
    ----------
    Mitra et al., "Sparse Attention Vectors", arXiv 2412.00142, section 3; ICCV 2025 as "Enhancing Few-Shot
    Vision-Language Classification with Large Multimodal Model Features".

    Examples
    --------
    >>> from savs.backbones.fake import FakeBackbone
    >>> model = SAVModel(FakeBackbone(), prompt="Is this about {question}?", n_heads=8)
    >>> model.fit(["red", "crimson", "blue", "navy"], ["warm", "warm", "cold", "cold"]).predict(["crimson"])
    array(['warm'], dtype='<U4')
    """

    def __init__(
        self,
        backbone: Backbone | BackboneSource | str | os.PathLike[str],
        *,
        prompt: str | None = None,
        prompts: Sequence[str] | None = None,
        method: str | HeadClassifier = "sav",
        n_heads: int | str | None = None,
        scoring: str | None = None,
        priors: str | Mapping[Label, float] | None = None,
        heads: HeadSet | Sequence[tuple[int, int]] | None = None,
        exit_early: float | None = None,
        store: str | os.PathLike[str] | None = None,
    ) -> None:
        self.store = store
        self.backbone = backbone
        self.prompt = prompt
        self.prompts = prompts
        self.method = method
        self.n_heads = n_heads
        self.scoring = scoring
        self.priors = priors
        self.heads = heads
        self.exit_early = exit_early
        self._learned: Learned | None = None
        self._unlabelled: NDArray[np.float32] | None = None  # rows of the last fit's unlabelled items
        self._fingerprint: dict[str, Any] = {}
        self._canary: Canary | None = None  # of a saved classifier
        self._asked()  # a setting that the method does not take is refused before a model is loaded

    @classmethod
    def from_backbone(
        cls,
        backbone: Any,
        *,
        prompt: str | None = None,
        prompts: Sequence[str] | None = None,
        method: str | HeadClassifier = "sav",
        n_heads: int | str | None = None,
        scoring: str | None = None,
        priors: str | Mapping[Label, float] | None = None,
        heads: HeadSet | Sequence[tuple[int, int]] | None = None,
        exit_early: float | None = None,
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
        prompt, prompts, method, n_heads, scoring, priors, heads, exit_early
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
        source = BackboneSource(Named(backbone, load_options), store)
        model = cls(
            source,
            prompt=prompt,
            prompts=prompts,
            method=method,
            n_heads=n_heads,
            scoring=scoring,
            priors=priors,
            heads=heads,
            exit_early=exit_early,
            store=store,
        )
        if not lazy:
            _ = model.backbone
        return model

    def __sklearn_tags__(self) -> Tags:
        tags = super().__sklearn_tags__()
        tags.input_tags.two_d_array, tags.input_tags.one_d_array, tags.input_tags.string = False, True, True
        tags.target_tags.required = False  # examples may have their own labels
        return tags

    def __repr__(self) -> str:
        name = self._source.name
        backbone = repr(name) if isinstance(name, str) else type(name).__name__
        state = "not fitted"
        if self._learned is not None:
            state = f"{len(self.classes_)} classes, {len(self.heads_)} heads"
        asked = f"prompt={self.prompt!r}" if self.prompts is None else f"prompts={list(self.prompts)!r}"
        return f"{type(self).__name__}({backbone}, {self._asked().name}, {state}, {asked})"

    @hashed_once()
    def fit(
        self,
        examples: Sequence[Any],
        labels: Sequence[Label] | None = None,
        *,
        unlabelled: Sequence[Any] | None = None,
        progress: bool = False,
    ) -> Self:
        """Learn from labeled examples; one forward pass per example in total.

        Parameters
        ----------
        examples : sequence
            Anything that `as_examples` takes.
        labels : sequence of label, optional
            By default the examples' own.
        unlabelled : sequence, optional
            Further examples without labels, such as those to be answered later, in about the proportions of
            ``priors``. They shift the classes' log probabilities, nothing else
            (`savs.classifiers.semi_supervised`); ``selection_report_["unlabelled"]`` says by how much. Not
            for ``"sav"``, and not with `prompts` or `exit_early`. Labels that they have are not read.
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
            If the labels cannot be used: missing, mixed types, one class, contradictions; or the method
            cannot use unlabelled items.
        ValueError
            If the method's settings do not fit the shots.

        Warns
        -----
        DataWarning
            If unlabelled items have labels or lack a medium that all shots have, the backbone has fewer heads
            than `n_heads`, so that all are kept, or every class has one shot, so that no head can be scored.

        Notes
        -----
        The order of the examples does not matter: they are read in the order of their content's digests, and
        a classifier saved from them holds the same bytes.
        """
        method, reader = self._asked(), self._new_reader()
        shots = reader.prompted(examples, labels)
        check_support(shots)
        items = unlabelled_items(reader, unlabelled, method)
        records, rows = reader.read_shots(shots, method, progress=progress)
        warn_of_unlike_inputs(records, items)
        more = reader.rows_for_fit(items, method, progress=progress) if items else None
        self._learn(method, reader, records, SupportSet.of(records, rows), more)
        return self

    def fit_class_names(self, classes: Sequence[Label]) -> Self:
        """Learn from the class names alone: for ``"option_likelihood"``, ``"auto_names"`` and ``"hec_t"``.

        Parameters
        ----------
        classes : sequence of label
            At least two, each once; their names are put to the model as text.

        Raises
        ------
        DataError
            If the method is another one, or the classes cannot be used.
        BackboneError
            If the method needs the likelihoods of the names and the backbone cannot give them.

        References
        ----------
        [HEC] arXiv:2603.24181, HEC-T.
        """
        method, reader = self._asked(), self._new_reader()
        names = checked_names(method, classes)
        layout, prototypes = self.backbone.layout, None
        maker: Maker = method
        if method.needs_options:
            as_scorer(self.backbone)
            layout = layout.with_options(len(names))
        if method.needs_prototypes:
            prototypes = reader.class_rows(names, method)
            maker, layout = reader.made_by(method, prototypes.shape[1]), reader.layout_of(prototypes.shape[1])
        learned = learn_class_names(maker, layout, names, prototypes)
        none = SupportSet((), np.empty((0, layout.width), np.float32))
        self._keep(method, reader, learned, [], none)
        self._unlabelled = None
        return self

    def partial_fit(
        self, examples: Sequence[Any], labels: Sequence[Label] | None = None, *, progress: bool = False
    ) -> Self:
        """Add shots as `add_shots` does, or fit if the model is not fitted yet.

        Parameters
        ----------
        examples, labels, progress
            As for `fit`.

        Returns
        -------
        SAVModel
            Itself; ``head_change_`` says which heads changed.

        Raises
        ------
        ItemError, DataError
            As `fit` and `add_shots` do.
        """
        if self._learned is None:
            return self.fit(examples, labels, progress=progress)
        self.add_shots(examples, labels, progress=progress)
        return self

    @hashed_once()
    def add_shots(
        self, examples: Sequence[Any], labels: Sequence[Label] | None = None, *, progress: bool = False
    ) -> HeadChange:
        """Add shots, of known or new classes; only they pass the backbone.

        Parameters
        ----------
        examples, labels, progress
            As for `fit`. An id that is a position, because the example came without any, is counted on.

        Returns
        -------
        HeadChange
            Which heads came into use, and which are not used any more.

        Raises
        ------
        DataError
            If an id is taken, a content is known under another label, the labels do not go with those of
            `fit`, or the shots' rows were not saved. Nothing is changed then.

        Notes
        -----
        The classifier is that of a fit on all shots together: everything but the forward pass is done again.
        """
        known = self._shots_with_rows()
        shots = self._reader.prompted(examples, labels)
        check_labels([*known.labels, *true_labels(shots)])
        warn_of_unlike_inputs(self.shots_, shots)
        name = known.free_id()
        records, rows = self._reader.read_shots(shots, self.method_, progress=progress)
        records = [replace(record, id=name(record.id)) for record in records]
        return self._change([*self.shots_, *records], known.with_more(records, rows))

    def remove_shots(self, ids: Sequence[str]) -> HeadChange:
        """Remove shots, without a forward pass.

        Parameters
        ----------
        ids : sequence of str
            Ids of ``shots_``.

        Returns
        -------
        HeadChange
            Which heads came into use, and which are not used any more.

        Raises
        ------
        DataError
            If an id belongs to no shot, only one class would be left, or the shots' rows were not saved.
            Nothing is changed then.
        """
        if isinstance(ids, str):
            raise DataError(f"ids must be a sequence of ids, got the text {ids!r}; write [{ids!r}]")
        left = self._shots_with_rows()
        for id in ids:
            left = left.without(id)
        return self._change([shot for shot in self.shots_ if shot.id not in set(ids)], left)

    def relabel(self, id: str, label: Label) -> HeadChange:
        """Give a shot another label, without a forward pass; shots of the same content get it too.

        Parameters
        ----------
        id : str
            Id of one of ``shots_``.
        label : label
            Of the type of the other labels.

        Returns
        -------
        HeadChange
            Which heads came into use, and which are not used any more.

        Raises
        ------
        DataError
            If there is no such shot, the label cannot be used, or the shots' rows were not saved.
        """
        known, label = self._shots_with_rows(), as_label(label)
        check_labels([*known.labels, label])
        changed = known.relabelled(id, label)
        by_content = {(shot.id, shot.digest): shot for shot in changed.shots}
        return self._change([by_content[shot.id, shot.digest] for shot in self.shots_], changed)

    @overload
    def predict(
        self,
        examples: Sequence[Any],
        *,
        on_error: Literal["raise"] = ...,
        batch_size: BatchSize = ...,
        progress: bool = ...,
    ) -> NDArray[Any]: ...

    @overload
    def predict(
        self,
        examples: Sequence[Any],
        *,
        on_error: Literal["collect"],
        max_errors: int = ...,
        abstention_policy: AbstentionPolicy | None = ...,
        batch_size: BatchSize = ...,
        progress: bool = ...,
    ) -> Predictions: ...

    def predict(
        self,
        examples: Sequence[Any],
        *,
        on_error: Literal["raise", "collect"] = "raise",
        max_errors: int = -1,
        abstention_policy: AbstentionPolicy | None = None,
        batch_size: BatchSize = None,
        progress: bool = False,
    ) -> NDArray[Any] | Predictions:
        """Return one label per example.

        Parameters
        ----------
        examples : sequence
            Anything that `as_examples` takes.
        on_error : {"raise", "collect"}, default="raise"
            Raise the `ItemError` of the first example that cannot be read, or collect the errors and return
            the answers to the others.
        max_errors : int, default=-1
            For ``"collect"``: how many examples may fail before the error of the next one is raised; -1 for
            any number.
        abstention_policy : AbstentionPolicy, optional
            For ``"collect"``: from `abstention_policy`, adds sets of classes, flags and examples unlike the
            shots.
        batch_size : int or "auto", optional
            Examples per forward pass, for this call; by default the backbone's own choice.
        progress : bool, default=False
            Show a progress bar.

        Returns
        -------
        ndarray of shape (n_examples,), or Predictions for ``"collect"``

        Raises
        ------
        ItemError
            If an example cannot be read; for ``"collect"``, if more than `max_errors` cannot.
        DataError
            For ``"raise"``, if there are no examples.
        """
        if on_error == "raise":
            features = self._kept_features(examples, batch_size=batch_size, progress=progress)
            return np.asarray(self._fitted.restricted.predict(features))
        if on_error != "collect":
            raise ValueError(f"on_error must be 'raise' or 'collect', got {on_error!r}")
        whole = abstention_policy is not None and abstention_policy.detector is not None
        found, read = self._fitted_reader.rows_or_errors(
            examples,
            self.heads_,
            exits=() if whole else self._fitted.exits,
            max_errors=max_errors,
            batch_size=batch_size,
            progress=progress,
        )
        warn_of_unlike_inputs(self.shots_, read)
        labels, proba = self.predict_features(found.features)
        n_layers = self._fitted.layers_passed(found.features)
        answers = Predictions(found.indices, labels, proba, found.errors, n_layers=n_layers)
        if abstention_policy is None:
            return answers
        shares = np.exp(self._log_proba(found.features)) if labels else proba
        return replace(answers, abstentions=abstention_policy.judge(found.features, shares))

    def predict_features(self, features: NDArray[np.float32]) -> tuple[list[Label], NDArray[np.float64]]:
        """Return labels and probabilities for rows that hold the vectors of the heads in use.

        Parameters
        ----------
        features : ndarray of float32, shape (n_examples, width)
            As `head_vectors` returns them for ``heads_``; may have no rows.

        Returns
        -------
        labels : list of label
        proba : ndarray of float64, shape (n_examples, n_classes)
            Columns in the order of ``classes_``.
        """
        classifier = self._fitted.restricted
        if not len(features):
            return [], np.empty((0, len(classifier.classes_)))
        return classifier.predict(features).tolist(), classifier.predict_proba(features)

    def predict_proba(
        self, examples: Sequence[Any], *, batch_size: BatchSize = None, progress: bool = False
    ) -> NDArray[np.float64]:
        """Return a probability for each class, shape (n_examples, n_classes), columns as ``classes_``.

        Calibrated on held-out shots; the share of votes for ``"sav"``, as published.

        Parameters
        ----------
        examples, batch_size, progress
            As for `predict`.
        """
        features = self._kept_features(examples, batch_size=batch_size, progress=progress)
        return np.asarray(self._fitted.restricted.predict_proba(features))

    def decision_function(
        self, examples: Sequence[Any], *, batch_size: BatchSize = None, progress: bool = False
    ) -> NDArray[np.float64]:
        """Return values of which the largest is the answer: log probabilities; votes for ``"sav"``.

        Shape (n_examples, n_classes), or (n_examples,) for two classes, positive for ``classes_[1]``.

        Parameters
        ----------
        examples, batch_size, progress
            As for `predict`.
        """
        features = self._kept_features(examples, batch_size=batch_size, progress=progress)
        return np.asarray(self._fitted.restricted.decision_function(features))

    def votes(
        self, examples: Sequence[Any], *, batch_size: BatchSize = None, progress: bool = False
    ) -> NDArray[Any]:
        """Return the label that each head votes for, shape (n_examples, n_kept_heads), best head first.

        With several prompts: first those of the heads that the first prompt uses, then of the next one.

        Parameters
        ----------
        examples, batch_size, progress
            As for `predict`.

        Raises
        ------
        DataError
            If the method's heads do not vote one by one.
        """
        classifier = self._fitted.restricted
        features = self._kept_features(examples, batch_size=batch_size, progress=progress, whole=True)
        opinions = head_opinions(classifier, features)
        if opinions is None:
            early = "" if self.method_.exit_early is None else " with exit_early"
            name = f"{self.method_.name!r}{early}"
            raise DataError(f"the heads of method {name} do not vote one by one; see explain")
        return np.asarray(classifier.classes_[opinions.votes.T])

    def score(
        self,
        examples: Sequence[Any],
        labels: Sequence[Label] | None = None,
        sample_weight: Sequence[float] | None = None,
    ) -> float:
        """Return the accuracy on labeled examples.

        Parameters
        ----------
        examples : sequence
            Anything that `as_examples` takes.
        labels : sequence of label, optional
            By default the examples' own.
        sample_weight : sequence of float, optional
            One per example; by default all count alike.

        Raises
        ------
        DataError
            If there are no examples, one has no label, or the weights are not one per example.

        Warns
        -----
        DataWarning
            If labels are not classes of the model, such as whole numbers where these are names; they count as
            wrong.
        """
        items = self._fitted_reader.prompted(examples, labels)
        truth = true_labels(items)
        if sample_weight is not None and len(sample_weight) != len(items):
            raise DataError(f"there are {len(items)} examples and {len(sample_weight)} sample_weight")
        answers = self._fitted.restricted.predict(self._rows(items)).tolist()
        warn_of_unknown_labels(truth, self.classes_.tolist())
        right = [key_of(one) == key_of(other) for one, other in zip(truth, answers, strict=True)]
        return float(np.average(right, weights=sample_weight))

    @hashed_once()
    def find_test_leakage(self, examples: Sequence[Any]) -> list[int]:
        """Return the indices of examples whose prompted content, text and media bytes, is that of a shot.

        A video is the same one whichever frames of it are read, where the shots' were read in one way.
        Examples that cannot be read are left out: ``predict(examples, on_error="collect")`` reports them.
        """
        prompted = self._fitted_reader.readable(examples, ErrorLedger(-1))
        indices = list(prompted)
        alike = read_alike(prompted.values(), self.shots_)
        digests = {shot.digest for shot in self.shots_}
        return [indices[position] for position in find_test_leakage(digests, alike)]

    def find_label_issues(self) -> list[LabelIssue]:
        """Return the shots that most heads would label otherwise when they are left out, worst first.

        Every head of the backbone has a vote, by a Gaussian per class with common covariance on the other
        shots (`savs.classifiers.evidence`).

        Raises
        ------
        DataError
            If the shots' rows were not saved.
        """
        support = self._shots_with_rows()
        classes, shots = shots_of(support, self.row_layout_)
        labels: list[Label] = classes.tolist()
        found = find_label_issues(held_out_votes(shots), shots.codes, len(classes))
        return [
            LabelIssue(support.shots[one.shot].id, labels[one.label], labels[one.suggested], *one[3:])
            for one in found
        ]

    def explain(self, example: Any, *, tiles: int = 4, progress: bool = False) -> Explanation:
        """Return the evidence for the answer to one example.

        Parameters
        ----------
        example : object
            Anything that `as_example` takes.
        tiles : int, default=4
            Each image is seen again without each of ``tiles * tiles`` tiles, and the text without each
            word; 0 leaves images alone.
        progress : bool, default=False
            Show a progress bar.

        Raises
        ------
        ItemError
            If the example cannot be read.

        Notes
        -----
        With several prompts the text is the example's own, and ``prompts`` of the answer has the evidence of
        each prompt alone. One forward pass per tile and word, in batches. Nearest shots, and votes of heads
        for methods whose heads do not vote one by one, need the shots' rows: those of a saved classifier if
        it was saved with ``keep_shots=True``.
        """
        if isinstance(tiles, bool) or not isinstance(tiles, int) or tiles < 0:
            raise ValueError(f"tiles must be 0 or more, got {tiles!r}")
        classifier = self._fitted.restricted
        asked, wheres = self._fitted_reader.without_pieces(example, lambda whole: occluded(whole, tiles))
        warn_of_unlike_inputs(self.shots_, asked[:1])
        rows = self._fitted_reader.rows(asked, self.heads_, progress=progress)
        kept = self._kept_shot_rows()
        if isinstance(classifier, PromptEnsembleClassifier):
            return explain_prompts(classifier, self._reader.prompts, rows, wheres, self._support, kept)
        return explain_rows(classifier, rows, wheres, self._support, kept)

    def head_vectors(
        self,
        examples: Sequence[Any],
        heads: Sequence[Head] | None = None,
        *,
        batch_size: BatchSize = None,
        progress: bool = False,
    ) -> NDArray[np.float32]:
        """Return feature rows; the model need not be fitted.

        Parameters
        ----------
        examples : sequence
            Anything that `as_examples` takes.
        heads : sequence of Head, optional
            In the order of the columns; all heads of the backbone by default.
        batch_size, progress
            As for `predict`.

        Returns
        -------
        ndarray of float32, shape (n_examples, width)
            With several prompts the rows of each stand side by side, heads first, last-layer states behind
            those of all prompts.
        """
        reader = self._new_reader() if self._learned is None else self._reader
        prompted = reader.prompted(examples)
        rows = reader.rows(prompted, heads, batch_size=batch_size, progress=progress)
        warn_of_unlike_inputs([] if self._learned is None else self.shots_, prompted)
        return rows

    def _learn(
        self,
        method: Method,
        reader: ExampleReader,
        records: list[Shot],
        support: SupportSet,
        unlabelled: NDArray[np.float32] | None = None,
    ) -> None:
        prototypes = None
        if method.needs_options:
            check_same_names(reader.options, support.labels)
        if method.needs_prototypes:
            names = np.unique(np.asarray(support.labels)).tolist()
            prototypes = reader.class_rows(names, method)
        width = support.known_rows().shape[1]
        maker, layout = reader.made_by(method, width), reader.layout_of(width)
        self._keep(method, reader, learn(maker, support, layout, prototypes, unlabelled), records, support)
        self._unlabelled = unlabelled

    def _asked(self) -> Method:
        chosen = self.heads.heads if isinstance(self.heads, HeadSet) else self.heads
        method = Method(
            self.method, self.n_heads, self.scoring, self.priors, chosen, exit_early=self.exit_early
        )
        check_takes_prompts(method, len(checked_prompts(self.prompt, self.prompts)))
        return method

    def _change(self, records: list[Shot], support: SupportSet) -> HeadChange:
        before = set(self.heads_)
        if self._unlabelled is None and "unlabelled" in self.selection_report_:
            raise DataError(
                "the classifier was fitted with unlabelled items, and their feature rows are not saved: fit "
                "again with all shots and the items"
            )
        self._learn(self.method_, self._reader, records, support, self._unlabelled)
        after = set(self.heads_)
        self.head_change_ = HeadChange(sorted(after - before), sorted(before - after))
        return self.head_change_
