"""Images of the sizes that photographs have, as JPEG files in memory, and questions about them."""

from __future__ import annotations

import io

import numpy as np

from savs.data import Example, Message, Text
from savs.media import Image

__all__ = ["IMAGE_SIZES", "QUESTION", "QUESTIONS", "ask", "encoded", "jpeg", "questions", "support_set"]

# Width and height as in COCO, ImageNet and Pets.
IMAGE_SIZES = ((640, 480), (500, 375), (480, 640), (640, 427))
QUESTION = "What is shown in this picture? Answer with the class name."
QUESTIONS = (
    "Is there a person in this picture? Answer with Yes or No.",
    "Is there an animal in this image, or more than one? Answer with Yes or No.",
    "Which colour is the largest object? Answer with one word.",
    "How many vehicles are there? Answer with a number.",
    "Was it taken at day or at night? Answer with one word.",
    "What is shown in this picture? Answer with the class name.",
    "Does this image show a building with people in front of it? Answer with Yes or No.",
    "Where was it taken, indoors or outdoors? Answer with one word.",
)


def jpeg(seed: int) -> bytes:
    """Return an image of smooth colours and some noise; its size goes by the seed."""
    from PIL import Image as PILImage

    rng = np.random.default_rng(seed)
    width, height = IMAGE_SIZES[seed % len(IMAGE_SIZES)]
    coarse = PILImage.fromarray(rng.integers(0, 255, (6, 8, 3), dtype=np.uint8))
    smooth = np.asarray(coarse.resize((width, height), PILImage.Resampling.BICUBIC), dtype=np.int16)
    noisy = np.clip(smooth + rng.integers(-12, 13, smooth.shape), 0, 255).astype(np.uint8)
    buffer = io.BytesIO()
    PILImage.fromarray(noisy).save(buffer, "jpeg", quality=90)
    return buffer.getvalue()


def encoded(example: Example) -> list[bytes]:
    """Return the files of an example's images."""
    return [image.source for image in example.images if isinstance(image.source, bytes)]


def ask(image: bytes, text: str, label: str | None = None, id: str | None = None) -> Example:
    """Return one question about one image, the image first."""
    return Example((Message("user", (Image(image), Text(text))),), label=label, id=id)


def support_set(n_classes: int, shots: int) -> list[Example]:
    """Return one question on `shots` images of each of `n_classes` classes."""
    return [
        ask(jpeg(label * shots + shot), QUESTION, f"class {label}", f"shot-{label}-{shot}")
        for label in range(n_classes)
        for shot in range(shots)
    ]


def questions(n_images: int) -> list[Example]:
    """Return eight questions about each of some images, image by image."""
    images = [jpeg(10_000 + number) for number in range(n_images)]
    return [
        ask(image, text, id=f"{number}-{which}")
        for number, image in enumerate(images)
        for which, text in enumerate(QUESTIONS)
    ]
