"""Backbones of other packages: by call, by entry point, on the command line, in saved classifiers."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PILImage

import savs
from savs.backbones import FakeBackbone, _registered, load_backbone, register_backbone
from savs.backbones._registered import split_name
from savs.backbones.loading import saved_options
from savs.doctor import examine
from savs.errors import BackboneError

pytestmark = pytest.mark.slow

PLUGIN = '''
"""A backbone of another package: the mean color of the image, seen by four heads."""

import numpy as np

from savs.backbones import Extraction
from savs.layout import HeadLayout
from savs.media import load_image


class ColorBackbone:
    layout = HeadLayout.uniform(2, 2, 3)
    modalities = frozenset({"image", "text"})

    def __init__(self, name, scale=1.0):
        self.scale = scale
        self.fingerprint = {"source": f"colors:{name}", "weights_digest": f"mean color {scale}"}

    def extract(self, examples, heads=None, *, max_errors=0, progress=False, states=False):
        rows = [self._row(example) for example in examples]
        columns = self.layout.column_indices(self.layout.heads if heads is None else heads)
        features = np.asarray(rows, np.float32).reshape(len(rows), -1)[:, columns]
        return Extraction(features, np.arange(len(rows)), [], features[:, :3] if states else None)

    def last_layer_states(self, examples):
        return self.extract(examples).features[:, :3]

    def generate(self, examples, *, max_new_tokens=16):
        return ["a color"] * len(examples)

    def _row(self, example):
        color = np.asarray(load_image(example.images[0].source), np.float32).mean(axis=(0, 1)) / 255
        return np.concatenate([color - 0.5, color**2 - 0.5, 1 - 2 * color, color - 0.4]) * self.scale
'''


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Install a package that adds `colors`; return its folder."""
    site = tmp_path / "site"
    info = site / "savs_colors-1.0.dist-info"
    info.mkdir(parents=True)
    (site / "savs_colors.py").write_text(PLUGIN)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: savs-colors\nVersion: 1.0\n")
    (info / "entry_points.txt").write_text("[savs.backbones]\ncolors = savs_colors:ColorBackbone\n")
    monkeypatch.syspath_prepend(str(site))
    return site


@pytest.fixture(autouse=True)
def no_entries(monkeypatch: pytest.MonkeyPatch) -> None:
    """Forget afterwards what a test has registered."""
    monkeypatch.setattr(_registered._LOADERS, "_entries", {})
    monkeypatch.delitem(sys.modules, "savs_colors", raising=False)


@pytest.fixture
def images(tmp_path: Path) -> Path:
    """Return a folder with a folder of images for each class."""
    rng = np.random.default_rng(0)
    for label, color in {"red": (220, 30, 30), "blue": (30, 30, 220)}.items():
        folder = tmp_path / "images" / label
        folder.mkdir(parents=True)
        for number in range(5):
            pixels = np.clip(np.asarray(color) + rng.integers(-20, 20, (8, 8, 3)), 0, 255)
            PILImage.fromarray(pixels.astype(np.uint8)).save(folder / f"{number}.png")
    return tmp_path / "images"


class Named(FakeBackbone):
    """A fake backbone that has the name it is loaded by."""

    def __init__(self, rest: str, **options: object) -> None:
        super().__init__()
        self.rest, self.options = rest, options

    @property
    def fingerprint(self) -> dict:  # type: ignore[type-arg]
        return {**super().fingerprint, "source": f"named:{self.rest}"}


def test__load_backbone__registered_name__the_loader_gets_the_rest_and_the_options_that_are_set() -> None:
    register_backbone("named", Named)
    backbone = load_backbone("named:a:b/c", dtype="bfloat16", batch_size=None, depth=3)
    assert (backbone.rest, backbone.options) == ("a:b/c", {"dtype": "bfloat16", "depth": 3})


@pytest.mark.usefixtures("installed")
def test__load_backbone__entry_point__imported_when_asked_for() -> None:
    assert split_name("colors:mean") == ("colors", "mean")
    assert "savs_colors" not in sys.modules
    assert load_backbone("colors:mean").fingerprint["source"] == "colors:mean"


