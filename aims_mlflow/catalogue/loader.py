"""Load the catalogue files into models, once per process."""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from typing import Any, Literal

import yaml
from pydantic import Field

from aims_mlflow.evidence import EvidenceKind, Frozen

#: The standard that every control id of this catalogue belongs to; ISO/IEC 27001 has the same ids.
STANDARD = "ISO/IEC 42001:2023"


class Area(Frozen):
    """One of the nine areas of Annex A."""

    id: str
    title: str
    control_count: int


class KindInfo(Frozen):
    """One evidence kind: what it means, at which level it stands and how it is captured."""

    kind: EvidenceKind
    meaning: str
    level: Literal["system", "run", "model_version", "dataset", "org", "supplier", "any"]
    capture: Literal["auto", "assisted", "manual"]
    capture_point: str


class Control(Frozen):
    """One of the 38 controls of Annex A, with the evidence that serves it."""

    id: str
    area: str
    title: str
    summary: str
    scope: Literal["org", "system", "model_version", "dataset", "supplier"]
    automation: Literal["auto", "assisted", "manual"]
    design_evidence: tuple[EvidenceKind, ...]
    operation_evidence: tuple[EvidenceKind, ...]
    max_age: str
    renew_on: tuple[str, ...]
    insufficient: tuple[str, ...]
    note: str = ""

    @property
    def reference(self) -> str:
        """The id with its standard, because ISO/IEC 27001 uses the same ids."""
        return f"{STANDARD} {self.id}"


class CardField(Frozen):
    """One field of a model card; where it comes from, and who fills it."""

    field: str
    section: str
    type: str
    required: str
    filled_by: Literal["machine", "human", "mixed"]
    meaning: str
    origins: dict[str, str] = Field(default_factory=dict)


class Catalogue(Frozen):
    """All of it. `security_kinds` are artifact kinds that never evidence an AI control alone."""

    areas: tuple[Area, ...]
    controls: tuple[Control, ...]
    kinds: tuple[KindInfo, ...]
    security_kinds: tuple[str, ...]
    card_fields: tuple[CardField, ...]

    def control(self, control_id: str) -> Control:
        """The control of this id.

        Raises:
            KeyError: No such control in Annex A.
        """
        return (
            next(c for c in self.controls if c.id == control_id)
            if self.has(control_id)
            else (_unknown(control_id))
        )

    def has(self, control_id: str) -> bool:
        """Whether Annex A has this id."""
        return any(c.id == control_id for c in self.controls)

    def kind(self, kind: EvidenceKind) -> KindInfo | None:
        """The entry of the vocabulary; None for a gap, which serves no control."""
        return next((k for k in self.kinds if k.kind == kind), None)


def read_yaml(name: str) -> dict[str, Any]:
    """One catalogue file as plain data, by its name without `.yaml`."""
    text = files("aims_mlflow.catalogue").joinpath(f"{name}.yaml").read_text("utf-8")
    data: dict[str, Any] = yaml.load(text, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader))
    return data


def _unknown(control_id: str) -> Control:
    raise KeyError(f"{control_id} is not a control of {STANDARD} Annex A")


@cache
def load_catalogue() -> Catalogue:
    """The catalogue, read once."""
    annex, evidence, card = map(read_yaml, ("annex_a", "evidence_map", "model_card_fields"))
    served = {row["id"]: row for row in evidence["controls"]}
    return Catalogue(
        areas=tuple(Area.model_validate(area) for area in annex["areas"]),
        controls=tuple(_control(row, served[row["id"]]) for row in annex["controls"]),
        kinds=tuple(KindInfo.model_validate(kind) for kind in evidence["vocabulary"]),
        security_kinds=tuple(evidence["security_kinds_never_sufficient"]),
        card_fields=tuple(CardField.model_validate(field) for field in card["fields"]),
    )


def _control(row: dict[str, Any], served: dict[str, Any]) -> Control:
    return Control(
        id=row["id"],
        area=row["area"],
        title=row["title"],
        summary=row["summary"],
        scope=served["scope"],
        automation=served["automation"],
        design_evidence=tuple(served["design_evidence"]),
        operation_evidence=tuple(served["operation_evidence"]),
        max_age=served["freshness"]["max_age"],
        renew_on=tuple(served["freshness"]["renew_on"]),
        insufficient=tuple(served["insufficient"]),
        note=served.get("note", ""),
    )
