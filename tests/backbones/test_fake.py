"""The stand-in keeps the promises of the real one."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import savs
from savs.backbones import Backbone, FakeBackbone
from savs.errors import BackboneError, ExampleError, MediaError
from savs.layout import Head, HeadLayout


def test__fake__is_a_backbone() -> None:
    assert isinstance(FakeBackbone(), Backbone)


def test__extract__content_alone_decides__ids_and_labels_do_not(ask, image) -> None:
    rows = FakeBackbone().extract([ask("a", id="1"), ask("a", id="2"), ask("b"), ask(image(1), "a")]).features
    assert np.array_equal(rows[0], rows[1])
    assert len(np.unique(rows, axis=0)) == 3
    assert rows.dtype == np.float32
    assert not np.array_equal(rows[0], FakeBackbone(seed=1).extract([ask("a")]).features[0])


def test__extract__heads__are_columns_of_the_full_row(ask) -> None:
    backbone = FakeBackbone(HeadLayout.from_layers([(0, 2, 3), (1, 1, 5)]))
    full = backbone.extract([ask("a"), ask("b")]).features
    some = backbone.extract([ask("a"), ask("b")], [Head(1, 0), Head(0, 1)]).features
    assert np.array_equal(some, full[:, [6, 7, 8, 9, 10, 3, 4, 5]])
    assert backbone.n_forward == 4
    with pytest.raises(BackboneError, match=r"no head \(9, 0\)"):
        backbone.extract([ask("a")], [Head(9, 0)])


def test__extract__bad_items__as_with_a_real_backbone(ask, tmp_path) -> None:
    items = [ask("a"), ask(tmp_path / "no.png", "b", id="gone"), ask(id="empty"), ask("c")]
    found = FakeBackbone().extract(items, max_errors=2)
    assert found.indices.tolist() == [0, 3]
    assert [(error.id, type(error)) for error in found.errors] == [
        ("gone", MediaError),
        ("empty", ExampleError),
    ]
    with pytest.raises(ExampleError):
        FakeBackbone().extract(items, max_errors=1)


def test__fake__another_process__same_numbers(ask) -> None:
    program = (
        "from savs.backbones import FakeBackbone; from savs.data import *;"
        "print(FakeBackbone().extract([Example((Message('user', (Text('a'),)),))]).features.tobytes().hex())"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(savs.__file__).parents[1]), "PYTHONHASHSEED": "3"}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, check=True, capture_output=True, text=True
    )
    assert done.stdout.strip() == FakeBackbone().extract([ask("a")]).features.tobytes().hex()


def test__generate_and_states__by_content(ask) -> None:
    backbone = FakeBackbone(answers=("one two three", "four"))
    items = [ask(str(number)) for number in range(20)]
    assert set(backbone.generate(items, max_new_tokens=2)) == {"one two", "four"}
    states = backbone.last_layer_states(items)
    assert states.shape == (20, 16)
    assert np.array_equal(states[3], backbone.last_layer_states([items[3]])[0])


def test__import__savs_backbones__loads_neither_torch_nor_transformers() -> None:
    program = (
        "import sys, savs.backbones, savs.backbones.fake;"
        "print([name for name in ('torch', 'transformers', 'sklearn') if name in sys.modules])"
    )
    environment = {**os.environ, "PYTHONPATH": str(Path(savs.__file__).parents[1])}
    done = subprocess.run(
        [sys.executable, "-c", program], env=environment, check=True, capture_output=True, text=True
    )
    assert done.stdout.strip() == "[]"


def test__lazy_names__unknown_one__attribute_error() -> None:
    with pytest.raises(AttributeError, match="has no attribute 'nothing'"):
        _ = savs.backbones.nothing
    assert "load_backbone" in dir(savs.backbones)
