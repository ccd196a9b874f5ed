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
from safetensors.numpy import load, save

from savs.artifact import Artifact, Shot, common_media, common_sampling, load_artifact, save_artifact
from savs.classifiers import Method, SAVClassifier, available_methods
from savs.classifiers.sav import select_heads
from savs.errors import ArtifactError
from savs.layout import HeadLayout
from savs.media import Sampling

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


def make_artifact(classes=("cat", "dog"), scale=1.0) -> Artifact:
    rng = np.random.default_rng(0)
    layout = HeadLayout.from_layers([(0, 2, 3), (2, 3, 5)])
    scores = rng.integers(0, 9, layout.n_heads)
    heads = select_heads(scores, layout, 2)
    classifier = SAVClassifier.from_parts(
        classes=list(classes),
        heads=heads,
        head_scores=scores,
        centroids=scale * rng.normal(size=(len(classes), layout.select(heads).width)),
        layout=layout,
    )
    return Artifact(
        method=Method("sav", n_heads=2),
        prompt="What is it? {question}",
        classifier=classifier,
        shots=[Shot(str(index), label, "0" * 64) for index, label in enumerate(classes)],
        out_of_fold=np.full((len(classes), len(classes)), -0.5),
        rows=None,
        estimate=None,
        report=None,
        fingerprint=dict(FINGERPRINT),
    )


def fitted_artifact(name: str, keep_rows=False) -> Artifact:
    """An artifact of a method that was fitted for real."""
    rng = np.random.default_rng(1)
    layout = HeadLayout.uniform(2, 3, 4)
    layout = layout.with_options(3) if Method(name).needs_options else layout
    labels = np.array(["a", "b", "c"] * 5)
    rows = rng.normal(size=(15, layout.width))
    rows[:, :24] += 2 * np.repeat(np.eye(3), [8, 8, 8], axis=1)[[0, 1, 2] * 5]
    prototypes = rows[:3] if Method(name).needs_prototypes else None
    method = Method(name)
    classifier = method.make(layout, np.unique(labels), prototypes).fit(rows, labels)
    return replace(
        make_artifact(("a", "b", "c")),
        method=method,
        classifier=classifier,
        shots=[Shot(str(i), label, f"{i:064x}") for i, label in enumerate(labels.tolist())],
        out_of_fold=np.where(np.arange(15)[:, None] == 3, np.nan, -1.0) * np.ones((15, 3)),
        rows=rows.astype(np.float32) if keep_rows else None,
        report={"chosen": ["x"], "why": "because"},
    )


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def merged(index: dict, changes: dict) -> dict:
    """Return the index with entries changed; ``"classifier.heads"`` means an entry of an entry."""
    for name, value in changes.items():
        outer, _, inner = name.partition(".")
        index[outer] = {**index[outer], inner: value} if inner else value
    return index


def rewrite_index(folder: Path, /, **changes) -> None:
    """Change entries of the index and make its own checksum right again, as an attacker would."""
    path = folder / "savs.json"
    index = merged(json.loads(path.read_text()), changes)
    index.pop("sha256", None)
    body = json.dumps(index, sort_keys=True, separators=(",", ":")).encode()
    path.write_text(json.dumps({**index, "sha256": hashlib.sha256(body).hexdigest()}))


@pytest.mark.parametrize(
    "classes", [("cat", "dog"), (0, 7, 12), (False, True), ("a|b`c", "été", "\U0001f431")]
)
def test__fault_32__save_load_save__gives_identical_bytes(tmp_path, classes):
    artifact = make_artifact(classes)
    save_artifact(artifact, tmp_path / "a", card="card")
    loaded = load_artifact(tmp_path / "a")
    save_artifact(loaded, tmp_path / "b", card="card")
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    assert loaded.classes == list(classes)
    assert [type(label) for label in loaded.classes] == [type(label) for label in classes]
    np.testing.assert_array_equal(loaded.classifier.centroids_, artifact.classifier.centroids_)
    np.testing.assert_array_equal(loaded.head_scores, artifact.head_scores)
    np.testing.assert_array_equal(loaded.out_of_fold, artifact.out_of_fold)
    assert loaded.heads == artifact.heads
    assert loaded.layout == artifact.layout


@pytest.mark.parametrize("keep_rows", [False, True])
@pytest.mark.parametrize("name", available_methods())
def test__fault_32__every_method__comes_back_and_saves_the_same_bytes(tmp_path, name, keep_rows):
    if name == "last_state":
        pytest.skip("needs rows with a final state")
    artifact = fitted_artifact(name, keep_rows)
    save_artifact(artifact, tmp_path / "a", card="card")
    loaded = load_artifact(tmp_path / "a")
    save_artifact(loaded, tmp_path / "b", card="card")
    assert contents(tmp_path / "a") == contents(tmp_path / "b")
    queries = np.random.default_rng(2).normal(size=(9, artifact.layout.width))
    expected = artifact.classifier.predict_proba(queries)
    np.testing.assert_array_equal(loaded.classifier.predict_proba(queries), expected)
    assert loaded.method == artifact.method
    assert loaded.report == artifact.report
    np.testing.assert_array_equal(loaded.out_of_fold, artifact.out_of_fold)
    assert (loaded.rows is not None) == keep_rows


