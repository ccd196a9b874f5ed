"""Honest models come out safe; every seeded fault is caught by the check that is named for it."""

from __future__ import annotations

import inspect
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import transformers

from savs.backbones import TransformersBackbone, load_backbone
from savs.backbones._modes import find_mode, store_mode
from savs.doctor import examine

# transformers 5.23 makes training labels for PaliGemma with an outdated numpy call.
# Small videos have more steps in time than rows, which no release of transformers places right.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]


def state_of(backbone: TransformersBackbone) -> dict[str, Any]:
    model = backbone.model
    tokenizer = getattr(backbone.processor, "tokenizer", backbone.processor)
    configs = [module.config for module in model.modules() if hasattr(module, "config")]
    return {
        "weights": [tensor.clone() for tensor in model.state_dict().values()],
        "dtypes": {tensor.dtype for tensor in model.state_dict().values()},
        "training": [module.training for module in model.modules()],
        "hooks": [list(module._forward_pre_hooks) for module in model.modules()],
        "attributes": [sorted(vars(module)) for module in model.modules()],
        "configs": [config.to_dict() for config in configs],
        "kernels": [config._attn_implementation for config in configs],
        "registry": dict(transformers.AttentionInterface._global_mapping),
        "padding": (tokenizer.padding_side, tokenizer.pad_token),
        "settings": (backbone.batch_size, backbone.prefix_reuse, backbone._size.limit),
    }


def same(before: Any, after: Any) -> bool:
    if isinstance(before, torch.Tensor):
        return torch.equal(before, after)
    if isinstance(before, dict):
        return before.keys() == after.keys() and all(same(before[key], after[key]) for key in before)
    if isinstance(before, list):
        return len(before) == len(after) and all(map(same, before, after))
    return before == after


HONEST = ("llama", "gpt2", "qwen2_5_vl", "llava_onevision", "idefics3")
HEARS_OR_VIDEOS = ("qwen2_audio", "qwen2_5_omni_thinker", "qwen2_5_vl_video", "llava_onevision_video")


@pytest.mark.parametrize("name", [*HONEST, *HEARS_OR_VIDEOS])
def test__examine__honest_family__safe_and_as_it_was(name, patient) -> None:
    backbone = patient(name)
    backbone.model.train()
    before = state_of(backbone)
    report = examine(backbone, batch_size=4 if name == "llama" else 3)
    assert report.unsafe == []
    assert report.safe
    assert same(before, state_of(backbone))
    assert report.mode is not None
    assert report.mode == find_mode(backbone.model, backbone.processor)
    checked = [check for check in report.checks if check.max_difference is not None and not check.must_change]
    in_float32 = [check for check in checked if not check.name.startswith("dtype")]
    assert all(check.max_difference < 1e-5 for check in in_float32)
    assert all(check.min_cosine > 0.99999 and check.label_flips == 0 for check in in_float32)
    assert report.check("geometry").note == "2 layers: 2 by the interface"
    assert {"eager", "sdpa"} <= set(report.backbone["kernels"])
    assert {"float32", "bfloat16", "float16"} == set(report.backbone["dtypes"])
    json.dumps(report.to_json(), allow_nan=False)


def test__examine__the_model_in_the_box__safe_with_its_facts() -> None:
    report = examine(load_backbone("tiny"), batch_size=2, store=False)
    assert report.safe, report.unsafe
    assert report.stored is None
    facts = report.backbone
    assert (facts["n_layers"], facts["n_heads"]) == (8, 96)
    assert facts["heads_per_layer"] == [[0, 7, 12, 32]]
    assert facts["modalities"] == ["image", "text"]
    assert report.check("prefix reuse").note == "13 of 13 prompts on 3 beginnings"
    assert report.check("image swapped").max_difference > 0.5
    assert report.mode.attn_implementation in {"eager", "sdpa"}
    assert {timing.batch_size for timing in report.timings} >= {1, 2}


def test__examine__bidirectional_prompt__prefix_reuse_refused_and_left_out(patient) -> None:
    report = examine(patient("paligemma"), batch_size=2)
    assert report.safe, report.unsafe
    assert report.check("prefix reuse").verdict == "differs"
    assert report.mode.prefix_reuse is False
    assert report.check("image absent").verdict == "skipped"
    assert "text" in report.backbone["refused_prompts"]


def pads_left(mask: str) -> Any:
    """Return a tokenizer that pads on the left whatever it is asked, its mask right, missing or all ones."""

    def faulty(honest: Any) -> Any:
        class PadsLeft(honest):
            def __call__(self, *args: Any, **kwargs: Any) -> Any:
                if kwargs.get("padding"):
                    kwargs["padding_side"] = "left"
                found = super().__call__(*args, **kwargs)
                if kwargs.get("padding") and mask == "ones":
                    found["attention_mask"] = torch.ones_like(found["attention_mask"])
                if kwargs.get("padding") and mask == "missing":
                    del found["attention_mask"]
                return found

        return PadsLeft

    return faulty


