"""Which attention kernels run a model here, and whether they give the same vectors."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from savs.backbones.loading.attention_kernels import check_kernel_name
from savs.backbones.loading.load import quiet
from savs.backbones.passes.offloading import input_device
from savs.doctor.report import Check, Verdict
from savs.doctor.subject import Subject
from savs.errors import SAVsError

__all__ = ["KERNELS", "check_kernel", "kernel_in_use", "under_kernel"]

KERNELS = ("eager", "sdpa", "flash_attention_2", "flash_attention_3", "flex_attention")


def kernel_in_use(model: Any) -> str | None:
    """Return the name of a model's attention kernel, or None if it has no choice."""
    kernel = getattr(model.config, "_attn_implementation", None)
    return None if kernel is None else str(kernel)


def check_kernel(subject: Subject, kernel: str, batch_size: int) -> Check:
    """Read the probes under one kernel, alone and in batches.

    A kernel that is not in use and disagrees "differs"; if eager, which is the definition, disagrees with the
    one in use, that one is "unsafe".
    """
    name, in_use = f"kernel {kernel}", kernel_in_use(subject.model)
    if kernel == in_use:
        return Check(name, "ok", 0.0, 1.0, 0, subject.tolerance, "in use: all other checks ran under it")
    if kernel == "flex_attention" and input_device(subject.model).type == "cpu":
        return Check(name, "skipped", note="not tried on a CPU, where it compiles for half a minute")
    wrong: Verdict = "unsafe" if kernel == "eager" else "differs"
    try:
        with under_kernel(subject.model, kernel):
            subject.extract(subject.examples[:1])
    except (KernelError, SAVsError) as error:
        why = re.split(r", which|;", str(error))[0].removeprefix(f"the attention kernel {kernel} ")
        return Check(name, "skipped", note=f"not available: {why}")
    with under_kernel(subject.model, kernel):
        alone = subject.judge(name, lambda: subject.extract(subject.examples), wrong=wrong)
        if alone.verdict != "ok" or batch_size == 1:
            return alone
        together = subject.judge(
            name, lambda: subject.extract(subject.examples, batch_size), wrong="differs", note="in batches"
        )
    return together if together.verdict != "ok" else max(alone, together, key=_difference)


def _difference(check: Check) -> float:
    return check.max_difference or 0.0


class KernelError(Exception):
    """A kernel cannot be set; never leaves this package."""


@contextmanager
def under_kernel(model: Any, kernel: str | None) -> Iterator[None]:
    """Run the block under an attention kernel, and put every configuration of the model back afterwards.

    Raises
    ------
    KernelError
        If the kernel cannot be set, before the block runs.
    """
    if kernel is None or kernel == kernel_in_use(model):
        yield
        return
    before = [(config, vars(config).get(_NAME, _ABSENT)) for config in _configs(model)]
    try:
        _set(model, kernel)
        yield
    finally:
        for config, value in before:
            if value is _ABSENT:
                vars(config).pop(_NAME, None)
            else:
                vars(config)[_NAME] = value


_NAME = "_attn_implementation_internal"
_ABSENT = object()


def _set(model: Any, kernel: str) -> None:
    try:
        with quiet(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            check_kernel_name(kernel)
            model.set_attn_implementation(kernel)
    except Exception as error:  # each kernel has its own ways to be missing
        raise KernelError(_brief(error)) from error
    if kernel_in_use(model) != kernel:
        raise KernelError("the model has no choice of kernel")


def _brief(error: Exception) -> str:
    text = " ".join(str(error).split())
    return text[:160] or type(error).__name__


def _configs(model: Any) -> list[Any]:
    """Return every configuration object of a model and its parts, each once."""
    found: dict[int, Any] = {}
    waiting = [module.config for module in model.modules() if hasattr(module, "config")]
    while waiting:
        config = waiting.pop()
        if id(config) in found or not hasattr(config, "__dict__"):
            continue
        found[id(config)] = config
        waiting += [
            sub for name in getattr(config, "sub_configs", ()) if (sub := getattr(config, name, None))
        ]
    return list(found.values())
