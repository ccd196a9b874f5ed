"""The canary: a few made-up inputs with their vectors, which show when the libraries compute something else.

The code that runs the weights is part of what a vector is. A classifier and a feature store keep the vectors
of a few probes (`savs.backbones._probes`) together with the environment in which they were computed. Under
another environment the probes are read again, and what differs by more than rounding is refused.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from savs.backbones._probes import is_probe, probe, probe_names
from savs.backbones.base import Backbone
from savs.data import Example
from savs.errors import CapacityError, DriftError, ItemError, MissingDependencyError

Rows = NDArray[np.float32]
Reader = Callable[[Backbone, Sequence[Example]], Rows]
"""Reads examples with a backbone, one row each, or raises the `ItemError` of one."""
Environment = Mapping[str, str | None]

_TOLERANCES = {"float64": 1e-4, "float32": 1e-4, "float16": 0.03, "bfloat16": 0.25}
_FLOAT32_ON_CUDA = 2e-3
_NEGLIGIBLE = 1e-3
_NOT_COMPARED = frozenset({"python"})


class DriftWarning(UserWarning):
    """It cannot be told whether the installed libraries compute the vectors of a classifier or a store."""


@dataclass(frozen=True)
class Canary:
    """Vectors of probes, and where they were computed.

    Parameters
    ----------
    environment : mapping of str to str or None
        As `environment_of` returns it.
    probes : tuple of str
        Names of the probes that the backbone could read.
    vectors : ndarray of float32, shape (n_probes, width)
        One row for each.

    Raises
    ------
    ValueError
        If it does not fit together, or a probe is unknown.
    """

    environment: Environment
    probes: tuple[str, ...]
    vectors: Rows

    def __post_init__(self) -> None:
        valid = (
            isinstance(self.environment, Mapping)
            and all(isinstance(value, str | None) for value in self.environment.values())
            and all(map(is_probe, self.probes))
            and len(set(self.probes)) == len(self.probes) > 0
            and self.vectors.ndim == 2
            and len(self.vectors) == len(self.probes)
            and self.vectors.dtype == np.float32
            and bool(np.isfinite(self.vectors).all())
        )
        if not valid:
            raise ValueError("the canary does not fit together")

    @property
    def digest(self) -> str:
        """The sha256 of probes and vectors, without the environment."""
        digest = hashlib.sha256(json.dumps([list(self.probes), list(self.vectors.shape)]).encode())
        digest.update(np.ascontiguousarray(self.vectors, dtype="<f4").tobytes())
        return digest.hexdigest()


def environment_of(fingerprint: Mapping[str, Any]) -> dict[str, str | None]:
    """Return what computes: versions of the libraries, attention kernel, type of device, dtype.

    Parameters
    ----------
    fingerprint : mapping
        A backbone's.
    """
    versions = fingerprint.get("versions")
    found = dict(versions) if isinstance(versions, Mapping) else {}
    names = {"attn_implementation": "attention kernel", "device": "device", "dtype": "dtype"}
    found |= {name: fingerprint.get(entry) for entry, name in names.items()}
    return {
        str(name): None if value is None else str(value)
        for name, value in sorted(found.items())
        if name not in _NOT_COMPARED
    }


def environment_digest(environment: Environment) -> str:
    """Return the sha256 of an environment."""
    return hashlib.sha256(json.dumps(dict(environment), sort_keys=True).encode()).hexdigest()


def record(backbone: Backbone, modalities: Iterable[str], read: Reader) -> Canary | None:
    """Return a new canary; None if the backbone reads none of the probes.

    Parameters
    ----------
    backbone : Backbone
    modalities : iterable of str
        Kinds of content in use; the probes for text are always read.
    read : callable
        Reads examples with a backbone.
    """
    runner, rows = _plain(backbone), {}
    for name in probe_names(modalities):
        try:
            rows[name] = read(runner, [probe(name)])[0]
        except (ItemError, MissingDependencyError):
            continue  # a family without such inputs, a prompt that is too long for it
        except Exception:  # a backbone of one's own may fail in any way on what its users never give it
            if hasattr(backbone, "in_mode"):
                raise
    if not rows:
        return None
    vectors = np.stack(list(rows.values())).astype(np.float32)
    return Canary(environment_of(backbone.fingerprint), tuple(rows), vectors)


def check(
    canary: Canary, backbone: Backbone, read: Reader, widths: Sequence[int], *, of: str, advice: str
) -> None:
    """Read the probes again and compare.

    Parameters
    ----------
    canary : Canary
    backbone : Backbone
    read : callable
        As for `record`.
    widths : sequence of int
        Number of columns of each head, in order.
    of, advice : str
        For the message: whose vectors these are, and what to do.

    Raises
    ------
    DriftError
        If vectors differ by more than `tolerance` of the largest entry of their head.
    """
    runner, now = _plain(backbone), environment_of(backbone.fingerprint)
    rows = []
    for name in canary.probes:
        try:
            rows.append(read(runner, [probe(name)])[0])
        except CapacityError:
            raise
        except ItemError as error:
            reason = f"the probe {name!r} cannot be read any more ({error.code})"
            raise _drift(canary.environment, now, reason, of, advice, np.inf, 0.0) from error
    found = np.stack(rows)
    limit = max(tolerance(env.get("dtype"), env.get("device")) for env in (canary.environment, now))
    worst = largest_difference(canary.vectors, found, widths)
    if worst <= limit:
        return
    apart, largest = float(np.abs(found - canary.vectors).max()), float(np.abs(canary.vectors).max())
    reason = (
        f"vectors of the probes differ by up to {apart:.2g} where the largest entry is {largest:.2g}, in one "
        f"head by {worst:.1g} of its own largest entry ({limit:g} would be rounding)"
    )
    raise _drift(canary.environment, now, reason, of, advice, worst, limit)


def changes(then: Environment, now: Environment) -> dict[str, tuple[str | None, str | None]]:
    """Return what differs between two environments: name to (then, now)."""
    names = sorted({*then, *now})
    return {name: (then.get(name), now.get(name)) for name in names if then.get(name) != now.get(name)}


def in_words(changed: Mapping[str, tuple[str | None, str | None]]) -> str:
    """Return changes such as ``transformers 5.5.0 -> 5.5.4, torch 2.9.0 -> 2.10.0``."""
    return ", ".join(f"{name} {then or 'none'} -> {now or 'none'}" for name, (then, now) in changed.items())


def largest_difference(expected: Rows, found: Rows, widths: Sequence[int]) -> float:
    """Return the largest difference of an entry, as a share of the largest entry of its head in any probe.

    Heads that are smaller than a thousandth of the largest are measured by that thousandth.

    Parameters
    ----------
    expected, found : ndarray of float32, shape (n_probes, width)
    widths : sequence of int
        Number of columns of each head; they sum to the width.
    """
    if found.shape != expected.shape or not np.isfinite(found).all():
        return float("inf")
    starts = np.cumsum([0, *widths])[:-1]
    before, after = expected.astype(np.float64), found.astype(np.float64)
    apart = np.maximum.reduceat(np.abs(after - before).max(axis=0), starts)
    scale = np.maximum.reduceat(np.abs(before).max(axis=0), starts)
    floor = max(_NEGLIGIBLE * float(scale.max()), 1e-30)
    return float((apart / np.maximum(scale, floor)).max())


def tolerance(dtype: str | None, device: str | None) -> float:
    """Return the largest relative difference that counts as rounding.

    float32: sums in another order move vectors by about 1e-6 of their size, a wrong position or mask by more
    than 0.1. The half precisions get 32 steps of their rounding (2^-7 and 2^-10). On CUDA, convolutions of
    float32 images run in TF32 unless the user forbids it.

    A pretrained decoder of 30 layers (SmolLM2-135M-Instruct, texts, CPU), read with eager and with sdpa
    attention, differs by 6e-6 in float32, 0.011 in float16 and 0.089 in bfloat16.

    Parameters
    ----------
    dtype : str or None
        Such as ``"float32"``.
    device : str or None
        Type of the device.
    """
    if dtype == "float32" and device == "cuda":
        return _FLOAT32_ON_CUDA
    return _TOLERANCES.get(dtype or "float32", _TOLERANCES["bfloat16"])


def _plain(backbone: Backbone) -> Backbone:
    """Return the backbone run one example at a time, nothing shared, where it can be asked for that."""
    in_mode = getattr(backbone, "in_mode", None)
    found: Backbone = backbone if in_mode is None else in_mode(1, prefix_reuse=False)
    return found


def _drift(
    then: Environment, now: Environment, reason: str, of: str, advice: str, difference: float, limit: float
) -> DriftError:
    changed = changes(then, now)
    cause = f" ({in_words(changed)})" if changed else ""
    return DriftError(
        f"the installed code computes other vectors than {of}{cause}: {reason}; {advice}",
        changed,
        difference,
        limit,
    )
