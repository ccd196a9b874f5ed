"""The doctor's positions follow the published rule, and find a release that does not."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from tests.backbones.families import make_family

from savs.backbones import TransformersBackbone
from savs.doctor._positions import Grid, positions_of, published_positions
from savs.doctor._reference import CHANGE, read
from savs.doctor._releases import check_known_faults, check_positions
from savs.doctor._subject import admit

KINDS = {1: "image", 2: "video"}


def test__published_positions__image_between_text__rows_and_columns_count() -> None:
    # Two tokens of text, an image of 2 x 3 tokens, one of text: by hand from the paper's figure 3.
    found = published_positions([9, 9, *[1] * 6, 9], KINDS, {"image": iter([Grid(1, 4, 6)])}, 2)
    assert found == [
        (0, 0, 0),
        (1, 1, 1),
        (2, 2, 2),
        (2, 2, 3),
        (2, 2, 4),
        (2, 3, 2),
        (2, 3, 3),
        (2, 3, 4),
        (5, 5, 5),
    ]


def test__published_positions__video__time_counts_and_text_begins_after_the_last() -> None:
    # Three steps of 1 x 2 tokens, two positions a second, 1.5 seconds apart: 0, 3, 6 after the start.
    found = published_positions([9, *[2] * 6, 9, 9], KINDS, {"video": iter([Grid(3, 2, 4, 3.0)])}, 2)
    assert found[1:7] == [(1, 1, 1), (1, 1, 2), (4, 1, 1), (4, 1, 2), (7, 1, 1), (7, 1, 2)]
    assert found[7:] == [(8, 8, 8), (9, 9, 9)]


def test__published_positions__two_images_side_by_side__counted_apart() -> None:
    found = published_positions([1, 1], KINDS, {"image": iter([Grid(1, 2, 2), Grid(1, 2, 2)])}, 2)
    assert found == [(0, 0, 0), (1, 1, 1)]


def test__positions_of__fractional_seconds__cut_after_the_product() -> None:
    vision = SimpleNamespace(spatial_merge_size=2, tokens_per_second=2)
    config = SimpleNamespace(
        model_type="qwen2_5_vl", image_token_id=1, video_token_id=2, vision_config=vision
    )
    inputs = {
        "input_ids": torch.tensor([[0, 2, 2, 2, 2, 0, 0]]),
        "attention_mask": torch.tensor([[1, 1, 1, 1, 1, 1, 0]]),
        "video_grid_thw": torch.tensor([[4, 2, 2]]),
        "second_per_grid_ts": torch.tensor([0.75]),
    }
    found = positions_of(SimpleNamespace(config=config), inputs)
    assert found is not None
    assert found[0, 0].tolist() == [0, 1, 2, 4, 5, 6, 0]  # 1 + 0, 1.5, 3, 4.5 cut
    assert found[1, 0].tolist() == [0, 1, 1, 1, 1, 6, 0]


@pytest.mark.parametrize("name", ["qwen2_vl", "qwen2_5_vl", "qwen3_vl"])
def test__check_positions__installed_release__as_published(name: str) -> None:
    built = make_family(name)
    (check,) = check_positions(admit(TransformersBackbone(built.model, built.processor)))
    assert check.verdict == "ok"
    assert "two images" in check.note


def test__check_positions__video_of_qwen3_vl__as_published_however_long() -> None:
    built = make_family("qwen3_vl_video")
    checks = check_positions(admit(TransformersBackbone(built.model, built.processor)))
    assert [check.verdict for check in checks] == ["ok", "ok"]


def test__check_positions__long_video_of_qwen2_vl__differs_as_the_table_says() -> None:
    built = make_family("qwen2_vl_video")
    checks = check_positions(admit(TransformersBackbone(built.model, built.processor)))
    assert [check.verdict for check in checks] == ["ok", "differs"]
    assert "45381" in checks[1].note


def test__doctor__image_positions_as_in_5_5_0__found_without_the_table(monkeypatch) -> None:
    built = make_family("qwen2_5_vl")
    inner = built.model.model
    own = type(inner).get_rope_index

    def as_in_5_5_0(self, input_ids, mm_token_type_ids, *args, **kwargs):
        positions, deltas = own(self, input_ids, mm_token_type_ids, *args, **kwargs)
        positions = positions.clone()
        positions[0][mm_token_type_ids == 1] *= self.config.vision_config.tokens_per_second
        return positions, deltas

    monkeypatch.setattr(type(inner), "get_rope_index", as_in_5_5_0)
    backbone = TransformersBackbone(built.model, built.processor)
    subject = admit(backbone)
    (check,) = check_positions(subject)
    assert check.verdict == "unsafe"
    assert "temporal position" in check.note
    rows = subject.extract(subject.examples)
    shown = subject.positions("one image")
    reference = read(built.model, built.processor, subject.sites, subject.examples)
    assert abs(rows[shown] - reference[shown]).max() > 1000 * CHANGE
    assert check_known_faults(subject).verdict == "ok"


def test__check_positions__family_without_a_written_rule__skipped() -> None:
    built = make_family("llava")
    (check,) = check_positions(admit(TransformersBackbone(built.model, built.processor)))
    assert check.verdict == "skipped"
    assert "llava" in check.note
