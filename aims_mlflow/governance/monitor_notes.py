"""What of a monitor is declared rightly, and will yet surprise: told by `aims check` as a note."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from importlib.metadata import entry_points
from itertools import islice, pairwise
from typing import TYPE_CHECKING, NamedTuple
from zoneinfo import ZoneInfo

from aims_mlflow.governance.durations import duration
from aims_mlflow.governance.explain import did_you_mean
from aims_mlflow.governance.placeholders import OF_MLFLOW, names

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aims_mlflow.governance.monitoring import Monitor

#: The group of entry points that custom monitors are installed under.
GROUP = "aims_mlflow.monitors"
#: Times of a schedule that are looked at: more than those of a day of minutes.
_TIMES = 1500
_ENOUGH = timedelta(days=8)
_FIRST = datetime(2026, 1, 1, tzinfo=UTC)


class MonitorNote(NamedTuple):
    """What is to be known of `key` of a monitor, and what to do."""

    key: str
    message: str
    fix: str


def monitor_notes(monitor: Monitor) -> Iterator[MonitorNote]:
    """Every such note.

    - Files of one `{date}` for windows of more than one date: the later dates are not read.
    - A custom monitor that is not installed here; it may be where the monitor runs.
    """
    window = _of_two_dates(monitor) if _by_date(monitor.current) else None
    if window is not None:
        start, end = (f"{moment:%Y-%m-%d %H:%M}" for moment in window)
        yield MonitorNote(
            "current",
            f"monitor '{monitor.name}' reads the files of the date on which its window begins, and "
            f"its windows reach over more than one, such as {start} to {end} ({monitor.timezone}).",
            "Let the windows begin and end at midnight (for a schedule at six, `labels_lag: PT6H` "
            "moves them back by six hours), or match the files of all dates (*, **) and name the "
            "'timestamp'.",
        )
    if monitor.kind == "custom" and monitor.use is not None:
        installed = sorted({point.name for point in entry_points(group=GROUP)})
        if monitor.use not in installed:
            near = did_you_mean(monitor.use, installed)
            yield MonitorNote(
                "use",
                f"monitor '{monitor.name}' uses '{monitor.use}', which is not installed here.",
                near or f"Install the package that has this entry point of the group {GROUP}.",
            )


def _by_date(source: str | None) -> bool:
    if source is None or source.startswith(OF_MLFLOW):
        return False
    found = names(source)
    return "date" in found and found.isdisjoint(("hour", "start", "end"))


def _of_two_dates(monitor: Monitor) -> tuple[datetime, datetime] | None:
    """The first window of the schedule that touches two dates of the monitor's zone."""
    from cronsim import CronSim

    zone = ZoneInfo(monitor.timezone)
    lag = duration(monitor.labels_lag) if monitor.labels_lag else timedelta()
    times = (t.astimezone(UTC) for t in CronSim(monitor.schedule, _FIRST.astimezone(zone)))
    try:
        for before, moment in pairwise(islice(times, _TIMES)):
            end = moment - lag
            start = end - duration(monitor.window) if monitor.window else before - lag
            first, last = start.astimezone(zone), (end - timedelta.resolution).astimezone(zone)
            if first.date() != last.date():
                return first, end.astimezone(zone)
            if moment - _FIRST > _ENOUGH:
                return None
    except OverflowError:
        # A window before the calendar: whoever computes it says so.
        return None
    return None
