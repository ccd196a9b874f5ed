"""Stand-ins in the layouts of POPE, HallusionBench, MME, VLMEvalKit's tables and CALM's lists."""

from __future__ import annotations

import csv
import io
import json
import wave
from base64 import b64encode
from itertools import product

import numpy as np
import pytest
from PIL import Image as PILImage

from savs.backbones import PromptTemplate
from savs.errors import DataError
from savs.evaluation import binary_scores, equal_error_rate
from savs.tasks import get_task, list_tasks, score_task, vlmevalkit


def encoded(number):
    file = io.BytesIO()
    PILImage.new("RGB", (32, 32), (number, 99 * number % 256, 50)).save(file, "PNG")
    return b64encode(file.getvalue()).decode()


def picture(path, number=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    PILImage.new("RGB", (32, 32), (number, 99 * number % 256, 50)).save(path)


def table(path, header, rows):
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file, delimiter="\t", lineterminator="\n").writerows([header, *rows])
    return path


def hub_folder(folder, columns):
    """A folder laid out like a dataset of the hub."""
    import datasets

    features = datasets.Features(
        {name: datasets.Image() if name == "image" else datasets.Value("string") for name in columns}
    )
    (folder / "data").mkdir(parents=True)
    for split in ("test", "image"):
        data = datasets.Dataset.from_dict(columns, features=features)
        data.to_parquet(folder / "data" / f"{split}-00000-of-00001.parquet")
    return f"hf://{folder}"


def pixels(n):
    return [np.full((32, 32, 3), number, dtype=np.uint8) for number in range(n)]


def values(figures):
    return {name: figure.value for name, figure in figures.items()}


# POPE.


def pope_rows(n=4):
    return [
        {
            "question_id": number + 1,
            "image": f"COCO_val2014_{number // 2:012d}.jpg",
            "text": f"Is there a thing {number} in the image?",
            "label": "yes" if number % 2 else "no",
        }
        for number in range(n)
    ]


def test__pope__file_of_the_authors__category_from_its_name(tmp_path):
    for number in range(2):
        picture(tmp_path / "val2014" / f"COCO_val2014_{number:012d}.jpg", number)
    file = tmp_path / "coco_pope_adversarial.json"
    file.write_text("\n".join(map(json.dumps, pope_rows())))
    task = get_task("pope")
    examples = task.load(file, media_root=tmp_path / "val2014")
    assert [one.label for one in examples] == ["No", "Yes", "No", "Yes"]
    assert {one.fields["category"] for one in examples} == {"adversarial"}
    shown = PromptTemplate(task.prompt).apply(examples[0]).text
    assert shown == "Is there a thing 0 in the image?\nAnswer the question using a single word or phrase."
    figures = values(score_task(task, examples, ["Yes", "Yes", "No", None]))
    assert figures["accuracy"] == figures["accuracy of adversarial"] == 0.5
    assert figures["positive_rate"] == 0.5
    assert figures["f1"] == 0.5


