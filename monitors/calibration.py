"""Reliability of a binary score and its threshold curve, from the bins of an evaluation."""

from __future__ import annotations

from itertools import accumulate, pairwise
from typing import TYPE_CHECKING

from aims_mlflow.monitors.formulas import Cells, Measured, precision_recall_f1, share
from aims_mlflow.monitors.intervals import wilson
from aims_mlflow.readings import Calibration, CalibrationBin, CurvePoint

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence


def calibration(bins: Mapping[str, Sequence[float]]) -> Calibration | None:
    """How the scores of each bin compare with the share of positives in it.

    The points are those of `sklearn.calibration.calibration_curve(strategy="uniform")`; expected
    and maximum calibration error after Naeini, Cooper and Hauskrecht (2015), AAAI 29. Intervals of
    the shares are Wilson's.

    Args:
        bins: `edges` (k + 1), and `n`, `positives` and `score_sum` (k) of each bin.

    Returns:
        The bins that hold rows; None where none does.
    """
    rows = zip(bins["n"], bins["positives"], bins["score_sum"], strict=True)
    found = [
        CalibrationBin(
            low=low,
            high=high,
            n=int(n),
            mean_score=total / n,
            observed=positives / n,
            interval=wilson(int(positives), int(n)),
        )
        for (low, high), (n, positives, total) in zip(pairwise(bins["edges"]), rows, strict=True)
        if n
    ]
    if not found:
        return None
    gaps = [abs(b.mean_score - b.observed) for b in found]
    every = sum(b.n for b in found)
    ece = sum(b.n * gap for b, gap in zip(found, gaps, strict=True)) / every
    return Calibration(bins=tuple(found), ece=ece, mce=max(gaps))


def threshold_curve(histogram: Mapping[str, Sequence[float]]) -> tuple[CurvePoint, ...]:
    """What the classifier would do at the lower edge of each bin of its scores.

    The counts at an edge are exact, because bins are closed on the left. The last edge has no
    point: the last bin is closed on both sides.

    Args:
        histogram: `edges` (k + 1), `negatives` and `positives` (k).

    Returns:
        One point for each bin, from the lowest threshold to the highest.
    """
    selected = [
        list(accumulate(map(int, reversed(histogram[name]))))[::-1]
        for name in ("positives", "negatives")
    ]
    every = [counts[0] for counts in selected]
    return tuple(
        _point(threshold, Cells(tp, fp, every[0] - tp, every[1] - fp))
        for threshold, tp, fp in zip(histogram["edges"], *selected, strict=False)
    )


def _point(threshold: float, cells: Cells) -> CurvePoint:
    found: dict[str, Measured] = precision_recall_f1(cells)
    return CurvePoint(
        threshold=threshold,
        true_positive_rate=found["recall"].value,
        false_positive_rate=share(cells.fp, cells.fp + cells.tn, "").value,
        precision=found["precision"].value,
        f1=found["f1"].value,
        selection_rate=(cells.tp + cells.fp) / sum(cells),
    )
