"""One content part of a chat message: its type, its source, and how its medium is to be read."""

from __future__ import annotations

import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np

from savs._labels import DataWarning, check_text, is_missing
from savs.data.example import Part, Text
from savs.errors import ExampleError
from savs.media import Audio, Image, Video
from savs.media._coercion import (
    MOST_TIMED_FRAMES,
    a_type,
    as_audio,
    as_image,
    as_medium,
    as_video,
    check_pixel_limits,
    check_sampling,
    decode_base64,
    is_image,
    is_medium,
    kind_of_path,
    looks_like_image,
    names_folder,
    nearly_image,
)

_TYPES: dict[str, type[Image | Audio]] = {
    "image": Image,
    "image_url": Image,
    "video": Video,
    "video_url": Video,
    "audio": Audio,
    "input_audio": Audio,
    "audio_url": Audio,
}
_SOURCES: dict[type, tuple[str, ...]] = {
    Image: ("image", "path", "url", "base64", "image_url"),
    Video: ("video", "path", "url", "video_url"),
    Audio: ("audio", "path", "url", "base64", "array", "input_audio", "audio_url"),
}
_PIXELS = ("min_pixels", "max_pixels")
_COUNTS = ("nframes", "n_frames", "num_frames")
_WHOLE = frozenset({"index", *_PIXELS, *_COUNTS, "min_frames", "max_frames"})
_OPTIONS: dict[type, tuple[str, ...]] = {
    Image: _PIXELS,
    Video: (*_PIXELS, *_COUNTS, "fps", "min_frames", "max_frames"),
    Audio: ("sampling_rate",),
}
_NAMES: dict[type, str] = {Image: "image", Video: "video", Audio: "audio"}
_NOUNS: dict[type, str] = {Image: "image", Video: "video", Audio: "audio clip"}
# What other libraries read in a part, and what to do instead.
_ADVICE = {
    "resized_height": "give max_pixels, or resize the file",
    "resized_width": "give max_pixels, or resize the file",
    "total_pixels": "give max_pixels, for each frame, and max_frames",
    "video_start": "cut the file",
    "video_end": "cut the file",
    "detail": "give max_pixels, or leave it out",
}


@dataclass(frozen=True)
class Place:
    """A part that names no source: a medium given beside the messages goes there.

    Attributes
    ----------
    kind : type
        `Image`, `Video` or `Audio`.
    index : int or None
        Which one of its kind; None for the next one.
    reading : dict
        Fields of the medium that the part sets.
    """

    kind: type[Image | Audio]
    index: int | None = None
    reading: dict[str, Any] = field(default_factory=dict)

    @property
    def error(self) -> str:
        """The message where no medium goes there."""
        if self.kind is Video:
            return "a video part names no video; give it as " + ", ".join(_SOURCES[Video])
        name = _NAMES[self.kind]
        return f"an {name} part names no {_NOUNS[self.kind]}; give it as {name}, path, url or base64"

    def filled(self, medium: Image | Audio) -> Image | Audio:
        """Return the medium as it is to be read here."""
        return replace(medium, **self.reading) if self.reading else medium


def as_part(value: Any, root: Path | None = None) -> Part | Place:
    """Return one content part; a `Place` for an image, video or audio part without a source.

    A text standing alone is an image's or audio clip's path if it looks like one
    (`savs.media._coercion.looks_like_image`); ``{"type": "text", "text": ...}`` is always text.
    """
    if isinstance(value, Text):
        return Text(check_text(value.text, "text"))
    if isinstance(value, str):
        return as_medium(value, root) if looks_like_image(value, root) else _bare_text(str(value), root)
    if isinstance(value, Mapping) and "type" in value:
        return _typed_part(value, root)
    if is_image(value) or is_medium(value):
        return as_medium(value, root)
    accepted = "a text, an image, an audio clip or {'type': 'text', ...}"
    raise _part_error(f"{a_type(value)} is not a content part; {accepted} is")


