from __future__ import annotations

import json

import pytest

from savs.data import as_examples
from savs.errors import DataError
from savs.tasks import get_task, score_task, without_shots


def groups(n_groups, first=1):
    return as_examples(
        [
            {"question": f"caption {number // 2} {number % 2}", "question_id": number + first, "label": "Yes"}
            for number in range(4 * n_groups)
        ]
    )


def test__without_shots__copy_in_a_group__the_whole_group_is_left_out():
    test = groups(4)
    shots = as_examples(
        [{"question": test[place].text, "question_id": 900 + place, "label": "No"} for place in (5, 6, 14)]
    )
    kept, report = without_shots(get_task("naturalbench_retrieval"), test, shots)
    assert [one.fields["question_id"] for one in kept] == [1, 2, 3, 4, 9, 10, 11, 12]
    assert (report.n_items, report.n_copies, report.n_left_out, report.n_units) == (16, 3, 8, 2)
    assert report.first == "5"
    assert str(report) == (
        "3 of 16 test items are copies of a shot, the first is 5; 8 items in 2 groups are left out"
    )


def test__without_shots__published_numbers__of_items_in_the_shots_and_of_groups_in_the_test(tmp_path):
    task = get_task("naturalbench_retrieval")
    rows = [
        {"question": f"caption {number // 2} {number % 2}", "label": "Yes" if number % 4 in (0, 3) else "No"}
        for number in range(16)
    ]
    of_items = [{**row, "question_id": number + 1} for number, row in enumerate(rows)]
    of_groups = [{**row, "question_id": number // 4 + 1} for number, row in enumerate(rows)]
    for name, some in (("train", [of_items[place] for place in (4, 7)]), ("test", of_groups)):
        (tmp_path / f"{name}.jsonl").write_text("\n".join(map(json.dumps, some)))
    shots, test = task.read(tmp_path / "train.jsonl"), task.read(tmp_path / "test.jsonl")
    assert [one.fields["question_id"] for one in test] == list(range(1, 17))
    kept, report = without_shots(task, test, shots)
    assert [one.text for one in kept] == [row["question"] for row in rows[:4] + rows[8:]]
    assert (report.n_copies, report.n_left_out, report.n_units) == (2, 4, 1)
    assert score_task(task, kept, [one.label for one in kept])["g_acc"].value == 1
    (tmp_path / "test.jsonl").write_text("\n".join(map(json.dumps, [*of_groups, of_groups[0]])))
    mixed = task.read(tmp_path / "test.jsonl")
    with pytest.raises(DataError, match="have the same number in column 'question_id'"):
        score_task(task, mixed, [one.label for one in mixed])


def test__without_shots__pairs__of_the_same_split_alone():
    rows = [
        {"question": f"{split} {pair} {label}", "split": split, "question_id": pair, "label": label}
        for split in ("swap_obj", "add_obj")
        for pair in (0, 1)
        for label in ("Yes", "No")
    ]
    test = as_examples(rows)
    kept, report = without_shots(get_task("sugarcrepe"), test, as_examples(rows[3:4]))
    assert [one.text for one in kept] == [row["question"] for row in rows[:2] + rows[4:]]
    assert (report.n_copies, report.n_left_out, report.n_units) == (1, 2, 1)


def test__without_shots__items_that_stand_alone_and_no_copy():
    test = as_examples(["red", "blue", "red"])
    kept, report = without_shots(get_task("eurosat"), test, as_examples(["red"]))
    assert [one.text for one in kept] == ["blue"]
    assert (report.n_copies, report.n_units) == (2, 2)
    kept, report = without_shots(get_task("eurosat"), test, as_examples(["green"]))
    assert kept == test
    assert str(report) == "none of 3 test items is a copy of a shot"


def test__without_shots__item_that_does_not_tell_its_group__error():
    with pytest.raises(DataError, match="must hold a whole number from 1 on"):
        without_shots(get_task("naturalbench_retrieval"), as_examples(["a"]), as_examples(["a"]))
