"""Which report of a monitor says how it stands: its newest, of a window of its schedule. Pure."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

from pydantic import ValidationError

from aims_mlflow.evidence import MONITOR_REPORTS, Evidence, normalise
from aims_mlflow.governance.monitoring import Monitor, duration
from aims_mlflow.monitored import Window
from aims_mlflow.secrets import cleared_tree

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aims_mlflow.governance.system import AISystem


def is_report(item: Evidence) -> bool:
    """Whether it is the report of a monitor, rather than of an evaluation."""
    schema = str((item.body or {}).get("schema_version"))
    return item.kind in MONITOR_REPORTS and schema == "aims.monitoring_report/1"


def newest_reports(items: Sequence[Evidence], system: AISystem | None) -> dict[str, Evidence]:
    """The report of the newest window of each monitor, by the name of the monitor.

    What a person tried out is no state of a monitor: another source, a window that is none of its
    schedule, or a monitor made of options. Where no report fits the monitor as it is declared now,
    those of how it was declared before count.

    Args:
        items: Current evidence of the system, with bodies.
        system: The AI system, of which only declared monitors count; None where nobody declares
            it: then all of them do.
    """
    declared = {each.name: each for each in system.monitors} if system else None
    newest: dict[str, tuple[bool, Evidence]] = {}
    for item in sorted(filter(is_report, items), key=lambda e: (window_end(e), e.receipt_time)):
        body = item.body or {}
        name = str(body["monitor"])
        monitor = declared.get(name) if declared is not None else None
        if body.get("given") or (declared is not None and monitor is None):
            continue
        fits = True
        if monitor is not None:
            fits = _executed(monitor) == (body.get("declared") or _executed(monitor))
            if not _of_schedule(monitor if fits else _parsed(body, monitor), item):
                continue
        if fits or not newest.get(name, (False,))[0]:
            newest[name] = (fits, item)
    return {name: item for name, (_, item) in newest.items()}


def _executed(monitor: Monitor) -> dict[str, Any]:
    """A monitor as the reports of its executions declare it."""
    clean, _ = normalise(cleared_tree(monitor.model_dump(mode="json", exclude_defaults=True)))
    return dict(clean)


def _parsed(body: dict[str, Any], otherwise: Monitor) -> Monitor:
    """The monitor as it was declared when the report was made."""
    try:
        return Monitor.model_validate(body["declared"])
    except ValidationError:  # of another version of this package
        return otherwise


def _of_schedule(monitor: Monitor, report: Evidence) -> bool:
    """Whether the window ends at a time of the schedule, and begins where such a window does."""
    window = Window.model_validate((report.body or {})["window"])
    lag = duration(monitor.labels_lag) if monitor.labels_lag else timedelta()
    try:
        if monitor.window is not None:
            begins = window.end - window.start == duration(monitor.window)
        else:
            begins = _next_time(monitor, window.start + lag) == window.end + lag
        just_before = window.end + lag - timedelta(microseconds=1)
        return begins and _next_time(monitor, just_before) == window.end + lag
    except OverflowError:
        return False


def _next_time(monitor: Monitor, after: datetime) -> datetime | None:
    """The first time of the schedule after a moment, in UTC."""
    from cronsim import CronSim

    for moment in CronSim(monitor.schedule, after.astimezone(ZoneInfo(monitor.timezone))):
        exact = moment.astimezone(UTC)
        if exact > after.astimezone(UTC):
            return exact
    return None


def window_end(report: Evidence) -> datetime:
    """The end of the window that a report is of."""
    return Window.model_validate((report.body or {})["window"]).end
