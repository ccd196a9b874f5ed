"""Chat messages to `Message` objects, and where images, videos and audio stand in a text."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, cast

from savs._labels import check_text
from savs.data._chat_parts import Place, as_plain_list, chat_part
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
from savs.media._coercion import type_name

# Where images, videos and audio clips stand in a text: at its markers, or first when it has none.

_KINDS = {IMAGE_MARKER: "image", VIDEO_MARKER: "video", AUDIO_MARKER: "audio clip"}
_MARKERS: dict[type, str] = {Image: IMAGE_MARKER, Video: VIDEO_MARKER, Audio: AUDIO_MARKER}


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
_Turns = list[list[Part | Place]]


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
        order, or come first in the last message if there are none. Where the empty parts have an ``index``,
        it says which one of its kind goes there.
    root : Path, optional
        What relative paths are relative to.

    Raises
    ------
    ExampleError
        ``chat`` for a wrong shape or index, ``marker_mismatch``, and the errors of parts.
    """
    items = as_plain_list(items)
    if not isinstance(items, list | tuple) or not items or not all(is_message(item) for item in items):
        raise _chat_error(
            "messages must be a list of {'role': ..., 'content': ...} with at least one of them"
        )
    turns = [_as_turn(item, root) for item in items]
    if turns[-1][0] != "user":
        raise _chat_error("the last message must be the user's: the model reads there what it is to answer")
    supplied = [parts for _, parts in turns]
    if any(place.kind is Video for place in _places(supplied)):
        videos = [medium for medium in images if isinstance(medium, Video)]
        images = [medium for medium in images if not isinstance(medium, Video)]
        supplied = _supply(supplied, videos, Video)
    for kind in (Audio, Image):
        supplied = _supply(supplied, [medium for medium in images if isinstance(medium, kind)], kind)
    return tuple(
        Message(role, place_in_order(cast("list[Part]", parts)))
        for (role, _), parts in zip(turns, supplied, strict=True)
    )


def _as_turn(item: Any, root: Path | None) -> tuple[Role, list[Part | Place]]:
    if isinstance(item, Message):
        item = {"role": item.role, "content": list(item.parts)}
    unknown = [key for key in item if key not in {"role", "content"} and item[key] is not None]
    if unknown:
        raise _chat_error(f"a message has role and content, not {', '.join(map(repr, unknown))}")
    role, content = item["role"], as_plain_list(item.get("content"))
    if not isinstance(role, str) or role not in _ROLES:
        raise _chat_error(f"a message's role is one of {', '.join(_ROLES)}")
    if isinstance(content, str):
        return cast(Role, str(role)), [Text(check_text(str(content), "text"))]
    if not isinstance(content, list | tuple) or not content:
        raise _chat_error(f"a message's content is a text or a list of parts, not {type_name(content)}")
    return cast(Role, str(role)), [chat_part(part, root) for part in content]


def _places(turns: _Turns, kind: type | None = None) -> list[Place]:
    found = [part for parts in turns for part in parts if isinstance(part, Place)]
    return [place for place in found if kind is None or place.kind is kind]


def _supply(turns: _Turns, media: Sequence[Image | Audio], kind: type[Image | Audio]) -> _Turns:
    """Put media of one kind given beside the messages where the messages leave a place for them."""
    places = _places(turns, kind)
    if not media:
        if places:
            raise _chat_error(places[0].error)
        return turns
    n_places = [_count_places(parts, kind) for parts in turns]
    if not sum(n_places):
        return [*turns[:-1], [*media, *turns[-1]]]
    ordered = _by_index(places, media, _KINDS[_MARKERS[kind]])
    if sum(n_places) != len(media):
        raise mismatch(sum(n_places), len(media), _MARKERS[kind])
    supply = iter(ordered)
    return [_filled(parts, count, supply, kind) for parts, count in zip(turns, n_places, strict=True)]


def _by_index(places: Sequence[Place], media: Sequence[Image | Audio], kind: str) -> Sequence[Image | Audio]:
    """Return media in the order of their places, each of which has an index or none has."""
    indices = [place.index for place in places if place.index is not None]
    if not indices:
        return media
    if len(indices) < len(places):
        raise _chat_error(f"some {kind} parts have an index and some have none; give it to all or to none")
    outside = [index for index in indices if index >= len(media)]
    if outside:
        raise _chat_error(
            f"a part has the index {outside[0]}, but there are {len(media)} {kind}(s); the first one is 0"
        )
    twice = [index for index in indices if indices.count(index) > 1]
    if twice:
        raise _chat_error(f"two parts have the index {twice[0]}; list the {kind} twice to use it twice")
    unused = sorted(set(range(len(media))) - set(indices))
    if unused:
        raise _chat_error(f"no part has the index {unused[0]}: that {kind} would not be used; leave it out")
    return [media[index] for index in indices]


def _count_places(parts: Sequence[Part | Place], kind: type) -> int:
    """Count the media that a turn lacks: its empty parts, or its markers beyond its own media."""
    empty = len(_places([list(parts)], kind))
    if empty or kind is Video:
        return empty
    own = sum(isinstance(part, kind) for part in parts)
    return max(0, count_markers([part for part in parts if not isinstance(part, Place)], kind) - own)


def _filled(
    parts: Sequence[Part | Place], n_places: int, supply: Iterator[Image | Audio], kind: type
) -> list[Part | Place]:
    missing = n_places - len(_places([list(parts)], kind))
    first = [next(supply) for _ in range(missing)]
    return [
        *first,
        *(
            part.filled(next(supply)) if isinstance(part, Place) and part.kind is kind else part
            for part in parts
        ),
    ]


def _chat_error(message: str) -> ExampleError:
    return ExampleError(message, code="chat")
