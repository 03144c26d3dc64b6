"""Data of any size and any engine as small count tables, in one pass over each column."""

from __future__ import annotations

import itertools
import math
from functools import partial
from typing import TYPE_CHECKING, Any, Literal

from aims_mlflow.errors import MonitorError, SourceError
from aims_mlflow.monitors.binning import NumberColumn
from aims_mlflow.monitors.categories import CategoryColumn
from aims_mlflow.monitors.engines import (
    Failed,
    Table,
    answers,
    known,
    number,
    numbers_of,
    read_table,
    repeated,
    text,
    values_of,
)
from aims_mlflow.monitors.overview import Overview, overview
from aims_mlflow.monitors.summaries import ColumnSummary, DataSummary

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    import narwhals as nw

    from aims_mlflow.governance.monitoring import Expectation

Role = Literal["target", "prediction", "score"]
#: The first rows, from which it is seen where bins should lie. The first, not random ones: they
#: are the same on every engine and cost one read; where they mislead, a second pass puts it right.
SAMPLE = 10_000
#: Columns that are counted at a time.
_BATCH = 16


def summarise(
    frame: Any,
    *,
    like: DataSummary | None = None,
    columns: Sequence[str] | None = None,
    expect: Mapping[str, Expectation] = {},
    duplicates: bool = False,
    roles: Mapping[Role, str] = {},
) -> DataSummary:
    """Count every column of a data frame of any size.

    Numbers are counted in sparse asinh bins (`summaries.Bins`), or value by value where there are
    at most `FEW_VALUES`; texts and booleans by category; of times only the extremes are taken.
    One pass over each column is enough as a rule; `DataSummary.scans` says what was read, and why.
    NaN counts as missing on every engine. The same data give the same `DataSummary.digest()` on
    every engine that keeps the order of rows, or where `like` is given.

    Args:
        frame: A data frame of pandas, Polars (eager or lazy), PyArrow, DuckDB (a relation) or
            PySpark, or one of Narwhals.
        like: The summary of the reference, whose bins are used, so that the two are comparable
            bin by bin.
        columns: The columns to count; all of them where absent.
        expect: What values are to be, by column; `ColumnSummary.outside` counts the others.
        duplicates: Whether to count the rows that repeat an earlier one in all columns of the
            frame, which takes another pass.
        roles: The columns of the target, the prediction and the score.

    Raises:
        MonitorError: `frame` is no data frame, or `columns` names one that it does not have.
        SourceError: The data cannot be read.
    """
    table = read_table(frame)
    names = table.names if columns is None else known(table, columns)
    seen = overview(table, names)
    before = {name: like.column(name) if like is not None else None for name in names}
    counters = _counters(table, names, seen.n, before, expect)
    scans = ["all rows: how many there are, extremes of times"]
    if counters:
        scans.append(f"first {SAMPLE:,} rows: where bins should lie")
    failed = dict(seen.unread)
    scans += _count(table, counters, failed)
    if failed and len(failed) == len(names):
        raise SourceError(
            f"No column of the data can be read: {next(iter(failed.values()))}",
            "Check that every file of the source is complete and unchanged.",
        )
    found = [_column(table, name, counters, seen, failed) for name in names]
    notes = [note for counter in counters.values() for note in counter.notes()]
    notes += [
        f"{name}: what is expected of values of the type {table.dtypes[name]} is not counted"
        for name in names
        if name in expect and name not in counters
    ]
    twice: int | Failed | None = None
    if duplicates:
        scans.append("all columns: rows that repeat an earlier one")
        twice = repeated(table, seen.n)
        if isinstance(twice, Failed):
            notes.append(f"repeated rows were not counted: {twice.reason}")
    return DataSummary(
        n=seen.n,
        columns=tuple(found),
        duplicates=None if isinstance(twice, Failed) else twice,
        roles=dict(roles),
        engine=table.engine,
        scans=tuple(scans),
        notes=tuple(notes),
    )


def count_in_bins(frame: Any, column: str, edges: Sequence[float]) -> list[int]:
    """The finite values of a column that are in each bin, exactly.

    Bins include their lower edge and not their upper one, except the last, which includes both, as
    `numpy.histogram` has it. Values outside of all bins are in none.

    Args:
        frame: A data frame of any supported engine.
        column: A column of numbers or booleans.
        edges: The edges (k + 1,) of k bins, ascending and finite.

    Returns:
        The counts (k,).

    Raises:
        MonitorError: The column is missing or holds no numbers, or the edges do not ascend.
        SourceError: The data cannot be read.
    """
    import narwhals as nw

    limits = [float(edge) for edge in edges]
    pairs = list(itertools.pairwise(limits))
    ascending = all(low < high for low, high in pairs)
    if not pairs or not ascending or not all(map(math.isfinite, limits)):
        raise MonitorError(
            f"{len(limits)} edges make no bins for column '{column[:100]}'",
            "Pass at least two finite edges in ascending order.",
        )
    table = read_table(frame)
    (name,) = known(table, [column])
    if table.families[name] not in ("integer", "float", "boolean"):
        raise MonitorError(
            f"Column '{name[:100]}' holds no numbers ({table.dtypes[name]})",
            "Count bins of columns of numbers only.",
        )
    values = table.numbers.select(x=number(name, table.families[name]))
    reached = [nw.col("x") >= edge for edge in limits[:-1]] + [nw.col("x") > limits[-1]]
    sums = (
        nw.when(here).then(nw.lit(1)).otherwise(nw.lit(0)).cast(nw.Int64).sum().alias(f"n{index}")
        for index, here in enumerate(reached)
    )
    (found,) = answers(table, [lambda: values.select(*sums)])
    at_least = [int(count or 0) for (count,) in values_of(found).values()]
    return [low - high for low, high in itertools.pairwise(at_least)]


