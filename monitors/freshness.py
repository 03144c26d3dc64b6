"""How old the newest row is."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from aims_mlflow.monitored import MonitorReading
from aims_mlflow.monitors.column_readings import EMPTY, absent, without_value
from aims_mlflow.monitors.verdicts import shown

if TYPE_CHECKING:
    from aims_mlflow.monitored import Window
    from aims_mlflow.monitors.summaries import ColumnSummary, DataSummary

_METRIC = "freshness_hours"
_HOUR = 3600


def freshness(
    current: DataSummary, timestamp: str, timezone: str, window: Window, now: datetime
) -> MonitorReading:
    """Hours from the newest row to the end of the window, or to now while it is not over.

    A date without a time counts from its beginning. A newest row that lies after that end gives no
    value: a clock is wrong, and a negative age would pass every limit.

    Args:
        current: The data of the window.
        timestamp: The column with the time of each row.
        timezone: The zone of times that name none.
        window: The time that the data are of.
        now: What the clock says, aware.
    """
    column = current.column(timestamp)
    if column is None and current.columns:
        return without_value(_METRIC, current, absent(timestamp, current))
    if column is None or not current.n:
        return without_value(_METRIC, current, EMPTY)
    newest = _newest(column, ZoneInfo(timezone))
    if isinstance(newest, str):
        return without_value(_METRIC, current, f"column '{shown(timestamp)}' {newest}")
    end = min(window.end, now.astimezone(UTC))
    age = (end - newest).total_seconds()
    if age < 0:
        late = f"the newest row is of {newest.isoformat()}, after {end.isoformat()}"
        return without_value(_METRIC, current, f"{late}: the clock of its source is wrong")
    return MonitorReading(
        metric=_METRIC,
        value=age / _HOUR,
        n=column.present,
        n_total=current.n,
        detail=f"newest row of {newest.isoformat()}, counted to {end.isoformat()}",
    )


def _newest(column: ColumnSummary, zone: ZoneInfo) -> datetime | str:
    """The newest time, or why it is not known."""
    if not column.present:
        return "has no value"
    if column.family != "temporal":
        return f"holds values of the type {column.family}, not times"
    if column.maximum is None:
        return f"was not counted{f': {column.uncounted}' if column.uncounted else ''}"
    try:
        newest = datetime.fromtimestamp(column.maximum, UTC)
        if "time_zone=None" in column.dtype or column.dtype == "Date":
            # A time that names no zone was counted as if it were of UTC.
            newest = newest.replace(tzinfo=zone).astimezone(UTC)
    except (OverflowError, ValueError, OSError):
        return "has a newest value that is no time of this calendar"
    return newest
