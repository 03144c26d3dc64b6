"""Distances of distributions in bins or categories: Jensen-Shannon, PSI, Hellinger."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from aims_mlflow.monitors.category_tables import category_table, pooled
from aims_mlflow.monitors.point_masses import NotComparableError, finite, numeric, same_cells
from aims_mlflow.monitors.statistics import Statistic
from aims_mlflow.monitors.sturges import binned

if TYPE_CHECKING:
    from collections.abc import Callable

    from aims_mlflow.monitors.category_tables import CategoryTable
    from aims_mlflow.monitors.point_masses import Floats
    from aims_mlflow.monitors.sturges import Binned, ColumnRecount, Shares
    from aims_mlflow.monitors.summaries import ColumnSummary

#: Numbers of which the reference has at most so many different ones are compared one by one.
_FEW_IN_REFERENCE = 20
#: What Evidently puts for a share of zero, and the part of the smallest share if that is smaller.
_FILL, _FILL_PART = 1e-4, 1e-6


def jensenshannon(
    reference: ColumnSummary,
    current: ColumnSummary,
    *,
    categories: bool,
    recount: ColumnRecount | None = None,
) -> Statistic:
    """The Jensen-Shannon distance: the root of the divergence, in nats (at most sqrt(ln 2)).

    sqrt((KL(p, m) + KL(q, m)) / 2) with m = (p + q) / 2 (Lin 1991; Endres and Schindelin 2003), as
    `scipy.spatial.distance.jensenshannon`, which Evidently uses: on categories, or values of which
    the reference has at most 20, or else the Sturges bins of both sides together.

    Args:
        reference: The reference.
        current: The current data.
        categories: Whether the values are categories, also where they are numbers.
        recount: Counts numbers exactly in the edges of the bins.

    Raises:
        NotComparableError: See `same_cells`, `category_table` and `sturges_edges`.
    """
    if _by_value(reference, categories):
        table = category_table(reference, current)
        p, q = table.shares()
        value = _js(p, q)
        if table.known:
            return Statistic(value)
        apart = _js(*_disjoint(p, q))
        return Statistic(value, error_bound=max(0.0, apart - value), detail=pooled(table))
    both = binned(reference, current, recount)
    value = _js(both.reference.share, both.current.share)
    if _is_exact(both):
        return Statistic(value, detail=both.detail)
    low, high = (
        math.sqrt(max(0.0, 0.5 * total)) for total in _range(both, _divergence, fill=False)
    )
    return _bounded(value, low, high, both)


def psi(
    reference: ColumnSummary,
    current: ColumnSummary,
    *,
    categories: bool,
    recount: ColumnRecount | None = None,
) -> Statistic:
    """The population stability index: the sum of (p - q) ln(p / q) (Siddiqi 2006, p. 135).

    It is the symmetric divergence of Jeffreys (1946). As in Evidently, a share of zero is replaced
    by 0.0001, or by a millionth of the smallest other share if that one is at most 0.0001; the bins
    are those of `jensenshannon`.

    Args:
        reference: The reference.
        current: The current data.
        categories: Whether the values are categories, also where they are numbers.
        recount: Counts numbers exactly in the edges of the bins.

    Raises:
        NotComparableError: See `same_cells`, `category_table` and `sturges_edges`.
    """
    if _by_value(reference, categories):
        return _psi_of_table(category_table(reference, current))
    both = binned(reference, current, recount)
    value = float(_jeffreys(_filled(both.reference.share), _filled(both.current.share)).sum())
    if _is_exact(both):
        return Statistic(value, detail=both.detail)
    low, high = _range(both, _jeffreys, fill=True)
    return _bounded(value, low, high, both)


def hellinger(
    reference: ColumnSummary,
    current: ColumnSummary,
    *,
    categories: bool,
    recount: ColumnRecount | None = None,
) -> Statistic:
    """The Hellinger distance: sqrt(1 - sum of sqrt(p q)), from 0 to 1 (Hellinger 1909).

    As in Evidently, numbers are always in Sturges bins, whose number follows from how many
    *different* values there are. Where that is not known, the value is the one for as many as there
    may be, and the bound spans all numbers of bins that are possible.

    Args:
        reference: The reference.
        current: The current data.
        categories: Whether the values are categories, also where they are numbers.
        recount: Counts numbers exactly in the edges of the bins.

    Raises:
        NotComparableError: See `same_cells`, `category_table` and `sturges_edges`.
    """
    if categories or not numeric(reference):
        table = category_table(reference, current)
        named = _affinity(table.reference / table.reference_n, table.current / table.current_n)
        rest = math.sqrt(table.reference_rest / table.reference_n) * math.sqrt(
            table.current_rest / table.current_n
        )
        near, far = _from_affinity(named + rest), _from_affinity(named)
        return Statistic(near, error_bound=far - near, detail="" if table.known else pooled(table))
    candidates = _different_together(reference, current)
    both = binned(reference, current, recount, candidates[-1])
    value = _from_affinity(_affinity(both.reference.share, both.current.share))
    if _is_exact(both) and len(candidates) == 1:
        return Statistic(value, detail=both.detail)
    low = high = value
    for index, n in enumerate(reversed(candidates)):
        boxes = both if index == 0 else binned(reference, current, None, n)
        low = min(low, _from_affinity(_affinity(boxes.reference.high, boxes.current.high)))
        high = max(high, _from_affinity(_affinity(boxes.reference.low, boxes.current.low)))
    return _bounded(value, low, high, both)


def _by_value(reference: ColumnSummary, categories: bool) -> bool:
    if categories or not numeric(reference):
        return True
    if reference.values is not None and not reference.pooled:
        return len(reference.values) <= _FEW_IN_REFERENCE
    few = reference.distinct is not None and reference.distinct <= _FEW_IN_REFERENCE
    if few and finite(reference):
        raise NotComparableError(
            f"has only {reference.distinct} different values in the reference, of which the rare "
            "ones are not kept one by one"
        )
    return False


def _different_together(reference: ColumnSummary, current: ColumnSummary) -> list[int]:
    """How many different values both may have together; one number for each number of bins."""
    if reference.values is not None and current.values is not None:
        return [len({value for value, _count in (*reference.values, *current.values)})]
    cells = same_cells(reference, current)
    rows = ((reference, cells.reference_n), (current, cells.current_n))
    least = max(len(cells.lower), *(column.distinct or 1 for column, _n in rows))
    most = sum(min(n, column.distinct or n) for column, n in rows)
    if reference.family == current.family == "integer" and math.isfinite(cells.high - cells.low):
        most = min(most, int(cells.high - cells.low) + 1)
    most = max(least, most)
    powers = range(math.ceil(math.log2(least)), math.floor(math.log2(most)) + 1)
    return sorted({least, most, *(2**power for power in powers)})


def _psi_of_table(table: CategoryTable) -> Statistic:
    import numpy as np

    p, q = table.shares()
    value = float(_jeffreys(_filled(p), _filled(q)).sum())
    rest = table.reference_rest / table.reference_n + table.current_rest / table.current_n
    if not rest:
        return Statistic(value)
    r, c = table.reference / table.reference_n, table.current / table.current_n
    both = (r > 0) & (c > 0)
    least = float(_jeffreys(r[both], c[both]).sum())
    ends = (_FILL, _FILL_PART / table.reference_n, _FILL_PART / table.current_n)
    filled = [(np.where(r > 0, r, end), np.where(c > 0, c, end)) for end in ends]
    worst = np.max([_jeffreys(*pair) for pair in filled], axis=0)
    most = least + float(worst[~both].sum())
    most += (rest + table.rest_values * _FILL) * math.log(1 / min(ends))
    return Statistic(value, error_bound=max(most - value, value - least), detail=pooled(table))


def _is_exact(both: Binned) -> bool:
    return both.reference.low is both.reference.high and both.current.low is both.current.high


def _bounded(value: float, low: float, high: float, both: Binned) -> Statistic:
    bound = max(0.0, high - value, value - low)
    return Statistic(value, error_bound=bound, detail=both.detail)


def _range(
    both: Binned, term: Callable[[Floats, Floats], Floats], *, fill: bool
) -> tuple[float, float]:
    """The least and the largest sum of a jointly convex term that vanishes where p = q.

    Over a box of (p, q) it is largest at a corner, and least where p and q are closest.
    """
    import numpy as np

    (r_low, r_high), (c_low, c_high) = (_ends(s, fill=fill) for s in (both.reference, both.current))
    corners = [term(r, c) for r in (r_low, r_high) for c in (c_low, c_high)]
    apart = (r_low > c_high) | (c_low > r_high)
    nearest = np.where(r_low > c_high, term(r_low, c_high), term(r_high, c_low))
    return float(nearest[apart].sum()), float(np.max(corners, axis=0).sum())


def _ends(shares: Shares, *, fill: bool) -> tuple[Floats, Floats]:
    import numpy as np

    if not fill:
        return shares.low, shares.high
    if shares.low is shares.high:
        filled = _filled(shares.share)
        return filled, filled
    empty = shares.low <= 0
    low = np.where(empty, min(_FILL, _FILL_PART / shares.n), shares.low)
    return low, np.where(empty, np.maximum(shares.high, _FILL), shares.high)


def _filled(shares: Floats) -> Floats:
    import numpy as np

    least = float(shares[shares > 0].min())
    return np.where(shares > 0, shares, least * _FILL_PART if least <= _FILL else _FILL)


def _jeffreys(p: Floats, q: Floats) -> Floats:
    import numpy as np

    return np.asarray((p - q) * np.log(p / q))


def _divergence(p: Floats, q: Floats) -> Floats:
    from scipy.special import rel_entr

    middle = (p + q) / 2
    found: Floats = rel_entr(p, middle) + rel_entr(q, middle)
    return found


def _affinity(p: Floats, q: Floats) -> float:
    import numpy as np

    return float(np.sqrt(p * q).sum())


def _from_affinity(affinity: float) -> float:
    return math.sqrt(1 - min(1.0, max(0.0, affinity)))


def _disjoint(p: Floats, q: Floats) -> tuple[Floats, Floats]:
    """The last category of both taken for two different ones."""
    import numpy as np

    return np.append(p, 0.0), np.append(np.append(q[:-1], 0.0), q[-1])


def _js(p: Floats, q: Floats) -> float:
    import numpy as np
    from scipy.spatial.distance import jensenshannon as distance

    with np.errstate(invalid="ignore"):
        value = float(distance(p, q))
    # Rounding can make the divergence of equal distributions negative, and its root NaN.
    return 0.0 if math.isnan(value) else value
