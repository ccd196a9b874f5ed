"""Models spread over memory and disk: the same vectors, and the weights are put away again."""

from __future__ import annotations

from typing import Any

import accelerate
import numpy as np
import pytest
import torch
from torch import nn

from savs.backbones import load_backbone
from savs.backbones._fingerprint import weights
from savs.backbones._forward import frozen, input_device, put_away, run_forward
from savs.backbones._record import RecordingComplete
from savs.errors import BackboneError

HALF = {
    "model.vision_tower": "disk",
    "model.multi_modal_projector": "cpu",
    "model.language_model.embed_tokens": "disk",
    "model.language_model.layers.0": "cpu",
    "model.language_model.layers.1": "disk",
    "model.language_model.norm": "disk",
    "model.language_model.rotary_emb": "cpu",
    "lm_head": "disk",
}

ALL_ON_DISK = [
    ({"device_map": {"": "disk"}}, 64),
    ({"device_map": "auto", "max_memory": {"cpu": "30KB"}}, 64),
]
# Before 1.15 accelerate wants a part of the model elsewhere than on disk.
PARTLY_ONLY = tuple(map(int, accelerate.__version__.split(".")[:2])) < (1, 15)


def away(model: nn.Module) -> list[str]:
    """Return the names of the weights that are not in memory."""
    return [name for name, parameter in model.named_parameters() if parameter.is_meta]


@pytest.mark.parametrize(
    ("options", "n_away"),
    [
        ({"device_map": "auto"}, 0),
        ({"device_map": "cpu"}, 0),
        ({"device_map": {"": "cpu"}}, 0),
        ({"device_map": HALF}, 51),
        *(() if PARTLY_ONLY else ALL_ON_DISK),
    ],
)
def test__device_map__every_kind__bit_identical_vectors_same_weights(
    options, n_away, folder_of, examples_for, tmp_path
) -> None:
    examples = examples_for("llava")
    plain = load_backbone(folder_of("llava"), batch_size=3)
    mapped = load_backbone(folder_of("llava"), batch_size=3, offload_folder=tmp_path / "offload", **options)
    before = away(mapped.model)
    assert len(before) == n_away
    assert mapped.fingerprint["weights_digest"] == plain.fingerprint["weights_digest"]
    shallow = [head for head in plain.layout.heads if head.layer == 0][:2]
    for heads in (None, shallow, None):  # the second ends early, inside a module whose weights were loaded
        expected = plain.extract(examples, heads=heads).features
        assert np.array_equal(mapped.extract(examples, heads=heads).features, expected)
        assert away(mapped.model) == before
    assert mapped.generate(examples[:1], max_new_tokens=3) == plain.generate(examples[:1], max_new_tokens=3)
    states = [backbone.last_layer_states(examples[:2]) for backbone in (mapped, plain)]
    assert np.array_equal(*states)
    assert away(mapped.model) == before


@pytest.mark.skipif(not PARTLY_ONLY, reason="accelerate 1.15 and newer can do it")
@pytest.mark.parametrize("options", [options for options, _ in ALL_ON_DISK])
def test__device_map__all_on_disk_with_an_old_accelerate__error_says_what_to_do(
    options, folder_of, tmp_path
) -> None:
    with pytest.raises(BackboneError, match=r"install accelerate 1\.15 or newer, or keep a module in memory"):
        load_backbone(folder_of("llava"), offload_folder=tmp_path, **options)


def test__model_object__accelerates_own_disk_offload__bit_identical_vectors(
    fresh_family, examples_for, tmp_path
) -> None:
    from accelerate import cpu_offload, disk_offload

    examples = examples_for("gpt2")
    for offload in (cpu_offload, lambda model: disk_offload(model, str(tmp_path))):
        built = fresh_family("gpt2")
        plain = load_backbone(built.model, processor=built.processor, batch_size=2)
        expected, digest = plain.extract(examples).features, plain.fingerprint["weights_digest"]
        offload(built.model)
        assert built.model.device.type == "meta"
        backbone = load_backbone(built.model, processor=built.processor, batch_size=2)
        assert np.array_equal(backbone.extract(examples).features, expected)
        assert backbone.fingerprint["weights_digest"] == digest
        assert len(away(built.model)) == len(list(built.model.parameters()))


class Gate(nn.Module):
    """Has a weight of its own, so that accelerate loads it before what is inside it runs."""

    def __init__(self) -> None:
        super().__init__()
        self.scale = nn.Parameter(torch.full((2,), 3.0))
        self.inner = nn.Linear(2, 2)

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.inner(x * self.scale)


class Stack(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.gate = Gate()
        self.shared = Gate()
        self.shared.scale = self.gate.scale

    @property
    def device(self) -> torch.device:
        return next(self.parameters()).device

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return self.shared(self.gate(x))


def stop(*_: Any) -> None:
    raise RecordingComplete


@pytest.mark.parametrize("error", [RecordingComplete, ZeroDivisionError])
def test__pass_cut_short__weights_put_away_and_shared_ones_forgotten(error) -> None:
    from accelerate import cpu_offload

    def stop(*_: Any) -> None:
        raise error

    model = Stack().eval()
    x = torch.ones(1, 2)
    expected = model(x)
    cpu_offload(model)
    names = away(model)
    assert len(names) == 6
    assert input_device(model) == torch.device("cpu")
    hook = model.gate.inner.register_forward_pre_hook(stop)
    with pytest.raises((RecordingComplete, BackboneError)), frozen(model):
        run_forward(model, {"x": x})
    hook.remove()
    assert away(model) == names
    pointers = model.gate._hf_hook.tied_params_map or {}
    assert not any(devices for devices in pointers.values())
    assert torch.equal(model(x), expected)


def test__cut_short_without_us__weights_stay_loaded() -> None:
    """What `put_away` is there for: without it accelerate leaves the gate's weight in memory."""
    from accelerate import cpu_offload

    model = Stack().eval()
    cpu_offload(model)
    names = away(model)
    model.gate.inner.register_forward_pre_hook(stop)
    with pytest.raises(RecordingComplete):
        model(torch.ones(1, 2))
    assert away(model) != names
    put_away(model)
    assert away(model) == names


def test__weights__plain_and_offloaded_model__same_names_and_values() -> None:
    from accelerate import cpu_offload

    model = Stack()
    before = {name: tensor.clone() for name, tensor in weights(model)}
    cpu_offload(model)
    after = dict(weights(model))
    assert list(before) == list(after) == sorted(before)
    assert all(torch.equal(before[name], after[name]) for name in before)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"max_memory": {"cpu": "1GB"}}, "max_memory needs a device_map"),
        ({"offload_folder": "somewhere"}, "offload_folder needs a device_map"),
        ({"device_map": "auto", "offload_folder": "/dev/null/x"}, "the offload folder /dev/null/x cannot be"),
        ({"device_map": "telepathy"}, "cannot be loaded"),
        ({"device_map": "auto", "max_memory": {"cpu": "much"}}, "cannot be loaded"),
    ],
)
def test__device_map__bad_options__one_line(options, message, folder_of) -> None:
    with pytest.raises(BackboneError, match=message) as error:
        load_backbone(folder_of("llama"), **options)
    assert "\n" not in str(error.value)
