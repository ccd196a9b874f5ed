"""Processors with torchvision, without it and beside a broken one; folders of every family open again."""

from __future__ import annotations

import ast
import contextlib
import importlib.util
import json
import os
import re
import subprocess
import sys
import textwrap
import warnings
from pathlib import Path

import numpy as np
import pytest

import savs
from savs.backbones import TransformersBackbone, load_backbone
from savs.backbones._model_files import missing_package
from savs.backbones._torchvision import torchvision_remedy
from savs.errors import BackboneError

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]

SOURCES = str(Path(savs.__file__).parents[1])
HAS_TORCHVISION = importlib.util.find_spec("torchvision") is not None
without_torchvision = pytest.mark.skipif(HAS_TORCHVISION, reason="torchvision is installed")
REMEDY = r"a matching build of the package torchvision: pip install \"torchvision==0\.\d+\.\*\""


def assert_same(found: np.ndarray, expected: np.ndarray) -> None:
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())


def test__load__saved_folder_of_every_family__same_vectors_as_the_object(
    contract_images, family, folder_of, examples_for
) -> None:
    built, examples = family(contract_images), examples_for(contract_images)[-2:]
    options = {} if not HAS_TORCHVISION else {"image_backend": "pil"}
    loaded = load_backbone(folder_of(contract_images), batch_size=8, **options)
    assert type(loaded.processor).__name__ == type(built.processor).__name__
    assert loaded.fingerprint["processor_backend"] == "pil"
    direct = TransformersBackbone(built.model, built.processor, batch_size=8)
    assert_same(loaded.extract(examples).features, direct.extract(examples).features)
    if type(loaded.processor.tokenizer) is type(built.processor.tokenizer):  # Qwen3.5's class is its own
        assert loaded.fingerprint["processor_digest"] == direct.fingerprint["processor_digest"]


@pytest.mark.parametrize("name", ["qwen2_5_vl", "smolvlm", "gemma4"])
def test__load__folder_with_a_section_for_videos__opens_for_images(
    name, folder_of, tmp_path, family, examples_for
) -> None:
    """What the hub has: video settings beside those for images, in files of their own."""
    folder = copy_of(folder_of(name), tmp_path)
    settings = json.loads((folder / "processor_config.json").read_text())
    images = settings.pop("image_processor")
    (folder / "processor_config.json").write_text(json.dumps(settings))
    (folder / "preprocessor_config.json").write_text(json.dumps(images))
    kind = {"qwen2_5_vl": "Qwen2VL", "smolvlm": "SmolVLM", "gemma4": "Gemma4"}[name]
    videos = {"video_processor_type": f"{kind}VideoProcessor"}
    (folder / "video_preprocessor_config.json").write_text(json.dumps(videos))
    examples = examples_for(name)[-2:]
    expected = TransformersBackbone(family(name).model, family(name).processor).extract(examples).features
    options = {} if not HAS_TORCHVISION else {"image_backend": "pil"}
    assert_same(load_backbone(folder, **options).extract(examples).features, expected)


def copy_of(folder: Path, tmp_path: Path) -> Path:
    import shutil

    return Path(shutil.copytree(folder, tmp_path / "model"))


@without_torchvision
def test__load__image_processor_of_torchvision_only__names_the_build_to_install(folder_of, tmp_path) -> None:
    folder = copy_of(folder_of("llava"), tmp_path)
    settings = json.loads((folder / "processor_config.json").read_text())
    settings["image_processor"]["image_processor_type"] = "Llama4ImageProcessor"
    (folder / "processor_config.json").write_text(json.dumps(settings))
    with pytest.raises(BackboneError, match=REMEDY) as error:
        load_backbone(folder)
    assert "\n" not in str(error.value)


@without_torchvision
def test__load__torchvision_wanted_but_missing__names_the_build_to_install(folder_of) -> None:
    with pytest.raises(BackboneError, match=REMEDY):
        load_backbone(folder_of("llava"), image_backend="torchvision")


def test__load__image_backend__as_asked(folder_of) -> None:
    assert load_backbone(folder_of("llava"), image_backend="pil").fingerprint["processor_backend"] == "pil"
    assert load_backbone(folder_of("llama"), image_backend="pil").fingerprint["processor_backend"] is None
    with pytest.raises(BackboneError, match="unknown image backend 'cairo'"):
        load_backbone(folder_of("llava"), image_backend="cairo")


