"""Examples to batches of model inputs: grouped by pictures and length, padded, with errors per item."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from savs.backbones.rendering import Rendered, image_token, reads_images, render, tokenizer_of
from savs.errors import ExampleError, ItemError
from savs.examples import Example
from savs.media import load_image

if TYPE_CHECKING:
    import torch
    from PIL import Image as PILImage

__all__ = ["Batch", "BatchEncoder", "ErrorLedger", "plan_batches"]

PaddingSide = Literal["left", "right"]


class ErrorLedger:
    """Collects item errors until there are too many.

    Parameters
    ----------
    max_errors : int
        How many are kept before the next one is raised; -1 means any number.
    """

    def __init__(self, max_errors: int) -> None:
        self.max_errors = max_errors
        self._errors: dict[int, ItemError] = {}

    def add(self, index: int, example: Example, error: ItemError) -> None:
        """Note the error of one example, or raise it if there are too many."""
        error.id = error.id if error.id is not None else (example.id or str(index))
        self._errors[index] = error
        if 0 <= self.max_errors < len(self._errors):
            raise error

    @property
    def errors(self) -> list[ItemError]:
        """In the order of the examples."""
        return [error for _, error in sorted(self._errors.items(), key=lambda item: item[0])]


@dataclass(frozen=True)
class Batch:
    """Model inputs of some examples.

    Attributes
    ----------
    indices : list of int
        Which examples they are.
    inputs : dict
        Everything the processor gave, as tensors; ``attention_mask`` is always there.
    """

    indices: list[int]
    inputs: dict[str, Any]

    @property
    def attention_mask(self) -> torch.Tensor:
        """1 at real tokens, shape (n_examples, n_tokens)."""
        mask: torch.Tensor = self.inputs["attention_mask"]
        return mask


def plan_batches(
    processor: Any, examples: Sequence[Example], batch_size: int, ledger: ErrorLedger
) -> list[list[tuple[int, Rendered]]]:
    """Render all examples and group them: with and without pictures apart, similar lengths together.

    The longest come first, so that a batch that does not fit in memory shows at once.
    """
    rendered: list[tuple[int, Rendered]] = []
    for index, example in enumerate(examples):
        try:
            rendered.append((index, render(processor, example)))
        except ItemError as error:
            ledger.add(index, example, error)
    rendered.sort(key=lambda item: _group(item[1]), reverse=True)
    batches: list[list[tuple[int, Rendered]]] = []
    for item in rendered:
        last = batches[-1] if batches else None
        if last and len(last) < batch_size and _mixable(last[0][1], item[1]):
            last.append(item)
        else:
            batches.append([item])
    return batches


def _group(item: Rendered) -> tuple[bool, bool, int, int]:
    return bool(item.images), item.add_special_tokens, len(item.images), len(item.text)


def _mixable(first: Rendered, second: Rendered) -> bool:
    return _group(first)[:2] == _group(second)[:2]


class BatchEncoder:
    """Turns rendered prompts into model inputs with the processor's own call, never changing the processor.

    Parameters
    ----------
    processor : transformers processor or tokenizer
        Called with the padding side per call; its own setting stays.
    max_tokens : int or None
        Longer prompts are refused: the model has no positions for them.
    """

    def __init__(self, processor: Any, max_tokens: int | None = None) -> None:
        self.processor = processor
        self.max_tokens = max_tokens
        self._can_pad = tokenizer_of(processor).pad_token_id is not None

    def encode(
        self,
        batch: Sequence[tuple[int, Rendered]],
        examples: Sequence[Example],
        ledger: ErrorLedger,
        padding_side: PaddingSide = "right",
    ) -> Iterator[Batch]:
        """Yield one batch of the items that can be encoded, or several if they cannot be padded together."""
        loaded: list[tuple[int, Rendered, list[PILImage.Image]]] = []
        for index, item in batch:
            try:
                loaded.append((index, item, [load_image(image.source) for image in item.images]))
            except ItemError as error:
                ledger.add(index, examples[index], error)
        if not loaded:
            return
        if not self._can_pad and reads_images(self.processor) and len(loaded) > 1:
            for entry in loaded:
                yield from self._encode_each([entry], examples, ledger, padding_side)
            return
        yield from self._encode_each(loaded, examples, ledger, padding_side)

    def _encode_each(
        self,
        loaded: list[tuple[int, Rendered, list[PILImage.Image]]],
        examples: Sequence[Example],
        ledger: ErrorLedger,
        padding_side: PaddingSide,
    ) -> Iterator[Batch]:
        """Encode together; if that fails, find the culprits one by one."""
        try:
            inputs = self._call([item for _, item, _ in loaded], [i for _, _, i in loaded], padding_side)
        except Exception as error:
            if len(loaded) > 1:
                for entry in loaded:
                    yield from self._encode_each([entry], examples, ledger, padding_side)
                return
            index = loaded[0][0]
            ledger.add(index, examples[index], _refused(self.processor, error))
            return
        yield Batch([index for index, _, _ in loaded], inputs)

    def _call(
        self, items: list[Rendered], images: list[list[PILImage.Image]], padding_side: PaddingSide
    ) -> dict[str, Any]:
        texts = [item.text for item in items]
        special = items[0].add_special_tokens
        if not self._can_pad and len(items) > 1:
            inputs = _pad_by_hand(tokenizer_of(self.processor), texts, special, padding_side)
        else:
            inputs = self._call_processor(texts, images, special, padding_side)
        if "attention_mask" not in inputs:
            if len(items) > 1:
                raise ValueError("the processor gives no attention mask")
            inputs["attention_mask"] = inputs["input_ids"].new_ones(inputs["input_ids"].shape)
        self._check_length(inputs)
        return inputs

    def _call_processor(
        self, texts: list[str], images: list[list[PILImage.Image]], special: bool, padding_side: PaddingSide
    ) -> dict[str, Any]:
        options: dict[str, Any] = {"return_tensors": "pt", "add_special_tokens": special}
        if len(texts) > 1:
            options |= {"padding": True, "padding_side": padding_side}
        if any(images):
            options["images"] = images
        inputs = dict(self.processor(text=texts, **options))
        inputs.pop("labels", None)  # some give training targets, which would make the model compute a loss
        return inputs

    def _check_length(self, inputs: dict[str, Any]) -> None:
        longest = int(inputs["attention_mask"].sum(1).max())
        if longest == 0:
            raise ExampleError("its prompt is empty", code="empty_example")
        if self.max_tokens is not None and longest > self.max_tokens:
            raise ExampleError(
                f"its prompt has {longest} tokens but the backbone reads at most {self.max_tokens}; shorten "
                "the text or use fewer or smaller pictures",
                code="prompt_too_long",
            )


def _pad_by_hand(
    tokenizer: Any, texts: list[str], special: bool, padding_side: PaddingSide
) -> dict[str, torch.Tensor]:
    """Tokenize without a pad token: any id will do where the mask is 0."""
    import torch

    ids = [tokenizer(text, add_special_tokens=special)["input_ids"] for text in texts]
    width = max(map(len, ids))
    input_ids = torch.zeros((len(ids), width), dtype=torch.long)
    mask = torch.zeros_like(input_ids)
    for row, tokens in enumerate(ids):
        where = slice(0, len(tokens)) if padding_side == "right" else slice(width - len(tokens), width)
        input_ids[row, where] = torch.tensor(tokens, dtype=torch.long)
        mask[row, where] = 1
    return {"input_ids": input_ids, "attention_mask": mask}


def _refused(processor: Any, error: Exception) -> ItemError:
    if isinstance(error, ItemError):
        return error
    token = image_token(processor)
    hint = (
        f"; its text may hold the model's own {token} token"
        if token and isinstance(error, ValueError)
        else ""
    )
    refused = ExampleError(
        f"{type(processor).__name__} cannot process it ({type(error).__name__}){hint}",
        code="processor_refused",
    )
    refused.__cause__ = error
    return refused
