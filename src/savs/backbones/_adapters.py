"""Trains low-rank adapters on answers to examples, inside a block after which the model is what it was."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import torch
from torch import nn

from savs._optional import import_optional
from savs.backbones._batching import Item, render_all
from savs.backbones._forward import frozen, lock_of, restore_all, snapshot
from savs.backbones._option_reading import OptionReading
from savs.backbones._option_tokens import OptionEncoder, OptionTokens
from savs.backbones._record import last_real_tokens
from savs.backbones.transformers_backbone import TransformersBackbone
from savs.data import Example
from savs.errors import BackboneError

__all__ = ["AnswerLikelihood", "adapted", "fold_in"]


@contextmanager
def adapted(backbone: TransformersBackbone, rank: int, alpha: float) -> Iterator[list[nn.Parameter]]:
    """Put low-rank adapters beside the linear maps of the decoder's layers; at first they change nothing.

    Parameters
    ----------
    backbone : TransformersBackbone
    rank : int
        Of the adapters' matrices.
    alpha : float
        Their output is multiplied by alpha / rank.

    Yields
    ------
    list of Parameter
        Those of the adapters, which alone have gradients.

    Raises
    ------
    BackboneError
        If the layers are not known, or have no linear map that peft can adapt.
    MissingDependencyError
        If peft is not installed.

    Notes
    -----
    Afterwards, also after an exception, every module has the very children, parameters and attributes that it
    had before, and each parameter its flag for gradients. Meanwhile other threads wait for the model.
    """
    config = import_optional("peft").LoraConfig(
        r=rank,
        lora_alpha=alpha,
        lora_dropout=0.0,
        bias="none",
        target_modules=_linear_maps(backbone),
    )
    with lock_of(backbone.model):
        yield from _adapted(backbone.model, config)


def _adapted(model: Any, config: Any) -> Iterator[list[nn.Parameter]]:
    before = [(module, *snapshot(module)) for module in model.modules()]
    flags = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    try:
        _inject(config, model)
        known = {id(parameter) for parameter, _ in flags}
        for parameter, _ in flags:
            parameter.requires_grad_(False)
        added = [parameter for parameter in model.parameters() if id(parameter) not in known]
        for parameter in added:
            parameter.data = parameter.data.float()  # steps of training are lost in half precision
        yield added
    finally:
        restore_all(before)
        for parameter, flag in flags:
            parameter.requires_grad_(flag)


def _inject(config: Any, model: Any) -> None:
    try:
        import_optional("peft").inject_adapter_in_model(config, model)
    except (ValueError, TypeError, RuntimeError) as error:
        reason = " ".join(str(error).split())[:200]
        raise BackboneError(f"peft cannot adapt {type(model).__name__}: {reason}") from None


def fold_in(backbone: TransformersBackbone) -> None:
    """Put the sum of each linear map and its adapter in the place of both: the same answers, and quicker.

    Parameters
    ----------
    backbone : TransformersBackbone
        Inside `adapted`, after the training.
    """
    for parent in list(backbone.model.modules()):
        for name, child in list(parent.named_children()):
            base, adapters = getattr(child, "base_layer", None), getattr(child, "active_adapters", [])
            if adapters and type(base) is nn.Linear:
                with torch.no_grad():
                    total = sum((child.get_delta_weight(one) for one in adapters), start=base.weight.float())
                # The module stays, as it may have hooks; its own weight comes back with all else.
                base.weight = nn.Parameter(total.to(base.weight.dtype), requires_grad=False)
                setattr(parent, name, base)


def _linear_maps(backbone: TransformersBackbone) -> list[str]:
    inside = {id(part) for layer in backbone.anatomy.layers for part in layer.modules()}
    if any(hasattr(module, "base_layer") for module in backbone.model.modules()):
        raise BackboneError(
            f"{type(backbone.model).__name__} has adapters already; merge them into the model "
            "(peft's merge_and_unload) and load the merged model"
        )
    names = [
        name
        for name, module in backbone.model.named_modules()
        if id(module) in inside and isinstance(module, nn.Linear)
    ]
    if not names:
        raise BackboneError(
            f"{type(backbone.model).__name__}: the decoder's layers have no linear maps that adapters could "
            "stand beside"
        )
    return names


class AnswerLikelihood:
    """Log likelihood of the right answer to each example, with gradients where they are wanted.

    Parameters
    ----------
    backbone : TransformersBackbone
    examples : sequence of Example
        With their prompts.
    answers : sequence of int
        Which of `options` is the right answer to each.
    options : sequence of str
        All answers.

    Raises
    ------
    ItemError
        If an example cannot be read.
    """

    def __init__(
        self,
        backbone: TransformersBackbone,
        examples: Sequence[Example],
        answers: Sequence[int],
        options: Sequence[str],
    ) -> None:
        self._backbone = backbone
        self._encoder = OptionEncoder(backbone._encoder, options)
        items, errors = render_all(backbone.processor, examples)
        if errors:
            raise next(iter(errors.values()))
        self._wholes: list[Item] = []
        self._tokens: list[tuple[int, ...]] = []
        for item, answer in zip(items, answers, strict=True):
            tokens = self._tokens_of(item)
            whole = self._encoder.whole(item)[answer]
            self._wholes.append(Item(len(self._wholes), whole.rendered))
            self._tokens.append(tokens.options[answer])

    def _tokens_of(self, item: Item) -> OptionTokens:
        tokens, errors = self._encoder.tokens(item)
        if tokens is None:
            raise next(iter(errors.values()))
        return tokens

    @contextmanager
    def reading(self) -> Iterator[Callable[[Sequence[int], bool], torch.Tensor]]:
        """Freeze the model but for parameters that have gradients, and measure examples.

        Yields
        ------
        callable
            From positions of examples, and whether a backward pass follows, to the mean log probability of
            the tokens of each one's answer, shape (n_places,).
        """
        backbone = self._backbone
        with frozen(backbone.model) as forget:
            options = OptionReading(
                backbone.model,
                self._encoder,
                {},
                backbone._size,
                forget,
                accept_faults=backbone.accept_faults,
            )

            def measure(places: Sequence[int], gradients: bool) -> torch.Tensor:
                with torch.set_grad_enabled(gradients):
                    return self._measured(options, places)

            yield measure

    def _measured(self, options: OptionReading, places: Sequence[int]) -> torch.Tensor:
        batches, errors = self._encoder.encoder.encode([self._wholes[place] for place in places])
        if errors:
            raise next(iter(errors.values()))
        found: dict[int, torch.Tensor] = {}
        for batch in batches:
            tokens = [self._tokens[index] for index in batch.indices]
            counts = torch.tensor([len(one) for one in tokens])
            longest = int(counts.max())
            wanted = torch.zeros((len(tokens), longest, 1), dtype=torch.long)
            for row, one in enumerate(tokens):
                wanted[row, : len(one), 0] = torch.tensor(one)
            ends = last_real_tokens(batch.attention_mask)
            at = ((ends - counts)[:, None] + torch.arange(longest)).minimum(ends[:, None])
            logs = options.log_proba(batch.inputs, at, wanted)[:, :, 0]
            real = torch.arange(longest) < counts[:, None]
            found |= zip(batch.indices, (logs * real).sum(1) / counts, strict=True)
        return torch.stack([found[place] for place in places])
