"""Every method on every task of the bundled model: `python -m training.methods --photos PATH`.

Head vectors and last-layer states are read once and kept in `--cache`; then every method is fitted on the
same draws and judged on the same test items. Writes the table of docs/methods.md with `--write`. `--coverage`
asks instead how often the interval of a method's own estimate holds its accuracy on the test items, and
`--uneven N` how often a class of N shots is recognized beside classes of 20. The 20 tasks are those of
`training.abilities`, the other five those of the demo; test items never share a photo with the shots.
"""

from __future__ import annotations

import argparse
import json
import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image

from savs.classifiers import make_method, wilson_interval
from savs.classifiers.cross_validation import estimate_classifier
from savs.demo.tasks import Task as DemoTask
from savs.demo.tasks import build_tasks
from savs.layout import HeadLayout
from training.abilities import Reader, _balanced, _chunks, _labels
from training.photos import HELD_OUT, NAMED, read_photos
from training.tasks import Item, Source, all_tasks

BUNDLED = Path(__file__).resolve().parent.parent / "src/savs/backbones/tiny"
DOCUMENT = Path(__file__).resolve().parent.parent / "docs/methods.md"
METHODS = "sav,hec_v,kernel_ridge,lda_scaled,last_state,ensemble,auto"
ESTIMATED = "sav,hec_v,ensemble,auto"
MARKERS = ("<!-- methods -->", "<!-- end of methods -->")
MOST_SHOTS, N_DRAWS, N_TEST = 20, 5, 300
Rows = npt.NDArray[np.float32]
Labels = npt.NDArray[np.intp]


@torch.inference_mode()
def read(reader: Reader, items: Sequence[Item]) -> dict[str, Rows]:
    """Return ``heads`` (n_items, n_heads * head_dim) and ``state`` at the last token, by hooks of our own."""
    order = sorted(range(len(items)), key=lambda i: (len(items[i].images), len(items[i].text)))
    layers = reader.model.model.language_model.layers
    rows: list[Rows] = []
    states: list[Rows] = []
    caught: list[torch.Tensor] = []
    hooks = [
        layer.self_attn.o_proj.register_forward_pre_hook(
            lambda _m, args: caught.append(args[0][:, -1].clone())
        )
        for layer in layers
    ]
    try:
        for chunk in _chunks([items[i] for i in order], reader.batch):
            caught.clear()
            out = reader.model.model(**reader.inputs(chunk))
            rows.append(torch.cat(caught, 1).numpy().astype(np.float32))
            states.append(out.last_hidden_state[:, -1].numpy().astype(np.float32))
    finally:
        for hook in hooks:
            hook.remove()
    back = np.argsort(order)
    return {"heads": np.concatenate(rows)[back], "state": np.concatenate(states)[back]}


