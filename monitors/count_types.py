"""What the columns of an evaluation hold, and how they are made plain before they are counted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aims_mlflow.errors import EvaluationInputError
from aims_mlflow.monitors.columns import Column, typed
from aims_mlflow.monitors.engines import answer, read_table
from aims_mlflow.monitors.source_failures import shown

if TYPE_CHECKING:
    from collections.abc import Collection

    import narwhals as nw
    import pyarrow as pa

#: The names that the columns have here. Engines that ignore case would mix up shorter ones.
TRUTH, PREDICTED, SCORE = "aims_truth", "aims_predicted", "aims_score"


def read_columns(frame: Any, wanted: Collection[str]) -> tuple[nw.LazyFrame[Any], list[str]]:
    """The columns of a frame that are wanted and there, and the names of all.

    Args:
        frame: pandas, Polars (lazy or not), PyArrow, DuckDB, PySpark or Narwhals.
        wanted: Names of columns; the others are not read.

    Raises:
        MonitorError: It is no data frame, or two of its columns have one name.
        SourceError: Its columns cannot be read.
    """
    table = read_table(frame)
    found = [name for name in table.names if name in wanted]
    return table.frame.select(*found) if found else table.frame, table.names


def collected(query: nw.LazyFrame[Any]) -> pa.Table:
    """The result of a query.

    Raises:
        SourceError: The engine could not answer.
    """
    return answer(lambda: query)


def plain(name: str, dtype: nw.dtypes.DType) -> nw.Expr:
    """A column with no NaN beside null, no category, and no decimal."""
    import narwhals as nw

    column = nw.col(name)
    if dtype.is_float():
        column = column.cast(nw.Float64)
        return nw.when(~column.is_nan()).then(column)
    if dtype.is_decimal() or empty(dtype):
        return column.cast(nw.Float64)
    return column.cast(nw.String) if holds_text(dtype) else column


def empty(dtype: nw.dtypes.DType) -> bool:
    """Whether the engine gives no type, as to a column of nulls."""
    import narwhals as nw

    return dtype == nw.Unknown


def holds_text(dtype: nw.dtypes.DType) -> bool:
    """Whether a column holds text or categories."""
    import narwhals as nw

    return dtype in (nw.String, nw.Categorical, nw.Enum)


def holds_numbers(dtype: nw.dtypes.DType) -> bool:
    """Whether a column holds numbers, or nothing at all."""
    return dtype.is_numeric() or empty(dtype)


def number(expression: nw.Expr) -> nw.Expr:
    """As floats of 64 bits."""
    import narwhals as nw

    return expression.cast(nw.Float64)


def column_of(name: str, values: list[Any]) -> Column:
    """The values of a key as a column, as a training script's would be read.

    Raises:
        EvaluationInputError: They are of a type that cannot be compared.
    """
    import numpy as np

    array = np.empty(len(values), dtype=object)
    try:
        array[:] = values
        return typed(name, array)
    except (TypeError, ValueError) as error:
        raise EvaluationInputError(
            f"{name} holds values that cannot be compared: {shown(str(error))}",
            "Name a column of text, numbers or booleans.",
        ) from error
