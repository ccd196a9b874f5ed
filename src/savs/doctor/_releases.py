"""What the installed release of transformers does wrongly: known faults, positions by the published rule."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch

from savs.backbones._forward import accepted_inputs, frozen, model_failures
from savs.backbones._known_faults import KnownFault, known_faults, running_version
from savs.backbones._torchvision import torchvision_in_use
from savs.data import Example
from savs.doctor._positions import FAMILIES, positions_of
from savs.doctor._probes import long_video
from savs.doctor._reference import encode
from savs.doctor._subject import Subject
from savs.doctor.report import Check
from savs.errors import SAVsError

_AXES = ("temporal", "height", "width")
_SEEN = ("one image", "two images", "one video")


def check_known_faults(subject: Subject) -> Check:
    """Look the model, its dtype and the probes' inputs up in the table of known faults."""
    name = "known faults"
    found: dict[str, KnownFault] = {}
    for form in ("text", *_SEEN, "one audio clip"):
        for position in subject.positions(form)[:1]:
            inputs = encode(subject.processor, [subject.examples[position]])
            found |= {fault.what: fault for fault in known_faults(subject.model, inputs)}
    release = f"transformers {running_version()}"
    if not found:
        return Check(name, "ok", note=f"none of {release} with {subject.model.config.model_type}")
    said = "; ".join(
        f"{fault.reads}: {fault.what}, {_right(fault)} ({fault.source})" for fault in found.values()
    )
    refused = any(fault.effect == "wrong" and fault.fixed is not None for fault in found.values())
    return Check(name, "unsafe" if refused else "differs", note=f"{release}: {said}")


def _right(fault: KnownFault) -> str:
    return "in every release so far" if fault.fixed is None else f"mended in {fault.fixed}"


def check_torchvision(subject: Subject) -> Check:
    """Ask whether an installed torchvision works with the installed torch, for backbones that read images."""
    name = "torchvision"
    if not {"image", "video"} & subject.backbone.modalities:
        return Check(name, "skipped", note="the backbone reads no images")
    works, said = torchvision_in_use()
    return Check(name, "ok" if works else "differs", note=said)


def check_positions(subject: Subject) -> list[Check]:
    """Compare the positions that the decoder gets with those of the published rule, token by token.

    A long video is asked about for itself: no release gets it right so far, and savs warns when it reads one.
    """
    readable = [(form, subject.positions(form)) for form in _SEEN]
    probes = [(form, subject.examples[where[0]]) for form, where in readable if where]
    if not probes:
        return []
    model_type = subject.model.config.model_type
    if model_type not in FAMILIES:
        note = f"no published rule is written here for {model_type}"
        return [Check("positions", "skipped", note=note)]
    checks = [_positions(subject, "positions", dict(probes))]
    if subject.positions("one video"):
        checks.append(_positions(subject, "positions, long video", {"a long video": long_video()}))
    return checks


def _positions(subject: Subject, name: str, probes: Mapping[str, Example]) -> Check:
    for form, example in probes.items():
        try:
            inputs = encode(subject.processor, [example])
            fault = _first_wrong(subject, inputs)
        except SAVsError as error:
            return Check(name, "unsafe", note=f"{form} fails: {error}")
        if fault is not None:
            known = known_faults(subject.model, inputs)
            warned = bool(known) and all(one.fixed is None for one in known)
            because = f" ({known[0].source})" if known else ""
            return Check(name, "differs" if warned else "unsafe", note=f"{form}: {fault}{because}")
    return Check(name, "ok", note=f"as published, token by token: {', '.join(probes)}")


def _first_wrong(subject: Subject, inputs: dict[str, Any]) -> str | None:
    expected = positions_of(subject.model, inputs)
    actual = _given(subject, inputs)
    if expected is None or actual is None:
        return "the model's own positions cannot be seen" if expected is not None else None
    different = (actual != expected).nonzero()
    if not len(different):
        return None
    token = int(different[:, 2].min())
    axis = int((actual[:, 0, token] != expected[:, 0, token]).nonzero()[0])
    return (
        f"token {token} of {actual.shape[2]} has {_AXES[axis]} position {int(actual[axis, 0, token])}, by "
        f"the published rule {int(expected[axis, 0, token])}"
    )


def _given(subject: Subject, inputs: dict[str, Any]) -> torch.Tensor | None:
    """Return the positions that reach the decoder, shape (3, n_examples, n_tokens), or None."""
    seen: list[torch.Tensor] = []

    def hook(_module: Any, _args: Any, kwargs: dict[str, Any]) -> None:
        positions = kwargs.get("position_ids")
        if isinstance(positions, torch.Tensor) and positions.dim() == 3:
            seen.append(positions[-3:].detach().cpu())

    model = subject.model
    handle = subject.backbone.anatomy.decoder.register_forward_pre_hook(hook, with_kwargs=True)
    try:
        with frozen(model), model_failures(model):
            model(**accepted_inputs(model, inputs))
    finally:
        handle.remove()
    return seen[0] if seen else None
