"""Metrics of one group from its counts and sums, in closed form.

Each equals scikit-learn's function of the same name on the rows (`metrics.METRICS` has the
names; rates by group are Fairlearn's), with one difference: what has a zero denominator is
undefined here, with the reason, where scikit-learn warns and returns 0.
"""

from __future__ import annotations

import math
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

from aims_mlflow.governance.metrics import METRICS, MetricFamily

if TYPE_CHECKING:
    from aims_mlflow.monitors.tables import CountRow, ErrorSums, EvaluationTable

#: Hits and trials: a share of rows.
Share = tuple[int, int]


class Measured(NamedTuple):
    """A value, or None and the reason why there is none.

    `shares` are the (hits, trials) that the value is made of, where these are independent of
    each other: one for a rate, one for each class where the value is their unweighted mean, and
    for F1 the share of true positives among all rows that it looks at. They are what an interval
    is computed from.
    """

    value: float | None
    reason: str = ""
    shares: tuple[Share, ...] = ()


class Cells(NamedTuple):
    """The four counts of one class or label against all others."""

    tp: int
    fp: int
    fn: int
    tn: int


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
_SCORED = (
    "roc_auc",
    "average_precision",
    "log_loss",
    "brier_score",
    "expected_calibration_error",
)


@cache
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
    if table.task == "ranking":
        found = _kept(row, names, "no query could be scored")
    elif table.task == "multilabel":
        found = _labels(row) | _kept(row, ("subset_accuracy",), "not kept with the counts")
    elif row.sums is not None:
        found = _regression(row.n, row.sums)
        found |= _kept(row, ("median_absolute_error",), "not kept with the sums")
    else:
        found = _classes(row)
        if table.task == "binary":
            found |= _binary(table, row) | _kept(row, _SCORED, "no y_score given")
    return {name: found[name] for name in names}


def by_class(table: EvaluationTable) -> dict[str, tuple[int, dict[str, Measured]]]:
    """Each class of a classifier, or each label of a multilabel task, against all others.

    Returns:
        By label, its support (rows that truly have it) and its precision, recall and F1. Classes
        that occur neither in the truth nor in the predictions of these rows are left out.
    """
    found = _one_against_the_rest(table)
    return {
        label: (cells.tp + cells.fn, precision_recall_f1(cells)) for label, cells in found.items()
    }


def precision_recall_f1(cells: Cells) -> dict[str, Measured]:
    """Precision, recall and F1 of one class.

    >>> precision_recall_f1(Cells(tp=6, fp=2, fn=4, tn=8))["precision"].value
    0.75
    """
    tp, fp, fn, _ = cells
    f1 = share(2 * tp, 2 * tp + fp + fn, "no positives in y_true or y_pred")
    return {
        "precision": share(tp, tp + fp, "no predicted positives"),
        "recall": share(tp, tp + fn, NO_POSITIVES),
        "f1": f1._replace(shares=((tp, tp + fp + fn),) if f1.value is not None else ()),
    }


def share(hits: int, trials: int, reason: str) -> Measured:
    """`hits / trials`, or undefined for this `reason` where there are no trials."""
    if not trials:
        return Measured(None, reason)
    return Measured(hits / trials, shares=((hits, trials),))


def _kept(row: CountRow, names: tuple[str, ...], absent: str) -> dict[str, Measured]:
    """Scalars that were computed from the rows when these were aggregated."""
    absent = "not kept for combinations of features" if len(row.group) > 1 else absent
    return {
        name: Measured(
            row.exact.get(name), "" if name in row.exact else row.undefined.get(name, absent)
        )
        for name in names
    }


def _one_against_the_rest(table: EvaluationTable) -> dict[str, Cells]:
    row = table.overall
    if table.task == "multilabel":
        pairs = zip(table.labels, row.label_counts, strict=True)
        return {label: Cells(*counts) for label, counts in pairs}
    margins = _margins(row)
    return {
        table.labels[index]: Cells(hit, p - hit, t - hit, row.n - t - p + hit)
        for index, hit, t, p in zip(*margins, strict=True)
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
    found = precision_recall_f1(Cells(tp, fp, fn, tn))
    return found | {
        "selection_rate": share(tp + fp, row.n, "no rows"),
        "true_positive_rate": found["recall"],
        "false_positive_rate": share(fp, fp + tn, NO_NEGATIVES),
        "false_negative_rate": share(fn, tp + fn, NO_POSITIVES),
    }


def _margins(row: CountRow) -> tuple[list[int], list[int], list[int], list[int]]:
    """The classes that occur, and of each the hits, the rows in truth and in predictions."""
    true: dict[int, int] = {}
    predicted: dict[int, int] = {}
    correct: dict[int, int] = {}
    for i, j, n in row.counts:
        true[i] = true.get(i, 0) + n
        predicted[j] = predicted.get(j, 0) + n
        if i == j:
            correct[i] = n
    classes = sorted(true.keys() | predicted.keys())
    return (
        classes,
        [correct.get(c, 0) for c in classes],
        [true.get(c, 0) for c in classes],
        [predicted.get(c, 0) for c in classes],
    )


def _classes(row: CountRow) -> dict[str, Measured]:
    _, hits, in_truth, in_predictions = _margins(row)
    both = [t + p for t, p in zip(in_truth, in_predictions, strict=True)]
    # The F1 of two classes share the rows where one was taken for the other.
    f1 = _macro([2 * h for h in hits], both, "no rows")._replace(shares=())
    return {
        "accuracy": share(sum(hits), row.n, "no rows"),
        "balanced_accuracy": _balanced(hits, in_truth),
        "precision_macro": _macro(hits, in_predictions, "a class is never predicted"),
        "recall_macro": _macro(hits, in_truth, "a predicted class is not in y_true"),
        "f1_macro": f1,
        "matthews_corrcoef": _matthews(sum(hits), in_truth, in_predictions),
    }


def _labels(row: CountRow) -> dict[str, Measured]:
    """Metrics over labels; one row's labels depend on each other, so no share is independent."""
    cells = [Cells(*counts) for counts in row.label_counts]
    tp, fp, fn = (sum(c[index] for c in cells) for index in range(3))
    hits = [c.tp for c in cells]
    predicted = [c.tp + c.fp for c in cells]
    true = [c.tp + c.fn for c in cells]
    both = [t + p for t, p in zip(true, predicted, strict=True)]
    never = "a label is neither in y_true nor predicted"
    found = {
        "precision_macro": _macro(hits, predicted, "a label is never predicted"),
        "recall_macro": _macro(hits, true, "a label is never in y_true"),
        "f1_macro": _macro([2 * h for h in hits], both, never),
        "f1_micro": share(2 * tp, 2 * tp + fp + fn, "no label is in y_true or predicted"),
        "hamming_loss": share(fp + fn, row.n * len(cells), "no rows"),
    }
    return {name: measured._replace(shares=()) for name, measured in found.items()}


def _balanced(hits: list[int], in_truth: list[int]) -> Measured:
    """Mean recall over the classes of the truth; a class that is only predicted does not count."""
    present = [(hit, n) for hit, n in zip(hits, in_truth, strict=True) if n]
    if len(present) < 2:
        return Measured(None, "y_true holds only one class")
    return _mean_of(present)


def _macro(hits: list[int], sizes: list[int], reason: str) -> Measured:
    if 0 in sizes or not sizes:
        return Measured(None, reason)
    return _mean_of(list(zip(hits, sizes, strict=True)))


def _mean_of(shares: list[Share]) -> Measured:
    return Measured(math.fsum(h / n for h, n in shares) / len(shares), shares=tuple(shares))


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
