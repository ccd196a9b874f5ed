"""What a run keeps of the test items for its report: texts, and small pictures of surprising mistakes."""

from __future__ import annotations

import io
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from savs.benchmarks.run_folder import RunFolder, file_name
from savs.data import Example
from savs.errors import SAVsError

__all__ = ["item_lines", "surest_mistakes", "write_thumbnails"]

N_THUMBNAILS = 24
"""Of each method."""
SIDE = 128
LONGEST_TEXT = 300


def surest_mistakes(answers: Iterable[Mapping[str, Any]], most: int = N_THUMBNAILS) -> list[str]:
    """Return ids of the wrongly answered items with the largest probabilities, each once.

    Parameters
    ----------
    answers : iterable of mapping
        Lines of files of answers.
    most : int, default=24
        Largest number.
    """
    wrong = [
        (line["probability"], line["id"])
        for line in answers
        if line["probability"] is not None and line["answer"] != line["label"]
    ]
    wrong.sort(key=lambda pair: (-pair[0], str(pair[1])))
    return list(dict.fromkeys(id for _, id in wrong))[:most]


def write_thumbnails(
    folder: RunFolder, task: str, examples: Mapping[str, Example], ids: Sequence[str]
) -> dict[str, str]:
    """Write small JPEG files of the first image of items, and return their names by id.

    Parameters
    ----------
    folder : RunFolder
        Where to.
    task : str
        Name of the task.
    examples : mapping of str to Example
        By id.
    ids : sequence of str
        Which ones; those without an image, or with one that cannot be read, are left out.
    """
    names: dict[str, str] = {}
    for number, id in enumerate(ids):
        content = _thumbnail(examples[id]) if id in examples else None
        if content is not None:
            names[id] = f"thumbs/{file_name(task)}-{number:03d}.jpg"
            folder.write(names[id], content)
    return names


def _thumbnail(example: Example) -> bytes | None:
    from savs.media import Video, load_image

    image = next((one for one in example.images if not isinstance(one, Video)), None)
    if image is None:
        return None
    try:
        picture = load_image(image.source).convert("RGB")
    except SAVsError:
        return None
    picture.thumbnail((SIDE, SIDE))
    buffer = io.BytesIO()
    picture.save(buffer, "JPEG", quality=80)
    return buffer.getvalue()


def item_lines(examples: Sequence[Example], thumbnails: Mapping[str, str]) -> list[dict[str, Any]]:
    """Return the test items as lines of a file.

    Parameters
    ----------
    examples : sequence of Example
        The items, with their prompt.
    thumbnails : mapping of str to str
        Names of files by id.
    """
    return [
        {
            "id": example.id,
            "label": example.label,
            "text": example.text[:LONGEST_TEXT],
            "thumbnail": thumbnails.get(str(example.id)),
        }
        for example in examples
    ]
