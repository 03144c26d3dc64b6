"""Incidents: a breach opens one for its system and threshold; people note and close it.

Their state is folded from the ledger: each incident is a lineage of `incident_record` evidence,
and each thing that happens to it is a version. Two processes that write at once never both win:
the second reads again.
"""

from __future__ import annotations

from difflib import get_close_matches
from itertools import islice
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from aims_mlflow import __version__
from aims_mlflow.errors import LedgerConflictError, UsageError
from aims_mlflow.evidence import (
    Draft,
    Evidence,
    EvidenceKind,
    Subject,
    SubjectType,
    evidence_id,
    normalise,
)
from aims_mlflow.ledger.log import Sealing
from aims_mlflow.model_card.bounds import cut_text
from aims_mlflow.monitors.episodes import histories
from aims_mlflow.monitors.incident_changes import Occasion, closed, following
from aims_mlflow.monitors.incident_records import (
    Incident,
    IncidentChange,
    IncidentEvent,
    IncidentState,
    Note,
    change_of,
)
from aims_mlflow.secrets import cleared

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence
    from datetime import datetime

    from aims_mlflow.governance.system import IncidentRule
    from aims_mlflow.ledger.log import Ledger
    from aims_mlflow.monitored import MonitoringReport

__all__ = [
    "Incident",
    "IncidentChange",
    "IncidentState",
    "close",
    "find",
    "history",
    "incidents",
    "note",
    "update",
]

#: Characters of a note or of a reason to close.
MAX_WORDS = 2_000
#: Notes that a version repeats; each is in its own version as well.
_NOTES = 20
#: Reports of one monitor that are looked at to see a row of breaches, and entries of their kind
#: that are read to find them.
_REPORTS, _ENTRIES = 100, 2_000
_ATTEMPTS = 8
_T = TypeVar("_T")


class _Filed(NamedTuple):
    """An incident and the evidence that holds it: the id and the version of its newest entry."""

    incident: Incident
    evidence_id: str
    version: int


class _Scribe(NamedTuple):
    """Who writes, when and why."""

    ledger: Ledger
    now: datetime
    actor: str
    source: str

    def seal(self, filed: _Filed | None, versions: Iterable[Incident]) -> list[Sealing]:
        """The sealings of new versions of one incident, each after the one before."""
        sealings = []
        identity, number = (filed.evidence_id, filed.version) if filed else (None, 0)
        for incident in versions:
            draft = self._draft(incident)
            number += 1
            sealings.append(
                Sealing(
                    draft=draft,
                    version=number,
                    supersedes=identity,
                    artifacts=(),
                    actor=self.actor,
                    source=f"aims-mlflow/{__version__} {self.source}",
                    capture_time=self.now,
                )
            )
            identity = evidence_id(draft.content_digest(), identity)
        return sealings

    def append(self, sealings: Sequence[Sealing]) -> tuple[IncidentChange, ...]:
        """Seal all of them or none; what another process sealed alike is not told again."""
        if not sealings:
            return ()
        return tuple(change_of(entry.evidence) for entry in self.ledger.append(sealings))

    def _draft(self, incident: Incident) -> Draft:
        body, notes = normalise(incident.body())
        return Draft(
            kind=EvidenceKind.INCIDENT_RECORD,
            system=incident.system,
            subject=Subject(type=SubjectType.SYSTEM, id=incident.id),
            event_time=self.now,
            body=body,
            normalised=notes,
        )


def update(
    ledger: Ledger,
    report: MonitoringReport,
    *,
    evidence_id: str,
    now: datetime,
    actor: str,
    source: str,
    rule: IncidentRule | None = None,
) -> tuple[IncidentChange, ...]:
    """Open, extend, or note the recovery of the incidents that a sealed report speaks of.

    A threshold whose declared number of breaches in a row was reached opens one incident, unless
    one that is not closed exists, which is extended. INSUFFICIENT neither counts nor interrupts a
    row. Windows count in their own order, however late they were judged. A PASS notes the recovery;
    only a declared rule closes without a person. The same report again changes nothing.

    Args:
        ledger: Holds the report already.
        report: What a monitor found.
        evidence_id: The evidence that the report is sealed as.
        now: The time, for the incident's history.
        actor: Who or what executed the monitor.
        source: What caused it.
        rule: What the system declares for its incidents.

    Returns:
        What changed, in the order of the judgements.

    Raises:
        UsageError: The ledger does not hold the evidence.
        LedgerError: The ledger cannot be read or written; nothing changed.
    """
    scribe = _Scribe(ledger, now, actor, source)
    kind = ledger.get(evidence_id).evidence.kind
    thresholds = dict.fromkeys(judgement.threshold for judgement in report.judgements)
    occasion = Occasion(report.system_id, report.monitor, report.kind, now, actor)
    close_after = rule.close_after if rule else None

    def attempt() -> tuple[IncidentChange, ...]:
        if not thresholds:
            return ()
        judged = histories(islice(_reports(ledger, report, kind), _REPORTS))
        filed = _filed(ledger, report.system_id)
        sealings: list[Sealing] = []
        for threshold in thresholds:
            known = [each for each in filed if each.incident.threshold_id == threshold]
            incidents_of = [each.incident for each in known]
            versions = following(occasion, incidents_of, judged.get(threshold, ()), close_after)
            current = {each.incident.id: each for each in known}
            if versions:
                sealings += scribe.seal(current.get(versions[0].id), versions)
        return scribe.append(sealings)

    return _retried(attempt)


