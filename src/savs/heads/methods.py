"""Every method on head vectors by name, and restoring any of them from its state."""

from __future__ import annotations

from typing import Any

from numpy.typing import ArrayLike

from savs.features import HeadLayout
from savs.heads.auto import AutoClassifier
from savs.heads.base import HeadClassifier, State
from savs.heads.classifier import SAVClassifier
from savs.heads.experts import EXPERTS, make_expert
from savs.heads.kernel_classifiers import KernelDiscriminantClassifier, KernelRidgeClassifier
from savs.heads.mixture import MixtureClassifier
from savs.heads.text_prototypes import TextPrototypeClassifier
from savs.heads.voters import HeadVoteClassifier

__all__ = ["METHODS", "classifier_from_state", "make_method"]

METHODS: tuple[str, ...] = ("sav", *EXPERTS, "mixture", "auto")
"""Names that `make_method` takes, from simple to complex. ``sav`` is the published rule."""

_ESTIMATORS: dict[str, type[HeadClassifier]] = {
    kind.__name__: kind
    for kind in (
        AutoClassifier,
        HeadVoteClassifier,
        KernelDiscriminantClassifier,
        KernelRidgeClassifier,
        MixtureClassifier,
        TextPrototypeClassifier,
    )
}


def make_method(
    name: str,
    layout: HeadLayout | tuple[int, int, int] | None = None,
    *,
    n_heads: int | str | None = None,
    priors: str | ArrayLike | None = None,
) -> SAVClassifier | HeadClassifier:
    """Return an unfitted estimator by name.

    Parameters
    ----------
    name : str
        One of `METHODS`.
    layout : HeadLayout, (n_layers, n_heads, head_dim) or None
        Which columns belong to which head.
    n_heads : int, "auto" or "all", optional
        For methods that keep heads; by default their own number.
    priors : "uniform", "empirical" or array-like of float, optional
        Class priors; not for ``sav``.

    Raises
    ------
    ValueError
        If there is no such method, or it does not take a number of heads or priors.

    Examples
    --------
    >>> make_method("hec_v", n_heads=10).n_heads
    10
    """
    if name not in METHODS:
        raise ValueError(f"no method {name!r}; there are {', '.join(METHODS)}")
    settings: dict[str, Any] = {"n_heads": n_heads, "priors": priors}
    settings = {key: value for key, value in settings.items() if value is not None}
    made = _plain(name, layout)
    refused = [key for key in settings if key not in made.get_params(deep=False)]
    if refused:
        raise ValueError(f"method {name!r} takes no {refused[0]}")
    made.set_params(**settings)
    return made


def classifier_from_state(state: State) -> HeadClassifier:
    """Return the fitted estimator whose `to_state` this is; `ValueError` for anything else."""
    kind = _ESTIMATORS.get(str(state.settings.get("estimator")))
    if kind is None:
        raise ValueError(f"no estimator is called {state.settings.get('estimator')!r}")
    return kind.from_state(state)


def _plain(name: str, layout: Any) -> SAVClassifier | HeadClassifier:
    if name == "sav":
        return SAVClassifier(layout=layout)
    if name == "mixture":
        return MixtureClassifier(layout=layout)
    if name == "auto":
        return AutoClassifier(layout=layout)
    return make_expert(name, layout)
