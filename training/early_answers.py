"""What early answers save and lose on every task: `python -m training.early_answers --cache PATH`.

The cache is that of `python -m training.methods`. Thresholds are set on the shots alone; test items only say
what came of it. Layers are of all layers, and accuracy lost is against the same method without early answers.
"""

from __future__ import annotations

import argparse
import json
import warnings
from pathlib import Path

import numpy as np

from savs.classifiers import make_method
from savs.classifiers.cascade import CascadeClassifier
from savs.layout import HeadLayout
from training.methods import BUNDLED, _parts, _tasks, draws

__all__ = ["measure"]


def measure(
    cache: Path, layout: HeadLayout, method: str, shots: int, n_draws: int, exit_early: float
) -> dict[str, tuple[float, float]]:
    """Return, by task, the share of layers per answer and the accuracy lost, means over the draws.

    Parameters
    ----------
    cache : Path
        Folder of features.
    layout : HeadLayout
        Of the rows.
    method : str
        A name of `savs.classifiers.METHODS`.
    shots, n_draws : int
        Shots per class, and how many draws.
    exit_early : float
        Allowed loss.
    """
    found = {}
    for task in _tasks(cache):
        runs = []
        for support, labels, test, truth in draws(cache, task, shots, n_draws, _parts(layout)):
            cascade = CascadeClassifier(make_method(method), exit_early=exit_early, layout=layout)
            cascade.fit(support, labels)
            full = cascade.stages_[-1]
            whole = full.predict(test[:, layout.column_indices(full.heads_)])
            lost = (whole == truth).mean() - (cascade.predict(test) == truth).mean()
            runs.append((cascade.layers_passed(test).mean() / layout.n_layers, lost))
        found[task] = (float(np.mean([run[0] for run in runs])), float(np.mean([run[1] for run in runs])))
    return found


def main() -> None:
    """Measure and print one line per number of shots."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--cache", type=Path, default=Path("method-features"))
    parser.add_argument("--method", default="auto")
    parser.add_argument("--shots", default="5,10,20")
    parser.add_argument("--draws", type=int, default=2)
    parser.add_argument("--exit-early", type=float, default=0.005)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    text = json.loads((BUNDLED / "config.json").read_text(encoding="utf-8"))["text_config"]
    layout = HeadLayout.uniform(text["num_hidden_layers"], text["num_attention_heads"], text["head_dim"])
    layout = layout.with_state(text["hidden_size"])
    report = {}
    for count in map(int, options.shots.split(",")):
        found = measure(options.cache, layout, options.method, count, options.draws, options.exit_early)
        report[count] = found
        layers, lost = np.array(list(found.values())).T
        worst = max(found, key=lambda task: found[task][1])
        print(
            f"{options.method}, {count} shots: {layers.mean():.3f} of the layers, {100 * lost.mean():+.2f} "
            f"points lost, at most {100 * lost.max():+.2f} ({worst})",
            flush=True,
        )
    if options.json is not None:
        options.json.write_text(json.dumps(report, indent=1), encoding="utf-8")


if __name__ == "__main__":
    main()