def test__fault_21__pads_left_with_a_mask_of_ones__caught_and_batches_ruled_out(patient) -> None:
    backbone = patient("llama", processor_class=pads_left("ones"))
    report = examine(backbone, batch_size=4)
    assert {"processor padding", "padded on the right", "batches of 2", "batches of 4"} <= set(report.unsafe)
    assert report.check("batches of 4").max_difference > 0.1
    assert report.check("reference").verdict == "ok"
    assert report.mode.batch_size == 1
    assert find_mode(backbone.model, backbone.processor).batch_size == 1


def test__fault_21__pads_left_without_a_mask__caught_and_batches_ruled_out(patient) -> None:
    report = examine(patient("llama", processor_class=pads_left("missing")), batch_size=4, store=False)
    assert {"processor padding", "padded on the right"} <= set(report.unsafe)
    assert "no attention mask" in report.check("processor padding").note
    assert report.mode.batch_size == 1


def test__examine__pads_left_with_the_right_mask__safe(patient) -> None:
    assert examine(patient("llama", processor_class=pads_left("right")), batch_size=4, store=False).safe


def blind(honest: Any) -> Any:
    class Blind(honest):
        def forward(self, *args: Any, pixel_values: Any = None, **kwargs: Any) -> Any:  # noqa: ARG002 - the fault
            return super().forward(*args, **kwargs)

    return Blind


@pytest.mark.parametrize(
    ("name", "dropped", "check"),
    [("qwen2_audio", "input_features", "audio clip"), ("qwen2_5_vl_video", "pixel_values_videos", "video")],
)
def test__examine__audio_or_video_silenced_by_the_model__caught(name, dropped, check, patient) -> None:
    def silent(base: Any) -> Any:
        class Silent(base):
            def forward(self, input_ids=None, attention_mask=None, **inputs: Any) -> Any:
                if dropped in inputs:
                    inputs[dropped] = inputs[dropped] * 0
                return super().forward(input_ids=input_ids, attention_mask=attention_mask, **inputs)

            forward.__signature__ = inspect.signature(base.forward)

        return Silent

    report = examine(patient(name, model_class=silent), batch_size=2)
    assert not report.safe
    assert report.check(f"{check} swapped").verdict == "unsafe"
    assert report.check("text changed").verdict == "ok"


def test__examine__image_dropped_by_the_model__caught_and_the_stored_mode_removed(patient) -> None:
    backbone = patient("llava", model_class=blind)
    honest = examine(patient("llava"), batch_size=2, store=False)
    path = store_mode(backbone.model, backbone.processor, honest.mode)
    assert path.exists()
    report = examine(backbone, batch_size=2)
    assert {"image swapped", "first of two swapped", "second of two swapped"} == set(report.unsafe)
    assert (report.mode, report.stored, report.removed) == (None, None, str(path))
    assert report.timings == ()
    assert not path.exists()


def forgets_second(honest: Any) -> Any:
    class Forgets(honest):
        def __call__(self, images: Any = None, text: Any = None, **kwargs: Any) -> Any:
            shown = [[group[0]] * len(group) for group in images] if images else images
            return super().__call__(images=shown, text=text, **kwargs)

    return Forgets


def test__examine__second_image_dropped_by_the_processor__caught(patient) -> None:
    report = examine(patient("llava", processor_class=forgets_second), batch_size=2, store=False)
    assert report.unsafe == ["second of two swapped"]
    assert report.mode is None


def leaky(honest: Any) -> Any:
    """Mix a little of the other examples' embeddings into each; one example alone is as ever."""

    class Leaky(honest):
        def forward(self, input_ids: Any = None, **kwargs: Any) -> Any:
            embeds = self.get_input_embeddings()(input_ids)
            mixed = embeds + 0.01 * (embeds.mean(0, keepdim=True) - embeds)
            return super().forward(inputs_embeds=mixed, **kwargs)

    return Leaky


def test__fault_21__vectors_depend_on_neighbours__caught_and_batches_ruled_out(patient) -> None:
    report = examine(patient("llama", model_class=leaky), batch_size=4, store=False)
    assert {"padded on the right", "batches of 2", "batches of 4", "shuffled"} <= set(report.unsafe)
    assert "reference" not in report.unsafe
    assert report.mode.batch_size == 1


def noisy(honest: Any) -> Any:
    class Noisy(honest):
        def forward(self, input_ids: Any = None, **kwargs: Any) -> Any:
            embeds = self.get_input_embeddings()(input_ids)
            return super().forward(inputs_embeds=embeds + 0.01 * torch.randn_like(embeds), **kwargs)

    return Noisy


def test__examine__vectors_drawn_at_random__caught(patient) -> None:
    report = examine(patient("llama", model_class=noisy), batch_size=1, store=False)
    assert {"same twice", "reference"} <= set(report.unsafe)
    assert report.mode is None


@pytest.mark.parametrize("name", ["llama", "gpt2"])
def test__examine__heads_and_head_dim_swapped__caught(name, patient) -> None:
    backbone = patient(name)
    swapped = [
        replace(site, n_heads=site.head_dim, head_dim=site.n_heads) for site in backbone._anatomy.sites
    ]
    backbone._anatomy = replace(backbone._anatomy, sites=tuple(swapped))
    report = examine(backbone, batch_size=1, store=False)
    assert report.unsafe == ["geometry"]
    assert "declared, the attention computes 4 of" in report.check("geometry").note
    assert report.mode is None


