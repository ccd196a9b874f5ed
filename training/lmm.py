"""Stage 1: the whole model on packed questions, next-token loss on the answers.

The tower keeps a small auxiliary loss with the heads of stage 0, so that what it learned about images stays
and grows while the decoder learns to ask for it.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn
from torch.nn import functional
from transformers import FastVlmForConditionalGeneration

from training.attention import NAME as FOLDED
from training.checkpoint import load_state, save_state
from training.drawings import Drawings
from training.optimizer import Optimizer
from training.packing import IGNORE, Packed, Packer, block_mask
from training.photos import Photos
from training.questions.mixture import Mixture
from training.schedule import Budget
from training.tower import (
    TowerHeads,
    augment_photos,
    jitter_drawings,
    join_targets,
    photo_targets,
    scene_targets,
    to_pixels,
    tower_loss,
)


@dataclass(frozen=True)
class ModelPlan:
    """Sizes and rates of stage 1."""

    budget: Budget
    rows: int = 40
    length: int = 128
    matrix_rate: float = 5e-3
    other_rate: float = 2e-3
    tower_share: float = 0.2
    auxiliary: float = 0.15
    save_every: float = 150.0
    export_every: float = 900.0
    report_every: int = 50
    compiled: bool = True


class ImageFeeder:
    """Pixels and tower targets of the images of a packed batch, sorted by source."""

    def __init__(
        self, photos: Photos, drawings: Drawings, device: torch.device, rng: np.random.Generator
    ) -> None:
        self.photos, self.drawings, self.device, self.rng = photos, drawings, device, rng

    def feed(self, packed: Packed, train: bool) -> tuple[torch.Tensor, dict[str, torch.Tensor], torch.Tensor]:
        """Pixels (n, 3, 64, 64), targets, and where each image of the batch is among them (n,)."""
        indices = {
            source: np.asarray([one.index for one in packed.images if one.source == source], dtype=np.int64)
            for source in ("photo", "scene", "letter")
        }
        order = {
            source: [i for i, one in enumerate(packed.images) if one.source == source] for source in indices
        }
        photo = to_pixels(self.photos.pixels[indices["photo"]], self.device)
        drawn = np.concatenate(
            [self.drawings.pixels[indices["scene"]], self.drawings.letters[indices["letter"]]]
        )
        scenes = to_pixels(drawn, self.device)
        if train:
            photo, scenes = augment_photos(photo, self.rng), jitter_drawings(scenes, self.rng)
        labels = self.photos.labels[indices["photo"]]
        targets = join_targets(
            (
                (len(indices["photo"]), photo_targets(labels, np.zeros_like(labels))),
                (len(indices["scene"]), scene_targets(self.drawings, indices["scene"])),
                (len(indices["letter"]), {"letter": self.drawings.letter_of[indices["letter"]]}),
            ),
            self.device,
        )
        place = np.argsort(np.concatenate([np.asarray(one, dtype=np.int64) for one in order.values()]))
        pixels = torch.cat([photo, scenes]).contiguous(memory_format=torch.channels_last)
        return pixels, targets, torch.from_numpy(place).to(self.device)


def answer_logits(
    model: FastVlmForConditionalGeneration, packed: Packed, pixels: torch.Tensor, place: torch.Tensor
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    """Logits (n, vocabulary) and targets (n,) of all answer tokens, and the tower's features."""
    device = pixels.device
    ids, block = torch.from_numpy(packed.ids).to(device), torch.from_numpy(packed.block).to(device)
    embedded = model.get_input_embeddings()(ids)
    vision = model.model.get_image_features(pixels, return_dict=True)
    image = vision.pooler_output[place].to(embedded.dtype)
    embedded = embedded.masked_scatter((ids == model.config.image_token_id)[..., None], image)
    hidden = model.model.language_model(
        inputs_embeds=embedded,
        attention_mask=block_mask(
            block, torch.bfloat16 if torch.is_autocast_enabled(device.type) else torch.float32
        ),
        position_ids=torch.from_numpy(packed.position).to(device),
        use_cache=False,
    ).last_hidden_state
    target = torch.from_numpy(packed.target).to(device)
    wanted = target != IGNORE
    return model.lm_head(hidden[wanted]), target[wanted], vision.last_hidden_state


