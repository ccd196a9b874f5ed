"""Video processors without torchvision: its functions on torch, against plain loops and torchvision."""

from __future__ import annotations

import importlib.util
import json
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from savs.backbones import _torchvision
from savs.backbones._model_files import Place
from savs.backbones._torchvision import (
    cropped,
    on_torch,
    open_video_processor,
    resized,
    without_torchvision,
)
from savs.errors import BackboneError


def frames(height: int, width: int, seed: int = 0) -> torch.Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (2, 3, height, width), dtype=torch.uint8, generator=generator)


def triangle_weights(before: int, after: int) -> np.ndarray:
    """Weights of a bilinear filter that widens with the reduction, shape (after, before)."""
    scale = before / after
    support = max(scale, 1.0)
    rows = []
    for position in range(after):
        center = (position + 0.5) * scale
        row = [max(0.0, 1 - abs((index + 0.5 - center) / support)) for index in range(before)]
        rows.append([weight / sum(row) for weight in row])
    return np.asarray(rows, np.float64)


@pytest.mark.parametrize("size", [(20, 30), (60, 44), (40, 11)])
def test__resized__bilinear__the_loop_in_float64_within_a_level(size: tuple[int, int]) -> None:
    given = frames(40, 33)
    rows, columns = triangle_weights(40, size[0]), triangle_weights(33, size[1])
    expected = np.einsum("rh,fchw,sw->fcrs", rows, given.double().numpy(), columns)
    found = resized(given, size, "bilinear")
    assert found.dtype == torch.uint8
    assert np.abs(found.double().numpy() - expected).max() <= 1.01
    np.testing.assert_allclose(resized(given.float(), size, "bilinear").numpy(), expected, atol=1e-3)


def test__resized__same_size__same_frames() -> None:
    assert torch.equal(resized(frames(8, 9), (8, 9), "bicubic"), frames(8, 9))


@pytest.mark.parametrize(("height", "width"), [(4, 5), (11, 5), (11, 12), (7, 8)])
def test__cropped__middle__black_around(height: int, width: int) -> None:
    given = frames(7, 8)
    found = cropped(given, height, width).numpy()
    assert found.shape == (2, 3, height, width)
    wide = np.zeros((2, 3, 30, 30), np.uint8)
    top, left = max(0, height - 7) // 2, max(0, width - 8) // 2
    wide[..., top : top + 7, left : left + 8] = given.numpy()
    start = (max(7, height) - height) // 2, (max(8, width) - width) // 2
    np.testing.assert_array_equal(found, wide[..., start[0] : start[0] + height, start[1] : start[1] + width])


@pytest.mark.parametrize("name", ["Qwen2VLVideoProcessor", "LlavaOnevisionVideoProcessor"])
def test__on_torch__normalised_as_the_family_says(name: str) -> None:
    qwen = "Qwen" in name
    size = {"shortest_edge": 784, "longest_edge": 784} if qwen else {"height": 28, "width": 28}
    processor: Any = on_torch(name)(size=size)
    assert processor.backend == "torch"
    given = np.zeros((2, 28, 28, 3), np.uint8)
    given[..., 1] = 255
    options = {"cap_pixels_per_frame": False} if qwen else {}
    found = processor([given], return_tensors="pt", do_sample_frames=False, **options)["pixel_values_videos"]
    dark = [(0 - m) / s for m, s in zip(processor.image_mean, processor.image_std, strict=True)]
    light = (1 - processor.image_mean[1]) / processor.image_std[1]
    values = sorted({round(float(value), 4) for value in found.flatten()})
    np.testing.assert_allclose(values, sorted([dark[0], light, dark[2]]), atol=1e-3)


def test__on_torch__no_such_class__none() -> None:
    assert on_torch("NoSuchVideoProcessor") is None
    assert on_torch("CLIPImageProcessor") is None


