"""Data quality of a window: what is missing, repeated, unexpected, new, constant, changed, late."""

from collections import Counter
from datetime import UTC, datetime, timedelta

import duckdb
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aims_mlflow.governance.monitoring import Monitor
from aims_mlflow.monitored import MonitorReading, Window
from aims_mlflow.monitors.quality import quality
from aims_mlflow.monitors.summaries import ColumnSummary, DataSummary, Family
from aims_mlflow.monitors.summarise import summarise

WINDOW = Window(start=datetime(2026, 3, 1, tzinfo=UTC), end=datetime(2026, 3, 2, tzinfo=UTC))
LATER = WINDOW.end + timedelta(hours=6)


def monitor(**declared) -> Monitor:
    return Monitor.model_validate({"kind": "quality", "schedule": "0 6 * * *", **declared})


def column(name: str, cells: list, /, family: Family = "string", **more) -> ColumnSummary:
    """A column counted from its values; None is missing."""
    present = [value for value in cells if value is not None]
    numbers = family in ("integer", "float") and present
    return ColumnSummary(
        **{
            "name": name,
            "family": family,
            "dtype": family.title(),
            "n": len(cells),
            "missing": len(cells) - len(present),
            "distinct": len(set(present)),
            "values": tuple(sorted(Counter(present).items(), key=str)),
            "minimum": min(present) if numbers else None,
            "maximum": max(present) if numbers else None,
            **more,
        }
    )


def times(newest: datetime, dtype: str = "Datetime(time_unit='us', time_zone='UTC')"):
    return ColumnSummary(
        name="at",
        family="temporal",
        dtype=dtype,
        n=4,
        missing=0,
        minimum=WINDOW.start.timestamp(),
        maximum=newest.timestamp(),
    )


def table(*columns: ColumnSummary, **more) -> DataSummary:
    return DataSummary(n=columns[0].n if columns else 0, columns=columns, **more)


def read(
    current: DataSummary, reference: DataSummary | None = None, now: datetime = LATER, **declared
) -> dict[str, MonitorReading]:
    found = quality(current, reference, monitor(**declared), WINDOW, now)
    readings = {reading.key: reading for reading in found}
    assert len(readings) == len(found), "two readings of one key"
    return readings


A = column("a", ["x", "x", "y", None])
B = column("b", [1, 2, None, None], "integer")


# --- rows and cells ------------------------------------------------------------------------------


def test_missing_is_a_share_of_all_cells_and_of_each_column():
    before = table(column("a", ["x"] * 10), column("b", [1] * 5 + [None] * 5, "integer"))
    found = read(table(A, B), before)
    assert (found["missing_share"].value, found["missing_share"].reference) == (3 / 8, 1 / 4)
    assert found["missing_share"].detail == "most in b, a"
    assert (found["missing_share/a"].value, found["missing_share/a"].reference) == (0.25, 0)
    assert (found["missing_share/b"].value, found["missing_share/b"].reference_n) == (0.5, 10)
    assert (found["row_count"].value, found["row_count"].reference) == (4, None)


def test_only_the_watched_columns_count():
    assert read(table(A, B), columns=["a"])["missing_share"].value == 0.25
    found = read(table(A, B), exclude=["a"])
    assert found["missing_share"].value == 0.5
    assert "missing_share/a" not in found


def test_a_declared_column_that_is_not_there_is_told_and_withholds_a_pass():
    found = read(table(A, B), columns=["a", "bb"])
    assert found["missing_share/bb"].value is None
    assert found["missing_share/bb"].reason == "the data have no column 'bb'; did you mean 'b'?"
    assert found["missing_share"].excluded == ("column 'bb', which is not there",)


def test_repeated_rows_are_a_share_where_they_were_counted():
    found = read(table(A, duplicates=1), table(A, duplicates=2))["duplicate_share"]
    assert (found.value, found.reference, found.detail) == (0.25, 0.5, "1 of 4 rows")
    assert read(table(A))["duplicate_share"].reason == "repeated rows were not counted"


def test_an_empty_window_has_a_row_count_of_zero_and_nothing_else():
    empty = table(column("a", []), column("at", [], "temporal"))
    found = read(empty, table(A), expect={"a": {"categories": ["x"]}}, timestamp="at")
    assert found.pop("row_count").value == 0
    assert {reading.value for reading in found.values()} == {None}
    assert {reading.reason for reading in found.values()} == {"there are no rows in the window"}
    assert {"missing_share", "out_of_range_share/a", "freshness_hours", "schema_changes"} < set(
        found
    )


