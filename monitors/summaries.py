"""The small tables that a monitor makes of data of any size, and scores; never a row.

They are the same on every engine, can be saved with a model at training time, and are all that a
reference needs to be.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Any, Literal

from aims_mlflow.evidence import Frozen, canonical_bytes, digest, normalise

#: Numbers with at most so many different values are counted value by value.
FEW_VALUES = 50
#: Categories that are counted; a column with more of them is text or an identifier.
MAX_CATEGORIES = 10_000
#: The type of a column, whatever the engine calls it.
Family = Literal["boolean", "integer", "float", "string", "temporal", "other"]


class Bins(Frozen):
    """A sparse histogram of numbers whose bins are fine at the centre and wide in the tails.

    A value x is in bin `i = floor(asinh((x - centre) / scale) * per_unit)`: bins are
    `scale / per_unit` wide at the centre and of constant relative width far from it, so that
    tails of any weight need few. Bins need no knowledge of the extremes, so that one pass over
    the data suffices. `first` and `last` are the indices that an entry spans (equal, unless small
    counts were merged), `counts` its rows and `sums` the sums of their values: entries stand for
    point masses at their means.
    """

    centre: float
    scale: float
    per_unit: int
    first: tuple[int, ...]
    last: tuple[int, ...]
    counts: tuple[int, ...]
    sums: tuple[float, ...]

    def edge(self, index: int) -> float:
        """The lower edge of the bin `index`; infinite where no float is that large."""
        try:
            return self.centre + self.scale * math.sinh(index / self.per_unit)
        except OverflowError:
            return math.copysign(math.inf, index)

    def counted(self) -> str:
        """The entries as text: what they span, their rows, and where the mean lies, in 64ths.

        The last digits of a sum depend on the order in which an engine adds; this does not.
        """
        edge = lru_cache(maxsize=2)(self.edge)  # an entry often begins where the last one ended
        words = []
        for first, last, count, total in zip(
            self.first, self.last, self.counts, self.sums, strict=True
        ):
            low, high = edge(first), edge(last + 1)
            share = (total / count - low) / (high - low) if -math.inf < low < high < math.inf else 0
            words.append(f"{first} {last} {count} {round(64 * share)}")
        return ", ".join(words)


class ColumnSummary(Frozen):
    """One column, counted.

    `missing` counts nulls and NaN together, after NaN was made null. `infinite` values are in
    `n` and in no statistic. `minimum` to `std` (of the population, ddof 0) are of finite numbers;
    of temporal columns only the extremes, in seconds since 1970 UTC. `values` counts categories,
    or numbers of which there are at most `FEW_VALUES`; else numbers have `bins`. `pooled` rows are
    of `pooled_values` categories that are too rare to be named. `outside` counts the values that
    the monitor does not expect, where it declares an expectation. `distinct` is exact where given.
    `uncounted` says why a column has neither values nor bins.
    """

    name: str
    family: Family
    dtype: str
    n: int
    missing: int
    infinite: int = 0
    distinct: int | None = None
    minimum: float | None = None
    maximum: float | None = None
    mean: float | None = None
    std: float | None = None
    values: tuple[tuple[str | float | bool, int], ...] | None = None
    bins: Bins | None = None
    pooled: int = 0
    pooled_values: int = 0
    outside: int | None = None
    uncounted: str = ""

    @property
    def present(self) -> int:
        """Rows with a value."""
        return self.n - self.missing


class DataSummary(Frozen):
    """One data set, counted column by column.

    `scans` says what each pass over the data was for. `duplicates` counts the rows that repeat an
    earlier one, where that was asked for. `suppressed_below` is the count under which entries were
    merged or pooled; 0 where none were. `roles` names the columns of the target, the prediction
    and the score.
    """

    schema_version: Literal["aims.data_summary/1"] = "aims.data_summary/1"
    n: int
    columns: tuple[ColumnSummary, ...]
    duplicates: int | None = None
    roles: dict[Literal["target", "prediction", "score"], str] = {}
    suppressed_below: int = 0
    engine: str = ""
    scans: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    def column(self, name: str) -> ColumnSummary | None:
        """The column of this name."""
        return next((c for c in self.columns if c.name == name), None)

    def digest(self) -> str:
        """SHA-256 of what was counted, whatever the engine and the number of passes.

        Of sums it holds no more than `Bins.counted` says; the mean and the standard deviation,
        which follow from them, are left out.
        """
        left_out = {"engine": True, "scans": True, "notes": True, "columns": _NOT_COUNTED}
        counted: dict[str, Any] = self.model_dump(exclude=left_out)
        for column, summary in zip(counted["columns"], self.columns, strict=True):
            if summary.bins is not None:
                column["bins"]["entries"] = summary.bins.counted()
        return digest(canonical_bytes(normalise(counted)[0]))


_NOT_COUNTED: Any = {
    "__all__": {
        "dtype": True,
        "mean": True,
        "std": True,
        "bins": {"first", "last", "counts", "sums"},
    }
}
