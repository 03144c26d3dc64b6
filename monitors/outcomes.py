"""One reading against one threshold: on which side of the limit it is, and whether that is sure."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from aims_mlflow.governance.metrics import MetricFamily
from aims_mlflow.monitors.verdicts import TOLERANCE, held, limits, listed, too_few
from aims_mlflow.readings import Verdict

if TYPE_CHECKING:
    from collections.abc import Mapping

    from aims_mlflow.governance.thresholds import Threshold
    from aims_mlflow.monitored import MonitorReading

#: Metrics that few rows make no less certain: the small number is itself the finding, or what is
#: read does not come from a sample of rows.
WITHOUT_MIN_ROWS = frozenset({"row_count", "request_count", "schema_changes", "freshness_hours"})
#: Parts that a reason names; the others are counted.
_TOLD = 3


class Outcome(NamedTuple):
    """One reading against the threshold; `excess` is how far beyond the limit, negative within."""

    reading: MonitorReading
    verdict: Verdict
    reason: str
    value: float | None = None
    baseline: float | None = None
    bound: float = 0
    excess: float = -math.inf


class _Judged(NamedTuple):
    """What a limit is held against: the value, or its change from the baseline."""

    value: float
    bound: float
    baseline: float | None = None
    told: str = ""


def outcome(
    threshold: Threshold, reading: MonitorReading, production: Mapping[str, float]
) -> Outcome:
    """A reading against a threshold.

    Args:
        threshold: One of `min`, `max` or both, or `max_change`.
        reading: Of the metric of the threshold.
        production: By `MonitorReading.key`, the values of the version in production when it was
            evaluated.
    """
    judged = _judged(threshold, reading, production)
    if isinstance(judged, str):
        return Outcome(reading, Verdict.INSUFFICIENT, judged, bound=reading.error_bound)
    unfit = _too_few(threshold, reading) or _wrong_way(threshold, reading)
    verdict, reason = (Verdict.INSUFFICIENT, unfit) if unfit else _held(threshold, judged)
    reason += judged.told
    if verdict is Verdict.PASS and reading.excluded and threshold.small_groups == "insufficient":
        verdict = Verdict.INSUFFICIENT
        reason += f", but without {listed(reading.excluded, _TOLD)}"
    excess = _excess(threshold, judged.value)
    return Outcome(reading, verdict, reason, judged.value, judged.baseline, judged.bound, excess)


def _judged(
    threshold: Threshold, reading: MonitorReading, production: Mapping[str, float]
) -> _Judged | str:
    """What the limit is held against, or why there is nothing."""
    value = reading.value
    if value is None or not math.isfinite(value):
        return reading.reason or (
            "nothing was measured" if value is None else f"{value} was measured, which is no number"
        )
    if threshold.max_change is None:
        return _Judged(value, reading.error_bound)
    if threshold.change_from == "production":
        baseline, off, of = production.get(reading.key), 0.0, "the version in production"
    else:
        baseline, off, of = reading.reference, reading.reference_bound, "the reference"
    if baseline is None or not math.isfinite(baseline):
        return f"{of} has no value of it from which to count the change"
    told = f": {value:.6g} now, {baseline:.6g} of {of}"
    return _Judged(abs(value - baseline), reading.error_bound + off, baseline, told)


def _too_few(threshold: Threshold, reading: MonitorReading) -> str:
    least = threshold.min_rows
    if reading.metric in WITHOUT_MIN_ROWS:
        return ""
    if reading.n is not None and reading.n < least:
        return too_few(threshold, reading.n, "rows")
    compared = threshold.family is MetricFamily.DRIFT or (
        threshold.max_change is not None and threshold.change_from == "reference"
    )
    if compared and reading.reference_n is not None and reading.reference_n < least:
        return too_few(threshold, reading.reference_n, "rows of the reference")
    return ""


def _wrong_way(threshold: Threshold, reading: MonitorReading) -> str:
    """Why no limit is on the right side of a drift score, whose test chose what the score is."""
    if not reading.test or threshold.max_change is not None:
        return ""
    if reading.p_value is not None and reading.p_value == reading.value:
        # No p-value is below 0: such a limit would let total drift pass.
        limited = threshold.min is not None and threshold.min > TOLERANCE
        score, said, how = "p-value", "small", "a 'min' above 0"
    else:
        limited = threshold.max is not None
        score, said, how = "distance", "large", "'max'"
    if limited:
        return ""
    return (
        f"the score is the {score} of the test '{reading.test}', of which a {said} one says "
        f"drift: limit it with {how}, or declare another test under the monitor's 'tests'"
    )


def _held(threshold: Threshold, judged: _Judged) -> tuple[Verdict, str]:
    """PASS or FAIL only where the value is on one side of the limits however it may be off."""
    value, bound = judged.value, judged.bound
    verdict, reason = held(threshold, value)
    if bound == 0:
        return verdict, reason
    low, high = value - bound, value + bound
    least, most = limits(threshold)
    ends = {held(threshold, end)[0] for end in (low, high)} if math.isfinite(bound) else set()
    if ends == {Verdict.PASS}:
        return Verdict.PASS, reason
    if ends == {Verdict.FAIL} and (
        (least is not None and high < least) or (most is not None and low > most)
    ):
        return Verdict.FAIL, reason
    within_most = most is None or (least is not None and high < most)
    limit = least if within_most else most
    return (
        Verdict.INSUFFICIENT,
        f"{value:.6g} may be off by {bound:.3g}, which reaches across the limit {limit:.12g}",
    )


def _excess(threshold: Threshold, value: float) -> float:
    """How far a value is beyond the limits; negative where it is within."""
    least, most = limits(threshold)
    beyond = [] if least is None else [least - value]
    return max(beyond if most is None else [*beyond, value - most])
