"""Every method on head vectors by name, and restoring any of them from its state."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Self

from numpy.typing import ArrayLike, NDArray
from sklearn.base import clone

from savs._labels import as_label
from savs._registry import NotRegisteredError, Registry
from savs.classifiers.auto import AutoClassifier
from savs.classifiers.base import HeadClassifier, State, estimator_key, plain_parameters
from savs.classifiers.cascade import CascadeClassifier, check_allowed_loss
from savs.classifiers.ensemble import BASE_ESTIMATORS, EnsembleClassifier
from savs.classifiers.named_auto import NamedAutoClassifier
from savs.classifiers.sav import SAVClassifier
from savs.classifiers.text_prototypes import TextPrototypeClassifier
from savs.errors import DataError
from savs.layout import HeadLayout

__all__ = [
    "SCORINGS",
    "Method",
    "available_methods",
    "classifier_from_state",
    "make_method",
    "register_method",
]

SCORINGS: tuple[str, ...] = ("in_sample", "leave_one_out", "cross_validated")
"""Where the values come from that heads are ranked by."""

MethodFactory = Callable[[], HeadClassifier]
"""Makes an unfitted estimator with the settings of a method; a class with default parameters is one."""

_METHODS: Registry[MethodFactory] = Registry("method", "savs.methods")

_METHODS.register("sav", SAVClassifier)
for _name, _factory in BASE_ESTIMATORS.items():
    _METHODS.register(_name, _factory)
_METHODS.register("ensemble", EnsembleClassifier)
_METHODS.register("auto", AutoClassifier)
_METHODS.register("auto_names", NamedAutoClassifier)
_METHODS.register("hec_t", partial(TextPrototypeClassifier, estimator=None))
_METHODS.register("hec_vt", TextPrototypeClassifier)

_BUILT_IN: dict[str, type[HeadClassifier]] = {
    estimator_key(type(_METHODS[name]())): type(_METHODS[name]())
    for name in (*BASE_ESTIMATORS, "sav", "ensemble", "auto", "auto_names", "hec_vt")
}
_BUILT_IN[estimator_key(CascadeClassifier)] = CascadeClassifier  # no method of its own, see `Method`


def register_method(name: str, factory: MethodFactory, *, replace: bool = False) -> None:
    """Give a method a name, for `SAVModel`, `make_method`, all commands and saved classifiers.

    An installed package does the same by an entry point ``name = package.module:factory`` in the group
    ``savs.methods``.

    Parameters
    ----------
    name : str
        Letters, digits, ``_``, ``-`` and ``.``.
    factory : callable
        Called without arguments, returns an unfitted `HeadClassifier`; the class itself, or a function that
        sets other parameters than the default ones.
    replace : bool, default=False
        Allow a name that is taken.

    Raises
    ------
    ValueError
        If the name is taken or has other characters.

    Examples
    --------
    >>> from savs.classifiers import HeadVoteClassifier
    >>> register_method("doctest_five_heads", lambda: HeadVoteClassifier(n_heads=5))
    >>> make_method("doctest_five_heads").n_heads
    5
    """
    _METHODS.register(name, factory, replace=replace)


def available_methods() -> tuple[str, ...]:
    """Return the names of all methods: built in (from simple to complex), registered, of installed packages.

    ``sav`` is the published rule. `HeadClassifier.needs_prototypes` says which ones need a text prompt for
    each class.
    """
    return tuple(_METHODS)


@dataclass(frozen=True, init=False)
class Method:
    """A method and its settings, as asked for.

    Parameters
    ----------
    name : str or HeadClassifier
        One of `available_methods`, or an unfitted estimator.
    n_heads : int, "auto", "all" or None
        How many heads to keep; None leaves it to the method.
    scoring : {"in_sample", "leave_one_out", "cross_validated"} or None
        How heads are ranked, for methods that rank them; None leaves it to the method.
    priors : "uniform", "empirical", mapping of label to float, or None
        Class priors; None leaves them to the method.
    heads : sequence of (layer, index), or None
        Only these may be used, such as those found on another task; all of them unless `n_heads` is given.
    parameters : mapping, optional
        Where `name` is that of an estimator's class: its parameters. `to_json` writes them.
    exit_early : float or None
        Answer from the lower layers where they are sure enough: the share of all queries that may be answered
        wrongly because of it, see `savs.classifiers.cascade.CascadeClassifier`.

    Attributes
    ----------
    name : str
        Of the method, or of the estimator's class.

    Raises
    ------
    ValueError
        If there is no such method, or it does not take a setting that was given.
    """

    name: str
    n_heads: int | str | None
    scoring: str | None
    priors: str | Mapping[Any, float] | None
    heads: tuple[tuple[int, int], ...] | None
    parameters: Mapping[str, Any] | None
    exit_early: float | None
    estimator: HeadClassifier = field(init=False, compare=False, repr=False)

    def __init__(
        self,
        name: str | HeadClassifier = "sav",
        n_heads: int | str | None = None,
        scoring: str | None = None,
        priors: str | Mapping[Any, float] | None = None,
        heads: Sequence[tuple[int, int]] | None = None,
        parameters: Mapping[str, Any] | None = None,
        exit_early: float | None = None,
    ) -> None:
        if isinstance(name, HeadClassifier):
            plain = clone(name)
            name, parameters = estimator_key(type(plain)), plain_parameters(plain.get_params(deep=False))
        elif parameters is None:
            plain = make_method(name)
        else:
            plain = _estimator_class(name)(**parameters)
        settings: dict[str, Any] = {"n_heads": n_heads, "scoring": scoring}
        settings["priors"] = priors if isinstance(priors, str) else None
        plain = _with_settings(name, plain, settings)
        _check_settings(name, plain, n_heads, scoring, priors)
        if heads is not None:
            _check_takes(name, plain, ["heads"])
            heads = tuple((int(layer), int(index)) for layer, index in heads)
        if exit_early is not None:
            _check_exits(name, plain, exit_early, heads)
        own: dict[str, Any] = {"name": name, "parameters": parameters, "heads": heads, "estimator": plain}
        own["exit_early"] = exit_early
        for key, value in {**own, "n_heads": n_heads, "scoring": scoring, "priors": priors}.items():
            object.__setattr__(self, key, value)

    @property
    def needs_prototypes(self) -> bool:
        """Whether it needs a text prompt for each class."""
        return self.estimator.needs_prototypes

    @property
    def needs_options(self) -> bool:
        """Whether feature rows must end in the log likelihood of each class name."""
        return self.estimator.needs_options

    @property
    def needs_state(self) -> bool:
        """Whether feature rows should hold the last-layer state."""
        return self.estimator.needs_state

    @property
    def state_is_optional(self) -> bool:
        """Whether it also works on rows without the last-layer state."""
        return self.estimator.state_is_optional

    def make(self, layout: HeadLayout, classes: NDArray[Any], prototypes: Any = None) -> HeadClassifier:
        """Return the unfitted estimator.

        Parameters
        ----------
        layout : HeadLayout
            Of the feature rows.
        classes : ndarray, shape (n_classes,)
            Sorted, for priors by class.
        prototypes : array-like of float, shape (n_classes, width), optional
            Rows of the classes' text prompts, where the method reads them.

        Raises
        ------
        DataError
            If priors by class do not name exactly these classes.
        """
        made: HeadClassifier = clone(self.estimator).set_params(layout=layout)
        if isinstance(self.priors, Mapping):
            made.set_params(priors=_by_class(self.priors, classes.tolist()))
        if self.needs_prototypes:
            made.set_params(prototypes=prototypes)
        if self.heads is not None:
            made.set_params(heads=self.heads, n_heads=self.n_heads or len(self.heads))
        if self.exit_early is not None:
            return CascadeClassifier(made, exit_early=self.exit_early, layout=layout)
        return made

    def to_json(self) -> dict[str, Any]:
        """Return the settings as plain data."""
        found: dict[str, Any] = {
            "name": self.name,
            "n_heads": self.n_heads,
            "scoring": self.scoring,
            "priors": self.priors,
            "heads": self.heads,
        }
        if isinstance(self.priors, Mapping):
            found["priors"] = [[as_label(label), float(share)] for label, share in self.priors.items()]
        if self.exit_early is not None:
            found["exit_early"] = self.exit_early
        return found if self.parameters is None else {**found, "parameters": dict(self.parameters)}

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Return what `to_json` wrote; `ValueError` or `TypeError` for anything else."""
        given = dict(data)
        if isinstance(given.get("priors"), list | dict):
            given["priors"] = {label: float(share) for label, share in given["priors"]}
        return cls(**given)


