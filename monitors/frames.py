"""A model's inputs as columns that can be exchanged, for pandas, Polars and NumPy alike.

Nothing here changes what the caller holds: every method gives new columns, and `with_columns` a
new frame of the caller's own type, with the types of the untouched columns kept.
"""

from __future__ import annotations

import sys
from collections import Counter
from typing import TYPE_CHECKING, Any, Literal, Protocol

from aims_mlflow.errors import EvaluationInputError
from aims_mlflow.monitors.columns import typed

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    import numpy as np
    import numpy.typing as npt
    import pandas as pd
    import polars as pl

    Array = npt.NDArray[Any]
    Floats = npt.NDArray[np.float64]

ColumnType = Literal["integer", "float", "category", "other"]
#: In an order of rows given to `gathered`: no row, the value goes missing.
MISSING = -1
_ACCEPTED = (
    "Pass a pandas or Polars data frame or a NumPy array (n, p), for example X.toarray(), "
    "X.to_pandas(), X.collect() or numpy.array(X)."
)


class Frame(Protocol):
    """`n` rows of named columns; `native` columns are of the frame's own library."""

    names: tuple[str, ...]
    n: int

    def take(self, rows: Array) -> Frame:
        """These rows (k,), in this order."""

    def type_of(self, name: str) -> ColumnType:
        """What the column holds; booleans and text are categories, dates are `other`."""

    def numbers(self, name: str) -> Floats:
        """A numeric column as floats (n,), NaN where missing."""

    def objects(self, name: str) -> Array:
        """A column as objects (n,)."""

    def gathered(self, name: str, order: Array) -> Any:
        """A native column of the values in these rows (n,); `MISSING` gives no value.

        The type is kept where it has a missing value; integers and booleans become floats.
        """

    def renumbered(self, name: str, values: Floats) -> Any:
        """A native column of these numbers (n,), in the column's type where that is a number."""

    def with_columns(self, columns: Mapping[str, Any]) -> Any:
        """A new native frame with these columns exchanged."""


def read_frame(inputs: Any) -> Frame:
    """The caller's inputs as a frame.

    Raises:
        EvaluationInputError: They are of another type or shape, or two columns have one name.
    """
    import numpy as np
    import pandas as pd

    polars = sys.modules.get("polars")
    frame: Frame
    if isinstance(inputs, pd.DataFrame):
        frame = _Pandas(inputs)
    elif polars is not None and isinstance(inputs, polars.DataFrame):
        frame = _Polars(inputs)
    elif isinstance(inputs, np.ma.MaskedArray):
        raise EvaluationInputError(
            "X is a masked array, which models read without its mask.",
            "Pass X.astype(float).filled(numpy.nan).",
        )
    elif isinstance(inputs, np.ndarray):
        if inputs.ndim != 2 or inputs.dtype.names is not None:
            raise EvaluationInputError(
                f"X has the shape {inputs.shape}, and rows and columns (n, p) are needed.",
                "Pass X.reshape(-1, 1) for a single column.",
            )
        frame = _Numpy(inputs)
    else:
        raise EvaluationInputError(f"X cannot be a {type(inputs).__name__}.", _ACCEPTED)
    twice = [name for name, count in Counter(frame.names).items() if count > 1]
    if twice:
        raise EvaluationInputError(
            f"X has two columns of the name '{twice[0]:.80}'.", "Rename one of them."
        )
    if not frame.names:
        raise EvaluationInputError("X has no columns.", "Pass the inputs that the model reads.")
    return frame


class _Pandas:
    def __init__(self, frame: pd.DataFrame) -> None:
        self.names = tuple(map(str, frame.columns))
        self.n = len(frame)
        self._frame = frame
        self._place = {name: i for i, name in enumerate(self.names)}

    def take(self, rows: Array) -> Frame:
        return _Pandas(self._frame.iloc[rows])

    def type_of(self, name: str) -> ColumnType:
        from pandas.api import types

        column = self._column(name)
        if types.is_bool_dtype(column.dtype) or isinstance(column.dtype, types.CategoricalDtype):
            return "category"
        if types.is_integer_dtype(column.dtype):
            return "integer"
        if types.is_float_dtype(column.dtype):
            return "float"
        if types.is_object_dtype(column.dtype):
            return _type_of_objects(name, column.to_numpy())
        return "category" if types.is_string_dtype(column.dtype) else "other"

    def numbers(self, name: str) -> Floats:
        import pandas as pd

        column = self._column(name)
        if column.dtype == object:
            column = pd.to_numeric(column.astype(object), errors="coerce")
        return column.to_numpy(dtype="float64", na_value=float("nan"))

    def objects(self, name: str) -> Array:
        return self._column(name).to_numpy(dtype=object)

    def gathered(self, name: str, order: Array) -> Any:
        # As a series of the frame's own index: of an array, pandas would infer the type anew.
        column = self._column(name).take(order).set_axis(self._frame.index)
        gone = order == MISSING
        if not gone.any():
            return column
        if column.dtype == object:
            return column.mask(gone, _absent(column))
        # A plain boolean column would become one of objects, which few models read.
        return (column.astype("float64") if column.dtype == bool else column).mask(gone)

    def renumbered(self, name: str, values: Floats) -> Any:
        import pandas as pd

        column = self._column(name)
        if column.dtype == object:
            return pd.Series(values, index=self._frame.index)
        # Of a nullable or an Arrow type, the NumPy type of its numbers.
        plain = getattr(column.dtype, "numpy_dtype", column.dtype)
        numbers = pd.Series(_in_range(values, plain), index=self._frame.index)
        return numbers.astype(column.dtype)

    def with_columns(self, columns: Mapping[str, Any]) -> Any:
        changed = self._frame.copy()
        for name, column in columns.items():
            changed.isetitem(self._place[name], column)
        return changed

    def _column(self, name: str) -> pd.Series[Any]:
        return self._frame.iloc[:, self._place[name]]


