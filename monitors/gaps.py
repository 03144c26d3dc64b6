"""Intervals of disparities: of the largest gap, or the smallest ratio, between groups.

The group that is lowest and the one that is highest are picked from the same data that are then
compared, so an interval of just these two would be too sure of itself. Hence:

* Two groups: nothing is picked but the sign. The interval of the difference is Newcombe's hybrid
  score interval (1998, Statistics in Medicine 17, method 10), which is MOVER of the groups' own
  limits; that of a ratio is MOVER's for ratios (Donner and Zou 2012, Statistical Methods in Medical
  Research 21), both folded at equality.
* More groups: the groups' own intervals at the level of Šidák (1967, JASA 62) hold all at once,
  and the range is whatever gap is possible while they do. It covers at least as often as stated.

Equalized odds compares two rates; these are of different rows (positives, negatives), so the level
is shared between them in the same way.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal

from aims_mlflow.readings import LEVEL, Interval

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aims_mlflow.monitors.intervals import Estimate

SIMULTANEOUS = "range of the groups' intervals at Šidák's level (conservative)"
_TWO = {
    "difference": "Newcombe's hybrid of the two groups' intervals (MOVER)",
    "ratio": "MOVER ratio of the two groups' intervals",
}


def shared_level(groups: int, rates: int = 1) -> float:
    """The confidence level of each group's interval, for `disparity_interval` of them all.

    >>> shared_level(2)
    0.95
    >>> round(shared_level(5), 4)
    0.9898
    """
    return sidak(rates if groups == 2 else groups * rates)


def sidak(count: int) -> float:
    """The level at which this many independent intervals all hold with `readings.LEVEL`."""
    return LEVEL if count == 1 else float(LEVEL ** (1 / count))


def disparity_interval(
    rates: Sequence[Sequence[Estimate]], by: Literal["difference", "ratio"]
) -> Interval:
    """The interval of the largest gap, or the smallest ratio, over groups and rates.

    Args:
        rates: Of each rate, the groups' estimates at `shared_level`; two groups at least.
        by: `difference` (highest minus lowest) or `ratio` (lowest over highest).
    """
    parts = [_range(groups, by) for groups in rates]
    worst = max if by == "difference" else min
    low, high = worst(p[0] for p in parts), worst(p[1] for p in parts)
    method = _TWO[by] if len(rates[0]) == 2 else SIMULTANEOUS
    return Interval(low=low, high=high, method=method)


def worst_interval(groups: Sequence[Estimate], bound: Literal["min", "max"]) -> Interval:
    """The range of the lowest (or highest) of the groups' true values.

    Args:
        groups: Their estimates, each at `sidak(len(groups))`.
        bound: `min` for the lowest group, `max` for the highest.
    """
    worst = min if bound == "min" else max
    low, high = worst(g.low for g in groups), worst(g.high for g in groups)
    return Interval(low=low, high=high, method=SIMULTANEOUS)


def difference(a: Estimate, b: Estimate) -> tuple[float, float]:
    """The interval of `a - b` for independent estimates: MOVER, Newcombe's for Wilson limits."""
    gap = a.value - b.value
    return (
        gap - math.hypot(a.value - a.low, b.high - b.value),
        gap + math.hypot(a.high - a.value, b.value - b.low),
    )


def ratio(a: Estimate, b: Estimate) -> tuple[float, float]:
    """The interval of `a / b` for independent estimates that cannot be negative; `b` is above 0.

    The upper limit is infinite where the interval of `b` reaches 0.
    """
    product = a.value * b.value
    # Both as on paper, the lower one multiplied out so that nothing cancels.
    least, most = a.low * (2 * a.value - a.low), b.high * (2 * b.value - b.high)
    low = least / (product + math.sqrt(max(0.0, product**2 - least * most))) if least > 0 else 0.0
    least, most = b.low * (2 * b.value - b.low), a.high * (2 * a.value - a.high)
    if least <= 0:
        return low, math.inf
    return low, (product + math.sqrt(max(0.0, product**2 - least * most))) / least


def _range(groups: Sequence[Estimate], by: Literal["difference", "ratio"]) -> tuple[float, float]:
    if len(groups) == 2:
        lowest, highest = sorted(groups)
        return _two_apart(highest, lowest) if by == "difference" else _two_over(lowest, highest)
    least, most = min(g.low for g in groups), max(g.high for g in groups)
    most_low, least_high = max(g.low for g in groups), min(g.high for g in groups)
    if by == "difference":
        return max(0.0, most_low - least_high), most - least
    least = max(0.0, least)
    return (least / most if most else 0.0), (
        min(1.0, least_high / most_low) if most_low > 0 else 1.0
    )


def _two_apart(high: Estimate, low: Estimate) -> tuple[float, float]:
    """Of the absolute difference: the part below zero is the other group being the higher one."""
    least, most = difference(high, low)
    return max(0.0, least), max(-least, most)


def _two_over(low: Estimate, high: Estimate) -> tuple[float, float]:
    least, most = ratio(low, high)
    return (least, most) if most <= 1 else (min(least, 1 / most), 1.0)
