"""Score an aggregated evaluation: overall metrics, classes, groups, slices and disparities."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aims_mlflow.governance.metrics import METRICS
from aims_mlflow.monitors.bias import disparities, group_table
from aims_mlflow.monitors.calibration import calibration, threshold_curve
from aims_mlflow.monitors.formulas import by_class, measure
from aims_mlflow.monitors.intervals import METHODS, closed_intervals, row_intervals
from aims_mlflow.readings import GroupRow, GroupTable, Interval, Reading, Scores

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from aims_mlflow.monitors.tables import CountRow, EvaluationTable

#: Groups with fewer rows take no part in disparities, unless a threshold declares otherwise.
MIN_GROUP_SIZE = 30


def score(
    table: EvaluationTable,
    *,
    min_group_size: int = MIN_GROUP_SIZE,
    sizes: Mapping[frozenset[str], int] | None = None,
) -> Scores:
    """Everything that an aggregated evaluation shows.

    Args:
        table: From `aggregate`.
        min_group_size: Groups with fewer rows are listed, and excluded from disparities.
        sizes: Another such number for the groups of some features or combinations of them.

    Returns:
        Metrics of all rows, of every class, group and slice, and disparities, with 95 % intervals
        where there is one. What is undefined has the value None and a reason; nothing undefined
        is 0.
    """
    readings = overall(table)
    asked = {
        counts.features: (sizes or {}).get(frozenset(counts.features), min_group_size)
        for counts in table.tables
    }
    histogram = table.score_histogram
    return Scores(
        dataset=table.dataset,
        task=table.task,
        n=table.n,
        overall=readings,
        classes=_classes(table, min_group_size),
        groups=tuple(group_table(table, found, asked[found.features]) for found in table.tables),
        slices=group_table(table, table.slices, min_group_size) if table.slices else None,
        disparities=tuple(_disparities(table, asked)),
        labels=table.labels,
        positive_label=table.positive_label,
        confusion=tuple(
            (table.labels[true], table.labels[predicted], n)
            for true, predicted, n in table.overall.counts
        ),
        score_histogram=histogram,
        calibration=calibration(table.calibration) if table.calibration else None,
        curve=threshold_curve(histogram) if histogram else (),
        interval_methods={r.metric: r.interval.method for r in readings if r.interval},
        notes=(*table.notes, *_absent_slices(table)),
    )


def overall(table: EvaluationTable) -> tuple[Reading, ...]:
    """The performance metrics of all rows, those of the table's task."""
    return row_readings(table, table.overall)


def overall_metric(table: EvaluationTable, metric: str) -> Reading:
    """One performance metric of all rows; None, with the reason, where it means nothing here."""
    return row_metric(table, table.overall, metric)


def row_metric(table: EvaluationTable, row: CountRow, metric: str) -> Reading:
    """One performance metric of one row of a table: a group or a slice."""
    for reading in row_readings(table, row):
        if reading.metric == metric:
            return reading
    tasks = " and ".join(METRICS[metric].tasks)
    reason = f"{metric} applies to {tasks}, and this evaluation is {table.task}"
    return Reading(metric=metric, value=None, n=row.n, dataset=table.dataset, reason=reason)


def row_readings(table: EvaluationTable, row: CountRow) -> tuple[Reading, ...]:
    """The performance metrics of one row of a table, with their 95 % intervals."""
    found = measure(table, row)
    limits = row_intervals(found, row)
    return tuple(
        Reading(
            metric=name,
            value=measured.value,
            n=row.n,
            dataset=table.dataset,
            reason=measured.reason,
            interval=_interval(name, limits.get(name)),
        )
        for name, measured in found.items()
    )


def _interval(name: str, limits: tuple[float, float] | None) -> Interval | None:
    if limits is None:
        return None
    # Whoever logs an evaluation may bring an interval of a metric that has none here.
    return Interval(low=limits[0], high=limits[1], method=METHODS.get(name, "from the rows"))


def _disparities(table: EvaluationTable, asked: Mapping[tuple[str, ...], int]) -> Iterator[Reading]:
    """Every disparity, the groups of each table held against a size of their own."""
    for counts in table.tables:
        alone = table.model_copy(update={"tables": (counts,)})
        yield from disparities(alone, asked[counts.features])


def _absent_slices(table: EvaluationTable) -> Iterator[str]:
    for name, columns in table.absent_slices.items():
        without = ", ".join(map(repr, columns))
        yield f"The slice '{name}' was not measured: there is no column {without}."


def _classes(table: EvaluationTable, min_group_size: int) -> GroupTable | None:
    rows = tuple(_class_rows(table))
    if not rows:
        return None
    return GroupTable(
        dataset=table.dataset, features=("class",), rows=rows, min_group_size=min_group_size
    )


def _class_rows(table: EvaluationTable) -> Iterator[GroupRow]:
    for label, (support, found) in by_class(table).items():
        yield GroupRow(
            group={"class": label},
            n=support,
            metrics={name: measured.value for name, measured in found.items()},
            intervals=closed_intervals(found, table.overall),
        )
