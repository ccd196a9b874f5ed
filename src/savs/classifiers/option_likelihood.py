"""`OptionLikelihoodClassifier`: how likely the model itself finds each class name as its answer.

Nothing is learned from heads. Class names alone give a classifier; shots correct how sure the model is, and
which names it prefers whatever it is shown.
"""

from __future__ import annotations

from typing import Any, Self

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize

from savs.classifiers._probabilities import log_softmax
from savs.classifiers._support_set import Shots, nested_folds
from savs.classifiers._validation import label_array, resolve_layout
from savs.classifiers.base import CalibratedHeadClassifier, FittedScores
from savs.layout import Head, HeadLayout

__all__ = ["OptionLikelihoodClassifier", "names_information"]

_BIAS_PENALTY, _SCALE_PENALTY = 0.3, 1.0
_FOLDS = 5
_SCALES = np.exp(np.linspace(-4.0, 1.0, 26))


class OptionLikelihoodClassifier(CalibratedHeadClassifier):
    """Softmax of the class names' log likelihoods behind the prompt, corrected by the shots if there are any.

    Parameters
    ----------
    layout : HeadLayout or None, default=None
        A layout `with_options`.
    priors : "uniform", "empirical" or array-like of float, default="uniform"
        Class priors.

    Attributes
    ----------
    scale_ : float
        What log probabilities are multiplied by; 1 without shots.
    bias_ : ndarray of float64, shape (n_classes,)
        What is added to them; 0 without shots.

    Raises
    ------
    ValueError
        On a fit to rows without the likelihoods.

    Notes
    -----
    With l the log softmax of the likelihoods over classes, ``p = softmax(a l + b)``. The shots give a and b
    by maximum likelihood, every class with the same weight, under the penalties ``0.15 |b|^2`` and ``0.5 (log
    a)^2``. So a preference for some names is measured on the shots, as contextual calibration (Zhao et al.,
    arXiv 2102.09690) measures it on a prompt without content and batch calibration (Zhou et al., arXiv
    2309.17249) on unlabeled examples.

    Examples
    --------
    >>> layout = HeadLayout.uniform(n_layers=1, n_heads=1, head_dim=1).with_options(2)
    >>> named = OptionLikelihoodClassifier(layout=layout).fit_class_names(["cat", "dog"])
    >>> named.predict([[0.0, -1.5, -0.5]]).tolist(), named.heads_
    (['dog'], [Head(layer=1, index=-2)])
    """

    scale_: float
    bias_: NDArray[np.float64]

    def __init__(
        self,
        *,
        layout: HeadLayout | tuple[int, int, int] | None = None,
        priors: str | ArrayLike = "uniform",
    ) -> None:
        self.layout = layout
        self.priors = priors

    @property
    def needs_options(self) -> bool:
        """Whether feature rows must end in the log likelihood of each class name: always."""
        return True

    @property
    def can_fit_class_names(self) -> bool:
        """Whether `fit_class_names` works: always."""
        return True

    def fit_class_names(self, classes: ArrayLike) -> Self:
        """Learn from the class names alone: zero-shot, without any example.

        Parameters
        ----------
        classes : array-like, shape (n_classes,)
            Sorted class labels, in the order of the options' columns.

        Raises
        ------
        ValueError
            If the classes are not sorted, or not one per column.
        """
        names = np.asarray(label_array(classes))
        if not isinstance(self.layout, HeadLayout):
            raise ValueError("names alone need a layout `with_options`")
        layout = resolve_layout(self.layout, self.layout.width)
        self._keep(1.0, np.zeros(len(names)))
        self._keep_without_shots(names, layout, [_options_head(layout, len(names))], self.arrays_)
        return self

    def _learn(self, shots: Shots) -> FittedScores:
        logs = log_softmax(shots.option_log_likelihood)
        self._keep(*_fit(logs, shots.codes))
        out_of_fold = np.zeros_like(logs)
        for fold in nested_folds(shots.codes, _FOLDS):
            rest = np.setdiff1d(np.arange(len(logs)), fold)
            scale, bias = _fit(logs[rest], shots.codes[rest])
            out_of_fold[fold] = scale * logs[fold] + bias
        return FittedScores(out_of_fold, [_options_head(shots.layout, shots.n_classes)], self.arrays_)

    def _untested_temperature(self, shots: Shots) -> float:  # noqa: ARG002
        """Return 1: the scale has been fitted."""
        return 1.0

    def _keep(self, scale: float, bias: NDArray[np.float64]) -> None:
        self.scale_, self.bias_ = scale, bias
        self.arrays_ = {"scale": np.array(scale), "bias": bias}

    def _raw_scores(self, rows: NDArray[np.floating], layout: HeadLayout) -> NDArray[np.float64]:  # noqa: ARG002
        logs = log_softmax(np.asarray(rows, dtype=np.float64))
        return np.asarray(self.scale_ * logs + self.bias_)

    def _restore(self, arrays: Any, settings: Any) -> None:
        super()._restore(arrays, settings)
        scale, bias = float(self.arrays_["scale"]), np.asarray(self.arrays_["bias"], np.float64)
        if not (np.isfinite(scale) and scale > 0 and bias.shape == (len(self.classes_),)):
            raise ValueError("a positive scale and one bias per class are needed")
        if not np.isfinite(bias).all():
            raise ValueError("biases must be finite numbers")
        self._keep(scale, bias)


