"""Every method on head vectors by name, and restoring any of them from its state."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Self

from numpy.typing import ArrayLike, NDArray

from savs.classifiers.auto import AutoClassifier
from savs.classifiers.base import HeadClassifier, State
from savs.classifiers.ensemble import BASE_ESTIMATORS, EnsembleClassifier, make_base_estimator
from savs.classifiers.head_voting import HeadVoteClassifier
from savs.classifiers.kernel import KernelDiscriminantClassifier, KernelRidgeClassifier
from savs.classifiers.last_state import LastStateClassifier
from savs.classifiers.sav import SAVClassifier
from savs.classifiers.text_prototypes import TextPrototypeClassifier
from savs.errors import DataError
from savs.layout import HeadLayout

__all__ = [
    "METHODS",
    "SCORINGS",
    "TEXT_METHODS",
    "FittedClassifier",
    "Method",
    "classifier_from_state",
    "make_method",
]

FittedClassifier = SAVClassifier | HeadClassifier
"""What a method makes."""

METHODS: tuple[str, ...] = ("sav", *BASE_ESTIMATORS, "ensemble", "auto")
"""Names that `make_method` takes, from simple to complex. ``sav`` is the published rule."""

TEXT_METHODS: tuple[str, ...] = ("hec_t", "hec_vt")
"""Names that need a text prompt for each class, read through the same heads."""

SCORINGS: tuple[str, ...] = ("in_sample", "leave_one_out", "cross_validated")
"""Where the values come from that heads are ranked by."""

_ESTIMATORS: dict[str, type[FittedClassifier]] = {
    kind.__name__: kind
    for kind in (
        AutoClassifier,
        HeadVoteClassifier,
        KernelDiscriminantClassifier,
        KernelRidgeClassifier,
        LastStateClassifier,
        EnsembleClassifier,
        SAVClassifier,
        TextPrototypeClassifier,
    )
}


@dataclass(frozen=True)
class Method:
    """A method and its settings, as asked for.

    Attributes
    ----------
    name : str
        One of `METHODS` or `TEXT_METHODS`.
    n_heads : int, "auto", "all" or None
        How many heads to keep; None leaves it to the method.
    scoring : {"in_sample", "leave_one_out", "cross_validated"} or None
        How heads are ranked, for methods that rank them; None leaves it to the method.
    priors : "uniform", "empirical", mapping of label to float, or None
        Class priors; None leaves them to the method.
    heads : tuple of (layer, index), or None
        Only these may be used, such as those found on another task; all of them unless `n_heads` is given.

    Raises
    ------
    ValueError
        If there is no such method, or it does not take a setting that was given.
    """

    name: str = "sav"
    n_heads: int | str | None = None
    scoring: str | None = None
    priors: str | Mapping[Any, float] | None = None
    heads: tuple[tuple[int, int], ...] | None = None

    def __post_init__(self) -> None:
        made = self._unfitted(None)
        if self.scoring not in (None, *SCORINGS):
            raise ValueError(f"scoring is one of {', '.join(SCORINGS)}, got {self.scoring!r}")
        if isinstance(self.priors, Mapping):
            _check_takes(self.name, made, ["priors"])
        elif isinstance(made, HeadClassifier) and made.priors not in ("uniform", "empirical"):
            raise ValueError(
                f"priors are 'uniform', 'empirical' or one number per class, got {self.priors!r}"
            )
        if self.n_heads is not None:
            _check_n_heads(self.name, self.n_heads)
        if self.heads is not None:
            _check_takes(self.name, made, ["heads"])
            object.__setattr__(self, "heads", tuple((int(layer), int(index)) for layer, index in self.heads))

    @property
    def reads_names(self) -> bool:
        """Whether it needs a text prompt for each class."""
        return self.name in TEXT_METHODS

    def make(self, layout: HeadLayout, classes: NDArray[Any], prototypes: Any = None) -> FittedClassifier:
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
        made = self._unfitted(layout)
        if isinstance(self.priors, Mapping):
            made.set_params(priors=_by_class(self.priors, classes.tolist()))
        if self.reads_names:
            made.set_params(prototypes=prototypes)
        if self.heads is not None:
            made.set_params(heads=self.heads, n_heads=self.n_heads or len(self.heads))
        return made

    def to_json(self) -> dict[str, Any]:
        """Return the settings as plain data."""
        found = asdict(self)
        if isinstance(self.priors, Mapping):
            found["priors"] = [[label, float(share)] for label, share in self.priors.items()]
        return found

    @classmethod
    def from_json(cls, data: Mapping[str, Any]) -> Self:
        """Return what `to_json` wrote; `ValueError` or `TypeError` if it is none."""
        given = dict(data)
        if isinstance(given.get("priors"), list | dict):
            given["priors"] = {label: float(share) for label, share in given["priors"]}
        return cls(**given)

    def _unfitted(self, layout: HeadLayout | None) -> FittedClassifier:
        priors = self.priors if isinstance(self.priors, str) else None
        return make_method(self.name, layout, n_heads=self.n_heads, scoring=self.scoring, priors=priors)


def make_method(
    name: str,
    layout: HeadLayout | tuple[int, int, int] | None = None,
    *,
    n_heads: int | str | None = None,
    scoring: str | None = None,
    priors: str | ArrayLike | None = None,
) -> FittedClassifier:
    """Return an unfitted estimator by name.

    Parameters
    ----------
    name : str
        One of `METHODS` or `TEXT_METHODS`; the latter need their `prototypes` set before the fit.
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
    if name not in (*METHODS, *TEXT_METHODS):
        raise ValueError(f"no method {name!r}; there are {', '.join((*METHODS, *TEXT_METHODS))}")
    settings: dict[str, Any] = {"n_heads": n_heads, "scoring": scoring, "priors": priors}
    settings = {key: value for key, value in settings.items() if value is not None}
    made = _plain(name, layout)
    _check_takes(name, made, settings)
    made.set_params(**settings)
    return made


