from __future__ import annotations

import pytest

from savs.benchmarks import markdown_table, published_results, result_rows
from savs.benchmarks.published import _all_results
from savs.benchmarks.results_table import csv_table, in_order
from savs.evaluation.contenders import known_contenders
from savs.tasks import get_task, list_tasks


def cell(method="sav", value=0.5, draw=0, shots=20, **more):
    figure = {"value": value, "low": value - 0.1, "high": value + 0.1, "n": 40}
    return {
        "task": "eurosat",
        "protocol": "four_way",
        "metric": "accuracy",
        "method": method,
        "shots": shots,
        "draw": draw,
        "n_test": 40,
        "n_failed": 0,
        "failure": None,
        "figures": {"accuracy": figure},
        **more,
    }


def failed(method, draw=0):
    return cell(method, draw=draw, figures={}, failure="no image-text model | is named", n_test=40)


def test__several_draws__mean_and_students_interval_by_hand():
    [row] = result_rows([cell(value=0.6), cell(value=0.7, draw=1), cell(value=0.8, draw=2)])
    half = 4.302653 * 0.1 / 3**0.5  # t of 97.5 % with 2 degrees of freedom, standard deviation 0.1
    assert (row.mean, row.low, row.high) == pytest.approx((0.7, 0.7 - half, 0.7 + half), abs=1e-6)
    assert (row.n_draws, row.n_failures, row.n_test) == (3, 0, 40)


def test__one_draw__its_own_interval_over_items():
    [row] = result_rows([cell(value=0.6)])
    assert (row.mean, row.low, row.high) == pytest.approx((0.6, 0.5, 0.7))
    assert "| 60.0 (50.0 to 70.0) |" in markdown_table([row])


def test__failures__are_counted_and_the_reason_stands_below_the_table():
    rows = result_rows([cell("majority", n_failed=3), failed("clip_gda"), cell("sav"), failed("sav", 1)])
    by_method = {row.method: row for row in rows}
    assert (by_method["clip_gda"].mean, by_method["clip_gda"].n_failures) == (None, 1)
    assert (by_method["sav"].n_draws, by_method["sav"].n_failures) == (1, 1)
    text = markdown_table(rows)
    assert "clip_gda failed in 1 of 1 draws: no image-text model \\| is named" in text
    assert "sav failed in 1 of 2 draws" in text
    assert "majority: 3 items without an answer count as wrong" in text
    assert "| failed |" in text


def test__published_numbers__beside_the_same_task_protocol_and_shots_only():
    same = markdown_table(result_rows([cell("sav"), cell("majority")]))
    assert "| published, LLaVA-OneVision-7B | 86.7 |  |" in same
    assert "| published, Qwen2-VL-7B | 79.9 |  |" in same
    for other in ({"protocol": "n_way"}, {"shots": 5}, {"task": "mine"}):
        assert "published" not in markdown_table(result_rows([cell("sav", **other)]))
    assert "86.7 (LLaVA-OneVision-7B); 79.9 (Qwen2-VL-7B)" in csv_table(result_rows([cell("sav")]))
    assert [one.value for one in published_results("eurosat", "four_way", "accuracy", "zero_shot", 5)] == [
        70.5,
        66.5,
        54.7,
    ]


def test__published_numbers__are_of_known_methods_and_of_the_figures_and_protocols_that_tasks_have():
    known = set(list_tasks())
    assert len(_all_results()) > 150
    for one in _all_results():
        assert one.method in {*known_contenders(), "mtv"}  # published, and not built here
        assert 0 < one.value < 100
        if one.task in known:
            assert get_task(one.task).protocol == one.protocol, one.task
    assert {"eurosat", "pets", "vizwiz", "vlguard", "mhalubench", "sugarcrepe"} <= {
        one.task for one in _all_results()
    } & known


def test__order__of_the_settings_with_majority_last():
    rows = result_rows([cell("majority"), cell("auto"), cell("sav"), cell("sav", shots=5)])
    ordered = in_order(rows, {"methods": ["sav", "auto"], "shots": [20, 5]})
    assert [(row.method, row.shots) for row in ordered] == [
        ("sav", 20),
        ("auto", 20),
        ("majority", 20),
        ("sav", 5),
    ]
    assert markdown_table(ordered).startswith("## 20 shots per class\n\n| task | sav | auto | majority |")


def test__draws_that_are_all_equal__have_the_interval_over_items():
    [row] = result_rows([cell("clip_zero_shot", 0.8, draw) for draw in range(3)])
    assert (row.mean, row.low, row.high, row.n_draws) == pytest.approx((0.8, 0.7, 0.9, 3))
