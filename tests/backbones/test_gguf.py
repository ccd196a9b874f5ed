"""GGUF files: vectors of the very weights in the file, text alone, and one line for every other file."""

from __future__ import annotations

import builtins
import copy
import sys

import numpy as np
import pytest
from tests.backbones.conftest import ask

from savs import SAVModel
from savs.backbones import load_backbone
from savs.backbones._gguf import choose_file
from savs.backbones._tokenizers import TokenizerWarning
from savs.errors import BackboneError, MissingDependencyError

pytest.importorskip("gguf")
from tests.backbones.gguf_files import TEMPLATE, TEXTS, write_gguf


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """A folder with one GGUF file, and the model of its weights."""
    folder = tmp_path_factory.mktemp("gguf")
    return folder, write_gguf(folder / "small.Q8_0.gguf")


@pytest.fixture(scope="module")
def loaded(written):
    return load_backbone(written[0] / "small.Q8_0.gguf")


def plain_vectors(model, tokenizer, text: str) -> np.ndarray:
    """Return what goes into each layer's output projection at the last token, by hooks."""
    import torch

    seen = []
    hooks = [
        layer.self_attn.o_proj.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0][0, -1]))
        for layer in model.model.layers
    ]
    ids = tokenizer(f"<|user|>{text}<|assistant|>", add_special_tokens=False)["input_ids"]
    with torch.inference_mode():
        model(input_ids=torch.tensor([ids]))
    for hook in hooks:
        hook.remove()
    return torch.cat(seen).numpy()


def test__load__gguf_file__vectors_of_the_weights_in_it(written, loaded) -> None:
    found = loaded.extract([ask(text) for text in TEXTS]).features
    tokenizer = loaded.processor
    expected = np.stack([plain_vectors(written[1], tokenizer, text) for text in TEXTS])
    np.testing.assert_allclose(found, expected, atol=1e-5 * np.abs(expected).max())


def test__load__gguf_file__text_alone_with_its_chat_template(written, loaded) -> None:
    assert loaded.modalities == {"text"}
    assert loaded.processor.chat_template == TEMPLATE
    assert loaded.source == str(written[0] / "small.Q8_0.gguf")
    assert isinstance(loaded.generate([ask("red?")], max_new_tokens=2)[0], str)


def test__load__gguf_file__quantization_is_recorded_without_its_place(written, loaded, tmp_path) -> None:
    expected = {
        "method": "gguf",
        "settings": {"architecture": "llama", "quant_method": "gguf"},
        "weights": {"F32": 5, "Q8_0": 16},
    }
    assert loaded.fingerprint["quantization"] == expected
    moved = tmp_path / "other.gguf"
    moved.write_bytes((written[0] / "small.Q8_0.gguf").read_bytes())
    again = load_backbone(moved).fingerprint
    same = [name for name in again if name != "source"]
    assert {name: again[name] for name in same} == {name: loaded.fingerprint[name] for name in same}


def test__load__gguf_file__is_an_ordinary_model_afterwards(loaded) -> None:
    import torch

    model = copy.deepcopy(loaded.model)
    assert model.to(torch.float16).dtype == torch.float16
    assert model.float().dtype == torch.float32
    assert (
        load_backbone(loaded.model, processor=loaded.processor).fingerprint["quantization"]["method"]
        == "gguf"
    )


def test__load__folder_with_one_gguf_file__is_that_model(written, loaded) -> None:
    found = load_backbone(written[0])
    assert found.source == str(written[0])
    assert found.fingerprint["weights_digest"] == loaded.fingerprint["weights_digest"]


def test__load__folder_of_plain_weights_beside_a_gguf_file__the_plain_weights(folder_of, tmp_path) -> None:
    import shutil

    folder = shutil.copytree(folder_of("llama"), tmp_path / "model")
    (folder / "x.gguf").write_bytes(b"GGUF")
    assert load_backbone(folder).fingerprint["quantization"] is None


def test__fit_save_predict__gguf__the_same_answers(loaded, tmp_path) -> None:
    model = SAVModel(loaded, n_heads=2).fit([*TEXTS, *(f"{text} too" for text in TEXTS)], ["a", "b", "c"] * 2)
    model.save_pretrained(tmp_path / "saved")
    again = SAVModel.from_pretrained(tmp_path / "saved")
    assert list(again.predict(TEXTS)) == list(model.predict(TEXTS))


