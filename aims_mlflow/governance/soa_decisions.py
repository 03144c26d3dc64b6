"""What people decide per control, and the documents that they point at: `governance/soa.yaml`."""

from __future__ import annotations

import datetime
from enum import StrEnum

from pydantic import field_validator, model_validator

from aims_mlflow.catalogue.loader import load_catalogue
from aims_mlflow.evidence import Frozen
from aims_mlflow.governance.words import Slug, Text


class Applicability(StrEnum):
    """Whether a control applies; `undecided` until somebody says so."""

    APPLICABLE = "applicable"
    NOT_APPLICABLE = "not_applicable"
    INHERITED = "inherited"
    UNDECIDED = "undecided"


class DeclaredItem(Frozen):
    """A document kept elsewhere that a person offers as evidence for one control.

    `kind` is a kind of the vocabulary, or a kind of security artifact, which is kept in order to
    be refused in the open. `system` is the AI system that it is about; without it, the
    organization. `date` is the date of the document, not of the entry.
    """

    kind: Text
    title: Text
    uri: Text | None = None
    date: datetime.date | None = None
    owner: Text | None = None
    system: Slug | None = None

    @field_validator("kind")
    @classmethod
    def _known(cls, value: str) -> str:
        catalogue = load_catalogue()
        allowed = [info.kind.value for info in catalogue.kinds]
        if value not in allowed and value not in catalogue.security_kinds:
            raise ValueError(f"unknown evidence kind '{value}'; allowed: {', '.join(allowed)}")
        return value


class SoaDecision(Frozen):
    """The decision on one control; its state is computed from evidence and never declared."""

    decision: Applicability = Applicability.UNDECIDED
    justification: Text | None = None
    owner: Text | None = None
    evidence: tuple[DeclaredItem, ...] = ()

    @model_validator(mode="after")
    def _justified(self) -> SoaDecision:
        if self.decision is Applicability.NOT_APPLICABLE and self.justification is None:
            raise ValueError("not_applicable needs a 'justification'")
        return self
