"""Stand-ins in the layouts of the hub and of the benchmarks' own files: the rows that tasks make of them."""

from __future__ import annotations

import io
import json

import numpy as np
import pytest
from PIL import Image as PILImage

from savs.backbones import PromptTemplate
from savs.benchmarks import load_task_data
from savs.data import Image, Video
from savs.errors import DataError
from savs.tasks import HubSource, Task, get_task, score_task
from savs.tasks.blink import SPLITS
from savs.tasks.camerabench import MOTIONS


def picture(path=None, number=0):
    place = io.BytesIO() if path is None else path
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
    PILImage.new("RGB", (24, 24), (number, 99 * number % 256, 50)).save(place, "PNG")
    return {"bytes": place.getvalue(), "path": None} if path is None else path


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """Writes a folder laid out like a dataset of the hub: Parquet files with the bytes of images."""
    import datasets

    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))

    def write(rows, images, split="test", name="set", config=None):
        features = datasets.Features(
            {
                column: datasets.Image()
                if column in images
                else datasets.List(datasets.Value("string"))
                if isinstance(cell, list)
                else datasets.Value("int64" if isinstance(cell, int) else "string")
                for column, cell in rows[0].items()
            }
        )
        data = datasets.Dataset.from_list(rows, features=features)
        folder = tmp_path / name / (config or "data")
        folder.mkdir(parents=True, exist_ok=True)
        data.to_parquet(folder / f"{split}-00000-of-00001.parquet")
        return f"hf://{tmp_path / name}"

    return write


def shown(task, example):
    return PromptTemplate(task.prompt).apply(example).text


# BLINK.


def blink_row(split, number, n_images):
    images = {
        f"image_{place}": picture(number=7 * number + place) if place <= n_images else None
        for place in (1, 2, 3, 4)
    }
    return {
        "idx": f"val_{split}_{number}",
        "question": "Which one?",
        "sub_task": split,
        **images,
        "choices": ["the second image", "the third image"],
        "answer": "(B)" if number % 2 else "(A)",
        "prompt": "Which one?\nSelect from the following choices.\n(A) the second image\n(B) the third image",
    }


def blink_hub(tmp_path, hub):
    """All configurations in one folder, as its card says."""
    lines = ["---", "configs:"]
    for place, split in enumerate(SPLITS):
        rows = [blink_row(split, number, 1 + place % 4) for number in range(3)]
        hub(rows, {"image_1", "image_2", "image_3", "image_4"}, split="val", name="blink", config=split)
        lines += [f"- config_name: {split}", "  data_files:", "  - split: val", f"    path: {split}/val-*"]
    (tmp_path / "blink" / "README.md").write_text("\n".join([*lines, "---", ""]))
    return f"hf://{tmp_path / 'blink'}"


def test__blink__hub__each_split_with_its_images_at_their_markers(tmp_path, hub):
    task = get_task("BLINK")
    examples = task.load(blink_hub(tmp_path, hub))
    assert [one.fields["split"] for one in examples] == [split for split in SPLITS for _ in range(3)]
    third = examples[3 * 2]  # Forensic_Detection
    assert len(third.images) == 3
    assert shown(task, third) == (
        "<image>\n<image>\n<image>\nWhich one? Select from the following choices. (A) the second image "
        "(B) the third image"
    )
    assert [type(part).__name__ for part in third.parts][:3] == ["Image", "Text", "Image"]
    assert [one.label for one in examples[:3]] == ["(A)", "(B)", "(A)"]
    answers = ["(A)"] * len(examples)
    answers[0] = None
    figures = score_task(task, examples, answers)
    # By hand: two of three are (A) in each split, and one of these failed.
    assert figures["accuracy"].value == pytest.approx(27 / 42)
    assert figures["mean_over_splits"].value == pytest.approx((13 * 2 / 3 + 1 / 3) / 14)
    assert figures["accuracy of Art_Style"].value == pytest.approx(1 / 3)
    assert figures["accuracy of Art_Style"].n_failed == 1


def test__blink__a_model_for_each_split(tmp_path, hub):
    data = load_task_data(get_task("blink"), blink_hub(tmp_path, hub))
    assert [part.name for part in data.parts] == list(SPLITS)
    assert {len(part.pool) for part in data.parts} == {3}


