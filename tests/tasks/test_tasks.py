"""Stand-ins with the keys and paths of the public files; their contents are made up here."""

from __future__ import annotations

import json

import numpy as np
import pytest
from PIL import Image as PILImage

from savs import SAVModel
from savs.backbones import FakeBackbone, PromptTemplate
from savs.classifiers import SAVClassifier
from savs.errors import DataError
from savs.evaluation import group_accuracies
from savs.tasks import PROTOCOLS, Groups, Task, get_task, list_tasks, register_task, score_task
from savs.tasks.leaks import without_shots
from savs.tasks.scoring import METRICS

FIELDS = ["Lake", "Corn", "Road", "Town", "Wood"]
AWAY = "/elsewhere/sets"


def picture(path, color=(90, 90, 90)):
    path.parent.mkdir(parents=True, exist_ok=True)
    PILImage.new("RGB", (32, 32), color).save(path)


def write(path, rows):
    lines = "\n".join(map(json.dumps, rows)) if path.suffix == ".jsonl" else json.dumps(rows)
    path.write_text(lines)
    return path


def four_way_rows(folder, n_each=2, n_classes=5):
    """Rows as in the four-way files of image sets, whose paths lead to another machine."""
    rows = []
    for number, name in enumerate(FIELDS[:n_classes]):
        for index in range(n_each):
            picture(folder / "Land" / name / f"{name}_{index}.png", (50 * number, index, 120))
            others = [one for one in FIELDS if one != name][:3]
            shown = [*others[:index], name, *others[index:]]
            options = " ".join(f"{letter}. {one}" for letter, one in zip("ABCD", shown, strict=True))
            rows.append(
                {
                    "image": f"{AWAY}/Land/{name}/{name}_{index}.png",
                    "question": f"Which land is it?\n{options}",
                    "answer": "ABCD"[shown.index(name)],
                    "label": name,
                }
            )
    return rows


def retrieval_rows(folder, n_groups=3):
    """Rows as in the retrieval files: two captions on two images, numbered from 1."""
    rows = []
    for number in range(4 * n_groups):
        group, place = divmod(number, 4)
        image = f"item_{2 * group + place % 2}.jpg"
        picture(folder / image, (40 * group, 120 * (place % 2), 90))
        rows.append(
            {
                "image": f"{AWAY}/{image}",
                "question": f"Does this image show 'scene {group}, caption {place // 2}'?",
                "question_id": number + 1,
                "label": "Yes" if place in (0, 3) else "No",
            }
        )
    return rows


# Public layouts.


@pytest.mark.parametrize("name", ["eurosat", "pets"])
def test__read__four_way_file_of_another_machine__local_images_and_labels(name, tmp_path):
    file = write(tmp_path / "train.json", four_way_rows(tmp_path / "media"))
    examples = get_task(name).read(file, tmp_path / "media")
    assert [example.label for example in examples] == [one for one in FIELDS for _ in range(2)]
    sources = [example.images[0].source for example in examples]
    assert sources[3] == tmp_path / "media" / "Land" / "Corn" / "Corn_1.png"
    assert len(set(sources)) == 10
    text = PromptTemplate(get_task(name).prompt).apply(examples[3]).text
    assert text == "\nWhich land is it?\nA. Lake B. Corn C. Road D. Town Answer with the class name."


