"""Packing: one image prefix, then question-and-answer blocks that see only the prefix and themselves.

A packed row gives the same logits as each of its questions would get alone, rendered by the chat template:
the attention mask keeps blocks apart and positions start again after the prefix (tests/training checks it).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from tokenizers import Tokenizer

from training.architecture import ASSISTANT, END, IMAGE, IMAGE_TOKENS, PAD, SPECIAL, USER
from training.questions.mixture import Image, Sample

IGNORE = -100
_ID = {name: SPECIAL.index(name) for name in SPECIAL}


@dataclass(frozen=True)
class Packed:
    """Rows of tokens: all arrays (rows, length).

    `block` is 0 in the prefix, 1, 2, ... in the blocks and -1 in padding; `target` is the next token where an
    answer is to be predicted, -100 elsewhere; `images` are the images in the order of their tokens;
    `families` names the family of every block as (row, block, family).
    """

    ids: npt.NDArray[np.int64]
    block: npt.NDArray[np.int64]
    position: npt.NDArray[np.int64]
    target: npt.NDArray[np.int64]
    images: tuple[Image, ...]
    families: tuple[tuple[int, int, str], ...]


class Packer:
    """Turns samples into packed rows."""

    def __init__(self, tokenizer: Tokenizer, length: int) -> None:
        self.tokenizer, self.length = tokenizer, length

    def pack(self, samples: list[Sample]) -> Packed:
        """Pack samples, one a row, asking questions until the row is full."""
        shape = (len(samples), self.length)
        ids = np.full(shape, _ID[PAD], dtype=np.int64)
        block, position = np.full(shape, -1, dtype=np.int64), np.zeros(shape, dtype=np.int64)
        target = np.full(shape, IGNORE, dtype=np.int64)
        families: list[tuple[int, int, str]] = []
        for row, sample in enumerate(samples):
            prefix = self.prefix(sample)
            end = len(prefix)
            ids[row, :end], block[row, :end], position[row, :end] = prefix, 0, np.arange(end)
            number = refused = 0
            while refused < 3 and self.length - end > 8:
                question = sample.ask()
                asked, answer = self.encode(question.text), self.encode(question.answer)
                tokens = [*asked, _ID[ASSISTANT], *answer, _ID[END]]
                stop = end + len(tokens)
                if stop > self.length:
                    refused += 1
                    continue
                number += 1
                ids[row, end:stop], block[row, end:stop] = tokens, number
                position[row, end:stop] = len(prefix) + np.arange(len(tokens))
                target[row, end + len(asked) : stop - 1] = tokens[len(asked) + 1 :]
                families.append((row, number, question.family))
                end = stop
        images = tuple(image for sample in samples for image in sample.images)
        return Packed(ids, block, position, target, images, tuple(families))

    def prefix(self, sample: Sample) -> list[int]:
        """Tokens before the questions, as the chat template and the processor write them."""
        tokens = [_ID[USER]]
        for frame in sample.frames:
            tokens += self.encode(frame) + [_ID[IMAGE]] * IMAGE_TOKENS
        return tokens

    def encode(self, text: str) -> list[int]:
        """Tokens of a text."""
        return list(self.tokenizer.encode(text, add_special_tokens=False).ids) if text else []


def block_mask(block: torch.Tensor, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Return what may see what, (rows, 1, length, length), of blocks (rows, length): 0 or, hidden, -1e4."""
    here, there = block[:, :, None], block[:, None, :]
    length = block.shape[1]
    causal = torch.ones(length, length, dtype=torch.bool, device=block.device).tril()
    seen = ((here == there) | (there == 0)) & causal
    return torch.zeros(seen.shape, dtype=dtype, device=block.device).masked_fill(~seen, -1e4)[:, None]
