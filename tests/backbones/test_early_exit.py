"""Rows that are answered early leave; whatever goes on has the vectors of an ordinary pass."""

from __future__ import annotations

import contextlib
import logging

import numpy as np
import pytest
import torch
from tests.backbones.families import make_family

from savs.backbones import TransformersBackbone
from savs.backbones._early_exit import _Narrower, _UnclearError
from savs.errors import ActivationError, BackboneError
from savs.layout import EarlyExit

pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]

TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 4e-2}
# Heads in the last layer alone; keys and values handed from layer to layer.
WHOLE = ("qwen3_5", "gemma4")


def exits_at(layout, whole, done):
    """Return an exit after each layer but the last; `done` says for each which examples are answered there.

    Examples are known by their rows, so that batches in any order are answered alike.
    """
    layers = sorted({head.layer for head in layout.heads})[:-1]
    made = []
    for layer, answered in zip(layers, done, strict=False):
        heads = tuple(head for head in layout.heads if head.layer <= layer)
        known = whole[:, layout.column_indices(heads)]

        def is_answered(rows, known=known, answered=answered):
            gaps = np.abs(rows[:, None] - known[None]).max(axis=2)
            return np.isin(gaps.argmin(axis=1), answered)

        made.append(EarlyExit(heads, layer + 1, is_answered))
    return made


def assert_exact(found, whole, layout, exits, done, dtype=torch.float32):
    depth = np.repeat([head.layer for head in layout.heads], layout.dims)
    left = np.full(len(whole), layout.n_layers)
    for one, answered in reversed(list(zip(exits, done, strict=False))):
        left[list(answered)] = one.n_layers
    for row, expected, n_layers in zip(found, whole, left, strict=True):
        assert np.isnan(row[depth >= n_layers]).all()
        gap = np.abs(row - expected)[depth < n_layers].max()
        assert gap <= TOLERANCE[dtype] * np.abs(whole).max()


def backbone_of(built, **options):
    return TransformersBackbone(built.model, built.processor, **({"prefix_reuse": False} | options))


@pytest.mark.parametrize("batch_size", [1, 3, 16])
def test__extract_early__every_family__rows_that_go_on_are_as_in_an_ordinary_pass(
    contract_family, batch_size, family, examples_for
):
    built, examples = family(contract_family), examples_for(contract_family)
    backbone = backbone_of(built, batch_size=batch_size)
    layout, whole = backbone.layout, backbone.extract(examples).features
    some = range(0, len(examples), 2)
    for done in ([some, range(1, len(examples), 4)], [[0]], [[], [1]], [range(len(examples))], [[], []]):
        exits = exits_at(layout, whole, done)
        found = backbone.extract_early(examples, None, exits)
        assert found.indices.tolist() == list(range(len(examples)))
        assert_exact(found.features, whole, layout, exits, done)
    assert backbone._narrowing.failure is None
    if batch_size == 16:
        assert (backbone._narrowing.n_rows > 0) == (contract_family not in WHOLE)


@pytest.mark.parametrize("name", ["llava", "qwen2_5_vl"])
def test__extract_early__bfloat16__within_tolerance(name, fresh_family, examples_for):
    built, examples = fresh_family(name), examples_for(name)
    built.model.to(torch.bfloat16)
    backbone = backbone_of(built, batch_size=16)
    whole = backbone.extract(examples).features
    done = [range(0, len(examples), 2)]
    exits = exits_at(backbone.layout, whole, done)
    found = backbone.extract_early(examples, None, exits).features
    assert_exact(found, whole, backbone.layout, exits, done, torch.bfloat16)
    assert backbone._narrowing.n_rows > 0


def test__extract_early__states__only_of_rows_that_go_through_all_layers(family, examples_for):
    built, examples = family("llava"), examples_for("llava")
    backbone = backbone_of(built, batch_size=16)
    whole = backbone.extract(examples, states=True)
    done = [range(0, len(examples), 2)]
    exits = exits_at(backbone.layout, whole.features, done)
    found = backbone.extract_early(examples, None, exits, states=True)
    assert np.isnan(found.states[::2]).all()
    np.testing.assert_allclose(found.states[1::2], whole.states[1::2], atol=1e-4)
    assert_exact(found.features, whole.features, backbone.layout, exits, done)


