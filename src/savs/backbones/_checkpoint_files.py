"""Digests of a model folder's own files: what was published, however a release of transformers reads it.

transformers fills a configuration with its defaults and gives fields new names from release to release; the
files stay as they are.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from savs.backbones._fingerprint import canonical_digest

_SETTINGS = (
    "processor_config.json",
    "preprocessor_config.json",
    "image_processor_config.json",
    "video_preprocessor_config.json",
    "audio_preprocessor_config.json",
    "tokenizer_config.json",
    "special_tokens_map.json",
    "added_tokens.json",
    "chat_template.json",
)
_OTHERS = (
    "chat_template.jinja",
    "additional_chat_templates/*.jinja",
    "tokenizer.json",
    "tekken.json",
    "vocab.json",
    "vocab.txt",
    "merges.txt",
    "*.model",
    "*.tiktoken",
)


def config_file_digest(folder: Path) -> str | None:
    """Return the sha256 of a folder's config.json, without dtype, attention kernel and versions.

    Spaces and the order of its entries do not count. None if it cannot be read.
    """
    content = _json(folder / "config.json")
    return None if content is None else canonical_digest(content)


def processor_files_digest(folder: Path) -> str | None:
    """Return the sha256 of a folder's files of tokenizer, chat template and processor; None without any."""
    found = dict(_processor_files(folder))
    return canonical_digest(found) if found else None


def _processor_files(folder: Path) -> Iterator[tuple[str, str]]:
    for name in _SETTINGS:
        content = _json(folder / name)
        if content is not None:
            yield name, canonical_digest(content)
    for pattern in _OTHERS:
        for path in sorted(folder.glob(pattern)):
            with path.open("rb") as file:
                yield path.relative_to(folder).as_posix(), hashlib.file_digest(file, "sha256").hexdigest()


def _json(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