@pytest.mark.parametrize(
    ("torch_version", "expected"),
    [
        (
            "2.13.0+cpu",
            '"torchvision==0.28.*" --index-url https://download.pytorch.org/whl/cpu',
        ),
        ("2.9.1", '"torchvision==0.24.*"'),
        ("2.13.0+cu130", '"torchvision==0.28.*" --index-url https://download.pytorch.org/whl/cu130'),
        ("3.0.0", "the torchvision that was built for torch 3.0.0"),
        ("nonsense", "the torchvision that was built for torch nonsense"),
    ],
)
def test__remedy__torch_version__the_release_that_pairs_with_it(torch_version, expected, monkeypatch) -> None:
    monkeypatch.setattr("savs.backbones._torchvision.metadata.version", lambda _package: torch_version)
    assert torchvision_remedy().endswith(expected)


def chained(outer: ImportError, inner: ImportError) -> ImportError:
    outer.__cause__ = inner
    return outer


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (ModuleNotFoundError("No module named 'timm'", name="timm"), "the package timm: pip install timm"),
        (ModuleNotFoundError("no", name="google.protobuf"), "the package protobuf: pip install protobuf"),
        (ImportError("X requires the num2words library"), "the package num2words: pip install num2words"),
        (ImportError("something"), "a package that is not installed"),
        (
            ImportError("no name 'X'", name="transformers.models"),
            "a package that is not installed",
        ),
        (
            chained(
                ModuleNotFoundError("Could not import module 'X'"), ModuleNotFoundError("", name="einops")
            ),
            "the package einops: pip install einops",
        ),
    ],
)
def test__missing_package__any_import_error__how_to_get_it(error, expected) -> None:
    assert missing_package(error) == expected


@pytest.fixture
def broken_torchvision(tmp_path) -> Path:
    """Install a torchvision that fails at import just as one that was built for another torch does."""
    package, info = tmp_path / "site" / "torchvision", tmp_path / "site" / "torchvision-0.28.0.dist-info"
    package.mkdir(parents=True)
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: torchvision\nVersion: 0.28.0\n")
    (package / "extension.py").write_text("")
    (package / "__init__.py").write_text(
        "from torchvision import extension\nraise RuntimeError('operator torchvision::nms does not exist')\n"
    )
    return package.parent


def run(script: str, site: Path, *arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(script), *map(str, arguments)],
        env={
            "PYTHONPATH": os.pathsep.join([str(site), SOURCES]),
            "PATH": "",
            "HF_HUB_OFFLINE": "1",
            "OMP_NUM_THREADS": "1",
        },
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )


EXTRACT = """
    import sys, warnings
    if "first" in sys.argv:
        import transformers
    import numpy as np
    from savs.backbones import load_backbone
    from savs.data import Example, Image, Message, Text

    warnings.simplefilter("always")
    image = np.arange(56 * 56 * 3, dtype=np.uint32).reshape(56, 56, 3) % 251
    found = {}
    for name in ("tiny", *sys.argv[1:3]):
        backbone = load_backbone(name)
        parts = (Text("is this red?"),)
        if "image" in backbone.modalities:
            parts = (Image(image.astype(np.uint8)), *parts)
        rows = backbone.extract([Example((Message("user", parts),))]).features
        found[name] = backbone.fingerprint["processor_backend"], float(np.abs(rows).mean())
    print(found)
    left = [name for name in sys.modules if name.partition(".")[0] == "torchvision"]
    assert not left, left
"""


@without_torchvision
@pytest.mark.parametrize("order", ["first", "later"])
def test__load__broken_torchvision__works_through_pil_with_one_warning(
    order, broken_torchvision, folder_of, monkeypatch, capsys
) -> None:
    """Also where transformers was imported before and has taken the broken one for a working one."""
    names = [str(folder_of("llama")), str(folder_of("qwen2_5_vl"))]
    found = run(EXTRACT, broken_torchvision, *names, order)
    assert found.returncode == 0, found.stderr
    assert found.stderr.count("TorchvisionWarning") == 1
    assert "torchvision 0.28.0 does not work with torch" in found.stderr
    assert "RuntimeError at import" in found.stderr
    assert "pip install" in found.stderr
    monkeypatch.setattr(sys, "argv", ["", *names])
    capsys.readouterr()
    with warnings.catch_warnings():
        exec(compile(textwrap.dedent(EXTRACT), "here", "exec"), {})
    here, there = ast.literal_eval(capsys.readouterr().out), ast.literal_eval(found.stdout)
    assert [backend for backend, _ in there.values()] == ["pil", None, "pil"]
    assert list(here) == list(there)
    for name, (backend, size) in here.items():
        assert there[name] == (backend, pytest.approx(size, rel=1e-5))


