"""Data frames of any engine as one lazy frame, and queries run as well as each engine can.

Everything that differs between Polars, pandas, DuckDB, PyArrow and Spark is here; what is counted
is said once, as Narwhals expressions.
"""

from __future__ import annotations

import difflib
import sys
from contextlib import nullcontext
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from aims_mlflow.errors import MonitorError, SourceError
from aims_mlflow.monitors.native import prepared, rounded, zoned_times
from aims_mlflow.monitors.source_failures import shown
from aims_mlflow.monitors.source_values import without_values

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from contextlib import AbstractContextManager

    import narwhals as nw
    import numpy as np
    import numpy.typing as npt
    import pyarrow as pa

    from aims_mlflow.monitors.summaries import Family

    #: Makes a query.
    Ask = Callable[[], nw.LazyFrame[Any]]

_ACCEPTED = (
    "Pass a data frame of pandas, Polars (eager or lazy), PyArrow, DuckDB (a relation) or PySpark."
)
_SLICE = 1_000_000


class Failed(NamedTuple):
    """A query that the engine could not answer."""

    reason: str


@dataclass(frozen=True)
class Table:
    """Data of one engine. `families` and `dtypes` are by column, in the data's own order.

    `numbers` is the same frame with large integers as floats, where an engine refuses to cast them.
    """

    frame: nw.LazyFrame[Any]
    numbers: nw.LazyFrame[Any]
    engine: str
    families: Mapping[str, Family]
    dtypes: Mapping[str, str]

    @property
    def names(self) -> list[str]:
        """The names of all columns."""
        return list(self.families)


def read_table(frame: Any) -> Table:
    """The data frame of any supported engine as one lazy frame.

    Raises:
        MonitorError: It is of no supported engine, or two of its columns have one name.
        SourceError: Its columns cannot be read (corrupt file, host that does not answer).
    """
    import narwhals as nw

    native = nw.to_native(frame, pass_through=True)
    native = prepared(native)
    try:
        lazy = nw.from_native(native).lazy()
    except TypeError as error:
        raise MonitorError(
            f"A {type(native).__module__}.{type(native).__qualname__} is no data frame that can "
            f"be counted: {_text(error)}",
            _ACCEPTED,
        ) from error
    try:
        schema = lazy.collect_schema()
    except Exception as error:
        raise SourceError(
            f"The columns of the data cannot be read: {_text(error)}",
            "Check that every file of the source is complete and of one format.",
        ) from error
    aware = zoned_times(native)
    large = rounded(native)
    return Table(
        lazy,
        lazy if large is native else nw.from_native(large).lazy(),
        lazy.implementation.name.lower(),
        {name: "temporal" if name in aware else family(dtype) for name, dtype in schema.items()},
        {name: str(dtype) for name, dtype in schema.items()},
    )


def family(dtype: Any) -> Family:
    """What a Narwhals type is, whatever the engine calls it."""
    import narwhals as nw

    if dtype.is_integer():
        return "integer"
    if dtype.is_numeric():
        return "float"
    if dtype == nw.Boolean:
        return "boolean"
    if dtype in (nw.String, nw.Categorical, nw.Enum):
        return "string"
    return "temporal" if dtype in (nw.Date, nw.Datetime) else "other"


def known(table: Table, names: Sequence[str]) -> list[str]:
    """The names, each of which is a column.

    Raises:
        MonitorError: One is not; near names are given.
    """
    for name in names:
        if name not in table.families:
            near = difflib.get_close_matches(name, table.names, n=3, cutoff=0.6)
            raise MonitorError(
                f"The data have no column '{name[:100]}'",
                f"Near names: {', '.join(near)}."
                if near
                else f"Columns: {', '.join(table.names[:20])}.",
            )
    return list(dict.fromkeys(names))


def answer(ask: Ask) -> pa.Table:
    """The result of one query.

    Raises:
        SourceError: The engine could not answer: the data are corrupt, gone or out of reach.
    """
    return _read(_answer(ask)).to_arrow()


def answers(table: Table, asked: Sequence[Ask]) -> list[nw.DataFrame[Any] | Failed]:
    """The results of several queries of a table; one that fails leaves the others alone."""
    together = _together(asked) if table.engine == "polars" and len(asked) > 1 else None
    return [_answer(ask) for ask in asked] if together is None else together


