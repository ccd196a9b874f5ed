"""The content of an example: text and image parts, messages, an optional label and id."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from savs._labels import Label
from savs._reprs import short_repr
from savs.media import Audio, Image, Video

__all__ = [
    "AUDIO_MARKER",
    "IMAGE_MARKER",
    "VIDEO_MARKER",
    "Example",
    "Label",
    "Message",
    "Part",
    "Role",
    "Text",
]

IMAGE_MARKER = "<image>"
"""Where an image stands in a text, as in the public SAVs files."""

VIDEO_MARKER = "<video>"
"""Where a video stands in a text that comes with one; elsewhere these letters are plain text."""

AUDIO_MARKER = "<audio>"
"""Where an audio clip stands in a text that comes with one; elsewhere these letters are plain text."""

Role = Literal["system", "user", "assistant"]


@dataclass(frozen=True)
class Text:
    """A piece of text."""

    text: str

    __repr__ = short_repr


Part = Text | Image | Audio


@dataclass(frozen=True)
class Message:
    """One turn of a chat: a role and its parts in order."""

    role: Role
    parts: tuple[Part, ...]

    __repr__ = short_repr


@dataclass(frozen=True)
class Example:
    """A prompt's content, with an optional label and id.

    Parameters
    ----------
    messages : tuple of Message
        The chat; a plain example is a single user message. The last message is the user's.
    label : str, int, bool or None
        The class, if known.
    id : str or None
        The caller's name for it, used in messages and outputs.
    fields : mapping of str to str
        The columns of the row it came from, for prompt templates such as ``"Instruction: {instruction}"``;
        never the label's.
    label_column : str or None
        The row's column that held the label: a prompt template may not name it.
    labels : tuple of label, or None
        All classes of an example that may have several, for `savs.MultiLabelModel`; None if not known.
    """

    messages: tuple[Message, ...]
    label: Label | None = None
    id: str | None = None
    fields: Mapping[str, Any] = field(default_factory=dict)
    label_column: str | None = None
    labels: tuple[Label, ...] | None = None
    # Set by `trusted` alone; a copy by `dataclasses.replace` does not have it.
    _trusted: bool = field(default=False, init=False, repr=False, compare=False)

    __repr__ = short_repr

    @property
    def parts(self) -> tuple[Part, ...]:
        """All parts of all messages, in order."""
        return tuple(part for message in self.messages for part in message.parts)

    @property
    def images(self) -> tuple[Image, ...]:
        """All images, in order."""
        return tuple(part for part in self.parts if isinstance(part, Image))

    @property
    def videos(self) -> tuple[Video, ...]:
        """All videos, in order; they are among the images, too."""
        return tuple(part for part in self.parts if isinstance(part, Video))

    @property
    def audios(self) -> tuple[Audio, ...]:
        """All audio clips, in order."""
        return tuple(part for part in self.parts if isinstance(part, Audio))

    @property
    def text(self) -> str:
        """The last message's text in canonical form.

        Images and audio clips followed by at most one text without markers give just that text: they come
        first where a text has no marker. Any other order gives the texts with one `IMAGE_MARKER` where each
        image stands, one `VIDEO_MARKER` where each video and one `AUDIO_MARKER` where each audio clip does.
        """
        parts = self.messages[-1].parts if self.messages else ()
        texts = [part.text for part in parts if isinstance(part, Text)]
        leading = not any(isinstance(part, Text) for part in parts[: len(parts) - len(texts)])
        if leading and len(texts) <= 1 and not any(IMAGE_MARKER in text for text in texts):
            return "".join(texts)
        return "".join(part.text if isinstance(part, Text) else marker_of(part) for part in parts)


def trusted(example: Example) -> Example:
    """Mark an example as checked, so that `as_examples` returns it as it is, and return it."""
    object.__setattr__(example, "_trusted", True)
    return example


def is_trusted(example: Example) -> bool:
    """Return whether an example was checked when it was made."""
    return example._trusted


def marker_of(part: Image | Audio) -> str:
    """Return the marker that stands for a medium in a text."""
    if isinstance(part, Audio):
        return AUDIO_MARKER
    return VIDEO_MARKER if isinstance(part, Video) else IMAGE_MARKER