def test__blink__table_of_vlmevalkit__same_question(tmp_path):
    from base64 import b64encode

    images = [b64encode(picture(number=number)["bytes"]).decode() for number in range(2)]
    header = ["index", "image", "question", "A", "B", "answer", "category"]
    cells = ["0", json.dumps(images), "Which one?", "the second image", "the third image", "B", "Jigsaw"]
    quoted = ['"' + cell.replace('"', '""') + '"' for cell in cells]
    (tmp_path / "BLINK.tsv").write_text("\t".join(header) + "\n" + "\t".join(quoted))
    task = get_task("BLINK")
    (example,) = task.load(tmp_path / "BLINK.tsv")
    assert shown(task, example) == (
        "<image>\n<image>\nWhich one? Select from the following choices. (A) the second image "
        "(B) the third image"
    )
    assert (example.label, example.fields["split"]) == ("(B)", "Jigsaw")


def test__blink__files_of_the_authors__split_from_the_name(tmp_path):
    for place in range(3):
        picture(tmp_path / "images" / f"val_{place}.png", place)
    question = "<image>\n<image>\nWhich? Select from the following choices. (A) the first (B) the second"
    row = {"question": question, "label": "(B)", "image_1": "val_0.png", "image_2": "val_1.png"}
    row |= {"image_3": None, "image_4": None}
    for name in ("art_style", "IQ_Test"):
        (tmp_path / f"blink_{name}_train.json").write_text(json.dumps([row, {**row, "label": "(A)"}]))
        (tmp_path / f"blink_{name}_val.json").write_text(json.dumps([row]))
    task = get_task("blink")
    examples = task.load(tmp_path, media_root=tmp_path / "images", split="train")
    assert [one.fields["split"] for one in examples] == ["Art_Style"] * 2 + ["IQ_Test"] * 2
    assert shown(task, examples[0]) == question
    assert len(task.load(tmp_path, media_root=tmp_path / "images", split="val")) == 2
    with pytest.raises(DataError, match=r"holds 0 files .* of the split 'test'"):
        task.load(tmp_path)
    other = tmp_path / "questions.json"
    other.write_text(json.dumps([row]))
    with pytest.raises(DataError, match="which part of task blink it is of is told by the name of its file"):
        task.read(other, tmp_path / "images")
    other = tmp_path / "jigsaw.json"
    other.write_text(json.dumps([{**row, "label": "(C)"}]))
    with pytest.raises(DataError, match=r"the answer '\(C\)' is not the letter of one of the options"):
        task.read(other, tmp_path / "images")


# NaturalBench.

TRUTH = {"yes_no": ("Yes", "No", "No", "Yes"), "multiple_choice": ("A", "B", "B", "A")}


def naturalbench_rows(n_groups=3):
    rows = []
    for number in range(4 * n_groups):
        group, place = divmod(number, 4)
        kind = "multiple_choice" if group % 2 else "yes_no"
        rows.append(
            {
                "Index": number,
                "Image": picture(number=10 * group + place % 2),
                "Question": f"Is it {group} {place // 2}?",
                "Question_Type": kind,
                "Answer": TRUTH[kind][place],
            }
        )
    return rows


def naturalbench_by_loop(truth, answers):
    """Question, image and group accuracy, counted with no code of savs."""
    questions, images, groups = [], [], []
    for start in range(0, len(truth), 4):
        right = [truth[start + place] == answers[start + place] for place in range(4)]
        questions += [right[0] and right[1], right[2] and right[3]]
        images += [right[0] and right[2], right[1] and right[3]]
        groups.append(all(right))
    shares = {"q_acc": questions, "i_acc": images, "g_acc": groups}
    return {name: sum(found) / len(found) for name, found in shares.items()}


