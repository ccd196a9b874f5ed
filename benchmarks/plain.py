"""A model called as its documentation says, one example after another: the floor of every comparison."""

from __future__ import annotations

import inspect
import io
from collections.abc import Sequence
from typing import Any

import torch

from benchmarks.images import encoded
from benchmarks.shapes import Built
from savs.data import Example, Text

__all__ = ["bare_forward", "plain_inputs", "plain_pass", "stopped_before_decoder"]


def plain_inputs(built: Built, examples: Sequence[Example]) -> dict[str, Any]:
    """Return the processor's answer on the model's device; several examples are padded on the right."""
    from PIL import Image as PILImage

    texts = [_prompt(built.processor, example) for example in examples]
    images = [
        [PILImage.open(io.BytesIO(file)).convert("RGB") for file in encoded(example)] for example in examples
    ]
    padding = {"padding": True, "padding_side": "right"} if len(examples) > 1 else {}
    found = built.processor(text=texts, images=images, return_tensors="pt", **padding)
    dtype = built.model.dtype
    return {
        name: value.to(built.model.device, dtype if value.is_floating_point() else None)
        for name, value in found.items()
    }


def _prompt(processor: Any, example: Example) -> str:
    content = [
        {"type": "text", "text": part.text} if isinstance(part, Text) else {"type": "image"}
        for part in example.parts
    ]
    turns = [{"role": "user", "content": content}]
    return str(processor.apply_chat_template(turns, add_generation_prompt=True, tokenize=False))


@torch.no_grad()
def bare_forward(model: Any, inputs: dict[str, Any]) -> None:
    """Run the model once without a cache, the logits of the last token only where it can be told so."""
    options: dict[str, Any] = {"use_cache": False}
    if "logits_to_keep" in inspect.signature(model.forward).parameters:
        options["logits_to_keep"] = 1
    model(**inputs, **options)


def plain_pass(built: Built, examples: Sequence[Example]) -> None:
    """Read all examples, one by one: processor and bare forward."""
    for example in examples:
        bare_forward(built.model, plain_inputs(built, [example]))


class _StopError(Exception):
    pass


def _stop(*_args: Any) -> None:
    raise _StopError


def stopped_before_decoder(built: Built, decoder: Any, examples: Sequence[Example]) -> None:
    """As `plain_pass`, but each forward ends where the first decoder layer would begin."""
    handle = decoder.layers[0].register_forward_pre_hook(_stop)
    try:
        for example in examples:
            try:
                bare_forward(built.model, plain_inputs(built, [example]))
            except _StopError:
                continue
    finally:
        handle.remove()
