"""A document before it has a format: head, sections, entries and blocks.

`views` makes one of a card or a report; each format writes one down. A new format reads this and
nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, TypeAlias

if TYPE_CHECKING:
    from collections.abc import Callable

    from aims_mlflow.model_card.svg import Sketch


@dataclass(frozen=True)
class Chip:
    """A short state in words, with the tone that may colour it."""

    text: str
    tone: str


@dataclass(frozen=True)
class Cell:
    """One value. `exact` is a number with all its digits where `text` rounds it.

    `interval` is its confidence interval in words ("0.861 to 0.884"), `method` how that was
    computed.
    """

    text: str
    chip: Chip | None = None
    exact: str = ""
    muted: bool = False
    interval: str = ""
    method: str = ""


@dataclass(frozen=True)
class Column:
    """The head of a table column."""

    title: str
    numeric: bool = False


@dataclass(frozen=True)
class Table:
    """A table; `muted` rows take no part in the comparison that the table makes.

    A `stacked` table has many numbers in a row: intervals stand below their values.
    """

    caption: str
    columns: tuple[Column, ...]
    rows: tuple[tuple[Cell, ...], ...]
    muted: frozenset[int] = frozenset()
    stacked: bool = False
    kind: ClassVar[str] = "table"


@dataclass(frozen=True)
class Pairs:
    """Names and values."""

    caption: str
    rows: tuple[tuple[str, Cell], ...]
    kind: ClassVar[str] = "pairs"


@dataclass(frozen=True)
class Items:
    """A list of texts."""

    caption: str
    items: tuple[str, ...]
    kind: ClassVar[str] = "items"


@dataclass(frozen=True)
class Paragraph:
    """A text; `muted` for remarks of this package."""

    text: str
    muted: bool = False
    kind: ClassVar[str] = "paragraph"


@dataclass(frozen=True)
class Heading:
    """A heading between the blocks of a part."""

    text: str
    kind: ClassVar[str] = "heading"


@dataclass(frozen=True)
class Prose:
    """Markdown that a person wrote; each format shows it without HTML, images or odd links."""

    text: str
    kind: ClassVar[str] = "prose"


@dataclass(frozen=True)
class Plot:
    """A plot; `alt` says in words what it shows, `draw` draws it for formats that have pictures.

    `id` is unique in the document.
    """

    id: str
    caption: str
    alt: str
    draw: Callable[[], Sketch]
    kind: ClassVar[str] = "plot"


Block: TypeAlias = Table | Pairs | Items | Paragraph | Heading | Prose | Plot


@dataclass(frozen=True)
class Link:
    """A reference to another place in the same document."""

    text: str
    anchor: str


@dataclass(frozen=True)
class Entry:
    """A titled statement with its state, its origin and its blocks.

    `origin` says who or what it comes from, `place` in which file and line it stands; `links`
    lead to the evidence that it rests on.
    """

    id: str
    title: str
    chip: Chip
    blocks: tuple[Block, ...]
    origin: str = ""
    place: str = ""
    meaning: str = ""
    fix: str = ""
    links: tuple[Link, ...] = ()


@dataclass(frozen=True)
class Part:
    """A section: entries, or blocks of its own. `tally` counts its entries by state."""

    id: str
    title: str
    entries: tuple[Entry, ...] = ()
    blocks: tuple[Block, ...] = ()
    tally: str = ""


@dataclass(frozen=True)
class Figure:
    """A key number: what it is, its value, what it was held against."""

    label: str
    value: Cell
    note: str
    chip: Chip | None = None


@dataclass(frozen=True)
class Gap:
    """Something missing: its title, the entry that tells more, and what to add."""

    title: str
    anchor: str
    fix: str


@dataclass(frozen=True)
class Share:
    """A part of a whole, for a bar with a legend."""

    label: str
    tone: str
    count: int


@dataclass(frozen=True)
class Document:
    """The whole. `identity` is what names it, `provenance` what binds it to the ledger.

    `summary` follows the bar of `shares`; `sources` lists the evidence that the document rests on;
    `legend` is the last line, and says what the words of the document mean.
    """

    kind: str
    title: str
    system: str
    verdict: Chip
    verdict_note: str
    alerts: tuple[str, ...]
    figures: tuple[Figure, ...]
    shares: tuple[Share, ...]
    shares_label: str
    gaps_title: str
    gaps: tuple[Gap, ...]
    parts: tuple[Part, ...]
    identity: tuple[tuple[str, str], ...]
    provenance: tuple[tuple[str, str], ...]
    summary: Table | None = None
    sources: Table | None = None
    legend: str = (
        "Measured: computed from the run. Declared: stated by a person, in the file and line that "
        "is named. Missing: not provided; nothing was filled in its place."
    )