def test__extract_early__shared_beginning__as_in_full(family, ask, image):
    built = family("llava")
    one = image(1)
    examples = [ask(one, f"is this a cat? {'x' * n}") for n in (0, 3, 9, 20)]
    backbone = backbone_of(built, batch_size=4, prefix_reuse=True)
    whole = backbone_of(built, batch_size=1).extract(examples).features
    done = [[0, 2]]
    exits = exits_at(backbone.layout, whole, done)
    found = backbone.extract_early(examples, None, exits)
    assert backbone.report.n_reused == 4
    assert_exact(found.features, whole, backbone.layout, exits, done)


def test__extract_early__all_answered_at_the_first_exit__no_deeper_layer_runs(family, examples_for):
    built, examples = family("llava"), examples_for("llava")
    backbone = backbone_of(built, batch_size=16)
    layout = backbone.layout
    heads = tuple(head for head in layout.heads if head.layer == 0)
    ran = []
    hook = backbone.anatomy.layers[1].register_forward_pre_hook(lambda *_: ran.append(1))
    try:
        backbone.extract_early(examples, None, [EarlyExit(heads, 1, lambda r: np.ones(len(r), bool))])
        assert not ran
        backbone.extract_early(examples, None, [EarlyExit(heads, 1, lambda r: np.zeros(len(r), bool))])
        assert ran
    finally:
        hook.remove()


def test__extract_early__a_later_layer_that_mixes_rows__is_found_out_and_read_whole(
    fresh_family, examples_for, caplog
):
    built, examples = fresh_family("llava"), examples_for("llava")
    backbone = backbone_of(built, batch_size=16)
    first, second = backbone.anatomy.layers[:2]

    def of_the_batch(_module, args, kwargs):
        shift = torch.arange(args[0].shape[0]).view(-1, 1, 1).to(args[0].dtype)
        return (args[0] + shift, *args[1:]), kwargs

    whole = None
    hook = second.self_attn.q_proj.register_forward_pre_hook(of_the_batch, with_kwargs=True)
    try:
        whole = backbone.extract(examples).features
        done = [[0, 2]]
        exits = exits_at(backbone.layout, whole, done)
        with caplog.at_level(logging.WARNING):
            found = backbone.extract_early(examples, None, exits).features
    finally:
        hook.remove()
    assert first is not second
    assert "vectors differ from the full pass" in caplog.text
    assert_exact(found, whole, backbone.layout, exits, done)


def test__extract_early__infinite_activation_above_an_exit__error_of_that_example_alone(
    fresh_family, examples_for
):
    built, examples = fresh_family("llava"), examples_for("llava")
    backbone = backbone_of(built, batch_size=16)
    whole = backbone.extract(examples).features
    layout = backbone.layout
    heads = tuple(head for head in layout.heads if head.layer == 0)
    known = whole[:, layout.column_indices(heads)]

    def all_but_one(rows):
        return np.abs(rows[:, None] - known[None]).max(axis=2).argmin(axis=1) != 1

    with torch.no_grad():
        backbone.anatomy.layers[1].self_attn.v_proj.weight.fill_(torch.nan)
    found = backbone.extract_early(examples, None, [EarlyExit(heads, 1, all_but_one)], max_errors=1)
    assert found.indices.tolist() == [i for i in range(len(examples)) if i != 1]
    [error] = found.errors
    assert isinstance(error, ActivationError)
    assert "layer 1, head 0" in error.message


