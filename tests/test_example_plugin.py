"""The plug-in package in examples/plugin, built, installed and used from the shell and from Python."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytestmark = pytest.mark.slow

PACKAGE = Path(__file__).parent.parent / "examples" / "plugin"
COLORS = {"red": (220, 40, 30), "blue": (30, 60, 220)}


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder with the installed package, built without the network."""
    target = tmp_path_factory.mktemp("site")
    source = tmp_path_factory.mktemp("source")
    for path in PACKAGE.rglob("*"):
        if path.suffix in {".py", ".toml"}:
            copy = source / path.relative_to(PACKAGE)
            copy.parent.mkdir(parents=True, exist_ok=True)
            copy.write_bytes(path.read_bytes())
    flags = ["--quiet", "--disable-pip-version-check", "--no-deps", "--no-index", "--no-build-isolation"]
    command = [sys.executable, "-m", "pip", "install", *flags, "--target", str(target), str(source)]
    subprocess.run(command, check=True, stderr=subprocess.DEVNULL)
    return target


@pytest.fixture
def savs(installed: Path, tmp_path: Path):
    """Return a function that runs the savs command where the plug-in is installed."""
    paths = [str(installed), os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths)), "OMP_NUM_THREADS": "1"}

    def run(*arguments: object) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-m", "savs", *map(str, arguments)]
        return subprocess.run(
            command, cwd=tmp_path, env=environment, check=False, capture_output=True, text=True
        )

    return run


def images(folder: Path) -> Path:
    rng = np.random.default_rng(0)
    for name, color in COLORS.items():
        for index in range(4):
            path = folder / name / f"{index}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            pixels = np.asarray(color) + rng.normal(0, 12, (32, 32, 3))
            Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path)
    return folder


def test__backbone_and_method__fit_predict_from_the_shell(savs, tmp_path: Path) -> None:
    data = images(tmp_path / "data")
    fit = savs("fit", data, "-b", "colorgrid:2", "--method", "median_votes", "-o", "classifier", "-q")
    assert fit.returncode == 0, fit.stderr
    answers = savs("predict", "classifier", data, "-o", "answers.jsonl", "-q")
    assert answers.returncode == 0, answers.stderr
    rows = [json.loads(line) for line in (tmp_path / "answers.jsonl").read_text().splitlines()]
    assert [row["label"] for row in rows] == [row["id"].split("/")[0] for row in rows]
    assert len(rows) == 8


def test__reader__fit_on_its_file(savs, tmp_path: Path) -> None:
    words = {"warm": ("red", "orange", "pink"), "cold": ("blue", "green", "gray")}
    lines = [f"{label}: {word}" for label, own in words.items() for word in own]
    (tmp_path / "shots.pairs").write_text("\n".join(lines))
    fit = savs("fit", "shots.pairs", "-b", "tiny", "-o", "classifier", "-q", "--json")
    assert fit.returncode == 0, fit.stderr


def test__unknown_method__error_lists_the_plug_in(savs, tmp_path: Path) -> None:
    data = images(tmp_path / "data")
    failed = savs("fit", data, "-b", "tiny", "--method", "median_vote", "-o", "classifier")
    assert failed.returncode == 2
    assert "median_votes" in failed.stderr


def test__classifier_without_its_plug_in__one_clear_error(savs, tmp_path: Path) -> None:
    data = images(tmp_path / "data")
    assert savs("fit", data, "-b", "tiny", "--method", "median_votes", "-o", "classifier").returncode == 0
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "savs", "inspect", "classifier"]
    failed = subprocess.run(
        command, cwd=tmp_path, env=environment, check=False, capture_output=True, text=True
    )
    assert failed.returncode == 1
    assert "median" in failed.stderr
    assert len(failed.stderr.strip().splitlines()) == 1