def _options_head(layout: HeadLayout, n_classes: int) -> Head:
    head = layout.options_head
    if head is None:
        raise ValueError("the rows hold no likelihoods of the class names")
    if layout.options != (head.layer, n_classes):
        raise ValueError(f"there are {n_classes} classes, but the rows hold the likelihoods of other names")
    return head


def names_information(shots: Shots) -> float:
    """Return which share of what there is to know of the classes their names tell, from 0 to 1.

    That is ``1 - loss / log(n_classes)``, cut to [0, 1], the loss being the mean log loss of the shots under
    ``softmax(a l)`` with a fitted to the other shots. As no class needs a second shot for that, it can be
    known at one shot, where methods that learn from shots cannot be judged.

    Parameters
    ----------
    shots : Shots
        Rows that end in the log likelihoods of the class names.
    """
    logs = log_softmax(shots.option_log_likelihood)
    rows = np.arange(len(logs))
    losses = np.stack([-log_softmax(scale * logs)[rows, shots.codes] for scale in _SCALES])
    of_others = (
        losses.sum(axis=1, keepdims=True) - losses + _SCALE_PENALTY / 2 * np.log(_SCALES)[:, None] ** 2
    )
    held_out = losses[of_others.argmin(axis=0), rows].mean()
    return float(np.clip(1 - held_out / np.log(shots.n_classes), 0.0, 1.0))


def _fit(logs: NDArray[np.float64], codes: NDArray[np.intp]) -> tuple[float, NDArray[np.float64]]:
    """Return scale and bias of the largest penalized likelihood; classes have equal weight.

    Parameters
    ----------
    logs : ndarray of float64, shape (n_shots, n_classes)
        Log softmax of the likelihoods.
    codes : ndarray of int, shape (n_shots,)
        Class indices.
    """
    n_shots, n_classes = logs.shape
    counts = np.bincount(codes, minlength=n_classes)
    weights = n_shots / (np.count_nonzero(counts) * counts[codes])
    truth = np.eye(n_classes)[codes]

    def loss(values: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
        scale, bias = np.exp(values[0]), values[1:]
        fitted = log_softmax(scale * logs + bias)
        residuals = weights[:, None] * (np.exp(fitted) - truth)
        penalty = _BIAS_PENALTY / 2 * bias @ bias + _SCALE_PENALTY / 2 * values[0] ** 2
        slope = scale * (residuals * logs).sum() + _SCALE_PENALTY * values[0]
        gradient = np.concatenate([[slope], residuals.sum(axis=0) + _BIAS_PENALTY * bias])
        return float(penalty - weights @ fitted[np.arange(n_shots), codes]), gradient

    found = minimize(loss, np.zeros(1 + n_classes), jac=True, method="L-BFGS-B").x
    return float(np.exp(found[0])), np.asarray(found[1:], np.float64)
