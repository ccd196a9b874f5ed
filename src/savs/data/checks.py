"""Checks of examples: duplicates, contradictions, leaks, too few shots, missing files."""

from __future__ import annotations

import hashlib
import warnings
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path

from savs._labels import DataWarning, check_labels
from savs._optional import import_optional
from savs.data.example import Example, Label, Part, Text
from savs.errors import DataError, ItemError, MediaError
from savs.media import DEFAULT_LIMITS, Audio, Image, MediaLimits, Video
from savs.media._coercion import HEIC_SUFFIXES
from savs.media._hashes import image_hash, part_hash
from savs.media._paths import check_media_file
from savs.media.audio import check_audio_file
from savs.media.video import VideoLimits

__all__ = [
    "duplicate_groups",
    "example_hash",
    "find_duplicates",
    "find_copies",
    "find_test_leakage",
    "warn_of_test_leakage",
    "check_support",
    "class_counts",
    "describe_errors",
    "preflight",
]


# What examples hold, by hash: duplicates within a set, leaks between two.


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


def find_test_leakage(shot_hashes: Iterable[str], examples: Sequence[Example]) -> list[int]:
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
    """Return the positions of examples with the same content as a shot.

    Contents are compared by hash. Files are read only for examples whose texts and file sizes match a shot's.

    Parameters
    ----------
    shots : sequence of Example
        The few-shot set.
    examples : sequence of Example
        The examples to search. Those that cannot be read do not count as copies.

    Returns
    -------
    list of int
        Positions in `examples`, ascending.
    """
    outlines = {_outline(shot) for shot in shots}
    likely = [position for position, example in enumerate(examples) if _outline(example) in outlines]
    if not likely:
        return []
    hashes = {_hash_or_none(shot) for shot in shots} - {None}
    return [position for position in likely if _hash_or_none(examples[position]) in hashes]


def warn_of_test_leakage(leaks: Sequence[int], examples: Sequence[Example]) -> None:
    """Warn if test examples are also shots.

    Parameters
    ----------
    leaks : sequence of int
        Positions in `examples`, as `find_test_leakage` returns them. If empty, there is no warning.
    examples : sequence of Example
        The test set.

    Warns
    -----
    DataWarning
        With the number of leaks and the id of the first one.
    """
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
            yield "video", f"{part.sampling} {part_hash(part)}{part.pixel_limits_key}".encode()
        elif isinstance(part, Audio):
            yield "audio", part_hash(part).encode()
        else:
            yield "image", image_hash(part).encode()
    if text:
        yield "text", text.encode(errors="surrogatepass")


def _add(digest: hashlib._Hash, kind: str, content: bytes) -> None:
    # The length keeps apart what would run together.
    digest.update(f"{kind} {len(content)} ".encode())
    digest.update(content)


# Whether a set of shots can make a classifier.

_MOST_LISTED = 20
_LONGEST_NAME = 60  # characters of a text that may be a label


def check_support(examples: Sequence[Example]) -> None:
    """Check the shots for a fit: labels, files and contents.

    Give them as the model reads them, after the prompt template: columns in the prompt tell examples apart.

    Raises
    ------
    DataError
        If there are no examples, one has no label, types of labels are mixed, there is one class only, or the
        same content has two labels (all such pairs are listed, up to 20).
    ItemError
        If media files cannot be read: the first one's error, with the number of the others.

    Warns
    -----
    DataWarning
        If examples with the same label have the same content, or labels are Unicode twins.
    """
    counts = class_counts(examples)
    if len(counts) < 2:
        raise DataError(f"a classifier needs at least two classes; {_spelled(counts)}")
    _check_files(examples)
    groups = duplicate_groups([example_hash(example) for example in examples])
    _check_contradictions(examples, groups)
    if groups:
        extra = sum(len(group) - 1 for group in groups)
        first = ", ".join(str(examples[position].id) for position in groups[0])
        message = f"{extra} of {len(examples)} shots repeat another one ({first}); they count twice"
        warnings.warn(message, DataWarning, stacklevel=2)


def class_counts(examples: Sequence[Example]) -> Counter[Label]:
    """Return the size of each class, in order of appearance; `DataError` if a label is missing or mixed."""
    if not examples:
        raise DataError("at least two classes with one example each are required, got 0 examples")
    labels = true_labels(examples)
    check_labels(labels)
    return Counter(labels)


def true_labels(examples: Sequence[Example]) -> list[Label]:
    """Return the label of each example.

    Raises
    ------
    DataError
        If there are no examples, or one has no label. Where the texts beside images look like labels, the
        message asks: a pair is an image and a question.
    """
    if not examples:
        raise DataError("at least one labeled example is required, got 0")
    missing = [example for example in examples if example.label is None]
    if missing:
        raise DataError(
            f"{len(missing)} of {len(examples)} examples have no label, the first is {missing[0].id}"
            f"{_advice(missing, n_examples=len(examples))}"
        )
    return [example.label for example in examples if example.label is not None]


