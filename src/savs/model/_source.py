"""A model's backbone (given, loaded when first needed, or a saved classifier's), and reading with it."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal, Self

import numpy as np
from numpy.typing import NDArray

from savs.artifact import Artifact, Shot, check_backbone
from savs.backbones import Backbone, Extraction, PromptTemplate, load_backbone
from savs.backbones._by_reference import Reference, reference_to
from savs.backbones._memory import check_batch_size
from savs.backbones.loading import saved_options
from savs.cache import Counts, StoredBackbone, with_store
from savs.classifiers import Method
from savs.data import ErrorLedger, Example, Label, as_examples
from savs.data._unread import UnreadColumns, UnreadMarkers
from savs.errors import BackboneError, DataError
from savs.layout import EarlyExit, Head, HeadLayout
from savs.model._class_names import class_prompts, option_texts
from savs.model._drift import check_drift, probes_read_once
from savs.model._learning import Maker
from savs.model._rows import read_rows
from savs.model._support_set import as_shot, canonical_order
from savs.model.explanation import Variant, Where


@dataclass(frozen=True)
class Given:
    """A loaded backbone."""

    backbone: Backbone

    @property
    def name(self) -> Any:
        """Where it was loaded from, or the object itself."""
        source = self.backbone.fingerprint.get("source")
        return source if source is not None else self.backbone

    @property
    def by_reference(self) -> Given | Referenced:
        """The same without its weights; itself where it is no model, such as a stand-in."""
        reference = reference_to(self.backbone)
        return self if reference is None else Referenced(reference)

    def load(self) -> Backbone:
        """Return it."""
        return self.backbone


@dataclass(frozen=True)
class Referenced:
    """A backbone that was at hand in another process, or when this model was pickled."""

    reference: Reference

    @property
    def name(self) -> str:
        """The name or folder that it is loaded from."""
        return self.reference.source

    @property
    def by_reference(self) -> Self:
        """Itself."""
        return self

    def load(self) -> Backbone:
        """Load it, and check that it is the same."""
        return self.reference.load()


@dataclass(frozen=True)
class Named:
    """A backbone to be loaded: what `load_backbone` takes."""

    model: Any
    options: Mapping[str, Any]

    @property
    def name(self) -> Any:
        """The name or folder that it is loaded from."""
        return str(self.model) if isinstance(self.model, str | os.PathLike) else self.model

    @property
    def by_reference(self) -> Self:
        """Itself; `BackboneError` for a model object, which no name leads to."""
        if isinstance(self.model, str | os.PathLike):
            return self
        raise BackboneError(
            "a model object cannot be pickled or sent to other processes: hand in its name or folder, or "
            "keep the classifier with save_pretrained"
        )

    def load(self) -> Backbone:
        """Load it."""
        return load_backbone(self.model, **self.options)


@dataclass(frozen=True)
class Saved:
    """The backbone that a saved classifier belongs to; any other is refused.

    Attributes
    ----------
    artifact : Artifact
        What was saved.
    backbone : str, Path, Backbone or None
        Where it is now; None for the place recorded at fit.
    allow_mismatch : tuple of str
        Entries of the fingerprint that may differ.
    options : mapping
        For `load_backbone`; win over what was recorded.
    accept_drift : bool
        Use it even if the installed libraries compute other vectors than those of the fit.
    """

    artifact: Artifact
    backbone: Any
    allow_mismatch: tuple[str, ...]
    options: Mapping[str, Any]
    accept_drift: bool = False

    @property
    def name(self) -> Any:
        """Where it is now, or was."""
        if self.backbone is not None:
            return str(self.backbone)
        return self.artifact.fingerprint.get("source")

    @property
    def by_reference(self) -> Self:
        """The same without weights."""
        if not isinstance(self.backbone, Backbone):
            return self
        reference = reference_to(self.backbone)
        if reference is None:
            return self
        return replace(self, backbone=reference.source, options={**self.options, **reference.options})

    def load(self) -> Backbone:
        """Load it, unless it is there, and check it."""
        backbone = self.backbone if isinstance(self.backbone, Backbone) else self._loaded()
        accepted = check_backbone(self.artifact, backbone.fingerprint, backbone.layout, self.allow_mismatch)
        if not accepted and not self.accept_drift:  # the vectors of a backbone that differs would differ too
            check_drift(self.artifact, backbone)
        return backbone

    def _loaded(self) -> Backbone:
        saved = self.artifact.fingerprint
        source = self.backbone if self.backbone is not None else saved.get("source")
        if source is None:
            raise BackboneError("the classifier was fitted on a model object: pass the same one as backbone=")
        options = saved_options(saved, self.backbone)
        try:
            return load_backbone(source, **{**options, **self.options})
        except BackboneError as error:
            if self.backbone is not None:
                raise
            moved = "if the backbone is elsewhere now, name it with backbone= or --backbone"
            raise BackboneError(f"{error}; {moved}") from error


@dataclass(frozen=True)
class SavedTogether:
    """The one backbone of several classifiers that were saved together; each of them checks it.

    Attributes
    ----------
    first : Saved
        The backbone as the first of them asks for it.
    others : tuple of Artifact
        The other ones.
    """

    first: Saved
    others: tuple[Artifact, ...]

    @property
    def name(self) -> Any:
        """Where it is now, or was."""
        return self.first.name

    @property
    def by_reference(self) -> Self:
        """The same without weights."""
        return replace(self, first=self.first.by_reference)

    def load(self) -> Backbone:
        """Load it, unless it is there, and check it for each."""
        with probes_read_once():
            backbone = self.first.load()
            for artifact in self.others:
                replace(self.first, artifact=artifact, backbone=backbone).load()
        return backbone


BatchSize = int | Literal["auto"] | None
"""Examples per forward pass; None for the backbone's own choice."""

