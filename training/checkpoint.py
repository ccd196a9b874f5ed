"""Checkpoints of a run: weights, optimizer, step and time spent, written atomically."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from training.optimizer import Optimizer


def save_state(file: Path, module: nn.Module, optimizer: Optimizer, step: int, seconds: float) -> None:
    """Write a checkpoint; a run killed meanwhile leaves the earlier one in place."""
    state = {
        "module": module.state_dict(),
        "optimizer": optimizer.state_dict(),
        "step": step,
        "seconds": seconds,
    }
    partial = file.with_suffix(".part")
    torch.save(state, partial)
    partial.replace(file)


def load_state(file: Path, module: nn.Module, optimizer: Optimizer) -> tuple[int, float]:
    """Restore a checkpoint in place and return its step and seconds; (0, 0.0) where there is none."""
    if not file.exists():
        return 0, 0.0
    state = torch.load(file, weights_only=True)
    module.load_state_dict(state["module"])
    optimizer.load_state_dict(state["optimizer"])
    return int(state["step"]), float(state["seconds"])
