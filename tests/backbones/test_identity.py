"""The same backbone by other names is the same; another backbone is another one."""

from __future__ import annotations

from typing import Any

import pytest

from savs.backbones import load_backbone
from savs.backbones._identity import RECORDED_ONLY, differing, other_libraries, without_names

OLD = {
    "source": "folder",
    "commit": None,
    "model_class": "Model",
    "config_digest": "c",
    "weights_digest": "w",
    "processor_class": "Processor",
    "processor_digest": "p",
    "processor_backend": "pil",
    "dtype": "float32",
    "versions": {"transformers": "5.3.0", "tokenizers": "0.22.0"},
}
NEW = OLD | {
    "config_file_digest": "cf",
    "processor_files_digest": "pf",
    "config": {"hidden_size": 8, "rope": {"theta": 1.0}},
    "processor": {"size": 9},
    "tokenizer_digest": "t",
    "unnamed_weights_digest": "u",
}
NEWER = {"versions": {"transformers": "5.6.0", "tokenizers": "0.22.0"}}
RENAMED = {"config_digest": "c2", "model_class": "Model2", "processor_digest": "p2", "processor_class": "P2"}
NO_FILES = {"config_file_digest": None, "processor_files_digest": None}


def unlike(saved: dict[str, Any], **current: Any) -> set[str]:
    now = NEW | current
    return set(differing(saved, now, (saved.keys() | now.keys()) - RECORDED_ONLY))


def test__same_files__read_by_another_release_in_another_way__same():
    assert unlike(NEW, **NEWER, **RENAMED) == set()
    assert unlike(NEW, **RENAMED) == set()


@pytest.mark.parametrize("name", ["dtype", "commit", "quantization", "something new"])
def test__fault_30__what_was_handed_in__must_agree_under_every_release(name):
    assert unlike(NEW, **{name: "other"}) == {name}
    assert unlike(NEW, **NEWER, **{name: "other"}) == {name}


def test__other_files__values_in_memory_decide():
    assert unlike(NEW, config_file_digest="other", processor_files_digest="other") == set()
    changed = {"config_file_digest": "other", "config_digest": "c2"}
    assert unlike(NEW, **changed) == {"config_digest"}


def test__model_objects__entries_that_one_release_knows_alone__do_not_count():
    saved = NEW | NO_FILES
    more = {"hidden_size": 8, "rope": {"theta": 1.0, "kind": "default"}, "new": 3}
    now = NO_FILES | {"config_digest": "c2", "config": more}
    assert unlike(saved, **now, **NEWER) == set()
    assert unlike(saved, **now) == {"config_digest"}  # under one release nobody but the user added them
    less = {"hidden_size": 8}
    assert unlike(saved, **now | {"config": less}, **NEWER) == set()
    other = {"hidden_size": 8, "rope": {"theta": 9.0}}
    assert unlike(saved, **now | {"config": other}, **NEWER) == {"config_digest"}
    assert unlike(saved, **now | {"config": {"hidden_size": 8, "rope": None}}, **NEWER) == {"config_digest"}
    assert unlike(OLD, **now, **NEWER) == {"config_digest"}  # an older savs kept no values


def test__model_objects__processor__needs_the_same_tokenizer():
    saved = NEW | NO_FILES
    now = NO_FILES | {"processor_digest": "p2", "processor": {"size": 9, "new": 1}}
    assert unlike(saved, **now, **NEWER) == set()
    assert unlike(saved, **now, **NEWER, tokenizer_digest="t2") == {"processor_digest"}
    assert unlike(saved, **now | {"processor": {"size": 7}}, **NEWER) == {"processor_digest"}


def test__weights__other_names_under_another_release__same_values_count():
    assert unlike(NEW, weights_digest="w2") == {"weights_digest"}
    assert unlike(NEW, weights_digest="w2", **NEWER) == set()
    assert unlike(NEW, weights_digest="w2", unnamed_weights_digest="u2", **NEWER) == {"weights_digest"}


def test__processor_backend__recorded_by_class_before__is_a_name_and_pil_against_torchvision_is_not():
    by_class = NEW | {"processor_backend": "Qwen2VLImageProcessor", "processor_digest": "p0"}
    assert unlike(by_class, **NEWER) == set()
    assert unlike(by_class) == {"processor_backend"}
    assert unlike(NEW, processor_backend="torchvision", **NEWER) == {"processor_backend"}


def test__older_savs_without_digests_of_files__same_commit_or_bundled_model__same():
    assert unlike(OLD, **RENAMED, **NEWER) == {*RENAMED}
    assert unlike(OLD | {"commit": "abc"}, commit="abc", **RENAMED, **NEWER) == set()
    assert unlike(OLD | {"commit": "abc"}, commit="abc", weights_digest="w2", **RENAMED) == {
        *RENAMED,
        "weights_digest",
    }
    assert unlike(OLD, source="tiny", **RENAMED) == set()
    changed_after_loading = NO_FILES | RENAMED
    assert unlike(OLD, source="tiny", **changed_after_loading) == {*RENAMED}


def test__other_libraries__are_named_where_both_are_known():
    assert other_libraries(NEW, NEW | NEWER) == ["transformers 5.3.0 -> 5.6.0"]
    assert other_libraries(NEW | {"versions": ["5.3.0"]}, NEW) == []  # of a file that was written by hand
    assert (
        other_libraries(NEW, NEW)
        == other_libraries({}, NEW)
        == other_libraries({"versions": None}, NEW)
        == []
    )


def test__without_names__older_identity__is_left_as_it_is():
    old = {name: value for name, value in OLD.items() if name not in {"source", "versions"}}
    assert without_names(old) == old


def test__weights_under_other_names__real_model__has_the_same_unnamed_digest(fresh_family):
    from savs.backbones import TransformersBackbone

    built = fresh_family("llama")
    before = TransformersBackbone(built.model, built.processor).fingerprint
    layers = built.model.model.layers
    layers[0].mlp.gate, layers[0].mlp.gate_proj = layers[0].mlp.gate_proj, None
    del layers[0].mlp.gate_proj
    after = TransformersBackbone(built.model, built.processor).fingerprint
    assert before["weights_digest"] != after["weights_digest"]
    assert before["unnamed_weights_digest"] == after["unnamed_weights_digest"]
    import torch

    with torch.no_grad():
        layers[0].mlp.gate.weight[0, 0] += 1
    changed = TransformersBackbone(built.model, built.processor).fingerprint
    assert changed["unnamed_weights_digest"] != after["unnamed_weights_digest"]


def test__same_folder__loaded_under_other_kernels__has_one_key_identity(folder_of):
    first = load_backbone(folder_of("llama")).fingerprint
    second = load_backbone(folder_of("llama"), attn_implementation="eager").fingerprint
    assert without_names(first) == without_names(second)
