"""The draws of `training.unlabelled_items`: what may be an unlabelled item of a draw."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("torch")

from training.methods import N_DRAWS
from training.unlabelled_items import draws


@pytest.mark.parametrize("design", [False, True])
def test__draws__unlabelled_items__no_shots_no_test_items_each_once(tmp_path, design):
    rng = np.random.default_rng(0)
    shared = rng.standard_normal((3, 100))  # the same items in every draw
    arrays = {}
    for name in ("t", *(f"s{draw}" for draw in range(N_DRAWS))):
        arrays |= {f"{name}_heads": rng.standard_normal((12, 100)), f"{name}_state": np.ones((12, 2))}
        arrays[f"{name}_y"] = np.arange(12) % 2
        if name != "t":
            arrays[f"{name}_heads"][:3] = shared
    np.savez(tmp_path / "task.npz", **arrays)
    found = list(draws(tmp_path, "task", 2, 3, design=design))
    assert len(found) == 3
    for draw in found:
        rows = {tuple(row) for row in draw.items}
        assert len(rows) == len(draw.items) >= N_DRAWS * 9 - 4
        assert not rows & {tuple(row) for row in (*draw.shots, *draw.test)}
        assert np.bincount(draw.labels).tolist() == [2, 2]