def test__save__arrays_in_fortran_order_or_strided__come_back_right(tmp_path):
    plain = make_artifact().classifier
    for name, centroids in (
        ("fortran", np.asfortranarray(plain.centroids_)),
        ("strided", np.repeat(plain.centroids_, 2, axis=1)[:, ::2]),
    ):
        changed = clone_with(plain, centroids)
        save_artifact(replace(make_artifact(), classifier=changed), tmp_path / name, card="card")
        loaded = load_artifact(tmp_path / name).classifier
        np.testing.assert_array_equal(loaded.centroids_, plain.centroids_)


def clone_with(classifier: SAVClassifier, centroids: np.ndarray) -> SAVClassifier:
    changed = SAVClassifier.from_state(classifier.to_state())
    changed.centroids_ = centroids
    return changed


@pytest.mark.parametrize("version", [1, 2])
def test__load__a_schema_before_the_first_release__says_fit_again(tmp_path, version):
    save_artifact(make_artifact(), tmp_path, card="card")
    rewrite_index(tmp_path, schema_version=version)
    with pytest.raises(ArtifactError, match=f"schema {version}\\): fit again"):
        load_artifact(tmp_path)


@pytest.mark.parametrize("sampling", [Sampling(4), Sampling(64, 2), Sampling(1024, 0.25)])
def test__fault_32__how_videos_were_read__survives_and_gives_identical_bytes(tmp_path, sampling):
    made = make_artifact()
    artifact = replace(made, shots=[replace(made.shots[0], media=("video",), video=sampling), made.shots[1]])
    save_artifact(artifact, tmp_path / "a", card="card")
    loaded = load_artifact(tmp_path / "a")
    assert loaded.shots == artifact.shots
    assert loaded.video_sampling == sampling
    save_artifact(loaded, tmp_path / "b", card="card")
    assert contents(tmp_path / "a") == contents(tmp_path / "b")


def test__video_sampling__two_ways_or_none__is_none():
    first, second = make_artifact().shots
    assert common_sampling([first, second]) is None
    two_ways = [replace(first, video=Sampling(4)), replace(second, video=Sampling(8))]
    assert common_sampling(two_ways) is None


@pytest.mark.parametrize(
    "video",
    [
        {"n_frames": 0, "fps": None},
        {"n_frames": 8, "fps": -1},
        {"n_frames": "8", "fps": None},
        {"n_frames": [8], "fps": None},
        {"n_frames": 8, "fps": None, "codec": 1},
        {"fps": 1},
        [8, None],
        "8",
        8,
        {},
    ],
)
def test__fault_29__impossible_sampling_of_videos__artifact_error(tmp_path, video):
    save_artifact(make_artifact(), tmp_path, card="card")
    index = json.loads((tmp_path / "savs.json").read_text())
    rewrite_index(tmp_path, shots=[{**shot, "video": video} for shot in index["shots"]])
    with pytest.raises(ArtifactError):
        load_artifact(tmp_path)


@pytest.mark.parametrize(
    "media", [["film"], "image", ["video", "image"], ["image", "image"], [["image"]], 1, {}]
)
def test__fault_29__impossible_media__artifact_error(tmp_path, media):
    save_artifact(make_artifact(), tmp_path, card="card")
    index = json.loads((tmp_path / "savs.json").read_text())
    rewrite_index(tmp_path, shots=[{**shot, "media": media} for shot in index["shots"]])
    with pytest.raises(ArtifactError):
        load_artifact(tmp_path)


def test__load__shots_without_media__are_of_unknown_media(tmp_path):
    save_artifact(make_artifact(), tmp_path, card="card")
    loaded = load_artifact(tmp_path)
    assert loaded.shots == make_artifact().shots
    assert loaded.video_sampling is None
    assert common_media(loaded.shots) == set()


def test__save__over_an_older_classifier__replaces_it_and_leaves_one_tensor_file(tmp_path):
    save_artifact(make_artifact(), tmp_path, card="old")
    newer = make_artifact(scale=2.0)
    save_artifact(newer, tmp_path, card="new")
    assert len(list(tmp_path.glob("*.safetensors"))) == 1
    loaded = load_artifact(tmp_path).classifier
    np.testing.assert_array_equal(loaded.centroids_, newer.classifier.centroids_)


def test__save__into_a_folder_with_other_files__is_refused_and_touches_nothing(tmp_path):
    (tmp_path / "README.md").write_text("my holiday")
    with pytest.raises(ArtifactError, match="holds other files"):
        save_artifact(make_artifact(), tmp_path, card="card")
    assert contents(tmp_path) == {"README.md": b"my holiday"}


