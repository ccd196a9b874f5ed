"""Quantized weights: what is asked for, what is recorded, and that the vectors follow the weights."""

from __future__ import annotations

import json
import shutil
import sys
import types
import warnings
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from savs.artifact import IDENTITY
from savs.backbones import load_backbone
from savs.backbones._quantization import check_quantized, keep_weights, quantization_state
from savs.errors import BackboneError

needs_torchao = pytest.mark.skipif(find_spec("torchao") is None, reason="int8 weights need torchao")
needs_bitsandbytes = pytest.mark.skipif(find_spec("bitsandbytes") is None, reason="needs bitsandbytes")
foreign = pytest.mark.filterwarnings("ignore::DeprecationWarning", "ignore::FutureWarning")


@pytest.fixture
def wide(folder_of, tmp_path) -> Path:
    """A llama whose sizes can be divided into groups of 32."""
    from transformers import AutoConfig, LlamaForCausalLM

    sizes = {"hidden_size": 128, "intermediate_size": 256, "head_dim": 32, "initializer_range": 0.1}
    folder = tmp_path / "wide"
    shutil.copytree(folder_of("llama"), folder)
    torch.manual_seed(1)
    LlamaForCausalLM(AutoConfig.from_pretrained(folder, **sizes)).save_pretrained(folder)
    return folder


@pytest.mark.parametrize(
    ("name", "package"),
    [("bnb-4bit", "bitsandbytes"), ("bnb-8bit", "bitsandbytes"), ("torchao-int8", "torchao")],
)
def test__quantization__package_missing__error_names_it(name, package, folder_of, monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, package, None)
    with pytest.raises(BackboneError, match=f"pip install {package}") as error:
        load_backbone(folder_of("llama"), quantization=name)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("settings", "package"),
    [
        ({"quant_method": "bitsandbytes", "load_in_4bit": True}, "bitsandbytes"),
        ({"quant_method": "gptq", "bits": 4}, "gptqmodel"),
        ({"quant_method": "compressed-tensors"}, "compressed-tensors"),
    ],
)
def test__folder_that_is_quantized__package_missing__error_names_it(
    settings, package, folder_of, tmp_path, monkeypatch
) -> None:
    monkeypatch.setitem(sys.modules, package.replace("-", "_"), None)
    shutil.copytree(folder_of("llama"), tmp_path / "m")
    path = tmp_path / "m" / "config.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"quantization_config": settings}))
    with pytest.raises(BackboneError, match=f"pip install {package}") as error:
        load_backbone(tmp_path / "m")
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ("int3", "unknown quantization 'int3'; use bnb-4bit"),
        (7, "not int"),
        ({"quant_method": "telepathy"}, "not quantization settings"),
        ({"bits": 4}, "not quantization settings"),
        ({"method": None, "settings": None, "weights": {}}, "not quantization settings"),
    ],
)
def test__quantization__nonsense__one_line(wanted, message, folder_of) -> None:
    with pytest.raises(BackboneError, match=message) as error:
        load_backbone(folder_of("llama"), quantization=wanted)
    assert "\n" not in str(error.value)


class Packed(nn.Module):
    """A layer as GPTQ has it: packed weights are a buffer."""

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("qweight", torch.zeros(2, 2, dtype=torch.int32))
        self.config = types.SimpleNamespace(quantization_config=None)


def test__quantization_state__plain_packed_and_small_weights() -> None:
    model = Packed()
    assert quantization_state(model) == {"method": None, "settings": None, "weights": {"int32": 1}}
    model = nn.Linear(2, 2)
    model.config = types.SimpleNamespace()
    assert quantization_state(model) is None
    with pytest.raises(BackboneError, match="none of its weights could be quantized"):
        check_quantized(model, "x")
    model.weight = nn.Parameter(model.weight.data.to(torch.float8_e4m3fn), requires_grad=False)
    model.config.quantization_config = {"quant_method": "fp8", "_private": 1}
    assert quantization_state(model) == {
        "method": "fp8",
        "settings": {"quant_method": "fp8"},
        "weights": {"float8_e4m3fn": 1},
    }


def test__keep_weights__only_the_layers_that_would_write_them_anew() -> None:
    model = nn.Sequential(nn.Linear(2, 2), nn.Linear(2, 2))
    model[0].support_avx512bf16_for_cpu = True
    keep_weights(model)
    assert model[0].support_avx512bf16_for_cpu is False
    assert "support_avx512bf16_for_cpu" not in vars(model[1])


