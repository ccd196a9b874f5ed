"""A backbone leaves its model as it was, and every bad item is an error of its own.

That vectors are right is in `test_contract.py`.
"""

from __future__ import annotations

import hashlib
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image as PILImage
from tests.backbones.families.reference import projections, reference

from savs.backbones import Backbone, FakeBackbone, TransformersBackbone
from savs.backbones._batching import BatchEncoder, by_length, render_all, take
from savs.backbones._forward import accepted_inputs, frozen
from savs.backbones._record import recording
from savs.cache import with_store
from savs.data import Example, Message, Text
from savs.errors import ActivationError, BackboneError, ExampleError, MediaError
from savs.layout import Head
from savs.media import Image

# transformers 5.23 makes training labels for PaliGemma with an outdated numpy call.
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

TOLERANCE = 1e-5  # float32; vectors go up to about 4, and batch composition moves them by up to 2.5e-6


def test__fault_21__left_padding__same_vectors(any_family, family, examples_for) -> None:
    if any_family == "gpt2":
        pytest.skip("learned positions: left padding shifts them, which is why savs pads on the right")
    built, examples = family(any_family), examples_for(any_family)
    backbone = TransformersBackbone(built.model, built.processor)
    right = backbone.extract(examples).features
    left = np.full_like(right, np.nan)
    waiting = by_length(render_all(built.processor, examples)[0])
    with frozen(built.model):
        while waiting:
            group = take(waiting, 8)
            del waiting[: len(group)]
            for batch in BatchEncoder(built.processor).encode(group, "left")[0]:
                with recording(backbone._anatomy.sites, batch.attention_mask) as recorded:
                    built.model(**accepted_inputs(built.model, batch.inputs), use_cache=False)
                rows = torch.cat([recorded.vectors[site] for site in backbone._anatomy.sites], dim=1)
                left[batch.indices] = rows.numpy()
    np.testing.assert_allclose(left, right, atol=TOLERANCE)


def test__extract__some_heads__are_those_columns_and_the_pass_ends_early(
    any_family, family, examples_for
) -> None:
    built, examples = family(any_family), examples_for(any_family)
    backbone = TransformersBackbone(built.model, built.processor)
    heads = [Head(0, 3), Head(0, 1)]
    ran: list[int] = []
    hooks = [m.register_forward_hook(lambda *_: ran.append(1)) for m in projections(built.model)]
    try:
        some = backbone.extract(examples, heads).features
    finally:
        for hook in hooks:
            hook.remove()
    assert not ran
    full = backbone.extract(examples).features
    assert np.array_equal(some, full[:, backbone.layout.column_indices(heads)])


def state_of(model: Any, processor: Any) -> dict[str, Any]:
    digest = hashlib.sha256()
    for name, tensor in model.state_dict().items():
        digest.update(name.encode() + tensor.numpy().tobytes())
    tokenizer = getattr(processor, "tokenizer", processor)
    hooks = {
        (name, key): list(value)
        for name, module in model.named_modules()
        for key, value in vars(module).items()
        if key.endswith("hooks") and value
    }
    return {
        "weights": digest.hexdigest(),
        "hooks": hooks,
        "training": {name: module.training for name, module in model.named_modules()},
        "padding": (tokenizer.padding_side, tokenizer.pad_token, tokenizer.truncation_side, len(tokenizer)),
        "config": model.config.to_dict(),
        "kernel": model.config._attn_implementation,
        "generation": model.generation_config.to_dict(),
        "grad": {name: p.requires_grad for name, p in model.named_parameters()},
        "attributes": {name: sorted(vars(module)) for name, module in model.named_modules()},
        "gradients on": torch.is_grad_enabled(),
    }


def test__fault_22__after_every_call__model_is_as_it_was(any_family, fresh_family, examples_for) -> None:
    built, examples = fresh_family(any_family), examples_for(any_family)
    built.model.train()
    next(built.model.children()).eval()
    calls: list[int] = []
    theirs = projections(built.model)[0].register_forward_pre_hook(lambda *_: calls.append(1))
    backbone = TransformersBackbone(built.model, built.processor, batch_size=3)
    before = state_of(built.model, built.processor)
    backbone.extract(examples)
    backbone.extract(examples, [Head(0, 0)])
    backbone.last_layer_states(examples)
    backbone.generate(examples[:2], max_new_tokens=2)
    _ = backbone.fingerprint
    assert state_of(built.model, built.processor) == before
    assert calls
    theirs.remove()


