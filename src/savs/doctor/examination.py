"""`examine`: all checks on one backbone, in the order in which they build on one another."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from itertools import groupby

from savs.backbones import Backbone, JSONValue, TransformersBackbone
from savs.backbones._modes import Mode, checked_versions, remove_mode, store_mode
from savs.backbones._rendering import chat_template, tokenizer_of
from savs.data import Example
from savs.doctor._checks import (
    DTYPES,
    KERNELS,
    check_batches,
    check_contrasts,
    check_dtype,
    check_kernel,
    check_mixed,
    check_padding,
    check_processor,
    check_reference,
    check_repetition,
    check_reuse,
    check_shuffled,
    kernel_in_use,
    reuse_probes,
    under_kernel,
    without_remarks,
)
from savs.doctor._geometry import check_geometry
from savs.doctor._probes import Probe
from savs.doctor._prompts import check_prompts, check_token_ids, prompt_facts
from savs.doctor._releases import check_known_faults, check_positions, check_torchvision
from savs.doctor._subject import Subject, admit
from savs.doctor.report import Check, Report, Timing
from savs.errors import BackboneError

__all__ = ["best_mode", "examine", "facts", "time_modes", "usable"]

_STAGES = 7
_ROUNDS = 3
_LONG = 6.0  # seconds after which no further round begins
_CLEARLY_FASTER = 1.1  # a clock on a busy machine wavers by more than a few percent


def examine(backbone: Backbone, *, batch_size: int = 8, store: bool = True, progress: bool = False) -> Report:
    """Find out whether a backbone's head vectors can be trusted, and how it runs fastest while they can.

    Parameters
    ----------
    backbone : TransformersBackbone
        Its model, processor and settings are unchanged afterwards.
    batch_size : int, default=8
        The largest batch that is tried.
    store : bool, default=True
        Keep the fastest safe mode for `savs.backbones.load_backbone`; where even one example alone is not
        read correctly, remove the mode that is kept, unless the sites were named by the user.
    progress : bool, default=False
        Show a progress bar on stderr if that is a terminal.

    Returns
    -------
    Report

    Raises
    ------
    BackboneError
        If it is not a `TransformersBackbone`, whose model and heads are looked into, or reads nothing at all.
    ValueError
        If `batch_size` is not positive.
    """
    if batch_size < 1:
        raise ValueError(f"batch_size must be positive, got {batch_size}")
    if not isinstance(backbone, TransformersBackbone):
        raise BackboneError(
            f"the doctor examines transformers models (TransformersBackbone), got {type(backbone).__name__}"
        )
    with _stages(progress) as stage:
        stage("probes")
        subject = admit(backbone)
        stage("one example alone")
        basis = _basis(subject)
        prompts = [check_token_ids(subject), check_prompts(subject)]
        stage("batches")
        sizes = [size for size in (2, 4, 8, 16, 32, 64) if size < batch_size] + [batch_size] * (
            batch_size > 1
        )
        together = _together(subject, sizes)
        asked = reuse_probes(subject)
        reuse = check_reuse(subject, asked, batch_size)
        stage("kernels")
        trusted = _all_safe(basis)
        safe_sizes = [1, *sizes] if _all_safe(together) else [1]
        kernels = [check_kernel(subject, kernel, safe_sizes[-1]) for kernel in KERNELS]
        stage("dtypes")
        dtypes = [check_dtype(subject, dtype) for dtype in DTYPES]
        stage("speed")
        trusted = trusted and _all_safe(kernels)
        mode, timings = _choose(subject, safe_sizes, kernels, asked, reuse) if trusted else (None, [])
    checks = (*basis, *prompts, *together, reuse, *kernels, *dtypes)
    stored, removed = _keep(subject, mode) if store else (None, None)
    return Report(facts(subject, checks), checks, tuple(timings), mode, stored, removed)


def _basis(subject: Subject) -> list[Check]:
    return [
        check_geometry(subject),
        check_repetition(subject),
        check_reference(subject),
        *check_positions(subject),
        check_known_faults(subject),
        check_torchvision(subject),
        *check_contrasts(subject),
    ]


def _together(subject: Subject, sizes: list[int]) -> list[Check]:
    return [
        check_processor(subject),
        check_padding(subject, "right"),
        check_padding(subject, "left"),
        *check_batches(subject, sizes),
        check_shuffled(subject, max([1, *sizes])),
        check_mixed(subject),
    ]


def _all_safe(checks: list[Check]) -> bool:
    return all(check.verdict != "unsafe" for check in checks)


def _choose(
    subject: Subject, sizes: list[int], kernels: list[Check], asked: list[Probe], reuse: Check
) -> tuple[Mode, list[Timing]]:
    """Time the safe modes; other kernels only with the batch size that is fastest under the one in use."""
    in_use = kernel_in_use(subject.model)
    timings = time_modes(subject, sizes, [in_use])
    fastest = max(timings, key=lambda timing: timing.examples_per_second)
    safe = [check.name.removeprefix("kernel ") for check in kernels if check.verdict == "ok"]
    timings += time_modes(subject, [fastest.batch_size], [name for name in safe if name != in_use])
    mode, compared = best_mode(subject, timings, asked, reuse.verdict)
    return mode, timings + compared


def _keep(subject: Subject, mode: Mode | None) -> tuple[str | None, str | None]:
    if mode is None and subject.backbone.anatomy.named:
        return None, None  # the fault may be in the sites that were named, not in the model
    if mode is None:
        removed = remove_mode(subject.model, subject.processor)
        return None, None if removed is None else str(removed)
    stored = store_mode(subject.model, subject.processor, mode)
    return None if stored is None else str(stored), None


@contextmanager
def _stages(progress: bool) -> Iterator[Callable[[str], None]]:
    from tqdm import tqdm

    with tqdm(total=_STAGES - 1, delay=2, disable=None if progress else True, leave=False) as bar:

        def stage(name: str) -> None:
            bar.set_description(name, refresh=False)
            bar.update(0 if name == "probes" else 1)

        yield stage


def time_modes(subject: Subject, sizes: Sequence[int], kernels: Iterable[str | None]) -> list[Timing]:
    """Time every batch size under every kernel, the smallest first.

    Parameters
    ----------
    subject : Subject
        What is examined.
    sizes : sequence of int
        Examples per batch.
    kernels : iterable of str or None
        Attention kernels; None for the one in use.
    """
    modes = [(size, None, kernel) for kernel in kernels for size in sorted(sizes)]
    return _timed(subject, subject.examples, modes)


def best_mode(
    subject: Subject, timings: Sequence[Timing], asked: Sequence[Probe], reuse: str
) -> tuple[Mode, list[Timing]]:
    """Return the fastest mode, and the timings with and without prefix reuse that decided on that.

    Parameters
    ----------
    subject : Subject
        What is examined.
    timings : sequence of Timing
        Of safe modes, at least one. A later one must be clearly faster to be preferred.
    asked : sequence of Probe
        Prompts with a common beginning.
    reuse : {"ok", "unsafe", "differs", "skipped"}
        Verdict on prefix reuse. Where it could not be tried it stays on, as the backbone checks it by itself.
    """
    best = timings[0]
    for timing in timings[1:]:
        if timing.examples_per_second > best.examples_per_second * _CLEARLY_FASTER:
            best = timing
    compared: list[Timing] = []
    on = reuse == "skipped"
    if reuse == "ok":
        examples = _one_family(asked)
        size, kernel = best.batch_size, best.attn_implementation
        compared = _timed(subject, examples, [(size, True, kernel), (size, False, kernel)])
        on = compared[0].examples_per_second * _CLEARLY_FASTER > compared[1].examples_per_second
    return Mode(best.batch_size, on, best.attn_implementation, checked_versions()), compared


def _one_family(asked: Sequence[Probe]) -> list[Example]:
    """Return the largest set of questions on one image, or on one opening where there are no images."""
    families: dict[int, list[Example]] = {}
    for probe in asked:
        images = probe.example.images
        families.setdefault(id(images[0].source) if images else 0, []).append(probe.example)
    return max(families.values(), key=len)


def _timed(
    subject: Subject, examples: Sequence[Example], modes: Sequence[tuple[int, bool | None, str | None]]
) -> list[Timing]:
    """Time (batch size, prefix reuse, kernel) in turns: what else the machine does hits them alike."""
    works = [partial(_run, subject, examples, *mode) for mode in modes]
    best = [math.inf] * len(works)
    started = time.perf_counter()
    for _ in range(_ROUNDS):
        best = [min(shortest, work()) for shortest, work in zip(best, works, strict=True)]
        if time.perf_counter() - started > _LONG:
            break
    in_use = kernel_in_use(subject.model)
    return [
        Timing(size, reuse, kernel or in_use, round(len(examples) / max(seconds, 1e-9), 2))
        for (size, reuse, kernel), seconds in zip(modes, best, strict=True)
    ]


def _run(
    subject: Subject, examples: Sequence[Example], batch_size: int, reuse: bool | None, kernel: str | None
) -> float:
    """Return the seconds that the examples take."""
    backbone = subject.variant(batch_size, prefix_reuse=bool(reuse))
    with under_kernel(subject.model, kernel), without_remarks():
        started = time.perf_counter()
        backbone.extract(examples)
        return time.perf_counter() - started


def facts(subject: Subject, checks: Sequence[Check]) -> dict[str, JSONValue]:
    """Return what a backbone is, for people and for ``--json``.

    Parameters
    ----------
    subject : Subject
        What was examined.
    checks : sequence of Check
        All of them: they show which kernels and dtypes run.
    """
    backbone, processor, model = subject.backbone, subject.processor, subject.model
    images = getattr(processor, "image_processor", None)
    return {
        "source": backbone.source,
        "model_class": type(model).__name__,
        **_anatomy(subject),
        "modalities": [*sorted(backbone.modalities)],
        "refused_prompts": dict(subject.refused),
        "processor_class": type(processor).__name__,
        "image_processor_class": None if images is None else type(images).__name__,
        "image_backend": None if images is None else str(getattr(images, "backend", "unknown")),
        "chat_template": chat_template(processor)[0] is not None,
        **prompt_facts(subject),
        "padding_side": str(getattr(tokenizer_of(processor), "padding_side", None)),
        "device": str(model.device),
        "dtype": str(model.dtype).removeprefix("torch."),
        "attn_implementation": kernel_in_use(model),
        "kernels": usable(checks, "kernel "),
        "dtypes": usable(checks, "dtype "),
    }


def usable(checks: Sequence[Check], prefix: str) -> list[JSONValue]:
    """Return the kernels or dtypes that ran, right or wrong.

    Parameters
    ----------
    checks : sequence of Check
        All of them.
    prefix : str
        ``"kernel "`` or ``"dtype "``.
    """
    return [
        check.name.removeprefix(prefix)
        for check in checks
        if check.name.startswith(prefix) and check.verdict != "skipped"
    ]


def _anatomy(subject: Subject) -> dict[str, JSONValue]:
    anatomy = subject.backbone.anatomy
    described = anatomy.describe()
    return {
        "n_layers": anatomy.n_layers,
        "n_heads": subject.layout.n_heads,
        "heads_per_layer": _per_layer(subject),
        "gated_layers": [*sorted({site.layer for site in subject.sites if site.gated})],
        "skipped": described["skipped"],
        "sites_from": described["sites_from"],
    }


def _per_layer(subject: Subject) -> list[JSONValue]:
    """Return ``[first layer, last layer, heads, head_dim]`` of every run of alike layers."""
    runs: list[JSONValue] = []
    shapes = [(site.layer, site.n_heads, site.head_dim) for site in subject.sites]
    for (n_heads, head_dim), run in groupby(shapes, key=lambda shape: shape[1:]):
        layers = [layer for layer, _, _ in run]
        runs.append([layers[0], layers[-1], n_heads, head_dim])
    return runs