def keep_features(folder: Path, photos: Path, cache: Path) -> None:
    """Read all tasks that the cache lacks: five draws of 20 shots per class, and the test items."""
    cache.mkdir(parents=True, exist_ok=True)
    reader = Reader(folder, batch=64)
    source = Source(read_photos(photos, "test", (*NAMED, *HELD_OUT), per_class=400), 4321)
    for task in all_tasks():
        place = cache / f"{_slug(task.name)}.npz"
        source.half = 0
        test = _balanced(task, source, max(1, N_TEST // len(task.labels)))
        source.half = 1
        draws = [_balanced(task, source, MOST_SHOTS) for _ in range(N_DRAWS)]
        if not place.exists():
            arrays = {"t_y": _labels(task, test), **_named("t", read(reader, test))}
            for draw, items in enumerate(draws):
                mixed = np.random.default_rng(draw).permutation(len(items))
                arrays |= _named(f"s{draw}", read(reader, [items[i] for i in mixed]))
                arrays[f"s{draw}_y"] = _labels(task, items)[mixed]
            _save(place, arrays)
    for demo in build_tasks():
        place = cache / f"demo-{demo.name}.npz"
        if not place.exists():
            _save(place, _demo_features(reader, demo))


def _named(prefix: str, found: dict[str, Rows], rows: Any = slice(None)) -> dict[str, Any]:
    return {f"{prefix}_{name}": array[rows] for name, array in found.items()}


def _demo_features(reader: Reader, task: DemoTask) -> dict[str, Any]:
    items = [_item(example, task.prompt) for example in task.examples]
    names = sorted({item.label for item in items})
    y = np.array([names.index(item.label) for item in items])
    found = read(reader, items)
    rng = np.random.default_rng(7)
    per_class = min(max(1, N_TEST // len(names)), max(20, int(np.bincount(y).min()) - 60))
    tests = np.concatenate([rng.permutation(np.flatnonzero(y == c))[:per_class] for c in range(len(names))])
    left = np.setdiff1d(np.arange(len(y)), tests)
    arrays = {"t_y": y[tests], **_named("t", found, tests)}
    for draw in range(N_DRAWS):
        chosen = [rng.permutation(left[y[left] == c])[:MOST_SHOTS] for c in range(len(names))]
        shots = rng.permutation(np.concatenate(chosen))
        arrays |= {f"s{draw}_y": y[shots], **_named(f"s{draw}", found, shots)}
    return arrays


def _item(example: Any, prompt: str) -> Item:
    parts = example.messages[0].parts
    sources = [part.source for part in parts if hasattr(part, "source")]
    images = [Image.open(s) if isinstance(s, (str, Path)) else s for s in sources]
    words = [part.text for part in parts if hasattr(part, "text")]
    return Item(tuple(p.convert("RGB") for p in images), " ".join([*words, prompt]), str(example.label), "")


def _save(place: Path, arrays: dict[str, Any]) -> None:
    partial = place.with_suffix(".partial.npz")
    np.savez(partial, **arrays)
    partial.rename(place)
    print(place.name, flush=True)


def _slug(name: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-")


def draws(
    cache: Path, task: str, shots: int, n_draws: int, parts: Sequence[str]
) -> Iterator[tuple[Rows, Labels, Rows, Labels]]:
    """Yield shots and test items, rows of the given parts side by side; fewer shots: the first per class."""
    with np.load(cache / f"{task}.npz") as arrays:
        for draw in range(n_draws):
            y = arrays[f"s{draw}_y"]
            rows = np.concatenate([np.flatnonzero(y == c)[:shots] for c in range(y.max() + 1)])
            rows.sort()
            support = np.hstack([arrays[f"s{draw}_{part}"][rows] for part in parts])
            yield support, y[rows], np.hstack([arrays[f"t_{part}"] for part in parts]), arrays["t_y"]


def _tasks(cache: Path) -> list[str]:
    return sorted(path.stem for path in cache.glob("*.npz") if ".partial" not in path.name)


def _parts(layout: HeadLayout) -> tuple[str, ...]:
    return ("heads",) if layout.state is None else ("heads", "state")


def measure(
    cache: Path, layout: HeadLayout, methods: Sequence[str], shots: Sequence[int], n_draws: int
) -> dict[str, dict[str, dict[str, list[float]]]]:
    """Return accuracy by number of shots, task and method, one per draw."""
    results: dict[str, dict[str, dict[str, list[float]]]] = {}
    for count in shots:
        for task in _tasks(cache):
            found: dict[str, list[float]] = {name: [] for name in methods}
            for support, labels, test, truth in draws(cache, task, count, n_draws, _parts(layout)):
                for name in methods:
                    fitted = make_method(name, layout).fit(support, labels)
                    found[name].append(float((fitted.predict(test) == truth).mean()))
            results.setdefault(str(count), {})[task] = found
            print(
                count,
                task,
                {name: round(100 * float(np.mean(v)), 1) for name, v in found.items()},
                flush=True,
            )
    return results


def coverage(
    cache: Path, layout: HeadLayout, methods: Sequence[str], shots: Sequence[int], n_draws: int
) -> str:
    """Return how often the interval of the estimate holds the accuracy on the test items, as a table.

    "held": accuracy on the test items is inside. "apart": the interval and the test items' own Wilson
    interval (a few hundred items are no exact truth either) have no point in common.
    """
    lines = ["| method | shots | held | apart | Wilson held | width | estimate - test |", "|---" * 7 + "|"]
    for name in methods:
        for count in shots:
            runs = np.array(
                [
                    _run(make_method(name, layout), draw)
                    for task in _tasks(cache)
                    for draw in draws(cache, task, count, n_draws, _parts(layout))
                ]
            )
            held, apart, plain, width, bias = runs.mean(axis=0)
            shares = f"{100 * held:.0f} % | {100 * apart:.0f} % | {100 * plain:.0f} %"
            lines.append(f"| `{name}` | {count} | {shares} | {100 * width:.0f} | {100 * bias:+.1f} |")
            print(lines[-1], flush=True)
    return "\n".join(lines)


def _run(classifier: Any, draw: tuple[Rows, Labels, Rows, Labels]) -> tuple[float, ...]:
    support, labels, test, truth = draw
    fitted = classifier.fit(support, labels)
    estimate = getattr(fitted, "estimate_", None) or estimate_classifier(fitted, support, labels)
    if estimate is None:
        raise ValueError("one shot per class gives no estimate")
    right = int((fitted.predict(test) == truth).sum())
    accuracy, (low, high) = right / len(truth), estimate.interval
    plain = wilson_interval(round(estimate.accuracy * estimate.n), estimate.n)
    least, most = wilson_interval(right, len(truth))
    held, apart = low <= accuracy <= high, most < low or least > high
    return held, apart, plain[0] <= accuracy <= plain[1], high - low, estimate.accuracy - accuracy


def uneven(cache: Path, layout: HeadLayout, methods: Sequence[str], n_few: int, n_draws: int) -> str:
    """Return how a class of few shots is recognized beside classes of 20, as a table.

    "recall": of that class, mean over tasks and draws; each draw takes the next class. "balanced": mean of
    the recalls of all classes. "below 5 %": of how many draws the class is recognized less often.
    """
    lines = ["| method | recall | balanced | below 5 % |", "|---" * 4 + "|"]
    for name in methods:
        runs = np.array(
            [
                _recalls(make_method(name, layout), draw, n_few, turn)
                for task in _tasks(cache)
                for turn, draw in enumerate(draws(cache, task, MOST_SHOTS, n_draws, _parts(layout)))
            ]
        )
        own, balanced = 100 * runs.mean(axis=0)
        lines.append(
            f"| `{name}` | {own:.1f} | {balanced:.1f} | {(runs[:, 0] < 0.05).sum()} of {len(runs)} |"
        )
        print(lines[-1], flush=True)
    return "\n".join(lines)


def _recalls(
    classifier: Any, draw: tuple[Rows, Labels, Rows, Labels], n_few: int, turn: int
) -> tuple[float, float]:
    support, labels, test, truth = draw
    classes = np.unique(labels)
    few = classes[turn % len(classes)]
    kept = np.ones(len(labels), dtype=bool)
    kept[np.flatnonzero(labels == few)[n_few:]] = False
    right = classifier.fit(support[kept], labels[kept]).predict(test) == truth
    recalls = {label: float(right[truth == label].mean()) for label in classes}
    return recalls[few], float(np.mean(list(recalls.values())))


def _shots(count: str) -> str:
    return "1 shot" if count == "1" else f"{count} shots"


def table(results: dict[str, dict[str, dict[str, list[float]]]], methods: Sequence[str]) -> str:
    """Return the means over tasks, and each method's largest loss to the published rule on one task."""
    counts = list(results)
    lines = [
        f"| method | {' | '.join(_shots(count) for count in counts)} | worst at {' / '.join(counts)} |",
        "|---" * (len(counts) + 2) + "|",
    ]
    for name in methods:
        means = [{task: float(np.mean(found[name])) for task, found in results[c].items()} for c in counts]
        rule = [{task: float(np.mean(found["sav"])) for task, found in results[c].items()} for c in counts]
        worst = [min(m[task] - r[task] for task in m) for m, r in zip(means, rule, strict=True)]
        cells = " | ".join(f"{100 * np.mean(list(m.values())):.1f}" for m in means)
        losses = "" if name == "sav" else " / ".join(f"{100 * w:+.1f}" for w in worst)
        lines.append(f"| `{name}` | {cells} | {losses} |")
    return "\n".join(lines)


def main() -> None:
    """Read the features that are missing, fit every method on every draw, and print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--folder", type=Path, default=BUNDLED)
    parser.add_argument("--photos", type=Path, help="as for python -m training; not needed with a full cache")
    parser.add_argument("--cache", type=Path, default=Path("method-features"))
    parser.add_argument("--methods", help="of savs.classifiers.METHODS; for the table with sav among them")
    parser.add_argument(
        "--heads-only", action="store_true", help="leave the last-layer state out of the rows"
    )
    parser.add_argument("--coverage", action="store_true", help="judge the methods' estimates instead")
    parser.add_argument("--uneven", type=int, metavar="N", help="give one class N shots, the others 20")
    parser.add_argument("--shots", default="5,10,20")
    parser.add_argument("--draws", type=int, default=N_DRAWS)
    parser.add_argument("--json", type=Path)
    parser.add_argument("--write", action="store_true", help="put the table into docs/methods.md")
    options = parser.parse_args()
    if options.photos is not None:
        keep_features(options.folder, options.photos, options.cache)
    text = json.loads((options.folder / "config.json").read_text(encoding="utf-8"))["text_config"]
    layout = HeadLayout.uniform(text["num_hidden_layers"], text["num_attention_heads"], text["head_dim"])
    if not options.heads_only:
        layout = layout.with_state(text["hidden_size"])
    shots = [int(count) for count in options.shots.split(",")]
    methods = (options.methods or (ESTIMATED if options.coverage else METHODS)).split(",")
    if options.coverage:
        print(coverage(options.cache, layout, methods, shots, options.draws))
        return
    if options.uneven is not None:
        print(uneven(options.cache, layout, methods, options.uneven, options.draws))
        return
    results = measure(options.cache, layout, methods, shots, options.draws)
    if options.json is not None:
        options.json.write_text(json.dumps(results, indent=1), encoding="utf-8")
    made = table(results, methods)
    print(made)
    if options.write:
        before, rest = DOCUMENT.read_text(encoding="utf-8").split(MARKERS[0])
        after = rest.split(MARKERS[1])[1]
        DOCUMENT.write_text(f"{before}{MARKERS[0]}\n\n{made}\n\n{MARKERS[1]}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
