"""The content of an example: text and image parts, messages, an optional label and id."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from PIL import Image as PILImage

__all__ = [
    "AUDIO_MARKER",
    "IMAGE_MARKER",
    "VIDEO_MARKER",
    "Audio",
    "Example",
    "Image",
    "Label",
    "Message",
    "Part",
    "Role",
    "Sampling",
    "Text",
    "Video",
]

IMAGE_MARKER = "<image>"
"""Where a picture stands in a text, as in the public SAVs files."""

VIDEO_MARKER = "<video>"
"""Where a video stands in a text that comes with one; elsewhere these letters are plain text."""

AUDIO_MARKER = "<audio>"
"""Where a sound stands in a text that comes with one; elsewhere these letters are plain text."""

Label = str | int | bool
Role = Literal["system", "user", "assistant"]


@dataclass(frozen=True)
class Text:
    """A piece of text."""

    text: str


@dataclass(frozen=True, eq=False)
class Image:
    """A picture, opened only when it is needed.

    Parameters
    ----------
    source : Path, bytes, PIL image or ndarray
        File path; encoded bytes; a PIL image; or an array of shape (height, width), (height, width, 3) or
        (height, width, 4).
    """

    source: Path | bytes | PILImage.Image | NDArray[np.generic]


@dataclass(frozen=True)
class Sampling:
    """Which frames of a video are read.

    Parameters
    ----------
    n_frames : int
        How many, evenly spread over its time.
    fps : float, optional
        How many for each second of it, at most `n_frames`.
    """

    n_frames: int
    fps: float | None = None

    @property
    def in_words(self) -> str:
        """Such as ``8 frames`` or ``2 frames a second, 64 frames at most``."""
        frames = f"{self.n_frames} frame" + ("s" if self.n_frames > 1 else "")
        return frames if self.fps is None else f"{float(self.fps):g} frames a second, {frames} at most"

    def __str__(self) -> str:
        # Part of every key in stores and of the digests of shots.
        return f"{self.n_frames}" if self.fps is None else f"{self.n_frames} at {float(self.fps)!r}"


@dataclass(frozen=True, eq=False)
class Video(Image):
    """A video, opened only when it is needed; it stands in a text as one picture does.

    Models that take videos read it as one; others read its frames as pictures in order.

    Parameters
    ----------
    source : Path or bytes
        File path or encoded bytes; frames at hand go as several pictures.
    n_frames : int, default=8
        Frames read, evenly spread over its time.
    fps : float, optional
        Frames read for each second of it, at most `n_frames`.
    """

    source: Path | bytes
    n_frames: int = 8
    fps: float | None = None

    @property
    def sampling(self) -> Sampling:
        """Which frames are read."""
        return Sampling(self.n_frames, self.fps)


@dataclass(frozen=True, eq=False)
class Audio:
    """A sound, opened only when it is needed.

    Parameters
    ----------
    source : Path, bytes or ndarray
        File path; encoded bytes; or samples in [-1, 1] of shape (n_samples,) or (n_samples, n_channels).
    sampling_rate : int, optional
        Samples a second of an array; files say their own.
    """

    source: Path | bytes | NDArray[np.floating[Any]]
    sampling_rate: int | None = None


Part = Text | Image | Audio


@dataclass(frozen=True)
class Message:
    """One turn of a chat: a role and its parts in order."""

    role: Role
    parts: tuple[Part, ...]


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
    """

    messages: tuple[Message, ...]
    label: Label | None = None
    id: str | None = None
    fields: Mapping[str, Any] = field(default_factory=dict)
    label_column: str | None = None

    @property
    def parts(self) -> tuple[Part, ...]:
        """All parts of all messages, in order."""
        return tuple(part for message in self.messages for part in message.parts)

    @property
    def images(self) -> tuple[Image, ...]:
        """All pictures, in order."""
        return tuple(part for part in self.parts if isinstance(part, Image))

    @property
    def videos(self) -> tuple[Video, ...]:
        """All videos, in order."""
        return tuple(part for part in self.parts if isinstance(part, Video))

    @property
    def audios(self) -> tuple[Audio, ...]:
        """All sounds, in order."""
        return tuple(part for part in self.parts if isinstance(part, Audio))

    @property
    def text(self) -> str:
        """The last message's text in canonical form.

        Pictures and sounds followed by at most one text without markers give just that text: they come first
        where a text has no marker. Any other order gives the texts with one `IMAGE_MARKER` where each picture
        stands, one `VIDEO_MARKER` where each video and one `AUDIO_MARKER` where each sound does.
        """
        parts = self.messages[-1].parts if self.messages else ()
        texts = [part.text for part in parts if isinstance(part, Text)]
        leading = not any(isinstance(part, Text) for part in parts[: len(parts) - len(texts)])
        if leading and len(texts) <= 1 and not any(IMAGE_MARKER in text for text in texts):
            return "".join(texts)
        return "".join(part.text if isinstance(part, Text) else _marker(part) for part in parts)


def _marker(part: Image | Audio) -> str:
    if isinstance(part, Audio):
        return AUDIO_MARKER
    return VIDEO_MARKER if isinstance(part, Video) else IMAGE_MARKER
