"""What a model says of many examples, some of which could not be read."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from savs.errors import ItemError
from savs.examples import Label
from savs.model.caution import Cautions

__all__ = ["Predictions"]


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
        As `SAVModel.predict_proba`, columns in the order of ``classes_``.
    errors : list of ItemError
        One per example that could not be read, with its id.
    cautions : Cautions
        What holds back some of the answers, as far as it was asked for.
    """

    indices: NDArray[np.intp]
    labels: list[Label]
    proba: NDArray[np.float64]
    errors: list[ItemError]
    cautions: Cautions = field(default_factory=Cautions)