# --- constants -----------------------------------------------------------------------------------


def test_constant_columns_are_counted_and_named():
    same, gaps, none = ["x"] * 4, ["x", "x", None, None], [None] * 4
    columns = [column("same", same), column("gaps", gaps), column("none", none), A]
    columns.append(column("five", [5, 5, 5, 5], "integer", distinct=None))
    found = read(table(*columns), table(A))["constant_columns"]
    assert (found.value, found.error_bound, found.reference) == (2, 0, 0)
    assert found.detail == "constant: same, five"


def test_a_column_of_which_it_cannot_be_told_is_a_bound():
    lists = column("tags", ["x"] * 4, "other", values=None, distinct=None, uncounted="lists")
    found = read(table(lists, A))["constant_columns"]
    assert (found.value, found.error_bound, found.detail) == (0, 1, "cannot be told of tags")


def test_infinities_are_values_too():
    some = column("x", [1.0] * 4, "float", infinite=3, distinct=1)
    every = column("y", [1.0] * 4, "float", infinite=4, distinct=0, minimum=None, maximum=None)
    found = read(table(some, every))["constant_columns"]
    assert (found.value, found.error_bound) == (0, 1)


# --- out of range and new categories -------------------------------------------------------------


def test_out_of_range_is_a_share_of_the_values_of_each_expected_column():
    expect = {"b": {"range": {"min": 0, "max": 1}}, "c": {"categories": ["x"]}}
    found = read(table(A, B.model_copy(update={"outside": 1})), expect=expect)
    assert (found["out_of_range_share/b"].value, found["out_of_range_share/b"].n) == (0.5, 2)
    assert found["out_of_range_share/b"].detail == "1 of 2 values"
    assert found["out_of_range_share/c"].reason.startswith("the data have no column 'c'")
    nothing = read(table(column("b", [None] * 4, "integer")), expect=expect)
    assert nothing["out_of_range_share/b"].reason == "the column has no value"


def test_new_categories_are_a_share_of_the_values():
    now = column("a", ["x"] * 60 + ["new"] * 30 + ["rare"] * 10 + ["Ann Example"] + [None] * 9)
    found = read(table(now), table(A))["new_category_share/a"]
    assert (found.value, found.n, found.n_total, found.error_bound) == (41 / 101, 101, 110, 0)
    assert found.detail == (
        "not named by the reference: 'new' (30 rows), 'rare' (10 rows) and 1 with fewer than "
        "10 rows each"
    )
    assert "Ann" not in found.detail, "a rare value may name a person"


def test_categories_that_the_reference_does_not_name_may_be_rare_ones_of_it():
    reference = table(column("a", ["x"] * 90 + ["y"] * 10, pooled=0))
    pooled = column("a", ["x"] * 90, n=100, pooled=10, pooled_values=1, distinct=None)
    now = table(column("a", ["x"] * 80 + ["p"] * 15 + ["q"] * 5))
    found = read(now, table(pooled, suppressed_below=10))["new_category_share/a"]
    assert found.value - found.error_bound == pytest.approx(0.05)
    assert found.value + found.error_bound == pytest.approx(0.20)
    assert found.detail.endswith("5 to 20 rows are of new ones: the reference does not name 1")
    assert read(now, reference)["new_category_share/a"].value == 0.2


@settings(max_examples=50)
@given(
    st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=60),
    st.lists(st.sampled_from("abcdefgh"), min_size=1, max_size=60),
    st.integers(1, 20),
)
def test_the_true_share_is_within_the_bound_whatever_was_pooled(now, before, below):
    counts = Counter(before)
    rare = {value: count for value, count in counts.items() if count < below}
    pooled = column(
        "a",
        before,
        values=tuple((v, c) for v, c in counts.items() if v not in rare),
        pooled=sum(rare.values()),
        pooled_values=len(rare),
    )
    found = read(table(column("a", now)), table(pooled))["new_category_share/a"]
    truth = sum(value not in counts for value in now) / len(now)
    assert abs(found.value - truth) <= found.error_bound + 1e-12


