"""Which windows of a monitor are due, by its cron expression in its own time zone."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple
from zoneinfo import ZoneInfo

from aims_mlflow.errors import MonitorError
from aims_mlflow.governance.monitoring import duration
from aims_mlflow.monitored import Window

if TYPE_CHECKING:
    from aims_mlflow.governance.monitoring import Monitor

#: Missed windows that are told one by one; older ones are told as one long window.
MOST_MISSED = 1000
#: How far back a fire time is looked for: 29 February comes every eight years at the rarest, and
#: on a given weekday every forty.
_FURTHEST = timedelta(days=366 * 41)
_NEAREST = timedelta(minutes=2)


class Due(NamedTuple):
    """The windows that are complete and not handled yet, each list oldest first.

    `run` is to be judged now; `missed` is to be recorded as a gap. Where more than `MOST_MISSED`
    were missed, the first of `missed` reaches over all the older ones.
    """

    run: tuple[Window, ...]
    missed: tuple[Window, ...]


def windows_due(monitor: Monitor, *, since: datetime | None, now: datetime) -> Due:
    """The windows whose times of the schedule lie after `since`, up to `now`.

    The first time ever, only the latest one is due. A clock that went backwards makes nothing due.

    Args:
        monitor: The monitor.
        since: The time of the schedule that was handled last (see `fired`), aware; None where
            none was.
        now: The present, aware.

    Raises:
        MonitorError: The declared durations give no window.
    """
    if since is None:
        return Due(tuple(_windows(monitor, _newest(monitor, None, now, 1), None)), ())
    wanted = 1 if monitor.missed == "gap" else monitor.max_catch_up
    times = _newest(monitor, since, now, wanted + MOST_MISSED + 1)
    found = _windows(monitor, times, since)
    if len(found) > wanted + MOST_MISSED:
        earliest = min(found[0].start, since - _lag(monitor))
        found[0] = Window(start=earliest, end=found[0].end)
    return Due(tuple(found[-wanted:]), tuple(found[:-wanted]))


def window_at(monitor: Monitor, moment: datetime) -> Window:
    """The latest window that is complete at a moment.

    Raises:
        MonitorError: The schedule has no time before it, or the declared durations give no window.
    """
    found = _windows(monitor, _newest(monitor, None, moment, 1), None)
    if not found:
        raise MonitorError(
            f"The schedule '{monitor.schedule}' of monitor '{monitor.name}' has no time "
            f"before {moment:%Y-%m-%d}.",
            "Correct the schedule, or name the window: --start and --end.",
        )
    return found[0]


def next_due(monitor: Monitor, now: datetime) -> datetime | None:
    """The next time of the schedule after `now`, in UTC; None where none comes."""
    from cronsim import CronSim

    for moment in CronSim(monitor.schedule, now.astimezone(ZoneInfo(monitor.timezone))):
        # Both in UTC: times of one zone are compared by their clocks.
        exact = moment.astimezone(UTC)
        if exact > now.astimezone(UTC):
            return exact
    return None


def fired(monitor: Monitor, window: Window) -> datetime:
    """The time of the schedule that a window belongs to.

    Raises:
        MonitorError: The declared durations lead out of the calendar.
    """
    return _shifted(monitor, window.end, _lag(monitor))


def _newest(monitor: Monitor, since: datetime | None, now: datetime, count: int) -> list[datetime]:
    """At most the newest `count` times of the schedule in (since, now], oldest first."""
    # In UTC: the difference of two times of one zone is that of their clocks.
    now, since = now.astimezone(UTC), since.astimezone(UTC) if since else None
    reach = _NEAREST
    while True:
        begin = now - reach if since is None else max(now - reach, since)
        found = _times(monitor, begin, now)
        if len(found) >= count or reach > _FURTHEST or begin == since:
            return found[-count:]
        reach *= 4


def _times(monitor: Monitor, after: datetime, until: datetime) -> list[datetime]:
    """Every time of the schedule in (after, until], ascending, in UTC.

    Walked forwards only: backwards, cronsim leaves out times that daylight saving moves.
    """
    from cronsim import CronSim

    if after >= until:
        return []
    found: list[datetime] = []
    for moment in CronSim(monitor.schedule, after.astimezone(ZoneInfo(monitor.timezone))):
        exact = moment.astimezone(UTC)
        if exact > until:
            break
        if exact > after and (not found or exact > found[-1]):
            found.append(exact)
    return found


def _windows(monitor: Monitor, times: list[datetime], since: datetime | None) -> list[Window]:
    """The window of each time: it begins at the time before, unless its length is declared."""
    if not times:
        return []
    lag = _lag(monitor)
    ends = [_shifted(monitor, moment, -lag) for moment in times]
    if monitor.window is not None:
        length = duration(monitor.window)
        starts = [_shifted(monitor, end, -length) for end in ends]
    else:
        before = _before(monitor, times[0])
        if before is None:
            return []
        starts = [_shifted(monitor, before, -lag), *(end for end, _ in pairwise(ends))]
    return [_window(monitor, start, end) for start, end in zip(starts, ends, strict=True)]


def _before(monitor: Monitor, moment: datetime) -> datetime | None:
    found = _newest(monitor, None, moment - timedelta(microseconds=1), 1)
    return found[0] if found else None


def _lag(monitor: Monitor) -> timedelta:
    return duration(monitor.labels_lag) if monitor.labels_lag else timedelta()


def _shifted(monitor: Monitor, moment: datetime, by: timedelta) -> datetime:
    try:
        return moment + by
    except OverflowError:
        raise MonitorError(
            f"Monitor '{monitor.name}': its window begins before the calendar does.",
            "Shorten 'window' and 'labels_lag' of the monitor.",
        ) from None


def _window(monitor: Monitor, start: datetime, end: datetime) -> Window:
    if start >= end:
        raise MonitorError(
            f"Monitor '{monitor.name}': its window ({monitor.window}) holds no time.",
            "Make 'window' longer than nothing, or leave it out.",
        )
    return Window(start=start, end=end)