@without_torchvision
def test__broken_torchvision__without_savs__nothing_can_be_imported(broken_torchvision) -> None:
    """The reason for all this: if transformers learns to cope, it can go."""
    found = run("from transformers import LlamaForCausalLM", broken_torchvision)
    assert found.returncode != 0
    assert "Could not import module 'LlamaForCausalLM'" in found.stderr


@without_torchvision
def test__load__a_folder_named_torchvision_in_the_way__not_taken_for_it(tmp_path) -> None:
    (tmp_path / "torchvision").mkdir()
    script = """
        from savs.backbones import load_backbone
        print(load_backbone("tiny").fingerprint["processor_backend"])
    """
    found = run(script, tmp_path)
    assert found.stdout == "pil\n", found.stderr
    assert "torchvision of unknown version does not work" in found.stderr


@without_torchvision
@pytest.mark.parametrize("named", ["logging", "LlamaTokenizer", "NoSuchProcessor", 7])
def test__load__processor_class_that_is_none__never_a_traceback(named, folder_of, tmp_path) -> None:
    folder = copy_of(folder_of("llava"), tmp_path)
    settings = json.loads((folder / "processor_config.json").read_text())
    (folder / "processor_config.json").write_text(json.dumps(settings | {"processor_class": named}))
    with contextlib.suppress(BackboneError):
        assert "text" in load_backbone(folder).modalities


def test__set_aside__torchvision_that_works__left_alone(tmp_path) -> None:
    for package in ("torchvision", "torchvision/transforms", "torchvision/transforms/v2"):
        (tmp_path / package).mkdir()
        (tmp_path / package / "__init__.py").write_text("working = True\n")
    script = """
        import sys, warnings
        warnings.simplefilter("error")
        from savs.backbones._torchvision import set_aside_broken_torchvision
        set_aside_broken_torchvision()
        set_aside_broken_torchvision()
        print(sys.modules["torchvision"].working, "transformers" in sys.modules)
    """
    found = run(script, tmp_path)
    assert (found.stdout, found.stderr) == ("True False\n", "")


@without_torchvision
def test__set_aside__broken_torchvision__tried_once_and_no_entry_left(broken_torchvision) -> None:
    script = """
        import importlib.util, sys
        from savs.backbones._torchvision import set_aside_broken_torchvision
        before = set(sys.modules)
        set_aside_broken_torchvision()
        finders = sys.meta_path[:]
        class Refuses:
            def find_spec(self, name, *rest):
                assert not name.startswith("torchvision"), "imported again"
        sys.meta_path.insert(0, Refuses())
        set_aside_broken_torchvision()
        sys.meta_path[:] = finders
        from transformers.utils import is_torchvision_available, is_torchvision_v2_available
        print(is_torchvision_available(), is_torchvision_v2_available())
        print(importlib.util.find_spec("torchvision") is not None)
        print([name for name in sys.modules if name.startswith("torchvision")])
    """
    outcome = run(script, broken_torchvision)
    assert outcome.stdout == "False False\nTrue\n[]\n", outcome.stderr
    assert outcome.stderr.count("TorchvisionWarning") == 1


def test__missing_package__torchvision_of_another_torch__both_versions_and_the_remedy() -> None:
    # What transformers raises beside a CUDA build of torchvision on a CPU torch.
    try:
        try:
            raise RuntimeError("operator torchvision::nms does not exist")
        except RuntimeError as cause:
            raise ModuleNotFoundError("Could not import module 'Qwen2VLProcessor'.") from cause
    except ModuleNotFoundError as error:
        said = missing_package(error)
    assert re.search(
        r"torchvision .* does not work with torch .*; install a matching build .*pip install", said
    )
    assert "\n" not in said
