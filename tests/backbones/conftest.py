"""Small random models of many families (see `families`), and examples for them."""

from __future__ import annotations

import io
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
from tests.backbones.families import CORE, IMAGES, TEXT_ONLY, Family, make_family
from tests.backbones.families.parts import TEXT

from savs.data import Example, Message, Text
from savs.media import Image

__all__ = ["TEXT", "make_family"]

_BUILT: dict[str, Family] = {}


@pytest.fixture(scope="session", autouse=True)
def one_thread() -> Iterator[None]:
    """Tiny tensors are slower on many threads, above all beside other work."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def family() -> Callable[[str], Family]:
    """Build each family once in a run; tests leave models as they found them, which is what they test."""

    def get(name: str) -> Family:
        if name not in _BUILT:
            _BUILT[name] = make_family(name)
        return _BUILT[name]

    return get


@pytest.fixture
def fresh_family() -> Callable[[str], Family]:
    """Build a family anew, to be broken."""
    return make_family


def image(seed: int, height: int = 40, width: int = 56) -> np.ndarray:
    """Return a smooth random image, shape (height, width, 3)."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 255, (4, 4, 3), dtype=np.uint8)
    return np.kron(coarse, np.ones((height // 4, width // 4, 1), dtype=np.uint8))


def png(array: np.ndarray) -> bytes:
    from PIL import Image as PILImage

    buffer = io.BytesIO()
    PILImage.fromarray(array).save(buffer, "png")
    return buffer.getvalue()


def ask(*parts: Any, id: str | None = None) -> Example:
    """Return an example of strings and image arrays, in order."""
    made = tuple(Text(part) if isinstance(part, str) else Image(part) for part in parts)
    return Example((Message("user", made),), id=id)


def mixed_examples(images: bool = True, text_only: bool = True) -> list[Example]:
    """Return examples of different lengths, numbers and sizes of images."""
    texts = ["is this a cat?", "Yes", "the red dog sat on a blue mat. Is this image a dog? Yes or No."]
    found = [ask(text, id=f"t{i}") for i, text in enumerate(texts)] if text_only or not images else []
    if images:
        found += [
            ask(image(1), texts[0], id="p0"),
            ask(image(2, 28, 28), image(3, 64, 40), texts[2], id="p1"),
            ask(image(4, 80, 44), "no", id="p2"),
            ask("first ", image(5), " then ", image(6, 32, 96), " same?", id="p3"),
        ]
    return found


@pytest.fixture(name="ask")
def ask_fixture() -> Callable[..., Example]:
    return ask


@pytest.fixture(name="image")
def image_fixture() -> Callable[..., np.ndarray]:
    return image


@pytest.fixture
def folder_of(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Any]:
    """Save a family as a folder in hub layout, once in a run."""

    def get(name: str) -> Any:
        if name not in _SAVED:
            built = make_family(name)
            _SAVED[name] = tmp_path_factory.mktemp(name)
            built.model.save_pretrained(_SAVED[name])
            built.processor.save_pretrained(_SAVED[name])
        return _SAVED[name]

    return get


_SAVED: dict[str, Any] = {}


@pytest.fixture
def examples_for() -> Callable[[str], list[Example]]:
    """Return what a family can read: PaliGemma needs an image, BLIP-2 exactly one."""

    def get(name: str) -> list[Example]:
        found = mixed_examples(name not in TEXT_ONLY, text_only=name not in ("paligemma", "blip2"))
        return [example for example in found if len(example.images) == 1] if name == "blip2" else found

    return get


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    groups = {
        "any_family": (*CORE, *TEXT_ONLY),
        "image_family": CORE,
        "text_family": TEXT_ONLY,
        "contract_family": (*IMAGES, *TEXT_ONLY),
        "contract_images": IMAGES,
    }
    for argument, names in groups.items():
        if argument in metafunc.fixturenames:
            metafunc.parametrize(argument, names)
