"""The benchmark runs from the command line on tiny models; its arithmetic is right. No times are asserted."""

import json
import math

import numpy as np
import pytest
import torch
from benchmarks.extraction import MEASURES, arguments, main
from benchmarks.findings import Finding, Goal
from benchmarks.images import support_set
from benchmarks.memory import LiveBytes
from benchmarks.reference import fit_reference, read_heads
from benchmarks.setting import Counts, Setting
from benchmarks.shapes import FAMILIES, build
from benchmarks.table import markdown, write_between
from benchmarks.timing import Times, interleave

from savs.model import SAVModel

pytestmark = pytest.mark.slow

KEYS = {"subject", "measure", "value", "low", "high", "goal", "seconds", "note", "met"}


@pytest.fixture(scope="module", autouse=True)
def one_thread():
    before = torch.get_num_threads()
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    """Run everything once at the smallest size."""
    folder = tmp_path_factory.mktemp("benchmarks")
    page = folder / "page.md"
    page.write_text("before\n<!-- extraction cpu: begin -->\nold\n<!-- extraction cpu: end -->\nafter\n")
    outputs = ["--json", str(folder / "r.json"), "--write", str(page)]
    assert main(["--size", "small", "--quick", "--quiet", *outputs]) == 0
    return json.loads((folder / "r.json").read_text()), page.read_text()


@pytest.fixture(scope="module", params=FAMILIES)
def setting(request):
    return Setting(build(request.param, "small", "cpu", "float32"), "cpu", Counts())


def test__main__quick__writes_every_measure_of_every_family(report):
    found, _ = report
    assert set(found) == {"machine", "findings"}
    assert {finding["subject"] for finding in found["findings"]} >= {f"{name} small" for name in FAMILIES}
    for finding in found["findings"]:
        assert set(finding) == KEYS
        assert finding["low"] <= finding["value"] <= finding["high"]
        assert math.isfinite(finding["value"])
    starts = (
        "fit:",
        "query,",
        "questions",
        "five prompts on one image: time",
        "five prompts on one image: tokens",
        "memory",
        "batches of",
        "extract, batch",
        "recording:",
        "vectors:",
    )
    for words in starts:
        assert any(finding["measure"].startswith(words) for finding in found["findings"]), words


def test__main__quick__command_names_no_files_and_machine_no_host(report):
    found, _ = report
    assert found["machine"]["commands"] == ["python -m benchmarks.extraction --size small --quick --quiet"]
    assert {"cores", "threads", "torch", "transformers", "python", "date"} <= set(found["machine"])


def test__main__write__replaces_only_between_the_markers(report):
    found, page = report
    assert page.startswith("before\n")
    assert page.endswith("<!-- extraction cpu: end -->\nafter\n")
    assert "old" not in page
    assert page.count("\n| ") == 1 + len(found["findings"])


def test__findings__vectors_and_batches__agree(report):
    found, _ = report
    checks = [f for f in found["findings"] if f["measure"].startswith(("vectors:", "batches of", "memory"))]
    assert len(checks) == 4 * len(FAMILIES)
    assert all(finding["met"] for finding in checks), checks


def test__reference__its_vectors__are_those_of_the_library(setting):
    shots = support_set(2, 2)
    ours = setting.backbone(2).extract(shots).features
    theirs = [read_heads(setting.built, setting.anatomy.sites, shot).flatten().numpy() for shot in shots]
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-4 * np.abs(theirs).max())
    assert np.abs(ours[0] - ours[1]).max() > 1e-2 * np.abs(ours).max()


def test__reference__its_hits__are_those_of_the_library(setting):
    shots = support_set(3, 2)
    reference = fit_reference(setting.built, setting.anatomy, shots, n_heads=5)
    model = SAVModel(setting.backbone(), n_heads=5).fit(shots)
    # Cosines in float32 may tie where float64 tells them apart.
    assert np.abs(np.array(reference.hits) - model.head_scores_).max() <= 1
    assert reference.means.shape == (3, 5, 8)
    assert [reference.hits[head] for head in reference.heads] == sorted(reference.hits)[::-1][:5]


