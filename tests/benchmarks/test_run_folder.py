from __future__ import annotations

import json

import pytest

from savs.benchmarks import RunFolder
from savs.benchmarks.run_folder import cell_name, file_name
from savs.errors import DataError

CONFIGURATION = {
    "versions": {"savs": "1"},
    "settings": {"methods": ["sav", "auto"], "shots": [20], "draws": 5},
    "tasks": ["leaves"],
    "data": {"leaves": {"digest": "ab", "n_pool": 40}},
    "backbone": {"name": "tiny", "fingerprint": {"weights_digest": "1", "source": "here"}},
}


def changed(**values):
    return {**CONFIGURATION, **values}


@pytest.fixture
def folder(tmp_path):
    found = RunFolder(tmp_path / "run")
    with found.locked():
        found.begin(CONFIGURATION)
    return found


def test__same_configuration__goes_on(folder):
    before = (folder.path / "run.json").read_bytes()
    folder.begin({**CONFIGURATION, "created": "later", "command": "another"})
    assert (folder.path / "run.json").read_bytes() == before
    assert json.loads(before)["schema"] == 1


@pytest.mark.parametrize(
    ("values", "says"),
    [
        ({"settings": {"methods": ["sav", "auto"], "shots": [20], "draws": 2}}, "draws (5 -> 2)"),
        ({"data": {"leaves": {"digest": "cd", "n_pool": 40}}}, "data leaves digest (ab -> cd)"),
        ({"versions": {"savs": "2"}}, "versions savs (1 -> 2)"),
        (
            {"backbone": {"name": "x", "fingerprint": {"weights_digest": "2", "source": "here"}}},
            "backbone weights_digest",
        ),
    ],
)
def test__another_configuration__is_refused_in_one_line_that_names_it(folder, values, says):
    with pytest.raises(DataError) as caught:
        folder.begin(changed(**values))
    assert str(caught.value) == f"{folder.path} holds another run, name a new folder; what differs: {says}"


def test__other_methods_and_tasks__join_the_run(folder):
    moths = {"digest": "ef", "n_pool": 9}
    joining = {
        "settings": {"methods": ["calm", "sav"], "shots": [20], "draws": 5, "audit": True},
        "tasks": ["moths", "leaves"],
        "data": {"moths": moths, **CONFIGURATION["data"]},
    }
    folder.begin(changed(**joining, command="second"))
    saved = folder.configuration
    assert saved["settings"] == {"methods": ["sav", "auto", "calm"], "shots": [20], "draws": 5, "audit": True}
    assert saved["tasks"] == ["leaves", "moths"]
    assert saved["data"] == {"leaves": CONFIGURATION["data"]["leaves"], "moths": moths}
    assert saved["extended_by"] == ["second"]
    before = (folder.path / "run.json").read_bytes()
    folder.begin(changed(command="the first again"))
    assert (folder.path / "run.json").read_bytes() == before
    with pytest.raises(DataError, match=r"data moths digest \(ef -> cd\)"):
        folder.begin(changed(**{**joining, "data": {"moths": {"digest": "cd", "n_pool": 9}}}))


def test__where_a_backbone_was_loaded_from__does_not_matter(folder):
    folder.begin(changed(backbone={"name": "x", "fingerprint": {"weights_digest": "1", "source": "there"}}))


def test__cell__is_there_when_its_own_file_is(folder):
    record = {"task": "my leaves/1", "method": "sav", "shots": 20, "draw": 3, "failure": None}
    assert folder.cell("my leaves/1", "sav", 20, 3) is None
    folder.write_cell(record, [{"id": "a"}], {"n_layers": 2})
    assert folder.cell("my leaves/1", "sav", 20, 3) == record
    names = sorted(str(path.relative_to(folder.path)) for path in folder.path.rglob("*sav-20-3*"))
    place = file_name("my leaves/1")
    assert names == [
        f"answers/{place}/sav-20-3.jsonl",
        f"cells/{place}/sav-20-3.json",
        f"heads/{place}/sav-20-3.json",
    ]
    assert cell_name("sav", 20, 3) == "sav-20-3"
    assert folder.cells(["my leaves/1"]) == [record]


def test__second_process__is_kept_out(folder):
    other = RunFolder(folder.path)
    with folder.locked(), pytest.raises(DataError, match="another process is at work"), other.locked():
        pass
    with other.locked():
        pass


def test__folder_of_something_else__is_refused(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(DataError, match="there are files that are of no benchmark run"):
        RunFolder(tmp_path)
    with pytest.raises(DataError, match="is not a folder"):
        RunFolder(tmp_path / "thesis.txt")


@pytest.mark.parametrize("content", ["", "[]", "{", '{"schema": 99}'])
def test__record_of_the_run__damaged_or_newer__says_so(folder, content):
    (folder.path / "run.json").write_text(content)
    with pytest.raises(DataError, match="is not the record of a benchmark run that this savs can read"):
        folder.begin(CONFIGURATION)


@pytest.mark.parametrize("name", ["..", ".", "", "a/../b", "/etc", "ä b"])
def test__file_name__stays_inside_its_folder(name):
    assert "/" not in file_name(name)
    assert file_name(name) not in {"", ".", ".."}


@pytest.mark.parametrize(("first", "second"), [("my photos", "my_photos"), ("Leaves", "leaves")])
def test__joining_task_with_the_files_of_another__is_refused(tmp_path, first, second):
    folder = RunFolder(tmp_path / "run")
    folder.begin(changed(tasks=[first], data={first: {"digest": "ab"}}))
    with pytest.raises(DataError, match=f"task {second} would write the files of task {first}"):
        folder.begin(changed(tasks=[second], data={second: {"digest": "cd"}}))