@pytest.mark.parametrize(
    ("now", "reason"),
    [
        (column("a", [None] * 4), "the column has no value"),
        (column("a", [1] * 4, "integer"), "it holds values of the type integer, not string"),
        (column("a", ["x"] * 4, values=None, uncounted="10001 values"), "10001 values"),
        (column("aa", ["x"] * 4), "the data have no column 'a'; did you mean 'aa'?"),
    ],
)
def test_categories_that_cannot_be_compared_say_why(now, reason):
    found = read(table(now), table(A))["new_category_share/a"]
    assert found.value is None
    assert reason in found.reason


def test_numbers_and_labels_that_are_yet_to_come_have_no_new_categories():
    before = table(A, B, column("label", ["yes"] * 4), roles={"target": "label"})
    found = read(table(A, B), before)
    assert {key for key in found if key.startswith("new_category")} == {"new_category_share/a"}


# --- schema --------------------------------------------------------------------------------------


def test_columns_gone_new_and_changed_are_counted_and_a_rename_is_recognised():
    before = table(A, column("marital_status", ["x"] * 4), B, column("gone", [1.0] * 4, "float"))
    now = table(
        A, column("Marital-Status", ["x"] * 4), column("b", ["1"] * 4), column("more", [1] * 4)
    )
    found = read(now, before)["schema_changes"]
    assert found.value == 5
    assert found.detail == (
        "'marital_status' is gone, probably renamed 'Marital-Status'; 'gone' is gone; "
        "'more' is new; 'b' was integer and is string"
    )


def test_the_same_columns_are_no_change_and_no_reference_no_answer():
    assert read(table(B, A), table(A, B))["schema_changes"].value == 0
    assert read(table(A))["schema_changes"].reason.startswith("there is no reference")


def test_gaps_that_make_fractions_of_whole_numbers_are_no_change():
    whole, gaps = column("b", [1, 2, 3, 4], "integer"), column("b", [1.0, None], "float")
    assert read(table(gaps), table(whole))["schema_changes"].value == 0
    fractions = column("b", [1.5, 2.5], "float")
    assert read(table(fractions), table(whole))["schema_changes"].value == 1
    nothing = column("b", [None] * 4, "other")
    assert read(table(nothing), table(whole))["schema_changes"].value == 0


def test_times_keys_and_labels_may_be_on_one_side_only():
    before = table(A, column("income", ["x"] * 4), roles={"target": "income"})
    now = table(A, times(WINDOW.start), column("id", ["1"] * 4))
    assert read(now, before, timestamp="at", key=["id"])["schema_changes"].value == 0
    declared = read(now, before, columns=["a", "income"])["schema_changes"]
    assert (declared.value, declared.detail) == (1, "'income' is gone")


def test_hundreds_of_changes_are_counted_and_some_are_named():
    before = table(*(column(f"{'c' * 200}{index}", ["x"]) for index in range(500)))
    found = read(table(column("a", ["x"])), before)["schema_changes"]
    assert found.value == 501
    assert "and 481 more" in found.detail
    assert len(found.detail) < 3000


# --- freshness -----------------------------------------------------------------------------------


def test_freshness_counts_from_the_newest_row_to_the_end_of_the_window():
    found = read(table(times(WINDOW.end - timedelta(hours=3))), timestamp="at")["freshness_hours"]
    assert (found.value, found.n) == (3, 4)
    assert "counted to 2026-03-02T00:00:00+00:00" in found.detail


def test_while_the_window_is_not_over_freshness_counts_to_now():
    now = WINDOW.start + timedelta(hours=5)
    newest = table(times(WINDOW.start + timedelta(hours=4)))
    assert read(newest, now=now, timestamp="at")["freshness_hours"].value == 1


def test_a_clock_in_the_future_is_no_fresh_row():
    found = read(table(times(WINDOW.end + timedelta(hours=1))), timestamp="at")["freshness_hours"]
    assert found.value is None
    assert found.reason.endswith(
        "after 2026-03-02T00:00:00+00:00: the clock of its source is wrong"
    )


def test_times_without_a_zone_are_of_the_monitor_s_zone():
    newest = times(WINDOW.end - timedelta(hours=1), "Datetime(time_unit='us', time_zone=None)")
    found = read(table(newest), timestamp="at", timezone="Asia/Tokyo")["freshness_hours"]
    assert found.value == 10


