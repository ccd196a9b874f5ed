"""Hooks: the right token, always removed, never a silently wrong value."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn

from savs.backbones._attention_sites import AttentionSite
from savs.backbones._record import last_real_tokens, recording
from savs.errors import BackboneError


class Layers(nn.Module):
    """Two projections, the first of which may be called twice."""

    def __init__(self, calls: str = "ab") -> None:
        super().__init__()
        self.a, self.b = nn.Linear(6, 6), nn.Linear(6, 6)
        self.calls, self.finished = calls, False

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        for name in self.calls:
            x = getattr(self, name)(x)
        self.finished = True
        return x


def site(module: nn.Module, layer: int = 0, n_heads: int = 2, head_dim: int = 3) -> AttentionSite:
    return AttentionSite(f"layers.{layer}", module, layer, 0, n_heads, head_dim, False)


MASK = torch.tensor([[1, 1, 0, 0], [0, 0, 1, 1], [1, 1, 1, 1], [1, 0, 0, 0]])
X = torch.arange(3 * 4 * 6 + 24, dtype=torch.float32).reshape(4, 4, 6)


def test__last_real_tokens__either_padding_side__last_one_of_the_mask() -> None:
    assert last_real_tokens(MASK).tolist() == [1, 3, 3, 0]
    assert last_real_tokens(MASK.bool()).tolist() == [1, 3, 3, 0]
    assert last_real_tokens(torch.tensor([[1, 0, 1, 0]])).tolist() == [2]
    with pytest.raises(BackboneError, match="no tokens"):
        last_real_tokens(torch.tensor([[1, 1], [0, 0]]))


def test__recording__inputs_at_the_last_token__as_float32_copies() -> None:
    model = Layers().to(torch.bfloat16)
    sites = [site(model.a), site(model.b, 1)]
    x = X.to(torch.bfloat16)
    with torch.no_grad(), recording(sites, MASK) as recorded:
        model(x)
    expected = torch.stack([x[0, 1], x[1, 3], x[2, 3], x[3, 0]])
    assert recorded.vectors[sites[0]].dtype == torch.float32
    assert torch.equal(recorded.vectors[sites[0]], expected.float())
    with torch.no_grad():
        assert torch.equal(recorded.vectors[sites[1]], model.a(expected).float())
    x.zero_()
    assert recorded.vectors[sites[0]].any()


def test__recording__all_sites_fired__the_pass_ends_there() -> None:
    model = Layers()
    with recording([site(model.a)], MASK):
        model(X)
    assert not model.finished


def test__recording__shared_projection__keyed_by_call() -> None:
    model = Layers("abab")
    sites = [site(model.a, 0), replace(site(model.a, 2), call=1)]
    with torch.no_grad(), recording(sites, MASK) as recorded:
        model(X)
    with torch.no_grad(), recording(sites[1:], MASK) as alone:
        model(X)
    with torch.no_grad():
        second = model.b(model.a(X))
    assert torch.equal(recorded.vectors[sites[0]], X[range(4), [1, 3, 3, 0]])
    torch.testing.assert_close(recorded.vectors[sites[1]], second[range(4), [1, 3, 3, 0]])
    assert torch.equal(alone.vectors[sites[1]], recorded.vectors[sites[1]])


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((4, 3, 6), r"works on \(4, 3\) tokens where the prompt has \(4, 4\)"),
        ((2, 4, 6), r"works on \(2, 4\) tokens"),
        ((4, 1, 6), r"works on \(4, 1\) tokens"),
        ((15, 6), r"works on \(15,\) tokens"),
    ],
)
def test__recording__other_tokens_than_the_mask__error_not_a_wrong_token(shape, message) -> None:
    model = Layers()
    with pytest.raises(BackboneError, match=message), recording([site(model.a)], MASK):
        model(torch.zeros(shape))
    assert not model.a._forward_pre_hooks


def test__recording__folded_batch_and_split_heads__same_vectors() -> None:
    model = Layers()
    with recording([site(model.a)], MASK) as recorded:
        model(X.reshape(16, 6))
    (vectors,) = recorded.vectors.values()
    assert torch.equal(vectors, X[range(4), [1, 3, 3, 0]])


def test__recording__other_width__error() -> None:
    model = Layers()
    with (
        pytest.raises(BackboneError, match="takes 6 columns, expected 8"),
        recording([site(model.a, n_heads=4, head_dim=2)], MASK),
    ):
        model(X)


def test__recording__a_site_never_runs__error_names_it() -> None:
    model = Layers("a")
    with (
        pytest.raises(BackboneError, match=r"1 of 2 attention layers did not run, first layers\.1"),
        recording([site(model.a), site(model.b, 1)], MASK),
    ):
        model(X)


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, BackboneError])
def test__recording__exception_inside__passes_through_and_hooks_go(error) -> None:
    model = Layers()

    def fail() -> None:
        with recording([site(model.a), site(model.b, 1)], MASK):
            raise error

    with pytest.raises(error):
        fail()
    assert not model.a._forward_pre_hooks
    assert not model.b._forward_pre_hooks


def test__recording__broad_except_in_the_model__cannot_swallow_the_end() -> None:
    class Swallowing(Layers):
        def forward(self, x: torch.Tensor) -> Any:
            try:
                return super().forward(x)
            except Exception:
                return self.b(x)

    model = Swallowing()
    with recording([site(model.a)], MASK) as recorded:
        model(X)
    assert len(recorded.vectors) == 1


def test__recording__keyword_input__is_read() -> None:
    model = Layers()
    with recording([site(model.a)], MASK) as recorded:
        model.a(input=X)
    assert len(recorded.vectors) == 1


def test__recording__with_the_decoder__final_state_at_the_last_token_and_the_heads() -> None:
    model = Layers()
    with torch.no_grad(), recording([site(model.a)], MASK, model) as recorded:
        model(X)
    assert len(recorded) == 2
    with torch.no_grad():
        assert torch.equal(recorded.states, model(X)[range(4), [1, 3, 3, 0]])
    assert not model._forward_hooks


def test__recording__decoder_never_ran__error() -> None:
    model = Layers()
    with pytest.raises(BackboneError, match="the decoder did not run"), recording([], MASK, model):
        pass
    assert not model._forward_hooks
