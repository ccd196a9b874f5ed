"""What every family owes: the same vectors alone, in any batch, in any order, and as read without savs.

All families that can be built here with a real processor; see `families`.
"""

from __future__ import annotations

import numpy as np
import pytest
import torch
from tests.backbones.families import IMAGES
from tests.backbones.families.reference import reference

from savs.backbones import TransformersBackbone
from savs.backbones._batching import BatchEncoder, render_all

# transformers 5.23 makes training labels for PaliGemma with an outdated numpy call.
pytestmark = [
    pytest.mark.slow,
    pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning"),
]

# Largest difference, relative to the largest entry of all vectors. In bfloat16 an entry is rounded to 2**-8
# of itself at every step, and batches of other shapes add up in another order.
TOLERANCE = {torch.float32: 1e-5, torch.bfloat16: 4e-2}
ONE_IMAGE = ("blip2",)
# Every token of PaliGemma's prompt sees the later ones; BLIP-2's images have no place in the text.
NO_PREFIX = ("paligemma", "blip2")
TASK = "the red dog sat on a blue mat. The blue cat sat on the red dog. Say Yes or No, and nothing else. "


def assert_same(found: np.ndarray, expected: np.ndarray, dtype: torch.dtype = torch.float32) -> None:
    assert found.shape == expected.shape
    assert np.isfinite(found).all()
    scale = np.abs(expected).max()
    np.testing.assert_array_less(np.abs(found - expected), TOLERANCE[dtype] * scale)


def backbone_of(built, **options) -> TransformersBackbone:
    return TransformersBackbone(built.model, built.processor, **({"prefix_reuse": False} | options))


def test__contract__takes_in__at_least_sixteen_image_families() -> None:
    assert len(IMAGES) >= 16


def test__fault_21__any_batch_and_order__equal_the_unbatched_reference(
    contract_family, family, examples_for
) -> None:
    built, examples = family(contract_family), examples_for(contract_family)
    expected = np.stack([reference(built, example) for example in examples])
    assert np.abs(expected).max() > 0.5
    assert np.abs(expected[0] - expected[1:]).max(1).min() > 0.1
    found = backbone_of(built, batch_size=16).extract(examples)
    assert found.features.dtype == np.float32
    assert found.indices.tolist() == list(range(len(examples)))
    assert_same(found.features, expected)
    assert_same(backbone_of(built, batch_size=1).extract(examples).features, expected)
    order = np.random.default_rng(0).permutation(len(examples))
    shuffled = backbone_of(built, batch_size=2).extract([examples[i] for i in order])
    assert_same(shuffled.features, expected[order])


def test__fault_21__bfloat16__batched_equals_single(contract_images, fresh_family, examples_for) -> None:
    built, examples = fresh_family(contract_images), examples_for(contract_images)
    built.model.to(torch.bfloat16)
    single = backbone_of(built, batch_size=1).extract(examples).features
    together = backbone_of(built, batch_size=16).extract(examples).features
    assert_same(together, single, torch.bfloat16)


def test__encode__prompts_with_as_many_images__are_one_batch(contract_images, family, ask, image) -> None:
    built = family(contract_images)
    texts = ["a?", "is this a cat?", "the red dog sat on a blue mat. Yes or No."]
    examples = [ask(image(i, 40 + 8 * i, 56 - 8 * i), text) for i, text in enumerate(texts)]
    batches, failures = BatchEncoder(built.processor).encode(render_all(built.processor, examples)[0])
    assert not failures
    assert [batch.indices for batch in batches] == [[0, 1, 2]]
    assert batches[0].attention_mask.sum(1).unique().numel() > 1


def test__extract__image_swapped__vectors_differ(contract_images, family, ask, image) -> None:
    built = family(contract_images)
    backbone = backbone_of(built)
    one = [ask(image(1), "red?"), ask(image(2), "red?"), ask(image(1), "red?")]
    rows = backbone.extract(one).features
    assert np.abs(rows[0] - rows[1]).max() > 1e-3 * np.abs(rows).max()
    assert_same(rows[2], rows[0])
    if contract_images in ONE_IMAGE:
        return
    first, second = image(1), image(2)
    pair = [ask(first, second, "same?"), ask(second, first, "same?"), ask(first, second, "same?")]
    rows = backbone.extract(pair).features
    assert np.abs(rows[0] - rows[1]).max() > 1e-3 * np.abs(rows).max()
    assert_same(rows[2], rows[0])


def test__prefix_reuse__questions_on_two_images__same_vectors(contract_images, family, ask, image) -> None:
    built = family(contract_images)
    questions = ["is this a cat?", "Yes or No", "the red dog sat on a blue mat. Is it?", "a?"]
    first, second = image(1, 64, 64), image(2, 48, 80)
    examples = [ask(first, TASK + text) for text in questions]
    examples += [ask(second, TASK + text) for text in questions[:3]]
    plain = backbone_of(built).extract(examples).features
    backbone = backbone_of(built, prefix_reuse=True)
    assert_same(backbone.extract(examples).features, plain)
    if contract_images in NO_PREFIX:
        assert backbone.report.n_reused == 0
        assert backbone.report.prefix_check is None or backbone.report.prefix_check.startswith("failed")
    else:
        assert backbone.report.prefix_check == "passed"
        assert backbone.report.n_reused == 7
