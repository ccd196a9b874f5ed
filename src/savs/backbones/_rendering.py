"""An example to the one string that the processor takes, with images and audio in their order."""

from __future__ import annotations

import datetime
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from savs.backbones._pixel_limits import check_limits
from savs.data import Example, Message, Part, Text
from savs.data._chat import place_in_order
from savs.errors import BackboneError, ExampleError
from savs.media import Audio, Image, Video
from savs.media.video import count_frames

# What a processor takes beside text, and the tokens that stand for it in a prompt.


def tokenizer_of(processor: Any) -> Any:
    """Return the tokenizer of a processor, or the tokenizer itself."""
    return getattr(processor, "tokenizer", processor)


def reads_images(processor: Any) -> bool:
    """Return whether a processor takes images."""
    return getattr(processor, "image_processor", None) is not None


def reads_audio(processor: Any) -> bool:
    """Return whether a processor takes audio clips."""
    return getattr(processor, "feature_extractor", None) is not None


def reads_videos(processor: Any) -> bool:
    """Return whether a processor takes videos; others take their frames as images.

    It must have a video processor, a token for a video, and a chat template that writes it.
    """
    ready = hasattr(getattr(processor, "video_processor", None), "preprocess")
    template = getattr(processor, "chat_template", None)
    return ready and named_token(processor, "video_token") is not None and "video" in str(template)


def sampling_rate(processor: Any) -> int:
    """Return the samples a second that a processor wants of an audio clip."""
    return int(processor.feature_extractor.sampling_rate)


def longest_audio(processor: Any) -> float | None:
    """Return the seconds after which a processor silently cuts audio off; None if it does not."""
    extractor = processor.feature_extractor
    n_samples = getattr(extractor, "n_samples", None)
    if n_samples is None or getattr(processor, "audio_kwargs", {}).get("truncation") is False:
        return None
    return float(n_samples) / float(extractor.sampling_rate)


def image_token(processor: Any) -> str | None:
    """Return the token that stands for one image in a prompt, if the processor names one.

    None as well for BLIP-2 and its kin, whose processors write the tokens of their one image themselves.
    """
    return None if writes_own_tokens(processor) else named_token(processor, "image_token")


def audio_token(processor: Any) -> str | None:
    """Return the token that stands for one audio clip in a prompt, if the processor names one."""
    return named_token(processor, "audio_token") if reads_audio(processor) else None


def video_token(processor: Any) -> str | None:
    """Return the token that stands for one video in a prompt, where the processor takes videos."""
    return named_token(processor, "video_token") if reads_videos(processor) else None


def media_tokens(processor: Any) -> list[str]:
    """Return the tokens that stand for images, audio and videos in a prompt, as far as there are any."""
    return [
        t for t in (image_token(processor), audio_token(processor), video_token(processor)) if t is not None
    ]


def writes_own_tokens(processor: Any) -> bool:
    """Return whether a processor writes the tokens of its one image itself, whatever the prompt says."""
    return getattr(processor, "num_query_tokens", None) is not None


def named_token(processor: Any, name: str) -> str | None:
    """Return the token that a processor or its tokenizer has under a name."""
    for owner in (processor, tokenizer_of(processor)):
        token = getattr(owner, name, None)
        if token is not None:
            return str(getattr(token, "content", token))
    return None


def placeholders(model: Any, processor: Any) -> tuple[str, ...]:
    """Return the tokens that a model replaces by images, where the processor writes them by itself.

    They differ from those that stand for an image in a prompt (Gemma 3, Aya Vision, Ovis 2), so they are not
    counted: with one more in an example's own text the model would fail for the whole batch.
    """
    vocabulary = tokenizer_of(processor)
    ids = (getattr(model.config, name, None) for name in ("image_token_id", "image_token_index"))
    names = {vocabulary.convert_ids_to_tokens(number) for number in ids if isinstance(number, int)}
    own = {None, named_token(processor, "image_token")}
    return tuple(sorted(names - own)) if reads_images(processor) else ()


# An example to the one string that the processor takes, with images and audio clips in their order.

# Some templates write today's date into the system prompt; the same prompt must read the same on every day.
_DATE = datetime.datetime(2025, 1, 1)
_TODAY = re.compile(r"""strftime_now\(\s*(["'])(.*?)\1\s*\)""")


@dataclass(frozen=True, eq=False)
class Frame(Image):
    """One frame of a video, where a family reads videos as images.

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
        With the model's own token at each image and audio clip.
    images : tuple of Image
        In the order of their tokens.
    add_special_tokens : bool
        False if the text already starts with the beginning-of-sequence token.
    audios : tuple of Audio
        In the order of their tokens.
    videos : tuple of Video
        Those that the model takes whole, not as images of their frames, in the order of their tokens.
    """

    text: str
    images: tuple[Image, ...]
    add_special_tokens: bool
    audios: tuple[Audio, ...] = ()
    videos: tuple[Video, ...] = ()

    @property
    def media(self) -> tuple[Image | Audio, ...]:
        """Images, audio clips, videos."""
        return (*self.images, *self.audios, *self.videos)


def render(processor: Any, example: Example) -> Rendered:
    """Return the prompt of one example; see `PromptRenderer.render`."""
    return PromptRenderer(processor).render(example)


