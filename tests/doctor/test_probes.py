"""The probes: the same every time, of several lengths, sizes and numbers of images."""

from __future__ import annotations

import numpy as np

from savs.data import IMAGE_MARKER
from savs.doctor._probes import CLASSES, contrasts, prefix_probes, probes
from savs.media import Audio, Video
from savs.media.video import load_video

IMAGES = frozenset({"text", "image"})
ALL = IMAGES | {"audio", "video"}


def content(example: object) -> list[object]:
    return [
        part.text if hasattr(part, "text") else np.asarray(part.source).tobytes() for part in example.parts
    ]


def test__probes__made_twice__are_the_same() -> None:
    for make in (probes, prefix_probes):
        for modalities in (ALL, IMAGES, {"text"}, {"text", "audio"}):
            first, second = ([content(p.example) for p in make(modalities)] for _ in range(2))
            assert first == second


def test__probes__every_form__has_every_class() -> None:
    found = probes(IMAGES)
    for form in ("text", "one image", "two images"):
        assert {probe.label for probe in found if probe.form == form} == set(CLASSES)
    assert all(len(p.example.images) == {"text": 0, "one image": 1, "two images": 2}[p.form] for p in found)
    assert len({part.source.size for p in found for part in p.example.images}) >= 3
    assert len({len(p.example.text) for p in found}) >= 6


def test__probes__text_only__no_images_and_different_lengths() -> None:
    found = probes({"text"})
    assert not any(probe.example.images for probe in found)
    assert len({probe.example.text for probe in found}) == len(found) == 12
    assert not any(IMAGE_MARKER in probe.example.text for probe in found)


def test__contrasts__images_of_a_pair__same_sizes_same_text() -> None:
    pairs = contrasts(IMAGES, True)
    for name in ("image swapped", "first of two swapped", "second of two swapped"):
        first, second = pairs[name]
        assert [i.source.size for i in first.images] == [i.source.size for i in second.images]
        assert first.text == second.text
        assert content(first) != content(second)
    assert len(contrasts({"text"}, True)) == 1
    assert all(example.images for example in contrasts(IMAGES, False)["text changed"])


def test__prefix_probes__questions_of_a_image__share_the_object() -> None:
    found = [probe.example for probe in prefix_probes(IMAGES) if probe.form == "one image"]
    assert len({id(example.images[0].source) for example in found}) == 2
    assert sorted(len(e.images) for e in found) == [1] * 10
    assert len(prefix_probes({"text"})) == 8


def test__probes__audios_and_videos__every_class_and_as_long_as_each_other_in_contrasts() -> None:
    for form, part in (("one audio clip", Audio), ("one video", Video)):
        found = [probe for probe in probes(ALL) if probe.form == form]
        assert {probe.label for probe in found} == set(CLASSES)
        assert all(isinstance(probe.example.parts[0], part) for probe in found)
    pairs = contrasts(ALL, True)
    low, high = (example.audios[0].source for example in pairs["audio clip swapped"])
    assert low.shape == high.shape
    assert not np.allclose(low, high)
    first, second = (load_video(example.images[0].source, 4) for example in pairs["video swapped"])
    assert [i.size for i in first] == [i.size for i in second]
    assert first[0].tobytes() == second[0].tobytes()
    assert first[3].tobytes() != second[3].tobytes()
