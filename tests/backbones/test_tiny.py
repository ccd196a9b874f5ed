"""The bundled model: a stock LMM in hub layout that really answers, with heads worth reading."""

from __future__ import annotations

from collections.abc import Callable
from importlib.resources import files
from pathlib import Path

import numpy as np
import pytest
from PIL import Image as PILImage

from savs.backbones import TransformersBackbone, load_backbone
from savs.data import as_examples, draw_shots, read_examples
from savs.demo.data import PHOTO_FOLDER
from savs.demo.scenes import COLOURS, KINDS, draw_scene, sample_scene
from savs.model import SAVModel

FOLDER = Path(str(files("savs.backbones") / "tiny"))
N_ASKED = 40


@pytest.fixture(scope="module")
def tiny() -> TransformersBackbone:
    return load_backbone("tiny", batch_size=16)


def test__files__are_a_hub_folder_of_at_most_10_megabytes() -> None:
    assert (FOLDER / "model.safetensors").stat().st_size <= 10_000_000
    names = {path.name for path in FOLDER.iterdir()}
    assert {
        "config.json",
        "tokenizer.json",
        "processor_config.json",
        "chat_template.jinja",
        "README.md",
    } <= names
    assert not [name for name in names if name.endswith((".bin", ".pt", ".pkl", ".py"))]


def test__stock_auto_classes__open_it_and_it_answers() -> None:
    from transformers import AutoModelForImageTextToText, AutoProcessor

    model = AutoModelForImageTextToText.from_pretrained(FOLDER, local_files_only=True)
    processor = AutoProcessor.from_pretrained(FOLDER, local_files_only=True)
    content = [{"type": "image"}, {"type": "text", "text": "What colour is it?"}]
    text = processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True)
    scene = sample_scene(np.random.default_rng(5), 1)
    image = draw_scene(scene, np.random.default_rng(6))
    inputs = processor(text=[text], images=[[image]], return_tensors="pt")
    tokens = model.float().generate(**inputs, max_new_tokens=4, do_sample=False)
    answer = processor.decode(tokens[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
    assert answer.strip() in COLOURS


def test__geometry__head_width_cannot_be_guessed(tiny: TransformersBackbone) -> None:
    hidden = tiny.model.config.text_config.hidden_size
    layout = tiny.layout
    assert layout.n_heads >= 64
    assert layout.n_heads // layout.n_layers * layout.dims[0] != hidden


def ask(
    tiny: TransformersBackbone, make: Callable[[np.random.Generator], tuple[list[PILImage.Image], str, str]]
) -> float:
    rng = np.random.default_rng(123)
    asked = [make(rng) for _ in range(N_ASKED)]
    answers = tiny.generate(as_examples([(images, text) for images, text, _ in asked]), max_new_tokens=4)
    return float(np.mean([answer == truth for answer, (_, _, truth) in zip(answers, asked, strict=True)]))


def one_thing(rng: np.random.Generator) -> tuple[PILImage.Image, str, str]:
    scene = sample_scene(rng, 1)
    return draw_scene(scene, rng), scene.things[0].kind, scene.things[0].colour


def colour(rng: np.random.Generator) -> tuple[list[PILImage.Image], str, str]:
    image, _, name = one_thing(rng)
    return [image], "What colour is it?", name


def shape(rng: np.random.Generator) -> tuple[list[PILImage.Image], str, str]:
    image, kind, _ = one_thing(rng)
    return [image], "What shape is it?", kind


def caption(rng: np.random.Generator) -> tuple[list[PILImage.Image], str, str]:
    image, kind, name = one_thing(rng)
    true = bool(rng.integers(2))
    shown = kind if true else str(rng.choice([other for other in KINDS if other != kind]))
    text = f"Does this image show a {name} {shown}? Answer yes or no."
    return [image], text, "yes" if true else "no"


def options(rng: np.random.Generator) -> tuple[list[PILImage.Image], str, str]:
    image, kind, _ = one_thing(rng)
    pair = [kind, str(rng.choice([other for other in KINDS if other != kind]))]
    if rng.integers(2):
        pair.reverse()
    text = f"What shape is it? (A) {pair[0]} (B) {pair[1]} Answer with the letter."
    return [image], text, "AB"[pair.index(kind)]


def two_images(rng: np.random.Generator) -> tuple[list[PILImage.Image], str, str]:
    (first, kind, _), (second, other, _) = one_thing(rng), one_thing(rng)
    return (
        [first, second],
        "Do both images show the same shape? Answer yes or no.",
        "yes" if kind == other else "no",
    )


@pytest.mark.parametrize(
    ("make", "floor"), [(colour, 0.8), (shape, 0.8), (caption, 0.75), (options, 0.7), (two_images, 0.7)]
)
def test__ability__fresh_drawings__are_answered(
    tiny: TransformersBackbone, make: Callable, floor: float
) -> None:
    assert ask(tiny, make) >= floor


def test__heads__photos_of_unseen_classes__are_told_apart(tiny: TransformersBackbone) -> None:
    shots, rest = draw_shots(read_examples(PHOTO_FOLDER), shots=20, seed=1)
    model = SAVModel(tiny, prompt="What is in this picture?").fit(shots)
    assert model.score(rest[::7]) >= 0.7


def test__batched__equals_single(tiny: TransformersBackbone) -> None:
    rng = np.random.default_rng(3)
    images = [one_thing(rng)[0] for _ in range(6)]
    texts = [
        "Hi",
        "What is it?",
        "Is there anything red in the picture?",
        "x",
        "Where?",
        "A longer question, is it?",
    ]
    examples = as_examples([*zip(images, texts, strict=True), (images[:2], "Same?"), "text alone"])
    together = tiny.extract(examples).features
    alone = np.concatenate([tiny.extract([example]).features for example in examples])
    np.testing.assert_allclose(together, alone, atol=2e-5)
