from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from rich.console import Console

from savs.demo import render_table


@pytest.fixture
def result(demo: dict[str, Any]) -> dict[str, Any]:
    return demo


def rendered(result: dict[str, Any], width: int) -> str:
    console = Console(width=width, color_system=None, force_terminal=False)
    with console.capture() as capture:
        console.print(render_table(result))
    return capture.get()


@pytest.mark.parametrize("width", [80, 100, 140])
def test__render_table__at_any_usual_width__keeps_every_column_and_task(
    result: dict[str, Any], width: int
) -> None:
    text = rendered(result, width)
    head = text[: text.index("───")]
    for word in ("SAVs", "auto", "shot", "layer", "major-", "pixels"):
        assert word in head
    for task in result["tasks"]:
        assert task["title"] in text
        assert f"{100 * task['accuracy']['pixels']:.1f}" in text
    assert "…" not in text


def test__render_table__where_another_method_is_better__says_so(result: dict[str, Any]) -> None:
    task = result["tasks"][0]
    shares = {**task["accuracy"], "sav": 0.5, "auto": 0.95, "pixels": 0.9183, "last_layer": 0.2}
    text = rendered({**result, "tasks": [{**task, "accuracy": shares}]}, 140)
    assert "Behind pixels alone 91.8 on handwritten digits: SAVs 50.0." in text
    text = rendered({**result, "tasks": [{**task, "accuracy": {**shares, "sav": 0.93}}]}, 140)
    assert "Behind" not in text


def test__render_table__answers_without_a_class__are_quoted(result: dict[str, Any]) -> None:
    task = {**result["tasks"][0], "unparsed": 5, "n_zero_shot": 6, "said": {"a [red] cat": 5, "9": 1}}
    text = rendered({**result, "tasks": [task]}, 200)
    assert "5 of 6 answers name no class and count as wrong; it answers “a [red] cat”" in text


def test__render_table__new_files__come_with_their_command(result: dict[str, Any]) -> None:
    text = rendered(result, 400)
    for shown in result["new_files"]:
        assert shown["command"] in text
        assert str(shown["answers"][0]["id"]) in text
    assert str(Path(result["files"]["image"]).name) in text


def test__render_table__wide_intervals_in_every_column__fit_eighty_columns(result: dict[str, Any]) -> None:
    tasks = [
        {
            **task,
            "accuracy": dict.fromkeys(task["accuracy"], 0.951),
            "interval": dict.fromkeys(task["interval"], (0.851, 1.0)),
        }
        for task in result["tasks"]
    ]
    table = rendered({**result, "tasks": tasks}, 80).split("\n\n")[0]
    assert table.count("95.1±7.5") == 6 * len(tasks)
    assert "…" not in table
