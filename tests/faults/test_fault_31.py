"""Code that computes other vectors than those of a saved classifier or a store is noticed and named.

The bundled model runs for real. Another release is another recorded version, and where it is to compute
something else, positions of the decoder that are really other ones (`drifting.py`).
"""

from __future__ import annotations

import json
import os
import re
import shutil
import subprocess
import sys
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from tests.faults import drifting

import savs
from savs import SAVModel, load_backbone
from savs.artifact import load_artifact
from savs.backbones import TransformersBackbone
from savs.backbones._probes import is_probe, probe
from savs.cache import FeatureStore, with_store
from savs.cli.main import run
from savs.data import as_examples
from savs.errors import DriftError, StoreError
from savs.model import MultiLabelModel

pytestmark = pytest.mark.slow

SHOTS = ["a red bus", "a crimson car", "a blue boat", "a navy plane"]
LABELS = ["warm", "warm", "cold", "cold"]


@pytest.fixture(autouse=True)
def home(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("SAVS_HOME", str(tmp_path / "home"))
    return tmp_path / "home"


@pytest.fixture(scope="module")
def backbone():
    return load_backbone("tiny")


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    """A classifier that was fitted under another release of transformers, which computes the same."""
    folder = tmp_path_factory.mktemp("saved") / "colors"
    with drifting.recorded_as("5.3.0"):
        SAVModel(load_backbone("tiny"), n_heads=5).fit(SHOTS, LABELS).save_pretrained(folder)
    return folder


@pytest.fixture
def probed(monkeypatch) -> Counter:
    """Count the probes that pass a model."""
    found: Counter = Counter()
    real = TransformersBackbone.extract

    def counting(self, examples, *rest, **options):
        found.update(example.id for example in examples if is_probe(example.id))
        return real(self, examples, *rest, **options)

    monkeypatch.setattr(TransformersBackbone, "extract", counting)
    return found


def test__fault_31__classifier__same_versions__no_probe_is_read(backbone, probed, tmp_path):
    SAVModel(backbone, n_heads=5).fit(SHOTS, LABELS).save_pretrained(tmp_path / "new")
    assert probed == {"text 1": 1, "text 2": 1}  # the shots are texts
    probed.clear()
    SAVModel.from_pretrained(tmp_path / "new", backbone=backbone).predict(SHOTS)
    assert not probed


def test__fault_31__classifier__other_release_same_vectors__silent_and_checked_once(
    backbone, saved, probed, home
):
    assert load_artifact(saved).canary.environment["transformers"] == "5.3.0"
    model = SAVModel.from_pretrained(saved, backbone=backbone)  # warnings are errors here
    assert model.predict(SHOTS).tolist() == LABELS
    assert probed == {"text 1": 1, "text 2": 1}
    assert len(list((home / "canaries").iterdir())) == 1
    probed.clear()
    SAVModel.from_pretrained(saved, backbone=load_backbone("tiny")).predict(SHOTS)
    assert not probed


def test__fault_31__classifier__cache_that_cannot_be_written__is_checked_every_time(
    backbone, saved, probed, home
):
    home.write_text("a file where the folder should be")
    for _ in range(2):
        SAVModel.from_pretrained(saved, backbone=backbone).predict(SHOTS)
    assert probed == {"text 1": 2, "text 2": 2}


def test__fault_31__classifier__other_positions__refused_with_versions_and_difference(backbone, saved, home):
    with drifting.other_positions():
        with pytest.raises(DriftError) as caught:
            SAVModel.from_pretrained(saved, backbone=backbone)
        model = SAVModel.from_pretrained(saved, backbone=backbone, accept_drift=True)
        assert len(model.predict(SHOTS)) == 4
        with pytest.raises(DriftError):  # accepted for that one alone
            SAVModel.from_pretrained(saved, backbone=backbone)
    text = str(caught.value)
    assert re.search(r"than the classifier was fitted on \(transformers 5\.3\.0 -> [\d.]+\): ", text)
    assert re.search(r"differ by up to [\d.]+ where the largest entry is [\d.]+, ", text)
    assert text.endswith(
        "fit again, install those versions again, or accept the difference with accept_drift=True"
    )
    assert caught.value.changed.keys() == {"transformers"}
    assert caught.value.difference > 100 * caught.value.tolerance
    assert not home.exists()
    SAVModel.from_pretrained(saved, backbone=backbone).predict(SHOTS)


def test__fault_31__classifier__other_kernel__is_checked_and_is_rounding(saved, probed):
    model = SAVModel.from_pretrained(saved, backbone="tiny", attn_implementation="eager")
    assert model.predict(SHOTS).tolist() == LABELS
    assert set(probed) == {"text 1", "text 2"}


def test__fault_31__classifier__difference_that_was_accepted_by_name__is_not_refused_again(saved):
    accepted = ("dtype", "weights_digest")
    model = SAVModel.from_pretrained(saved, backbone="tiny", dtype="bfloat16", allow_mismatch=accepted)
    assert len(model.predict(SHOTS)) == 4


def test__fault_31__classifier__with_images__keeps_probes_with_images(backbone, tmp_path):
    rng = np.random.default_rng(0)
    images = [rng.integers(0, 255, (40, 40, 3), dtype=np.uint8) for _ in range(4)]
    SAVModel(backbone, n_heads=5).fit(images, LABELS).save_pretrained(tmp_path / "new")
    assert load_artifact(tmp_path / "new").canary.probes == (
        "text 1",
        "text 2",
        "image 1",
        "image 2",
        "images 1",
    )


def test__fault_31__classifier__with_a_store__computes_its_probes_all_the_same(backbone, saved, tmp_path):
    stored = with_store(backbone, tmp_path / "store")
    stored.extract(as_examples(SHOTS))
    with drifting.other_positions(), pytest.raises(DriftError, match="classifier"):
        SAVModel.from_pretrained(saved, backbone=stored)


def test__fault_31__classifier__refit_or_changed__gets_a_new_canary(backbone, saved, tmp_path):
    model = SAVModel.from_pretrained(saved, backbone=backbone)
    model.save_pretrained(tmp_path / "same")
    assert load_artifact(tmp_path / "same").canary.environment["transformers"] == "5.3.0"
    model.fit(SHOTS[::-1], LABELS).save_pretrained(tmp_path / "other")
    assert load_artifact(tmp_path / "other").canary.environment["transformers"] != "5.3.0"


def test__fault_31__classifiers_of_several_labels__read_each_probe_once(probed, tmp_path):
    texts = [f"{color} {thing}" for color in ("red", "blue") for thing in ("bus", "car", "boat", "plane")]
    labels = [{text.split()[0], "moves"} if "bus" in text else {text.split()[0]} for text in texts]
    with drifting.recorded_as("5.3.0"):
        old = load_backbone("tiny")
        MultiLabelModel(old, method="mean_proba", n_heads=4).fit(texts, labels).save_pretrained(
            tmp_path / "many"
        )
    assert probed == {"text 1": 1, "text 2": 1}
    with drifting.other_positions(), pytest.raises(DriftError):
        MultiLabelModel.from_pretrained(tmp_path / "many", backbone=load_backbone("tiny", batch_size=1))
    probed.clear()
    loaded = MultiLabelModel.from_pretrained(tmp_path / "many", backbone=load_backbone("tiny"))
    assert probed == {"text 1": 1, "text 2": 1}
    for one in loaded.models_:
        canary, heads = (
            load_artifact(tmp_path / "many" / f"label-{loaded.models_.index(one):04d}").canary,
            one.heads_,
        )
        alone = one.backbone.in_mode(1, prefix_reuse=False).extract([probe("text 1")], heads).features
        np.testing.assert_allclose(canary.vectors[:1], alone, atol=1e-5)


def test__fault_31__command__drift__one_line_with_the_option_and_the_option_works(saved, tmp_path, capsys):
    data = tmp_path / "new.csv"
    data.write_text("text\na red bus\n")
    arguments = ["predict", str(saved), str(data), "-b", "tiny", "--json"]
    with drifting.other_positions():
        assert run(arguments) == 1
        said = capsys.readouterr()
        assert json.loads(said.out)["error"]["code"] == "drift_error"
        assert said.err.count("\n") == 1
        assert said.err.endswith("or accept the difference with --accept-drift\n")
        assert run([*arguments, "--accept-drift"]) == 0


# Stores.


@pytest.fixture(scope="module")
def drifted(tmp_path_factory) -> Path:
    """A store that a process with other positions has filled."""
    folder = tmp_path_factory.mktemp("drifted") / "store"
    source = str(Path(savs.__file__).parents[1])
    environment = {**os.environ, "PYTHONPATH": source, "PYTHONWARNINGS": "error"}
    subprocess.run([sys.executable, drifting.__file__, folder], env=environment, check=True)
    return folder


@pytest.fixture
def store(drifted, tmp_path) -> Path:
    return Path(shutil.copytree(drifted, tmp_path / "store"))


def test__fault_31__store__filled_by_other_code__nothing_is_served(backbone, store):
    stored, examples = with_store(backbone, store), as_examples(drifting.TEXTS)
    for use in (stored.extract, stored.fill, stored.last_layer_states):
        with pytest.raises(DriftError, match=r"store \(transformers 5\.3\.0 -> .*savs store rekey"):
            use(examples)
    with drifting.other_positions():
        stored = with_store(load_backbone("tiny"), store)
        stored.extract(examples)
    assert stored.n_stored == 3


def test__fault_31__store__rekeyed__new_vectors_beside_the_old_ones(backbone, store):
    examples = as_examples(drifting.TEXTS)
    stored = with_store(backbone, store)
    assert stored.rekey()
    assert not stored.rekey()
    found = stored.extract(examples)
    assert (stored.n_stored, stored.n_computed) == (0, 3)
    np.testing.assert_array_equal(found.features, backbone.extract(examples).features)
    again = with_store(load_backbone("tiny"), store)
    again.extract(examples)
    assert again.n_stored == 3
    with drifting.other_positions(), drifting.recorded_as("5.3.0"):
        old = with_store(load_backbone("tiny"), store)
        vectors = old.extract(examples).features
        assert old.n_stored == 3
    assert np.abs(vectors - found.features).max() > 0.1
    assert old.store.info()["environments"][0]["canary"] == "first"


def test__fault_31__store__drift_accepted__old_vectors_are_served(backbone, store):
    stored = with_store(backbone, store)
    assert stored.rekey(accept_drift=True)
    stored.extract(as_examples(drifting.TEXTS))
    assert (stored.n_stored, stored.n_computed) == (3, 0)


def test__fault_31__store__same_vectors_under_another_release__checked_once_and_silent(
    backbone, probed, tmp_path
):
    examples = as_examples(SHOTS)
    with drifting.recorded_as("5.3.0"):
        with_store(load_backbone("tiny"), tmp_path / "store").extract(examples)
    assert set(probed.values()) == {1}
    assert len(probed) == 5  # all that the model reads
    probed.clear()
    stored = with_store(backbone, tmp_path / "store")
    stored.extract(examples)
    stored.extract(examples)
    assert stored.total.stored == 8
    assert set(probed.values()) == {1}
    probed.clear()
    again = with_store(load_backbone("tiny"), tmp_path / "store")
    again.extract(examples)
    assert (again.n_stored, probed) == (4, {})
    assert not stored.rekey()


def test__fault_31__store__two_begin_at_once__the_second_compares_with_the_first(backbone, tmp_path):
    examples = as_examples(SHOTS)
    assert backbone.fingerprint["versions"]["transformers"] != "5.3.0"
    with drifting.other_positions(), drifting.recorded_as("5.3.0"):
        first = with_store(load_backbone("tiny"), tmp_path / "store")
        second = with_store(backbone, tmp_path / "store")  # both are open before any row is there
        first.extract(examples)
    with pytest.raises(DriftError):
        second.extract(examples)


def test__fault_31__store__read_only__is_checked_and_serves(backbone, mount_disk):
    examples = as_examples(SHOTS)
    disk = mount_disk("32m")
    with drifting.recorded_as("5.3.0"):
        with_store(load_backbone("tiny"), disk.path / "store").extract(examples)
    disk.remount("ro")
    stored = with_store(backbone, disk.path / "store")
    stored.extract(examples)
    assert stored.n_stored == 4
    with drifting.other_positions(), pytest.raises(DriftError):
        with_store(load_backbone("tiny"), disk.path / "store").extract(examples)


@pytest.mark.parametrize("place", [12, -12])
def test__fault_27__store__damaged_canary__is_said_and_nothing_is_served(backbone, store, place):
    path = store / "canaries" / "first.safetensors"
    content = bytearray(path.read_bytes())
    content[place] ^= 4
    path.write_bytes(content)
    with pytest.raises(StoreError, match=r"first\.safetensors is damaged"):
        with_store(backbone, store).extract(as_examples(drifting.TEXTS))


def test__fault_27__store__canary_of_other_heads_or_broken_note__is_said_or_passed_over(store):
    canaries = FeatureStore.existing(store).canaries
    (store / "canaries" / "first-0123456789abcdef.json").write_text("[1]")
    assert {"canary": "first"} in canaries.environments()
    canaries._widths = canaries._widths[1:]
    with pytest.raises(StoreError, match="is damaged"):
        canaries.environments()


def test__fault_31__store__model_changed_after_opening__has_keys_of_its_own(fresh_backbone, tmp_path):
    stored, examples = with_store(fresh_backbone, tmp_path / "store"), as_examples(SHOTS)
    before = stored.extract(examples).features
    fresh_backbone.model.config.get_text_config().rms_norm_eps = 1.0
    fresh_backbone.model.config.get_text_config().vocab_size += 1
    stored.extract(examples)
    assert stored.n_computed == 4
    assert before.shape == (4, fresh_backbone.layout.width)


@pytest.fixture
def fresh_backbone():
    return load_backbone("tiny")


def test__fault_31__command__rekey__says_what_it_did(store, capsys):
    assert run(["store", "rekey", str(store), "-b", "tiny", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"rekeyed": True}
    assert run(["store", "rekey", str(store), "-b", "tiny"]) == 0
    assert "nothing to do" in capsys.readouterr().out
    assert run(["store", "info", str(store)]) == 0
    assert "computed by  canary first" in capsys.readouterr().out
    assert FeatureStore.existing(store).info()["rows"] == 3


def test__fault_31__command__rekey_accepting__says_so(store, capsys):
    assert run(["store", "rekey", str(store), "-b", "tiny", "--accept-drift"]) == 0
    assert "are used with the installed libraries too" in capsys.readouterr().out
