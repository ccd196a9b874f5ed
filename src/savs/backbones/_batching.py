"""Rendered prompts to model inputs: the processor's own call, padded on the right, with errors per item."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Literal
from weakref import WeakKeyDictionary

from savs.backbones.modalities import media_tokens, reads_audio, reads_images, sampling_rate, tokenizer_of
from savs.backbones.passes.decoding import Loaded, load, video_options
from savs.backbones.passes.planning import Failure, Item
from savs.errors import ExampleError, ItemError
from savs.examples.labels import has_surrogate
from savs.examples.ledger import ErrorLedger

if TYPE_CHECKING:
    import torch

__all__ = ["LONGEST_TOKEN", "Batch", "BatchEncoder", "ErrorLedger", "PaddingSide"]

LONGEST_TOKEN = 256
"""Characters that no token of a vocabulary exceeds; the longest are runs of 128 spaces."""

PaddingSide = Literal["left", "right"]


@dataclass(frozen=True)
class Batch:
    """Model inputs of some examples.

    Attributes
    ----------
    items : list of Item
        Which examples they are.
    inputs : dict
        Everything the processor gave, as tensors; ``attention_mask`` is always there.
    sizes : list of list of (int, int)
        Width and height of every example's pictures, in pixels.
    """

    items: list[Item]
    inputs: dict[str, Any]
    sizes: list[list[tuple[int, int]]] = field(default_factory=list)

    @property
    def indices(self) -> list[int]:
        """Positions of the examples."""
        return [item.index for item in self.items]

    @property
    def attention_mask(self) -> torch.Tensor:
        """1 at real tokens, shape (n_examples, n_tokens)."""
        mask: torch.Tensor = self.inputs["attention_mask"]
        return mask

    @property
    def longest(self) -> int:
        """Tokens of the longest prompt."""
        return int(self.attention_mask.sum(1).max())


_LOCKS: WeakKeyDictionary[Any, threading.RLock] = WeakKeyDictionary()
_NEW_LOCK = threading.Lock()


def _lock_of(tokenizer: Any) -> threading.RLock:
    with _NEW_LOCK:
        return _LOCKS.setdefault(tokenizer, threading.RLock())


class BatchEncoder:
    """Turns rendered prompts into model inputs with the processor's own call, never changing the processor.

    Parameters
    ----------
    processor : transformers processor or tokenizer
        Called with the padding side per call; its own setting stays.
    max_tokens : int or None
        Longer prompts are refused: the model has no positions for them.
    pinned : bool, default=False
        Put the inputs into page-locked memory, from which CUDA copies while it computes.
    reserved : sequence of str
        Tokens that only the processor may write; prompts with one in their text are refused.

    Attributes
    ----------
    lock : threading.RLock
        Held while the processor works: tokenizers fail when two threads use one. One per tokenizer, whichever
        models it belongs to.
    """

    def __init__(
        self,
        processor: Any,
        max_tokens: int | None = None,
        *,
        pinned: bool = False,
        reserved: Sequence[str] = (),
    ) -> None:
        self.processor = processor
        self.reserved = tuple(reserved)
        self.max_tokens = max_tokens
        self.pinned = pinned
        self.lock = _lock_of(tokenizer_of(processor))
        self._can_pad = tokenizer_of(processor).pad_token_id is not None

    def encode(
        self, items: Sequence[Item], padding_side: PaddingSide = "right"
    ) -> tuple[list[Batch], list[Failure]]:
        """Return one batch of the items that can be encoded, or several if they cannot be padded together."""
        loaded, failures = load(items, self.processor)
        batches: list[Batch] = []
        alone = not self._can_pad and (reads_images(self.processor) or reads_audio(self.processor))
        for group in [[entry] for entry in loaded] if alone else [loaded] if loaded else []:
            more, failed = self._encode(group, padding_side)
            batches += more
            failures += failed
        return batches, failures

    def _encode(self, loaded: list[Loaded], padding_side: PaddingSide) -> tuple[list[Batch], list[Failure]]:
        """Encode together; if that fails, find the culprits one by one."""
        try:
            return [self.encode_together(loaded, padding_side)], []
        except Exception as error:
            if len(loaded) == 1:
                return [], [Failure(loaded[0].item.index, _refused(self.processor, error, loaded[0]))]
        each = [self._encode([entry], padding_side) for entry in loaded]
        return [batch for batches, _ in each for batch in batches], [f for _, failed in each for f in failed]

    def encode_together(
        self, loaded: Sequence[Loaded], padding_side: PaddingSide = "right", processor: Any = None
    ) -> Batch:
        """Return one batch; whatever the processor raises passes through.

        Parameters
        ----------
        loaded : sequence of Loaded
        padding_side : {"right", "left"}
        processor : transformers processor, optional
            Called instead of the encoder's own.

        Raises
        ------
        ExampleError
            If a prompt is empty, too long for the model, or holds a reserved token.
        """
        texts = [entry.item.rendered.text for entry in loaded]
        self._check_characters(texts)
        self._check_reserved(texts)
        special = loaded[0].item.rendered.add_special_tokens
        if not self._can_pad and len(loaded) > 1:
            inputs: dict[str, Any] = _pad_by_hand(tokenizer_of(self.processor), texts, special, padding_side)
        else:
            with self.lock:
                inputs = _call(processor or self.processor, loaded, padding_side)
        if "attention_mask" not in inputs:
            if len(loaded) > 1:
                raise ValueError("the processor gives no attention mask")
            inputs["attention_mask"] = inputs["input_ids"].new_ones(inputs["input_ids"].shape)
        self._check_length(inputs)
        sizes = [entry.sizes for entry in loaded]
        if self.pinned:
            inputs = {name: _pin(value) for name, value in inputs.items()}
        return Batch([entry.item for entry in loaded], inputs, sizes)

    def _check_characters(self, texts: Sequence[str]) -> None:
        # Tokenizers take some 400 bytes of memory for each character: one huge row would end the process.
        longest = max(map(len, texts))
        if self.max_tokens is not None and longest > self.max_tokens * LONGEST_TOKEN:
            raise ExampleError(
                f"its prompt has {longest} characters but the backbone reads at most {self.max_tokens} "
                "tokens; shorten the text",
                code="prompt_too_long",
            )

    def _check_reserved(self, texts: Sequence[str]) -> None:
        found = next((token for token in self.reserved for text in texts if token in text), None)
        if found is not None:
            raise ExampleError(
                f"its text holds {found}, which stands for the pixels of a picture in this backbone; take it "
                "out",
                code="image_count",
            )

    def _check_length(self, inputs: dict[str, Any]) -> None:
        lengths = inputs["attention_mask"].sum(1)
        longest = int(lengths.max())
        if int(lengths.min()) == 0:
            raise ExampleError("its prompt is empty", code="empty_example")
        if self.max_tokens is not None and longest > self.max_tokens:
            raise ExampleError(
                f"its prompt has {longest} tokens but the backbone reads at most {self.max_tokens}; shorten "
                "the text or use fewer or smaller pictures",
                code="prompt_too_long",
            )


def _call(processor: Any, loaded: Sequence[Loaded], padding_side: PaddingSide) -> dict[str, Any]:
    special = loaded[0].item.rendered.add_special_tokens
    options: dict[str, Any] = {"return_tensors": "pt", "add_special_tokens": special}
    if len(loaded) > 1:
        options |= {"padding": True, "padding_side": padding_side}
    if any(entry.images for entry in loaded):
        options["images"] = [entry.images for entry in loaded]
    if any(entry.audios for entry in loaded):
        options["audio"] = [audio for entry in loaded for audio in entry.audios]
        options["sampling_rate"] = sampling_rate(processor)
    videos = [video for entry in loaded for video in entry.videos]
    if videos:
        options |= video_options(videos)
    inputs = dict(processor(text=[entry.item.rendered.text for entry in loaded], **options))
    inputs.pop("labels", None)  # some give training targets, which would make the model compute a loss
    return inputs


def _pin(value: Any) -> Any:
    return value.pin_memory() if hasattr(value, "pin_memory") else value


def _pad_by_hand(
    tokenizer: Any, texts: list[str], special: bool, padding_side: PaddingSide
) -> dict[str, torch.Tensor]:
    """Tokenize without a pad token: any id will do where the mask is 0."""
    import torch

    ids = [tokenizer(text, add_special_tokens=special)["input_ids"] for text in texts]
    width = max(map(len, ids))
    input_ids = torch.zeros((len(ids), width), dtype=torch.long)
    mask = torch.zeros_like(input_ids)
    for row, tokens in enumerate(ids):
        where = slice(0, len(tokens)) if padding_side == "right" else slice(width - len(tokens), width)
        input_ids[row, where] = torch.tensor(tokens, dtype=torch.long)
        mask[row, where] = 1
    return {"input_ids": input_ids, "attention_mask": mask}


def _refused(processor: Any, error: Exception, loaded: Loaded) -> ItemError:
    if isinstance(error, ItemError):
        return error
    text = loaded.item.rendered.text
    tokens = " or ".join(media_tokens(processor))
    hint = ""
    if tokens and isinstance(error, ValueError):
        hint = f"; its text may hold the model's own {tokens} token"
    if reads_images(processor) and not (loaded.images or loaded.audios or loaded.videos):
        hint = "; it has no picture, and this model may need one"
    counts = [len(video.images) for video in loaded.videos]
    if len(set(counts)) > 1:
        hint = f"; its videos are read with {' and '.join(map(str, counts))} frames, and this model may need "
        hint += "as many of each (--video-frames without --video-fps)"
    if any(len(video.images) == 1 for video in loaded.videos):
        hint = "; one frame of its video is read, and this model may need two"
    if "nested images" in str(error).lower():
        hint = "; it takes no list of pictures per prompt, so savs cannot read pictures with this model"
    if has_surrogate(text):
        hint = "; its text holds half a character (a lone surrogate)"
    refused = ExampleError(
        f"{type(processor).__name__} cannot process it ({type(error).__name__}){hint}",
        code="processor_refused",
    )
    refused.__cause__ = error
    return refused
