"""Frames in memory and `mlflow.data` datasets as sources, by what they can do."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

from aims_mlflow.errors import SourceError
from aims_mlflow.monitors.source_failures import shown

if TYPE_CHECKING:
    import narwhals as nw
    import polars as pl

_ACCEPTED = (
    "A source is a text (a path, a URL, sql:, delta:), a frame of pandas, Polars, PyArrow, DuckDB, "
    "Spark or Narwhals, or a dataset of mlflow.data."
)


class Given(NamedTuple):
    """What stands behind an object: a native frame, or a text to be opened; and its name."""

    frame: Any
    text: str | None
    name: str


def unwrapped(source: Any) -> Given:
    """The frame, or the text, that an object stands for.

    Raises:
        SourceError: It is none of what a source can be.
    """
    import narwhals as nw

    kind = type(source).__name__
    native = nw.to_native(source, pass_through=True)
    if isinstance(nw.from_native(native, pass_through=True), nw.DataFrame | nw.LazyFrame):
        return Given(native, None, f"a {_library(native)} frame in memory")
    name = shown(str(getattr(source, "name", "") or kind))
    held = getattr(source, "df", None)
    if held is not None:
        return Given(unwrapped(held).frame, None, f"dataset {name}")
    origin = getattr(source, "source", None)
    for attribute in ("uri", "path", "url"):
        text = getattr(origin, attribute, None)
        if isinstance(text, str) and text:
            delta = "delta" in type(origin).__name__.lower()
            return Given(None, f"delta:{text}" if delta else text, f"dataset {name}")
    raise SourceError(f"A source is a {shown(kind)}, which cannot be read.", _ACCEPTED)


def _library(native: Any) -> str:
    return type(native).__module__.partition(".")[0]


def as_polars(frame: nw.DataFrame[Any] | nw.LazyFrame[Any], notes: list[str]) -> pl.LazyFrame:
    """A frame in memory as a Polars one.

    Raises:
        SourceError: Two columns have one name.
    """
    import narwhals as nw
    import polars as pl

    native = frame.to_native()
    if isinstance(native, pl.DataFrame | pl.LazyFrame):
        return native.lazy()
    if isinstance(frame, nw.LazyFrame):
        lazy: pl.LazyFrame = frame.collect("polars").to_native().lazy()
        return lazy
    return pl.DataFrame([_series(frame, name, notes) for name in frame.columns]).lazy()


def _series(frame: nw.DataFrame[Any], name: str, notes: list[str]) -> pl.Series:
    """A column; where its objects are of several types, as texts."""
    import polars as pl
    import pyarrow as pa

    # An integer in brackets would be a row.
    column = frame.get_column(name)
    try:
        converted: pl.Series = column.to_polars().rename(str(name))
    except (pa.ArrowException, pl.exceptions.PolarsError, TypeError, ValueError):
        converted = pl.Series(str(name), [_text(value) for value in column.to_list()], pl.String)
        notes.append(f"column '{shown(str(name))}' holds values of several types: read as text")
    return converted


def _text(value: Any) -> str | None:
    absent = value is None or type(value).__name__ in ("NAType", "NaTType")
    return None if absent or (isinstance(value, float) and math.isnan(value)) else str(value)
