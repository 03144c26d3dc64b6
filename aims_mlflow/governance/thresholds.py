"""Declared limits: what a metric of one AI system may be."""

from __future__ import annotations

from datetime import date
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Literal

from pydantic import AfterValidator, Field, model_validator

from aims_mlflow.evidence import Frozen
from aims_mlflow.governance.metrics import (
    EVALUATED_AT_TRAINING,
    METRICS,
    NO_DIRECTION,
    Metric,
    MetricFamily,
)
from aims_mlflow.governance.words import Slug, Text

if TYPE_CHECKING:
    from collections.abc import Iterator


class Severity(StrEnum):
    """How serious a breach of a threshold is."""

    MINOR = "minor"
    MAJOR = "major"
    CRITICAL = "critical"


def _within(metric: Metric, limit: float) -> bool:
    return (metric.low is None or limit >= metric.low) and (
        metric.high is None or limit <= metric.high
    )


def _known_metric(value: str) -> str:
    if value not in METRICS:
        raise ValueError(f"unknown metric '{value}'; allowed: {', '.join(sorted(METRICS))}")
    return value


#: Families whose metrics may be of one column.
_OF_COLUMNS = frozenset({MetricFamily.DRIFT, MetricFamily.QUALITY})
#: Metrics that grow with the window, so that no other data are to be compared with.
_COUNTS = frozenset({"row_count", "request_count"})


class Threshold(Frozen):
    """A declared limit: one of `metric`, `logged_metric` and `custom_metric`, and `min` or `max`.

    `metric` is measured by this package; `logged_metric` is the key of a metric that the training
    script itself logged to MLflow; `custom_metric` a reading of the custom `monitor`. `feature`
    names a declared sensitive feature, or several joined by ` x ` for their intersection; `slice` a
    declared slice; `perturbation` a declared perturbation, under which the metric is measured and
    may fall by `max_fall` at most; `scorer` a scorer of `mlflow.genai.evaluate`. `small_groups:
    insufficient` withholds a PASS while any group is below `min_group_size`; `exclude` judges the
    others alone and names the excluded ones.

    Monitors judge drift, quality and operation, and performance and fairness too unless a
    `dataset` is named; `stage` restricts it to `evaluation` (training runs) or `monitoring`.
    `max_change` limits how far the value may lie from that of the reference, or of the version in
    production when it was evaluated (`change_from`); a count of rows has no such value. An incident
    opens after so many `breaches` in a row. It holds from `valid_from` to `valid_until`, both
    included.
    """

    id: Slug
    metric: Annotated[str, AfterValidator(_known_metric)] | None = None
    logged_metric: Text | None = None
    custom_metric: Text | None = None
    monitor: Slug | None = None
    stage: Literal["evaluation", "monitoring"] | None = None
    dataset: Text | None = None
    feature: Text | None = None
    slice: Text | None = None
    perturbation: Slug | None = None
    scorer: Text | None = None
    column: Text | None = None
    min: float | None = Field(default=None, allow_inf_nan=False)
    max: float | None = Field(default=None, allow_inf_nan=False)
    max_fall: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    max_change: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    change_from: Literal["reference", "production"] = "reference"
    breaches: int = Field(default=1, ge=1)
    valid_from: date | None = None
    valid_until: date | None = None
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
        for key, change in (("max_fall", fall), ("max_change", self.max_change)):
            if change is not None and (least is not None or most is not None):
                yield f"needs either '{key}' or 'min' and 'max'"
        if fall is not None and self.max_change is not None:
            yield "needs one of 'max_fall' and 'max_change', not both"
        if fall is None and self.max_change is None and least is None and most is None:
            yield "needs 'min', 'max' or both"
        if self.valid_from and self.valid_until and self.valid_from > self.valid_until:
            yield f"'valid_from' ({self.valid_from}) is after 'valid_until' ({self.valid_until})"
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
        sources = (self.metric, self.logged_metric, self.custom_metric)
        if sum(source is not None for source in sources) != 1:
            yield "needs exactly one of 'metric', 'logged_metric' and 'custom_metric'"
        elif named and self.metric is None:
            other = "logged_metric" if self.logged_metric else "custom_metric"
            yield f"'{named[0]}' needs a 'metric', not a '{other}'"
        elif self.metric is not None:
            yield from self._faults_of_metric(METRICS[self.metric])
        if len(named) > 1:
            yield f"needs one of {' and '.join(map(repr, named))}, not both"
        if self.max_fall is not None and self.perturbation is None:
            yield "'max_fall' needs the 'perturbation' under which the metric may fall"
        yield from self._faults_of_monitoring()

    def _faults_of_monitoring(self) -> Iterator[str]:
        if self.custom_metric is not None and self.monitor is None:
            yield "'custom_metric' needs the 'monitor' that reads it"
        if self.stage == "monitoring" and not self.judged_by_monitors:
            yield "'stage: monitoring' needs a metric that monitors measure, and no 'dataset'"
        if self.stage == "evaluation" and not self.judged_on_runs:
            yield "'stage: evaluation' needs a metric that training runs measure"
        for key in ("max_change", "monitor"):
            if getattr(self, key) is not None and not self.judged_by_monitors:
                yield f"'{key}' is for monitors, which judge no threshold with {self._unmonitored}"
        if self.max_change is not None and self.metric in _COUNTS:
            yield (
                f"metric '{self.metric}' counts the rows of one window, and other data say nothing "
                "of how many there should be: use 'min' and 'max', not 'max_change'"
            )
        if self.change_from == "production" and self.max_change is None:
            yield "'change_from' needs 'max_change': by how much it may change"
        of_column = self.family in _OF_COLUMNS or self.custom_metric is not None
        if self.column is not None and not of_column:
            yield "'column' needs a metric of drift or data quality, or a 'custom_metric'"
        if self.metric == "column_drift" and self.column is None:
            yield "metric 'column_drift' needs the 'column'"

    @property
    def _unmonitored(self) -> str:
        """The key because of which no monitor judges it."""
        keys = ("logged_metric", "dataset", "scorer", "perturbation")
        found = next((key for key in keys if getattr(self, key) is not None), None)
        return "'stage: evaluation'" if found is None else f"'{found}'"

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
        """Whether a training run can answer it."""
        if self.stage == "monitoring" or self.max_change is not None or self.monitor is not None:
            return False
        if self.custom_metric is not None:
            return False
        return self.family is None or self.family in EVALUATED_AT_TRAINING

    @property
    def judged_by_monitors(self) -> bool:
        """Whether a monitor can answer it."""
        if self.custom_metric is not None:
            return True
        if self.stage == "evaluation" or self.metric is None or self.dataset is not None:
            return False
        return self.scorer is None and self.perturbation is None

    @property
    def subject(self) -> str:
        """The name of what it limits: the metric, the logged key or the custom reading."""
        return self.metric or self.logged_metric or self.custom_metric or ""

    @property
    def features(self) -> tuple[str, ...]:
        """The sensitive features that `feature` names: `"sex x race"` gives both."""
        return tuple(part.strip() for part in self.feature.split(" x ")) if self.feature else ()

    @property
    def limit(self) -> str:
        """The limit as people write it: `>= 0.75`, `0.2 to 0.4` or `fall <= 0.05`."""
        if self.max_fall is not None:
            return f"fall <= {self.max_fall:g}"
        if self.max_change is not None:
            origin = "reference" if self.change_from == "reference" else "version in production"
            return f"change <= {self.max_change:g} from the {origin}"
        if self.min is not None and self.max is not None:
            return f"{self.min:g} to {self.max:g}"
        return f">= {self.min:g}" if self.min is not None else f"<= {self.max:g}"
