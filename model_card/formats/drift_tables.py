"""Drift column by column: the worst and the undecided in full and drawn, the others in short."""

from __future__ import annotations

import math
from collections import Counter
from functools import partial
from typing import TYPE_CHECKING

from aims_mlflow.model_card.bounds import cut_text
from aims_mlflow.model_card.distribution_plots import distributions, in_words
from aims_mlflow.model_card.formats.document import (
    Cell,
    Chip,
    Column,
    Heading,
    Paragraph,
    Part,
    Plot,
    Table,
)
from aims_mlflow.model_card.formats.numbers import NONE, number
from aims_mlflow.model_card.frame import cut

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from aims_mlflow.model_card.formats.document import Block
    from aims_mlflow.monitored import MonitoringReport, MonitorReading

#: Columns that are shown in full, those of them that may be undecided, in short, and drawn.
_FULL, _OPEN, _SHORT, _DRAWN = 50, 20, 200, 12
#: Letters of a name, and of one among many.
_NAME, _BRIEF = 80, 40
#: What a column's reading is of, besides an input of the model.
_ROLES = {"target_drift": "target", "prediction_drift": "prediction"}
_BINS = (
    "Shares of the rows. Numbers lie in equal bins, of which the first and the last hold the "
    "tails, or are counted value by value where they are few."
)
_DRIFTED, _UNDECIDED, _UNTESTED, _SAME = "drifted", "undecided", "not tested", "no drift"


def is_tested(reading: MonitorReading) -> bool:
    """Whether a reading is of the drift of one column."""
    return reading.column is not None and reading.metric in ("column_drift", *_ROLES)


def drift_part(report: MonitoringReport) -> Part:
    """All columns, and what both distributions of those that drifted look like."""
    order = sorted(filter(is_tested, report.readings), key=_rank)
    return Part(
        "columns",
        "Drift, column by column",
        blocks=(*_whole(report), *_tables(order), *_plots(report, order)),
    )


def _whole(report: MonitoringReport) -> Iterator[Block]:
    for reading in report.readings:
        if reading.metric == "drift_share":
            said = reading.reason or reading.detail
            value = "not measured" if reading.value is None else f"{reading.value:.4g}"
            yield Paragraph(cut_text(f"Share of columns that drifted: {value}; {said}"))


def _tables(order: Sequence[MonitorReading]) -> Iterator[Block]:
    foremost = _foremost(order)
    said = {cell.text if (cell := _note(one)) else "" for one in order}
    alike = len(said) == 1 and said != {""}
    yield _full(foremost, noted=not alike and any(map(_note, foremost)))
    if alike:
        yield Paragraph(f"Of every column: {said.pop()}.", muted=True)
    shown = set(map(id, foremost))
    rest = [one for one in order if id(one) not in shown]
    if rest:
        yield _short(rest[:_SHORT])
    if rest[_SHORT:]:
        yield Paragraph(_left_out(rest[_SHORT:]), muted=True)


def _foremost(order: Sequence[MonitorReading]) -> list[MonitorReading]:
    """What is shown in full: the farthest, and a share of the places for what is undecided."""
    if len(order) <= _FULL:
        return list(order)
    drifted = [one for one in order if _state(one) == _DRIFTED]
    open_ = [one for one in order if _state(one) in (_UNDECIDED, _UNTESTED)][:_OPEN]
    decided = drifted or [one for one in order if _state(one) == _SAME]
    return [*decided[: _FULL - len(open_)], *open_]


def _full(readings: Sequence[MonitorReading], *, noted: bool) -> Table:
    columns = [
        Column("column"),
        Column("drift"),
        Column("score", numeric=True),
        Column("test"),
        Column("drift from", numeric=True),
        Column("rows", numeric=True),
        Column("reference rows", numeric=True),
        *([Column("note")] if noted else []),
    ]
    rows = tuple(
        (
            Cell(_name(one, _NAME)),
            _state_cell(one),
            number(one.value, one.error_bound),
            Cell(cut(one.test, _BRIEF)) if one.test else NONE,
            _limit(one),
            _rows(one),
            NONE if one.reference_n is None else Cell(f"{one.reference_n:,}"),
            *([_note(one) or NONE] if noted else []),
        )
        for one in readings
    )
    return Table("Each column against the reference, the worst first", tuple(columns), rows)


def _short(readings: Sequence[MonitorReading]) -> Table:
    return Table(
        caption=f"The next {len(readings):,} columns, in short",
        columns=(Column("column"), Column("drift"), Column("score", numeric=True), Column("test")),
        rows=tuple(
            (
                Cell(_name(one, _BRIEF)),
                Cell(_state(one), muted=_state(one) == _SAME),
                NONE if one.value is None else Cell(f"{one.value:.4g}"),
                Cell(cut(one.test, _BRIEF)) if one.test else NONE,
            )
            for one in readings
        ),
    )


