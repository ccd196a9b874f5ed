"""Modules of transformers that name torchvision in an import, opened without it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from types import ModuleType

__all__ = ["torchvision_in_name"]


@contextmanager
def torchvision_in_name() -> Iterator[None]:
    """Let modules be imported that name torchvision and use it only in what is not used here.

    Pixtral's processor takes one function of plain arithmetic from the module of its torchvision image
    processor.
    """
    names = ["torchvision", "torchvision.transforms", "torchvision.transforms.v2"]
    names.append("torchvision.transforms.v2.functional")
    before = {name: sys.modules[name] for name in names if name in sys.modules}
    modules = {name: ModuleType(name) for name in names}
    for name, module in modules.items():
        parent, _, own = name.rpartition(".")
        if parent:
            setattr(modules[parent], own, module)
    sys.modules.update(modules)
    try:
        yield
    finally:
        for name in names:
            del sys.modules[name]
        sys.modules.update(before)
