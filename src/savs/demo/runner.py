"""The demo: every task with all methods, a saved classifier for each task, one plot, one JSON file."""

from __future__ import annotations

import json
import os
import shlex
import shutil
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from savs._optional import import_optional
from savs.backbones import Backbone, PromptTemplate, load_backbone
from savs.baselines import last_layer, majority_class, zero_shot
from savs.baselines.controls import fit_pixels, pixel_rows
from savs.classifiers import AutoClassifier, SAVClassifier, wilson_interval
from savs.data import Example, Text, read_examples
from savs.demo.results import Accuracy, Exhibit, Outcome
from savs.demo.tasks import Task, build_tasks, only
from savs.evaluation import DrawResults, accuracy_report, draw_rows, on_features, run_draws
from savs.evaluation.protocol import Method
from savs.media import Image, load_image
from savs.model import SAVModel

__all__ = ["N_HEADS", "first_draw", "run_task", "show_new_files", "write_files", "run_demo"]


# One task: SAVs and other methods. Features are computed once for all draws of the shots.

N_HEADS = 20
N_EXHIBITS = 4
N_SAID = 5
LONGEST_ANSWER = 8


def run_task(
    task: Task, backbone: Backbone, *, shots: int, n_draws: int, seed: int, zero_shot_items: int
) -> Outcome:
    """Compare all methods on one task.

    Parameters
    ----------
    task : Task
        The problem.
    backbone : Backbone
        The frozen model; every example passes it once, for its head vectors and its final hidden state.
    shots, n_draws, seed : int
        Shots per class, and number and seed of the draws, which are the same for all methods.
    zero_shot_items : int
        Zero-shot generation answers the first so many examples; it needs no shots.

    Raises
    ------
    DataError
        If a class has no more examples than shots.
    """
    started = time.perf_counter()
    labels = np.asarray(task.labels)
    support, test = first_draw(task, shots, seed)
    examples = _prompted(task.prompt, task.examples)
    found = backbone.extract(examples, states=True)
    rows = found.features
    parts = {f"{part} alone": _one_part(task, backbone, part) for part in task.parts}
    if found.states is None:
        raise ValueError("the backbone returned no last-layer states")
    methods = {"sav": _heads(rows, labels, backbone), "auto": _auto(rows, found.states, labels, backbone)}
    methods |= _others(task, found.states, labels)
    methods |= {name: _heads(table, labels, backbone) for name, table in parts.items()}
    results = run_draws(labels, methods, shots=shots, draws=n_draws, seed=seed)
    answers = _zero_shot(task, backbone, zero_shot_items)
    classifier = SAVClassifier(N_HEADS, backbone.layout).fit(rows[support], labels[support])
    predicted = classifier.predict(rows[test]).tolist()
    report = accuracy_report(labels[test], predicted, task.classes)
    names = [name for name in methods if name not in parts]
    return Outcome(
        name=task.name,
        title=task.title,
        about=task.about,
        prompt=task.prompt,
        zero_shot_prompt=task.zero_shot_prompt,
        classes=task.classes,
        shots=shots,
        n_test=len(test),
        accuracy={name: _accuracy(results, name) for name in names} | {"zero_shot": answers.accuracy},
        controls={name: _accuracy(results, name) for name in parts},
        n_zero_shot=answers.n,
        unparsed=answers.unparsed,
        said=answers.said,
        layout=backbone.layout,
        heads=classifier.heads_,
        head_scores=classifier.head_scores_,
        confusion=np.asarray(report["confusion"]["matrix"]),
        exhibits=[_exhibit(task.examples[row], predicted[i]) for i, row in enumerate(test[:N_EXHIBITS])],
        seconds=time.perf_counter() - started,
    )