def _left_out(readings: Sequence[MonitorReading]) -> str:
    """What is true of the columns that no table shows."""
    counts = Counter(map(_state, readings))
    told = ", ".join(f"{count:,} {state}" for state, count in counts.items())
    ranges = []
    for test in dict.fromkeys(one.test for one in readings if one.test):
        values = [one.value for one in readings if one.test == test and one.value is not None]
        if values:
            ranges.append(f"{test} from {min(values):.3g} to {max(values):.3g}")
    scores = f" Their scores: {'; '.join(ranges)}." if ranges else ""
    return f"{len(readings):,} more columns are in the JSON alone: {told}.{scores}"


def _plots(report: MonitoringReport, order: Sequence[MonitorReading]) -> Iterator[Block]:
    """The distributions of what drifted or is undecided, the worst first."""
    known = {found.column: found for found in report.comparisons}
    moved = [o for o in order if o.column in known and _state(o) in (_DRIFTED, _UNDECIDED)]
    if moved:
        yield Heading("Distributions of what drifted")
    if any(known[str(one.column)].kind == "numeric" for one in moved[:_DRAWN]):
        yield Paragraph(_BINS, muted=True)
    for index, one in enumerate(moved[:_DRAWN], start=1):
        found = known[str(one.column)]
        yield Plot(f"column-{index}", _caption(one), in_words(found), partial(distributions, found))
    if len(moved) > _DRAWN:
        more = len(moved) - _DRAWN
        yield Paragraph(f"The distributions of {more:,} more columns are in the JSON.", muted=True)


def _caption(one: MonitorReading) -> str:
    sign = ", p = " if _by_p_value(one) else " "
    value = "" if one.value is None else f"{sign}{one.value:.4g}"
    undecided = f", {_UNDECIDED}" if _state(one) == _UNDECIDED else ""
    return f"{_name(one, _BRIEF)}: {cut(one.test, _BRIEF)}{value}{undecided}"


def _rank(one: MonitorReading) -> tuple[int, float]:
    """What drifted, then what is undecided or not tested; within each, the farthest first."""
    return (_DRIFTED, _UNDECIDED, _UNTESTED, _SAME).index(_state(one)), -_distance(one)


def _distance(one: MonitorReading) -> float:
    """How strongly a score speaks of drift, alike for distances and p-values; 1 is the limit."""
    if one.value is None or not one.limit or not math.isfinite(one.value):
        return 0
    if not _by_p_value(one):
        return one.value / one.limit
    least = 1e-300
    return math.log(max(one.value, least)) / math.log(min(one.limit, 1 - 1e-9))


def _by_p_value(one: MonitorReading) -> bool:
    return one.p_value is not None and one.p_value == one.value


def _state(one: MonitorReading) -> str:
    if one.value is None:
        return _UNTESTED
    if one.drifted is None:
        return _UNDECIDED
    return _DRIFTED if one.drifted else _SAME


def _state_cell(one: MonitorReading) -> Cell:
    state = _state(one)
    tones = {_DRIFTED: "worse", _UNDECIDED: "missing", _UNTESTED: "missing"}
    if state not in tones:
        return Cell("no", muted=True)
    return Cell(state, chip=Chip(state, tones[state]))


def _name(one: MonitorReading, letters: int) -> str:
    name, role = cut(str(one.column), letters), _ROLES.get(one.metric)
    return f"{name} ({role})" if role else name


def _limit(one: MonitorReading) -> Cell:
    if one.limit is None:
        return NONE
    if not _by_p_value(one):
        return Cell(f"≥ {one.limit:g}")
    # Evidently takes a KS p-value that equals the limit for drift.
    return Cell(f"p {'≤' if one.test == 'ks' else '<'} {one.limit:g}")


def _rows(one: MonitorReading) -> Cell:
    if one.n is None:
        return NONE
    fewer = one.n_total is not None and one.n_total != one.n
    return Cell(f"{one.n:,} of {one.n_total:,}" if fewer else f"{one.n:,}")


def _note(one: MonitorReading) -> Cell | None:
    seed = f"drawn with seed {one.seed}" if one.seed is not None else ""
    p_value = one.p_value if not _by_p_value(one) else None
    p_text = f"p = {p_value:.3g}" if p_value is not None else ""
    text = "; ".join(filter(None, (one.reason, one.detail, p_text, seed)))
    return Cell(cut_text(text)) if text else None
