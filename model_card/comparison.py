"""Compare measured values: which way is better, whether a change is more than noise, baselines."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, TypeAlias

from aims_mlflow.governance.metrics import LOWER_IS_BETTER, METRICS, MetricFamily
from aims_mlflow.model_card.bounds import cut_text
from aims_mlflow.model_card.evaluation import BaselineComparison, Comparison
from aims_mlflow.readings import Interval

if TYPE_CHECKING:
    from aims_mlflow.facts import BaselineFacts
    from aims_mlflow.model_card.evaluation import EvaluationReport

#: Lowest and highest value of a confidence interval.
Bounds: TypeAlias = "tuple[float, float]"

METHOD = "MOVER (Zou and Donner 2008), as if the two evaluations were independent"
#: Dataset under which the scorers of generative AI are compared.
GENAI = "assessed traces"
#: A share is no better for being larger, and a judge's number has a scale of its own.
_NEITHER = frozenset({"selection_rate", "mean_score"})
#: Best at zero, from both sides.
_AROUND_ZERO = frozenset({"mean_error"})


def is_better(metric: str, before: float, after: float) -> bool | None:
    """Whether `after` is the better value of a metric of the catalogue.

    Returns:
        None where the two are equal, where neither direction is better (`selection_rate`), and
        for a name that the catalogue of metrics does not have, such as one that a script logged.

    >>> is_better("rmse", 53.4, 51.2), is_better("roc_auc", 0.9, 0.8), is_better("loss", 1, 0)
    (True, False, None)
    >>> is_better("mean_error", -3.0, 1.0)
    True
    """
    known = METRICS.get(metric)
    if known is None or before == after or metric in _NEITHER:
        return None
    if metric in _AROUND_ZERO:
        return None if abs(after) == abs(before) else abs(after) < abs(before)
    if known.family is MetricFamily.FAIRNESS:
        return after > before if metric.endswith("_ratio") else after < before
    if known.family is not MetricFamily.PERFORMANCE:
        return None
    return after < before if metric in LOWER_IS_BETTER else after > before


def delta_bounds(
    before: float, before_bounds: Bounds, after: float, after_bounds: Bounds
) -> Bounds:
    """The interval of `after - before` from the intervals of the two.

    The method of variance estimates recovery for two independent estimates: Zou and Donner,
    Construction of confidence limits about effect measures, Statistics in Medicine 27 (2008),
    1693-1702. Two models evaluated on the same rows are positively correlated as a rule, and the
    interval is then wider than it had to be: what it calls noise may be a small true change.

    >>> delta_bounds(0.5, (0.4, 0.6), 0.5, (0.4, 0.6))[1] < 0.2
    True
    """
    delta = after - before
    below = math.hypot(after - after_bounds[0], before_bounds[1] - before)
    above = math.hypot(after_bounds[1] - after, before - before_bounds[0])
    return delta - below, delta + above


def is_noise(bounds: Bounds) -> bool:
    """Whether an interval of a difference holds zero: the change may be chance."""
    return bounds[0] <= 0 <= bounds[1]


def compare(
    report: EvaluationReport, baseline: EvaluationReport, facts: BaselineFacts
) -> BaselineComparison:
    """Every value that both runs have on a dataset of the same name, in the report's order.

    Args:
        report: The evaluation report of the run.
        baseline: The report of the run behind the version in production.
        facts: Which version that is.
    """
    theirs, before = _values(baseline), {d.name: d.digest for d in baseline.datasets}
    rows = [
        _comparison(key, value, theirs[key])
        for key, value in _values(report).items()
        if key in theirs
    ]
    return BaselineComparison(
        name=cut_text(facts.name),
        version=cut_text(facts.version),
        alias=cut_text(facts.alias),
        run_id=facts.run_id,
        same_data={
            d.name: _same(d.digest, before[d.name]) for d in report.datasets if d.name in before
        },
        rows=tuple(rows),
    )


_Key: TypeAlias = "tuple[str, str, str | None]"
_Value: TypeAlias = "tuple[float | None, Interval | None]"


def _values(report: EvaluationReport) -> dict[_Key, _Value]:
    found: dict[_Key, _Value] = {
        (score.dataset, reading.metric, reading.feature): (reading.value, reading.interval)
        for score in report.scores
        for reading in (*score.overall, *score.disparities)
    }
    for scorer in report.genai.scorers if report.genai else ():
        if scorer.pass_rate is not None:
            found[GENAI, "pass_rate", scorer.scorer] = (scorer.pass_rate, scorer.interval)
        elif scorer.mean is not None:
            found[GENAI, "mean_score", scorer.scorer] = (scorer.mean, scorer.interval)
    return found


def _comparison(key: _Key, value: _Value, baseline: _Value) -> Comparison:
    dataset, metric, feature = key
    after, before = value[0], baseline[0]
    row = Comparison(
        metric=metric,
        dataset=dataset,
        feature=feature,
        value=after,
        baseline=before,
        delta=None,
        better=None,
    )
    if after is None or before is None:
        return row
    interval = None
    if value[1] and baseline[1]:
        low, high = delta_bounds(
            before, (baseline[1].low, baseline[1].high), after, (value[1].low, value[1].high)
        )
        interval = Interval(low=low, high=high, method=METHOD)
    return row.model_copy(
        update={
            "delta": after - before,
            "better": is_better(metric, before, after),
            "delta_interval": interval,
        }
    )


def _same(digest: str | None, other: str | None) -> bool | None:
    return None if digest is None or other is None else digest == other