Origin = Given | Referenced | Named | Saved | SavedTogether


class BackboneSource:
    """A backbone, loaded at the first use, with a feature store around it if one is wanted.

    Parameters
    ----------
    origin : Given, Referenced, Named, Saved or SavedTogether
        Where it comes from.
    store : path, optional
        Folder of the feature store.

    Raises
    ------
    StoreError
        If the store's folder holds something else.
    """

    def __init__(self, origin: Origin, store: str | os.PathLike[str] | None = None) -> None:
        self.origin = origin
        self._backbone: Backbone | None = None
        self._store = None if store is None else Path(store)
        if self._store is not None:
            from savs.cache._part_catalog import check_folder

            check_folder(self._store)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.name!r})"

    def __deepcopy__(self, _memo: dict[int, Any]) -> Self:
        return self  # frozen: copies of a model share it

    def __getstate__(self) -> dict[str, Any]:
        """Return it by reference: never weights, and no store's rows."""
        origin, store = self.origin, self._store
        if isinstance(self._backbone, StoredBackbone):
            store = self._backbone.store.folder
        if isinstance(origin, Given) and isinstance(origin.backbone, StoredBackbone):
            origin = Given(origin.backbone.backbone)
        return {"origin": origin.by_reference, "_backbone": None, "_store": store}

    @property
    def name(self) -> Any:
        """Where the backbone comes from, as far as that is known without loading it."""
        return self.origin.name

    @property
    def parameter(self) -> Backbone | BackboneSource | str | os.PathLike[str]:
        """What a model's parameter ``backbone`` is: what was given, or this source; nothing is loaded."""
        if isinstance(self.origin, Given):
            return self.origin.backbone
        return self.origin.model if isinstance(self.origin, Named) and not self.origin.options else self

    @property
    def loaded(self) -> Backbone | None:
        """The backbone, if it was needed before."""
        return self._backbone

    @property
    def backbone(self) -> Backbone:
        """The backbone; loaded, checked and wrapped now if it was not."""
        if self._backbone is None:
            self._backbone = self.origin.load()
        if self._store is not None:
            self._backbone = with_store(self._backbone, self._store)
            self._store = None
        return self._backbone

    @contextmanager
    def in_batches(self, size: BatchSize) -> Iterator[Backbone]:
        """Yield the backbone with another batch size; None leaves it as it is.

        Parameters
        ----------
        size : int, "auto" or None
            Examples per forward pass. A backbone that is no transformers model takes no notice.

        Raises
        ------
        BackboneError
            If it is neither a positive whole number nor ``"auto"``.
        """
        backbone = self.backbone
        if size is None:
            yield backbone
            return
        from savs.backbones.transformers_backbone import TransformersBackbone

        check_batch_size(size)
        inner = backbone.backbone if isinstance(backbone, StoredBackbone) else backbone
        if isinstance(inner, TransformersBackbone):
            inner = inner.in_mode(size, prefix_reuse=inner.prefix_reuse)
        if not isinstance(backbone, StoredBackbone):
            yield inner
            return
        before, backbone.backbone = backbone.backbone, inner
        try:
            yield backbone
        finally:
            backbone.backbone = before

    @property
    def store_counts(self) -> Counts | None:
        """How many examples were read from the store so far, in all calls; None without a store."""
        if isinstance(self._backbone, StoredBackbone):
            return self._backbone.total
        return None if self._store is None else Counts()


