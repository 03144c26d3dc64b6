"""Cut rows to a window of time, lazily, whatever the timestamps look like."""

from __future__ import annotations

import re
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


#: Clocks differ, and rows arrive while a source is read.
_TOLERANCE = timedelta(hours=1)


class Cut(NamedTuple):
    """A window, the column that says when a row happened, and how its times are read."""

    window: Window | None
    timestamp: str | None
    zone: ZoneInfo
    now: datetime | None


class InWindow(NamedTuple):
    """The rows of a window; what was done, and why the times cannot be trusted."""

    frame: nw.LazyFrame[Any]
    notes: tuple[str, ...]
    problems: tuple[str, ...]


class Bounds(NamedTuple):
    """Values of a column's own type: rows from `low` to below `high` are in the window.

    From `late` on, a clock is in the future.
    """

    low: Any
    high: Any
    late: Any


class _Moments(NamedTuple):
    low: datetime
    high: datetime
    late: datetime


def in_window(
    frame: nw.LazyFrame[Any],
    window: Window,
    timestamp: str,
    zone: ZoneInfo,
    what: str,
    *,
    now: datetime | None = None,
) -> InWindow:
    """The rows whose timestamp is in the window; the filter stays lazy.

    Rows without a usable timestamp could be of any window, and rows of the future are of a clock
    that is wrong: both are counted, and are problems. What is found depends on the data, the
    window and `now` only. Rows after the window are later windows', and no problem. Times without
    an offset are read in `zone`; of an hour that occurs twice, as the first.

    Args:
        frame: All rows, of any engine.
        window: The window.
        timestamp: The column that says when a row happened.
        zone: Where times without an offset were written.
        what: The source, as shown.
        now: The present: what is over an hour later, and after the window, is of the future.

    Raises:
        SourceError: The column is missing, or holds no timestamps.
    """
    import narwhals as nw

    names = frame.collect_schema().names()
    if timestamp not in names:
        raise missing_column([timestamp], names, what, "the timestamp")
    dtype = frame.collect_schema()[timestamp]
    column = timestamp
    notes: list[str] = []
    moments = _Moments(window.start, window.end, late_from(window, now or window.end))
    if dtype == nw.String:
        frame, column = _parsed(frame, timestamp, zone, what), _PARSED
        bounds = Bounds(*(moment.astimezone(UTC) for moment in moments))
    else:
        bounds = _bounds(frame, timestamp, moments, zone, what, notes)
    moment, usable = nw.col(column), ~nw.col(column).is_null()
    if dtype.is_float():
        usable &= moment.is_finite()
    late = usable & (moment >= bounds.late)
    tally = _tally(
        frame,
        unset=~usable,
        late=late,
        before=usable & (moment < bounds.low),
        after=usable & (moment >= bounds.high),
    )
    problems: list[str] = []
    if tally.unset:
        notes.append(f"left out {counted(tally.unset, 'row')} without a timestamp")
        problems.append(
            f"{tally.shares(tally.unset)} of {what} have no time in '{shown(timestamp)}', and may "
            "belong to the window"
        )
    if tally.late and now is not None:
        notes.append(f"left out {counted(tally.late, 'row')} of the future: a clock is wrong")
        problems.append(
            f"{tally.shares(tally.late)} of {what} are of the future by '{shown(timestamp)}': a "
            "clock is wrong, and they may belong to the window"
        )
    told = tally.outside(tally.late if now is not None else 0)
    notes += [told] if told else []
    inside = frame.filter(usable & (moment >= bounds.low) & (moment < bounds.high)).select(names)
    return InWindow(inside, tuple(notes), tuple(problems))


class _Tally(NamedTuple):
    """Rows of all windows together, those without a time, of the future, and of other windows."""

    rows: int
    unset: int
    late: int
    before: int
    after: int

    def outside(self, told: int) -> str:
        """How many rows other windows have, besides those of the future that are told already.

        A source of which a window finds few rows, and many outside, is declared wrongly.
        """
        sides = ((self.before, "before"), (self.after - told, "after"))
        ends = [f"{number:,} {side}" for number, side in sides if number]
        if not ends:
            return ""
        return f"of {self.rows:,} rows of what was opened, {' and '.join(ends)} the window"

    def shares(self, number: int) -> str:
        plural = "" if self.rows == 1 else "s"
        return f"{number:,} of {self.rows:,} row{plural} ({number / self.rows:.1%})"


def _tally(frame: nw.LazyFrame[Any], **conditions: nw.Expr) -> _Tally:
    import narwhals as nw

    asked = {"rows": nw.len(), **{name: _true(found) for name, found in conditions.items()}}
    found = frame.select(**asked).collect("pyarrow")
    return _Tally(**{name: int(found[name].item() or 0) for name in asked})


def _true(condition: nw.Expr) -> nw.Expr:
    import narwhals as nw

    return nw.when(condition).then(nw.lit(1)).otherwise(nw.lit(0)).sum()


def late_from(window: Window, now: datetime) -> datetime:
    """The moment from which on a row is of the future, for a window and the present."""
    return max(window.end, now + _TOLERANCE)


def _bounds(
    frame: nw.LazyFrame[Any],
    timestamp: str,
    moments: _Moments,
    zone: ZoneInfo,
    what: str,
    notes: list[str],
) -> Bounds:
    import narwhals as nw

    dtype = frame.collect_schema()[timestamp]
    if isinstance(dtype, nw.Datetime):
        if dtype.time_zone is None:
            return _naive(moments, zone, notes)
        # Polars compares times of one zone only.
        own = ZoneInfo(dtype.time_zone)
        return Bounds(*(moment.astimezone(own) for moment in moments))
    if dtype == nw.Date:
        return _dates(moments, zone)
    if dtype.is_numeric():
        return _epochs(frame, timestamp, moments, what)
    if dtype == nw.Unknown:
        raise SourceError(f"Column '{shown(timestamp)}' of {what} has no timestamp at all.", _MEANT)
    raise SourceError(
        f"Column '{shown(timestamp)}' of {what} holds {dtype}, no timestamps.", _MEANT
    )


def _naive(moments: _Moments, zone: ZoneInfo, notes: list[str]) -> Bounds:
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


def _dates(moments: _Moments, zone: ZoneInfo) -> Bounds:
    def first_day(moment: datetime) -> date:
        there = moment.astimezone(zone)
        midnight = there.replace(hour=0, minute=0, second=0, microsecond=0)
        return there.date() if there == midnight else there.date() + timedelta(days=1)

    return Bounds(*(first_day(moment) for moment in moments))


def _epochs(frame: nw.LazyFrame[Any], timestamp: str, moments: _Moments, what: str) -> Bounds:
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
                f"Column '{shown(timestamp)}' of {what} reaches from {low:.0e} to {high:.0e}: "
                "these are no epochs of one unit.",
                _MEANT,
            )
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
        raise SourceError(
            f"Column '{shown(timestamp)}' of {what} holds texts that are no timestamps, of the "
            f"form '{_form(str(example[timestamp].item()))}'.",
            _MEANT,
        )
    return lazy


def _form(text: str) -> str:
    """What a text looks like, without what it says.

    >>> _form("23.11.2026 10h")
    '00.00.0000 00a'
    """
    return shown(re.sub(r"[^\W\d_]", "a", re.sub(r"\d", "0", text[:40])))


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
