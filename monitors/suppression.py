"""Count tables without small counts, so that they can be kept where rows must not be."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from aims_mlflow.monitors.grids import TOO_FAR_APART, choose_grid, index_of
from aims_mlflow.monitors.summaries import Bins, ColumnSummary, DataSummary

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


def suppress(summary: DataSummary, below: int = 10) -> DataSummary:
    """The same summary without a bin, value or category that fewer than `below` rows have.

    Adjacent bins are merged and rare categories pooled; numbers that are counted value by value
    are put into bins where one of them is rare. Counts and sums of a column stay what they were.
    Extremes become edges of the outermost bins; those of times go, each being one row's. A column
    with fewer than `below` values keeps only how many it has. How many values are missing,
    infinite or not as expected stays as it is: those counts say nothing of what a row holds.

    Args:
        summary: What was counted.
        below: The least count of an entry that is left, at least 1.

    Raises:
        ValueError: `below` is less than 1.
    """
    if below < 1:
        raise ValueError(f"'below' is {below}; counts cannot be suppressed below less than 1")
    return summary.model_copy(
        update={
            "columns": tuple(_column(column, below) for column in summary.columns),
            "suppressed_below": max(below, summary.suppressed_below),
        }
    )


def _column(column: ColumnSummary, below: int) -> ColumnSummary:
    if column.family in ("temporal", "other"):
        return column.model_copy(update={"minimum": None, "maximum": None})
    if column.uncounted or not column.present:
        return _without_numbers(column)
    if column.present < below:
        return _small(column, below)
    if column.bins is not None:
        return _of_bins(column, column.bins, below)
    values = column.values or ()
    if column.family in ("boolean", "string"):
        return _of_categories(column, values, below)
    if all(count >= below for _, count in values):
        return column
    return _of_bins(column, _binned(values), below)


def _without_numbers(column: ColumnSummary, **changes: Any) -> ColumnSummary:
    gone = dict.fromkeys(("minimum", "maximum", "mean", "std"))
    return column.model_copy(update=gone | changes)


def _small(column: ColumnSummary, below: int) -> ColumnSummary:
    reason = f"fewer than {below} rows have a value"
    gone = dict.fromkeys(("values", "bins", "distinct"))
    return _without_numbers(column, **gone, pooled=0, pooled_values=0, uncounted=reason)


def _of_categories(
    column: ColumnSummary, values: Sequence[tuple[Any, int]], below: int
) -> ColumnSummary:
    """Rare categories pooled, and the next rarest ones until the pool is large enough itself."""
    pooled, named, n = column.pooled, column.pooled_values, 0
    by_count = sorted(values, key=lambda entry: (entry[1], str(entry[0])))
    while n < len(by_count) and (by_count[n][1] < below or 0 < pooled < below):
        pooled += by_count[n][1]
        named += 1
        n += 1
    if 0 < pooled < below:
        return _small(column, below)
    kept = {value for value, _ in by_count[n:]}
    return column.model_copy(
        update={
            "values": tuple(entry for entry in values if entry[0] in kept),
            "pooled": pooled,
            "pooled_values": named,
        }
    )


def _of_bins(column: ColumnSummary, bins: Bins, below: int) -> ColumnSummary:
    merged = merge(bins, below)
    if not all(map(math.isfinite, merged.sums)):
        gone = dict.fromkeys(("values", "bins", "distinct"))
        return _without_numbers(column, **gone, uncounted=TOO_FAR_APART)
    if not merged.counts or merged.counts[0] < below:
        return _small(column, below)
    low, high = merged.edge(merged.first[0]), merged.edge(merged.last[-1] + 1)
    smallest, largest = column.minimum, column.maximum
    return column.model_copy(
        update={
            "values": None,
            "bins": merged,
            "minimum": low if smallest is not None and -math.inf < low <= smallest else None,
            "maximum": high if largest is not None and math.inf > high >= largest else None,
        }
    )


def merge(bins: Bins, below: int) -> Bins:
    """Neighbouring entries merged until each has at least `below` rows.

    The last ones are merged into the entry before them where they are too few.
    """
    entries: list[list[Any]] = []
    rows = zip(bins.first, bins.last, bins.counts, bins.sums, strict=True)
    for first, last, count, total in rows:
        if entries and entries[-1][2] < below:
            entries[-1] = _joined(entries[-1], [first, last, count, total])
        else:
            entries.append([first, last, count, total])
    if len(entries) > 1 and entries[-1][2] < below:
        tail = entries.pop()
        entries[-1] = _joined(entries[-1], tail)
    columns = tuple(zip(*entries, strict=True)) or ((), (), (), ())
    update = dict(zip(("first", "last", "counts", "sums"), columns, strict=True))
    return bins.model_copy(update=update)


def _joined(one: Sequence[Any], other: Sequence[Any]) -> list[Any]:
    return [one[0], other[1], one[2] + other[2], one[3] + other[3]]


def _binned(values: Iterable[tuple[Any, int]]) -> Bins:
    """Numbers that were counted value by value, in bins."""
    import numpy as np

    pairs = [(float(value), count) for value, count in values]
    points, counts = np.array(pairs).T
    grid = choose_grid(points, counts)
    found: dict[int, tuple[int, float]] = {}
    for value, count in pairs:
        index = index_of(value, grid)
        before = found.get(index, (0, 0.0))
        found[index] = (before[0] + count, before[1] + value * count)
    indices = tuple(sorted(found))
    return Bins(
        centre=grid.centre,
        scale=grid.scale,
        per_unit=grid.per_unit,
        first=indices,
        last=indices,
        counts=tuple(found[index][0] for index in indices),
        sums=tuple(found[index][1] for index in indices),
    )
