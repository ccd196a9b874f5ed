"""What the exported folder can do: `python -m training.abilities FOLDER --photos PATH`.

Measures zero-shot generation per question family, and few-shot classification over head vectors by a short,
self-contained reading of the published rule (class centroids per head, cosine hits on the shots, the 20
best heads vote), next to random heads, all heads, the last layer's state and pixels alone. Writes
abilities.json and abilities.md; knows nothing of the savs library's own classifiers.
"""

from __future__ import annotations

import argparse
import json
import sys
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from PIL import Image
from sklearn.exceptions import ConvergenceWarning
from sklearn.linear_model import LogisticRegression
from transformers import AutoModelForImageTextToText, AutoProcessor

from training.drawings import render_drawings
from training.photos import HELD_OUT, NAMED, Photos, read_photos, synthetic_photos
from training.questions.mixture import Mixture
from training.tasks import Item, Source, Task, all_tasks

Floats = npt.NDArray[np.float64]
KEPT = 20
MARKERS = ("<!-- abilities -->", "<!-- end of abilities -->")
COLUMNS = ("zero-shot", "SAVs 20", "random 20", "all heads", "last layer", "pixels")


@dataclass(frozen=True)
class Readings:
    """Head vectors (n, heads, head_dim), last-layer states (n, hidden) and pixels (n, k) of items."""

    heads: Floats
    state: Floats
    pixels: Floats


class Reader:
    """The exported model as anyone would open it."""

    def __init__(self, folder: Path, batch: int = 64) -> None:
        processors: Any = AutoProcessor
        models: Any = AutoModelForImageTextToText
        self.processor = processors.from_pretrained(folder)
        self.model = models.from_pretrained(folder, dtype=torch.float32).eval()
        text = self.model.config.text_config
        self.shape = (text.num_hidden_layers, text.num_attention_heads, text.head_dim)
        self.batch = batch

    def inputs(self, items: Sequence[Item]) -> Any:
        """Items rendered by the chat template, padded on the left."""
        prompts = []
        for item in items:
            content: list[dict[str, str]] = [{"type": "image"} for _ in item.images]
            content.append({"type": "text", "text": item.text})
            message = [{"role": "user", "content": content}]
            prompts.append(self.processor.apply_chat_template(message, add_generation_prompt=True))
        images = [image for item in items for image in item.images]
        return self.processor(images=images or None, text=prompts, padding=True, return_tensors="pt")

    @torch.inference_mode()
    def read(self, items: Sequence[Item]) -> Readings:
        """Head vectors at the last prompt token: the input of every output projection, cut into heads."""
        parts: list[tuple[Floats, Floats]] = []
        caught: list[torch.Tensor] = []

        def catch(_module: torch.nn.Module, inputs: tuple[torch.Tensor, ...]) -> None:
            caught.append(inputs[0][:, -1].clone())

        layers = self.model.model.language_model.layers
        hooks = [layer.self_attn.o_proj.register_forward_pre_hook(catch) for layer in layers]
        try:
            for chunk in _chunks(items, self.batch):
                caught.clear()
                output = self.model.model(**self.inputs(chunk))
                heads = torch.stack(caught, dim=1).reshape(len(chunk), -1, self.shape[2])
                parts.append((heads.double().numpy(), output.last_hidden_state[:, -1].double().numpy()))
        finally:
            for hook in hooks:
                hook.remove()
        pixels = np.stack([_small(item.images) for item in items])
        return Readings(
            np.concatenate([one for one, _ in parts]), np.concatenate([two for _, two in parts]), pixels
        )

    @torch.inference_mode()
    def answer(self, items: Sequence[Item]) -> list[str]:
        """Greedy answers."""
        answers: list[str] = []
        for chunk in _chunks(items, self.batch):
            inputs = self.inputs(chunk)
            output = self.model.generate(**inputs, max_new_tokens=14, do_sample=False)
            new = output[:, inputs["input_ids"].shape[1] :]
            answers += [text.strip() for text in self.processor.batch_decode(new, skip_special_tokens=True)]
        return answers


def head_votes(
    heads: Floats, labels: npt.NDArray[np.int64], queries: Floats
) -> tuple[Floats, npt.NDArray[np.int64]]:
    """Return the hits of every head on the shots, (heads,), and its class for every query, (n, heads)."""
    classes = np.unique(labels)
    centroids = np.stack([heads[labels == one].mean(axis=0) for one in classes])
    hits = (_nearest(heads, centroids) == np.searchsorted(classes, labels)[:, None]).sum(axis=0)
    return hits.astype(np.float64), classes[_nearest(queries, centroids)]


