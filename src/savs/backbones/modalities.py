"""What a processor takes beside text, and the tokens that stand for it in a prompt."""

from __future__ import annotations

from typing import Any

__all__ = [
    "audio_token",
    "image_token",
    "longest_audio",
    "media_tokens",
    "named_token",
    "placeholders",
    "reads_audio",
    "reads_images",
    "reads_videos",
    "sampling_rate",
    "tokenizer_of",
    "video_token",
    "writes_own_tokens",
]


def tokenizer_of(processor: Any) -> Any:
    """Return the tokenizer of a processor, or the tokenizer itself."""
    return getattr(processor, "tokenizer", processor)


def reads_images(processor: Any) -> bool:
    """Return whether a processor takes pictures."""
    return getattr(processor, "image_processor", None) is not None


def reads_audio(processor: Any) -> bool:
    """Return whether a processor takes sounds."""
    return getattr(processor, "feature_extractor", None) is not None


def reads_videos(processor: Any) -> bool:
    """Return whether a processor takes videos as such; others take their frames as pictures.

    It must have a video processor, a token for a video, and a chat template that writes it.
    """
    ready = hasattr(getattr(processor, "video_processor", None), "preprocess")
    template = getattr(processor, "chat_template", None)
    return ready and named_token(processor, "video_token") is not None and "video" in str(template)


def sampling_rate(processor: Any) -> int:
    """Return the samples a second that a processor wants of a sound."""
    return int(processor.feature_extractor.sampling_rate)


def longest_audio(processor: Any) -> float | None:
    """Return the seconds after which a processor cuts a sound off without a word; None if it does not."""
    extractor = processor.feature_extractor
    n_samples = getattr(extractor, "n_samples", None)
    if n_samples is None or getattr(processor, "audio_kwargs", {}).get("truncation") is False:
        return None
    return float(n_samples) / float(extractor.sampling_rate)


def image_token(processor: Any) -> str | None:
    """Return the token that stands for one picture in a prompt, if the processor names one.

    None as well for BLIP-2 and its kin, whose processors write the tokens of their one picture themselves.
    """
    return None if writes_own_tokens(processor) else named_token(processor, "image_token")


def audio_token(processor: Any) -> str | None:
    """Return the token that stands for one sound in a prompt, if the processor names one."""
    return named_token(processor, "audio_token") if reads_audio(processor) else None


def video_token(processor: Any) -> str | None:
    """Return the token that stands for one video in a prompt, where videos are read as such."""
    return named_token(processor, "video_token") if reads_videos(processor) else None


def media_tokens(processor: Any) -> list[str]:
    """Return the tokens that stand for a picture, a sound and a video in a prompt, those that there are."""
    return [
        t for t in (image_token(processor), audio_token(processor), video_token(processor)) if t is not None
    ]


def writes_own_tokens(processor: Any) -> bool:
    """Return whether a processor writes the tokens of its one picture itself, whatever the prompt says."""
    return getattr(processor, "num_query_tokens", None) is not None


def named_token(processor: Any, name: str) -> str | None:
    """Return the token that a processor or its tokenizer has under a name."""
    for owner in (processor, tokenizer_of(processor)):
        token = getattr(owner, name, None)
        if token is not None:
            return str(getattr(token, "content", token))
    return None


def placeholders(model: Any, processor: Any) -> tuple[str, ...]:
    """Return the tokens that a model replaces by pictures, where the processor writes them by itself.

    They are not those that stand for a picture in a prompt (Gemma 3, Aya Vision, Ovis 2), so nobody counts
    them: one more, in an example's own text, and the model fails for the whole batch.
    """
    vocabulary = tokenizer_of(processor)
    ids = (getattr(model.config, name, None) for name in ("image_token_id", "image_token_index"))
    names = {vocabulary.convert_ids_to_tokens(number) for number in ids if isinstance(number, int)}
    own = {None, named_token(processor, "image_token")}
    return tuple(sorted(names - own)) if reads_images(processor) else ()
