"""Several prompts about the same examples: each example is read with every prompt, its media once.

The rows of all prompts stand side by side (`savs.classifiers.prompt_ensemble`), so that everything behind the
reader has one row per example, as with one prompt. What the prompts of an example have in common goes through
the model once where it comes first, as images do (`savs.backbones._prefixes`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray

from savs.backbones import Backbone, Extraction, PromptTemplate
from savs.classifiers import Method
from savs.classifiers.prompt_ensemble import PromptMethod, PromptRows
from savs.data import ErrorLedger, Example, Label, as_examples
from savs.data._results import ErrorLimit
from savs.data._unread import UnreadColumns
from savs.errors import ItemError
from savs.layout import EarlyExit, Head, HeadLayout
from savs.model._class_names import class_prompts
from savs.model._rows import read_rows
from savs.model._source import BackboneSource, BatchSize, ExampleReader
from savs.model.explanation import Variant, Where

__all__ = ["PromptedExample", "PromptsReader", "WithPrompts", "checked_prompts", "reader_with"]


def checked_prompts(prompt: str | None, prompts: Sequence[str] | None) -> tuple[str | None, ...]:
    """Return the prompts of a model: those of the parameter `prompts`, or the one of `prompt`.

    Raises
    ------
    ValueError
        If both are given, or `prompts` are not one or more different texts.
    """
    if prompts is None:
        if not isinstance(prompt, str | None):
            raise ValueError(f"prompt must be one text, got {_named(prompt)}; several are prompts=[...]")
        return (prompt,)
    if prompt is not None:
        raise ValueError("give prompt or prompts, not both")
    if (
        not isinstance(prompts, Sequence)
        or isinstance(prompts, str)
        or not len(prompts)
        or not all(isinstance(one, str) for one in prompts)
    ):
        raise ValueError(f"prompts must be a list of one or more texts, got {_named(prompts)}")
    if len(set(prompts)) < len(prompts):
        twice = next(one for one in prompts if list(prompts).count(one) > 1)
        raise ValueError(f"prompts must differ from each other; {twice!r:.80} is given twice")
    return tuple(prompts)


def _named(value: Any) -> str:
    """Return a text or list as it is written, and of anything else the type: its repr may be an address."""
    return f"{value!r:.80}" if isinstance(value, str | list | tuple) else f"a {type(value).__name__}"


def reader_with(source: BackboneSource, prompts: Sequence[str | None]) -> ExampleReader:
    """Return what reads examples with one prompt, or with several.

    Parameters
    ----------
    source : BackboneSource
        The backbone.
    prompts : sequence of str or None
        As `checked_prompts` returns them.
    """
    if len(prompts) == 1:
        return ExampleReader(source, prompts[0])
    return PromptsReader(source, [prompt for prompt in prompts if prompt is not None])


@dataclass(frozen=True, repr=False)
class PromptedExample(Example):
    """An example with each of several prompts.

    Its messages are those of all of them, one after the other, so that its hash and its media are those of
    all that the model reads.

    Attributes
    ----------
    asked : tuple of Example
        The example with each prompt; these are what the model reads.
    """

    asked: tuple[Example, ...] = ()

    @classmethod
    def of(cls, asked: Sequence[Example]) -> PromptedExample:
        """Return one example with its prompts."""
        first = asked[0]
        return cls(
            tuple(message for example in asked for message in example.messages),
            first.label,
            first.id,
            first.fields,
            first.label_column,
            first.labels,
            asked=tuple(asked),
        )


class WithPrompts:
    """Gives an example its prompt, or all of several; one that has several already keeps them.

    Parameters
    ----------
    prompts : sequence of str or None
        As `checked_prompts` returns them.
    """

    def __init__(self, prompts: Sequence[str | None]) -> None:
        self._templates = [PromptTemplate(prompt) for prompt in prompts if prompt is not None]

    @property
    def placeholders(self) -> list[str]:
        """Names in braces, in order."""
        return [name for template in self._templates for name in template.placeholders]

    def __call__(self, example: Example) -> Example:
        """Return the example with its prompts; `ItemError` if it lacks something that they need."""
        if isinstance(example, PromptedExample) or not self._templates:
            return example
        asked = [template.apply(example) for template in self._templates]
        return asked[0] if len(asked) == 1 else PromptedExample.of(asked)


def first_prompt(example: Example) -> Example:
    """Return an example with the first of its prompts alone."""
    return example.asked[0] if isinstance(example, PromptedExample) else example


class PromptsReader(ExampleReader):
    """Reads examples with several prompts, through one backbone.

    Parameters
    ----------
    source : BackboneSource
        The backbone.
    prompts : sequence of str
        Prompt templates, at least two.
    """

    def __init__(self, source: BackboneSource, prompts: Sequence[str]) -> None:
        super().__init__(source, None)
        self.prompts = self._several = tuple(prompts)
        self._apply_all = WithPrompts(self.prompts)
        self._unread = UnreadColumns(self._apply_all.placeholders)

    @property
    def prompts_or_none(self) -> Sequence[str] | None:
        """The prompts."""
        return self._several

    def without_pieces(
        self, example: Any, pieces: Callable[[Example], Iterable[Variant]]
    ) -> tuple[list[Example], list[Where]]:
        """Return an example without each of some pieces, with all prompts; the prompts stay whole.

        Parameters
        ----------
        example, pieces
            As for `ExampleReader.without_pieces`.
        """
        [whole] = as_examples([example])
        variants = list(pieces(whole))
        asked = self.prompted([whole, *(one.example for one in variants)])
        return asked, [one.where for one in variants]

    def _apply(self, example: Example) -> Example:
        return self._apply_all(example)

    def rows(
        self,
        prompted: Sequence[Example],
        heads: Sequence[Head] | None = None,
        *,
        exits: Sequence[EarlyExit] = (),
        batch_size: BatchSize = None,
        progress: bool = False,
    ) -> NDArray[np.float32]:
        """Return rows of all prompts side by side; see `ExampleReader.rows`.

        Parameters
        ----------
        prompted : sequence of Example
            As `prompted` returns them.
        heads : sequence of Head, optional
            The same for each prompt, in the order of its columns.
        exits, batch_size, progress
            As for `ExampleReader.rows`. Classifiers of several prompts have no exits.
        """
        with self.source.in_batches(batch_size) as backbone:
            found = read_rows(backbone, _asked(prompted), heads, exits=exits, progress=progress).features
        return _side_by_side(found, len(self.prompts), _n_heads_columns(backbone, heads))

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
        n, places = len(self.prompts), list(placed)
        found = read_rows(
            backbone,
            _asked(list(placed.values())),
            heads,
            exits=exits,
            max_errors=_allowed(ledger.left, n),
            progress=progress,
        )
        read, first_errors = _complete(found, len(placed), n)
        for position, error in first_errors.items():
            ledger.add(places[position], placed[places[position]], error)
        rows = _side_by_side(found.features[read.ravel()], n, _n_heads_columns(backbone, heads))
        kept = [index for position, index in enumerate(places) if position not in first_errors]
        return Extraction(rows, np.asarray(kept, dtype=np.intp), ledger.errors)

    def rows_for_fit(
        self, prompted: Sequence[Example], method: Method, *, progress: bool = False
    ) -> NDArray[np.float32]:
        """Return rows of all heads of all prompts, and of the states; see `ExampleReader.rows_for_fit`.

        Parameters
        ----------
        prompted : sequence of Example
            As `prompted` returns them.
        method : Method
            What is fitted on the rows.
        progress : bool, default=False
            Show a progress bar.
        """
        found = super().rows_for_fit(_asked(prompted), method, progress=progress)
        return _side_by_side(found, len(self.prompts), self.source.backbone.layout.width)

    def _class_examples(self, classes: Sequence[Label]) -> list[Example]:
        of_each = [class_prompts(classes, prompt) for prompt in self.prompts]
        return [PromptedExample.of(asked) for asked in zip(*of_each, strict=True)]

    def layout_of(self, width: int) -> HeadLayout:
        """Return the layout of rows of this many columns, of all prompts side by side."""
        return self._rows_of(width).layout

    def made_by(self, method: Method, width: int) -> PromptMethod:
        """Return what makes the estimator for rows of this many columns: the method, once per prompt."""
        return PromptMethod(method, self._rows_of(width))

    def _rows_of(self, width: int) -> PromptRows:
        n = len(self.prompts)
        return PromptRows.of(super().layout_of(width // n), n)


def read_side_by_side(
    backbone: Backbone,
    prompted: Sequence[Example],
    n_prompts: int,
    *,
    max_errors: int = 0,
    progress: bool = False,
) -> Extraction:
    """Return the head vectors and last-layer states of all prompts, side by side, of a comparison.

    Parameters
    ----------
    backbone : Backbone
        The frozen model.
    prompted : sequence of Example
        From `WithPrompts`.
    n_prompts : int
        How many prompts each has.
    max_errors : int, default=0
        How many examples may fail before the error of one more is raised; -1 means any number.
    progress : bool, default=False
        Show a progress bar.
    """
    if n_prompts == 1:
        return backbone.extract(prompted, max_errors=max_errors, progress=progress, states=True)
    allowed = _allowed(max_errors, n_prompts)
    found = backbone.extract(_asked(prompted), max_errors=allowed, progress=progress, states=True)
    read, first_errors = _complete(found, len(prompted), n_prompts)
    limit = ErrorLimit(max_errors)
    errors = [limit.count(error) for error in first_errors.values()]
    indices = np.array([i for i in range(len(prompted)) if i not in first_errors], dtype=np.intp)
    flat = read.ravel()
    states = None if found.states is None else _side_by_side(found.states[flat], n_prompts, 0)
    features = _side_by_side(found.features[flat], n_prompts, found.features.shape[1])
    return Extraction(features, indices, errors, states)


def _asked(prompted: Sequence[Example]) -> list[Example]:
    """Return every example with every prompt, those of one example together: they share its media."""
    return [one for example in prompted for one in cast("PromptedExample", example).asked]


def _allowed(max_errors: int, n_prompts: int) -> int:
    """Return how many prompts may fail where some examples may: all prompts of an example can."""
    return max_errors if max_errors < 0 else max_errors * n_prompts


def _side_by_side(rows: NDArray[np.float32], n_prompts: int, n_columns: int) -> NDArray[np.float32]:
    """Turn rows of one prompt each, those of an example together, into rows of all prompts.

    Parameters
    ----------
    rows : ndarray of float32, shape (n_examples * n_prompts, width)
    n_prompts : int
    n_columns : int
        How many columns belong to heads; those behind them come after the heads of all prompts.
    """
    of_each = [rows[prompt::n_prompts] for prompt in range(n_prompts)]
    states = [part[:, n_columns:] for part in of_each]
    return np.hstack([*(part[:, :n_columns] for part in of_each), *states])


def _n_heads_columns(backbone: Backbone, heads: Sequence[Head] | None) -> int:
    """Return how many columns of a row belong to heads."""
    if heads is None:
        return backbone.layout.width
    wanted = [head for head in heads if not head.is_state]
    return backbone.layout.select(wanted).width if wanted else 0


def _complete(
    found: Extraction, n_examples: int, n_prompts: int
) -> tuple[NDArray[np.intp], dict[int, ItemError]]:
    """Return which rows belong to examples that were read with every prompt, and the others' first errors."""
    place = np.full(n_examples * n_prompts, -1, dtype=np.intp)
    place[found.indices] = np.arange(len(found.indices))
    unread = np.flatnonzero(place < 0).tolist()
    errors: dict[int, ItemError] = {}
    for flat, error in zip(unread, found.errors, strict=True):
        errors.setdefault(flat // n_prompts, error)
    table = place.reshape(n_examples, n_prompts)
    return table[(table >= 0).all(axis=1)], errors
