import copy

import numpy as np
import pytest

from savs.backbones import Backbone, FakeBackbone, load_backbone
from savs.cache import Counts, FeatureStore, StoredBackbone, StoreWarning, with_store
from savs.cache._keys import feature_keys, store_identity
from savs.data import Example, Message, Text, as_examples
from savs.errors import ActivationError, BackboneError, ItemError, StoreError, StoreMismatchError
from savs.layout import Head
from savs.media import Image

TEXTS = [f"word {index}" for index in range(11)]
HEADS = [Head(2, 1), Head(0, 3)]


def stored(folder, backbone=None, *, part_rows=4, **options) -> StoredBackbone:
    backbone = backbone or FakeBackbone()
    identity = store_identity(backbone.fingerprint)
    return StoredBackbone(
        backbone, FeatureStore.open(folder, identity, backbone.layout, part_rows=part_rows, **options)
    )


def broken(path):
    path.write_bytes(b"no picture")
    return path


def nameless(text, *images):
    return Example((Message("user", (*map(Image, images), Text(text))),))


class Strict(FakeBackbone):
    """Refuses a text after it has been rendered, as a backbone does with a value that is not finite."""

    def _vector(self, example, purpose, width):
        if "poison" in example.text:
            raise ActivationError("a value is not finite", code="non_finite")
        return super()._vector(example, purpose, width)


def assert_same(found, wanted):
    np.testing.assert_array_equal(found.features, wanted.features, strict=True)
    np.testing.assert_array_equal(found.indices, wanted.indices, strict=True)
    assert [error.record() for error in found.errors] == [error.record() for error in wanted.errors]
    if wanted.states is None:
        assert found.states is None
    else:
        np.testing.assert_array_equal(found.states, wanted.states, strict=True)


@pytest.mark.parametrize("heads", [None, HEADS])
def test__extract__twice__same_bits_and_no_second_pass(tmp_path, heads):
    backbone = stored(tmp_path)
    examples, plain = as_examples(TEXTS), FakeBackbone().extract(as_examples(TEXTS), heads)
    assert_same(backbone.extract(examples, heads), plain)
    assert (backbone.n_computed, backbone.n_stored) == (11, 0)
    again = stored(tmp_path)
    assert_same(again.extract(examples, heads), plain)
    assert (again.n_computed, again.n_stored, again.backbone.n_forward) == (0, 11, 0)
    assert (again.report.n_examples, again.report.n_forward) == (11, 0)


def test__extract__few_heads_first__all_are_stored(tmp_path):
    stored(tmp_path).extract(as_examples(TEXTS), HEADS)
    again = stored(tmp_path)
    assert_same(again.extract(as_examples(TEXTS)), FakeBackbone().extract(as_examples(TEXTS)))
    assert again.backbone.n_forward == 0


def test__extract__some_stored__only_the_others_are_computed_in_their_places(tmp_path):
    stored(tmp_path).extract(as_examples(TEXTS[1::2]))
    again = stored(tmp_path)
    assert_same(again.extract(as_examples(TEXTS)), FakeBackbone().extract(as_examples(TEXTS)))
    assert (again.n_stored, again.n_computed, again.backbone.n_forward) == (5, 6, 6)
    assert again.total == again.last == Counts(11, 5, 6)


def test__extract__same_content_under_other_labels__computed_once(tmp_path):
    backbone = stored(tmp_path, part_rows=16)
    examples = as_examples(["a", "b", "a", "c", "b", "a"], [0, 1, 0, 1, 1, 0])
    assert_same(backbone.extract(examples), FakeBackbone().extract(examples))
    assert (backbone.n_computed, backbone.n_stored, backbone.backbone.n_forward) == (3, 0, 3)


@pytest.mark.parametrize("warm", [False, True])
@pytest.mark.parametrize("named", [False, True])
def test__errors_in_the_middle__same_ids_places_and_count_as_without_a_store(tmp_path, warm, named):
    bad = broken(tmp_path / "bad.png")
    texts = [*TEXTS[:5], "poison", "poison", *TEXTS[5:9], "poison", TEXTS[9]]
    examples = [nameless(text) for text in texts]
    examples[2], examples[8] = nameless("look", bad), nameless("see", tmp_path / "gone.png")
    if named:
        examples = as_examples(examples)
    backbone = stored(tmp_path / "store", Strict())
    if warm:
        backbone.extract(examples, max_errors=-1)
    for max_errors in (5, -1):
        plain = Strict().extract(examples, max_errors=max_errors)
        assert_same(backbone.extract(examples, max_errors=max_errors), plain)
    with pytest.raises(ItemError) as without:
        Strict().extract(examples, max_errors=4)
    with pytest.raises(ItemError) as within:
        backbone.extract(examples, max_errors=4)
    assert within.value.record() == without.value.record()
    assert backbone.n_computed == 0
    assert len(FeatureStore.existing(tmp_path / "store")) == 8


