"""A model card as data: sections of statements, each measured, declared or missing.

Content only. How a card looks is the business of `aims_mlflow.model_card.formats`.
"""

from __future__ import annotations

from enum import StrEnum
from typing import Any, Literal

from aims_mlflow.evidence import EvidenceKind, Frozen, UtcDatetime
from aims_mlflow.governance.authorship import Authorship
from aims_mlflow.governance.card_text import Written
from aims_mlflow.model_card.bounds import plain
from aims_mlflow.readings import Verdict


class Status(StrEnum):
    """What a statement is: computed, stated by a person, or not provided."""

    MEASURED = "measured"
    DECLARED = "declared"
    MISSING = "missing"
    NOT_APPLICABLE = "not_applicable"


class EvidenceLink(Frozen):
    """A sealed fact that statements rest on.

    `content_digest` binds its content; the id of its version is in the stamp of the document.
    """

    kind: EvidenceKind
    subject: str
    content_digest: str


class Statement(Frozen):
    """One field of the card.

    `source` says where `value` came from: "MLflow run", "evaluation report", or file and line.
    `evidence` names the kinds of the card's evidence links that a measured value rests on;
    `authorship` who declared a declared one. `declared` is what a person stated beside a measured
    value, from `declared_source`. `fix` tells for a missing value what to add and where; for one
    that does not apply, why. `owner` is the person who answers for it.
    """

    field: str
    title: str
    section: str
    meaning: str
    status: Status
    required: bool
    value: Any = None
    source: str = ""
    evidence: tuple[EvidenceKind, ...] = ()
    authorship: Authorship | None = None
    declared: Any = None
    declared_source: str = ""
    declared_authorship: Authorship | None = None
    fix: str = ""
    owner: str | None = None


class Section(Frozen):
    """Statements that belong together, in the order of the catalogue."""

    id: str
    title: str
    statements: tuple[Statement, ...]


class Completeness(Frozen):
    """Counts over the required statements: `required` is the sum of the other three."""

    required: int
    measured: int
    declared: int
    missing: int


class KeyFigure(Frozen):
    """A number for the head of the card; `limit` and `verdict` where a threshold judged it."""

    metric: str
    value: float | None
    dataset: str | None = None
    feature: str | None = None
    n: int | None = None
    limit: str = ""
    verdict: Verdict | None = None


class About(Frozen):
    """What a reader must know first. `alerts` tell what is wrong with the run as a whole."""

    verdict: Verdict
    verdict_counts: dict[str, int]
    key_figures: tuple[KeyFigure, ...]
    alerts: tuple[str, ...]


class Card(Frozen):
    """The model card of one run."""

    schema_version: Literal["aims.model_card/1"] = "aims.model_card/1"
    run_id: str
    run_name: str
    experiment_name: str
    event_time: UtcDatetime
    title: str
    system: str | None
    system_name: str | None
    about: About
    sections: tuple[Section, ...]
    written: tuple[Written, ...] = ()
    evidence: tuple[EvidenceLink, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def statements(self) -> tuple[Statement, ...]:
        """All statements, in order."""
        return tuple(item for section in self.sections for item in section.statements)

    @property
    def missing(self) -> tuple[Statement, ...]:
        """The required statements that nobody provided."""
        return tuple(s for s in self.statements if s.required and s.status is Status.MISSING)

    @property
    def completeness(self) -> Completeness:
        """How many required statements are measured, declared and missing."""
        found = [item.status for item in self.statements if item.required]
        return Completeness(
            required=len(found),
            measured=found.count(Status.MEASURED),
            declared=found.count(Status.DECLARED),
            missing=found.count(Status.MISSING),
        )

    def statement(self, field: str) -> Statement:
        """The statement of a field.

        Raises:
            KeyError: The catalogue has no such field.
        """
        for item in self.statements:
            if item.field == field:
                return item
        raise KeyError(field)

    def body(self) -> dict[str, Any]:
        """The card as plain data; its evidence links stand under `rests_on`.

        NaN is left as it is: `aims_mlflow.evidence.normalise` turns it into text and notes that.
        """
        data: dict[str, Any] = plain(self)
        # In JSON, `evidence` is what seals the document itself.
        links = data.pop("evidence")
        return data | {"rests_on": links, "completeness": plain(self.completeness)}
