"""Muon for matrices, AdamW for the rest, behind one `step`.

torch's Muon takes two-dimensional parameters only; a convolution is handed over as the (out, rest) view of
its own storage. Embeddings, biases and normalization weights go to AdamW. `BatchedMuon` makes the same
updates as torch's, but orthogonalises the matrices of one shape together: the layers of the decoder are all
alike.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from torch import nn


class BatchedMuon(torch.optim.Muon):
    """torch's Muon, Nesterov momentum and the AdamW-like scale, in one batch of products per matrix shape."""

    @torch.no_grad()
    def step(self, _closure: None = None) -> None:  # type: ignore[override]
        """Update every parameter that has a gradient."""
        for group in self.param_groups:
            shapes: dict[torch.Size, list[nn.Parameter]] = {}
            for parameter in group["params"]:
                if parameter.grad is not None:
                    shapes.setdefault(parameter.shape, []).append(parameter)
            for same in shapes.values():
                self._update(same, group)

    def _update(self, same: list[nn.Parameter], group: dict[str, Any]) -> None:
        directions = []
        for parameter in same:
            state, gradient = self.state[parameter], parameter.grad
            if gradient is None:
                continue
            if "momentum_buffer" not in state:
                state["momentum_buffer"] = torch.zeros_like(parameter)
            state["momentum_buffer"].lerp_(gradient, 1 - group["momentum"])
            directions.append(gradient.lerp(state["momentum_buffer"], group["momentum"]))
        updates = orthogonalised(
            torch.stack(directions), group["ns_coefficients"], group["ns_steps"], group["eps"]
        )
        scale = 0.2 * max(same[0].shape) ** 0.5
        for parameter, update in zip(same, updates, strict=True):
            parameter.mul_(1 - group["lr"] * group["weight_decay"])
            parameter.add_(update.to(parameter.dtype), alpha=-group["lr"] * scale)


def orthogonalised(
    matrices: torch.Tensor, coefficients: tuple[float, float, float], steps: int, eps: float
) -> torch.Tensor:
    """Iterate (Newton-Schulz) towards the nearest semi-orthogonal matrices, (n, rows, columns)."""
    a, b, c = coefficients
    tall = matrices.shape[1] > matrices.shape[2]
    x = (matrices.mT if tall else matrices).bfloat16()
    x = x / x.norm(dim=(1, 2), keepdim=True).clamp(min=eps)
    for _ in range(steps):
        gram = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(gram, gram, gram, beta=b, alpha=c), x, beta=a)
    return x.mT if tall else x


class Optimizer:
    """Two optimizers and the two-dimensional views that connect convolutions with Muon."""

    def __init__(
        self,
        named: Iterable[tuple[str, nn.Parameter]],
        matrix_rate: float,
        other_rate: float,
        tower_share: float = 1.0,
        decay: float = 0.02,
    ) -> None:
        self.views: list[tuple[nn.Parameter, nn.Parameter]] = []
        groups: dict[tuple[bool, bool], list[nn.Parameter]] = {}
        self.parameters: list[nn.Parameter] = []
        for name, parameter in named:
            self.parameters.append(parameter)
            is_matrix = parameter.ndim >= 2 and "embed_tokens" not in name and "heads." not in name
            handed = parameter
            if is_matrix:
                handed = nn.Parameter(_flat(parameter.data))
                self.views.append((parameter, handed))
            groups.setdefault((is_matrix, "tower" in name), []).append(handed)
        shares = {True: tower_share, False: 1.0}
        muon = [
            {"params": group, "rate": matrix_rate * shares[in_tower]}
            for (is_matrix, in_tower), group in groups.items()
            if is_matrix
        ]
        adam = [
            {"params": group, "rate": other_rate * shares[in_tower]}
            for (is_matrix, in_tower), group in groups.items()
            if not is_matrix
        ]
        self.muon = BatchedMuon(muon, weight_decay=decay, momentum=0.95, adjust_lr_fn="match_rms_adamw")
        self.adam = torch.optim.AdamW(adam, betas=(0.9, 0.98), weight_decay=0.0)

    def step(self, factor: float, clip: float = 1.0) -> float:
        """One update at `factor` times the peak rates; returns the norm of the gradients before clipping."""
        norm = float(nn.utils.clip_grad_norm_(self.parameters, clip))
        for parameter, view in self.views:
            view.grad = None if parameter.grad is None else _flat(parameter.grad)
        for optimizer in (self.muon, self.adam):
            for group in optimizer.param_groups:
                group["lr"] = group["rate"] * factor
            optimizer.step()
        for parameter in self.parameters:
            parameter.grad = None
        return norm

    def state_dict(self) -> dict[str, Any]:
        """State of both optimizers."""
        return {"muon": self.muon.state_dict(), "adam": self.adam.state_dict()}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore what `state_dict` gave; the peak rates stay those given here."""
        for optimizer, saved in ((self.muon, state["muon"]), (self.adam, state["adam"])):
            rates = [group["rate"] for group in optimizer.param_groups]
            optimizer.load_state_dict(saved)
            for group, rate in zip(optimizer.param_groups, rates, strict=True):
                group["rate"] = rate


def _flat(tensor: torch.Tensor) -> torch.Tensor:
    """Return the (out, rest) view of a weight, in the memory order of a channels-last convolution."""
    if tensor.ndim == 2:
        return tensor
    return tensor.permute(0, 2, 3, 1).flatten(1)
