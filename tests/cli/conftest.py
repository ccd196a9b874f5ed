"""Drawn images, a small random LMM in a folder, and a classifier fitted by the command line itself."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from tests.warm import WarmPython

from savs.cli.main import run

COLOURS = {"blue": (30, 60, 220), "red": (220, 40, 30)}
TEMPLATE = (
    "{% for m in messages %}{% for c in m['content'] %}"
    "{% if c['type'] == 'image' %}<image>{% else %}{{ c['text'] }}{% endif %}"
    "{% endfor %}{% endfor %}{% if add_generation_prompt %}:{% endif %}"
)


def draw_image(colour: str, seed: int) -> Image.Image:
    noise = np.random.default_rng(seed).normal(0, 12, (24, 24, 3))
    return Image.fromarray((np.asarray(COLOURS[colour]) + noise).clip(0, 255).astype(np.uint8))


def make_folder(root: Path, per_class: int, first_seed: int) -> Path:
    for offset, colour in enumerate(COLOURS):
        (root / colour).mkdir(parents=True)
        for index in range(per_class):
            draw_image(colour, first_seed + 2 * index + offset).save(root / colour / f"{index:02d}.png")
    return root


def make_processor() -> Any:
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import CLIPImageProcessorPil, LlavaProcessor, PreTrainedTokenizerFast

    letters = pre_tokenizers.ByteLevel.alphabet()
    words = ["<pad>", "<eos>", "<bos>", "<image>", *sorted(letters)]
    backend = Tokenizer(models.BPE({word: number for number, word in enumerate(words)}, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.add_special_tokens(words[:4])
    tokenizer = PreTrainedTokenizerFast(
        tokenizer_object=backend, pad_token="<pad>", eos_token="<eos>", bos_token="<bos>"
    )
    size = {"height": 28, "width": 28}
    images = CLIPImageProcessorPil(size=size, crop_size=size, do_center_crop=False)
    return LlavaProcessor(
        images,
        tokenizer,
        patch_size=14,
        vision_feature_select_strategy="default",
        num_additional_image_tokens=1,
        chat_template=TEMPLATE,
    )


@pytest.fixture(scope="session")
def backbone(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A LLaVA of 3 layers and 4 heads with random weights, in hub layout."""
    import torch
    from transformers import CLIPVisionConfig, LlamaConfig, LlavaConfig, LlavaForConditionalGeneration

    shape = {"hidden_size": 32, "intermediate_size": 48, "num_attention_heads": 4}
    config = LlavaConfig(
        vision_config=CLIPVisionConfig(num_hidden_layers=2, image_size=28, patch_size=14, **shape),
        text_config=LlamaConfig(
            num_hidden_layers=3, vocab_size=264, pad_token_id=0, initializer_range=0.25, **shape
        ),
        image_token_index=3,
        image_seq_length=4,
    )
    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("backbones") / "llava"
    LlavaForConditionalGeneration(config).save_pretrained(folder)
    make_processor().save_pretrained(folder)
    return folder


@pytest.fixture(scope="session")
def draw() -> Callable[[str, int], Image.Image]:
    return draw_image


@pytest.fixture(scope="session")
def train(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_folder(tmp_path_factory.mktemp("train") / "images", 4, 0)


@pytest.fixture(scope="session")
def test_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_folder(tmp_path_factory.mktemp("test") / "images", 3, 1000)


@pytest.fixture(scope="session")
def classifier(train: Path, backbone: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("classifiers") / "colours"
    arguments = ["fit", train, "-b", backbone, "--prompt", "Which colour?", "-o", folder]
    assert run([*map(str, arguments), "--n-heads", "5", "--quiet"]) == 0
    return folder


@pytest.fixture
def savs(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Run a command in this process: exit code, stdout, stderr."""

    def call(*arguments: object) -> tuple[int, str, str]:
        capsys.readouterr()
        code = run([str(argument) for argument in arguments])
        captured = capsys.readouterr()
        return code, captured.out, captured.err

    return call


@pytest.fixture
def rows(tmp_path: Path) -> Callable[..., Path]:
    """Write a data file of rows beside two images, red.png and blue.png, and broken.png."""
    for colour in COLOURS:
        draw_image(colour, 77).save(tmp_path / f"{colour}.png")
    (tmp_path / "broken.png").write_bytes(b"no picture")

    def write(*items: dict[str, Any]) -> Path:
        path = tmp_path / "data.jsonl"
        path.write_text("".join(json.dumps(item) + "\n" for item in items))
        return path

    return write


@pytest.fixture(scope="session")
def environment() -> dict[str, str]:
    return {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONWARNINGS": "error"}


@pytest.fixture(scope="session")
def start(environment: dict[str, str], warm_python: WarmPython) -> Callable[..., Any]:
    """Start a command in a process of its own, a warm one: see tests/warm.py."""

    def begin(*arguments: object, **options: Any) -> Any:
        return warm_python.start(["-m", "savs", *arguments], env=environment, **options)

    return begin


@pytest.fixture(scope="session")
def start_cold(environment: dict[str, str]) -> Callable[..., subprocess.Popen[str]]:
    """Start a command as a shell does."""

    def begin(*arguments: object, **options: Any) -> subprocess.Popen[str]:
        command = [sys.executable, "-m", "savs.cli.main", *map(str, arguments)]
        streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **options}
        # A shell starts background jobs with SIGINT ignored, which a child would inherit.
        before = signal.signal(signal.SIGINT, signal.default_int_handler)
        try:
            return subprocess.Popen(command, text=True, env=environment, **streams)
        finally:
            signal.signal(signal.SIGINT, before)

    return begin
