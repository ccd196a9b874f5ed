"""Chat messages to `Message` objects, and where images, videos and audio stand in a text."""

from __future__ import annotations

import re
import warnings
from collections.abc import Iterable, Iterator, Mapping, Sequence
from enum import Enum
from pathlib import Path
from typing import Any, cast

from savs.data._labels import DataWarning, check_text
from savs.data.example import (
    AUDIO_MARKER,
    IMAGE_MARKER,
    VIDEO_MARKER,
    Message,
    Part,
    Role,
    Text,
    marker_of,
)
from savs.errors import ExampleError
from savs.media import Audio, Image, Video
from savs.media._coercion import (
    AUDIO_SUFFIXES,
    a_type,
    as_audio,
    as_image,
    as_medium,
    as_video,
    decode_base64,
    is_image,
    is_medium,
    looks_like_image,
    nearly_image,
    type_name,
)

# Where images, videos and audio clips stand in a text: at its markers, or first when it has none.

_KINDS = {IMAGE_MARKER: "image", VIDEO_MARKER: "video", AUDIO_MARKER: "audio clip"}


def place_images(text: str, media: Sequence[Image | Audio]) -> tuple[Part, ...]:
    """Return the parts of a text with its media: one per marker, or all of them before the text.

    Parameters
    ----------
    text : str
        May hold one marker for each image, video and audio clip.
    media : sequence of Image or Audio
        In the order of their markers.

    Raises
    ------
    ExampleError
        ``marker_mismatch`` if the text has markers, but not one per image or audio clip.
    """
    return place_in_order([*media, Text(text)])


def place_in_order(parts: Sequence[Part]) -> tuple[Part, ...]:
    """Return parts without markers: media move to the markers if there are some, else they stay.

    Markers of videos and audio clips count only beside videos and audio clips: elsewhere they are plain text.

    Raises
    ------
    ExampleError
        ``marker_mismatch`` if the texts have markers, but not one per image, video and audio clip.
    """
    texts = [part.text for part in parts if isinstance(part, Text)]
    media: dict[str, list[Image | Audio]] = {IMAGE_MARKER: []}
    for part in parts:
        if not isinstance(part, Text):
            media.setdefault(marker_of(part), []).append(part)
    n_markers = {marker: sum(text.count(marker) for text in texts) for marker in media}
    if not any(n_markers.values()):
        return tuple(part for part in parts if not isinstance(part, Text) or part.text)
    for marker in _KINDS:
        if marker in media and n_markers[marker] != len(media[marker]):
            raise mismatch(n_markers[marker], len(media[marker]), marker)
    supply = {marker: iter(items) for marker, items in media.items()}
    return tuple(piece for text in texts for piece in _filled_text(text, supply))


def count_markers(parts: Sequence[Part], kind: type = Image) -> int:
    """Return how many markers of images and videos, or of audio clips, the texts among `parts` hold.

    Those of videos count only if there is a video.
    """
    texts = [part.text for part in parts if isinstance(part, Text)]
    if kind is Audio:
        return sum(text.count(AUDIO_MARKER) for text in texts)
    videos = any(isinstance(part, Video) for part in parts)
    markers = (IMAGE_MARKER, VIDEO_MARKER) if videos else (IMAGE_MARKER,)
    return sum(text.count(marker) for text in texts for marker in markers)


def mismatch(n_markers: int, n_media: int, marker: str = IMAGE_MARKER) -> ExampleError:
    """Return the error for a text whose markers are not one per image, video or audio clip."""
    kind = _KINDS[marker]
    message = (
        f"the text has {n_markers} {marker} marker(s) but {n_media} {kind}(s) come with it; give "
        f"one marker per {kind}, or none"
    )
    return ExampleError(message, code="marker_mismatch")


def _filled_text(text: str, supply: Mapping[str, Iterator[Image | Audio]]) -> Iterator[Part]:
    for piece in re.split(f"({'|'.join(supply)})", text):
        if piece in supply:
            yield next(supply[piece])
        elif piece:
            yield Text(piece)


# Chat messages to `Message` objects: `{"role": ..., "content": text or parts}`.

_ROLES = ("system", "user", "assistant")
_SOURCES = ("image", "path", "url", "base64", "image_url")
_VIDEO_SOURCES = ("video", "path", "url", "video_url")
_OF_VIDEOS = ("fps", "nframes", "n_frames", "num_frames", "video_start", "video_end")
_AUDIO_SOURCES = ("audio", "path", "url", "base64", "array", "input_audio", "audio_url")


class MediaPlaceholder(Enum):
    """A content part that names no source: a medium given beside the messages goes there."""

    IMAGE = Image
    AUDIO = Audio
    VIDEO = Video

    @property
    def error(self) -> str:
        """The message where no medium goes there."""
        if self is MediaPlaceholder.VIDEO:
            return "a video part names no video; give it as " + ", ".join(_VIDEO_SOURCES)
        name, kind = ("image", "image") if self is MediaPlaceholder.IMAGE else ("audio", "audio clip")
        return f"an {name} part names no {kind}; give it as {name}, path, url or base64"