def first_draw(task: Task, shots: int, seed: int) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the rows of the first draw of `savs.evaluation.run_draws`.

    Parameters
    ----------
    task : Task
        The task, with all its labeled examples.
    shots : int
        Shots per class.
    seed : int
        Seed of the draws.

    Returns
    -------
    shot_rows, test_rows : ndarray of int
        Rows of ``task.examples``, each ascending.
    """
    return draw_rows(task.labels, shots, (seed, 0))


@dataclass(frozen=True)
class _Answers:
    """Answers of zero-shot generation."""

    accuracy: Accuracy
    n: int
    unparsed: int
    said: dict[str, int]


def _heads(rows: NDArray[np.float32], labels: NDArray[Any], backbone: Backbone) -> Method:
    return on_features(rows, labels, SAVClassifier(N_HEADS, backbone.layout).fit)


def _auto(
    rows: NDArray[np.float32], states: NDArray[np.float32], labels: NDArray[Any], backbone: Backbone
) -> Method:
    layout = backbone.layout.with_state(states.shape[1])
    return on_features(np.hstack([rows, states]), labels, AutoClassifier(layout=layout).fit)


def _others(task: Task, states: Any, labels: NDArray[Any]) -> dict[str, Method]:
    return {
        "last_layer": lambda shots, test: last_layer(states[shots], labels[shots], states[test]).labels,
        "majority": lambda shots, test: majority_class(labels[shots], len(test)).labels,
        "pixels": on_features(pixel_rows(task.examples), labels, fit_pixels),
    }


def _zero_shot(task: Task, backbone: Backbone, n: int) -> _Answers:
    asked = task.examples[:n]  # classes take turns in the examples, so these are balanced
    result = zero_shot(
        backbone,
        _prompted(task.zero_shot_prompt, asked),
        task.classes,
        name_classes=False,  # the prompt names them itself
        lettered=task.lettered,
        max_new_tokens=LONGEST_ANSWER,
    )
    report = accuracy_report(task.labels[:n], result.labels, task.classes)
    accuracy = Accuracy(report["accuracy"], tuple(report["interval"]), (report["accuracy"],))
    return _Answers(
        accuracy, len(asked), len(result.unparsed), dict(Counter(result.answers).most_common(N_SAID))
    )


def _accuracy(results: DrawResults, name: str) -> Accuracy:
    summary = results.summary()[name]
    first = results.correct[name][0]
    return Accuracy(
        mean=summary["mean"],
        interval=summary["interval"] or wilson_interval(int(first.sum()), len(first)),
        draws=tuple(summary["draws"]),
    )


def _prompted(prompt: str, examples: Sequence[Example]) -> list[Example]:
    template = PromptTemplate(prompt)
    return [template.apply(example) for example in examples]


def _one_part(task: Task, backbone: Backbone, part: str) -> NDArray[np.float32]:
    """Head vectors of the examples that keep only their images or only their text."""
    kept = [only(example, Image if part == "image" else Text) for example in task.examples]
    return backbone.extract(_prompted(task.prompt, kept)).features


def _exhibit(example: Example, answer: Any) -> Exhibit:
    images = tuple(load_image(image.source) for image in example.images)
    return Exhibit(images, example.text, example.label, answer)


# A saved classifier, read back, classifies new examples that are written as files.

AT_LEAST = 6


def show_new_files(
    task: Task,
    backbone: Backbone,
    shots: Sequence[Example],
    rest: Sequence[Example],
    out: Path,
    *,
    n_heads: int,
) -> dict[str, Any]:
    """Fit and save a classifier, write new files, and classify them with the saved classifier.

    Parameters
    ----------
    task : Task
        Gives the prompt.
    backbone : Backbone
        The frozen model.
    shots, rest : sequence of Example
        Examples to fit the classifier on, and examples to write as new files.
    out : Path
        The classifier goes to ``classifiers/<task>`` and the files to ``new_files/<task>`` below it.
    n_heads : int
        Heads to keep.

    Returns
    -------
    dict
        ``task``, ``classifier``, ``command`` (the same prediction from a shell) and ``answers``, a list of
        ``{"id", "truth", "label", "share"}``, where share is that of the heads which voted for the label.
    """
    folder = out / "classifiers" / task.name
    SAVModel(backbone, prompt=task.prompt, n_heads=n_heads).fit(shots).save_pretrained(folder)
    data = write_files(rest[: max(len(task.classes), AT_LEAST)], out / "new_files" / task.name)
    examples = read_examples(data)
    found = SAVModel.from_pretrained(folder, backbone=backbone).predict(examples, on_error="collect")
    answers = [
        {"id": example.id, "truth": example.label, "label": label, "share": round(float(max(shares)), 4)}
        for example, label, shares in zip(examples, found.labels, found.proba, strict=True)
    ]
    return {
        "task": task.name,
        "classifier": str(folder),
        "command": shlex.join(
            ["savs", "predict", str(folder), str(data), "-o", str(out / f"{task.name}.jsonl")]
        ),
        "answers": answers,
    }


def write_files(examples: Sequence[Example], folder: Path) -> Path:
    """Write examples as files, and return the path that ``savs predict`` reads.

    Single images without text go to one folder per class; other examples become images and an
    ``examples.jsonl``.

    Parameters
    ----------
    examples : sequence of Example
    folder : Path
        Where to write.
    """
    if all(len(example.images) == 1 and not example.text for example in examples):
        for example in examples:
            _write_images(example, folder / str(example.label))
        return folder
    rows = [
        {
            "id": example.id,
            "image": _write_images(example, folder),
            "question": example.text,
            "label": example.label,
        }
        for example in examples
    ]
    file = folder / "examples.jsonl"
    file.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return file


def _write_images(example: Example, folder: Path) -> list[str]:
    """Write the images, byte for byte where they are files, and return their names."""
    folder.mkdir(parents=True, exist_ok=True)
    names = []
    for number, image in enumerate(example.images):
        name = f"{Path(str(example.id)).stem}{f'-{number + 1}' if len(example.images) > 1 else ''}"
        if isinstance(image.source, Path):
            target = folder / f"{name}{image.source.suffix}"
            target.write_bytes(image.source.read_bytes())
        else:
            target = folder / f"{name}.png"
            load_image(image.source).save(target)
        names.append(target.name)
    return names


# The whole demo.

BATCH_SIZE = 32
_IDENTITY = (
    "source",
    "model_class",
    "weights_digest",
    "processor_digest",
    "dtype",
    "attn_implementation",
    "versions",
)


def run_demo(
    out: str | os.PathLike[str],
    *,
    backbone: Any = "tiny",
    shots: int = 20,
    n_draws: int = 5,
    seed: int = 0,
    progress: bool = False,
    per_class: int | None = None,
    zero_shot_items: int = 180,
) -> dict[str, Any]:
    """Run all tasks; write classifiers, new files, ``results.json`` and ``demo.png`` below a folder.

    Parameters
    ----------
    out : path
        Folder for the results; those of an earlier run are replaced.
    backbone : str, Path or Backbone
        As for `savs.load_backbone`, or a backbone that is loaded already.
    shots : int
        Shots per class.
    n_draws : int
        How often the shots are drawn anew; the rest of the examples are the test items.
    seed : int
        Decides examples, drawn images and draws.
    progress : bool
        Show a progress bar where stderr is a terminal.
    per_class : int, optional
        At most so many examples per class, for a quicker run.
    zero_shot_items : int
        How many items zero-shot generation answers: it is the slow part.

    Returns
    -------
    dict
        What ``results.json`` holds; `savs.demo.render_table` makes it readable.

    Raises
    ------
    MissingDependencyError
        If matplotlib is not installed.
    BackboneError
        If the backbone cannot be loaded.
    DataError
        If a class has no more examples than shots.
    OSError
        If the folder cannot be written.
    """
    from savs.demo.results import draw_results

    import_optional("matplotlib")  # drawing comes last, and a missing package should show first
    started, folder = time.perf_counter(), Path(out)
    model = backbone if isinstance(backbone, Backbone) else load_backbone(backbone, batch_size=BATCH_SIZE)
    _prepare(folder)
    outcomes: list[Outcome] = []
    shown: list[dict[str, Any]] = []
    with _one_thread():
        for task in _announced(build_tasks(seed, per_class), progress):
            settings = {"shots": shots, "n_draws": n_draws, "seed": seed, "zero_shot_items": zero_shot_items}
            outcomes.append(run_task(task, model, **settings))
            support, rest = ([task.examples[row] for row in rows] for rows in first_draw(task, shots, seed))
            shown.append(show_new_files(task, model, support, rest, folder, n_heads=N_HEADS))
    draw_results(outcomes, folder / "demo.png", n_draws=n_draws)
    result: dict[str, Any] = {
        "tasks": [outcome.record() for outcome in outcomes],
        "new_files": shown,
        "backbone": {key: model.fingerprint[key] for key in _IDENTITY if key in model.fingerprint},
        "shots": shots,
        "n_draws": n_draws,
        "n_heads": N_HEADS,
        "seed": seed,
        "files": {"results": str(folder / "results.json"), "image": str(folder / "demo.png")},
        "seconds": round(time.perf_counter() - started, 1),
    }
    text = json.dumps(result, indent=1, ensure_ascii=False)
    (folder / "results.json").write_text(f"{text}\n", encoding="utf-8")
    return result


def _prepare(folder: Path) -> None:
    """Make the folder; new files of an earlier run would mix with those of another seed."""
    folder.mkdir(parents=True, exist_ok=True)
    for name in _shown_before(folder / "results.json"):
        shutil.rmtree(folder / "new_files" / name, ignore_errors=True)


def _shown_before(results: Path) -> list[str]:
    """Return the tasks whose files an earlier demo wrote; somebody's own results name none."""
    try:
        found = json.loads(results.read_bytes())["new_files"]
        names = [str(one["task"]) for one in found if {"task", "classifier", "command"} <= one.keys()]
    except (OSError, ValueError, LookupError, TypeError, AttributeError):
        return []
    return [name for name in names if name == Path(name).name and name not in {"", ".", ".."}]


def _announced(tasks: Sequence[Task], progress: bool) -> Iterator[Task]:
    from tqdm import tqdm

    with tqdm(tasks, unit="task", disable=None if progress else True, leave=False) as bar:
        for task in bar:
            bar.set_description(task.title)
            yield task


@contextmanager
def _one_thread() -> Iterator[None]:
    """Let torch use one thread: on busy cores two threads mostly wait for each other."""
    torch = sys.modules.get("torch")
    if torch is None:
        yield
        return
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(before)
