"""One small run of the whole demo, shared by the tests that look at its result."""

from __future__ import annotations

from typing import Any

import pytest

from savs.backbones import FakeBackbone
from savs.demo import run_demo
from savs.layout import HeadLayout


@pytest.fixture(scope="session")
def demo(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    backbone = FakeBackbone(HeadLayout.uniform(3, 10, 8))
    out = tmp_path_factory.mktemp("demo") / "results"
    return run_demo(out, backbone=backbone, shots=3, n_draws=2, per_class=6, zero_shot_items=12)
