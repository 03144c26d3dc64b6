"""What each plot shows, in words: the alternative text of the plots, and all that Markdown has."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aims_mlflow.model_card.formats.text import shown

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from aims_mlflow.model_card.dot_plots import DotPanel
    from aims_mlflow.readings import Calibration, CurvePoint

_UNDEFINED = "undefined"


def reliability(calibration: Calibration) -> str:
    """How well the scores match the share of positives, and where they match it least."""
    if not calibration.bins:
        return "No row has a score between 0 and 1."
    worst = max(calibration.bins, key=lambda one: abs(one.mean_score - one.observed))
    words = f"{len(calibration.bins)} bins of the score against the share of positives in each. "
    words += (
        f"Scores of {worst.low:g} to {worst.high:g} are positive in {worst.observed:.0%} of "
        f"{worst.n:,} rows, where their mean is {worst.mean_score:.2f}: the largest gap. "
    )
    return words + f"The expected calibration error is {calibration.ece:.3f}."


def roc(curve: Sequence[CurvePoint]) -> str:
    """True and false positive rate at the middle threshold."""
    point = _middle(curve)
    return (
        f"The true positive rate rises with the false positive rate over {len(curve)} thresholds. "
        f"From a score of {point.threshold:g} on, {_rate(point.true_positive_rate)} of the "
        f"positives and {_rate(point.false_positive_rate)} of the negatives are said positive."
    )


def precision_recall(curve: Sequence[CurvePoint]) -> str:
    """Precision and recall at the middle threshold."""
    point = _middle(curve)
    return (
        f"Precision by recall over {len(curve)} thresholds. From a score of {point.threshold:g} "
        f"on, {_rate(point.precision)} of the rows said positive are positive, and "
        f"{_rate(point.true_positive_rate)} of the positives are found."
    )


def thresholds(curve: Sequence[CurvePoint]) -> str:
    """The share said positive at a low, a middle and a high threshold."""
    points = sorted(curve, key=lambda point: point.threshold)
    third = max(len(points) // 4, 1)
    told = "; ".join(
        f"{point.selection_rate:.0%} from {point.threshold:g} on" for point in points[third::third]
    )
    return f"Rates by the score from which a row counts as positive. Said positive: {told}."


def confusion(labels: Sequence[str], counts: Mapping[tuple[str, str], int]) -> str:
    """How many rows are right, and the most frequent confusion."""
    total = sum(counts.values())
    right = sum(counts.get((label, label), 0) for label in labels)
    words = f"{right:,} of {total:,} rows are on the diagonal, predicted as they are."
    wrong = {pair: n for pair, n in counts.items() if pair[0] != pair[1] and n}
    if not wrong:
        return words
    (true, predicted), n = max(wrong.items(), key=lambda item: item[1])
    return f"{words} Most often confused: {n:,} rows of '{true}' predicted as '{predicted}'."


def dots(labels: Sequence[str], panels: Sequence[DotPanel]) -> str:
    """Lowest and highest row of each panel, and the value that they are compared with."""
    return " ".join(filter(None, (_panel(labels, panel) for panel in panels))) or "Nothing to show."


def _panel(labels: Sequence[str], panel: DotPanel) -> str:
    given = [(label, mark) for label, mark in zip(labels, panel.marks, strict=True) if mark]
    compared = [(label, mark.value) for label, mark in given if not mark.hollow]
    if not compared:
        return ""
    low = min(compared, key=lambda item: item[1])
    high = max(compared, key=lambda item: item[1])
    words = f"{panel.title}: lowest {low[0]} ({_value(low[1])}), highest {high[0]} "
    words += f"({_value(high[1])})"
    if len(compared) == 1:
        words = f"{panel.title}: {low[0]} ({_value(low[1])})"
    if panel.reference is not None:
        words += f", dashed line {_value(panel.reference)}"
    hollow = sum(mark.hollow for _, mark in given)
    return f"{words}{f', {hollow} hollow: not compared' if hollow else ''}."


def _middle(curve: Sequence[CurvePoint]) -> CurvePoint:
    return min(curve, key=lambda point: abs(point.threshold - 0.5))


def _rate(value: float | None) -> str:
    return _UNDEFINED if value is None else f"{value:.0%}"


def _value(value: float) -> str:
    return shown(float(f"{value:.3g}"))
