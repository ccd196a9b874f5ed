"""The program runs from nothing to a folder that the stock Auto classes open."""

import json

import numpy as np
import pytest
import torch
from PIL import Image
from training.__main__ import main
from training.abilities import COLUMNS, Reader, as_markdown, measure_task
from training.export import LIMIT
from training.photos import HELD_OUT, NAMED, synthetic_photos
from training.tasks import Source, all_tasks
from transformers import AutoModelForImageTextToText, AutoProcessor

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp("training") / "tiny"
    assert main(["--smoke", "--out", str(out)]) == 0
    return out


def test__smoke__writes_the_hub_layout(folder):
    names = {file.name for file in folder.iterdir()}
    assert names == {
        "model.safetensors",
        "config.json",
        "generation_config.json",
        "tokenizer.json",
        "tokenizer_config.json",
        "processor_config.json",
        "chat_template.jinja",
    }
    assert (folder / "model.safetensors").stat().st_size < LIMIT
    assert json.loads((folder / "config.json").read_text())["dtype"] == "float16"


@torch.inference_mode()
def test__smoke__folder_opens_and_answers(folder):
    processor = AutoProcessor.from_pretrained(folder)
    model = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32).eval()
    text = model.config.text_config
    assert text.num_hidden_layers * text.num_attention_heads == 96
    assert text.num_attention_heads * text.head_dim != text.hidden_size
    assert processor.tokenizer.padding_side == "left"
    image = Image.new("RGB", (40, 30), "red")
    message = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "What is it?"}]}]
    prompt = processor.apply_chat_template(message, add_generation_prompt=True)
    inputs = processor(images=[image], text=prompt, return_tensors="pt")
    assert int((inputs["input_ids"] == model.config.image_token_id).sum()) == 16
    assert torch.isfinite(model(**inputs).logits).all()
    assert model.generate(**inputs, max_new_tokens=2).shape[0] == 1


def test__smoke__resume__goes_on_from_the_checkpoints(folder, capsys):
    assert main(["--smoke", "--resume", "--out", str(folder)]) == 0
    assert "model step" not in capsys.readouterr().out


def test__abilities__measures_a_task(folder):
    photos = synthetic_photos(np.random.default_rng(0), 6, (*NAMED, *HELD_OUT))
    task = next(one for one in all_tasks() if one.name == "two drawings, same shape")
    row = measure_task(Reader(folder), task, Source(photos, 0), shots=3, draws=1, tests=4)
    assert set(row) == set(COLUMNS)
    assert all(0.0 <= value <= 1.0 for value in row.values())
    table = as_markdown(
        {
            "shots per class": 3,
            "draws": 1,
            "tasks": {task.name: {"never trained": False, **row}},
            "families": {"photo what": (0.5, 4)},
        }
    )
    assert "| two drawings, same shape |" in table


@pytest.mark.parametrize("task", all_tasks(), ids=lambda task: task.name)
def test__tasks__every_label__can_be_drawn(task):
    source = Source(synthetic_photos(np.random.default_rng(0), 6, (*NAMED, *HELD_OUT)), 0)
    for label in task.labels:
        tries = (task.make(source, label) for _ in range(400))
        item = next(one for one in tries if one is not None)
        assert item.label == label
        assert item.text
