"""The table of methods: the same draws for all, the first shots of each class, the worst loss on a task."""

import numpy as np
import pytest
from training.methods import draws, measure, read, table
from training.tasks import Item

from savs.backbones.passes.recorder import recording
from savs.features import HeadLayout

LAYOUT = HeadLayout.uniform(2, 3, 4)


@pytest.fixture
def cache(tmp_path):
    rng = np.random.default_rng(0)
    for task, distance in (("easy", 3.0), ("hard", 0.2)):
        centres = distance * rng.standard_normal((2, LAYOUT.width))
        arrays = {}
        for name, count in (("t", 40), ("s0", 20), ("s1", 20)):
            y = rng.permutation(np.arange(count) % 2)
            arrays[f"{name}_y"] = y
            arrays[f"{name}_heads"] = (centres[y] + rng.standard_normal((count, LAYOUT.width))).astype("f4")
        np.savez(tmp_path / f"{task}.npz", **arrays)
    return tmp_path


def test__draws__fewer_shots__the_first_of_each_class(cache):
    (x, y, test, truth), _ = draws(cache, "easy", 3, 2)
    with np.load(cache / "easy.npz") as arrays:
        for label in (0, 1):
            first = np.flatnonzero(arrays["s0_y"] == label)[:3]
            assert (x[y == label] == arrays["s0_heads"][first]).all()
        assert (test == arrays["t_heads"]).all()
    assert len(truth) == 40


def test__measure_and_table__means_and_worst_loss_to_the_published_rule(cache):
    results = measure(cache, LAYOUT, ["sav", "hec_v"], [3, 10], 2)
    assert set(results) == {"3", "10"}
    assert [len(v) for v in results["3"]["easy"].values()] == [2, 2]
    assert results["10"]["easy"]["sav"] == [1.0, 1.0]
    lines = table(results, ["sav", "hec_v"]).splitlines()
    assert lines[0] == "| method | 3 shots | 10 shots | worst at 3 / 10 |"
    mean = 100 * np.mean([np.mean(results["3"][task]["hec_v"]) for task in ("easy", "hard")])
    assert lines[3].startswith(f"| `hec_v` | {mean:.1f} |")
    losses = [np.mean(f["hec_v"]) - np.mean(f["sav"]) for f in results["3"].values()]
    assert f"{100 * min(losses):+.1f} /" in lines[3]


def test__read__head_vectors_are_those_of_the_library():
    import torch
    from training.abilities import Reader
    from training.methods import BUNDLED

    from savs.backbones.anatomy.sites import find_sites

    reader = Reader(BUNDLED)
    items = [Item((), text, "", "") for text in ("is it red?", "a longer question about nothing")]
    rows = read(reader, items)
    for item, row in zip(items, rows, strict=True):
        inputs = reader.inputs([item])
        anatomy = find_sites(reader.model)
        with torch.no_grad(), recording(anatomy.sites, inputs["attention_mask"]) as found:
            reader.model(**inputs)
        expected = torch.cat([found.vectors[site] for site in anatomy.sites], 1)[0].numpy()
        np.testing.assert_allclose(row, expected, atol=1e-5)
