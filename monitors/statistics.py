"""Statistics of drift from count tables: equal to Evidently's on the raw rows, with a bound.

Numbers come as point masses in bins, categories as counts. Each statistic says by how much its
value can differ from that of the raw rows, whatever these are: the bound is proven, not estimated.
Rows without a finite value take no part, as in Evidently.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Literal, NamedTuple

from aims_mlflow.monitors.point_masses import NotComparableError, same_cells

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from aims_mlflow.monitors.point_masses import Cells, Floats
    from aims_mlflow.monitors.summaries import ColumnSummary

#: SciPy (and so Evidently) gives exact p-values of the KS test up to so many rows on each side.
_EXACT_KS = 10_000
#: Evidently divides by the standard deviation of the reference, or by this where it is smaller.
_LEAST_STD = 0.001


class Statistic(NamedTuple):
    """A drift score as Evidently reports it.

    `value` is the distance, or the p-value of tests that are decided by it. `error_bound` is the
    largest amount by which it can differ from the value of the raw rows. `statistic` is the
    quantity behind a p-value (the D of Kolmogorov-Smirnov, chi-square, z, the total variation
    distance). `p_range` holds the ends between which the p-value of the raw rows lies. `seed` is
    that of a Monte Carlo test. `detail` is for a reader.
    """

    value: float
    error_bound: float = 0.0
    p_value: float | None = None
    decided_by: Literal["distance", "p_value"] = "distance"
    statistic: float | None = None
    p_range: tuple[float, float] | None = None
    seed: int | None = None
    detail: str = ""


def wasserstein(reference: ColumnSummary, current: ColumnSummary) -> Statistic:
    """The first Wasserstein distance in units of the reference's standard deviation.

    The integral of |F - G| over the two distribution functions (Vallender 1974; as
    `scipy.stats.wasserstein_distance`), divided by max(std, 0.001) with the population's std
    (ddof 0), as Evidently's "Wasserstein distance (normed)". Where F - G cannot change its sign
    inside a bin, counts and means give the integral over the bin exactly; elsewhere it lies between
    the absolute value of the integral of F - G and the largest value that counts and means allow.

    Raises:
        NotComparableError: See `same_cells`; or the standard deviation of the reference is not
            known or infinite.
    """
    cells, std = same_cells(reference, current), reference.std
    if std is None or not math.isfinite(std):
        raise NotComparableError("has no finite standard deviation in the reference")
    unit = max(1e-300, float(max(abs(cells.lower[0]), abs(cells.upper[-1]))))
    low, value, high = _area(cells, unit)
    loose = sum(cells.loose)
    if loose > 0:
        span = cells.high / unit - cells.low / unit
        if not math.isfinite(span):
            raise NotComparableError("has pooled rows of which no extremes are known")
        low, high = max(0.0, low - loose * span), high + loose * span
    value, (low, high) = (
        value * (unit / max(std, _LEAST_STD)),
        (
            end * (unit / max(norm, _LEAST_STD))
            for end, norm in zip((low, high), reversed(_std_range(reference, std)), strict=True)
        ),
    )
    if not (math.isfinite(value) and math.isfinite(high)):
        raise NotComparableError("differs from the reference by more than a number can hold")
    return Statistic(value, error_bound=max(0.0, high - value, value - low))


def _std_range(column: ColumnSummary, std: float) -> tuple[float, float]:
    """Between what the standard deviation of the raw rows lies.

    The variance inside a bin of width w is at most w^2 / 4 (Popoviciu 1935), and a bin at the
    distance x from the centre is at most e^(1/p) sqrt(scale^2 + x^2) / p wide.
    """
    bins = column.bins
    if bins is None or column.values is not None or column.mean is None or not std:
        return std, std
    wide = bins.scale / std
    off = (column.mean - bins.centre) / std
    part = 1.01 * math.exp(2 / bins.per_unit) * (1 + wide * wide + off * off)
    part /= 4 * bins.per_unit**2
    return std * math.sqrt(max(0.0, 1 - part)), std * math.sqrt(1 + part)


def _area(cells: Cells, unit: float) -> tuple[float, float, float]:
    """The least, the likely and the largest area between the distributions, in `unit`s."""
    import numpy as np

    lo, hi = cells.lower / unit, cells.upper / unit
    r, c = cells.reference / cells.reference_n, cells.current / cells.current_n
    after = np.cumsum(r) - np.cumsum(c)
    before = np.concatenate([[0.0], after[:-1]])
    between = float(np.abs(after[:-1] * (lo[1:] - hi[:-1])).sum())
    mean_r = np.where(r > 0, np.nan_to_num(cells.reference_mean / unit), lo)
    mean_c = np.where(c > 0, np.nan_to_num(cells.current_mean / unit), lo)
    least = np.abs(before * (hi - lo) + r * (hi - mean_r) - c * (hi - mean_c))
    # Inside a cell, F - G lies between these two: first all of one column, then of the other.
    top, bottom = before + r, before - c
    certain = (bottom >= 0) | (top <= 0)
    first, second = np.minimum(mean_r, mean_c), np.maximum(mean_r, mean_c)
    middle = np.where(mean_r <= mean_c, top, bottom)
    likely = (
        np.abs(before) * (first - lo)
        + np.abs(middle) * (second - first)
        + np.abs(after) * (hi - second)
    )
    most = np.minimum(
        (hi - lo) * np.maximum(np.abs(top), np.abs(bottom)),
        likely + r * _spread(lo, mean_r, hi) + c * _spread(lo, mean_c, hi),
    )
    likely = np.where(certain, least, np.clip(likely, least, most))
    most = np.where(certain, least, np.maximum(most, likely))
    return tuple(between + float(part.sum()) for part in (least, likely, most))  # type: ignore[return-value]


def _spread(lo: Floats, mean: Floats, hi: Floats) -> Floats:
    """The largest mean distance from the mean that values between `lo` and `hi` can have.

    It is reached by values at the two ends: 2 (m - lo) (hi - m) / (hi - lo).
    """
    import numpy as np

    width = hi - lo
    return np.divide(2 * (mean - lo) * (hi - mean), width, out=np.zeros_like(lo), where=width > 0)


def ks(reference: ColumnSummary, current: ColumnSummary) -> Statistic:
    """The two-sample Kolmogorov-Smirnov test; its value is the two-sided p-value.

    D is the largest |F - G| at the edges of the bins; inside a bin it could be larger by at most
    the rows that the bin holds, which gives the range of the p-value. p is exact up to 10,000 rows
    on each side and from the distribution of Kolmogorov (Simard and L'Ecuyer 2011) beyond, as in
    `scipy.stats.ks_2samp`, which Evidently uses.

    Raises:
        NotComparableError: See `same_cells`.
    """
    import numpy as np

    cells = same_cells(reference, current)
    loose = cells.loose
    if max(loose) > 0:
        raise NotComparableError("has pooled rows, whose place among the others is not known")
    r, c = cells.reference / cells.reference_n, cells.current / cells.current_n
    after = np.cumsum(r) - np.cumsum(c)
    before = np.concatenate([[0.0], after[:-1]])
    inside = cells.lower < cells.upper
    least = float(np.abs(after).max())
    above = float(np.max((before + r)[inside], initial=0.0))
    below = float(np.max((c - before)[inside], initial=0.0))
    most = min(1.0, max(least, above, below))
    n = (cells.reference_n, cells.current_n)
    if max(n) <= _EXACT_KS:
        p, smallest = _exact_p(cells, inside if most > least else None)
    else:
        p, smallest = _asymptotic_p(least, *n), _asymptotic_p(most, *n)
    return Statistic(
        p,
        error_bound=max(0.0, p - smallest),
        p_value=p,
        decided_by="p_value",
        statistic=least,
        p_range=(min(p, smallest), p),
        detail=f"D = {least:.4g}" + (f" to {most:.4g}" if most > least else ""),
    )


def _asymptotic_p(d: float, n: int, m: int) -> float:
    import numpy as np
    from scipy.stats import kstwo

    large, small = float(max(n, m)), float(min(n, m))
    return float(np.clip(kstwo.sf(d, np.round(large * small / (large + small))), 0, 1))


def _exact_p(cells: Cells, inside: NDArray[np.bool_] | None) -> tuple[float, float]:
    """The p-value with all rows of a cell tied, and the smallest with any order inside cells."""
    import numpy as np

    place = np.arange(len(cells.lower), dtype=float)
    tied = _ks_2samp(np.repeat(place, cells.reference), np.repeat(place, cells.current))
    if inside is None:
        return tied, tied
    later = place + np.where(inside, 0.5, 0.0)
    smallest = min(
        _ks_2samp(np.repeat(place, cells.reference), np.repeat(later, cells.current)),
        _ks_2samp(np.repeat(later, cells.reference), np.repeat(place, cells.current)),
    )
    return tied, smallest


def _ks_2samp(one: Floats, other: Floats) -> float:
    import warnings

    from scipy.stats import ks_2samp

    with warnings.catch_warnings():
        # It warns where it falls back to the asymptotic p-value, as it does under Evidently.
        warnings.simplefilter("ignore", RuntimeWarning)
        return float(ks_2samp(one, other).pvalue)
