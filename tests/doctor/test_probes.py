"""The probes: the same every time, of several lengths, sizes and numbers of pictures."""

from __future__ import annotations

import numpy as np

from savs.doctor.probes import CLASSES, contrasts, prefix_probes, probes
from savs.examples.markers import IMAGE_MARKER


def content(example: object) -> list[object]:
    return [
        part.text if hasattr(part, "text") else np.asarray(part.source).tobytes() for part in example.parts
    ]


def test__probes__made_twice__are_the_same() -> None:
    for make in (probes, prefix_probes):
        for reads_images in (True, False):
            first, second = ([content(p.example) for p in make(reads_images)] for _ in range(2))
            assert first == second


def test__probes__every_form__has_every_class() -> None:
    found = probes(True)
    for form in ("text", "one image", "two images"):
        assert {probe.label for probe in found if probe.form == form} == set(CLASSES)
    assert all(len(p.example.images) == {"text": 0, "one image": 1, "two images": 2}[p.form] for p in found)
    assert len({part.source.size for p in found for part in p.example.images}) >= 3
    assert len({len(p.example.text) for p in found}) >= 6


def test__probes__text_only__no_pictures_and_different_lengths() -> None:
    found = probes(False)
    assert not any(probe.example.images for probe in found)
    assert len({probe.example.text for probe in found}) == len(found) == 12
    assert not any(IMAGE_MARKER in probe.example.text for probe in found)


def test__contrasts__pictures_of_a_pair__same_sizes_same_text() -> None:
    pairs = contrasts(True, True)
    for name in ("image swapped", "first of two swapped", "second of two swapped"):
        first, second = pairs[name]
        assert [i.source.size for i in first.images] == [i.source.size for i in second.images]
        assert first.text == second.text
        assert content(first) != content(second)
    assert len(contrasts(False, True)) == 1
    assert all(example.images for example in contrasts(True, False)["text changed"])


def test__prefix_probes__questions_of_a_picture__share_the_object() -> None:
    found = [probe.example for probe in prefix_probes(True) if probe.form == "one image"]
    assert len({id(example.images[0].source) for example in found}) == 2
    assert sorted(len(e.images) for e in found) == [1] * 10
    assert len(prefix_probes(False)) == 8
