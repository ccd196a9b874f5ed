"""The model card of a saved classifier: what it is, on which backbone, how it was made, what to expect."""

from __future__ import annotations

from typing import Any

from savs.artifact import Artifact

__all__ = ["render_card"]

USE = """## Use

```python
from savs import SAVModel

model = SAVModel.from_pretrained("this-folder")
model.predict(["image.jpg"])
```

The backbone is loaded when it is first needed; another model, revision, processor or dtype is refused."""


def render_card(artifact: Artifact) -> str:
    """Return the card as Markdown with a metadata block; the same artifact gives the same text."""
    sections = (_front_matter(artifact), _summary(artifact), _classes(artifact), _expectation(artifact), USE)
    return "\n\n".join(sections) + "\n"


def _front_matter(artifact: Artifact) -> str:
    lines = ["---", "library_name: savs", "tags:", "- savs", "- few-shot", "- sparse-attention-vectors"]
    if artifact.fingerprint.get("commit") and artifact.fingerprint.get("source"):
        lines.append(f"base_model: {_plain(artifact.fingerprint['source'])}")
    return "\n".join([*lines, "---"])


def _summary(artifact: Artifact) -> str:
    fingerprint = artifact.fingerprint
    rows = {
        "Method": _method(artifact),
        "Backbone": _code(fingerprint.get("source")),
        "Backbone class": _code(fingerprint.get("model_class")),
        "Commit": _code(fingerprint.get("commit") or "none (not from a hub)"),
        "Weights digest": _code(fingerprint.get("weights_digest")),
        "Processor": _code(fingerprint.get("processor_class")),
        "Dtype": _code(fingerprint.get("dtype")),
        **_prompts(artifact),
        "Heads in use": f"{sum(head >= 0 for _, head in artifact.heads)} of {artifact.layout.n_heads}",
        "Shots": str(len(artifact.shots)),
    }
    if artifact.video_sampling is not None:
        rows["Videos"] = artifact.video_sampling.in_words
    if artifact.bit_depth is not None:
        rows["Images"] = f"read as {artifact.bit_depth} bits"
    table = "\n".join(f"| {name} | {value} |" for name, value in rows.items())
    intro = (
        "A few-shot classifier that reads attention heads of a frozen model. It holds none of its weights."
    )
    return f"# Few-shot classifier: {_listed(artifact.classes)}\n\n{intro}\n\n| | |\n|---|---|\n{table}"


def _prompts(artifact: Artifact) -> dict[str, str]:
    if artifact.prompts is None or artifact.report is None:
        return {"Prompt": "the example's own text" if artifact.prompt is None else _code(artifact.prompt)}
    of_each = zip(artifact.prompts, artifact.report["prompts"], strict=True)
    return {
        f"Prompt {number}": f"{_code(prompt)}, weight {report['weight']:.2f}"
        for number, (prompt, report) in enumerate(of_each, start=1)
    }


def _method(artifact: Artifact) -> str:
    if artifact.classifier.published_as is not None:
        return artifact.classifier.published_as
    chosen = (artifact.report or {}).get("chosen")
    return _code(artifact.method.name) + (f": {_plain(', '.join(chosen))}" if chosen else "")


def _classes(artifact: Artifact) -> str:
    rows = "\n".join(f"| {_plain(label)} | {count} |" for label, count in artifact.shots_per_class.items())
    return f"## Classes\n\n| class | shots |\n|---|---|\n{rows}"


def _expectation(artifact: Artifact) -> str:
    estimate = artifact.estimate
    if estimate is None:
        return "## What to expect\n\nNot estimated: no class has two shots."
    low, high = estimate["interval"]
    untested = estimate.get("n_untested_classes", 0)
    if untested:
        return (
            f"## What to expect\n\nNot estimated over all classes: {untested} of them have one shot. Of the "
            f"others, {estimate['accuracy']:.1%} of {estimate['n']} held-out shots were right (95 % interval "
            f"{low:.1%} to {high:.1%}).\n\n{estimate['note']}"
        )
    text = (
        f"Estimated accuracy {estimate['accuracy']:.1%} (95 % interval {low:.1%} to {high:.1%}, "
        f"macro F1 {estimate['macro_f1']:.1%}), from the {estimate['n']} shots that could be left out while "
        "everything was learned again without them. It holds for new examples that look like the shots, and "
        "for no others."
    )
    note = f"\n\n{estimate['note']}" if estimate.get("note") else ""
    return f"## What to expect\n\n{text}{note}"


def _code(value: Any) -> str:
    text = " ".join(str(value).split()).replace("`", "'").replace("|", "\\|")
    return f"`{text}`"


def _plain(label: object) -> str:
    return " ".join(str(label).split()).replace("|", "\\|")


def _listed(labels: list[Any]) -> str:
    shown = ", ".join(_plain(label) for label in labels[:6])
    return shown if len(labels) <= 6 else f"{shown} and {len(labels) - 6} more"