def _advice(examples: Sequence[Example], n_examples: int) -> str:
    """Return what to do about examples without labels, where that can be told."""
    if not all(example.fields for example in examples):
        return _questions_or_labels(examples)
    if len(examples) < n_examples:
        return ""
    names = list(dict.fromkeys(repr(name) for example in examples for name in example.fields))
    listed = ", ".join(names[:_MOST_LISTED])
    return f"; call the column of the labels 'label', or give them as labels=[...]; columns: {listed}"


def _questions_or_labels(examples: Sequence[Example]) -> str:
    """Return what to do if the examples are pairs whose second entry was meant as a label, else nothing."""
    texts = [
        parts[-1].text
        for example in examples
        if len(parts := example.parts) > 1
        and isinstance(parts[-1], Text)
        and not any(isinstance(part, Text) for part in parts[:-1])
    ]
    if not texts or len(texts) < len(examples) or max(map(len, texts)) > _LONGEST_NAME:
        return ""
    names = " and ".join(repr(text) for text in list(dict.fromkeys(texts))[:2])
    return (
        f"; a pair is (image, question): if {names} are labels and no questions, hand in the images alone, "
        "and the labels as labels=[...]"
    )


def _spelled(counts: Counter[Label]) -> str:
    return ", ".join(f"{label!r} has {count}" for label, count in counts.items())


def _check_files(examples: Sequence[Example]) -> None:
    errors = preflight(examples)
    if len(errors) > 1:
        others = ", ".join(str(error.id) for error in errors[1:_MOST_LISTED])
        errors[0].message += f"; {len(errors) - 1} other examples have such a file too: {others}"
    if errors:
        raise errors[0]


def _check_contradictions(examples: Sequence[Example], groups: Sequence[tuple[int, ...]]) -> None:
    pairs = [
        f"{examples[group[0]].id} ({examples[group[0]].label!r}) and {examples[other].id} "
        f"({examples[other].label!r})"
        for group in groups
        for other in group[1:]
        if examples[other].label != examples[group[0]].label
    ]
    if pairs:
        more = f" and {len(pairs) - _MOST_LISTED} more pairs" if len(pairs) > _MOST_LISTED else ""
        raise DataError(f"the same content has different labels: {'; '.join(pairs[:_MOST_LISTED])}{more}")


# Missing and unreadable media files, found before a model is loaded.


def preflight(examples: Sequence[Example], limits: MediaLimits = DEFAULT_LIMITS) -> list[ItemError]:
    """Return an error for each example that names a file which cannot be a medium; nothing is opened.

    Found are missing files, dangling links, folders, pipes, devices, unreadable, empty and too large files.

    Parameters
    ----------
    examples : sequence of Example
        What to check.
    limits : MediaLimits
        Of images.

    Raises
    ------
    MissingDependencyError
        If an example has a video, an encoded audio clip or HEIC, and the package that decodes it is not
        installed.
    """
    errors: list[ItemError] = []
    for example in examples:
        try:
            for part in example.parts:
                if not isinstance(part, Text):
                    _check_decoder(part)
                    if isinstance(part.source, Path):
                        _check_file(part, part.source, limits)
        except MediaError as error:
            error.id = example.id
            errors.append(error)
    return errors


def _check_decoder(part: Image | Audio) -> None:
    if isinstance(part, Video):
        import_optional("av")
    elif isinstance(part, Image) and isinstance(part.source, Path):
        if part.source.suffix.lower() in HEIC_SUFFIXES:
            import_optional("pillow_heif")
    elif isinstance(part, Audio) and isinstance(part.source, Path | bytes):
        import_optional("soundfile")


def _check_file(part: Image | Audio, path: Path, limits: MediaLimits) -> None:
    if isinstance(part, Audio):
        check_audio_file(path)
    elif isinstance(part, Video):
        check_media_file(path, VideoLimits(), "video")
    else:
        check_media_file(path, limits)


def describe_errors(errors: Sequence[ItemError], n_shown: int = 20) -> str:
    """Return errors as text, one per line.

    Parameters
    ----------
    errors : sequence of ItemError
        May be empty.
    n_shown : int, default=20
        How many errors are written out. If there are more, a last line gives their number.

    Returns
    -------
    str
        Lines joined by newlines, without one at the end.
    """
    lines = [str(error) for error in errors[:n_shown]]
    if len(errors) > n_shown:
        lines.append(f"... and {len(errors) - n_shown} more")
    return "\n".join(lines)
