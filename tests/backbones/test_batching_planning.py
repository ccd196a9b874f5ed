"""What is read together."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from savs.backbones._batching import Item, by_length, families, render_all, take
from savs.backbones._rendering import Rendered
from savs.media import Image


class Tokens:
    """All that planning asks of a processor."""

    image_token = "<image>"


def prompt(index: int, text: str, *images: Image, special: bool = True) -> Item:
    return Item(index, Rendered(text, images, special))


def test__take__images_and_texts_apart_longest_first__each_once(family, examples_for) -> None:
    waiting = by_length(render_all(family("llava").processor, examples_for("llava"))[0])
    groups = []
    while waiting:
        groups.append(take(waiting, 3))
        del waiting[: len(groups[-1])]
    everything = [item.index for group in groups for item in group]
    assert sorted(everything) == list(range(len(examples_for("llava"))))
    assert [{bool(item.rendered.images) for item in group} for group in groups] == [{True}, {True}, {False}]
    assert max(map(len, groups)) == 3
    shown = [item.rendered for group in groups for item in group if item.rendered.images]
    counts = [len(rendered.images) for rendered in shown]
    assert counts == sorted(counts, reverse=True)


def test__by_length__images_of_one_size_together_then_texts_of_one_length() -> None:
    import numpy as np

    small, large = (Image(np.zeros((side, side, 3), np.uint8)) for side in (56, 560))
    items = [
        prompt(0, "<image>?", small),
        prompt(1, "<image>?", large),
        prompt(2, "<image>" + "a longer question " * 3, small),
        prompt(3, "<image>" + "a longer question " * 3, large),
        prompt(4, "text alone " * 900),
    ]
    assert [item.index for item in by_length(items)] == [3, 1, 2, 0, 4]


@pytest.mark.parametrize(
    "source",
    [
        lambda: Image(Path("a.png")),
        lambda: Image(b"encoded"),
    ],
)
def test__families__same_image_named_twice__one_family(source) -> None:
    items = [prompt(i, f"<image>question {i}", source()) for i in range(3)]
    other = prompt(3, "<image>question 3", Image(Path("b.png")))
    alike, rest = families(Tokens(), [items[2], other, *items[:2]])
    assert [[item.index for item in family] for family in alike] == [[0, 1, 2]]
    assert [item.index for item in rest] == [3]


def test__families__same_object_in_memory__one_family_equal_objects_are_not_compared() -> None:
    import numpy as np

    one, two = (np.zeros((4, 4, 3), np.uint8) for _ in range(2))
    items = [prompt(i, f"<image>{i}", Image(source)) for i, source in enumerate([one, two, one])]
    alike, _ = families(Tokens(), items)
    assert [[item.index for item in family] for family in alike] == [[0, 2]]


def test__families__a_image_after_the_difference__not_shared() -> None:
    image = Image(b"x")
    items = [prompt(0, "red<image>", image), prompt(1, "blue<image>", image)]
    assert families(Tokens(), items) == ([], items)


def test__families__second_image_differs__not_shared() -> None:
    first = Image(b"x")
    items = [prompt(i, "<image>block<image>?", first, Image(bytes([i]))) for i in range(3)]
    assert families(Tokens(), items) == ([], items)


def test__families__special_tokens_differ__not_shared() -> None:
    image = Image(b"x")
    items = [prompt(i, "<image>same", image, special=bool(i)) for i in range(2)]
    assert families(Tokens(), items) == ([], items)


def test__take__other_number_of_images__another_batch() -> None:
    """In mllama, the text before an image also attends to what fills up a prompt with fewer images."""
    image = Image(b"x")
    waiting = by_length([prompt(i, "<image>" * n + "red?", *[image] * n) for i, n in enumerate([1, 2, 1, 0])])
    groups = []
    while waiting:
        groups.append(take(waiting, 8))
        del waiting[: len(groups[-1])]
    assert [sorted(item.index for item in group) for group in groups] == [[1], [0, 2], [3]]


def test__families__text__a_long_common_beginning_only() -> None:
    block = "an in-context block " * 20
    alike, rest = families(Tokens(), [prompt(i, f"{block}{i}") for i in range(3)])
    assert [len(family) for family in alike] == [3]
    assert not rest
    short = [prompt(i, f"You are helpful. Question {i}") for i in range(3)]
    assert families(Tokens(), short) == ([], short)


@settings(deadline=None, max_examples=60)
@given(
    st.lists(
        st.tuples(st.sampled_from(["", "<image>", "<image>" + "b" * 130]), st.text("ab", max_size=5)),
        max_size=90,
    )
)
def test__families__anything__each_example_once_and_what_is_common_holds_the_images(texts) -> None:
    image = Image(b"x")
    items = [
        prompt(i, start + text, *([image] * start.count("<image>"))) for i, (start, text) in enumerate(texts)
    ]
    alike, rest = families(Tokens(), items)
    assert sorted(i.index for family in [*alike, rest] for i in family) == list(range(len(items)))
    for family in alike:
        assert 2 <= len(family) <= 64
        assert all(item.rendered.text.startswith("<image>") for item in family if item.rendered.images)
