"""Declared slices as expressions of an engine: the meaning of `slices.slice_mask`, lazily."""

from __future__ import annotations

from datetime import date, datetime
from typing import TYPE_CHECKING

from aims_mlflow.errors import EvaluationInputError
from aims_mlflow.governance.words import Range
from aims_mlflow.monitors.count_types import holds_numbers, holds_text, plain
from aims_mlflow.monitors.slices import written_number
from aims_mlflow.monitors.targets import label_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence

    import narwhals as nw

    from aims_mlflow.governance.system import Scalar, Slice

#: Slices in one whole number: its bits, less a margin for the sign.
BITS = 60


def slice_bits(
    declared: Sequence[Slice], schema: Mapping[str, nw.dtypes.DType]
) -> Iterator[nw.Expr]:
    """Whole numbers whose bits say which of the slices a row is in, `BITS` slices in each.

    Raises:
        EvaluationInputError: A slice that the type of its column cannot decide.
    """
    import narwhals as nw

    for first in range(0, len(declared), BITS):
        bits: nw.Expr = nw.lit(0, nw.Int64)
        for place, each in enumerate(declared[first : first + BITS]):
            bits = bits + _mask(each, schema).cast(nw.Int64) * 2**place
        yield bits


def _mask(declared: Slice, schema: Mapping[str, nw.dtypes.DType]) -> nw.Expr:
    import narwhals as nw

    masks = [
        _within(declared.name, name, schema[name], condition)
        if isinstance(condition, Range)
        else _equal(name, schema[name], condition if isinstance(condition, tuple) else (condition,))
        for name, condition in declared.where.items()
    ]
    return nw.all_horizontal(*(mask.fill_null(False) for mask in masks), ignore_nulls=False)


def _within(slice_name: str, name: str, dtype: nw.dtypes.DType, limits: Range) -> nw.Expr:
    import narwhals as nw

    if not holds_numbers(dtype) and dtype != nw.Boolean:
        raise EvaluationInputError(
            f"The slice '{slice_name}' is declared with a range of '{name}', which holds "
            f"{'text' if holds_text(dtype) else f'values of the type {dtype}'}.",
            "Give the column as numbers, or name the values of the slice in the system's file.",
        )
    value = plain(name, dtype).cast(nw.Float64)
    found = ~value.is_null()
    if limits.min is not None:
        found = found & (value >= limits.min)
    return found if limits.max is None else found & (value < limits.max)


def _equal(name: str, dtype: nw.dtypes.DType, allowed: Iterable[Scalar]) -> nw.Expr:
    import narwhals as nw

    texts = {label_text(value) for value in allowed}
    value = plain(name, dtype)
    if holds_numbers(dtype):
        numbers = map(written_number, texts)
        return _any_of(value, [number for number in numbers if number is not None])
    if dtype == nw.Boolean:
        return _any_of(value, [flag for flag in (True, False) if str(flag) in texts])
    if holds_text(dtype):
        return value.is_in(sorted(texts))
    read: dict[bool, Callable[[str], date]] = {
        dtype == nw.Date: date.fromisoformat,
        dtype == nw.Datetime: datetime.fromisoformat,
    }
    if True not in read:
        raise EvaluationInputError(
            f"The column '{name}' of a slice holds values of the type {dtype}.",
            "Name a column of text, numbers, booleans or dates.",
        )
    return _any_of(value, list(_read(texts, read[True])))


def _any_of(value: nw.Expr, allowed: Iterable[object]) -> nw.Expr:
    found = ~value.is_null() & value.is_null()
    for one in allowed:
        found = found | (value == one)
    return found


def _read(texts: Iterable[str], read: Callable[[str], date]) -> Iterator[date]:
    for text in texts:
        try:
            yield read(text)
        except ValueError:
            continue
