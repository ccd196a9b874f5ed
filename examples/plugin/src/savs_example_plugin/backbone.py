"""A backbone without a model: each cell of a grid over the image is a head, its vector the mean color."""

from typing import Any

import numpy as np

from savs import HeadLayout
from savs.backbones import Extraction
from savs.errors import ExampleError, ItemError
from savs.media import load_image


class ColorGrid:
    """Mean colors of a grid of cells, as head vectors of width 3."""

    modalities = frozenset({"text", "image"})

    def __init__(self, side: int) -> None:
        self.side = side
        self.layout = HeadLayout.uniform(n_layers=side, n_heads=side, head_dim=3)
        self.fingerprint = {
            "source": f"colorgrid:{side}",
            "model_class": "ColorGrid",
            "weights_digest": str(side),
        }

    def extract(self, examples: Any, heads: Any = None, *, max_errors: int = 0, **_: Any) -> Extraction:
        """Return one row per example; an example that cannot be read is an item error."""
        columns = self.layout.column_indices(self.layout.heads if heads is None else heads)
        rows, indices, errors = [], [], []
        for index, example in enumerate(examples):
            try:
                rows.append(self._colors(example)[columns])
                indices.append(index)
            except ItemError as error:
                errors.append(error)
                if 0 <= max_errors < len(errors):
                    raise
        features = np.array(rows, np.float32).reshape(len(rows), len(columns))
        return Extraction(features, np.array(indices, np.intp), errors)

    def _colors(self, example: Any) -> np.ndarray:
        if not example.images:
            raise ExampleError("it has no image", code="image_missing", id=example.id)
        size = 8 * self.side
        pixels = np.asarray(load_image(example.images[0]).resize((size, size)), np.float32)
        return pixels.reshape(self.side, 8, self.side, 8, 3).mean(axis=(1, 3)).ravel() / 255

    def last_layer_states(self, examples: Any) -> np.ndarray:
        """Return the whole grid as the final state."""
        return self.extract(examples).features

    def generate(self, examples: Any, *, max_new_tokens: int = 16) -> list[str]:
        """Return nothing: there is no language model."""
        return ["" for _ in examples]


def load(name: str, **_: Any) -> ColorGrid:
    """Return the backbone of ``-b colorgrid:4``."""
    return ColorGrid(int(name))
