"""Controls without the backbone, or with half of the example: what would be reached anyway."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from savs.examples import Example, Part
from savs.media import load_image

__all__ = ["fit_pixels", "only", "pixel_rows"]

_SIDE = 8


def pixel_rows(examples: Sequence[Example]) -> NDArray[np.float32]:
    """Return every example's pictures at 8 x 8 pixels, shape (n_examples, n_pictures * 8 * 8 * 3)."""
    from PIL.Image import Resampling

    size = (_SIDE, _SIDE)
    rows = [
        np.concatenate(
            [
                np.asarray(load_image(image.source).resize(size, Resampling.BOX)).ravel()
                for image in example.images
            ]
        )
        for example in examples
    ]
    table: NDArray[np.float32] = np.stack(rows).astype(np.float32) / np.float32(255)
    return table


def fit_pixels(rows: NDArray[np.floating[Any]], labels: NDArray[Any]) -> Any:
    """Return a logistic regression on standardised pixels; no setting was tuned."""
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000)).fit(rows, labels)


def only(example: Example, kind: type[Part]) -> Example:
    """Return the example with its parts of one kind alone: its pictures or its text."""
    messages = tuple(
        replace(message, parts=tuple(part for part in message.parts if isinstance(part, kind)))
        for message in example.messages
    )
    return replace(example, messages=messages)
