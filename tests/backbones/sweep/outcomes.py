"""What becomes of one model type: built small, located, run and compared; and what was expected of it."""

from __future__ import annotations

from collections import Counter
from dataclasses import asdict, dataclass, field
from typing import Any

import torch
from tests.backbones.sweep.entries import config_class, model_class
from tests.backbones.sweep.expected import BYPASSING, EXPECTED
from tests.backbones.sweep.families import CONFIG_PART, INPUTS, OVERRIDES
from tests.backbones.sweep.observing import Calls, full_pass, recorded
from tests.backbones.sweep.shrinking import shrunk

from savs.backbones._attention_sites import Anatomy, find_sites
from savs.backbones._decoder_stack import attribute
from savs.errors import BackboneError

LENGTHS = (9, 6)
TOLERANCE = 1e-4  # relative to the largest value


@dataclass
class Outcome:
    """One row of the table.

    Attributes
    ----------
    status : str
        ``"ok"``, ``"not built"``, ``"refused"`` by the locating rule or the recorder, ``"failed"`` in the
        forward pass, or ``"wrong"`` in one of `faults`.
    reason : str
        Of any status but ``"ok"``.
    heads : list of str
        Distinct ``heads x head_dim``.
    interface : str
        ``"agrees"`` or ``"bypassed"``.
    padded : float or None
        Largest relative difference between two texts in a right-padded batch and each alone.
    """

    family: str
    status: str = "ok"
    reason: str = ""
    layers: int = 0
    layers_with_heads: int = 0
    sites: int = 0
    heads: list[str] = field(default_factory=list)
    grouped: bool = False
    latent: bool = False
    shared: bool = False
    gated: int = 0
    skipped: dict[str, int] = field(default_factory=dict)
    interface: str = ""
    padded: float | None = None
    faults: list[str] = field(default_factory=list)

    def as_json(self) -> dict[str, Any]:
        """Return a JSON-able record."""
        return asdict(self)


