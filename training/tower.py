"""Stage 0: the convolutional tower alone, supervised.

Photographs teach their class and by how many quarter turns they were rotated, drawn scenes what stands in
each cell, how many things there are and on what background, letters which letter it is; every token also
names its own row and column, so that positions are explicit in the features. The heads are thrown away at
export; stage 1 keeps them for a small auxiliary loss.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn
from torch.nn import functional

from savs.demo.scenes import BACKGROUNDS, CELLS, COLOURS, KINDS, LETTERS, SIZES
from training.checkpoint import load_state, save_state
from training.drawings import Drawings, cell_targets
from training.optimizer import Optimizer
from training.photos import Photos
from training.schedule import Budget

IGNORE = -100
UNCOUNTED = 3
"""The number that is never counted in training."""


class TowerHeads(nn.Module):
    """Linear readers of the tower's features; auxiliary, never exported."""

    def __init__(self, width: int, n_classes: int) -> None:
        super().__init__()
        self.widths = {"kind": len(KINDS) + 1, "colour": len(COLOURS) + 1, "size": len(SIZES) + 1}
        self.heads = nn.ModuleDict(
            {
                "photo": nn.Linear(width, n_classes),
                "turn": nn.Linear(width, 4),
                "letter": nn.Linear(width, len(LETTERS)),
                "count": nn.Linear(width, 6),
                "background": nn.Linear(width, len(BACKGROUNDS)),
                "row": nn.Linear(width, CELLS),
                "column": nn.Linear(width, CELLS),
                **{name: nn.Linear(width, size) for name, size in self.widths.items()},
            }
        )

    def forward(self, features: torch.Tensor) -> dict[str, torch.Tensor]:
        """Logits of every head from features (n, width, 4, 4)."""
        tokens = features.flatten(2).transpose(1, 2).float()
        pooled = tokens.mean(dim=1)
        per_token = ("row", "column", *self.widths)
        return {name: head(tokens if name in per_token else pooled) for name, head in self.heads.items()}


@dataclass(frozen=True)
class TowerBatch:
    """Images (n, 3, 64, 64) in [-1, 1] and the targets of those heads that apply; -100 elsewhere."""

    pixels: torch.Tensor
    targets: dict[str, torch.Tensor]


def tower_loss(logits: dict[str, torch.Tensor], targets: dict[str, torch.Tensor]) -> dict[str, torch.Tensor]:
    """Cross-entropy of every head that has a target in the batch."""
    weights = {
        "row": 0.15,
        "column": 0.15,
        "turn": 0.4,
        "count": 0.4,
        "background": 0.3,
        "kind": 2.0,
        "colour": 2.0,
    }
    losses: dict[str, torch.Tensor] = {}
    for name, target in targets.items():
        if bool((target != IGNORE).any()):
            scores = logits[name].flatten(0, -2)
            losses[name] = weights.get(name, 1.0) * functional.cross_entropy(
                scores, target.flatten(), ignore_index=IGNORE
            )
    return losses


def to_pixels(images: npt.NDArray[np.uint8], device: torch.device) -> torch.Tensor:
    """Scale images (n, 64, 64, 3) uint8 as the image processor does: (n, 3, 64, 64) in [-1, 1]."""
    return torch.from_numpy(images).to(device).permute(0, 3, 1, 2).float().div_(127.5).sub_(1.0)


