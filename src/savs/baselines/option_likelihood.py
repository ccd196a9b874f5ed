"""The model's own opinion without a generated answer: the class name that it finds likeliest."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from savs.backbones import OptionScorer
from savs.baselines.on_features import BaselineResult
from savs.classifiers._probabilities import log_softmax
from savs.data import Example, Label, Part
from savs.errors import DataError
from savs.media import Audio, Image, Video
from savs.media._gray_video import gray_video
from savs.media.audio import decode_audio
from savs.media.image import decode_image
from savs.model._class_names import option_texts

__all__ = ["Calibration", "content_free_example", "option_likelihood"]

Calibration = Literal["none", "content_free", "batch"]
"""What the preference for some names is measured on: nothing, prompts without content, or the queries."""

_GRAY, _RATE = 128, 16_000


def option_likelihood(
    backbone: OptionScorer,
    queries: Sequence[Example],
    classes: Sequence[Label],
    *,
    per_token: bool = False,
    calibration: Calibration = "none",
) -> BaselineResult:
    """Return the class whose name the model finds the likeliest answer to each query, without any shot.

    Parameters
    ----------
    backbone : OptionScorer
        Such as a `TransformersBackbone`.
    queries : sequence of Example
        What to ask; labels are not read.
    classes : sequence of label
        The classes to choose from.
    per_token : bool, default=False
        Take the mean log probability of a name's tokens instead of the sum, which favors short names.
    calibration : {"none", "content_free", "batch"}, default="none"
        What is subtracted from the log likelihoods: nothing; those behind the same prompt without content
        (see `content_free_example`), as in contextual calibration; or the mean of the log probabilities over
        the queries. The last makes answers depend on what else is asked, and takes out of the queries which
        class is frequent.

    Raises
    ------
    DataError
        If there are fewer than two classes, or their names cannot be scored.
    ValueError
        If there is no such calibration.
    ItemError
        For the first query that cannot be read.

    References
    ----------
    Zhao et al., "Calibrate Before Use", arXiv 2102.09690 (contextual calibration; here as differences of log
    likelihoods). Zhou et al., "Batch Calibration", arXiv 2309.17249, with the mean of probabilities.
    """
    if calibration not in get_args(Calibration):
        raise ValueError(f"calibration is one of {', '.join(get_args(Calibration))}, got {calibration!r}")
    if len(classes) < 2:
        raise DataError(f"at least two classes are required, got {len(classes)}")
    options = option_texts(classes)

    def scores(examples: Sequence[Example]) -> NDArray[np.float64]:
        found = backbone.option_log_likelihood(examples, options)
        return found.means if per_token else found.sums

    found = scores(queries)
    if calibration == "content_free":
        found = found - scores([content_free_example(query) for query in queries])
    elif calibration == "batch" and len(queries):
        found = log_softmax(found)
        found = found - found.mean(axis=0)
    logs = log_softmax(found)
    labels: list[Label | None] = [classes[winner] for winner in logs.argmax(axis=1).tolist()]
    return BaselineResult("option_likelihood", labels, [], np.exp(logs), list(classes))


def content_free_example(example: Example) -> Example:
    """Return an example with the same words, its images and videos gray and its audio clips silent.

    Parameters
    ----------
    example : Example
        With its prompt; images and videos keep their sizes, videos and audio clips their lengths.

    Raises
    ------
    MediaError
        If an image, video or audio clip cannot be read.
    """
    messages = tuple(
        replace(message, parts=tuple(map(_blank, message.parts))) for message in example.messages
    )
    return replace(example, messages=messages)


def _blank(part: Part) -> Part:
    if isinstance(part, Video):
        return gray_video(part, _GRAY)
    if isinstance(part, Audio):
        return Audio(np.zeros_like(decode_audio(part, _RATE)), _RATE)
    if isinstance(part, Image):
        width, height = decode_image(part.source, bit_depth=part.bit_depth).size
        gray = np.full((height, width, 3), _GRAY, np.uint8)
        return Image(gray, min_pixels=part.min_pixels, max_pixels=part.max_pixels)
    return part