def is_message(item: Any) -> bool:
    """Return whether an item is meant as a chat message."""
    return isinstance(item, Message) or (isinstance(item, Mapping) and "role" in item)


def as_messages(
    items: Any, images: Sequence[Image | Audio] = (), root: Path | None = None
) -> tuple[Message, ...]:
    """Return a chat whose images stand in place.

    Parameters
    ----------
    items : list of mapping or Message
        The turns, the last one of the user.
    images : sequence of Image or Audio
        Images, videos and audio clips given beside the messages: they fill the empty parts and markers in
        order, or come first in the last message if there are none.
    root : Path, optional
        What relative paths are relative to.

    Raises
    ------
    ExampleError
        ``chat`` for a wrong shape, ``marker_mismatch``, and the errors of parts.
    """
    if not isinstance(items, list | tuple) or not items or not all(is_message(item) for item in items):
        raise _chat_error(
            "messages must be a list of {'role': ..., 'content': ...} with at least one of them"
        )
    turns = [_as_turn(item, root) for item in items]
    if turns[-1][0] != "user":
        raise _chat_error("the last message must be the user's: the model reads there what it is to answer")
    supplied, images = _with_videos([parts for _, parts in turns], images)
    for place in (MediaPlaceholder.AUDIO, MediaPlaceholder.IMAGE):
        media = [medium for medium in images if isinstance(medium, place.value)]
        supplied = _supply(supplied, media, place)
    return tuple(
        Message(role, place_in_order(cast("list[Part]", parts)))
        for (role, _), parts in zip(turns, supplied, strict=True)
    )


def as_part(value: Any, root: Path | None = None) -> Part | MediaPlaceholder:
    """Return one content part; a `MediaPlaceholder` for an image or audio part without a source.

    A text standing alone is an image's or audio clip's path if it looks like one
    (`savs.media._coercion.looks_like_image`); ``{"type": "text", "text": ...}`` is always text.
    """
    if isinstance(value, Text):
        return Text(check_text(value.text, "text"))
    if isinstance(value, str):
        return as_medium(value, root) if looks_like_image(value, root) else _bare_text(str(value))
    if isinstance(value, Mapping) and "type" in value:
        return _typed_part(value, root)
    if is_image(value) or is_medium(value):
        return as_medium(value, root)
    accepted = "a text, an image, an audio clip or {'type': 'text', ...}"
    message = f"{a_type(value)} is not a content part; {accepted} is"
    raise ExampleError(message, code="part_type")


def _bare_text(text: str) -> Text:
    if nearly_image(text):
        kind = "audio" if Path(text.strip()).suffix.lower() in AUDIO_SUFFIXES else "image"
        warnings.warn(
            f"{text[:100]!r} ends like an {kind} file, but is read as text; say which is meant: "
            f"pathlib.Path(...) for an {kind}, savs.Text(...) for text",
            DataWarning,
            stacklevel=2,
        )
    return Text(check_text(text, "text"))


def _as_turn(item: Any, root: Path | None) -> tuple[Role, list[Part | MediaPlaceholder]]:
    if isinstance(item, Message):
        item = {"role": item.role, "content": list(item.parts)}
    unknown = [key for key in item if key not in {"role", "content"} and item[key] is not None]
    if unknown:
        raise _chat_error(f"a message has role and content, not {', '.join(map(repr, unknown))}")
    role, content = item["role"], item.get("content")
    if not isinstance(role, str) or role not in _ROLES:
        raise _chat_error(f"a message's role is one of {', '.join(_ROLES)}")
    if isinstance(content, str):
        return cast(Role, str(role)), [Text(check_text(str(content), "text"))]
    if not isinstance(content, list | tuple) or not content:
        raise _chat_error(f"a message's content is a text or a list of parts, not {type_name(content)}")
    return cast(Role, str(role)), [_chat_part(part, root) for part in content]


def _chat_part(value: Any, root: Path | None) -> Part | MediaPlaceholder:
    # Inside a chat a bare text is text, whatever it ends in: images have their own type there.
    return Text(check_text(str(value), "text")) if isinstance(value, str) else as_part(value, root)


def _typed_part(part: Mapping[str, Any], root: Path | None) -> Part | MediaPlaceholder:
    kind = part["type"]
    if kind == "text" and isinstance(part.get("text"), str):
        return Text(check_text(str(part["text"]), "text"))
    if kind in ("audio", "input_audio", "audio_url"):
        return _audio_part(part, root)
    if kind in ("video", "video_url"):
        return _video_part(part, root)
    if kind not in ("image", "image_url"):
        raise ExampleError(
            "a part's type is 'text' (with a text), 'image', 'video' or 'audio'", code="part_type"
        )
    sources = [(name, part[name]) for name in _SOURCES if part.get(name) is not None]
    if len(sources) > 1:
        names = " and ".join(name for name, _ in sources)
        raise ExampleError(f"an image part names its image twice, as {names}; keep one", code="part_type")
    return _image_of(*sources[0], root) if sources else MediaPlaceholder.IMAGE


