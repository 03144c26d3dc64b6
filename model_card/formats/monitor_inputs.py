"""What a monitor read, with what it was told to: data, declaration, thresholds in force."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aims_mlflow.model_card.bounds import cut_text, cut_texts
from aims_mlflow.model_card.formats.blocks import table
from aims_mlflow.model_card.formats.document import Cell, Items, Pairs, Paragraph
from aims_mlflow.model_card.formats.text import shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from aims_mlflow.model_card.formats.document import Block
    from aims_mlflow.monitored import MonitoringReport, ObservedData

#: Entries of a list, thresholds and remarks that are shown.
_MAX_ITEMS, _MAX_ROWS = 20, 100


def data_blocks(report: MonitoringReport) -> Iterator[Block]:
    """Each source: from where, how much, read with what and how often."""
    if not report.data:
        yield Paragraph("No data were read.", muted=True)
    for data in report.data:
        yield Pairs(data.role, tuple(_source(data)))
        remarks = (*(f"read: {scan}" for scan in data.scans), *data.notes)
        if remarks:
            yield Items(f"How the {data.role} data were read", _some(remarks))


def _source(data: ObservedData) -> Iterator[tuple[str, Cell]]:
    yield "source", Cell(cut_text(data.uri))
    yield "rows", Cell(shown(data.rows)) if data.rows is not None else Cell("not counted")
    if data.columns is not None:
        yield "columns", Cell(shown(data.columns))
    yield "read with", Cell(cut_text(data.engine))
    if data.model:
        yield "saved with", Cell(cut_text(data.model))
    if data.summary_sha256:
        yield "SHA-256 of the counts", Cell(data.summary_sha256)


def declared_blocks(report: MonitoringReport) -> Iterator[Block]:
    """The monitor and the thresholds as declared, and the digest of the declaration."""
    digest = report.threshold_config or "none: no declaration was in force"
    yield Paragraph(f"SHA-256 of the system's declaration: {digest}", muted=True)
    rows = tuple((cut_text(key), Cell(_value(value))) for key, value in report.declared.items())
    if rows:
        yield Pairs("The monitor as declared", rows)
    thresholds = _thresholds(report)
    if thresholds:
        yield table(thresholds, "The thresholds in force, as declared")


def _thresholds(report: MonitoringReport) -> list[dict[str, Any]]:
    found = {j.threshold: j.declared for j in report.judgements if j.declared}
    rows = list(found.values())[:_MAX_ROWS]
    keys = [key for key in dict.fromkeys(k for row in rows for k in row) if _given(key, rows)]
    told: list[dict[str, Any]] = cut_texts([{key: _blank(row.get(key)) for key in keys} for row in rows])
    return told


def _given(key: str, rows: list[Mapping[str, Any]] | list[dict[str, Any]]) -> bool:
    return any(row.get(key) is not None for row in rows)


def _blank(value: Any) -> Any:
    return "" if value is None else value


def _value(value: Any) -> str:
    """A declared value in a line; of long lists the beginning."""
    if isinstance(value, list | tuple):
        more = len(value) - _MAX_ITEMS
        text = shown(list(value[:_MAX_ITEMS]))
        return cut_text(f"{text} and {more:,} more" if more > 0 else text)
    return cut_text(shown(value))


def _some(texts: tuple[str, ...]) -> tuple[str, ...]:
    more = len(texts) - _MAX_ITEMS
    kept = tuple(map(cut_text, texts[:_MAX_ITEMS]))
    return (*kept, f"and {more:,} more, which the JSON has") if more > 0 else kept
