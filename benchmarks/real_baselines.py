"""What savs is held against on texts beside its own baselines: a sentence encoder and classifiers on it."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV
from sklearn.preprocessing import normalize

from savs.evaluation.protocol import draw_rows

__all__ = [
    "Classify",
    "Rows",
    "SentenceEncoder",
    "judged",
    "logistic_regression",
    "nearest_mean",
    "nearest_name",
]

Rows = NDArray[np.intp]
Classify = Callable[[Rows, Rows], NDArray[Any]]
"""From rows of the shots and of the texts that are judged to the latter's labels."""

_C = (0.01, 0.1, 1.0, 10.0, 100.0)
_FOLDS = 5


def judged(
    classify: Classify, labels: NDArray[Any], shots: int, draws: int, seed: int
) -> list[list[bool | None]]:
    """Return for each draw of the shots which texts were classified right; None for the shots themselves.

    The draws are those of `savs.evaluation.compare_methods` with the same seed.

    Parameters
    ----------
    classify : callable
        See `Classify`.
    labels : ndarray of str, shape (n_texts,)
    shots : int
        Per class.
    draws, seed : int
        Number and seed of the draws.
    """
    found = []
    for draw in range(draws):
        drawn, rest = draw_rows(labels.tolist(), shots, (seed, draw), leave=1)
        right: list[bool | None] = [None] * len(labels)
        for row, label in zip(rest.tolist(), classify(drawn, rest).tolist(), strict=True):
            right[row] = label == labels[row]
        found.append(right)
    return found


def nearest_mean(rows: NDArray[np.floating[Any]], labels: NDArray[Any]) -> Classify:
    """Classify by the largest cosine with the mean of a class's shots, each of length 1.

    Parameters
    ----------
    rows : ndarray of float, shape (n_texts, width)
    labels : ndarray of str, shape (n_texts,)
    """
    unit = normalize(rows)

    def classify(drawn: Rows, rest: Rows) -> NDArray[Any]:
        classes = np.unique(labels[drawn])
        means = np.stack([unit[drawn[labels[drawn] == label]].mean(axis=0) for label in classes])
        return classes[(unit[rest] @ normalize(means).T).argmax(axis=1)]

    return classify


def nearest_name(rows: NDArray[np.floating[Any]], names: NDArray[np.floating[Any]]) -> NDArray[np.intp]:
    """Return which class name's embedding has the largest cosine with each text's; needs no shots.

    Parameters
    ----------
    rows : ndarray of float, shape (n_texts, width)
    names : ndarray of float, shape (n_classes, width)
    """
    return (normalize(rows) @ normalize(names).T).argmax(axis=1)


def logistic_regression(rows: NDArray[np.floating[Any]], labels: NDArray[Any]) -> Classify:
    """Classify by logistic regression; its strength is chosen on the shots where each class has several.

    Parameters
    ----------
    rows : ndarray of float, shape (n_texts, width)
    labels : ndarray of str, shape (n_texts,)
    """
    return lambda drawn, rest: _fitted(rows[drawn], labels[drawn]).predict(rows[rest])


def _fitted(rows: NDArray[Any], labels: NDArray[Any]) -> Any:
    folds = min(_FOLDS, int(np.unique(labels, return_counts=True)[1].min()))
    if folds < 2:
        return LogisticRegression(max_iter=1000).fit(rows, labels)
    return LogisticRegressionCV(
        Cs=_C,
        cv=folds,
        max_iter=1000,
        scoring="neg_log_loss",
        l1_ratios=(0.0,),
        use_legacy_attributes=False,
    ).fit(rows, labels)


class SentenceEncoder:
    """A sentence encoder from a folder: mean of the last hidden states over the tokens, of length 1.

    Parameters
    ----------
    folder : Path
        A model of transformers with its tokenizer, such as all-MiniLM-L6-v2.
    max_tokens : int, default=256
        Where longer texts end.
    """

    def __init__(self, folder: Path, max_tokens: int = 256) -> None:
        os.environ.setdefault("HF_HUB_OFFLINE", "1")
        from transformers import AutoModel, AutoTokenizer

        tokenizer: Any = AutoTokenizer
        self._tokenizer = tokenizer.from_pretrained(str(folder), local_files_only=True)
        self._model = AutoModel.from_pretrained(str(folder), local_files_only=True).eval()
        self._max_tokens = max_tokens

    def embed(self, texts: Sequence[str]) -> NDArray[np.float32]:
        """Return one embedding per text, one text at a time: padding changes nothing.

        Parameters
        ----------
        texts : sequence of str
        """
        import torch

        rows = []
        for text in texts:
            inputs = self._tokenizer(text, truncation=True, max_length=self._max_tokens, return_tensors="pt")
            with torch.inference_mode():
                states = self._model(**inputs).last_hidden_state[0]
            rows.append(states.mean(dim=0).numpy())
        return normalize(np.stack(rows)).astype(np.float32)
