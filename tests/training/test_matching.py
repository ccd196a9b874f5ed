"""What was tried for matching: other contents, and formulas against loops."""

from __future__ import annotations

import numpy as np
import pytest
from training.matching import (
    cosines,
    similarity,
    similarity_scores,
    with_image,
    with_other,
    without_directions,
    without_text,
)

from savs.data import Example, Message, Text
from savs.layout import HeadLayout
from savs.media import Image

LAYOUT = HeadLayout.from_layers([(0, 2, 3), (1, 1, 4)]).with_state(5)


def example(*names: str, text: str) -> Example:
    images = [Image(np.full((2, 2, 3), ord(name), np.uint8)) for name in names]
    return Example((Message("user", (*images, Text(text))),))


def seen(one: Example) -> tuple[str, str]:
    return "".join(chr(int(np.asarray(image.source)[0, 0, 0])) for image in one.images), one.text


def test__other_content__text_of_one_image_and_second_of_two() -> None:
    assert seen(with_other(example("a", text="red"), example("b", text="blue"))) == ("a", "blue")
    assert seen(with_other(example("a", "b", text="same?"), example("c", "d", text="x"))) == ("ad", "same?")
    assert seen(without_text(example("a", "b", text="same?"))) == ("ab", "")
    assert [seen(with_image(example("a", "b", text="?"), place)) for place in (0, 1)] == [
        ("a", "?"),
        ("b", "?"),
    ]


def test__without_directions__orthogonal_to_them_and_else_the_same() -> None:
    rng = np.random.default_rng(0)
    rows, others = rng.standard_normal((6, LAYOUT.width)), rng.standard_normal((8, LAYOUT.width))
    left = without_directions(rows, others, LAYOUT, 2)
    for part in LAYOUT.parts:
        columns = LAYOUT.columns(part)
        values, vectors = np.linalg.eigh(np.cov(others[:, columns].T))
        main = vectors[:, np.argsort(-values)[:2]]
        np.testing.assert_allclose(left[:, columns] @ main, 0, atol=1e-10)
        gone = rows[:, columns] - left[:, columns]
        np.testing.assert_allclose(gone @ main @ main.T, gone, atol=1e-10)


def test__similarity__as_by_loop_and_learned() -> None:
    rng = np.random.default_rng(0)
    codes = np.arange(40) % 2
    first = rng.standard_normal((40, LAYOUT.width))
    second = first * codes[:, None] + rng.standard_normal(first.shape)
    center = np.linspace(-1, 1, LAYOUT.width)
    found = cosines(first, second, center, LAYOUT)
    for row in range(3):
        for place, part in enumerate(LAYOUT.parts):
            columns = LAYOUT.columns(part)
            for start, shift in ((0, 0 * center), (len(LAYOUT.parts), center)):
                one, two = (rows[row, columns] - shift[columns] for rows in (first, second))
                expected = one @ two / np.sqrt((one @ one) * (two @ two))
                assert found[row, start + place] == pytest.approx(expected)
    scores = similarity_scores(found, codes, found[:5])
    variances = np.array(
        [
            np.sum([(x - column[codes == c].mean()) ** 2 for x, c in zip(column, codes, strict=True)]) / 38
            for column in found.T
        ]
    )
    variances += 0.1 * variances.mean()
    for row in range(5):
        for code in range(2):
            gaps = (found[row] - found[codes == code].mean(axis=0)) ** 2 / variances
            assert scores[row, code] == pytest.approx(-gaps.mean() / 2)
    known, asked = (first[:20], second[:20]), (first[20:], second[20:])
    loss, log_proba = similarity(known, codes[:20], asked, LAYOUT)
    assert loss < np.log(2)
    np.testing.assert_allclose(np.exp(log_proba).sum(axis=1), 1)
    assert (log_proba.argmax(axis=1) == codes[20:]).mean() > 0.7