@pytest.mark.parametrize(
    ("timestamps", "reason"),
    [
        (column("at", ["today"] * 4), "holds values of the type string, not times"),
        (column("at", [None] * 4, "temporal"), "has no value"),
        (column("at", ["x"] * 4, "temporal", uncounted="times of day"), "counted: times of day"),
        (column("at", ["x"] * 4, "temporal", maximum=1e300), "no time of this calendar"),
        (column("att", ["x"] * 4), "the data have no column 'at'; did you mean 'att'?"),
    ],
)
def test_a_timestamp_that_is_no_time_says_so(timestamps, reason):
    found = read(table(timestamps), timestamp="at")["freshness_hours"]
    assert found.value is None
    assert reason in found.reason


# --- from rows, on every engine ------------------------------------------------------------------

BEFORE = pl.DataFrame({"code": ["a", "b"] * 50, "dose": [1.5, 2.5] * 50, "unit": ["mg"] * 100})
NOW = pl.DataFrame(
    {
        "code": ["a", "b", "c", None, "a"] * 20,
        "dose": [1.5, float("nan"), 99.0, 2.5, None] * 20,
        "Unit": ["mg"] * 100,
        "at": [WINDOW.end - timedelta(hours=12, minutes=row // 5) for row in range(100)],
    }
)


def duckdb_relation(frame: pl.DataFrame) -> duckdb.DuckDBPyRelation:
    return duckdb.from_arrow(frame.to_arrow())


@pytest.mark.parametrize(
    "engine",
    [pl.DataFrame.lazy, pl.DataFrame.to_pandas, pl.DataFrame.to_arrow, duckdb_relation],
    ids=["polars", "pandas", "arrow", "duckdb"],
)
def test_rows_of_every_engine_give_the_same_readings(engine):
    expect = {"dose": {"range": {"min": 0, "max": 10}}}
    declared = monitor(expect=expect, timestamp="at").expect
    before = summarise(engine(BEFORE))
    now = summarise(engine(NOW), like=before, expect=declared, duplicates=True)
    found = read(now, before, expect=expect, timestamp="at")
    assert {key: reading.value for key, reading in found.items()} == {
        "row_count": 100,
        "missing_share": 60 / 400,
        "missing_share/code": 0.2,
        "missing_share/dose": 0.4,
        "missing_share/Unit": 0,
        "missing_share/at": 0,
        "duplicate_share": pytest.approx((100 - NOW.unique().height) / 100),
        "constant_columns": 1,
        "schema_changes": 2,
        "out_of_range_share/dose": 1 / 3,
        "new_category_share/code": 0.25,
        "new_category_share/unit": None,
        "freshness_hours": 12,
    }
    assert found["schema_changes"].detail == "'unit' is gone, probably renamed 'Unit'"


def test_a_pandas_frame_of_objects_is_read_as_well():
    frame = pd.DataFrame({"a": ["x", None, "x"], "b": [1.0, None, 1.0]})
    found = read(summarise(frame))
    assert (found["missing_share"].value, found["row_count"].value) == (1 / 3, 3)


def test_identifiers_that_became_one_float_are_not_constant():
    ids = {"id": [2**60 + i for i in range(100)], "same": [7] * 100}
    for frame in (
        pl.DataFrame(ids),
        pd.DataFrame(ids),
        duckdb.from_arrow(pl.DataFrame(ids).to_arrow()),
    ):
        counted = summarise(frame)
        assert counted.column("id").distinct is None
        assert counted.column("id").values is None
        found = read(counted)["constant_columns"]
        assert (found.value, found.error_bound) == (1, 1)
        assert found.detail == "constant: same; cannot be told of id"
    apart = summarise(pl.DataFrame({"id": [2**60 + 1_000_000 * i for i in range(100)]}))
    found = read(apart)["constant_columns"]
    assert (found.value, found.error_bound) == (0, 0)


def test_a_column_that_is_mostly_missing_proves_no_range():
    expect = {"age": {"range": {"min": 0, "max": 120}}}
    for missing, excluded in ((960, ("960 of 1,000 rows, which have no value",)), (40, ())):
        ages = pl.Series("age", [30] * (1000 - missing) + [None] * missing, dtype=pl.Int64)
        counted = summarise(ages.to_frame(), expect=monitor(expect=expect).expect)
        found = read(counted, expect=expect)["out_of_range_share/age"]
        assert (found.value, found.excluded) == (0, excluded)
