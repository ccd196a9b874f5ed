"""What a report consists of: sections of tables, figures, facts and cards, before they become HTML."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeAlias

from savs._reprs import short_repr

if TYPE_CHECKING:
    from matplotlib.figure import Figure

__all__ = [
    "Block",
    "Card",
    "Cards",
    "Cell",
    "Facts",
    "Headline",
    "Note",
    "Picture",
    "Report",
    "Section",
    "Table",
    "interval",
    "name_of",
    "percent",
]

DASH = "\N{EN DASH}"


@dataclass(frozen=True)
class Headline:
    """The one number of a report.

    Attributes
    ----------
    name : str
        What it is, such as ``"accuracy"``.
    value : float
        From 0 to 1.
    low, high : float or None
        95 % interval; None where there is none.
    about : str
        How it was measured, in a sentence.
    """

    name: str
    value: float
    low: float | None
    high: float | None
    about: str


@dataclass(frozen=True)
class Cell:
    """A cell of a table.

    Attributes
    ----------
    text : str
        What it says.
    detail : str
        Smaller, below: an interval, a reason.
    share : float or None
        From 0 to 1, drawn as a bar; None for no bar.
    strong : bool
        Whether it stands out.
    """

    text: str
    detail: str = ""
    share: float | None = None
    strong: bool = False


@dataclass(frozen=True)
class Table:
    """A table; the first cell of a row is its name.

    Attributes
    ----------
    caption : str
        What it shows.
    columns : sequence of str
        Titles.
    rows : sequence of sequence of Cell
        As many cells as columns.
    """

    caption: str
    columns: Sequence[str]
    rows: Sequence[Sequence[Cell]]
    kind: str = "table"


@dataclass(frozen=True)
class Picture:
    """A figure with its caption.

    Attributes
    ----------
    figure : Figure
        Of matplotlib.
    alt : str
        What it shows, for those who cannot see it.
    caption : str
        Below the figure.
    wide : bool
        Whether it stays wide on a narrow screen, and scrolls.
    """

    figure: Figure
    alt: str
    caption: str
    wide: bool = False
    kind: str = "picture"


@dataclass(frozen=True)
class Card:
    """An example.

    Attributes
    ----------
    id : str
        Of the example.
    label, answer : str
        The label it has, and the one it got.
    sure : str
        How sure the answer is, in words.
    text : str
        Of the example; may be empty.
    thumbnail : bytes or None
        A JPEG image of at most 96 pixels.
    votes : sequence of (str, float)
        Labels with the share of the heads' votes, largest first.
    """

    id: str
    label: str
    answer: str
    sure: str
    text: str = ""
    thumbnail: bytes | None = None
    votes: Sequence[tuple[str, float]] = ()


@dataclass(frozen=True)
class Cards:
    """Examples side by side.

    Attributes
    ----------
    cards : sequence of Card
        In order.
    """

    cards: Sequence[Card]
    kind: str = "cards"


@dataclass(frozen=True)
class Facts:
    """Names and values.

    Attributes
    ----------
    rows : sequence of (str, str)
        In order.
    """

    rows: Sequence[tuple[str, str]]
    kind: str = "facts"


@dataclass(frozen=True)
class Note:
    """A sentence, and the command that would fill the section.

    Attributes
    ----------
    text : str
        The sentence.
    command : str
        May be empty.
    """

    text: str
    command: str = ""
    kind: str = "note"


Block: TypeAlias = Table | Picture | Cards | Facts | Note


@dataclass(frozen=True)
class Section:
    """A part of a report.

    Attributes
    ----------
    title : str
        Heading.
    blocks : sequence of Block
        What is below it.
    about : str
        How to read it, in a sentence.
    """

    title: str
    blocks: Sequence[Block]
    about: str = ""


@dataclass(frozen=True)
class Report:
    """A report.

    Attributes
    ----------
    title, subtitle : str
        What it is about.
    headline : Headline or None
        None where no number can be claimed.
    warning : str
        What a reader must know first, such as that the number is an estimate from the shots.
    facts : sequence of (str, str)
        The setting in a few words: backbone, method, shots.
    sections : list of Section
        In order.
    """

    title: str
    subtitle: str
    headline: Headline | None
    warning: str = ""
    facts: Sequence[tuple[str, str]] = ()
    sections: list[Section] = field(default_factory=list)

    __repr__ = short_repr


def name_of(label: object, most: int = 48) -> str:
    """Return a label as it is shown: a long one is cut.

    Parameters
    ----------
    label : object
        The label.
    most : int, default=48
        Largest number of characters.

    Examples
    --------
    >>> name_of("a" * 50, 5)
    'aaaa…'
    """
    text = str(label)
    return text if len(text) <= most else f"{text[: most - 1]}…"


def percent(share: float | None) -> str:
    """Return a share as a percentage with one decimal, or a dash.

    Parameters
    ----------
    share : float or None
        From 0 to 1; None where it is not known.
    """
    return DASH if share is None else f"{100 * share:.1f} %"


def interval(low: float | None, high: float | None) -> str:
    """Return an interval of shares as percentages; empty without one.

    Parameters
    ----------
    low, high : float or None
        Its ends, from 0 to 1.
    """
    return "" if low is None or high is None else f"{100 * low:.1f} to {100 * high:.1f}"
