"""What examples hold, by hash: duplicates within a set, leaks between two."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from savs.errors import ItemError
from savs.examples import Audio, DataWarning, Example, Part, Text, Video
from savs.media import content_hash
from savs.media.audio import audio_hash
from savs.media.video import video_hash

__all__ = [
    "duplicate_groups",
    "example_hash",
    "find_duplicates",
    "find_copies",
    "find_leaks",
    "warn_of_leaks",
]


def example_hash(example: Example) -> str:
    """Return the sha256 of an example's roles, texts and encoded media bytes, as 64 hexadecimal digits.

    Label, id and columns are not in it: give it the example as the model reads it, after the prompt template,
    if columns get into the prompt. Where text is cut into parts makes no difference.

    Raises
    ------
    ItemError
        If a medium's bytes cannot be read, with the example's id.
    """
    digest = hashlib.sha256()
    try:
        for message in example.messages:
            _add(digest, "role", message.role.encode())
            for kind, content in _merged(message.parts):
                _add(digest, kind, content)
    except ItemError as error:
        error.id = error.id if error.id is not None else example.id
        raise
    return digest.hexdigest()


def find_duplicates(examples: Sequence[Example]) -> list[tuple[int, ...]]:
    """Return the groups of positions that hold the same content, each ascending."""
    return duplicate_groups([example_hash(example) for example in examples])


def duplicate_groups(hashes: Sequence[str]) -> list[tuple[int, ...]]:
    """Return the groups of positions with equal hashes, each ascending, of two and more."""
    positions: dict[str, list[int]] = {}
    for position, value in enumerate(hashes):
        positions.setdefault(value, []).append(position)
    return [tuple(group) for group in positions.values() if len(group) > 1]


def find_leaks(shot_hashes: Iterable[str], examples: Sequence[Example]) -> list[int]:
    """Return the positions of examples whose content is that of a shot.

    Parameters
    ----------
    shot_hashes : iterable of str
        `example_hash` of each shot.
    examples : sequence of Example
        The test set. Those that cannot be read are passed over: reading them for a prediction reports them.
    """
    shots = set(shot_hashes)
    return [position for position, example in enumerate(examples) if _hash_or_none(example) in shots]


def find_copies(shots: Sequence[Example], examples: Sequence[Example]) -> list[int]:
    """Return the positions of examples with the same content as a shot; of the others few files are read.

    Examples that cannot be read are no copies.
    """
    outlines = {_outline(shot) for shot in shots}
    likely = [position for position, example in enumerate(examples) if _outline(example) in outlines]
    if not likely:
        return []
    hashes = {_hash_or_none(shot) for shot in shots} - {None}
    return [position for position in likely if _hash_or_none(examples[position]) in hashes]


def warn_of_leaks(leaks: Sequence[int], examples: Sequence[Example]) -> None:
    """Warn (`DataWarning`) with the count if there are leaks."""
    if leaks:
        first = examples[leaks[0]].id
        warnings.warn(
            f"{len(leaks)} of {len(examples)} test examples are shots too, the first is {first}: the "
            f"accuracy is too high; take them out",
            DataWarning,
            stacklevel=2,
        )


def _outline(example: Example) -> tuple[object, ...]:
    """Return what equal contents have in common without a file being opened: roles, texts, sizes of media."""
    return tuple(
        (message.role, kind, size) for message in example.messages for kind, size in _sizes(message.parts)
    )


def _sizes(parts: Sequence[Part]) -> Iterator[tuple[str, object]]:
    yield "text", "".join(part.text for part in parts if isinstance(part, Text))
    for part in parts:
        if not isinstance(part, Text):
            yield type(part).__name__, _size(part.source)


def _size(source: object) -> int:
    if isinstance(source, bytes):
        return len(source)
    try:
        return source.stat().st_size if isinstance(source, Path) else 0
    except OSError:
        return -1


def _hash_or_none(example: Example) -> str | None:
    try:
        return example_hash(example)
    except ItemError:
        return None


def _merged(parts: Sequence[Part]) -> Iterable[tuple[str, bytes]]:
    text = ""
    for part in parts:
        if isinstance(part, Text):
            text += part.text
            continue
        if text:
            yield "text", text.encode(errors="surrogatepass")
        text = ""
        if isinstance(part, Video):
            yield "video", f"{part.sampling} {video_hash(part.source)}".encode()
            continue
        if isinstance(part, Audio):
            yield "audio", audio_hash(part).encode()
            continue
        yield "image", content_hash(part.source).encode()
    if text:
        yield "text", text.encode(errors="surrogatepass")


def _add(digest: hashlib._Hash, kind: str, content: bytes) -> None:
    # The length keeps apart what would run together.
    digest.update(f"{kind} {len(content)} ".encode())
    digest.update(content)
