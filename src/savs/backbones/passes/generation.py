"""A frozen model's own answers, decoded greedily."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from savs.backbones.modalities import tokenizer_of
from savs.backbones.passes.frozen import completed, model_failures
from savs.errors import BackboneError

__all__ = ["generate_answers"]


def generate_answers(model: Any, processor: Any, inputs: Mapping[str, Any], max_new_tokens: int) -> list[str]:
    """Return the continuation of each prompt, without special tokens, stripped.

    Parameters
    ----------
    model, processor
        As loaded; not changed.
    inputs : mapping
        Padded on the left, so that every answer starts right after its prompt.
    max_new_tokens : int
        Longer answers are cut.

    Raises
    ------
    BackboneError
        If the model cannot generate or fails.
    """
    if not getattr(model, "can_generate", lambda: False)():
        raise BackboneError(f"{type(model).__name__} cannot generate text")
    with model_failures(model), completed(model):
        tokens = model.generate(**inputs, generation_config=_greedy(model, processor, max_new_tokens))
    answers = tokens[:, inputs["input_ids"].shape[1] :]
    texts = tokenizer_of(processor).batch_decode(answers, skip_special_tokens=True)
    return [text.strip() for text in texts]


def _greedy(model: Any, processor: Any, max_new_tokens: int) -> Any:
    import transformers

    make: Any = transformers.GenerationConfig  # untyped

    own = model.generation_config
    tokenizer = tokenizer_of(processor)
    end = own.eos_token_id if own.eos_token_id is not None else tokenizer.eos_token_id
    pads = (own.pad_token_id, tokenizer.pad_token_id, end[0] if isinstance(end, list) else end, 0)
    return make(
        do_sample=False,
        num_beams=1,
        max_new_tokens=max_new_tokens,
        bos_token_id=own.bos_token_id,
        eos_token_id=end,
        pad_token_id=next(pad for pad in pads if pad is not None),
    )
