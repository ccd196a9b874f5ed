"""A backbone by what it was loaded from: pickles, and what goes to worker processes, never hold weights."""

from __future__ import annotations

import multiprocessing
from collections.abc import Callable, Mapping
from functools import wraps
from typing import TYPE_CHECKING, Any, NamedTuple, ParamSpec
from weakref import WeakValueDictionary

from savs.backbones._registered import split_name
from savs.errors import BackboneError, BackboneMismatchError

if TYPE_CHECKING:
    from savs.backbones.base import Backbone, JSONValue

_Options = ParamSpec("_Options")

_DIGESTS = ("model_class", "config_digest", "weights_digest", "processor_digest", "dtype", "quantization")
"""Entries of a fingerprint that must be the same when a backbone is loaded again in the same environment."""


def remembering(load: Callable[_Options, Backbone]) -> Callable[_Options, Backbone]:
    """Return `load_backbone` with a note on what it returns: the options that were given."""

    @wraps(load)
    def loaded(*names: _Options.args, **options: _Options.kwargs) -> Backbone:
        from savs.backbones.transformers_backbone import TransformersBackbone

        backbone = load(*names, **options)
        if isinstance(backbone, TransformersBackbone):
            backbone.load_options = {name: value for name, value in options.items() if value is not None}
        return backbone

    return loaded


class Reference(NamedTuple):
    """How to get a backbone again.

    Attributes
    ----------
    source : str
        What `load_backbone` takes: a folder, a hub id, ``"tiny"`` or a registered name.
    options : dict
        Its options.
    digests : dict
        Entries of the fingerprint that the backbone must have.
    """

    source: str
    options: dict[str, Any]
    digests: dict[str, JSONValue]

    def load(self) -> Backbone:
        """Return the backbone, the same one as before if this process still has it.

        A worker process keeps the last one, as each of its tasks brings a model of its own.

        Raises
        ------
        BackboneError
            If it cannot be loaded.
        BackboneMismatchError
            If what is loaded is another one.
        """
        key = repr(self)
        backbone = _LOADED.get(key)
        if backbone is None:
            backbone = self._loaded()
            _LOADED[key] = backbone
        if multiprocessing.parent_process() is not None:
            _LAST[:] = [backbone]
        return backbone

    def _loaded(self) -> Backbone:
        from savs.backbones.loading import load_backbone

        backbone = load_backbone(self.source, **self.options)
        found = _digests(backbone.fingerprint)
        other = [name for name, value in self.digests.items() if found[name] != value]
        if other:
            raise BackboneMismatchError(
                f"{self.source} is not the backbone that the pickled model had: {', '.join(other)} differ; "
                "load that one again, or keep classifiers with save_pretrained",
                other,
            )
        return backbone


_LOADED: WeakValueDictionary[str, Backbone] = WeakValueDictionary()
_LAST: list[Backbone] = []  # in worker processes


def reference_to(backbone: Backbone) -> Reference | None:
    """Return how to load a backbone again; None for one that is no transformers model and has no such name.

    Parameters
    ----------
    backbone : Backbone
        Not one with a store.

    Raises
    ------
    BackboneError
        If it was made from a model object, which no name leads to.
    """
    from savs.backbones.loading import saved_options
    from savs.backbones.transformers_backbone import TransformersBackbone

    found, options = backbone.fingerprint, getattr(backbone, "load_options", {})
    source = found.get("source")
    if isinstance(backbone, TransformersBackbone):
        if source is None:
            raise BackboneError(
                "a backbone made from a model object cannot be pickled or sent to other processes, as no "
                "name leads to it: load it by name (load_backbone), or keep the classifier with "
                "save_pretrained"
            )
        return Reference(str(source), {**saved_options(found), **_unpinned(options)}, _digests(found))
    if isinstance(source, str) and ":" in source and split_name(source) is not None:
        return Reference(source, {}, _digests(found))
    return None


def _unpinned(options: Mapping[str, Any]) -> dict[str, Any]:
    """Return options without the revision: a branch moves, and the commit is known."""
    return {name: value for name, value in options.items() if name != "revision"}


def _digests(fingerprint: Mapping[str, JSONValue]) -> dict[str, JSONValue]:
    return {name: fingerprint.get(name) for name in _DIGESTS}
