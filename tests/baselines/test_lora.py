from __future__ import annotations

import hashlib

import numpy as np
import pytest
import torch

from savs.backbones import load_backbone
from savs.backbones._adapters import AnswerLikelihood, adapted, fold_in
from savs.backbones.fake import FakeBackbone
from savs.baselines import lora, option_likelihood
from savs.baselines.lora import _train
from savs.cache import with_store
from savs.data import as_examples
from savs.errors import BackboneError, DataError, SAVsError

CLASSES = ["zig", "zag"]


@pytest.fixture(scope="module")
def backbone():
    return load_backbone("tiny")


def examples(n, seed=0):
    """Dark and bright squares under names that say nothing."""
    rng = np.random.default_rng(seed)
    images = [
        np.full((32, 32, 3), 40 + 170 * (place % 2), np.uint8)
        + rng.integers(0, 30, (32, 32, 3), dtype=np.uint8)
        for place in range(n)
    ]
    pairs = [(image, "Which word belongs to this picture?") for image in images]
    return as_examples(pairs, [CLASSES[place % 2] for place in range(n)])


def looks(model):
    """Return what a caller could see of a model: weights, modules, flags, hooks, random state."""
    digest = hashlib.sha256()
    for name, tensor in model.state_dict().items():
        digest.update(name.encode() + tensor.numpy().tobytes())
    modules = [(name, id(module), type(module), module.training) for name, module in model.named_modules()]
    flags = [(name, id(one), one.requires_grad, one.grad) for name, one in model.named_parameters()]
    hooks = [len(module._forward_hooks) + len(module._forward_pre_hooks) for module in model.modules()]
    attributes = [sorted(vars(module)) for module in model.modules()]
    return digest.hexdigest(), modules, flags, hooks, attributes


@pytest.mark.slow
def test__lora__words_without_meaning__learned_from_shots_and_model_as_before(backbone):
    before, state = looks(backbone.model), torch.random.get_rng_state()
    fingerprint = dict(backbone.fingerprint)
    shots, queries = examples(16), examples(10, seed=1)
    truth = [query.label for query in queries]
    untrained = option_likelihood(backbone, queries, CLASSES).labels
    found = lora(backbone, shots, queries, CLASSES, learning_rate=5e-3, max_epochs=12, patience=5)
    assert sum(one == true for one, true in zip(untrained, truth, strict=True)) <= 6
    assert found.labels == truth
    assert found.proba.shape == (10, 2)
    np.testing.assert_allclose(found.proba.sum(1), 1)
    assert [CLASSES[place] for place in found.proba.argmax(1)] == found.labels
    assert looks(backbone.model) == before
    assert torch.equal(torch.random.get_rng_state(), state)
    assert dict(backbone.fingerprint) == fingerprint
    assert option_likelihood(backbone, queries, CLASSES).labels == untrained


@pytest.mark.slow
def test__lora__same_seed__same_answers_with_or_without_store(backbone, tmp_path):
    shots, queries = examples(4), examples(4, seed=1)
    one = lora(backbone, shots, queries, CLASSES, max_epochs=2, seed=5)
    same = lora(with_store(backbone, tmp_path / "store"), shots, queries, CLASSES, max_epochs=2, seed=5)
    other = lora(backbone, shots, queries, CLASSES, max_epochs=2, seed=6)
    np.testing.assert_array_equal(one.proba, same.proba)
    assert not np.array_equal(one.proba, other.proba)


def test__lora__one_shot_of_a_class__nothing_held_out(backbone):
    found = lora(backbone, examples(3), examples(2, seed=1), CLASSES, max_epochs=1)
    assert len(found.labels) == 2


def test__adapted__error_inside__model_as_before(backbone):
    before = looks(backbone.model)
    with pytest.raises(RuntimeError, match="stop"), adapted(backbone, 2, 4.0) as parameters:  # noqa: PT012
        assert len(parameters) == 2 * 7 * 8  # two matrices beside each of seven maps in each of eight layers
        assert all(parameter.requires_grad for parameter in parameters)
        assert sum(parameter.requires_grad for parameter in backbone.model.parameters()) == len(parameters)
        raise RuntimeError("stop")
    assert looks(backbone.model) == before


def test__adapted__not_trained__changes_nothing(backbone):
    queries = examples(3)
    alone = backbone.extract(queries).features
    with adapted(backbone, 4, 8.0):
        beside = backbone.extract(queries).features
    np.testing.assert_allclose(beside, alone, atol=1e-6)