@pytest.mark.parametrize("names", [[], ["a"], ["a", "b", "c"]])
@pytest.mark.parametrize("width", [None, 16])
def test__states__equal_those_without_a_store(tmp_path, names, width):
    examples, plain = as_examples(names), FakeBackbone()
    for n_computed in (len(names), 0 if width else len(names)):
        backbone = stored(tmp_path, states_width=width)
        assert_same(
            backbone.extract(examples, HEADS, states=True), plain.extract(examples, HEADS, states=True)
        )
        assert backbone.n_computed == n_computed
        np.testing.assert_array_equal(backbone.last_layer_states(examples), plain.last_layer_states(examples))


def test__states__of_rows_stored_without__are_added(tmp_path):
    examples = as_examples(["a", "b"])
    features = FakeBackbone().extract(examples).features
    backbone = stored(tmp_path, states_width=16)
    backbone.store.append(feature_keys(backbone, examples), features)
    backbone.store.flush()
    assert backbone.extract(examples, states=True).states.shape == (2, 16)
    assert backbone.n_computed == 2
    assert backbone.extract(examples, states=True).states.shape == (2, 16)
    assert backbone.n_computed == 0


def test__backbone_that_stops__keeps_the_chunks_before(tmp_path):
    class Tired(FakeBackbone):
        def _vector(self, example, purpose, width):
            if self.n_forward == 9:
                raise KeyboardInterrupt
            return super()._vector(example, purpose, width)

    with pytest.raises(KeyboardInterrupt):
        stored(tmp_path, Tired()).extract(as_examples(TEXTS))
    again = stored(tmp_path)
    again.extract(as_examples(TEXTS))
    assert (again.n_stored, again.n_computed) == (8, 3)


def test__wrong_heads__refused_as_by_the_backbone(tmp_path):
    backbone, examples = stored(tmp_path), as_examples(["a"])
    with pytest.raises(BackboneError) as without:
        FakeBackbone().extract(examples, [Head(9, 0)])
    with pytest.raises(BackboneError) as within:
        backbone.extract(examples, [Head(9, 0)])
    assert str(within.value) == str(without.value)
    for heads in ([Head(0, 0), Head(0, 0)], []):
        with pytest.raises(BackboneError, match="the wanted heads cannot be used"):
            backbone.extract(examples, heads)
    assert backbone.backbone.n_forward == 0


def test__protocol__holds_and_the_rest_is_the_backbones(tmp_path):
    inner = FakeBackbone(answers=["green"])
    backbone = stored(tmp_path, inner)
    assert isinstance(backbone, Backbone)
    assert (backbone.layout, backbone.fingerprint) == (inner.layout, inner.fingerprint)
    assert (backbone.modalities, backbone.answers) == (inner.modalities, ("green",))
    assert backbone.generate(as_examples(["a"])) == ["green"]
    assert "FakeBackbone" in repr(backbone)
    with pytest.raises(AttributeError):
        _ = backbone.nothing_of_the_kind
    assert copy.copy(backbone).layout == inner.layout


def test__with_store__same_folder_is_kept_another_replaces(tmp_path):
    first = with_store(FakeBackbone(), tmp_path / "a")
    assert with_store(first, tmp_path / "." / "a") is first
    other = with_store(first, tmp_path / "b")
    assert other.backbone is first.backbone
    assert other.store.folder == tmp_path / "b"


def test__fault_24__another_backbone__refused_with_what_differs(tmp_path):
    with_store(FakeBackbone(), tmp_path)
    with pytest.raises(StoreMismatchError, match="weights_digest: "):
        with_store(FakeBackbone(seed=1), tmp_path)
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "notes.txt").touch()
    with pytest.raises(StoreError, match="holds other files"):
        with_store(FakeBackbone(), tmp_path / "other")


@pytest.fixture
def read_only(mount_disk):
    disk = mount_disk("1m")
    stored(disk.path / "store").extract(as_examples(TEXTS[:6]))
    disk.remount("ro")
    return disk.path


def test__fault_25__read_only_store__is_read_and_warns_once(read_only):
    backbone = stored(read_only / "store")
    with pytest.warns(StoreWarning, match="keeps no more") as warned:
        backbone.extract(as_examples(TEXTS))
    assert len(warned) == 1
    found = backbone.extract(as_examples(TEXTS))  # a second warning would be an error
    assert_same(found, FakeBackbone().extract(as_examples(TEXTS)))
    assert (backbone.n_stored, backbone.n_computed) == (6, 5)
    with pytest.warns(StoreWarning, match="keeps no more") as warned:
        with_store(FakeBackbone(), read_only / "new").extract(as_examples(TEXTS))
    assert len(warned) == 1


