"""Classifiers of schema 3, the last one before methods and settings got the names of the field."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from numpy.typing import NDArray

Tensors = dict[str, NDArray[Any]]

_OWN = "classifier."
_SINCE_3 = {
    "MixtureClassifier": "EnsembleClassifier",
    "mixture": "ensemble",
    "votes_left_out": "sav_loo",
    "soft": "mean_proba",
    "soft_all": "mean_proba_all",
    "hec_left_out": "hec_v_loo",
    "discriminant": "lda",
    "discriminant_uncentred": "lda_uncentered",
    "discriminant_scaled": "lda_scaled",
}
"""Names of estimators and methods, old to new."""

_KEYS_SINCE_3 = {
    "left_out": "out_of_fold",
    "centring": "centering",
    "experts": "estimators",
    "expert": "base_estimator",
    "n_shots_left_out": "n_shots_held_out",
}
"""Keys of settings and reports, and names of arrays, old to new."""

_WORDS_SINCE_3 = {
    "left-out shot": "held-out shot",
    "experts": "base estimators",
    "the mixture": "the ensemble",
}
"""Words in notes and reasons, old to new."""


def from_schema_3(index: Mapping[str, Any], tensors: Tensors) -> tuple[dict[str, Any], Tensors]:
    """Return what a classifier of schema 3 looks like in this one."""
    changed = dict(index)
    changed["method"] = {**index["method"], "name": _renamed(index["method"]["name"])}
    changed["classifier"] = _classifier_since_3(index["classifier"])
    changed["report"] = _report_since_3(index["report"])
    if index["estimate"] is not None:
        changed["estimate"] = {**index["estimate"], "note": _reworded(index["estimate"].get("note"))}
    return changed, {_array_since_3(name): array for name, array in tensors.items()}


def _classifier_since_3(settings: Mapping[str, Any]) -> dict[str, Any]:
    changed = {_KEYS_SINCE_3.get(key, key): value for key, value in settings.items()}
    changed["estimator"] = _renamed(settings["estimator"])
    parameters = {_KEYS_SINCE_3.get(key, key): value for key, value in settings["parameters"].items()}
    if "base_estimator" in parameters:  # the parameter of text prototypes is `estimator`
        parameters["estimator"] = _renamed(parameters.pop("base_estimator"))
    if parameters.get("estimators") is not None:
        parameters["estimators"] = [_renamed(name) for name in parameters["estimators"]]
    changed["parameters"] = parameters
    if "estimators" in changed:
        changed["estimators"] = {
            _renamed(name): _classifier_since_3(value) for name, value in changed["estimators"].items()
        }
        changed["weights"] = _by_new_name(changed["weights"])
        changed["skipped"] = _by_new_name(changed.get("skipped", {}))
    if changed.get("base_estimator") is not None:
        changed["base_estimator"] = _classifier_since_3(changed["base_estimator"])
    if "selection_report" in changed:
        changed["selection_report"] = _report_since_3(changed["selection_report"])
    return changed


def _report_since_3(report: Mapping[str, Any] | None) -> dict[str, Any] | None:
    if report is None:
        return None
    changed = {_KEYS_SINCE_3.get(key, key): value for key, value in report.items()}
    for key in {"weights", "skipped", "candidates"} & set(changed):
        changed[key] = _by_new_name(changed[key])
    if "chosen" in changed:
        changed["chosen"] = [_renamed(name) for name in changed["chosen"]]
    if "why" in changed:
        changed["why"] = _reworded(changed["why"])
    return changed


def _array_since_3(name: str) -> str:
    own = name.startswith(_OWN)
    parts = [_KEYS_SINCE_3.get(part, _renamed(part)) for part in name.removeprefix(_OWN).split("/")]
    return (_OWN if own else "") + "/".join(parts)


def _by_new_name(values: Mapping[str, Any]) -> dict[str, Any]:
    return {_renamed(name): value for name, value in values.items()}


def _renamed(name: Any) -> Any:
    return _SINCE_3.get(name, name) if isinstance(name, str) else name


def _reworded(text: Any) -> Any:
    for old, new in _WORDS_SINCE_3.items():
        text = text.replace(old, new) if isinstance(text, str) else text
    return text