def make_method(
    name: str,
    layout: HeadLayout | tuple[int, int, int] | None = None,
    *,
    n_heads: int | str | None = None,
    scoring: str | None = None,
    priors: str | ArrayLike | None = None,
) -> HeadClassifier:
    """Return an unfitted estimator by name.

    Parameters
    ----------
    name : str
        One of `available_methods`; estimators that `needs_prototypes` need them set before the fit.
    layout : HeadLayout, (n_layers, n_heads, head_dim) or None
        Which columns belong to which head.
    n_heads : int, "auto" or "all", optional
        For methods that keep heads; by default their own number.
    scoring : str, optional
        For methods that rank heads in more than one way; by default their own.
    priors : "uniform", "empirical" or array-like of float, optional
        Class priors; not for ``sav``.

    Raises
    ------
    ValueError
        If there is no such method, or it does not take a setting that is given.

    Examples
    --------
    >>> make_method("hec_v", n_heads=10).n_heads
    10
    """
    if name not in _METHODS:
        raise NotRegisteredError(f"no method is named {name!r}; available are {', '.join(_METHODS)}")
    made = _METHODS[name]()
    if not isinstance(made, HeadClassifier):
        raise TypeError(f"method {name!r} must make a HeadClassifier, got {type(made).__name__}")
    made.set_params(layout=layout)
    return _with_settings(name, made, {"n_heads": n_heads, "scoring": scoring, "priors": priors})