SAVE_UNDER_LIMIT = """
import resource, signal, sys
sys.path.insert(0, sys.argv[2])
from test_folder import make_artifact
from savs.artifact import save_artifact
from savs.errors import ArtifactError
from savs.data import Sampling
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
        {"classifier.classes": ["cat"]},
        {"classifier.classes": ["cat", "cat"]},
        {"classifier.classes": ["dog", "cat"]},
        {"classifier.classes": ["cat", 1]},
        {"classifier.heads": [[2, 1]]},
        {"classifier.heads": [[2, 1], [9, 9]]},
        {"classifier.heads": [[2, 1], [2, 1]]},
        {"classifier.heads": "all"},
        {"classifier.layout": []},
        {"classifier.layout": [[0, 0, -1]]},
        {"classifier.layout": [[0, 0, 1e9]]},
        {"classifier.parameters": {"n_heads": 0}},
        {"classifier.parameters": None},
        {"classifier.estimator": "HeadClassifier"},
        {"classifier.estimator": "os.system"},
        {"classifier": None},
        {"method": {"name": "nonsense"}},
        {"method": {"name": "sav", "n_heads": "many"}},
        {"method": {"name": "sav", "code": "x"}},
        {"method": None},
        {"report": []},
        {"report": {"chosen": "all", "why": "so"}},
        {"report": {"chosen": ["all"]}},
        {"report": {"head_stability": "much"}},
        {"report": {"unlabelled": {"n": 8, "strength": 1.0, "offsets": []}}},
        {"report": {"unlabelled": {"n": 8, "strength": 1.0, "offsets": ["a lot"]}}},
        {"report": {"unlabelled": {"n": "many", "strength": 1.0, "offsets": [0.5]}}},
        {"report": {"unlabelled": {"n": 8}}},
        {"label_type": "float"},
        {"label_type": "int"},
        {"shots": [{"id": "1"}]},
        {"shots": [{"id": 1, "label": "cat", "digest": "x"}]},
        {"shots": []},
        {"prompt": 3},
        {"estimate": 0.99},
        {"estimate": {"accuracy": 1, "macro_f1": 1, "n": 4, "interval": [0, 1], "log_loss": "low"}},
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
        {"classifier.centroids": None},
        {"classifier.head_scores": np.zeros(4, np.int64)},
        {"classifier.head_scores": np.zeros(5)},
        {"classifier.centroids": np.full((2, 8), np.nan)},
        {"classifier.centroids": np.zeros((2, 9))},
        {"classifier.centroids": np.zeros((2, 8), np.complex64)},
        {"classifier.more": np.zeros(1)},
        {"more": np.zeros(1)},
        {"out_of_fold": np.zeros((2, 3))},
        {"out_of_fold": np.zeros((2, 2), np.float32)},
        {"out_of_fold": np.array([[0.0, np.nan], [0.0, 0.0]])},
        {"out_of_fold": np.array([[0.0, np.inf], [0.0, 0.0]])},
        {"rows": np.zeros((2, 21))},
        {"rows": np.zeros((2, 20), np.float32)},
        {"rows": np.full((2, 21), np.inf, np.float32)},
        {"out_of_fold": None, "rows": np.zeros((3, 21), np.float32)},
    ],
)
def test__fault_29__tensors_of_other_names_shapes_or_values__are_refused(tmp_path, tensors):
    save_artifact(make_artifact(), tmp_path, card="card")
    path = next(tmp_path.glob("*.safetensors"))
    known = {**load(path.read_bytes()), **tensors}
    path.write_bytes(save({name: array for name, array in known.items() if array is not None}))
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    rewrite_index(tmp_path, **{"tensors.sha256": digest})
    with pytest.raises(ArtifactError):
        load_artifact(tmp_path)
    present = {name: array for name, array in known.items() if array is not None}
    described = {name: [str(array.dtype), list(array.shape)] for name, array in present.items()}
    rewrite_index(tmp_path, **{"tensors.arrays": described})
    with pytest.raises(ArtifactError):
        load_artifact(tmp_path)


@pytest.mark.parametrize("name", ["hec_v", "kernel_ridge", "ensemble", "auto", "hec_vt", "mean_proba_all"])
def test__fault_29__arrays_of_any_method_cut_or_dropped__are_refused(tmp_path, name):
    save_artifact(fitted_artifact(name), tmp_path, card="card")
    path = next(tmp_path.glob("*.safetensors"))
    tensors = load(path.read_bytes())
    for tensor, array in tensors.items():
        for changed in (None, array[:-1] if array.ndim else None):
            known = {**tensors, tensor: changed}
            path.write_bytes(save({name: one for name, one in known.items() if one is not None}))
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            rewrite_index(tmp_path, **{"tensors.sha256": digest})
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
    rewrite_index(tmp_path / "c", **{"tensors.sha256": digest})
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
