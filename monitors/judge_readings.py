"""Hold what a monitor read against the declared thresholds: PASS, FAIL or INSUFFICIENT.

A PASS needs every part that the threshold speaks of, measured, from enough rows, and further from
the limit than the value may be off. A FAIL needs one value beyond the limit.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from aims_mlflow.governance.metrics import MetricFamily
from aims_mlflow.monitors.outcomes import outcome
from aims_mlflow.monitors.verdicts import judgement, listed, near, shown
from aims_mlflow.readings import Judgement, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import date

    from aims_mlflow.governance.thresholds import Threshold
    from aims_mlflow.monitored import MonitorReading
    from aims_mlflow.monitors.outcomes import Outcome

#: What a monitor declares to measure what it does not always measure.
_NEEDS = {
    "freshness_hours": "the monitor needs the 'timestamp' of the rows",
    "out_of_range_share": "the monitor needs 'expect': what the values of the columns are to be",
    "new_category_share": "no column with categories was compared with a reference",
    "latency_p50": "the monitor needs the column 'latency', in seconds",
    "latency_p95": "the monitor needs the column 'latency', in seconds",
    "latency_p99": "the monitor needs the column 'latency', in seconds",
    "error_rate": "the monitor needs the column 'error'",
    "prediction_drift": "the monitor or its reference needs the column 'prediction'",
    "target_drift": "the monitor or its reference needs the column 'target'",
}
#: Metrics of data quality that compare with the reference.
_COMPARED = frozenset({"new_category_share", "schema_changes"})
#: How a problem of the reference begins.
_OF_REFERENCE = "reference:"
#: Parts and problems that a reason names; the others are counted.
_TOLD = 3


def verdict_of(judgements: Iterable[Judgement]) -> Verdict:
    """FAIL over INSUFFICIENT over PASS; nothing judged is INSUFFICIENT."""
    return Verdict.worst(judgement.verdict for judgement in judgements)


def judge_readings(
    thresholds: Sequence[Threshold],
    readings: Sequence[MonitorReading],
    *,
    day: date,
    problems: Sequence[str] = (),
    production: Mapping[str, float] | None = None,
) -> tuple[tuple[Judgement, ...], tuple[str, ...]]:
    """Judge every threshold that a monitor can answer and that is in force.

    A threshold that names a column, feature or slice is held against that one's reading. Another
    is held against the reading of all rows and columns where the metric has one, else against each
    part's: the worst part decides and is named, and one that is not measured withholds a PASS.
    A drift score is judged as it was read: a distance, which `max` limits, or a p-value, of which
    a small one says drift and which a `min` above 0 limits. Without that limit nothing is proved.

    Args:
        thresholds: Of this monitor, as `Monitor.judges` says. Those that no monitor judges are left
            out.
        readings: What the monitor measured.
        day: The day for which `valid_from` and `valid_until` are looked at.
        problems: What could not be read or measured. Each withholds a PASS, unless it names
            another column than the threshold's, or begins with "reference:" and the metric is of
            the current data alone.
        production: By `MonitorReading.key`, the value of the version in production when it was
            evaluated, for `change_from: production`.

    Returns:
        The judgements in the order of the thresholds, and a note for each threshold that is not in
        force on that day.
    """
    found: list[Judgement] = []
    notes: list[str] = []
    for threshold in thresholds:
        if not threshold.judged_by_monitors:
            continue
        outside = _outside_validity(threshold, day)
        if outside:
            notes.append(outside)
            continue
        bearing = _bearing(threshold, readings, problems)
        found.append(_judge(threshold, readings, bearing, production or {}))
    return tuple(found), tuple(notes)


def _outside_validity(threshold: Threshold, day: date) -> str:
    first, last = threshold.valid_from, threshold.valid_until
    if first is not None and day < first:
        return f"threshold '{threshold.id}' was not judged on {day}: it holds from {first}"
    if last is not None and day > last:
        return f"threshold '{threshold.id}' was not judged on {day}: it held until {last}"
    return ""


def _bearing(
    threshold: Threshold, readings: Sequence[MonitorReading], problems: Sequence[str]
) -> tuple[str, ...]:
    """The problems that may be about what the threshold speaks of."""
    own = threshold.column
    if _without_reference(threshold):
        problems = [problem for problem in problems if not problem.startswith(_OF_REFERENCE)]
    if own is None:
        return tuple(problems)
    others = {reading.column for reading in readings if reading.column} - {own}
    return tuple(
        problem
        for problem in problems
        if _names(problem, own) or not any(_names(problem, other) for other in others)
    )


def _without_reference(threshold: Threshold) -> bool:
    """Whether nothing of the reference is in what is judged."""
    alone = threshold.family in (MetricFamily.QUALITY, MetricFamily.OPERATION)
    return alone and threshold.metric not in _COMPARED and threshold.max_change is None


def _names(text: str, column: str) -> bool:
    return re.search(rf"(?<!\w){re.escape(column)}(?!\w)", text) is not None


def _judge(
    threshold: Threshold,
    readings: Sequence[MonitorReading],
    problems: Sequence[str],
    production: Mapping[str, float],
) -> Judgement:
    chosen = _chosen(threshold, readings)
    if not chosen:
        reason = _with_problems(_unmeasured(threshold, readings), problems)
        return judgement(threshold, None, Verdict.INSUFFICIENT, reason, column=threshold.column)
    outcomes = [outcome(threshold, reading, production) for reading in chosen]
    worst = max(outcomes, key=_badness)
    verdict, reason = worst.verdict, worst.reason
    if len(outcomes) > 1:
        reason = f"{_part(worst.reading)}: {reason}{_as_well(worst, outcomes)}"
    if problems and verdict is not Verdict.FAIL:
        verdict, reason = Verdict.INSUFFICIENT, _with_problems(reason, problems)
    reading = worst.reading
    return judgement(
        threshold,
        None,
        verdict,
        reason,
        value=worst.value,
        n=reading.n,
        excluded=reading.excluded,
        column=reading.column,
        baseline=worst.baseline,
        error_bound=worst.bound,
        n_total=reading.n_total,
        seed=reading.seed,
    )


def _chosen(threshold: Threshold, readings: Sequence[MonitorReading]) -> tuple[MonitorReading, ...]:
    """The readings of the part that the threshold names; without one, of all or of each part."""
    found = [
        reading
        for reading in readings
        if reading.metric == threshold.subject
        and threshold.column in (None, reading.column)
        and threshold.feature in (None, reading.feature)
        and threshold.slice in (None, reading.slice)
    ]
    named = (threshold.column, threshold.feature, threshold.slice)
    whole = [r for r in found if (r.column, r.feature, r.slice) == named]
    return tuple(whole or found)


def _badness(outcome: Outcome) -> tuple[int, float]:
    order = (Verdict.PASS, Verdict.INSUFFICIENT, Verdict.FAIL)
    return order.index(outcome.verdict), outcome.excess


def _unmeasured(threshold: Threshold, readings: Sequence[MonitorReading]) -> str:
    """Why no reading is of what the threshold speaks of, and what to do."""
    name = threshold.subject
    parts = {_part(reading) for reading in readings if reading.metric == name}
    if parts:
        wanted = threshold.column or threshold.slice or threshold.feature or ""
        others = {r.column or r.slice or r.feature or "" for r in readings if r.metric == name}
        hint = near(wanted, others) or f", only {listed(sorted(parts), _TOLD)}"
        return f"{name} was not measured of '{shown(wanted)}'{hint}"
    if threshold.custom_metric is not None:
        known = {reading.metric for reading in readings}
        hint = near(name, known) or (f", only {listed(sorted(known), _TOLD)}" if known else "")
        return f"the monitor '{threshold.monitor}' measured no '{shown(name)}'{hint}"
    need = _NEEDS.get(name, "")
    return f"{name} was not measured" + (f": {need}" if need else "")


def _with_problems(reason: str, problems: Sequence[str]) -> str:
    return "; ".join([reason, listed(problems, _TOLD, "; ")]) if problems else reason


def _as_well(worst: Outcome, outcomes: Sequence[Outcome]) -> str:
    """What came of the other parts."""
    same = [
        _part(one.reading)
        for one in sorted(outcomes, key=_badness, reverse=True)
        if one.verdict is worst.verdict and one is not worst
    ]
    if worst.verdict is Verdict.PASS:
        return f"; the other {len(same)} are further from the limit" if same else ""
    word = "fail" if worst.verdict is Verdict.FAIL else "cannot be judged"
    return f"; so {word} {listed(same, _TOLD)}" if same else ""


def _part(reading: MonitorReading) -> str:
    """`column 'age'`, `sex`, `slice night`; `all rows` where it names no part."""
    if reading.column is not None:
        return f"column '{shown(reading.column)}'"
    if reading.slice is not None:
        return f"slice {shown(reading.slice)}"
    return shown(reading.feature) if reading.feature is not None else "all rows"