def saved_together(
    sources: Sequence[BackboneSource], store: str | os.PathLike[str] | None = None
) -> BackboneSource:
    """Return the source for several saved classifiers that share one backbone, which the first asks for.

    Parameters
    ----------
    sources : sequence of BackboneSource
        Of saved classifiers, at least one.
    store : path, optional
        As for `SAVModel`.
    """
    origins = [source.origin for source in sources]
    first, *others = (origin for origin in origins if isinstance(origin, Saved))
    together = SavedTogether(first, tuple(other.artifact for other in others))
    return BackboneSource(together, store)


def as_source(
    backbone: Backbone | BackboneSource | str | os.PathLike[str],
    store: str | os.PathLike[str] | None = None,
) -> BackboneSource:
    """Return the source of a backbone; one that is a source already stays as it is.

    Raises
    ------
    TypeError
        If it is no backbone and no name of one.
    """
    if isinstance(backbone, BackboneSource):
        return backbone
    if isinstance(backbone, str | os.PathLike):
        return BackboneSource(Named(backbone, {}), store)
    if not isinstance(backbone, Backbone):
        raise TypeError(
            f"backbone must be a name, a folder or a backbone, got {type(backbone).__name__}; wrap a model "
            "with savs.load_backbone(model, processor=...)"
        )
    return BackboneSource(Given(backbone), store)


# Reading examples.


