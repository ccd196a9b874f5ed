"""`fit(..., unlabelled=)`: what it changes, what it leaves, and what is refused."""

from __future__ import annotations

import warnings

import numpy as np
import pytest
from PIL import Image

from savs import SAVModel
from savs.backbones.fake import FakeBackbone
from savs.classifiers.semi_supervised import use_unlabelled
from savs.data import DataWarning, as_examples
from savs.errors import DataError

SHOTS, LABELS = ["red", "blue"], ["warm", "cold"]
ITEMS = ["crimson", "scarlet", "ruby", "rose", "coral", "navy", "azure", "cobalt", "cyan", "teal", "brick"]


def model(**settings):
    return SAVModel(FakeBackbone(), **{"method": "auto", **settings})


def fitted(unlabelled=ITEMS, **settings):
    return model(**settings).fit(SHOTS, LABELS, unlabelled=unlabelled)


def test__fit__unlabelled__report_and_probabilities_move_by_the_offsets():
    plain, found = fitted(None), fitted()
    report = found.selection_report_["unlabelled"]
    assert (report["n"], report["strength"], report["log_loss"]) == (len(ITEMS), 1.0, None)
    logs = np.log(plain.predict_proba(ITEMS)) + np.array(report["offsets"])
    expected = np.exp(logs) / np.exp(logs).sum(axis=1, keepdims=True)
    np.testing.assert_allclose(found.predict_proba(ITEMS), expected, atol=1e-9)
    assert (
        np.abs(found.predict_proba(ITEMS).mean(0) - 0.5).max()
        < np.abs(plain.predict_proba(ITEMS).mean(0) - 0.5).max()
    )
    assert found.heads_ == plain.heads_
    assert "unlabelled" not in plain.selection_report_


@pytest.mark.parametrize("none", [None, [], ()])
def test__fit__no_unlabelled_items__same_bits_as_without(none, tmp_path):
    model().fit(SHOTS, LABELS).save_pretrained(tmp_path / "a")
    fitted(none).save_pretrained(tmp_path / "b")
    files = sorted(path.name for path in (tmp_path / "a").iterdir())
    assert files
    assert all((tmp_path / "a" / f).read_bytes() == (tmp_path / "b" / f).read_bytes() for f in files)


def test__fit__order_of_the_unlabelled_items__same_bits():
    one, other = fitted(), fitted(ITEMS[::-1])
    assert one.classifier_.log_priors_.tobytes() == other.classifier_.log_priors_.tobytes()


def test__fit__unlabelled_items_with_labels__one_warning_and_labels_not_read():
    wrong = as_examples(ITEMS, ["cold"] * len(ITEMS))
    with pytest.warns(DataWarning, match="11 of 11 unlabelled items have labels, which are not read") as seen:
        found = fitted(wrong)
    assert len(seen) == 1
    assert seen[0].filename == __file__
    assert found.classifier_.log_priors_.tobytes() == fitted().classifier_.log_priors_.tobytes()
    assert sorted(shot.label for shot in found.shots_) == ["cold", "warm"]


@pytest.mark.parametrize("keep_shots", [False, True])
def test__save_and_load__unlabelled__same_answers_and_report(tmp_path, keep_shots):
    found = fitted()
    found.save_pretrained(tmp_path / "c", keep_shots=keep_shots)
    again = SAVModel.from_pretrained(tmp_path / "c", backbone=FakeBackbone())
    assert again.predict_proba(ITEMS).tobytes() == found.predict_proba(ITEMS).tobytes()
    assert again.selection_report_["unlabelled"] == found.selection_report_["unlabelled"]
    if keep_shots:
        with pytest.raises(DataError, match="fitted with unlabelled items"):
            again.add_shots(["crimson"], ["warm"])
        assert again.predict_proba(ITEMS).tobytes() == found.predict_proba(ITEMS).tobytes()


def test__add_shots__unlabelled_items_at_hand__used_again():
    found = fitted()
    found.add_shots(["crimson"], ["warm"])
    whole = model().fit([*SHOTS, "crimson"], [*LABELS, "warm"], unlabelled=ITEMS)
    assert found.selection_report_["unlabelled"] == whole.selection_report_["unlabelled"]
    found.fit(SHOTS, LABELS)
    assert "unlabelled" not in found.selection_report_
    found.add_shots(["crimson"], ["warm"])
    assert "unlabelled" not in found.selection_report_


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"method": "sav"}, "method 'sav' cannot use unlabelled items"),
        ({"prompts": ["Warm?", "Cold?"]}, "one prompt"),
        ({"exit_early": 0.1, "method": "kernel_ridge"}, "not with exit_early"),
    ],
)
def test__fit__unlabelled_with_what_cannot_use_it__refused_and_the_model_stays(settings, message):
    made = model(**settings)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made.fit([*SHOTS, "crimson", "navy"], [*LABELS, *LABELS])
    before = made.predict(ITEMS).tolist()
    with pytest.raises(DataError, match=message):
        made.fit(SHOTS, LABELS, unlabelled=ITEMS)
    assert made.predict(ITEMS).tolist() == before


def test__fit__unlabelled_item_that_cannot_be_used__named():
    with pytest.raises(ValueError, match=r"^1: an object is not an example"):
        fitted(["crimson", object()])


def test__fit__iterator_of_unlabelled_items__as_a_list_of_them():
    found = fitted(item for item in ITEMS)
    assert found.classifier_.log_priors_.tobytes() == fitted().classifier_.log_priors_.tobytes()


def test__report__no_part_of_the_offsets_used__zeros_without_a_sign():
    logs = np.log(np.array([[0.9, 0.1], [0.1, 0.9]]))
    plain = model(method="kernel_ridge").fit(SHOTS, LABELS).classifier_
    rows = model(method="kernel_ridge").head_vectors(ITEMS)
    skewed = np.array([0.0, 8.0])  # certain of one class, so that any shift costs held-out shots
    plain.log_priors_ = plain.log_priors_ + skewed
    report = use_unlabelled(plain, rows, logs, np.array([0, 1]), [np.array([0]), np.array([1])]).report
    assert report["strength"] == 0
    assert not np.signbit(report["offsets"]).any()


def test__fit__unlabelled_items_without_the_images_that_all_shots_have__one_warning():
    images = [Image.new("RGB", (32, 32), color) for color in ("red", "blue")]
    with pytest.warns(
        DataWarning, match="there are examples without an image, and every shot had that"
    ) as seen:
        model().fit(images, LABELS, unlabelled=["crimson", "navy"])
    assert len(seen) == 1