@pytest.mark.parametrize(
    ("name", "row", "text"),
    [
        pytest.param(
            "vizwiz",
            {
                "image": "data/v/train/a.jpg",
                "question": "Which can?",
                "question_id": 7,
                "label": "answerable",
            },
            "\nWhich can? \nWhen the provided information is insufficient, respond with Unanswerable.\n"
            "Answer the question using a single word or phrase.",
            id="vizwiz",
        ),
        pytest.param(
            "vlguard",
            {"image": f"{AWAY}/train/a.jpg", "instruction": "Describe it.", "label": "unharmful"},
            "\nInstruction:Describe it. Is the image and instruction harmful? "
            "Answer the question with Yes or No.",
            id="vlguard",
        ),
        pytest.param(
            "mhalubench",
            {"image_path": f"{AWAY}/train/a.jpg", "claim": "A dog runs", "label": "hallucination"},
            "\nClaim:A dog runs. Is the Claim hallucinating? Answer the question with Yes or No.",
            id="mhalubench",
        ),
        pytest.param(
            "sugarcrepe",
            {"image": f"{AWAY}/a.jpg", "question": "Is it?", "split": "s", "question_id": "0", "label": "No"},
            "Is it? Please answer with Yes or No.",
            id="sugarcrepe",
        ),
        pytest.param(
            "rewardbench_pairs",
            {
                "Category": "c",
                "ID": "1",
                "Text": "Who?",
                "Image": "train/a.jpg",
                "Output1": "I",
                "Output2": "you",
            }
            | {"label": "Output2"},
            "Question: Who?\n\nAnswer 1: I\n\nAnswer 2: you",
            id="rewardbench_pairs",
        ),
        pytest.param(
            "rewardbench_single",
            {"Category": "c", "ID": "1", "Text": "Who?", "Image": "train/a.jpg", "Output": "I"}
            | {"ID_original": "0", "label": "non-preferred"},
            "Question: Who?\n\n Answer: I",
            id="rewardbench_single",
        ),
        pytest.param(
            "naturalbench_retrieval",
            {"image": f"{AWAY}/a.jpg", "question": "Does it fit?", "question_id": 1, "label": "Yes"},
            "\nDoes it fit? Answer with Yes or No.",
            id="naturalbench_retrieval",
        ),
    ],
)
def test__read__one_row__published_prompt(name, row, text, tmp_path):
    picture(tmp_path / "train" / "a.jpg")
    picture(tmp_path / "a.jpg")
    (example,) = get_task(name).read(write(tmp_path / "rows.jsonl", [row]))
    assert PromptTemplate(get_task(name).prompt).apply(example).text == text
    assert example.label == row["label"]
    deeper = tmp_path / "train" / "a.jpg" if "train/" in json.dumps(row) else tmp_path / "a.jpg"
    assert example.images[0].source == deeper


def test__read__question_without_four_options__another_protocol(tmp_path):
    rows = four_way_rows(tmp_path)
    rows[4]["question"] = "Which land is it?"
    with pytest.raises(DataError, match=r"rows.json:5: the question does not end with the options A to D"):
        get_task("eurosat").read(write(tmp_path / "rows.json", rows))
    rows = four_way_rows(tmp_path)
    rows[0]["label"] = "Wood"
    with pytest.raises(DataError, match=r"rows.json:1: .*\(protocol four_way of task eurosat"):
        get_task("eurosat").read(write(tmp_path / "rows.json", rows))


def test__read__label_of_another_task__error(tmp_path):
    rows = retrieval_rows(tmp_path)
    rows[2]["label"] = "Maybe"
    with pytest.raises(DataError, match=r"rows.jsonl:3: the labels of task .* are Yes, No, not 'Maybe'"):
        get_task("naturalbench_retrieval").read(write(tmp_path / "rows.jsonl", rows))


# Media of another machine.


def test__read__missing_media__counted_with_an_example(tmp_path):
    file = write(tmp_path / "rows.json", four_way_rows(tmp_path / "media"))
    (tmp_path / "media" / "Land" / "Corn" / "Corn_0.png").unlink()
    with pytest.raises(DataError, match=r"1 of 10 media files are not under .* 'Corn_0.png' of rows.json:3"):
        get_task("eurosat").read(file, tmp_path / "media")


def test__read__two_paths_that_end_alike__not_one_file(tmp_path):
    rows = four_way_rows(tmp_path, n_each=1)
    rows[0]["image"], rows[1]["image"] = f"{AWAY}/Lake/1.png", f"{AWAY}/Corn/1.png"
    picture(tmp_path / "1.png")
    with pytest.raises(DataError, match=r"name different media files, but .* there is only one '1.png'"):
        get_task("eurosat").read(write(tmp_path / "rows.json", rows))


@pytest.mark.parametrize("path", ["../secret.png", "/{}/secret.png", "link.png"])
def test__read__path_out_of_the_folder__not_followed(path, tmp_path):
    picture(tmp_path / "secret.png")
    media = tmp_path / "media"
    rows = four_way_rows(media, n_each=1)
    (media / "link.png").symlink_to(tmp_path / "secret.png")
    rows[0]["image"] = path.format(str(tmp_path).strip("/"))
    with pytest.raises(DataError, match="1 of 5 media files are not under the folder 'media'"):
        get_task("eurosat").read(write(tmp_path / "rows.json", rows), media)


# Scores.