def check_roundtrip(folder, wanted, examples, tmp_path, tolerance):
    """Quantized at loading, saved and loaded, and asked for by its own record: the same model three times."""
    backbone = load_backbone(folder, quantization=wanted, batch_size=3)
    record, digest = backbone.fingerprint["quantization"], backbone.fingerprint["weights_digest"]
    vectors = backbone.extract(examples).features
    assert np.array_equal(backbone.extract(examples).features, vectors)
    dtype = str(backbone.model.dtype).removeprefix("torch.")
    plain = load_backbone(folder, dtype=dtype, batch_size=3)
    expected = plain.extract(examples).features
    assert 0 < np.linalg.norm(vectors - expected) < tolerance * np.linalg.norm(expected)
    shallow = backbone.extract(examples, heads=backbone.layout.heads[:1]).features
    assert np.array_equal(shallow, vectors[:, : shallow.shape[1]])
    names = {name for name in plain.fingerprint if plain.fingerprint[name] != backbone.fingerprint[name]}
    assert names == {"quantization", "weights_digest"}
    assert names & set(IDENTITY)  # a classifier of the one is refused for the other
    backbone.model.save_pretrained(tmp_path / "saved")
    backbone.processor.save_pretrained(tmp_path / "saved")
    again = [
        load_backbone(tmp_path / "saved", dtype=dtype, batch_size=3),
        load_backbone(folder, dtype=dtype, quantization=json.loads(json.dumps(record)), batch_size=3),
        load_backbone(tmp_path / "saved", dtype=dtype, quantization=record, batch_size=3),
        load_backbone(backbone.model, processor=backbone.processor, batch_size=3),
    ]
    for other in again:
        assert np.array_equal(other.extract(examples).features, vectors)
        assert other.fingerprint["weights_digest"] == digest
        assert other.fingerprint["quantization"] == record
        assert other.fingerprint["config_digest"] == plain.fingerprint["config_digest"]
    return record


def other_settings(record):
    return record["settings"] | {"modules_to_not_convert": ["lm_head"]}


@foreign
@needs_torchao
def test__torchao__int8_weights__right_vectors_and_record(wide, examples_for, tmp_path) -> None:
    record = check_roundtrip(wide, "torchao-int8", examples_for("llama"), tmp_path, 0.05)
    assert record["method"] == "torchao"
    assert record["weights"] == {"Int8Tensor": 14}
    with pytest.raises(BackboneError, match="quantized already"):
        load_backbone(tmp_path / "saved", quantization=record | {"settings": other_settings(record)})
    with pytest.raises(BackboneError, match="not quantization settings"):
        load_backbone(wide, quantization={"quant_method": "torchao", "quant_type": "int4"})


@foreign
@needs_torchao
def test__torchao__own_settings_and_what_cannot_be_done(wide, examples_for) -> None:
    from torchao.quantization import Float8WeightOnlyConfig, Int4WeightOnlyConfig
    from transformers import TorchAoConfig

    backbone = load_backbone(wide, quantization=TorchAoConfig(Float8WeightOnlyConfig()))
    assert backbone.fingerprint["quantization"]["weights"] == {"Float8Tensor": 14}
    assert np.isfinite(backbone.extract(examples_for("llama")).features).all()
    with pytest.raises(BackboneError, match="none of its weights could be quantized"):
        load_backbone(wide, quantization=TorchAoConfig(Int4WeightOnlyConfig(group_size=1024)))


@foreign
@needs_torchao
def test__torchao__quantized_by_hand__recorded_and_refused_for_the_plain_one(wide, examples_for) -> None:
    from torchao.quantization import Int8WeightOnlyConfig, quantize_

    plain = load_backbone(wide, batch_size=3)
    digest = plain.fingerprint["weights_digest"]
    quantize_(plain.model, Int8WeightOnlyConfig())
    backbone = load_backbone(plain.model, processor=plain.processor, batch_size=3)
    state = backbone.fingerprint["quantization"]
    assert state["method"] is None
    assert sum(state["weights"].values()) >= 14
    assert backbone.fingerprint["weights_digest"] != digest
    backbone.extract(examples_for("llama"))


@foreign
@needs_bitsandbytes
@pytest.mark.parametrize(
    ("name", "kind", "tolerance"), [("bnb-8bit", "Int8Params", 0.1), ("bnb-4bit", "Params4bit", 0.5)]
)
def test__bitsandbytes__right_vectors_and_record(name, kind, tolerance, wide, examples_for, tmp_path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        record = check_roundtrip(wide, name, examples_for("llama"), tmp_path, tolerance)
    assert record["method"] == "bitsandbytes"
    assert record["weights"] == {kind: 14}
