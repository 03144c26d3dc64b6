"""How many rows data have, and the extremes of the columns that are points in time."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

from aims_mlflow.monitors.engines import Failed, Table, answers, values_of
from aims_mlflow.monitors.summaries import ColumnSummary

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import narwhals as nw
    import pyarrow as pa


class Extremes(NamedTuple):
    """Missing values of a column, and its earliest and latest time in seconds since 1970 UTC."""

    missing: int
    earliest: float | None
    latest: float | None


class Overview(NamedTuple):
    """The rows; the extremes of columns that are not counted; why some could not be read."""

    n: int
    extremes: Mapping[str, Extremes]
    unread: Mapping[str, str]

    def summary(self, table: Table, name: str) -> ColumnSummary:
        """A column of times, or of a type that is not counted."""
        missing, earliest, latest = self.extremes[name]
        if missing == self.n:
            reason = "no value"
        elif table.families[name] != "temporal":
            reason = "values of this type are not counted"
        elif earliest is None:
            reason = "points in time that cannot be read"
        else:
            reason = "points in time"
        return ColumnSummary(
            name=name,
            family=table.families[name],
            dtype=table.dtypes[name],
            n=self.n,
            missing=missing,
            minimum=earliest,
            maximum=latest,
            uncounted=reason,
        )


def overview(table: Table, names: Sequence[str]) -> Overview:
    """Count the rows, and look at the columns that need no more than their extremes.

    Raises:
        SourceError: The data cannot be read.
    """
    import narwhals as nw

    (length,) = answers(table, [lambda: table.frame.select(nw.len().alias("rows"))])
    n = int(values_of(length)["rows"][0])
    wanted = [name for name in names if table.families[name] in ("temporal", "other")]
    found = answers(table, [partial(_ask, table, name) for name in wanted])
    pairs = list(zip(wanted, found, strict=True))
    return Overview(
        n,
        {name: _extremes(one, n) for name, one in pairs if not isinstance(one, Failed)},
        {name: one.reason for name, one in pairs if isinstance(one, Failed)},
    )


def _ask(table: Table, name: str) -> nw.LazyFrame[Any]:
    import narwhals as nw

    value = nw.col(name)
    wanted = [(~value.is_null()).cast(nw.Int64).sum().alias("n")]
    if table.families[name] == "temporal":
        wanted += [value.min().alias("low"), value.max().alias("high")]
    return table.frame.select(*wanted)


def _extremes(found: nw.DataFrame[Any], n: int) -> Extremes:
    answered = found.to_arrow()
    present = int(answered.column("n")[0].as_py() or 0)
    return Extremes(n - present, _seconds(answered, "low"), _seconds(answered, "high"))


def _seconds(answered: pa.Table, key: str) -> float | None:
    """A time without a zone is taken as UTC."""
    import pyarrow as pa

    if key not in answered.column_names or answered.column(key).null_count:
        return None
    try:
        instant = answered.column(key).cast(pa.timestamp("us"), safe=False)
        return float(instant.cast(pa.int64())[0].as_py() / 1_000_000)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError):
        return None
