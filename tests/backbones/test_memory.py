"""Batch sizes, and what happens when a batch does not fit."""

from __future__ import annotations

import json
import subprocess
import sys

import numpy as np
import pytest
import torch

from savs.backbones import TransformersBackbone
from savs.backbones._memory import BatchSize, is_out_of_memory
from savs.errors import CapacityError

pytestmark = pytest.mark.slow

TOLERANCE = 1e-5


def refuse_above(model, n_tokens: int) -> None:
    """Make a model run out of memory for more input tokens than that, padding included."""

    def refuse(_module, args, kwargs) -> None:
        ids = args[0] if args else kwargs["input"]
        if ids.numel() > n_tokens:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB at 0x7f")

    model.get_input_embeddings().register_forward_pre_hook(refuse, with_kwargs=True)


def test__fault_33__out_of_memory__halves_keeps_the_smaller_size_and_logs_each_once(
    fresh_family, ask, caplog
) -> None:
    built = fresh_family("llama")
    examples = [ask(f"question number {i}", id=str(i)) for i in range(11)]
    expected = TransformersBackbone(built.model, built.processor, batch_size=1).extract(examples).features
    one = int(built.processor("question number 10", return_tensors="pt")["input_ids"].shape[1]) + 20
    refuse_above(built.model, 3 * one)
    backbone = TransformersBackbone(built.model, built.processor, batch_size=11)
    found = backbone.extract(examples)
    np.testing.assert_allclose(found.features, expected, atol=TOLERANCE)
    assert not found.errors
    assert backbone.report.batch_size < 11
    assert backbone.report.n_out_of_memory >= 2
    lines = [record.message for record in caplog.records if "out of memory" in record.message]
    assert len(lines) == len(set(lines)) == backbone.report.n_out_of_memory
    again = backbone.extract(examples)
    np.testing.assert_allclose(again.features, expected, atol=TOLERANCE)
    assert backbone.report.n_out_of_memory == 0


def test__fault_33__one_example_does_not_fit__item_error_with_the_size_and_the_remedy(
    fresh_family, ask, image
) -> None:
    built = fresh_family("llava")
    items = [ask("a", id="s"), ask(image(1, 40, 56), "b" * 90, id="large"), ask("b", id="t")]
    refuse_above(built.model, 100)
    backbone = TransformersBackbone(built.model, built.processor, batch_size=4)
    found = backbone.extract(items, max_errors=1)
    assert found.indices.tolist() == [0, 2]
    (error,) = found.errors
    assert isinstance(error, CapacityError)
    assert error.record()["code"] == "out_of_memory"
    assert str(error).startswith("large: it does not fit into memory even alone, with 1")
    assert "1 image(s) of 56x40 pixels" in str(error)
    assert "smaller images" in str(error)
    with pytest.raises(CapacityError, match=r"^large: "):
        backbone.extract(items)


def test__fault_33__out_of_memory_on_a_shared_beginning__read_in_full(fresh_family, ask, image) -> None:
    built = fresh_family("llava")
    shown = image(1)
    items = [ask(shown, f"question {i}?") for i in range(4)]
    expected = TransformersBackbone(built.model, built.processor, batch_size=1).extract(items).features
    backbone = TransformersBackbone(built.model, built.processor, batch_size=4)
    calls = []

    def fail_at_the_suffixes(_module, args, kwargs) -> None:
        calls.append((args[0] if args else kwargs["input"]).shape)
        if len(calls) == 2:
            raise torch.OutOfMemoryError("CUDA out of memory")

    built.model.get_input_embeddings().register_forward_pre_hook(fail_at_the_suffixes, with_kwargs=True)
    found = backbone.extract(items)
    np.testing.assert_allclose(found.features, expected, atol=TOLERANCE)
    assert (backbone.report.n_reused, backbone.report.n_forward) == (0, 4)
    assert backbone.report.prefix_check is None


def test__fault_33__another_device_error__is_fatal(fresh_family, ask) -> None:
    built = fresh_family("llama")

    def fail(_module, _args) -> None:
        raise RuntimeError("CUDA error: an illegal memory access was encountered")

    built.model.get_input_embeddings().register_forward_pre_hook(fail)
    with pytest.raises(Exception, match="failed on a batch: RuntimeError: CUDA error: an illegal"):
        TransformersBackbone(built.model, built.processor).extract([ask("a")], max_errors=-1)