def _together(asked: Sequence[Ask]) -> list[nw.DataFrame[Any] | Failed] | None:
    """Polars' answers to queries that run side by side; None where one of them fails."""
    import narwhals as nw
    import polars as pl

    try:
        found = pl.collect_all([ask().to_native() for ask in asked], engine="streaming")
        return [nw.from_native(frame) for frame in found]
    except Exception:  # which one, and why, is found when each is asked by itself
        return None


def _answer(ask: Ask) -> nw.DataFrame[Any] | Failed:
    try:
        # pandas computes while a query is made; what overflows is seen and asked again.
        with _quiet():
            query = ask()
            options: dict[str, Any] = (
                {"engine": "streaming"} if query.implementation.is_polars() else {}
            )
            return query.collect(**options)
    except Exception as error:  # every engine has errors of its own
        return Failed(f"{type(error).__name__}: {_text(error)}")


def _quiet() -> AbstractContextManager[Any]:
    numpy = sys.modules.get("numpy")
    return nullcontext() if numpy is None else numpy.errstate(all="ignore")


def values_of(found: nw.DataFrame[Any] | Failed) -> dict[str, list[Any]]:
    """The columns of a small result, as Python values.

    Raises:
        SourceError: The engine could not answer.
    """
    frame = _read(found)
    if frame.implementation.is_polars():
        return {column.name: column.to_list() for column in frame.iter_columns()}
    table = frame.to_arrow()
    return {name: table.column(name).to_pylist() for name in table.column_names}


def numbers_of(found: nw.DataFrame[Any] | Failed) -> dict[str, npt.NDArray[np.float64]]:
    """The columns of a result as floats, NaN where a value is missing.

    Raises:
        SourceError: The engine could not answer.
    """
    import numpy as np

    frame = _read(found)
    if frame.implementation.is_polars():
        columns = {column.name: column.to_numpy() for column in frame.iter_columns()}
    else:
        table = frame.to_arrow()
        columns = {name: table.column(name).to_numpy() for name in table.column_names}
    return {name: np.asarray(column, dtype=np.float64) for name, column in columns.items()}


def _read(found: nw.DataFrame[Any] | Failed) -> nw.DataFrame[Any]:
    if isinstance(found, Failed):
        raise SourceError(
            f"The data cannot be read: {found.reason}",
            "Check that every file of the source is complete, unchanged and of one format.",
        )
    return found


def slices(table: Table, n: int) -> list[nw.LazyFrame[Any]] | None:
    """The rows in parts of a million, so that a query over each needs bounded memory.

    None where the engine bounds memory itself, holds the data in memory anyway, or keeps no order.
    """
    import narwhals as nw

    if table.engine != "polars" or n <= _SLICE:
        return None
    native = table.frame.to_native()
    return [nw.from_native(native.slice(start, _SLICE)) for start in range(0, n, _SLICE)]


def repeated(table: Table, n: int) -> int | Failed:
    """The rows that repeat an earlier one in every column; null and NaN are the same.

    Polars compares 64-bit hashes of rows, to bound memory: of 10 million different rows, two have
    one hash with a probability of 3e-6.

    Args:
        table: The data.
        n: Its rows.
    """
    import narwhals as nw

    found = _answer(lambda: _distinct(table).select(nw.len().alias("rows")))
    return found if isinstance(found, Failed) else n - int(values_of(found)["rows"][0])


def _distinct(table: Table) -> nw.LazyFrame[Any]:
    import narwhals as nw

    exact = table.frame.select(*(_clean(name, table.families[name]) for name in table.names))
    if table.engine != "polars":
        return exact.group_by(table.names).agg(nw.len().alias("aims rows"))
    import polars as pl

    hashes = exact.to_native().select(pl.struct(pl.all()).hash().alias("row"))
    distinct: nw.LazyFrame[Any] = nw.from_native(hashes.unique())
    return distinct


def number(name: str, family: Family) -> nw.Expr:
    """The column as 64-bit floats, NaN made null; booleans are 0 and 1."""
    import narwhals as nw

    if family == "boolean":
        return nw.col(name).cast(nw.Int64).cast(nw.Float64)
    value = nw.col(name).cast(nw.Float64)
    return value if family == "integer" else nw.when(~value.is_nan()).then(value)


def text(name: str) -> nw.Expr:
    """The column as texts, whatever the engine makes of categories."""
    import narwhals as nw

    return nw.col(name).cast(nw.String)


def _clean(name: str, family: Family) -> nw.Expr:
    import narwhals as nw

    if family == "float":
        # Adding 0 makes 0 of -0.
        return (number(name, family) + 0.0).alias(name)
    return nw.col(name)


def _text(error: BaseException) -> str:
    return shown(without_values(str(error)))
