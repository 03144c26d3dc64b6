"""Latency, failures and volume of a table of requests, against NumPy on the raw values."""

import math
from datetime import date

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aims_mlflow.governance.monitoring import Monitor
from aims_mlflow.governance.thresholds import Threshold
from aims_mlflow.monitored import MonitorReading
from aims_mlflow.monitors.judge_readings import judge_readings
from aims_mlflow.monitors.operation import operation, quantile
from aims_mlflow.monitors.summaries import Bins, ColumnSummary, DataSummary, Family

MONITOR = Monitor(kind="operation", schedule="0 * * * *", latency="seconds", error="status")


def counted(name: str, values, family: Family = "float", **more) -> ColumnSummary:
    """A column of which every value is counted."""
    found, counts = np.unique(np.asarray(values), return_counts=True)
    return ColumnSummary(
        name=name,
        family=family,
        dtype=family.title(),
        n=len(values),
        missing=0,
        values=tuple(zip(found.tolist(), counts.tolist(), strict=True)),
        **more,
    )


def binned(name: str, values, *, extremes: bool = True, per_unit: int = 16) -> ColumnSummary:
    """A column counted in the sparse asinh bins of the contract."""
    x = np.asarray(values, float)
    centre = float(np.median(x))
    scale = float(np.subtract(*np.percentile(x, [75, 25]))) or 1.0
    index = np.floor(np.arcsinh((x - centre) / scale) * per_unit).astype(int)
    first, inverse, counts = np.unique(index, return_inverse=True, return_counts=True)
    bins = Bins(
        centre=centre,
        scale=scale,
        per_unit=per_unit,
        first=tuple(first.tolist()),
        last=tuple(first.tolist()),
        counts=tuple(counts.tolist()),
        sums=tuple(np.bincount(inverse, weights=x).tolist()),
    )
    ends = {"minimum": float(x.min()), "maximum": float(x.max())} if extremes else {}
    return ColumnSummary(
        name=name, family="float", dtype="Float64", n=len(x), missing=0, bins=bins, **ends
    )


def table(*columns: ColumnSummary) -> DataSummary:
    return DataSummary(n=columns[0].n, columns=columns)


def read(*columns: ColumnSummary, reference=None, monitor=MONITOR) -> dict[str, MonitorReading]:
    found = operation(table(*columns), reference, monitor)
    return {reading.metric: reading for reading in found}


OK = counted("status", [200] * 100, "integer")


# --- quantiles -----------------------------------------------------------------------------------

finite = st.floats(-1e6, 1e6, allow_nan=False)


@settings(max_examples=50)
@given(st.lists(finite, min_size=1, max_size=40), st.floats(0, 1))
def test_a_quantile_of_counted_values_is_that_of_numpy(values, q):
    found, bound = quantile(counted("x", values), q)
    assert found == pytest.approx(np.quantile(values, q), rel=1e-9, abs=1e-9)
    assert bound == 0


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.floats(0, 1e4), min_size=1, max_size=300),
    st.floats(0, 1),
    st.booleans(),
    st.sampled_from([2, 16, 128]),
)
def test_a_quantile_of_bins_is_off_by_no_more_than_it_says(values, q, extremes, per_unit):
    column = binned("x", values, extremes=extremes, per_unit=per_unit)
    found, bound = quantile(column, q)
    slack = 1e-9 * (1 + max(values))
    assert abs(found - np.quantile(values, q)) <= bound + slack


def test_fine_bins_give_the_percentiles_of_a_heavy_tail_within_a_few_percent():
    values = np.random.default_rng(0).lognormal(-1, 1, 100_000)
    column = binned("seconds", values, per_unit=128)
    for q in (0.5, 0.95, 0.99):
        found, bound = quantile(column, q)
        assert found == pytest.approx(np.quantile(values, q), rel=2e-3)
        assert bound < 0.02 * found


def test_no_numbers_have_no_quantile_and_a_wrong_q_is_refused():
    empty = ColumnSummary(name="x", family="float", dtype="Float64", n=3, missing=3, values=())
    assert quantile(empty, 0.5) == (None, 0)
    with pytest.raises(ValueError, match="from 0 to 1, not 95"):
        quantile(empty, 95)


def test_bins_beyond_the_range_of_numbers_do_not_overflow():
    bins = Bins(
        centre=0.0, scale=1.0, per_unit=1, first=(-800, 800), last=(-800, 800), counts=(1, 1),
        sums=(-1e308, 1e308),
    )  # fmt: skip
    column = ColumnSummary(name="x", family="float", dtype="Float64", n=2, missing=0, bins=bins)
    assert quantile(column, 0) == (-1e308, 0)


# --- latency -------------------------------------------------------------------------------------


def test_latency_volume_and_what_the_reference_had():
    values = np.linspace(0.1, 2, 1000)
    before = table(counted("seconds", [0.5] * 10), counted("status", [200] * 10, "integer"))
    found = read(binned("seconds", values), OK, reference=before)
    for metric, q in (("latency_p50", 0.5), ("latency_p95", 0.95), ("latency_p99", 0.99)):
        reading = found[metric]
        assert abs(reading.value - np.quantile(values, q)) <= reading.error_bound < 0.2
        assert (reading.column, reading.n, reading.reference) == ("seconds", 1000, 0.5)
        assert reading.reference_bound == 0
    # Ten rows of a reference say nothing of how many requests a window should have.
    assert (found["request_count"].value, found["request_count"].reference) == (1000, None)


