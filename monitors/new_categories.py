"""The share of values whose category the reference does not have."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aims_mlflow.monitored import MonitorReading
from aims_mlflow.monitors.column_readings import (
    EMPTY,
    absent,
    mostly_missing,
    without_value,
)
from aims_mlflow.monitors.verdicts import listed, shown

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aims_mlflow.monitors.summaries import ColumnSummary, DataSummary

_METRIC = "new_category_share"
#: Categories with at least so many rows may be named in a detail, and so many are.
_NAMED_FROM, _TOLD = 10, 5


def has_categories(column: ColumnSummary) -> bool:
    """Whether a column of a reference holds categories that were counted."""
    return column.family in ("string", "boolean") and column.values is not None


def new_categories(current: DataSummary, reference: ColumnSummary) -> MonitorReading:
    """The share of the values of a column whose category the reference does not have.

    A reference that was saved with a model names no rare categories and only says how many there
    are. As many of the categories that it does not name may be among them, so the share is only
    known to lie in a range: from none of the most frequent of these being new, to all of them. The
    value is the middle of the range, the error bound half its width.

    Args:
        current: The data of the window.
        reference: The column of the reference.
    """
    name = reference.name
    column = current.column(name)
    if column is None and current.columns:
        return without_value(_METRIC, current, absent(name, current), name)
    if column is None or not current.n:
        return without_value(_METRIC, current, EMPTY, name)
    if not column.present:
        return without_value(_METRIC, current, "the column has no value", name)
    if not reference.present:
        return without_value(_METRIC, current, "the reference has no value in this column", name)
    if column.values is None or column.family != reference.family:
        reason = column.uncounted or (
            f"it holds values of the type {column.family}, not {reference.family} as the reference"
        )
        return without_value(_METRIC, current, reason, name)
    return _reading(current, column, reference)


def _reading(
    current: DataSummary, column: ColumnSummary, reference: ColumnSummary
) -> MonitorReading:
    named = {value for value, _ in reference.values or ()}
    unnamed = [(str(value), count) for value, count in column.values or () if value not in named]
    unnamed.sort(key=lambda counted: (-counted[1], counted[0]))
    counts = [count for _, count in unnamed]
    rare = reference.pooled_values
    low, high = sum(counts[rare:]), sum(counts) + column.pooled
    n = column.present
    told = [_names(unnamed)] if unnamed else []
    if low != high:
        told.append(f"{low} to {high} rows are of new ones: the reference does not name {rare}")
    return MonitorReading(
        metric=_METRIC,
        column=column.name,
        value=(low + high) / 2 / n,
        n=n,
        n_total=current.n,
        error_bound=(high - low) / 2 / n,
        reference_n=reference.present,
        detail="; ".join(told),
        excluded=mostly_missing(column),
    )


def _names(unnamed: Sequence[tuple[str, int]]) -> str:
    """The frequent ones with their rows; the others only counted, as they may name people."""
    frequent = [f"'{shown(name)}' ({n} rows)" for name, n in unnamed if n >= _NAMED_FROM]
    rare = len(unnamed) - len(frequent)
    few = [f"{rare} with fewer than {_NAMED_FROM} rows each"] if rare else []
    told = [listed(frequent, _TOLD)] if frequent else []
    return f"not named by the reference: {' and '.join([*told, *few])}"
