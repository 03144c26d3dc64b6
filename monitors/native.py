"""What data frames of single libraries need before Narwhals can read them all alike."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from aims_mlflow.errors import MonitorError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import pandas as pd
    import pyarrow as pa


def prepared(native: Any) -> Any:
    """The data frame as Narwhals reads it without loss.

    Raises:
        MonitorError: Two columns have one name.
    """
    prepare = {"pandas": _pandas, "duckdb": _duckdb, "pyarrow": _pyarrow}.get(library(native))
    return native if prepare is None else prepare(native)


def _pyarrow(table: Any) -> Any:
    """Polars shares the memory of Arrow tables and groups their rows twenty times as fast."""
    import polars as pl
    import pyarrow as pa

    if not isinstance(table, pa.Table | pa.RecordBatch):
        return table
    _unique(table.schema.names)
    try:
        return pl.DataFrame(table).lazy()
    except (pl.exceptions.PolarsError, pa.ArrowException, ValueError):
        # A column is of a type that Polars does not have.
        return table


def _unique(names: Sequence[str]) -> None:
    if len(set(names)) < len(names):
        twice = sorted(name for name, n in Counter(names).items() if n > 1)
        raise MonitorError(
            f"Several columns are named {', '.join(twice)[:200]}",
            "Give each column a name of its own.",
        )


def _pandas(frame: pd.DataFrame) -> pd.DataFrame:
    """Columns of Python objects get the type that their values have, where they have one."""
    import pandas as pd

    if not isinstance(frame, pd.DataFrame):
        return frame
    names = [str(name) for name in frame.columns]
    _unique(names)
    typed = frame.set_axis(names, axis="columns")
    objects = [name for name in names if typed[name].dtype == object]
    return typed.assign(**{name: _typed(typed[name]) for name in objects}) if objects else typed


def _typed(values: pd.Series[Any]) -> pd.Series[Any]:
    import pandas as pd
    import pyarrow as pa

    try:
        array = pa.array(values, from_pandas=True)
    except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, OverflowError):
        return values
    if pa.types.is_null(array.type):
        return values
    return pd.Series(pd.array(array, dtype=pd.ArrowDtype(array.type)), index=values.index)


def rounded(native: Any) -> Any:
    """Arrow refuses to cast integers beyond 2^53; columns of pandas that have some, as floats."""
    if library(native) != "pandas":
        return native
    import pandas as pd
    import pyarrow as pa

    frame: pd.DataFrame = native
    dtypes = zip(frame.columns, frame.dtypes, strict=True)
    arrow = [name for name, dtype in dtypes if isinstance(dtype, pd.ArrowDtype)]
    columns = pa.Table.from_pandas(frame[arrow], preserve_index=False)
    float64 = pd.ArrowDtype(pa.float64())
    floats = {
        name: pd.array(values.cast(pa.float64(), safe=False), dtype=float64)
        for name, values in zip(columns.column_names, columns.columns, strict=True)
        if _beyond(values)
    }
    return frame.assign(**floats) if floats else frame


def _beyond(values: pa.ChunkedArray) -> bool:
    import pyarrow as pa
    import pyarrow.compute as pc

    if values.type not in (pa.int64(), pa.uint64()) or values.null_count == len(values):
        return False
    found = pc.min_max(values).as_py()
    return bool(max(-found["min"], found["max"]) > 2**53)


def _duckdb(relation: Any) -> Any:
    """DuckDB 2.0 counts NaN in Parquet wrongly where it trusts the file's statistics."""
    setting = "disabled_optimizers"
    ((now,),) = relation.query("aims_data", f"SELECT current_setting('{setting}')").fetchall()
    names = {name for name in str(now or "").split(",") if name} | {"statistics_propagation"}
    relation.query("aims_data", f"SET {setting} = '{','.join(sorted(names))}'")
    return relation


def zoned_times(native: Any) -> set[str]:
    """The columns of DuckDB that are points in time with a zone; Narwhals may not know the zone."""
    if library(native) != "duckdb":
        return set()
    zoned = ("TIMESTAMP WITH TIME ZONE", "TIMESTAMPTZ", "TIMESTAMPTZ_NS")
    pairs = zip(native.columns, native.types, strict=True)
    return {name for name, dtype in pairs if str(dtype) in zoned}


def library(native: Any) -> str:
    """The name of the package that a data frame is of."""
    return type(native).__module__.split(".")[0].lstrip("_")