def test_a_mistyped_column_is_told_first_even_of_an_empty_window():
    for rows in ([], [0.5] * 10):
        current = table(counted("seconds", rows), counted("status", [200] * len(rows), "integer"))
        monitor = MONITOR.model_copy(update={"latency": "secnds"})
        (found, *_rest) = [
            one
            for one in operation(current, None, monitor, ["at", "seconds", "status"])
            if one.metric == "latency_p50"
        ]
        assert found.value is None
        assert found.reason == "the data have no column 'secnds'; did you mean 'seconds'?"


@pytest.mark.parametrize(
    ("column", "reason"),
    [
        (counted("seconds", ["1s", "2s"], "string"), "values of the type string, not a number of"),
        (counted("seconds", [-0.5, 1.0]), "the least is -0.5 seconds, and no latency is negative"),
        (counted("seconds", [1.0]).model_copy(update={"infinite": 2}), "2 latencies are infinite"),
        (
            ColumnSummary(name="seconds", family="float", dtype="Float64", n=9, missing=9),
            "no request has a latency",
        ),
        (counted("second", [1.0]), "no column 'seconds'; did you mean 'second'?"),
        (
            ColumnSummary(
                name="seconds", family="float", dtype="F", n=9, missing=0, uncounted="too large"
            ),
            "the values were not counted: too large",
        ),
    ],
)
def test_what_is_no_latency_says_why_and_the_rest_goes_on(column, reason):
    found = read(column, counted("status", [0] * column.n, "integer"))
    assert found["latency_p95"].value is None
    assert reason in found["latency_p95"].reason
    assert found["error_rate"].value == 0


def test_an_empty_window_has_no_requests_and_nothing_else():
    found = read(counted("seconds", []), counted("status", [], "integer"))
    assert found["request_count"].value == 0
    for metric in ("latency_p50", "error_rate"):
        assert found[metric].value is None
        assert found[metric].reason == "there are no rows in the window"


# --- failures ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("values", "family", "rate", "understood"),
    [
        ([True, False, False, False], "boolean", 0.25, "read as true or false"),
        ([1, 0, 0, 0], "integer", 0.25, "read as 0 or 1"),
        ([1.0, 1.0], "float", 1.0, "read as 0 or 1"),
        ([200, 404, 500, 503], "integer", 0.5, "read as HTTP status"),
        ([200.0, 499.0], "float", 0.0, "read as HTTP status"),
    ],
)
def test_failures_are_counted_and_it_is_said_how_they_were_read(values, family, rate, understood):
    found = read(counted("seconds", [0.1] * len(values)), counted("status", values, family))
    assert found["error_rate"].value == rate
    assert found["error_rate"].detail.startswith(understood)
    assert found["error_rate"].n == len(values)


@pytest.mark.parametrize(
    ("values", "family"),
    [([0, 1, 2], "integer"), ([0, 200], "integer"), ([0.5], "float"), (["yes", "no"], "string")],
)
def test_what_is_no_failure_is_not_guessed(values, family):
    found = read(counted("seconds", [0.1]), counted("status", values, family))["error_rate"]
    assert found.value is None
    assert "neither true or false nor 0 or 1 nor an HTTP status" in found.reason
    assert "yes" not in found.reason, "values of rows are no part of evidence"


def test_requests_without_a_status_are_told_by_the_counts():
    gaps = counted("status", [0, 0, 1], "integer").model_copy(update={"n": 10, "missing": 7})
    found = read(counted("seconds", [0.1] * 10), gaps)["error_rate"]
    assert (found.value, found.n, found.n_total) == (1 / 3, 3, 10)


def test_a_monitor_without_latency_reads_none():
    monitor = Monitor(kind="operation", schedule="0 * * * *", error="status")
    assert set(read(OK, monitor=monitor)) == {"request_count", "error_rate"}
    assert not math.isnan(read(OK, monitor=monitor)["error_rate"].value)


def silent(column: ColumnSummary, missing: int) -> ColumnSummary:
    return column.model_copy(update={"n": column.n + missing, "missing": missing})


@pytest.mark.parametrize(("slow", "verdict"), [(0.1, "INSUFFICIENT"), (0.9, "FAIL")])
def test_requests_that_say_nothing_withhold_a_pass_and_no_fail(slow, verdict):
    columns = (
        silent(counted("seconds", [slow] * 40), 960),
        silent(counted("status", [200 if slow < 0.5 else 503] * 40, "integer"), 960),
    )
    readings = operation(table(*columns), None, MONITOR)
    limits = [
        Threshold(id="slow", metric="latency_p95", max=0.5),
        Threshold(id="failed", metric="error_rate", max=0.05),
    ]
    found, _notes = judge_readings(limits, readings, day=date(2026, 11, 24))
    assert [judgement.verdict.value for judgement in found] == [verdict] * 2
    assert [(judgement.n, judgement.n_total) for judgement in found] == [(40, 1000)] * 2
    if verdict == "INSUFFICIENT":
        assert "960 of 1,000 requests, which have no latency" in found[0].reason
        assert "960 of 1,000 requests, which have no status" in found[1].reason
    those = [limit.model_copy(update={"small_groups": "exclude"}) for limit in limits]
    found, _notes = judge_readings(those, readings, day=date(2026, 11, 24))
    assert {judgement.verdict.value for judgement in found} <= {"PASS", "FAIL"}
