"""Score an aggregated evaluation: overall metrics, group tables and disparities."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aims_mlflow.governance.metrics import METRICS
from aims_mlflow.monitors.bias import disparities, group_table
from aims_mlflow.monitors.formulas import measure
from aims_mlflow.readings import Reading, Scores

if TYPE_CHECKING:
    from aims_mlflow.monitors.tables import EvaluationTable

#: Groups with fewer rows take no part in disparities, unless a threshold declares otherwise.
MIN_GROUP_SIZE = 30


def score(table: EvaluationTable, *, min_group_size: int = MIN_GROUP_SIZE) -> Scores:
    """Everything that an aggregated evaluation shows.

    Args:
        table: From `aggregate`.
        min_group_size: Groups with fewer rows are listed, and excluded from disparities.

    Returns:
        Metrics of all rows, of every group, and disparities. What is undefined has the value None
        and a reason; nothing undefined is 0.
    """
    return Scores(
        dataset=table.dataset,
        task=table.task,
        n=table.n,
        overall=overall(table),
        groups=tuple(group_table(table, counts, min_group_size) for counts in table.tables),
        disparities=disparities(table, min_group_size),
        labels=table.labels,
        confusion=tuple(
            (table.labels[true], table.labels[predicted], n)
            for true, predicted, n in table.overall.counts
        ),
        score_histogram=table.score_histogram,
        notes=table.notes,
    )


def overall(table: EvaluationTable) -> tuple[Reading, ...]:
    """The performance metrics of all rows, those of the table's task."""
    return tuple(
        Reading(
            metric=name,
            value=measured.value,
            n=table.n,
            dataset=table.dataset,
            reason=measured.reason,
        )
        for name, measured in measure(table, table.overall).items()
    )


def overall_metric(table: EvaluationTable, metric: str) -> Reading:
    """One performance metric of all rows; None, with the reason, where it means nothing here."""
    for reading in overall(table):
        if reading.metric == metric:
            return reading
    tasks = " and ".join(METRICS[metric].tasks)
    reason = f"{metric} applies to {tasks}, and this evaluation is {table.task}"
    return Reading(metric=metric, value=None, n=table.n, dataset=table.dataset, reason=reason)
