"""What recording costs: a pass with all sites hooked against a bare one, both through the whole decoder."""

from __future__ import annotations

from collections.abc import Callable

import torch

from benchmarks.findings import Finding, Goal, slower
from benchmarks.shapes import Built, build_decoder
from benchmarks.timing import interleave
from savs.backbones._attention_sites import find_sites
from savs.backbones._record import recording

__all__ = ["measure_overhead"]

N_TOKENS = 256
# Layers, hidden size, repeats; about 1, 10, 50 and 250 million parameters.
DECODERS = ((5, 128, 40), (9, 256, 24), (8, 640, 12), (13, 1088, 6))
GOAL_FROM = 45_000_000


def measure_overhead(
    device: str, dtype: str, advance: Callable[[str], object] = lambda _name: None, *, quick: bool = False
) -> list[Finding]:
    """Return the time with all sites recorded over the bare time, by model size.

    The recorder is also asked for the decoder's final state, so that it ends the pass only when the decoder
    is through; the bare pass is the decoder's own.
    """
    findings = []
    for n_layers, hidden_size, repeats in DECODERS[: 2 if quick else None]:
        built = build_decoder(n_layers, hidden_size, device, dtype)
        passes = 1 if quick else max(1, 20_000_000 // built.n_parameters)
        findings.append(_measured(built, 2 if quick else repeats, passes, device, advance))
    return findings


def _measured(
    built: Built, repeats: int, passes: int, device: str, advance: Callable[[str], object]
) -> Finding:
    anatomy = find_sites(built.model)
    ids = torch.randint(0, 2_000, (1, N_TOKENS), device=device)
    mask = torch.ones_like(ids)

    @torch.no_grad()
    def bare() -> None:
        for _ in range(passes):
            anatomy.decoder(input_ids=ids, attention_mask=mask, use_cache=False)

    @torch.no_grad()
    def recorded() -> None:
        for _ in range(passes):
            with recording(anatomy.sites, mask, anatomy.decoder):
                anatomy.decoder(input_ids=ids, attention_mask=mask, use_cache=False)

    times = interleave({"recorded": recorded, "bare": bare}, repeats, device, advance)
    goal = Goal("<=", 1.03) if built.n_parameters >= GOAL_FROM else None
    size = f"{built.n_parameters / 1e6:.1f}M parameters"
    note = f"{N_TOKENS} tokens, {len(anatomy.sites)} sites, {passes} passes a time"
    return slower(
        f"decoder, {size}", "recording: time over a bare pass", times, "recorded", "bare", goal, note
    )
