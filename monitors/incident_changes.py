"""The next versions of an incident, from what a monitor found. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from aims_mlflow.governance.thresholds import Severity
from aims_mlflow.monitors.episodes import episode
from aims_mlflow.monitors.incident_records import (
    TYPES,
    Incident,
    IncidentEvent,
    IncidentState,
    What,
    incident_id,
)

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from aims_mlflow.monitors.episodes import Episode, Judged

_SEVERITIES = list(Severity)
#: Who closes where a declared rule does.
RULE = "rule"


class Occasion(NamedTuple):
    """Which monitor of which AI system reports, of what kind it is, when, and who executed it."""

    system: str
    monitor: str
    kind: str
    now: datetime
    actor: str


def following(
    occasion: Occasion,
    known: Sequence[Incident],
    judged: Sequence[Judged],
    close_after: int | None = None,
) -> list[Incident]:
    """The versions to add for one threshold; none where the monitor says nothing new.

    Args:
        occasion: Who reports.
        known: Every incident of the threshold, as it stands.
        judged: PASS or FAIL of each window that the monitor decided, oldest window first.
        close_after: Windows in a row that must pass for an incident to close by itself.

    Returns:
        Versions of the incident that is not closed, else of a new one.
    """
    newest = max(known, key=lambda each: each.number, default=None)
    current = newest if newest and newest.state is not IncidentState.CLOSED else None
    number = current.number if current else (newest.number if newest else 0) + 1
    ended = next((each for each in known if each.number == number - 1), None)
    floor = ended.watched.get(occasion.monitor) if ended else None
    # What an incident that was closed took into account opens none again.
    later = [each for each in judged if floor is None or each.end > floor.seen]
    found = episode(later, current.watched.get(occasion.monitor) if current else None)
    if found is None:
        return []
    if current is None:
        versions = [_opened(occasion, found, number)]
    else:
        versions = _continued(occasion, found, current)
    latest = versions[-1] if versions else current
    assert latest is not None
    recovered = latest.state is IncidentState.RECOVERED
    if close_after and recovered and found.passes >= close_after:
        words = f"{found.passes} windows in a row passed; incidents: {{close_after: {close_after}}}"
        final = latest.model_copy(
            update={"watched": {**latest.watched, occasion.monitor: found.watched}}
        )
        versions.append(closed(final, words, RULE, occasion.now))
    return versions


def _opened(occasion: Occasion, found: Episode, number: int) -> Incident:
    first, last = found.new[0], found.new[-1]
    threshold = last.judgement.threshold
    failing = found.watched.failing
    words = _told(last)
    if not failing:
        words += "; found late: a later window passed already"
    return Incident(
        id=incident_id(occasion.system, threshold, number),
        system=occasion.system,
        threshold_id=threshold,
        number=number,
        threshold=last.judgement.declared,
        severity=_severest(found),
        type=TYPES.get(occasion.kind, "other"),
        state=IncidentState.OPEN if failing else IncidentState.RECOVERED,
        opened_at=occasion.now,
        recovered_at=None if failing else occasion.now,
        last_breach=last.end,
        breaches=len(found.new),
        first=first.observation,
        last=last.observation,
        watched={occasion.monitor: found.watched},
        event=IncidentEvent(what="opened", when=occasion.now, by=occasion.actor, text=words),
    )


def _continued(occasion: Occasion, found: Episode, incident: Incident) -> list[Incident]:
    watched = {**incident.watched, occasion.monitor: found.watched}
    failing = any(each.failing for each in watched.values())
    state = IncidentState.OPEN if failing else IncidentState.RECOVERED
    severity = max(incident.severity, _severest(found), key=_SEVERITIES.index)
    eased = watched[occasion.monitor].failing < (occasion.monitor in incident.failing)
    what = _happened(incident, state, severity, extended=bool(found.new), eased=eased)
    if what is None:
        return []
    observed = [incident.first, incident.last, *(each.observation for each in found.new)]
    observed.sort(key=lambda each: each.window.end)
    words = _told(found.new[-1]) if found.new else f"monitor {occasion.monitor} passes again"
    recovered = occasion.now if state is IncidentState.RECOVERED else None
    changes: dict[str, Any] = {
        "state": state,
        "severity": severity,
        "watched": watched,
        "breaches": incident.breaches + len(found.new),
        "first": observed[0],
        "last": observed[-1],
        "last_breach": observed[-1].window.end,
        "recovered_at": incident.recovered_at if state is incident.state else recovered,
        "event": IncidentEvent(what=what, when=occasion.now, by=occasion.actor, text=words),
    }
    if found.new:
        changes["threshold"] = found.new[-1].judgement.declared
    return [incident.model_copy(update=changes)]


def _happened(
    incident: Incident, state: IncidentState, severity: Severity, *, extended: bool, eased: bool
) -> What | None:
    if state is not incident.state:
        return "recovered" if state is IncidentState.RECOVERED else "relapsed"
    if severity is not incident.severity:
        return "raised"
    if extended:
        return "extended"
    return "eased" if eased else None


def _severest(found: Episode) -> Severity:
    severities = [Severity(each.judgement.severity) for each in found.new]
    return max(severities, key=_SEVERITIES.index, default=Severity.MINOR)


def _told(judged: Judged) -> str:
    seen = judged.observation
    return f"{seen.reason} in the window to {seen.window.key} ({seen.monitor})"


def closed(incident: Incident, words: str, by: str, now: datetime) -> Incident:
    """The last version of an incident; says so where its threshold still fails.

    Args:
        incident: As it stands.
        words: Why it is closed.
        by: The person, or the rule.
        now: When.
    """
    if incident.failing:
        words += f" [the threshold still failed then: {', '.join(incident.failing)}]"
    event = IncidentEvent(what="closed", when=now, by=by, text=words)
    changes = {"state": IncidentState.CLOSED, "closed_at": now, "event": event}
    return incident.model_copy(update=changes)
