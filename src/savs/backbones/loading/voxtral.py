"""Voxtral's processor for prompts that are written out.

transformers' own takes sounds only through the tokenizer of the mistral-common package, which also writes
the prompt. That is a simple one, and its tokens are in the model's tekken.json or tokenizer.json: here it is
a chat template, and the sounds go through the family's own feature extraction.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from savs.backbones.loading.places import Place

__all__ = ["TEMPLATE", "open_voxtral", "written_prompts"]

TEMPLATE = (
    "<s>{% for message in messages %}"
    "{% if message['role'] == 'system' %}[SYSTEM_PROMPT]{% elif message['role'] == 'user' %}[INST]{% endif %}"
    "{% if message['content'] is string %}{{ message['content'] }}{% else %}"
    "{% for part in message['content'] %}"
    "{% if part['type'] == 'audio' %}[BEGIN_AUDIO][AUDIO]{% else %}{{ part['text'] }}{% endif %}"
    "{% endfor %}{% endif %}"
    "{% if message['role'] == 'system' %}[/SYSTEM_PROMPT]"
    "{% elif message['role'] == 'user' %}[/INST]{% else %}</s>{% endif %}"
    "{% endfor %}"
)
"""The prompt of mistral-common's tokenizers of version 7, which Voxtral has."""

_FRAMES_PER_TOKEN = 8  # of the mel spectrogram: the tower halves them, the projector joins four


def open_voxtral(place: Place) -> Any:
    """Return the processor of a Voxtral folder or hub name."""
    from transformers import TokenizersBackend, WhisperFeatureExtractor

    extractor: Any = WhisperFeatureExtractor  # partly untyped
    tokenizer: Any = TokenizersBackend
    return written_prompts()(
        extractor.from_pretrained(place.name, **place.options),
        tokenizer.from_pretrained(place.name, **place.options),
    )


def written_prompts() -> Any:
    """Return the processor class."""
    from transformers import BatchFeature, VoxtralProcessor

    base: Any = VoxtralProcessor  # partly untyped

    class WrittenPrompts(base):  # type: ignore[misc]
        def __init__(self, feature_extractor: Any, tokenizer: Any) -> None:
            super().__init__(feature_extractor, tokenizer)
            self.chat_template = TEMPLATE
            self.chunk_frames = int(feature_extractor.nb_max_frames)

        def apply_chat_template(self, conversation: Any, **options: Any) -> str:
            options = {"chat_template": self.chat_template} | options
            return str(self.tokenizer.apply_chat_template(conversation, **options))

        def __call__(self, text: Sequence[str], audio: Sequence[Any] = (), **options: Any) -> Any:
            rate = options.pop("sampling_rate", self.feature_extractor.sampling_rate)
            chunks = [self._chunks(sound, rate) for sound in audio]
            counts = iter([len(chunk) * self.chunk_frames // _FRAMES_PER_TOKEN for chunk in chunks])
            inputs = dict(self.tokenizer([self._expanded(one, counts) for one in text], **options))
            if chunks:
                import torch

                inputs["input_features"] = torch.cat(chunks)
            return BatchFeature(inputs)

        def _chunks(self, sound: Any, rate: int) -> Any:
            """Return the mel spectrogram of a sound, cut; shape (n_chunks, n_mels, chunk_frames)."""
            extractor = self.feature_extractor
            return self._retrieve_input_features(
                [sound],
                max_source_positions=self.chunk_frames,
                sampling_rate=rate,
                padding=True,
                truncation=False,
                pad_to_multiple_of=extractor.n_samples,
                return_tensors="pt",
            )

        def _expanded(self, text: str, counts: Any) -> str:
            first, *rest = text.split(self.audio_token)
            return first + "".join(self.audio_token * next(counts) + piece for piece in rest)

    WrittenPrompts.__name__ = "VoxtralProcessor"
    return WrittenPrompts
