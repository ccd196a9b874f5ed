"""An example to the one string that the processor takes, with the pictures in their order."""

from __future__ import annotations

import datetime
import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from savs.errors import BackboneError, ExampleError
from savs.examples import Example, Image, Message, Part, Text, Video
from savs.examples.markers import place_in_order

__all__ = [
    "Frame",
    "Rendered",
    "chat_template",
    "image_token",
    "placeholders",
    "reads_images",
    "render",
    "tokenizer_of",
]

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
        From 0 to ``video.n_frames - 1``.
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
        With the model's own image token at each picture.
    images : tuple of Image
        In the order of their tokens.
    add_special_tokens : bool
        False if the text already starts with the beginning-of-sequence token.
    """

    text: str
    images: tuple[Image, ...]
    add_special_tokens: bool


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
        If it is empty, has pictures the model cannot read, its image tokens are not one per picture, or the
        chat template refuses it.
    """
    try:
        return _render(processor, example)
    except ExampleError as error:
        error.id = error.id if error.id is not None else example.id
        raise


def tokenizer_of(processor: Any) -> Any:
    """Return the tokenizer of a processor, or the tokenizer itself."""
    return getattr(processor, "tokenizer", processor)


def reads_images(processor: Any) -> bool:
    """Return whether a processor takes pictures."""
    return getattr(processor, "image_processor", None) is not None


def image_token(processor: Any) -> str | None:
    """Return the token that stands for one picture in a prompt, if the processor names one.

    None as well for BLIP-2 and its kin, whose processors write the tokens of their one picture themselves.
    """
    return None if _writes_own_tokens(processor) else _named_token(processor)


def placeholders(model: Any, processor: Any) -> tuple[str, ...]:
    """Return the tokens that a model replaces by pictures, where the processor writes them by itself.

    They are not those that stand for a picture in a prompt (Gemma 3, Aya Vision, Ovis 2), so nobody counts
    them: one more, in an example's own text, and the model fails for the whole batch.
    """
    vocabulary = tokenizer_of(processor)
    ids = (getattr(model.config, name, None) for name in ("image_token_id", "image_token_index"))
    names = {vocabulary.convert_ids_to_tokens(number) for number in ids if isinstance(number, int)}
    return tuple(sorted(names - {None, _named_token(processor)})) if reads_images(processor) else ()


def _writes_own_tokens(processor: Any) -> bool:
    return getattr(processor, "num_query_tokens", None) is not None


def _named_token(processor: Any) -> str | None:
    for owner in (processor, tokenizer_of(processor)):
        token = getattr(owner, "image_token", None)
        if token is not None:
            return str(getattr(token, "content", token))
    return None


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
    images = tuple(part for message in messages for part in message.parts if isinstance(part, Image))
    template, as_parts = chat_template(processor)
    token = _named_token(processor) or "<image>"
    if template is None:
        text = "\n".join(_flat(message.parts, token) for message in messages)
    else:
        text = _apply_template(processor, template, [_turn(m, as_parts, token) for m in messages])
    if _writes_own_tokens(processor):
        text = text.replace(token, "")
    _check_tokens(processor, text, len(images))
    if not text:
        raise ExampleError("its prompt is empty", code="empty_example")
    bos = getattr(tokenizer_of(processor), "bos_token", None)
    return Rendered(text, images, not (bos and text.startswith(bos)))


def _messages(processor: Any, example: Example) -> list[Message]:
    if not example.parts:
        raise ExampleError("it has neither text nor pictures", code="empty_example")
    if example.images and not reads_images(processor):
        raise ExampleError(
            f"it has {len(example.images)} picture(s), but this backbone reads text only", code="no_images"
        )
    return [Message(message.role, _unrolled(place_in_order(message.parts))) for message in example.messages]


def _unrolled(parts: tuple[Part, ...]) -> tuple[Part, ...]:
    """Put a video's frames, in order, where the video stands."""
    return tuple(
        piece
        for part in parts
        for piece in (
            [Frame(part.source, part, number) for number in range(part.n_frames)]
            if isinstance(part, Video)
            else [part]
        )
    )


def _flat(parts: tuple[Part, ...], token: str) -> str:
    return "".join(part.text if isinstance(part, Text) else token for part in parts)


def _turn(message: Message, as_parts: bool, token: str) -> dict[str, Any]:
    if not as_parts:
        return {"role": message.role, "content": _flat(message.parts, token)}
    content = [
        {"type": "text", "text": part.text} if isinstance(part, Text) else {"type": "image"}
        for part in message.parts
    ]
    return {"role": message.role, "content": content}


def _apply_template(processor: Any, template: str, conversation: list[dict[str, Any]]) -> str:
    fixed = _TODAY.sub(lambda call: repr(_DATE.strftime(call[2])), template)
    options = {"chat_template": fixed, "add_generation_prompt": True, "tokenize": False}
    try:
        return str(processor.apply_chat_template(conversation, **options))
    except Exception as error:  # a template is a program and can fail in any way
        reason = " ".join(str(error).split())[:200]
        raise ExampleError(f"the chat template refuses it: {reason}", code="chat_template") from error


def _check_tokens(processor: Any, text: str, n_images: int) -> None:
    if _writes_own_tokens(processor) and n_images != 1:
        raise ExampleError(
            f"it has {n_images} pictures, but this backbone reads exactly one per prompt", code="image_count"
        )
    token = image_token(processor)
    if token is None:
        return
    n_tokens = text.count(token)
    if n_tokens != n_images:
        raise ExampleError(
            f"the prompt has {n_tokens} {token} tokens but there are {n_images} pictures", code="image_count"
        )
