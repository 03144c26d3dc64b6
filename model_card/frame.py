"""The frame of a plot: from data to points, with a grid and the names of its axes."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aims_mlflow.model_card.formats.text import visible

if TYPE_CHECKING:
    from collections.abc import Sequence

    from aims_mlflow.model_card.svg import Sketch


class Frame:
    """A rectangle of a drawing with a linear scale on each axis.

    Args:
        sketch: Where it is drawn.
        box: Left, bottom, right and top, in points.
        x_range: The values at the left and at the right; they differ.
        y_range: The values at the bottom and at the top; they differ.
    """

    def __init__(
        self,
        sketch: Sketch,
        box: tuple[float, float, float, float],
        x_range: tuple[float, float] = (0.0, 1.0),
        y_range: tuple[float, float] = (0.0, 1.0),
    ) -> None:
        self.sketch = sketch
        self.left, self.bottom, self.right, self.top = box
        self._x_range, self._y_range = x_range, y_range

    def x(self, value: float) -> float:
        """Where a value lies from the left of the drawing, in points."""
        low, high = self._x_range
        return self.left + (value - low) / (high - low) * (self.right - self.left)

    def y(self, value: float) -> float:
        """Where a value lies from the bottom of the drawing, in points."""
        low, high = self._y_range
        return self.bottom + (value - low) / (high - low) * (self.top - self.bottom)

    def at(self, points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
        """Points of data as points of the drawing."""
        return [(self.x(x), self.y(y)) for x, y in points]

    def grid(self, xs: Sequence[float], ys: Sequence[float] = (), *, labels: bool = True) -> None:
        """Grid lines with their numbers; `labels` is about those below."""
        upright = [[(self.x(x), self.bottom), (self.x(x), self.top)] for x in xs]
        level = [[(self.left, self.y(y)), (self.right, self.y(y))] for y in ys]
        self.sketch.lines([*upright, *level], "line", width=0.7)
        for x in xs if labels else ():
            self.sketch.text(self.x(x), self.bottom - 11, f"{x:g}", anchor="center", size=8)
        for y in ys:
            self.sketch.text(self.left - 5, self.y(y) - 3, f"{y:g}", anchor="right", size=8)

    def names(self, x: str, y: str = "") -> None:
        """What the axes show."""
        middle = (self.left + self.right) / 2
        self.sketch.text(middle, self.bottom - 25, x, anchor="center")
        if y:
            height = (self.bottom + self.top) / 2
            self.sketch.text(self.left - 30, height, y, anchor="center", angle=90)


def cut_middle(text: str, letters: int) -> str:
    """A text as one line of at most so many letters, of which both ends stay.

    >>> cut_middle("Asian-Pac-Islander · Female", 19)
    'Asian-Pac… · Female'
    """
    line = " ".join(visible(text).split())
    head = letters // 2
    return line if len(line) <= letters else f"{line[:head]}…{line[head + 1 - letters :]}"


def cut(text: str, letters: int) -> str:
    """A text as one line of at most so many letters."""
    line = " ".join(visible(text).split())
    return line if len(line) <= letters else f"{line[: letters - 1]}…"