def test__tiny__heads_from_the_store__equal_computed_bits(tmp_path):
    tiny = load_backbone("tiny", batch_size=4)
    rng = np.random.default_rng(0)
    examples = as_examples([(rng.integers(0, 255, (24, 24, 3), np.uint8), f"What is {n}?") for n in range(5)])
    heads = list(tiny.layout.heads[3:-1:5])
    backbone = with_store(tiny, tmp_path)
    whole = backbone.extract(examples)
    assert backbone.report.n_forward == 5
    again = with_store(load_backbone("tiny", batch_size=2), tmp_path)
    np.testing.assert_array_equal(
        again.extract(examples, heads).features, whole.features[:, tiny.layout.column_indices(heads)]
    )
    assert (again.n_computed, again.report.n_forward) == (0, 0)
    np.testing.assert_array_equal(whole.features, tiny.extract(examples).features)


def n_parts(folder):
    return len(list((folder / "parts").iterdir()))


def test__fill__stores_what_is_missing_and_names_the_errors(tmp_path):
    bad = broken(tmp_path / "bad.png")
    examples = as_examples([*TEXTS[:3], (bad, "look"), *TEXTS[:5]])
    backbone = stored(tmp_path / "store", Strict(), states_width=16)
    errors = backbone.fill(examples, max_errors=1)
    assert [(index, error.code) for index, error in errors.items()] == [(3, "image_undecodable")]
    assert backbone.last == Counts(9, 3, 5)  # the first three of the second chunk are there
    backbone.fill(examples, max_errors=-1)
    assert backbone.last == Counts(9, 8, 0)
    with pytest.raises(ItemError):
        backbone.fill(examples)
    plain = FakeBackbone().extract(as_examples(TEXTS[:5]), states=True)
    assert_same(backbone.extract(as_examples(TEXTS[:5]), states=True), plain)
    assert backbone.n_computed == 0


@pytest.mark.parametrize("verb", ["fill", "extract"])
def test__holding__parts_fill_up_from_call_to_call(tmp_path, verb):
    backbone = stored(tmp_path / "held", part_rows=8)
    with backbone.holding():
        for text in TEXTS:
            getattr(backbone, verb)(as_examples([text]))
            assert len(FeatureStore.existing(tmp_path / "held")) in {0, 8}
    assert (n_parts(tmp_path / "held"), len(backbone.store)) == (2, 11)
    plain = stored(tmp_path / "plain", part_rows=8)
    for text in TEXTS:
        getattr(plain, verb)(as_examples([text]))
    assert n_parts(tmp_path / "plain") == 11


def test__holding__interrupted__what_was_waiting_is_written(tmp_path):
    backbone = stored(tmp_path, part_rows=8)

    def interrupted():
        with backbone.holding():
            backbone.fill(as_examples(TEXTS[:5]))
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        interrupted()
    assert len(FeatureStore.existing(tmp_path)) == 5


def test__holding__rows_that_have_waited_for_a_minute__are_written(tmp_path, monkeypatch):
    import time

    backbone, late = stored(tmp_path, part_rows=8), time.monotonic() + 61
    with backbone.holding():
        backbone.fill(as_examples(TEXTS[:2]))
        assert len(FeatureStore.existing(tmp_path)) == 0
        monkeypatch.setattr(time, "monotonic", lambda: late)
        backbone.fill(as_examples(TEXTS[2:3]))
        assert len(FeatureStore.existing(tmp_path)) == 3


def test__fault_23__chunks__never_torn_between_two_parts(tmp_path):
    """Six and six rows do not fit into a part of eight; a rerun computes whole chunks in the same batches."""
    backbone = stored(tmp_path, part_rows=8)
    texts = [f"{index}" for index in range(12)]
    with backbone.holding():
        for start in (0, 6):
            backbone.fill(as_examples(texts[start : start + 6]))
    sizes = sorted(part.n_rows for part in backbone.store._shelf.parts.values())
    assert sizes == [6, 6]


def test__with_store__may_hold_states__and_takes_a_store_without_them(tmp_path):
    first = with_store(FakeBackbone(), tmp_path / "a")
    assert first.store.description.states_width == 16
    first.extract(as_examples(["x"]))
    assert first.last_layer_states(as_examples(["x"])).shape == (1, 16)
    assert first.n_computed == 0
    stored(tmp_path / "b")
    assert with_store(FakeBackbone(), tmp_path / "b").store.description.states_width is None
