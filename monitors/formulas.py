"""Metrics of one group from its counts and sums, in closed form.

Each equals scikit-learn's function of the same name on the rows (`metrics.METRICS` has the
names; rates by group are Fairlearn's), with one difference: what has a zero denominator is
undefined here, with the reason, where scikit-learn warns and returns 0.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from aims_mlflow.governance.metrics import METRICS, MetricFamily

if TYPE_CHECKING:
    from aims_mlflow.monitors.tables import CountRow, ErrorSums, EvaluationTable


class Measured(NamedTuple):
    """A value, or None and the reason why there is none."""

    value: float | None
    reason: str = ""


NO_POSITIVES = "no positives in y_true"
NO_NEGATIVES = "no negatives in y_true"
_POSITIVE = (
    "precision",
    "recall",
    "f1",
    "selection_rate",
    "true_positive_rate",
    "false_positive_rate",
    "false_negative_rate",
)
_RANKING = (
    "roc_auc",
    "average_precision",
    "log_loss",
    "brier_score",
    "expected_calibration_error",
)


def performance_metrics(task: str) -> tuple[str, ...]:
    """The names of the performance metrics of a task, in the order of `METRICS`.

    >>> performance_metrics("regression")[:3]
    ('mae', 'mse', 'rmse')
    """
    return tuple(
        m.name for m in METRICS.values() if m.family is MetricFamily.PERFORMANCE and task in m.tasks
    )


def measure(table: EvaluationTable, row: CountRow) -> dict[str, Measured]:
    """Every performance metric of the table's task, for one of its rows."""
    names = performance_metrics(table.task)
    if row.suppressed:
        return dict.fromkeys(names, Measured(None, f"only {row.n} rows: suppressed"))
    if row.sums is not None:
        found = _regression(row.n, row.sums) | _kept(row, ("median_absolute_error",))
    else:
        found = _classes(row)
        if table.task == "binary":
            found |= _binary(table, row) | _kept(row, _RANKING)
    return {name: found[name] for name in names}


def _kept(row: CountRow, names: tuple[str, ...]) -> dict[str, Measured]:
    """Scalars that were computed from the rows when these were aggregated."""
    absent = "not kept for combinations of features" if len(row.group) > 1 else "no y_score given"
    return {
        name: Measured(
            row.exact.get(name), "" if name in row.exact else row.undefined.get(name, absent)
        )
        for name in names
    }


def _binary(table: EvaluationTable, row: CountRow) -> dict[str, Measured]:
    if table.positive_label is None:
        reason = f"only the label '{table.labels[0]}' occurs, and no positive_label is given"
        return dict.fromkeys(_POSITIVE, Measured(None, reason))
    positive = table.labels.index(table.positive_label)
    tp = fp = fn = tn = 0
    for true, predicted, n in row.counts:
        tp += n * (true == positive == predicted)
        fp += n * (true != positive == predicted)
        fn += n * (true == positive != predicted)
        tn += n * (true != positive != predicted)
    recall = _share(tp, tp + fn, NO_POSITIVES)
    return {
        "precision": _share(tp, tp + fp, "no predicted positives"),
        "recall": recall,
        "f1": _share(2 * tp, 2 * tp + fp + fn, "no positives in y_true or y_pred"),
        "selection_rate": _share(tp + fp, row.n, "no rows"),
        "true_positive_rate": recall,
        "false_positive_rate": _share(fp, fp + tn, NO_NEGATIVES),
        "false_negative_rate": _share(fn, tp + fn, NO_POSITIVES),
    }


def _classes(row: CountRow) -> dict[str, Measured]:
    true: dict[int, int] = {}
    predicted: dict[int, int] = {}
    correct: dict[int, int] = {}
    for i, j, n in row.counts:
        true[i] = true.get(i, 0) + n
        predicted[j] = predicted.get(j, 0) + n
        if i == j:
            correct[i] = n
    labels = sorted(true.keys() | predicted.keys())
    hits = [correct.get(c, 0) for c in labels]
    in_truth = [true.get(c, 0) for c in labels]
    in_predictions = [predicted.get(c, 0) for c in labels]
    both = [t + p for t, p in zip(in_truth, in_predictions, strict=True)]
    return {
        "accuracy": _share(sum(hits), row.n, "no rows"),
        "balanced_accuracy": _balanced(hits, in_truth),
        "precision_macro": _macro(hits, in_predictions, "a class is never predicted"),
        "recall_macro": _macro(hits, in_truth, "a predicted class is not in y_true"),
        "f1_macro": _macro([2 * h for h in hits], both, ""),
        "matthews_corrcoef": _matthews(sum(hits), in_truth, in_predictions),
    }


def _balanced(hits: list[int], in_truth: list[int]) -> Measured:
    """Mean recall over the classes of the truth; a class that is only predicted does not count."""
    recalls = [hit / n for hit, n in zip(hits, in_truth, strict=True) if n]
    if len(recalls) < 2:
        return Measured(None, "y_true holds only one class")
    return Measured(math.fsum(recalls) / len(recalls))


def _macro(hits: list[int], sizes: list[int], reason: str) -> Measured:
    if 0 in sizes:
        return Measured(None, reason)
    return Measured(math.fsum(h / n for h, n in zip(hits, sizes, strict=True)) / len(sizes))


def _matthews(correct: int, true: list[int], predicted: list[int]) -> Measured:
    """Gorodkin's K category correlation (2004), as scikit-learn computes it."""
    n = sum(true)
    covariance = correct * n - sum(t * p for t, p in zip(true, predicted, strict=True))
    spread = (n * n - sum(t * t for t in true)) * (n * n - sum(p * p for p in predicted))
    if spread == 0:
        return Measured(None, "y_true or y_pred holds only one class")
    return Measured(covariance / math.sqrt(spread))


def _regression(n: int, sums: ErrorSums) -> dict[str, Measured]:
    mse = sums.squared_error / n
    r2 = Measured(None, "fewer than two rows" if n < 2 else "y_true is constant")
    if n > 1 and sums.squared_deviation_y > 0:
        r2 = Measured(1 - sums.squared_error / sums.squared_deviation_y)
    return {
        "mae": Measured(sums.abs_error / n),
        "mse": Measured(mse),
        "rmse": Measured(math.sqrt(mse)),
        "r2": r2,
        "mean_error": Measured(sums.error / n),
    }


def _share(numerator: int, denominator: int, reason: str) -> Measured:
    return Measured(numerator / denominator) if denominator else Measured(None, reason)
