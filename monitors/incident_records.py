"""Incidents as they are sealed: one lineage of versions for each, from opened to closed."""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Literal

from pydantic import Field, ValidationError

from aims_mlflow.errors import LedgerError
from aims_mlflow.evidence import Evidence, Frozen, UtcDatetime
from aims_mlflow.governance.thresholds import Severity
from aims_mlflow.monitored import Window

IncidentType = Literal["drift", "data_quality", "bias", "degradation", "operation", "other"]
#: What kind of incident a breach that this kind of monitor found is.
TYPES: dict[str, IncidentType] = {
    "drift": "drift",
    "quality": "data_quality",
    "bias": "bias",
    "performance": "degradation",
    "operation": "operation",
}
#: What happened to an incident. `extended`: one more breach; `relapsed`: it had recovered, and
#: the threshold is broken again; `raised`: the declared severity went up; `eased`: one of several
#: monitors passes again; `loosened`: it passes, against a looser limit than the one it broke.
What = Literal[
    "opened",
    "extended",
    "relapsed",
    "raised",
    "eased",
    "loosened",
    "recovered",
    "noted",
    "closed",
]


class IncidentState(StrEnum):
    """Where an incident stands; `recovered` waits for a person to close it."""

    OPEN = "open"
    RECOVERED = "recovered"
    CLOSED = "closed"


class Observation(Frozen):
    """One breach: what was found in which window, and where it is sealed.

    `limit` reads like `"<= 0.1"`; `evidence_id` is the sealed report.
    """

    monitor: str
    window: Window
    value: float | None
    limit: str
    reason: str
    n: int | None = None
    run_id: str | None = None
    evidence_id: str
    model_version: str | None = None


class Watched(Frozen):
    """What one monitor contributed to an incident.

    `since` is the end of the first window of its breaches, `seen` of the newest window that was
    taken into account, `failing` whether its newest verdicts break the threshold. `counted` are
    the ends of the last windows that were counted as breaches, oldest first.
    """

    since: UtcDatetime
    seen: UtcDatetime
    failing: bool
    counted: tuple[UtcDatetime, ...]


class Loosened(Frozen):
    """A limit that was loosened after the breach: as people write both, first seen at `when`.

    `approved_by` and `reason` are what the looser threshold declares.
    """

    before: str
    after: str
    when: UtcDatetime
    approved_by: str | None = None
    reason: str | None = None


class IncidentEvent(Frozen):
    """What a version of an incident records: `by` a person or a job, `text` in their words."""

    what: What
    when: UtcDatetime
    by: str
    text: str = ""


class Note(Frozen):
    """What a person wrote on an incident."""

    when: UtcDatetime
    by: str
    text: str


class Incident(Frozen):
    """An incident at one moment of its life: the body of `incident_record` evidence.

    `threshold` is the declaration that was in force at the last breach. `breaches` counts windows,
    `first` and `last` are the first and the last of them by the time of their windows. `notes` are
    the last ones; every version has its own `event`, so that the lineage holds all of them.
    `loosened` is set while only a looser limit than the broken one is passed.
    """

    schema_version: Literal["aims.incident/1"] = "aims.incident/1"
    id: str
    system: str
    threshold_id: str
    number: int = Field(ge=1)
    threshold: dict[str, Any]
    severity: Severity
    type: IncidentType
    state: IncidentState
    opened_at: UtcDatetime
    recovered_at: UtcDatetime | None = None
    closed_at: UtcDatetime | None = None
    last_breach: UtcDatetime
    breaches: int = Field(ge=1)
    first: Observation
    last: Observation
    watched: dict[str, Watched]
    event: IncidentEvent
    notes: tuple[Note, ...] = ()
    loosened: Loosened | None = None

    @property
    def failing(self) -> tuple[str, ...]:
        """The monitors whose newest verdicts break the threshold."""
        return tuple(name for name, watched in self.watched.items() if watched.failing)

    def body(self) -> dict[str, Any]:
        """What is sealed."""
        return self.model_dump(mode="json")


class IncidentChange(Frozen):
    """One version of an incident, sealed as `evidence_id`."""

    what: What
    incident: Incident
    evidence_id: str
    version: int


def change_of(item: Evidence) -> IncidentChange:
    """The version of an incident that an `incident_record` with its body holds.

    Raises:
        LedgerError: It is of a newer version of this package, or was changed.
    """
    try:
        incident = Incident.model_validate(item.body)
    except ValidationError as error:
        raise LedgerError(
            f"The incident record {item.id[:12]} cannot be read by this version of aims-mlflow.",
            "Upgrade aims-mlflow, or run `aims verify` to see whether it was changed.",
        ) from error
    return IncidentChange(
        what=incident.event.what, incident=incident, evidence_id=item.id, version=item.version
    )


def incident_id(system: str, threshold: str, number: int) -> str:
    """The id that people use.

    >>> incident_id("credit-scoring", "dp-sex", 2)
    'credit-scoring/dp-sex#2'
    """
    return f"{system}/{threshold}#{number}"
