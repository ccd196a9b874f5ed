"""Embeddings of a small random model of sentence-transformers' own classes, and SetFit on it."""

from __future__ import annotations

import random
import socket

import numpy as np
import pytest
import torch

from savs.baselines import (
    EmbeddingModel,
    embedding_centroid,
    embedding_logistic,
    last_layer,
    logistic_probe,
    setfit,
)
from savs.data import Example, Message, Text
from savs.errors import BackboneError, DataError
from savs.media import Image

sentence_transformers = pytest.importorskip("sentence_transformers")

SPORT, FOOD = ["match", "team", "goal", "coach"], ["bread", "soup", "cake", "salt"]


@pytest.fixture(autouse=True)
def _no_connections(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def example(*parts, label=None, id=None) -> Example:
    return Example((Message("user", tuple(Text(p) if isinstance(p, str) else p for p in parts)),), label, id)


def drawn(n: int, seed: int) -> list[Example]:
    rng = np.random.default_rng(seed)
    return [
        example(" ".join(rng.choice((SPORT, FOOD)[place % 2], 3)), label=("sport", "food")[place % 2])
        for place in range(n)
    ]


def picture(seed: int) -> Image:
    return Image(np.random.default_rng(seed).integers(0, 255, (40, 36, 3), np.uint8))


@pytest.fixture(scope="module")
def encoder(text_encoder_folder) -> EmbeddingModel:
    return EmbeddingModel.load(text_encoder_folder, device="cpu", batch_size=3)


@pytest.fixture(scope="module")
def two_towers(two_tower_folder) -> EmbeddingModel:
    return EmbeddingModel.load(two_tower_folder, device="cpu")


def unit(rows) -> np.ndarray:
    rows = np.asarray(rows, dtype=np.float64)
    return rows / np.linalg.norm(rows, axis=-1, keepdims=True)


def test__embed__text_model__its_own_embeddings_of_the_words(encoder) -> None:
    examples = [*drawn(5, 0), example(picture(0), "the cat", "runs")]
    texts = [one.text for one in examples[:5]] + ["the cat\nruns"]
    np.testing.assert_allclose(encoder.embed(examples), unit(encoder.model.encode(texts)), atol=1e-6)
    single = EmbeddingModel(encoder.model, batch_size=1)
    np.testing.assert_allclose(single.embed(examples), encoder.embed(examples), atol=1e-6)
    assert encoder.embed([]).shape == (0, encoder.width)
    assert not encoder.takes_images


def test__embed__seen_before__not_computed_again(encoder) -> None:
    examples, calls = drawn(3, 77), []
    before = encoder.embed(examples)
    handle = encoder.model[0].register_forward_hook(lambda *_: calls.append(1))
    try:
        np.testing.assert_array_equal(encoder.embed(examples[::-1]), before[::-1])
        assert calls == []
        encoder.embed(drawn(1, 78))
        assert calls == [1]
    finally:
        handle.remove()


@pytest.mark.parametrize(
    ("baseline", "on_rows"), [(embedding_centroid, last_layer), (embedding_logistic, logistic_probe)]
)
def test__embedding_baselines__the_same_on_rows(baseline, on_rows, encoder, text_encoder_folder) -> None:
    shots, queries = drawn(12, 0), drawn(10, 1)
    labels = [shot.label for shot in shots]
    expected = on_rows(encoder.embed(shots), labels, encoder.embed(queries))
    for model in (encoder, encoder.model, text_encoder_folder, str(text_encoder_folder)):
        found = baseline(model, shots, queries)
        assert (found.name, found.labels) == (baseline.__name__, expected.labels)
        if expected.proba is not None:
            np.testing.assert_allclose(found.proba, expected.proba, atol=1e-4)
    assert np.mean([a == q.label for a, q in zip(found.labels, queries, strict=True)]) > 0.8
    assert baseline(encoder, shots, []).labels == []


def test__embed__model_of_texts_and_images__both_are_read(two_towers) -> None:
    assert two_towers.takes_images
    image = picture(3)
    words, alone, both, pair = two_towers.embed(
        [example("a cat"), example(image), example(image, "a cat"), example(image, picture(4))]
    )
    np.testing.assert_allclose(both, unit(words + alone), atol=1e-6)
    np.testing.assert_allclose(pair, unit(alone + two_towers.embed([example(picture(4))])[0]), atol=1e-6)
    np.testing.assert_allclose(words, unit(two_towers.model.encode("a cat")), atol=1e-6)
    assert np.abs(words - alone).max() > 1e-3


@pytest.mark.parametrize("text", ["https://example.org/cat.jpg", "data:image/png;base64,AAAA"])
def test__embed__text_that_is_an_address__is_text_and_nothing_is_fetched(text, two_towers) -> None:
    tokens = two_towers.model.tokenizer(text)["input_ids"]
    assert len(tokens) > 1
    assert np.isfinite(two_towers.embed([example(text)])).all()


def test__setfit__tells_classes_apart_and_changes_nothing_of_the_caller(encoder) -> None:
    pytest.importorskip("setfit")
    shots, queries = drawn(8, 0), drawn(10, 1)
    before = {name: value.clone() for name, value in encoder.model.state_dict().items()}
    states = random.getstate(), np.random.get_state()[1].tolist(), torch.random.get_rng_state().tolist()
    found = setfit(encoder, shots, queries, max_steps=6, batch_size=8)
    assert states == (
        random.getstate(),
        np.random.get_state()[1].tolist(),
        torch.random.get_rng_state().tolist(),
    )
    assert all(torch.equal(value, before[name]) for name, value in encoder.model.state_dict().items())
    assert (found.name, found.classes, found.proba.shape) == ("setfit", ["food", "sport"], (10, 2))
    np.testing.assert_allclose(found.proba.sum(axis=1), 1)
    assert np.mean([a == q.label for a, q in zip(found.labels, queries, strict=True)]) > 0.8
    again = setfit(encoder, shots, queries, max_steps=6, batch_size=8)
    np.testing.assert_allclose(again.proba, found.proba, atol=1e-6)


def test__setfit__encoder_is_tuned__not_only_the_regression(encoder) -> None:
    pytest.importorskip("setfit")
    shots, queries = drawn(8, 0), drawn(6, 1)
    few, more = (setfit(encoder, shots, queries, max_steps=steps, batch_size=8) for steps in (1, 8))
    assert np.abs(few.proba - more.proba).max() > 1e-6


def test__setfit__more_steps_than_an_epoch_has__each_pair_is_seen_once(encoder, capfd) -> None:
    package = pytest.importorskip("setfit")
    shots, queries, calls = drawn(6, 0), drawn(4, 1), []
    train = package.trainer.BCSentenceTransformersTrainer.training_step

    def counted(self, *arguments, **options):
        calls.append(1)
        return train(self, *arguments, **options)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(package.trainer.BCSentenceTransformersTrainer, "training_step", counted)
        found = [setfit(encoder, shots, queries, batch_size=4, max_steps=steps) for steps in (-1, 100, 2)]
    # of 21 pairs, shots with themselves among them, 12 are of one class
    assert len(calls) == 6 + 6 + 2
    np.testing.assert_allclose(found[0].proba, found[1].proba, atol=1e-6)
    assert capfd.readouterr() == ("", "")


def test__setfit__model_that_takes_images__says_so(two_towers) -> None:
    pytest.importorskip("setfit")
    with pytest.raises(DataError, match="SetFit is for texts"):
        setfit(two_towers, drawn(4, 0), drawn(2, 1))


def test__example_without_words__is_named(encoder) -> None:
    shots, bad = drawn(4, 0), example(picture(0), id="q7")
    for baseline in (embedding_centroid, embedding_logistic):
        with pytest.raises(DataError, match="example q7 has no words"):
            baseline(encoder, shots, [bad])
    pytest.importorskip("setfit")
    with pytest.raises(DataError, match="example q7 has no words"):
        setfit(encoder, shots, [bad])


def test__load__no_such_model__one_line(tmp_path) -> None:
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(BackboneError, match="cannot be loaded as a model of sentence-transformers"):
        EmbeddingModel.load(tmp_path)
    with pytest.raises(BackboneError, match="not int"):
        embedding_centroid(3, drawn(4, 0), drawn(2, 1))


def test__load__module_outside_the_library__is_not_run(text_encoder_folder, tmp_path) -> None:
    import json
    import shutil

    folder = shutil.copytree(text_encoder_folder, tmp_path / "own-code")
    modules = json.loads((folder / "modules.json").read_text())
    modules[0]["type"] = "own_module.Own"
    (folder / "modules.json").write_text(json.dumps(modules))
    (folder / "own_module.py").write_text(f"open({str(tmp_path / 'ran')!r}, 'w')\nclass Own: pass\n")
    with pytest.raises(BackboneError, match="needs no code of its own"):
        EmbeddingModel.load(folder)
    assert not (tmp_path / "ran").exists()