def vote(votes: npt.NDArray[np.int64], n_classes: int) -> npt.NDArray[np.int64]:
    """Majority of votes (n, heads); a tie goes to the class whose voter comes first among the heads."""
    counts = np.stack([(votes == one).sum(axis=1) for one in range(n_classes)], axis=1)
    tied = np.take_along_axis(counts, votes, axis=1) == counts.max(axis=1, keepdims=True)
    return np.take_along_axis(votes, tied.argmax(axis=1)[:, None], axis=1)[:, 0]


def few_shot(
    shots: Readings, labels: npt.NDArray[np.int64], queries: Readings, truth: npt.NDArray[np.int64], seed: int
) -> dict[str, float]:
    """Accuracy of every way to classify the queries from the shots."""
    n_classes = int(labels.max()) + 1
    hits, votes = head_votes(shots.heads, labels, queries.heads)
    chosen = np.argsort(-hits, kind="stable")[:KEPT]
    rng = np.random.default_rng(seed)
    random = [rng.permutation(votes.shape[1])[:KEPT] for _ in range(5)]
    _, state = head_votes(shots.state[:, None], labels, queries.state[:, None])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # a control, good enough after 300 iterations
        pixels = LogisticRegression(max_iter=300).fit(shots.pixels, labels).predict(queries.pixels)
    return {
        "SAVs 20": float((vote(votes[:, chosen], n_classes) == truth).mean()),
        "random 20": float(np.mean([(vote(votes[:, one], n_classes) == truth).mean() for one in random])),
        "all heads": float((vote(votes, n_classes) == truth).mean()),
        "last layer": float((state[:, 0] == truth).mean()),
        "pixels": float((pixels == truth).mean()),
    }


