"""Questions that begin alike on the same images: the common beginning goes through the model once.

The keys and values of the common tokens are kept, repeated for every question, and the rest of each prompt
is read on top of them, padded on the right and without an attention mask: positions follow from the length of
what is kept. Whether a model does that rightly is checked on its own vectors (`Passes`).
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from savs.backbones._batching import Batch, BatchEncoder, Errors, Item, Loaded, load
from savs.backbones._rendering import media_tokens, reads_audio, reads_images, reads_videos, tokenizer_of

_MIN_SAVED = 0.25  # share of all tokens; below, the second pass costs more than it saves
_PREPARES = {
    "image_processor": reads_images,
    "feature_extractor": reads_audio,
    "video_processor": reads_videos,
}
_PER_TOKEN = ("input_ids", "attention_mask", "token_type_ids", "mm_token_type_ids", "cross_attention_mask")


@dataclass(frozen=True)
class SharedBatch:
    """Prompts with a common beginning.

    Attributes
    ----------
    items : list of Item
        Which examples they are.
    prefix : dict
        Model inputs of the common beginning, images and audio clips included, as a batch of one.
    suffixes : list of dict
        Per example, the inputs of its remaining tokens, each tensor of shape (1, n_suffix, ...).
    whole : Batch
        The last example in full: the check compares with it.
    """

    items: list[Item]
    prefix: dict[str, Any]
    suffixes: list[dict[str, torch.Tensor]]
    whole: Batch

    @property
    def n_prefix(self) -> int:
        """Tokens of the common beginning."""
        return int(self.prefix["input_ids"].shape[1])

    @property
    def signature(self) -> tuple[bool, tuple[str, ...]]:
        """What kind of prompts these are: the check is made once for each kind."""
        return bool(self.whole.sizes and self.whole.sizes[0]), tuple(sorted(self.prefix))


class PassedChecks:
    """The kinds of prompts whose shared beginning was found right, from one call of a backbone to the next.

    Parameters
    ----------
    state : callable
        Returns what shows that the model or its processor has changed: nothing that was found before holds
        then.
    """

    def __init__(self, state: Callable[[], Hashable]) -> None:
        self._state = state
        self._known: Hashable = None
        self._depths: dict[Hashable, int] = {}

    def cover(self, kind: Hashable, depth: int) -> bool:
        """Return whether vectors of this kind of prompts were right at this depth, or deeper."""
        state = self._state()
        if state != self._known:
            self._known, self._depths = state, {}
        return self._depths.get(kind, -1) >= depth

    def note(self, kind: Hashable, depth: int) -> None:
        """Remember that vectors of a kind of prompts were right at a depth; `cover` was asked before."""
        self._depths[kind] = max(depth, self._depths.get(kind, -1))


def encode_family(
    encoder: BatchEncoder, family: Sequence[Item]
) -> tuple[SharedBatch | None, list[Item], Errors]:
    """Encode prompts that have the same media and begin alike.

    Parameters
    ----------
    encoder : BatchEncoder
    family : sequence of Item

    Returns
    -------
    shared : SharedBatch or None
        None if too few tokens would be saved.
    left : list of Item
        Those to read in full instead: all, or none.
    errors : dict of int to ItemError
        Of the examples that cannot be encoded, by position.
    """
    loaded, errors = load_once(family, encoder.processor)
    try:
        batches = encode_each(encoder, loaded)
    except Exception:  # the plain way finds out what is wrong with it and says so
        return None, [item for item in family if item.index not in errors], errors
    shared = _share(batches, media_token_ids(encoder.processor))
    return shared, [] if shared else [entry.item for entry in loaded], errors


def encode_each(encoder: BatchEncoder, loaded: Sequence[Loaded]) -> list[Batch]:
    """Encode prompts that have the same media, each alone; the media are prepared once.

    Whatever the processor raises passes through.
    """
    processor = _remembering(encoder.processor)
    return [encoder.encode_together([entry], processor=processor) for entry in loaded]


def load_once(family: Sequence[Item], processor: Any) -> tuple[list[Loaded], Errors]:
    """Decode the common media of a family once for all of them."""
    first, errors = load(family[:1], processor)
    if errors:
        return load(family, processor)  # each has an error of its own
    return [replace(first[0], item=item) for item in family], {}


def _share(batches: list[Batch], media_ids: set[int]) -> SharedBatch | None:
    if len(batches) < 2:
        return None
    ids = [batch.inputs["input_ids"][0].tolist() for batch in batches]
    common = common_length(ids)
    total = sum(map(len, ids))
    if common * (len(ids) - 1) < _MIN_SAVED * total:
        return None
    if any(media_ids & set(tokens[common:]) for tokens in ids):
        return None
    return SharedBatch(
        [batch.items[0] for batch in batches],
        cut(batches[0].inputs, slice(None, common), keep_rest=True),
        [cut(batch.inputs, slice(common, None), keep_rest=False) for batch in batches],
        batches[-1],
    )


def common_length(ids: Sequence[Sequence[int]]) -> int:
    """Return the length of the common beginning; every prompt keeps at least one token of its own."""
    shortest = min(map(len, ids)) - 1
    return next((i for i in range(shortest) if len({tokens[i] for tokens in ids}) > 1), shortest)


def cut(inputs: dict[str, Any], where: slice, *, keep_rest: bool) -> dict[str, Any]:
    """Return the model inputs of some tokens of one prompt, and its media if the rest is kept."""
    tokens = {name: inputs[name][:, where] for name in _PER_TOKEN if name in inputs}
    return {**inputs, **tokens} if keep_rest else tokens


def media_token_ids(processor: Any) -> set[int]:
    """Return the ids of the tokens that stand for images, audio clips and videos."""
    return {tokenizer_of(processor).convert_tokens_to_ids(token) for token in media_tokens(processor)}


def _remembering(processor: Any) -> Any:
    """Return a processor that prepares the same media once; `processor` is not changed."""
    parts = [name for name, there in _PREPARES.items() if there(processor)]
    if not parts:
        return processor
    remembering = copy.copy(processor)
    for name in parts:
        setattr(remembering, name, _Remembered(getattr(processor, name)))
    return remembering


class _Remembered:
    """What prepares images, audio clips or videos, keeping its last answer."""

    def __init__(self, wrapped: Callable[..., Any]) -> None:
        self._wrapped = wrapped
        self._key: Any = None
        self._answer: Any = None

    def __call__(self, media: Any, *args: Any, **options: Any) -> Any:
        key = _identities(media), repr(args), repr(sorted(options.items()))
        if self._key != key:
            self._answer = self._wrapped(media, *args, **options)
            self._key = key
        return copy.copy(self._answer)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._wrapped, name)


def _identities(media: Any) -> Any:
    return [_identities(one) for one in media] if isinstance(media, (list, tuple)) else id(media)


def forward_prefix(shared: SharedBatch, config: Any, run: Callable[[dict[str, Any]], None]) -> Any:
    """Read the common beginning and return the keys and values of its tokens.

    Parameters
    ----------
    shared : SharedBatch
    config : transformers.PreTrainedConfig
        The decoder's: it says what each layer keeps.
    run : callable
        Runs the model on the inputs, as deep as it is wanted.
    """
    from transformers import DynamicCache

    cache = DynamicCache(config=config)
    run({**shared.prefix, "cache": cache, "use_cache": True})
    if cache.get_seq_length() != shared.n_prefix:
        raise ValueError(f"{cache.get_seq_length()} of {shared.n_prefix} tokens were kept")
    return cache


def suffix_inputs(
    cache: Any, suffixes: Sequence[dict[str, torch.Tensor]], *, last: bool
) -> tuple[dict[str, Any], torch.Tensor]:
    """Return model inputs of some suffixes on top of a kept prefix, and their attention mask.

    Parameters
    ----------
    cache : transformers.Cache
        Of a batch of one; used up if `last`.
    suffixes : sequence of dict
        As in `SharedBatch`.
    last : bool
        Nothing else will be read on top of this prefix.

    Returns
    -------
    inputs : dict
        Without an attention mask: padding comes after every real token, which never sees it.
    attention_mask : Tensor of int, shape (n_examples, n_tokens)
        1 at real tokens, for the recorder.
    """
    kept = cache if last else copy.deepcopy(cache)
    kept.reorder_cache(torch.zeros(len(suffixes), dtype=torch.long))
    width = max(suffix["input_ids"].shape[1] for suffix in suffixes)
    inputs: dict[str, Any] = {
        name: torch.cat([_widened(suffix[name], width) for suffix in suffixes])
        for name in ("input_ids", "attention_mask", "cross_attention_mask")
        if name in suffixes[0]
    }
    mask = inputs.pop("attention_mask")
    return {**inputs, "cache": kept, "use_cache": True}, mask


def _widened(tensor: torch.Tensor, width: int) -> torch.Tensor:
    """Pad on the right with zeros, shape (1, width, ...)."""
    missing = width - tensor.shape[1]
    return torch.cat([tensor, tensor.new_zeros((1, missing, *tensor.shape[2:]))], dim=1)
