"""What others wrap around a model: compiled models are read uncompiled, adapters in the layers count."""

from __future__ import annotations

import json
import warnings
from importlib.util import find_spec

import numpy as np
import pytest
import torch

from savs.backbones import load_backbone
from savs.backbones._checkpoints import adapter_state, unwrapped
from savs.backbones._identity import RECORDED_ONLY
from savs.errors import BackboneError


@pytest.fixture
def frames() -> list[int]:
    """Count what is compiled: one entry per graph that reaches the backend."""
    torch._dynamo.reset()
    return []


def backend(frames):
    def compiled(graph, _inputs):
        frames.append(len(graph.graph.nodes))
        return graph.forward

    return compiled


@pytest.mark.parametrize(
    ("name", "how"),
    [
        ("llama", "wrapped"),
        ("llama", "layer by layer"),
        ("llama", "wrapped, then in place"),
        ("llava", "in place"),
    ],
)
def test__compiled__every_way__bit_identical_vectors_and_nothing_compiled(
    name, how, fresh_family, examples_for, frames
) -> None:
    built, examples = fresh_family(name), examples_for(name)
    plain = load_backbone(built.model, processor=built.processor, batch_size=3)
    shallow = plain.layout.heads[:1]
    expected = [plain.extract(examples, heads=heads).features for heads in (None, shallow)]
    model, options = built.model, {"backend": backend(frames)}
    if how == "in place":
        model.compile(**options)
    elif how == "layer by layer":
        for layer in model.get_decoder().layers:
            layer.compile(**options)
    else:
        model = torch.compile(model, **options)
        if how == "wrapped, then in place":
            built.model.compile(**options)
    backbone = load_backbone(model, processor=built.processor, batch_size=3)
    found = [backbone.extract(examples, heads=heads).features for heads in (None, shallow)]
    assert all(np.array_equal(*pair) for pair in zip(found, expected, strict=True))
    assert frames == []
    assert backbone.generate(examples[:1], max_new_tokens=2) == plain.generate(examples[:1], max_new_tokens=2)
    assert dict(backbone.fingerprint) == dict(plain.fingerprint)
    ids = torch.tensor([[5, 6, 7]])
    with torch.no_grad():
        model(input_ids=ids)
    assert frames != []  # the caller's model is compiled as before


def test__unwrapped__plain_model__itself(family) -> None:
    model = family("llama").model
    assert unwrapped(model) is model
    assert adapter_state(model) is None


needs_peft = pytest.mark.skipif(find_spec("peft") is None, reason="adapters need peft")


def adapted(model, targets=("q_proj", "o_proj")):
    import peft

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # peft's own use of transformers
        return peft.get_peft_model(model, peft.LoraConfig(r=4, target_modules=list(targets)))


def excite(model) -> None:
    torch.manual_seed(3)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, std=0.3)


@needs_peft
@pytest.mark.parametrize(("name", "targets"), [("llama", ("q_proj", "o_proj")), ("llava", ("o_proj",))])
def test__adapter__zero_then_not__vectors_and_fingerprint_follow(
    name, targets, fresh_family, examples_for
) -> None:
    built, examples = fresh_family(name), examples_for(name)
    plain = load_backbone(built.model, processor=built.processor, batch_size=3)
    expected, before = plain.extract(examples).features, dict(plain.fingerprint)
    wrapped = adapted(built.model, targets)
    zero = load_backbone(wrapped, processor=built.processor, batch_size=3)
    assert zero.layout == plain.layout
    digest = zero.fingerprint["weights_digest"]
    assert np.array_equal(zero.extract(examples).features, expected)
    excite(wrapped)
    full = load_backbone(wrapped, processor=built.processor, batch_size=3)
    vectors = full.extract(examples).features
    assert np.abs(vectors - expected).max() > 0.1
    changed = {key for key in before if before[key] != full.fingerprint[key]}
    assert changed - RECORDED_ONLY == {"adapters", "weights_digest"}
    assert "peft" in full.fingerprint["versions"]
    assert full.fingerprint["weights_digest"] != digest
    with wrapped.disable_adapter():
        assert np.array_equal(full.extract(examples).features, expected)
    merged = load_backbone(wrapped.merge_and_unload(), processor=built.processor, batch_size=3)
    assert merged.fingerprint["adapters"] is None
    np.testing.assert_allclose(merged.extract(examples).features, vectors, atol=1e-4)


@needs_peft
def test__adapter_state__taken_off_and_its_settings_left_behind__none(fresh_family) -> None:
    wrapped = adapted(fresh_family("llama").model)
    assert adapter_state(unwrapped(wrapped)) is not None
    left = wrapped.peft_config
    model = wrapped.unload()
    model.peft_config = left  # as peft 0.18 leaves them
    assert adapter_state(model) is None


@needs_peft
def test__adapter__records_the_input_of_the_whole_projection(fresh_family, examples_for) -> None:
    built, examples = fresh_family("llama"), examples_for("llama")[:1]
    wrapped = adapted(built.model)
    excite(wrapped)
    backbone = load_backbone(wrapped, processor=built.processor)
    seen = []
    projection = built.model.get_decoder().layers[0].self_attn.o_proj
    hooks = [
        module.register_forward_pre_hook(lambda _module, args: seen.append(args[0][0, -1].clone()))
        for module in (projection, projection.base_layer)
    ]
    vectors = backbone.extract(examples, heads=[h for h in backbone.layout.heads if h.layer == 0]).features
    for hook in hooks:
        hook.remove()
    assert np.array_equal(seen[0].numpy(), vectors[0])
    backbone.extract(examples)
    assert len(seen) == 1  # the early stop comes before the base layer's turn


@needs_peft
def test__adapter__another_strength__another_fingerprint(fresh_family) -> None:
    built = fresh_family("llama")
    wrapped = adapted(built.model)
    first = load_backbone(wrapped, processor=built.processor).fingerprint["adapters"]
    for module in built.model.modules():
        if isinstance(getattr(module, "scaling", None), dict):
            module.scaling["default"] *= 2
    second = load_backbone(wrapped, processor=built.processor).fingerprint["adapters"]
    expected = [{"name": "default", "kind": "LORA", "active": True, "layers": 4, "scaling": [2.0]}]
    assert first == expected
    assert second == [expected[0] | {"scaling": [4.0]}]
    json.dumps(second)


@needs_peft
@pytest.mark.filterwarnings("ignore::FutureWarning")
def test__adapter__outside_the_layers__refused(fresh_family) -> None:
    import peft

    built = fresh_family("llama")
    config = peft.PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=3)
    wrapped = peft.PeftModelForCausalLM(built.model, config)
    with pytest.raises(BackboneError, match="acts outside the model's layers"):
        load_backbone(wrapped, processor=built.processor)