def test__fault_22__exception_inside_the_forward__model_is_as_it_was(fresh_family, examples_for) -> None:
    built = fresh_family("llava")
    built.model.train()

    def fail(*_: Any) -> None:
        raise RuntimeError("kernel\nfailure")

    handle = projections(built.model)[1].register_forward_pre_hook(fail)
    before = state_of(built.model, built.processor)
    backbone = TransformersBackbone(built.model, built.processor)
    with pytest.raises(
        BackboneError, match=r"LlavaForConditionalGeneration failed .* RuntimeError: kernel failure"
    ) as e:
        backbone.extract(examples_for("llava"))
    assert state_of(built.model, built.processor) == before
    with pytest.raises(BackboneError):
        backbone.generate(examples_for("llava"))
    assert state_of(built.model, built.processor) == before
    assert e.value.__cause__ is not None
    handle.remove()


def test__fault_22__interrupted__model_is_as_it_was(fresh_family, examples_for) -> None:
    built = fresh_family("qwen2_5_vl")

    def interrupt(*_: Any) -> None:
        raise KeyboardInterrupt

    handle = projections(built.model)[1].register_forward_pre_hook(interrupt)
    before = state_of(built.model, built.processor)
    with pytest.raises(KeyboardInterrupt):
        TransformersBackbone(built.model, built.processor).extract(examples_for("qwen2_5_vl"))
    assert state_of(built.model, built.processor) == before
    handle.remove()


def test__fault_18__image_token_in_the_text__error_with_both_numbers(
    image_family, family, ask, image
) -> None:
    built = family(image_family)
    token = built.processor.image_token
    if token == "<image>":
        pytest.skip("the marker itself: see the marker tests")
    backbone = TransformersBackbone(built.model, built.processor)
    with pytest.raises(ExampleError, match=r"^x: the prompt has 3 .* tokens but there are 1 images"):
        backbone.extract([ask(image(1), f"what {token}{token}?", id="x")])


def test__fault_18__markers_not_one_per_image__error_with_both_numbers(family, ask, image) -> None:
    built = family("llava")
    backbone = TransformersBackbone(built.model, built.processor)
    with pytest.raises(ExampleError, match=r"^x: the text has 2 <image> marker.* 1 image"):
        backbone.extract([ask(image(1), "a <image> b <image>", id="x")])
    good = [ask(image(1), "a <image> b"), ask("a ", image(1), " b")]
    rows = backbone.extract(good).features
    np.testing.assert_allclose(rows[0], rows[1], atol=TOLERANCE)


def test__fault_19__nan_weights__activation_error_names_layer_and_head(fresh_family, examples_for) -> None:
    built, examples = fresh_family("llava"), examples_for("llava")
    with torch.no_grad():
        # Query heads 2 and 3 of the second layer share this key-value head.
        built.model.model.language_model.layers[1].self_attn.v_proj.weight[12:24] = float("nan")
    backbone = TransformersBackbone(built.model, built.processor)
    with pytest.raises(ActivationError, match=r"layer 1, head 2\b") as error:
        backbone.extract(examples)
    assert error.value.id in {example.id for example in examples}
    found = backbone.extract(examples, max_errors=-1)
    assert found.features.shape == (0, backbone.layout.width)
    assert [e.id for e in found.errors] == [example.id for example in examples]
    assert backbone.extract(examples, [Head(0, 0), Head(1, 1)]).features.shape == (len(examples), 24)


def test__extract__bad_items_among_good__others_are_not_affected(family, examples_for, ask, tmp_path) -> None:
    built, good = family("llava"), examples_for("llava")
    broken = tmp_path / "broken.png"
    broken.write_bytes(b"no picture")
    bad = [ask(tmp_path / "missing.png", "a?", id="gone"), ask(broken, "a?", id="broken"), ask(id="empty")]
    items = [bad[0], *good[:3], bad[1], *good[3:], bad[2]]
    backbone = TransformersBackbone(built.model, built.processor, batch_size=3)
    found = backbone.extract(items, max_errors=3)
    assert [error.id for error in found.errors] == ["gone", "broken", "empty"]
    assert [type(error) for error in found.errors] == [MediaError, MediaError, ExampleError]
    assert found.indices.tolist() == [1, 2, 3, *range(5, 5 + len(good) - 3)]
    np.testing.assert_allclose(found.features, backbone.extract(good).features, atol=TOLERANCE)
    with pytest.raises(MediaError):
        backbone.extract(items, max_errors=2)
    with pytest.raises(ExampleError):
        backbone.extract(items)


