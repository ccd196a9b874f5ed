from __future__ import annotations

import json

import pytest
from PIL import Image as PILImage

from savs.benchmarks import DEMO_TASKS, load_task_data, own_task
from savs.benchmarks.task_data import TaskData, TaskPart, choose_items
from savs.data import as_examples
from savs.demo.tasks import build_tasks
from savs.errors import DataError
from savs.tasks import Groups, Task, get_task
from savs.tasks.leaks import unit_of

GROUPED = Task(
    name="grouped",
    prompt="Is it?",
    protocol="n_way",
    metric="group_accuracies",
    origin="made up",
    groups=Groups("number", size=4),
)


def grouped(n):
    return as_examples(
        [{"text": f"t{i}", "number": i, "id": f"i{i}", "label": "ab"[i % 2]} for i in range(n)]
    )


def write(file, rows):
    file.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return file


def test__demo_tasks__examples_and_prompts_of_the_demo_for_the_same_seed():
    made = {f"demo_{task.name}": task for task in build_tasks(3)}
    assert set(made) == set(DEMO_TASKS)
    for name, task in made.items():
        found = DEMO_TASKS[name]
        assert found.task.prompt == task.prompt
        again = found.make(3)
        assert [(one.id, one.label) for one in again.examples] == [
            (one.id, one.label) for one in task.examples
        ]
    data = load_task_data(DEMO_TASKS["demo_photos"].task, seed=3)
    [part] = data.parts
    assert len(part.pool) == 900
    assert part.test == []
    assert part.lettered
    assert part.pool[0].text == "What is in this picture?"
    assert "(A) deer" in part.questions[part.pool[0].id].text


def test__choose_items__whole_groups_at_random_and_never_more_than_asked():
    examples = grouped(20)
    chosen = choose_items(GROUPED, examples, 10, 0)
    groups = {unit_of(GROUPED, examples[index], index) for index in chosen}
    assert len(chosen) == 8
    assert len(groups) == 2
    assert choose_items(GROUPED, examples, 10, 0) == chosen
    assert any(choose_items(GROUPED, examples, 10, seed) != chosen for seed in range(1, 5))
    assert len(choose_items(GROUPED, examples, 1, 0)) == 4


def test__choose_items__classes_take_turns_so_that_rare_ones_are_asked():
    labels = ["a"] * 30 + ["b"] * 2
    examples = as_examples([f"t{index}" for index in range(32)], labels)
    chosen = choose_items(own_task("mine"), examples, 4, 0)
    assert sorted(labels[index] for index in chosen) == ["a", "a", "b", "b"]


def test__unit_of__pairs_of_the_same_split():
    task = get_task("sugarcrepe")
    rows = [
        {"text": "q", "split": split, task.pair_column: pair, "label": "Yes"}
        for split in ("swap", "add")
        for pair in (0, 0, 1)
    ]
    examples = as_examples(rows)
    assert len({unit_of(task, example, index) for index, example in enumerate(examples)}) == 4


def test__own_files__shots_and_test_with_the_prompt(tmp_path):
    train = write(tmp_path / "train.jsonl", [{"text": f"x{i}", "label": "ab"[i % 2]} for i in range(6)])
    test = write(tmp_path / "test.jsonl", [{"text": f"y{i}", "label": "ab"[i % 2]} for i in range(4)])
    data = load_task_data(own_task("mine", "{text}?"), train, test=test, own=True)
    [part] = data.parts
    assert [example.text for example in part.pool][:2] == ["x0?", "x1?"]
    assert len(part.test) == 4
    record = data.record()
    assert (record["n_pool"], record["n_test"], record["source"]) == (6, 4, str(train))
    other = load_task_data(own_task("mine", "{text}!"), train, test=test, own=True)
    assert other.record()["digest"] != record["digest"]
    assert load_task_data(own_task("mine", "{text}?"), train, test=test, own=True).record() == record


def test__public_files__one_for_the_shots_and_one_for_the_test(tmp_path):
    PILImage.new("RGB", (24, 24)).save(tmp_path / "a.jpg")
    row = {"image": "/elsewhere/a.jpg", "question": "Which can?", "label": "answerable"}
    train = write(tmp_path / "train.jsonl", [row, {**row, "label": "unanswerable"}])
    test = write(tmp_path / "test.jsonl", [row] * 3)
    data = load_task_data(get_task("vizwiz"), train, test=test, max_test=2)
    [part] = data.parts
    assert (len(part.pool), len(part.test)) == (2, 2)
    assert part.pool[0].text.startswith("\nWhich can? \nWhen the provided information")


def test__folder_with_a_file_for_each_split__is_found_by_their_names(tmp_path):
    PILImage.new("RGB", (24, 24)).save(tmp_path / "a.jpg")
    row = {"image": "/elsewhere/a.jpg", "question": "Which can?", "label": "answerable"}
    write(tmp_path / "vizwiz_sav_train.jsonl", [row, {**row, "label": "unanswerable"}])
    write(tmp_path / "vizwiz_test.jsonl", [row] * 3)
    [part] = load_task_data(get_task("vizwiz"), tmp_path).parts
    assert (len(part.pool), len(part.test)) == (2, 3)
    write(tmp_path / "another_test.jsonl", [row])
    with pytest.raises(DataError, match=r"holds 2 files .* of the split 'test'; name the file itself"):
        load_task_data(get_task("vizwiz"), tmp_path)
    with pytest.raises(DataError, match="name the file of the shots with --source sugarcrepe=FILE"):
        load_task_data(get_task("sugarcrepe"))


def test__files_that_are_not_there_or_empty__says_what_to_name(tmp_path):
    with pytest.raises(DataError, match=r"task vizwiz: there is no file or folder .*none\.json"):
        load_task_data(get_task("vizwiz"), tmp_path / "none.json")
    empty = tmp_path / "empty.jsonl"
    empty.write_text("")
    with pytest.raises(DataError):
        load_task_data(own_task("mine"), empty, own=True)


@pytest.mark.parametrize(
    ("test_splits", "says"),
    [
        (["Counting"], "shots but no test items of the part 'Jigsaw'"),
        (["Counting", "Jigsaw", "IQ_Test"], "test items but no shots of the part 'IQ_Test'"),
    ],
)
def test__parts_of_shots_and_test_items__must_be_the_same(tmp_path, test_splits, says):
    def rows(splits):
        return [
            {"image_1": "a.jpg", "question": f"Which {split}? (A) x (B) y", "label": label, "split": split}
            for split in splits
            for label in ("(A)", "(B)")
        ]

    PILImage.new("RGB", (4, 4)).save(tmp_path / "a.jpg")
    shots = write(tmp_path / "shots.jsonl", rows(["Counting", "Jigsaw"]))
    test = write(tmp_path / "test.jsonl", rows(test_splits))
    with pytest.raises(DataError, match=says):
        load_task_data(get_task("blink"), shots, test=test, media_root=tmp_path)


@pytest.mark.parametrize("column", ["question_id", "split"])
def test__record__other_pairs_or_splits_of_the_same_items__are_other_data(column):
    def record(values):
        rows = [
            {"text": f"t{place}", "label": "AB"[place % 2], "question_id": 0, "split": "x"} | {column: value}
            for place, value in enumerate(values)
        ]
        return TaskData(get_task("sugarcrepe"), [TaskPart(None, as_examples(rows), [])]).record()

    assert record("1122") == record("1122")
    assert record("1122")["digest"] != record("1212")["digest"]
