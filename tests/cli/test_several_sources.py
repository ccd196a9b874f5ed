"""Several files and quoted patterns as the data of a command."""

from __future__ import annotations

import json
from typing import Any


def answers(text: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test__predict__several_images_and_a_pattern__rows_as_of_the_folder(
    classifier, test_folder, tmp_path, savs
):
    whole = answers(savs("predict", classifier, test_folder)[1])
    red = [row for row in whole if row["id"].startswith("red/")]
    files = [test_folder / "red" / f"{number:02d}.png" for number in range(3)]
    code, text, error = savs("predict", classifier, *files)
    assert (code, error) == (0, "")
    listed = answers(text)
    assert [row["id"] for row in listed] == ["00.png", "01.png", "02.png"]
    assert [row["proba"] for row in listed] == [row["proba"] for row in red]
    assert savs("predict", classifier, test_folder / "red" / "*.png")[1] == text
    code, _, error = savs("predict", classifier, test_folder / "red" / "*.gif")
    assert (code, error.count("\n")) == (1, 1)
    assert "no file fits the pattern" in error
    output = tmp_path / "answers.jsonl"
    assert savs("predict", classifier, test_folder / "*" / "*.png", "-o", output)[0] == 0
    assert [(row["id"], row["label"]) for row in answers(output.read_text())] == [
        (row["id"], row["label"]) for row in whole
    ]
    code, _, error = savs("predict", classifier, files[0], output, "-o", output)
    assert code == 2
    assert "is the data itself" in error


def test__fit_extract_evaluate__several_files__together(backbone, draw, tmp_path, savs):
    for part in range(2):
        folder = tmp_path / f"part{part}"
        folder.mkdir()
        for color in ("red", "blue"):
            draw(color, part).save(folder / f"{color}.png")
        lines = [json.dumps({"image": f"{color}.png", "label": color}) for color in ("red", "blue")]
        (folder / "a.jsonl").write_text("\n".join(lines) + "\n")
    parts = [tmp_path / f"part{part}" / "a.jsonl" for part in range(2)]
    how = "-b", backbone, "--prompt", "Which color?", "--store", tmp_path / "store"
    code, text, error = savs("fit", *parts, *how, "-o", tmp_path / "c", "--n-heads", 5, "--json")
    assert code == 0, error
    assert json.loads(text)["shots_per_class"] == {"blue": 2, "red": 2}
    code, text, error = savs("evaluate", tmp_path / "c", tmp_path / "part?" / "a.jsonl", "--json")
    assert code == 0, error
    report = json.loads(text)
    assert (report["n"], report["n_leaks"]) == (4, 4)
    code, text, error = savs(
        *("extract", *parts, "-b", backbone, "--prompt", "Which color?", "-o", tmp_path / "store", "--json"),
    )
    assert code == 0, error
    assert (json.loads(text)["n"], json.loads(text)["computed"]) == (4, 0)
