"""Compare groups: tables, disparities and the worst group, from the aggregates of an evaluation.

Disparities are Fairlearn's: `MetricFrame` over the count table, weighted by the counts, gives what
it gives on the rows. What Fairlearn would count as 0 (a rate with a zero denominator), and what a
group too small would decide, is undefined here and says why.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from aims_mlflow.governance.metrics import METRICS, MetricFamily
from aims_mlflow.monitors.formulas import Measured, measure
from aims_mlflow.monitors.groups import MISSING
from aims_mlflow.readings import GroupRow, GroupTable, Reading

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from aims_mlflow.monitors.tables import CountRow, CountTable, EvaluationTable

    Rate = Callable[..., Any]


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
    "accuracy_difference": _Disparity(("accuracy",), "difference"),
    "mae_difference": _Disparity(("mae",), "difference"),
    "mae_ratio": _Disparity(("mae",), "ratio"),
    "rmse_difference": _Disparity(("rmse",), "difference"),
    "mean_error_difference": _Disparity(("mean_error",), "difference"),
}


class _Groups(NamedTuple):
    """The groups that are compared, with their metrics, and those that are not, by name."""

    rows: tuple[tuple[CountRow, dict[str, Measured]], ...]
    excluded: tuple[str, ...]

    @property
    def n(self) -> int:
        return sum(row.n for row, _ in self.rows)


def group_table(table: EvaluationTable, counts: CountTable, min_group_size: int) -> GroupTable:
    """The performance metrics of every group of one feature or combination."""
    return GroupTable(
        dataset=table.dataset,
        features=counts.features,
        min_group_size=min_group_size,
        rows=tuple(
            GroupRow(
                group=row.group,
                n=row.n,
                metrics={name: found.value for name, found in measure(table, row).items()},
                excluded=_why_excluded(row, min_group_size),
            )
            for row in counts.rows
        ),
    )


def disparities(table: EvaluationTable, min_group_size: int) -> tuple[Reading, ...]:
    """Every disparity of the table's task, for every feature and combination that it holds."""
    names = [
        m.name
        for m in METRICS.values()
        if m.family is MetricFamily.FAIRNESS and table.task in m.tasks
    ]
    return tuple(
        disparity(table, name, counts.features, min_group_size)
        for counts in table.tables
        for name in names
    )


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
    compared = _DISPARITIES[metric]
    groups = _comparable(table, metric, features, min_group_size)
    if isinstance(groups, Reading):
        return groups
    found = [_compare(table, groups, rate, compared.by) for rate in compared.rates]
    undefined = next((f for f in found if f.value is None), None)
    if undefined is not None:
        return _reading(table, metric, features, groups, None, reason=undefined.reason)
    # The rate that decides: the widest gap, or the lowest ratio.
    decide = max if compared.by == "difference" else min
    index = decide(range(len(found)), key=lambda i: found[i].value or 0.0)
    rate = compared.rates[index]
    named = f" {rate}" if len(compared.rates) > 1 else ""
    ordered = sorted(groups.rows, key=lambda pair: pair[1][rate].value or 0.0)
    shown = tuple(_valued(row, values[rate], named) for row, values in (ordered[0], ordered[-1]))
    return _reading(table, metric, features, groups, found[index].value, shown=shown)


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
    groups = _comparable(table, metric, features, min_group_size)
    if isinstance(groups, Reading):
        return groups
    undefined = _undefined(groups, metric)
    if undefined:
        return _reading(table, metric, features, groups, None, reason=undefined)
    worst = min if bound == "min" else max
    row, values = worst(groups.rows, key=lambda pair: pair[1][metric].value or 0.0)
    shown = (_valued(row, values[metric], ""),)
    return _reading(table, metric, features, groups, values[metric].value, shown=shown)


def _comparable(
    table: EvaluationTable, metric: str, features: tuple[str, ...], min_group_size: int
) -> _Groups | Reading:
    """The groups to compare, or the reading that says why there are none."""
    groups = _Groups((), ())
    tasks = METRICS[metric].tasks
    if table.task not in tasks:
        reason = f"{metric} applies to {' and '.join(tasks)}, and this evaluation is {table.task}"
        return _reading(table, metric, features, groups, None, reason=reason)
    counts = table.table(features)
    if counts is None:
        return _reading(table, metric, features, groups, None, reason=_absent(table, features))
    excluded = [row for row in counts.rows if _why_excluded(row, min_group_size)]
    kept = [row for row in counts.rows if not _why_excluded(row, min_group_size)]
    groups = _Groups(
        tuple((row, measure(table, row)) for row in kept), tuple(map(_excluded_name, excluded))
    )
    # Comparing a group with the rows of which nothing is known compares no two groups.
    if sum(MISSING not in row.group.values() for row in kept) < 2:
        reason = f"fewer than two groups of {' x '.join(features)} have {min_group_size} rows"
        return _reading(table, metric, features, groups, None, reason=reason)
    return groups


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


def _compare(table: EvaluationTable, groups: _Groups, rate: str, by: str) -> Measured:
    undefined = _undefined(groups, rate)
    if undefined:
        return Measured(None, undefined)
    if by == "ratio" and not any(values[rate].value for _, values in groups.rows):
        return Measured(None, f"{rate} is 0 in every group, so there is no ratio")
    frame = _frame(table, groups, rate)
    return Measured(float(frame.difference() if by == "difference" else frame.ratio()))


def _frame(table: EvaluationTable, groups: _Groups, rate: str) -> Any:
    """Fairlearn's frame over the count table; over one value for each group for a regression."""
    import numpy as np
    from fairlearn.metrics import MetricFrame, mean_prediction

    if table.task == "regression":
        values = [values[rate].value for _, values in groups.rows]
        cells = np.array([(i, 0, 0, row.n) for i, (row, _) in enumerate(groups.rows)])
        metric, true, predicted = mean_prediction, np.zeros(len(values)), np.array(values)
    else:
        cells = np.array(
            [(i, *cell) for i, (row, _) in enumerate(groups.rows) for cell in row.counts]
        )
        metric, true, predicted = _rate(rate), cells[:, 1], cells[:, 2]
        if table.task == "binary" and table.positive_label is not None:
            positive = table.labels.index(table.positive_label)
            true, predicted = (true == positive) * 1, (predicted == positive) * 1
    return MetricFrame(
        metrics=metric,
        y_true=true,
        y_pred=predicted,
        sensitive_features=cells[:, 0],
        sample_params={"sample_weight": cells[:, 3]},
    )


def _rate(name: str) -> Rate:
    import fairlearn.metrics
    import sklearn.metrics

    if name in ("accuracy", "precision"):
        found: Rate = getattr(sklearn.metrics, f"{name}_score")
    else:
        found = getattr(fairlearn.metrics, name)
    return found


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
    features: Sequence[str],
    groups: _Groups,
    value: float | None,
    *,
    reason: str = "",
    shown: tuple[str, ...] = (),
) -> Reading:
    return Reading(
        metric=metric,
        value=value,
        n=groups.n or None,
        dataset=table.dataset,
        feature=" x ".join(features),
        reason=reason,
        excluded=groups.excluded,
        groups=shown,
    )
