"""The code in README.md and docs/ runs: Python blocks of a page as one program, `savs` lines as commands."""

import json
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

pytestmark = pytest.mark.slow

ROOT = Path(__file__).parent.parent
PAGES = sorted([ROOT / "README.md", *ROOT.glob("docs/*.md")])
LINK = re.compile(r"\]\((?!https?:|#)([^)#]+)")


def blocks(page: Path, language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", page.read_text(), flags=re.DOTALL | re.MULTILINE)


def with_code(language: str) -> list:
    return [pytest.param(page, id=page.name) for page in PAGES if blocks(page, language)]


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """An empty folder with the images and data files that the pages speak of."""
    rng = np.random.default_rng(0)
    colours = {"red": (220, 40, 30), "blue": (30, 60, 220)}
    for split in ("train", "test", "new"):
        for name, colour in colours.items():
            for index in range(4):
                path = tmp_path / "data" / split / name / f"{index}.png"
                path.parent.mkdir(parents=True, exist_ok=True)
                pixels = np.asarray(colour) + rng.normal(0, 12, (32, 32, 3))
                Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(path)
    rows = [(f"train/{name}/{index}.png", name) for name in colours for index in range(4)]
    (tmp_path / "data" / "train.csv").write_text("image,label\n" + "".join(f"{a},{b}\n" for a, b in rows))
    new = [json.dumps({"image": f"new/{name}/{index}.png"}) for name in colours for index in range(4)]
    (tmp_path / "data" / "new.jsonl").write_text("\n".join(new))
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("page", with_code("python"))
def test__python_of_the_page__runs(page, folder, warm_python):
    code = "\n".join(blocks(page, "python"))
    done = warm_python.run(["-W", "error::UserWarning:savs", "-c", code], cwd=folder)
    assert done.returncode == 0, f"exit code {done.returncode}\n{done.stderr}"


@pytest.mark.parametrize("page", with_code("bash"))
def test__savs_lines_of_the_page__run(page, folder, warm_python):
    lines = [
        line for block in blocks(page, "bash") for line in block.splitlines() if line.startswith("savs ")
    ]
    for line in lines:
        done = warm_python.run(["-m", "savs", *shlex.split(line, comments=True)[1:]], cwd=folder)
        assert done.returncode == 0, f"{line}\nexit code {done.returncode}\n{done.stderr}"


@pytest.mark.parametrize("page", [pytest.param(page, id=page.name) for page in PAGES])
def test__links_of_the_page__lead_somewhere(page):
    prose = "\n".join(line for line in page.read_text().splitlines() if not line.startswith("    "))
    for target in LINK.findall(prose):
        assert (page.parent / target).exists(), target