class _Polars:
    def __init__(self, frame: pl.DataFrame) -> None:
        self.names = tuple(frame.columns)
        self.n = frame.height
        self._frame = frame

    def take(self, rows: Array) -> Frame:
        return _Polars(self._frame[rows])

    def type_of(self, name: str) -> ColumnType:
        import polars as pl

        dtype = self._frame.schema[name]
        if dtype.is_integer():
            return "integer"
        if dtype.is_numeric():
            return "float"
        if dtype in (pl.Boolean, pl.String, pl.Categorical, pl.Enum):
            return "category"
        return "other"

    def numbers(self, name: str) -> Floats:
        import polars as pl

        return self._frame[name].cast(pl.Float64).to_numpy()

    def objects(self, name: str) -> Array:
        import numpy as np

        found = np.empty(self.n, dtype=object)
        found[:] = self._frame[name].to_list()
        return found

    def gathered(self, name: str, order: Array) -> Any:
        import polars as pl

        rows = pl.Series(order, dtype=pl.Int64)
        return self._frame[name].gather(rows.set(rows == MISSING, None))

    def renumbered(self, name: str, values: Floats) -> Any:
        import polars as pl

        column = self._frame[name]
        if column.dtype.is_integer():
            values = _in_range(values, str(column.dtype).lower())
        # Where it was null it stays so; a NaN of a float column is a value and stays one.
        numbers = pl.Series(name, values).cast(column.dtype, strict=False)
        return numbers.set(column.is_null(), None) if column.null_count() else numbers

    def with_columns(self, columns: Mapping[str, Any]) -> Any:
        return self._frame.with_columns([c.alias(name) for name, c in columns.items()])


class _Numpy:
    def __init__(self, array: Array) -> None:
        self.names = tuple(map(str, range(array.shape[1])))
        self.n = len(array)
        self._array = array

    def take(self, rows: Array) -> Frame:
        return _Numpy(self._array[rows])

    def type_of(self, name: str) -> ColumnType:
        types: dict[str, ColumnType] = {
            "i": "integer",
            "u": "integer",
            "f": "float",
            "b": "category",
            "U": "category",
            "T": "category",
        }
        if self._array.dtype.kind == "O":
            return _type_of_objects(name, self._column(name))
        return types.get(self._array.dtype.kind, "other")

    def numbers(self, name: str) -> Floats:
        import numpy as np
        import pandas as pd

        column = self._column(name)
        if column.dtype == object:
            column = pd.to_numeric(pd.Series(column), errors="coerce").to_numpy()
        return np.asarray(column, dtype=np.float64)

    def objects(self, name: str) -> Array:
        return self._column(name).astype(object)

    def gathered(self, name: str, order: Array) -> Any:
        column = self._column(name)[order]
        gone = order == MISSING
        if not gone.any():
            return column
        if column.dtype.kind in "iub":
            column = column.astype(float)
        elif column.dtype.kind in "UTS":
            column = column.astype(object)
        absent: Any = "NaT" if column.dtype.kind in "mM" else float("nan")
        column[gone] = _absent(column) if column.dtype == object else absent
        return column

    def renumbered(self, name: str, values: Floats) -> Any:
        dtype = self._array.dtype
        return values if dtype.kind == "O" else _in_range(values, dtype).astype(dtype)

    def with_columns(self, columns: Mapping[str, Any]) -> Any:
        import numpy as np

        dtype = np.result_type(self._array, *(c.dtype for c in columns.values()))
        changed = self._array.astype(dtype, copy=True)
        for name, column in columns.items():
            changed[:, int(name)] = column
        return changed

    def _column(self, name: str) -> Array:
        return self._array[:, int(name)]


def _type_of_objects(name: str, values: Array) -> ColumnType:
    """What an object column holds; what cannot even be typed is only ever moved around."""
    try:
        kind = typed(name, values).kind
    except EvaluationInputError:
        return "other"
    if kind == "number":
        return "float"
    return "category" if kind in ("text", "bool") else "other"


def _in_range(values: Floats, dtype: Any) -> Floats:
    """Numbers (n,) that an integer type can hold, its limits in place of what is beyond them."""
    import numpy as np

    if np.dtype(dtype).kind not in "iu":
        return values
    info = np.iinfo(dtype)
    high = float(info.max)
    # The greatest 64-bit integer is no double: the next one up would overflow.
    return np.clip(values, info.min, high if int(high) <= info.max else np.nextafter(high, 0))


def _absent(values: Sequence[Any] | Array | pd.Series[Any]) -> Any:
    """How a column of objects writes that a value is missing: as it does already, else NaN."""
    import pandas as pd

    return next((v for v in values if v is None or v is pd.NA), float("nan"))
