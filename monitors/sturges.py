"""Numbers in Sturges bins, which Evidently uses for PSI, Jensen-Shannon and Hellinger."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple, TypeAlias

from aims_mlflow.monitors.point_masses import NotComparableError, same_cells

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from aims_mlflow.monitors.point_masses import Cells, Floats
    from aims_mlflow.monitors.summaries import ColumnSummary

#: Exact counts of the reference and the current rows of one column in the given edges, where
#: bins include their lower edge and the last one both, as `numpy.histogram` has it.
ColumnRecount: TypeAlias = Callable[[Sequence[float]], tuple[Sequence[int], Sequence[int]]]


class Shares(NamedTuple):
    """Shares of the rows in each bin or category, and between what they can lie.

    For exact counts `low`, `share` and `high` are the same array. `n` are the rows.
    """

    low: Floats
    share: Floats
    high: Floats
    n: int


class Binned(NamedTuple):
    """Both columns in the same bins."""

    reference: Shares
    current: Shares
    detail: str


def sturges_edges(low: float, high: float, n: int, *, integers: bool) -> Floats:
    """Equal bins from `low` to `high`, log2(n) + 1 of them (Sturges 1926).

    The same floating-point operations as `numpy.histogram_bin_edges(..., bins="sturges")`, which
    never makes bins of integers narrower than 1.

    Raises:
        NotComparableError: The range is infinite, or too narrow for so many bins.
    """
    import numpy as np

    if not (math.isfinite(low) and math.isfinite(high) and math.isfinite(high - low)):
        raise NotComparableError("has no finite extremes, which the bins of the test need")
    width = (high - low) / float(np.log2(n) + 1.0)
    if width and integers and width < 1:
        width = 1.0
    bins = max(1, math.ceil((high - low) / width)) if width else 1
    try:
        edges: Floats = np.histogram_bin_edges(np.array([low, high]), bins=bins)
    except ValueError:
        raise NotComparableError(
            "has a range that is too narrow for the bins of the test"
        ) from None
    return edges


def binned(
    reference: ColumnSummary,
    current: ColumnSummary,
    recount: ColumnRecount | None,
    n: int | None = None,
) -> Binned:
    """Shares in the Sturges bins of both columns together.

    They are exact for values that were counted one by one and where `recount` can count again;
    else the rows of a cell that reaches over an edge may be on either side of it.

    Args:
        reference: The reference.
        current: The current data.
        recount: Counts both columns in given edges.
        n: Numbers to make the bins for; all finite rows when None.

    Raises:
        NotComparableError: See `same_cells` and `sturges_edges`.
    """
    cells = same_cells(reference, current)
    integers = all(c.family == "integer" and not c.missing for c in (reference, current))
    n = cells.reference_n + cells.current_n if n is None else n
    edges = sturges_edges(cells.low, cells.high, n, integers=integers)
    detail = f"{len(edges) - 1} bins from {edges[0]:.4g} to {edges[-1]:.4g}"
    points = bool((cells.lower == cells.upper).all()) and not max(cells.loose)
    if (not points or cells.rounded) and recount is not None:
        counted = recount([float(edge) for edge in edges])
        one, other = (_exact(counts, len(edges) - 1) for counts in counted)
        if (one.n, other.n) == (cells.reference_n, cells.current_n):
            return Binned(one, other, detail)
        raise NotComparableError(
            f"has other rows now than when it was counted: {one.n} and {other.n} instead of "
            f"{cells.reference_n} and {cells.current_n}"
        )
    return Binned(_boxed(cells, edges, 0), _boxed(cells, edges, 1), detail)


def _exact(counts: Sequence[int], bins: int) -> Shares:
    import numpy as np

    array = np.asarray(counts, dtype=np.int64)
    if len(array) != bins or not array.sum():
        raise NotComparableError("could not be counted again in the bins of the test")
    share = array / array.sum()
    return Shares(share, share, share, int(array.sum()))


def _boxed(cells: Cells, edges: Floats, side: int) -> Shares:
    import numpy as np

    counts = (cells.reference, cells.current)[side]
    n = (cells.reference_n, cells.current_n)[side]
    used = counts > 0
    rows = counts[used] / n
    first, last = _bin(cells.lower[used], edges), _bin(cells.upper[used], edges)
    mean = (cells.reference_mean, cells.current_mean)[side][used]
    likely = np.clip(_bin(mean, edges), first, last)
    bins = len(edges) - 1
    share = np.bincount(likely, weights=rows, minlength=bins).astype(float)
    sure = first == last
    low = np.bincount(first[sure], weights=rows[sure], minlength=bins).astype(float)
    steps = np.bincount(first, weights=rows, minlength=bins + 1)
    steps -= np.bincount(last + 1, weights=rows, minlength=bins + 1)
    loose = cells.loose[side]
    if sure.all() and not loose:
        return Shares(share, share, share, n)
    high = np.cumsum(steps)[:bins].astype(float) + loose
    # Rounding must not put the sure part above the possible one.
    return Shares(np.minimum(low, share), share + loose / bins, np.maximum(high, share), n)


def _bin(values: Floats, edges: Floats) -> NDArray[np.intp]:
    import numpy as np

    found = np.searchsorted(edges, values, side="right") - 1
    return np.clip(found, 0, len(edges) - 2)
