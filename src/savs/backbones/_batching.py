"""Rendered prompts to model inputs: planned, media decoded, padded on the right."""

from __future__ import annotations

import threading
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal
from weakref import WeakKeyDictionary

import numpy as np
from numpy.typing import NDArray

from savs._labels import has_surrogate
from savs.backbones._pixel_limits import size_options
from savs.backbones._rendering import (
    Frame,
    PromptRenderer,
    Rendered,
    audio_token,
    image_token,
    longest_audio,
    media_tokens,
    reads_audio,
    reads_images,
    sampling_rate,
    tokenizer_of,
    video_token,
)
from savs.data import Example
from savs.errors import ExampleError, ItemError, MediaError
from savs.media import Audio, Image, Video, image_area
from savs.media.audio import decode_audio
from savs.media.image import decode_image
from savs.media.video import Decoded, decode_video

if TYPE_CHECKING:
    import torch
    from PIL import Image as PILImage


# What is read together: prompts of similar length, and prompts that begin alike on the same images.

_CHARACTERS_PER_TOKEN, _PIXELS_PER_TOKEN = 4, 28 * 28
_MIN_COMMON_CHARACTERS = 120
_Tokens = tuple[str | None, str | None, str | None]  # of images, of audio clips, of videos
_LARGEST_FAMILY = 64  # prepared as a whole, so that memory stays bounded


@dataclass(frozen=True)
class Item:
    """One example to read: its position and its prompt."""

    index: int
    rendered: Rendered


Errors = dict[int, ItemError]
"""Why examples cannot be read, by the position of each."""


def render_all(processor: Any, examples: Sequence[Example]) -> tuple[list[Item], Errors]:
    """Return the prompts, and the errors of the examples without one."""
    items: list[Item] = []
    errors: Errors = {}
    if not examples:
        return items, errors
    renderer = PromptRenderer(processor)
    for index, example in enumerate(examples):
        try:
            items.append(Item(index, renderer.render(example)))
        except ItemError as error:
            errors[index] = error
    return items, errors


def by_length(items: Sequence[Item]) -> list[Item]:
    """Return them by number of images and by length, the longest first: what does not fit shows at once."""
    if len(items) < 2:  # without reading the size of an image
        return list(items)
    return sorted(items, key=lambda item: (*_kind(item.rendered), _length(item.rendered)), reverse=True)


def take(items: Sequence[Item], size: int) -> list[Item]:
    """Return the first items that can be one batch, at most `size`; at least one."""
    count = 1
    while count < min(size, len(items)) and _mixable(items[0], items[count]):
        count += 1
    return list(items[:count])


def _mixable(first: Item, second: Item) -> bool:
    # Some families take no images beside plain text; in mllama, the text before an image also attends to
    # the blank images that fill up a prompt with fewer.
    return _kind(first.rendered) == _kind(second.rendered)


def _kind(rendered: Rendered) -> tuple[Any, ...]:
    # The processor is told the limits of pixels once for all images of a batch.
    # Of LLaVA-OneVision's videos and their kin, all in a batch have as many frames.
    samplings = tuple(str(video.sampling) for video in rendered.videos)
    limits = tuple(sorted({medium.pixel_limits_key for medium in (*rendered.images, *rendered.videos)}))
    return bool(rendered.media), rendered.add_special_tokens, _counts(rendered), samplings, limits


def _counts(rendered: Rendered) -> tuple[int, int, int]:
    return len(rendered.images), len(rendered.audios), len(rendered.videos)


def _length(rendered: Rendered) -> float:
    """Return about how many tokens a prompt has; larger images have more of them in many families."""
    pixels = sum(image_area(image.source) for image in rendered.images)
    return len(rendered.text) / _CHARACTERS_PER_TOKEN + pixels / _PIXELS_PER_TOKEN


def families(processor: Any, items: Sequence[Item]) -> tuple[list[list[Item]], list[Item]]:
    """Find the prompts that have the same media and begin with the same text.

    Parameters
    ----------
    processor : transformers processor or tokenizer
    items : sequence of Item

    Returns
    -------
    families : list of list of Item
        Each of at least two; their common beginning holds all their images, videos and audio clips.
    rest : list of Item
        All others.
    """
    if len(items) < 2:
        return [], list(items)
    tokens = image_token(processor), audio_token(processor), video_token(processor)
    runs: list[list[Item]] = []
    for _, same in groupby(sorted(items, key=_sorting), key=lambda item: _media(item.rendered)):
        runs += _runs(list(same), tokens)
    kept = [family for family in runs if len(family) > 1]
    inside = {item.index for family in kept for item in family}
    return kept, [item for item in items if item.index not in inside]


