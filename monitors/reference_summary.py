"""What is saved of the data that a model was trained on: counts, and nothing that names a row."""

from __future__ import annotations

import json
import math
from difflib import get_close_matches
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

from aims_mlflow.errors import AimsError, SourceError, UsageError
from aims_mlflow.secrets import cleared, is_secret_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    import pandas as pd
    import polars as pl

    from aims_mlflow.monitors.summaries import Bins, ColumnSummary, DataSummary

#: What a column is to the model.
Role = Literal["target", "prediction", "score"]
#: Bytes of JSON that the statistics may take; far below what is read of one file of a run.
MAX_BYTES = 8 * 1024 * 1024
#: Characters of a category that is kept; what is longer is a text, not a category.
MAX_CATEGORY = 500
#: Letters of an unknown name that a message repeats, and names that it lists.
_SHOWN, _LISTED = 100, 20
_UNCOUNTED = "The data frame cannot be counted."


def reference_summary(
    frame: Any,
    *,
    roles: Mapping[Role, str | None] | None = None,
    columns: Sequence[str] | None = None,
    min_count: int = 10,
    notes: Iterable[str] = (),
) -> DataSummary:
    """Count a data frame for later comparisons, without what could tell of a single row.

    Bins and categories of fewer than `min_count` rows are merged or pooled. Categories that look
    like a secret or are longer than 500 characters are pooled too; texts of a column that is named
    like a secret are not counted at all.

    Args:
        frame: A pandas, Polars, Arrow, DuckDB, PySpark or Narwhals data frame.
        roles: The columns of the target, the prediction and the score.
        columns: The columns to count beside those of the roles; all of them when None.
        min_count: Rows below which nothing is counted by itself, at least 1.
        notes: What a reader of the statistics should know.

    Raises:
        UsageError: An argument cannot mean anything, or the statistics would be too large.
        SourceError: The frame cannot be counted.
    """
    from polars.exceptions import PanicException

    from aims_mlflow.monitors.summarise import summarise
    from aims_mlflow.monitors.suppression import suppress

    if isinstance(min_count, bool) or not isinstance(min_count, int) or min_count < 1:
        raise UsageError(
            f"min_count is {min_count!r:.{_SHOWN}}.",
            "Give a number of rows, at least 1, for example 10.",
        )
    named = {role: name for role, name in (roles or {}).items() if name is not None}
    known = column_names(frame)
    wanted = None if columns is None else _listed(columns)
    _require(known, [*named.values(), *(wanted or ())])
    if wanted is not None:
        wanted = list(dict.fromkeys((*wanted, *named.values())))
    try:
        summary = summarise(_columnar(frame), columns=wanted, roles=named)
    except AimsError as error:
        # A message is sealed in a gap, and the text of an engine may hold a value of the data.
        raise SourceError(_UNCOUNTED, f"{error.message}. {error.fix}") from error
    except PanicException as error:  # no Exception: nothing else would stop it in a training run
        raise SourceError(_UNCOUNTED, "Save it as Parquet and give the path.") from error
    return _bounded(_without_secrets(suppress(summary, min_count), tuple(notes)))


def column_names(frame: Any) -> list[str]:
    """The names of a frame's columns.

    Raises:
        UsageError: It is no data frame of a kind that is known.
        SourceError: Its columns cannot be told apart.
    """
    import narwhals as nw

    try:
        native = nw.from_native(frame)
    except TypeError:
        raise UsageError(
            f"A reference cannot be made of a {type(frame).__name__}.",
            "Give a data frame (pandas, Polars, Arrow, DuckDB, Spark) or the path of a file.",
        ) from None
    except Exception as error:
        raise SourceError(
            f"The columns of the data frame cannot be read: {type(error).__name__}.",
            "Give every column a name of its own.",
        ) from error
    return [str(name) for name in native.collect_schema().names()]


def parse_reference(data: bytes) -> tuple[DataSummary | None, str]:
    """Statistics as a run holds them; without them, why these cannot be used."""
    from pydantic import ValidationError

    from aims_mlflow.monitors.summaries import DataSummary

    try:
        summary = DataSummary.model_validate_json(data)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        return None, f"it is damaged or of another version ({where}: {first['msg']})"
    fault = next(_faults(summary), "")
    return (None, fault) if fault else (summary, "")


def _faults(summary: DataSummary) -> Iterator[str]:
    """What statistics cannot be: anyone who may write to a run can write such a file."""
    if summary.n < 0:
        yield "it counts a negative number of rows"
    names = [column.name for column in summary.columns]
    if len(names) != len(set(names)):
        yield "two of its columns have the same name"
    for column in summary.columns:
        if not _is_consistent(column, summary.n):
            yield f"the counts of the column '{column.name:.{_SHOWN}}' do not add up"
    if not summary.n:
        yield "it counts no rows"
    elif not any(column.values or column.bins for column in summary.columns):
        limit = summary.suppressed_below
        rows = f" that {limit} rows have in common: save one of more rows" if limit else ""
        yield f"none of its columns holds anything{rows}"