def test__open_video_processor__settings_of_images_alone__those_of_videos_too(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    pixels = {"min_pixels": 3136, "max_pixels": 12845056, "patch_size": 14}
    (tmp_path / "preprocessor_config.json").write_text(json.dumps(pixels))  # as Qwen's first models have it
    found = open_video_processor(Place(tmp_path, str(tmp_path)), "qwen2_5_vl")
    assert (found.size.shortest_edge, found.size.longest_edge, found.patch_size) == (3136, 12845056, 14)


def test__open_video_processor__nothing_or_nothing_known__none(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    place = Place(tmp_path, str(tmp_path))
    assert open_video_processor(place, "qwen2_5_vl") is None
    (tmp_path / "video_preprocessor_config.json").write_text("{}")
    assert open_video_processor(place, "smolvlm") is None


def test__open_video_processor__damaged__error_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "video_preprocessor_config.json").write_text("{")
    with pytest.raises(BackboneError, match=r"video_preprocessor_config\.json cannot be read"):
        open_video_processor(Place(tmp_path, str(tmp_path)), "qwen2_5_vl")


@pytest.mark.parametrize(
    "name",
    [
        "Qwen2VLVideoProcessor",
        "Qwen3VLVideoProcessor",
        "LlavaOnevisionVideoProcessor",
        "InternVLVideoProcessor",
    ],
)
def test__on_torch__where_torchvision_is__the_same_bits(name: str) -> None:
    pytest.importorskip("torchvision.transforms.v2.functional")
    import transformers

    for shape in ((4, 240, 320, 3), (5, 97, 64, 3), (2, 720, 1280, 3), (8, 32, 32, 3)):
        given = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
        times = {"fps": 10.0, "total_num_frames": shape[0], "frames_indices": list(range(shape[0]))}
        options = {"return_tensors": "pt", "do_sample_frames": False, "video_metadata": [times]}
        expected = getattr(transformers, name)()([given], **options)
        found = on_torch(name)()([given], **options)
        assert torch.equal(found["pixel_values_videos"], expected["pixel_values_videos"])
    expected = functional_crop(frames(90, 121))
    assert torch.equal(cropped(frames(90, 121), 50, 60), expected)


missing = pytest.mark.skipif(
    importlib.util.find_spec("torchvision") is not None, reason="torchvision is installed"
)


@pytest.fixture
def no_copies(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Forget the copies of transformers' modules; return a list of what asks Python for torchvision."""
    asked: list[str] = []

    class Finder:
        def find_spec(self, name: str, *_: object) -> None:
            if name.partition(".")[0] == "torchvision":
                asked.append(name)

    monkeypatch.setattr(_torchvision, "_COPIES", {})
    monkeypatch.setattr(sys, "meta_path", [Finder(), *sys.meta_path])
    return asked


@missing
@pytest.mark.parametrize("name", ["PixtralProcessor", "Qwen3VLVideoProcessor"])
def test__without_torchvision__placeholder__the_class_and_modules_as_before(name, no_copies) -> None:
    import transformers
    from transformers.utils import is_torchvision_available, is_torchvision_v2_available

    placeholder = getattr(transformers, name)
    module = placeholder.__module__
    is_torchvision_available.cache_clear()
    is_torchvision_v2_available.cache_clear()
    assert placeholder.is_dummy
    found = without_torchvision(placeholder)
    assert not hasattr(found, "is_dummy")
    assert (found.__name__, found.__module__) == (name, module)
    assert (is_torchvision_available(), is_torchvision_v2_available()) == (False, False)
    assert getattr(transformers, name).is_dummy
    assert module not in sys.modules
    assert not [loaded for loaded in sys.modules if loaded.partition(".")[0] == "torchvision"]
    assert set(no_copies) <= {"torchvision"}  # transformers' own question, whether it is installed


@missing
@pytest.mark.usefixtures("no_copies")
def test__without_torchvision__many_threads__one_class_and_never_an_entry() -> None:
    import transformers

    placeholder, stop, entries = transformers.Qwen2VLVideoProcessor, threading.Event(), []

    def watch() -> None:
        while not stop.is_set():
            entries.extend(name for name in list(sys.modules) if name.startswith("torchvision"))

    watcher = threading.Thread(target=watch)
    watcher.start()
    with ThreadPoolExecutor(8) as pool:
        classes = set(pool.map(without_torchvision, [placeholder] * 16))
    stop.set()
    watcher.join()
    assert len(classes) == 1
    assert None not in classes
    assert entries == []


@missing
@pytest.mark.usefixtures("no_copies")
def test__without_torchvision__module_that_needs_more__none_and_modules_as_before() -> None:
    import transformers

    placeholder = transformers.Llama4ImageProcessor  # takes a function from torchvision at import
    before = dict(sys.modules)
    real = type("Llama4ImageProcessor", (), {"is_dummy": True, "__module__": "json.no_such_module"})
    assert without_torchvision(real) is None
    assert {name for name in sys.modules if name not in before} == set()
    found = without_torchvision(placeholder)
    assert found is None or not hasattr(found, "is_dummy")
    assert not [loaded for loaded in sys.modules if loaded.partition(".")[0] == "torchvision"]


def test__without_torchvision__class_that_is_there__as_it_is() -> None:
    assert without_torchvision(Path) is Path


def functional_crop(given: torch.Tensor) -> torch.Tensor:
    from torchvision.transforms.v2 import functional

    return functional.center_crop(given, [50, 60])
