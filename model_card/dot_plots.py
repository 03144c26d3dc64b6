"""Dot plots: a value with its interval for each group, slice or perturbation, metric by metric."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from aims_mlflow.model_card.frame import Frame, cut, cut_middle
from aims_mlflow.model_card.svg import Sketch, Tone

if TYPE_CHECKING:
    from collections.abc import Sequence

#: Rows of a dot plot; the table beside it has all.
MAX_ROWS = 24
_ROW, _PANEL, _GAP = 15.0, 124.0, 13.0
#: What the names of two groups need beside each other.
_LABEL_LETTERS = 40


class Mark(NamedTuple):
    """A value and its interval; `hollow` takes no part in the comparison."""

    value: float
    interval: tuple[float, float] | None = None
    hollow: bool = False


class DotPanel(NamedTuple):
    """One metric of a dot plot: a mark or nothing for each row, and a value to compare with."""

    title: str
    marks: tuple[Mark | None, ...]
    reference: float | None = None


def dots(labels: Sequence[str], panels: Sequence[DotPanel]) -> Sketch:
    """Rows of values with their intervals, one panel for each metric, all on the same rows.

    Args:
        labels: One for each row; at most `MAX_ROWS` are drawn.
        panels: Each with one mark or None for each row. Its reference is a dashed line.
    """
    rows = min(len(labels), MAX_ROWS)
    height = rows * _ROW + 52
    names = [cut_middle(label, _LABEL_LETTERS) for label in labels[:rows]]
    margin = 14 + 5 * max(map(len, names), default=0)
    sketch = Sketch(margin + len(panels) * _PANEL + 6, height)
    for row, name in enumerate(names):
        y = height - 24 - (row + 0.5) * _ROW
        sketch.text(margin - 4, y - 3, name, tone="ink", anchor="right", size=8.5)
    for index, panel in enumerate(panels):
        left = margin + index * _PANEL
        box = (left + _GAP, 24.0, left + _PANEL - _GAP, height - 24)
        _dot_panel(sketch, box, panel, rows)
    return sketch


def _dot_panel(
    sketch: Sketch, box: tuple[float, float, float, float], panel: DotPanel, rows: int
) -> None:
    marks = [(row, mark) for row, mark in enumerate(panel.marks[:rows]) if mark is not None]
    ticks = _ticks([mark for _, mark in marks], panel.reference)
    frame = Frame(sketch, box, x_range=(ticks[0], ticks[-1]))
    frame.grid(ticks)
    middle = (box[0] + box[2]) / 2
    sketch.text(middle, box[3] + 9, cut(panel.title, 26), tone="ink", anchor="center")
    if panel.reference is not None:
        x = frame.x(panel.reference)
        sketch.line([(x, box[1]), (x, box[3])], "ink", dash="--")
    styles: tuple[tuple[bool, Tone], ...] = ((False, "accent"), (True, "soft"))
    for hollow, tone in styles:
        own = [(box[3] - (row + 0.5) * _ROW, mark) for row, mark in marks if mark.hollow == hollow]
        bars = [[(frame.x(end), y) for end in mark.interval or ()] for y, mark in own]
        if own:
            sketch.lines(bars, tone, width=1.5)
            sketch.dots([(frame.x(mark.value), y) for y, mark in own], tone, hollow=hollow)


def _ticks(marks: Sequence[Mark], reference: float | None) -> list[float]:
    """A few round numbers that span all marks, their intervals and the reference."""
    from matplotlib.ticker import MaxNLocator

    values = [value for mark in marks for value in (mark.value, *(mark.interval or ()))]
    values += [reference] if reference is not None else []
    low, high = min(values, default=0.0), max(values, default=1.0)
    if low == high:
        low, high = low - (abs(low) or 1) / 10, high + (abs(high) or 1) / 10
    ticks = MaxNLocator(nbins=2, min_n_ticks=2, steps=[1, 2, 2.5, 5, 10]).tick_values(low, high)
    return [float(tick) for tick in ticks]