def test__pope__table_and_hub__same_labels_and_several_categories(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    rows = [
        ["0", encoded(1), "Is there a cat in the image?", "Yes", "adversarial,popular,random"],
        ["1", "0", "Is there a dog in the image?", "No", "random"],
        ["2", "0", "Is there a car in the image?", "No", "popular,adversarial"],
    ]
    task = get_task("POPE")
    from_table = task.load(
        table(tmp_path / "POPE.tsv", ["index", "image", "question", "answer", "category"], rows)
    )
    answers = ["Yes", "Yes", "No"]
    figures = score_task(task, from_table, answers)
    assert {name: figures[f"accuracy of {name}"].value for name in ("random", "popular", "adversarial")} == {
        "random": 0.5,
        "popular": 1.0,
        "adversarial": 1.0,
    }
    assert figures["f1 of random"].value == pytest.approx(2 / 3)
    assert figures["positive_rate of random"].value == 1.0
    columns = {
        "question_id": ["1", "2", "3"],
        "question": [row[2] for row in rows],
        "answer": ["yes", "no", "no"],
        "category": ["random"] * 3,
        "image": pixels(3),
    }
    from_hub = task.load(hub_folder(tmp_path / "pope", columns))
    assert [one.label for one in from_hub] == [one.label for one in from_table]
    whole = binary_scores([one.label for one in from_hub], answers, "Yes")
    assert score_task(task, from_hub, answers)["f1 of random"] == whole.f1


def test__pope__label_that_is_neither__named_with_its_row(tmp_path):
    picture(tmp_path / "COCO_val2014_000000000000.jpg")
    file = tmp_path / "coco_pope_random.json"
    file.write_text("\n".join(map(json.dumps, [*pope_rows(2), {**pope_rows(1)[0], "label": "maybe"}])))
    with pytest.raises(
        DataError, match=r"coco_pope_random\.json:3: the label 'maybe' is none that task pope"
    ):
        get_task("pope").load(file)


# HallusionBench.


def hallusion_rows():
    """Two questions on two figures of a set that needs them, and on none and one of a set that does not."""
    rows = []
    for (category, kind), figure, question in product(
        [("VD", "illusion"), ("VS", "chart")], ("0", "1"), ("0", "1")
    ):
        without = category == "VS" and figure == "0"
        rows.append(
            {
                "category": category,
                "subcategory": kind,
                "visual_input": "0" if without else "1",
                "set_id": "0",
                "figure_id": figure,
                "sample_note": "circle",
                "question_id": question,
                "question": f"Is it {question}?",
                "gt_answer_details": "It is.",
                "gt_answer": question,
                "filename": None if without else f"./hallusion_bench/{category}/{kind}/0_{figure}.png",
            }
        )
    return rows


def hallusion_by_loop(rows, right):
    questions, figures = {}, {}
    for row, correct in zip(rows, right, strict=True):
        place = (row["category"], row["subcategory"], row["set_id"])
        questions.setdefault((*place, row["question_id"]), []).append(correct)
        if row["category"] != "VS" or row["figure_id"] != "0":
            figures.setdefault((*place, row["figure_id"]), []).append(correct)
    shares = [sum(map(all, units.values())) / len(units) for units in (questions, figures)]
    return {"a_acc": sum(right) / len(right), "q_acc": shares[0], "f_acc": shares[1]}


def test__hallusionbench__file_table_and_hub__same_figures(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    rows = hallusion_rows()
    for number, row in enumerate(rows):
        if row["filename"]:
            picture(tmp_path / "media" / row["filename"].removeprefix("./hallusion_bench/"), number)
    (tmp_path / "HallusionBench.json").write_text(json.dumps(rows))
    task = get_task("HallusionBench")
    examples = task.load(tmp_path / "HallusionBench.json", media_root=tmp_path / "media")
    assert [one.label for one in examples] == ["No", "Yes"] * 4
    assert [len(one.images) for one in examples] == [1, 1, 1, 1, 0, 0, 1, 1]
    answers = ["No", "Yes", "No", "No", "No", "Yes", None, "Yes"]
    right = [answer == one.label for answer, one in zip(answers, examples, strict=True)]
    expected = hallusion_by_loop(rows, right)
    assert expected == {"a_acc": 0.75, "q_acc": 0.5, "f_acc": pytest.approx(1 / 3)}
    assert values(score_task(task, examples, answers)) == expected

    seen = [place for place, row in enumerate(rows) if row["filename"]]
    cells = [
        [
            "_".join(
                rows[place][name]
                for name in ("category", "subcategory", "visual_input", "set_id", "figure_id", "question_id")
            ),
            encoded(place),
            rows[place]["question"],
            ["No", "Yes"][int(rows[place]["gt_answer"])],
            rows[place]["category"],
        ]
        for place in seen
    ]
    header = ["index", "image", "question", "answer", "category"]
    from_table = task.load(table(tmp_path / "HallusionBench.tsv", header, cells))
    columns = {name: [rows[place][name] for place in seen] for name in rows[0] if name != "filename"}
    from_hub = task.load(hub_folder(tmp_path / "hub", {**columns, "image": pixels(len(seen))}))
    given = [answers[place] for place in seen]
    expected = hallusion_by_loop([rows[place] for place in seen], [right[place] for place in seen])
    for found in (from_table, from_hub):
        assert [one.label for one in found] == [examples[place].label for place in seen]
        assert values(score_task(task, found, given)) == expected


def test__hallusionbench__rows_without_their_place__refused(tmp_path):
    file = table(
        tmp_path / "a.tsv", ["index", "image", "question", "answer"], [["7", encoded(1), "q", "Yes"]]
    )
    task = get_task("hallusionbench")
    with pytest.raises(DataError, match="7: there are neither the columns category"):
        score_task(task, task.load(file), ["Yes"])


# VLMEvalKit.


def test__vlmevalkit__multiple_choice__letters_and_categories(tmp_path):
    header = ["index", "image", "question", "A", "B", "C", "answer", "category"]
    rows = [
        ["0", encoded(1), "Which?", "cat", "dog", "", "B", "animals"],
        ["1", "0", "And?", "a", "b", "c", "C", "letters"],
    ]
    task = get_task("MMBench_DEV_EN")
    examples = task.load(table(tmp_path / "MMBench_DEV_EN.tsv", header, rows))
    assert [one.label for one in examples] == ["B", "C"]
    assert PromptTemplate(task.prompt).apply(examples[0]).text == (
        "Question: Which?\nOptions:\nA. cat\nB. dog\n"
        "Please select the correct answer from the options above.\nAnswer with the letter alone."
    )
    figures = values(score_task(task, examples, ["B", "A"]))
    assert figures == {"accuracy": 0.5, "accuracy of animals": 1.0, "accuracy of letters": 0.0}
    rows[0][6] = "C"
    with pytest.raises(DataError, match="0: the answer 'C' is not the letter of one of the options"):
        task.load(table(tmp_path / "other.tsv", header, rows))


def test__vlmevalkit__yes_no_set_of_ones_own__binary_scores(tmp_path):
    header = ["index", "image", "question", "answer", "category"]
    rows = [["0", encoded(1), "Is it?", "yes", "relation"], ["1", "0", "Is it not?", "no", "relation"]]
    task = vlmevalkit("AMBER_own", yes_no=True)
    examples = task.load(table(tmp_path / "AMBER.tsv", header, rows))
    figures = values(score_task(task, examples, ["Yes", "Yes"]))
    assert (figures["precision"], figures["recall"], figures["positive_rate"]) == (0.5, 1.0, 1.0)
    assert figures["accuracy of relation"] == 0.5


def test__mme__two_questions_about_each_image__accuracy_of_pairs_by_category(tmp_path):
    header = ["index", "category", "image_path", "image", "question", "answer"]
    rows = [
        [str(4 * place + number), category, f"{image}.jpg", encoded(8 * place + number), "Is it?", answer]
        for place, category in enumerate(("color", "count"))
        for number, (image, answer) in enumerate(product("ab", ("Yes", "No")))
    ]
    task = get_task("MME")
    examples = task.load(table(tmp_path / "MME.tsv", header, rows))
    answers = ["Yes", "No", "Yes", "Yes", "Yes", "No", "Yes", "No"]
    figures = values(score_task(task, examples, answers))
    assert figures["pair_accuracy of color"] == 0.5
    assert figures["pair_accuracy of count"] == 1.0
    assert figures["pair_accuracy"] == 0.75


# Audio.


def sound(path, number):
    path.parent.mkdir(parents=True, exist_ok=True)
    tone = np.sin(np.arange(1600) * 0.05 * (number + 1)) * 12000
    with wave.open(str(path), "wb") as file:
        file.setnchannels(1)
        file.setsampwidth(2)
        file.setframerate(16000)
        file.writeframes(tone.astype("<i2").tobytes())


@pytest.mark.parametrize("name", ["esc50", "vggsound", "audioset", "esc_mcq", "vgg_sound_qa"])
@pytest.mark.parametrize("between", [" ", "\n"], ids=["one line", "a line each"])
def test__sounds__lists_of_calm__clip_four_options_and_label(name, between, tmp_path):
    options = ["dog bark", "car horn", "speech, male", "rain"]
    shown = between.join(f"{letter}. {one}" for letter, one in zip("ABCD", options, strict=True))
    rows = []
    for number, label in enumerate(("dog_bark", "Speech, male")):
        sound(tmp_path / "clips" / f"{number}.wav", number)
        rows.append(
            {
                "wav": f"/elsewhere/clips/{number}.wav",
                "question": f"What sound is this?\n{shown}",
                "answer": "AC"[number],
                "label": f"/m/{number}",
                "mapped_label": label,
                "options": options,
            }
        )
    (tmp_path / "train.json").write_text(json.dumps(rows))
    task = get_task(name)
    examples = task.load(tmp_path / "train.json", media_root=tmp_path / "clips")
    assert [one.label for one in examples] == ["dog_bark", "Speech, male"]
    assert [one.audios[0].source.name for one in examples] == ["0.wav", "1.wav"]
    text = PromptTemplate(task.prompt).apply(examples[0]).text
    assert text == f"What sound is this?\n{shown} Answer with the class name."
    assert score_task(task, examples, ["dog_bark", None])["accuracy"].value == 0.5
    rows[1]["mapped_label"] = "thunder"
    (tmp_path / "train.json").write_text(json.dumps(rows))
    with pytest.raises(DataError, match="the question does not end with the options A to D"):
        task.load(tmp_path / "train.json", media_root=tmp_path / "clips")


@pytest.mark.parametrize("name", ["LA_spoof", "mlaad"])
def test__spoofing__lists_of_calm__two_classes_and_equal_error_rate(name, tmp_path):
    labels = ["bonafide", "spoof", "Fake", "real"]
    rows = []
    for number, label in enumerate(labels):
        sound(tmp_path / f"{number}.wav", number)
        question = "Is this audio bonafide or spoofed?\nA. bonafide\nB. spoof"
        rows.append(
            {"wav": f"/elsewhere/{number}.wav", "question": question, "answer": label, "mapped_label": label}
        )
    (tmp_path / "LA_eval.json").write_text(json.dumps(rows))
    task = get_task(name)
    examples = task.load(tmp_path / "LA_eval.json")
    truth = ["bonafide", "spoof", "spoof", "bonafide"]
    assert [one.label for one in examples] == truth
    answers = ["bonafide", "spoof", "bonafide", None]
    assert set(score_task(task, examples, answers)) == {"accuracy", "macro_f1"}
    scores = [0.1, 0.9, 0.3, None]
    found = score_task(task, examples, answers, scores)
    assert found["equal_error_rate"] == equal_error_rate([one == "spoof" for one in truth], scores)
    assert found["equal_error_rate"].value == 0.5  # the failed one stands above both spoofs
    assert found["accuracy"].n_failed == found["equal_error_rate"].n_failed == 1


def test__load__task_without_a_copy_on_the_hub__asks_for_a_file():
    with pytest.raises(DataError, match="esc50: no copy on the hub is known; name a file of it"):
        get_task("esc50").load()


def test__registry__all_names_and_aliases__each_of_one_task():
    names = list_tasks()
    aliases = [alias for name in names for alias in get_task(name).aliases]
    assert len({*names, *aliases}) == len(names) + len(aliases)


@pytest.mark.parametrize(
    "name", ["MMBench_DEV_EN", "POPE", "HallusionBench", "MME", "AMBER", "pope_full", "hallusion_bench_image"]
)
def test__registry__names_of_other_programs__find_a_task(name):
    assert name in get_task(name).aliases
