"""What a monitor read, and what it was told: data, declaration, thresholds in force."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aims_mlflow.model_card.bounds import cut_text
from aims_mlflow.model_card.formats.document import Cell, Column, Items, Pairs, Paragraph, Table
from aims_mlflow.model_card.formats.monitor_judgements import subject
from aims_mlflow.model_card.formats.numbers import NONE
from aims_mlflow.model_card.formats.text import humanise, shown

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aims_mlflow.model_card.formats.document import Block
    from aims_mlflow.monitored import MonitoringReport, ObservedData
    from aims_mlflow.readings import Judgement

#: Entries of a list, remarks and thresholds that are shown.
_MAX_ITEMS, _MAX_ROWS = 20, 100
#: What a threshold asks for before it judges or alerts.
_CONDITIONS = {
    "min_rows": "at least {} rows",
    "min_group_size": "groups of at least {} rows",
    "small_groups": "small groups: {}",
    "breaches": "an incident after {} breaches in a row",
    "valid_from": "from {}",
    "valid_until": "until {}",
}
_OF_GROUPS = frozenset({"min_group_size", "small_groups"})
#: An incident after one breach needs no word.
_UNSAID: dict[str, tuple[object, ...]] = {"breaches": (None, 1)}
_ORIGIN = {"reason": "{}", "approved_by": "approved by {}", "review_by": "review by {}"}


def data_blocks(report: MonitoringReport) -> Iterator[Block]:
    """Each source: from where, how much, read with what and how often."""
    if not report.data:
        yield Paragraph("No data were read.", muted=True)
    for data in report.data:
        yield Pairs(f"The {data.role} data", tuple(_source(data)))


def _source(data: ObservedData) -> Iterator[tuple[str, Cell]]:
    yield "source", Cell(cut_text(data.uri))
    yield "rows", Cell(shown(data.rows)) if data.rows is not None else Cell("not counted")
    if data.columns is not None:
        yield "columns", Cell(shown(data.columns))
    yield "read with", Cell(cut_text(data.engine))
    if data.model:
        yield "saved with", Cell(cut_text(data.model))
    if data.scans:
        count = len(data.scans)
        passes = "one pass" if count == 1 else f"{count} passes"
        yield "scans", Cell("\n".join((f"{passes}:", *_some(data.scans))))
    if data.summary_sha256:
        yield "SHA-256 of the counts", Cell(data.summary_sha256)
    if data.notes:
        yield "notes", Cell("\n".join(_some(data.notes)))


def declared_blocks(report: MonitoringReport) -> Iterator[Block]:
    """The monitor and the thresholds as declared, and the digest of the declaration."""
    rows = [
        (cut_text(humanise(key)), Cell(_value(value))) for key, value in report.declared.items()
    ]
    digest = report.threshold_config or "none: no declaration was in force"
    rows.append(("SHA-256 of the system's declaration", Cell(digest)))
    yield Pairs("The monitor as declared", tuple(rows))
    found = {judged.threshold: judged for judged in report.judgements if judged.declared}
    if found:
        yield _thresholds(list(found.values()))


def notes_block(report: MonitoringReport) -> Block:
    """The remarks of the execution."""
    return Items("Notes", _some(report.notes))


def _thresholds(judgements: list[Judgement]) -> Table:
    shown_ones = judgements[:_MAX_ROWS]
    more = len(judgements) - _MAX_ROWS
    some = f"; {more:,} more are in the JSON" if more > 0 else ""
    return Table(
        caption=f"The thresholds in force, as declared{some}",
        columns=tuple(
            map(Column, ("threshold", "of", "limit", "severity", "conditions", "why, and by whom"))
        ),
        rows=tuple(
            (
                Cell(cut_text(one.threshold)),
                Cell(_of(one)),
                Cell(one.limit),
                Cell(one.severity),
                _told(one, _CONDITIONS),
                _told(one, _ORIGIN),
            )
            for one in shown_ones
        ),
    )


def _of(judgement: Judgement) -> str:
    """What the threshold names; a column that the judgement found by itself is not declared."""
    column = judgement.declared.get("column")
    return subject(judgement if column else judgement.model_copy(update={"column": None}))


def _told(judgement: Judgement, words: dict[str, str]) -> Cell:
    grouped = judgement.feature is not None
    told = [
        text.format(judgement.declared[key])
        for key, text in words.items()
        if judgement.declared.get(key) not in _UNSAID.get(key, (None, ""))
        and (grouped or key not in _OF_GROUPS)
    ]
    return Cell("\n".join(map(cut_text, told))) if told else NONE


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
