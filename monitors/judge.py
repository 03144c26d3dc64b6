"""Hold readings against declared thresholds: PASS, FAIL or INSUFFICIENT, each with its reason.

A PASS needs every group and every class: what was left out withholds it. A FAIL needs only one
value beyond the limit, whatever else was left out.
"""

from __future__ import annotations

import difflib
import math
from operator import gt, lt
from typing import TYPE_CHECKING

from aims_mlflow.governance.metrics import MetricFamily
from aims_mlflow.monitors.bias import disparity, worst_group
from aims_mlflow.monitors.performance import overall_metric
from aims_mlflow.readings import Judgement, Reading, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from aims_mlflow.governance.system import Threshold
    from aims_mlflow.monitors.tables import EvaluationTable

#: A rate of counts that equals the limit on paper may miss it by a few units in the last place.
TOLERANCE = 1e-12


def judge(
    thresholds: Sequence[Threshold],
    tables: Sequence[EvaluationTable],
    logged: Mapping[str, float],
    problems: Sequence[str] = (),
) -> tuple[Judgement, ...]:
    """Judge every threshold that a run can answer.

    Args:
        thresholds: As the system declares them; those that wait for a monitor are left out.
        tables: The run's evaluations. A threshold without a dataset is held against each.
        logged: Metrics that the training script logged itself, by key.
        problems: Evaluations that were refused or cannot be read; they withhold a PASS from a
            threshold that is held against every evaluation.

    Returns:
        In the order of the thresholds, one for each, or one for each of its datasets.
    """
    return tuple(
        judgement
        for threshold in thresholds
        if threshold.judged_on_runs
        for judgement in _judge(threshold, tables, logged, problems)
    )


def _judge(
    threshold: Threshold,
    tables: Sequence[EvaluationTable],
    logged: Mapping[str, float],
    problems: Sequence[str],
) -> Iterator[Judgement]:
    if threshold.logged_metric is not None:
        yield _judge_logged(threshold, threshold.logged_metric, logged)
        return
    chosen = [t for t in tables if threshold.dataset in (None, t.dataset)]
    for table in chosen:
        yield _judge_table(threshold, table)
    if not chosen or (problems and threshold.dataset is None):
        reason = _nothing_to_judge(threshold, tables, problems)
        yield _judgement(threshold, threshold.dataset, Verdict.INSUFFICIENT, reason)


def _nothing_to_judge(
    threshold: Threshold, tables: Sequence[EvaluationTable], problems: Sequence[str]
) -> str:
    if problems:
        return f"an evaluation was refused: {'; '.join(problems)}"
    if not tables:
        return "no evaluation was logged; add aims_mlflow.log_evaluation(...)"
    names = ", ".join(f"'{table.dataset}'" for table in tables)
    return (
        f"no evaluation of the dataset '{threshold.dataset}' was logged, only of {names}; "
        f"add aims_mlflow.log_evaluation(..., dataset={threshold.dataset!r})"
    )


def _judge_logged(threshold: Threshold, key: str, logged: Mapping[str, float]) -> Judgement:
    value = logged.get(key)
    if value is None:
        near = difflib.get_close_matches(key, logged, n=3)
        hint = f"; did you mean {' or '.join(repr(k) for k in near)}?" if near else ""
        reason = f"the run logged no metric '{key}'{hint}"
    elif not math.isfinite(value):
        reason = f"'{key}' was logged as {value}, which is no number"
    else:
        verdict, reason = _held(threshold, value)
        return _judgement(threshold, threshold.dataset, verdict, reason, value=value)
    return _judgement(threshold, threshold.dataset, Verdict.INSUFFICIENT, reason)


def _judge_table(threshold: Threshold, table: EvaluationTable) -> Judgement:
    reading = _read(threshold, table)
    verdict, reason = _verdict(threshold, table, reading)
    return _judgement(
        threshold,
        table.dataset,
        verdict,
        reason,
        value=reading.value,
        n=reading.n,
        excluded=reading.excluded,
    )


def _read(threshold: Threshold, table: EvaluationTable) -> Reading:
    metric, features = threshold.metric or "", threshold.features
    if not features:
        return overall_metric(table, metric)
    if threshold.family is MetricFamily.FAIRNESS:
        return disparity(table, metric, features, threshold.min_group_size)
    size = threshold.min_group_size
    lowest = worst_group(table, metric, features, size, "min")
    highest = worst_group(table, metric, features, size, "max")
    if threshold.min is None or (
        highest.value is not None and _held(threshold, highest.value)[0] is Verdict.FAIL
    ):
        return highest
    return lowest


def _verdict(threshold: Threshold, table: EvaluationTable, reading: Reading) -> tuple[Verdict, str]:
    if table.n < threshold.min_rows:
        reason = f"{table.n} rows are fewer than min_rows ({threshold.min_rows})"
        return Verdict.INSUFFICIENT, reason
    left_out = ", ".join(reading.excluded)
    if reading.value is None:
        more = f"; too small to judge: {left_out}" if left_out else ""
        return Verdict.INSUFFICIENT, f"{reading.reason}{more}"
    verdict, reason = _held(threshold, reading.value)
    reason = ": ".join([reason, *filter(None, [", ".join(reading.groups)])])
    if verdict is Verdict.PASS and table.task != "regression" and _one_class(table):
        return Verdict.INSUFFICIENT, f"{reason}; but y_true holds only one class"
    if not left_out:
        return verdict, reason
    if verdict is Verdict.PASS and threshold.small_groups == "insufficient":
        return Verdict.INSUFFICIENT, f"{reason}; but too small to judge: {left_out}"
    return verdict, f"{reason}; not judged: {left_out}"


def _held(threshold: Threshold, value: float) -> tuple[Verdict, str]:
    """A value against the limits; one that equals a limit passes."""
    for limit, beyond, word in ((threshold.min, lt, "below"), (threshold.max, gt, "above")):
        if limit is None or math.isclose(value, limit, rel_tol=TOLERANCE, abs_tol=TOLERANCE):
            continue
        if beyond(value, limit):
            # As many digits as tell the value from the limit: 0.1004, not "0.1 is above 0.1".
            texts = [f"{value:.{digits}g}" for digits in (3, 6, 9, 12, 17)]
            shown = next(text for text in texts if beyond(float(text), limit))
            return Verdict.FAIL, f"{shown} is {word} {limit:.12g}"
    shown = f"{value:.3g}"
    if threshold.min is not None and threshold.max is not None:
        return Verdict.PASS, f"{shown} is within {threshold.limit}"
    if threshold.min is not None:
        return Verdict.PASS, f"{shown} is not below {threshold.min:.12g}"
    return Verdict.PASS, f"{shown} is not above {threshold.max:.12g}"


def _one_class(table: EvaluationTable) -> bool:
    return len({true for true, _, _ in table.overall.counts}) < 2


def _judgement(
    threshold: Threshold,
    dataset: str | None,
    verdict: Verdict,
    reason: str,
    *,
    value: float | None = None,
    n: int | None = None,
    excluded: tuple[str, ...] = (),
) -> Judgement:
    return Judgement(
        threshold=threshold.id,
        metric=threshold.metric or threshold.logged_metric or "",
        feature=threshold.feature,
        dataset=dataset,
        value=value,
        limit=threshold.limit,
        verdict=verdict,
        severity=threshold.severity.value,
        reason=reason,
        n=n,
        excluded=excluded,
        declared=threshold.model_dump(mode="json"),
    )
