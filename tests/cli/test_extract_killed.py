"""`savs extract` killed, stopped, doubled and out of space: real processes, the real bundled model."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from savs.cache import FeatureStore

pytestmark = pytest.mark.slow

PROGRAM = Path(__file__).parent / "extracting.py"
N_ROWS, PART_ROWS = int(os.environ.get("SAVS_EXTRACT_ROWS", "32")), 8
# By hand SAVS_EXTRACT_KILLS=100 SAVS_EXTRACT_ROWS=128 takes a quarter of an hour.
RANDOM_KILLS = int(os.environ.get("SAVS_EXTRACT_KILLS", "6"))
POINTS = [("created", 1), ("created", 4), ("encoded", 1), ("written", 3), ("synced", 4), ("renamed", 2)]
POINTS += [("folder-synced", 4)]


@pytest.fixture(scope="module")
def data(tmp_path_factory):
    """A JSONL file of images of several sizes, two of them the same."""
    folder = tmp_path_factory.mktemp("many")
    rows = []
    for index in range(N_ROWS):
        first = index % (N_ROWS - 1)
        size = (16 + 4 * (first % 3), 24, 3)
        noise = np.random.default_rng(first).integers(0, 255, size, np.uint8)
        Image.fromarray(noise).save(folder / f"{index:03d}.png")
        rows.append({"id": str(index), "image": f"{index:03d}.png", "question": f"What is {index % 4}?"})
    rows[-1]["question"] = rows[0]["question"]
    path = folder / "data.jsonl"
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


class Runner:
    """The process that makes the runs; see extracting.py."""

    def __init__(self, environment):
        self.process = subprocess.Popen(
            [sys.executable, str(PROGRAM)],
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def __call__(self, *plans):
        """Return exit codes, printed text and seconds of runs, one after the other."""
        self.process.stdin.write(json.dumps(plans) + "\n")
        self.process.stdin.flush()
        found = json.loads(self.process.stdout.readline())
        return found["exits"], [Path(one["output"]).read_text() for one in plans], found["seconds"]


@pytest.fixture(scope="module")
def carry_out(environment):
    runner = Runner(environment)
    yield runner
    runner.process.communicate()


def plan(data, store, **more):
    arguments = ["extract", data, "-b", "tiny", "-o", store, "--part-rows", PART_ROWS, "--json", "--quiet"]
    files = {name: f"{store}.{name}" for name in ("log", "output")}
    return {"arguments": [*map(str, arguments)], **files, **more}


def computed(store) -> Counter[str]:
    log = Path(f"{store}.log")
    return Counter(log.read_text().split()) if log.exists() else Counter()


def part_names(store):
    return sorted(path.name for path in (store / "parts").iterdir())


def check_same(store, reference, *, most_computed=N_ROWS - 1 + PART_ROWS):
    """The same parts to the byte, each whole, no leftovers, and at most one batch computed twice."""
    assert part_names(store) == part_names(reference)
    opened = FeatureStore.existing(store)
    assert opened.verify() == []
    assert (len(opened), opened.info()["duplicates"]) == (N_ROWS - 1, 0)
    assert len(computed(store)) == N_ROWS - 1
    assert computed(store).total() <= most_computed


@pytest.fixture(scope="module")
def reference(tmp_path_factory, data, carry_out):
    folder = tmp_path_factory.mktemp("reference")
    carry_out(plan(data, folder / "first"))  # takes longer than any later run
    exits, outputs, seconds = carry_out(plan(data, folder / "store"))
    assert exits == [0], outputs
    report = json.loads(outputs[0])
    assert (report["n"], report["computed"], report["stored"], report["n_errors"]) == (
        N_ROWS,
        N_ROWS - 1,
        1,
        0,
    )
    (folder / "seconds").write_text(str(seconds[0]))
    return folder / "store"


def test__fault_23__extract_killed_at_every_named_point__rerun_ends_the_same(
    data, reference, tmp_path, carry_out
):
    for point, occurrence in POINTS:
        store = tmp_path / f"{point}-{occurrence}"
        killed = plan(data, store, point=point, occurrence=occurrence)
        exits, outputs, _ = carry_out(killed, plan(data, store, output=str(tmp_path / "again")))
        assert exits == [-signal.SIGKILL, 0], outputs
        check_same(store, reference)


def test__fault_23__extract_killed_at_random_moments__rerun_ends_the_same(
    data, reference, tmp_path, carry_out
):
    rng = random.Random(os.environ.get("SAVS_STORE_SEED", "0"))
    whole, figures = float((reference.parent / "seconds").read_text()), []
    while sum(one["exit"] == -signal.SIGKILL for one in figures) < RANDOM_KILLS:
        store = tmp_path / f"store-{len(figures)}"
        killed = plan(data, store, kill_after=rng.uniform(0, whole))
        exits, outputs, seconds = carry_out(killed, plan(data, store, output=str(tmp_path / "again")))
        assert exits[0] in (-signal.SIGKILL, 0)
        assert exits[1] == 0, outputs
        check_same(store, reference)
        repeated = computed(store).total() - (N_ROWS - 1)
        figures.append({"exit": exits[0], "rerun": json.loads(outputs[1])["computed"], "repeated": repeated})
        if exits[0] == 0:
            # How busy the machine is changes: so long does a whole run take now.
            whole = seconds[0]
        assert len(figures) < 10 * RANDOM_KILLS
    if report := os.environ.get("SAVS_KILL_REPORT"):
        Path(report).write_text(json.dumps(figures))


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test__fault_35__signal_during_extract__state_flushed_and_resumed(
    data, reference, tmp_path, carry_out, number, code
):
    store = tmp_path / "store"
    stop = plan(data, store, signal_at=PART_ROWS + 1, signal=number)  # one part is full, the next is computed
    stop["arguments"].remove("--quiet")
    exits, outputs, _ = carry_out(stop, plan(data, store, output=str(tmp_path / "again")))
    assert exits == [code, 0], outputs
    lines = outputs[0].splitlines()
    assert lines[-1] == {130: "savs: interrupted", 143: "savs: terminated"}[code]
    check_same(store, reference)


def test__fault_26__two_extractions_forced_to_overlap__both_succeed_nothing_twice_or_lost(
    data, reference, tmp_path, carry_out
):
    """The first stands still with a part written and not yet named, while the second computes."""
    store, go = tmp_path / "store", tmp_path / "go"
    exits, outputs, _ = carry_out(
        plan(data, store, point="synced", occurrence=3, go=str(go), background=True),
        plan(data, store, background=True, output=str(tmp_path / "second")),
        plan(data, tmp_path / "other", touch=str(go)),
    )
    assert exits == [0, 0, 0], outputs
    opened = FeatureStore.existing(store)
    assert (len(opened), opened.info()["duplicates"], opened.verify()) == (N_ROWS - 1, 0, [])
    assert not list(store.rglob(".tmp-*"))
    assert part_names(tmp_path / "other") == part_names(reference)


def test__fault_25__file_size_limit__stops_with_one_line_and_resumes_with_space(
    data, reference, tmp_path, carry_out
):
    store = tmp_path / "store"
    whole = max(path.stat().st_size for path in (reference / "parts").iterdir())
    exits, outputs, _ = carry_out(
        plan(data, store, limit=whole - 1), plan(data, store, output=str(tmp_path / "again"))
    )
    assert exits == [1, 0], outputs
    assert "cannot write the feature store" in said(outputs[0])
    check_same(store, reference)


def said(output: str) -> str:
    return json.loads(output.splitlines()[-1])["error"]["message"]


@pytest.fixture
def small_disk(mount_disk):
    return mount_disk("250k")


def test__fault_25__disk_full__stops_with_one_line_keeps_whole_parts_and_resumes(
    data, reference, tmp_path, small_disk, carry_out
):
    store = small_disk.path / "store"
    stop = plan(data, store, log=str(tmp_path / "log"), output=str(tmp_path / "output"))
    exits, outputs, _ = carry_out(stop)
    assert exits == [1], outputs
    assert "No space left on device" in said(outputs[0])
    kept = part_names(store)
    assert kept
    assert set(kept) < set(part_names(reference))
    small_disk.remount("size=4m")
    assert carry_out(stop)[0] == [0]
    assert part_names(store) == part_names(reference)