LIMITED = """
import json, resource, sys
import numpy as np, torch
from transformers import AutoModelForCausalLM, AutoTokenizer
from savs.backbones import TransformersBackbone
from savs.data import as_examples

torch.set_num_threads(1)
model = AutoModelForCausalLM.from_pretrained(sys.argv[1], attn_implementation="eager")
tokenizer = AutoTokenizer.from_pretrained(sys.argv[1])
examples = as_examples([f"{i} " + "?" * 420 for i in range(48)])
alone = TransformersBackbone(model, tokenizer, batch_size=1).extract(examples).features
size = next(line for line in open("/proc/self/status") if line.startswith("VmSize"))
# Attention scores of all 48 need four times this.
limit = int(size.split()[1]) * 1024 + 48 * 4 * 450 * 450 * 4
resource.setrlimit(resource.RLIMIT_AS, (limit, limit))
backbone = TransformersBackbone(model, tokenizer, batch_size=48)
found = backbone.extract(examples, max_errors=-1)
report = backbone.report
print(json.dumps({
    "errors": len(found.errors), "difference": float(np.abs(found.features - alone).max()),
    "batch_size": report.batch_size, "n_out_of_memory": report.n_out_of_memory,
}))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="limits the memory of a process by Linux means")
def test__fault_33__memory_really_runs_out__every_vector_still_right(folder_of) -> None:
    done = subprocess.run(
        [sys.executable, "-c", LIMITED, folder_of("llama")], capture_output=True, text=True, timeout=300
    )
    assert done.returncode == 0, done.stderr
    result = json.loads(done.stdout.splitlines()[-1])
    assert result["errors"] == 0
    assert result["difference"] < TOLERANCE
    assert result["n_out_of_memory"] >= 1
    assert 1 <= result["batch_size"] < 48
    assert "out of memory with 48 examples in a batch; going on with 24" in done.stderr


def test__batch_size__auto__as_many_as_fill_the_device_from_the_lengths_alone() -> None:
    on_cpu = BatchSize("auto", "cpu")
    assert [on_cpu.next(n) for n in (None, 1000, 256, 100, 16, 1)] == [1, 1, 2, 5, 32, 256]
    assert BatchSize("auto", "cuda").next(700) == 23
    assert BatchSize(5, "cuda").next(700) == BatchSize(5, "cpu").next(None) == 5


@pytest.mark.parametrize(("wanted", "failed", "limit"), [(8, 8, 4), (8, 3, 1), (8, 1, 1), (2, 8, 2)])
def test__batch_size__halved__never_grows(wanted, failed, limit) -> None:
    size = BatchSize(wanted, "cpu")
    size.halve(failed)
    assert size.limit == limit


def test__batch_size__suffixes__no_more_tokens_than_whole_prompts_have() -> None:
    size = BatchSize(8, "cuda")
    for n_prefix, n_suffix in [(700, 30), (10, 300), (50, 50)]:
        many = size.next_suffixes(n_prefix, n_suffix)
        assert 1 <= many <= 64
        assert many * n_suffix <= 8 * (n_prefix + n_suffix)


@pytest.mark.parametrize(
    ("error", "expected"),
    [
        (torch.OutOfMemoryError("x"), True),
        (MemoryError(), True),
        (RuntimeError("[enforce fail] DefaultCPUAllocator: can't allocate memory: you tried"), True),
        (RuntimeError("MPS backend out of memory (MPS allocated: 1 GB)"), True),
        (RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling"), True),
        (RuntimeError("CUDA error: device-side assert triggered"), False),
        (ValueError("out of memory"), False),
    ],
)
def test__is_out_of_memory__by_what_torch_says(error, expected) -> None:
    assert is_out_of_memory(error) is expected


@pytest.mark.parametrize("name", ["llama", "llava", "qwen2_5_vl"])
def test__fault_21__auto__same_vectors_as_alone(name, family, examples_for) -> None:
    built, examples = family(name), examples_for(name)
    auto = TransformersBackbone(built.model, built.processor, batch_size="auto").extract(examples).features
    alone = TransformersBackbone(built.model, built.processor, batch_size=1).extract(examples).features
    np.testing.assert_allclose(auto, alone, atol=TOLERANCE)