def test__reference__leaves_no_hooks(setting):
    fit_reference(setting.built, setting.anatomy, support_set(2, 1))
    assert not any(site.projection._forward_hooks for site in setting.anatomy.sites)


def test__live_bytes__kept_and_dropped_tensors__counted_once():
    known = torch.zeros(1000)
    with LiveBytes([known]) as live:
        kept = torch.ones(256)
        view = kept[:10].view(2, 5)
        assert known.view(10, 100).shape == (10, 100)
        assert live.now == 1024
        del view
        gone = torch.ones(512)
        assert live.now == 1024 + 2048
        del gone
        assert live.now == 1024
        assert live.peak == 1024 + 2048
    assert kept.sum() == 256


def test__interleave__order_alternates_and_ratios_pair_repeats():
    order = []
    interleave(
        {"a": lambda: order.append("a"), "b": lambda: order.append("b")}, 2, "cpu", warm_up=lambda: None
    )
    assert order == ["a", "b", "b", "a"]
    ratio = Times({"a": [1.0, 2.0, 9.0], "b": [2.0, 1.0, 3.0]}, {}).ratio("a", "b")
    assert (ratio.low, ratio.median, ratio.high) == (0.5, 2.0, 3.0)
    halves = Times({"a": [1.0], "b": [1.0]}, {"a": [3.0], "b": [4.0]}).scaled("a", 2)
    assert halves == Times({"a": [2.0], "b": [1.0]}, {"a": [6.0], "b": [4.0]})


@pytest.mark.parametrize(
    ("sign", "value", "met"), [("<=", 1.0, True), ("<=", 1.1, False), (">=", 0.9, False)]
)
def test__finding__goal__is_judged_and_survives_json(sign, value, met):
    finding = Finding("m", "x", value, value, value, Goal(sign, 1.0), {"a": 1.0}, "n")
    assert finding.met is met
    assert Finding.from_json(json.loads(json.dumps(finding.to_json()))) == finding


def test__read__several_reports__one_table_with_the_last_number_of_each_measure(report, tmp_path):
    found, _ = report
    files = [tmp_path / "a.json", tmp_path / "b.json"]
    again = [{**found["findings"][0], "value": 123.0}, {**found["findings"][1], "measure": "another"}]
    for file, findings in zip(files, (found["findings"], again), strict=True):
        file.write_text(json.dumps({**found, "findings": findings}))
    assert main(["--quiet", "--read", *map(str, files), "--json", str(tmp_path / "c.json")]) == 0
    joined = json.loads((tmp_path / "c.json").read_text())
    assert joined["findings"] == [again[0], *found["findings"][1:], again[1]]
    assert "--size small" in markdown([], joined["machine"])


def test__write_between__page_without_markers__is_refused(tmp_path):
    page = tmp_path / "page.md"
    page.write_text("nothing")
    with pytest.raises(ValueError, match="no markers"):
        write_between(page, "extraction cpu", "text")
    assert page.read_text() == "nothing"


@pytest.mark.parametrize(
    "wrong",
    [
        ["--measures", "fit,speed"],
        ["--families", "llava"],
        ["--size", "huge"],
        ["--repeats", "0"],
        ["--read", "missing.json"],
        ["--write", "missing.md"],
        ["--json", "missing/a.json"],
    ],
)
def test__arguments__unknown_name__exits_2(wrong, capsys):
    with pytest.raises(SystemExit, match="2"):
        arguments(wrong)
    assert wrong[1].rsplit(",", maxsplit=1)[-1].removesuffix("/a.json") in capsys.readouterr().err


def test__arguments__measures__all_by_default():
    assert set(arguments([]).measures) == {*MEASURES, "overhead"}
