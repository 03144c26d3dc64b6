"""One declared AI system: `governance/systems/<id>.yaml`."""

from __future__ import annotations

from datetime import timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import (
    Discriminator,
    Field,
    StringConstraints,
    Tag,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticCustomError

from aims_mlflow.evidence import Frozen, canonical_bytes, digest, normalise
from aims_mlflow.governance.explain import CONDITIONS, OneMessage
from aims_mlflow.governance.monitoring import Monitor, ReferenceRule
from aims_mlflow.governance.references import ERROR_TYPE, faults
from aims_mlflow.governance.thresholds import Severity, Threshold
from aims_mlflow.governance.words import Range, Slug, Text

if TYPE_CHECKING:
    from collections.abc import Mapping


class Role(StrEnum):
    """The organization's role for an AI system, after ISO/IEC 42001 clause 4.1."""

    PROVIDER = "provider"
    PRODUCER = "producer"
    CUSTOMER = "customer"
    USER = "user"
    PARTNER = "partner"


class RiskTier(StrEnum):
    """How much harm the system could do; the organization's own classification."""

    MINIMAL = "minimal"
    LIMITED = "limited"
    HIGH = "high"
    UNACCEPTABLE = "unacceptable"


class Person(Frozen):
    """A named person who answers for something."""

    name: Text
    email: Text | None = None


class MlflowClaim(Frozen):
    """The MLflow experiments and registered models that belong to this system."""

    experiments: tuple[Text, ...] = ()
    registered_models: tuple[Text, ...] = ()
    production_alias: Text | None = None


class SensitiveFeature(Frozen):
    """A protected attribute. Numeric ones name the inner edges of their groups in `bins`.

    `bins: [25, 40]` makes the groups `<25`, `25-40` (25 included, 40 not) and `>=40`.
    """

    name: Text
    bins: tuple[float, ...] | None = None

    @field_validator("bins")
    @classmethod
    def _ascending(cls, value: tuple[float, ...] | None) -> tuple[float, ...] | None:
        if value is not None and (not value or list(value) != sorted(set(value))):
            raise ValueError("must be ascending numbers without repetition, for example [25, 40]")
        return value


Scalar = str | int | Annotated[float, Field(allow_inf_nan=False)] | bool


def _condition_kind(value: Any) -> str:
    return "range" if isinstance(value, Range | dict) else "values"


#: What a row must hold in one column. A block of keys is a range and nothing else, so that a
#: fault in it is told as that; the alternatives of the rest would each complain by themselves.
Condition = Annotated[
    Annotated[Range, Tag("range")]
    | Annotated[
        Annotated[
            Scalar | tuple[Scalar, ...],
            OneMessage("condition", f"must be {CONDITIONS}"),
        ],
        Tag("values"),
    ],
    Discriminator(_condition_kind),
]


class Slice(Frozen):
    """A part of the evaluated rows that is measured by itself.

    `where` maps columns to what a row must hold: a value, one of a list of values, or a range
    `{min: ..., max: ...}`. Every condition must hold.
    """

    name: Text
    where: dict[Text, Condition]

    @field_validator("where")
    @classmethod
    def _conditions(cls, value: Mapping[str, Any]) -> Mapping[str, Any]:
        if not value or any(condition == () for condition in value.values()):
            raise ValueError(
                "must name at least one column and a value, for example {hour: [7, 8]}"
            )
        return value


class Perturbation(Frozen):
    """A change of the inputs that the model should withstand.

    `amount` is the noise in standard deviations of the column, the share of values that go
    missing or are swapped, or the decimals that rounding keeps; a permutation needs none.
    `columns` are all that the kind applies to, unless named.
    """

    id: Slug
    kind: Literal["noise", "missing", "category_swap", "rounding", "permutation"]
    amount: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    columns: tuple[Text, ...] | None = None

    @model_validator(mode="after")
    def _measured_out(self) -> Perturbation:
        if self.kind != "permutation" and self.amount is None:
            raise ValueError(f"kind '{self.kind}' needs an 'amount'")
        if self.kind in ("missing", "category_swap") and (self.amount or 0) > 1:
            raise ValueError("'amount' is a share of the values, from 0 to 1")
        if self.kind == "rounding" and self.amount != int(self.amount or 0):
            raise ValueError("'amount' is the number of decimals that are kept, a whole number")
        if self.kind == "permutation" and self.amount is not None:
            raise ValueError("a permutation moves every value of a column: it has no 'amount'")
        if self.kind != "rounding" and self.amount == 0:
            raise ValueError(f"kind '{self.kind}' with the 'amount' 0 changes nothing")
        if self.columns == ():
            raise ValueError("'columns' is empty: name some, or remove it for all of them")
        return self


class RobustnessPlan(Frozen):
    """What `evaluate_robustness` does where the call names nothing else."""

    perturbations: tuple[Perturbation, ...] = ()
    max_rows: int = Field(default=10_000, ge=1)
    seed: int = Field(default=0, ge=0)


class SweepRule(Frozen):
    """Which candidate of a sweep gets the full card; the others keep a digest.

    `best` takes the candidate with the best `metric`, a key that the runs logged to MLflow;
    `registered` the ones that became a model version; `all` gives every candidate a card. A run
    tag `aims.chosen` overrides the rule. Parents with fewer than `min_runs` child runs are no
    sweep.
    """

    chosen: Literal["best", "registered", "all"]
    metric: Text | None = None
    mode: Literal["min", "max"] | None = None
    min_runs: int = Field(default=10, ge=2)

    @model_validator(mode="after")
    def _comparable(self) -> SweepRule:
        if self.chosen == "best" and (self.metric is None or self.mode is None):
            raise ValueError("'chosen: best' needs 'metric' (a logged key) and 'mode' (min or max)")
        return self


class DeclaredData(Frozen):
    """What people know of a dataset and no tool can measure.

    `name` is the name under which runs log it; `retention` is an ISO 8601 duration (P5Y).
    """

    name: Text
    source: Text | None = None
    purpose: Text | None = None
    lawful_basis: Text | None = None
    licence: Text | None = None
    retention: (
        Annotated[str, StringConstraints(pattern=r"^P(\d+Y)?(\d+M)?(\d+W)?(\d+D)?$")] | None
    ) = None
    sensitive: bool | None = None
    collected: Text | None = None
    labelling: Text | None = None
    known_bias: Text | None = None


class Gate(Frozen):
    """What a model version must show before one of `aliases` moves to it."""

    aliases: tuple[Text, ...] = ()
    require: tuple[Text, ...] = ()


class IncidentRule(Frozen):
    """When an incident closes without a person: after so many windows in a row that passed.

    Without `close_after`, only people close incidents.
    """

    close_after: int | None = Field(default=None, ge=1)


class AISystem(Frozen):
    """An AI system as its owners declare it. Only `id` and `name` are required.

    What is left out is never invented: it reads "missing" on the card, with the key to fill.
    `card` holds the fields of a model card that only people can write, by the names of
    `catalogue/model_card_fields.yaml`.
    """

    id: Slug
    name: Text
    owner: Person | None = None
    roles: tuple[Role, ...] = ()
    intended_use: Text | None = None
    out_of_scope_uses: tuple[Text, ...] = ()
    risk_tier: RiskTier | None = None
    human_oversight: Text | None = None
    mlflow: MlflowClaim = MlflowClaim()
    sensitive_features: tuple[SensitiveFeature, ...] = ()
    slices: tuple[Slice, ...] = ()
    robustness: RobustnessPlan | None = None
    sweep: SweepRule | None = None
    positive_label: str | int | bool | None = None
    data: tuple[DeclaredData, ...] = ()
    thresholds: tuple[Threshold, ...] = ()
    reference: ReferenceRule | None = None
    monitors: tuple[Monitor, ...] = ()
    on_breach: dict[Severity, Literal["alert", "propose", "rollback"]] = {}
    incidents: IncidentRule | None = None
    gate: Gate | None = None
    card: dict[str, Any] = {}

    @model_validator(mode="after")
    def _referring(self) -> AISystem:
        parts = {
            "thresholds",
            "sensitive_features",
            "data",
            "slices",
            "robustness",
            "monitors",
        }
        found = faults({**self.model_dump(mode="json", include=parts), "card": self.card})
        told = [
            f"{fault.message} ({', '.join(fault.known)})" if fault.known else fault.message
            for fault in found
        ]
        if told:
            raise PydanticCustomError(ERROR_TYPE, "{told}", {"told": "; ".join(told)})
        return self

    def digest(self) -> str:
        """SHA-256 of the declaration as data; comments and key order do not count."""
        return digest(canonical_bytes(normalise(dict(self))[0]))

    def feature(self, name: str) -> SensitiveFeature | None:
        """The declared sensitive feature of this name."""
        return next((f for f in self.sensitive_features if f.name == name), None)


def months(duration: str) -> timedelta:
    """An ISO 8601 date duration as days, a month counted as 30.44 and a year as 365.25 days.

    >>> months("P12M").days
    365
    """
    import re

    match = re.fullmatch(r"P(?:(\d+)Y)?(?:(\d+)M)?(?:(\d+)W)?(?:(\d+)D)?", duration)
    if match is None or not any(match.groups()):
        raise ValueError(f"'{duration}' is not an ISO 8601 duration such as P12M or P31D")
    years, month, weeks, days = (int(g or 0) for g in match.groups())
    return timedelta(days=years * 365.25 + month * 30.4375 + weeks * 7 + days)
