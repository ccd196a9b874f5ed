"""Output projections that the user names, where the rule of `find_sites` finds none or others.

A site is ``path`` or ``path:heads=8,head_dim=64``. `path` leads from the model to the projection; ``*``
stands for one part of it, as a rule the layer's number: ``model.layers.*.attn.my_out``.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from savs.backbones.anatomy.attention_modules import geometry, input_width, is_attention, is_gated
from savs.errors import BackboneError

__all__ = ["NamedProjection", "named_projections"]

_GEOMETRY = re.compile(r"(heads|head_dim)=([1-9]\d*)")


@dataclass(frozen=True)
class NamedProjection:
    """A projection that the user named, with its heads; see `savs.backbones.anatomy.sites.AttentionSite`."""

    path: str
    projection: Any
    owner: Any
    layer: int
    n_heads: int
    head_dim: int
    gated: bool


def named_projections(model: Any, names: Sequence[str]) -> list[NamedProjection]:
    """Return the named projections, by layer, those of one layer in the order of the names.

    The layer is the first number in a path; without one, its place among all that are named.

    Raises
    ------
    BackboneError
        If a name fits no module, or one that is not a projection; if the heads are neither given nor told by
        the modules around it; if heads * head_dim is not the width of its input; or if one is named twice.
    """
    if isinstance(names, str) or not names:
        raise BackboneError(f"sites is a list of paths of output projections, not {names!r}")
    modules = dict(model.named_modules(remove_duplicate=False))
    found: list[NamedProjection] = []
    for name in names:
        path, given = _parsed(name)
        for match in _matching(modules, path):
            if any(match == other.path for other in found):
                raise BackboneError(f"sites names {match} twice")
            found.append(_projection(modules, match, given, len(found)))
    return sorted(found, key=lambda projection: projection.layer)


def _parsed(name: Any) -> tuple[str, dict[str, int]]:
    if not isinstance(name, str):
        raise BackboneError(f"a site is a text such as 'model.layers.*.attn.out', not {name!r}")
    path, colon, rest = name.strip().partition(":")
    given: dict[str, int] = {}
    for part in rest.split(",") if colon else ():
        match = _GEOMETRY.fullmatch(part.strip())
        if match is None or match[1] in given:
            raise BackboneError(
                f"site {name!r}: after the colon comes heads=N,head_dim=N, not {part.strip()!r}"
            )
        given[match[1]] = int(match[2])
    return path, given


def _matching(modules: dict[str, Any], path: str) -> list[str]:
    pattern = re.compile(re.escape(path).replace(r"\*", r"[^.]+"))
    matches = [name for name in modules if name and pattern.fullmatch(name)]
    if matches:
        return matches
    projections = dict.fromkeys(_starred(name) for name, module in modules.items() if input_width(module))
    close = difflib.get_close_matches(_starred(path), projections, n=3, cutoff=0.5)
    advice = f"; close to it: {', '.join(close)}" if close else ""
    raise BackboneError(f"sites names {path!r}, and the model has no such module{advice}")


def _starred(path: str) -> str:
    return re.sub(r"(?<![^.])\d+(?![^.])", "*", path)


def _projection(modules: dict[str, Any], path: str, given: dict[str, int], place: int) -> NamedProjection:
    projection = modules[path]
    width = input_width(projection)
    if width is None:
        inside = [name for name, child in projection.named_children() if input_width(child)]
        advice = f"; it has {', '.join(f'{path}.{name}' for name in inside[:4])}" if inside else ""
        raise BackboneError(f"sites names {path}, a {type(projection).__name__} and not a projection{advice}")
    owners = list(_owners(modules, path))
    n_heads, head_dim = _checked(path, width, given, owners)
    numbers = [int(part) for part in path.split(".") if part.isdecimal()]
    return NamedProjection(
        path=path,
        projection=projection,
        owner=owners[0],
        layer=numbers[0] if numbers else place,
        n_heads=n_heads,
        head_dim=head_dim,
        gated=is_gated(owners[0], width),
    )


def _owners(modules: dict[str, Any], path: str) -> Iterator[Any]:
    """Yield the module that holds the projection, and an attention around that (BERT's `output.dense`)."""
    parents = path.split(".")[:-1]
    yield modules[".".join(parents)]
    around = modules[".".join(parents[:-1])] if parents else None
    if around is not None and is_attention(around):
        yield around


def _checked(path: str, width: int, given: dict[str, int], owners: list[Any]) -> tuple[int, int]:
    if given:
        n_heads = given.get("heads") or width // given["head_dim"]
        head_dim = given.get("head_dim") or width // n_heads
        if n_heads * head_dim != width:
            raise BackboneError(
                f"site {path}: {_product(given)} does not give the {width} columns of its input"
            )
        return n_heads, head_dim
    sizes = next((sizes for owner in owners if (sizes := geometry(owner, None, width))), None)
    if sizes is None:
        raise BackboneError(
            f"site {path} takes {width} columns, and {type(owners[0]).__name__} does not tell its heads; "
            f"give them as in '{path}:heads=8,head_dim=64'"
        )
    return sizes


def _product(given: dict[str, int]) -> str:
    return " and ".join(f"{name}={number}" for name, number in given.items())
