"""How a system serves: latency, failed requests and volume, from a table of requests."""

from __future__ import annotations

import math
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from aims_mlflow.monitored import MonitorReading
from aims_mlflow.monitors.column_readings import Measured, column_reading

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    from aims_mlflow.governance.monitoring import Monitor
    from aims_mlflow.monitors.summaries import Bins, ColumnSummary, DataSummary

#: The quantiles that are read, by metric.
QUANTILES = {"latency_p50": 0.5, "latency_p95": 0.95, "latency_p99": 0.99}
#: HTTP status codes have three digits, from 100 to 599 (RFC 9110, section 15); failures of the
#: server are those from 500 on.
_STATUS = range(100, 600)
_SERVER_ERROR = 500
_NO_ERRORS = "the column holds neither true or false nor 0 or 1 nor an HTTP status"


def operation(
    current: DataSummary,
    reference: DataSummary | None,
    monitor: Monitor,
    known: Collection[str] = (),
) -> tuple[MonitorReading, ...]:
    """Latency quantiles (seconds), error rate and number of requests.

    The column `monitor.latency` holds seconds. `monitor.error` holds true or false, 0 or 1, or the
    HTTP status, of which those from 500 on are failures; the detail says which was understood. What
    cannot be understood gives a reading without a value and with the reason. Requests without a
    value are named under `excluded`: those that hang or die are the ones that log none.

    Args:
        current: The requests of the window, one row each.
        reference: The requests to compare with, if any; not their number, which is of a window.
        monitor: Names the columns.
        known: The names of all columns of the data, where only those of the monitor were counted:
            one of them may be meant.
    """
    readings = [
        MonitorReading(
            metric="request_count",
            value=current.n,
            n=current.n,
            n_total=current.n,
        )
    ]
    if monitor.latency is not None:
        readings += [
            column_reading(
                metric, monitor.latency, current, reference, partial(_latency, q=q), known
            )
            for metric, q in QUANTILES.items()
        ]
    if monitor.error is not None:
        readings.append(
            column_reading("error_rate", monitor.error, current, reference, _error_rate, known)
        )
    return tuple(readings)


def quantile(column: ColumnSummary, q: float) -> tuple[float | None, float]:
    """A quantile of the finite numbers of a column, and by how much it may be off at most.

    From counted values it is exact: the linear interpolation between order statistics that NumPy
    does by default (definition 7 of Hyndman and Fan, The American Statistician 50 (1996) 361). From
    bins, the order statistics are taken to be spread evenly over their bin; the bound reaches from
    the value to the farther end of the bins that hold them. A bin with one row is exact.

    Args:
        column: Its `values` or `bins` are used.
        q: From 0 to 1.

    Returns:
        The value and its bound, in the unit of the column; None and 0 where no number was counted.

    Raises:
        ValueError: `q` is outside 0 to 1.
    """
    if not 0 <= q <= 1:
        raise ValueError(f"a quantile is from 0 to 1, not {q}")
    points = _points(column)
    n = sum(point.rows for point in points)
    if not n:
        return None, 0.0
    rank = q * (n - 1)
    below = _order_statistic(points, math.floor(rank))
    above = _order_statistic(points, math.ceil(rank))
    share = rank - math.floor(rank)
    value, low, high = (
        a if a == b else a + share * (b - a) for a, b in zip(below, above, strict=True)
    )
    return value, max(value - low, high - value, 0.0)


class _Point(NamedTuple):
    """`rows` numbers from `low` to `high`."""

    low: float
    high: float
    rows: int


def _points(column: ColumnSummary) -> list[_Point]:
    """The finite numbers of a column in ascending order."""
    if column.values is not None:
        numbers = [(value, count) for value, count in column.values if _is_number(value)]
        return sorted(_Point(float(value), float(value), count) for value, count in numbers)
    return [] if column.bins is None else _of_bins(column.bins, column.minimum, column.maximum)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value)


