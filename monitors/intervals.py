"""Confidence intervals of the metrics of one group, from its counts and sums.

* Rates (accuracy, recall, precision, ...): the score interval of Wilson (1927), JASA 22.
* F1 of one class: Wilson's of tp / (tp + fp + fn), of which F1 is a monotone function (Hand,
  Christen and Kirielle 2021, Machine Learning 110).
* Means of independent rates (balanced accuracy, macro recall and precision): MOVER of the classes'
  Wilson limits (Zou, Huang and Zhang 2009, Computational Statistics & Data Analysis 53).
* Mean error: Student's t, the variance from the sum of squares.
* MAE, MSE and RMSE: Student's t of the logarithm (delta method), the variance from the sums of
  squares and of fourth powers; none where that sum is absent. Errors are skewed, and their means
  much less so on that scale: in simulation it covers closer to its level than the plain interval.
  Few rows with heavy tails still fall short (RMSE of 30 Laplace errors: 89 % for 95 %; of 400:
  93 %).
* Macro F1 and Matthews' correlation: see `bootstrap.py`.

A rate is conditional on its denominator. Rows are taken as independent draws: repeated rows of one
person make every interval here too narrow. Metrics that counts cannot give bring the interval that
was computed from the rows (`CountRow.intervals`). What has no interval here has none at all:
labels of one row depend on each other, so macro and micro metrics of a multilabel task have none.
"""

from __future__ import annotations

import math
from functools import lru_cache
from statistics import NormalDist
from typing import TYPE_CHECKING, NamedTuple

from aims_mlflow.monitors.bootstrap import METHOD, METRICS, bootstrap
from aims_mlflow.readings import LEVEL

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aims_mlflow.monitors.formulas import Measured, Share
    from aims_mlflow.monitors.tables import CountRow

#: The widest interval on the logarithmic scale.
_LARGEST = 100.0
WILSON = "Wilson score"
MOVER = "MOVER of the classes' Wilson limits"
STUDENT = "Student's t, from the sums"
STUDENT_LOG = "Student's t of the logarithm, from the sums"
#: How the interval of each metric is computed; those from the rows have their sources in `exact`.
METHODS: dict[str, str] = {
    **dict.fromkeys(
        (
            "accuracy",
            "precision",
            "recall",
            "selection_rate",
            "true_positive_rate",
            "false_positive_rate",
            "false_negative_rate",
            "subset_accuracy",
        ),
        WILSON,
    ),
    "f1": f"{WILSON} of tp / (tp + fp + fn), transformed",
    **dict.fromkeys(("balanced_accuracy", "precision_macro", "recall_macro"), MOVER),
    "mean_error": STUDENT,
    **dict.fromkeys(("mae", "mse", "rmse"), STUDENT_LOG),
    **dict.fromkeys(METRICS, METHOD),
    "roc_auc": "DeLong (1988), logit scale",
    "average_precision": "influence function, logit scale, Student's t",
    **dict.fromkeys(("log_loss", "brier_score"), "normal interval of a mean"),
    "r2": "delta method for 1 - r2, logarithmic scale",
    "median_absolute_error": "order statistics, exact",
    **dict.fromkeys(
        ("ndcg", "ndcg_at_10", "mean_reciprocal_rank", "mean_average_precision"),
        "normal interval of a mean over queries",
    ),
}


class Estimate(NamedTuple):
    """A value and the limits of its interval."""

    value: float
    low: float
    high: float


def estimate(name: str, measured: Measured, row: CountRow, level: float) -> Estimate | None:
    """A metric of a group with its interval at `level`; None where counts and sums give none.

    Args:
        name: The metric.
        measured: Its value, from `formulas.measure` for the same row.
        row: The group's aggregates.
        level: Confidence level, between 0 and 1.
    """
    if measured.value is None:
        return None
    limits = None
    if measured.shares:
        limits = mean_of_shares(measured.shares, level)
        if name == "f1":
            limits = (_f1(limits[0]), _f1(limits[1]))
    elif row.sums is not None:
        limits = _of_sums(name, row, level)
    return Estimate(measured.value, *limits) if limits else None


def row_intervals(found: Mapping[str, Measured], row: CountRow) -> dict[str, tuple[float, float]]:
    """The 95 % intervals of a group's metrics, by name; those without one are left out.

    Intervals that were computed from the rows (`row.intervals`) go before those from counts.
    """
    kept = {name: limits for name, limits in row.intervals.items() if name in found}
    return closed_intervals(found, row) | bootstrap(row.counts, found) | kept