class PromptRenderer:
    """Renders examples for one processor, whose tokens and chat template are looked up once.

    Parameters
    ----------
    processor : transformers processor or tokenizer
        Its chat template is used if it has one, else plain text with image tokens.
    """

    def __init__(self, processor: Any) -> None:
        self._processor = processor
        self._template, self._as_parts = chat_template(processor)
        self._reads_images = reads_images(processor)
        self._reads_audio = reads_audio(processor)
        self._reads_videos = reads_videos(processor)
        self._writes_own_tokens = writes_own_tokens(processor)
        # What stands for an image and for an audio clip where no template writes it.
        names = ("audio_bos_token", "audio_token", "audio_eos_token")
        audio = "".join(named_token(processor, name) or "" for name in names)
        image = named_token(processor, "image_token")
        self._written: dict[type, str] = {Image: image or "<image>", Audio: audio or "<audio>"}
        # What is counted in a finished prompt.
        self._counted = (
            (None if self._writes_own_tokens else image, Image, "images", "image_count"),
            (audio_token(processor), Audio, "audios", "audio_count"),
            (video_token(processor), Video, "videos", "video_count"),
        )
        bos = getattr(tokenizer_of(processor), "bos_token", None)
        self._bos: str | None = bos or None

    def render(self, example: Example) -> Rendered:
        """Return the prompt of an example, with the generation prompt and no answer.

        Parameters
        ----------
        example : Example
            Labels are not read.

        Raises
        ------
        ExampleError
            If it is empty, has images or audio clips the model cannot read, its tokens are not one per image
            and one per audio clip, or the chat template refuses it.
        """
        try:
            return self._render(example)
        except ExampleError as error:
            error.id = error.id if error.id is not None else example.id
            raise

    def _render(self, example: Example) -> Rendered:
        self._check_media(example)
        messages = [self._placed(message) for message in example.messages]
        media: dict[type, list[Any]] = {Image: [], Audio: [], Video: []}
        for message in messages:
            for part in message.parts:
                if not isinstance(part, Text):
                    kind = Audio if isinstance(part, Audio) else Video if isinstance(part, Video) else Image
                    media[kind].append(part)
        check_limits(self._processor, media[Image], media[Video])
        if self._template is None:
            text = "\n".join(_flat(message.parts, self._written) for message in messages)
        else:
            turns = [self._turn(message) for message in messages]
            text = _apply_template(self._processor, self._template, turns)
        if self._writes_own_tokens:
            text = text.replace(self._written[Image], "")
        self._check_counts(text, {kind: len(parts) for kind, parts in media.items()})
        text, special = self._beginning(text)
        return Rendered(text, tuple(media[Image]), special, tuple(media[Audio]), tuple(media[Video]))

    def _beginning(self, text: str) -> tuple[str, bool]:
        """Return a prompt that begins with its BOS if it has one, and whether the tokenizer is to add it."""
        if self._bos is None or not text.lstrip().startswith(self._bos):
            return text, True
        return text.lstrip(), False  # blanks before it are a slip of the template

    def _check_media(self, example: Example) -> None:
        parts = example.parts
        if not parts:
            raise ExampleError("it has neither text nor images", code="empty_example")
        n_audios = sum(isinstance(part, Audio) for part in parts)
        n_images = sum(isinstance(part, Image) for part in parts)
        if n_images and not self._reads_images:
            kind = "video(s)" if len(example.videos) == n_images else "image(s)"
            rest = "text and audio clips" if self._reads_audio else "text"
            raise ExampleError(
                f"it has {n_images} {kind}, but this backbone reads {rest} only", code="no_images"
            )
        if n_audios and not self._reads_audio:
            rest = "text and images" if self._reads_images else "text"
            raise ExampleError(
                f"it has {n_audios} audio clip(s), but this backbone reads {rest} only", code="no_audio"
            )

    def _placed(self, message: Message) -> Message:
        parts = place_in_order(message.parts)
        if not self._reads_videos and any(isinstance(part, Video) for part in parts):
            parts = _unrolled(parts)
        return Message(message.role, parts)

    def _turn(self, message: Message) -> dict[str, Any]:
        if not self._as_parts:
            return {"role": message.role, "content": _flat(message.parts, self._written)}
        return {"role": message.role, "content": [_content(part) for part in message.parts]}

    def _check_counts(self, text: str, n_media: Mapping[type, int]) -> None:
        if self._writes_own_tokens and n_media[Image] != 1:
            raise ExampleError(
                f"it has {n_media[Image]} images, but this backbone reads exactly one per prompt",
                code="image_count",
            )
        for token, kind, name, code in self._counted:
            if token is not None and text.count(token) != n_media[kind]:
                message = (
                    f"the prompt has {text.count(token)} {token} tokens but there are {n_media[kind]} {name}"
                )
                raise ExampleError(message, code=code)
        if not text:
            raise ExampleError("its prompt is empty", code="empty_example")


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


def _unrolled(parts: tuple[Part, ...]) -> tuple[Part, ...]:
    """Put a video's frames, in order, where the video stands."""
    return tuple(
        piece
        for part in parts
        for piece in (
            [
                Frame(part.source, part, number, min_pixels=part.min_pixels, max_pixels=part.max_pixels)
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
