"""Two columns of categories, counted side by side, and the statistics of such tables."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from aims_mlflow.monitors.point_masses import NotComparableError, finite
from aims_mlflow.monitors.source_failures import counted
from aims_mlflow.monitors.statistics import Statistic

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from aims_mlflow.monitors.point_masses import Counts, Floats
    from aims_mlflow.monitors.summaries import ColumnSummary

#: Seed of the permutation test.
SEED = 0
#: Permutations of small tables, of large ones, and how many random numbers are drawn in all.
_MOST_DRAWS, _LEAST_DRAWS, _CELLS = 10_000, 1_000, 1_000_000
#: Standard errors of a Monte Carlo p-value that its bound spans.
_ERRORS = 4


class CategoryTable(NamedTuple):
    """Counts of the categories whose counts are known on both sides.

    `reference_rest` and `current_rest` are the rows of all other categories: those that are pooled
    on one side, and those that may be among the pooled ones of the other. If one of the two is 0,
    the other's rows are of categories that do not occur on that side at all.
    """

    keys: tuple[str | float | bool, ...]
    reference: Counts
    current: Counts
    reference_rest: int
    current_rest: int
    reference_n: int
    current_n: int
    rest_values: int

    @property
    def known(self) -> bool:
        """Whether no pooled category can be on both sides."""
        return not (self.reference_rest and self.current_rest)

    def shares(self) -> tuple[Floats, Floats]:
        """Shares of the reference and the current rows; all other categories are the last entry."""
        import numpy as np

        reference = np.append(self.reference, self.reference_rest) / self.reference_n
        current = np.append(self.current, self.current_rest) / self.current_n
        if self.reference_rest or self.current_rest:
            return reference, current
        return reference[:-1], current[:-1]


def category_table(reference: ColumnSummary, current: ColumnSummary) -> CategoryTable:
    """The counts of both columns, category by category.

    Raises:
        NotComparableError: A column has no rows, or was not counted value by value.
    """
    import numpy as np

    before, after = _counts(reference, "reference"), _counts(current, "current")
    reference_n, current_n = finite(reference), finite(current)
    keys = tuple(
        key
        for key in dict.fromkeys((*before, *after))
        if (key in before or not reference.pooled) and (key in after or not current.pooled)
    )
    one = np.array([before.get(key, 0) for key in keys], dtype=np.int64)
    other = np.array([after.get(key, 0) for key in keys], dtype=np.int64)
    rest = (before.keys() | after.keys()).difference(keys)
    return CategoryTable(
        keys=keys,
        reference=one,
        current=other,
        reference_rest=reference_n - int(one.sum()),
        current_rest=current_n - int(other.sum()),
        reference_n=reference_n,
        current_n=current_n,
        rest_values=len(rest) + reference.pooled_values + current.pooled_values,
    )


def _counts(column: ColumnSummary, side: str) -> dict[str | float | bool, int]:
    if finite(column) < 1:
        raise NotComparableError(f"has no value in the {side} data")
    if column.values is None:
        raise NotComparableError(
            column.uncounted
            or f"has more different values in the {side} data than are compared as categories"
        )
    return dict(column.values)


def different_values(reference: ColumnSummary, current: ColumnSummary) -> int | None:
    """How many different values both columns have together; None where that is not known."""
    if reference.values is None or current.values is None:
        return None
    named = {value for value, _count in (*reference.values, *current.values)}
    return len(named) + reference.pooled_values + current.pooled_values


def chisquare(reference: ColumnSummary, current: ColumnSummary) -> Statistic:
    """Pearson's chi-square test of the current counts; its value is the p-value.

    The expected counts are those of the reference, scaled to the current number of rows (Pearson
    1900; `scipy.stats.chisquare`, as Evidently calls it). A category that the reference does not
    have makes p 0. One category on both sides is no drift: p is 1. Categories pooled in the
    reference that may occur in the current data are one category of the test; then the p-value of
    the raw rows is anywhere below the one with as many degrees of freedom as there may be
    categories.

    Raises:
        NotComparableError: See `category_table`.
    """
    from scipy.stats import chi2

    table = category_table(reference, current)
    statistic, categories = _pearson(table)
    detail = f"chi-square = {statistic:.4g}"
    if not math.isfinite(statistic):
        return _p_value(0.0, statistic, "the reference does not have all of the categories")
    p = 1.0 if categories < 2 else float(chi2.sf(statistic, categories - 1))
    if table.known:
        return _p_value(p, statistic, detail)
    most = float(chi2.sf(statistic, max(1, len(table.keys) + table.rest_values - 1)))
    return Statistic(
        p,
        error_bound=max(p, most - p),
        p_value=p,
        decided_by="p_value",
        statistic=statistic,
        p_range=(0.0, most),
        detail=f"{detail}; {pooled(table)}",
    )


def _pearson(table: CategoryTable) -> tuple[float, int]:
    """The statistic, and how many categories are in it."""
    import numpy as np

    observed = np.append(table.current, table.current_rest).astype(float)
    expected = np.append(table.reference, table.reference_rest) * (
        table.current_n / table.reference_n
    )
    present = (observed > 0) | (expected > 0)
    observed, expected = observed[present], expected[present]
    if (expected == 0).any():
        return math.inf, len(observed)
    # Pooled categories that do not occur now add up to the same sum one by one.
    categories = len(observed)
    if table.reference_rest and not table.current_rest:
        categories += max(0, table.rest_values - 1)
    return float(((observed - expected) ** 2 / expected).sum()), categories


def z(reference: ColumnSummary, current: ColumnSummary) -> Statistic:
    """The z-test of two proportions with a pooled variance; its value is the two-sided p-value.

    The proportion is that of all categories but the first in sorting order, as in Evidently; with
    two categories (what the test is for) the order does not matter. One category on both sides is
    no drift: p is 1 (Fleiss, Levin and Paik 2003, section 3.1).

    Raises:
        NotComparableError: See `category_table`; or categories are pooled, or cannot be sorted.
    """
    from scipy.stats import norm

    table = category_table(reference, current)
    if table.reference_rest or table.current_rest:
        raise NotComparableError(f"cannot be tested with z: {pooled(table)}")
    if len(table.keys) < 2:
        return _p_value(1.0, 0.0, "one value on both sides")
    try:
        first = table.keys.index(min(table.keys))
    except TypeError:
        raise NotComparableError("has categories of different types") from None
    n, m = table.reference_n, table.current_n
    p1 = float(n - table.reference[first]) / n
    p2 = float(m - table.current[first]) / m
    share = (p1 * n + p2 * m) / (n + m)
    statistic = (p1 - p2) / math.sqrt(share * (1 - share) * (1 / n + 1 / m))
    return _p_value(float(2 * (1 - norm.cdf(abs(statistic)))), statistic, f"z = {statistic:.4g}")


def total_variation(reference: ColumnSummary, current: ColumnSummary) -> Statistic:
    """A permutation test of the total variation distance; its value is the p-value.

    The distance is half of the sum of |p - q| (Levin and Peres 2017, section 4.1). Evidently
    permutes the raw rows 1,000 times; shuffling rows between two samples draws their counts from
    the multivariate hypergeometric distribution, so that the same test is made of the counts, with
    1,000 to 10,000 permutations and the seed 0. `error_bound` is four standard errors of a p-value
    from as many permutations as were made.

    Raises:
        NotComparableError: See `category_table`; or categories are pooled, or there are more than
            10^9 rows.
    """
    import numpy as np

    table = category_table(reference, current)
    if table.reference_rest or table.current_rest:
        raise NotComparableError(f"cannot be permuted: {pooled(table)}")
    n, m = table.reference_n, table.current_n
    together = table.reference + table.current
    if int(together.sum()) >= 10**9:
        raise NotComparableError("has more rows than a permutation test can take (10^9)")
    distance = 0.5 * float(np.abs(table.reference / n - table.current / m).sum())
    if len(together) < 2:
        return _p_value(1.0, 0.0, "one value on both sides")
    draws = min(_MOST_DRAWS, max(_LEAST_DRAWS, _CELLS // len(together)))
    reached = _permuted(together, n, m, distance, draws)
    p = reached / draws
    spread = math.sqrt(max(p * (1 - p), 1 / draws) / draws)
    return Statistic(
        p,
        error_bound=_ERRORS * spread,
        p_value=p,
        decided_by="p_value",
        statistic=distance,
        p_range=(max(0.0, p - _ERRORS * spread), min(1.0, p + _ERRORS * spread)),
        seed=SEED,
        detail=f"distance {distance:.4g}; {draws} permutations of the counts",
    )


def _permuted(together: Counts, n: int, m: int, distance: float, draws: int) -> int:
    """How many permutations are at least as far apart."""
    import numpy as np

    generator = np.random.default_rng(SEED)
    # A permutation that gives the same counts must not lose to a rounding.
    least, reached, batch = distance - 1e-12, 0, max(1, _CELLS // len(together))
    for start in range(0, draws, batch):
        size = min(batch, draws - start)
        drawn = generator.multivariate_hypergeometric(together, n, size=size, method="marginals")
        apart: NDArray[np.float64] = 0.5 * np.abs(drawn / n - (together - drawn) / m).sum(axis=1)
        reached += int((apart >= least).sum())
    return reached


def pooled(table: CategoryTable) -> str:
    """What is to be said of a table with pooled categories, of each side by itself."""
    told = [
        f"{rows:,} of {counted(n, 'row')} of the {side} data"
        for rows, n, side in (
            (table.reference_rest, table.reference_n, "reference"),
            (table.current_rest, table.current_n, "current"),
        )
        if rows
    ]
    return (
        f"{' and '.join(told)} are of categories that cannot be matched by name: what is rare on "
        "one side is pooled there"
    )


def _p_value(p: float, statistic: float, detail: str) -> Statistic:
    return Statistic(
        p,
        p_value=p,
        decided_by="p_value",
        statistic=statistic,
        p_range=(p, p),
        detail=detail,
    )
