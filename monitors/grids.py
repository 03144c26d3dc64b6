"""Where the bins of a column lie, and what the entries of its bins say together."""

from __future__ import annotations

import math
from bisect import bisect_left
from fractions import Fraction
from itertools import accumulate
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Sequence

#: Bins per unit of asinh: of normal data between 512 and 1024 per standard deviation.
PER_UNIT = 512
#: Integers beyond it are not all floats.
EXACT = 2.0**53


class Grid(NamedTuple):
    """Where bins lie (see `Bins`)."""

    centre: float
    scale: float
    per_unit: int = PER_UNIT


class Entry(NamedTuple):
    """A bin's rows, the sum of their (value - centre) / scale, and their extremes."""

    n: int
    total: float
    low: float
    high: float


def choose_grid(values: Iterable[tuple[float, float]]) -> Grid:
    """Bins for values like these: the median, and a power of two near the standard deviation.

    The interquartile range of a normal distribution is 1.35 standard deviations; where it is 0,
    wider ranges are taken. A power of two makes (value - centre) / scale lose no digit. The median
    is rounded to a 16th of the scale: it is the value of a row.

    Args:
        values: Finite numbers, and how often each occurs.
    """
    pairs = sorted(values)
    if not pairs:
        return Grid(0.0, 1.0)
    mass = list(accumulate(n for _, n in pairs))

    def quantile(share: float) -> float:
        return pairs[min(bisect_left(mass, share * mass[-1]), len(pairs) - 1)][0]

    centre = quantile(0.5)
    for tail, width in ((0.25, 1.349), (0.1, 2.563), (0.01, 4.653), (0.0, 8.0)):
        spread = quantile(1 - tail) / width - quantile(tail) / width
        if spread > 0:
            return _rounded(centre, spread)
    return _rounded(centre, abs(centre) / 1024 or 1.0)


def _rounded(centre: float, spread: float) -> Grid:
    scale = 2.0 ** min(max(math.frexp(spread)[1] - 1, -900), 1000)
    step = scale / 16
    return Grid(round(centre / step) * step if abs(centre / step) < EXACT else centre, scale)


def index_of(value: float, grid: Grid) -> int:
    """The bin that a number is in.

    >>> index_of(3.0, Grid(centre=3.0, scale=1.0))
    0
    """
    scaled = value / grid.scale - grid.centre / grid.scale
    return math.floor(math.asinh(scaled) * grid.per_unit)


def entries_of(groups: Iterable[tuple[Any, ...]]) -> dict[int, Entry]:
    """Groups by bin. Engines may tell 0 from -0, which are one bin."""
    found: dict[int, Entry] = {}
    for place, n, total, low, high in groups:
        index = int(place)
        if index in found:
            before = found[index]
            n, total = n + before.n, total + before.total
            low, high = min(low, before.low), max(high, before.high)
        found[index] = Entry(int(n), total, low, high)
    return found


def width(entry: Entry, grid: Grid) -> float:
    """How far apart the extremes of a bin are, in scales."""
    return entry.high / grid.scale - entry.low / grid.scale


def moments(entries: Collection[Entry], grid: Grid) -> tuple[float, float]:
    """Mean and standard deviation (ddof 0) of all bins, in scales from the centre.

    Within a bin of more than three values they are thought to be spread evenly between its
    extremes, an error of at most a quarter of the squared width of a bin. NaN or infinite where
    values are too far apart to be added.
    """
    n = sum(entry.n for entry in entries)
    if not n:
        return 0.0, 0.0
    mean = math.fsum([entry.total / n for entry in entries])
    away = [entry.total / entry.n - mean for entry in entries]
    far = max(map(abs, away)) or max(width(entry, grid) for entry in entries) or 1.0
    squares = [
        entry.n / n * ((distance / far) ** 2 + _within(entry, grid) / far / far)
        for entry, distance in zip(entries, away, strict=True)
    ]
    return mean, far * math.sqrt(math.fsum(squares))


def _within(entry: Entry, grid: Grid) -> float:
    if entry.low == entry.high:
        return 0.0
    wide = width(entry, grid)
    if entry.n == 2:
        return wide * wide / 4
    if entry.n == 3:
        low = entry.low / grid.scale - grid.centre / grid.scale
        values = (low, low + wide, entry.total - low - (low + wide))
        return math.fsum((value - entry.total / 3) ** 2 for value in values) / 3
    return wide * wide / 12


def exact_moments(values: Sequence[tuple[float, int]]) -> dict[str, Any]:
    """Of few values without any rounding: as fractions, which cannot overflow either."""
    n = sum(count for _, count in values)
    exact = [(Fraction(value), count) for value, count in values]
    mean = sum((value * count for value, count in exact), Fraction()) / n
    far = max(abs(value - mean) for value, _ in exact) or Fraction(1)
    square = sum((((value - mean) / far) ** 2 * count for value, count in exact), Fraction()) / n
    std = far * Fraction(math.sqrt(square))
    return {"mean": float(mean), "std": float(std), "distinct": len(values)}