def classifier_from_state(state: State) -> HeadClassifier:
    """Return the fitted estimator whose `to_state` this is.

    Raises
    ------
    NotRegisteredError
        A `ValueError`, if its class belongs to no registered method.
    ValueError
        If the state is incomplete or impossible.
    """
    return _estimator_class(str(state.settings.get("estimator"))).from_state(state)


def is_registered(kind: type[HeadClassifier]) -> bool:
    """Return whether saved classifiers of a class can be read: it belongs to a registered method."""
    return kind is _BUILT_IN.get(estimator_key(kind)) or kind in _added_classes()


def unregistered_part(classifier: HeadClassifier) -> type[HeadClassifier] | None:
    """Return the class of a classifier, or of a method inside it, that could not be read back; or None."""
    parts = classifier.stages_ if isinstance(classifier, CascadeClassifier) else [classifier]
    return next((type(part) for part in parts if not is_registered(type(part))), None)


def _estimator_class(key: str) -> type[HeadClassifier]:
    if key in _BUILT_IN:
        return _BUILT_IN[key]
    for kind in _added_classes():
        if estimator_key(kind) == key:
            return kind
    raise NotRegisteredError(f"no registered method uses an estimator named {key!r}")


def _added_classes() -> list[type[HeadClassifier]]:
    """Return the classes of the methods that are not built in; installed packages are imported for that."""
    return [kind for name in _METHODS if (kind := type(_METHODS[name]())) not in _BUILT_IN.values()]


def _with_settings(name: str, made: HeadClassifier, settings: Mapping[str, Any]) -> HeadClassifier:
    given = {key: value for key, value in settings.items() if value is not None}
    _check_takes(name, made, given)
    made.set_params(**given)
    return made


def _check_takes(name: str, made: HeadClassifier, settings: Iterable[str]) -> None:
    for key in settings:
        if key not in made.get_params(deep=False):
            raise ValueError(f"method {name!r} takes no {key}")


def _check_settings(name: str, made: HeadClassifier, n_heads: Any, scoring: Any, priors: Any) -> None:
    if scoring not in (None, *SCORINGS):
        raise ValueError(f"scoring is one of {', '.join(SCORINGS)}, got {scoring!r}")
    if isinstance(priors, Mapping):
        _check_takes(name, made, ["priors"])
    elif priors not in (None, "uniform", "empirical"):
        raise ValueError(f"priors are 'uniform', 'empirical' or one number per class, got {priors!r}")
    words = made.n_heads_words
    is_count = isinstance(n_heads, int) and not isinstance(n_heads, bool) and n_heads >= 1
    if n_heads is not None and n_heads not in words and not is_count:
        also = " or ".join(["a positive number", *map(repr, words)])
        raise ValueError(f"n_heads of method {name!r} is {also}, got {n_heads!r}")


def _check_exits(name: str, made: HeadClassifier, exit_early: Any, heads: Any) -> None:
    check_allowed_loss(exit_early)
    reads_names = made.needs_prototypes or made.needs_options
    if isinstance(made, CascadeClassifier) or reads_names or not made.state_is_optional:
        raise ValueError(f"method {name!r} takes no exit_early: it cannot answer from the lower layers alone")
    if heads is not None:
        raise ValueError("exit_early chooses heads at several depths; it does not go with heads")


def _by_class(priors: Mapping[Any, float], classes: list[Any]) -> list[float]:
    if set(priors) != set(classes):
        raise DataError(f"priors must name each class once: {classes!r}; they name {list(priors)!r}")
    return [float(priors[label]) for label in classes]
