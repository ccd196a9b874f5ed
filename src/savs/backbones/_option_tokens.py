"""Which tokens an option has behind a prompt, where the model's own answer would begin.

The tokens are those of the whole text, prompt and option together. A tokenizer may merge the end of a prompt
with the beginning of an option. Then the tokens of every option count from the last place that all of them
and the prompt have in common, so that what is compared has one context.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Any

import torch

from savs.backbones._batching import Batch, BatchEncoder, Errors, Item
from savs.backbones._prefixes import (
    SharedBatch,
    common_length,
    cut,
    encode_each,
    load_once,
    media_token_ids,
)
from savs.backbones._rendering import PromptRenderer, chat_template
from savs.backbones._thinking import thought_end
from savs.data import Example, Message, Text
from savs.errors import ExampleError

_PROBE = "Zq"  # an answer that no template writes by itself
_CROSS = "cross_attention_mask"


@dataclass(frozen=True)
class OptionTokens:
    """The tokens of some options behind one prompt.

    Attributes
    ----------
    n_dropped : int
        Tokens at the prompt's end that are other ones in front of an option; 0 as a rule.
    last : int
        The last token before the options.
    options : tuple of tuple of int
        The tokens of each option, at least one.
    """

    n_dropped: int
    last: int
    options: tuple[tuple[int, ...], ...]

    @property
    def are_single(self) -> bool:
        """Whether one look at the prompt's end tells the probability of every option."""
        return all(len(tokens) == 1 for tokens in self.options)

    @property
    def counts(self) -> list[int]:
        """Tokens of each option."""
        return [len(tokens) for tokens in self.options]

    @cached_property
    def table(self) -> torch.Tensor:
        """Token of each option at each place behind the prompt, 0 behind its end, (n_places, n_options)."""
        table = torch.zeros((max(self.counts), len(self.options)), dtype=torch.long)
        for option, tokens in enumerate(self.options):
            table[: len(tokens), option] = torch.tensor(tokens)
        return table

    @cached_property
    def inputs(self) -> list[tuple[int, ...]]:
        """What has to be read behind the shared beginning: the last token before, all but the last of each.

        What another one begins with is not read twice.
        """
        wanted = sorted({(self.last, *tokens[:-1]) for tokens in self.options})
        following = [*wanted[1:], ()]
        return [one for one, other in zip(wanted, following, strict=True) if other[: len(one)] != one]

    @cached_property
    def rows(self) -> list[int]:
        """Which of `inputs` holds each option."""
        found = []
        for tokens in self.options:
            wanted = (self.last, *tokens[:-1])
            found.append(next(i for i, one in enumerate(self.inputs) if one[: len(wanted)] == wanted))
        return found


class AnswerOpening:
    """What stands between a rendered prompt and the answer.

    Nothing where a chat template's generation prompt ends as its answers begin; the blanks that the template
    puts before an answer otherwise; one blank behind a prompt without a template, unless it ends in one. A
    thought that a prompt begins is ended first.
    """

    def __init__(self, processor: Any) -> None:
        self._has_template = chat_template(processor)[0] is not None
        self._blanks = _template_blanks(processor) if self._has_template else " "

    def behind(self, prompt: str) -> str:
        """Return it for one rendered prompt."""
        thought = thought_end(prompt)
        if thought:
            return thought
        return self._blanks if self._has_template or prompt[-1:].strip() else ""


def _template_blanks(processor: Any) -> str:
    """Return the blanks that a chat template writes between its generation prompt and an answer."""
    renderer = PromptRenderer(processor)
    asked = Message("user", (Text(_PROBE),))
    try:
        prompt = renderer.render(Example((asked,))).text
        answered = renderer.render(Example((asked, Message("assistant", (Text(_PROBE),))))).text
    except ExampleError:  # such as a template that wants an image, or no answers
        return ""
    between = answered.removeprefix(prompt).partition(_PROBE)[0] if answered.startswith(prompt) else ""
    return "" if between.strip() else between


class OptionEncoder:
    """Finds the tokens of options behind prompts; prompts of the same text share the search.

    Parameters
    ----------
    encoder : BatchEncoder
    options : sequence of str
    """

    def __init__(self, encoder: BatchEncoder, options: Sequence[str]) -> None:
        self.encoder = encoder
        self.options = tuple(options)
        self._opening = AnswerOpening(encoder.processor)
        self._known: dict[str, OptionTokens] = {}  # what follows a prompt's media does not depend on them
        self._media_ids = media_token_ids(encoder.processor)

    def whole(self, item: Item) -> list[Item]:
        """Return the prompt with each option behind it."""
        opening = self._opening.behind(item.rendered.text)
        texts = [f"{item.rendered.text}{opening}{option}" for option in self.options]
        return [Item(item.index, replace(item.rendered, text=text)) for text in texts]

    def tokens(self, item: Item) -> tuple[OptionTokens | None, Errors]:
        """Return the tokens of the options behind a prompt, or why they cannot be found."""
        known = self._known.get(item.rendered.text)
        if known is not None:
            return known, {}
        family = [item, *self.whole(item)]
        loaded, errors = load_once(family, self.encoder.processor)
        if errors:
            return None, errors
        try:
            batches = encode_each(self.encoder, loaded)
        except Exception as error:  # a processor can fail in any way
            _, errors = self.encoder.encode(family)  # finds what is wrong and says so
            if not errors:
                raise error from None
            return None, errors
        prompt, *wholes = [tuple(batch.inputs["input_ids"][0].tolist()) for batch in batches]
        common = common_length([(*prompt, -1), *wholes])
        if not common:
            return None, {item.index: _too_short()}
        options = tuple(tokens[common:] for tokens in wholes)
        found = OptionTokens(len(prompt) - common, prompt[common - 1], options)
        self._known[item.rendered.text] = found
        return found, {}

    def share(self, batch: Batch, tokens: OptionTokens) -> SharedBatch | None:
        """Return a prompt and what its options add to it, or None if it has no beginning to share.

        Parameters
        ----------
        batch : Batch
            The prompt, alone.
        tokens : OptionTokens
            From `tokens`.
        """
        ids = batch.inputs["input_ids"][0].tolist()
        n_prefix = len(ids) - tokens.n_dropped - 1
        if n_prefix < 1 or self._media_ids & set(ids[n_prefix:]):
            return None
        prefix = cut(batch.inputs, slice(None, n_prefix), keep_rest=True)
        return SharedBatch(batch.items, prefix, [_suffix(batch, one) for one in tokens.inputs], batch)


def _too_short() -> ExampleError:
    return ExampleError(
        "its prompt merges with the options into other tokens, so nothing is left to put them behind; ask a "
        "longer question",
        code="empty_example",
    )


def _suffix(batch: Batch, tokens: tuple[int, ...]) -> dict[str, torch.Tensor]:
    """Return model inputs of tokens behind a prompt, which look at images as its last token does."""
    ids = torch.tensor([tokens], dtype=torch.long)
    suffix = {"input_ids": ids, "attention_mask": torch.ones_like(ids)}
    if _CROSS in batch.inputs:
        seen = batch.inputs[_CROSS][:, -1:]
        suffix[_CROSS] = seen.repeat_interleave(len(tokens), dim=1)
    return suffix
