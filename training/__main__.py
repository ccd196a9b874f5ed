"""`python -m training --photos PATH --out FOLDER`: from raw data to the final folder."""

from __future__ import annotations

import argparse
import os
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import nn

from training.architecture import build_model
from training.drawings import Drawings, load_drawings, render_drawings
from training.export import export_model
from training.lmm import ModelPlan, train_model
from training.memory import keep_memory
from training.packing import Packer
from training.photos import NAMED, Photos, read_photos, synthetic_photos
from training.questions.mixture import Mixture
from training.schedule import Budget
from training.tower import TowerData, TowerHeads, TowerPlan, train_tower
from training.vocabulary import load_tokenizer

FEATURES = 256


@dataclass(frozen=True)
class Material:
    """Everything read or rendered: photographs and drawings to train on, and others to measure on."""

    photos: Photos
    held_photos: Photos
    drawings: Drawings
    held_drawings: Drawings


def arguments(argv: Sequence[str] | None = None) -> argparse.Namespace:
    """Parse the command line."""
    parser = argparse.ArgumentParser(prog="python -m training", description=__doc__)
    parser.add_argument("--photos", type=Path, help="CIFAR-10 as JPEG files: a tar archive or a folder")
    parser.add_argument("--out", type=Path, required=True, help="where the final folder goes")
    parser.add_argument("--workdir", type=Path, help="checkpoints and rendered scenes (default: OUT-work)")
    parser.add_argument("--resume", action="store_true", help="go on from the checkpoints in the work folder")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--scenes", type=int, default=60_000)
    parser.add_argument("--letters", type=int, default=13_000)
    parser.add_argument("--stage0-steps", type=int, default=1_500)
    parser.add_argument(
        "--stage0-minutes", type=float, help="end stage 0 after so many minutes at the latest"
    )
    parser.add_argument("--stage1-steps", type=int, default=3_700)
    parser.add_argument(
        "--stage1-minutes", type=float, help="end stage 1 after so many minutes at the latest"
    )
    parser.add_argument("--threads", type=int, help="torch threads (default: torch's own choice)")
    parser.add_argument(
        "--smoke", action="store_true", help="a few steps on very little data, to try the program"
    )
    return parser.parse_args(argv)


def gather(options: argparse.Namespace, workdir: Path) -> Material:
    """Read the photographs and render, or find rendered, the drawings."""
    if options.smoke:
        rng = np.random.default_rng(options.seed)
        photos, held = synthetic_photos(rng, 12), synthetic_photos(rng, 6)
        drawn, held_drawn = render_drawings(120, 52, options.seed), render_drawings(60, 26, options.seed + 1)
        return Material(photos, held, drawn, held_drawn)
    if options.photos is None:
        raise SystemExit("--photos is needed (or --smoke)")
    return Material(
        read_photos(options.photos, "train", NAMED),
        read_photos(options.photos, "test", NAMED, per_class=300),
        load_drawings(workdir, options.scenes, options.letters, options.seed),
        render_drawings(1_000, 520, options.seed + 10_001),
    )


def main(argv: Sequence[str] | None = None) -> int:
    """Run both stages and export; returns the exit status."""
    options = arguments(argv)
    os.environ.setdefault("TOKENIZERS_PARALLELISM", "false")
    keep_memory()
    if options.threads:
        torch.set_num_threads(options.threads)
    workdir = options.workdir or options.out.with_name(options.out.name + "-work")
    workdir.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(options.seed)
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    started = time.monotonic()
    material = gather(options, workdir)
    mixture = Mixture(material.photos, material.drawings, options.seed)
    tokenizer = load_tokenizer(
        workdir / "tokenizer.json", mixture, 200 if options.smoke else 8_000, options.seed
    )
    model = build_model(tokenizer.get_vocab_size())
    everything: nn.Module = model
    everything.to(device)
    everything.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
    heads = TowerHeads(FEATURES, len(NAMED)).to(device)
    print(f"data ready after {time.monotonic() - started:.0f}s on {device}", flush=True)
    tower_plan, model_plan = plans(options)
    train_tower(
        model.model.vision_tower,
        heads,
        TowerData(material.photos, material.drawings, device, np.random.default_rng(options.seed)),
        TowerData(
            material.held_photos, material.held_drawings, device, np.random.default_rng(options.seed + 1)
        ),
        tower_plan,
        workdir / "tower.pt",
        options.resume,
    )
    intermediate = workdir / "export"
    steps = train_model(
        model,
        heads,
        mixture,
        Packer(tokenizer, model_plan.length),
        model_plan,
        workdir / "model.pt",
        options.resume,
        export=lambda current: print(
            "exported", export_model(current, tokenizer, intermediate), "bytes", flush=True
        ),
        device=device,
    )
    weights = export_model(model, tokenizer, options.out)
    print(f"done: {steps} steps, {weights} bytes of weights in {options.out}", flush=True)
    return 0


def plans(options: argparse.Namespace) -> tuple[TowerPlan, ModelPlan]:
    """Lengths and sizes of both stages."""
    if options.smoke:
        return (
            TowerPlan(Budget(2), photos=8, scenes=6, letters=4, measured=1),
            ModelPlan(Budget(2), rows=4, report_every=1, compiled=False),
        )
    return (
        TowerPlan(Budget(options.stage0_steps, options.stage0_minutes, decay=0.6)),
        ModelPlan(Budget(options.stage1_steps, options.stage1_minutes)),
    )


if __name__ == "__main__":
    sys.exit(main())