def chat_part(value: Any, root: Path | None) -> Part | Place:
    """Return a part of a message, in which a bare text is text, whatever it ends in.

    Warns
    -----
    DataWarning
        If it is the path of a medium: those have a type in a chat.
    """
    if not isinstance(value, str):
        return as_part(value, root)
    if looks_like_image(value, root):
        warnings.warn(
            f"{value[:100]!r} in a chat is read as text; a medium has a type there: "
            "{'type': 'image', 'path': ...}",
            DataWarning,
            stacklevel=2,
        )
    return Text(check_text(str(value), "text"))


def as_plain_list(value: Any) -> Any:
    """Return a list in place of an array of objects, in which pandas has the lists of Parquet files."""
    return value.tolist() if isinstance(value, np.ndarray) and value.dtype == object else value


def _bare_text(text: str, root: Path | None) -> Text:
    """Return a text standing alone, unless it is a path that cannot be meant as a text."""
    kind = kind_of_path(text, root)
    if kind is not None:
        what = f"a {kind}; savs.read_examples reads it"
        what = "the name of a file that does not exist; check the path" if kind == "medium" else what
        raise _part_error(f"{text[:200]!r} is {what}, or give savs.Text(...) if it is meant as text")
    if nearly_image(text) or names_folder(text, root):
        what = "ends like the name of a file" if nearly_image(text) else "is the name of a folder too"
        warnings.warn(
            f"{text[:100]!r} {what}, but is read as text; say which is meant: pathlib.Path(...) for a file, "
            f"savs.read_examples(...) for a folder, savs.Text(...) for text",
            DataWarning,
            stacklevel=2,
        )
    return Text(check_text(text, "text"))


def _typed_part(part: Mapping[str, Any], root: Path | None) -> Part | Place:
    name = part["type"]
    # Tables fill the keys that other parts have with None or NaN, and then have decimals for whole numbers.
    filled = {key: value for key, value in part.items() if not is_missing(value) and key != "type"}
    given = {key: _whole(value) if key in _WHOLE else value for key, value in filled.items()}
    if name == "text":
        return _text_part(given)
    if not isinstance(name, str) or name not in _TYPES:
        raise _part_error("a part's type is 'text' (with a text), 'image', 'video' or 'audio'")
    kind = _TYPES[name]
    if given.get("text") == "":
        del given["text"]
    _check_keys(_NAMES[kind], given, {*_SOURCES[kind], *_OPTIONS[kind], "index"})
    reading = _reading(kind, given)
    sources = [key for key in _SOURCES[kind] if key in given]
    if len(sources) > 1:
        raise _part_error(_twice(kind, sources))
    if not sources:
        if "sampling_rate" in given:
            raise _part_error("an audio part has a sampling rate without samples; give both, or neither")
        return Place(kind, _index(given), reading)
    if "index" in given:
        raise _part_error(f"a part has both {sources[0]!r} and 'index', which chooses among media; keep one")
    return Place(kind, None, reading).filled(_medium(kind, sources[0], given, root))


def _whole(value: Any) -> Any:
    if isinstance(value, np.integer) or (
        isinstance(value, float | np.floating) and float(value).is_integer()
    ):
        return int(value)
    return value


def _text_part(given: Mapping[str, Any]) -> Text:
    _check_keys("text", given, {"text"})
    if not isinstance(given.get("text"), str):
        raise _part_error("a text part has no text; give it as {'type': 'text', 'text': ...}")
    return Text(check_text(str(given["text"]), "text"))


def _check_keys(kind: str, given: Mapping[str, Any], known: set[str]) -> None:
    for key in given:
        if key not in known:
            advice = _ADVICE.get(str(key), f"known are {', '.join(sorted(known))}")
            raise _part_error(f"{str(key)[:40]!r} of a chat's {kind} part is not read; {advice}")


