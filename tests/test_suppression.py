"""What is kept of data names nothing that only a few rows have."""

from __future__ import annotations

import datetime as dt
import math
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aims_mlflow.monitors.summaries import ColumnSummary, DataSummary
from aims_mlflow.monitors.summarise import summarise
from aims_mlflow.monitors.suppression import suppress


def one(values: Any) -> DataSummary:
    return summarise(pl.DataFrame({"x": values}))


def rows_of(column: ColumnSummary) -> int:
    counted = sum(count for _, count in column.values or ()) + column.pooled
    return counted + (sum(column.bins.counts) if column.bins else 0)


NUMBERS = st.lists(
    st.one_of(
        st.floats(-1e6, 1e6),
        st.integers(-3, 3).map(float),
        st.sampled_from([1e300, math.inf, math.nan]),
        st.none(),
    ),
    max_size=200,
)


@settings(max_examples=100, deadline=None)
@given(values=NUMBERS, below=st.integers(1, 40))
def test_no_number_of_few_rows_is_left(values: list[float | None], below: int) -> None:
    before = one(pl.Series(values, dtype=pl.Float64))
    after = suppress(before, below)
    (full,), (column,) = before.columns, after.columns
    assert (column.n, column.missing, column.infinite) == (full.n, full.missing, full.infinite)
    for _, count in column.values or ():
        assert count >= below
    if column.bins is not None:
        assert all(count >= below for count in column.bins.counts)
        assert all(a < b for a, b in zip(column.bins.last, column.bins.first[1:], strict=False))
        if column.minimum is not None and full.minimum is not None:
            assert column.minimum == column.bins.edge(column.bins.first[0]) <= full.minimum
        if column.maximum is not None and full.maximum is not None:
            assert column.maximum == column.bins.edge(column.bins.last[-1] + 1) >= full.maximum
    if column.uncounted:
        assert column.values is column.bins is column.minimum is column.mean is None
    else:
        assert rows_of(column) == rows_of(full) == full.present - full.infinite
        assert (column.mean, column.std) == (full.mean, full.std)
    if column.bins is not None and full.bins is not None:
        total = math.fsum(full.bins.sums)
        scale = max(map(abs, full.bins.sums))
        assert math.fsum(column.bins.sums) == pytest.approx(total, abs=1e-9 * scale)
    assert suppress(after, below).digest() == after.digest() == suppress(before, below).digest()
    assert DataSummary.model_validate_json(after.model_dump_json()).digest() == after.digest()


@settings(max_examples=100, deadline=None)
@given(
    values=st.lists(st.one_of(st.sampled_from("aaaaabbbcc"), st.text(max_size=2)), max_size=120),
    below=st.integers(1, 40),
)
def test_no_category_of_few_rows_is_named(values: list[str], below: int) -> None:
    before = one(pl.Series(values, dtype=pl.String))
    (full,) = before.columns
    (column,) = suppress(before, below).columns
    if column.uncounted:
        assert len(values) < below
        assert column.values is None and column.pooled == 0
        return
    assert rows_of(column) == len(values)
    assert all(count >= below for _, count in column.values or ())
    assert column.pooled == 0 or column.pooled >= below
    assert column.pooled_values + len(column.values or ()) == len(full.values or ())


def test_frequent_values_stay_as_they_are() -> None:
    before = one(np.repeat([1.0, 2.0, 3.5], 20))
    assert suppress(before, 20).columns == before.columns
    assert suppress(before, 20).suppressed_below == 20
    assert suppress(suppress(before, 20), 5).suppressed_below == 20


def test_one_rare_number_hides_among_its_neighbours() -> None:
    (column,) = suppress(one([*np.repeat([1.0, 2.0], 50), 77.0]), 10).columns
    assert column.values is None and column.bins is not None
    assert column.bins.counts == (50, 51)
    assert sum(column.bins.sums) == pytest.approx(50 + 100 + 77)
    assert column.maximum is not None and column.maximum > 77


def test_of_a_small_column_only_the_count_is_left() -> None:
    found = suppress(summarise(pl.DataFrame({"x": [1.5, 2.5, None], "s": ["Ada", "Bob", None]})))
    for column in found.columns:
        assert column.uncounted == "fewer than 10 rows have a value"
        assert (column.n, column.missing) == (3, 1)
    text = found.model_dump_json()
    assert "Ada" not in text and "1.5" not in text and "2.5" not in text


def test_extremes_of_times_go() -> None:
    when = dt.datetime.fromisoformat("2026-03-01T12:30:00+00:00")
    (column,) = suppress(one([when] * 20)).columns
    assert column.minimum is column.maximum is None


def test_no_row_can_be_read_from_where_bins_lie() -> None:
    secret = 41_234.5678
    (column,) = suppress(one([secret + i / 7 for i in range(-40, 51)]), 10).columns
    assert column.bins is not None
    assert column.bins.centre != secret
    assert str(secret) not in column.model_dump_json()


def test_a_limit_below_one_is_refused() -> None:
    with pytest.raises(ValueError, match="'below' is 0"):
        suppress(one([1.0]), 0)


def test_numbers_of_all_magnitudes_are_suppressed_or_said_not_to_be():
    far = [*(1e-300 * i for i in range(1, 30)), 1.7e308, -1.7e308]
    counted = summarise(pl.DataFrame({"x": far * 4, "ok": [1.5, 2.5, 3.5, 4.5] * 31}))
    kept = suppress(counted)
    column = kept.column("x")
    assert column.bins is not None or column.uncounted
    assert kept.column("ok").values == counted.column("ok").values
