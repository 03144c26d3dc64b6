"""One column of numbers, counted in bins that need no knowledge of its extremes."""

from __future__ import annotations

import math
from collections import Counter
from typing import TYPE_CHECKING, Any

from aims_mlflow.monitors.engines import number
from aims_mlflow.monitors.grids import (
    EXACT,
    Entry,
    Grid,
    choose_grid,
    entries_of,
    exact_moments,
    moments,
    width,
)
from aims_mlflow.monitors.summaries import FEW_VALUES, Bins, ColumnSummary

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    import narwhals as nw

    from aims_mlflow.governance.monitoring import Expectation
    from aims_mlflow.monitors.engines import Table
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
        sample: Some of its values, finite ones.
        like: The same column of the reference, whose bins are used where it has some.
        expectation: What its values are to be.
    """

    def __init__(
        self,
        name: str,
        table: Table,
        sample: Iterable[float] = (),
        like: ColumnSummary | None = None,
        expectation: Expectation | None = None,
    ) -> None:
        self.name = name
        self._table = table
        self._family: Family = table.families[name]
        self._expectation = expectation
        counts = Counter(sample)
        self._few = len(counts) <= FEW_VALUES
        bins = like.bins if like is not None else None
        self._fixed = bins is not None
        self._grid = (
            choose_grid(counts.items())
            if bins is None
            else Grid(bins.centre, bins.scale, bins.per_unit)
        )
        self._careful = self._exact = False
        self._refined = 0
        self._entries: dict[int, Entry] = {}
        self._moments = (0.0, 0.0)
        self._values: dict[float, int] | None = None
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

    def take(self, found: Mapping[str, Sequence[Any]]) -> str | None:
        """Take the answer to `ask`, by column. Returns why another one is needed, or None."""
        keys = ("i", "n", "z", "low", "high")
        groups = list(zip(*(found[key] for key in keys), strict=True))
        present = [group for group in groups if group[3] is not None]
        if not self._careful and not _plain(present):
            self._careful = True
            return "infinite or extremely large values"
        self._outside = sum(int(n or 0) for n in found.get("o", ()))
        self._infinite = sum(int(n or 0) for n in found.get("f", ()))
        rest = sum(int(group[1]) for group in groups if group[3] is None)
        self._missing = rest - self._infinite
        if self._exact:
            return self._take_values({low + 0.0: int(n) for _, n, _, low, _ in present})
        self._entries = entries_of(present)
        self._moments = moments(self._entries.values(), self._grid)
        return self._next()

    def _take_values(self, values: dict[float, int]) -> str | None:
        self._exact = self._few = False
        if len(values) > FEW_VALUES:
            return self._next()
        self._values = values
        return None

    def _next(self) -> str | None:
        if self._fixed:
            return None
        entries = self._entries.values()
        few = len(entries) <= FEW_VALUES
        if few and all(entry.low == entry.high for entry in entries):
            self._values = {entry.low + 0.0: entry.n for entry in entries}
            return None
        if self._refined < _REFINEMENTS and self._unfit():
            grid = self._better()
            if abs(math.log2(grid.scale / self._grid.scale)) > 1 or self._away(grid.centre) > 1:
                self._refined += 1
                self._grid = grid
                return "the sample was unlike the rest"
        if few and self._few:
            self._exact = True
            return "few values, close together"
        return None

    def _away(self, centre: float) -> float:
        return abs(centre / self._grid.scale - self._grid.centre / self._grid.scale)

    def _unfit(self) -> bool:
        """Whether bins are far too many, or hold values that are too wide apart, or too many."""
        entries = self._entries.values()
        if len(entries) > _MANY:
            return True
        n, spread = sum(entry.n for entry in entries), self._moments[1]
        wide = [entry for entry in entries if entry.low < entry.high]
        if not wide or not 0 < spread < math.inf:
            return False
        apart = math.fsum(entry.n / n * width(entry, self._grid) for entry in wide)
        return apart > _COARSE * spread or max(entry.n for entry in wide) > _FULL * n

    def _better(self) -> Grid:
        # A bin's values are thought to lie at its extremes and between them.
        return choose_grid(
            (low + (high - low) * share, n / 5)
            for n, _total, low, high in self._entries.values()
            for share in (0.0, 0.25, 0.5, 0.75, 1.0)
        )

    @property
    def counted(self) -> int:
        """The rows that were seen."""
        return sum(entry.n for entry in self._entries.values()) + self._missing + self._infinite

    def summary(self, n: int, dtype: str) -> ColumnSummary:
        """The column as counted. `n` are the rows of the data."""
        extremes = [edge for entry in self._entries.values() for edge in (entry.low, entry.high)]
        common: dict[str, Any] = {
            "name": self.name,
            "family": self._family,
            "dtype": dtype,
            "n": n,
            "missing": self._missing,
            "infinite": self._infinite,
            "outside": None if self._expectation is None else self._outside,
        }
        if not extremes:
            return ColumnSummary(**common, distinct=0, values=())
        common |= {"minimum": min(extremes) + 0.0, "maximum": max(extremes) + 0.0}
        if self._values is not None:
            values = tuple(sorted(self._values.items()))
            return ColumnSummary(**common, **exact_moments(values), values=values)
        mean, std = (part * self._grid.scale for part in self._moments)
        mean += self._grid.centre
        bins = self._bins()
        if self._far() or not all(map(math.isfinite, (*bins.sums, mean, std))):
            reason = "its values differ by too many orders of magnitude to be added"
            return ColumnSummary(**common, uncounted=reason)
        common |= {"mean": mean, "std": std}
        single = all(entry.low == entry.high for entry in self._entries.values())
        return ColumnSummary(**common, bins=bins, distinct=len(self._entries) if single else None)

    def _far(self) -> bool:
        edge = math.asinh(_FAR / 2) * self._grid.per_unit
        return any(abs(index) > edge for index in self._entries)

    def _bins(self) -> Bins:
        centre, scale, per_unit = self._grid
        indices = tuple(sorted(self._entries))
        entries = [self._entries[index] for index in indices]
        means = (
            min(max(centre + scale * (entry.total / entry.n), entry.low), entry.high)
            for entry in entries
        )
        return Bins(
            centre=centre,
            scale=scale,
            per_unit=per_unit,
            first=indices,
            last=indices,
            counts=tuple(entry.n for entry in entries),
            sums=tuple(entry.n * mean for entry, mean in zip(entries, means, strict=True)),
        )

    def notes(self) -> Iterable[str]:
        """What a reader should know about the numbers."""
        large = (max(abs(entry.low), abs(entry.high)) for entry in self._entries.values())
        if self._family == "integer" and max(large, default=0) > EXACT:
            yield f"{self.name}: integers beyond 2^53 are counted as the nearest 64-bit float"
        if self._table.dtypes[self.name].startswith("Decimal"):
            yield f"{self.name}: decimals are counted as the nearest 64-bit float"


def _plain(groups: Sequence[tuple[Any, ...]]) -> bool:
    """Whether the numbers of all bins could be added and placed."""
    if any(group[0] is None for group in groups):
        return False
    # A sum is finite only if all its parts are.
    return all(math.isfinite(sum(group[part] for group in groups)) for part in (0, 2, 3, 4))
