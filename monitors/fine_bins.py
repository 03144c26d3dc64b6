"""Fine bins of numbers, computed in the engine, and how far an order taken from them can be off.

A bin is a monotone function of the number, made of additions, divisions and square roots alone:
these are rounded in the same way everywhere (IEEE 754), so that every engine counts the same bins.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import narwhals as nw
    import numpy as np
    import numpy.typing as npt

    from aims_mlflow.monitors.exact import Ties

    Floats = npt.NDArray[np.float64]
    Bools = npt.NDArray[np.bool_]

#: Square roots in a row: the sixteenth root, which is nearly a logarithm above 1e-12.
_ROOTS = 4
#: Beyond so many scales from the centre, numbers share a bin with the number there.
_FARTHEST = 1e15


def squashed(number: nw.Expr, centre: float, scale: float) -> nw.Expr:
    """Any finite number as one from 0 to 1, in the same order.

    Args:
        number: Floats.
        centre: What becomes 0.5.
        scale: Above 0; what lies so far above the centre becomes 0.75.
    """
    distance = ((number - centre) / scale).clip(-_FARTHEST, _FARTHEST)
    return distance / (distance.abs() + 1.0) * 0.5 + 0.5


def fine_bin(unit: nw.Expr, fineness: int) -> nw.Expr:
    """The bin of a number from 0 to 1, as a whole float.

    Bins are at most `2 / fineness` wide, and ever narrower towards 0 and 1, where the scores of
    rare classes lie: about `64 / fineness` of the distance to that end.

    Args:
        unit: From 0 to 1.
        fineness: The number of all bins.
    """
    low, high = unit.clip(0.0, 1.0), 1.0 - unit.clip(0.0, 1.0)
    for _ in range(_ROOTS):
        low, high = low.sqrt(), high.sqrt()
    quarter = fineness / 4
    return (unit.clip(0.0, 1.0) * (2 * quarter) + low * quarter - high * quarter).floor()


def equal_bin(number: nw.Expr, low: float, step: float, last: int, *, closed: str) -> nw.Expr:
    """The bin between the edges `numpy.linspace` makes: `k * step + low`, exactly.

    Args:
        number: Floats.
        low: The first edge.
        step: The distance of the edges.
        last: The index of the last bin, which takes what is above.
        closed: `left` puts a number on an edge into the bin above it, `right` into the one below.
    """
    # The quotient is rounded, so that a number next to an edge may come out on its other side.
    guess = ((number - low) / step).floor().clip(0, last)
    upper, lower = (guess + 1.0) * step + low, guess * step + low
    if closed == "left":
        above, below = number >= upper, number < lower
    else:
        above, below = number > upper, number <= lower
    index: nw.Expr = (guess + _one(above) - _one(below)).clip(0, last)
    return index


def rank_bounds(ties: Ties, blurred: Bools) -> dict[str, float]:
    """How far the ROC AUC and the average precision of bins can be from those of the rows.

    A pair of rows in one bin counts half in the ROC AUC, and could count nothing or all. In the
    average precision, a positive row of a bin has at best all positives of the bin before any
    negative one, and at worst the contrary.

    Args:
        ties: The bins in ascending order, both classes present.
        blurred: Which of them hold different scores (k,).
    """
    import numpy as np
    from scipy.special import digamma

    positives = ties.positives.astype(float)
    negatives = ties.negatives.astype(float)
    m, n = positives.sum(), negatives.sum()
    mixed = blurred & (positives > 0) & (negatives > 0)
    if not mixed.any():
        return {}
    hits, misses = positives[mixed], negatives[mixed]
    above = (m - positives.cumsum())[mixed]
    rows = ties.at_or_above.astype(float)[mixed] - hits - misses
    read = hits * (above + hits) / (rows + hits + misses)
    best = hits * (above + hits) / (rows + hits)
    # The sum of (above + j) / (rows + misses + j) over j = 1 .. hits.
    first = rows + misses
    worst = hits - (first - above) * (digamma(first + hits + 1) - digamma(first + 1))
    off = max(float((best - read).sum()), float((read - worst).sum())) / m
    return {
        "roc_auc": float((hits * misses).sum() / (2 * m * n)),
        "average_precision": float(np.clip(off, 0, 1)),
    }


def _one(condition: nw.Expr) -> nw.Expr:
    import narwhals as nw

    return condition.cast(nw.Int64)