class ExampleReader:
    """Reads examples as one model does: with its prompt, through its backbone.

    Parameters
    ----------
    source : BackboneSource
        The backbone.
    prompt : str or None
        Prompt template; None leaves examples as they are.

    Attributes
    ----------
    options : tuple of str
        Texts of the sorted classes, where rows end in their log likelihoods; else empty.
    """

    def __init__(self, source: BackboneSource, prompt: str | None) -> None:
        self.source = source
        self.prompt = prompt
        self.prompts: tuple[str | None, ...] = (prompt,)
        self.options: tuple[str, ...] = ()
        self._template = None if prompt is None else PromptTemplate(prompt)
        self._unread = UnreadColumns(() if self._template is None else self._template.placeholders)
        self._markers = UnreadMarkers()

    @property
    def prompts_or_none(self) -> Sequence[str] | None:
        """The prompts where they are several, else None: `prompt` is the only one then."""
        return None

    def prompted(self, examples: Sequence[Any], labels: Sequence[Label] | None = None) -> list[Example]:
        """Return examples with their prompt; the first one that cannot be used raises its `ItemError`.

        Parameters
        ----------
        examples : sequence
            Anything that `as_examples` takes.
        labels : sequence of label, optional
            By default the examples' own.
        """
        made = as_examples(examples, labels)
        self._unread.warn(made)
        prompted = list(map(self._apply, made))
        self._markers.warn(prompted)
        return prompted

    def readable(self, examples: Sequence[Any], ledger: ErrorLedger) -> dict[int, Example]:
        """Return the usable examples with their prompt, by position; the errors go to the new ledger."""
        made = as_examples(examples, ledger=ledger)
        self._unread.warn(made)
        placed = dict(zip(ledger.kept(len(made)), made, strict=True))
        prompted = ledger.collect(self._apply, placed)
        self._markers.warn(prompted.values())
        return prompted

    def rows(
        self,
        prompted: Sequence[Example],
        heads: Sequence[Head] | None = None,
        *,
        exits: Sequence[EarlyExit] = (),
        batch_size: BatchSize = None,
        progress: bool = False,
    ) -> NDArray[np.float32]:
        """Return rows of the given heads, all by default, shape (n_examples, width).

        Parameters
        ----------
        prompted : sequence of Example
            As `prompted` returns them.
        heads : sequence of Head, optional
            In the order of the columns.
        exits : sequence of EarlyExit, optional
            See `read_rows`.
        batch_size : int or "auto", optional
            See `BackboneSource.in_batches`.
        progress : bool, default=False
            Show a progress bar.
        """
        with self.source.in_batches(batch_size) as backbone:
            options = self.options if heads is not None else ()
            return read_rows(
                backbone, prompted, heads, options=options, exits=exits, progress=progress
            ).features

    def rows_or_errors(
        self,
        examples: Sequence[Any],
        heads: Sequence[Head],
        *,
        exits: Sequence[EarlyExit] = (),
        max_errors: int,
        batch_size: BatchSize = None,
        progress: bool,
    ) -> tuple[Extraction, list[Example]]:
        """Return the rows that can be read, with the errors of the other examples, and the examples read.

        Parameters
        ----------
        examples : sequence
            Anything that `as_examples` takes.
        heads : sequence of Head
            In the order of the columns.
        exits : sequence of EarlyExit, optional
            See `read_rows`.
        max_errors : int
            How many examples may fail; -1 for any number.
        batch_size : int or "auto", optional
            See `BackboneSource.in_batches`.
        progress : bool
            Show a progress bar.
        """
        ledger = ErrorLedger(max_errors)
        prompted = self.readable(examples, ledger)
        with self.source.in_batches(batch_size) as backbone:
            found = self._extracted(backbone, prompted, heads, ledger, exits=exits, progress=progress)
        return found, [prompted[index] for index in found.indices.tolist()]

    def without_pieces(
        self, example: Any, pieces: Callable[[Example], Iterable[Variant]]
    ) -> tuple[list[Example], list[Where]]:
        """Return an example with its prompt, and without each of some pieces; and what these are.

        Parameters
        ----------
        example : object
            Anything that `as_example` takes.
        pieces : callable
            From the example to itself without each piece.
        """
        [whole] = self.prompted([example])
        variants = list(pieces(whole))
        return [whole, *(one.example for one in variants)], [one.where for one in variants]

    def _apply(self, example: Example) -> Example:
        return example if self._template is None else self._template.apply(example)

    def _extracted(
        self,
        backbone: Backbone,
        placed: Mapping[int, Example],
        heads: Sequence[Head],
        ledger: ErrorLedger,
        *,
        exits: Sequence[EarlyExit],
        progress: bool,
    ) -> Extraction:
        """Return the rows that can be read, by position among all; the ledger takes the other errors."""
        found = read_rows(
            backbone,
            list(placed.values()),
            heads,
            options=self.options,
            exits=exits,
            max_errors=ledger.left,
            progress=progress,
        )
        indices = np.asarray(list(placed), dtype=np.intp)[found.indices]
        ledger.note_rest(placed, set(indices.tolist()), found.errors)
        return Extraction(found.features, indices, ledger.errors)

    def rows_for_fit(
        self, prompted: Sequence[Example], method: Method, *, progress: bool = False
    ) -> NDArray[np.float32]:
        """Return rows of all heads, and of the last-layer state and the options where the method uses them.

        Parameters
        ----------
        prompted : sequence of Example
            As `prompted` returns them.
        method : Method
            What is fitted on the rows.
        progress : bool, default=False
            Show a progress bar.
        """
        return read_rows(
            self.source.backbone,
            prompted,
            state=method.needs_state,
            state_is_optional=method.state_is_optional,
            options=self.options if method.needs_options else (),
            progress=progress,
        ).features

    def read_shots(
        self, shots: Sequence[Example], method: Method, *, progress: bool
    ) -> tuple[list[Shot], NDArray[np.float32]]:
        """Return records and rows of labeled shots, in the order given.

        They are read in the order of their contents, so that the batches do not depend on the order.

        Parameters
        ----------
        shots : sequence of Example
            With their prompt.
        method : Method
            What is fitted on the rows.
        progress : bool
            Show a progress bar.
        """
        for shot in shots:
            if shot.label is None:
                raise DataError(f"the shot {shot.id} has no label")
        records = [as_shot(shot, shot.label) for shot in shots if shot.label is not None]
        if method.needs_options and not self.options:
            self.options = option_texts(np.unique(np.asarray([record.label for record in records])).tolist())
        order = canonical_order(records)
        found = self.rows_for_fit([shots[i] for i in order], method, progress=progress)
        rows = np.empty_like(found)
        rows[order] = found
        return records, rows

    def class_rows(self, classes: Sequence[Label], method: Method) -> NDArray[np.float32]:
        """Return a row for each class: of its name, put to the model as text before the prompt.

        Parameters
        ----------
        classes : sequence of label
            The classes, sorted.
        method : Method
            What is fitted on the rows.
        """
        return self.rows_for_fit(self._class_examples(classes), method)

    def _class_examples(self, classes: Sequence[Label]) -> list[Example]:
        return class_prompts(classes, self.prompt)

    def made_by(self, method: Method, width: int) -> Maker:  # noqa: ARG002
        """Return what makes the estimator for rows of this many columns: the method itself."""
        return method

    def layout_of(self, width: int) -> HeadLayout:
        """Return the layout of rows of this many columns."""
        layout, n_options = self.source.backbone.layout, len(self.options)
        n_state = width - layout.width - n_options
        layout = layout.with_state(n_state) if n_state else layout
        return layout.with_options(n_options) if n_options else layout
