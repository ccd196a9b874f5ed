"""What an example is: ordered content parts with an optional label and id.

Every form a user may hand in becomes an `Example` here. This package knows no models and opens no files: an
`Image` part only holds where the picture is to come from; `savs.media` opens it.
"""

from __future__ import annotations

from savs.examples.coercion import as_example, as_examples
from savs.examples.content import (
    AUDIO_MARKER,
    IMAGE_MARKER,
    VIDEO_MARKER,
    Audio,
    Example,
    Image,
    Label,
    Message,
    Part,
    Role,
    Sampling,
    Text,
    Video,
)
from savs.examples.labels import DataWarning, as_label, check_labels
from savs.examples.ledger import ErrorLedger
from savs.examples.markers import place_images

__all__ = [
    "AUDIO_MARKER",
    "IMAGE_MARKER",
    "VIDEO_MARKER",
    "Audio",
    "DataWarning",
    "ErrorLedger",
    "Example",
    "Image",
    "Label",
    "Message",
    "Part",
    "Role",
    "Sampling",
    "Text",
    "Video",
    "as_example",
    "as_examples",
    "as_label",
    "check_labels",
    "place_images",
]