def test__fold_in__adapters_that_do_something__the_same_vectors(backbone):
    queries, before = examples(3), looks(backbone.model)
    alone = backbone.extract(queries).features
    with adapted(backbone, 4, 8.0) as parameters:
        with torch.no_grad():
            for number, parameter in enumerate(parameters):
                generator = torch.Generator().manual_seed(number)
                parameter.copy_(0.05 * torch.randn(parameter.shape, generator=generator))
        beside = backbone.extract(queries).features
        fold_in(backbone)
        folded = backbone.extract(queries).features
        assert not any("lora" in name for name, _ in backbone.model.named_modules())
    assert np.abs(beside - alone).max() > 1e-2
    np.testing.assert_allclose(folded, beside, atol=1e-4)
    assert looks(backbone.model) == before


def test__answer_likelihood__against_option_likelihood__the_same(backbone):
    shots = examples(5)
    answers = [CLASSES.index(shot.label) for shot in shots]
    with AnswerLikelihood(backbone, shots, answers, CLASSES).reading() as measure:
        found = measure([4, 0, 3], False)
    means = backbone.option_log_likelihood(shots, CLASSES).means
    np.testing.assert_allclose(found.numpy(), [means[row, answers[row]] for row in (4, 0, 3)], rtol=1e-5)


def test__answer_likelihood__gradient__that_of_finite_differences(backbone):
    shots = examples(2)
    with adapted(backbone, 1, 1.0) as parameters:
        grown = next(one for one in parameters if not one.any())  # starts at zero
        with AnswerLikelihood(backbone, shots, [0, 1], CLASSES).reading() as measure:
            with torch.enable_grad():
                measure([0, 1], True).mean().backward()
            place = np.unravel_index(int(grown.grad.abs().argmax()), grown.shape)
            slope, step, values = float(grown.grad[place]), 1e-2, []
            for sign in (1, -1):
                with torch.no_grad():
                    grown[place] = sign * step
                values.append(float(measure([0, 1], False).mean()))
    assert (values[0] - values[1]) / (2 * step) == pytest.approx(slope, rel=0.05)


def test__lora__what_cannot_be_trained__error(backbone):
    shots = examples(2)
    with pytest.raises(BackboneError, match="not a FakeBackbone"):
        lora(FakeBackbone(), shots, shots, CLASSES)
    with pytest.raises(DataError, match="at least two classes"):
        lora(backbone, shots, shots, ["zig"])
    with pytest.raises(DataError, match="at least one shot"):
        lora(backbone, [], shots, CLASSES)
    with pytest.raises(DataError, match="the label of a shot is 'zag', which is none of the classes"):
        lora(backbone, shots, shots, ["zig", "zog"])
    with pytest.raises(ValueError, match="must be at least 1"):
        lora(backbone, shots, shots, CLASSES, rank=0)


def train(figure):
    """Train one number from 0 on to raise `figure`, which is that of shot 0 in training, shot 1 held out."""
    (parameter,) = parameters = [torch.nn.Parameter(torch.zeros(1))]

    def measure(places, gradients):
        found = figure(parameter, places)
        return found if gradients else found.detach()

    settings = {"learning_rate": 0.1, "batch_size": 1, "max_epochs": 5, "patience": 5}
    _train(measure, parameters, [0], [1], rng=np.random.default_rng(0), **settings)
    return parameter.item()


def test__train__every_step_makes_the_held_out_shot_worse__the_start_is_kept():
    assert train(lambda x, places: x if places == [0] else -x) == 0.0
    assert train(lambda x, _: x) == pytest.approx(0.5)


def test__train__loss_that_is_not_finite__error():
    with pytest.raises(BackboneError, match="diverged at a learning rate of 0"):
        train(lambda x, _: x / 0)


def test__lora__unreadable_query__model_as_before(backbone):
    before = looks(backbone.model)
    with pytest.raises(SAVsError):
        lora(backbone, examples(2), as_examples([(b"no image", "What?")]), CLASSES, max_epochs=1)
    assert looks(backbone.model) == before


def test__adapted__model_with_adapters__refused(backbone):
    with (
        adapted(backbone, 2, 4.0),
        pytest.raises(BackboneError, match="has adapters already"),
        adapted(backbone, 2, 4.0),
    ):
        pass


def test__adapted__half_precision__adapters_are_float32():
    half = load_backbone("tiny", dtype="bfloat16")
    before = looks_of_half(half.model)
    with adapted(half, 2, 4.0) as parameters:
        assert {parameter.dtype for parameter in parameters} == {torch.float32}
    found = lora(half, examples(4), examples(2, seed=1), CLASSES, max_epochs=1)
    assert len(found.labels) == 2
    assert looks_of_half(half.model) == before


def looks_of_half(model):
    return [(name, one.dtype, one.float().sum().item()) for name, one in model.state_dict().items()]