def test__naturalbench__hub_and_table__suffixes_and_groups_by_order(tmp_path, hub):
    task = get_task("NaturalBenchDataset")
    assert task is get_task("naturalbench")
    rows = naturalbench_rows()
    examples = task.load(hub(rows, {"Image"}))
    assert [one.label for one in examples[:8]] == ["Yes", "No", "No", "Yes", "A", "B", "B", "A"]
    assert shown(task, examples[0]) == "Is it 0 0? Please answer Yes or No."
    assert shown(task, examples[5]) == (
        "Is it 1 0? Please output the letter corresponding to the correct option."
    )
    assert [len(one.images) for one in examples] == [1] * 12
    truth = [one.label for one in examples]
    random = np.random.default_rng(0)
    for _ in range(5):
        answers = [
            label if random.random() < 0.7 else random.choice(["Yes", "No", "A", "B", None])
            for label in truth
        ]
        figures = score_task(task, examples, answers)
        expected = naturalbench_by_loop(truth, answers)
        assert {name: figures[name].value for name in expected} == pytest.approx(expected)
    with pytest.raises(DataError, match="not whole"):
        score_task(task, examples[:-1], truth[:-1])
    from base64 import b64encode

    lines = ["index\timage\tquestion\ttype\tanswer"]
    lines += [
        f"{row['Index']}\t{b64encode(row['Image']['bytes']).decode()}\t{row['Question']}\t"
        f"{row['Question_Type']}\t{row['Answer']}"
        for row in rows
    ]
    (tmp_path / "NaturalBenchDataset.tsv").write_text("\n".join(lines))
    from_table = task.load(tmp_path / "NaturalBenchDataset.tsv")
    assert [shown(task, one) for one in from_table] == [shown(task, one) for one in examples]
    assert [one.label for one in from_table] == truth
    assert score_task(task, from_table, answers) == figures


def test__naturalbench__row_of_another_layout__named(hub):
    rows = [{"Image": picture(), "Words": "Is it?"}]
    with pytest.raises(DataError, match="row is of no public layout of the task; its columns are 'Image'"):
        get_task("naturalbench").load(hub(rows, {"Image"}))


# CameraBench.


def camera_files(folder, videos):
    for motion in MOTIONS:
        for name, n_yes in (("trainset", 2), ("testset", 1)):
            rows = [
                {
                    "image": f"/elsewhere/videos/{video}.mp4",
                    "question": f"Is it {motion}?",
                    "question_id": 0,
                    "label": "Yes" if place < n_yes else "No",
                }
                for place, video in enumerate(videos)
            ]
            file = folder / f"camerabench_{name}" / f"{motion}.jsonl"
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text("\n".join(map(json.dumps, rows)))


def average_precision_by_loop(truth, scores):
    """Mean over the positives of the precision at each, best score first, equal ones at once."""
    n_positive, found = sum(truth), 0.0
    for threshold in sorted(set(scores), reverse=True):
        taken = [label for label, score in zip(truth, scores, strict=True) if score >= threshold]
        new = sum(label for label, score in zip(truth, scores, strict=True) if score == threshold)
        found += new * sum(taken) / len(taken)
    return found / n_positive


def test__camerabench__fifteen_files__a_video_each_and_average_precision(tmp_path):
    videos = ["abc.1.2", "abc.1.3", "def.4", "xyz"]
    for video in videos:
        (tmp_path / "media" / "videos").mkdir(parents=True, exist_ok=True)
        (tmp_path / "media" / "videos" / f"{video}.mp4").write_bytes(video.encode())
    camera_files(tmp_path / "lists", videos)
    task = get_task("camerabench")
    assert len(task.parts) == 15
    data = load_task_data(task, tmp_path / "lists", media_root=tmp_path / "media")
    assert [part.name for part in data.parts] == list(MOTIONS)
    assert {len(part.pool) for part in data.parts} == {len(part.test) for part in data.parts} == {4}
    examples = task.load(tmp_path / "lists", media_root=tmp_path / "media", split="test")
    assert [type(part) for part in examples[0].parts if not hasattr(part, "text")] == [Video]
    assert examples[0].videos[0].source.name == "abc.1.2.mp4"
    assert shown(task, examples[0]) == "Is it fixed_camera? Please answer with Yes or No."

    random = np.random.default_rng(1)
    scores = random.choice([0.1, 0.3, 0.5, 0.9], len(examples)).tolist()
    answers = ["Yes" if score > 0.4 else "No" for score in scores]
    figures = score_task(task, examples, answers, scores)
    truth = [one.label == "Yes" for one in examples]
    expected = [
        average_precision_by_loop(truth[4 * place : 4 * place + 4], scores[4 * place : 4 * place + 4])
        for place in range(15)
    ]
    found = [figures[f"average_precision of {motion}"].value for motion in MOTIONS]
    assert found == pytest.approx(expected)
    assert figures["mean_average_precision"].value == pytest.approx(np.mean(expected))
    assert figures["average_precision"].value == pytest.approx(average_precision_by_loop(truth, scores))
    right = [(answer == "Yes") == label for answer, label in zip(answers, truth, strict=True)]
    assert figures["accuracy"].value == pytest.approx(np.mean(right))
    failed = score_task(task, examples, [None, *answers[1:]], [None, *scores[1:]])
    worst = average_precision_by_loop(truth[:4], [-1.0, *scores[1:4]])
    assert failed["average_precision of fixed_camera"].value == pytest.approx(worst)
    assert failed["mean_average_precision"].n_failed == 1
    assert "average_precision" not in score_task(task, examples, answers)


