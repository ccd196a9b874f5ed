from __future__ import annotations

import json

import pytest

from savs.cache import FeatureStore
from savs.cache._description import Description
from savs.errors import StoreError, StoreMismatchError
from savs.layout import HeadLayout

LAYOUT = HeadLayout.uniform(3, 2, 4)
FINGERPRINT = {"model_class": "Lmm", "commit": "c0ffee", "processor_digest": "12", "dtype": "bfloat16"}


@pytest.mark.parametrize(
    ("name", "value"),
    [("model_class", "Other"), ("commit", "beef"), ("processor_digest", "13"), ("dtype", "float16")],
)
def test__fault_24__other_fingerprint__refused_with_the_entries_that_differ(folder, name, value):
    FeatureStore.open(folder, FINGERPRINT, LAYOUT)
    with pytest.raises(StoreMismatchError) as caught:
        FeatureStore.open(folder, {**FINGERPRINT, name: value}, LAYOUT)
    message = str(caught.value)
    assert f"{name}: {FINGERPRINT[name]} -> {value}" in message
    assert not any(other in message for other in set(FINGERPRINT) - {name})


@pytest.mark.parametrize(
    ("options", "entry"),
    [
        ({"dtype": "float16"}, "stored dtype: float32 -> float16"),
        ({"states_width": 5}, "states_width: none -> 5"),
    ],
)
def test__fault_24__other_storage__refused(folder, options, entry):
    FeatureStore.open(folder, FINGERPRINT, LAYOUT)
    with pytest.raises(StoreMismatchError, match=entry):
        FeatureStore.open(folder, FINGERPRINT, LAYOUT, **options)


def test__fault_24__other_layout__refused_also_if_only_the_order_differs(folder):
    FeatureStore.open(folder, FINGERPRINT, LAYOUT)
    for other in (HeadLayout.uniform(3, 4, 2), LAYOUT.select(LAYOUT.heads[::-1])):
        with pytest.raises(StoreMismatchError, match="layout"):
            FeatureStore.open(folder, FINGERPRINT, other)


def test__missing_entry__refused(folder):
    FeatureStore.open(folder, FINGERPRINT, LAYOUT)
    with pytest.raises(StoreMismatchError, match="commit: c0ffee -> none"):
        FeatureStore.open(folder, {**FINGERPRINT, "commit": None}, LAYOUT)


def test__same_description__opens_from_json_round_trip(folder):
    description = FeatureStore.open(folder, {**FINGERPRINT, "tuple": (1, 2)}, LAYOUT).description
    again = Description.from_json(json.loads(json.dumps(description.to_json())))
    assert again.id == description.id
    assert (
        FeatureStore.open(folder, {**FINGERPRINT, "tuple": (1, 2)}, LAYOUT).description.id == description.id
    )


@pytest.mark.parametrize(
    "content", [b"", b"{}", b"[1]", b"\x80\x04K\x01.", b"[" * 100_000, b'{"a": 1e999}', b"\xff\xfe"]
)
def test__damaged_store_json__one_line_error(folder, content):
    FeatureStore.open(folder, FINGERPRINT, LAYOUT)
    (folder / "store.json").write_bytes(content)
    for opening in (
        lambda: FeatureStore.open(folder, FINGERPRINT, LAYOUT),
        lambda: FeatureStore.existing(folder),
    ):
        with pytest.raises(StoreError, match=r"store\.json cannot be used") as caught:
            opening()
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "change", [{"dtype": "float16"}, {"layout": [[0, 0, 4]]}, {"states_width": 3}, {"sha256": 3}]
)
def test__altered_store_json__refused(folder, change):
    FeatureStore.open(folder, FINGERPRINT, LAYOUT)
    path = folder / "store.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | change))
    with pytest.raises(StoreError, match=r"altered|fit together"):
        FeatureStore.existing(folder)


def test__newer_schema__says_so(folder):
    FeatureStore.open(folder, FINGERPRINT, LAYOUT)
    path = folder / "store.json"
    path.write_text(path.read_text().replace('"schema_version": 2', '"schema_version": 3'))
    with pytest.raises(StoreError, match="schema 3"):
        FeatureStore.existing(folder)


def test__foreign_folder_or_file__refused_and_untouched(tmp_path):
    (tmp_path / "thesis.txt").write_text("mine")
    with pytest.raises(StoreError, match=r"holds other files \(thesis\.txt"):
        FeatureStore.open(tmp_path, FINGERPRINT, LAYOUT)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.txt"]
    with pytest.raises(StoreError, match="is a file"):
        FeatureStore.open(tmp_path / "thesis.txt", FINGERPRINT, LAYOUT)
    with pytest.raises(StoreError, match="not a feature store"):
        FeatureStore.existing(tmp_path)


@pytest.mark.parametrize(
    "options", [{"dtype": "int8"}, {"states_width": 0}, {"on_full": "maybe"}, {"part_rows": 0}]
)
def test__wrong_option__value_error_and_nothing_made(folder, options):
    with pytest.raises(ValueError, match=next(iter(options))):
        FeatureStore.open(folder, FINGERPRINT, LAYOUT, **options)
    assert not folder.exists()


@pytest.mark.parametrize("value", [float("nan"), object(), b"bytes"])
def test__fingerprint_that_is_no_json__value_error_and_nothing_made(folder, value):
    with pytest.raises(ValueError, match="fingerprint"):
        FeatureStore.open(folder, {"entry": value}, LAYOUT)
    assert not folder.exists()


def test__folder_that_cannot_be_named_or_listed__one_line_error(folder):
    with pytest.raises(StoreError, match="too long"):
        FeatureStore.open(folder.with_name("a" * 300), FINGERPRINT, LAYOUT)
    FeatureStore.open(folder, FINGERPRINT, LAYOUT)
    (folder / "parts").rmdir()
    (folder / "parts").write_text("a file")
    with pytest.raises(StoreError, match="cannot read"):
        FeatureStore.existing(folder)
