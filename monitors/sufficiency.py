"""Whether a value rests on enough rows to pass: what counts is its own denominator.

A recall of one positive among a thousand rows is a value of one row.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from aims_mlflow.monitors.formulas import measure

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from aims_mlflow.monitors.tables import CountRow, EvaluationTable

#: A share of fewer trials passes no threshold.
LEAST_TRIALS = 10
#: Metrics that compare every positive with every negative.
_RANKING = ("roc_auc", "average_precision")


def too_few_trials(
    table: EvaluationTable, rows: Iterable[CountRow], metrics: Sequence[str], least: int
) -> str:
    """Why the metrics of these rows prove too little for a PASS; empty where they do not.

    Args:
        table: The evaluation.
        rows: All its rows, or the groups that a disparity compares.
        metrics: The metrics, or the rates of the disparity.
        least: Rows that the threshold asks for at least; it may ask for fewer than ten.
    """
    least = min(least, LEAST_TRIALS)
    for row in rows:
        found = measure(table, row)
        for name in metrics:
            trials = _trials(table, row, name, [n for _hits, n in found[name].shares])
            if trials is not None and trials < least:
                group = " x ".join(f"{key}={value}" for key, value in row.group.items())
                where = f" of {group}" if group else ""
                return f"{name}{where} rests on {trials} of {row.n} rows"
    return ""


def _trials(
    table: EvaluationTable, row: CountRow, name: str, denominators: Sequence[int]
) -> int | None:
    if name in _RANKING and table.positive_label is not None:
        positive = table.labels.index(table.positive_label)
        positives = sum(n for true, _predicted, n in row.counts if true == positive)
        return min(positives, row.n - positives)
    return min(denominators, default=None)