def test__model__after_early_exits__has_its_hooks_and_mode(examples_for):
    built, examples = make_family("llava"), examples_for("llava")
    built.model.train()
    before = [len(module._forward_pre_hooks) for module in built.model.modules()]
    backbone = backbone_of(built, batch_size=16)
    heads = tuple(head for head in backbone.layout.heads if head.layer == 0)

    def fails(_rows):
        raise RuntimeError("no rule")

    for rule in (lambda r: np.arange(len(r)) % 2 == 0, fails):
        with contextlib.suppress(BackboneError):
            backbone.extract_early(examples, None, [EarlyExit(heads, 1, rule)])
    assert built.model.training
    assert [len(module._forward_pre_hooks) for module in built.model.modules()] == before


class Layer(torch.nn.Module):
    def forward(self, hidden_states, attention_mask=None, position_ids=None, **kwargs):  # noqa: ARG002
        return hidden_states


HIDDEN = torch.arange(4 * 5 * 2.0).reshape(4, 5, 2)


def narrower(*rows):
    made = _Narrower([], 5, 4)
    made.history += [np.array(one) for one in rows]
    return made


@pytest.mark.parametrize(
    ("name", "shape", "kept"),
    [
        ("attention_mask", (4, 1, 5, 5), (2, 1, 5, 5)),
        ("attention_mask", (1, 1, 5, 5), (1, 1, 5, 5)),
        ("attention_mask", (4, 5), (2, 5)),
        ("position_ids", (4, 5), (2, 5)),
        ("position_ids", (1, 5), (1, 5)),
        ("position_ids", (3, 4, 5), (3, 2, 5)),
        ("position_ids", (3, 1, 5), (3, 1, 5)),
        ("cache_position", (5,), (5,)),
        ("cos", (4, 5, 8), (2, 5, 8)),
        ("cos", (1, 5, 8), (1, 5, 8)),
        ("cos", (5, 8), (5, 8)),
        ("cos", (3, 4, 5, 8), (3, 2, 5, 8)),
        ("residual", (4, 5, 2), (2, 5, 2)),
        ("residual", (2, 5, 2), (2, 5, 2)),
    ],
)
def test__narrower__known_arguments__hold_the_rows_that_are_left(name, shape, kept):
    value = torch.arange(float(np.prod(shape))).reshape(shape)
    (hidden,), named = narrower([1, 3]).rows_for(Layer(), (HIDDEN,), {name: value})
    assert torch.equal(hidden, HIDDEN[[1, 3]])
    assert named[name].shape == kept
    if shape != kept:
        dim = next(i for i, (a, b) in enumerate(zip(shape, kept, strict=True)) if a != b)
        assert torch.equal(named[name], value.index_select(dim, torch.tensor([1, 3])))


def test__narrower__second_exit__takes_rows_of_what_is_left_already():
    (hidden,), named = narrower([0, 1, 3], [1, 3]).rows_for(
        Layer(), (HIDDEN[[0, 1, 3]],), {"attention_mask": HIDDEN[:, :, 0]}
    )
    assert torch.equal(hidden, HIDDEN[[1, 3]])
    assert torch.equal(named["attention_mask"], HIDDEN[[1, 3], :, 0])


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("alibi", torch.zeros(8, 1, 5)),
        ("cu_seq_lens_q", torch.zeros(5)),
        ("states", torch.zeros(4, 7, 2)),
        ("past_key_values", object()),
        ("attention_mask", {"full_attention": None}),
        ("attention_mask", torch.zeros(6, 1, 5, 5)),
        ("cos", torch.zeros(4, 1, 5, 8)),
    ],
)
def test__narrower__argument_whose_batch_is_unclear__is_not_guessed(name, value):
    with pytest.raises(_UnclearError):
        narrower([1, 3]).rows_for(Layer(), (HIDDEN,), {name: value})


def test__narrower__batch_of_three_with_rotary_axes__is_unclear():
    made = _Narrower([], 5, 3)
    made.history.append(np.array([1]))
    with pytest.raises(_UnclearError):
        made.rows_for(Layer(), (HIDDEN[:3],), {"cos": torch.zeros(3, 1, 5, 8)})
    with pytest.raises(_UnclearError):
        made.rows_for(Layer(), (HIDDEN[:3].reshape(15, 2),), {})
