"""Backbones that users add by name: `register_backbone`, and names such as ``"myname:anything"``."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from savs._registry import Registry
from savs.backbones.base import Backbone
from savs.errors import BackboneError

BackboneLoader = Callable[..., Backbone]
"""Takes what follows the colon of a name, and the options of `load_backbone` that were set, by keyword."""

_LOADERS = Registry[BackboneLoader]("backbone", "savs.backbones")


def register_backbone(name: str, loader: BackboneLoader, *, replace: bool = False) -> None:
    """Let `load_backbone`, and ``--backbone`` on the command line, know a backbone of your own.

    ``load_backbone("name:anything", **options)`` then returns ``loader("anything", **options)``. An installed
    package registers without a call, by an entry point of the group ``savs.backbones``.

    Parameters
    ----------
    name : str
        What stands before the colon: letters, digits, ``_``, ``-`` and ``.``.
    loader : callable
        Takes what follows the colon, and by keyword the options of `load_backbone` that the caller has set;
        returns a `savs.backbones.Backbone`. Its fingerprint must hold the whole name under ``"source"``, so
        that a saved classifier finds it again, and should hold a ``"weights_digest"`` that changes whenever
        the vectors do: a classifier is refused on any other.
    replace : bool, default=False
        Allow a name that is registered already.

    Raises
    ------
    ValueError
        If the name is registered already, or has other characters.

    Examples
    --------
    >>> from savs.backbones import FakeBackbone, load_backbone, register_backbone
    >>> class Sketch(FakeBackbone):
    ...     @property
    ...     def fingerprint(self):
    ...         return {**super().fingerprint, "source": f"sketch:{self.seed}"}
    >>> register_backbone("sketch", lambda rest: Sketch(seed=int(rest)))
    >>> load_backbone("sketch:7").seed
    7
    """
    _LOADERS.register(name, loader, replace=replace)


def split_name(name: str) -> tuple[str, str] | None:
    """Return a registered name and what follows its colon; None for folders, hub names and "tiny".

    A folder that exists keeps its meaning, whatever its name.

    Raises
    ------
    BackboneError
        If the name looks like a registered one, and there is none such.
    """
    prefix, colon, rest = name.partition(":")
    if not colon or _is_folder(name):
        return None
    if prefix in _LOADERS:
        return prefix, rest
    if len(prefix) > 1 and prefix.replace("_", "").replace("-", "").isalnum() and not rest.startswith("//"):
        names = ", ".join(_LOADERS)
        known = f"registered are {names}" if names else "none is registered"
        raise BackboneError(
            f"{name[:80]}: there is no such folder, and no backbone named {prefix!r} ({known}); install the "
            "package that adds it, or call savs.backbones.register_backbone"
        )
    return None


def load_registered(name: str, rest: str, options: Mapping[str, Any]) -> Backbone:
    """Call the loader of a registered name and check what it returns.

    Parameters
    ----------
    name : str
        A registered name.
    rest : str
        What follows the colon.
    options : mapping
        For the loader; those that are None are left out.

    Raises
    ------
    BackboneError
        If the loader cannot be imported, does not take an option, or returns something else than a backbone
        with its name in the fingerprint.
    """
    try:
        loader = _LOADERS[name]
    except Exception as error:  # the module of an installed package may fail in any way
        raise BackboneError(f"the backbone {name!r} cannot be imported: {_one_line(error)}") from error
    set_options = {option: value for option, value in options.items() if value is not None}
    _check_options(name, loader, set_options)
    backbone = loader(rest, **set_options)
    if not isinstance(backbone, Backbone):
        raise BackboneError(
            f"the loader of {name!r} must return a savs.backbones.Backbone, got {type(backbone).__name__}"
        )
    source = backbone.fingerprint.get("source")
    if source != f"{name}:{rest}":
        raise BackboneError(
            f"the fingerprint of {name}:{rest} must have that name as its 'source', got {source!r}"
        )
    return backbone


def _check_options(name: str, loader: BackboneLoader, options: Mapping[str, Any]) -> None:
    parameters = inspect.signature(loader).parameters.values()
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        return
    keywords = {p.name for p in parameters if p.kind in (p.KEYWORD_ONLY, p.POSITIONAL_OR_KEYWORD)}
    unknown = [option for option in options if option not in keywords]
    if unknown:
        raise BackboneError(f"the backbone {name!r} does not take the option {unknown[0]!r}")


def _is_folder(name: str) -> bool:
    try:
        return Path(name).is_dir()
    except (OSError, ValueError):  # a name that no file can have
        return False


def _one_line(error: Exception) -> str:
    return f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