def augment_photos(pixels: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Random flip, shift, zoom and slight turn, colour jitter and a cut-out square."""
    n = len(pixels)
    if n == 0:
        return pixels
    chance = torch.from_numpy(rng.random((n, 12)).astype(np.float32)).to(pixels.device)
    zoom = 0.8 + 0.35 * chance[:, 0]
    turn = (chance[:, 1] - 0.5) * 0.4
    flip = torch.where(chance[:, 2] < 0.5, -1.0, 1.0)
    maps = torch.zeros(n, 2, 3, device=pixels.device)
    maps[:, 0, 0], maps[:, 0, 1] = zoom * turn.cos() * flip, -zoom * turn.sin()
    maps[:, 1, 0], maps[:, 1, 1] = zoom * turn.sin() * flip, zoom * turn.cos()
    maps[:, :, 2] = (chance[:, 3:5] - 0.5) * 0.4
    grid = functional.affine_grid(maps, list(pixels.shape), align_corners=False)
    moved = functional.grid_sample(pixels, grid, padding_mode="reflection", align_corners=False)
    gain = 0.75 + 0.5 * chance[:, 5:8].mean(1, keepdim=True) + 0.2 * (chance[:, 5:8] - 0.5)
    shift = (chance[:, 8:9] - 0.5) * 0.4
    moved = (moved * gain[:, :, None, None] + shift[:, :, None, None]).clamp(-1, 1)
    return _cut_out(moved, chance[:, 9:12])


def _cut_out(pixels: torch.Tensor, chance: torch.Tensor, size: float = 18.0) -> torch.Tensor:
    side = pixels.shape[-1]
    line = torch.arange(side, device=pixels.device)
    rows = (line - chance[:, :1] * side).abs() < size / 2
    columns = (line - chance[:, 1:2] * side).abs() < size / 2
    hidden = rows[:, None, :, None] & columns[:, None, None, :] & (chance[:, 2] < 0.6)[:, None, None, None]
    return pixels.masked_fill(hidden, 0.0)


def jitter_drawings(pixels: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """Slight changes of brightness and contrast that leave colours nameable."""
    chance = torch.from_numpy(rng.random((len(pixels), 2)).astype(np.float32)).to(pixels.device)
    gain, shift = 0.85 + 0.3 * chance[:, :1], (chance[:, 1:] - 0.5) * 0.15
    return (pixels * gain[:, :, None, None] + shift[:, :, None, None]).clamp(-1, 1)


def photo_targets(
    labels: npt.NDArray[np.int64], turns: npt.NDArray[np.int64]
) -> dict[str, npt.NDArray[np.int64]]:
    """Targets of photographs: the class where the image stands upright, and the quarter turns."""
    return {"photo": np.where(turns == 0, labels, IGNORE), "turn": turns}


def scene_targets(drawings: Drawings, index: npt.NDArray[np.int64]) -> dict[str, npt.NDArray[np.int64]]:
    """Targets of scenes: cells, count (never of three things) and background."""
    counts = drawings.counts[index]
    return {
        **cell_targets(drawings.things[index]),
        "count": np.where(counts == UNCOUNTED, IGNORE, counts),
        "background": drawings.background[index],
    }


class TowerData:
    """Draws batches for stage 0."""

    def __init__(
        self, photos: Photos, drawings: Drawings, device: torch.device, rng: np.random.Generator
    ) -> None:
        self.photos, self.drawings, self.device, self.rng = photos, drawings, device, rng

    def batch(self, n_photos: int, n_scenes: int, n_letters: int) -> TowerBatch:
        """Return a batch of so many images of each sort, in this order."""
        rng = self.rng
        photo = rng.integers(0, len(self.photos.pixels), n_photos)
        scene = rng.integers(0, len(self.drawings.pixels), n_scenes)
        letter = rng.integers(0, len(self.drawings.letters), n_letters)
        turns = np.where(rng.random(n_photos) < 0.2, rng.integers(1, 4, n_photos), 0)
        upright = augment_photos(to_pixels(self.photos.pixels[photo], self.device), rng)
        for quarter in (1, 2, 3):
            chosen = torch.from_numpy(np.nonzero(turns == quarter)[0])
            upright[chosen] = upright[chosen].rot90(quarter, (2, 3))
        drawn = np.concatenate([self.drawings.pixels[scene], self.drawings.letters[letter]])
        pixels = torch.cat([upright, jitter_drawings(to_pixels(drawn, self.device), rng)])
        parts = (
            (n_photos, photo_targets(self.photos.labels[photo], turns)),
            (n_scenes, scene_targets(self.drawings, scene)),
            (n_letters, {"letter": self.drawings.letter_of[letter]}),
        )
        return TowerBatch(
            pixels.contiguous(memory_format=torch.channels_last), join_targets(parts, self.device)
        )


def join_targets(
    parts: tuple[tuple[int, dict[str, npt.NDArray[np.int64]]], ...], device: torch.device
) -> dict[str, torch.Tensor]:
    """Targets of consecutive groups of images as one set, -100 where a head does not apply."""
    total = sum(count for count, _ in parts)
    cells = CELLS * CELLS
    joined: dict[str, npt.NDArray[np.int64]] = {
        "row": np.tile(np.arange(cells) // CELLS, (total, 1)),
        "column": np.tile(np.arange(cells) % CELLS, (total, 1)),
    }
    start = 0
    for count, targets in parts:
        for name, values in targets.items():
            full = joined.setdefault(name, np.full((total, *values.shape[1:]), IGNORE, dtype=np.int64))
            full[start : start + count] = values
        start += count
    return {name: torch.from_numpy(values).to(device) for name, values in joined.items()}


@dataclass(frozen=True)
class TowerPlan:
    """Sizes and rates of stage 0."""

    budget: Budget
    photos: int = 80
    scenes: int = 32
    letters: int = 16
    matrix_rate: float = 3e-3
    other_rate: float = 2e-3
    save_every: float = 120.0
    measured: int = 16


def train_tower(
    tower: nn.Module,
    heads: TowerHeads,
    data: TowerData,
    held: TowerData,
    plan: TowerPlan,
    file: Path,
    resume: bool,
) -> None:
    """Train `tower` and `heads` in place; checkpoints go to `file`.

    Parameters
    ----------
    tower : torch.nn.Module
        The vision tower of the model, a transformers ResNet.
    heads : TowerHeads
        The auxiliary readers.
    data, held : TowerData
        Training images, and images to measure on.
    plan : TowerPlan
        Sizes, rates and length.
    file : Path
        Checkpoint, written every `plan.save_every` seconds and at the end.
    resume : bool
        Whether to go on from `file` where it exists.
    """
    both = nn.ModuleDict({"tower": tower, "heads": heads})
    optimizer = Optimizer(both.named_parameters(), plan.matrix_rate, plan.other_rate)
    step, seconds = load_state(file, both, optimizer) if resume else (0, 0.0)
    started = saved = time.monotonic() - seconds
    seen: dict[str, Any] = {}
    while (progress := plan.budget.progress(step, time.monotonic() - started)) < 1.0:
        both.train()
        batch = data.batch(plan.photos, plan.scenes, plan.letters)
        with torch.autocast(batch.pixels.device.type, torch.bfloat16):
            features = tower(batch.pixels).last_hidden_state
        losses = tower_loss(heads(features), batch.targets)
        total = torch.stack(list(losses.values())).sum()
        total.backward()  # type: ignore[no-untyped-call]
        optimizer.step(plan.budget.factor(progress), clip=5.0)
        step += 1
        for name, loss in losses.items():
            seen[name] = 0.95 * seen.get(name, float(loss.detach())) + 0.05 * float(loss.detach())
        if step % 50 == 0:
            spent = time.monotonic() - started
            rate = step * len(batch.pixels) / spent
            shown = " ".join(f"{name} {value:.3f}" for name, value in seen.items())
            print(
                f"tower step {step} {spent:.0f}s {rate:.0f} pictures/s progress {progress:.3f} {shown}",
                flush=True,
            )
        if time.monotonic() - saved > plan.save_every:
            saved = time.monotonic()
            save_state(file, both, optimizer, step, saved - started)
            print("tower held out:", measure_tower(tower, heads, held, plan, 4), flush=True)
    save_state(file, both, optimizer, step, time.monotonic() - started)
    print("tower held out:", measure_tower(tower, heads, held, plan, plan.measured), flush=True)


@torch.inference_mode()
def measure_tower(
    tower: nn.Module, heads: TowerHeads, held: TowerData, plan: TowerPlan, batches: int
) -> dict[str, float]:
    """Accuracy of every head on held-out images (cells: where something stands)."""
    tower.eval()
    right: dict[str, list[float]] = {}
    for _ in range(batches):
        batch = held.batch(plan.photos, plan.scenes, plan.letters)
        with torch.autocast(batch.pixels.device.type, torch.bfloat16):
            features = tower(batch.pixels).last_hidden_state
        for name, scores in heads(features).items():
            target = batch.targets.get(name)
            if target is None:
                continue
            counted = target > 0 if name in ("kind", "colour", "size") else target != IGNORE
            hits = (scores.argmax(-1) == target)[counted].float()
            right.setdefault(name, []).append(float(hits.mean()))
    return {name: round(float(np.mean(values)), 3) for name, values in right.items()}
