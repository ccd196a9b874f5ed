"""The table of releases that read a family wrongly, and what savs does about them."""

from __future__ import annotations

import re
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch

from savs.backbones import TransformersBackbone, _known_faults
from savs.backbones._known_faults import (
    KNOWN_FAULTS,
    KnownFaultWarning,
    failure_hint,
    known_faults,
    refuse_known_faults,
)
from savs.errors import BackboneError

IMAGE = {"pixel_values": torch.zeros(1)}


def model_of(model_type: str, dtype: torch.dtype = torch.float32, **vision: Any) -> Any:
    class Model(torch.nn.Module):
        config = SimpleNamespace(model_type=model_type, vision_config=SimpleNamespace(**vision))

    made: Any = Model()
    made.dtype = dtype
    return made


def video(frames: int, height: int, width: int, seconds: float) -> dict[str, torch.Tensor]:
    return {
        "pixel_values_videos": torch.zeros(1),
        "video_grid_thw": torch.tensor([[frames, height, width]]),
        "second_per_grid_ts": torch.tensor([seconds]),
    }


@pytest.mark.parametrize(
    ("version", "wrong"),
    [
        ("5.3.0", True),
        ("5.5.0", True),
        ("5.5.3", True),
        ("5.5.4", False),
        ("5.6.0", False),
        ("5.24.0", False),
    ],
)
def test__known_faults__images_of_qwen2_5_vl__wrong_before_5_5_4(version: str, wrong: bool) -> None:
    assert bool(known_faults(model_of("qwen2_5_vl"), IMAGE, version)) is wrong
    assert not known_faults(model_of("qwen2_5_vl"), {"input_ids": torch.zeros(1)}, version)
    assert not known_faults(model_of("qwen2_vl"), IMAGE, version)


@pytest.mark.parametrize(("dtype", "wrong"), [("bfloat16", True), ("float16", True), ("float32", False)])
def test__known_faults__patches_of_smolvlm__wrong_in_half_precision(dtype: str, wrong: bool) -> None:
    model = model_of("smolvlm", getattr(torch, dtype))
    assert [fault.effect for fault in known_faults(model, IMAGE, "5.20.0")] == ["wrong"] * wrong
    assert not known_faults(model, IMAGE, "5.21.0")


def test__known_faults__seconds_between_frames__wrong_before_5_18_unless_whole() -> None:
    model = model_of("qwen2_5_vl", spatial_merge_size=2, tokens_per_second=2)
    assert known_faults(model, video(2, 8, 8, 0.5), "5.17.0")
    assert not known_faults(model, video(2, 8, 8, 1.0), "5.17.0")
    assert not known_faults(model, video(2, 8, 8, 0.5), "5.18.0")


@pytest.mark.parametrize(("frames", "wrong"), [(2, False), (4, True)])
def test__known_faults__video_of_more_time_than_space__wrong_in_every_release(
    frames: int, wrong: bool
) -> None:
    # Four tokens high and wide; at two positions a second the fourth frame is 6 after the first.
    model = model_of("qwen2_5_vl", spatial_merge_size=2, tokens_per_second=2)
    found = known_faults(model, video(frames, 8, 8, 1.0), "5.24.0")
    assert [fault.fixed for fault in found] == [None] * wrong


def test__refuse__a_right_release_exists__error_names_it(monkeypatch) -> None:
    monkeypatch.setattr(_known_faults, "running_version", lambda: "5.5.0")
    with pytest.raises(
        BackboneError, match=r"5\.5\.0 reads images wrongly.*45325.*5\.5\.4 or newer.*accept_faul"
    ):
        refuse_known_faults(model_of("qwen2_5_vl"), IMAGE)


def test__refuse__no_release_is_right__warns_once() -> None:
    model = model_of("qwen2_vl", spatial_merge_size=2)
    inputs = video(9, 8, 8, 1.0)
    with pytest.warns(KnownFaultWarning, match="no release is right"):
        refuse_known_faults(model, inputs)
    refuse_known_faults(model, inputs)


def test__extract__known_fault__refused_unless_accepted(family, ask, image, monkeypatch) -> None:
    monkeypatch.setattr(_known_faults, "running_version", lambda: "5.5.0")
    built = family("qwen2_5_vl")
    shown, text = ask(image(1), "red?"), ask("red?")
    backbone = TransformersBackbone(built.model, built.processor)
    assert len(backbone.extract([text]).features) == 1
    with pytest.raises(BackboneError, match="45325"):
        backbone.extract([shown])
    with pytest.raises(BackboneError, match="45325"):
        backbone.generate([shown])
    accepting = TransformersBackbone(built.model, built.processor, accept_faults=True)
    assert len(accepting.extract([shown]).features) == 1


def test__failure_hint__model_fails_by_itself__named(monkeypatch) -> None:
    monkeypatch.setattr(_known_faults, "running_version", lambda: "5.24.0")
    assert "right before 5.24.0" in failure_hint(model_of("llama4"))
    assert failure_hint(model_of("llama")) == ""


def test__docs__table__is_the_table_of_the_code() -> None:
    text = Path(__file__).parents[2].joinpath("docs", "backbones.md").read_text(encoding="utf-8")
    part = re.search(r"<!-- faults: begin -->\n\n(.*?)\n\n<!-- faults: end -->", text, re.DOTALL)
    assert part is not None
    assert part[1] == _known_faults.table()


def test__table__every_entry__has_a_public_source_and_ordered_releases() -> None:
    for fault in KNOWN_FAULTS:
        assert fault.source.startswith("https://")
        assert fault.covers(fault.first)
        assert fault.fixed is None or not fault.covers(fault.fixed)
