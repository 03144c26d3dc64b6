"""How a metric fell under a perturbation, with a paired interval where one is known.

The same rows are predicted twice, so the two values are paired, and so are the intervals:

- shares of rows (accuracy, subset_accuracy, recall and the error rates): the adjusted Wald interval
  of Bonett and Price, "Adjusted Wald confidence interval for a difference of binomial proportions
  based on paired data", J. Educ. Behav. Stat. 37 (2012), on the rows that went from right to wrong
  and from wrong to right;
- mae and mse: Student's t on the differences by row;
- f1 and f1_macro: the percentile bootstrap (Efron 1979) of the table of (true, clean prediction,
  perturbed prediction), drawn as a multinomial, which is the bootstrap of the rows.

The others (scores of rankings, rmse, r2) have none.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

from aims_mlflow.governance.metrics import LOWER_IS_BETTER
from aims_mlflow.monitors.formulas import Measured, measure
from aims_mlflow.monitors.perturbations import generator
from aims_mlflow.monitors.targets import label_text
from aims_mlflow.readings import LEVEL, Fall, Interval

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy as np
    import numpy.typing as npt

    from aims_mlflow.monitors.tables import EvaluationTable

    Array = npt.NDArray[Any]
    Floats = npt.NDArray[np.float64]

#: Draws of the bootstrap, and the largest table (cells times labels) that is drawn.
RESAMPLES = 1000
MAX_CELLS = 100_000
#: Fewer rows have no interval of a mean: their distribution decides too much.
MIN_ROWS_OF_MEAN = 30
_NEAR_ZERO = "mean_error"
_NO_DIRECTION = "selection_rate"
#: Which rows a share is of: all, or those whose truth is the positive label (or is not).
_SHARES: dict[str, bool | None] = {
    "accuracy": None,
    "subset_accuracy": None,
    "recall": True,
    "true_positive_rate": True,
    "false_negative_rate": True,
    "false_positive_rate": False,
}


class Predicted(NamedTuple):
    """An evaluation of the rows: their predictions, (n,) or (n, labels), and the aggregates."""

    values: Array
    table: EvaluationTable


def falls(
    truth: Array, clean: Predicted, perturbed: Predicted, metrics: Sequence[str], *seed: Any
) -> tuple[Fall, ...]:
    """The metrics with and without the perturbation.

    Args:
        truth: The true labels or values, (n,) or (n, labels).
        clean: The predictions for the inputs as they are.
        perturbed: The predictions for the perturbed inputs, of the same rows.
        metrics: Names of performance metrics of the task.
        *seed: Of the bootstrap: a number and names.
    """
    before = measure(clean.table, clean.table.overall)
    after = measure(perturbed.table, perturbed.table.overall)
    pairs = _Pairs(truth, clean, perturbed)
    return tuple(_fall(name, before[name], after[name], pairs, seed) for name in metrics)


def largest(every: Sequence[tuple[Fall, ...]]) -> tuple[Fall, ...]:
    """For each metric, the largest of several falls, without its interval.

    An interval of the largest of several falls would not cover: it was chosen for being large.
    A metric that is undefined in one of them is undefined here too.
    """
    chosen = []
    for of_metric in zip(*every, strict=True):
        fall = max(of_metric, key=lambda f: math.inf if f.fall is None else f.fall)
        chosen.append(fall.model_copy(update={"interval": None}))
    return tuple(chosen)


class _Pairs:
    """The rows, each with its truth and its two predictions."""

    def __init__(self, truth: Array, clean: Predicted, perturbed: Predicted) -> None:
        self.truth, self.clean, self.perturbed = truth, clean, perturbed
        self.positive = clean.table.positive_label

    def interval(self, metric: str, seed: tuple[Any, ...]) -> Interval | None:
        if metric in _SHARES:
            return self._share(_SHARES[metric])
        if metric in ("mae", "mse"):
            return self._mean(1 if metric == "mae" else 2)
        if metric in ("f1", "f1_macro") and self.truth.ndim == 1:
            return self._bootstrap(metric, seed)
        return None

    def _right(self, predicted: Array) -> Array:
        import numpy as np

        right = np.asarray(self.truth == predicted)
        return np.asarray(right.all(axis=1)) if right.ndim == 2 else right

    def _share(self, positive: bool | None) -> Interval | None:
        right, still = self._right(self.clean.values), self._right(self.perturbed.values)
        if positive is not None:
            rows = self._positives() == positive
            right, still = right[rows], still[rows]
        return paired_shares(int((right & ~still).sum()), int((~right & still).sum()), len(right))

    def _positives(self) -> Array:
        import numpy as np

        return np.array([label_text(value) == self.positive for value in self.truth.tolist()])

    def _mean(self, power: int) -> Interval | None:
        import numpy as np

        with np.errstate(over="ignore", invalid="ignore"):
            before = np.abs(self.clean.values.astype(float) - self.truth) ** power
            after = np.abs(self.perturbed.values.astype(float) - self.truth) ** power
            return paired_means(after - before)

    def _bootstrap(self, metric: str, seed: tuple[Any, ...]) -> Interval | None:
        import numpy as np
        import pandas as pd

        rows = (self.truth, self.clean.values, self.perturbed.values)
        codes, labels = pd.factorize(np.concatenate([r.astype(object) for r in rows]))
        cells, counts = np.unique(codes.reshape(3, -1), axis=1, return_counts=True)
        if cells.shape[1] * len(labels) > MAX_CELLS:
            return None
        wanted = [label_text(v) == self.positive for v in labels.tolist()]
        # F1 of the positive label alone, or the mean over all of them.
        chosen = np.flatnonzero(wanted) if metric == "f1" else np.arange(len(labels))
        if not len(chosen):
            return None
        rng = generator(int(seed[0]), *map(str, seed[1:]), metric)
        draws = rng.multinomial(counts.sum(), counts / counts.sum(), size=RESAMPLES)
        return _percentiles(
            _f1(draws, cells[0], cells[1], chosen) - _f1(draws, cells[0], cells[2], chosen),
            int(seed[0]),
        )


def paired_shares(worse: int, better: int, n: int) -> Interval | None:
    """The interval of a fall in a share of `n` rows, `worse` of which went from right to wrong.

    Bonett and Price (2012), adjusted Wald: one row is added to each of the two counts. None for no
    rows.

    >>> found = paired_shares(10, 2, 100)
    >>> round(found.low, 4), round(found.high, 4)
    (0.0082, 0.1487)
    """
    if n == 0:
        return None
    fell, rose = (worse + 1) / (n + 2), (better + 1) / (n + 2)
    half = _z() * math.sqrt((fell + rose - (fell - rose) ** 2) / (n + 2))
    low, high = max(fell - rose - half, -1.0), min(fell - rose + half, 1.0)
    return Interval(low=low, high=high, method="paired adjusted Wald (Bonett and Price 2012)")


def paired_means(differences: Floats) -> Interval | None:
    """Student's t interval of the mean of differences (n,); None below 30 rows."""
    import numpy as np
    from scipy.stats import t

    n = len(differences)
    if n < MIN_ROWS_OF_MEAN or not np.isfinite(differences).all():
        return None
    mean = float(differences.mean())
    half = float(t.ppf((1 + LEVEL) / 2, n - 1) * differences.std(ddof=1) / math.sqrt(n))
    return Interval(low=mean - half, high=mean + half, method="paired Student's t")