def _sorting(item: Item) -> tuple[int, int, str]:
    # Equal media have equal hashes; which of two different ones comes first does not matter.
    return len(_media(item.rendered)), hash(_media(item.rendered)), item.rendered.text


def _runs(items: list[Item], tokens: _Tokens) -> list[list[Item]]:
    """Cut a sorted list where the common beginning would become too short."""
    runs: list[list[Item]] = []
    common = ""
    for item in items:
        shared = _beginning(common, item.rendered.text)
        if runs and len(runs[-1]) < _LARGEST_FAMILY and _worthwhile(shared, runs[-1][0], item, tokens):
            runs[-1].append(item)
            common = shared
        else:
            runs.append([item])
            common = item.rendered.text
    return runs


def _beginning(first: str, second: str) -> str:
    length = min(len(first), len(second))
    return first[: next((i for i in range(length) if first[i] != second[i]), length)]


def _worthwhile(shared: str, first: Item, item: Item, tokens: _Tokens) -> bool:
    if first.rendered.add_special_tokens != item.rendered.add_special_tokens:
        return False
    counts = _counts(item.rendered)
    if any(counts):
        return all(
            not count or (token is not None and shared.count(token) == count)
            for token, count in zip(tokens, counts, strict=True)
        )
    longest = max(len(first.rendered.text), len(item.rendered.text))
    return len(shared) >= max(_MIN_COMMON_CHARACTERS, longest // 2)


def _media(rendered: Rendered) -> tuple[Hashable, ...]:
    return tuple(_identity(medium) for medium in rendered.media)


def _identity(medium: Image | Audio) -> Hashable:
    """Return what two equal images or audio clips have in common, without reading a file or samples."""
    source = medium.source
    if isinstance(medium, Frame):
        place = str(source) if isinstance(source, Path) else source
        return "frame", place, medium.video.sampling, medium.number, medium.pixel_limits
    # The same array of samples at two rates is two audio clips.
    reading: Hashable = medium.sampling_rate if isinstance(medium, Audio) else None
    if isinstance(medium, Image):
        how = medium.sampling if isinstance(medium, Video) else medium.bit_depth
        reading = how, medium.pixel_limits
    kind = type(medium).__name__, reading
    if isinstance(source, Path):
        return kind, "path", str(source)
    if isinstance(source, bytes):
        return kind, "bytes", source
    return kind, "object", id(source)


# Images, audio clips and videos of prompts, decoded; what cannot be read is an error of its example alone.

# Qwen2-Audio counts an audio clip of fewer than two tokens (80 ms) in another way in a batch than alone.
_SHORTEST_SECONDS = 0.1


@dataclass(frozen=True)
class Loaded:
    """A prompt with its images, audio clips and videos decoded.

    Attributes
    ----------
    item : Item
    images : list of PIL.Image.Image
    audios : list of ndarray of float32, shape (n_samples,)
        At the processor's sampling rate.
    videos : list of savs.media.video.Decoded
        Those that are read as videos.
    """

    item: Item
    images: list[PILImage.Image]
    audios: list[NDArray[np.float32]] = field(default_factory=list)
    videos: list[Decoded] = field(default_factory=list)

    @property
    def sizes(self) -> list[tuple[int, int]]:
        """Width and height of its images and of its videos' frames, in pixels."""
        return [image.size for image in (*self.images, *(f for video in self.videos for f in video.images))]


def load(items: Sequence[Item], processor: Any) -> tuple[list[Loaded], Errors]:
    """Decode the media of some prompts as a processor takes them; return also the errors of the others."""
    loaded: list[Loaded] = []
    errors: Errors = {}
    for item in items:
        try:
            audios = [_samples(audio, processor) for audio in item.rendered.audios]
            videos = [_frames(video) for video in item.rendered.videos]
            loaded.append(Loaded(item, _decoded(item.rendered.images), audios, videos))
        except ItemError as error:
            errors[item.index] = error
    return loaded, errors


def _decoded(images: Sequence[Image]) -> list[PILImage.Image]:
    """Decode images, and each video once for all its frames."""
    videos: dict[int, list[PILImage.Image]] = {}
    decoded: list[PILImage.Image] = []
    for image in images:
        if not isinstance(image, Frame):
            decoded.append(decode_image(image.source, bit_depth=image.bit_depth))
            continue
        key = id(image.video)
        if key not in videos:
            videos[key] = _frames(image.video).images
        decoded.append(videos[key][image.number])
    return decoded


def _frames(video: Video) -> Decoded:
    return decode_video(video.source, video.n_frames, fps=video.fps)


def _samples(audio: Audio, processor: Any) -> NDArray[np.float32]:
    rate, longest = sampling_rate(processor), longest_audio(processor)
    samples = decode_audio(audio, rate)
    seconds = len(samples) / rate
    if seconds < _SHORTEST_SECONDS:
        raise MediaError(
            f"the audio clip has {seconds:.3f} seconds; at least {_SHORTEST_SECONDS:g} are needed",
            code="audio_too_short",
        )
    if longest is not None and seconds > longest:
        raise MediaError(
            f"the audio clip has {seconds:.1f} seconds, but the backbone takes at most {longest:g}; cut it",
            code="audio_too_long",
        )
    return samples


def video_options(videos: Sequence[Decoded]) -> dict[str, Any]:
    """Return the arguments that hand videos to a processor: frames that are chosen already, and when.

    Processors reckon a frame's time as its number over the rate; with milliseconds for numbers, videos of a
    variable rate come out right.
    """
    metadata = [
        {
            "fps": 1000.0,
            "total_num_frames": max(1, round(video.duration * 1000)),
            "frames_indices": [round(seconds * 1000) for seconds in video.seconds],
            "duration": video.duration,
            "width": video.images[0].width,
            "height": video.images[0].height,
        }
        for video in videos
    ]
    return {
        "videos": [video.pixels for video in videos],
        "video_metadata": metadata,
        "do_sample_frames": False,
    }


# Rendered prompts to model inputs: the processor's own call, padded on the right, with errors per item.

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
        Width and height of every example's images, in pixels.
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
    ) -> tuple[list[Batch], Errors]:
        """Encode some prompts.

        Parameters
        ----------
        items : sequence of Item
        padding_side : {"right", "left"}

        Returns
        -------
        batches : list of Batch
            One, or several if the prompts cannot be padded together.
        errors : dict of int to ItemError
            Of the examples that cannot be encoded, by position.
        """
        loaded, errors = load(items, self.processor)
        batches: list[Batch] = []
        alone = not self._can_pad and (reads_images(self.processor) or reads_audio(self.processor))
        for group in [[entry] for entry in loaded] if alone else [loaded] if loaded else []:
            more, failed = self._encode(group, padding_side)
            batches += more
            errors |= failed
        return batches, errors

    def _encode(self, loaded: list[Loaded], padding_side: PaddingSide) -> tuple[list[Batch], Errors]:
        """Encode together; if that fails, find the culprits one by one."""
        try:
            return [self.encode_together(loaded, padding_side)], {}
        except Exception as error:  # a processor can fail in any way
            if len(loaded) == 1:
                return [], {loaded[0].item.index: _refused(self.processor, error, loaded[0])}
        batches: list[Batch] = []
        errors: Errors = {}
        for entry in loaded:
            alone, failed = self._encode([entry], padding_side)
            batches += alone
            errors |= failed
        return batches, errors

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
        token = next((token for token in self.reserved for text in texts if token in text), None)
        if token is not None:
            raise ExampleError(
                f"its text holds {token}, which stands for the pixels of an image in this backbone; take it "
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
                "the text or use fewer or smaller images",
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
    options |= size_options(processor, loaded[0].item.rendered)
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
        hint = "; it has no image, and this model may need one"
    counts = [len(video.images) for video in loaded.videos]
    if len(set(counts)) > 1:
        hint = f"; its videos are read with {' and '.join(map(str, counts))} frames, and this model may need "
        hint += "as many of each (--video-frames without --video-fps)"
    if any(len(video.images) == 1 for video in loaded.videos):
        hint = "; one frame of its video is read, and this model may need two"
    if "nested images" in str(error).lower():
        hint = "; it takes no list of images per prompt, so savs cannot read images with this model"
    if has_surrogate(text):
        hint = "; its text holds half a character (a lone surrogate)"
    refused = ExampleError(
        f"{type(processor).__name__} cannot process it ({type(error).__name__}){hint}",
        code="processor_refused",
    )
    refused.__cause__ = error
    return refused
