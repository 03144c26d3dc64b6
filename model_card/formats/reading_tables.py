"""Readings of a monitor as tables: the worst and the undecided in full, the others in short."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from aims_mlflow.model_card.bounds import cut_text
from aims_mlflow.model_card.formats.document import Cell, Chip, Column, Paragraph, Part, Table
from aims_mlflow.model_card.formats.heads import label
from aims_mlflow.model_card.formats.numbers import number
from aims_mlflow.model_card.frame import cut

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from aims_mlflow.model_card.formats.document import Block
    from aims_mlflow.monitored import MonitoringReport, MonitorReading

#: Rows that are shown in full and in short, and letters of a name.
_FULL, _SHORT, _NAME = 60, 300, 80


def reading_parts(report: MonitoringReport) -> Iterator[Part]:
    """What was measured."""
    tested = [one for one in report.readings if one.test or one.drifted is not None]
    others = [one for one in report.readings if one not in tested]
    if tested:
        yield Part("columns", "Column by column", blocks=tuple(_blocks(tested, "Drift")))
    if others:
        yield Part("readings", "Readings", blocks=tuple(_blocks(others, "Readings")))


def _blocks(readings: Sequence[MonitorReading], caption: str) -> Iterator[Block]:
    order = sorted(readings, key=_rank)
    yield _table(order[:_FULL], caption)
    rest = order[_FULL:]
    if rest:
        yield _short(rest[:_SHORT], caption)
    left = len(rest) - _SHORT
    if left > 0:
        yield Paragraph(f"{left:,} more readings are in the JSON.", muted=True)


def _rank(reading: MonitorReading) -> tuple[int, float]:
    if reading.drifted:
        return 0, 0
    if reading.value is None:
        return 1, 0
    return 2, 0


def _table(readings: Sequence[MonitorReading], caption: str) -> Table:
    kinds = [kind for kind in _KINDS if any(kind[2](one) is not None for one in readings)]
    return Table(
        caption=caption,
        columns=tuple(Column(title, numeric) for title, numeric, _ in kinds),
        rows=tuple(
            tuple(of(one) or Cell("–", muted=True) for _, _, of in kinds) for one in readings
        ),
    )


def _short(readings: Sequence[MonitorReading], caption: str) -> Table:
    return Table(
        caption=f"{caption}: the others",
        columns=(Column("of"), Column("value", numeric=True)),
        rows=tuple((Cell(_of(one)), number(one.value)) for one in readings),
    )


def _of(one: MonitorReading) -> str:
    if one.column is not None:
        return cut(one.column, _NAME)
    if one.slice is not None:
        return f"slice {cut(one.slice, _NAME)}"
    return cut(one.feature, _NAME) if one.feature is not None else "all rows"


def _count(value: int | None) -> Cell | None:
    return None if value is None else Cell(f"{value:,}")


def _float(value: float | None) -> Cell | None:
    return None if value is None or not math.isfinite(value) else number(value)


def _drifted(one: MonitorReading) -> Cell | None:
    if one.drifted is None:
        return None
    return Cell("drifted", chip=Chip("drifted", "worse")) if one.drifted else Cell("no")


def _note(one: MonitorReading) -> Cell | None:
    text = "; ".join(filter(None, (one.reason, one.detail)))
    return Cell(cut_text(text)) if text else None


_KINDS: tuple[tuple[str, bool, Callable[[MonitorReading], Cell | None]], ...] = (
    ("of", False, lambda one: Cell(_of(one))),
    ("metric", False, lambda one: Cell(label(cut(one.metric, _NAME)))),
    ("value", True, lambda one: number(one.value, one.error_bound)),
    ("reference", True, lambda one: _float(one.reference)),
    ("test", False, lambda one: Cell(one.test) if one.test else None),
    ("test's limit", True, lambda one: _float(one.limit)),
    ("drifted", False, _drifted),
    ("n", True, lambda one: _count(one.n)),
    ("note", False, _note),
)
