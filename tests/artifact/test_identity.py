import numpy as np
import pytest

from savs.artifact import Artifact, check_backbone
from savs.classifiers import Method, SAVClassifier
from savs.errors import BackboneMismatchError
from savs.layout import HeadLayout

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


LAYOUT = HeadLayout.from_layers([(0, 2, 3), (2, 3, 5)])


def artifact_of(layout: HeadLayout) -> Artifact:
    rows = np.random.default_rng(0).normal(size=(4, layout.width))
    classifier = SAVClassifier(n_heads=2, layout=layout).fit(rows, ["cat", "cat", "dog", "dog"])
    return Artifact(Method(), None, classifier, [], None, None, None, None, dict(FINGERPRINT))


def test__fault_30__same_backbone__is_accepted():
    artifact = artifact_of(LAYOUT)
    check_backbone(
        artifact, {**FINGERPRINT, "source": "/copy", "attn_implementation": "eager"}, artifact.layout
    )
    check_backbone(artifact, {**FINGERPRINT, "commit": None}, artifact.layout)


@pytest.mark.parametrize("name", ["commit", "weights_digest", "config_digest", "processor_digest", "dtype"])
def test__fault_30__another_backbone__is_refused_unless_named(name):
    artifact = artifact_of(LAYOUT)
    other = {**FINGERPRINT, name: "other"}
    with pytest.raises(BackboneMismatchError, match=name):
        check_backbone(artifact, other, artifact.layout)
    check_backbone(artifact, other, artifact.layout, allow_mismatch=(name,))


def test__fault_30__other_heads__are_refused_whatever_is_allowed():
    artifact = artifact_of(LAYOUT)
    with pytest.raises(BackboneMismatchError, match="5 heads in 3 layers"):
        check_backbone(artifact, FINGERPRINT, HeadLayout.uniform(2, 2, 3), allow_mismatch=("config_digest",))
    with pytest.raises(ValueError, match="allow_mismatch takes"):
        check_backbone(artifact, FINGERPRINT, artifact.layout, allow_mismatch=("everything",))


def test__fault_30__rows_with_the_final_state__belong_to_the_same_backbone():
    check_backbone(artifact_of(LAYOUT.with_state(6)), FINGERPRINT, LAYOUT)


def test__fault_30__only_named_in_another_way_by_another_release__is_accepted():
    artifact = artifact_of(LAYOUT)
    artifact.fingerprint.update(config_file_digest="cf", processor_files_digest="pf")
    renamed = {
        "config_digest": "a2",
        "model_class": "Other",
        "processor_digest": "c2",
        "processor_class": "P",
    }
    same_files = artifact.fingerprint | renamed
    assert check_backbone(artifact, same_files, artifact.layout) == []
    with pytest.raises(BackboneMismatchError, match="config_digest"):
        check_backbone(artifact, same_files | {"config_file_digest": "other"}, artifact.layout)
    assert check_backbone(artifact, {**FINGERPRINT, "dtype": "float16"}, artifact.layout, ("dtype",)) == [
        "dtype"
    ]


def test__fault_30__another_release_and_no_files__is_named_as_a_possible_cause():
    artifact = artifact_of(LAYOUT)
    artifact.fingerprint["versions"] = {"transformers": "5.3.0"}
    other = {**FINGERPRINT, "config_digest": "a2", "versions": {"transformers": "5.6.0"}}
    with pytest.raises(
        BackboneMismatchError, match=r"; transformers 5\.3\.0 -> 5\.6\.0 may be the cause; load"
    ):
        check_backbone(artifact, other, artifact.layout)


def test__fault_30__videos_read_in_another_way__are_refused_where_that_was_recorded():
    artifact = artifact_of(LAYOUT)
    check_backbone(artifact, {**FINGERPRINT, "video_digest": "v"}, artifact.layout)  # an older savs kept none
    artifact.fingerprint["video_digest"] = "v"
    with pytest.raises(BackboneMismatchError, match="video_digest"):
        check_backbone(artifact, {**FINGERPRINT, "video_digest": "w"}, artifact.layout)
