"""Words with labels and small drawn images, and the bundled backbone, loaded once."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image as PILImage

from savs.backbones import PromptTemplate, load_backbone
from savs.data import as_examples

COLOURS = {"blue": (60, 70, 180), "red": (180, 70, 60)}


def words_of(n, prefix="w"):
    return as_examples([f"{prefix}{i}" for i in range(n)], [("no", "yes", "so")[i % 3] for i in range(n)])


def images_of(per_class, first_seed=0, sizes=((32, 32), (32, 32)), prompt="Which colour?"):
    arrays, labels = [], []
    for (name, colour), (width, height) in zip(COLOURS.items(), sizes, strict=True):
        for _ in range(per_class):
            noise = np.random.default_rng(first_seed + len(arrays)).normal(0, 60, (height, width, 3))
            pixels = (np.asarray(colour) + noise).clip(0, 255).astype(np.uint8)
            arrays.append(PILImage.fromarray(pixels))
            labels.append(name)
    return [PromptTemplate(prompt).apply(example) for example in as_examples(arrays, labels)]


@pytest.fixture(scope="session")
def words():
    return words_of


@pytest.fixture(scope="session")
def images():
    return images_of


@pytest.fixture(scope="session")
def tiny():
    return load_backbone("tiny")
