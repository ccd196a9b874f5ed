"""An example to the one string that the processor takes, with pictures and sounds in their order."""

from __future__ import annotations

import datetime
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from savs.backbones.modalities import (
    audio_token,
    image_token,
    named_token,
    reads_audio,
    reads_images,
    reads_videos,
    tokenizer_of,
    video_token,
    writes_own_tokens,
)
from savs.errors import BackboneError, ExampleError
from savs.examples import Audio, Example, Image, Message, Part, Text, Video
from savs.examples.markers import place_in_order
from savs.media.video import count_frames

__all__ = ["Frame", "Rendered", "chat_template", "render"]

# Some templates write today's date into the system prompt; the same prompt must read the same on every day.
_DATE = datetime.datetime(2025, 1, 1)
_TODAY = re.compile(r"""strftime_now\(\s*(["'])(.*?)\1\s*\)""")


@dataclass(frozen=True, eq=False)
class Frame(Image):
    """One frame of a video, where a family reads videos as pictures.

    Parameters
    ----------
    source : Path or bytes
        The video's.
    video : Video
    number : int
        From 0.
    """

    source: Path | bytes
    video: Video
    number: int


@dataclass(frozen=True)
class Rendered:
    """A prompt as the processor takes it.

    Attributes
    ----------
    text : str
        With the model's own token at each picture and sound.
    images : tuple of Image
        In the order of their tokens.
    add_special_tokens : bool
        False if the text already starts with the beginning-of-sequence token.
    audios : tuple of Audio
        In the order of their tokens.
    videos : tuple of Video
        Those that the model reads as videos, in the order of their tokens.
    """

    text: str
    images: tuple[Image, ...]
    add_special_tokens: bool
    audios: tuple[Audio, ...] = ()
    videos: tuple[Video, ...] = ()

    @property
    def media(self) -> tuple[Image | Audio, ...]:
        """Pictures, sounds, videos."""
        return (*self.images, *self.audios, *self.videos)


def render(processor: Any, example: Example) -> Rendered:
    """Return the prompt of an example, with the generation prompt and no answer.

    Parameters
    ----------
    processor : transformers processor or tokenizer
        Its chat template is used if it has one, else plain text with image tokens.
    example : Example
        Labels are not read.

    Raises
    ------
    ExampleError
        If it is empty, has pictures or sounds the model cannot read, its tokens are not one per picture and
        one per sound, or the chat template refuses it.
    """
    try:
        return _render(processor, example)
    except ExampleError as error:
        error.id = error.id if error.id is not None else example.id
        raise


def chat_template(processor: Any) -> tuple[str | None, bool]:
    """Return the chat template, and whether it takes content as a list of parts rather than a string."""
    own = getattr(processor, "chat_template", None)
    if own is not None and processor is not tokenizer_of(processor):
        return _default(own), True
    return _default(getattr(tokenizer_of(processor), "chat_template", None)), False


def _default(template: Any) -> str | None:
    if not isinstance(template, dict):
        return template if template is None else str(template)
    if "default" not in template:
        raise BackboneError(f"none of the chat templates ({', '.join(template)}) is named 'default'")
    return str(template["default"])


def _render(processor: Any, example: Example) -> Rendered:
    messages = _messages(processor, example)
    parts = [part for message in messages for part in message.parts]
    videos = tuple(part for part in parts if isinstance(part, Video))
    images = tuple(part for part in parts if isinstance(part, Image) and not isinstance(part, Video))
    audios = tuple(part for part in parts if isinstance(part, Audio))
    template, as_parts = chat_template(processor)
    tokens = _tokens(processor)
    if template is None:
        text = "\n".join(_flat(message.parts, tokens) for message in messages)
    else:
        text = _apply_template(processor, template, [_turn(m, as_parts, tokens) for m in messages])
    if writes_own_tokens(processor):
        text = text.replace(tokens[Image], "")
    _check_images(processor, text, len(images))
    _check_count(text, audio_token(processor), len(audios), "sounds", "audio_count")
    _check_count(text, video_token(processor), len(videos), "videos", "video_count")
    if not text:
        raise ExampleError("its prompt is empty", code="empty_example")
    bos = getattr(tokenizer_of(processor), "bos_token", None)
    return Rendered(text, images, not (bos and text.startswith(bos)), audios, videos)