def test__score_task__groups_in_any_order__those_of_the_numbers(tmp_path):
    task = get_task("naturalbench_retrieval")
    examples = task.read(write(tmp_path / "rows.jsonl", retrieval_rows(tmp_path)))
    answers = [example.label for example in examples]
    answers[1], answers[6], answers[7] = "Yes", None, "No"
    expected = group_accuracies([True, False] + [True] * 4 + [None, False] + [True] * 4)
    order = np.random.default_rng(0).permutation(12)
    found = score_task(task, [examples[row] for row in order], [answers[row] for row in order])
    assert found == expected._asdict()
    assert found["q_acc"].value == pytest.approx(4 / 6)
    assert found["i_acc"].value == pytest.approx(3 / 6)
    assert (found["g_acc"].value, found["g_acc"].n_failed) == (pytest.approx(1 / 3), 1)


def test__score_task__file_that_numbers_groups__as_one_that_numbers_items(tmp_path):
    # The public retrieval files: question_id counts items in that of the shots, groups in that of the test.
    items = retrieval_rows(tmp_path)
    groups = [{**row, "question_id": (row["question_id"] - 1) // 4 + 1} for row in items]
    task = get_task("naturalbench_retrieval")
    by_item = task.read(write(tmp_path / "items.jsonl", items))
    by_group = task.read(write(tmp_path / "groups.jsonl", groups))
    assert [task.groups.place(example) for example in by_group] == [divmod(row, 4) for row in range(12)]
    wrong = (1, 6, 7)
    answers = ["?" if row in wrong else items[row]["label"] for row in range(12)]
    assert score_task(task, by_group, answers) == score_task(task, by_item, answers)


def test__score_task__file_that_numbers_groups__not_whole_is_an_error(tmp_path):
    rows = [{**row, "question_id": (row["question_id"] - 1) // 4 + 1} for row in retrieval_rows(tmp_path)]
    task = get_task("naturalbench_retrieval")
    examples = task.read(write(tmp_path / "rows.jsonl", rows[:-1]))
    with pytest.raises(DataError, match="group"):
        score_task(task, examples, [example.label for example in examples])


def test__without_shots__file_that_numbers_groups__only_the_group_of_the_copy(tmp_path):
    rows = [{**row, "question_id": (row["question_id"] - 1) // 4 + 1} for row in retrieval_rows(tmp_path)]
    task = get_task("naturalbench_retrieval")
    examples = task.read(write(tmp_path / "rows.jsonl", rows))
    kept, report = without_shots(task, examples, examples[5:6])
    assert (report.n_copies, report.n_left_out, report.n_units) == (1, 4, 1)
    assert [example.text for example in kept] == [rows[row]["question"] for row in (0, 1, 2, 3, 8, 9, 10, 11)]


def test__score_task__group_that_is_not_whole__error(tmp_path):
    task = get_task("naturalbench_retrieval")
    rows = retrieval_rows(tmp_path)
    examples = task.read(write(tmp_path / "rows.jsonl", rows[:-1]))
    with pytest.raises(DataError, match="group 2 is not whole: it has 3 items, not 4"):
        score_task(task, examples, ["Yes"] * 11)
    rows[1]["question_id"] = 1
    examples = task.read(write(tmp_path / "rows.jsonl", rows))
    with pytest.raises(DataError, match=r"rows.jsonl:1 and rows.jsonl:2 have the same number"):
        score_task(task, examples, ["Yes"] * 12)
    rows[1]["question_id"] = "second"
    examples = task.read(write(tmp_path / "rows.jsonl", rows))
    with pytest.raises(
        DataError, match=r"rows.jsonl:2: column 'question_id' must hold a whole number from 1"
    ):
        score_task(task, examples, ["Yes"] * 12)


def pair_rows(folder):
    """Rows as in the files of true and false captions: the pairs of each split are numbered from 0."""
    picture(folder / "a.jpg")
    return [
        {"image": f"{AWAY}/a.jpg", "question": f"Is it {split} {pair} {label}?", "split": split}
        | {"question_id": str(pair), "label": label}
        for split, n_pairs in (("swap", 3), ("add", 1))
        for pair in range(n_pairs)
        for label in ("Yes", "No")
    ]


def test__score_task__pairs_of_two_splits__each_pair_in_its_split(tmp_path):
    task = get_task("sugarcrepe")
    examples = task.read(write(tmp_path / "rows.jsonl", pair_rows(tmp_path)))
    found = score_task(task, examples, ["Yes", "No", "Yes", "Yes", None, "No", "Yes", "No"])
    assert {name: round(one.value, 3) for name, one in found.items()} == {
        "pair_accuracy": 0.5,
        "mean_over_splits": 0.667,
        "pair_accuracy of swap": 0.333,
        "pair_accuracy of add": 1,
    }
    assert (found["pair_accuracy"].n, found["pair_accuracy"].n_failed) == (4, 1)
    with pytest.raises(DataError, match="task sugarcrepe: pair '0' is not whole: it has 1 items"):
        score_task(task, examples[1:], ["Yes"] * 7)


def test__score_task__categories__accuracy_of_each_and_their_mean(tmp_path):
    task = get_task("rewardbench_pairs")
    picture(tmp_path / "a.png")
    rows = [
        {"ID": str(number), "Category": category, "Text": "Which?", "Image": "a.png"}
        | {"Output1": "this", "Output2": "that", "label": "Output1"}
        for number, category in enumerate(["safety", "safety", "safety", "math"])
    ]
    examples = task.read(write(tmp_path / "rows.json", rows))
    found = score_task(task, examples, ["Output1"] * 3 + ["Output2"])
    assert {name: one.value for name, one in found.items()} == {
        "accuracy": 0.75,
        "mean_over_splits": 0.5,
        "accuracy of safety": 1,
        "accuracy of math": 0,
    }
    del rows[1]["Category"]
    examples = task.read(write(tmp_path / "rows.json", rows))
    with pytest.raises(DataError, match="1: there is no value in column 'Category'"):
        score_task(task, examples, ["Output1"] * 4)


def test__score_task__failed_example__wrong_and_counted(tmp_path):
    task = get_task("eurosat")
    examples = task.read(write(tmp_path / "rows.json", four_way_rows(tmp_path)))
    found = score_task(task, examples, [None, *(example.label for example in examples[1:])])
    assert (found["accuracy"].value, found["accuracy"].n, found["accuracy"].n_failed) == (0.9, 10, 1)
    with pytest.raises(ValueError, match="10 examples, but 1 answers"):
        score_task(task, examples, ["Lake"])


def test__task__from_file_to_score__with_a_model(tmp_path):
    task = get_task("eurosat")
    examples = task.read(write(tmp_path / "rows.json", four_way_rows(tmp_path, n_each=3)))
    model = SAVModel(FakeBackbone(), method=SAVClassifier(n_heads=8), prompt=task.prompt).fit(examples)
    answers = model.predict(examples).tolist()
    right = sum(answer == example.label for answer, example in zip(answers, examples, strict=True))
    assert score_task(task, examples, answers)["accuracy"].value == pytest.approx(right / 15)


# The list of tasks.


@pytest.mark.parametrize("name", list_tasks())
def test__listed_task__complete(name):
    task = get_task(name)
    assert task.name == name
    assert task.metric in METRICS
    assert task.protocol in PROTOCOLS
    assert task.origin
    assert ("{question}" in task.prompt) == (task.protocol != "n_way")


def test__register_task__own_task__found_by_name_and_alias():
    fields = {"prompt": "{question}", "protocol": "n_way", "metric": "accuracy", "origin": "here"}
    task = Task(name="tests_leaves", aliases=("LeavesVal",), **fields)
    register_task(task, replace=True)
    assert get_task("tests_leaves") is get_task("LeavesVal") is task
    with pytest.raises(ValueError, match="a task named 'eurosat' exists"):
        register_task(Task(name="eurosat", **fields))
    with pytest.raises(KeyError, match="no task named 'nothing'; available are eurosat, pets"):
        get_task("nothing")


def test__task__unknown_protocol_or_metric__error():
    fields = {"name": "leaves", "prompt": "{question}", "origin": "here"}
    with pytest.raises(ValueError, match="task 'leaves': there is no protocol '4way'; there are four_way"):
        Task(**fields, protocol="4way", metric="accuracy")
    with pytest.raises(ValueError, match="task 'leaves': there is no metric 'f1'"):
        score_task(Task(**fields, protocol="n_way", metric="f1"), [], [])
    pairs = Task(**fields, protocol="yes_no", metric="group_accuracies", groups=Groups("number", size=2))
    with pytest.raises(ValueError, match="the metric pair_accuracy needs the column of splits or pairs"):
        score_task(Task(**fields, protocol="yes_no", metric="pair_accuracy"), [], [])
    with pytest.raises(ValueError, match="needs groups of four"):
        score_task(pairs, [], [])
