"""Two columns of numbers on the same cells: what all statistics of numbers are computed from."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from aims_mlflow.errors import MonitorError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from aims_mlflow.monitors.summaries import Bins, ColumnSummary

    Floats = NDArray[np.float64]
    Counts = NDArray[np.int64]


class NotComparableError(MonitorError):
    """Two columns for which a statistic is undefined or cannot be had from what was counted."""


class Cells(NamedTuple):
    """Intervals in ascending order that do not overlap, with the rows of two columns in each.

    All arrays have one entry for each cell. A cell with `lower == upper` is one value; in the
    others the rows lie anywhere between the two ends and only their mean is known (NaN where a
    column has no rows in the cell). `reference_n` and `current_n` are all rows with a finite
    value: those that are in no cell are `loose` (pooled, somewhere between `low` and `high`).
    `rounded` says that single values came back from sums, and so may miss their last digit.
    """

    lower: Floats
    upper: Floats
    reference: Counts
    current: Counts
    reference_mean: Floats
    current_mean: Floats
    reference_n: int
    current_n: int
    low: float
    high: float
    rounded: bool

    @property
    def loose(self) -> tuple[float, float]:
        """The shares of the reference and of the current rows that are in no cell."""
        return (
            float(1 - self.reference.sum() / self.reference_n),
            float(1 - self.current.sum() / self.current_n),
        )


def finite(column: ColumnSummary) -> int:
    """Rows with a finite value, which is what Evidently compares."""
    return column.present - column.infinite


def same_cells(reference: ColumnSummary, current: ColumnSummary) -> Cells:
    """Both columns on the finest cells that both were counted in.

    Values of a column that was counted value by value are put into the bins of the other one;
    bins that were merged in one column are merged in the other. Where each bin holds one value,
    cells are values; values that differ by a few units in the last place are one.

    Raises:
        NotComparableError: A column has no rows, was not counted as numbers, was counted in other
            bins than the other one, or holds numbers that are too large to be added up.
    """
    import numpy as np

    for column, side in ((reference, "reference"), (current, "current")):
        _require_numbers(column, side)
    points = _points(reference, current)
    layout = None if points else _layout(reference, current)
    before, after = points or (_atoms(reference, layout), _atoms(current, layout))
    lower, upper, groups = _cells_of(before, after, layout)
    cut = len(before.first)
    counts, means = _counted(before, groups[:cut], lower, layout)
    counts_after, means_after = _counted(after, groups[cut:], lower, layout)
    low, high = _extremes(reference, current)
    with np.errstate(invalid="ignore"):
        lower = np.fmin(np.maximum(lower, low), np.fmin(means, means_after))
        upper = np.fmax(np.minimum(upper, high), np.fmax(means, means_after))
    if not (np.isfinite(lower).all() and np.isfinite(upper).all()):
        raise NotComparableError("holds numbers that are too large for its bins")
    return Cells(
        lower=lower,
        upper=upper,
        reference=counts,
        current=counts_after,
        reference_mean=means,
        current_mean=means_after,
        reference_n=finite(reference),
        current_n=finite(current),
        low=low,
        high=high,
        rounded=points is not None and any(map(_rounded, (reference, current))),
    )


def numeric(column: ColumnSummary) -> bool:
    """Whether the column holds numbers."""
    return column.family in ("integer", "float")


def _require_numbers(column: ColumnSummary, side: str) -> None:
    if not numeric(column):
        raise NotComparableError(f"is of {column.family} values in the {side} data, not of numbers")
    if finite(column) < 1:
        raise NotComparableError(f"has no finite value in the {side} data")
    if column.values is None and column.bins is None:
        raise NotComparableError(column.uncounted or f"was not counted in the {side} data")


def _layout(reference: ColumnSummary, current: ColumnSummary) -> Bins | None:
    layouts = [c.bins for c in (reference, current) if c.values is None and c.bins is not None]
    if len(layouts) == 2:
        one, other = ((b.centre, b.scale, b.per_unit) for b in layouts)
        if one != other:
            raise NotComparableError("was counted in other bins than the reference")
    return layouts[0] if layouts else None


def _singles(column: ColumnSummary) -> bool:
    """Whether each bin holds one value only."""
    bins = column.bins
    return bins is not None and column.distinct == len(bins.first) and bins.first == bins.last


def _rounded(column: ColumnSummary) -> bool:
    return column.values is None and column.family != "integer"


class _Atoms(NamedTuple):
    """First and last bin (or the value itself, twice), rows and the sum of their values."""

    first: Floats
    last: Floats
    counts: Counts
    sums: Floats


def _atoms(column: ColumnSummary, layout: Bins | None) -> _Atoms:
    import numpy as np

    if column.values is None:
        bins = column.bins
        assert bins is not None
        return _Atoms(
            np.array(bins.first, dtype=float),
            np.array(bins.last, dtype=float),
            np.array(bins.counts, dtype=np.int64),
            np.array(bins.sums, dtype=float),
        )
    values = np.array([float(value) for value, _count in column.values], dtype=float)
    counts = np.array([count for _value, count in column.values], dtype=np.int64)
    with np.errstate(over="ignore"):
        sums: Floats = values * counts.astype(float)
        if layout is None:
            return _Atoms(values, values, counts, sums)
        bin_of = np.floor(np.arcsinh((values - layout.centre) / layout.scale) * layout.per_unit)
    return _Atoms(bin_of, bin_of, counts, sums)


def _points(reference: ColumnSummary, current: ColumnSummary) -> tuple[_Atoms, _Atoms] | None:
    """Both columns value by value; None where the values of one are not known."""
    import numpy as np

    if not all(c.values is not None or _singles(c) for c in (reference, current)):
        return None
    before, after = (
        _atoms(column, None) if column.values is not None else _of_singles(column)
        for column in (reference, current)
    )
    if any(map(_rounded, (reference, current))):
        every = np.unique(np.concatenate([before.first, after.first]))
        # Adding up and dividing can cost the last digit.
        apart = np.diff(every) > 4 * np.spacing(np.abs(every[:-1]))
        starts = every[np.concatenate([[True], apart])]
        before, after = (_snapped(atoms, starts) for atoms in (before, after))
    return before, after


def _of_singles(column: ColumnSummary) -> _Atoms:
    import numpy as np

    assert column.bins is not None
    counts = np.array(column.bins.counts, dtype=np.int64)
    sums = np.array(column.bins.sums, dtype=float)
    values = np.rint(sums / counts) if column.family == "integer" else sums / counts
    return _Atoms(values, values, counts, sums)


def _snapped(atoms: _Atoms, starts: Floats) -> _Atoms:
    import numpy as np

    values = starts[np.searchsorted(starts, atoms.first, side="right") - 1]
    return atoms._replace(first=values, last=values)


def _counted(
    atoms: _Atoms, groups: NDArray[np.intp], lower: Floats, layout: Bins | None
) -> tuple[Counts, Floats]:
    """Rows and means in each cell."""
    import numpy as np

    counts = np.zeros(len(lower), dtype=np.int64)
    np.add.at(counts, groups, atoms.counts)
    if layout is None:
        # The cell is one value: adding up and dividing would only round it.
        return counts, np.where(counts > 0, lower, np.nan)
    sums = np.zeros(len(lower))
    with np.errstate(over="ignore", invalid="ignore"):
        np.add.at(sums, groups, atoms.sums)
        means = np.divide(sums, counts, out=np.full(len(lower), np.nan), where=counts > 0)
    if not np.isfinite(means[counts > 0]).all():
        raise NotComparableError("holds numbers that are too large to be added up")
    return counts, means


def _cells_of(
    before: _Atoms, after: _Atoms, layout: Bins | None
) -> tuple[Floats, Floats, NDArray[np.intp]]:
    """The ends of the cells, and the cell of each atom (those of `before` come first)."""
    import numpy as np

    first = np.concatenate([before.first, after.first])
    last = np.concatenate([before.last, after.last])
    if not len(first):
        raise NotComparableError("has only rows that are pooled: no value is common enough")
    order = np.lexsort((last, first))
    reach = np.maximum.accumulate(last[order])
    starts = np.concatenate([[True], first[order][1:] > reach[:-1]])
    group = np.cumsum(starts) - 1
    groups = np.empty(len(order), dtype=np.intp)
    groups[order] = group
    low = first[order][starts]
    high = reach[np.concatenate([np.flatnonzero(starts)[1:] - 1, [len(order) - 1]])]
    if layout is None:
        return low, high, groups
    with np.errstate(over="ignore", invalid="ignore"):
        lower = layout.centre + layout.scale * np.sinh(low / layout.per_unit)
        upper = layout.centre + layout.scale * np.sinh((high + 1) / layout.per_unit)
    return lower, upper, groups


def _extremes(reference: ColumnSummary, current: ColumnSummary) -> tuple[float, float]:
    """The ends of all values; infinite where they are not known."""
    low = [-float("inf") if c.minimum is None else c.minimum for c in (reference, current)]
    high = [float("inf") if c.maximum is None else c.maximum for c in (reference, current)]
    return min(low), max(high)
