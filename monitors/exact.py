"""Scalars that counts cannot give, and their confidence intervals, from the rows themselves.

Each value equals scikit-learn's function of the same name. A binary score is sorted once, for all
groups: everything here takes its rows in ascending order of the score and is linear in them. All
intervals are at `readings.LEVEL` and are left out where they would be undefined: a score that
separates the classes perfectly, a value that does not vary.
"""

from __future__ import annotations

import math
import sys
from statistics import NormalDist
from typing import TYPE_CHECKING, Any, NamedTuple

from aims_mlflow.readings import LEVEL

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]
    Bools = npt.NDArray[np.bool_]

Bounds = tuple[float, float]
#: Equal bins of 0 to 1 in which the calibration of a score is counted.
CALIBRATION_BINS = 10
#: A likelihood of 0 counts as this much, and one of 1 as so much less.
TINY = sys.float_info.epsilon
#: The normal quantile of a two-sided interval at `LEVEL`.
Z = NormalDist().inv_cdf((1 + LEVEL) / 2)


class Estimate(NamedTuple):
    """A value and its interval; None where no interval is defined."""

    value: float
    bounds: Bounds | None = None


class Ties(NamedTuple):
    """Ascending scores by distinct value: its positives, its negatives, rows at or above it."""

    positives: npt.NDArray[np.int64]
    negatives: npt.NDArray[np.int64]
    at_or_above: npt.NDArray[np.int64]


def binary_scalars(positive: Bools, scores: Floats) -> dict[str, Estimate]:
    """What a binary score is worth, on rows of both classes.

    Args:
        positive: Whether the row is positive (n,), both values present.
        scores: Their scores (n,), ascending.

    Returns:
        `roc_auc` and `average_precision`; for scores within 0 to 1 also `log_loss`, `brier_score`
        and `expected_calibration_error`.
    """
    ties = _ties(positive, scores)
    found = {"roc_auc": roc_auc(ties), "average_precision": average_precision(ties)}
    if not probabilities(scores):
        return found
    return found | {
        "log_loss": log_loss(positive, scores),
        "brier_score": mean((scores - positive) ** 2, 0.0, 1.0),
        "expected_calibration_error": calibration_error(positive, scores),
    }


def probabilities(scores: Floats) -> bool:
    """Whether ascending scores (n,) lie within 0 to 1."""
    return bool(scores[0] >= 0 and scores[-1] <= 1)


def roc_auc(ties: Ties) -> Estimate:
    """Area under the ROC curve, with the variance of DeLong, DeLong and Clarke-Pearson (1988).

    The placements come from midranks (Sun and Xu 2014, "Fast implementation of DeLong's
    algorithm"); the interval is symmetric on the logit scale, which keeps it within 0 to 1 and
    its level near the ends (Pepe 2003).
    """
    positives, negatives = ties.positives, ties.negatives
    m, n = int(positives.sum()), int(negatives.sum())
    # Doubled, ties count whole numbers, and the area is exact until the one division.
    below = 2 * negatives.cumsum() - negatives
    above = 2 * (m - positives.cumsum()) + positives
    value = int((positives * below).sum()) / (2 * m * n)
    if min(m, n) < 2:
        return Estimate(value)
    of_positives = (positives * (below / (2 * n) - value) ** 2).sum() / (m - 1)
    of_negatives = (negatives * (above / (2 * m) - value) ** 2).sum() / (n - 1)
    error = math.sqrt(float(of_positives) / m + float(of_negatives) / n)
    return Estimate(value, _logit(value, Z * error))


def average_precision(ties: Ties) -> Estimate:
    """Average precision, with the variance of its influence function.

    Average precision is the mean over the positives of A(s) / B(s), with A the positives and B
    the rows at or above the score s. A row (s, y) moves it by
    `(y (A(s)/B(s) + G(s) - AP) - H(s)) / P(y=1)`, where G and H are the sums of 1/B and A/B^2 over
    the positives at or below s: the derivative of that ratio (Hampel 1974). The interval is
    symmetric on the logit scale, as in Boyd, Eng and Page (2013), with Student's t for the rarer
    class. Their binomial variance was not taken: where positives are frequent, it covers less
    than it says (about 90 % in simulation).
    """
    positives, rows = ties.positives, ties.at_or_above
    m, n = int(positives.sum()), int(rows[0])
    true = m - positives.cumsum() + positives
    precision = true / rows
    value = float((positives * precision).sum() / m)
    rarer = min(m, n - m)
    if rarer < 2:
        return Estimate(value)
    gained = (positives / rows).cumsum()
    lost = (positives * precision / rows).cumsum()
    influence = positives * (precision + gained - lost - value) ** 2 + ties.negatives * lost**2
    error = math.sqrt(float(influence.sum()) * rarer / (rarer - 1)) / m
    return Estimate(value, _logit(value, student(rarer - 1) * error))


def log_loss(positive: Bools, scores: Floats) -> Estimate:
    """Negative mean log-likelihood; scores of 0 and 1 count as the next number inside."""
    import numpy as np

    likelihood = np.clip(np.where(positive, scores, 1 - scores), TINY, 1 - TINY)
    return mean(-np.log(likelihood), 0.0, math.inf)


def mean(values: Floats, low: float, high: float) -> Estimate:
    """The mean of values (n,), with Student's interval (1908) cut to what a mean can be.

    With many values that is the normal interval; with a few it is as wide as it must be.
    """
    import numpy as np

    n = len(values)
    return mean_of(
        float(values.mean()), float(np.std(values, ddof=1)) if n > 1 else 0, n, low, high
    )


