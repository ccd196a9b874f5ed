"""What is read together: prompts of similar length, and prompts that begin alike on the same pictures."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import Any

from savs.backbones.modalities import audio_token, image_token, video_token
from savs.backbones.rendering import Frame, Rendered, render
from savs.errors import ItemError
from savs.examples import Audio, Example, Image, Video
from savs.media import image_area

__all__ = ["Failure", "Item", "by_length", "families", "render_all", "take"]

_CHARACTERS_PER_TOKEN, _PIXELS_PER_TOKEN = 4, 28 * 28
_MIN_COMMON_CHARACTERS = 120
_Tokens = tuple[str | None, str | None, str | None]  # of pictures, of sounds, of videos
_LARGEST_FAMILY = 64  # prepared as a whole, so that memory stays bounded


@dataclass(frozen=True)
class Item:
    """One example to read: its position and its prompt."""

    index: int
    rendered: Rendered


@dataclass(frozen=True)
class Failure:
    """One example that cannot be read: its position and why."""

    index: int
    error: ItemError


def render_all(processor: Any, examples: Sequence[Example]) -> tuple[list[Item], list[Failure]]:
    """Return the prompts, and the examples that have none."""
    items: list[Item] = []
    failures: list[Failure] = []
    for index, example in enumerate(examples):
        try:
            items.append(Item(index, render(processor, example)))
        except ItemError as error:
            failures.append(Failure(index, error))
    return items, failures


def by_length(items: Iterable[Item]) -> list[Item]:
    """Return them by number of pictures and by length, the longest first: what does not fit shows at once."""
    return sorted(items, key=lambda item: (*_kind(item.rendered), _length(item.rendered)), reverse=True)


def take(items: Sequence[Item], size: int) -> list[Item]:
    """Return the first items that can be one batch, at most `size`; at least one."""
    count = 1
    while count < min(size, len(items)) and _mixable(items[0], items[count]):
        count += 1
    return list(items[:count])


def _mixable(first: Item, second: Item) -> bool:
    # Some families take no pictures beside plain text; in mllama, the text before a picture also attends to
    # the blank pictures that fill up a prompt with fewer.
    return _kind(first.rendered) == _kind(second.rendered)


def _kind(rendered: Rendered) -> tuple[bool, bool, tuple[int, int, int], tuple[str, ...]]:
    # Of LLaVA-OneVision's videos and their kin, all in a batch have as many frames.
    samplings = tuple(str(video.sampling) for video in rendered.videos)
    return bool(rendered.media), rendered.add_special_tokens, _counts(rendered), samplings


def _counts(rendered: Rendered) -> tuple[int, int, int]:
    return len(rendered.images), len(rendered.audios), len(rendered.videos)


def _length(rendered: Rendered) -> float:
    """Return about how many tokens a prompt has; larger pictures have more of them in many families."""
    pixels = sum(image_area(image.source) for image in rendered.images)
    return len(rendered.text) / _CHARACTERS_PER_TOKEN + pixels / _PIXELS_PER_TOKEN


def families(processor: Any, items: Sequence[Item]) -> tuple[list[list[Item]], list[Item]]:
    """Find the prompts that show and play the same and begin with the same text.

    Parameters
    ----------
    processor : transformers processor or tokenizer
    items : sequence of Item

    Returns
    -------
    families : list of list of Item
        Each of at least two; what their prompts have in common holds all their pictures and sounds.
    rest : list of Item
        All others.
    """
    tokens = image_token(processor), audio_token(processor), video_token(processor)
    found: list[list[Item]] = []
    for _, same in groupby(sorted(items, key=_sorting), key=lambda item: _media(item.rendered)):
        found += _runs(list(same), tokens)
    kept = [family for family in found if len(family) > 1]
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
    """Return what two equal pictures or sounds have in common, without reading a file or samples."""
    source = medium.source
    if isinstance(medium, Frame):
        place = str(source) if isinstance(source, Path) else source
        return "frame", place, medium.video.sampling, medium.number
    # The same array of samples at two rates is two sounds.
    reading = medium.sampling_rate if isinstance(medium, Audio) else None
    kind = type(medium).__name__, medium.sampling if isinstance(medium, Video) else reading
    if isinstance(source, Path):
        return kind, "path", str(source)
    if isinstance(source, bytes):
        return kind, "bytes", source
    return kind, "object", id(source)
