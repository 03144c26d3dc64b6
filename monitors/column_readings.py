"""A reading of one column, of the current data and of the reference alike."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from aims_mlflow.monitored import MonitorReading
from aims_mlflow.monitors.verdicts import near, shown

if TYPE_CHECKING:
    from collections.abc import Callable, Collection

    from aims_mlflow.monitors.summaries import ColumnSummary, DataSummary

#: Why nothing is read where there is nothing.
EMPTY = "there are no rows in the window"


class Measured(NamedTuple):
    """A value from `n` rows, how far it may be off, and what is to be said of it.

    `value` is None where there is none, and `reason` says why. `excluded` are the rows without
    which no PASS is proved.
    """

    value: float | None
    n: int
    bound: float = 0
    detail: str = ""
    reason: str = ""
    excluded: tuple[str, ...] = ()


def column_reading(
    metric: str,
    name: str,
    current: DataSummary,
    reference: DataSummary | None,
    measure: Callable[[ColumnSummary], Measured],
    known: Collection[str] = (),
) -> MonitorReading:
    """What `measure` finds in the column of this name, now and in the reference.

    A column that is not there and an empty window give a reading without a value; the former is
    told first, as it outlasts the window. What cannot be measured of the reference is only left
    out. `known` are the names of all columns of the data, where not all of them were counted.
    """
    column = current.column(name)
    if column is None and (current.columns or known):
        return without_value(metric, current, absent(name, current, known), name)
    if column is None or not current.n:
        return without_value(metric, current, EMPTY, name)
    now = measure(column)
    before = None if reference is None else reference.column(name)
    then = Measured(None, 0) if before is None or not before.n else measure(before)
    return MonitorReading(
        metric=metric,
        column=name,
        value=now.value,
        n=now.n,
        n_total=current.n,
        error_bound=now.bound,
        detail=now.detail,
        reason=now.reason,
        excluded=now.excluded,
        reference=then.value,
        reference_bound=then.bound if then.value is not None else 0,
        reference_n=then.n if then.value is not None else None,
    )


def mostly_missing(column: ColumnSummary) -> tuple[str, ...]:
    """The rows without a value, where they are more than those with one; else nothing.

    A share of the values that are there says little of a column that is mostly missing.
    """
    if column.missing <= column.present:
        return ()
    return (f"{column.missing:,} of {column.n:,} rows, which have no value",)


def absent(name: str, summary: DataSummary, known: Collection[str] = ()) -> str:
    """That there is no column of this name, and which names are near."""
    hint = near(name, known or [column.name for column in summary.columns])
    return f"the data have no column '{shown(name)}'{hint}"


def without_value(
    metric: str, current: DataSummary, reason: str, column: str | None = None
) -> MonitorReading:
    """A reading of which only the reason is known."""
    return MonitorReading(
        metric=metric, column=column, value=None, n_total=current.n, reason=reason
    )
