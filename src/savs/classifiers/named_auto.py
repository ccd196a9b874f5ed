"""`NamedAutoClassifier`: `AutoClassifier` that also reads the class names, from none of the shots on."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Self

import numpy as np
from numpy.typing import ArrayLike, NDArray

from savs.classifiers._support_set import Shots
from savs.classifiers.auto import AutoClassifier
from savs.classifiers.ensemble import OPTION_ESTIMATORS, are_few, make_base_estimator
from savs.classifiers.option_likelihood import names_information

__all__ = ["NamedAutoClassifier"]

(_NAMES,) = OPTION_ESTIMATORS


class NamedAutoClassifier(AutoClassifier):
    """`AutoClassifier` with the likelihood of the class names as one more base estimator.

    Parameters
    ----------
    estimators, max_folds, layout, priors
        As for `AutoClassifier`; the layout is one `with_options`.

    Notes
    -----
    Without shots (`fit_class_names`) it answers as `OptionLikelihoodClassifier` does. Where some class has
    fewer than three shots, the names count `names_information` before losses are looked at, and all other
    base estimators together the rest.
    """

    @property
    def needs_options(self) -> bool:
        """Whether feature rows must end in the log likelihood of each class name: always."""
        return True

    @property
    def can_fit_class_names(self) -> bool:
        """Whether `fit_class_names` works: always."""
        return True

    def _shares(self, names: Sequence[str], shots: Shots) -> NDArray[np.float64]:
        found = super()._shares(names, shots)
        if not are_few(shots) or _NAMES not in names or len(names) == 1:
            return found
        place = list(names).index(_NAMES)
        share = names_information(shots)
        found *= (1 - share) / (found.sum() - found[place])
        found[place] = share
        return found

    def fit_class_names(self, classes: ArrayLike) -> Self:
        """Learn from the class names alone; see `OptionLikelihoodClassifier.fit_class_names`.

        Parameters
        ----------
        classes : array-like, shape (n_classes,)
            Sorted class labels, in the order of the options' columns.

        Raises
        ------
        ValueError
            If the classes are not sorted, or not one per column.
        """
        named = make_base_estimator(_NAMES, self.layout)
        named.fit_class_names(classes)
        self._keep_without_shots(named.classes_, named.layout_, named.heads_, {})
        self.estimators_, self.weights_, self.skipped_ = {_NAMES: named}, {_NAMES: 1.0}, {}
        self.chosen_ = [_NAMES]
        self.selection_report_ = {
            "chosen": self.chosen_,
            "weights": self.weights_,
            "why": "there are no shots: the class names are all there is",
        }
        return self
