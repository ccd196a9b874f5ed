import hashlib
import json
import os
import pickle
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from safetensors.numpy import save

from savs.artifact import Artifact, Shot, check_backbone, load_artifact, save_artifact
from savs.errors import ArtifactError, BackboneMismatchError
from savs.features import HeadLayout

FINGERPRINT = {
    "source": "somewhere/model",
    "revision": None,
    "commit": "c0ffee",
    "model_class": "LlavaForConditionalGeneration",
    "config_digest": "aa",
    "weights_digest": "bb",
    "processor_class": "LlavaProcessor",
    "processor_digest": "cc",
    "processor_backend": "pil",
    "dtype": "float32",
    "attn_implementation": "sdpa",
}


def make_artifact(classes=("cat", "dog")) -> Artifact:
    rng = np.random.default_rng(0)
    layout = HeadLayout.from_layers([(0, 2, 3), (2, 3, 5)])
    return Artifact(
        classes=list(classes),
        prompt="What is it? {question}",
        n_heads=2,
        layout=layout,
        heads=[(2, 1), (0, 0)],
        head_scores=rng.integers(0, 9, layout.n_heads),
        centroids=rng.normal(size=(len(classes), 8)),
        shots=[Shot(str(index), label, "0" * 64) for index, label in enumerate(classes)],
        estimate=None,
        fingerprint=dict(FINGERPRINT),
    )


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def rewrite_index(folder: Path, **changes) -> None:
    """Change entries of the index and make its own checksum right again, as an attacker would."""
    path = folder / "savs.json"
    index = {**json.loads(path.read_text()), **changes}
    index.pop("sha256")
    body = json.dumps(index, sort_keys=True, separators=(",", ":")).encode()
    path.write_text(json.dumps({**index, "sha256": hashlib.sha256(body).hexdigest()}))


@pytest.mark.parametrize(
    "classes", [("cat", "dog"), (0, 7, 12), (False, True), ("été", "\U0001f431", "a|b`c")]
)
def test__fault_32__save_load_save__gives_identical_bytes(tmp_path, classes):
    artifact = make_artifact(classes)
    save_artifact(artifact, tmp_path / "a", card="card")
    loaded = load_artifact(tmp_path / "a")
    save_artifact(loaded, tmp_path / "b", card="card")
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    assert loaded.classes == list(classes)
    assert [type(label) for label in loaded.classes] == [type(label) for label in classes]
    np.testing.assert_array_equal(loaded.centroids, artifact.centroids)
    np.testing.assert_array_equal(loaded.head_scores, artifact.head_scores)
    assert loaded.heads == artifact.heads
    assert loaded.layout == artifact.layout


def test__save__arrays_in_fortran_order_or_strided__come_back_right(tmp_path):
    plain = make_artifact()
    for name, centroids in (
        ("fortran", np.asfortranarray(plain.centroids)),
        ("strided", np.repeat(plain.centroids, 2, axis=1)[:, ::2]),
    ):
        save_artifact(replace(plain, centroids=centroids), tmp_path / name, card="card")
        np.testing.assert_array_equal(load_artifact(tmp_path / name).centroids, plain.centroids)


def test__save__over_an_older_classifier__replaces_it_and_leaves_one_tensor_file(tmp_path):
    save_artifact(make_artifact(), tmp_path, card="old")
    newer = replace(make_artifact(), centroids=np.ones((2, 8)))
    save_artifact(newer, tmp_path, card="new")
    assert len(list(tmp_path.glob("*.safetensors"))) == 1
    assert load_artifact(tmp_path).centroids.sum() == 16


def test__save__into_a_folder_with_other_files__is_refused_and_touches_nothing(tmp_path):
    (tmp_path / "README.md").write_text("my holiday")
    with pytest.raises(ArtifactError, match="holds other files"):
        save_artifact(make_artifact(), tmp_path, card="card")
    assert contents(tmp_path) == {"README.md": b"my holiday"}


