"""What production shows once labels have arrived: performance, calibration, bias, as readings."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aims_mlflow.monitored import MonitorReading
from aims_mlflow.monitors.baselines import comparable, of_all_rows, of_disparity, of_slice
from aims_mlflow.monitors.formulas import performance_metrics
from aims_mlflow.monitors.performance import MIN_GROUP_SIZE, row_readings
from aims_mlflow.readings import LEVEL

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from aims_mlflow.monitors.baselines import BaselineValue
    from aims_mlflow.monitors.tables import CountRow, EvaluationTable
    from aims_mlflow.readings import Reading, Scores


def production_readings(
    scores: Scores,
    table: EvaluationTable,
    *,
    baseline: Scores | None = None,
    min_group_size: int = MIN_GROUP_SIZE,
    n_total: int | None = None,
) -> tuple[MonitorReading, ...]:
    """Every metric of production, beside that of the version in production when it was evaluated.

    Args:
        scores: What `performance.score` made of the table.
        table: From `count_evaluation`.
        baseline: The evaluation of the version in production. One of another task or with another
            positive label is compared with nothing.
        min_group_size: Slices with fewer rows are not measured.
        n_total: The rows of the window, those without a label included.

    Returns:
        The performance metrics of all rows and of each slice (calibration among them), and the
        disparities of each feature and combination. `reference` is the baseline's value. What
        could not be measured has the value None and the reason.
    """
    same = comparable(baseline, table.task, table.positive_label) == ""
    then = baseline if same else None
    return (
        *_overall(scores, table, then, n_total),
        *_slices(table, then, min_group_size),
        *_absent_slices(table),
        *_disparities(scores, then, n_total),
    )


def _overall(
    scores: Scores, table: EvaluationTable, then: Scores | None, n_total: int | None
) -> Iterator[MonitorReading]:
    for reading in scores.overall:
        before = of_all_rows(then, reading.metric) if then else None
        bounds = table.overall.bounds
        yield _reading(reading, before, n_total=n_total, bounds=bounds)


def _slices(
    table: EvaluationTable, then: Scores | None, min_group_size: int
) -> Iterator[MonitorReading]:
    for row in table.slices.rows if table.slices else ():
        name = row.group["slice"]
        few = _too_few(row, min_group_size)
        for reading in row_readings(table, row):
            before = of_slice(then, reading.metric, name) if then else None
            if few:
                reading = reading.model_copy(update={"value": None, "reason": few})
            yield _reading(reading, before, slice_name=name, bounds=row.bounds)


def _absent_slices(table: EvaluationTable) -> Iterator[MonitorReading]:
    for name, columns in table.absent_slices.items():
        reason = f"the data have no column {', '.join(map(repr, columns))}"
        for metric in performance_metrics(table.task):
            yield MonitorReading(metric=metric, value=None, slice=name, reason=reason)


def _disparities(
    scores: Scores, then: Scores | None, n_total: int | None
) -> Iterator[MonitorReading]:
    for reading in scores.disparities:
        features = (reading.feature or "").split(" x ")
        before = of_disparity(then, reading.metric, features) if then else None
        yield _reading(reading, before, n_total=n_total)


def _reading(
    reading: Reading,
    before: BaselineValue | None,
    *,
    slice_name: str | None = None,
    n_total: int | None = None,
    bounds: Mapping[str, float] | None = None,
) -> MonitorReading:
    measured = reading.value is not None
    return MonitorReading(
        metric=reading.metric,
        value=reading.value,
        n=reading.n,
        n_total=n_total,
        feature=reading.feature,
        slice=slice_name,
        error_bound=(bounds or {}).get(reading.metric, 0.0) if measured else 0.0,
        reference=before.value if before else None,
        reference_n=before.n if before else None,
        reason=reading.reason,
        detail=_detail(reading),
        excluded=reading.excluded,
    )


def _detail(reading: Reading) -> str:
    """The groups that decide, and the interval."""
    parts = list(reading.groups)
    interval = reading.interval
    if interval is not None and reading.value is not None:
        ends = f"{interval.low:.4g} to {interval.high:.4g}"
        parts.append(f"{LEVEL * 100:g} % interval {ends} ({interval.method})")
    return "; ".join(parts)


def _too_few(row: CountRow, min_group_size: int) -> str:
    if row.n >= min_group_size and not row.suppressed:
        return ""
    return f"the slice has {row.n} rows, below {min_group_size}"
