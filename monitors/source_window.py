"""Cut rows to a window of time, lazily, whatever the timestamps look like."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any, NamedTuple
from zoneinfo import ZoneInfo

from aims_mlflow.errors import SourceError
from aims_mlflow.monitors.source_failures import counted, missing_column, shown

if TYPE_CHECKING:
    import narwhals as nw

    from aims_mlflow.monitored import Window

#: Epochs by magnitude: from 1973 to 5138 each unit is apart from the others.
_UNITS = ((1e8, 1e11, 1), (1e11, 1e14, 10**3), (1e14, 1e17, 10**6), (1e17, 1e20, 10**9))
#: The column that parsed texts go to while rows are filtered.
_PARSED = "__aims_moment__"
_UTC_SUFFIX = r"(Z|z|[+-][0-9]{2}:?([0-9]{2})?)$"
_MEANT = (
    "A timestamp is a column of times or dates, of ISO 8601 texts such as 2026-11-23T10:00:00Z, "
    "or of epochs in s, ms, µs or ns."
)


class Bounds(NamedTuple):
    """Values of a column's own type: rows from `low` to below `high` are in, from `now` not yet.

    Raises nothing: what cannot be compared has none.
    """

    low: Any
    high: Any
    late: Any


def in_window(
    frame: nw.LazyFrame[Any],
    window: Window,
    timestamp: str,
    zone: ZoneInfo,
    what: str,
    notes: list[str],
) -> nw.LazyFrame[Any]:
    """The rows whose timestamp is in the window; the filter stays lazy.

    Rows without a timestamp, and rows of the future (after now and after the window), are counted
    in `notes`. Times without an offset are read in `zone`; of an hour that occurs twice, as the
    first.

    Raises:
        SourceError: The column is missing, or holds no timestamps.
    """
    import narwhals as nw

    names = frame.collect_schema().names()
    if timestamp not in names:
        raise missing_column([timestamp], names, what, "the timestamp")
    dtype = frame.collect_schema()[timestamp]
    column = timestamp
    if dtype == nw.String:
        frame, column = _parsed(frame, timestamp, zone, what), _PARSED
        bounds = _aware(window)
    else:
        bounds = _bounds(frame, timestamp, window, zone, what, notes)
    moment = nw.col(column)
    unset = _count(frame.filter(nw.col(timestamp).is_null()))
    if unset:
        notes.append(f"left out {counted(unset, 'row')} without a timestamp")
    future = _count(frame.filter(moment >= bounds.late))
    if future:
        notes.append(f"left out {counted(future, 'row')} of the future: a clock is wrong")
    return frame.filter((moment >= bounds.low) & (moment < bounds.high)).select(names)


def _count(frame: nw.LazyFrame[Any]) -> int:
    import narwhals as nw

    return int(frame.select(nw.len()).collect("pyarrow").item())


def _bounds(
    frame: nw.LazyFrame[Any],
    timestamp: str,
    window: Window,
    zone: ZoneInfo,
    what: str,
    notes: list[str],
) -> Bounds:
    import narwhals as nw

    dtype = frame.collect_schema()[timestamp]
    if isinstance(dtype, nw.Datetime):
        if dtype.time_zone is None:
            return _naive(window, zone, notes)
        # Polars compares times of one zone only.
        own = ZoneInfo(dtype.time_zone)
        return Bounds(*(moment.astimezone(own) for moment in _aware(window)))
    if dtype == nw.Date:
        return _dates(window, zone)
    if dtype.is_numeric():
        return _epochs(frame, timestamp, window, what)
    if dtype == nw.Unknown:
        raise SourceError(f"Column '{shown(timestamp)}' of {what} has no timestamp at all.", _MEANT)
    raise SourceError(
        f"Column '{shown(timestamp)}' of {what} holds {dtype}, no timestamps.", _MEANT
    )


def _late(window: Window) -> datetime:
    return max(window.end, datetime.now(UTC))


def _aware(window: Window) -> Bounds:
    return Bounds(window.start.astimezone(UTC), window.end.astimezone(UTC), _late(window))


def _naive(window: Window, zone: ZoneInfo, notes: list[str]) -> Bounds:
    moments = [window.start, window.end, _late(window)]
    if any(moment.astimezone(zone).fold for moment in moments[:2]):
        notes.append(
            "the window begins or ends in an hour that the clock went through twice; times "
            "without an offset are read as its first"
        )
    return Bounds(*(local_from(moment, zone) for moment in moments))


def local_from(moment: datetime, zone: ZoneInfo) -> datetime:
    """The first local time, without offset, that is read as `moment` or later.

    Local times are read as the first of an hour that occurs twice (PEP 495, fold 0); no local
    time stands for an instant of the second.
    """
    there = moment.astimezone(zone)
    if there.fold:
        moment = moment.replace(second=0, microsecond=0)
    while moment.astimezone(zone).fold:
        moment += timedelta(minutes=1)
    return moment.astimezone(zone).replace(tzinfo=None, fold=0)


def _dates(window: Window, zone: ZoneInfo) -> Bounds:
    def first_day(moment: datetime) -> date:
        there = moment.astimezone(zone)
        midnight = there.replace(hour=0, minute=0, second=0, microsecond=0)
        return there.date() if there == midnight else there.date() + timedelta(days=1)

    return Bounds(*(first_day(moment) for moment in (window.start, window.end, _late(window))))


def _epochs(frame: nw.LazyFrame[Any], timestamp: str, window: Window, what: str) -> Bounds:
    import narwhals as nw

    column = nw.col(timestamp)
    if frame.collect_schema()[timestamp].is_float():
        frame = frame.filter(column.is_finite())
    asked = frame.select(column.min().alias("low"), column.max().alias("high"))
    extremes = asked.collect("pyarrow")
    low, high = extremes["low"].item(), extremes["high"].item()
    if low is None:
        unit = 1
    else:
        units = {_unit(low), _unit(high)}
        unit = units.pop()
        if units or not unit:
            raise SourceError(
                f"Column '{shown(timestamp)}' of {what} reaches from {low} to {high}: these are no "
                "epochs of one unit.",
                _MEANT,
            )
    moments = (window.start, window.end, _late(window))
    return Bounds(*(_epoch(moment, unit) for moment in moments))


def _unit(value: float) -> int:
    return next((unit for low, high, unit in _UNITS if low <= value < high), 0)


def _epoch(moment: datetime, unit: int) -> int:
    since = moment - datetime(1970, 1, 1, tzinfo=UTC)
    whole = (since // timedelta(microseconds=1)) * unit
    # Rounded up: a row of an earlier instant in a coarser unit is before the bound.
    return -(-whole // 10**6)


def _parsed(
    frame: nw.LazyFrame[Any], timestamp: str, zone: ZoneInfo, what: str
) -> nw.LazyFrame[Any]:
    import narwhals as nw

    spark = frame.implementation.is_spark_like()
    parse = _parsed_by_spark if spark else _parsed_by_polars
    lazy: nw.LazyFrame[Any] = nw.from_native(parse(frame.to_native(), timestamp, zone)).lazy()
    unread = lazy.filter(nw.col(_PARSED).is_null() & ~nw.col(timestamp).is_null())
    example = unread.select(timestamp).head(1).collect("pyarrow")
    if len(example):
        text = shown(str(example[timestamp].item()))
        raise SourceError(
            f"Column '{shown(timestamp)}' of {what} holds '{text}', which is no timestamp.",
            _MEANT,
        )
    return lazy


def _parsed_by_polars(native: Any, timestamp: str, zone: ZoneInfo) -> Any:
    import polars as pl

    text = pl.col(timestamp).str.strip_chars().str.replace(r"^(\d{4}-\d{2}-\d{2}) ", "${1}T")
    fixed = text.str.replace(r"[Zz]$", "+00").str.replace(r"([+-]\d{2})$", "${1}:00")
    fixed = fixed.str.replace(r"([+-]\d{2})(\d{2})$", "${1}:${2}")
    aware = text.str.contains(f"T.*{_UTC_SUFFIX}")
    forms = ("%Y-%m-%dT%H:%M:%S%.f", "%Y-%m-%dT%H:%M", "%Y-%m-%d")
    with_offset = [
        fixed.str.to_datetime(f"{form}%:z", strict=False, time_unit="us", time_zone="UTC")
        for form in forms[:2]
    ]
    without = [
        text.str.to_datetime(form, strict=False, time_unit="us")
        .dt.replace_time_zone(str(zone), ambiguous="earliest", non_existent="null")
        .dt.convert_time_zone("UTC")
        for form in forms
    ]
    moment = pl.when(aware).then(pl.coalesce(with_offset)).otherwise(pl.coalesce(without))
    return native.with_columns(moment.alias(_PARSED))


def _parsed_by_spark(native: Any, timestamp: str, zone: ZoneInfo) -> Any:
    from pyspark.sql import functions as F

    text = F.trim(F.col(_quoted(timestamp)))
    fixed = F.regexp_replace(text, r"([+-]\d{2})(\d{2})$", "$1:$2")
    aware = F.when(text.rlike(f"[T ].*{_UTC_SUFFIX}"), fixed.try_cast("timestamp"))
    local = text.try_cast("timestamp_ntz")
    # The session's own zone is UTC (spark.py), so the cast of a local time reads it as UTC.
    there = F.to_utc_timestamp(local.cast("timestamp"), str(zone))
    return native.withColumn(_PARSED, aware.otherwise(there))


def _quoted(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"
