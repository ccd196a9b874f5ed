from __future__ import annotations

import json

import numpy as np
from benchmarks.heads import main, plain_fit, score_heads

from savs.classifiers import SAVClassifier
from savs.layout import HeadLayout

SIZES = {"heads": 6, "classes": 3, "shots": 4, "dim": 8, "queries": 50, "plain-heads": 2, "repeats": 1}


def test__main__small__writes_every_figure(tmp_path, capsys):
    arguments = [part for name, size in SIZES.items() for part in (f"--{name}", str(size))]
    assert main([*arguments, "--json", str(tmp_path / "heads.json")]) == 0
    figures = json.loads((tmp_path / "heads.json").read_text())
    assert json.loads(capsys.readouterr().out) == figures
    assert figures["same_hits"] is True
    assert figures["peak_over_features"] > 1
    assert {"times_faster", "leave_one_out_ratio", "predict_over_matmul"} <= set(figures)


def test__plain_loop__its_hits__are_those_of_the_library():
    layout = HeadLayout.uniform(1, 5, 8)
    rng = np.random.default_rng(0)
    codes = np.repeat(np.arange(4), 6)
    rows = rng.standard_normal((24, 40), dtype=np.float32) + codes[:, None]
    assert (
        plain_fit(rows, codes, layout, 5) == SAVClassifier(3, layout).fit(rows, codes).head_scores_.tolist()
    )
    scores = [score_heads(rows, codes, layout, out_of_fold).mean() for out_of_fold in (False, True)]
    assert 0 < scores[1] < scores[0] < 1
