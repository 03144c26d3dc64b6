"""The history of a monitor in MLflow: readings over time, beside their limits."""

from __future__ import annotations

from datetime import UTC
from itertools import islice, pairwise
from typing import TYPE_CHECKING

from aims_mlflow.errors import RunNotFoundError
from aims_mlflow.ledger.histories import Histories
from aims_mlflow.monitored import MonitorReading

if TYPE_CHECKING:
    from datetime import datetime, timedelta

    from aims_mlflow.governance.monitoring import Monitor
    from aims_mlflow.ledger.log import Ledger
    from aims_mlflow.monitored import MonitoringReport
    from aims_mlflow.readings import Judgement
    from aims_mlflow.tracking import Tracking

#: Times of a schedule that tell how often it runs.
_LOOKED_AT = 8


def remember(
    report: MonitoringReport, monitor: Monitor, tracking: Tracking, ledger: Ledger
) -> None:
    """Add an execution to the history of its monitor.

    The step counts the periods of the schedule since the first window of the series, so that a
    window that is judged late stands where it belongs.

    Raises:
        TrackingError: MLflow does not answer or refuses.
        LedgerError: The ledger cannot be read or written.
    """
    histories = Histories(ledger.database, tracking.uri_shown)
    every = period(monitor, report.window.end)
    for name, values in series_of(report).items():
        if not values:
            continue
        series = f"{report.monitor} {name}"
        try:
            _add(report, series, values, every, tracking, histories)
        except RunNotFoundError:  # somebody deleted it: the history begins anew
            histories.forget(report.system_id, series)
            _add(report, series, values, every, tracking, histories)


def _add(
    report: MonitoringReport,
    series: str,
    values: dict[str, float],
    every: timedelta,
    tracking: Tracking,
    histories: Histories,
) -> None:
    runs, end = tracking.monitor_runs, report.window.end
    found = histories.run(
        report.system_id,
        series,
        end,
        lambda: runs.begin_history(report.system_id, report.monitor, series),
    )
    runs.log(found.run_id, values, end, step=round((end - found.begins) / every))


def period(monitor: Monitor, moment: datetime) -> timedelta:
    """The shortest time between two of the next times of a schedule.

    >>> from datetime import UTC, datetime
    >>> from aims_mlflow.governance.monitoring import Monitor
    >>> weekdays = Monitor(kind="drift", schedule="0 6 * * 1-5")
    >>> period(weekdays, datetime(2026, 11, 27, tzinfo=UTC)).days
    1
    """
    from cronsim import CronSim

    times = list(islice(CronSim(monitor.schedule, moment.astimezone(UTC)), _LOOKED_AT))
    return min(later - earlier for earlier, later in pairwise(times))


def series_of(report: MonitoringReport) -> dict[str, dict[str, float]]:
    """The `readings` of a report, and the `max` and `min` that they are held to, by metric key.

    A limit that an execution judged is there whether or not there was a reading to hold to it.
    """
    found: dict[str, dict[str, float]] = {"readings": {}, "max": {}, "min": {}}
    for reading in report.readings:
        if reading.value is not None:
            found["readings"][reading.key] = reading.value
    for judgement in report.judgements:
        key = _key(judgement)
        for bound, limit in _limits(judgement):
            known = found[bound].get(key, limit)
            # Of several thresholds on one reading, the strictest.
            found[bound][key] = min(known, limit) if bound == "max" else max(known, limit)
    return found


def _key(judgement: Judgement) -> str:
    return MonitorReading(
        metric=judgement.metric,
        value=None,
        column=judgement.column,
        feature=judgement.feature,
        slice=judgement.part.removeprefix("slice ") or None,
    ).key


def _limits(judgement: Judgement) -> list[tuple[str, float]]:
    declared = judgement.declared
    change, baseline = declared.get("max_change"), judgement.baseline
    if change is not None:
        return [] if baseline is None else [("max", baseline + change), ("min", baseline - change)]
    bounds = (("max", declared.get("max")), ("min", declared.get("min")))
    return [(bound, limit) for bound, limit in bounds if limit is not None]
