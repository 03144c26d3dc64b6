"""Read what a training script holds (lists, NumPy, pandas, Polars, Arrow) as NumPy columns.

Nothing here measures; it only says exactly what is wrong with an input.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from aims_mlflow.errors import EvaluationInputError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

    Array = npt.NDArray[Any]

Kind = Literal["bool", "number", "text", "mixed", "empty"]
#: What pandas calls the content of an object array, where it is one kind of thing.
_KINDS: dict[str, Kind] = {
    "boolean": "bool",
    "integer": "number",
    "floating": "number",
    "mixed-integer-float": "number",
    "decimal": "number",
    "string": "text",
    "categorical": "text",
    "date": "text",
    "datetime": "text",
    "empty": "empty",
}
_ACCEPTED = "Pass a list, a NumPy array, or a pandas, Polars or Arrow column."


class Column(NamedTuple):
    """One column: its values (n,), the kind of them all, and where values are missing (n,).

    Numbers are int64 or float64, booleans bool, everything else object.
    """

    name: str
    kind: Kind
    values: Array
    missing: npt.NDArray[np.bool_]

    def complete(self) -> Column:
        """This column, every value of which is present, and a finite one if it is a number.

        Raises:
            EvaluationInputError: Missing or infinite values: how many, and where.
        """
        import numpy as np

        if self.missing.any():
            raise EvaluationInputError(
                f"{self.name} has {places(self.missing, 'missing value')}.",
                "Drop or fill these rows before the evaluation; a missing value has no verdict.",
            )
        infinite = (
            ~np.isfinite(self.values)
            if self.kind == "number"
            else np.zeros(len(self.values), dtype=bool)
        )
        if infinite.any():
            raise EvaluationInputError(
                f"{self.name} has {places(infinite, 'infinite value')}.",
                "Look for a division by zero or an overflow where the values come from.",
            )
        return self


def read_array(name: str, values: Any) -> Array:
    """Any supported container as a NumPy array of its own shape; lists become object arrays.

    Raises:
        EvaluationInputError: The container cannot be read twice, has no order or is no container.
    """
    import narwhals as nw
    import numpy as np

    native = _native(name, values)
    if isinstance(native, nw.Series | nw.DataFrame):
        found: Array = native.to_numpy()
        return found
    # NumPy would drop the mask and count what is under it.
    if isinstance(values, np.ma.MaskedArray):
        return np.asarray(values.tolist(), dtype=object)
    if isinstance(values, Iterator):
        raise EvaluationInputError(
            f"{name} is a {type(values).__name__}, which can be read only once.",
            f"Pass list({name}) instead.",
        )
    if isinstance(values, Sequence) and not isinstance(values, str | bytes):
        try:
            # As objects: NumPy would write None, NaN and numbers beside text as text.
            array = np.asarray(values, dtype=object)
        except ValueError as error:
            raise EvaluationInputError(f"{name} has rows of unequal length.", _ACCEPTED) from error
    elif hasattr(values, "__array__"):
        array = np.asarray(values)
    else:
        raise EvaluationInputError(f"{name} cannot be a {type(values).__name__}.", _ACCEPTED)
    if array.ndim == 0:
        raise EvaluationInputError(f"{name} is a single value.", _ACCEPTED)
    return array


def read_column(name: str, values: Any) -> Column:
    """One column of any supported container.

    Raises:
        EvaluationInputError: It cannot be read, or has more than one dimension.
    """
    return as_column(name, read_array(name, values))


def as_column(name: str, array: Array) -> Column:
    """An array of shape (n,) as a column.

    Raises:
        EvaluationInputError: It has more than one dimension, or cannot be compared.
    """
    if array.ndim != 1:
        raise EvaluationInputError(
            f"{name} has the shape {array.shape}, and one value per row is needed.",
            f"Pass one column, for example {name}.ravel() or {name}.argmax(axis=1).",
        )
    return typed(name, array)


def typed(name: str, array: Array) -> Column:
    """A one-dimensional array with its kind, and its missing values marked.

    Raises:
        EvaluationInputError: The values are of a type that cannot be compared (complex, nested).
    """
    import numpy as np
    import pandas as pd

    missing = np.asarray(pd.isna(array), dtype=bool)
    if array.dtype.kind == "b":
        return Column(name, "bool", array, missing)
    if array.dtype.kind in "iuf":
        wide = array.astype(np.float64 if array.dtype.kind == "f" else np.int64)
        return Column(name, "number", wide, missing)
    if array.dtype.kind in "mM":
        array = array.astype(str).astype(object)
    if array.dtype.kind not in "OUT":
        raise EvaluationInputError(f"{name} holds values of type {array.dtype}.", _ACCEPTED)
    array = array.astype(object)
    inferred = pd.api.types.infer_dtype(array, skipna=True)
    kind = _KINDS.get(inferred, "mixed")
    if kind == "number":
        return _numbers(name, array, missing, whole=inferred == "integer")
    if kind == "bool" and not missing.any():
        return Column(name, kind, array.astype(bool), missing)
    return Column(name, kind, array, missing)


def read_features(values: Any) -> tuple[Column, ...]:
    """The columns of `sensitive_features`: a data frame, a dict of columns, a series or an array.

    A column without a name becomes `sensitive_feature_0`, as in Fairlearn.

    Raises:
        EvaluationInputError: It cannot be read, or two columns have one name.
    """
    import narwhals as nw

    if values is None:
        return ()
    native = _native("sensitive_features", values)
    if isinstance(native, nw.DataFrame):
        named = {str(name): native.get_column(name).to_numpy() for name in native.columns}
    elif isinstance(native, nw.Series):
        named = {str(native.name or "sensitive_feature_0"): native.to_numpy()}
    elif isinstance(values, Mapping):
        named = {str(name): read_array(str(name), column) for name, column in values.items()}
    else:
        array = read_array("sensitive_features", values)
        columns = array.T if array.ndim == 2 else [array]
        named = {f"sensitive_feature_{i}": column for i, column in enumerate(columns)}
    given = len(native.columns) if isinstance(native, nw.DataFrame) else len(named)
    if len(named) < given:
        raise _repeated("sensitive_features")
    return tuple(read_column(name, column) for name, column in named.items())


def column_names(name: str, values: Any) -> tuple[str, ...] | None:
    """The column names of a data frame; None for anything else.

    Raises:
        EvaluationInputError: Two columns have one name.
    """
    import narwhals as nw

    native = _native(name, values)
    if not isinstance(native, nw.DataFrame):
        return None
    names = tuple(str(column) for column in native.columns)
    if len(set(names)) < len(names):
        raise _repeated(name)
    return names


def read_named(
    name: str, values: Any, wanted: Collection[str]
) -> tuple[dict[str, Array], dict[str, int]]:
    """The columns of a data frame or a dict that are wanted and there, and lengths to check.

    The others are not read: the evaluated rows may have hundreds of columns.

    Raises:
        EvaluationInputError: Columns have no name, or two of them the same.
    """
    if isinstance(values, Mapping):
        given = {str(key): column for key, column in values.items()}
        found = {key: read_array(key, given[key]) for key in given if key in wanted}
        return found, {f"{name}['{key}']": len(column) for key, column in found.items()}
    names = column_names(name, values)
    if names is None:
        raise EvaluationInputError(
            f"{name} cannot be a {type(values).__name__}: its columns need names.",
            "Pass a pandas, Polars or Arrow data frame, or a dict of columns.",
        )
    native = _native(name, values)
    found = {key: native[:, i].to_numpy() for i, key in enumerate(names) if key in wanted}
    return found, {name: native.shape[0]}


def check_lengths(columns: Mapping[str, int]) -> None:
    """Refuse no rows at all, and columns of different lengths.

    Raises:
        EvaluationInputError: Naming every length.
    """
    lengths = ", ".join(f"{name} {length}" for name, length in columns.items())
    if len(set(columns.values())) > 1:
        raise EvaluationInputError(
            f"The inputs have unequal lengths: {lengths}.", "Pass the same rows in all of them."
        )
    if 0 in columns.values():
        raise EvaluationInputError(
            f"There is nothing to evaluate: {lengths}.", "Pass at least one row."
        )


def _native(name: str, values: Any) -> Any:
    """A Narwhals frame or series; anything else as it is.

    Raises:
        EvaluationInputError: A data frame whose column names repeat.
    """
    import narwhals as nw

    try:
        return nw.from_native(values, eager_only=True, allow_series=True, pass_through=True)
    except nw.exceptions.DuplicateError as error:
        raise _repeated(name) from error


def _repeated(name: str) -> EvaluationInputError:
    return EvaluationInputError(f"{name} has two columns of the same name.", "Rename one of them.")


def _numbers(name: str, array: Array, missing: npt.NDArray[np.bool_], *, whole: bool) -> Column:
    import numpy as np

    if whole and not missing.any():
        try:
            return Column(name, "number", array.astype(np.int64), missing)
        except OverflowError:  # identifiers beyond 64 bits stay exact as text
            return Column(name, "text", array.astype(str).astype(object), missing)
    values = np.full(len(array), np.nan)
    values[~missing] = array[~missing].astype(np.float64)
    return Column(name, "number", values, missing)


def places(where: npt.NDArray[np.bool_], what: str) -> str:
    """How many rows have it, and the first five of them: `3 missing values (rows 0, 4, 7)`."""
    rows = where.nonzero()[0].tolist()
    shown = ", ".join(map(str, rows[:5])) + (", ..." if len(rows) > 5 else "")
    return f"{len(rows)} {what}{'s' * (len(rows) > 1)} (row{'s' * (len(rows) > 1)} {shown})"
