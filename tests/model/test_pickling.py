"""Pickles and copies of a model: the classifier by content, the backbone by reference, never weights."""

from __future__ import annotations

import copy
import gc
import pickle
import pickletools
import shutil

import numpy as np
import pytest
import torch
from tests.model.colors import COLOURS, PROMPT, shots

from savs.backbones import FakeBackbone, TransformersBackbone, load_backbone
from savs.backbones._by_reference import _LOADED
from savs.backbones._model_files import local_place
from savs.cache import with_store
from savs.errors import BackboneError, BackboneMismatchError, MediaError, MissingDependencyError
from savs.model import MultiLabelModel, SAVModel

pytestmark = pytest.mark.slow

TINY_BYTES = 4_000_000  # its weights are larger


@pytest.fixture(scope="module")
def tiny() -> TransformersBackbone:
    return load_backbone("tiny", device="cpu", batch_size=3)


@pytest.fixture(scope="module")
def fitted(tiny) -> SAVModel:
    return SAVModel(tiny, prompt=PROMPT, n_heads=6).fit(*shots(2))


def test__tiny_by_name__loaded_at_the_first_use():
    model = SAVModel("tiny", prompt=PROMPT, n_heads=6)
    assert model._source.loaded is None
    assert model.get_params()["backbone"] == "tiny"
    images, labels = shots(2)
    assert model.fit(images, labels).score(images, labels) == 1.0
    assert isinstance(model.backbone, TransformersBackbone)


def test__backbone__that_is_none__refused_with_what_to_do(tiny):
    with pytest.raises(TypeError, match="load_backbone"):
        SAVModel(tiny.model)


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test__pickle__same_answers_and_no_weights(fitted, protocol):
    data = pickle.dumps(fitted, protocol)
    assert len(data) < TINY_BYTES / 4
    again = pickle.loads(data)
    images, _ = shots(2, start=10)
    np.testing.assert_array_equal(again.predict_proba(images), fitted.predict_proba(images))
    np.testing.assert_array_equal(again.classes_, fitted.classes_)
    assert again.head_scores_.tolist() == fitted.head_scores_.tolist()
    assert again.shots_ == fitted.shots_
    assert again.backbone.batch_size == 3  # how it was loaded counts too


def test__pickle__needs_no_backbone_to_be_opened(fitted):
    again = pickle.loads(pickle.dumps(fitted))
    assert again._source.loaded is None
    assert repr(again) == repr(fitted)
    assert again.heads_ == fitted.heads_


def test__pickle__names_classes_of_installed_packages_and_nothing_else(fitted):
    # Only classes, functions and data: a pickle that carries code has it as bytes for these.
    strings: list[str] = []
    found: set[str] = set()
    for opcode, argument, _ in pickletools.genops(pickle.dumps(fitted, 4)):
        if opcode.name == "STACK_GLOBAL":
            found.add(strings[-2].split(".")[0])
        if isinstance(argument, str):
            strings.append(argument)
    assert {"marshal", "types", "builtins", "cloudpickle"}.isdisjoint(found)
    assert "savs" in found


def test__pickle__in_the_same_process__shares_the_backbone(fitted):
    data = pickle.dumps(fitted)
    first, second = pickle.loads(data), pickle.loads(data)
    assert first.backbone is second.backbone
    [key] = [key for key, backbone in _LOADED.items() if backbone is first.backbone]
    del first, second
    gc.collect()
    assert key not in _LOADED  # nothing keeps a model alive


def test__pickle__unfitted_named_or_saved_model__opens(tmp_path, fitted):
    named = pickle.loads(pickle.dumps(SAVModel("tiny", n_heads=6)))
    assert named.get_params()["backbone"] == "tiny"
    fitted.save_pretrained(tmp_path / "saved")
    saved = SAVModel.from_pretrained(tmp_path / "saved")
    given = SAVModel.from_pretrained(tmp_path / "saved", backbone=fitted.backbone)
    images, _ = shots(1, start=20)
    for model in (saved, given):
        again = pickle.loads(pickle.dumps(model))
        assert again.predict(images).tolist() == fitted.predict(images).tolist()


def test__pickle__with_a_store__reads_the_same_store(tmp_path, tiny):
    images, labels = shots(2)
    model = SAVModel(tiny, prompt=PROMPT, n_heads=6, store=tmp_path / "store").fit(images, labels)
    again = pickle.loads(pickle.dumps(model))
    assert again.predict(images).tolist() == model.predict(images).tolist()
    assert again.store_counts.computed == 0
    around = SAVModel(with_store(tiny, tmp_path / "store"), prompt=PROMPT, n_heads=6).fit(images, labels)
    assert pickle.loads(pickle.dumps(around)).predict(images).tolist() == model.predict(images).tolist()


@pytest.mark.parametrize("wrap", [SAVModel, MultiLabelModel])
def test__pickle__backbone_from_a_model_object__refused_before_a_byte(tiny, tmp_path, wrap):
    model = wrap(load_backbone(tiny.model, processor=tiny.processor))
    with (tmp_path / "file").open("wb") as file, pytest.raises(BackboneError, match="save_pretrained"):
        pickle.dump(model, file)
    assert (tmp_path / "file").stat().st_size == 0
    with pytest.raises(BackboneError, match="save_pretrained"):
        pickle.dumps(SAVModel.from_backbone(tiny.model, processor=tiny.processor))


def test__pickle__other_weights_under_the_same_name__refused(tmp_path):
    folder = tmp_path / "model"
    shutil.copytree(local_place("tiny").folder, folder)
    model = SAVModel(load_backbone(folder), prompt=PROMPT, n_heads=6).fit(*shots(2))
    data = pickle.dumps(model)
    other = load_backbone(folder).model
    with torch.no_grad():
        next(other.parameters()).mul_(2)
    other.save_pretrained(folder)
    again = pickle.loads(data)
    with pytest.raises(BackboneMismatchError, match="weights_digest"):
        again.predict(shots(1)[0])


def test__pickle__stand_in_backbone__by_content():
    model = SAVModel(FakeBackbone(seed=3), n_heads=4).fit(["a", "b", "c", "d"], [1, 2, 1, 2])
    again = pickle.loads(pickle.dumps(model))
    assert again.backbone.seed == 3
    assert again.predict(["x", "y"]).tolist() == model.predict(["x", "y"]).tolist()


def test__deepcopy__shares_the_backbone_and_nothing_that_is_learned(fitted):
    other = copy.deepcopy(fitted)
    assert other.backbone is fitted.backbone
    before = fitted.predict_proba(shots(1)[0])
    other.relabel(other.shots_[0].id, "green")
    np.testing.assert_array_equal(fitted.predict_proba(shots(1)[0]), before)
    assert set(fitted.classes_.tolist()) == set(COLOURS)


def test__backbone__copied_and_pickled__is_the_same_model(tiny):
    assert copy.deepcopy(tiny) is tiny
    assert copy.copy(tiny).model is tiny.model
    again = pickle.loads(pickle.dumps(tiny))
    assert again.fingerprint == tiny.fingerprint


@pytest.mark.parametrize(
    "error",
    [
        MediaError("no image", code="image_undecodable", id="7"),
        MissingDependencyError("videos need PyAV", "video", "av"),
        BackboneMismatchError("other", ["dtype"]),
    ],
)
def test__errors__cross_processes(error):
    again = pickle.loads(pickle.dumps(error))
    assert type(again) is type(error)
    assert str(again) == str(error)
    assert {**vars(again)} == {**vars(error)}
