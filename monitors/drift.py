"""Drift: which columns are distributed differently now than in the reference."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from aims_mlflow.errors import MonitorError, SourceError
from aims_mlflow.monitors.column_readings import EMPTY
from aims_mlflow.monitors.corrections import NAMES, corrected
from aims_mlflow.monitors.drift_readings import Tested, compared, reading, share
from aims_mlflow.monitors.drift_tests import (
    BY_P_VALUE,
    SMALL,
    Chosen,
    Recount,
    choose,
    comparable,
    says_drift,
    score,
)
from aims_mlflow.monitors.evidently_tests import Answer, Asked, evidently_tests
from aims_mlflow.monitors.point_masses import NotComparableError
from aims_mlflow.monitors.statistics import Statistic
from aims_mlflow.monitors.verdicts import near

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from aims_mlflow.governance.monitoring import Monitor
    from aims_mlflow.monitored import ColumnComparison, MonitorReading
    from aims_mlflow.monitors.summaries import DataSummary

#: Current rows up to which Evidently is run on the raw rows.
_EVIDENTLY_CURRENT = 100_000
#: The reading of a column by the role that it has.
_METRICS = {"target": "target_drift", "prediction": "prediction_drift", "score": "prediction_drift"}


def drift(
    reference: DataSummary,
    current: DataSummary,
    monitor: Monitor,
    *,
    rows: tuple[Any, Any] | None = None,
    recount: Recount | None = None,
) -> tuple[tuple[MonitorReading, ...], tuple[ColumnComparison, ...]]:
    """Test every column for drift, as Evidently does or as the monitor declares.

    The readings are `column_drift` of each compared column, `drift_share` of them all, and
    `target_drift` and `prediction_drift` (of the prediction and of the score), which take no part
    in the share. The value of a reading is the drift score as Evidently reports it: a distance, or
    a p-value. A column that cannot be tested has a reading without a value, with the reason.

    Args:
        reference: The counts of the reference.
        current: The counts of the current data, in the bins of the reference.
        monitor: What is declared: columns, tests, limits, roles and the correction for many tests.
        rows: The raw rows of both (any frames that Narwhals takes). Where the reference has at
            most 1,000, Evidently itself decides.
        recount: Counts a column of both exactly in given edges, which PSI, Jensen-Shannon and
            Hellinger of numbers need to be exact.

    Returns:
        The readings, and the distributions of each compared column for the report.
    """
    tested = [
        _prepared(name, metric, reference, current, monitor)
        for name, metric in _columns(reference, current, monitor)
    ]
    answers = _answers(tested, reference, current, monitor, rows)
    tested = [_scored(one, answers.get(one.name), recount) for one in tested]
    if reference.n <= SMALL and rows is None:
        note = "counted tables decided: the rows of the reference are not at hand"
        tested = [replace(one, notes=(*one.notes, note)) for one in tested]
    tested = _decided(tested, monitor)
    features = [one for one in tested if one.metric == "column_drift"]
    readings = (
        share(features, current),
        *(reading(one, current, suppressed=reference.suppressed_below) for one in tested),
    )
    shown = (compared(one) for one in tested)
    return readings, tuple(one for one in shown if one is not None)


def _columns(
    reference: DataSummary, current: DataSummary, monitor: Monitor
) -> list[tuple[str, str]]:
    """The columns to test, each with the metric that it is read as."""
    logged: dict[str, str] = dict((*current.roles.items(), *reference.roles.items()))
    roles: dict[str, str] = {}
    for role, metric in _METRICS.items():
        name = getattr(monitor, role) or logged.get(role)
        if name:
            roles[name] = metric
    known = dict.fromkeys(c.name for c in (*reference.columns, *current.columns))
    if monitor.columns:
        features: Iterable[str] = dict.fromkeys(monitor.columns)
    else:
        left_out = {*monitor.exclude, *monitor.key, monitor.timestamp}
        features = [
            name
            for name in known
            if name not in left_out and not _is_time(name, reference, current)
        ]
    return [
        *((name, "column_drift") for name in features if name not in roles),
        *((name, metric) for name, metric in roles.items() if name not in monitor.exclude),
    ]


def _is_time(name: str, reference: DataSummary, current: DataSummary) -> bool:
    """Times move on: Evidently leaves them out as well."""
    columns = [c for c in (reference.column(name), current.column(name)) if c is not None]
    return all(column.family == "temporal" for column in columns)


def _prepared(
    name: str, metric: str, reference: DataSummary, current: DataSummary, monitor: Monitor
) -> Tested:
    """The column with the test that it gets, or the reason why it gets none."""
    before, after = reference.column(name), current.column(name)
    one = Tested(name, metric, before, after)
    try:
        if after is None and current.columns:
            raise NotComparableError(_gone(name, reference, current))
        if not current.n:
            raise NotComparableError(EMPTY)
        comparable(before, after)
        assert before is not None and after is not None
        return replace(one, chosen=choose(before, after, monitor.tests.get(name)))
    except NotComparableError as error:
        return replace(one, reason=error.message)


def _gone(name: str, reference: DataSummary, current: DataSummary) -> str:
    """That the current data have no such column; of one that neither has, which names are near."""
    if reference.column(name) is not None:
        return "is not in the current data"
    known = dict.fromkeys(column.name for column in (*current.columns, *reference.columns))
    return f"is neither in the current data nor in the reference{near(name, known)}"


def _answers(
    tested: Sequence[Tested],
    reference: DataSummary,
    current: DataSummary,
    monitor: Monitor,
    rows: tuple[Any, Any] | None,
) -> dict[str, Answer | str]:
    if rows is None or reference.n > SMALL:
        return {}
    asked = []
    for one in tested:
        if one.chosen is None:
            continue
        declared = monitor.tests.get(one.name)
        test, limit = (None, None) if declared is None else (declared.test, declared.limit)
        asked.append(Asked(one.name, one.chosen.categories, test, limit))
    if current.n > _EVIDENTLY_CURRENT:
        why = f"it is run up to {_EVIDENTLY_CURRENT} current rows"
        return {one.column: why for one in asked}
    return evidently_tests(*rows, asked)


def _scored(one: Tested, answer: Answer | str | None, recount: Recount | None) -> Tested:
    if one.chosen is None or one.reference is None or one.current is None:
        return one
    if isinstance(answer, Answer) and math.isfinite(answer.score):
        return _from_evidently(one, one.chosen, answer)
    if isinstance(answer, Answer):
        answer = f"its score of '{answer.test}' is not a number"
    notes = (f"not by Evidently ({answer})",) if answer else ()
    try:
        found = score(one.reference, one.current, one.chosen, recount)
    except (MonitorError, SourceError) as error:
        return replace(one, reason=error.message, notes=notes)
    return replace(one, statistic=found, notes=notes)


def _from_evidently(one: Tested, chosen: Chosen, answer: Answer) -> Tested:
    by_p = answer.test in BY_P_VALUE
    statistic = Statistic(
        answer.score,
        p_value=answer.score if by_p else None,
        decided_by="p_value" if by_p else "distance",
        p_range=(answer.score, answer.score) if by_p else None,
    )
    return replace(
        one,
        chosen=chosen._replace(test=answer.test, limit=answer.limit),
        statistic=statistic,
        drifted=answer.drifted,
        notes=("by Evidently on the raw rows",),
    )


def _decided(tested: Sequence[Tested], monitor: Monitor) -> list[Tested]:
    """Whether each column drifted; None where the error bound leaves it open."""
    family = [
        one
        for one in tested
        if one.metric == "column_drift" and one.statistic is not None and one.statistic.p_range
    ]
    ranges = [one.statistic.p_range for one in family if one.statistic and one.statistic.p_range]
    lows = corrected([low for low, _high in ranges], monitor.correction)
    highs = corrected([high for _low, high in ranges], monitor.correction)
    adjusted = dict(zip((one.name for one in family), zip(lows, highs, strict=True), strict=True))
    decided = []
    for one in tested:
        if one.statistic is None or one.chosen is None:
            decided.append(one)
            continue
        ends = adjusted.get(one.name) if monitor.correction != "none" else None
        notes = one.notes
        if ends is not None:
            what = f"p at most {ends[1]:.3g} after correction ({NAMES[monitor.correction]}"
            notes = (*notes, f"{what}, {len(family)} tests)")
        decided.append(_flagged(one, one.chosen, one.statistic, ends, notes))
    return decided


def _flagged(
    one: Tested,
    chosen: Chosen,
    found: Statistic,
    corrected_ends: tuple[float, float] | None,
    notes: tuple[str, ...],
) -> Tested:
    if one.drifted is not None and corrected_ends is None:
        return replace(one, notes=notes)
    bound = found.error_bound
    ends = corrected_ends or found.p_range or (max(0.0, found.value - bound), found.value + bound)
    says = {says_drift(chosen.test, end, chosen.limit) for end in ends}
    if len(says) == 1:
        return replace(one, drifted=says.pop(), notes=notes)
    reason = (
        f"undecided: {ends[0]:.4g} to {ends[1]:.4g} is possible from what was counted, "
        f"and the limit of '{chosen.test}' is {chosen.limit:g}"
    )
    return replace(one, drifted=None, reason=reason, notes=notes)