def measure_task(
    reader: Reader, task: Task, source: Source, shots: int, draws: int, tests: int
) -> dict[str, float]:
    """Mean accuracy of one task over several draws of the shots."""
    per_class = max(1, tests // len(task.labels))
    source.half = 0
    test = _balanced(task, source, per_class)
    queries, truth = reader.read(test), _labels(task, test)
    answers = reader.answer(test)
    rows = []
    source.half = 1
    for draw in range(draws):
        items = _balanced(task, source, shots)
        rows.append(few_shot(reader.read(items), _labels(task, items), queries, truth, draw))
    means = {name: float(np.mean([row[name] for row in rows])) for name in rows[0]}
    right = [answer.lower() == item.answer.lower() for answer, item in zip(answers, test, strict=True)]
    return {"zero-shot": float(np.mean(right)), **means}


def measure_families(reader: Reader, mixture: Mixture, samples: int) -> dict[str, tuple[float, int]]:
    """Share of questions answered exactly, and how many were asked, per family, on held-out images."""
    items: list[Item] = []
    families: list[str] = []
    for _ in range(samples):
        sample = mixture.sample()
        images = tuple(Image.fromarray(mixture.pixels(image)) for image in sample.images)
        for _ in range(3):
            question = sample.ask()
            items.append(Item(images, question.text, question.answer, question.answer))
            families.append(question.family)
    order = sorted(range(len(items)), key=lambda i: (len(items[i].images), len(items[i].text)))
    answers = dict(zip(order, reader.answer([items[i] for i in order]), strict=True))
    found: dict[str, list[bool]] = {}
    for i, family in enumerate(families):
        found.setdefault(family, []).append(answers[i] == items[i].answer)
    return {family: (float(np.mean(right)), len(right)) for family, right in sorted(found.items())}


def measure(
    reader: Reader, photos: Photos, seed: int, shots: int, draws: int, tests: int, samples: int
) -> dict[str, Any]:
    """Everything, as abilities.json holds it."""
    drawings = render_drawings(max(60, samples), 260, seed + 77_777)
    named = np.isin(photos.labels, [photos.classes.index(name) for name in NAMED])
    order = {photos.classes.index(name): i for i, name in enumerate(NAMED)}
    labels = np.asarray([order[int(label)] for label in photos.labels[named]])
    mixture = Mixture(Photos(photos.pixels[named], labels, NAMED), drawings, seed + 5)
    families = measure_families(reader, mixture, samples)
    source = Source(photos, seed + 9)
    tasks: dict[str, dict[str, Any]] = {}
    for task in all_tasks():
        tasks[task.name] = {
            "never trained": task.unseen,
            **measure_task(reader, task, source, shots, draws, tests),
        }
        print(task.name, {name: round(100 * tasks[task.name][name], 1) for name in COLUMNS}, flush=True)
    tasks["mean"] = {
        "never trained": False,
        **{name: float(np.mean([row[name] for row in tasks.values()])) for name in COLUMNS},
    }
    return {
        "shots per class": shots,
        "draws": draws,
        "test items": tests,
        "tasks": tasks,
        "families": families,
    }


def as_markdown(abilities: dict[str, Any]) -> str:
    """Return the two tables of the card."""
    lines = [
        f"Few-shot: {abilities['shots per class']} shots per class, mean of {abilities['draws']} draws, "
        "accuracy in %; `*` marks what training never showed or asked.",
        "",
        "| task | " + " | ".join(COLUMNS) + " |",
        "|" + "-|" * (len(COLUMNS) + 1),
    ]
    for name, row in abilities["tasks"].items():
        mark = " *" if row["never trained"] else ""
        lines.append(
            f"| {name}{mark} | " + " | ".join(f"{100 * row[column]:.1f}" for column in COLUMNS) + " |"
        )
    lines += [
        "",
        "Zero-shot generation, exact answers on held-out pictures:",
        "",
        "| question family | % | asked |",
        "|-|-|-|",
    ]
    lines += [
        f"| {family} | {100 * share:.0f} | {asked} |"
        for family, (share, asked) in abilities["families"].items()
    ]
    return "\n".join(lines) + "\n"


def with_table(card: str, table: str) -> str:
    """Return the card with `table` between its markers, in place of what stood there."""
    before, start, rest = card.partition(MARKERS[0])
    _, end, after = rest.partition(MARKERS[1])
    if not start or not end:
        raise ValueError(f"the card lacks the markers {MARKERS}")
    return f"{before}{start}\n{table}{end}{after}"


def _chunks(items: Sequence[Item], size: int) -> Iterator[Sequence[Item]]:
    for start in range(0, len(items), size):
        yield items[start : start + size]


def _small(images: Sequence[Image.Image]) -> Floats:
    small = [
        np.asarray(image.resize((16, 16), Image.Resampling.BOX), dtype=np.float64) / 255 for image in images
    ]
    return np.concatenate([one.ravel() for one in small]) if small else np.zeros(1)


def _nearest(vectors: Floats, centroids: Floats) -> npt.NDArray[np.int64]:
    """Return the classes of largest cosine, (n, heads): vectors (n, heads, d), centroids (c, heads, d)."""
    similar = np.einsum("nhd,chd->nhc", _unit(vectors), _unit(centroids))
    nearest: npt.NDArray[np.int64] = similar.argmax(axis=-1)
    return nearest


def _unit(vectors: Floats) -> Floats:
    unit: Floats = vectors / np.maximum(np.linalg.norm(vectors, axis=-1, keepdims=True), 1e-12)
    return unit


def _balanced(task: Task, source: Source, per_class: int) -> list[Item]:
    items: list[Item] = []
    for label in task.labels:
        wanted = len(items) + per_class
        while len(items) < wanted:
            item = task.make(source, label)
            if item is not None:
                items.append(item)
    return items


def _labels(task: Task, items: Sequence[Item]) -> npt.NDArray[np.int64]:
    return np.asarray([task.labels.index(item.label) for item in items])


def main(argv: Sequence[str] | None = None) -> int:
    """Measure a folder and write abilities.json and abilities.md; returns the exit status."""
    parser = argparse.ArgumentParser(prog="python -m training.abilities", description=__doc__)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--photos", type=Path, help="as for the training program; its test part is used")
    parser.add_argument(
        "--out", type=Path, help="folder of abilities.json and abilities.md (default: FOLDER)"
    )
    parser.add_argument("--card", type=Path, help="card whose tables, between its two markers, are renewed")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--shots", type=int, default=20)
    parser.add_argument("--draws", type=int, default=3)
    parser.add_argument("--tests", type=int, default=300)
    parser.add_argument("--samples", type=int, default=1_500)
    parser.add_argument("--threads", type=int)
    options = parser.parse_args(argv)
    if options.threads:
        torch.set_num_threads(options.threads)
    classes = (*NAMED, *HELD_OUT)
    if options.photos is None:
        photos = synthetic_photos(np.random.default_rng(options.seed), 12, classes)
    else:
        photos = read_photos(options.photos, "test", classes)
    abilities = measure(
        Reader(options.folder),
        photos,
        options.seed,
        options.shots,
        options.draws,
        options.tests,
        options.samples,
    )
    out = options.out or options.folder
    out.mkdir(parents=True, exist_ok=True)
    (out / "abilities.json").write_text(json.dumps(abilities, indent=1) + "\n", encoding="utf-8")
    (out / "abilities.md").write_text(as_markdown(abilities), encoding="utf-8")
    if options.card is not None:
        card = options.card.read_text(encoding="utf-8")
        options.card.write_text(with_table(card, as_markdown(abilities)), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
