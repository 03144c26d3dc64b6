"""What a monitor found: its window, its sources, its readings and its verdicts."""

from __future__ import annotations

from typing import Any, Literal

from pydantic import model_validator

from aims_mlflow.evidence import EvidenceKind, Frozen, UtcDatetime, isoformat
from aims_mlflow.readings import Judgement, Scores, Verdict

#: What the report of each kind of monitor is sealed as.
EVIDENCE_KINDS: dict[str, EvidenceKind] = {
    "drift": EvidenceKind.DRIFT_REPORT,
    "quality": EvidenceKind.DATA_QUALITY_REPORT,
    "bias": EvidenceKind.BIAS_REPORT,
    "performance": EvidenceKind.EVALUATION_REPORT,
    "operation": EvidenceKind.EVENT_LOG,
    "custom": EvidenceKind.EVENT_LOG,
}


class Window(Frozen):
    """The time that a monitor looks at: `start` included, `end` not."""

    start: UtcDatetime
    end: UtcDatetime

    @model_validator(mode="after")
    def _ordered(self) -> Window:
        if self.start >= self.end:
            raise ValueError(f"starts ({self.start}) not before it ends ({self.end})")
        return self

    @property
    def key(self) -> str:
        """What tells it from the monitor's other windows: its end, RFC 3339 in UTC."""
        return isoformat(self.end)


class ObservedData(Frozen):
    """Data that was read: from where, with what, and how much.

    `role` is `current`, `reference` or `labels`. `uri` shows no password. `summary_sha256` is the
    digest of the count tables made of it (absent where none were). `scans` says what each pass
    over the data was for; empty for statistics that were saved before. `model` is the model
    version or the run that a saved reference belongs to.
    """

    role: Literal["current", "reference", "labels"]
    uri: str
    engine: str
    rows: int | None
    columns: int | None = None
    summary_sha256: str | None = None
    scans: tuple[str, ...] = ()
    model: str | None = None
    notes: tuple[str, ...] = ()


class MonitorReading(Frozen):
    """One measured value of one monitor.

    `value` is None where nothing could be measured, and `reason` says why. `n` rows of `n_total`
    are behind it; fewer only where rows were sampled (with `seed`) or lack a value. `error_bound`
    is the largest amount by which `value` can differ from that of the raw rows. `reference` is
    the same metric of the reference, for metrics of one data set, `reference_bound` how far that
    may be off and `reference_n` its rows. `test` names a drift test as Evidently does, `limit` is
    where that test itself says drift and `drifted` whether it does. `p_value` is the test's, where
    it has one.
    """

    metric: str
    value: float | None
    n: int | None = None
    n_total: int | None = None
    column: str | None = None
    feature: str | None = None
    slice: str | None = None
    seed: int | None = None
    error_bound: float = 0
    reference: float | None = None
    reference_bound: float = 0
    reference_n: int | None = None
    test: str = ""
    limit: float | None = None
    p_value: float | None = None
    drifted: bool | None = None
    reason: str = ""
    detail: str = ""
    excluded: tuple[str, ...] = ()

    @property
    def key(self) -> str:
        """The metric and what it is of: `column_drift/age`, `accuracy/slice night`."""
        parts = [self.metric, self.column, self.feature]
        if self.slice is not None:
            parts.append(f"slice {self.slice}")
        return "/".join(part for part in parts if part)


class ColumnComparison(Frozen):
    """The distributions of one column, for the report: shares of the reference and the current.

    `labels` name categories or bins; the shares add up to 1 at most, the rest is in no bin.
    """

    column: str
    kind: Literal["numeric", "categorical"]
    labels: tuple[str, ...]
    reference: tuple[float, ...] = ()
    current: tuple[float, ...] = ()


class MonitoringReport(Frozen):
    """One execution of one monitor: what is sealed, and what the documents are rendered from.

    `threshold_config` is the content digest of the system's declaration that was in force.
    `model_version` is the version in production at that time, as `name/version`. `given` names the
    sources that a person gave in place of the declared ones: such a report may show a breach, and
    never a recovery. `problems` are what could not be read or measured; each withholds a PASS from
    what depends on it. `scores` are those of a bias or performance monitor.
    """

    schema_version: Literal["aims.monitoring_report/1"] = "aims.monitoring_report/1"
    system_id: str
    monitor: str
    kind: str
    window: Window
    verdict: Verdict
    readings: tuple[MonitorReading, ...] = ()
    judgements: tuple[Judgement, ...] = ()
    data: tuple[ObservedData, ...] = ()
    comparisons: tuple[ColumnComparison, ...] = ()
    scores: tuple[Scores, ...] = ()
    declared: dict[str, Any] = {}
    threshold_config: str | None = None
    model_version: str | None = None
    given: tuple[str, ...] = ()
    run_id: str | None = None
    problems: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def body(self) -> dict[str, Any]:
        """What is sealed, before `normalise`: everything but the run that carries it."""
        return self.model_dump(exclude={"run_id"})