def incidents(
    ledger: Ledger, system: str | None = None, state: IncidentState | str | None = None
) -> tuple[Incident, ...]:
    """Every incident as it stands, the newest first.

    Args:
        ledger: Where they are.
        system: Of this AI system only.
        state: In this state only.

    Raises:
        LedgerError: The ledger cannot be read.
    """
    found = [each.incident for each in _filed(ledger, system)]
    wanted = [each for each in found if state is None or each.state == state]
    return tuple(sorted(wanted, key=lambda each: (each.opened_at, each.id), reverse=True))


def find(ledger: Ledger, identity: str) -> Incident:
    """The incident with this id, as it stands.

    Raises:
        UsageError: There is none; names what is near.
        LedgerError: The ledger cannot be read.
    """
    return _find(ledger, identity).incident


def history(ledger: Ledger, identity: str) -> tuple[IncidentChange, ...]:
    """Every version of an incident, the oldest first.

    Raises:
        UsageError: There is no such incident.
        LedgerError: The ledger cannot be read.
    """
    incident = find(ledger, identity)
    versions = ledger.entries(kind=EvidenceKind.INCIDENT_RECORD, system=incident.system)
    return tuple(change_of(e.evidence) for e in versions if e.evidence.subject.id == incident.id)


def note(ledger: Ledger, identity: str, text: str, by: str, *, now: datetime) -> IncidentChange:
    """Add what a person has to say, also to a closed incident.

    Raises:
        UsageError: There is no such incident, or no text, or too much of it.
        LedgerError: The ledger cannot be read or written.
    """
    words, person = _words(text, "note"), _words(by, "person")

    def noted(incident: Incident) -> Incident:
        said = Note(when=now, by=person, text=words)
        event = IncidentEvent(what="noted", when=now, by=person, text=words)
        notes = (*incident.notes, said)[-_NOTES:]
        return incident.model_copy(update={"event": event, "notes": notes})

    return _by_hand(ledger, identity, noted, person, now)


def close(ledger: Ledger, identity: str, reason: str, by: str, *, now: datetime) -> IncidentChange:
    """Close an incident. Where its threshold still fails, the next breach opens another one.

    Raises:
        UsageError: There is no such incident, it is closed already, or the reason or the person
            is missing.
        LedgerError: The ledger cannot be read or written.
    """
    words, person = _words(reason, "reason"), _words(by, "person")

    def ended(incident: Incident) -> Incident:
        if incident.state is IncidentState.CLOSED:
            raise UsageError(
                f"The incident {incident.id} is closed already, by {incident.event.by}.",
                f"Add to it with: aims incident note '{incident.id}' TEXT",
            )
        return closed(incident, words, person, now)

    return _by_hand(ledger, identity, ended, person, now)


def _by_hand(
    ledger: Ledger, identity: str, change: Callable[[Incident], Incident], by: str, now: datetime
) -> IncidentChange:
    scribe = _Scribe(ledger, now, by, "incident")

    def attempt() -> IncidentChange:
        filed = _find(ledger, identity)
        sealings = scribe.seal(filed, [change(filed.incident)])
        scribe.append(sealings)
        return change_of(ledger.latest([sealings[0].draft.lineage])[sealings[0].draft.lineage])

    return _retried(attempt)


def _retried(attempt: Callable[[], _T]) -> _T:
    for _ in range(_ATTEMPTS - 1):
        try:
            return attempt()
        except LedgerConflictError:
            continue
    return attempt()


def _reports(ledger: Ledger, report: MonitoringReport, kind: EvidenceKind) -> Iterator[Evidence]:
    entries = ledger.entries(
        kind=kind, system=report.system_id, current=True, newest_first=True, limit=_ENTRIES
    )
    for entry in entries:
        body = entry.evidence.body or {}
        same = body.get("schema_version") == report.schema_version
        if same and body.get("monitor") == report.monitor:
            yield entry.evidence


def _words(text: str, what: str) -> str:
    words = text.strip()
    if not words:
        raise UsageError(f"The {what} is empty.", "Say it in a few words.")
    if len(words) > MAX_WORDS:
        raise UsageError(
            f"The {what} has {len(words)} characters; {MAX_WORDS} are kept.",
            "Shorten it, and link the longer text.",
        )
    return cleared(words)[0]


def _filed(ledger: Ledger, system: str | None) -> list[_Filed]:
    entries = ledger.entries(kind=EvidenceKind.INCIDENT_RECORD, system=system, current=True)
    return [
        _Filed(change_of(e.evidence).incident, e.evidence.id, e.evidence.version)
        for e in entries
        if e.evidence.body is not None
    ]


def _find(ledger: Ledger, identity: str) -> _Filed:
    filed = {each.incident.id: each for each in _filed(ledger, None)}
    wanted = identity.strip()
    if wanted in filed:
        return filed[wanted]
    near = get_close_matches(wanted, filed, n=3, cutoff=0.5)
    meant = f"Did you mean {' or '.join(near)}? " if near else ""
    raise UsageError(
        f"There is no incident '{cut_text(wanted)}'.",
        f"{meant}`aims incident list --state all` shows what there is.",
    )
