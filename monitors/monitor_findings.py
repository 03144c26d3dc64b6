"""What a person must look at in the monitoring of one AI system. Pure."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from aims_mlflow.evidence import MONITOR_REPORTS, Evidence, EvidenceKind
from aims_mlflow.governance.finding import Finding, Rank
from aims_mlflow.governance.monitoring import duration
from aims_mlflow.monitored import Window
from aims_mlflow.monitors.incident_records import Incident, IncidentState, change_of
from aims_mlflow.readings import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from aims_mlflow.governance.monitoring import Monitor
    from aims_mlflow.governance.profile import Profile

_RANKS = {Verdict.FAIL: Rank.FAIL, Verdict.INSUFFICIENT: Rank.INSUFFICIENT}


def is_report(item: Evidence) -> bool:
    """Whether it is the report of a monitor, rather than of an evaluation."""
    schema = str((item.body or {}).get("schema_version"))
    return item.kind in MONITOR_REPORTS and schema == "aims.monitoring_report/1"


def newest_reports(items: Sequence[Evidence]) -> dict[str, Evidence]:
    """The report of the newest window of each monitor, by the name of the monitor."""
    newest: dict[str, Evidence] = {}
    for item in sorted(filter(is_report, items), key=lambda e: (_end(e), e.receipt_time)):
        newest[str((item.body or {})["monitor"])] = item
    return newest


def _end(report: Evidence) -> datetime:
    return Window.model_validate((report.body or {})["window"]).end


def monitoring_findings(
    profile: Profile, system_id: str | None, items: Sequence[Evidence], now: datetime
) -> Iterator[Finding]:
    """Incidents that are not closed, what the newest windows did not show, silent monitors.

    Args:
        profile: The profile in force.
        system_id: The AI system.
        items: Current evidence of the system, with bodies.
        now: The time against which monitors are late.
    """
    records = [e for e in items if e.kind is EvidenceKind.INCIDENT_RECORD and e.body is not None]
    incidents = [(change_of(item).incident, item.id) for item in records]
    alive = [(each, at) for each, at in incidents if each.state is not IncidentState.CLOSED]
    for incident, evidence_id in alive:
        yield _incident(profile, incident, evidence_id)
    handled = {each.threshold_id for each, _ in alive}
    reports = newest_reports(items)
    for name, report in reports.items():
        yield from _monitored(system_id, name, report, handled)
    yield from _silent_monitors(profile, system_id, items, reports, now)


def _incident(profile: Profile, incident: Incident, evidence_id: str) -> Finding:
    system = profile.system(incident.system)
    owner = system.owner.name if system and system.owner else "no owner"
    since = f"{incident.opened_at:%Y-%m-%d %H:%M} UTC"
    recovered = incident.state is IncidentState.RECOVERED
    told = (
        f"recovered, {incident.breaches} breaches, waits to be closed"
        if recovered
        else f"{incident.last.reason}, {incident.breaches} breaches"
    )
    return Finding(
        rank=Rank.NOTE if recovered else Rank.FAIL,
        rule="incident",
        system=incident.system,
        message=f"{incident.severity.value} incident {incident.id} since {since}, {owner}: {told}",
        fix=f"aims incident {'close' if recovered else 'show'} '{incident.id}'"
        + (" --reason ..." if recovered else ""),
        evidence_id=evidence_id,
        severity=incident.severity,
    )


def _monitored(
    system_id: str | None, name: str, report: Evidence, handled: set[str]
) -> Iterator[Finding]:
    """What the newest window of a monitor did not show, or broke without an incident."""
    for judgement in (report.body or {})["judgements"]:
        rank = _RANKS.get(Verdict(judgement["verdict"]))
        threshold = str(judgement["threshold"])
        if rank is None or (rank is Rank.FAIL and threshold in handled):
            continue
        yield Finding(
            rank=rank,
            rule=threshold,
            system=system_id,
            message=f"monitor {name}, window to {_end(report):%Y-%m-%d %H:%M} UTC: "
            f"{threshold}: {judgement['reason']}",
            fix=f"aims evidence show {report.id[:12]}",
            evidence_id=report.id,
        )


def _silent_monitors(
    profile: Profile,
    system_id: str | None,
    items: Sequence[Evidence],
    reports: dict[str, Evidence],
    now: datetime,
) -> Iterator[Finding]:
    """Declared monitors whose last two windows at least were never judged."""
    system = profile.system(system_id) if system_id else None
    published = [e.event_time for e in items if e.kind is EvidenceKind.MONITORING_CONFIG]
    for monitor in system.monitors if system else ():
        due = _due_before(monitor, now)
        report = reports.get(monitor.name)
        if report is not None:
            late, last = _end(report) < due, f"the last one ended {_end(report):%Y-%m-%d %H:%M} UTC"
        else:
            late, last = any(moment < due for moment in published), "it never ran"
        if late:
            yield Finding(
                rank=Rank.GAP,
                rule="silent-monitor",
                system=system_id,
                message=f"monitor {monitor.name} judged none of its last two windows: {last}",
                fix="aims monitor run-due (from cron, a systemd timer, or: aims monitor schedule)",
            )


def _due_before(monitor: Monitor, now: datetime) -> datetime:
    """The end of the window before the newest one that is complete."""
    from cronsim import CronSim

    times = CronSim(monitor.schedule, now.astimezone(ZoneInfo(monitor.timezone)), reverse=True)
    next(times)
    before = next(times).astimezone(UTC)
    return before - duration(monitor.labels_lag) if monitor.labels_lag else before
