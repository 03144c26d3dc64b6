"""Readings of a monitor as tables: the worst and the undecided first, bounded, nothing unsaid."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING

from aims_mlflow.model_card.bounds import cut_text
from aims_mlflow.model_card.formats.document import Cell, Column, Paragraph, Part, Table
from aims_mlflow.model_card.formats.drift_tables import drift_part, is_tested
from aims_mlflow.model_card.formats.heads import label
from aims_mlflow.model_card.formats.numbers import NONE, number
from aims_mlflow.model_card.frame import cut
from aims_mlflow.readings import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from aims_mlflow.model_card.formats.document import Block
    from aims_mlflow.monitored import MonitoringReport, MonitorReading

    #: Metric, column and feature of each breach.
    _Failed = set[tuple[str, str | None, str | None]]

#: Rows of a table, and from how many on they are sorted; letters of a name.
_ROWS, _FEW, _NAME = 250, 60, 80
#: Groups and columns that are named in a sentence.
_EXCLUDED, _BRIEF = 5, 100


def reading_parts(report: MonitoringReport) -> Iterator[Part]:
    """What was measured: drift by column, quality by column, and everything else in a list."""
    if any(map(is_tested, report.readings)):
        yield drift_part(report)
        others = [one for one in report.readings if not _of_drift(one)]
    else:
        others = [one for one in report.readings if not _in_scores(one, report)]
    if report.kind == "quality":
        whole = [one for one in others if one.column is None]
        columns = [one for one in others if one.column is not None]
        if whole:
            yield Part("readings", "All rows and columns", blocks=tuple(_listed(whole, report)))
        if columns:
            yield Part("columns", "Column by column", blocks=tuple(_by_column(columns, report)))
    elif others:
        title = "Beside the version in production" if report.scores else "Readings"
        yield Part("readings", title, blocks=tuple(_listed(others, report)))


def _of_drift(one: MonitorReading) -> bool:
    return is_tested(one) or one.metric == "drift_share"


def _in_scores(one: MonitorReading, report: MonitoringReport) -> bool:
    """Whether the tables of the scores say all of it: there is nothing to compare it with."""
    return bool(report.scores) and one.reference is None and one.slice is None


def _listed(readings: Sequence[MonitorReading], report: MonitoringReport) -> Iterator[Block]:
    failed = _failed(report)
    rank = partial(_rank, failed=failed)
    order = sorted(readings, key=rank) if len(readings) > _FEW else readings
    yield _list(order[:_ROWS])
    yield from _left_out(order[_ROWS:], "readings", failed)


def _list(readings: Sequence[MonitorReading]) -> Table:
    placed = any(_place(one) for one in readings)
    compared = any(one.reference is not None for one in readings)
    noted = any(map(_note, readings))
    columns = (
        Column("metric"),
        *([Column("of")] if placed else []),
        Column("value", numeric=True),
        *([Column("reference", numeric=True), Column("change", numeric=True)] if compared else []),
        Column("rows", numeric=True),
        *([Column("note")] if noted else []),
    )
    rows = tuple(
        (
            Cell(label(cut(one.metric, _NAME))),
            *(
                [Cell(_place(one)) if _place(one) else Cell("all rows", muted=True)]
                if placed
                else []
            ),
            number(one.value, one.error_bound),
            *([_reference(one), _change(one)] if compared else []),
            _rows(one),
            *([Cell(_note(one)) if _note(one) else NONE] if noted else []),
        )
        for one in readings
    )
    return Table("What was measured", columns, rows, stacked=True)


def _by_column(readings: Sequence[MonitorReading], report: MonitoringReport) -> Iterator[Block]:
    """A row for each column, a table column for each metric."""
    failed = _failed(report)
    rank = partial(_rank, failed=failed)
    rows: dict[str, dict[str, MonitorReading]] = {}
    for one in readings:
        rows.setdefault(str(one.column), {})[one.metric] = one
    spotless = [name for name, row in rows.items() if all(map(_is_spotless, row.values()))]
    others = (name for name in rows if name not in set(spotless))
    order = sorted(others, key=lambda name: min(map(rank, rows[name].values())))
    metrics = list(dict.fromkeys(one.metric for one in readings))
    if order:
        yield _grid({name: rows[name] for name in order[:_ROWS]}, metrics)
    rest = [min(rows[name].values(), key=rank) for name in order[_ROWS:]]
    yield from _left_out(rest, "columns", failed)
    if spotless:
        more = len(spotless) - _BRIEF
        names = ", ".join(cut(name, _NAME) for name in spotless[:_BRIEF])
        words = f"{names} and {more:,} more" if more > 0 else names
        yield Paragraph(f"0 in every measure ({len(spotless):,} columns): {words}")


def _is_spotless(one: MonitorReading) -> bool:
    return one.value == 0 and not one.reference and not one.error_bound


def _grid(rows: Mapping[str, Mapping[str, MonitorReading]], metrics: Sequence[str]) -> Table:
    noted = any(map(_note, (one for row in rows.values() for one in row.values())))
    columns = (
        Column("column"),
        *(Column(label(cut(metric, _NAME)), numeric=True) for metric in metrics),
        *([Column("note")] if noted else []),
    )
    return Table(
        caption=(
            "Each column, the farthest from the reference first; below a value that of the "
            "reference, where it differs"
        ),
        columns=columns,
        rows=tuple(
            (
                Cell(cut(name, _NAME)),
                *(_beside(row[metric]) if metric in row else NONE for metric in metrics),
                *([_notes(row.values())] if noted else []),
            )
            for name, row in rows.items()
        ),
        stacked=True,
    )


def _beside(one: MonitorReading) -> Cell:
    found = number(one.value, one.error_bound)
    if one.reference in (None, one.value) or not math.isfinite(one.reference) or not found.exact:
        return found
    told = " · ".join(filter(None, (found.interval, f"reference {number(one.reference).text}")))
    return replace(found, interval=told)


def _notes(readings: Iterable[MonitorReading]) -> Cell:
    found = "; ".join(filter(None, map(_note, readings)))
    return Cell(cut_text(found)) if found else NONE


def _failed(report: MonitoringReport) -> _Failed:
    return {
        (judged.metric, judged.column, judged.feature)
        for judged in report.judgements
        if judged.verdict is Verdict.FAIL
    }


def _rank(one: MonitorReading, failed: _Failed) -> tuple[int, float]:
    """Breaches, then what was not measured, then by the change from the reference."""
    if (one.metric, one.column, one.feature) in failed:
        return 0, 0
    if one.value is None:
        return 1, 0
    change = one.value - (one.reference or 0)
    return 2, -abs(change) if math.isfinite(change) else 0


def _left_out(rest: Sequence[MonitorReading], what: str, failed: _Failed) -> Iterator[Block]:
    if not rest:
        return
    ranks = [_rank(one, failed)[0] for one in rest]
    kinds = (("beyond a limit", ranks.count(0)), ("not measured", ranks.count(1)))
    told = ", ".join(f"{count:,} {words}" for words, count in kinds if count)
    state = told or "all of them measured, none beyond a limit"
    yield Paragraph(f"{len(rest):,} more {what} are in the JSON alone: {state}.", muted=True)


def _place(one: MonitorReading) -> str:
    named = (("column", one.column), ("by", one.feature), ("slice", one.slice))
    return ", ".join(f"{word} {cut(name, _NAME)}" for word, name in named if name is not None)


def _place_cell(one: MonitorReading) -> Cell:
    place = _place(one)
    return Cell(place) if place else Cell("all rows", muted=True)


def _reference(one: MonitorReading) -> Cell:
    return NONE if one.reference is None else number(one.reference, one.reference_bound)


def _change(one: MonitorReading) -> Cell:
    if one.value is None or one.reference is None:
        return NONE
    change = one.value - one.reference
    if not math.isfinite(change) or change == 0:
        return Cell("the same", muted=True) if change == 0 else NONE
    found = number(change)
    return replace(found, text=f"+{found.text}") if change > 0 else found


def _rows(one: MonitorReading) -> Cell:
    if one.n is None:
        return NONE
    fewer = one.n_total is not None and one.n_total != one.n
    return Cell(f"{one.n:,} of {one.n_total:,}" if fewer else f"{one.n:,}")


def _note(one: MonitorReading) -> str:
    left = ""
    if one.excluded:
        more = len(one.excluded) - _EXCLUDED
        names = ", ".join(cut(name, _NAME) for name in one.excluded[:_EXCLUDED])
        left = f"left out: {names}" + (f" and {more:,} more" if more > 0 else "")
    seed = f"drawn with seed {one.seed}" if one.seed is not None else ""
    return cut_text("; ".join(filter(None, (one.reason, one.detail, left, seed))))