def mean_of(value: float, deviation: float, n: int, low: float, high: float) -> Estimate:
    """The same from the mean and the standard deviation (ddof 1) of n values."""
    error = deviation / math.sqrt(n)
    if error == 0:
        return Estimate(value)
    half = student(n - 1) * error
    return Estimate(value, (max(low, value - half), min(high, value + half)))


def calibration_error(positive: Bools, scores: Floats) -> Estimate:
    """Expected calibration error over ten equal bins (Naeini, Cooper and Hauskrecht 2015).

    It has no interval: as a sum of absolute gaps it is biased upwards on a finite sample (Kumar,
    Liang and Ma 2019), and an interval around it would not cover the truth.
    """
    bins = calibration_bins(positive, scores)
    gaps = zip(bins["score_sum"], bins["positives"], strict=True)
    return Estimate(math.fsum(abs(score - hits) for score, hits in gaps) / len(scores))


def calibration_bins(positive: Bools, scores: Floats) -> dict[str, list[float]]:
    """The rows in each of ten equal bins of 0 to 1, as scikit-learn's `calibration_curve` bins.

    Args:
        positive: Whether the row is positive (n,).
        scores: Their probabilities (n,), ascending.

    Returns:
        `edges` (11); `n`, `positives` and `score_sum` (10). A score on an edge is in the bin below.
    """
    import numpy as np

    edges = np.linspace(0.0, 1.0, CALIBRATION_BINS + 1)
    cuts = np.searchsorted(scores, edges[1:-1], side="right")
    return {
        "edges": edges.tolist(),
        "n": [len(part) for part in np.split(scores, cuts)],
        "positives": [int(np.count_nonzero(part)) for part in np.split(positive, cuts)],
        "score_sum": [float(part.sum()) for part in np.split(scores, cuts)],
    }


def median(values: Floats) -> Estimate:
    """The median of values (n,), with its exact distribution-free interval.

    The bounds are the innermost pair of order statistics that cover the median with at least
    `LEVEL` by the binomial distribution (David and Nagaraja 2003, section 7.1); fewer than six
    values have none.
    """
    import numpy as np

    n = len(values)
    rank = median_rank(n)
    if rank == 0:
        return Estimate(float(np.median(values)))
    ends = np.partition(values, (rank - 1, n - rank))
    return Estimate(float(np.median(values)), (float(ends[rank - 1]), float(ends[n - rank])))


def median_rank(n: int) -> int:
    """The rank r from which the r-th smallest and r-th largest of n values cover the median.

    0 where n is too small for any pair to.
    """
    from scipy.special import bdtr, bdtrik

    # The inverse is only as good as its last digit; the distribution itself decides.
    rank = max(0, int(bdtrik((1 - LEVEL) / 2, n, 0.5)) - 1)
    while bdtr(rank, n, 0.5) <= (1 - LEVEL) / 2:
        rank += 1
    return rank


def r2_bounds(squared_error: Floats, squared_deviation: Floats) -> Bounds | None:
    """The interval of r2 by the delta method; None where r2 is 1 or undefined.

    1 - r2 is a ratio of two means, and its logarithm has the influence function
    `squared_error / mean - squared_deviation / mean` (Hampel 1974); the interval is symmetric on
    that scale, so that no bound is above 1.

    Args:
        squared_error: (truth - prediction)^2, shape (n,), n at least 2.
        squared_deviation: (truth - mean truth)^2, shape (n,).
    """
    import numpy as np

    error, spread = float(squared_error.mean()), float(squared_deviation.mean())
    if error == 0 or spread == 0:
        return None
    influence = squared_error / error - squared_deviation / spread
    return r2_interval(error, spread, float(np.std(influence, ddof=1)), len(influence))


def r2_interval(error: float, spread: float, deviation: float, n: int) -> Bounds | None:
    """The same from the two means and the standard deviation (ddof 1) of n influences."""
    width = Z * deviation / math.sqrt(n)
    if width == 0 or not math.isfinite(width):
        return None
    ratio = error / spread
    return 1 - ratio * math.exp(width), 1 - ratio * math.exp(-width)


def student(degrees: int) -> float:
    """The two-sided quantile of Student's t at `LEVEL`, exact from one degree of freedom on."""
    from scipy.special import stdtrit

    return float(stdtrit(degrees, (1 + LEVEL) / 2))


def as_fields(found: dict[str, Estimate]) -> dict[str, Any]:
    """Estimates as the fields `exact` and `intervals` of a `CountRow`."""
    return {
        "exact": {name: estimate.value for name, estimate in found.items()},
        "intervals": {name: e.bounds for name, e in found.items() if e.bounds is not None},
    }


def _ties(positive: Bools, scores: Floats) -> Ties:
    import numpy as np

    first = np.empty(len(scores), dtype=bool)
    first[0] = True
    np.not_equal(scores[1:], scores[:-1], out=first[1:])
    starts = first.nonzero()[0]
    positives = np.add.reduceat(positive, starts, dtype=np.int64)
    sizes = np.diff(starts, append=len(scores))
    return Ties(positives, sizes - positives, len(scores) - starts)


def _logit(value: float, width: float) -> Bounds | None:
    """`value` plus or minus `width`, made symmetric on the logit scale."""
    if not 0 < value < 1 or width == 0:
        return None
    odds = value / (1 - value)
    factor = math.exp(min(width / (value * (1 - value)), 500.0))
    return odds / (odds + factor), odds * factor / (odds * factor + 1)
