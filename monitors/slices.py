"""Declared slices: which of the evaluated rows each of them holds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aims_mlflow.errors import EvaluationInputError
from aims_mlflow.governance.words import Range
from aims_mlflow.monitors.columns import Column, as_column, read_named
from aims_mlflow.monitors.targets import label_text

if TYPE_CHECKING:
    from collections.abc import Container, Iterable, Mapping, Sequence

    import numpy as np
    import numpy.typing as npt

    from aims_mlflow.governance.system import Scalar, Slice

    Mask = npt.NDArray[np.bool_]


def slice_columns(
    features: Any, sensitive: Sequence[Column], declared: Sequence[Slice]
) -> tuple[dict[str, Column], dict[str, int]]:
    """The columns that slices name: from `features`, else from the sensitive features.

    Returns:
        The columns by name, and the lengths of the inputs to check.

    Raises:
        EvaluationInputError: `features` has no named columns, or one of those is no column.
    """
    wanted = {name for each in declared for name in each.where}
    found = {column.name: column for column in sensitive if column.name in wanted}
    if features is None:
        return found, {}
    arrays, lengths = read_named("features", features, wanted)
    return found | {name: as_column(name, array) for name, array in arrays.items()}, lengths


def absent_columns(
    declared: Sequence[Slice], columns: Container[str]
) -> dict[str, tuple[str, ...]]:
    """The slices that cannot be decided, with the columns that were not given."""
    absent = {each.name: tuple(c for c in each.where if c not in columns) for each in declared}
    return {name: missing for name, missing in absent.items() if missing}


def slice_mask(declared: Slice, columns: Mapping[str, Column]) -> Mask:
    """Which rows (n,) meet every condition of a slice; a missing value meets none.

    A value is compared by its text as groups are named: 1, 1.0 and "1" are the same, True is
    `True`. A range takes its minimum and leaves out its maximum.

    Raises:
        EvaluationInputError: A range on a column that holds no numbers.
    """
    masks = (
        _within(declared.name, columns[name], condition)
        if isinstance(condition, Range)
        else _equal(columns[name], condition if isinstance(condition, tuple) else (condition,))
        for name, condition in declared.where.items()
    )
    found = next(masks)
    for mask in masks:
        found &= mask
    return found


def _within(slice_name: str, column: Column, limits: Range) -> Mask:
    import numpy as np

    if column.kind not in ("number", "bool", "empty"):
        raise EvaluationInputError(
            f"The slice '{slice_name}' is declared with a range of '{column.name}', which holds "
            f"{'text' if column.kind == 'text' else 'values of different types'}.",
            "Pass the column as numbers, or name the values of the slice in the system's file.",
        )
    found = ~column.missing
    values = np.full(len(found), np.nan)
    values[found] = column.values[found].astype(float)
    if limits.min is not None:
        found &= values >= limits.min
    if limits.max is not None:
        found &= values < limits.max
    return found


def _equal(column: Column, allowed: Iterable[Scalar]) -> Mask:
    import numpy as np
    import pandas as pd

    texts = {label_text(value) for value in allowed}
    if column.kind == "number":
        # Numbers are compared as such: a column of them may have as many texts as rows.
        found = np.zeros(len(column.values), dtype=bool)
        for number in map(written_number, texts):
            if number is not None:
                found |= column.values == number
        return found
    try:
        codes, uniques = pd.factorize(column.values)
    except TypeError as error:
        raise EvaluationInputError(
            f"The column '{column.name}' of a slice holds values that cannot be compared: {error}.",
            "Pass one text, number or boolean per row.",
        ) from error
    # The code of a missing value is -1, and so reads the last entry.
    lookup = np.array([*(label_text(value) in texts for value in uniques.tolist()), False])
    mask: Mask = lookup[codes]
    return mask


def written_number(text: str) -> int | float | None:
    """The number that is written exactly like this; None where there is none."""
    for read in (int, float):
        try:
            number = read(text)
        except ValueError:
            continue
        if label_text(number) == text:
            return number
    return None
