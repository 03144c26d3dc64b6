"""The distributions of a column side by side, in few enough bars to be looked at."""

from __future__ import annotations

import math
from itertools import pairwise
from typing import TYPE_CHECKING

from aims_mlflow.monitored import ColumnComparison
from aims_mlflow.monitors.category_tables import category_table
from aims_mlflow.monitors.point_masses import NotComparableError, numeric, same_cells

if TYPE_CHECKING:
    from aims_mlflow.monitors.point_masses import Cells, Floats
    from aims_mlflow.monitors.summaries import ColumnSummary

#: Bars of numbers and of categories, the tails and the other categories among them.
_BINS, _CATEGORIES = 20, 12
#: The part of the rows in each tail that one bar holds.
_TAIL = 0.025
#: Letters of a category's label.
_LETTERS = 80


def comparison(reference: ColumnSummary, current: ColumnSummary) -> ColumnComparison | None:
    """Shares of both columns in at most 20 bins or 12 categories; None where they have none."""
    try:
        if numeric(reference) and numeric(current):
            return _numbers(reference, current)
        return _categories(reference, current)
    except NotComparableError:
        return None


def _numbers(reference: ColumnSummary, current: ColumnSummary) -> ColumnComparison:
    cells = same_cells(reference, current)
    if len(cells.lower) <= _BINS and bool((cells.lower == cells.upper).all()):
        return ColumnComparison(
            column=reference.name,
            kind="numeric",
            labels=tuple(f"{value:.6g}" for value in cells.lower),
            reference=_plain(cells.reference / cells.reference_n),
            current=_plain(cells.current / cells.current_n),
        )
    edges = _edges(cells)
    return ColumnComparison(
        column=reference.name,
        kind="numeric",
        labels=_labels(edges),
        reference=_plain(_shares(cells, edges, 0)),
        current=_plain(_shares(cells, edges, 1)),
    )


def _edges(cells: Cells) -> Floats:
    """Equal bins between the tails of both columns together, and the tails."""
    import numpy as np

    shares = cells.reference / cells.reference_n + cells.current / cells.current_n
    below = np.cumsum(shares) / shares.sum()
    last = len(below) - 1
    low = float(cells.lower[min(last, int(np.searchsorted(below, _TAIL)))])
    high = float(cells.upper[min(last, int(np.searchsorted(below, 1 - _TAIL)))])
    first, end = float(cells.lower[0]), float(cells.upper[-1])
    inner = np.linspace(low, high, _BINS + 1 - (first < low) - (high < end))
    return np.unique([min(first, low), *inner, max(high, end)])


def _shares(cells: Cells, edges: Floats, side: int) -> Floats:
    """Rows of a cell that reaches over an edge are spread evenly over the cell."""
    import numpy as np

    rows = (cells.reference, cells.current)[side] / (cells.reference_n, cells.current_n)[side]
    width = cells.upper - cells.lower
    ends = edges.copy()
    ends[-1] = math.inf
    within = np.divide(
        ends[:, None] - cells.lower,
        width,
        out=np.where(cells.lower < ends[:, None], 1.0, 0.0),
        where=width > 0,
    )
    return np.diff((np.clip(within, 0, 1) * rows).sum(axis=1))


def _labels(edges: Floats) -> tuple[str, ...]:
    for digits in (3, 4, 6, 9, 17):
        texts = [f"{edge:.{digits}g}" for edge in edges]
        if len(set(texts)) == len(texts):
            break
    return tuple(f"{low} to {high}" for low, high in pairwise(texts))


def _categories(reference: ColumnSummary, current: ColumnSummary) -> ColumnComparison:
    table = category_table(reference, current)
    p = table.reference / table.reference_n
    q = table.current / table.current_n
    order = sorted(range(len(table.keys)), key=lambda i: (-(p[i] + q[i]), str(table.keys[i])))
    rest = table.reference_rest or table.current_rest
    fits = len(order) + bool(rest) <= _CATEGORIES
    shown = order if fits else order[: _CATEGORIES - 1]
    labels = [_label(table.keys[i]) for i in shown]
    before, after = [float(p[i]) for i in shown], [float(q[i]) for i in shown]
    if not fits or rest:
        hidden = len(order) - len(shown) + table.rest_values
        labels.append(f"{hidden} other categories")
        before.append(max(0.0, 1 - sum(before)))
        after.append(max(0.0, 1 - sum(after)))
    return ColumnComparison(
        column=reference.name,
        kind="categorical",
        labels=tuple(labels),
        reference=tuple(before),
        current=tuple(after),
    )


def _label(value: str | float | bool) -> str:
    text = f"{value:g}" if isinstance(value, float) else str(value)
    return text if len(text) <= _LETTERS else f"{text[: _LETTERS - 1]}…"


def _plain(shares: Floats) -> tuple[float, ...]:
    return tuple(max(0.0, float(share)) for share in shares)
