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


class Range(Frozen):
    """Numbers from `min` (included) to `max` (not included); one of them may be absent."""

    min: float | None = Field(default=None, allow_inf_nan=False)
    max: float | None = Field(default=None, allow_inf_nan=False)

    @model_validator(mode="after")
    def _bounded(self) -> Range:
        if self.min is None and self.max is None:
            raise ValueError("needs 'min', 'max' or both")
        return self


Scalar = str | int | float | bool


class Slice(Frozen):
    """A part of the evaluated rows that is measured by itself.

    `where` maps columns to what a row must hold: a value, one of a list of values, or a range
    `{min: ..., max: ...}`. Every condition must hold.
    """

    name: Text
    where: dict[Text, Scalar | tuple[Scalar, ...] | Range]

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


def _known_metric(value: str) -> str:
    if value not in METRICS:
        raise ValueError(f"unknown metric '{value}'; allowed: {', '.join(sorted(METRICS))}")
    return value


class Threshold(Frozen):
    """A declared limit: exactly one of `metric` and `logged_metric`, and `min`, `max` or both.

    `metric` is measured by this package from `log_evaluation`; `logged_metric` is the key of a
    metric that the training script itself logged to MLflow. `feature` names a declared sensitive
    feature, or several joined by ` x ` for their intersection; `slice` a declared slice;
    `perturbation` a declared perturbation, under which the metric is measured and may fall by
    `max_fall` at most; `scorer` a scorer of `mlflow.genai.evaluate`. `small_groups: insufficient`
    withholds a PASS while any group is below `min_group_size`; `exclude` judges the others alone
    and names the excluded ones.
    """

    id: Slug
    metric: Annotated[str, AfterValidator(_known_metric)] | None = None
    logged_metric: Text | None = None
    dataset: Text | None = None
    feature: Text | None = None
    slice: Text | None = None
    perturbation: Slug | None = None
    scorer: Text | None = None
    column: Text | None = None
    min: float | None = Field(default=None, allow_inf_nan=False)
    max: float | None = Field(default=None, allow_inf_nan=False)
    max_fall: float | None = Field(default=None, ge=0, allow_inf_nan=False)
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
        if self.max_fall is not None and self.perturbation is None:
            raise ValueError("'max_fall' needs the 'perturbation' under which the metric may fall")
        if self.max_fall is not None and (self.min is not None or self.max is not None):
            raise ValueError("needs either 'max_fall' or 'min' and 'max'")
        if self.max_fall is None and self.min is None and self.max is None:
            raise ValueError("needs 'min', 'max' or both")
        if self.min is not None and self.max is not None and self.min > self.max:
            raise ValueError(
                f"'min' ({self.min:g}) is above 'max' ({self.max:g}): nothing can pass"
            )
        if self.family is MetricFamily.FAIRNESS and self.feature is None:
            raise ValueError(f"metric '{self.metric}' compares groups: name the 'feature'")
        self._one_part()
        return self

    def _one_part(self) -> None:
        parts = ("feature", "slice", "perturbation", "scorer")
        named = [part for part in parts if getattr(self, part) is not None]
        if len(named) > 1:
            raise ValueError(f"needs one of {' and '.join(map(repr, named))}, not both")
        if named and self.metric is None:
            raise ValueError(f"'{named[0]}' needs a 'metric', not a 'logged_metric'")
        judged = bool(self.metric) and "genai" in METRICS[self.metric or ""].tasks
        if judged != (self.scorer is not None):
            missing = "name the 'scorer'" if judged else "'scorer' needs pass_rate or mean_score"
            raise ValueError(f"metric '{self.metric}': {missing}")

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
        """The limit as people write it: `>= 0.75`, `<= 0.1`, `0.8 to 1.25` or `fall <= 0.05`."""
        if self.max_fall is not None:
            return f"fall <= {self.max_fall:g}"
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
    slices: tuple[Slice, ...] = ()
    robustness: RobustnessPlan | None = None
    sweep: SweepRule | None = None
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
            ("slice", [s.name for s in self.slices]),
            ("perturbation", [p.id for p in self._perturbations]),
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
            self._declared(threshold, "slice", [s.name for s in self.slices])
            self._declared(threshold, "perturbation", [p.id for p in self._perturbations])
        return self

    def _declared(self, threshold: Threshold, key: str, names: list[str]) -> None:
        named = getattr(threshold, key)
        if named is not None and named not in names:
            raise ValueError(
                f"threshold '{threshold.id}' names the {key} '{named}', which is not declared "
                f"({', '.join(sorted(names)) or 'none is'})"
            )

    @property
    def _perturbations(self) -> tuple[Perturbation, ...]:
        return self.robustness.perturbations if self.robustness else ()

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
