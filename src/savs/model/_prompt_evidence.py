"""Why an answer to several prompts is what it is: what each prompt alone says, and the mean of them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from savs.classifiers import HeadClassifier
from savs.classifiers.evidence import shot_cosines
from savs.classifiers.prompt_ensemble import PromptEnsembleClassifier
from savs.model._support_set import SupportSet
from savs.model.explanation import (
    Explanation,
    PromptEvidence,
    Where,
    explain_rows,
    nearest_shots,
    occlusions,
)


def explain_prompts(
    classifier: PromptEnsembleClassifier,
    prompts: Sequence[str | None],
    rows: NDArray[np.float32],
    wheres: Sequence[Where],
    support: SupportSet,
    kept_rows: NDArray[np.float32] | None,
) -> Explanation:
    """Return the explanation of the first row, as `explain_rows` does, with that of each prompt alone.

    Parameters
    ----------
    classifier : PromptEnsembleClassifier
        Fitted, and restricted to its heads in use.
    prompts : sequence of str
        In the classifier's order.
    rows : ndarray of float32, shape (1 + n_variants, width of the kept heads)
        The example, then each variant, of all prompts side by side.
    wheres, support, kept_rows
        As for `explain_rows`.
    """
    labels = classifier.classes_.tolist()
    answer = labels.index(classifier.predict(rows[:1]).tolist()[0])
    near = (
        None
        if kept_rows is None or not classifier.layout_.heads
        else shot_cosines(rows[:1], kept_rows, classifier.layout_)[:, 0]
    )
    of_shots = [None] * len(prompts) if kept_rows is None else classifier.parts(kept_rows)
    parts = zip(prompts, classifier.estimators_, classifier.parts(rows), of_shots, strict=True)
    alone = [_alone(estimator, part, wheres, support, of_shots) for _, estimator, part, of_shots in parts]
    return Explanation(
        label=labels[answer],
        proba=dict(zip(labels, classifier.predict_proba(rows[:1])[0].tolist(), strict=True)),
        agreement_entropy=None,
        heads=[],
        unit=None,
        nearest=[] if near is None else nearest_shots(near.mean(axis=0), support.shots),
        occlusion=occlusions(classifier.decision_log_proba(rows), answer, labels, wheres),
        prompts=[
            PromptEvidence(str(prompt), weight, one)
            for prompt, weight, one in zip(prompts, classifier.weights_.tolist(), alone, strict=True)
        ],
    )


def _alone(
    estimator: HeadClassifier,
    rows: NDArray[np.floating],
    wheres: Sequence[Where],
    support: SupportSet,
    kept_rows: NDArray[np.floating] | None,
) -> Explanation:
    """Return the explanation by one prompt's classifier, at the heads that it uses itself."""
    columns = estimator.layout_.column_indices(estimator.heads_)
    own = None if kept_rows is None else np.asarray(kept_rows[:, columns], np.float32)
    restricted = estimator.restrict_to(estimator.heads_)
    return explain_rows(restricted, np.asarray(rows[:, columns], np.float32), wheres, support, own)