def _tokens(processor: Any) -> dict[type, str]:
    """Return what stands for a picture and for a sound where no template writes it."""
    names = ("audio_bos_token", "audio_token", "audio_eos_token")
    sound = "".join(named_token(processor, name) or "" for name in names)
    return {Image: named_token(processor, "image_token") or "<image>", Audio: sound or "<audio>"}


def _messages(processor: Any, example: Example) -> list[Message]:
    if not example.parts:
        raise ExampleError("it has neither text nor pictures", code="empty_example")
    if example.images and not reads_images(processor):
        kind = "video(s)" if len(example.videos) == len(example.images) else "picture(s)"
        raise ExampleError(
            f"it has {len(example.images)} {kind}, but this backbone reads {_besides(processor, Image)} only",
            code="no_images",
        )
    if example.audios and not reads_audio(processor):
        raise ExampleError(
            f"it has {len(example.audios)} sound(s), but this backbone reads "
            f"{_besides(processor, Audio)} only",
            code="no_audio",
        )
    whole = reads_videos(processor)
    return [
        Message(message.role, placed if whole else _unrolled(placed))
        for message in example.messages
        for placed in [place_in_order(message.parts)]
    ]


def _besides(processor: Any, kind: type) -> str:
    if kind is Image and reads_audio(processor):
        return "text and sounds"
    return "text and pictures" if kind is Audio and reads_images(processor) else "text"


def _unrolled(parts: tuple[Part, ...]) -> tuple[Part, ...]:
    """Put a video's frames, in order, where the video stands."""
    return tuple(
        piece
        for part in parts
        for piece in (
            [
                Frame(part.source, part, number)
                for number in range(count_frames(part.source, part.n_frames, part.fps))
            ]
            if isinstance(part, Video)
            else [part]
        )
    )


def _flat(parts: tuple[Part, ...], tokens: dict[type, str]) -> str:
    return "".join(
        part.text if isinstance(part, Text) else tokens[Audio if isinstance(part, Audio) else Image]
        for part in parts
    )


def _turn(message: Message, as_parts: bool, tokens: dict[type, str]) -> dict[str, Any]:
    if not as_parts:
        return {"role": message.role, "content": _flat(message.parts, tokens)}
    return {"role": message.role, "content": [_content(part) for part in message.parts]}


def _content(part: Part) -> dict[str, str]:
    if isinstance(part, Text):
        return {"type": "text", "text": part.text}
    if isinstance(part, Video):
        return {"type": "video"}
    return {"type": "audio" if isinstance(part, Audio) else "image"}


def _apply_template(processor: Any, template: str, conversation: list[dict[str, Any]]) -> str:
    fixed = _TODAY.sub(lambda call: repr(_DATE.strftime(call[2])), template)
    options = {"chat_template": fixed, "add_generation_prompt": True, "tokenize": False}
    try:
        return str(processor.apply_chat_template(conversation, **options))
    except Exception as error:  # a template is a program and can fail in any way
        reason = " ".join(str(error).split())[:200]
        raise ExampleError(f"the chat template refuses it: {reason}", code="chat_template") from error


def _check_images(processor: Any, text: str, n_images: int) -> None:
    if writes_own_tokens(processor) and n_images != 1:
        raise ExampleError(
            f"it has {n_images} pictures, but this backbone reads exactly one per prompt", code="image_count"
        )
    _check_count(text, image_token(processor), n_images, "pictures", "image_count")


def _check_count(text: str, token: str | None, n_media: int, kind: str, code: str) -> None:
    if token is not None and text.count(token) != n_media:
        message = f"the prompt has {text.count(token)} {token} tokens but there are {n_media} {kind}"
        raise ExampleError(message, code=code)