SAVE_UNDER_LIMIT = """
import resource, signal, sys
sys.path.insert(0, sys.argv[2])
from test_artifact import make_artifact
from savs.artifact import save_artifact
from savs.errors import ArtifactError
import numpy as np
from dataclasses import replace
bigger = replace(make_artifact(tuple(range(2000))), prompt="x" * 100000)
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (int(sys.argv[3]), int(sys.argv[3])))
try:
    save_artifact(bigger, sys.argv[1], card="new")
except ArtifactError as error:
    print(error)
    sys.exit(7)
"""


@pytest.mark.parametrize("limit", [0, 40_000, 140_000])
def test__fault_25__no_room_for_the_new_classifier__old_one_intact_no_temp_files(tmp_path, limit):
    save_artifact(make_artifact(), tmp_path, card="card")
    before = contents(tmp_path)
    command = [sys.executable, "-c", SAVE_UNDER_LIMIT, str(tmp_path), str(Path(__file__).parent), str(limit)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 7, done.stderr
    assert "cannot write the classifier" in done.stdout
    assert load_artifact(tmp_path).classes == ["cat", "dog"]
    after = contents(tmp_path)
    assert after["savs.json"] == before["savs.json"]
    assert not [name for name in after if name.startswith(".")]


@pytest.mark.skipif(os.geteuid() == 0, reason="root writes anywhere")
def test__fault_25__read_only_folder__is_an_artifact_error(tmp_path):
    tmp_path.chmod(0o500)
    with pytest.raises(ArtifactError, match="cannot write"):
        save_artifact(make_artifact(), tmp_path, card="card")


def test__fault_29__flipped_byte_anywhere__is_refused(tmp_path):
    save_artifact(make_artifact(), tmp_path, card="card")
    for path in (tmp_path / "savs.json", next(tmp_path.glob("*.safetensors"))):
        original = path.read_bytes()
        for position in range(0, len(original), 37):
            altered = bytearray(original)
            altered[position] ^= 0x01
            path.write_bytes(altered)
            try:
                loaded = load_artifact(tmp_path)
            except ArtifactError:
                continue
            finally:
                path.write_bytes(original)
            # Only white space between JSON tokens may change without changing the contents.
            assert loaded.classes == ["cat", "dog"]
            assert original[position : position + 1].isspace()


def test__fault_29__newer_schema__says_upgrade(tmp_path):
    save_artifact(make_artifact(), tmp_path, card="card")
    rewrite_index(tmp_path, schema_version=99)
    with pytest.raises(ArtifactError, match="newer savs"):
        load_artifact(tmp_path)


def test__fault_29__missing_tensor_file__names_it(tmp_path):
    save_artifact(make_artifact(), tmp_path, card="card")
    next(tmp_path.glob("*.safetensors")).unlink()
    with pytest.raises(ArtifactError, match=r"\.safetensors is missing"):
        load_artifact(tmp_path)


@pytest.mark.parametrize(
    "changes",
    [
        {"classes": ["cat"]},
        {"classes": ["cat", "cat"]},
        {"classes": ["cat", 1]},
        {"label_type": "float"},
        {"label_type": "int"},
        {"heads": [[2, 1]]},
        {"heads": [[2, 1], [9, 9]]},
        {"heads": [[2, 1], [2, 1]]},
        {"heads": "all"},
        {"layout": []},
        {"layout": [[0, 0, -1]]},
        {"layout": [[0, 0, 1e9]]},
        {"shots": [{"id": "1"}]},
        {"shots": [{"id": 1, "label": "cat", "digest": "x"}]},
        {"n_heads": 0},
        {"n_heads": True},
        {"prompt": 3},
        {"estimate": 0.99},
        {"fingerprint": None},
        {"tensors": {"file": "../elsewhere.safetensors", "sha256": ""}},
        {"tensors": {"file": 3, "sha256": ""}},
        {"tensors": None},
    ],
)
def test__fault_29__well_signed_nonsense__is_refused(tmp_path, changes):
    save_artifact(make_artifact(), tmp_path, card="card")
    rewrite_index(tmp_path, **changes)
    with pytest.raises(ArtifactError):
        load_artifact(tmp_path)


@pytest.mark.parametrize(
    "tensors",
    [
        {"centroids": np.zeros((2, 8))},
        {"centroids": np.zeros((2, 8)), "head_scores": np.zeros(4, np.int64)},
        {"centroids": np.zeros((2, 8), np.float32), "head_scores": np.zeros(5, np.int64)},
        {"centroids": np.full((2, 8), np.nan), "head_scores": np.zeros(5, np.int64)},
        {"centroids": np.zeros((2, 9)), "head_scores": np.zeros(5, np.int64)},
        {"centroids": np.zeros((2, 8)), "head_scores": np.zeros(5, np.int64), "more": np.zeros(1)},
    ],
)
def test__fault_29__tensors_of_other_names_shapes_or_values__are_refused(tmp_path, tensors):
    save_artifact(make_artifact(), tmp_path, card="card")
    path = next(tmp_path.glob("*.safetensors"))
    path.write_bytes(save(tensors))
    rewrite_index(
        tmp_path, tensors={"file": path.name, "sha256": hashlib.sha256(path.read_bytes()).hexdigest()}
    )
    with pytest.raises(ArtifactError):
        load_artifact(tmp_path)


def test__fault_29__pickle_or_zip_under_the_right_name__is_refused_unexecuted(tmp_path):
    class Bomb:
        def __reduce__(self):
            return (os.mkdir, (str(tmp_path / "exploded"),))

    save_artifact(make_artifact(), tmp_path / "c", card="card")
    path = next((tmp_path / "c").glob("*.safetensors"))
    path.write_bytes(pickle.dumps(Bomb()))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    rewrite_index(tmp_path / "c", tensors={"file": path.name, "sha256": digest})
    with pytest.raises(ArtifactError, match="not a safetensors file"):
        load_artifact(tmp_path / "c")
    assert not (tmp_path / "exploded").exists()
    with zipfile.ZipFile(tmp_path / "model.zip", "w") as archive:
        archive.writestr("savs.json", "{}")
    with pytest.raises(ArtifactError, match="expected a folder"):
        load_artifact(tmp_path / "model.zip")


@settings(deadline=None, max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(raw=st.binary(max_size=200) | st.text(max_size=100).map(str.encode) | st.just(b"[" * 100_000))
def test__fault_29__any_bytes_as_index__raise_artifact_error_only(tmp_path, raw):
    (tmp_path / "savs.json").write_bytes(raw)
    with pytest.raises(ArtifactError):
        load_artifact(tmp_path)


def test__fault_30__same_backbone__is_accepted():
    artifact = make_artifact()
    check_backbone(
        artifact, {**FINGERPRINT, "source": "/copy", "attn_implementation": "eager"}, artifact.layout
    )
    check_backbone(artifact, {**FINGERPRINT, "commit": None}, artifact.layout)


@pytest.mark.parametrize("name", ["commit", "weights_digest", "config_digest", "processor_digest", "dtype"])
def test__fault_30__another_backbone__is_refused_unless_named(name):
    artifact = make_artifact()
    other = {**FINGERPRINT, name: "other"}
    with pytest.raises(BackboneMismatchError, match=name):
        check_backbone(artifact, other, artifact.layout)
    check_backbone(artifact, other, artifact.layout, allow_mismatch=(name,))


def test__fault_30__other_heads__are_refused_whatever_is_allowed():
    artifact = make_artifact()
    with pytest.raises(BackboneMismatchError, match="5 heads in 3 layers"):
        check_backbone(artifact, FINGERPRINT, HeadLayout.uniform(2, 2, 3), allow_mismatch=("config_digest",))
    with pytest.raises(ValueError, match="allow_mismatch takes"):
        check_backbone(artifact, FINGERPRINT, artifact.layout, allow_mismatch=("everything",))
