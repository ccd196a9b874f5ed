"""Images that need a word: bit depths that no file states, and files that a folder's reader cannot read."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image


@pytest.fixture(scope="module")
def deep(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Folders of 16-bit PNG files of 12 bits: dark and bright squares."""
    root = tmp_path_factory.mktemp("deep")
    rng = np.random.default_rng(0)
    for part, count in (("train", 3), ("test", 2)):
        for name, level in (("dark", 700), ("bright", 3300)):
            folder = root / part / name
            folder.mkdir(parents=True)
            for number in range(count):
                values = rng.integers(level - 500, level + 500, (24, 24)).astype(np.uint16)
                Image.fromarray(values).save(folder / f"{number}.png")
    return root


def test__bit_depth__named_at_fit__read_alike_afterwards_and_warned_without(deep, backbone, tmp_path, savs):
    fit = ["fit", deep / "train", "-b", backbone, "--n-heads", 4, "-o"]
    code, _, error = savs(*fit, tmp_path / "named", "--bit-depth", 12, "--json")
    assert (code, error) == (0, "")
    code, text, error = savs("evaluate", tmp_path / "named", deep / "test", "--json")
    assert (code, error) == (0, "")
    code, text, _ = savs("inspect", tmp_path / "named", "--json")
    assert json.loads(text)["bit_depth"] == 12
    code, _, error = savs(*fit, tmp_path / "unnamed", "--json")
    assert code == 0
    assert error.count("--bit-depth 12") == error.count("warning:") == 1
    code, text, error = savs("predict", tmp_path / "unnamed", deep / "test")
    assert error.count("--bit-depth 12") == error.count("warning:") == 1
    assert len(text.splitlines()) == 4


def test__unread_images_in_a_folder__error_at_fit_and_warning_afterwards(deep, backbone, tmp_path, savs):
    folders = tmp_path / "data"
    shutil.copytree(deep, folders)
    (folders / "train" / "dark" / "drawing.svg").write_text("<svg/>")
    (folders / "test" / "dark" / "drawing.svg").write_text("<svg/>")
    fit = ["-b", backbone, "--n-heads", 4, "--bit-depth", 12, "-o", tmp_path / "model"]
    lost = "1 .svg file: not an image format that savs reads"
    code, _, error = savs("fit", folders / "train", *fit)
    assert (code, lost in error) == (1, True)
    assert error.startswith("savs: error: train would lose 1 file")
    code, _, error = savs("compare", folders / "train", "-b", backbone, "--shots", 1)
    assert (code, lost in error) == (1, True)
    assert savs("fit", deep / "train", *fit)[0] == 0
    for command in ("predict", "evaluate"):
        code, _, error = savs(command, tmp_path / "model", folders / "test")
        assert (code, error.count(lost), error.count("warning:")) == (0, 1, 1)
