"""The distributions of a column side by side, in few enough bars to be looked at.

They are sealed and shown, so no bar may tell of a few rows: one that fewer than ten rows of a side
have is put together with others, and no edge of a bar is a value of a row.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING, NamedTuple

from aims_mlflow.monitored import ColumnComparison
from aims_mlflow.monitors.category_tables import category_table
from aims_mlflow.monitors.point_masses import NotComparableError, finite, numeric, same_cells

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aims_mlflow.monitors.point_masses import Cells, Floats
    from aims_mlflow.monitors.summaries import ColumnSummary

#: Bars of numbers and of categories, the tails and the other categories among them.
_BINS, _CATEGORIES = 20, 12
#: The part of the rows in each tail that one bar holds.
_TAIL = 0.025
#: The least rows of a side that a bar may tell of; none at all tells of nobody.
_LEAST = 10
#: Fewer rows than this are none: rows that are spread over bars come back as fractions.
_NONE = 1e-6
#: Letters of a category's label.
_LETTERS = 80


class _Bar(NamedTuple):
    """Neighbouring bins, `first` to `last`, and the rows of both sides in them."""

    first: int
    last: int
    rows: tuple[float, float]


def comparison(reference: ColumnSummary, current: ColumnSummary) -> ColumnComparison | None:
    """Shares of both columns in at most 20 bins or 12 categories; None where they have none.

    A bin or category of which a side has fewer than 10 rows, but has some, is put together with a
    neighbour or with the other categories. What cannot be shown without telling of fewer rows is
    not shown: None as well.
    """
    try:
        if numeric(reference) and numeric(current):
            return _numbers(reference, current)
        return _categories(reference, current)
    except NotComparableError:
        return None


def _numbers(reference: ColumnSummary, current: ColumnSummary) -> ColumnComparison | None:
    cells = same_cells(reference, current)
    single = len(cells.lower) <= _BINS and bool((cells.lower == cells.upper).all())
    rows = list(zip(cells.reference.tolist(), cells.current.tolist(), strict=True))
    if single and not any(map(_tells, rows)):
        return _shown(reference, current, _texts(cells.lower.tolist(), 6), rows)
    edges = _edges(cells)
    spread = [_rows(cells, edges, side) for side in (0, 1)]
    bars = _merged(list(zip(*spread, strict=True)))
    if len(bars) < 2:
        return None
    kept = [float(edges[bar.last]) for bar in bars[:-1]]
    return _shown(reference, current, _labels(kept), [bar.rows for bar in bars])


def _shown(
    reference: ColumnSummary,
    current: ColumnSummary,
    labels: Sequence[str],
    rows: Sequence[tuple[float, float]],
) -> ColumnComparison:
    before, after = zip(*rows, strict=True)
    n, m = finite(reference), finite(current)
    return ColumnComparison(
        column=reference.name,
        kind="numeric" if numeric(reference) and numeric(current) else "categorical",
        labels=tuple(labels),
        reference=tuple(max(0.0, float(count) / n) for count in before),
        current=tuple(max(0.0, float(count) / m) for count in after),
    )


def _tells(rows: tuple[float, float]) -> bool:
    """Whether a bar tells of a few rows of a side."""
    return any(_NONE < count < _LEAST - _NONE for count in rows)


def _edges(cells: Cells) -> Floats:
    """The inner edges of equal bins between the tails of both columns together.

    They are multiples of a round number. The outermost bins have no ends.
    """
    import numpy as np

    shares = cells.reference / cells.reference_n + cells.current / cells.current_n
    below = np.cumsum(shares) / shares.sum()
    last = len(below) - 1
    low = float(cells.lower[min(last, int(np.searchsorted(below, _TAIL)))])
    high = float(cells.upper[min(last, int(np.searchsorted(below, 1 - _TAIL)))])
    if not low < high:
        low, high = float(cells.lower[0]), float(cells.upper[-1])
    # Halves first: the distance between two floats may be more than a float can hold.
    step = _round_number(2 * (high / (2 * (_BINS - 2)) - low / (2 * (_BINS - 2))))
    first = math.ceil(low / step) if step and math.isfinite(low / step) else None
    if first is None or not math.isfinite(high / step):
        raise NotComparableError("lies too close together for its size to be shown in bins")
    count = min(_BINS - 1, math.floor(high / step) - first + 1)
    edges = np.unique([(first + index) * step for index in range(count)])
    finite_ones: Floats = edges[np.isfinite(edges)]
    return finite_ones


def _round_number(least: float) -> float:
    """The smallest 1, 2 or 5 times a power of ten that is not less; 0 where there is none."""
    if not 0 < least < math.inf:
        return 0.0
    power = math.floor(math.log10(least))
    for digit, more in ((1, 0), (2, 0), (5, 0), (1, 1)):
        number = float(f"{digit}e{power + more}")
        if number >= least:
            return number if math.isfinite(number) else 0.0
    return 0.0


def _rows(cells: Cells, edges: Floats, side: int) -> list[float]:
    """The rows below, between and above the edges (k + 1,).

    Rows of a cell that reaches over an edge are spread evenly over the cell.
    """
    import numpy as np

    rows = (cells.reference, cells.current)[side]
    half = cells.upper / 2 - cells.lower / 2
    within = np.divide(
        edges[:, None] / 2 - cells.lower / 2,
        half,
        out=np.where(cells.lower < edges[:, None], 1.0, 0.0),
        where=half > 0,
    )
    below = (np.clip(within, 0, 1) * rows).sum(axis=1)
    found: list[float] = np.diff(below, prepend=0.0, append=float(rows.sum())).tolist()
    return found


def _merged(rows: Sequence[tuple[float, float]]) -> list[_Bar]:
    """Neighbours put together until none tells of a few rows.

    The smallest goes first, toward the nearest rows of the side that has too few: a thin tail of
    one side joins that side's bulk and leaves the other side's bars alone.
    """
    bars = [_Bar(index, index, counts) for index, counts in enumerate(rows)]
    while len(bars) > 1 and not any(bars[0].rows):
        bars[:2] = [_together(*bars[:2])]
    while len(bars) > 1 and not any(bars[-1].rows):
        bars[-2:] = [_together(*bars[-2:])]
    while len(bars) > 1:
        few = [
            (bar.rows[side], at, side)
            for at, bar in enumerate(bars)
            for side in (0, 1)
            if _NONE < bar.rows[side] < _LEAST - _NONE
        ]
        if not few:
            return bars
        _count, at, side = min(few)
        others = [
            (abs(i - at), -bar.rows[side], i)
            for i, bar in enumerate(bars)
            if i != at and bar.rows[side] > _NONE
        ]
        ahead = min(others)[2] > at if others else at == 0
        left = at if ahead else at - 1
        bars[left : left + 2] = [_together(bars[left], bars[left + 1])]
    return [] if _tells(bars[0].rows) else bars


def _together(one: _Bar, other: _Bar) -> _Bar:
    rows = (one.rows[0] + other.rows[0], one.rows[1] + other.rows[1])
    return _Bar(one.first, other.last, rows)


def _labels(edges: Sequence[float]) -> list[str]:
    texts = _texts(edges, 3)
    between = [f"{low} to {high}" for low, high in pairwise(texts)]
    return [f"below {texts[0]}", *between, f"{texts[-1]} and more"]


def _texts(numbers: Sequence[float], least: int) -> list[str]:
    """Numbers with as few digits, `least` or more, as tell one from the other."""
    texts: list[str] = []
    for digits in (least, *(more for more in (4, 6, 9, 12, 15, 17) if more > least)):
        texts = [f"{number:.{digits}g}" for number in numbers]
        if len(set(texts)) == len(texts):
            break
    return texts


def _categories(reference: ColumnSummary, current: ColumnSummary) -> ColumnComparison | None:
    table = category_table(reference, current)
    n, m = table.reference_n, table.current_n
    counts = list(zip(table.reference.tolist(), table.current.tolist(), strict=True))
    order = sorted(
        range(len(counts)),
        key=lambda i: (
            _tells(counts[i]),
            -(counts[i][0] / n + counts[i][1] / m),
            str(table.keys[i]),
        ),
    )
    rest = (table.reference_rest, table.current_rest)
    few = sum(map(_tells, counts))
    shown = order[: len(order) - few]
    if len(shown) + bool(few or any(rest)) > _CATEGORIES:
        shown = shown[: _CATEGORIES - 1]
    if not shown:
        return None
    labels = [_label(table.keys[i]) for i in shown]
    rows = [counts[i] for i in shown]
    other = n - sum(count for count, _ in rows), m - sum(count for _, count in rows)
    if any(other):
        labels.append(f"{len(order) - len(shown) + table.rest_values} other categories")
        rows.append(other)
    return _shown(reference, current, labels, rows)


def _label(value: str | float | bool) -> str:
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return text if len(text) <= _LETTERS else f"{text[: _LETTERS - 1]}…"
