"""The baselines by name: what each one needs, whether it is slow, and how it answers the items of a draw.

The functions are those of `savs.baselines`; a module there is imported when its baseline is first run.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from importlib import import_module
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Literal, TypeVar

import numpy as np
from numpy.typing import NDArray

from savs.backbones import Backbone
from savs.baselines import BaselineResult, last_layer, majority_class, zero_shot
from savs.data import Example, Label
from savs.errors import DataError, SAVsError
from savs.layout import HeadLayout
from savs.model._prompts import first_prompt

if TYPE_CHECKING:
    from savs.evaluation.contenders import ReadExamples, Rows

__all__ = [
    "BASELINES",
    "Answers",
    "Baseline",
    "BaselineInput",
    "BaselineModels",
    "BaselineSettings",
    "Need",
    "ask",
    "once",
]

Found = TypeVar("Found")

Need = Literal["shots", "rows", "states", "examples", "backbone", "image_text_model", "embedding_model"]
"""What a baseline uses: labeled shots, head vectors, last-layer states, the examples, or a model."""


# What all baselines of a comparison share: settings, and models that are loaded once.


@dataclass(frozen=True)
class BaselineSettings:
    """Settings of the baselines of a comparison.

    Attributes
    ----------
    image_text_model : str or None
        Folder or hub id of the CLIP or SigLIP model of the baselines ``clip_*``.
    embedding_model : str or None
        Folder or hub id of the sentence-transformers model of ``embedding_*`` and ``setfit``.
    in_context_shots : int, default=4
        Shots in the prompt of ``in_context``.
    name_classes : bool, default=True
        Whether ``zero_shot`` and ``in_context`` put the names of the classes after the prompt; off where it
        lists the answers itself.
    seed : int, default=0
        Of baselines that choose or train at random.

    Raises
    ------
    ValueError
        If `in_context_shots` is below 1.
    """

    image_text_model: str | None = None
    embedding_model: str | None = None
    in_context_shots: int = 4
    name_classes: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        if self.in_context_shots < 1:
            raise ValueError(f"in_context_shots must be at least 1, got {self.in_context_shots}")


@dataclass(frozen=True)
class Answers:
    """What the model itself said, asked once per item.

    Attributes
    ----------
    by_row : dict of int to label or None
        None where the answer names no class.
    seconds : float
        For all of them together.
    said : dict of int to str
        The answers in words.
    """

    by_row: dict[int, Label | None]
    seconds: float
    said: dict[int, str] = field(default_factory=dict)


_ASKED_TOGETHER = 32


def ask(
    backbone: Backbone,
    examples: Mapping[int, Example],
    classes: Sequence[Label],
    tell: Callable[[int], object] = lambda _: None,
    *,
    name_classes: bool = True,
    lettered: bool = False,
) -> Answers:
    """Let the model answer examples in words.

    Parameters
    ----------
    backbone : Backbone
        The frozen model.
    examples : mapping of int to Example
        What to ask, by row.
    classes : sequence of label
        The answers there are.
    tell : callable
        Called with the number of answers after each batch of them.
    name_classes : bool, default=True
        Put the names of the classes after the prompt.
    lettered : bool, default=False
        The prompt lists the classes as options (A), (B), ...

    Raises
    ------
    SAVsError
        If the model cannot generate, or an example cannot be asked.
    """
    started = time.perf_counter()
    by_row: dict[int, Label | None] = {}
    said: dict[int, str] = {}
    for rows in _chunks(list(examples)):
        asked = [examples[row] for row in rows]
        found = zero_shot(backbone, asked, classes, name_classes=name_classes, lettered=lettered)
        by_row |= zip(rows, found.labels, strict=True)
        said |= zip(rows, found.answers, strict=True)
        tell(len(rows))
    return Answers(by_row, time.perf_counter() - started, said)


def _chunks(rows: Sequence[int]) -> Iterable[Sequence[int]]:
    return (rows[start : start + _ASKED_TOGETHER] for start in range(0, len(rows), _ASKED_TOGETHER))


def once(read: Callable[[], Found]) -> Callable[[], Found]:
    """Return a function that reads at its first call; what was read, or the error, stays.

    Parameters
    ----------
    read : callable
        Takes nothing.
    """
    known: list[Found] = []
    failed: list[Exception] = []

    def recall() -> Found:
        if failed:
            raise failed[0]
        if not known:
            try:
                known.append(read())
            except (SAVsError, ValueError, MemoryError) as error:
                failed.append(error)
                raise
        return known[0]

    return recall


class BaselineModels:
    """The models that baselines of a comparison run; each is loaded, or asked, at its first use.

    Parameters
    ----------
    backbone : Backbone or None
        The frozen model of the comparison; None if no baseline needs it.
    classes : sequence of label
        The answers there are, sorted.
    asked : mapping of int to Example
        The examples that slow baselines are judged on, by row.
    settings : BaselineSettings, optional
        Names of the other models, and numbers.
    tell : callable, optional
        Called with the number of answers after each batch of zero-shot answers.
    asked_with : mapping of str to bool, optional
        Keywords of `ask` for ``zero_shot``, where `asked` have a prompt of their own.

    Attributes
    ----------
    image_text_model, embedding_model, answers : callable
        Return the model, or what the backbone answered in words; a failure is raised again at each call.
    """

    def __init__(
        self,
        backbone: Backbone | None,
        classes: Sequence[Label],
        asked: Mapping[int, Example],
        settings: BaselineSettings | None = None,
        tell: Callable[[int], object] = lambda _: None,
        asked_with: Mapping[str, bool] | None = None,
    ) -> None:
        self._backbone, self.classes, self.asked = backbone, list(classes), dict(asked)
        self.settings = settings or BaselineSettings()
        self.answered: Answers | None = None
        self._tell = tell
        self._asked_with = asked_with or {"name_classes": self.settings.name_classes}
        self.image_text_model = once(self._load_image_text_model)
        self.embedding_model = once(self._load_embedding_model)
        self.answers = once(self._ask)

    @property
    def backbone(self) -> Backbone:
        """The frozen model."""
        if self._backbone is None:
            raise DataError("this baseline needs a backbone")
        return self._backbone

    def _ask(self) -> Answers:
        self.answered = ask(
            self.backbone,
            self.asked,
            self.classes,
            self._tell,
            **self._asked_with,
        )
        return self.answered

    def _load_image_text_model(self) -> Any:
        name = self.settings.image_text_model
        if name is None:
            raise DataError("no image-text model is named: give image_text_model (--image-text-model)")
        return _function("image_text", "ImageTextModel").load(name)

    def _load_embedding_model(self) -> Any:
        name = self.settings.embedding_model
        if name is None:
            raise DataError("no embedding model is named: give embedding_model (--embedding-model)")
        return _function("text_embedding", "EmbeddingModel").load(name)


# What one baseline gets in one draw.


@dataclass(frozen=True)
class BaselineInput:
    """Shots and items of one draw, as rows of a comparison; each view is made when it is asked for.

    Attributes
    ----------
    read : ReadExamples
        All examples of the comparison.
    drawn, items : ndarray of int
        Rows of the shots and of the items to answer.
    models : BaselineModels
        The models of the comparison.
    """

    read: ReadExamples
    drawn: Rows
    items: Rows
    models: BaselineModels

    @property
    def labels(self) -> NDArray[Any]:
        """Labels of the shots, of one type; those of all classes where there are no shots."""
        # Shots are of one label type, which is not known of the test.
        return np.array(self.read.labels[self.drawn].tolist() if len(self.drawn) else list(self.read.classes))

    @property
    def classes(self) -> list[Label]:
        """The classes, sorted."""
        found: list[Label] = np.unique(self.labels).tolist()
        return found

    @property
    def shots(self) -> list[Example]:
        """The shots, with the first prompt."""
        return [first_prompt(self.read.examples[row]) for row in self.drawn.tolist()]

    @property
    def queries(self) -> list[Example]:
        """The items, with the first prompt."""
        return [first_prompt(self.read.examples[row]) for row in self.items.tolist()]

    def head_rows(self, rows: Rows) -> NDArray[np.float32]:
        """Return the head vectors of the first prompt."""
        return self.read.features[rows, : self.read.layout.width]

    def states(self, rows: Rows) -> NDArray[np.float32]:
        """Return the last-layer states of the first prompt.

        Raises
        ------
        DataError
            If the backbone gives none.
        """
        states = self.read.last_states()
        return states[rows, : states.shape[1] // self.read.n_prompts]

    def head_and_state_rows(self, rows: Rows) -> tuple[NDArray[np.float32], HeadLayout]:
        """Return head vectors with the state behind them where the backbone gives one, and their layout."""
        if self.read.states is None:
            return self.head_rows(rows), self.read.layout
        states = self.states(rows)
        return np.hstack([self.head_rows(rows), states]), self.read.layout.with_state(states.shape[1])


# The registry.


@dataclass(frozen=True)
class Baseline:
    """What a method is held against.

    Attributes
    ----------
    name : str
        Its name on a command line.
    needs : frozenset of str
        See `Need`. One that needs no ``"shots"`` answers from the class names alone.
    answer : callable
        From a `BaselineInput` to a `savs.baselines.BaselineResult`, one label per item.
    slow : bool
        Whether it is judged on a limited number of items, as it runs a model for each one again.
    kept_bytes : callable or None
        From a `BaselineInput` to the size of what it keeps for predictions; None: not known.
    """

    name: str
    needs: frozenset[Need]
    answer: Callable[[BaselineInput], BaselineResult]
    slow: bool = False
    kept_bytes: Callable[[BaselineInput], int] | None = None


def _function(module: str, name: str) -> Any:
    try:
        return getattr(import_module(f"savs.baselines.{module}"), name)
    except ModuleNotFoundError as error:
        # Packages that an extra brings are named by `savs.errors.MissingDependencyError`.
        raise DataError(f"the package {error.name} is not installed") from None


def _of_heads(function: str) -> Callable[[BaselineInput], BaselineResult]:
    def answer(given: BaselineInput) -> BaselineResult:
        rows, queries = given.head_rows(given.drawn), given.head_rows(given.items)
        found: BaselineResult = _function("on_features", function)(
            rows, given.labels, queries, given.read.layout
        )
        return found

    return answer


def _of_heads_and_state(function: str) -> Callable[[BaselineInput], BaselineResult]:
    def answer(given: BaselineInput) -> BaselineResult:
        rows, layout = given.head_and_state_rows(given.drawn)
        queries, _ = given.head_and_state_rows(given.items)
        found: BaselineResult = _function("on_features", function)(rows, given.labels, queries, layout)
        return found

    return answer


def _of_examples(module: str, function: str) -> Callable[[BaselineInput], BaselineResult]:
    def answer(given: BaselineInput) -> BaselineResult:
        found: BaselineResult = _function(module, function)(given.shots, given.queries)
        return found

    return answer


def _of_image_text_model(function: str) -> Callable[[BaselineInput], BaselineResult]:
    def answer(given: BaselineInput) -> BaselineResult:
        model = given.models.image_text_model()
        found: BaselineResult = _function("image_text", function)(
            model, given.shots, given.queries, given.classes
        )
        return found

    return answer


def _of_embedding_model(function: str) -> Callable[[BaselineInput], BaselineResult]:
    def answer(given: BaselineInput) -> BaselineResult:
        model = given.models.embedding_model()
        found: BaselineResult = _function("text_embedding", function)(model, given.shots, given.queries)
        return found

    return answer


def _setfit(given: BaselineInput) -> BaselineResult:
    found: BaselineResult = _function("text_embedding", "setfit")(
        given.models.embedding_model(), given.shots, given.queries, seed=given.models.settings.seed
    )
    return found


def _of_backbone(module: str, function: str) -> Callable[[BaselineInput], BaselineResult]:
    def answer(given: BaselineInput) -> BaselineResult:
        found: BaselineResult = _function(module, function)(
            given.models.backbone,
            given.shots,
            given.queries,
            given.classes,
            seed=given.models.settings.seed,
        )
        return found

    return answer


def _majority(given: BaselineInput) -> BaselineResult:
    found = majority_class(given.labels, len(given.items))
    counts = np.unique(given.labels, return_counts=True)[1]
    return BaselineResult(
        found.name,
        found.labels,
        proba=np.tile(counts / counts.sum(), (len(given.items), 1)),
        classes=given.classes,
    )


def _last_layer(given: BaselineInput) -> BaselineResult:
    return last_layer(given.states(given.drawn), given.labels, given.states(given.items))


def _zero_shot(given: BaselineInput) -> BaselineResult:
    answers, rows = given.models.answers(), given.items.tolist()
    return BaselineResult(
        "zero_shot", [answers.by_row[row] for row in rows], [answers.said[row] for row in rows]
    )


def _in_context(given: BaselineInput) -> BaselineResult:
    settings = given.models.settings
    found: BaselineResult = _function("in_context", "in_context")(
        given.models.backbone,
        given.shots,
        given.queries,
        given.classes,
        n_shots=settings.in_context_shots,
        seed=settings.seed,
        name_classes=settings.name_classes,
    )
    return found


def _clip_zero_shot(given: BaselineInput) -> BaselineResult:
    found: BaselineResult = _function("image_text", "clip_zero_shot")(
        given.models.image_text_model(), given.queries, given.classes
    )
    return found


def _json_bytes(value: Any) -> int:
    return len(json.dumps(value))


def _means(given: BaselineInput, width: int) -> int:
    return len(given.classes) * width * np.dtype(np.float64).itemsize + _json_bytes(given.classes)


def _baselines() -> Iterable[Baseline]:
    """Yield all baselines, the simplest first."""
    rows, states = frozenset[Need]({"shots", "rows"}), frozenset[Need]({"shots", "rows", "states"})
    words, pictures = frozenset[Need]({"shots", "examples"}), frozenset[Need]({"image_text_model"})
    prompted = frozenset[Need]({"shots", "backbone"})
    yield Baseline(
        "majority",
        frozenset({"shots"}),
        _majority,
        kept_bytes=lambda given: _json_bytes(_majority(given).labels[0]),
    )
    yield Baseline(
        "last_layer",
        frozenset({"shots", "states"}),
        _last_layer,
        kept_bytes=lambda given: _means(given, given.states(given.drawn).shape[1]),
    )
    yield Baseline("zero_shot", frozenset({"backbone"}), _zero_shot, slow=True, kept_bytes=lambda _: 0)
    yield Baseline(
        "all_heads",
        rows,
        _of_heads("all_heads"),
        kept_bytes=lambda given: _means(given, given.read.layout.width),
    )
    yield Baseline(
        "knn", rows, _of_heads("knn"), kept_bytes=lambda given: given.head_rows(given.drawn).nbytes
    )
    for name in ("ridge_probe", "logistic_probe"):
        yield Baseline(name, states, _of_heads_and_state(name))
    yield Baseline("in_context", prompted, _in_context, slow=True)
    yield Baseline("lora", prompted, _of_backbone("lora", "lora"), slow=True)
    yield Baseline("clip_zero_shot", pictures, _clip_zero_shot)
    for name in ("clip_probe", "clip_gda", "clip_tip_adapter"):
        yield Baseline(name, pictures | {"shots"}, _of_image_text_model(name))
    embedded = frozenset[Need]({"shots", "embedding_model"})
    for name in ("embedding_centroid", "embedding_logistic"):
        yield Baseline(name, embedded, _of_embedding_model(name))
    yield Baseline("setfit", embedded, _setfit)
    for name in ("tf_idf", "pixels", "metadata"):
        yield Baseline(name, words, _of_examples("controls", name))


BASELINES: Mapping[str, Baseline] = MappingProxyType({one.name: one for one in _baselines()})
"""What methods on heads are held against, by name, the simplest first."""