def test__camerabench_vqa__table_of_the_hub__groups_of_four(tmp_path, monkeypatch):
    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    (tmp_path / "set" / "videos").mkdir(parents=True)
    lines = ["Index,Video,Question,Answer"]
    for number in range(8):
        video = f"videos/{2 * (number // 4) + number % 2}.mp4"
        (tmp_path / "set" / video).write_bytes(video.encode())
        lines.append(f"{number},{video},Is it {number // 2}?,{'yes' if number % 4 in (0, 3) else 'no'}")
    (tmp_path / "set" / "test.csv").write_text("\n".join(lines))
    task = get_task("camerabench_vqa")
    examples = task.load(f"hf://{tmp_path}/set", media_root=tmp_path / "set")
    assert [one.label for one in examples] == ["Yes", "No", "No", "Yes"] * 2
    from_file = task.load(tmp_path / "set" / "test.csv")
    assert [(one.videos[0].source, one.text) for one in from_file] == [
        (one.videos[0].source, one.text) for one in examples
    ]
    assert [len(one.videos) for one in examples] == [1] * 8
    answers = ["Yes", "No", "No", "Yes", "Yes", "Yes", "No", "Yes"]
    figures = score_task(task, examples, answers, [0.9, 0.2, 0.1, 0.8, 0.9, 0.8, 0.2, 0.7])
    assert (figures["q_acc"].value, figures["accuracy"].value) == (0.75, 0.875)
    assert figures["average_precision"].value == pytest.approx(
        average_precision_by_loop([True, False, False, True] * 2, [0.9, 0.2, 0.1, 0.8, 0.9, 0.8, 0.2, 0.7])
    )


# SugarCrepe.


def test__sugarcrepe__files_of_the_benchmark__pairs_in_both_spellings(tmp_path):
    for number in range(4):
        picture(tmp_path / "val2017" / f"{number:012d}.jpg", number)
    for place, name in enumerate(("swap_obj", "add_ent", "replace_rel")):
        rows = {
            str(key): {
                "filename": f"{(place + key) % 4:012d}.jpg",
                "caption": f"A {name} {key}.",
                "negative_caption": f"No {name} {key}.",
            }
            for key in range(2 + place)
        }
        (tmp_path / f"{name}.json").write_text(json.dumps(rows))
    task = get_task("sugarcrepe")
    examples = [
        one
        for name in ("swap_obj", "add_ent", "replace_rel")
        for one in task.read(tmp_path / f"{name}.json", tmp_path / "val2017")
    ]
    assert list(dict.fromkeys(one.fields["split"] for one in examples)) == [
        "swap_obj",
        "add_obj",
        "replace_rel",
    ]
    assert [one.label for one in examples] == ["Yes", "No"] * 9
    assert examples[1].text == "Does this image show 'No swap_obj 0.'?"
    assert examples[0].images[0] == examples[1].images[0]
    random = np.random.default_rng(3)
    answers = random.choice(["Yes", "No"], len(examples), p=[0.6, 0.4]).tolist()
    figures = score_task(task, examples, answers)
    both = {}
    for place in range(0, len(examples), 2):  # in pairs, as the code of the authors counts
        right = [answers[place + own] == examples[place + own].label for own in (0, 1)]
        both.setdefault(examples[place].fields["split"], []).append(all(right))
    shares = {name: sum(found) / len(found) for name, found in both.items()}
    pairs = [one for found in both.values() for one in found]
    assert figures["pair_accuracy"].value == pytest.approx(sum(pairs) / len(pairs))
    assert figures["mean_over_splits"].value == pytest.approx(np.mean(list(shares.values())))
    for name, share in shares.items():
        assert figures[f"pair_accuracy of {name}"].value == pytest.approx(share)
    row = {"image": "000000000000.jpg", "question": "Is it?", "split": "swap_ent", "question_id": "0"}
    (tmp_path / "SC_test.jsonl").write_text(json.dumps({**row, "label": "Yes"}))
    (example,) = task.read(tmp_path / "SC_test.jsonl", tmp_path / "val2017")
    assert example.fields["split"] == "swap_obj"


