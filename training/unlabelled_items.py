"""What unlabelled items add to few shots: `python -m training.unlabelled_items --cache DIR`.

Reads the features that `training.methods` keeps. The unlabelled items of a draw are at random of the other
draws' shots and of those of its own that are not in use, never of the test items; the same features as a shot
are left out. "skewed": of every second class a third of them. `--design` draws other shots, on which
choices were made. `--tasks DIR`, what `training.task_files` wrote, judges the labels that
are proposed without any shot instead.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt

from savs import SAVModel
from savs.backbones import load_backbone
from savs.classifiers import CalibratedHeadClassifier, make_method
from savs.classifiers._probabilities import log_softmax
from savs.classifiers._support_set import Shots
from savs.classifiers.semi_supervised import class_offsets, use_unlabelled
from savs.data import read_examples
from savs.layout import HeadLayout
from training.methods import N_DRAWS, _tasks

Rows = npt.NDArray[np.float32]
Labels = npt.NDArray[np.intp]
N_PROPOSED = 80
_SAME = 64  # columns that tell items apart


class Draw(NamedTuple):
    """Shots, unlabelled items with their hidden labels, test items and their labels."""

    shots: Rows
    labels: Labels
    items: Rows
    hidden: Labels
    test: Rows
    truth: Labels


def draws(cache: Path, task: str, n_shots: int, n_draws: int, *, design: bool) -> Iterator[Draw]:
    """Yield draws of shots, with all unlabelled items that are left for each in random order."""
    with np.load(cache / f"{task}.npz") as arrays:

        def whole(name: str) -> Rows:
            return np.hstack([arrays[f"{name}_heads"], arrays[f"{name}_state"]])

        rows = np.concatenate([whole(f"s{draw}") for draw in range(N_DRAWS)])
        labels = np.concatenate([arrays[f"s{draw}_y"] for draw in range(N_DRAWS)])
        of_draw = np.repeat(np.arange(N_DRAWS), [len(arrays[f"s{draw}_y"]) for draw in range(N_DRAWS)])
        test, truth = whole("t"), arrays["t_y"]
    _, content = np.unique(rows[:, :_SAME].round(5), axis=0, return_inverse=True)
    content = content.ravel()
    for draw in range(n_draws):
        rng = np.random.default_rng(1000 + draw if design else draw)
        chosen = []
        for code in range(labels.max() + 1):
            own = np.flatnonzero((labels == code) & (design | (of_draw == draw)))
            chosen.append((rng.permutation(own) if design else own)[:n_shots])
        shots = np.concatenate(chosen)
        left = np.flatnonzero(~np.isin(content, content[shots]))
        left = left[np.unique(content[left], return_index=True)[1]]
        left = rng.permutation(left)
        yield Draw(rows[shots], labels[shots], rows[left], labels[left], test, truth)


def answers(draw: Draw, classifier: CalibratedHeadClassifier, counts: list[int]) -> dict[str, Rows]:
    """Return log probabilities of the test items, without unlabelled items and with some of them."""
    classes = np.unique(draw.labels)
    layout = HeadLayout.uniform(*_shape(draw.shots)).with_state(_STATE)
    shots = Shots(draw.shots, draw.labels, len(classes), layout)
    fitted = classifier.set_params(layout=layout).fit_shots(classes, shots)
    folds = fitted.cross_validation_folds(shots)
    out_of_fold = fitted.out_of_fold_log_proba(shots, folds)
    found = {"without": fitted.predict_log_proba(draw.test)}
    for count in counts:
        items, hidden = draw.items[:count], draw.hidden[:count]
        pools = {f"{count}": items, f"{count} skewed": items[_skewed(hidden)]}
        for name, pool in pools.items():
            moved = use_unlabelled(fitted, pool, out_of_fold, draw.labels, folds)
            found[name] = moved.classifier.predict_log_proba(draw.test)
    return found


_LAYERS, _HEADS, _STATE = 8, 12, 128  # of the bundled model


def _shape(rows: Rows) -> tuple[int, int, int]:
    return _LAYERS, _HEADS, (rows.shape[1] - _STATE) // (_LAYERS * _HEADS)


def _skewed(hidden: Labels) -> Labels:
    kept = []
    for code in np.unique(hidden):
        own = np.flatnonzero(hidden == code)
        kept.append(own if code % 2 == 0 else own[: max(1, len(own) // 3)])
    return np.sort(np.concatenate(kept))


def proposals(tasks: Path) -> None:
    """Print how many proposed labels are right, of all and by confidence, without and with offsets."""
    backbone, rng = load_backbone("tiny"), np.random.default_rng(0)
    found: dict[str, list[npt.NDArray[np.float64]]] = {"likelihood of the names": [], "with offsets": []}
    for file in sorted(tasks.glob("*/train.jsonl")):
        examples = read_examples(file)
        examples = [examples[i] for i in rng.permutation(len(examples))[:N_PROPOSED]]
        classes = sorted({str(example.label) for example in examples})
        truth = np.array([classes.index(str(example.label)) for example in examples])
        plain = [replace(example, label=None) for example in examples]
        model = SAVModel(backbone, method="option_likelihood").fit_class_names(classes)
        logs = np.log(np.maximum(model.predict_proba(plain), 1e-12))
        moved = log_softmax(logs + class_offsets(logs, np.full(len(classes), 1 / len(classes))))
        for name, table in zip(found, (logs, moved), strict=True):
            found[name].append(np.column_stack([np.exp(table.max(axis=1)), table.argmax(axis=1) == truth]))
        print(file.parent.name, {name: f"{100 * v[-1][:, 1].mean():.1f}" for name, v in found.items()})
    for name, of_tasks in found.items():
        pooled = np.concatenate(of_tasks)
        line = f"{name}: mean of the tasks {100 * np.mean([one[:, 1].mean() for one in of_tasks]):.1f}"
        for level in (0.5, 0.8, 0.9, 0.95, 0.99):
            sure = pooled[:, 0] >= level
            line += f"; {100 * sure.mean():.0f} % at {level}, {100 * pooled[sure, 1].mean():.1f} right"
        print(line)


def main() -> None:
    """Print mean accuracy, log loss and the largest loss on one task, by shots and unlabelled items."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cache", type=Path, default=Path("method-features"))
    parser.add_argument("--method", default="auto")
    parser.add_argument("--shots", default="1,2,5")
    parser.add_argument("--items", default="50,200")
    parser.add_argument("--draws", type=int, default=N_DRAWS)
    parser.add_argument("--design", action="store_true", help="other draws of shots")
    parser.add_argument("--tasks", type=Path, help="judge proposed labels on these files instead")
    options = parser.parse_args()
    if options.tasks is not None:
        proposals(options.tasks)
        return
    counts = [int(count) for count in options.items.split(",")]
    print("| shots | unlabelled items | accuracy | log loss | worst task | best task |\n" + "|---" * 6 + "|")
    for n_shots in map(int, options.shots.split(",")):
        right: dict[str, dict[str, list[float]]] = {}
        losses: dict[str, list[float]] = {}
        for task in _tasks(options.cache):
            for draw in draws(options.cache, task, n_shots, options.draws, design=options.design):
                classifier = make_method(options.method)
                if not isinstance(classifier, CalibratedHeadClassifier):
                    parser.error(f"{options.method} has no calibrated scores")
                for name, logs in answers(draw, classifier, counts).items():
                    share = float((logs.argmax(axis=1) == draw.truth).mean())
                    right.setdefault(name, {}).setdefault(task, []).append(100 * share)
                    losses.setdefault(name, []).append(float(-logs[np.arange(len(logs)), draw.truth].mean()))
        plain = {task: float(np.mean(found)) for task, found in right["without"].items()}
        for name, tasks in right.items():
            gains = {task: float(np.mean(found)) - plain[task] for task, found in tasks.items()}
            mean = np.mean([np.mean(found) for found in tasks.values()])
            line = f"| {n_shots} | {name} | {mean:.1f} | {np.mean(losses[name]):.3f} "
            print(line + f"| {min(gains.values()):+.1f} | {max(gains.values()):+.1f} |", flush=True)


if __name__ == "__main__":
    main()
