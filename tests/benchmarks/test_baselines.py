"""The cost of a query by each way to answer it, on a small random model."""

from __future__ import annotations

import pytest
from benchmarks.baselines import HEADS, SOLVED, WORDS, measure, table
from benchmarks.shapes import build

from savs.backbones import TransformersBackbone


@pytest.mark.slow
def test__measure__small_model__every_way_has_its_time_and_memory():
    built = build("llava_onevision", "small", "cpu", "float32")
    backbone = TransformersBackbone(built.model, built.processor)
    cost = measure(built.name, backbone, n_queries=1, repeats=2, n_tokens=2)
    assert list(cost.times.medians()) == [HEADS, WORDS, SOLVED]
    assert all(len(values) == 2 and min(values) > 0 for values in cost.times.used.values())
    assert cost.peak[SOLVED] > cost.peak[HEADS] > 0  # five images in the prompt in place of one
    rows = table([cost], 2).splitlines()
    assert rows[2].startswith(f"| {built.name} | {HEADS} | 1 | ")
    assert [row.split(" | ")[1] for row in rows[2:5]] == [HEADS, WORDS, SOLVED]
