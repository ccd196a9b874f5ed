"""Examples and where they come from: files and folders, few-shot splits, checks.

Every form that a user may hand in becomes an `Example`. This package knows no models; an `Image` part only
holds where the image comes from, and `savs.media` opens it.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from savs._lazy import attach

if TYPE_CHECKING:
    from savs._labels import DataWarning, as_label, check_labels
    from savs.data._chat import place_images
    from savs.data._error_ledger import ErrorLedger
    from savs.data._readers import Reader, register_reader
    from savs.data._results import ErrorLimit, Result, Results
    from savs.data._sources import adopt_label_type
    from savs.data.checks import (
        check_support,
        describe_errors,
        example_hash,
        find_duplicates,
        find_test_leakage,
        preflight,
        warn_of_test_leakage,
    )
    from savs.data.coercion import as_example, as_examples, example_results
    from savs.data.example import (
        AUDIO_MARKER,
        IMAGE_MARKER,
        VIDEO_MARKER,
        Example,
        Label,
        Message,
        Part,
        Role,
        Text,
    )
    from savs.data.options import DataSource, ReadKeywords, ReadOptions
    from savs.data.reading import count_rows, iter_examples, iter_results, read_examples
    from savs.data.splits import draw_positions, draw_shots, split_draws
    from savs.media.parts import Audio, Image, Sampling, Video

__all__ = [
    "AUDIO_MARKER",
    "Audio",
    "DataSource",
    "DataWarning",
    "ErrorLedger",
    "ErrorLimit",
    "Example",
    "IMAGE_MARKER",
    "Image",
    "Label",
    "Message",
    "Part",
    "ReadKeywords",
    "ReadOptions",
    "Reader",
    "Result",
    "Results",
    "Role",
    "Sampling",
    "Text",
    "VIDEO_MARKER",
    "Video",
    "adopt_label_type",
    "as_example",
    "as_examples",
    "as_label",
    "check_labels",
    "check_support",
    "count_rows",
    "describe_errors",
    "draw_positions",
    "draw_shots",
    "example_hash",
    "example_results",
    "find_duplicates",
    "find_test_leakage",
    "iter_examples",
    "iter_results",
    "place_images",
    "preflight",
    "read_examples",
    "register_reader",
    "split_draws",
    "warn_of_test_leakage",
]

__getattr__, __dir__ = attach(
    __name__,
    {
        "savs.data._chat": ["place_images"],
        "savs.data._error_ledger": ["ErrorLedger"],
        "savs._labels": ["DataWarning", "as_label", "check_labels"],
        "savs.data._readers": ["Reader", "register_reader"],
        "savs.data._results": ["ErrorLimit", "Result", "Results"],
        "savs.data._sources": ["adopt_label_type"],
        "savs.data.checks": [
            "check_support",
            "describe_errors",
            "example_hash",
            "find_duplicates",
            "find_test_leakage",
            "preflight",
            "warn_of_test_leakage",
        ],
        "savs.data.coercion": ["as_example", "as_examples", "example_results"],
        "savs.data.example": [
            "AUDIO_MARKER",
            "Example",
            "IMAGE_MARKER",
            "Label",
            "Message",
            "Part",
            "Role",
            "Text",
            "VIDEO_MARKER",
        ],
        "savs.data.options": ["DataSource", "ReadKeywords", "ReadOptions"],
        "savs.data.reading": ["count_rows", "iter_examples", "iter_results", "read_examples"],
        "savs.data.splits": ["draw_positions", "draw_shots", "split_draws"],
        "savs.media.parts": ["Audio", "Image", "Sampling", "Video"],
    },
)
