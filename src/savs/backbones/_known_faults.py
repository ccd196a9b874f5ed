"""Releases of transformers that read a family wrongly: the one table for loading, the doctor and the docs.

An entry says which inputs are affected, so that a fault in videos stands in nobody's way who has none. Where
vectors are wrong and another release is right, savs refuses to read such an input; where no release is right
yet, it warns. Sources are public reports; positions were computed again by the published rule
(`savs.doctor._positions`) under the releases named.
"""

from __future__ import annotations

import re
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Literal
from weakref import WeakKeyDictionary

from savs.errors import BackboneError

Inputs = Mapping[str, Any]
_HALF = ("float16", "bfloat16")
_IMAGES, _VIDEOS = "pixel_values", "pixel_values_videos"
_GITHUB = "https://github.com/huggingface/transformers"


class KnownFaultWarning(UserWarning):
    """The model reads such inputs wrongly in every release of transformers so far."""


@dataclass(frozen=True)
class KnownFault:
    """What some releases of transformers do wrongly.

    Attributes
    ----------
    model_types : tuple of str
        As in ``config.model_type``.
    reads : str
        Which inputs are affected, in words.
    first : str
        The oldest release known to have it; older ones were not looked at before 5.3.0.
    fixed : str or None
        The first release without it; None if there is none yet.
    what : str
        What is wrong.
    source : str
        Where it is described.
    applies : callable
        Whether model inputs are affected, given the model and its inputs.
    effect : {"wrong", "fails"}
        Whether vectors are wrong without a word, or the model stops with an error of its own.
    """

    model_types: tuple[str, ...]
    reads: str
    first: str
    fixed: str | None
    what: str
    source: str
    applies: Callable[[Any, Inputs], bool]
    effect: Literal["wrong", "fails"] = "wrong"

    def covers(self, version: str) -> bool:
        """Return whether a release, such as ``"5.5.0"``, has the fault."""
        number = _number(version)
        return _number(self.first) <= number and (self.fixed is None or number < _number(self.fixed))


def _number(version: str) -> tuple[int, ...]:
    """Return the numbers of a release; a development build counts as the release that it leads to."""
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])


def _has_images(_model: Any, inputs: Inputs) -> bool:
    return _IMAGES in inputs


def _has_videos(_model: Any, inputs: Inputs) -> bool:
    return _VIDEOS in inputs


def _has_half_precision_images(model: Any, inputs: Inputs) -> bool:
    return _IMAGES in inputs and str(model.dtype).removeprefix("torch.") in _HALF


def _has_text_alone(_model: Any, inputs: Inputs) -> bool:
    return _IMAGES not in inputs


def _has_fractional_seconds(_model: Any, inputs: Inputs) -> bool:
    seconds = inputs.get("second_per_grid_ts")
    return seconds is not None and any(float(value) % 1 for value in seconds)


def _has_videos_longer_than_wide(model: Any, inputs: Inputs) -> bool:
    """Return whether the last frame of a video has a later position than its last row and column."""
    grids = inputs.get("video_grid_thw")
    if grids is None:
        return False
    vision = model.config.vision_config
    seconds = inputs.get("second_per_grid_ts")
    pace = getattr(vision, "tokens_per_second", None)
    for index, (frames, height, width) in enumerate(grids.tolist()):
        step = 1.0 if seconds is None or pace is None else float(seconds[index]) * pace
        if int((frames - 1) * step) + 1 > max(height, width) // vision.spatial_merge_size:
            return True
    return False


