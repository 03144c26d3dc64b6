"""Compare groups: tables, disparities and the worst group, from the aggregates of an evaluation.

Disparities are Fairlearn's, computed here from the groups' own metrics: the largest minus the
smallest, or the smallest over the largest (its `between_groups`). The tests hold every one of them
against Fairlearn on the rows, to 1e-12. Fairlearn itself is not called, because its `MetricFrame`
takes a hundred times as long as the subtraction, and its import two seconds of every process that
captures a run. What Fairlearn would count as 0 (a rate with a zero denominator), and what a group
too small would decide, is undefined here and says why.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal, NamedTuple

from aims_mlflow.governance.metrics import METRICS, MetricFamily
from aims_mlflow.monitors.formulas import Measured, measure
from aims_mlflow.monitors.gaps import disparity_interval, shared_level, sidak, worst_interval
from aims_mlflow.monitors.groups import MISSING
from aims_mlflow.monitors.intervals import Estimate, estimate, row_intervals
from aims_mlflow.readings import GroupRow, GroupTable, Interval, Reading

if TYPE_CHECKING:
    from aims_mlflow.monitors.tables import CountRow, CountTable, EvaluationTable


class _Disparity(NamedTuple):
    """How groups are compared: by the largest gap, or the smallest ratio, of these metrics."""

    rates: tuple[str, ...]
    by: Literal["difference", "ratio"]


_ODDS = ("true_positive_rate", "false_positive_rate")
_DISPARITIES = {
    "demographic_parity_difference": _Disparity(("selection_rate",), "difference"),
    "demographic_parity_ratio": _Disparity(("selection_rate",), "ratio"),
    "equalized_odds_difference": _Disparity(_ODDS, "difference"),
    "equalized_odds_ratio": _Disparity(_ODDS, "ratio"),
    "equal_opportunity_difference": _Disparity(("true_positive_rate",), "difference"),
    "equal_opportunity_ratio": _Disparity(("true_positive_rate",), "ratio"),
    "predictive_parity_difference": _Disparity(("precision",), "difference"),
    "predictive_parity_ratio": _Disparity(("precision",), "ratio"),
    "accuracy_ratio": _Disparity(("accuracy",), "ratio"),
    "rmse_ratio": _Disparity(("rmse",), "ratio"),
    "accuracy_difference": _Disparity(("accuracy",), "difference"),
    "mae_difference": _Disparity(("mae",), "difference"),
    "mae_ratio": _Disparity(("mae",), "ratio"),
    "rmse_difference": _Disparity(("rmse",), "difference"),
    "mean_error_difference": _Disparity(("mean_error",), "difference"),
}


class _Groups(NamedTuple):
    """The groups that are compared, with their metrics, and those that are not, by name.

    `why_not` says why nothing can be compared.
    """

    features: tuple[str, ...]
    rows: tuple[tuple[CountRow, dict[str, Measured]], ...]
    excluded: tuple[str, ...]
    why_not: str


def group_table(table: EvaluationTable, counts: CountTable, min_group_size: int) -> GroupTable:
    """The performance metrics of every group of one feature or combination."""
    return GroupTable(
        dataset=table.dataset,
        features=counts.features,
        min_group_size=min_group_size,
        rows=tuple(_group_row(table, row, min_group_size) for row in counts.rows),
    )


def _group_row(table: EvaluationTable, row: CountRow, min_group_size: int) -> GroupRow:
    found = measure(table, row)
    return GroupRow(
        group=row.group,
        n=row.n,
        metrics={name: measured.value for name, measured in found.items()},
        excluded=_why_excluded(row, min_group_size),
        intervals=row_intervals(found, row),
    )


def disparities(table: EvaluationTable, min_group_size: int) -> tuple[Reading, ...]:
    """Every disparity of the table's task, for every feature and combination that it holds."""
    names = [
        m.name
        for m in METRICS.values()
        if m.family is MetricFamily.FAIRNESS and table.task in m.tasks
    ]
    found = []
    for counts in table.tables:
        groups = _groups(table, counts.features, min_group_size)
        found += [_disparity(table, name, groups) for name in names]
    return tuple(found)


