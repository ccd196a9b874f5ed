"""Multimodal positions by the published rule, in plain loops: no line of a model's own position code runs.

Qwen2-VL (arXiv 2409.12191, section 2.1, M-RoPE): every token has a temporal, a height and a width position.
Text has three equal ones that count on. An image's tokens have one temporal position, and its rows and
columns count from there; of a video, the temporal position grows with the frames. What follows begins one
after the largest position before it. Qwen2.5-VL (arXiv 2502.13923, section 2.1.3) counts the time of a video
in seconds, times tokens_per_second. Qwen3-VL (arXiv 2511.21631) writes the time as text before every frame,
and each frame is an image by itself.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch

Position = tuple[int, int, int]
"""Temporal, height and width."""

_PER_FRAME = ("qwen3_vl", "qwen3_vl_moe")
FAMILIES = ("qwen2_vl", "qwen2_5_vl", *_PER_FRAME)
"""Model types whose rule is published and written here."""


@dataclass(frozen=True)
class Grid:
    """Patches of an image or a video, before several are merged into a token.

    Attributes
    ----------
    frames, height, width : int
        Steps in time, rows and columns; an image has one step.
    step : float
        Temporal positions from one step in time to the next.
    """

    frames: int
    height: int
    width: int
    step: float = 1.0


def published_positions(
    tokens: Sequence[int], kinds: Mapping[int, str], grids: Mapping[str, Iterator[Grid]], merge: int
) -> list[Position]:
    """Return the three positions of every token of a prompt.

    Parameters
    ----------
    tokens : sequence of int
        Token numbers, without padding.
    kinds : mapping of int to str
        Which token numbers stand for pixels, and of what: ``"image"`` or ``"video"``.
    grids : mapping of str to iterator of Grid
        Of each kind, in the order of the prompt; those of this prompt are taken.
    merge : int
        Rows, and columns, of patches that become one token.
    """
    positions: list[Position] = []
    following = 0
    while len(positions) < len(tokens):
        kind = kinds.get(tokens[len(positions)])
        if kind is None:
            positions.append((following, following, following))
            following += 1
            continue
        positions.extend(_of_grid(next(grids[kind]), merge, following))
        following = max(max(position) for position in positions) + 1
    return positions


def _of_grid(grid: Grid, merge: int, start: int) -> Iterator[Position]:
    for frame in range(grid.frames):
        for row in range(grid.height // merge):
            for column in range(grid.width // merge):
                yield start + int(frame * grid.step), start + row, start + column


def positions_of(model: Any, inputs: Mapping[str, Any]) -> torch.Tensor | None:
    """Return the positions that a model should give its tokens, or None if its rule is not written here.

    Parameters
    ----------
    model : transformers.PreTrainedModel
        Its configuration alone is read.
    inputs : mapping of str to Tensor
        What the processor returned for some prompts.

    Returns
    -------
    Tensor of int64, shape (3, n_examples, n_tokens), or None
        0 at padding. None for text alone, whose positions count on in every model.
    """
    config = model.config
    if config.model_type not in FAMILIES or not {"image_grid_thw", "video_grid_thw"} & set(inputs):
        return None
    kinds = {config.image_token_id: "image", config.video_token_id: "video"}
    merge = config.vision_config.spatial_merge_size
    left = {kind: iter(grids) for kind, grids in _grids(config, inputs).items()}
    ids, mask = inputs["input_ids"], inputs.get("attention_mask")
    real = torch.ones_like(ids, dtype=torch.bool) if mask is None else mask.bool()
    found = torch.zeros((3, *ids.shape), dtype=torch.long)
    for row, (tokens, kept) in enumerate(zip(ids, real, strict=True)):
        prompt = tokens[kept].tolist()
        positions = published_positions(prompt, kinds, left, merge)
        found[:, row, kept.cpu()] = torch.tensor(positions, dtype=torch.long).T
    return found


def _grids(config: Any, inputs: Mapping[str, Any]) -> dict[str, list[Grid]]:
    images = inputs.get("image_grid_thw")
    videos = inputs.get("video_grid_thw")
    grids = {"image": [] if images is None else [Grid(*sizes) for sizes in images.tolist()], "video": []}
    if videos is None:
        return grids
    pace = getattr(config.vision_config, "tokens_per_second", None)
    seconds = inputs.get("second_per_grid_ts")
    for index, sizes in enumerate(videos.tolist()):
        if config.model_type in _PER_FRAME:
            grids["video"] += [Grid(1, *sizes[1:])] * sizes[0]
        else:
            step = 1.0 if pace is None or seconds is None else float(seconds[index]) * pace
            grids["video"].append(Grid(sizes[0], sizes[1], sizes[2], step))
    return grids