KNOWN_FAULTS = (
    KnownFault(
        ("qwen2_5_vl",),
        "images",
        "5.3.0",
        "5.5.4",
        "the temporal position of an image's tokens is multiplied by tokens_per_second, as in a video",
        f"{_GITHUB}/issues/45325",
        _has_images,
    ),
    KnownFault(
        ("qwen2_vl", "qwen2_5_vl"),
        "videos",
        "5.3.0",
        "5.6.0",
        "all frames of a video have one temporal position, and rows are numbered across frames",
        f"{_GITHUB}/issues/45381",
        _has_videos,
    ),
    KnownFault(
        ("qwen2_5_vl",),
        "videos whose frames are not whole seconds apart",
        "5.3.0",
        "5.18.0",
        "seconds between frames are cut to a whole number, to 0 at four frames a second",
        f"{_GITHUB}/pull/48669",
        _has_fractional_seconds,
    ),
    KnownFault(
        ("qwen2_vl", "qwen2_5_vl"),
        "videos with more steps in time than rows and columns of tokens",
        "5.3.0",
        None,
        "text after the video begins at a position inside the video, not after its last one",
        f"{_GITHUB}/issues/45381",
        _has_videos_longer_than_wide,
    ),
    KnownFault(
        ("qwen3_vl", "qwen3_vl_moe", "qwen3_5", "qwen3_5_moe"),
        "videos",
        "5.3.0",
        "5.4.0",
        "the model stops at the second frame of a video",
        f"{_GITHUB}/issues/45381",
        _has_videos,
        "fails",
    ),
    KnownFault(
        ("idefics2", "idefics3", "smolvlm"),
        "images in float16 or bfloat16",
        "5.3.0",
        "5.21.0",
        "positions of patches are rounded to the dtype first: 420 of 676 are wrong at 26 x 26 in bfloat16",
        f"{_GITHUB}/pull/47133",
        _has_half_precision_images,
    ),
    KnownFault(
        ("smolvlm",),
        "images",
        "5.20.1",
        "5.21.0",
        "the number of tokens of an image is taken for a multiple of the patch size",
        "https://github.com/huggingface/transformers/tree/v5.20.2/src/transformers/models/smolvlm",
        _has_images,
        "fails",
    ),
    KnownFault(
        ("llama4",),
        "text without an image, in a forward pass to the end",
        "5.24.0",
        None,
        "the text model's output is asked for image outputs; head vectors are read before that",
        "https://github.com/huggingface/transformers/tree/v5.24.0/src/transformers/models/llama4",
        _has_text_alone,
        "fails",
    ),
)
_WARNED: WeakKeyDictionary[Any, set[str]] = WeakKeyDictionary()


def known_faults(model: Any, inputs: Inputs, version: str | None = None) -> list[KnownFault]:
    """Return the table's entries for a model and some of its inputs.

    Parameters
    ----------
    model : transformers.PreTrainedModel
    inputs : mapping of str to Tensor
        What the processor returned.
    version : str, optional
        Of transformers; by default the one that runs.
    """
    running = running_version() if version is None else version
    return [
        fault
        for fault in KNOWN_FAULTS
        if _model_type(model) in fault.model_types and fault.covers(running) and fault.applies(model, inputs)
    ]


def _model_type(model: Any) -> str:
    return str(getattr(getattr(model, "config", None), "model_type", ""))


def running_version() -> str:
    """Return the version of transformers that runs."""
    import transformers

    return str(transformers.__version__)


def refuse_known_faults(model: Any, inputs: Inputs) -> None:
    """Stop before a model reads inputs that this release is known to read wrongly.

    Where no release is right yet, there is nothing to change to: a warning says so, once per model.

    Parameters
    ----------
    model : transformers.PreTrainedModel
    inputs : mapping of str to Tensor
        What the processor returned.

    Raises
    ------
    BackboneError
        Naming the fault, its source, and the releases without it.
    """
    for fault in known_faults(model, inputs):
        if fault.effect == "wrong" and fault.fixed is not None:
            raise BackboneError(
                f"{described(fault, model)}; install transformers {fault.fixed} or newer, or accept such "
                "vectors with accept_faults=True (--accept-faults)"
            )
        if fault.effect == "wrong" and fault.what not in _WARNED.setdefault(model, set()):
            _WARNED[model].add(fault.what)
            warnings.warn(f"{described(fault, model)}; no release is right", KnownFaultWarning, stacklevel=2)


def described(fault: KnownFault, model: Any) -> str:
    """Return a fault of a model in one line, with its source."""
    return (
        f"transformers {running_version()} reads {fault.reads} wrongly with {_model_type(model)}: "
        f"{fault.what} ({fault.source})"
    )


def failure_hint(model: Any) -> str:
    """Return what is known of a model that stops with an error of its own under this release, or nothing."""
    running = running_version()
    found = [
        fault
        for fault in KNOWN_FAULTS
        if fault.effect == "fails" and _model_type(model) in fault.model_types and fault.covers(running)
    ]
    if not found:
        return ""
    remedy = f"from {found[0].fixed} on" if found[0].fixed else f"before {found[0].first}"
    return (
        f"; known of transformers {running} with {found[0].reads} ({found[0].what}), and right {remedy}: "
        f"{found[0].source}"
    )


def table() -> str:
    """Return all entries as a table for the documentation."""
    rows = [
        f"| {', '.join(fault.model_types)} | {fault.reads} | {_releases(fault)} | {_effect(fault)} | "
        f"[{fault.source.removeprefix('https://').removeprefix('github.com/')}]({fault.source}) |"
        for fault in KNOWN_FAULTS
    ]
    heading = "| model type | inputs | transformers | what is wrong | source |"
    return "\n".join((heading, "|---|---|---|---|---|", *rows))


def _releases(fault: KnownFault) -> str:
    return f"from {fault.first}" + (
        f", right from {fault.fixed}" if fault.fixed else ", no right release yet"
    )


def _effect(fault: KnownFault) -> str:
    return f"{'fails: ' if fault.effect == 'fails' else ''}{fault.what}"
