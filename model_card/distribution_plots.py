"""Two distributions of one column side by side: those of the reference and of the current data."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, NamedTuple

from aims_mlflow.model_card.frame import Frame, cut
from aims_mlflow.model_card.svg import Sketch

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aims_mlflow.model_card.svg import Anchor, Tone
    from aims_mlflow.monitored import ColumnComparison

#: Three of them stand beside each other on a page, two on paper.
_WIDTH, _HEIGHT = 194.0, 136.0
_LEGEND = 20.0
#: Bars of categories and of numbers that are drawn; a comparison has no more of its own.
_MAX_BARS, _MAX_BINS = 12, 40
_LABEL, _ROW, _BAR, _LETTERS = 71.0, 18.0, 7.0, 14
_BETWEEN = " to "
#: The largest share, and what rounding may add to it.
_ALL = 1 + 1e-9


class Side(NamedTuple):
    """The shares of one data set by label; empty where they are not known."""

    name: str
    shares: tuple[float, ...]
    tone: Tone
    opacity: float


_SIDES = (Side("reference", (), "soft", 0.45), Side("current", (), "accent", 0.85))


def sides(found: ColumnComparison) -> tuple[Side, Side]:
    """Reference and current; shares that do not belong to the labels are left out."""
    before, after = _SIDES
    count = len(found.labels)
    return (
        before._replace(shares=_whole(found.reference, count)),
        after._replace(shares=_whole(found.current, count)),
    )


def distributions(found: ColumnComparison) -> Sketch:
    """The shares of both data sets: bars of categories, outlines of numbers."""
    if found.kind == "categorical":
        return _categories(found)
    return _numbers(found)


def in_words(found: ColumnComparison) -> str:
    """Where most rows of both lie, and which share changed most."""
    told = [
        f"Of the {side.name} data, most rows ({_percent(max(side.shares))}) are in "
        f"'{cut(found.labels[side.shares.index(max(side.shares))], 40)}'."
        for side in sides(found)
        if side.shares
    ]
    before, after = (side.shares for side in sides(found))
    if before and after:
        changes = [new - old for old, new in zip(before, after, strict=True)]
        index = max(range(len(changes)), key=lambda i: abs(changes[i]))
        told.append(
            f"The share of '{cut(found.labels[index], 40)}' changed most: from "
            f"{_percent(before[index])} to {_percent(after[index])}."
        )
    return " ".join(told) or "No shares are known."


def _whole(shares: Sequence[float], count: int) -> tuple[float, ...]:
    # A NaN is in no range.
    fits = len(shares) == count and all(0 <= share <= _ALL for share in shares)
    return tuple(shares) if fits and count else ()


def _percent(share: float) -> str:
    return f"{share:.1%}" if 0 < share < 0.1 else f"{share:.0%}"


def _numbers(found: ColumnComparison) -> Sketch:
    sketch = Sketch(_WIDTH, _HEIGHT)
    _legend(sketch, _HEIGHT)
    shown = [side._replace(shares=side.shares[:_MAX_BINS]) for side in sides(found)]
    most = max((share for side in shown for share in side.shares), default=0.0) or 1.0
    count = min(len(found.labels), _MAX_BINS) or 1
    box = (26.0, 18.0, _WIDTH - 4, _HEIGHT - _LEGEND - 4)
    frame = Frame(sketch, box, x_range=(0, count), y_range=(0, most))
    _scale(frame, most)
    for side in shown:
        _outline(frame, side)
    sketch.line([(frame.left, frame.bottom), (frame.right, frame.bottom)], "soft", width=0.7)
    for place, text, anchor in _marks(found.labels[:count]):
        sketch.text(frame.x(place), 6, cut(text, 12), anchor=anchor, size=7.5)
    return sketch


def _scale(frame: Frame, most: float) -> None:
    """A line at a round share not above the highest, and its half."""
    step = 10 ** math.floor(math.log10(most))
    top = next(step * part for part in (5, 2, 1) if step * part <= most)
    for share in (top / 2, top):
        y = frame.y(share)
        frame.sketch.line([(frame.left, y), (frame.right, y)], "line", width=0.7)
        frame.sketch.text(frame.left - 3, y - 3, _tick(share), anchor="right", size=7.5)


def _tick(share: float) -> str:
    return f"{100 * share:.3g}%"


def _outline(frame: Frame, side: Side) -> None:
    if not side.shares:
        return
    tops = [p for i, share in enumerate(side.shares) for p in ((i, share), (i + 1, share))]
    outline = frame.at([(0, 0), *tops, (len(side.shares), 0)])
    strong = side.tone != "soft"
    frame.sketch.areas([outline], side.tone, opacity=0.12 if strong else 0.3)
    frame.sketch.line(outline, side.tone, width=1.5 if strong else 0.8)


def _marks(labels: Sequence[str]) -> list[tuple[float, str, Anchor]]:
    """Where which text stands below: the ends and the middle of bins, or some of the values."""
    ends = [label.split(_BETWEEN) for label in labels]
    if not labels:
        return []
    if any(len(end) != 2 for end in ends):
        places = sorted({0, len(labels) // 2, len(labels) - 1})
        return [(place + 0.5, labels[place], "center") for place in places]
    middle = len(labels) // 2
    found: list[tuple[float, str, Anchor]] = [(0, ends[0][0], "left")]
    if middle:
        found.append((middle, ends[middle][0], "center"))
    return [*found, (len(labels), ends[-1][1], "right")]


def _categories(found: ColumnComparison) -> Sketch:
    labels = found.labels[:_MAX_BARS]
    height = len(labels) * _ROW + _LEGEND + 6
    sketch = Sketch(_WIDTH, height)
    _legend(sketch, height)
    shown = sides(found)
    most = max((share for side in shown for share in side.shares), default=0.0) or 1.0
    frame = Frame(sketch, (_LABEL, 2, _WIDTH - 30, height - _LEGEND), x_range=(0, most))
    for row, label in enumerate(labels):
        top = height - _LEGEND - row * _ROW
        text = cut(label, _LETTERS)
        sketch.text(_LABEL - 4, top - 11, text, tone="ink", anchor="right", size=7.5)
        _bars(frame, [side for side in shown if side.shares], row, top - 2)
    sketch.line([(_LABEL, 4), (_LABEL, height - _LEGEND)], "soft", width=0.7)
    return sketch


def _bars(frame: Frame, shown: Sequence[Side], row: int, top: float) -> None:
    """A bar of each side, with its own number at its own end."""
    for index, side in enumerate(shown):
        right, y = frame.x(side.shares[row]), top - index * (_BAR + 0.5)
        bar = [(frame.left, y), (right, y), (right, y - _BAR), (frame.left, y - _BAR)]
        if right > frame.left:
            frame.sketch.areas([bar], side.tone, opacity=side.opacity)
        tone: Tone = "soft" if side.tone == "soft" else "ink"
        text = _percent(side.shares[row])
        frame.sketch.text(right + 3, y - _BAR + 1, text, tone=tone, size=6.8)


def _legend(sketch: Sketch, height: float) -> None:
    for index, side in enumerate(_SIDES):
        left, low = 2 + 62.0 * index, height - 11
        square = [(left, low), (left + 8, low), (left + 8, low + 8), (left, low + 8)]
        sketch.areas([square], side.tone, opacity=side.opacity)
        sketch.text(left + 12, low + 1, side.name, tone="ink", size=8)
