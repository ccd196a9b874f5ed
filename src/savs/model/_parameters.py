"""The settings of an estimator on examples: a method, and a frozen backbone that is loaded when needed."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from sklearn.base import BaseEstimator, clone

from savs.backbones import Backbone
from savs.cache import Counts
from savs.classifiers import HeadClassifier, Method
from savs.model._source import BackboneSource, as_source

if TYPE_CHECKING:
    from typing import Self


class BackboneEstimator(BaseEstimator):  # type: ignore[misc]
    """Parameters by name, as scikit-learn wants them; no backbone is loaded to read, set or clone them."""

    prompt: str | None
    method: str | HeadClassifier
    n_heads: int | str | None
    store: str | os.PathLike[str] | None
    _source: BackboneSource

    @property
    def backbone(self) -> Backbone:
        """The frozen model; a saved classifier's is loaded and checked when it is first needed."""
        return self._source.backbone

    @backbone.setter
    def backbone(self, backbone: Backbone | BackboneSource | str | os.PathLike[str]) -> None:
        self._source = as_source(backbone, self.store)

    @property
    def store_counts(self) -> Counts | None:
        """How many examples were read from the store so far, in all calls; None without a store."""
        return self._source.store_counts

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Return the parameters by name; no backbone is loaded for that.

        Parameters
        ----------
        deep : bool, default=True
            Add the parameters of a `method` that is an estimator, as ``method__<name>``.
        """
        own = {name: getattr(self, name) for name in self._get_param_names() if name != "backbone"}
        own = {"backbone": self._source.parameter, **own}
        nested = self.method.get_params() if deep and isinstance(self.method, HeadClassifier) else {}
        return own | {f"method__{name}": value for name, value in nested.items()}

    def set_params(self, **params: Any) -> Self:
        """Set parameters by name; they count from the next fit on.

        Raises
        ------
        ValueError
            If there is no such parameter, the method does not take a setting, or there are both `prompt` and
            `prompts`.
        """
        super().set_params(**params)
        if "store" in params:
            self._source = BackboneSource(self._source.origin, self.store)
        self._asked()
        return self

    def __sklearn_clone__(self) -> Self:
        params = self.get_params(deep=False)
        return type(self)(**params | {"backbone": self._source, "method": clone(self.method, safe=False)})

    def _asked(self) -> Method:
        """Return the method with its settings, checked."""
        return Method(self.method, self.n_heads)
