"""``savs report`` from the command line."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from tests.reports.runs import write_run

from savs import SAVModel
from savs.backbones.fake import FakeBackbone
from savs.cli.main import run


def test__report__of_a_run__is_written_and_told_as_json(tmp_path: Path, capsys) -> None:
    folder, output = write_run(tmp_path / "run"), tmp_path / "new" / "report.html"
    assert run(["report", str(folder), "-o", str(output), "--json"]) == 0
    told = json.loads(capsys.readouterr().out)
    assert told["headline"]["value"] == pytest.approx(0.75)
    assert "Shortcut audit" in told["sections"]
    assert output.read_text().startswith("<!doctype html>")


def test__report__of_a_classifier__is_written_quietly(tmp_path: Path, capsys) -> None:
    model = SAVModel(FakeBackbone(), n_heads=8).fit(["red", "crimson", "blue", "navy"], [1, 1, 2, 2])
    model.save_pretrained(tmp_path / "c")
    assert run(["report", str(tmp_path / "c"), "-o", str(tmp_path / "c.html"), "--quiet"]) == 0
    assert capsys.readouterr() == ("", "")
    assert "Estimated on the shots themselves" in (tmp_path / "c.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "code", "message"),
    [
        (["{run}", "-o", "{run}/report.html"], 2, "where only savs writes files"),
        (["{run}"], 2, "Missing option"),
        (["{tmp}", "-o", "{tmp}/r.html"], 2, "where only savs writes files"),
        (["{tmp}/nothing", "-o", "{tmp}/r.html"], 1, "neither a run of savs benchmark nor a classifier"),
        (["{run}", "-o", "{tmp}/r.html", "--method", "sax"], 1, "no method 'sax'"),
    ],
)
def test__report__wrong_request__writes_nothing(tmp_path: Path, capsys, arguments, code, message) -> None:
    folder = write_run(tmp_path / "run")
    given = [one.format(run=folder, tmp=tmp_path) for one in arguments]
    assert run(["report", *given]) == code
    assert message in " ".join(capsys.readouterr().err.split())
    assert not list(tmp_path.rglob("*.html"))


def test__report__older_report__is_replaced_only_by_a_complete_one(tmp_path: Path) -> None:
    folder, output = write_run(tmp_path / "run"), tmp_path / "r.html"
    output.write_text("old")
    (folder / "audit.jsonl").write_text("{")
    assert run(["report", str(folder), "-o", str(output)]) == 1
    assert output.read_text() == "old"
    (folder / "audit.jsonl").unlink()
    assert run(["report", str(folder), "-o", str(output)]) == 0
    assert output.read_text() != "old"
