"""Switching kernels: only inside the block, in every part of the model, and exactly undone."""

from __future__ import annotations

from typing import Any

import pytest

from savs.doctor._checks import KernelError, kernel_in_use, under_kernel


def kernels(model: Any) -> dict[str, str | None]:
    found = {name: m.config._attn_implementation for name, m in model.named_modules() if hasattr(m, "config")}
    parts = {name: getattr(model.config, name)._attn_implementation for name in model.config.sub_configs}
    return found | parts


@pytest.mark.parametrize("name", ["llama", "llava_onevision", "qwen2_5_vl"])
def test__under_kernel__inside__every_part_and_afterwards__as_before(name, patient) -> None:
    model = patient(name).model
    before = kernels(model)
    with under_kernel(model, "eager"):
        assert set(kernels(model).values()) == {"eager"}
    assert kernels(model) == before
    assert "eager" not in before.values()


def test__under_kernel__parts_with_different_kernels__each_as_before(patient) -> None:
    model = patient("llava_onevision").model
    model.set_attn_implementation({"vision_config": "eager", "text_config": "sdpa"})
    before = kernels(model)
    assert {"eager", "sdpa"} <= set(before.values())
    with pytest.raises(RuntimeError, match="inside"), under_kernel(model, "eager"):
        raise RuntimeError("inside")
    assert kernels(model) == before


@pytest.mark.parametrize("kernel", ["flash_attention_2", "no_such_kernel"])
def test__under_kernel__not_installed__error_before_the_block(kernel, patient) -> None:
    model = patient("llama").model
    before = kernels(model)
    ran = []
    with pytest.raises(KernelError), under_kernel(model, kernel):
        ran.append(1)
    assert not ran
    assert kernels(model) == before


def test__under_kernel__the_one_in_use_or_none__changes_nothing(patient) -> None:
    model = patient("llama").model
    for kernel in (None, kernel_in_use(model)):
        with under_kernel(model, kernel):
            assert kernel_in_use(model) == "sdpa"