def _is_consistent(column: ColumnSummary, rows: int) -> bool:
    values = [count for _value, count in column.values or ()]
    bins = column.bins
    counted = [*values, *(bins.counts if bins else ()), column.pooled, column.infinite]
    if min([*counted, column.missing]) < 0 or column.missing > column.n or column.n != rows:
        return False
    return sum(counted) <= column.present and (bins is None or _is_sound(bins))


def _is_sound(bins: Bins) -> bool:
    lengths = {len(part) for part in (bins.first, bins.last, bins.counts, bins.sums)}
    numbers = (bins.centre, bins.scale, *bins.sums)
    ends = list(zip(bins.first, bins.last, strict=False))
    return (
        len(lengths) == 1
        and all(map(math.isfinite, numbers))
        and bins.scale > 0
        and bins.per_unit > 0
        and all(first <= last for first, last in ends)
        and all(before[1] < after[0] for before, after in pairwise(ends))
    )


def _columnar(frame: Any) -> Any:
    """A pandas data frame as one of Polars; anything else as it is.

    What converts pandas to Arrow as a whole uses a pool of threads, which takes no work while the
    interpreter ends, and that is when the data set of a short script is counted.
    """
    if type(frame).__module__.partition(".")[0] != "pandas":
        return frame
    import polars as pl

    return pl.DataFrame([_series(str(name), frame[name]) for name in frame.columns])


def _series(name: str, values: pd.Series[Any]) -> pl.Series:
    """A column of pandas; one whose values have no type in common holds objects."""
    import polars as pl
    import pyarrow as pa

    try:
        column = pl.from_arrow(pa.table({name: pa.array(values, from_pandas=True)}))
    except (pa.ArrowException, pl.exceptions.PolarsError, TypeError, ValueError, OverflowError):
        objects = values.astype(object).where(values.notna(), None)
        return pl.Series(name, objects.to_list(), dtype=pl.Object)
    assert isinstance(column, pl.DataFrame)
    return column.to_series()


def _listed(columns: Any) -> list[str]:
    if isinstance(columns, str) or not all(isinstance(name, str) for name in columns):
        raise UsageError(
            "columns is no list of names.", 'Give the names of columns, such as ["age", "income"].'
        )
    return list(columns)


def _require(known: Sequence[str], wanted: Iterable[Any]) -> None:
    absent = [name for name in dict.fromkeys(wanted) if name not in known]
    if not absent:
        return
    near = get_close_matches(str(absent[0]), known, n=3, cutoff=0.5)
    shown = ", ".join(f"'{str(name)[:_SHOWN]}'" for name in absent[:_LISTED])
    raise UsageError(
        f"The data frame has no column {shown}.",
        f"Name some of: {', '.join(name[:_SHOWN] for name in near or known[:_LISTED])}.",
    )


def _without_secrets(summary: DataSummary, notes: tuple[str, ...]) -> DataSummary:
    kept, told = [], list(notes)
    for column in summary.columns:
        if cleared(column.name)[1]:
            told.append("a column whose name looks like a secret was left out")
            continue
        column = column.model_copy(update={"dtype": _type(column.dtype)})
        clean = _cleared(column)
        if clean is not column:
            told.append(f"texts of the column '{column.name:.{_SHOWN}}' were left out or pooled")
        kept.append(clean)
    return summary.model_copy(
        update={"columns": tuple(kept), "notes": (*summary.notes, *dict.fromkeys(told))}
    )


def _cleared(column: ColumnSummary) -> ColumnSummary:
    """The column without categories that are secrets or texts."""
    if column.family not in ("string", "other") or column.values is None:
        return column
    if is_secret_name(column.name):
        reason = "its name is one of a secret: values are not counted"
        return column.model_copy(
            update={"values": None, "pooled": 0, "pooled_values": 0, "uncounted": reason}
        )
    kept = tuple(entry for entry in column.values if not _is_unfit(entry[0]))
    left = sum(count for _value, count in column.values) - sum(count for _value, count in kept)
    if not left:
        return column
    return column.model_copy(
        update={
            "values": kept,
            "pooled": column.pooled + left,
            "pooled_values": column.pooled_values + len(column.values) - len(kept),
        }
    )


def _type(dtype: str) -> str:
    """The type without the categories that some engines list in it, the rare ones too."""
    return dtype.partition("(")[0] if dtype.startswith(("Enum", "Categorical")) else dtype


def _is_unfit(value: Any) -> bool:
    return isinstance(value, str) and (len(value) > MAX_CATEGORY or bool(cleared(value)[1]))


def _bounded(summary: DataSummary) -> DataSummary:
    size = len(json.dumps(summary.model_dump(mode="json")))
    if size > MAX_BYTES:
        raise UsageError(
            f"The statistics of {len(summary.columns)} columns take {size / 2**20:.1f} MiB; "
            f"at most {MAX_BYTES // 2**20} are saved with a run.",
            "Name the `columns` that a monitor is to compare, or raise `min_count`.",
        )
    return summary
