"""An independent way to head vectors, and how far vectors are from it.

It shares neither the batching nor the recorder of `savs.backbones`, which it checks; only the rendering of
the prompt and where the attention sites are. Multimodal positions are reckoned by the published rule where it
is written here (`savs.doctor._positions`), so that a model with wrong ones differs from it.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import torch
from numpy.typing import NDArray

from savs.backbones._attention_sites import AttentionSite
from savs.backbones._forward import accepted_inputs, frozen, model_failures
from savs.backbones._known_faults import known_faults
from savs.backbones._rendering import Rendered, render, sampling_rate, tokenizer_of
from savs.classifiers import SAVClassifier
from savs.data import Example
from savs.doctor._positions import positions_of
from savs.errors import BackboneError
from savs.layout import HeadLayout
from savs.media import load_image
from savs.media.audio import load_audio
from savs.media.video import decode_video

CHANGE = 1e-5
"""The smallest `Difference.max_difference` that counts as a change, whatever the dtype: the two prompts of a
contrast have the same shapes, so that nothing but their content can make a difference."""
_NEGLIGIBLE = 1e-3
Side = Literal["left", "right"]


def read(
    model: Any,
    processor: Any,
    sites: Sequence[AttentionSite],
    examples: Sequence[Example],
    side: Side | None = None,
) -> NDArray[np.float32]:
    """Return the vectors of all heads at each prompt's last token.

    Parameters
    ----------
    model : transformers.PreTrainedModel
    processor : transformers processor or tokenizer
    sites : sequence of AttentionSite
    examples : sequence of Example
    side : {"left", "right"}, optional
        Pad them to one batch; by default each is read alone and nothing is padded.

    Returns
    -------
    ndarray of float32, shape (n_examples, width)
        Columns in the order of the sites.

    Raises
    ------
    BackboneError
        If the processor or the model fails.
    """
    groups = [[example] for example in examples] if side is None else [list(examples)]
    rows = []
    with frozen(model) as forget:
        for group in groups:
            rows.append(_read_batch(model, sites, encode(processor, group, side)))
            forget()  # what a model remembers of one prompt must not reach the next
    return np.concatenate(rows)


def encode(processor: Any, examples: Sequence[Example], side: Side | None = None) -> dict[str, Any]:
    """Return what the processor makes of some prompts, padded on a side if one is given.

    Parameters
    ----------
    processor : transformers processor or tokenizer
        The model's.
    examples : sequence of Example
        Rendered together.
    side : {"left", "right"}, optional
        Where to pad; by default nothing is padded.
    """
    rendered = [render(processor, example) for example in examples]
    images = [[load_image(image) for image in prompt.images] for prompt in rendered]
    options: dict[str, Any] = {
        "return_tensors": "pt",
        "add_special_tokens": rendered[0].add_special_tokens,
    }
    if any(images):
        options["images"] = images
    options |= _heard(processor, rendered) | _recorded(rendered)
    if side is not None:
        options |= {"padding": True, "padding_side": side}
    try:
        inputs = dict(processor(text=[prompt.text for prompt in rendered], **options))
    except Exception as error:  # every processor has its own ways to refuse
        reason = " ".join(str(error).split())[:160]
        raise BackboneError(f"{type(processor).__name__} failed: {type(error).__name__}: {reason}") from error
    inputs.pop("labels", None)
    return inputs


def _heard(processor: Any, rendered: Sequence[Rendered]) -> dict[str, Any]:
    audios = [audio for prompt in rendered for audio in prompt.audios]
    if not audios:
        return {}
    rate = sampling_rate(processor)
    return {"audio": [load_audio(audio, rate) for audio in audios], "sampling_rate": rate}


def _recorded(rendered: Sequence[Rendered]) -> dict[str, Any]:
    clips = [decode_video(video.source, video.n_frames) for prompt in rendered for video in prompt.videos]
    if not clips:
        return {}
    # All frames of clips of a steady rate: their numbers say when each is shown.
    metadata = [
        {
            "fps": len(clip.images) / clip.duration,
            "total_num_frames": len(clip.images),
            "frames_indices": list(range(len(clip.images))),
        }
        for clip in clips
    ]
    return {"videos": [clip.pixels for clip in clips], "video_metadata": metadata, "do_sample_frames": False}


def _read_batch(model: Any, sites: Sequence[AttentionSite], inputs: dict[str, Any]) -> NDArray[np.float32]:
    """Return the vectors at the last token whose mask is 1, shape (n_examples, width)."""
    ids = inputs["input_ids"]
    mask = inputs.get("attention_mask")
    mask = torch.ones_like(ids) if mask is None else mask
    last = (mask.ne(0) * torch.arange(1, ids.shape[1] + 1)).argmax(dim=1)
    given = accepted_inputs(model, inputs)
    positions = positions_of(model, inputs)
    # What no release does right is a finding by itself (`check_positions`), and hides nothing else here.
    if positions is not None and all(fault.fixed for fault in known_faults(model, inputs)):
        given["position_ids"] = positions.to(given["input_ids"].device)
    with seen_at(sites) as seen, model_failures(model):
        model(**given, **_without_cache(model))
    columns = [_at(tensor, last, site, tuple(ids.shape)) for site, tensor in zip(sites, seen, strict=True)]
    return torch.cat(columns, dim=1).numpy()


def _without_cache(model: Any) -> dict[str, bool]:
    import inspect

    return {"use_cache": False} if "use_cache" in inspect.signature(model.forward).parameters else {}


@contextmanager
def seen_at(sites: Sequence[AttentionSite]) -> Iterator[list[torch.Tensor]]:
    """Collect, during the block, what enters the projection of each site, in the order of the sites.

    The list is filled when the block ends without an error; a projection shared by several layers is told
    apart by the order of its calls.
    """
    calls: dict[int, list[torch.Tensor]] = {}
    seen: list[torch.Tensor] = []

    def hook(module: Any, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
        calls.setdefault(id(module), []).append(args[0] if args else next(iter(kwargs.values())))

    projections = {id(site.projection): site.projection for site in sites}
    handles = [p.register_forward_pre_hook(hook, with_kwargs=True) for p in projections.values()]
    try:
        yield seen
    finally:
        for handle in handles:
            handle.remove()
    for site in sites:
        of_projection = calls.get(id(site.projection), [])
        if len(of_projection) <= site.call:
            raise BackboneError(f"the attention layer {site.path} did not run")
        seen.append(of_projection[site.call])


def _at(
    tensor: torch.Tensor, last: torch.Tensor, site: AttentionSite, shape: tuple[int, ...]
) -> torch.Tensor:
    n_examples, n_tokens = shape
    if tensor.numel() != n_examples * n_tokens * site.n_heads * site.head_dim:
        raise BackboneError(
            f"{site.path} works on {tuple(tensor.shape)} where the prompt has {shape} tokens and the site "
            f"{site.n_heads} heads of {site.head_dim}"
        )
    tokens = tensor.detach().reshape(n_examples, n_tokens, -1).to("cpu", torch.float32)
    return tokens[torch.arange(n_examples), last]


def can_pad(processor: Any) -> bool:
    """Return whether the tokenizer has a token to pad with."""
    return tokenizer_of(processor).pad_token_id is not None


@dataclass(frozen=True)
class Difference:
    """Largest relative difference of an entry, smallest cosine of a head; see `savs.doctor.report.Check`."""

    max_difference: float
    min_cosine: float


def compare(layout: HeadLayout, rows: NDArray[np.float32], reference: NDArray[np.float32]) -> Difference:
    """Compare feature rows with those of the same examples in the reference.

    Parameters
    ----------
    layout : HeadLayout
    rows, reference : ndarray of float32, shape (n_examples, layout.width)
    """
    actual, expected = rows.astype(np.float64), reference.astype(np.float64)
    floor = _NEGLIGIBLE * float(np.abs(expected).max(initial=0.0))
    worst, cosine = 0.0, 1.0
    for group in layout.groups:
        a, b = actual[:, group.columns], expected[:, group.columns]  # (n_examples, n_group_heads, head_dim)
        scale = np.maximum(np.abs(b).max(axis=(0, 2)), max(floor, 1e-30))
        worst = max(worst, float((np.abs(a - b).max(axis=(0, 2)) / scale).max()))
        cosine = min(cosine, float(_cosines(a, b).min()))
    return Difference(worst, cosine)


def _cosines(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return cosines over the last axis; two zero vectors are alike."""
    lengths = np.linalg.norm(a, axis=-1) * np.linalg.norm(b, axis=-1)
    both_zero = ~a.any(axis=-1) & ~b.any(axis=-1)
    cosines = (a * b).sum(axis=-1) / np.where(lengths > 0, lengths, 1.0)
    result: NDArray[np.float64] = np.where(both_zero, 1.0, np.clip(cosines, -1.0, 1.0))
    return result


def flips(
    layout: HeadLayout,
    shots: NDArray[np.float32],
    labels: Sequence[str],
    pairs: tuple[NDArray[np.float32], NDArray[np.float32]],
) -> int:
    """Return how many examples a classifier, fitted on reference vectors, answers differently on other rows.

    Parameters
    ----------
    layout : HeadLayout
    shots : ndarray of float32, shape (n_shots, layout.width)
        Reference vectors of the probes.
    labels : sequence of str
        Their classes, at least two.
    pairs : two ndarrays of float32, shape (n_examples, layout.width)
        Rows of the same examples.
    """
    classifier = SAVClassifier(layout=layout).fit(shots, labels)
    actual, expected = (classifier.predict(rows) for rows in pairs)
    return int((actual != expected).sum())
