"""Keys of stored features: the same key only for what a backbone reads as the same.

A key is the sha256 of, in this order and each with its length: the version of this scheme, the backbone's
identity (`store_identity` without what only names things: files, commit, weights, dtype ...), the background
behind
transparent pixels, the rendered prompt, whether special tokens are added, and the content hash of every
image: encoded bytes of a file, pixels with mode and size of a PIL image, values with type and shape of an
array, each with the bit depth that was named for it and, where savs once converted such files differently,
the version of the rules; of a video, each frame's number, which are taken, and the encoded bytes; last, of
every audio clip, its encoded bytes or its samples with their rate, and of every video read as such, which
frames are taken and the encoded bytes. Limits of an image's or video's pixels follow its hash. Neither ids
nor labels nor Python's `hash` are in it.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from savs.backbones import Backbone
from savs.backbones._identity import without_names
from savs.backbones._rendering import Frame, PromptRenderer, Rendered
from savs.data import Example, Text
from savs.errors import ItemError
from savs.media import DEFAULT_LIMITS, Audio, Image, MediaLimits, Video
from savs.media._hashes import hashed_once, image_hash, part_hash
from savs.media.audio import audio_conversion
from savs.media.image import conversion

_VERSION = b"savs features 1"  # another number when savs renders prompts or converts images differently

_NOT_RECORDED = frozenset({"revision", "attn_implementation", "device", "layers", "gated"})


def store_identity(fingerprint: Mapping[str, Any]) -> dict[str, Any]:
    """Return what a store records of a backbone, for `FeatureStore.open`.

    A store takes a backbone with the same weights, files, commit, dtype, quantization and adapters; what
    another release of transformers only names in another way is the same (`savs.backbones._identity`). A
    model from the hub, with a commit, and a copy of it in a folder, without, have different stores.
    """
    return {name: value for name, value in fingerprint.items() if name not in _NOT_RECORDED}


@hashed_once()  # all frames of a video have one hash
def feature_key(
    rendered: Rendered, identity: Mapping[str, Any], limits: MediaLimits = DEFAULT_LIMITS
) -> bytes:
    """Return the key of a prompt's features, 32 bytes.

    Parameters
    ----------
    rendered : Rendered
        The prompt as the processor takes it.
    identity : mapping
        `store_identity` of the backbone, or what the store has recorded.
    limits : MediaLimits
        Those that the images are read with; the background is part of the key.

    Raises
    ------
    MediaError
        If an image or audio clip cannot be read.
    """
    spelled = json.dumps(without_names(identity), sort_keys=True, separators=(",", ":"))
    digest = hashlib.sha256()
    for field in (
        _VERSION,
        spelled.encode(),
        bytes(limits.background),
        rendered.text.encode(errors="surrogatepass"),
        b"special tokens" if rendered.add_special_tokens else b"none",
        *_contents(rendered.images, limits),
        *(_audio_clip(audio).encode() for audio in rendered.audios),
        *(_video_content(video) for video in rendered.videos),
    ):
        digest.update(f"{len(field)} ".encode() + field)
    return digest.digest()


def _audio_clip(audio: Audio) -> str:
    version = audio_conversion(audio)
    return f"audio clip {part_hash(audio)}" + ("" if version == 1 else f" converted by rules {version}")


_VIDEOS = "video 2"  # another number when savs converts the frames of videos differently


def _contents(images: Sequence[Image], limits: MediaLimits) -> Iterator[bytes]:
    for image in images:
        video = image.video if isinstance(image, Frame) else image
        if isinstance(video, Video):
            number = image.number if isinstance(image, Frame) else "all"
            hashed = f"{part_hash(video)}{image.pixel_limits_key}"
            yield f"{_VIDEOS} frame {number} of {video.sampling} of {hashed}".encode()
        else:
            version = conversion(image.source)
            converted = "" if version == 1 else f" converted by rules {version}"
            yield f"{image_hash(image, limits)}{converted}".encode()


def _video_content(video: Video) -> bytes:
    return f"{_VIDEOS} {video.sampling} of {part_hash(video)}{video.pixel_limits_key}".encode()


def feature_keys(
    backbone: Backbone, examples: Sequence[Example], identity: Mapping[str, Any] | None = None
) -> list[bytes | None]:
    """Return each example's key; None for one that cannot be rendered or read: `extract` says why.

    Parameters
    ----------
    backbone : Backbone
    examples : sequence of Example
    identity : mapping, optional
        What the store has recorded (``store.description.fingerprint``), for one that was begun with an older
        savs or another release of transformers; by default `store_identity` of the backbone.
    """
    identity = without_names(store_identity(backbone.fingerprint) if identity is None else identity)
    processor = getattr(backbone, "processor", None)
    render = _as_it_is if processor is None else PromptRenderer(processor).render
    return [_key_or_none(render, example, identity) for example in examples]


def _key_or_none(
    render: Callable[[Example], Rendered], example: Example, identity: Mapping[str, Any]
) -> bytes | None:
    try:
        return feature_key(render(example), identity)
    except ItemError:
        return None


def _as_it_is(example: Example) -> Rendered:
    """Return the messages of an example for a stand-in without a processor."""
    turns = [
        [message.role, *(part.text if isinstance(part, Text) else None for part in message.parts)]
        for message in example.messages
    ]
    images = tuple(part for part in example.parts if isinstance(part, Image))
    return Rendered(json.dumps(turns), images, add_special_tokens=False, audios=example.audios)