def test__load_backbone__unknown_name__error_lists_the_names() -> None:
    register_backbone("named", Named)
    with pytest.raises(BackboneError, match=r"no backbone named 'nomed' \(registered are named\); install"):
        load_backbone("nomed:x")


def test__load_backbone__option_of_nobody__type_error() -> None:
    with pytest.raises(TypeError, match="unexpected keyword argument 'depth'"):
        load_backbone("tiny", depth=3)


@pytest.mark.usefixtures("installed")
def test__load_backbone__option_that_the_loader_does_not_take__error() -> None:
    assert load_backbone("colors:mean", scale=2.0).scale == 2.0
    with pytest.raises(BackboneError, match="the backbone 'colors' does not take the option 'dtype'"):
        load_backbone("colors:mean", dtype="float16")


@pytest.mark.parametrize(
    ("loader", "message"),
    [
        (lambda rest: rest, "must return a savs.backbones.Backbone, got str"),
        (lambda _: FakeBackbone(), "must have that name as its 'source', got 'fake'"),
    ],
)
def test__load_backbone__loader_that_returns_something_else__error(loader, message) -> None:
    register_backbone("odd", loader)
    with pytest.raises(BackboneError, match=message):
        load_backbone("odd:x")


def test__load_backbone__package_that_fails_at_import__error_in_one_line(installed) -> None:
    (installed / "savs_colors.py").write_text("import a_module_that_is_missing\n")
    with pytest.raises(BackboneError, match="the backbone 'colors' cannot be imported: ModuleNotFoundError"):
        load_backbone("colors:mean")


@pytest.mark.parametrize("name", ["tiny", "owner/name", "hf://owner/name", "C:\\models\\x", "./a:b", "a b:c"])
def test__split_name__names_with_another_meaning__none(name: str) -> None:
    assert split_name(name) is None


def test__load_backbone__folder_with_a_colon__stays_a_folder(tmp_path, monkeypatch) -> None:
    register_backbone("named", Named)
    monkeypatch.chdir(tmp_path)
    (tmp_path / "named:x").mkdir()
    with pytest.raises(BackboneError, match=r"no config\.json"):
        load_backbone("named:x")


def test__saved_options__registered_name__none_of_transformers() -> None:
    register_backbone("named", Named)
    fingerprint = {"source": "named:x", "dtype": "float32", "commit": "abc"}
    assert saved_options(fingerprint) == {}
    assert saved_options({**fingerprint, "source": "tiny"}, "named:x") == {}
    assert saved_options(fingerprint, "tiny")["dtype"] == "float32"
    assert "revision" not in saved_options(fingerprint, "tiny")


def test__examine__backbone_without_a_model__error() -> None:
    with pytest.raises(BackboneError, match="the doctor examines transformers models"):
        examine(FakeBackbone())


def command(site: Path | None, *arguments: object) -> subprocess.CompletedProcess[str]:
    paths = [str(Path(savs.__file__).parents[1]), *([str(site)] if site else [])]
    return subprocess.run(
        [sys.executable, "-m", "savs", *map(str, arguments)],
        env={"PYTHONPATH": os.pathsep.join(paths), "PATH": "", "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        check=False,
        timeout=300,
    )


def test__command_line__fit_save_load_predict__with_a_backbone_of_another_package(
    installed, images, tmp_path
) -> None:
    fit = command(installed, "fit", images, "-b", "colors:mean", "-o", tmp_path / "saved")
    assert fit.returncode == 0, fit.stderr
    predict = command(installed, "predict", tmp_path / "saved", images / "red" / "0.png", "--json")
    assert predict.returncode == 0, predict.stderr
    assert json.loads(predict.stdout.splitlines()[0])["label"] == "red"
    missing = command(None, "predict", tmp_path / "saved", images / "red" / "0.png")
    assert missing.returncode != 0
    assert "no backbone named 'colors'" in missing.stderr
    assert "Traceback" not in missing.stderr
