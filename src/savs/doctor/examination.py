"""`examine`: all checks on one backbone, in the order in which they build on one another."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from savs.backbones import TransformersBackbone
from savs.backbones.loading.modes import Mode, remove_mode, store_mode
from savs.doctor.basis import check_contrasts, check_reference, check_repetition
from savs.doctor.batches import check_batches, check_mixed, check_padding, check_processor, check_shuffled
from savs.doctor.dtypes import DTYPES, check_dtype
from savs.doctor.facts import facts
from savs.doctor.geometry import check_geometry
from savs.doctor.kernels import KERNELS, check_kernel, kernel_in_use
from savs.doctor.probes import Probe
from savs.doctor.report import Check, Report, Timing
from savs.doctor.reuse import check_reuse, reuse_probes
from savs.doctor.speed import best_mode, time_modes
from savs.doctor.subject import Subject, admit

__all__ = ["examine"]

_STAGES = 7


def examine(
    backbone: TransformersBackbone, *, batch_size: int = 8, store: bool = True, progress: bool = False
) -> Report:
    """Find out whether a backbone's head vectors can be trusted, and how it runs fastest while they can.

    Parameters
    ----------
    backbone : TransformersBackbone
        Its model, processor and settings are afterwards as before.
    batch_size : int, default=8
        The largest batch that is tried.
    store : bool, default=True
        Keep the fastest safe mode for `savs.backbones.load_backbone`; where even one example alone is not
        read rightly, remove the mode that is kept, unless the sites were named by the user.
    progress : bool, default=False
        Show a progress bar on stderr if that is a terminal.

    Returns
    -------
    Report

    Raises
    ------
    BackboneError
        If the backbone reads nothing at all.
    ValueError
        If `batch_size` is not positive.
    """
    if batch_size < 1:
        raise ValueError(f"the largest batch must be positive, not {batch_size}")
    with _stages(progress) as stage:
        stage("probes")
        subject = admit(backbone)
        stage("one example alone")
        basis = _basis(subject)
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
    checks = (*basis, *together, reuse, *kernels, *dtypes)
    stored, removed = _keep(subject, mode) if store else (None, None)
    return Report(facts(subject, checks), checks, tuple(timings), mode, stored, removed)


def _basis(subject: Subject) -> list[Check]:
    return [
        check_geometry(subject),
        check_repetition(subject),
        check_reference(subject),
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
    if mode is None and subject.backbone._anatomy.named:
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
