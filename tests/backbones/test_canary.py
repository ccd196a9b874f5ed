"""Probes that are the same everywhere, and what counts as another vector."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from savs.backbones import FakeBackbone, TransformersBackbone
from savs.backbones._canary import (
    Canary,
    changes,
    check,
    environment_of,
    in_words,
    largest_difference,
    record,
    tolerance,
)
from savs.backbones._probes import avi, clip, is_probe, pattern, probe, probe_names
from savs.errors import CapacityError, DriftError, ItemError
from savs.media.video import decode_video

WIDTHS = [8] * 16


def read(backbone, examples):
    return backbone.extract(examples).features


def contents(name: str) -> str:
    found = b""
    for part in probe(name).parts:
        value = getattr(part, "text", None)
        value = part.source if value is None else value.encode()
        found += value if isinstance(value, bytes) else value.tobytes()
    return hashlib.sha256(found).hexdigest()


# A probe that changes makes every canary that was ever saved wrong: give the new one another name.
GOLDEN = {
    "text 1": "c465488e22db5bc75cc91de1499e0e2ffee7a599d50de6d20eba182f2bb181b7",
    "text 2": "e6b7434ff784fa451105c50367abf327fab88e48ea7aad46304379c91042a7d0",
    "image 1": "a9aa4768f1575c2b56e6fd80c1e725ebccb711a39917c1596e5e3a645da97564",
    "image 2": "70d4dbf406194977e92e0b8c111ce74433f0da2966ccbb3eb0147ebea90e851d",
    "images 1": "6289c9a0931239b8bb226237252d333ba3f8de9a8d50f1537fa83715d5317a92",
    "video 1": "37cd6f5b49dd166edb4ff39d7412b12c8d1756bc78f958791c15b554dcf0a6c7",
    "audio 1": "3d92d4bce874f2a75f37aa567ef818cf12d3645c4527c321dcbcd9d9766fe75e",
}


@pytest.mark.parametrize("name", GOLDEN)
def test__fault_31__probe__content__is_for_ever_the_same(name):
    assert contents(name) == GOLDEN[name]


def test__probe__names__cover_every_kind_and_text_always():
    every = probe_names({"text", "image", "audio", "video"})
    assert every == list(GOLDEN)
    assert probe_names({"audio"}) == ["text 1", "text 2", "audio 1"]
    assert len([name for name in probe_names({"image"}) if name.startswith("image")]) == 3
    assert [is_probe(name) for name in ("text 1", "text 3", 1)] == [True, False, False]


def test__pattern__every_pixel__is_the_formula_of_the_module():
    image = pattern(7, 5, 2)
    for row in range(7):
        for column in range(5):
            for channel in range(3):
                value = row * (5 + 2 * channel) + column * (3 + channel) + (row * column) // 9 + 74
                assert image[row, column, channel] == value % 256


def test__clip__every_sample__is_the_formula_of_the_module():
    samples = clip(300)
    expected = [((i * (i // 50 + 7)) % 201 - 100) / 128 for i in range(300)]
    np.testing.assert_array_equal(samples, np.asarray(expected, np.float32))
    assert np.abs(clip(24_000)).max() < 1


def test__avi__decoded__gives_the_same_pixels_and_times():
    pytest.importorskip("av")
    frames = [pattern(20, 16, seed) for seed in range(3)]
    found = decode_video(avi(frames, 2), 3)
    np.testing.assert_array_equal(found.pixels, np.stack(frames))
    assert found.seconds == [0.0, 0.5, 1.0]


def test__largest_difference__plain_loop__agrees():
    rng = np.random.default_rng(0)
    before = rng.normal(size=(3, 9)).astype(np.float32)
    before[:, 5:] *= 1e-6  # a head that is negligible
    after = before + rng.normal(size=before.shape).astype(np.float32) * 1e-3
    scales = [np.abs(before[:, start:stop]).max() for start, stop in ((0, 2), (2, 5), (5, 9))]
    floor = max(scales) / 1000
    expected = max(
        abs(float(after[i, j]) - float(before[i, j])) / max(float(scales[head]), floor)
        for i in range(3)
        for head, (start, stop) in enumerate(((0, 2), (2, 5), (5, 9)))
        for j in range(start, stop)
    )
    assert largest_difference(before, after, [2, 3, 4]) == pytest.approx(expected, rel=1e-6)
    assert largest_difference(before, before, [2, 3, 4]) == 0.0
    after[0, 0] = np.nan
    assert largest_difference(before, after, [2, 3, 4]) == float("inf")
    assert largest_difference(before, after[:, :8], [2, 3, 4]) == float("inf")


def test__tolerance__looser_with_fewer_digits_and_where_tf32_may_be_used():
    found = [tolerance(dtype, "cpu") for dtype in ("float32", "float16", "bfloat16")]
    assert found == sorted(set(found))
    assert tolerance("float32", "cuda") > tolerance("float32", "cpu")
    assert tolerance("float8_e4m3fn", "cuda") == found[2]
    assert tolerance(None, None) == tolerance("float32", "cpu")


def test__environment__python_is_not_in_it_kernel_and_device_are():
    fingerprint = {
        "versions": {"python": "3.14", "torch": "2.9"},
        "attn_implementation": "sdpa",
        "device": "cpu",
    }
    found = environment_of(fingerprint)
    assert found == {"torch": "2.9", "attention kernel": "sdpa", "device": "cpu", "dtype": None}
    changed = changes(found, found | {"torch": "2.10", "dtype": "float16"})
    assert in_words(changed) == "dtype none -> float16, torch 2.9 -> 2.10"


def test__record__probes_that_cannot_be_read__are_left_out():
    class TextAlone(FakeBackbone):
        def extract(self, examples, heads=None, **options):
            if examples[0].images:
                raise ItemError("it takes no images", code="no_images")
            return super().extract(examples, heads, **options)

    found = record(TextAlone(), {"image"}, read)
    assert found.probes == ("text 1", "text 2")
    assert found.vectors.shape == (2, 128)

    class Nothing(FakeBackbone):
        def extract(self, *_examples, **_options):
            raise ItemError("nothing", code="nothing")

    assert record(Nothing(), {"image"}, read) is None


def test__record__backbone_of_ones_own_that_fails_in_its_own_way__is_left_out_too():
    class Colors:
        layout, modalities, fingerprint = FakeBackbone().layout, frozenset({"image"}), {"source": "colors:x"}

        def extract(self, examples, *_heads, **_options):
            return FakeBackbone().extract([examples[0]] if examples[0].images[0] else [])

    assert record(Colors(), {"image"}, read).probes == ("image 1", "image 2", "images 1")


def test__fault_31__check__same_vectors_silent__others_named_with_versions_and_difference():
    canary = record(FakeBackbone(), {"image"}, read)
    check(canary, FakeBackbone(), read, WIDTHS, of="mine", advice="do something")

    class Newer(FakeBackbone):
        @property
        def fingerprint(self):
            return {**super().fingerprint, "versions": {"numpy": "99"}}

        def _vector(self, example, purpose, width):
            return super()._vector(example, purpose, width) + np.float32(0.5) * bool(example.images)

    with pytest.raises(
        DriftError, match=r"than mine \(numpy .* -> 99\): .* up to 0\.5 .*; do something$"
    ) as caught:
        check(canary, Newer(), read, WIDTHS, of="mine", advice="do something")
    assert caught.value.changed == {"numpy": (np.__version__, "99")}
    assert caught.value.tolerance == 1e-4 < caught.value.difference
    text = record(FakeBackbone(), (), read)
    check(text, Newer(), read, WIDTHS, of="mine", advice="")  # text alone would not have noticed


def test__check__half_precision_then_or_now__has_its_tolerance():
    canary = record(FakeBackbone(), (), read)
    half = Canary(
        {**canary.environment, "dtype": "bfloat16"}, canary.probes, canary.vectors * np.float32(1.1)
    )
    check(half, FakeBackbone(), read, WIDTHS, of="mine", advice="")
    with pytest.raises(DriftError):
        check(
            Canary(canary.environment, half.probes, half.vectors),
            FakeBackbone(),
            read,
            WIDTHS,
            of="",
            advice="",
        )


def test__check__probe_that_fails_now__is_drift_and_full_memory_is_not():
    canary = record(FakeBackbone(), (), read)

    def failing(error):
        def fail(_backbone, _examples):
            raise error

        return fail

    with pytest.raises(DriftError, match=r"'text 1' cannot be read any more \(prompt_too_long\)"):
        check(
            canary, FakeBackbone(), failing(ItemError("x", code="prompt_too_long")), WIDTHS, of="", advice=""
        )
    with pytest.raises(CapacityError):
        check(canary, FakeBackbone(), failing(CapacityError("x", code="memory")), WIDTHS, of="", advice="")


@pytest.mark.parametrize(
    "change",
    [
        {"probes": ("text 1", "text 9")},
        {"probes": ("text 1", "text 1")},
        {"probes": ("text 1",)},
        {"environment": {"torch": 2}},
        {"vectors": np.zeros((2, 4))},
        {"vectors": np.full((2, 4), np.nan, np.float32)},
        {"probes": (), "vectors": np.zeros((0, 4), np.float32)},
    ],
)
def test__canary__what_does_not_fit_together__is_refused(change):
    whole = {"environment": {}, "probes": ("text 1", "text 2"), "vectors": np.zeros((2, 4), np.float32)}
    Canary(**whole)
    with pytest.raises(ValueError, match="does not fit"):
        Canary(**whole | change)


def test__record__families__read_the_probes_of_their_media(family):
    expected = {
        "llava": {"text 1", "image 1", "image 2", "images 1"},
        "qwen2_5_vl": {"text 1", "text 2", "image 1", "image 2", "images 1"},
        "llama": {"text 1"},
        "qwen2_audio": {"text 1", "audio 1"},
    }
    for name, wanted in expected.items():
        built = family(name)
        backbone = TransformersBackbone(built.model, built.processor)
        found = record(backbone, backbone.modalities, read)
        assert wanted <= set(found.probes), name
        again = record(backbone, backbone.modalities, read)
        np.testing.assert_array_equal(found.vectors, again.vectors)