def test__extract__processor_refuses_one__only_that_one_is_lost(
    family, examples_for, ask, monkeypatch
) -> None:
    built, good = family("qwen2_vl"), examples_for("qwen2_vl")
    # An aspect ratio that Qwen's image processor refuses, within savs' own limits.
    thin = np.zeros((20, 900, 3), dtype=np.uint8)
    monkeypatch.setattr(
        "savs.backbones._batching.decode_image", lambda source, **_: PILImage.fromarray(source)
    )
    monkeypatch.setattr(built.processor.image_processor, "size", built.processor.image_processor.size)
    wide = np.zeros((2, 900, 3), dtype=np.uint8)
    backbone = TransformersBackbone(built.model, built.processor, batch_size=8)
    found = backbone.extract([*good, ask(wide, "a?", id="wide"), ask(thin, "a?")], max_errors=1)
    assert [(error.id, error.code) for error in found.errors] == [("wide", "processor_refused")]
    assert found.indices.tolist() == [*range(len(good)), len(good) + 1]
    np.testing.assert_allclose(found.features[:-1], backbone.extract(good).features, atol=TOLERANCE)


def test__extract__images_for_a_text_model__error(family, ask, image) -> None:
    built = family("llama")
    backbone = TransformersBackbone(built.model, built.processor)
    assert backbone.modalities == {"text"}
    with pytest.raises(ExampleError, match=r"^p: it has 1 image.*text only"):
        backbone.extract([ask(image(1), "a?", id="p")])


def test__extract__prompt_longer_than_the_positions__error_with_both_numbers(family, ask) -> None:
    built = family("gpt2")
    backbone = TransformersBackbone(built.model, built.processor)
    with pytest.raises(ExampleError, match=r"^long: its prompt has 300 tokens .* at most 128"):
        backbone.extract([ask("a?", id="short"), ask("!" * 300, id="long")])


def test__extract__nothing__empty_rows(family) -> None:
    built = family("llama")
    backbone = TransformersBackbone(built.model, built.processor)
    assert backbone.extract([]).features.shape == (0, 96)
    assert backbone.last_layer_states([]).shape == (0, 32)
    assert backbone.generate([]) == []


def test__extract__unknown_or_no_head__error(family, ask) -> None:
    backbone = TransformersBackbone(family("llama").model, family("llama").processor)
    with pytest.raises(BackboneError, match=r"no head \(7, 0\)"):
        backbone.extract([ask("a")], [Head(7, 0)])
    with pytest.raises(BackboneError, match="heads"):
        backbone.extract([ask("a")], [])


@pytest.mark.parametrize("heads", ["0", 5, ["0"], [0], [(0, 0, 0)], [(0.0, 1)]], ids=repr)
def test__extract__heads_that_are_none__one_line_from_every_backbone(family, ask, tmp_path, heads) -> None:
    real = TransformersBackbone(family("llama").model, family("llama").processor)
    for backbone in (real, with_store(real, tmp_path / "store"), FakeBackbone()):
        with pytest.raises(BackboneError, match="the wanted heads cannot be used: a ") as caught:
            backbone.extract([ask("a")], heads)
        assert str(caught.value).isprintable()


@pytest.mark.parametrize("batch_size", [0, -1, 2.0, "8", True])
def test__backbone__bad_batch_size__error(batch_size, family) -> None:
    with pytest.raises(BackboneError, match="batch size"):
        TransformersBackbone(family("llama").model, family("llama").processor, batch_size=batch_size)


def test__last_layer_states__every_family__equal_the_models_own_output(
    any_family, family, examples_for
) -> None:
    built, examples = family(any_family), examples_for(any_family)[:4]
    backbone = TransformersBackbone(built.model, built.processor, batch_size=4)
    states = backbone.last_layer_states(examples)
    head = built.model.get_output_embeddings()
    seen: list[torch.Tensor] = []
    handle = head.register_forward_pre_hook(lambda _m, a: seen.append(a[0]))
    for example in examples:
        reference(built, example)
    handle.remove()
    expected = torch.stack([tensor[0, -1] for tensor in seen]).detach().numpy()
    np.testing.assert_allclose(states, expected, atol=TOLERANCE)