# --- the passes -----------------------------------------------------------------------------------


Counter = NumberColumn | CategoryColumn


def _counters(
    table: Table,
    names: Sequence[str],
    n: int,
    before: Mapping[str, ColumnSummary | None],
    expect: Mapping[str, Expectation],
) -> dict[str, Counter]:
    families = {name: table.families[name] for name in names}
    numbers = {n: number(n, f).alias(n) for n, f in families.items() if f in ("integer", "float")}
    texts = {name: text(name) for name, family in families.items() if family == "string"}
    points = _sample(table, numbers, numbers_of)
    labels = _sample(table, texts, values_of)
    found: dict[str, Counter] = {}
    for name, family in families.items():
        expected = expect.get(name)
        if name in numbers:
            found[name] = NumberColumn(name, table, points.get(name), before[name], expected)
        elif family in ("string", "boolean"):
            seen = [label for label in labels.get(name, ()) if label is not None]
            found[name] = CategoryColumn(name, table, n, seen, expected)
    return found


def _sample(
    table: Table,
    wanted: Mapping[str, nw.Expr],
    read: Callable[[nw.DataFrame[Any] | Failed], dict[str, Any]],
) -> dict[str, Any]:
    """The first values of each column that can be read."""
    if not wanted:
        return {}
    ask = table.numbers.head(SAMPLE).select
    (together,) = answers(table, [partial(ask, *wanted.values())])
    if not isinstance(together, Failed):
        return read(together)
    single = answers(table, [partial(ask, value) for value in wanted.values()])
    return {
        name: values
        for one in single
        if not isinstance(one, Failed)
        for name, values in read(one).items()
    }


def _count(table: Table, counters: Mapping[str, Counter], failed: dict[str, str]) -> list[str]:
    """Ask until every counter has what it needs; says what each pass was for."""
    scans = [f"each of {len(counters)} columns: counts, sums, extremes"] if counters else []
    pending = list(counters)
    while pending:
        reasons: dict[str, list[str]] = {}
        for start in range(0, len(pending), _BATCH):
            for name, reason in _batch(
                table, counters, pending[start : start + _BATCH], failed
            ).items():
                reasons.setdefault(reason, []).append(name)
        scans += [f"again {_named(names)}: {reason}" for reason, names in reasons.items()]
        pending = [name for names in reasons.values() for name in names]
    return scans


def _batch(
    table: Table, counters: Mapping[str, Counter], names: Sequence[str], failed: dict[str, str]
) -> dict[str, str]:
    again: dict[str, str] = {}
    asked = [name for name in names if not _in_parts(counters[name])]
    results = dict(zip(asked, answers(table, [counters[name].ask for name in asked]), strict=True))
    for name in names:
        try:
            reason = _take(counters[name], results.get(name))
        except SourceError as error:
            failed[name] = error.message
            continue
        except ArithmeticError as error:
            failed[name] = f"its numbers are beyond what can be counted ({error})"
            continue
        if reason is not None:
            again[name] = reason
    return again


def _in_parts(counter: Counter) -> bool:
    return isinstance(counter, CategoryColumn) and counter.in_parts


def _take(counter: Counter, result: nw.DataFrame[Any] | Failed | None) -> str | None:
    if isinstance(counter, NumberColumn):
        return counter.take(numbers_of(result)) if result is not None else None
    return counter.take_parts() if result is None else counter.take(values_of(result))


def _column(
    table: Table,
    name: str,
    counters: Mapping[str, Counter],
    seen: Overview,
    failed: Mapping[str, str],
) -> ColumnSummary:
    family, dtype, n = table.families[name], table.dtypes[name], seen.n
    if name in failed:
        reason = f"could not be read: {failed[name]}"
        return ColumnSummary(
            name=name, family=family, dtype=dtype, n=n, missing=0, uncounted=reason
        )
    if name in counters:
        counter = counters[name]
        if counter.counted not in (None, n):
            raise SourceError(
                f"The data changed while they were read: {n:,} rows, then {counter.counted:,} "
                f"in column '{name[:100]}'",
                "Monitor data that nobody writes to: a closed partition or a copy.",
            )
        return counter.summary(n, dtype)
    return seen.summary(table, name)


def _named(names: Sequence[str]) -> str:
    shown = ", ".join(name[:100] for name in names[:5])
    return f"{shown} and {len(names) - 5} more" if len(names) > 5 else shown
