"""Fine-tuning in place of reading heads: low-rank adapters (LoRA) trained on the shots."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np
from numpy.typing import NDArray

from savs._labels import key_of
from savs.backbones import Backbone
from savs.baselines.on_features import BaselineResult
from savs.baselines.option_likelihood import option_likelihood
from savs.data import Example, Label
from savs.errors import BackboneError, DataError
from savs.model._class_names import option_texts

__all__ = ["lora"]


def lora(
    backbone: Backbone,
    shots: Sequence[Example],
    queries: Sequence[Example],
    classes: Sequence[Label],
    *,
    seed: int = 0,
    rank: int = 16,
    alpha: float = 32.0,
    learning_rate: float = 1e-3,
    batch_size: int = 8,
    max_epochs: int = 20,
    patience: int = 3,
) -> BaselineResult:
    """Train adapters on the shots, answer the queries with them, and take them away again.

    The adapters stand beside every linear map of the decoder's layers. They learn the class name as the
    answer to each shot: the mean negative log likelihood of its tokens behind the prompt, as the chat
    template renders it. Where every class has two shots, one of each is held out; training ends when their
    loss has not fallen for `patience` epochs, and the adapters of the best epoch answer, or none if all are
    worse. Otherwise all shots are trained on for half of `max_epochs`.

    Parameters
    ----------
    backbone : Backbone
        A `savs.backbones.TransformersBackbone`, with or without a store. It is the same afterwards, bit for
        bit, also after an error.
    shots : sequence of Example
        Labeled, with the prompt.
    queries : sequence of Example
        What to ask; labels are not read.
    classes : sequence of label
        The classes to choose from.
    seed : int, default=0
        Of the adapters, of the order of the shots, and of those that are held out.
    rank, alpha : int, float
        The adapters' rank; their output is scaled by alpha / rank.
    learning_rate : float, default=1e-3
        Of AdamW.
    batch_size, max_epochs, patience : int
        Of the training.

    Returns
    -------
    BaselineResult
        With `proba`, from the likelihood of the class names, so that no answer is left unparsed.

    Raises
    ------
    BackboneError
        If the backbone is none of transformers, its layers cannot be adapted, it has adapters already, or the
        training diverges.
    DataError
        If there are fewer than two classes or no shots, or a shot's label is none of them.
    ItemError
        If an example cannot be read.
    MissingDependencyError
        If peft is not installed (``savs[lora]``).
    ValueError
        If a number is below 1.

    References
    ----------
    Hu et al., "LoRA", arXiv 2106.09685; adapters beside all linear maps: Dettmers et al., "QLoRA", arXiv
    2305.14314.
    """
    if min(rank, batch_size, max_epochs, patience) < 1:
        raise ValueError("rank, batch_size, max_epochs and patience must be at least 1")
    answers = _checked_answers(shots, classes)
    model = _transformers_backbone(backbone)
    from savs.backbones._adapters import AnswerLikelihood, adapted, fold_in

    rng = np.random.default_rng(seed)
    with _seeded(seed), adapted(model, rank, alpha) as parameters:
        likelihood = AnswerLikelihood(model, shots, answers.tolist(), option_texts(classes))
        trained, held_out = _hold_out(answers, rng)
        with likelihood.reading() as measure:
            _train(
                measure,
                parameters,
                trained,
                held_out,
                rng=rng,
                learning_rate=learning_rate,
                batch_size=batch_size,
                max_epochs=max_epochs,
                patience=patience,
            )
        fold_in(model)
        said = option_likelihood(model, queries, classes)
        return BaselineResult("lora", said.labels, [], said.proba, list(classes))


def _transformers_backbone(backbone: Any) -> Any:
    from savs.backbones.transformers_backbone import TransformersBackbone
    from savs.cache import StoredBackbone

    inner = backbone.backbone if isinstance(backbone, StoredBackbone) else backbone
    if not isinstance(inner, TransformersBackbone):
        raise BackboneError(f"lora trains models of transformers, not a {type(inner).__name__}")
    return inner


def _checked_answers(shots: Sequence[Example], classes: Sequence[Label]) -> NDArray[np.intp]:
    """Return the number of each shot's class."""
    if len(classes) < 2:
        raise DataError(f"at least two classes are required, got {len(classes)}")
    if not shots:
        raise DataError("lora needs at least one shot, got 0")
    number = {key_of(label): place for place, label in enumerate(classes)}
    for shot in shots:
        if shot.label is None or key_of(shot.label) not in number:
            raise DataError(
                f"{shot.id}: the label of a shot is {shot.label!r:.80}, which is none of the classes"
            )
    return np.array([number[key_of(shot.label)] for shot in shots], dtype=np.intp)


def _hold_out(answers: NDArray[np.intp], rng: np.random.Generator) -> tuple[list[int], list[int]]:
    """Return which shots are trained on, and which are held out: one of each class, or none at all."""
    present = np.unique(answers)
    if min(np.bincount(answers)[present]) < 2:
        return list(range(len(answers))), []
    held = [int(rng.choice(np.flatnonzero(answers == one))) for one in present]
    return [place for place in range(len(answers)) if place not in held], held


def _train(
    measure: Callable[[Sequence[int], bool], Any],
    parameters: Sequence[Any],
    trained: Sequence[int],
    held_out: Sequence[int],
    *,
    rng: np.random.Generator,
    learning_rate: float,
    batch_size: int,
    max_epochs: int,
    patience: int,
) -> None:
    """Train the adapters, and leave those of the best epoch in them."""
    import torch

    def held_out_loss() -> float:
        return -float(measure(held_out, False).mean()) if held_out else np.inf

    optimizer = torch.optim.AdamW(parameters, lr=learning_rate, weight_decay=0.0)
    # The model as it is counts, too: adapters that are worse than none are not kept.
    best, kept, since = held_out_loss(), [parameter.detach().clone() for parameter in parameters], 0
    for _ in range(max_epochs if held_out else -(-max_epochs // 2)):
        order = rng.permutation(np.asarray(trained)).tolist()
        for start in range(0, len(order), batch_size):
            optimizer.zero_grad()
            with torch.enable_grad():
                loss = -measure(order[start : start + batch_size], True).mean()
                loss.backward()
            if not torch.isfinite(loss):
                raise BackboneError(
                    f"training diverged at a learning rate of {learning_rate:g}; take a smaller one"
                )
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            optimizer.step()
        if held_out:
            now = held_out_loss()
            if now < best:
                best, since = now, 0
                kept = [parameter.detach().clone() for parameter in parameters]
            else:
                since += 1
                if since >= patience:
                    break
    if held_out:
        with torch.no_grad():
            for parameter, value in zip(parameters, kept, strict=True):
                parameter.copy_(value)


@contextmanager
def _seeded(seed: int) -> Iterator[None]:
    """Let torch's random numbers start anew; after the block they go on as before it."""
    import torch

    with torch.random.fork_rng():
        torch.manual_seed(seed)
        yield
