"""What a person must look at in the monitoring of one AI system. Pure."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING
from zoneinfo import ZoneInfo

from aims_mlflow.evidence import Evidence, EvidenceKind
from aims_mlflow.governance.finding import Finding, Rank
from aims_mlflow.governance.monitoring import duration
from aims_mlflow.governance.thresholds import Threshold
from aims_mlflow.monitors.incident_records import Incident, IncidentState, change_of
from aims_mlflow.monitors.monitor_reports import is_report, newest_reports, window_end
from aims_mlflow.monitors.threshold_changes import published_thresholds, unpublished_thresholds
from aims_mlflow.readings import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from aims_mlflow.governance.monitoring import Monitor
    from aims_mlflow.governance.profile import Profile
    from aims_mlflow.governance.system import AISystem

_RANKS = {Verdict.FAIL: Rank.FAIL, Verdict.INSUFFICIENT: Rank.INSUFFICIENT}


def monitoring_findings(
    profile: Profile, system_id: str | None, items: Sequence[Evidence], now: datetime
) -> Iterator[Finding]:
    """Incidents that are not closed, changed limits, what windows did not show, silent monitors.

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
        yield from _limit_loosened(incident, evidence_id, items)
    handled = {each.threshold_id for each, _ in alive}
    system = profile.system(system_id) if system_id else None
    reports = newest_reports(items, system)
    if system is not None and any(map(is_report, items)):
        yield from _unpublished(system, items)
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


def _limit_loosened(
    incident: Incident, evidence_id: str, items: Sequence[Evidence]
) -> Iterator[Finding]:
    """A limit that was loosened after it was broken, and who can be known to have done so."""
    change = incident.loosened
    if change is None:
        return
    approved = f"approved by {change.approved_by}" if change.approved_by else "names no approver"
    yield Finding(
        rank=Rank.FAIL,
        rule="loosened-limit",
        system=incident.system,
        message=f"threshold {incident.threshold_id}: limit changed from {change.before} to "
        f"{change.after} after the breach ({approved}, {_publisher(incident, items)}); "
        f"{incident.id} is not recovered by that",
        fix=f"Restore the limit, or decide: aims incident close '{incident.id}' --reason ...",
        evidence_id=evidence_id,
        severity=incident.severity,
    )


def _publisher(incident: Incident, items: Sequence[Evidence]) -> str:
    newest, change = published_thresholds(items), incident.loosened
    for declared in (newest.body or {})["thresholds"] if newest else ():
        limit = Threshold.model_construct(**declared).limit
        same = change is not None and change.after.endswith(limit)
        if newest is not None and declared["id"] == incident.threshold_id and same:
            return f"published by {newest.actor} on {newest.receipt_time:%Y-%m-%d}"
    return "not published"


def _unpublished(system: AISystem, items: Sequence[Evidence]) -> Iterator[Finding]:
    told = unpublished_thresholds(system, items)
    if told:
        yield Finding(
            rank=Rank.GAP,
            rule="unpublished-thresholds",
            system=system.id,
            message=f"monitors judge by thresholds that are not published: {told}",
            fix="aims publish",
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
            message=f"monitor {name}, window to {window_end(report):%Y-%m-%d %H:%M} UTC: "
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
            late, last = (
                window_end(report) < due,
                f"the last one ended {window_end(report):%Y-%m-%d %H:%M} UTC",
            )
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