def disparity(
    table: EvaluationTable, metric: str, features: tuple[str, ...], min_group_size: int
) -> Reading:
    """The largest gap, or the smallest ratio, between the groups.

    Definitions are those of `fairlearn.metrics` (method `between_groups`, worst case of the two
    rates for equalized odds). Groups below `min_group_size` rows are excluded and named.

    Returns:
        The reading. `groups` names the lowest and the highest group with their values; the value
        is None, with a reason, where a rate of any group is undefined or fewer than two groups
        are left.

    Raises:
        KeyError: `metric` is no disparity.
    """
    return _disparity(table, metric, _groups(table, features, min_group_size))


def compared_rates(metric: str) -> tuple[str, ...]:
    """The rates that a disparity compares.

    Raises:
        KeyError: `metric` is no disparity.
    """
    return _DISPARITIES[metric].rates


def compared_rows(
    table: EvaluationTable, features: tuple[str, ...], min_group_size: int
) -> tuple[CountRow, ...]:
    """The groups that are large enough to be compared."""
    return tuple(row for row, _measured in _groups(table, features, min_group_size).rows)


def worst_group(
    table: EvaluationTable,
    metric: str,
    features: tuple[str, ...],
    min_group_size: int,
    bound: Literal["min", "max"],
) -> Reading:
    """The group that comes closest to breaking a bound on a performance metric, or breaks it most.

    Args:
        table: The evaluation.
        metric: A performance metric, such as `recall`.
        features: The sensitive features whose groups are looked at.
        min_group_size: Groups with fewer rows are excluded and named.
        bound: `min` for the lowest group, `max` for the highest.

    Returns:
        The reading; its value is None, with a reason, where the metric of any group is undefined
        or fewer than two groups are left.
    """
    groups = _groups(table, features, min_group_size)
    reason = _why_not(table, metric, groups) or _undefined(groups, metric)
    if reason:
        return _reading(table, metric, groups, Measured(None, reason))
    worst = min if bound == "min" else max
    row, values = worst(groups.rows, key=lambda pair: pair[1][metric].value or 0.0)
    estimates = _estimates(groups, metric, sidak(len(groups.rows)))
    interval = worst_interval(estimates, bound) if estimates else None
    shown = (_valued(row, values[metric], ""),)
    return _reading(table, metric, groups, values[metric], shown, interval)


def _disparity(table: EvaluationTable, metric: str, groups: _Groups) -> Reading:
    compared = _DISPARITIES[metric]
    reason = _why_not(table, metric, groups)
    if reason:
        return _reading(table, metric, groups, Measured(None, reason))
    found = [_compare(groups, rate, compared.by) for rate in compared.rates]
    undefined = next((f for f in found if f.value is None), None)
    if undefined is not None:
        return _reading(table, metric, groups, undefined)
    # The rate that decides: the widest gap, or the lowest ratio.
    decide = max if compared.by == "difference" else min
    index = decide(range(len(found)), key=lambda i: found[i].value or 0.0)
    rate = compared.rates[index]
    named = f" {rate}" if len(compared.rates) > 1 else ""
    ordered = sorted(groups.rows, key=lambda pair: pair[1][rate].value or 0.0)
    ends = (ordered[0], ordered[-1])
    shown = tuple(_valued(row, values[rate], named) for row, values in ends)
    return _reading(table, metric, groups, found[index], shown, _between(groups, compared))


