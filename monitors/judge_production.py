"""Hold what production shows against the declared thresholds, by the rules of a training run.

A limit on the change is held against the distance from the version in production when it was
evaluated, of groups against the one that moved farthest.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aims_mlflow.governance.metrics import EVALUATED_AT_TRAINING, MetricFamily
from aims_mlflow.monitors.baselines import (
    BaselineValue,
    comparable,
    named,
    of_all_rows,
    of_disparity,
    of_group,
    of_slice,
)
from aims_mlflow.monitors.bias import compared_rows
from aims_mlflow.monitors.formulas import measure
from aims_mlflow.monitors.judge import decide, read_part
from aims_mlflow.monitors.verdicts import judgement, limits, listed, near, too_few
from aims_mlflow.readings import Verdict

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from aims_mlflow.governance.thresholds import Threshold
    from aims_mlflow.monitors.tables import CountRow, EvaluationTable
    from aims_mlflow.readings import Judgement, Reading, Scores

#: Problems that a reason names; the others are counted.
_TOLD = 3


def judge_production(
    thresholds: Sequence[Threshold],
    tables: Sequence[EvaluationTable],
    *,
    day: date,
    baseline: Scores | None = None,
    problems: Sequence[str] = (),
) -> tuple[Judgement, ...]:
    """Judge every threshold on performance or fairness that is in force.

    Args:
        thresholds: Of this monitor, as `Monitor.judges` says. Those of other metrics are left out,
            and those that are not in force.
        tables: From `count_evaluation`. Each threshold is held against each.
        day: The day for which `valid_from` and `valid_until` are looked at.
        baseline: The evaluation of the version in production, from which a change is counted
            (`change_from` reference or production: of an evaluation they are the same).
        problems: What could not be read or measured; each withholds a PASS.

    Returns:
        In the order of the thresholds, one for each of the tables; where there is none, one that
        says why nothing can be judged.
    """
    found = []
    for threshold in thresholds:
        if not threshold.judged_by_monitors or not in_force(threshold, day):
            continue
        if threshold.family not in EVALUATED_AT_TRAINING:
            continue
        found += [_judge(threshold, table, baseline, problems) for table in tables]
        if not tables:
            reason = listed(problems, _TOLD, "; ") or "no evaluation of production data was made"
            found.append(judgement(threshold, None, Verdict.INSUFFICIENT, reason))
    return tuple(found)


def in_force(threshold: Threshold, day: date) -> bool:
    """Whether a threshold holds on that day."""
    first, last = threshold.valid_from, threshold.valid_until
    return (first is None or first <= day) and (last is None or day <= last)


def _judge(
    threshold: Threshold,
    table: EvaluationTable,
    baseline: Scores | None,
    problems: Sequence[str],
) -> Judgement:
    absent = _absent(threshold, table)
    if absent:
        return judgement(threshold, table.dataset, Verdict.INSUFFICIENT, absent)
    reading, row = read_part(threshold, table)
    bound = _bound(threshold, table, row) if reading.value is not None else 0.0
    before: BaselineValue | None = None
    told = ""
    if threshold.max_change is not None:
        now, before = _then(threshold, table, reading, baseline)
        told = "" if now.value is None else _told(now, before)
        reading = _change(now, before)
    verdict, reason = decide(threshold, table, row, reading)
    verdict, reason = _off(threshold, reading, bound, verdict, reason + told)
    if before is not None and before.n is not None and before.n < threshold.min_rows:
        few = too_few(threshold, before.n, "rows of the version in production")
        verdict, reason = Verdict.INSUFFICIENT, f"{reason}; but {few}"
    if problems and verdict is Verdict.PASS:
        verdict = Verdict.INSUFFICIENT
        reason = f"{reason}; but {listed(problems, _TOLD, '; ')}"
    return judgement(
        threshold,
        table.dataset,
        verdict,
        reason,
        value=reading.value,
        n=reading.n,
        excluded=reading.excluded,
        baseline=before.value if before else None,
        error_bound=bound,
    )


def _absent(threshold: Threshold, table: EvaluationTable) -> str:
    """Why the part that a threshold names cannot be measured at all; empty where it can."""
    known = sorted({name for counts in table.tables for name in counts.features})
    for feature in threshold.features:
        if feature in table.absent_features:
            return f"the data have no column '{feature}' of the sensitive feature"
        if feature not in known:
            hint = near(feature, known)
            return f"'{feature}' is no sensitive feature of the system{hint}"
    columns = table.absent_slices.get(threshold.slice or "")
    if columns:
        names = ", ".join(map(repr, columns))
        return f"the data have no column {names} for the slice '{threshold.slice}'"
    return ""


def _bound(threshold: Threshold, table: EvaluationTable, row: CountRow) -> float:
    """How far the value may be off."""
    metric = threshold.metric or ""
    if not threshold.features:
        return row.bounds.get(metric, 0.0)
    rows = compared_rows(table, threshold.features, threshold.min_group_size)
    return max((r.bounds.get(metric, 0.0) for r in rows), default=0.0)


def _off(
    threshold: Threshold, reading: Reading, bound: float, verdict: Verdict, reason: str
) -> tuple[Verdict, str]:
    """A value that its bound lets lie on either side of a limit proves nothing."""
    if not bound or reading.value is None:
        return verdict, reason
    for limit in limits(threshold):
        if limit is not None and abs(reading.value - limit) <= bound:
            return Verdict.INSUFFICIENT, (
                f"{reading.value:.6g} may be off by {bound:.3g}, which reaches across the limit "
                f"{limit:.12g}"
            )
    return verdict, reason


def _then(
    threshold: Threshold, table: EvaluationTable, now: Reading, baseline: Scores | None
) -> tuple[Reading, BaselineValue]:
    """The value of production and that of the baseline; of groups, those that differ most."""
    metric, features = threshold.metric or "", threshold.features
    reason = comparable(baseline, table.task, table.positive_label)
    if baseline is None or reason or now.value is None:
        return now, BaselineValue(None, reason=reason)
    if threshold.slice is not None:
        return now, of_slice(baseline, metric, threshold.slice)
    if not features:
        return now, of_all_rows(baseline, metric)
    if threshold.family is MetricFamily.FAIRNESS:
        return now, of_disparity(baseline, metric, features)
    pairs = [
        (row, of_group(baseline, metric, features, row.group))
        for row in compared_rows(table, features, threshold.min_group_size)
    ]
    return _farthest(table, metric, now, pairs)


def _farthest(
    table: EvaluationTable,
    metric: str,
    now: Reading,
    pairs: Sequence[tuple[CountRow, BaselineValue]],
) -> tuple[Reading, BaselineValue]:
    """The group that moved farthest; one that cannot be compared goes before all others."""
    farthest, distance = (now, BaselineValue(None)), -1.0
    for row, before in pairs:
        value = measure(table, row)[metric].value
        if value is None or before.value is None:
            return now, before
        if abs(value - before.value) > distance:
            distance = abs(value - before.value)
            shown = (f"{named(row.group)} {value:.3g}",)
            farthest = now.model_copy(update={"value": value, "groups": shown}), before
    return farthest


def _change(now: Reading, before: BaselineValue) -> Reading:
    """The distance of the two as a reading; None, with the reason, where one is missing."""
    if now.value is None:
        return now
    if before.value is None:
        reason = f"there is nothing to count a change from: {before.reason}"
        return now.model_copy(update={"value": None, "reason": reason, "interval": None})
    change = abs(now.value - before.value)
    return now.model_copy(update={"value": change, "interval": None})


def _told(now: Reading, before: BaselineValue) -> str:
    if before.value is None:
        return ""
    return (
        f"; {now.value:.6g} now, {before.value:.6g} of the version in production when it was "
        "evaluated"
    )
