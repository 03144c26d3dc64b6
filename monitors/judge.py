"""Hold readings against declared thresholds: PASS, FAIL or INSUFFICIENT, each with its reason.

A PASS needs every group and every class: what was left out withholds it. A FAIL needs only one
value beyond the limit, whatever else was left out.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from aims_mlflow.governance.metrics import MetricFamily
from aims_mlflow.monitors.bias import compared_rates, compared_rows, disparity, worst_group
from aims_mlflow.monitors.judge_parts import judge_robustness, judge_scorer
from aims_mlflow.monitors.performance import overall_metric, row_metric
from aims_mlflow.monitors.sufficiency import too_few_trials
from aims_mlflow.monitors.verdicts import about, held, judgement, near, nothing_to_judge, too_few
from aims_mlflow.readings import Judgement, Reading, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from aims_mlflow.governance.system import Perturbation
    from aims_mlflow.governance.thresholds import Threshold
    from aims_mlflow.monitors.judge_parts import ScorerSummary
    from aims_mlflow.monitors.tables import CountRow, EvaluationTable
    from aims_mlflow.readings import Robustness

#: The word by which a problem is known to be of a robustness evaluation, and the beginning of one
#: that can be of nothing else: the refusal of a dataset of that name must withhold a PASS.
_ROBUSTNESS, _ROBUSTNESS_ALONE = "robustness", "a robustness evaluation"


def judge(
    thresholds: Sequence[Threshold],
    tables: Sequence[EvaluationTable],
    logged: Mapping[str, float],
    problems: Sequence[str] = (),
    robustness: Sequence[Robustness] = (),
    scorers: Mapping[str, ScorerSummary] | None = None,
    declared_perturbations: Sequence[Perturbation] = (),
) -> tuple[Judgement, ...]:
    """Judge every threshold that a run can answer.

    Args:
        thresholds: As the system declares them; those that wait for a monitor are left out.
        tables: The run's evaluations. A threshold without a dataset is held against each.
        logged: Metrics that the training script logged itself, by key.
        problems: Evaluations that were refused or cannot be read; they withhold a PASS from a
            threshold that is held against every evaluation. For the thresholds of perturbations,
            only those with the word "robustness" count; those that begin with "a robustness
            evaluation" count for these alone.
        robustness: The run's robustness evaluations, for thresholds that name a perturbation. One
            without a dataset is held against each.
        scorers: By name, what each scorer of `mlflow.genai.evaluate` said: its pass rate (0 to 1)
            and its mean, None where it gives no such values, and the number of assessments.
        declared_perturbations: As the system declares them. A result of the same id and another
            kind or amount proves nothing.

    Returns:
        In the order of the thresholds, one for each, or one for each of its datasets.
    """
    found: list[Judgement] = []
    perturbations = {declared.id: declared for declared in declared_perturbations}
    shaken = [problem for problem in problems if _ROBUSTNESS in problem]
    refused = [problem for problem in problems if not problem.startswith(_ROBUSTNESS_ALONE)]
    for threshold in thresholds:
        if not threshold.judged_on_runs:
            continue
        if threshold.logged_metric is not None:
            found.append(_judge_logged(threshold, threshold.logged_metric, logged))
        elif threshold.scorer is not None:
            found.append(judge_scorer(threshold, threshold.scorer, scorers or {}))
        elif threshold.perturbation is not None:
            name = threshold.perturbation
            declared = perturbations.get(name)
            found += judge_robustness(threshold, name, robustness, shaken, declared)
        else:
            found += _judge_tables(threshold, tables, refused)
    return tuple(found)


def _judge_logged(threshold: Threshold, key: str, logged: Mapping[str, float]) -> Judgement:
    value = logged.get(key)
    if value is None:
        reason = f"the run logged no metric '{key}'{near(key, logged)}"
    elif not math.isfinite(value):
        reason = f"'{key}' was logged as {value}, which is no number"
    else:
        verdict, reason = held(threshold, value)
        return judgement(threshold, threshold.dataset, verdict, reason, value=value)
    return judgement(threshold, threshold.dataset, Verdict.INSUFFICIENT, reason)


def _judge_tables(
    threshold: Threshold, tables: Sequence[EvaluationTable], problems: Sequence[str]
) -> Iterator[Judgement]:
    chosen = [t for t in tables if threshold.dataset in (None, t.dataset)]
    for table in chosen:
        yield judge_table(threshold, table)
    names = [table.dataset for table in tables]
    if not chosen or about(threshold.dataset, names, problems):
        call = "aims_mlflow.log_evaluation(...{})"
        reason = nothing_to_judge(threshold, "evaluation", names, problems, call)
        yield judgement(threshold, threshold.dataset, Verdict.INSUFFICIENT, reason)


def judge_table(threshold: Threshold, table: EvaluationTable) -> Judgement:
    """Hold the metric that a threshold names, as the table has it, against the limits."""
    found, row = read_part(threshold, table)
    verdict, reason = decide(threshold, table, row, found)
    return judgement(
        threshold,
        table.dataset,
        verdict,
        reason,
        value=found.value,
        n=found.n,
        excluded=found.excluded,
    )


def read_part(threshold: Threshold, table: EvaluationTable) -> tuple[Reading, CountRow]:
    """What a threshold of a metric is about, and the slice that it is of, else all rows.

    Of groups, the reading is their disparity, or the group that is closest to the limit.
    """
    row = table.overall
    if threshold.slice is not None:
        row = _slice(table, threshold.slice) or row
    return _read(threshold, table, row), row


def _slice(table: EvaluationTable, name: str) -> CountRow | None:
    rows = table.slices.rows if table.slices else ()
    return next((row for row in rows if row.group.get("slice") == name), None)


def _read(threshold: Threshold, table: EvaluationTable, row: CountRow) -> Reading:
    metric, features = threshold.metric or "", threshold.features
    if threshold.slice is not None:
        return _read_slice(threshold, table, row, threshold.slice)
    if not features:
        return overall_metric(table, metric)
    if threshold.family is MetricFamily.FAIRNESS:
        return disparity(table, metric, features, threshold.min_group_size)
    size = threshold.min_group_size
    lowest = worst_group(table, metric, features, size, "min")
    highest = worst_group(table, metric, features, size, "max")
    if threshold.min is None or (
        highest.value is not None and held(threshold, highest.value)[0] is Verdict.FAIL
    ):
        return highest
    return lowest


def _read_slice(threshold: Threshold, table: EvaluationTable, row: CountRow, name: str) -> Reading:
    metric = threshold.metric or ""
    if row is table.overall:
        reason = _absent_slice(table, name)
        return Reading(metric=metric, value=None, n=None, dataset=table.dataset, reason=reason)
    if row.suppressed or row.n < threshold.min_group_size:
        reason = (
            f"the slice '{name}' has {row.n} rows, below min_group_size "
            f"({threshold.min_group_size})"
        )
        return Reading(metric=metric, value=None, n=row.n, dataset=table.dataset, reason=reason)
    return row_metric(table, row, metric)


def _absent_slice(table: EvaluationTable, name: str) -> str:
    columns = table.absent_slices.get(name)
    if columns is None:
        return (
            f"the evaluation of '{table.dataset}' was logged where the slice '{name}' was not "
            "declared: log it again"
        )
    names = ", ".join(map(repr, columns))
    return (
        f"the evaluation of '{table.dataset}' has no column {names} for the slice '{name}': "
        f"pass log_evaluation(..., features=frame[[{names}]])"
    )


def decide(
    threshold: Threshold, table: EvaluationTable, row: CountRow, reading: Reading
) -> tuple[Verdict, str]:
    """Hold a reading of `row` against the limits, and say why.

    Few rows, a small denominator, one class or a group that is left out withhold a PASS.
    """
    if table.n < threshold.min_rows:
        few = too_few(threshold, table.n, "rows")
        # A column that is not there is what must be mended first: more rows alone do not help.
        absent = f"{reading.reason}; and " if _lacks_part(threshold, table, row) else ""
        return Verdict.INSUFFICIENT, f"{absent}{few}"
    left_out = ", ".join(reading.excluded)
    if reading.value is None:
        more = f"; too small to judge: {left_out}" if left_out else ""
        return Verdict.INSUFFICIENT, f"{reading.reason}{more}"
    verdict, reason = held(threshold, reading.value, reading.interval)
    reason = ": ".join([reason, *filter(None, [", ".join(reading.groups)])])
    if verdict is Verdict.PASS and _one_class(row):
        return Verdict.INSUFFICIENT, f"{reason}; but y_true holds only one class"
    weak = _weak(threshold, table, row) if verdict is Verdict.PASS else ""
    if weak:
        return Verdict.INSUFFICIENT, f"{reason}; but {weak}"
    if not left_out:
        return verdict, reason
    if verdict is Verdict.PASS and threshold.small_groups == "insufficient":
        return Verdict.INSUFFICIENT, f"{reason}; but too small to judge: {left_out}"
    return verdict, f"{reason}; not judged: {left_out}"


def _weak(threshold: Threshold, table: EvaluationTable, row: CountRow) -> str:
    """Why the denominators of a value are too small for a PASS; empty where they are not."""
    metric = threshold.metric or ""
    if not threshold.features:
        return too_few_trials(table, [row], [metric], threshold.min_rows)
    size = threshold.min_group_size
    rates = compared_rates(metric) if threshold.family is MetricFamily.FAIRNESS else (metric,)
    rows = compared_rows(table, threshold.features, size)
    return too_few_trials(table, rows, rates, size)


def _lacks_part(threshold: Threshold, table: EvaluationTable, row: CountRow) -> bool:
    """Whether the slice or a feature of the threshold was not logged at all."""
    if threshold.slice is not None:
        return row is table.overall
    logged = {feature for counts in table.tables for feature in counts.features}
    return not logged.issuperset(threshold.features)


def _one_class(row: CountRow) -> bool:
    """Whether the truth of a classifier is the same in every row; of a multilabel one, all of it.

    The perfect scores of such rows prove nothing.
    """
    if row.label_counts:
        return all(tp + fn in (0, row.n) for tp, _, fn, _ in row.label_counts)
    return len({true for true, _, _ in row.counts}) == 1