def test__examine__wrong_sites_named_by_the_user__caught_and_the_stored_mode_stays(patient) -> None:
    honest = patient("llama")
    stored = examine(honest, batch_size=1).stored
    backbone = TransformersBackbone(
        honest.model, honest.processor, sites=["model.layers.*.self_attn.o_proj:heads=12,head_dim=4"]
    )
    report = examine(backbone, batch_size=1)
    assert (report.unsafe, report.mode, report.removed) == (["geometry"], None, None)
    assert Path(stored).is_file()


def test__examine__weights_on_disk__safe_and_no_second_copy(patient, tmp_path) -> None:
    from accelerate import disk_offload

    backbone = patient("llama")
    disk_offload(backbone.model, str(tmp_path / "weights"), execution_device="cpu")
    report = examine(TransformersBackbone(backbone.model, backbone.processor), batch_size=2, store=False)
    assert report.safe, report.unsafe
    assert report.check("dtype bfloat16").note == "parts of the model are offloaded"
    assert all(parameter.is_meta for parameter in backbone.model.parameters())


def test__fault_21__another_token_than_the_last__caught(patient, monkeypatch) -> None:
    from savs.backbones import _record as recorder

    honest = recorder.last_real_tokens
    monkeypatch.setattr(recorder, "last_real_tokens", lambda mask: honest(mask) - 1)
    report = examine(patient("llama"), batch_size=2, store=False)
    assert "reference" in report.unsafe
    assert report.check("reference").max_difference > 0.1
    assert report.mode is None


def test__examine__kernel_in_use_wrong__eager_tells(patient, monkeypatch) -> None:
    honest = transformers.AttentionInterface._global_mapping["sdpa"]

    def wrong(module: Any, query: Any, key: Any, value: Any, mask: Any, **options: Any) -> Any:
        return honest(module, query, key, value, mask, **{**options, "scaling": 1.0})

    monkeypatch.setitem(transformers.AttentionInterface._global_mapping, "sdpa", wrong)
    report = examine(patient("llama"), batch_size=2, store=False)
    assert report.unsafe == ["kernel eager"]
    assert report.mode is None


def test__examine__kernel_not_in_use_wrong__differs_and_is_not_chosen(patient, monkeypatch) -> None:
    honest = transformers.AttentionInterface._global_mapping["sdpa"]

    def wrong(module: Any, query: Any, key: Any, value: Any, mask: Any, **options: Any) -> Any:
        return honest(module, query, key, value, mask, **{**options, "scaling": 1.0})

    monkeypatch.setitem(transformers.AttentionInterface._global_mapping, "sdpa", wrong)
    backbone = patient("llama")
    backbone.model.set_attn_implementation("eager")
    report = examine(backbone, batch_size=2, store=False)
    assert report.safe
    assert report.check("kernel sdpa").verdict == "differs"
    assert report.mode.attn_implementation == "eager"


def test__examine__float16_overflows__differs_not_unsafe(patient) -> None:
    backbone = patient("llama")
    with torch.no_grad():
        backbone.model.model.layers[0].self_attn.v_proj.weight *= 1e6
    report = examine(backbone, batch_size=1, store=False)
    assert report.safe
    assert report.check("dtype float16").verdict == "differs"


def test__examine__bfloat16_model__batches_within_its_tolerance(patient) -> None:
    backbone = patient("qwen2_5_vl")
    backbone.model.to(torch.bfloat16)
    report = examine(backbone, batch_size=4, store=False)
    assert report.safe, report.unsafe
    assert report.check("batches of 4").tolerance == 0.25
    assert 0 < report.check("batches of 4").max_difference < 0.25


def test__examine__reads_nothing__one_error(patient) -> None:
    from savs.errors import BackboneError

    backbone = patient("llama")
    backbone.processor.chat_template = "{{ raise_exception('no') }}"
    with pytest.raises(BackboneError, match="reads none of the probes"):
        examine(backbone, store=False)
    with pytest.raises(ValueError, match="positive"):
        examine(backbone, batch_size=0)


def test__examine__interrupted_under_another_kernel__model_as_it_was(patient, monkeypatch) -> None:
    backbone = patient("llama")
    before = state_of(backbone)

    def interrupt(*_: Any, **__: Any) -> None:
        if backbone.model.config._attn_implementation == "eager":
            raise KeyboardInterrupt
        return honest(*_, **__)

    honest = TransformersBackbone.extract
    monkeypatch.setattr(TransformersBackbone, "extract", interrupt)
    with pytest.raises(KeyboardInterrupt):
        examine(backbone, batch_size=1, store=False)
    assert same(before, state_of(backbone))


def test__examine__same_backbone_twice__same_verdicts_and_differences(patient) -> None:
    found = [examine(patient("qwen3"), batch_size=1, store=False) for _ in range(2)]
    assert found[0].checks == found[1].checks
    assert np.isfinite([t.examples_per_second for t in found[0].timings]).all()