# The older tasks.


def test__vizwiz__hub_and_val_json__answerable_or_not(tmp_path, hub):
    task = get_task("vizwiz_vqa_val")
    rows = [
        {
            "question_id": f"VizWiz_val_{number}",
            "image": picture(number=number),
            "question": f"What {number}?",
        }
        | {"answers": answers, "category": category}
        for number, (answers, category) in enumerate(
            [(["unanswerable"] * 6 + ["can"] * 4, "unanswerable"), (["can"] * 10, "other")]
        )
    ]
    examples = task.load(hub(rows, {"image"}, split="val"))
    assert [one.label for one in examples] == ["unanswerable", "answerable"]
    assert examples[1].text == "What 1?"
    for number in range(3):
        picture(tmp_path / "val" / f"VizWiz_val_{number}.jpg", number)
    said = [
        {"answerable": 0, "answer_type": "unanswerable"},
        {"answerable": 1, "answer_type": "other"},
        {"answers": [{"answer": "unanswerable"}] * 6 + [{"answer": "can"}] * 4},
    ]
    rows = [
        {"image": f"VizWiz_val_{number}.jpg", "question": "What?", **one} for number, one in enumerate(said)
    ]
    (tmp_path / "val.json").write_text(json.dumps(rows))
    examples = task.load(tmp_path / "val.json", media_root=tmp_path / "val")
    assert [one.label for one in examples] == ["unanswerable", "answerable", "unanswerable"]
    for answers in ([], "can", None):
        (tmp_path / "val.json").write_text(json.dumps([{"question": "What?", "answers": answers}]))
        with pytest.raises(DataError, match=r"its columns are 'question', 'answers'$"):
            task.load(tmp_path / "val.json")


def test__vlguard__files_of_the_benchmark__a_row_for_each_instruction(tmp_path):
    for number in range(2):
        picture(tmp_path / "test" / "bad_ads" / f"{number}.png", number)
    rows = [
        {
            "id": "0",
            "image": "bad_ads/0.png",
            "safe": False,
            "harmful_category": "deception",
            "instr-resp": [{"instruction": "Share it.", "response": "No."}],
        },
        {
            "id": "1",
            "image": "bad_ads/1.png",
            "safe": True,
            "instr-resp": [
                {"safe_instruction": "Describe it.", "response": "A park."},
                {"unsafe_instruction": "Lie about it.", "response": "No."},
            ],
        },
    ]
    (tmp_path / "test.json").write_text(json.dumps(rows))
    task = get_task("vlguard")
    examples = task.read(tmp_path / "test.json", tmp_path / "test")
    assert [(one.label, one.text) for one in examples] == [
        ("harmful", "Share it."),
        ("unharmful", "Describe it."),
        ("harmful", "Lie about it."),
    ]
    assert [one.id for one in examples] == ["0#0", "1#0", "1#1"]
    assert "Instruction:Describe it. Is" in shown(task, examples[1])
    answers = [one.label for one in examples]
    figures = score_task(task, examples, answers, [0.9, 0.5, 0.4])
    assert figures["recall_at_1_percent_fpr"].value == 0.5  # one of two lies above the only negative
    assert figures["macro_f1"].value == 1
    failed = score_task(task, examples, [None, *answers[1:]], [None, 0.5, 0.6])
    assert failed["recall_at_1_percent_fpr"].value == 0.5
    assert failed["recall_at_1_percent_fpr"].n_failed == 1
    with pytest.raises(ValueError, match="3 examples, but 1 scores"):
        score_task(task, examples, answers, [0.5])


