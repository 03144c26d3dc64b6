"""Curves, calibration and confusion, drawn from readings; `plot_words` says them in words.

Every function returns a `Sketch`. Widths suit a column of a page and a telephone; values are in
the tables beside them, so a plot shows shape, order and overlap, and few numbers.
"""

from __future__ import annotations

import math
from operator import attrgetter
from typing import TYPE_CHECKING, NamedTuple

from aims_mlflow.model_card.frame import Frame, cut
from aims_mlflow.model_card.svg import Dash, Sketch, Tone

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from aims_mlflow.readings import Calibration, CurvePoint

_WIDTH, _HEIGHT = 300.0, 250.0
_UNIT = (0.0, 0.25, 0.5, 0.75, 1.0)
#: Classes of a confusion matrix that is drawn.
MAX_CLASSES = 20
#: With more classes, the tiles have no numbers; the table beside the matrix has them.
_MAX_NUMBERED = 10
_LEFT, _SMALLEST, _LARGEST = 92.0, 18.0, 64.0


def reliability(
    calibration: Calibration, histogram: Mapping[str, Sequence[float]] | None = None
) -> Sketch:
    """Mean score against the share of positives in each bin, and how the scores lie below it."""
    below = 62.0 if histogram else 0.0
    sketch = Sketch(_WIDTH, _HEIGHT + below)
    frame = Frame(sketch, (42, 38 + below, _WIDTH - 8, _HEIGHT + below - 8))
    frame.grid(_UNIT, _UNIT, labels=not histogram)
    sketch.line(frame.at([(0, 0), (1, 1)]), "soft", dash="--")
    middles = [(one.mean_score, one.observed) for one in calibration.bins]
    bars = [[(one.mean_score, end) for end in one.interval] for one in calibration.bins]
    sketch.lines([frame.at(bar) for bar in bars], "accent")
    sketch.line(frame.at(middles), "accent", width=1.5)
    sketch.dots(frame.at(middles), "accent")
    frame.names("" if histogram else "mean score in the bin", "share of positives")
    if histogram:
        _histogram(sketch, (42, 38, _WIDTH - 8, 84), histogram)
    return sketch


def _histogram(
    sketch: Sketch,
    box: tuple[float, float, float, float],
    histogram: Mapping[str, Sequence[float]],
) -> None:
    edges, positives = histogram["edges"], histogram["positives"]
    both = [p + n for p, n in zip(positives, histogram["negatives"], strict=True)]
    span = (min(0.0, edges[0]), max(1.0, edges[-1]))
    frame = Frame(sketch, box, x_range=span, y_range=(0, max(both, default=0) or 1))
    frame.grid(_UNIT)
    sketch.areas([frame.at(_steps(edges, both))], "soft", opacity=0.45)
    sketch.areas([frame.at(_steps(edges, positives))], "accent", opacity=0.8)
    sketch.line([(box[0], box[1]), (box[2], box[1])], "soft", width=0.7)
    frame.names("score; rows that are positive (strong) and negative (pale)")


def _steps(edges: Sequence[float], heights: Sequence[float]) -> list[tuple[float, float]]:
    tops = [
        point
        for index, height in enumerate(heights)
        for point in ((edges[index], height), (edges[index + 1], height))
    ]
    return [(edges[0], 0), *tops, (edges[-1], 0)]


def roc(curve: Sequence[CurvePoint]) -> Sketch:
    """The receiver operating characteristic: true over false positive rate at each threshold."""
    sketch, frame = _square()
    sketch.line(frame.at([(0, 0), (1, 1)]), "soft", dash="--")
    points = _pairs(curve, lambda p: p.false_positive_rate, lambda p: p.true_positive_rate)
    sketch.line(frame.at(_rising([(0.0, 0.0), *points, (1.0, 1.0)])), "accent", width=1.6)
    frame.names("false positive rate", "true positive rate")
    return sketch


def precision_recall(curve: Sequence[CurvePoint]) -> Sketch:
    """Precision over recall at each threshold."""
    sketch, frame = _square()
    points = _pairs(curve, lambda p: p.true_positive_rate, lambda p: p.precision)
    # From the highest threshold to the lowest, recall rises.
    sketch.line(frame.at(points[::-1]), "accent", width=1.6)
    frame.names("recall", "precision")
    return sketch


_THRESHOLD_LINES: tuple[tuple[str, str, Tone, Dash], ...] = (
    ("true_positive_rate", "true positive rate", "accent", "-"),
    ("false_positive_rate", "false positive rate", "fail", "--"),
    ("precision", "precision", "stated", "-."),
    ("selection_rate", "selection rate", "soft", ":"),
)