def _fall(
    metric: str, before: Measured, after: Measured, pairs: _Pairs, seed: tuple[Any, ...]
) -> Fall:
    fall, reason = None, ""
    if before.value is None or after.value is None:
        undefined, which = (before, "clean") if before.value is None else (after, "perturbed")
        reason = f"undefined on the {which} rows: {undefined.reason}"
    elif metric == _NO_DIRECTION:
        reason = f"neither a high nor a low {metric} is better"
    else:
        fall = _worse(metric, before.value, after.value)
        if not math.isfinite(fall):
            fall, reason = None, "beyond the range of numbers"
    return Fall(
        metric=metric,
        clean=before.value,
        perturbed=after.value,
        fall=fall,
        interval=pairs.interval(metric, seed) if fall is not None else None,
        reason=reason,
    )


def _worse(metric: str, before: float, after: float) -> float:
    if metric == _NEAR_ZERO:
        return abs(after) - abs(before)
    return after - before if metric in LOWER_IS_BETTER else before - after


def _f1(draws: Array, true: Array, predicted: Array, labels: Array) -> Floats:
    """F1 (draws,), the mean over those of `labels` that occur in a draw; NaN where none does."""
    import numpy as np

    in_truth, in_prediction = true[:, None] == labels, predicted[:, None] == labels
    hits = draws @ (in_truth & in_prediction)
    both = draws @ in_truth + draws @ in_prediction
    with np.errstate(invalid="ignore"):
        values = 2 * hits / both
    counted = (both > 0).sum(axis=1)
    total = np.where(both > 0, values, 0.0).sum(axis=1)
    mean: Floats = np.divide(total, counted, out=np.full(len(draws), np.nan), where=counted > 0)
    return mean


def _percentiles(differences: Floats, seed: int) -> Interval | None:
    import numpy as np

    # A draw without the label has no F1; with many of these the others are no fair sample.
    if np.isnan(differences).mean() > 1 - LEVEL:
        return None
    tail = 100 * (1 - LEVEL) / 2
    low, high = np.nanpercentile(differences, [tail, 100 - tail]).tolist()
    method = f"paired bootstrap of counts, {RESAMPLES} draws, seed {seed}"
    return Interval(low=low, high=high, method=method)


def _z() -> float:
    from statistics import NormalDist

    return NormalDist().inv_cdf((1 + LEVEL) / 2)
