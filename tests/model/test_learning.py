import numpy as np
import pytest

from savs.backbones import FakeBackbone
from savs.classifiers import HeadChange
from savs.errors import DataError
from savs.layout import HeadLayout
from savs.model import SAVModel

LAYOUT = HeadLayout.uniform(4, 8, 8)
TEXTS = [f"{word} {index}" for index in range(6) for word in ("apple", "brick", "cloud")]
LABELS = ["fruit", "stone", "sky"] * 6
METHODS = ["sav", "hec_v_loo", "kernel_ridge", "auto"]


def new(method="sav", **options) -> SAVModel:
    return SAVModel(FakeBackbone(layout=LAYOUT), method=method, **options)


def assert_same(one: SAVModel, other: SAVModel) -> None:
    """Bit for bit the same classifier, whatever way it was learned."""
    assert one.heads_ == other.heads_
    assert one.classes_.tolist() == other.classes_.tolist()
    assert one.estimate_ == other.estimate_
    np.testing.assert_array_equal(one.out_of_fold_log_proba_, other.out_of_fold_log_proba_)
    queries = ["apple 9", "brick 9", "nothing"]
    np.testing.assert_array_equal(one.predict_proba(queries), other.predict_proba(queries))
    mine, its = one.classifier_.to_state(), other.classifier_.to_state()
    assert mine.settings == its.settings
    for name, array in mine.arrays.items():
        np.testing.assert_array_equal(array, its.arrays[name])


@pytest.mark.parametrize("method", METHODS)
def test__partial_fit__more_shots_and_a_new_class__is_a_fit_on_all(method):
    model = new(method).fit(TEXTS[:12], LABELS[:12])
    before = set(model.heads_)
    change = model.add_shots([*TEXTS[12:], "zinc 1", "zinc 2"], [*LABELS[12:], "metal", "metal"])
    whole = new(method).fit([*TEXTS, "zinc 1", "zinc 2"], [*LABELS, "metal", "metal"])
    assert_same(model, whole)
    assert model.classes_.tolist() == ["fruit", "metal", "sky", "stone"]
    assert [shot.id for shot in model.shots_] == [str(i) for i in range(20)]
    assert change == HeadChange(sorted(set(model.heads_) - before), sorted(before - set(model.heads_)))


def test__partial_fit__reads_only_the_new_shots():
    model = new().fit(TEXTS[:12], LABELS[:12])
    count = model.backbone.n_forward
    model.partial_fit(TEXTS[12:], LABELS[12:])
    assert model.backbone.n_forward == count + 6


@pytest.mark.parametrize("method", METHODS)
def test__forget_and_relabel__are_a_fit_without_a_forward_pass(method):
    model = new(method).fit(TEXTS, LABELS)
    count = model.backbone.n_forward
    model.remove_shots(["4"])
    model.relabel("0", "sky")
    assert model.backbone.n_forward == count
    labels = ["sky", *LABELS[1:4], *LABELS[5:]]
    assert_same(model, new(method).fit([*TEXTS[:4], *TEXTS[5:]], labels))
    assert [shot.label for shot in model.shots_] == labels
    assert [shot.id for shot in model.shots_] == [str(i) for i in range(18) if i != 4]


def test__forget__what_partial_fit_added__gives_the_first_classifier_back():
    model, first = new().fit(TEXTS, LABELS), new().fit(TEXTS, LABELS)
    model.partial_fit([{"text": "something else", "id": "mine"}], ["sky"])
    model.remove_shots(["mine"])
    assert_same(model, first)


def test__relabel__shots_of_the_same_content__change_together():
    with pytest.warns(UserWarning, match="repeat another"):
        model = new().fit([*TEXTS, TEXTS[0]], [*LABELS, LABELS[0]])
    model.relabel("18", "sky")
    assert [shot.label for shot in model.shots_ if shot.id in ("0", "18")] == ["sky", "sky"]


def test__learning__loaded_with_its_shots__goes_on_as_before(tmp_path):
    model = new("kernel_ridge").fit(TEXTS, LABELS)
    model.save_pretrained(tmp_path / "with", keep_shots=True)
    loaded = SAVModel.from_pretrained(tmp_path / "with", backbone=FakeBackbone(layout=LAYOUT))
    for one in (model, loaded):
        one.partial_fit(["zinc 1", "zinc 2"], ["metal", "metal"])
        one.remove_shots(["3"])
    assert_same(model, loaded)


def test__learning__loaded_without_its_shots__says_what_to_do(tmp_path):
    new().fit(TEXTS, LABELS).save_pretrained(tmp_path)
    loaded = SAVModel.from_pretrained(tmp_path, backbone=FakeBackbone(layout=LAYOUT))
    for attempt in (
        lambda: loaded.partial_fit(["zinc"], ["metal"]),
        lambda: loaded.remove_shots(["3"]),
        lambda: loaded.relabel("3", "sky"),
        loaded.find_label_issues,
        lambda: loaded.is_out_of_distribution(["x"]),
        lambda: loaded.save_pretrained(tmp_path, keep_shots=True),
    ):
        with pytest.raises(DataError, match="keep_shots=True"):
            attempt()
    assert loaded.predict(TEXTS[:3]).shape == (3,)


@pytest.mark.parametrize("attempt", [lambda m: m.relabel("1", "stone"), lambda m: m.remove_shots(["2", "1"])])
def test__learning__id_that_is_also_a_position__refused(attempt):
    model = new().fit([{"text": TEXTS[0], "id": "1"}, *TEXTS[1:]], LABELS)
    records = list(model.shots_)
    assert [shot.id for shot in records[:3]] == ["1", "1", "2"]
    with pytest.raises(DataError, match=r"^2 shots have the id '1', .*; fit again with an id of its own"):
        attempt(model)
    assert model.shots_ == records


@pytest.mark.parametrize(
    ("attempt", "message"),
    [
        (
            lambda m: m.partial_fit([{"text": "new", "id": "x"}, TEXTS[0]], ["sky", "stone"]),
            "different labels",
        ),
        (lambda m: m.partial_fit([{"text": "new", "id": "named"}], ["sky"]), "already"),
        (lambda m: m.partial_fit(["new"], [3]), "one type"),
        (lambda m: m.partial_fit(["new"]), "no label"),
        (lambda m: m.remove_shots(["nobody"]), "no shot has the id"),
        (lambda m: m.remove_shots(["0"]), "at least 2 classes"),
        (lambda m: m.relabel("nobody", "sky"), "no shot has the id"),
        (lambda m: m.relabel("0", 7), "one type"),
        (lambda m: m.relabel("0", "stone"), "at least 2 classes"),
    ],
)
@pytest.mark.filterwarnings("ignore:every class has one shot")
def test__learning__on_an_error__nothing_is_changed(attempt, message):
    model = new().fit([TEXTS[0], {"text": TEXTS[1], "id": "named"}], LABELS[:2])
    before, records = model.predict_proba(TEXTS), list(model.shots_)
    with pytest.raises(DataError, match=message):
        attempt(model)
    np.testing.assert_array_equal(model.predict_proba(TEXTS), before)
    assert model.shots_ == records
