"""Controls without any model: words, pixels, and what is around the content. What they reach is no insight.

A method is worth its cost where it is clearly better than these. A high accuracy of `metadata` says that the
classes can be told apart without looking: the data have a shortcut.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from savs.baselines._contents import blamed_on, coded_labels, images_of, named, words_of
from savs.baselines.on_features import BaselineResult, logistic_probe
from savs.data import Example, Label
from savs.errors import DataError
from savs.media import Video
from savs.media.image import image_header

__all__ = ["fit_pixels", "metadata", "pixel_rows", "pixels", "tf_idf"]


# Words.


def tf_idf(shots: Sequence[Example], queries: Sequence[Example]) -> BaselineResult:
    """Predict with a logistic regression on words and pairs of adjacent words, weighted by TF-IDF.

    scikit-learn's `TfidfVectorizer` with the logarithm of the counts, and `LogisticRegression` with C = 10.
    A prompt around the texts changes little: what all texts have in common tells no classes apart.

    Parameters
    ----------
    shots, queries : sequence of Example
        Only their texts are read.

    Returns
    -------
    BaselineResult
        With `proba`.

    Raises
    ------
    DataError
        If there are no words, a shot has no label, or there are fewer than two classes.
    """
    from sklearn.feature_extraction.text import TfidfVectorizer
    from sklearn.linear_model import LogisticRegression

    classes, codes = coded_labels(shots)
    vectorizer = TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True)
    words = [words_of(shot) for shot in shots]
    analyze = vectorizer.build_analyzer()
    if not any(map(analyze, words)):
        raise DataError("the shots have no words to learn from; use another baseline")
    classifier = LogisticRegression(C=10.0, max_iter=1000).fit(vectorizer.fit_transform(words), codes)
    if not queries:
        return _result("tf_idf", np.empty((0, len(classes))), classes)
    proba = classifier.predict_proba(vectorizer.transform([words_of(query) for query in queries]))
    return _result("tf_idf", proba, classes)


def _result(name: str, proba: NDArray[np.float64], classes: list[Label]) -> BaselineResult:
    labels: list[Label | None] = [classes[code] for code in proba.argmax(axis=1).tolist()]
    return BaselineResult(name, labels, [], proba, classes)


# Pixels.

_SIDE = 8


def pixels(shots: Sequence[Example], queries: Sequence[Example]) -> BaselineResult:
    """Predict with a logistic regression on the images at 8 x 8 pixels.

    Parameters
    ----------
    shots, queries : sequence of Example
        All with the same number of images; a video counts as its frames.

    Returns
    -------
    BaselineResult
        With `proba`.

    Raises
    ------
    DataError
        If an example has no image or another number of them than the first, a shot has no label, or there
        are fewer than two classes.
    MediaError
        If an image cannot be read, with the example's id.
    """
    classes, codes = coded_labels(shots)
    rows = pixel_rows([*shots, *queries])
    if not queries:
        return _result("pixels", np.empty((0, len(classes))), classes)
    fitted = fit_pixels(rows[: len(shots)], codes)
    return _result("pixels", fitted.predict_proba(rows[len(shots) :]), classes)


def pixel_rows(examples: Sequence[Example]) -> NDArray[np.float32]:
    """Return every example's images at 8 x 8 pixels, shape (n_examples, n_images * 8 * 8 * 3), in [0, 1].

    Parameters
    ----------
    examples : sequence of Example
        At least one, all with the same number of images.

    Raises
    ------
    DataError
        If an example has no image, or another number of them than the first.
    MediaError
        If an image cannot be read, with the example's id.
    """
    from PIL.Image import Resampling

    rows: list[NDArray[np.uint8]] = []
    for place, example in enumerate(examples):
        small = [np.asarray(image.resize((_SIDE, _SIDE), Resampling.BOX)) for image in images_of(example)]
        if not small:
            raise DataError(f"{named(example, place)} has no image; pixels need one")
        row = np.concatenate([image.ravel() for image in small])
        if rows and len(row) != len(rows[0]):
            expected = len(rows[0]) // (3 * _SIDE**2)
            raise DataError(
                f"{named(example, place)} has {len(small)} images, the first example {expected}; pixels need "
                "the same number of images everywhere"
            )
        rows.append(row)
    table: NDArray[np.float32] = np.stack(rows).astype(np.float32) / np.float32(255)
    return table


def fit_pixels(rows: NDArray[np.floating[Any]], labels: NDArray[Any]) -> Any:
    """Fit a logistic regression to standardized pixels, without tuning any setting.

    Parameters
    ----------
    rows : ndarray of float, shape (n_examples, n_pixels)
        From `pixel_rows`.
    labels : ndarray, shape (n_examples,)
        Labels.

    Returns
    -------
    sklearn.pipeline.Pipeline
        The fitted classifier.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    return make_pipeline(StandardScaler(), LogisticRegression(max_iter=2000)).fit(rows, labels)


# What is around the content.


def metadata(shots: Sequence[Example], queries: Sequence[Example]) -> BaselineResult:
    """Predict with a logistic regression on sizes and formats: nothing is looked at or read.

    Of each example: the number of images, videos and audio clips; width, height and their ratio, on average
    over its images; the size of their files and their formats; the number of characters and words.

    Parameters
    ----------
    shots, queries : sequence of Example
        Of images, only the headers are read.

    Returns
    -------
    BaselineResult
        With `proba`.

    Raises
    ------
    DataError
        If a shot has no label, or there are fewer than two classes.
    MediaError
        If an image cannot be read, with the example's id.
    """
    coded_labels(shots)
    facts = [_facts(example) for example in [*shots, *queries]]
    names = sorted({name for fact in facts[: len(shots)] for name in fact})  # formats only of queries: no use
    rows = np.array([[fact.get(name, 0.0) for name in names] for fact in facts])
    truth = np.array([shot.label for shot in shots])
    return replace(logistic_probe(rows[: len(shots)], truth, rows[len(shots) :]), name="metadata")


def _facts(example: Example) -> dict[str, float]:
    """Return numbers by name; sizes as logarithms, because they differ by factors."""
    words = words_of(example)
    facts = {
        "images": float(len(example.images)),
        "videos": float(len(example.videos)),
        "audios": float(len(example.audios)),
        "characters": math.log1p(len(words)),
        "words": math.log1p(len(words.split())),
    }
    stills = [image for image in example.images if not isinstance(image, Video)]
    if not stills:
        return facts
    with blamed_on(example):
        headers = [image_header(image.source) for image in stills]
    facts["width"] = float(np.mean([math.log(header.width) for header in headers]))
    facts["height"] = float(np.mean([math.log(header.height) for header in headers]))
    facts["ratio"] = facts["width"] - facts["height"]
    facts["bytes"] = math.log1p(sum(header.n_bytes for header in headers))
    for header in headers:
        facts[f"format {header.format}"] = 1.0
    return facts