def test__load__several_gguf_files__names_them(tmp_path) -> None:
    for name in ("small.Q4_0.gguf", "small.Q8_0.gguf"):
        (tmp_path / name).touch()
    with pytest.raises(BackboneError, match=r"2 GGUF files: small\.Q4_0\.gguf, small\.Q8_0\.gguf; name"):
        load_backbone(tmp_path)


def test__choose_file__projector_beside_a_model__the_model() -> None:
    assert choose_file("here", ["mmproj-model-f16.gguf", "model.Q4_K_M.gguf"]) == "model.Q4_K_M.gguf"
    assert choose_file("here", []) is None


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        (["mmproj-model-f16.gguf"], "a multimodal projector, which transformers does not read"),
        (["big-00001-of-00002.gguf", "big-00002-of-00002.gguf"], "one part of a model in several GGUF files"),
    ],
)
def test__choose_file__no_whole_model__says_what_it_is(names, reason) -> None:
    with pytest.raises(BackboneError, match=rf"^here: .*{reason}"):
        choose_file("here", names)


@pytest.mark.parametrize(
    ("name", "options", "reason"),
    [
        ("vision.gguf", {"kind": "mmproj"}, "a multimodal projector"),
        ("lora.gguf", {"kind": "adapter"}, r"holds no model but something else \(adapter\)"),
        ("part.gguf", {"split_count": 3}, "one part of a model in several GGUF files"),
    ],
)
def test__load__gguf_file_without_a_whole_model__says_what_it_is(name, options, reason, tmp_path) -> None:
    write_gguf(tmp_path / name, **options)
    with pytest.raises(BackboneError, match=reason):
        load_backbone(tmp_path / name)


@pytest.mark.parametrize("content", [b"", b"GGUF", b"GGUF\x03\x00\x00\x00" + b"\xff" * 32, b"<html>" * 20])
def test__load__broken_gguf_file__one_line(content, tmp_path) -> None:
    (tmp_path / "x.gguf").write_bytes(content)
    with pytest.raises(
        BackboneError, match=r"it is not a whole GGUF file \(\w+\); copy or download it again$"
    ):
        load_backbone(tmp_path / "x.gguf")


def test__load__gguf_file_cut_short__one_line(written, tmp_path) -> None:
    whole = (written[0] / "small.Q8_0.gguf").read_bytes()
    (tmp_path / "x.gguf").write_bytes(whole[: len(whole) // 2])
    with pytest.raises(BackboneError, match="not a whole GGUF file"):
        load_backbone(tmp_path / "x.gguf")


def test__load__gguf_file_that_is_not_there__one_line(tmp_path) -> None:
    with pytest.raises(BackboneError, match=r"^there is no file \S+none\.gguf$"):
        load_backbone(str(tmp_path / "none.gguf"))


def test__load__gguf_file_and_a_quantization__refused(written) -> None:
    with pytest.raises(BackboneError, match=r"quantized already \(gguf\)"):
        load_backbone(written[0], quantization="bnb-4bit")


def test__load__rule_for_cutting_text_that_transformers_does_not_know__warning(tmp_path) -> None:
    pytest.importorskip("transformers.integrations.gguf.gguf_tokenizer_mapping")
    write_gguf(tmp_path / "x.gguf", pre="of-another-kind")
    with pytest.warns(
        TokenizerWarning, match=r"cut by the rule 'of-another-kind', which transformers does not"
    ):
        load_backbone(tmp_path / "x.gguf")


def test__load__without_the_package__names_the_extra(written, monkeypatch) -> None:
    real = builtins.__import__

    def without(name, *args, **options):
        if name.partition(".")[0] == "gguf":
            raise ModuleNotFoundError(f"No module named {name!r}", name="gguf")
        return real(name, *args, **options)

    monkeypatch.setattr(builtins, "__import__", without)
    monkeypatch.setitem(sys.modules, "gguf", None)
    with pytest.raises(MissingDependencyError, match=r"savs\[gguf\]"):
        load_backbone(written[0])
