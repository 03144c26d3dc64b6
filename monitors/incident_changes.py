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
    Loosened,
    What,
    incident_id,
)
from aims_mlflow.monitors.limit_changes import limits_told, proven

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import datetime

    from aims_mlflow.monitors.episodes import Episode, Judged
    from aims_mlflow.monitors.limit_changes import Proven

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

    A PASS against a looser limit than the one that was broken is no recovery: it is noted.

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
    counting = proven(later, current, occasion.monitor)
    found = _episode(occasion, counting, current)
    versions: list[Incident] = []
    if found is not None and current is None:
        versions = [_opened(occasion, found, number)]
    elif found is not None and current is not None:
        versions = _continued(occasion, found, current)
    latest = versions[-1] if versions else current
    if latest is None:
        return []
    versions += _loosened(occasion, counting, latest)
    recovered = latest.state is IncidentState.RECOVERED
    if close_after and recovered and found and found.passes >= close_after:
        words = f"{found.passes} windows in a row passed; incidents: {{close_after: {close_after}}}"
        final = latest.model_copy(
            update={"watched": {**latest.watched, occasion.monitor: found.watched}}
        )
        versions.append(closed(final, words, RULE, occasion.now))
    return versions


def _episode(occasion: Occasion, counting: Proven, current: Incident | None) -> Episode | None:
    before = current.watched.get(occasion.monitor) if current else None
    found = episode(counting.judged, before)
    if found is None or counting.loose is None or not (before and before.failing):
        return found
    # What counts may end with a PASS from before the breach, whose window was judged again.
    return found._replace(watched=found.watched.model_copy(update={"failing": True}))


def _loosened(occasion: Occasion, counting: Proven, incident: Incident) -> list[Incident]:
    """Note, once for each limit, that only a looser one than the broken one is passed."""
    if counting.loose is None or counting.before is None:
        return []
    declared = counting.loose.judgement.declared
    before, after = limits_told(counting.before, declared)
    known = incident.loosened
    if incident.state is not IncidentState.OPEN or (known and known.after == after):
        return []
    words = f"limit changed from {before} to {after} after the breach: {_told(counting.loose)}"
    change = Loosened(
        before=before,
        after=after,
        when=occasion.now,
        approved_by=declared.get("approved_by"),
        reason=declared.get("reason"),
    )
    words += " is no recovery; a person decides"
    event = IncidentEvent(what="loosened", when=occasion.now, by=occasion.actor, text=words)
    return [incident.model_copy(update={"loosened": change, "event": event})]


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
    recovered = occasion.now if state is IncidentState.RECOVERED else None
    still = [name for name, each in watched.items() if each.failing]
    words = _words(occasion.monitor, what, found, still)
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
    if found.new or recovered:
        changes["loosened"] = None
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


def _words(monitor: str, what: What, found: Episode, still: Sequence[str]) -> str:
    """What happened, in words that fit it."""
    late = f"; found late: {_told(found.new[-1])}" if found.new else ""
    if what == "recovered":
        return f"monitor {monitor} passes again{late}"
    if what == "eased":
        return f"monitor {monitor} passes again; still failing: {', '.join(still)}{late}"
    if found.new:
        return _told(found.new[-1])
    # A window that was counted, and then passed, was judged once more.
    return f"breached again: {_told(found.last)}" if found.last else "breached again"


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
