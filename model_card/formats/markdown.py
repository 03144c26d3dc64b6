"""Markdown (CommonMark with tables). Every value shows as the text that it is."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from aims_mlflow.model_card.formats import prose
from aims_mlflow.model_card.formats.document import (
    Heading,
    Items,
    Pairs,
    Paragraph,
    Plot,
    Prose,
    Table,
)
from aims_mlflow.model_card.formats.text import visible
from aims_mlflow.model_card.formats.views import document

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from aims_mlflow.model_card.card import Card
    from aims_mlflow.model_card.evaluation import EvaluationReport
    from aims_mlflow.model_card.formats.document import Block, Cell, Document, Entry, Part
    from aims_mlflow.model_card.formats.stamp import Stamp
    from aims_mlflow.monitored import MonitoringReport

#: Entities where other readers of Markdown do not know the backslash: HTML and table cells.
_ENTITIES = {"&": "&amp;", "<": "&lt;", ">": "&gt;", "|": "&#124;"}
# The colon, the at sign and the dot of "www." are what makes an address a link by itself; an
# underscore inside a word marks nothing.
_SPECIAL = re.compile(
    r"[\\`*\[\]#~$@&<>|]|(?<![A-Za-z0-9])_|_(?![A-Za-z0-9])|(?<=[A-Za-z]):(?=[A-Za-z/])|(?<=www)\.",
    re.IGNORECASE,
)
_LINE_START = re.compile(r"^(\d*)([-+=.)])(?=[-+=\s]|$)")


def render_markdown(doc: Card | EvaluationReport | MonitoringReport, stamp: Stamp) -> bytes:
    """Any of our documents as Markdown, UTF-8."""
    return ("\n".join(_lines(document(doc, stamp))) + "\n").encode()


def escape(text: str) -> str:
    r"""Text that stays text: no markup, no HTML, no link; lines are kept with `<br>`.

    >>> escape("# a|b <b> [x](javascript:y)")
    '\\# a&#124;b &lt;b&gt; \\[x\\](javascript\\:y)'
    """
    lines = visible(text).replace("\t", " ").split("\n")
    return "<br>".join(_escape_line(line.strip()) for line in lines)


def _escape_line(line: str) -> str:
    escaped = _SPECIAL.sub(lambda match: _ENTITIES.get(match[0], f"\\{match[0]}"), line)
    return _LINE_START.sub(r"\1\\\2", escaped)


def _lines(doc: Document) -> Iterator[str]:
    yield from (f"# {escape(doc.kind)}: {escape(doc.title)}", "")
    yield from (f"AI system: {escape(doc.system)}", "")
    yield from (f"Verdict: **{doc.verdict.text}** ({escape(doc.verdict_note)})", "")
    for alert in doc.alerts:
        yield from (f"> **Note:** {escape(alert)}", "")
    shares = ", ".join(f"{share.count} {share.label}" for share in doc.shares)
    if shares:
        yield from (f"{doc.shares_label}: {shares}", "")
    if doc.summary:
        yield from _block(doc.summary)
    yield from _pairs("This document", [*doc.identity, *doc.provenance])
    yield from _figures(doc)
    yield from _gaps(doc)
    for part in doc.parts:
        yield from _part(part)
    if doc.sources:
        yield from ("## Evidence", "")
        yield from _block(doc.sources)


def _figures(doc: Document) -> Iterator[str]:
    if doc.figures:
        rows = [
            [f.label, _cell(f.value), f.note, f.chip.text if f.chip else ""] for f in doc.figures
        ]
        yield from ("## Key figures", "")
        yield from _table(
            ["figure", "value", "measured on", "verdict"],
            ["---", "---:", "---", "---"],
            [[escape(label), value, escape(note), chip] for label, value, note, chip in rows],
        )


def _gaps(doc: Document) -> Iterator[str]:
    if doc.gaps:
        yield from (f"## {doc.gaps_title}", "")
        for gap in doc.gaps:
            yield f"- {escape(gap.title)}" + (f" → {escape(gap.fix)}" if gap.fix else "")
        yield ""


def _part(part: Part) -> Iterator[str]:
    yield from (f"## {escape(part.title)}", "")
    if part.tally:
        yield from (part.tally, "")
    for block in part.blocks:
        yield from _block(block)
    for entry in part.entries:
        yield from _entry(entry)


def _entry(entry: Entry) -> Iterator[str]:
    origins = (entry.origin, entry.place, *(link.text for link in entry.links))
    origin = "".join(f" · {escape(text)}" for text in origins if text)
    yield from (f"### {escape(entry.title)}", "", f"*{entry.chip.text}*{origin}", "")
    if entry.meaning:
        add = f" → {escape(entry.fix)}" if entry.fix else ""
        yield from (f"Asked for: {escape(entry.meaning)}{add}", "")
    for block in entry.blocks:
        yield from _block(block)


def _block(block: Block) -> Iterator[str]:
    match block:
        case Paragraph():
            yield from (escape(block.text), "")
        case Heading():
            yield from (f"### {escape(block.text)}", "")
        case Prose():
            yield from prose.to_markdown(block.text, escape)
        case Plot():
            yield from (f"*{escape(block.caption)}.* {escape(block.alt)}", "")
        case Items():
            yield from (f"**{escape(block.caption)}**", "")
            yield from (*(f"- {escape(item)}" for item in block.items), "")
        case Pairs():
            yield from _pairs(block.caption, block.rows)
        case Table():
            yield from (f"**{escape(block.caption)}**", "")
            yield from _table(
                [escape(column.title) for column in block.columns],
                ["---:" if column.numeric else "---" for column in block.columns],
                [[_cell(cell) for cell in row] for row in block.rows],
            )


def _pairs(caption: str, rows: Sequence[tuple[str, str | Cell]]) -> Iterator[str]:
    cells = [
        [escape(name), escape(item) if isinstance(item, str) else _cell(item)]
        for name, item in rows
    ]
    yield from _table([escape(caption), ""], ["---", "---"], cells)


def _table(
    heads: Sequence[str], rules: Sequence[str], rows: Sequence[Sequence[str]]
) -> Iterator[str]:
    for row in (heads, rules, *rows):
        yield f"| {' | '.join(row)} |"
    yield ""


def _cell(cell: Cell) -> str:
    return escape(f"{cell.text} ({cell.interval})" if cell.interval else cell.text)