class FamilyScores:
    """Running accuracy per question family: a question counts when all tokens of its answer are right."""

    def __init__(self, memory: float = 0.99) -> None:
        self.memory = memory
        self.scores: dict[str, float] = {}

    def update(self, packed: Packed, hits: np.ndarray) -> None:
        """Take in the hits of the answer tokens of one batch, in row-major order."""
        row, column = np.nonzero(packed.target != IGNORE)
        wrong = {(int(r), int(packed.block[r, c])) for r, c in zip(row[~hits], column[~hits], strict=True)}
        found: dict[str, list[bool]] = {}
        for r, number, family in packed.families:
            found.setdefault(family, []).append((r, number) not in wrong)
        for family, right in found.items():
            keep = self.memory ** len(right)
            mean = float(np.mean(right))
            self.scores[family] = keep * self.scores.get(family, mean) + (1 - keep) * mean

    def __str__(self) -> str:
        return " | ".join(f"{family} {score:.2f}" for family, score in sorted(self.scores.items()))


def train_model(
    model: FastVlmForConditionalGeneration,
    heads: TowerHeads,
    mixture: Mixture,
    packer: Packer,
    plan: ModelPlan,
    file: Path,
    resume: bool,
    export: Callable[[FastVlmForConditionalGeneration], None] | None = None,
    device: torch.device | None = None,
) -> int:
    """Train everything in place and return the number of steps.

    Parameters
    ----------
    model, heads : modules
        The model, and the auxiliary heads of stage 0.
    mixture : Mixture
        Where samples come from.
    packer : Packer
        Turns them into rows.
    plan : ModelPlan
        Sizes, rates and length.
    file : Path
        Checkpoint, written every `plan.save_every` seconds and at the end.
    resume : bool
        Whether to go on from `file` where it exists.
    export : callable, optional
        Called with the model every `plan.export_every` seconds.
    device : torch.device, optional
        Where to train; the CPU by default.
    """
    model.model.language_model.set_attn_implementation(FOLDED)
    if plan.compiled:
        for layer in model.model.language_model.layers:
            layer.compile(dynamic=False)
    both = nn.ModuleDict({"model": model, "heads": heads})
    optimizer = Optimizer(both.named_parameters(), plan.matrix_rate, plan.other_rate, plan.tower_share)
    step, seconds = load_state(file, both, optimizer) if resume else (0, 0.0)
    device = device or torch.device("cpu")
    mixture.rng.seed(f"{mixture.seed} {step}")
    feeder = ImageFeeder(
        mixture.photos, mixture.drawings, device, np.random.default_rng((mixture.seed, step))
    )
    started = time.monotonic() - seconds
    saved = exported = time.monotonic()
    scores, mean_loss, first_step, first_time = FamilyScores(), float("nan"), step, time.monotonic()
    while (progress := plan.budget.progress(step, time.monotonic() - started)) < 1.0:
        both.train()
        packed = packer.pack([mixture.sample() for _ in range(plan.rows)])
        pixels, targets, place = feeder.feed(packed, train=True)
        with torch.autocast(device.type, torch.bfloat16):
            logits, wanted, features = answer_logits(model, packed, pixels, place)
        loss = functional.cross_entropy(logits.float(), wanted)
        auxiliary = torch.stack(list(tower_loss(heads(features), targets).values())).sum()
        (loss + plan.auxiliary * auxiliary).backward()  # type: ignore[no-untyped-call]
        norm = optimizer.step(plan.budget.factor(progress))
        step += 1
        scores.update(packed, (logits.argmax(-1) == wanted).cpu().numpy())
        mean_loss = (
            float(loss.detach()) if mean_loss != mean_loss else 0.98 * mean_loss + 0.02 * float(loss.detach())
        )
        if step % plan.report_every == 0:
            spent = time.monotonic() - started
            rate = (step - first_step) * plan.rows / (time.monotonic() - first_time)
            print(
                f"model step {step} {spent:.0f}s {rate:.1f} rows/s progress {progress:.3f} "
                f"loss {mean_loss:.4f} "
                f"auxiliary {float(auxiliary.detach()):.3f} norm {norm:.2f}\n  {scores}",
                flush=True,
            )
        if time.monotonic() - saved > plan.save_every:
            saved = time.monotonic()
            save_state(file, both, optimizer, step, saved - started)
        if export is not None and time.monotonic() - exported > plan.export_every:
            exported = time.monotonic()
            export(model)
    save_state(file, both, optimizer, step, time.monotonic() - started)
    return step
