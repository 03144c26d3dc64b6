"""What is watched of an AI system in production, from where, how often, and by which rules."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, Any, Literal
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BeforeValidator, Field, StringConstraints, model_validator
from pydantic_core import PydanticCustomError

from aims_mlflow.evidence import Frozen
from aims_mlflow.governance.durations import duration as duration
from aims_mlflow.governance.explain import OneMessage
from aims_mlflow.governance.metrics import MetricFamily
from aims_mlflow.governance.monitor_faults import monitor_faults
from aims_mlflow.governance.references import ERROR_TYPE
from aims_mlflow.governance.words import Range, Slug, Text

if TYPE_CHECKING:
    from aims_mlflow.governance.thresholds import Threshold

MonitorKind = Literal["drift", "quality", "bias", "performance", "operation", "custom"]
Engine = Literal["polars", "pandas", "duckdb", "pyarrow", "spark"]
#: The tests of drift, by the names that Evidently gives them.
DriftTest = Literal[
    "wasserstein", "jensenshannon", "psi", "ks", "chisquare", "z", "hellinger", "TVD"
]
_FAMILY: dict[MonitorKind, MetricFamily] = {
    "drift": MetricFamily.DRIFT,
    "quality": MetricFamily.QUALITY,
    "bias": MetricFamily.FAIRNESS,
    "performance": MetricFamily.PERFORMANCE,
    "operation": MetricFamily.OPERATION,
}


def _duration(text: str) -> str:
    duration(text)
    return text


def _cron(text: str) -> str:
    from datetime import UTC, datetime

    from cronsim import CronSim, CronSimError

    try:
        next(CronSim(text, datetime(2026, 1, 1, tzinfo=UTC)))
    except (CronSimError, StopIteration):
        raise ValueError(
            f"'{text[:50]}' is no cron expression (minute hour day month weekday) of a time that "
            'comes, for example "0 6 * * *" for every day at six'
        ) from None
    return text


def _zone(text: str) -> str:
    try:
        ZoneInfo(text)
    except (KeyError, ValueError, OSError):
        raise ValueError(
            f"'{text[:50]}' is no time zone of the IANA database, for example UTC or Europe/Berlin"
        ) from None
    return text


def _switch(given: Any) -> Any:
    return ("always" if given else "never") if isinstance(given, bool) else given


Category = Annotated[
    str | int | bool, OneMessage("category", "must be text, a whole number, true or false")
]
#: When an execution carries Evidently's page; `true` and `false` mean `always` and `never`.
EvidentlyReport = Annotated[
    Literal["always", "breach", "never"],
    OneMessage("evidently_report", "must be always, breach or never"),
    BeforeValidator(_switch),
]
Duration = Annotated[str, AfterValidator(_duration)]
Cron = Annotated[str, StringConstraints(strip_whitespace=True), AfterValidator(_cron)]


class ColumnTest(Frozen):
    """How drift of one column is tested, where Evidently's own choice is not wanted.

    `limit`: the column has drifted at a distance of at least this, or at a p-value below it.
    """

    test: DriftTest
    limit: float | None = Field(default=None, gt=0, allow_inf_nan=False)


class Expectation(Frozen):
    """What the values of one column are to be; anything else is out of range.

    `range` includes both ends. `categories` are all that may occur.
    """

    range: Range | None = None
    categories: tuple[Category, ...] | None = None

    @model_validator(mode="after")
    def _one(self) -> Expectation:
        if (self.range is None) == (self.categories is None):
            raise ValueError("needs exactly one of 'range' and 'categories'")
        if self.categories == ():
            raise ValueError("'categories' is empty: name all that may occur")
        return self


class ReferenceRule(Frozen):
    """Which data set that a run logs (`mlflow.log_input`) becomes its reference by itself.

    `dataset` is its name; counts below `min_count` are merged or pooled before they are saved.
    """

    dataset: Text
    target: Text | None = None
    prediction: Text | None = None
    min_count: int = Field(default=10, ge=1)


class Monitor(Frozen):
    """One monitor of an AI system.

    `current`, `reference` and `labels` are paths, globs, fsspec URLs, `sql:` and `delta:` sources
    (`monitors/sources.py`); `{date}`, `{start}`, `{end}` and `{hour}` in them stand for the
    window. Without a `reference` it is the one that was logged with the version in production.
    The window reaches from one time of the `schedule` to the next, unless `window` says how long
    it is; `labels_lag` moves it back by the time that labels need to arrive. `key` joins labels
    with predictions. `missed: catch_up` runs at most `max_catch_up` missed windows later, oldest
    first, and records the others as gaps; `gap` records all of them. `evidently_report` says which
    executions of a drift monitor carry Evidently's page.
    """

    id: Slug | None = None
    kind: MonitorKind
    schedule: Cron
    timezone: Annotated[str, AfterValidator(_zone)] = "UTC"
    current: Text | None = None
    reference: Text | None = None
    labels: Text | None = None
    key: tuple[Text, ...] = ()
    labels_lag: Duration | None = None
    window: Duration | None = None
    missed: Literal["catch_up", "gap"] = "catch_up"
    max_catch_up: int = Field(default=7, ge=1)
    target: Text | None = None
    prediction: Text | None = None
    score: Text | None = None
    timestamp: Text | None = None
    columns: tuple[Text, ...] = ()
    exclude: tuple[Text, ...] = ()
    tests: dict[Text, ColumnTest] = {}
    correction: Literal["none", "bonferroni", "benjamini_hochberg"] = "none"
    expect: dict[Text, Expectation] = {}
    latency: Text | None = None
    error: Text | None = None
    use: Text | None = None
    options: dict[Text, Any] = {}
    engine: Engine = "polars"
    timeout: Duration = "PT1H"
    evidently_report: EvidentlyReport = "always"
    playbook: Text | None = None

    @property
    def name(self) -> str:
        """Its id; the kind where it has none."""
        return self.id or self.kind

    @model_validator(mode="after")
    def _consistent(self) -> Monitor:
        told = "; ".join(fault.message for fault in monitor_faults(dict(self)))
        if told:
            raise PydanticCustomError(ERROR_TYPE, "{told}", {"told": told})
        return self

    def judges(self, threshold: Threshold) -> bool:
        """Whether this monitor holds its readings against the threshold."""
        if not threshold.judged_by_monitors:
            return False
        if threshold.monitor is not None:
            return threshold.monitor == self.name
        if self.kind == "custom" or threshold.family is None:
            return False
        # The worst value of a performance metric over groups is a matter of fairness.
        if threshold.family is MetricFamily.PERFORMANCE and threshold.feature is not None:
            return self.kind == "bias"
        return threshold.family is _FAMILY[self.kind]
