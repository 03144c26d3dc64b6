"""One declared AI system: `governance/systems/<id>.yaml`."""

from __future__ import annotations

from datetime import date, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import AfterValidator, Field, StringConstraints, field_validator, model_validator

from aims_mlflow.catalogue.loader import load_catalogue
from aims_mlflow.evidence import Frozen, canonical_bytes, digest, normalise
from aims_mlflow.governance.metrics import EVALUATED_AT_TRAINING, METRICS, MetricFamily

if TYPE_CHECKING:
    from collections.abc import Mapping

#: A system id: lower-case letters, digits and single hyphens, as in `credit-scoring`.
SLUG = r"^[a-z0-9]+(?:-[a-z0-9]+)*$"
Slug = Annotated[str, StringConstraints(pattern=SLUG, max_length=64)]
Text = Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]


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


class Severity(StrEnum):
    """How serious a breach of a threshold is."""

    MINOR = "minor"
    MAJOR = "major"
    CRITICAL = "critical"


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


def _known_metric(value: str) -> str:
    if value not in METRICS:
        raise ValueError(f"unknown metric '{value}'; allowed: {', '.join(sorted(METRICS))}")
    return value


class Threshold(Frozen):
    """A declared limit: exactly one of `metric` and `logged_metric`, and `min`, `max` or both.

    `metric` is measured by this package from `log_evaluation`; `logged_metric` is the key of a
    metric that the training script itself logged to MLflow. `feature` names a declared sensitive
    feature, or several joined by ` x ` for their intersection. `small_groups: insufficient`
    withholds a PASS while any group is below `min_group_size`; `exclude` judges the others alone
    and names the excluded ones.
    """

    id: Slug
    metric: Annotated[str, AfterValidator(_known_metric)] | None = None
    logged_metric: Text | None = None
    dataset: Text | None = None
    feature: Text | None = None
    column: Text | None = None
    min: float | None = Field(default=None, allow_inf_nan=False)
    max: float | None = Field(default=None, allow_inf_nan=False)
    min_group_size: int = Field(default=30, ge=1)
    min_rows: int = Field(default=30, ge=1)
    small_groups: Literal["insufficient", "exclude"] = "insufficient"
    severity: Severity = Severity.MAJOR
    reason: Text | None = None
    approved_by: Text | None = None
    review_by: date | None = None

    @model_validator(mode="after")
    def _consistent(self) -> Threshold:
        if (self.metric is None) == (self.logged_metric is None):
            raise ValueError("needs exactly one of 'metric' and 'logged_metric'")
        if self.min is None and self.max is None:
            raise ValueError("needs 'min', 'max' or both")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(
                f"'min' ({self.min:g}) is above 'max' ({self.max:g}): nothing can pass"
            )
        if self.family is MetricFamily.FAIRNESS and self.feature is None:
            raise ValueError(f"metric '{self.metric}' compares groups: name the 'feature'")
        return self

    @property
    def family(self) -> MetricFamily | None:
        """The family of `metric`; None for a `logged_metric`."""
        return METRICS[self.metric].family if self.metric else None

    @property
    def judged_on_runs(self) -> bool:
        """Whether a training run can answer it; the others wait for a monitor."""
        return self.family is None or self.family in EVALUATED_AT_TRAINING

    @property
    def features(self) -> tuple[str, ...]:
        """The sensitive features that `feature` names: `"sex x race"` gives both."""
        return tuple(part.strip() for part in self.feature.split(" x ")) if self.feature else ()

    @property
    def limit(self) -> str:
        """The limit as people write it: `>= 0.75`, `<= 0.1` or `0.8 to 1.25`."""
        if self.min is not None and self.max is not None:
            return f"{self.min:g} to {self.max:g}"
        return f">= {self.min:g}" if self.min is not None else f"<= {self.max:g}"


class MonitorSchedule(Frozen):
    """What is watched and when; read by the monitoring jobs."""

    kind: Literal["drift", "bias", "quality", "performance", "operation"]
    schedule: Text
    current: Text | None = None
    reference: Text | None = None
    labels_lag: (
        Annotated[str, StringConstraints(pattern=r"^P(\d+W)?(\d+D)?(T(\d+H)?(\d+M)?)?$")] | None
    ) = None


class Gate(Frozen):
    """What a model version must show before one of `aliases` moves to it."""

    aliases: tuple[Text, ...] = ()
    require: tuple[Text, ...] = ()


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
    positive_label: str | int | bool | None = None
    data: tuple[DeclaredData, ...] = ()
    thresholds: tuple[Threshold, ...] = ()
    monitors: tuple[MonitorSchedule, ...] = ()
    on_breach: dict[Severity, Literal["alert", "propose", "rollback"]] = {}
    gate: Gate | None = None
    card: dict[str, Any] = {}

    @field_validator("card")
    @classmethod
    def _known_fields(cls, value: Mapping[str, Any]) -> Mapping[str, Any]:
        allowed = {f.field for f in load_catalogue().card_fields if f.filled_by != "machine"}
        for name in value:
            if name not in allowed:
                raise ValueError(
                    f"unknown card field '{name}'; allowed: {', '.join(sorted(allowed))}"
                )
        return value

    @model_validator(mode="after")
    def _unique(self) -> AISystem:
        for what, names in (
            ("threshold id", [t.id for t in self.thresholds]),
            ("sensitive feature", [f.name for f in self.sensitive_features]),
            ("dataset name", [d.name for d in self.data]),
        ):
            twice = sorted({name for name in names if names.count(name) > 1})
            if twice:
                raise ValueError(f"{what} declared twice: {', '.join(twice)}")
        declared = {f.name for f in self.sensitive_features}
        for threshold in self.thresholds:
            unknown = [f for f in threshold.features if f not in declared]
            if unknown:
                raise ValueError(
                    f"threshold '{threshold.id}' names the feature '{unknown[0]}', which is not "
                    f"among sensitive_features ({', '.join(sorted(declared)) or 'none declared'})"
                )
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
