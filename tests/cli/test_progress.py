from __future__ import annotations

import io

import pytest

from savs.cli import _progress as module
from savs.cli._progress import Progress
from savs.errors import BackboneError


class Clock:
    now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch):
    found = Clock()
    monkeypatch.setattr(module.time, "monotonic", found)
    return found


def test__no_terminal__a_line_every_half_minute_with_rate_and_time_left(clock, capsys):
    with Progress(10_000, shown=True) as progress:
        for _ in range(100):
            clock.now += 1
            progress.advance(40)
    lines = capsys.readouterr().err.splitlines()
    assert lines == [
        "savs: 1200 of 10000 examples, 40.0 per second, 3 min 40 s left",
        "savs: 2400 of 10000 examples, 40.0 per second, 3 min 10 s left",
        "savs: 3600 of 10000 examples, 40.0 per second, 2 min 40 s left",
    ]
    assert (progress.done, progress.seconds, progress.rate) == (4000, 100.0, 40.0)


def test__resumed__rate_is_of_this_run_alone(clock, capsys):
    with Progress(5000, shown=True, done=4000) as progress:
        clock.now += 40
        progress.advance(20)
    assert capsys.readouterr().err == "savs: 4020 of 5000 examples, 0.5 per second, 32 min 40 s left\n"


def test__unknown_total__no_time_left(clock, capsys):
    with Progress(None, shown=True) as progress:
        clock.now += 31
        progress.advance(62)
    assert capsys.readouterr().err == "savs: 62 examples, 2.0 per second\n"


def test__quiet__silent(clock, capsys):
    with Progress(100, shown=False) as progress:
        clock.now += 500
        progress.advance(50)
    assert capsys.readouterr().err == ""
    assert progress.done == 50


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def test__terminal__one_bar_from_where_the_earlier_run_stopped(monkeypatch):
    stderr = Terminal()
    monkeypatch.setattr("sys.stderr", stderr)
    with Progress(200, shown=True, done=100) as progress:
        progress._bar.delay = 0
        for _ in range(5):
            progress.advance(20)
    assert "200/200" in stderr.getvalue()
    assert stderr.getvalue().count("\n") == 1


@pytest.mark.parametrize("quiet", [False, True])
def test__quiet__no_bars_while_the_backbone_loads(
    quiet, classifier, train, backbone, tmp_path, savs, monkeypatch
):
    shown = []

    def refuse(_name, *, progress, **_options):
        shown.append(progress)
        raise BackboneError("not loaded here")

    monkeypatch.setattr("savs.model._source.load_backbone", refuse)
    monkeypatch.setattr("savs.backbones.load_backbone", refuse, raising=False)
    for command in (
        ["fit", train, "-b", backbone, "-o", tmp_path / "c"],
        ["predict", classifier, train, "-o", tmp_path / "answers.jsonl"],
        ["evaluate", classifier, train],
        ["extract", train, "-b", backbone, "-o", tmp_path / "store"],
        ["compare", train, "-b", backbone, "--shots", "2"],
    ):
        code, _, error = savs(*command, *["--quiet"] * quiet)
        assert (code, "not loaded here" in error) == (1, True), (command, error)
    assert shown == [not quiet] * 5