def closed_intervals(
    found: Mapping[str, Measured], row: CountRow
) -> dict[str, tuple[float, float]]:
    """The 95 % intervals that have a closed form, by name."""
    estimates = {name: estimate(name, found[name], row, LEVEL) for name in found}
    return {name: known[1:] for name, known in estimates.items() if known is not None}


def wilson(hits: int, trials: int, level: float = LEVEL) -> tuple[float, float]:
    """The score interval of a share (Wilson 1927), without continuity correction.

    >>> low, high = wilson(8, 10)
    >>> round(low, 3), round(high, 3)
    (0.49, 0.943)
    """
    z = quantile(level)
    centre = (hits + z * z / 2) / (trials + z * z)
    half = z / (trials + z * z) * math.sqrt(hits * (trials - hits) / trials + z * z / 4)
    # On paper the limits of no hit and of nothing but hits are exactly 0 and 1.
    low = max(0.0, centre - half) if hits else 0.0
    return low, min(1.0, centre + half) if hits < trials else 1.0


def mean_of_shares(shares: Sequence[Share], level: float) -> tuple[float, float]:
    """The interval of the unweighted mean of independent shares; of one share, Wilson's.

    MOVER, the method of variance estimates recovery: each limit of the mean is as far from it as
    the root of the summed squares of the distances of the shares' own limits.
    """
    if len(shares) == 1:
        return wilson(*shares[0], level)
    k, below, above, total = len(shares), 0.0, 0.0, 0.0
    for hits, trials in shares:
        low, high = wilson(hits, trials, level)
        value = hits / trials
        total += value
        below += (value - low) ** 2
        above += (high - value) ** 2
    mean = total / k
    return max(0.0, mean - math.sqrt(below) / k), min(1.0, mean + math.sqrt(above) / k)


def mean(value: float, variance: float, n: int, level: float) -> tuple[float, float]:
    """Student's interval of the mean of n values with this (unbiased) variance."""
    half = student(level, n - 1) * math.sqrt(max(0.0, variance) / n)
    return value - half, value + half


def positive_mean(value: float, relative: float, n: int, level: float) -> tuple[float, float]:
    """The same for values that cannot be negative: symmetric on the logarithmic scale.

    `relative` is their variance over the square of their mean.
    """
    half = student(level, n - 1) * math.sqrt(max(0.0, relative) / n)
    # A few rows of which one has all the error: the limit is as good as infinite.
    factor = math.exp(min(half, _LARGEST))
    return value / factor, value * factor


@lru_cache(maxsize=256)
def quantile(level: float) -> float:
    """The two-sided quantile of the normal distribution: 1.96 for 0.95."""
    return NormalDist().inv_cdf((1 + level) / 2)


@lru_cache(maxsize=4096)
def student(level: float, degrees: int) -> float:
    """The two-sided quantile of Student's t, by the expansion of Fisher and Cornish.

    Abramowitz and Stegun (1964), 26.7.5: for 0.95 within 0.3 % from four degrees of freedom on.
    It saves the import of SciPy.

    >>> round(student(0.95, 29), 4)
    2.0452
    """
    z, d = quantile(level), degrees
    return (
        z
        + (z**3 + z) / (4 * d)
        + (5 * z**5 + 16 * z**3 + 3 * z) / (96 * d**2)
        + (3 * z**7 + 19 * z**5 + 17 * z**3 - 15 * z) / (384 * d**3)
        + (79 * z**9 + 776 * z**7 + 1482 * z**5 - 1920 * z**3 - 945 * z) / (92160 * d**4)
    )


def _f1(share: float) -> float:
    return 2 * share / (1 + share)


def _of_sums(name: str, row: CountRow, level: float) -> tuple[float, float] | None:
    sums, n = row.sums, row.n
    if sums is None or n < 2:
        return None
    mse, unbiased = sums.squared_error / n, n / (n - 1)
    if mse == 0:
        # Rows without any error tell nothing of the size of the next one.
        return None
    if name == "mean_error":
        value = sums.error / n
        return mean(value, (mse - value * value) * unbiased, n, level)
    if name == "mae":
        value = sums.abs_error / n
        return positive_mean(value, (mse / value / value - 1) * unbiased, n, level)
    if name not in ("mse", "rmse") or sums.quartic_error is None:
        return None
    relative = (sums.quartic_error / n / mse / mse - 1) * unbiased
    low, high = positive_mean(mse, relative, n, level)
    return (low, high) if name == "mse" else (math.sqrt(low), math.sqrt(high))
