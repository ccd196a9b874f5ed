"""`predict_together`: several classifiers answer the same examples in one call of their common backbone.

Questions about one image share its pass (`savs.backbones._prefixes`), classifiers with the same
prompt share everything: ten policies on an image cost about as much as one and nine short texts.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from savs.backbones import Extraction, PromptTemplate
from savs.classifiers.prompt_ensemble import PromptRows
from savs.data import ErrorLedger, Example, as_examples
from savs.errors import BackboneError, ItemError
from savs.layout import HeadLayout
from savs.model._rows import read_rows
from savs.model._support_set import warn_of_unlike_inputs
from savs.model.predictions import Predictions
from savs.model.sav_model import SAVModel


def predict_together(
    models: Sequence[SAVModel], examples: Sequence[Any], *, max_errors: int = 0, progress: bool = False
) -> list[Predictions]:
    """Return each classifier's answers to all examples, equal to those of its own `SAVModel.predict`.

    Parameters
    ----------
    models : sequence of SAVModel
        Fitted, all on one backbone object: load others with
        ``SAVModel.from_pretrained(folder, backbone=first.backbone)``.
    examples : sequence
        Anything that `as_examples` takes.
    max_errors : int, default=0
        How many examples may fail, in any classifier, before the error of one more is raised; -1 means any
        number. An example that fails in one is answered by none.
    progress : bool, default=False
        Show a progress bar.

    Returns
    -------
    list of Predictions
        In the order of the models.

    Raises
    ------
    BackboneError
        If there is no model, or they have different backbones.
    ItemError
        When more than `max_errors` examples cannot be read.
    """
    _check(models)
    ledger = ErrorLedger(max_errors)
    given = as_examples(examples, ledger=ledger)
    placed = dict(zip(ledger.kept(len(given)), given, strict=True))
    prompts = list(dict.fromkeys(prompt for model in models for prompt in model._fitted_reader.prompts))
    asked = [(prompt, index) for index in placed for prompt in prompts]
    prompted, errors = _prompted(asked, placed)
    for model in models:
        warn_of_unlike_inputs(model.shots_, prompted.values())
    used = {head for model in models for head in model.heads_}
    heads = sorted(used, key=lambda head: head.place)  # the final state stands at the end of a row
    found = read_rows(models[0].backbone, list(prompted.values()), heads, max_errors=-1, progress=progress)
    rows, failed = _by_question(list(prompted), found)
    for (_prompt, index), error in [*errors, *failed]:
        if index not in ledger.by_index:
            ledger.add(index, placed[index], error)
    left = [index for index in placed if index not in ledger.by_index]
    layouts = [model.classifier_.backbone_layout_ for model in models]
    layout = next((one for one in layouts if one.state is not None), layouts[0])
    return [_answered(model, layout.select(heads), rows, left, ledger) for model in models]


_Question = tuple[str | None, int]
_Failed = list[tuple[_Question, ItemError]]


def _check(models: Sequence[SAVModel]) -> None:
    if not models:
        raise BackboneError("there are no classifiers; hand in at least one")
    if any(head.is_options for model in models for head in model.heads_):
        raise BackboneError(
            "a classifier that reads the likelihood of its class names cannot answer together with others: "
            "use predict of each"
        )
    if any(model.backbone is not models[0].backbone for model in models):
        raise BackboneError(
            "the classifiers must share one backbone object: load the others with "
            "SAVModel.from_pretrained(folder, backbone=first.backbone)"
        )


def _prompted(
    asked: Sequence[_Question], placed: dict[int, Example]
) -> tuple[dict[_Question, Example], _Failed]:
    made: dict[_Question, Example] = {}
    errors: _Failed = []
    for prompt, index in asked:
        try:
            made[prompt, index] = (
                placed[index] if prompt is None else PromptTemplate(prompt).apply(placed[index])
            )
        except ItemError as error:
            errors.append(((prompt, index), error))
    return made, errors


def _by_question(
    questions: list[_Question], found: Extraction
) -> tuple[dict[_Question, NDArray[np.float32]], _Failed]:
    rows = {questions[int(i)]: row for i, row in zip(found.indices, found.features, strict=True)}
    unread = [question for question in questions if question not in rows]
    return rows, list(zip(unread, found.errors, strict=True))


def _answered(
    model: SAVModel,
    layout: HeadLayout,
    rows: dict[_Question, NDArray[np.float32]],
    indices: list[int],
    ledger: ErrorLedger,
) -> Predictions:
    columns, prompts = layout.column_indices(model.heads_), model._fitted_reader.prompts
    of_each = [np.empty((len(indices), len(columns)), np.float32) for _ in prompts]
    for features, prompt in zip(of_each, prompts, strict=True):
        for position, index in enumerate(indices):
            features[position] = rows[prompt, index][columns]
    joined = PromptRows.of(layout.select(model.heads_), len(prompts)).joined(of_each)
    return Predictions(np.asarray(indices, dtype=np.intp), *model.predict_features(joined), ledger.errors)