def test__extract__chat_with_several_turns__reads_all_of_them(family, image) -> None:
    built = family("gemma3")
    backbone = TransformersBackbone(built.model, built.processor)

    def chat(first: str) -> Example:
        turns = (Message("user", (Image(image(1)), Text(first))), Message("assistant", (Text("yes"),)))
        return Example((*turns, Message("user", (Text("sure?"),))))

    rows = backbone.extract([chat("red?"), chat("blue?"), chat("red?")]).features
    assert np.abs(rows[0] - rows[1]).max() > 1e-3
    np.testing.assert_allclose(rows[0], rows[2], atol=TOLERANCE)


def test__backbone__is_one(family) -> None:
    assert isinstance(TransformersBackbone(family("llama").model, family("llama").processor), Backbone)


def test__extract__float16_images_and_ragged_sizes__every_row_finite(fresh_family, examples_for) -> None:
    built = fresh_family("qwen2_5_vl")
    built.model.to(torch.float16)
    rows = TransformersBackbone(built.model, built.processor).extract(examples_for("qwen2_5_vl")).features
    assert rows.dtype == np.float32
    assert np.isfinite(rows).all()


def test__progress__not_a_terminal__stderr_stays_empty(family, ask, capsys) -> None:
    built = family("llama")
    TransformersBackbone(built.model, built.processor).extract([ask("a")] * 3, progress=True)
    assert capsys.readouterr() == ("", "")


def test__extract__two_threads_on_one_model__each_gets_its_own_vectors(family, ask) -> None:
    built = family("qwen3")
    backbones = [TransformersBackbone(built.model, built.processor, batch_size=1) for _ in range(2)]
    asked = [[ask(f"{word} number {i}") for i in range(12)] for word in ("red", "dog")]
    expected = [backbones[0].extract(examples).features for examples in asked]
    with ThreadPoolExecutor(2) as pool:
        for _ in range(3):
            found = pool.map(lambda one, examples: one.extract(examples).features, backbones, asked)
            for rows, right in zip(found, expected, strict=True):
                np.testing.assert_array_equal(rows, right)
    assert not any(module._forward_pre_hooks for module in built.model.modules())


def _asked(*parts: Any) -> Example:
    made = tuple(Text(part) if isinstance(part, str) else Image(part) for part in parts)
    return Example((Message("user", made),))


def test__extract__language_model_with_a_image_processor__refused_instead_of_blind(family) -> None:
    backbone = TransformersBackbone(family("llama").model, family("llava").processor)
    image = PILImage.new("RGB", (40, 40), (200, 0, 0))
    with pytest.raises(BackboneError, match="takes no pixel_values, so images would be ignored"):
        backbone.extract([_asked(image, "red?")])


def test__extract__inside_a_hook_of_its_own_model__refused_and_nothing_stays(fresh_family) -> None:
    built = fresh_family("llama")
    backbone = TransformersBackbone(built.model, built.processor, batch_size=1, prefix_reuse=False)
    examples = [_asked("the red dog"), _asked("the red mat")]
    before = backbone.extract(examples).features
    nested: list[Any] = []

    def ask(*_: Any) -> None:
        if not nested:
            nested.append(None)
            # As long as the prompt that waits: its hooks would take this one's vectors for their own.
            nested[0] = backbone.extract(examples[1:], [Head(0, 0)])

    handle = built.model.model.embed_tokens.register_forward_hook(ask)
    with pytest.raises(BackboneError, match="while it computes others"):
        backbone.extract(examples)
    handle.remove()
    np.testing.assert_array_equal(backbone.extract(examples).features, before)


@pytest.mark.parametrize(
    ("name", "token"),
    [("gemma3", "<image_soft_token>"), ("aya_vision", "<|IMG_PATCH|>"), ("ovis2", "<IMG_ATOM>")],
)
def test__extract__text_with_the_token_of_pixels__error_of_that_item_alone(name, token, family) -> None:
    built, image = family(name), PILImage.new("RGB", (40, 40), (200, 0, 0))
    backbone = TransformersBackbone(built.model, built.processor, batch_size=4)
    found = backbone.extract(
        [_asked(image, f"is {token} red?"), _asked(image, "red?"), _asked(f"a {token}")], max_errors=-1
    )
    assert found.indices.tolist() == [1]
    assert all(token in error.message and error.code == "image_count" for error in found.errors)


def test__encoder__two_backbones_with_one_tokenizer__one_lock(family) -> None:
    processor = family("llava").processor
    backbones = [TransformersBackbone(family(name).model, processor) for name in ("llava", "vipllava")]
    assert backbones[0]._encoder.lock is backbones[1]._encoder.lock