def _video_part(part: Mapping[str, Any], root: Path | None) -> Part | MediaPlaceholder:
    sources = [part[name] for name in _VIDEO_SOURCES if part.get(name) is not None]
    if len(sources) > 1:
        message = "a video part names its video once, as one of " + ", ".join(_VIDEO_SOURCES)
        raise ExampleError(message, code="part_type")
    unread = [name for name in _OF_VIDEOS if part.get(name) is not None]
    if unread:
        warnings.warn(
            f"a chat's video part says {' and '.join(unread)}, which is not read: name the frames with "
            "--video-frames and --video-fps, or as savs.Video(..., n_frames=, fps=)",
            DataWarning,
            stacklevel=2,
        )
    if not sources:
        return MediaPlaceholder.VIDEO
    value = sources[0]
    return as_video(value.get("url") if isinstance(value, Mapping) and "url" in value else value, root)


def _audio_part(part: Mapping[str, Any], root: Path | None) -> Part | MediaPlaceholder:
    sources = [(name, part[name]) for name in _AUDIO_SOURCES if part.get(name) is not None]
    if not sources:
        return MediaPlaceholder.AUDIO
    if len(sources) > 1:
        names = " and ".join(name for name, _ in sources)
        raise ExampleError(
            f"an audio part names its audio clip twice, as {names}; keep one", code="part_type"
        )
    name, value = sources[0]
    if name == "audio_url" and isinstance(value, Mapping):
        value = value.get("url")
    if name == "input_audio" and isinstance(value, Mapping):
        name, value = "base64", value.get("data")
    if name == "base64" and isinstance(value, str) and value[:5].lower() != "data:":
        return Audio(decode_base64(value, "audio"))
    if part.get("sampling_rate") is not None:
        return as_audio(Audio(value, part["sampling_rate"]), root)
    return as_audio(value, root)


def _image_of(name: str, value: Any, root: Path | None) -> Image:
    if isinstance(value, Mapping) and name == "image_url":
        value = value.get("url")
    if name == "base64" and isinstance(value, str) and value[:5].lower() != "data:":
        return Image(decode_base64(value))
    return as_image(value, root)


def _with_videos(
    turns: list[list[Part | MediaPlaceholder]], media: Sequence[Image | Audio]
) -> tuple[list[list[Part | MediaPlaceholder]], Sequence[Image | Audio]]:
    """Put videos given beside the messages into parts without one; return also the media that are left."""
    n_places = sum(part is MediaPlaceholder.VIDEO for parts in turns for part in parts)
    if not n_places:
        return turns, media
    videos = [medium for medium in media if isinstance(medium, Video)]
    if not videos:
        raise _chat_error(MediaPlaceholder.VIDEO.error)
    if n_places != len(videos):
        raise mismatch(n_places, len(videos), VIDEO_MARKER)
    supply: Iterator[Part] = iter(videos)
    filled: list[list[Part | MediaPlaceholder]] = [
        [next(supply) if part is MediaPlaceholder.VIDEO else part for part in parts] for parts in turns
    ]
    return filled, [medium for medium in media if not isinstance(medium, Video)]


def _supply(
    turns: list[list[Part | MediaPlaceholder]], media: Sequence[Image | Audio], place: MediaPlaceholder
) -> list[list[Part | MediaPlaceholder]]:
    """Put images or audio clips given beside the messages where the messages leave a place for them."""
    if not media:
        if any(place in parts for parts in turns):
            raise _chat_error(place.error)
        return turns
    n_places = [_count_places(parts, place) for parts in turns]
    if not sum(n_places):
        return [*turns[:-1], [*media, *turns[-1]]]
    if sum(n_places) != len(media):
        marker = IMAGE_MARKER if place is MediaPlaceholder.IMAGE else AUDIO_MARKER
        raise mismatch(sum(n_places), len(media), marker)
    supply = iter(media)
    return [_filled(parts, count, supply, place) for parts, count in zip(turns, n_places, strict=True)]


def _count_places(parts: Sequence[Part | MediaPlaceholder], place: MediaPlaceholder) -> int:
    """Count the media that a turn lacks: its empty parts, or its markers beyond its own media."""
    own = sum(isinstance(part, place.value) for part in parts)
    real = [part for part in parts if not isinstance(part, MediaPlaceholder)]
    return sum(part is place for part in parts) or max(0, count_markers(real, place.value) - own)


def _filled(
    parts: Sequence[Part | MediaPlaceholder], n_places: int, supply: Iterable[Part], place: MediaPlaceholder
) -> list[Part | MediaPlaceholder]:
    media = iter(supply)
    filled = [next(media) if part is place else part for part in parts]
    missing = n_places - sum(part is place for part in parts)
    return [*(next(media) for _ in range(missing)), *filled]


def _chat_error(message: str) -> ExampleError:
    return ExampleError(message, code="chat")