def build(family: str) -> Any:
    """Return a small random model in evaluation mode, its norms and gates moved off their initial ones."""
    kind = config_class(family)
    config = kind(**shrunk(kind().to_dict(), OVERRIDES.get(family, {})))
    if family in CONFIG_PART:
        config = getattr(config, CONFIG_PART[family])
    torch.manual_seed(0)
    model = model_class(family)(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.is_floating_point() and parameter.numel() > 1 and parameter.min() == parameter.max():
                parameter += 0.05 * torch.randn_like(parameter)
    return model


def texts(lengths: tuple[int, ...] = LENGTHS) -> list[list[int]]:
    """Return texts of ordinary token numbers."""
    generator = torch.Generator().manual_seed(1)
    return [torch.randint(30, 90, (length,), generator=generator).tolist() for length in lengths]


def model_inputs(family: str, model: Any, rows: list[list[int]]) -> tuple[dict[str, Any], torch.Tensor]:
    """Return right-padded inputs of a forward pass, and the mask of its decoder's tokens."""
    longest = max(map(len, rows))
    ids = torch.tensor([row + [0] * (longest - len(row)) for row in rows])
    mask = torch.tensor([[1] * len(row) + [0] * (longest - len(row)) for row in rows])
    inputs: dict[str, Any] = {"input_ids": ids, "attention_mask": mask}
    if getattr(model.config, "is_encoder_decoder", False):
        inputs |= {"decoder_input_ids": ids, "decoder_attention_mask": mask}
    if family in INPUTS:
        inputs |= INPUTS[family](model.config, inputs)
    return {name: value for name, value in inputs.items() if value is not None}, mask


def sweep(family: str) -> Outcome:
    """Build, locate, run and compare one model type."""
    outcome = Outcome(family)
    try:
        model = build(family)
    except Exception as error:  # whatever a constructor raises is the finding
        return _ended(outcome, "not built", error)
    try:
        anatomy = find_sites(model)
    except BackboneError as error:
        return _ended(outcome, "refused", error)
    _describe(outcome, model, anatomy)
    try:
        _run(outcome, model, anatomy)
    except BackboneError as error:
        return _ended(outcome, "failed" if error.__cause__ else "refused", error)
    outcome.status = "wrong" if outcome.faults else "ok"
    outcome.reason = "; ".join(outcome.faults)
    return outcome


def unexpected(outcome: Outcome) -> str | None:
    """Return how an outcome differs from what is expected of its family, or None; exceptions are strict."""
    status, reason = EXPECTED.get(outcome.family, ("ok", ""))
    if outcome.status != status:
        return f"{outcome.family}: expected {status} ({reason}), is {outcome.status}: {outcome.reason}"
    bypassing = outcome.family in BYPASSING
    if outcome.status == "ok" and (outcome.interface == "bypassed") != bypassing:
        return f"{outcome.family}: attention interface {outcome.interface}, listed as bypassing: {bypassing}"
    return None


def _ended(outcome: Outcome, status: str, error: Exception) -> Outcome:
    outcome.status = status
    outcome.reason = f"{type(error).__name__}: {' '.join(str(error).split())[:200]}"
    return outcome


def _describe(outcome: Outcome, model: Any, anatomy: Anatomy) -> None:
    config = model.config.get_text_config(decoder=True)
    per_group = attribute(config, "num_key_value_heads")
    outcome.layers = anatomy.n_layers
    outcome.layers_with_heads = len({site.layer for site in anatomy.sites})
    outcome.sites = len(anatomy.sites)
    outcome.heads = sorted({f"{site.n_heads}x{site.head_dim}" for site in anatomy.sites})
    outcome.grouped = isinstance(per_group, int) and per_group < anatomy.sites[0].n_heads
    outcome.latent = isinstance(attribute(config, "kv_lora_rank"), int)
    outcome.shared = any(site.call for site in anatomy.sites)
    outcome.gated = sum(site.gated for site in anatomy.sites)
    outcome.skipped = dict(Counter(layer.kind for layer in anatomy.skipped))


def _run(outcome: Outcome, model: Any, anatomy: Anatomy) -> None:
    rows = texts()
    inputs, mask = model_inputs(outcome.family, model, rows)
    calls = full_pass(model, anatomy, inputs)
    _compare_with_interface(outcome, anatomy, calls)
    vectors = recorded(model, anatomy.sites, inputs, mask)
    last = mask.sum(1) - 1
    for site, vector in zip(anatomy.sites, vectors, strict=True):
        expected = calls.inputs[site].reshape(*mask.shape, -1)[torch.arange(len(rows)), last]
        if not torch.equal(vector, expected):
            outcome.faults.append(f"early stop gives other vectors at {site.path}")
    _compare_single_sites(outcome, model, anatomy, vectors, inputs, mask)
    _compare_alone(outcome, model, anatomy, vectors, rows)


def _compare_with_interface(outcome: Outcome, anatomy: Anatomy, calls: Calls) -> None:
    missing = [site.path for site in anatomy.sites if site not in calls.inputs]
    if missing:
        outcome.faults.append(f"{missing[0]} did not fire")
    outcome.interface = "agrees" if calls.outputs else "bypassed"
    if 0 < len(calls.outputs) < len(anatomy.sites):
        outcome.faults.append(f"{len(calls.outputs)} of {len(anatomy.sites)} go through the interface")
    for site, output in calls.outputs.items():
        if tuple(output.shape[2:]) != (site.n_heads, site.head_dim):
            outcome.faults.append(f"{site.path}: the interface saw {tuple(output.shape[2:])}")
            continue
        differs = not torch.equal(output.reshape(-1), calls.inputs[site].reshape(-1))
        if differs != site.gated:
            outcome.faults.append(f"{site.path}: gated is {site.gated}, values differ: {differs}")


def _compare_single_sites(
    outcome: Outcome,
    model: Any,
    anatomy: Anatomy,
    vectors: list[torch.Tensor],
    inputs: Any,
    mask: torch.Tensor,
) -> None:
    """Record the last site alone, and the first half, as a classifier with few kept heads does."""
    half = max(1, len(anatomy.sites) // 2)
    for part in (slice(-1, None), slice(0, half)):
        found = recorded(model, anatomy.sites[part], inputs, mask)
        if not all(torch.equal(one, other) for one, other in zip(found, vectors[part], strict=True)):
            outcome.faults.append(f"sites {part.start} to {part.stop} alone give other vectors")


def _compare_alone(
    outcome: Outcome, model: Any, anatomy: Anatomy, vectors: list[torch.Tensor], rows: list[list[int]]
) -> None:
    worst = 0.0
    for index, row in enumerate(rows):
        inputs, mask = model_inputs(outcome.family, model, [row])
        for one, both in zip(recorded(model, anatomy.sites, inputs, mask), vectors, strict=True):
            worst = max(worst, float((one[0] - both[index]).abs().max() / one.abs().max()))
    outcome.padded = worst
    if not worst < TOLERANCE:
        outcome.faults.append(f"right-padded differs from alone by {worst:.1g}")
