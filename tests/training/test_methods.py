"""The table of methods: the same draws for all, the first shots of each class, the worst loss on a task."""

import numpy as np
import pytest
from training.early_answers import measure as early_answers
from training.methods import coverage, draws, measure, read, table, uneven
from training.tasks import Item

from savs.backbones._record import recording
from savs.layout import HeadLayout

LAYOUT = HeadLayout.uniform(2, 3, 4)


@pytest.fixture
def cache(tmp_path):
    rng = np.random.default_rng(0)
    for task, distance in (("easy", 3.0), ("hard", 0.2)):
        centers = distance * rng.standard_normal((2, LAYOUT.width))
        arrays = {}
        for name, count in (("t", 40), ("s0", 20), ("s1", 20)):
            y = rng.permutation(np.arange(count) % 2)
            arrays[f"{name}_y"] = y
            arrays[f"{name}_heads"] = (centers[y] + rng.standard_normal((count, LAYOUT.width))).astype("f4")
            arrays[f"{name}_state"] = (4 * y[:, None] + rng.standard_normal((count, 5))).astype("f4")
        np.savez(tmp_path / f"{task}.npz", **arrays)
    return tmp_path


def test__draws__fewer_shots__the_first_of_each_class(cache):
    (x, y, test, truth), _ = draws(cache, "easy", 3, 2, ["heads"])
    with np.load(cache / "easy.npz") as arrays:
        for label in (0, 1):
            first = np.flatnonzero(arrays["s0_y"] == label)[:3]
            assert (x[y == label] == arrays["s0_heads"][first]).all()
        assert (test == arrays["t_heads"]).all()
    assert len(truth) == 40


def test__draws__heads_and_state__side_by_side(cache):
    (x, y, test, _), _ = draws(cache, "hard", 20, 2, ["heads", "state"])
    assert x.shape == (20, LAYOUT.width + 5)
    with np.load(cache / "hard.npz") as arrays:
        assert (x[:, -5:] == arrays["s0_state"]).all()
        assert (y == arrays["s0_y"]).all()
        assert (test[:, -5:] == arrays["t_state"]).all()


def test__measure__layout_with_state__mixture_finds_what_heads_do_not_hold(cache):
    names = ["sav", "last_state", "ensemble"]
    blind = measure(cache, LAYOUT, ["ensemble"], [10], 2)["10"]["hard"]["ensemble"]
    found = measure(cache, LAYOUT.with_state(5), names, [10], 2)["10"]["hard"]
    assert np.mean(found["last_state"]) > 0.8
    assert np.mean(found["ensemble"]) > np.mean(blind) + 0.1


def test__coverage__intervals_and_bias_by_hand(cache):
    from savs.classifiers import make_method
    from savs.classifiers.cross_validation import estimate_classifier

    row = coverage(cache, LAYOUT, ["mean_proba"], [5], 2).splitlines()[2]
    held, widths, gaps = [], [], []
    for task in ("easy", "hard"):
        for x, y, test, truth in draws(cache, task, 5, 2, ["heads"]):
            fitted = make_method("mean_proba", LAYOUT).fit(x, y)
            accuracy = fitted.score(test, truth)
            estimate = estimate_classifier(fitted, x, y)
            held.append(estimate.interval[0] <= accuracy <= estimate.interval[1])
            widths.append(estimate.interval[1] - estimate.interval[0])
            gaps.append(estimate.accuracy - accuracy)
    cells = [cell.strip() for cell in row.strip("|").split("|")]
    assert cells[:3] == ["`mean_proba`", "5", f"{100 * np.mean(held):.0f} %"]
    assert cells[5:] == [f"{100 * np.mean(widths):.0f}", f"{100 * np.mean(gaps):+.1f}"]


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

    from savs.backbones._attention_sites import find_sites

    reader = Reader(BUNDLED)
    items = [Item((), text, "", "") for text in ("is it red?", "a longer question about nothing")]
    found_rows = read(reader, items)
    for item, row, state in zip(items, found_rows["heads"], found_rows["state"], strict=True):
        inputs = reader.inputs([item])
        anatomy = find_sites(reader.model)
        with torch.no_grad(), recording(anatomy.sites, inputs["attention_mask"]) as found:
            reader.model(**inputs)
        with torch.no_grad():
            last = reader.model(**inputs, output_hidden_states=True).hidden_states[-1][0, -1].numpy()
        expected = torch.cat([found.vectors[site] for site in anatomy.sites], 1)[0].numpy()
        np.testing.assert_allclose(row, expected, atol=1e-5)
        np.testing.assert_allclose(state, last, atol=1e-5)


def test__early_answers__easy_task__fewer_layers_and_nothing_lost(tmp_path):
    rng, layout = np.random.default_rng(0), HeadLayout.uniform(4, 3, 4)
    centers = 3 * rng.standard_normal((2, layout.width))
    arrays = {}
    for name, count in (("t", 40), ("s0", 60)):
        y = rng.permutation(np.arange(count) % 2)
        arrays[f"{name}_y"] = y
        arrays[f"{name}_heads"] = (centers[y] + rng.standard_normal((count, layout.width))).astype("f4")
    np.savez(tmp_path / "easy.npz", **arrays)
    layers, lost = early_answers(tmp_path, layout, "kernel_ridge", 30, 1, 0.05)["easy"]
    assert layers < 0.7
    assert lost <= 0.05


def test__uneven__recall_of_the_class_of_few_shots_by_hand(cache):
    from savs.classifiers import make_method

    recalls, balanced = [], []
    for task in ("easy", "hard"):
        for few, (x, y, test, truth) in enumerate(draws(cache, task, 20, 2, ["heads"])):
            kept = np.concatenate([np.flatnonzero(y == few)[:1], np.flatnonzero(y != few)])
            right = make_method("hec_v", LAYOUT).fit(x[kept], y[kept]).predict(test) == truth
            recalls.append(right[truth == few].mean())
            balanced.append((right[truth == 0].mean() + right[truth == 1].mean()) / 2)
    seldom = f"{np.sum(np.array(recalls) < 0.05)} of 4"
    wanted = f"{100 * np.mean(recalls):.1f} | {100 * np.mean(balanced):.1f} | {seldom}"
    assert wanted in uneven(cache, LAYOUT, ["hec_v"], 1, 2)
