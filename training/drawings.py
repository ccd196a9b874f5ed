"""Drawn images rendered once: an array of pixels next to the descriptions that questions are made from."""

from __future__ import annotations

from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from savs.demo.scenes import (
    BACKGROUNDS,
    CELLS,
    COLOURS,
    KINDS,
    LETTERS,
    SIDE,
    SIZES,
    Scene,
    Thing,
    draw_letter,
    draw_scene,
    sample_scene,
)

MOST = 5
COUNT_SHARES = (0.27, 0.31, 0.14, 0.14, 0.14)
COLOUR_NAMES = tuple(COLOURS)
EMPTY = -1


@dataclass(frozen=True)
class Drawings:
    """Scenes: `pixels` (n, 64, 64, 3) uint8; `things` (n, 5, 5): kind, colour, size, x, y; `background` (n,).

    Rows of `things` that stand for nothing hold -1.

    `letters` (m, 64, 64, 3) uint8 are drawn letters and `letter_of` (m,) the index of each in the alphabet.
    """

    pixels: npt.NDArray[np.uint8]
    things: npt.NDArray[np.float32]
    background: npt.NDArray[np.int64]
    letters: npt.NDArray[np.uint8]
    letter_of: npt.NDArray[np.int64]
    _scenes: dict[int, Scene] = field(default_factory=dict)

    def scene(self, index: int) -> Scene:
        """Return the description of scene `index`."""
        if index not in self._scenes:
            rows = self.things[index]
            self._scenes[index] = Scene(
                tuple(_thing(row) for row in rows if row[0] != EMPTY), BACKGROUNDS[self.background[index]]
            )
        return self._scenes[index]

    @property
    def counts(self) -> npt.NDArray[np.int64]:
        """Number of things of every scene, (n,)."""
        counts: npt.NDArray[np.int64] = (self.things[:, :, 0] != EMPTY).sum(axis=1)
        return counts


def load_drawings(folder: Path, n_scenes: int, n_letters: int, seed: int, workers: int = 2) -> Drawings:
    """Drawings rendered earlier into `folder` with the same numbers, or rendered now and kept there."""
    file = folder / f"drawings-{n_scenes}-{n_letters}-{seed}.npz"
    if not file.exists():
        drawings = render_drawings(n_scenes, n_letters, seed, workers)
        parts = {
            name: getattr(drawings, name)
            for name in ("pixels", "things", "background", "letters", "letter_of")
        }
        partial = file.with_suffix(".part.npz")
        np.savez(partial, **parts)
        partial.replace(file)
        return drawings
    with np.load(file) as stored:
        return Drawings(**{name: stored[name] for name in stored.files})


def render_drawings(n_scenes: int, n_letters: int, seed: int, workers: int = 1) -> Drawings:
    """Render scenes and letters; the result depends on the numbers and the seed, not on `workers`."""
    chunk = 1000
    jobs = [(seed, start, min(chunk, n_scenes - start)) for start in range(0, n_scenes, chunk)]
    if workers > 1:
        with ProcessPoolExecutor(workers) as pool:
            parts = list(pool.map(_render_chunk, jobs))
    else:
        parts = [_render_chunk(job) for job in jobs]
    pixels, things, background = (np.concatenate(column) for column in zip(*parts, strict=True))
    rng = np.random.default_rng((seed, 1))
    letter_of = np.arange(n_letters) % len(LETTERS)
    letters = np.stack([np.asarray(draw_letter(LETTERS[i], rng)) for i in letter_of])
    return Drawings(pixels, things, background, letters, letter_of)


def varied_scene(rng: np.random.Generator) -> Scene:
    """Draw a scene of one to five things; most differ in kind and colour, some repeat a few on purpose."""
    n_things = int(rng.choice(MOST, p=COUNT_SHARES)) + 1
    if rng.random() < (0.25 if n_things < 3 else 0.45):
        kinds = rng.choice(KINDS, int(rng.integers(1, 4)), replace=False)
        colours = rng.choice(COLOUR_NAMES, int(rng.integers(1, 4)), replace=False)
        return sample_scene(rng, n_things, kinds=[str(k) for k in kinds], colours=[str(c) for c in colours])
    return sample_scene(rng, n_things, distinct=True)


def cell_targets(things: npt.NDArray[np.float32]) -> dict[str, npt.NDArray[np.int64]]:
    """Per-cell targets of scenes, each (n, 16): kind, colour, size; 0 means an empty cell."""
    n_scenes = len(things)
    targets = {
        name: np.zeros((n_scenes, CELLS * CELLS), dtype=np.int64) for name in ("kind", "colour", "size")
    }
    scene, slot = np.nonzero(things[:, :, 0] != EMPTY)
    rows = things[scene, slot]
    cell = (np.minimum(rows[:, 4] // (SIDE / CELLS), CELLS - 1) * CELLS).astype(np.int64)
    cell += np.minimum(rows[:, 3] // (SIDE / CELLS), CELLS - 1).astype(np.int64)
    for column, name in enumerate(("kind", "colour", "size")):
        targets[name][scene, cell] = rows[:, column].astype(np.int64) + 1
    return targets


def encode_scene(scene: Scene) -> npt.NDArray[np.float32]:
    """Return a scene as the (5, 5) rows that `Drawings.things` holds."""
    rows = np.full((MOST, 5), EMPTY, dtype=np.float32)
    for slot, thing in enumerate(scene.things):
        kind, colour, size = (
            KINDS.index(thing.kind),
            COLOUR_NAMES.index(thing.colour),
            SIZES.index(thing.size),
        )
        rows[slot] = (kind, colour, size, thing.x, thing.y)
    return rows


def _thing(row: npt.NDArray[np.float32]) -> Thing:
    kind, colour, size = (int(value) for value in row[:3])
    return Thing(KINDS[kind], COLOUR_NAMES[colour], SIZES[size], float(row[3]), float(row[4]))


def _render_chunk(
    job: tuple[int, int, int],
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.float32], npt.NDArray[np.int64]]:
    seed, start, count = job
    rng = np.random.default_rng((seed, 0, start))
    scenes = [varied_scene(rng) for _ in range(count)]
    pixels = np.stack([np.asarray(draw_scene(scene, rng)) for scene in scenes])
    background = np.asarray([BACKGROUNDS.index(scene.background) for scene in scenes])
    return pixels, np.stack([encode_scene(scene) for scene in scenes]), background
