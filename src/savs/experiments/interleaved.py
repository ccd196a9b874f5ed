"""Accuracy from the media of the examples alone, from their text alone, and from both."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from savs._progress import progress_bar
from savs.backbones import Backbone, PromptTemplate
from savs.data import AUDIO_MARKER, IMAGE_MARKER, VIDEO_MARKER, Example, Text
from savs.errors import DataError
from savs.experiments.reading import (
    ReadSet,
    check_data,
    check_methods,
    default_shots,
    make_draws,
    read_set,
)
from savs.experiments.results import Experiment, Row
from savs.layout import Head, HeadLayout

__all__ = ["METHODS", "PARTS", "interleaved_experiment"]

METHODS: tuple[str, ...] = ("sav", "hec_v", "kernel_ridge")
SHOTS = 20
IMAGE, TEXT, SIDE_BY_SIDE, BOTH = PARTS = ("image only", "text only", "side by side", "both")


def interleaved_experiment(
    backbone: Backbone,
    examples: Sequence[Example],
    *,
    prompt: str | None = None,
    methods: Sequence[str] = METHODS,
    shots: int | None = None,
    draws: int = 5,
    test: Sequence[Example] = (),
    seed: int = 0,
    task: str = "data",
    max_errors: int = 0,
    progress: bool = False,
) -> Experiment:
    """Measure what the media of examples, their text, and both together are worth, on the same draws.

    There are four forms of each example, which are the places of the x axis:

    - ``image only``: its images, videos and audio clips, then the prompt. Placeholders of the prompt, which
      stand for text of the example, are empty.
    - ``text only``: its text with the prompt, without any medium.
    - ``side by side``: the head vectors of the two forms above side by side. The heads of one are other heads
      than those of the other, and methods that keep heads choose among all of them; no head ever saw media
      and text together.
    - ``both``: the example as it is, with the prompt: each head saw both.

    Parameters
    ----------
    backbone : Backbone
        The frozen model; each example passes it three times, once for each form that it reads.
    examples : sequence of Example
        Labeled, *without* the prompt.
    prompt : str, optional
        The template (`savs.backbones.PromptTemplate`).
    methods : sequence of str
        Names of `savs.classifiers.available_methods` that need neither the last-layer state nor the names of
        the classes, or ``majority``. Others are recorded as failed where they cannot be used.
    shots : int, optional
        Shots per class; by default 20, or half of the smallest class.
    draws, test, seed, task, max_errors, progress
        As in `savs.experiments.shots_experiment`. An example that cannot be read in one form is left out of
        all.

    Returns
    -------
    Experiment
        The series are the methods; `x` is the form.

    Raises
    ------
    ValueError
        If a method is not known, or a number is out of range.
    DataError
        If no example has a medium, or no example has text of its own; or as `shots_experiment`.
    ItemError
        If more than `max_errors` examples cannot be read, in one of the forms.
    """
    check_methods(methods)
    given = [*examples, *test]
    n_shots = default_shots(examples, [SHOTS], fixed_test=bool(test))[-1] if shots is None else shots
    names = list(dict.fromkeys(methods))
    check_data(examples, [n_shots], draws, fixed_test=bool(test))
    forms = example_forms(given, prompt)
    sets = {
        form: read_set(
            backbone,
            versions[: len(examples)],
            versions[len(examples) :],
            prompt=prompt,
            max_errors=max_errors,
            progress=progress,
        )
        for form, versions in forms.items()
    }
    errors = {error.id: error for read in sets.values() for error in read.errors}
    sets = _read_in_all(sets)
    sets[SIDE_BY_SIDE] = _side_by_side(sets[IMAGE], sets[TEXT])
    # Copies are those of the whole example: many share their image, or their text.
    all_draws = make_draws(sets[BOTH], [n_shots], draws, seed)
    rows = []
    with progress_bar(len(names) * len(PARTS) * draws, "fit", progress) as tell:
        for name in names:
            for form in PARTS:
                read = sets[form]
                for draw in all_draws:
                    outcome = read.judge(name, draw.shots[n_shots], draw.test)
                    rows.append(Row.of(form, name, draw.number, outcome))
                    tell(1)
    settings = {"shots": n_shots, "draws": draws, "seed": seed, "prompt": prompt, "fixed_test": bool(test)}
    return Experiment("interleaved", task, names, "what is read", rows, settings, list(errors.values()))


def example_forms(examples: Sequence[Example], prompt: str | None) -> Mapping[str, list[Example]]:
    """Return examples with their media only, with their text only, and with both, the prompt applied.

    Parameters
    ----------
    examples : sequence of Example
        Without the prompt.
    prompt : str or None
        The template.

    Raises
    ------
    DataError
        If no example has a medium, or none has text of its own.
    """
    if not any(example.images or example.audios for example in examples):
        raise DataError("no example has an image, video or audio clip; there is nothing to compare text with")
    template = None if prompt is None else PromptTemplate(prompt)
    columns = set(() if template is None else template.placeholders) - {"question", "text"}
    if not any(example.text.strip() for example in map(without_media, examples)) and not columns:
        raise DataError("no example has text of its own; there is nothing to compare images with")
    bare = None if prompt is None else PromptTemplate(_without_markers(prompt))
    return {
        IMAGE: [_prompted(without_text(example), template) for example in examples],
        TEXT: [_prompted(without_media(example), bare) for example in examples],
        BOTH: [_prompted(example, template) for example in examples],
    }


def without_media(example: Example) -> Example:
    """Return an example without its images, videos and audio clips."""
    messages = tuple(
        replace(message, parts=tuple(part for part in message.parts if isinstance(part, Text)))
        for message in example.messages
    )
    return replace(example, messages=messages)


def without_text(example: Example) -> Example:
    """Return an example without its texts; its columns are empty."""
    messages = tuple(
        replace(message, parts=tuple(part for part in message.parts if not isinstance(part, Text)))
        for message in example.messages
    )
    return replace(example, messages=messages, fields=dict.fromkeys(example.fields, ""))


def _without_markers(prompt: str) -> str:
    for marker in (IMAGE_MARKER, VIDEO_MARKER, AUDIO_MARKER):
        prompt = prompt.replace(marker, "")
    return prompt


def _prompted(example: Example, template: PromptTemplate | None) -> Example:
    return example if template is None else template.apply(example)


def _read_in_all(sets: Mapping[str, ReadSet]) -> dict[str, ReadSet]:
    """Return the sets with those examples alone that could be read in every form."""
    common: set[int] = set.intersection(*(set(read.positions.tolist()) for read in sets.values()))
    kept = {}
    for form, read in sets.items():
        rows = np.flatnonzero([position in common for position in read.positions.tolist()])
        kept[form] = replace(
            read,
            examples=[read.examples[row] for row in rows.tolist()],
            n_pool=int(np.sum(rows < read.n_pool)),
            features=read.features[rows],
            states=None if read.states is None else read.states[rows],
            positions=read.positions[rows],
        )
    return kept


def _side_by_side(image: ReadSet, text: ReadSet) -> ReadSet:
    """Return rows that hold the heads of both, those of `text` as further layers."""
    layout = image.layout
    layers = [(head.layer, head.index) for head in layout.heads]
    doubled = [*layers, *((layer + layout.n_layers, index) for layer, index in layers)]
    return replace(
        image,
        features=np.hstack([image.features, text.features]),
        states=None,
        layout=HeadLayout(tuple(Head(*head) for head in doubled), layout.dims * 2),
    )