def _twice(kind: type, sources: list[str]) -> str:
    if kind is Video:
        return "a video part names its video once, as one of " + ", ".join(_SOURCES[Video])
    names, noun = " and ".join(sources), _NOUNS[kind]
    return f"an {_NAMES[kind]} part names its {noun} twice, as {names}; keep one"


def _index(given: Mapping[str, Any]) -> int | None:
    index = given.get("index")
    if index is not None and (isinstance(index, bool) or not isinstance(index, int) or index < 0):
        raise _part_error("a part's index is a whole number, 0 for the first one")
    return index


# Where the medium comes from.


def _medium(kind: type, name: str, given: Mapping[str, Any], root: Path | None) -> Image | Audio:
    value = given[name]
    if (
        name in ("image_url", "video_url", "audio_url", "video")
        and isinstance(value, Mapping)
        and "url" in value
    ):
        value = _entry(name, value, "url", ())
    if kind is Video:
        return as_video(value, root)
    if name == "input_audio" and isinstance(value, Mapping):
        name, value = "base64", _entry(name, value, "data", ("format",))
    if name == "base64" and isinstance(value, str) and value[:5].lower() != "data:":
        return Audio(decode_base64(value, "audio")) if kind is Audio else Image(decode_base64(value))
    if kind is Image:
        return as_image(value, root)
    if "sampling_rate" in given:
        return as_audio(Audio(value, given["sampling_rate"]), root)
    return as_audio(value, root)


def _entry(name: str, value: Mapping[str, Any], key: str, others: tuple[str, ...]) -> Any:
    """Return an entry of a source that is a mapping; `others` say nothing that is not in the medium."""
    given = {other: entry for other, entry in value.items() if entry is not None}
    if given.get("detail") == "auto":
        del given["detail"]
    _check_keys(name, given, {key, *others})
    return given.get(key)


# How it is read.


def _reading(kind: type, given: Mapping[str, Any]) -> dict[str, Any]:
    reading = {key: given[key] for key in _PIXELS if key in given and kind is not Audio}
    check_pixel_limits(reading.get("min_pixels"), reading.get("max_pixels"))
    if kind is Video:
        reading |= _sampling(given)
    return reading


def _sampling(given: Mapping[str, Any]) -> dict[str, Any]:
    """Return the fields of a `Video` that say which frames are read."""
    counts = [key for key in _COUNTS if key in given]
    if not counts and not {"fps", "min_frames", "max_frames"} & set(given):
        return {}
    if len(counts) > 1 or (counts and "fps" in given):
        names = " and ".join([*counts, *(["fps"] if "fps" in given else [])])
        raise _part_error(f"a video part says {names}; keep one of them")
    low, high = given.get("min_frames", 1), given.get("max_frames", MOST_TIMED_FRAMES)
    for name, bound in (("min_frames", low), ("max_frames", high)):
        if isinstance(bound, bool) or not isinstance(bound, int) or bound < 1:
            raise _part_error(f"a video part's {name} is a whole number, at least 1")
    if low > high:
        raise _part_error(f"a video part's min_frames, {low}, is more than its max_frames, {high}")
    if "fps" in given:
        if "min_frames" in given:
            raise _part_error("a video part says fps and min_frames, which is not read; give nframes")
        fields = {"n_frames": high, "fps": given["fps"]}
    elif counts:
        fields = {"n_frames": given[counts[0]], "fps": None}
    else:
        fields = {"n_frames": min(max(Video.n_frames, low), high), "fps": None}
    video = Video(b"", **fields)
    check_sampling(video.sampling)
    if counts and not low <= video.n_frames <= high and {"min_frames", "max_frames"} & set(given):
        raise _part_error(f"a video part's {counts[0]} is not between its min_frames and max_frames")
    return {**fields, "own_frames": True}


def _part_error(message: str) -> ExampleError:
    return ExampleError(message, code="part_type")
