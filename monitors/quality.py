"""Data quality from counts: what is missing, repeated, unexpected, constant, changed or late."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aims_mlflow.monitored import MonitorReading
from aims_mlflow.monitors.column_readings import (
    EMPTY,
    Measured,
    column_reading,
    mostly_missing,
    without_value,
)
from aims_mlflow.monitors.freshness import freshness
from aims_mlflow.monitors.new_categories import has_categories, new_categories
from aims_mlflow.monitors.schema_changes import bookkeeping, schema_changes
from aims_mlflow.monitors.verdicts import listed, shown

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence
    from datetime import datetime

    from aims_mlflow.governance.monitoring import Monitor
    from aims_mlflow.monitored import Window
    from aims_mlflow.monitors.summaries import ColumnSummary, DataSummary

#: Columns that a detail names; the others are counted.
NAMED = 20


def quality(
    current: DataSummary,
    reference: DataSummary | None,
    monitor: Monitor,
    window: Window,
    now: datetime,
) -> tuple[MonitorReading, ...]:
    """Read the quality of the data of a window.

    - `row_count`; of an empty window it is the only value.
    - `missing_share` of all cells, and of each column.
    - `duplicate_share`: rows that repeat an earlier one, where that was counted.
    - `constant_columns`: columns of which every row holds the same value. A column that also has
      missing values is not constant, one that has only those is a matter of `missing_share`.
    - `out_of_range_share` of the values of each column of `monitor.expect`.
    - `new_category_share` of the values of each column of text or truth values that the reference
      counted.
    - `schema_changes` against the reference.
    - `freshness_hours`, where the monitor names a `timestamp`.

    Args:
        current: The data of the window.
        reference: The data to compare with, if any. Its own values of the same metrics are in the
            readings, for thresholds on the change; not of `row_count`, which is of a window.
        monitor: Names columns and expectations. `columns` and `exclude` choose what is read.
        window: The time that the data are of.
        now: What the clock says, aware.

    Returns:
        The readings of the data as a whole, then those of each column. What cannot be read is a
        reading without a value and with the reason.
    """
    now_chosen = _chosen(current, monitor)
    absent = [name for name in dict.fromkeys(monitor.columns) if current.column(name) is None]
    before = None if reference is None else _chosen(reference, monitor)
    readings = [
        _row_count(current),
        _missing(now_chosen, before, absent),
        _duplicates(current, reference),
        _constants(now_chosen, before),
        schema_changes(now_chosen, before, monitor),
    ]
    if monitor.timestamp is not None:
        readings.append(freshness(current, monitor.timestamp, monitor.timezone, window, now))
    watched = [*(column.name for column in now_chosen.columns), *absent]
    readings += _of_columns(watched, before, current, reference, monitor)
    return tuple(readings)


def _chosen(summary: DataSummary, monitor: Monitor) -> DataSummary:
    """The columns that the monitor watches."""
    kept = tuple(
        column
        for column in summary.columns
        if (not monitor.columns or column.name in monitor.columns)
        and column.name not in monitor.exclude
    )
    return summary.model_copy(update={"columns": kept})


def _row_count(current: DataSummary) -> MonitorReading:
    # How many rows a model was trained on says nothing of how many a window should have.
    return MonitorReading(metric="row_count", value=current.n, n=current.n, n_total=current.n)


def _missing(
    current: DataSummary, reference: DataSummary | None, absent: Sequence[str]
) -> MonitorReading:
    if not current.n or not current.columns:
        reason = EMPTY if not current.n else "there are no columns to look at"
        return without_value("missing_share", current, reason)
    worst = sorted((c for c in current.columns if c.missing), key=lambda c: -c.missing)
    return MonitorReading(
        metric="missing_share",
        value=_missing_share(current),
        n=current.n,
        n_total=current.n,
        reference=None if reference is None else _missing_share(reference),
        reference_n=None if reference is None else reference.n,
        detail=_detail("most in", [column.name for column in worst]),
        excluded=tuple(f"column '{shown(name)}', which is not there" for name in absent),
    )


def _missing_share(summary: DataSummary) -> float | None:
    cells = sum(column.n for column in summary.columns)
    return sum(column.missing for column in summary.columns) / cells if cells else None


def _duplicates(current: DataSummary, reference: DataSummary | None) -> MonitorReading:
    share = _duplicate_share(current)
    if share is None:
        reason = "repeated rows were not counted" if current.n else EMPTY
        return without_value("duplicate_share", current, reason)
    before = None if reference is None else _duplicate_share(reference)
    return MonitorReading(
        metric="duplicate_share",
        value=share,
        n=current.n,
        n_total=current.n,
        reference=before,
        reference_n=None if reference is None or before is None else reference.n,
        detail=f"{current.duplicates} of {current.n} rows" if current.duplicates else "",
    )


def _duplicate_share(summary: DataSummary) -> float | None:
    if not summary.n or summary.duplicates is None:
        return None
    return summary.duplicates / summary.n


def _constants(current: DataSummary, reference: DataSummary | None) -> MonitorReading:
    if not current.n:
        return without_value("constant_columns", current, EMPTY)
    found, unknown = _constant_names(current)
    before = None if reference is None or not reference.n else _constant_names(reference)
    told = [_detail("constant:", found), _detail("cannot be told of", unknown)]
    return MonitorReading(
        metric="constant_columns",
        value=len(found),
        n=current.n,
        n_total=current.n,
        error_bound=len(unknown),
        reference=None if before is None else len(before[0]),
        reference_bound=0 if before is None else len(before[1]),
        reference_n=None if before is None or reference is None else reference.n,
        detail="; ".join(text for text in told if text),
    )


def _constant_names(summary: DataSummary) -> tuple[list[str], list[str]]:
    """The constant columns, and those of which it cannot be told."""
    said = {column.name: _is_constant(column) for column in summary.columns}
    return (
        [name for name, constant in said.items() if constant],
        [name for name, constant in said.items() if constant is None],
    )


def _is_constant(column: ColumnSummary) -> bool | None:
    if column.missing or not column.n:
        return False
    if column.infinite:
        # Infinities of both signs are counted together, and are no distinct values.
        return False if column.infinite < column.n else None
    if column.distinct is not None:
        return column.distinct == 1
    if column.minimum is not None and column.maximum is not None:
        if column.minimum != column.maximum:
            return False
        # Integers that became one float may be different ones.
        return None if column.bins is not None else True
    if column.values is not None:
        return len(column.values) + column.pooled_values == 1
    bins = column.bins
    return False if bins is not None and len(bins.counts) > 1 else None


def _of_columns(
    watched: Sequence[str],
    before: DataSummary | None,
    current: DataSummary,
    reference: DataSummary | None,
    monitor: Monitor,
) -> Iterator[MonitorReading]:
    sides = (current,) if reference is None else (current, reference)
    known = dict.fromkeys(column.name for side in sides for column in side.columns)
    for name in watched:
        yield column_reading("missing_share", name, current, reference, _column_missing, known)
    for name in monitor.expect:
        yield column_reading("out_of_range_share", name, current, reference, _out_of_range, known)
    kept = bookkeeping(current, reference, monitor)
    for column in before.columns if before is not None else ():
        there = current.column(column.name)
        if has_categories(column) and (there is not None or column.name not in kept):
            yield new_categories(current, column)


def _column_missing(column: ColumnSummary) -> Measured:
    return Measured(column.missing / column.n, column.n)


def _out_of_range(column: ColumnSummary) -> Measured:
    n = column.present
    if not n or column.outside is None:
        reason = "the column has no value" if not n else "its unexpected values were not counted"
        return Measured(None, n, reason=reason)
    detail = f"{column.outside} of {n} values"
    return Measured(column.outside / n, n, detail=detail, excluded=mostly_missing(column))


def _detail(words: str, names: list[str]) -> str:
    if not names:
        return ""
    return f"{words} {listed([shown(name) for name in names], NAMED)}"