def _of_bins(bins: Bins, minimum: float | None, maximum: float | None) -> list[_Point]:
    """Bins as ranges, no wider than the extremes of the column."""
    points = []
    for first, last, count, total in zip(
        bins.first, bins.last, bins.counts, bins.sums, strict=True
    ):
        low, high = _edge(bins, first), _edge(bins, last + 1)
        low = low if minimum is None else max(low, minimum)
        high = high if maximum is None else min(high, maximum)
        # The rounding of an index near its edge must not turn a range inside out.
        ends = (total, total) if count == 1 else (min(low, high), max(low, high))
        points.append(_Point(*ends, count))
    return sorted(points)


def _edge(bins: Bins, index: int) -> float:
    try:
        return bins.edge(index)
    except OverflowError:
        return math.copysign(math.inf, index)


def _order_statistic(points: Sequence[_Point], rank: int) -> tuple[float, float, float]:
    """The number at `rank` (from 0), evenly spread, and the least and the largest it can be."""
    before = 0
    for low, high, rows in points:
        if rank < before + rows:
            value = low if low == high else low + (high - low) * ((rank - before + 0.5) / rows)
            return value, low, high
        before += rows
    raise IndexError(rank)


def _latency(column: ColumnSummary, q: float) -> Measured:
    n = column.present
    fault = _no_latency(column)
    if fault:
        return Measured(None, n, reason=fault)
    value, bound = quantile(column, q)
    if value is None or not math.isfinite(value):
        told = column.uncounted or "its histogram has no end"
        return Measured(None, n, reason=f"the values were not counted: {told}")
    detail = f"of {n} requests with a latency" if column.missing else ""
    return Measured(value, n, bound, detail, excluded=_silent(column, "latency"))


def _silent(column: ColumnSummary, what: str) -> tuple[str, ...]:
    """The requests that do not say it."""
    if not column.missing:
        return ()
    return (f"{column.missing:,} of {column.n:,} requests, which have no {what}",)


def _no_latency(column: ColumnSummary) -> str:
    """Why a column holds no latency in seconds; empty if it may."""
    if not column.present:
        return "no request has a latency"
    if column.family not in ("integer", "float"):
        return f"the column holds values of the type {column.family}, not a number of seconds"
    if column.infinite:
        return f"{column.infinite} latencies are infinite"
    counted = [value for value, _ in column.values or () if _is_number(value)]
    least = column.minimum if column.minimum is not None else min(map(float, counted), default=0)
    if least < 0:
        return f"the least is {least:.6g} seconds, and no latency is negative"
    return ""


def _error_rate(column: ColumnSummary) -> Measured:
    n = column.present
    if not n:
        return Measured(None, n, reason="no request says whether it failed")
    counts = dict(column.values or ())
    if column.infinite or column.pooled or sum(counts.values()) != n:
        return Measured(None, n, reason=f"{_NO_ERRORS}: its values were not counted one by one")
    failed, understood = _failures(column, counts)
    if understood is None:
        what = (
            "other numbers"
            if column.family in ("integer", "float")
            else f"values of the type {column.family}"
        )
        return Measured(None, n, reason=f"{_NO_ERRORS}: it holds {what}")
    return Measured(
        failed / n, n, detail=f"read as {understood}", excluded=_silent(column, "status")
    )


def _failures(
    column: ColumnSummary, counts: Mapping[str | float | bool, int]
) -> tuple[int, str | None]:
    """How many failed, and what the values were understood as; None if they were not."""
    if column.family == "boolean":
        return counts.get(True, 0), "true or false"
    if column.family not in ("integer", "float"):
        return 0, None
    if set(counts) <= {0, 1}:
        return counts.get(1, 0), "0 or 1"
    if all(value in _STATUS for value in counts):
        failed = sum(count for value, count in counts.items() if float(value) >= _SERVER_ERROR)
        return failed, "HTTP status, of which those from 500 on are failures"
    return 0, None
