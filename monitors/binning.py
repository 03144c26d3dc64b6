"""One column of numbers, counted in bins that need no knowledge of its extremes."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from aims_mlflow.monitors.engines import number
from aims_mlflow.monitors.grids import (
    EXACT,
    TOO_FAR_APART,
    Entries,
    Grid,
    choose_grid,
    entries_of,
    exact_moments,
    moments,
    widths,
)
from aims_mlflow.monitors.summaries import FEW_VALUES, Bins, ColumnSummary

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    import narwhals as nw

    from aims_mlflow.governance.monitoring import Expectation
    from aims_mlflow.monitors.engines import Table
    from aims_mlflow.monitors.grids import Floats
    from aims_mlflow.monitors.summaries import Family

#: Bins are too coarse where the values of one are spread over more of the standard deviation.
_COARSE = 1 / 128
#: A bin of different values has at most this share of all of them.
_FULL = 1 / 32
#: More bins than this are too fine for what they are needed for.
_MANY = 20_000
_REFINEMENTS = 2
#: Beyond so many scales from the centre, values are too far apart to be added.
_FAR = 1e300
_TINY = 1e-300


def outside_of(value: nw.Expr, expectation: Expectation) -> nw.Expr:
    """1 where a number is not as expected, 0 where it is or is missing."""
    import narwhals as nw

    if expectation.range is not None:
        low, high = expectation.range.min, expectation.range.max
        bounds = [value < low] if low is not None else []
        bounds += [value > high] if high is not None else []
        wrong = nw.any_horizontal(*bounds, ignore_nulls=True)
    else:
        wrong = ~value.is_in(_numbers(expectation.categories or ()))
    return nw.when(wrong & ~value.is_null()).then(nw.lit(1)).otherwise(nw.lit(0)).cast(nw.Int64)


def _numbers(categories: Iterable[str | int | bool]) -> list[float]:
    found = []
    for category in categories:
        try:
            found.append(float(category))
        except (ValueError, OverflowError):
            continue
    return found


class NumberColumn:
    """Counts one column of numbers, pass by pass: `ask`, then `take` until it says None.

    The first pass counts bins, and is enough where they are fine enough. Another is needed where
    the sample misled (`_COARSE`, `_MANY`), where values are infinite or extremely large, and where
    a few values lie so close together that bins cannot tell them apart.

    Args:
        name: The column.
        table: The data.
        sample: Some of its values (k,); those that are not finite are left out.
        like: The same column of the reference, whose bins are used where it has some.
        expectation: What its values are to be.
    """

    def __init__(
        self,
        name: str,
        table: Table,
        sample: Floats | None = None,
        like: ColumnSummary | None = None,
        expectation: Expectation | None = None,
    ) -> None:
        import numpy as np

        self.name = name
        self._table = table
        self._family: Family = table.families[name]
        self._expectation = expectation
        values = np.empty(0) if sample is None else sample
        finite = values[np.isfinite(values)]
        self._few = len(np.unique(finite)) <= FEW_VALUES
        bins = like.bins if like is not None else None
        self._fixed = bins is not None
        self._grid = (
            choose_grid(finite) if bins is None else Grid(bins.centre, bins.scale, bins.per_unit)
        )
        self._careful = self._exact = False
        self._refined = 0
        self._entries: Entries | None = None
        self._moments = (0.0, 0.0)
        self._values: tuple[tuple[float, int], ...] | None = None
        self._missing = self._infinite = 0
        self._outside = 0

    def ask(self) -> nw.LazyFrame[Any]:
        """What to ask of the data next: few rows, whatever the data's size."""
        import narwhals as nw

        value = number(self.name, self._family)
        columns = {"x": value}
        if self._expectation is not None:
            columns["o"] = outside_of(value, self._expectation)
        if self._careful:
            infinite = value.abs() >= math.inf
            columns["x"] = nw.when(~infinite).then(value)
            columns["f"] = nw.when(infinite).then(nw.lit(1)).otherwise(nw.lit(0)).cast(nw.Int64)
        frame = self._table.numbers.select(**columns)
        kept = [nw.col(name) for name in columns]
        if self._exact:
            frame = frame.select(nw.col("x").alias("i"), nw.lit(0.0).alias("z"), *kept)
        else:
            scaled = nw.col("x") * (1 / self._grid.scale) - self._grid.centre / self._grid.scale
            if self._careful:
                scaled = scaled.clip(-_FAR, _FAR)
            frame = frame.with_columns(z=scaled).with_columns(a=nw.col("z").abs())
            frame = frame.select(self._index().alias("i"), nw.col("z"), *kept)
        sums = [nw.col(name).sum().alias(name) for name in ("z", *columns) if name != "x"]
        extremes = [nw.col("x").min().alias("low"), nw.col("x").max().alias("high")]
        return frame.group_by("i").agg(nw.len().alias("n"), *sums, *extremes)

    def _index(self) -> nw.Expr:
        """floor(asinh(z) * per_unit), of z and its absolute value a.

        Not the engine's own asinh: few have one. z / (a + 1e-300) is the sign, and 0 for 0.
        """
        import narwhals as nw

        z, a = nw.col("z"), nw.col("a")
        size = (a + (a * a + 1.0).sqrt()).log()
        if self._careful:
            size = nw.when(a < 1e8).then(size).otherwise((a + _TINY).log() + math.log(2))
        return (z / (a + _TINY) * size * float(self._grid.per_unit)).floor()

    def take(self, found: Mapping[str, Floats]) -> str | None:
        """Take the answer to `ask`, by column. Returns why another one is needed, or None."""
        import numpy as np

        present = ~np.isnan(found["low"])
        numbers = (found[key][present] for key in ("i", "z", "low", "high"))
        if not self._careful and not all(np.isfinite(part).all() for part in numbers):
            self._careful = True
            return "infinite or extremely large values"
        self._outside = int(found["o"].sum()) if "o" in found else 0
        self._infinite = int(found["f"].sum()) if "f" in found else 0
        self._missing = int(found["n"][~present].sum()) - self._infinite
        entries = entries_of(found)
        if self._exact:
            self._exact = self._few = False
            if len(entries.n) <= FEW_VALUES:
                self._values = _values(entries)
                return None
        else:
            self._entries = entries
            self._moments = moments(entries, self._grid)
        return self._next(self._entries or entries)

    def _next(self, entries: Entries) -> str | None:
        if self._fixed:
            return None
        few = len(entries.n) <= FEW_VALUES
        if few and entries.single:
            self._values = _values(entries)
            return None
        if self._refined < _REFINEMENTS and self._unfit(entries):
            grid = _better(entries)
            if abs(math.log2(grid.scale / self._grid.scale)) > 1 or self._away(grid.centre) > 1:
                self._refined += 1
                self._grid = grid
                return "the sample was unlike the rest"
        if few and self._few and not self._inexact:
            self._exact = True
            return "few values, close together"
        return None

    def _away(self, centre: float) -> float:
        return abs(centre / self._grid.scale - self._grid.centre / self._grid.scale)

    def _unfit(self, entries: Entries) -> bool:
        """Whether bins are far too many, or hold values that are too wide apart, or too many."""
        if len(entries.n) > _MANY:
            return True
        spread = self._moments[1]
        if entries.single or not 0 < spread < math.inf:
            return False
        apart = float((entries.n / entries.rows * widths(entries, self._grid)).sum())
        fullest = float(entries.n[entries.low < entries.high].max())
        return apart > _COARSE * spread or fullest > _FULL * entries.rows

    @property
    def counted(self) -> int:
        """The rows that were seen."""
        return (self._entries.rows if self._entries else 0) + self._missing + self._infinite

    def summary(self, n: int, dtype: str) -> ColumnSummary:
        """The column as counted. `n` are the rows of the data."""
        common: dict[str, Any] = {
            "name": self.name,
            "family": self._family,
            "dtype": dtype,
            "n": n,
            "missing": self._missing,
            "infinite": self._infinite,
            "outside": None if self._expectation is None else self._outside,
        }
        entries = self._entries
        if entries is None or not entries.rows:
            return ColumnSummary(**common, distinct=0, values=())
        common |= {"minimum": float(entries.low.min()), "maximum": float(entries.high.max())}
        if self._values is not None and not self._inexact:
            return ColumnSummary(**common, **exact_moments(self._values), values=self._values)
        mean, std = (part * self._grid.scale for part in self._moments)
        mean += self._grid.centre
        bins = self._bins(entries)
        far = float(abs(entries.place).max()) > math.asinh(_FAR / 2) * self._grid.per_unit
        if far or not all(map(math.isfinite, (*bins.sums, mean, std))):
            return ColumnSummary(**common, uncounted=TOO_FAR_APART)
        distinct = len(entries.n) if entries.single and not self._inexact else None
        return ColumnSummary(**common, mean=mean, std=std, bins=bins, distinct=distinct)

    def _bins(self, entries: Entries) -> Bins:
        import numpy as np

        centre, scale, per_unit = self._grid
        with np.errstate(over="ignore"):
            means = (centre + scale * (entries.total / entries.n)).clip(entries.low, entries.high)
            sums = entries.n * means
        indices = tuple(map(int, entries.place))
        return Bins(
            centre=centre,
            scale=scale,
            per_unit=per_unit,
            first=indices,
            last=indices,
            counts=tuple(map(int, entries.n)),
            sums=tuple(sums.tolist()),
        )

    @property
    def _decimal(self) -> bool:
        return self._table.dtypes[self.name].startswith("Decimal")

    @property
    def _inexact(self) -> bool:
        """Whether different values may have become one float."""
        if self._entries is None or not (self._family == "integer" or self._decimal):
            return False
        extremes = (0.0, *self._entries.low[:1], *self._entries.high[-1:])
        # 2^53 is also the float nearest to 2^53 + 1.
        return bool(max(map(abs, extremes)) >= EXACT)

    def notes(self) -> Iterable[str]:
        """What a reader should know about the numbers."""
        if self._family == "integer" and self._inexact:
            yield f"{self.name}: integers beyond 2^53 are counted as the nearest 64-bit float"
        if self._decimal:
            yield f"{self.name}: decimals are counted as the nearest 64-bit float"


def _values(entries: Entries) -> tuple[tuple[float, int], ...]:
    return tuple(zip(entries.low.tolist(), map(int, entries.n), strict=True))


def _better(entries: Entries) -> Grid:
    """Bins for what the first ones hold: values at the extremes of each, and between them."""
    import numpy as np

    shares = np.linspace(0, 1, 5)
    points = entries.low + np.outer(shares, entries.high - entries.low)
    return choose_grid(points.ravel(), np.tile(entries.n / len(shares), len(shares)))