def classifier_from_state(state: State) -> FittedClassifier:
    """Return the fitted estimator whose `to_state` this is; `ValueError` for anything else."""
    kind = _ESTIMATORS.get(str(state.settings.get("estimator")))
    if kind is None:
        raise ValueError(f"no estimator is called {state.settings.get('estimator')!r}")
    return kind.from_state(state)


def _plain(name: str, layout: Any) -> FittedClassifier:
    if name == "sav":
        return SAVClassifier(layout=layout)
    if name == "ensemble":
        return EnsembleClassifier(layout=layout)
    if name == "auto":
        return AutoClassifier(layout=layout)
    if name == "hec_t":
        return TextPrototypeClassifier(estimator=None, layout=layout)
    if name == "hec_vt":
        return TextPrototypeClassifier(layout=layout)
    return make_base_estimator(name, layout)


def _check_takes(name: str, made: FittedClassifier, settings: Iterable[str]) -> None:
    for key in settings:
        if key not in made.get_params(deep=False):
            raise ValueError(f"method {name!r} takes no {key}")


def _check_n_heads(name: str, n_heads: int | str) -> None:
    words = ("auto", "all") if isinstance(_plain(name, None), HeadVoteClassifier) else ()
    if n_heads not in words and (isinstance(n_heads, bool) or not isinstance(n_heads, int) or n_heads < 1):
        also = " or ".join(["a positive number", *map(repr, words)])
        raise ValueError(f"n_heads of method {name!r} is {also}, got {n_heads!r}")


def _by_class(priors: Mapping[Any, float], classes: list[Any]) -> list[float]:
    if set(priors) != set(classes):
        raise DataError(f"priors must name each class once: {classes!r}; they name {list(priors)!r}")
    return [float(priors[label]) for label in classes]
