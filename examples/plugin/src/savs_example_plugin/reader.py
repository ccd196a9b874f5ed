"""A reader for text files of ``label: question`` lines."""

from collections.abc import Iterator
from pathlib import Path


def read_pairs(path: Path) -> Iterator[dict[str, str]]:
    """Yield a row per line."""
    for line in path.read_text(encoding="utf-8").splitlines():
        label, _, question = line.partition(": ")
        yield {"label": label, "question": question}
