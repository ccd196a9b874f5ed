"""Small coloured images and a real backbone to look at them."""

import tempfile
from functools import cache
from pathlib import Path

import numpy as np
from PIL import Image

from savs.backbones import load_backbone
from savs.cache import StoredBackbone, with_store

COLOURS = {"red": (200, 30, 30), "green": (30, 180, 40), "blue": (30, 40, 200)}
PROMPT = "What colour is it?"


_STORE = tempfile.TemporaryDirectory()


@cache
def tiny() -> StoredBackbone:
    """The bundled model; no image passes it twice."""
    return with_store(load_backbone("tiny"), Path(_STORE.name) / "store")


def image(colour: str, seed: int) -> Image.Image:
    """A noisy image of a colour; the seed decides the noise."""
    noise = np.random.default_rng([seed, len(colour)]).integers(-25, 25, (32, 32, 3))
    return Image.fromarray(np.clip(np.array(COLOURS[colour]) + noise, 0, 255).astype(np.uint8))


def shots(per_class: int, start: int = 0, colours=tuple(COLOURS)):
    """Images and labels, colours in turn."""
    named = [(colour, seed) for seed in range(start, start + per_class) for colour in colours]
    return [image(*one) for one in named], [colour for colour, _ in named]