def _groups(table: EvaluationTable, features: tuple[str, ...], min_group_size: int) -> _Groups:
    counts = table.table(features)
    if counts is None:
        return _Groups(features, (), (), _absent(table, features))
    excluded = [row for row in counts.rows if _why_excluded(row, min_group_size)]
    kept = [row for row in counts.rows if not _why_excluded(row, min_group_size)]
    # Comparing a group with the rows of which nothing is known compares no two groups.
    few = sum(MISSING not in row.group.values() for row in kept) < 2
    least = f"fewer than two groups of {' x '.join(features)} have {min_group_size} rows"
    return _Groups(
        features,
        tuple((row, measure(table, row)) for row in kept),
        tuple(map(_excluded_name, excluded)),
        least if few else "",
    )


def _why_not(table: EvaluationTable, metric: str, groups: _Groups) -> str:
    tasks = METRICS[metric].tasks
    if table.task not in tasks:
        return f"{metric} applies to {' and '.join(tasks)}, and this evaluation is {table.task}"
    return groups.why_not


def _absent(table: EvaluationTable, features: tuple[str, ...]) -> str:
    known = {name for counts in table.tables for name in counts.features}
    absent = [name for name in features if name not in known]
    if not absent:
        return f"the combination {' x '.join(features)} is not kept: pass only these features"
    columns = ", ".join(repr(name) for name in absent)
    return (
        f"the evaluation of '{table.dataset}' has no sensitive feature {columns}: "
        f"pass log_evaluation(..., sensitive_features=frame[[{columns}]])"
    )


def _compare(groups: _Groups, rate: str, by: Literal["difference", "ratio"]) -> Measured:
    undefined = _undefined(groups, rate)
    if undefined:
        return Measured(None, undefined)
    values = [measured[rate].value or 0.0 for _, measured in groups.rows]
    if by == "difference":
        return Measured(max(values) - min(values))
    if not max(values):
        return Measured(None, f"{rate} is 0 in every group, so there is no ratio")
    return Measured(min(values) / max(values))


def _between(groups: _Groups, compared: _Disparity) -> Interval | None:
    level = shared_level(len(groups.rows), len(compared.rates))
    rates = [_estimates(groups, rate, level) for rate in compared.rates]
    complete = [found for found in rates if found is not None]
    return disparity_interval(complete, compared.by) if len(complete) == len(rates) else None


def _estimates(groups: _Groups, metric: str, level: float) -> list[Estimate] | None:
    """Every group's value and interval; None where one of them has no interval."""
    found = [estimate(metric, values[metric], row, level) for row, values in groups.rows]
    complete = [one for one in found if one is not None]
    return complete if len(complete) == len(found) else None


def _undefined(groups: _Groups, metric: str) -> str:
    """Which groups have no value, and why."""
    reasons = [
        f"{_name(row)} ({values[metric].reason})"
        for row, values in groups.rows
        if values[metric].value is None
    ]
    return f"{metric} is undefined for {', '.join(reasons)}" if reasons else ""


def _why_excluded(row: CountRow, min_group_size: int) -> str:
    if row.merged:
        return "many groups merged into one"
    if row.n < min_group_size:
        return f"n={row.n} below {min_group_size}"
    # What is suppressed has no metrics, however small groups a threshold allows.
    return f"n={row.n}: suppressed" if row.suppressed else ""


def _excluded_name(row: CountRow) -> str:
    merged = ", many groups merged" if row.merged else ""
    return f"{' x '.join(row.group.values())} (n={row.n}{merged})"


def _name(row: CountRow) -> str:
    return " x ".join(f"{feature}={value}" for feature, value in row.group.items())


def _valued(row: CountRow, measured: Measured, rate: str) -> str:
    return f"{_name(row)}{rate} {measured.value:.3g}"


def _reading(
    table: EvaluationTable,
    metric: str,
    groups: _Groups,
    measured: Measured,
    shown: tuple[str, ...] = (),
    interval: Interval | None = None,
) -> Reading:
    return Reading(
        metric=metric,
        value=measured.value,
        n=sum(row.n for row, _ in groups.rows) or None,
        dataset=table.dataset,
        feature=" x ".join(groups.features),
        reason=measured.reason,
        excluded=groups.excluded,
        groups=shown,
        interval=interval,
    )