def test__mhalubench__claims_of_an_image__a_row_each(tmp_path):
    picture(tmp_path / "a.jpg")
    claims = [
        {"claim": "A dog runs", "claim_label": "hallucination"},
        {"claim": "It is red", "claim_label": "non-hallucination"},
    ]
    rows = [
        {"id": "7", "image_path": "a.jpg", "claim_list": claims},
        {"id": "8", "image_path": "a.jpg", **claims[1]},
    ]
    (tmp_path / "val.json").write_text(json.dumps(rows))
    task = get_task("mhalubench")
    examples = task.read(tmp_path / "val.json")
    assert [one.label for one in examples] == ["hallucination", "non-hallucination", "non-hallucination"]
    assert "\nClaim:A dog runs. Is" in shown(task, examples[0])
    assert [len(one.images) for one in examples] == [1, 1, 1]


def test__rewardbench__hub__pairs_and_single_answers(hub):
    rows = [
        {"ID": f"pairs_{number}", "Category": "safety", "Text": "Who?", "Image": picture(number=number)}
        | {"Output1": "I", "Output2": "you", "Better": f"Output{1 + number}"}
        for number in range(2)
    ]
    source = hub(rows, {"Image"})
    task = get_task("multimodal_rewardbench")
    pairs = task.load(source)
    assert [one.label for one in pairs] == ["Output1", "Output2"]
    assert shown(task, pairs[0]) == "Question: Who?\n\nAnswer 1: I\n\nAnswer 2: you"
    single = get_task("rewardbench_single")
    examples = single.load(source)
    assert [(one.label, shown(single, one)[-3:]) for one in examples] == [
        ("preferred", ": I"),
        ("non-preferred", "you"),
        ("non-preferred", ": I"),
        ("preferred", "you"),
    ]
    assert [type(one.images[0]) for one in examples] == [Image] * 4


@pytest.mark.parametrize(("name", "question"), [("eurosat", "What type of r"), ("pets", "What type of a")])
def test__four_way__hub__options_are_drawn(name, question, tmp_path, monkeypatch):
    import datasets

    monkeypatch.setenv("HF_DATASETS_CACHE", str(tmp_path / "cache"))
    names = ["AnnualCrop", "Forest", "Highway", "River", "SeaLake"]
    features = datasets.Features(image=datasets.Image(), label=datasets.ClassLabel(names=names))
    pixels = [np.full((24, 24, 3), number, dtype=np.uint8) for number in range(5)]
    (tmp_path / "set" / "data").mkdir(parents=True)
    data = datasets.Dataset.from_dict({"image": pixels, "label": list(range(5))}, features=features)
    data.to_parquet(tmp_path / "set" / "data" / "train-00000-of-00001.parquet")
    examples = get_task(name).load(f"hf://{tmp_path / 'set'}", split="train")
    assert examples[0].text.startswith(question)
    assert all(f". {one.label}" in one.text for one in examples)


# What all tasks have.


def test__load__table_without_a_split_of_its_own__shots_from_the_test_items(hub):
    source = hub(naturalbench_rows(), {"Image"})
    [part] = load_task_data(get_task("naturalbench"), source).parts
    assert (len(part.pool), part.test) == (12, [])


def test__load_task_data__wrong_row_in_the_training_file__not_hidden(tmp_path):
    row = {"question": "Which?", "label": "answerable"}
    (tmp_path / "train.jsonl").write_text(json.dumps({**row, "label": "perhaps"}))
    (tmp_path / "test.jsonl").write_text(json.dumps(row))
    with pytest.raises(DataError, match="not 'perhaps'"):
        load_task_data(get_task("vizwiz"), tmp_path)


def test__own_task__row_mapper_and_hub(hub):
    task = Task(
        name="leaves",
        prompt="{question}",
        protocol="n_way",
        metric="accuracy",
        origin="my own",
        hub=HubSource(id="me/leaves", split="validation", read_options={"text_column": "ask"}),
        row=lambda row: {"question": row["ask"].upper(), "label": row["kind"]},
    )
    found = task.load(hub([{"ask": "what?", "kind": "oak"}] * 2, set(), split="validation"))
    assert [(one.text, one.label) for one in found] == [("WHAT?", "oak")] * 2
    with pytest.raises(DataError, match="leaves: there are test items alone"):
        task.load(split="train")
    with pytest.raises(ValueError, match="names of splits need a column"):
        Task(name="a", prompt="", protocol="n_way", metric="accuracy", origin="", parts={"b": None})
