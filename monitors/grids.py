"""Where the bins of a column lie, and what the entries of its bins say together."""

from __future__ import annotations

import math
from fractions import Fraction
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    import numpy.typing as npt

    Floats = npt.NDArray[np.float64]

#: Bins per unit of asinh: of normal data between 512 and 1024 per standard deviation.
PER_UNIT = 512
#: Integers beyond it are not all floats.
EXACT = 2.0**53
#: Why numbers that no float can add are not counted.
TOO_FAR_APART = "its values differ by too many orders of magnitude to be added"


class Grid(NamedTuple):
    """Where bins lie (see `Bins`)."""

    centre: float
    scale: float
    per_unit: int = PER_UNIT


class Entries(NamedTuple):
    """Bins that have rows, ascending, all (k,).

    `place` is the index, `n` the rows, `total` the sum of (value - centre) / scale.
    """

    place: Floats
    n: Floats
    total: Floats
    low: Floats
    high: Floats

    @property
    def rows(self) -> int:
        """The rows of all bins."""
        return int(self.n.sum())

    @property
    def single(self) -> bool:
        """Whether every bin holds one value only, however often."""
        return bool((self.low == self.high).all())


def entries_of(found: Mapping[str, Floats]) -> Entries:
    """The bins of an answer by column, where missing values have NaN as `low`.

    Engines may tell 0 from -0, which are one bin.
    """
    import numpy as np

    present = ~np.isnan(found["low"])
    order = np.argsort(found["i"][present], kind="stable")
    place, n, total, low, high = (
        found[key][present][order] for key in ("i", "n", "z", "low", "high")
    )
    starts = np.flatnonzero(np.diff(place, prepend=np.nan) != 0)
    if len(starts) < len(place):
        place = place[starts]
        n, total = (np.add.reduceat(part, starts) for part in (n, total))
        low, high = np.minimum.reduceat(low, starts), np.maximum.reduceat(high, starts)
    return Entries(place, n, total, low + 0.0, high + 0.0)


def choose_grid(values: Floats, weights: Floats | None = None) -> Grid:
    """Bins for values like these: the median, and a power of two near the standard deviation.

    The interquartile range of a normal distribution is 1.35 standard deviations; where it is 0,
    wider ranges are taken. A power of two makes (value - centre) / scale lose no digit. The median
    is rounded to a 16th of the scale: it is the value of a row.

    Args:
        values: Finite numbers (k,).
        weights: How often each occurs (k,); once where absent.
    """
    import numpy as np

    if not len(values):
        return Grid(0.0, 1.0)
    order = np.argsort(values, kind="stable")
    points = values[order]
    mass = np.cumsum(np.ones(len(points)) if weights is None else weights[order])

    def quantile(share: float) -> float:
        at = int(np.searchsorted(mass, share * mass[-1]))
        return float(points[min(at, len(points) - 1)])

    centre = quantile(0.5)
    for tail, wide in ((0.25, 1.349), (0.1, 2.563), (0.01, 4.653), (0.0, 8.0)):
        spread = quantile(1 - tail) / wide - quantile(tail) / wide
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
    if math.isfinite(scaled):
        place = math.asinh(scaled)
    else:  # so far away, the centre is nothing and asinh(z) is log(2 z)
        size = math.log(abs(value)) - math.log(grid.scale) + math.log(2)
        place = math.copysign(size, value)
    return math.floor(place * grid.per_unit)


def widths(entries: Entries, grid: Grid) -> Floats:
    """How far apart the extremes of each bin are (k,), in scales; NaN where no float says it."""
    import numpy as np

    with np.errstate(all="ignore"):
        return entries.high / grid.scale - entries.low / grid.scale


def moments(entries: Entries, grid: Grid) -> tuple[float, float]:
    """Mean and standard deviation (ddof 0) of all bins, in scales from the centre.

    Within a bin of more than three values they are thought to be spread evenly between its
    extremes, an error of at most a quarter of the squared width of a bin. NaN or infinite where
    values are too far apart to be added.
    """
    import numpy as np

    if not entries.rows:
        return 0.0, 0.0
    with np.errstate(all="ignore"):
        share = entries.n / entries.rows
        means = entries.total / entries.n
        mean = float((share * means).sum())
        away, wide = means - mean, widths(entries, grid)
        far = float(np.abs(away).max() or wide.max() or 1.0)
        squares = share * ((away / far) ** 2 + _within(entries, grid) / far / far)
        return mean, far * math.sqrt(float(squares.sum()))


def _within(entries: Entries, grid: Grid) -> Floats:
    """The variance within each bin (k,): exact for up to three values, else of even spread."""
    import numpy as np

    wide = widths(entries, grid)
    low = entries.low / grid.scale - grid.centre / grid.scale
    mean = entries.total / 3
    third = entries.total - low - (low + wide)
    of_three = ((low - mean) ** 2 + (low + wide - mean) ** 2 + (third - mean) ** 2) / 3
    square = wide * wide
    found = np.select([entries.n == 2, entries.n == 3], [square / 4, of_three], square / 12)
    return np.where(wide > 0, found, 0.0)


def exact_moments(values: Sequence[tuple[float, int]]) -> dict[str, Any]:
    """Of few values without any rounding: as fractions, which cannot overflow either."""
    n = sum(count for _, count in values)
    exact = [(Fraction(value), count) for value, count in values]
    mean = sum((value * count for value, count in exact), Fraction()) / n
    far = max(abs(value - mean) for value, _ in exact) or Fraction(1)
    square = sum((((value - mean) / far) ** 2 * count for value, count in exact), Fraction()) / n
    std = far * Fraction(math.sqrt(square))
    return {"mean": float(mean), "std": float(std), "distinct": len(values)}
