"""One declared AI system: `governance/systems/<id>.yaml`."""

from __future__ import annotations

from datetime import date, timedelta
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any, Literal

from pydantic import (
    AfterValidator,
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
from aims_mlflow.governance.metrics import (
    EVALUATED_AT_TRAINING,
    METRICS,
    NO_DIRECTION,
    Metric,
    MetricFamily,
)
from aims_mlflow.governance.references import ERROR_TYPE, faults

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

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
        if self.min is not None and self.max is not None and self.min >= self.max:
            raise ValueError(
                f"'min' ({self.min:g}) is not below 'max' ({self.max:g}): no number is between them"
            )
        return self


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


def _within(metric: Metric, limit: float) -> bool:
    return (metric.low is None or limit >= metric.low) and (
        metric.high is None or limit <= metric.high
    )


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
        found = [*self._faults_of_limits(), *self._faults_of_parts()]
        if found:
            raise ValueError("; ".join(found))
        return self

    def _faults_of_limits(self) -> Iterator[str]:
        fall, least, most = self.max_fall, self.min, self.max
        if fall is not None and (least is not None or most is not None):
            yield "needs either 'max_fall' or 'min' and 'max'"
        if fall is None and least is None and most is None:
            yield "needs 'min', 'max' or both"
        if least is not None and most is not None and least > most:
            yield f"'min' ({least:g}) is above 'max' ({most:g}): nothing can pass"
        metric = METRICS.get(self.metric or "")
        if metric is None:
            return
        outside = f"is outside the range of metric '{metric.name}' ({metric.bounds})"
        for key, limit in (("min", least), ("max", most)):
            if limit is not None and not _within(metric, limit):
                yield f"'{key}' ({limit:g}) {outside}"
        if fall is not None and metric.low is not None and metric.high is not None:
            span = metric.high - metric.low
            if fall > span:
                yield (
                    f"'max_fall' ({fall:g}) is more than metric '{metric.name}' can fall ({span:g})"
                )

    def _faults_of_parts(self) -> Iterator[str]:
        parts = ("feature", "slice", "perturbation", "scorer")
        named = [part for part in parts if getattr(self, part) is not None]
        if (self.metric is None) == (self.logged_metric is None):
            yield "needs exactly one of 'metric' and 'logged_metric'"
        elif named and self.metric is None:
            yield f"'{named[0]}' needs a 'metric', not a 'logged_metric'"
        elif self.metric is not None:
            yield from self._faults_of_metric(METRICS[self.metric])
        if len(named) > 1:
            yield f"needs one of {' and '.join(map(repr, named))}, not both"
        if self.max_fall is not None and self.perturbation is None:
            yield "'max_fall' needs the 'perturbation' under which the metric may fall"

    def _faults_of_metric(self, metric: Metric) -> Iterator[str]:
        judged, fair = "genai" in metric.tasks, metric.family is MetricFamily.FAIRNESS
        of_rows = metric.family is MetricFamily.PERFORMANCE and not judged
        for part in ("slice", "perturbation"):
            if getattr(self, part) is not None and not of_rows:
                yield f"metric '{metric.name}' is not measured by '{part}'"
                return
        if self.max_fall is not None and metric.name in NO_DIRECTION:
            yield (
                f"neither a high nor a low {metric.name} is better, so it cannot fall: "
                "use 'min' and 'max'"
            )
        if fair and self.feature is None:
            yield f"metric '{metric.name}' compares groups: name the 'feature'"
        if judged != (self.scorer is not None):
            missing = "name the 'scorer'" if judged else "'scorer' needs pass_rate or mean_score"
            yield f"metric '{metric.name}': {missing}"

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
        """The limit as people write it: `>= 0.75`, `<= 0.1`, `0.2 to 0.4` or `fall <= 0.05`."""
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

    @model_validator(mode="after")
    def _referring(self) -> AISystem:
        parts = {"thresholds", "sensitive_features", "data", "slices", "robustness"}
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
