"""The model's own memory is put back after every use."""

from __future__ import annotations

import inspect

import pytest
import torch
from torch import nn

from savs.backbones import TransformersBackbone
from savs.backbones._forward import accepted_inputs, frozen
from savs.errors import BackboneError


class Forgetful(nn.Module):
    """Remembers things between calls, as some models do."""

    def __init__(self) -> None:
        super().__init__()
        self.inner = nn.Linear(2, 2)
        self.dropout = nn.Dropout(0.5)
        self.offset = None
        self.register_buffer("table", torch.ones(2), persistent=False)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.offset = x.sum()
        self.table = self.table * 2
        self.extra = 1
        self.inner.register_forward_hook(lambda *_: None)
        self.inner.hooked = True
        return self.dropout(self.inner(x))


def test__frozen__attributes_buffers_hooks_and_flags__as_before() -> None:
    model = Forgetful().train()
    model.dropout.eval()
    table, attributes = model.table, set(vars(model))
    with frozen(model):
        assert not any(module.training for module in model.modules())
        assert not model(torch.ones(1, 2)).requires_grad
    assert model.training
    assert model.inner.training
    assert not model.dropout.training
    assert model.offset is None
    assert model.table is table
    assert set(vars(model)) == attributes
    assert not model.inner._forward_hooks
    assert not hasattr(model.inner, "hooked")
    assert torch.is_grad_enabled()


def test__frozen__exception__as_before() -> None:
    model = Forgetful().train()

    def fail() -> None:
        with frozen(model):
            model(torch.ones(1, 2))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail()
    assert model.training
    assert model.offset is None
    assert not model.inner._forward_hooks


def test__frozen__training_goes_on_afterwards() -> None:
    model = Forgetful()
    with frozen(model):
        model(torch.ones(1, 2))
    model(torch.ones(1, 2)).sum().backward()
    assert model.inner.weight.grad is not None


def test__accepted_inputs__drops_the_unknown_and_casts_floats_only() -> None:
    class Model(nn.Module):
        device, dtype = torch.device("cpu"), torch.bfloat16

        def forward(self, input_ids: torch.Tensor, pixel_values: torch.Tensor) -> None: ...

    given = {
        "input_ids": torch.ones(1, dtype=torch.long),
        "pixel_values": torch.ones(1),
        "spare": torch.ones(1),
    }
    found = accepted_inputs(Model(), given)
    assert {name: value.dtype for name, value in found.items()} == {
        "input_ids": torch.long,
        "pixel_values": torch.bfloat16,
    }


def test__accepted_inputs__kept_keys_and_values__under_the_name_that_the_model_takes(family) -> None:
    for name in ("llama", "llava", "blip2"):
        model = family(name).model
        kept = object()
        given = accepted_inputs(model, {"input_ids": torch.zeros((1, 2), dtype=torch.long), "cache": kept})
        (where,) = (name for name, value in given.items() if value is kept)
        assert where in inspect.signature(model.get_decoder().forward).parameters


@pytest.mark.parametrize("name", ["qwen2_5_vl", "qwen3_vl", "gemma4"])
def test__extract__pixels_without_the_kinds_of_tokens__refused(fresh_family, ask, image, name) -> None:
    built = fresh_family(name)

    class Silent(type(built.processor)):
        def __call__(self, *args, **kwargs):
            inputs = super().__call__(*args, **kwargs)
            inputs.pop("mm_token_type_ids", None)
            return inputs

    built.processor.__class__ = Silent
    backbone = TransformersBackbone(built.model, built.processor)
    assert len(backbone.extract([ask("is this a cat?")]).features) == 1
    for examples in ([ask(image(1), "a?")], [ask(image(1), "a?"), ask(image(1), "b?")]):
        with pytest.raises(BackboneError, match="takes mm_token_type_ids, and the processor gave none"):
            backbone.extract(examples)