def thresholds(curve: Sequence[CurvePoint]) -> Sketch:
    """Four rates by the score from which a row counts as positive."""
    sketch = Sketch(_WIDTH, _HEIGHT + 30)
    cuts = [point.threshold for point in curve]
    span = (min(0.0, *cuts), max(1.0, *cuts)) if cuts else (0.0, 1.0)
    frame = Frame(sketch, (42, 38, _WIDTH - 8, _HEIGHT - 8), x_range=span)
    frame.grid(_UNIT, _UNIT)
    for index, (field, words, tone, dash) in enumerate(_THRESHOLD_LINES):
        points = _pairs(curve, attrgetter("threshold"), attrgetter(field))
        if points:
            sketch.line(frame.at(points), tone, width=1.6, dash=dash)
        left, height = 42 + 128 * (index % 2), _HEIGHT + 16 - 14 * (index // 2)
        sketch.line([(left, height + 3), (left + 20, height + 3)], tone, width=1.6, dash=dash)
        sketch.text(left + 25, height, words, tone="ink", size=8.5)
    frame.names("positive from this score on")
    return sketch


def confusion(labels: Sequence[str], counts: Mapping[tuple[str, str], int]) -> Sketch:
    """The confusion matrix, rows true and columns predicted, shaded by the share of the row.

    Args:
        labels: At most `MAX_CLASSES`, in the order to show.
        counts: Rows by (true, predicted); absent means none.
    """
    k = len(labels)
    side = max(_SMALLEST, min(_LARGEST, 230.0 / k))
    names = [cut(label, 14) for label in labels]
    longest = max(map(len, names), default=0)
    turned = 5 * longest > side
    # A name that is turned by 45 degrees needs about 3.5 points for each letter, up and right.
    top, beyond = 26.0 + k * side, 16 + 3.5 * longest if turned else 18.0
    sketch = Sketch(_LEFT + k * side + (beyond if turned else 10), top + beyond)
    sketch.areas([_square_at(_LEFT, 26.0, k * side)], "line", opacity=0.5)
    tiles = [
        _Tile(_LEFT + column * side, top - (row + 1) * side, n, n / total, row == column)
        for row, true in enumerate(labels)
        for total in [sum(counts.get((true, label), 0) for label in labels)]
        for column, predicted in enumerate(labels)
        if (n := counts.get((true, predicted), 0))
    ]
    _shade(sketch, tiles, side)
    if k <= _MAX_NUMBERED:
        for tile in tiles:
            _number(sketch, tile, side)
    for index, name in enumerate(names):
        x, y = _LEFT + (index + 0.5) * side, top - (index + 0.5) * side
        sketch.text(_LEFT - 6, y - 3, name, tone="ink", anchor="right", size=8)
        if turned:
            sketch.text(x, top + 6, name, tone="ink", size=8, angle=45)
        else:
            sketch.text(x, top + 6, name, tone="ink", size=8, anchor="center")
    sketch.text(_LEFT + k * side / 2, 8, "predicted (columns), true (rows)", anchor="center")
    return sketch


class _Tile(NamedTuple):
    x: float
    y: float
    n: int
    share: float
    right: bool


def _shade(sketch: Sketch, tiles: Sequence[_Tile], side: float) -> None:
    levels: dict[tuple[bool, int], list[_Tile]] = {}
    for tile in tiles:
        levels.setdefault((tile.right, math.ceil(10 * tile.share)), []).append(tile)
    for (right, level), own in levels.items():
        # Faint enough that the text upon it keeps its contrast in both themes.
        opacity = 0.08 + 0.037 * level
        squares = [_square_at(tile.x + 1, tile.y + 1, side - 2) for tile in own]
        sketch.areas(squares, "accent" if right else "fail", opacity=opacity)


def _number(sketch: Sketch, tile: _Tile, side: float) -> None:
    roomy = side > 40
    size, middle = (9.5 if roomy else 7.0), tile.x + side / 2
    height = tile.y + side / 2 - size / 3
    sketch.text(middle, height, _short(tile.n), tone="ink", anchor="center", size=size)
    if roomy:
        share = f"{tile.share:.0%}"
        sketch.text(middle, height - 12, share, tone="ink", anchor="center", size=7.5)


def _square_at(x: float, y: float, side: float) -> list[tuple[float, float]]:
    return [(x, y), (x + side, y), (x + side, y + side), (x, y + side)]


def _square() -> tuple[Sketch, Frame]:
    sketch = Sketch(_WIDTH, _HEIGHT)
    frame = Frame(sketch, (42, 38, _WIDTH - 8, _HEIGHT - 8))
    frame.grid(_UNIT, _UNIT)
    return sketch, frame


def _pairs(
    curve: Sequence[CurvePoint],
    x: Callable[[CurvePoint], float | None],
    y: Callable[[CurvePoint], float | None],
) -> list[tuple[float, float]]:
    found = [(x(point), y(point)) for point in curve]
    return [
        (a, b)
        for a, b in found
        if a is not None and b is not None and math.isfinite(a) and math.isfinite(b)
    ]


def _rising(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    return sorted(dict.fromkeys(points))


def _short(n: int) -> str:
    """A count in at most four or five letters.

    >>> _short(950), _short(12_345), _short(3_400_000)
    ('950', '12.3k', '3.4M')
    """
    for limit, letter in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if n >= limit:
            unit = 10 ** (3 * math.floor(math.log10(limit) / 3))
            return f"{n / unit:.3g}{letter}"
    return f"{n:,}"
