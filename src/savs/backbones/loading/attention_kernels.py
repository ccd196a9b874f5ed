"""Which attention kernels may be set: none whose code transformers would download and run.

With the package kernels installed, transformers takes a kernel named ``owner/name`` from the hub, and so it
does, unasked, with FlashAttention where its package is missing.
"""

from __future__ import annotations

import re
from typing import Any

from savs.errors import BackboneError

__all__ = ["check_kernel_name", "kernels_of"]

_FLASH = re.compile(r"flash_attention_(\d+)")
_PACKAGES = {"2": "flash-attn", "3": "flash-attn-3", "4": "flash-attn-4"}


def check_kernel_name(kernel: str) -> None:
    """Refuse a kernel that is not here.

    Parameters
    ----------
    kernel : str
        As transformers names it, such as ``"sdpa"``.

    Raises
    ------
    BackboneError
        If it would come from a repository, or its package is not installed or does not work here.
    """
    from transformers.utils import import_utils

    if "/" in kernel:
        raise BackboneError(
            f"the attention kernel {kernel} is code from a repository, which savs never runs; use 'sdpa' or "
            "'eager'"
        )
    flash = _FLASH.search(kernel)
    if flash is None:
        return
    available = getattr(import_utils, f"is_flash_attn_{flash[1]}_available", lambda: False)
    if not available():
        raise BackboneError(
            f"the attention kernel {kernel} needs the package {_PACKAGES.get(flash[1], 'flash-attn')}, which "
            "is not installed or does not work on this machine; use 'sdpa' or 'eager'"
        )


def kernels_of(config: Any) -> set[str]:
    """Return the kernels that a configuration and those of its parts name."""
    parts = (getattr(config, name, None) for name in getattr(config, "sub_configs", ()))
    found = (getattr(part, "_attn_implementation", None) for part in (config, *parts))
    return {kernel for kernel in found if isinstance(kernel, str)}
