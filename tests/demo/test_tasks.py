from __future__ import annotations

import re
from collections import Counter
from pathlib import Path
from typing import Literal

import numpy as np
import pytest

from savs.backbones import PromptTemplate
from savs.data import example_hash
from savs.demo.scenes import NOUNS, RULE, Rule, draw_image, write_note
from savs.demo.tasks import Task, build_tasks

NAMES = ["digits", "photos", "note", "shape", "pairs"]
RULES = Path(__file__).parents[2] / "training" / "questions" / "rules.py"


@pytest.fixture(scope="module")
def tasks() -> dict[str, Task]:
    return {task.name: task for task in build_tasks(seed=0, per_class=24)}


def test__build_tasks__same_seed__gives_the_same_examples(tasks: dict[str, Task]) -> None:
    again = build_tasks(seed=0, per_class=24)
    assert [task.name for task in again] == NAMES
    for task in again:
        first = tasks[task.name]
        assert [example.id for example in task.examples] == [example.id for example in first.examples]
        assert task.labels == first.labels
        assert list(map(example_hash, task.examples)) == list(map(example_hash, first.examples))


def test__build_tasks__another_seed__gives_other_examples(tasks: dict[str, Task]) -> None:
    for task in build_tasks(seed=1, per_class=8):
        hashes = set(map(example_hash, task.examples))
        assert len(hashes & set(map(example_hash, tasks[task.name].examples))) < len(hashes)


@pytest.mark.parametrize("name", NAMES)
def test__build_tasks__every_task__is_balanced_and_takes_turns(tasks: dict[str, Task], name: str) -> None:
    task = tasks[name]
    assert set(Counter(task.labels).values()) == {24}
    assert len({example.id for example in task.examples}) == len(task.examples)
    first = Counter(task.labels[: 4 * len(task.classes)])
    assert set(first.values()) == {4}  # what zero-shot generation answers is balanced too


@pytest.mark.parametrize("name", NAMES)
def test__build_tasks__examples__no_two_alike(tasks: dict[str, Task], name: str) -> None:
    hashes = Counter(map(example_hash, tasks[name].examples))
    assert hashes.most_common(1)[0][1] == 1


def test__build_tasks__full_size__leaves_a_hundred_test_items_and_uses_a_photo_once() -> None:
    tasks = {task.name: task for task in build_tasks(seed=0)}
    for task in tasks.values():
        assert len(task.examples) - 20 * len(task.classes) >= 100
        assert min(Counter(task.labels).values()) >= 50
    for name in ("photos", "pairs"):
        used = Counter(image.source for example in tasks[name].examples for image in example.images)
        assert max(used.values()) == 1


def test__pairs__label_is_yes_exactly_when_both_photos_are_of_one_class(tasks: dict[str, Task]) -> None:
    for example in tasks["pairs"].examples:
        first, second = (image.source.parent.name for image in example.images)
        assert example.label == ("yes" if first == second else "no")


def test__photos__label_is_the_folder_of_the_image(tasks: dict[str, Task]) -> None:
    for example in tasks["photos"].examples:
        assert example.images[0].source.parent.name == example.label


@pytest.mark.parametrize("name", NAMES)
def test__zero_shot_prompt__every_task__names_what_to_answer(tasks: dict[str, Task], name: str) -> None:
    task = tasks[name]
    prompt = PromptTemplate(task.zero_shot_prompt).apply(task.examples[0]).text.lower()
    assert all(re.search(rf"\b{str(label).lower()}\b", prompt) for label in task.classes)
    for letter, label in zip("abc", task.classes if task.lettered else (), strict=False):
        assert f"({letter}) {label}" in prompt


@pytest.mark.parametrize("join", ["one", "and"])
def test__combinations__two_of_four__make_the_rule_hold(join: Literal["one", "and"]) -> None:
    rule = Rule("circle", "food", join)
    verdicts = [rule.holds(*pair) for pair in rule.combinations]
    assert verdicts == [True, False, True, False]
    best = 0.75 if join == "and" else 0.5
    for part in (0, 1):  # the best that can be said from one part alone
        cells = Counter(
            (pair[part], verdict) for pair, verdict in zip(rule.combinations, verdicts, strict=True)
        )
        assert sum(max(cells[truth, True], cells[truth, False]) for truth in (True, False)) / 4 == best


def test__note_task__label__agrees_with_the_note(tasks: dict[str, Task]) -> None:
    on_note = [
        any(noun in example.text.rstrip("?").split() for noun in NOUNS[RULE.topic])
        for example in tasks["note"].examples
    ]
    expected = [RULE.combinations[row % 4][1] for row in range(len(on_note))]
    assert on_note == expected
    labels = [RULE.holds(*RULE.combinations[row % 4]) for row in range(len(on_note))]
    assert [example.label == "yes" for example in tasks["note"].examples] == labels


def test__write_note__truth__decides_the_topic() -> None:
    rng = np.random.default_rng(3)
    for truth in (True, False):
        for _ in range(30):
            words = write_note(rng, RULE, truth).rstrip("?").split()
            assert any(noun in words for noun in NOUNS[RULE.topic]) == truth


def test__draw_image__same_generator__is_the_same_image() -> None:
    first, second = (draw_image(np.random.default_rng(5), RULE, True) for _ in range(2))
    assert first.tobytes() == second.tobytes()


def test__rule__its_conditions__are_held_out_of_training() -> None:
    if not RULES.exists():
        pytest.skip("the training program is not installed with the package")
    text = RULES.read_text(encoding="utf-8")
    held_out = text[text.index("HELD_OUT_RULES") : text.index("JOINS")]
    assert f'(("kind", "{RULE.kind}"), ("topic", "{RULE.topic}"))' in held_out
