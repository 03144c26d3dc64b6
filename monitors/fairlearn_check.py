"""Fairlearn's own word on the disparities of a bias monitor.

The disparities are a subtraction of counted rates (`bias.py`). A monitor has the time to ask
Fairlearn too, on the same counts as weights: what it says otherwise is a fault, and withholds every
PASS.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from aims_mlflow.monitored import MonitorReading
    from aims_mlflow.monitors.tables import CountTable, EvaluationTable

#: Largest difference between two ways of adding up the same counts.
TOLERANCE = 1e-9
_FUNCTIONS = (
    "demographic_parity_difference",
    "demographic_parity_ratio",
    "equalized_odds_difference",
    "equalized_odds_ratio",
    "equal_opportunity_difference",
    "equal_opportunity_ratio",
)


def disagreements(
    table: EvaluationTable,
    readings: Sequence[MonitorReading],
    sizes: Mapping[frozenset[str], int],
    default: int,
) -> tuple[list[str], str]:
    """Hold the disparities of a binary evaluation against `fairlearn.metrics`.

    Args:
        table: What was counted.
        readings: The disparities, by features.
        sizes: The smallest group that was compared, by features; others were left out.
        default: The same for features that `sizes` does not name.

    Returns:
        What Fairlearn says otherwise, and a note of what it was asked (empty for nothing).
    """
    asked = [r for r in readings if r.metric in _FUNCTIONS and r.value is not None and r.feature]
    if table.task != "binary" or table.positive_label is None or not asked:
        return [], ""
    import fairlearn
    from fairlearn import metrics

    positive = table.labels.index(table.positive_label)
    found = []
    for reading in asked:
        features = frozenset((reading.feature or "").split(" x "))
        counts = table.table(tuple(features))
        if counts is None:
            continue
        rows = list(_rows(counts, positive, sizes.get(features, default)))
        truth, predicted, groups, weights = (list(column) for column in zip(*rows, strict=True))
        function: Any = getattr(metrics, reading.metric)
        theirs = float(function(truth, predicted, sensitive_features=groups, sample_weight=weights))
        if not math.isclose(theirs, reading.value or 0.0, rel_tol=TOLERANCE, abs_tol=TOLERANCE):
            found.append(
                f"{reading.key} is {reading.value!r}, and Fairlearn {fairlearn.__version__} says "
                f"{theirs!r} for the same counts"
            )
    said = f"Fairlearn {fairlearn.__version__} gives the same for {len(asked) - len(found)} of "
    return found, f"{said}{len(asked)} disparities, from the same counts"


def _rows(counts: CountTable, positive: int, least: int) -> Iterator[tuple[int, int, str, int]]:
    """Truth, prediction, group and weight of every cell of the groups that were compared."""
    for number, row in enumerate(counts.rows):
        if row.merged or row.suppressed or row.n < least:
            continue
        for true, predicted, n in row.counts:
            yield int(true == positive), int(predicted == positive), str(number), n
