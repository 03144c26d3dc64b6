"""What a monitor's reading proves: beyond the limit, within it, or neither."""

import math
from datetime import date

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aims_mlflow.governance.thresholds import Threshold
from aims_mlflow.monitored import MonitorReading
from aims_mlflow.monitors.judge_readings import judge_readings, verdict_of
from aims_mlflow.readings import Judgement, Verdict

DAY = date(2026, 11, 23)
PASS, FAIL, INSUFFICIENT = Verdict.PASS, Verdict.FAIL, Verdict.INSUFFICIENT


def limit(metric: str = "missing_share", **declared) -> Threshold:
    return Threshold.model_validate({"id": "t", "metric": metric, **declared})


def reading(metric: str = "missing_share", value: float | None = 0.05, **more) -> MonitorReading:
    return MonitorReading(metric=metric, value=value, **{"n": 1000, "n_total": 1000, **more})


def judged(threshold: Threshold, *readings: MonitorReading, **how) -> Judgement:
    (found,), notes = judge_readings([threshold], readings, day=DAY, **how)
    assert notes == ()
    return found


# --- one reading ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("value", "declared", "verdict", "reason"),
    [
        (0.05, {"max": 0.1}, PASS, "0.05 is not above 0.1"),
        (0.1, {"max": 0.1}, PASS, "0.1 is not above 0.1"),
        (0.1004, {"max": 0.1}, FAIL, "0.1004 is above 0.1"),
        (0.05, {"min": 0.1}, FAIL, "0.05 is below 0.1"),
        (0.3, {"min": 0.2, "max": 0.4}, PASS, "0.3 is within 0.2 to 0.4"),
    ],
)
def test_a_value_is_held_against_its_limit(value, declared, verdict, reason):
    found = judged(limit(**declared), reading(value=value, n=900))
    assert (found.verdict, found.reason) == (verdict, reason)
    assert (found.metric, found.value, found.n, found.n_total) == (
        "missing_share",
        value,
        900,
        1000,
    )
    assert found.declared["id"] == "t"
    assert found.limit == limit(**declared).limit


@pytest.mark.parametrize(
    ("value", "bound", "verdict"),
    [
        (0.08, 0.01, PASS),
        (0.09, 0.01, PASS),
        (0.095, 0.01, INSUFFICIENT),
        (0.105, 0.01, INSUFFICIENT),
        (0.12, 0.01, FAIL),
        (0.0, math.inf, INSUFFICIENT),
    ],
)
def test_a_value_too_near_the_limit_for_its_error_bound_proves_nothing(value, bound, verdict):
    found = judged(limit(max=0.1), reading(value=value, error_bound=bound))
    assert found.verdict is verdict
    assert found.error_bound == bound
    if verdict is INSUFFICIENT:
        assert f"may be off by {bound:.3g}, which reaches across the limit 0.1" in found.reason


def test_a_bound_that_reaches_beyond_both_limits_proves_nothing():
    found = judged(limit(min=0.2, max=0.4), reading(value=0.5, error_bound=0.4))
    assert found.verdict is INSUFFICIENT
    assert judged(limit(min=0.2, max=0.4), reading(value=0.6, error_bound=0.1)).verdict is FAIL


share = st.floats(0, 1)


@given(share, share, share, st.floats(-1, 1))
def test_no_error_within_the_bound_overturns_a_verdict(value, bound, most, error):
    found = judged(limit(max=most), reading(value=value, error_bound=bound))
    truth = judged(limit(max=most), reading(value=value + bound * error * (1 - 1e-9)))
    assert found.verdict in (INSUFFICIENT, truth.verdict)


def test_too_few_rows_prove_nothing_either_way():
    for value in (0.0, 1.0):
        found = judged(limit(max=0.5), reading(value=value, n=29))
        assert found.verdict is INSUFFICIENT
        assert found.reason == "29 rows are fewer than min_rows (30)"
        assert found.value == value
    found = judged(limit("drift_share", max=0.5), reading("drift_share", 0.9, reference_n=5))
    assert found.reason == "5 rows of the reference are fewer than min_rows (30)"


@pytest.mark.parametrize("metric", ["row_count", "request_count"])
def test_a_small_count_is_itself_the_finding(metric):
    found = judged(limit(metric, min=100), reading(metric, 0, n=0, n_total=0))
    assert (found.verdict, found.reason) == (FAIL, "0 is below 100")


def test_what_was_not_measured_says_why():
    found = judged(limit(max=0.1), reading(value=None, reason="there are no rows in the window"))
    assert (found.verdict, found.value) == (INSUFFICIENT, None)
    assert found.reason == "there are no rows in the window"
    for value in (math.nan, math.inf):
        assert judged(limit(max=0.1), reading(value=value)).verdict is INSUFFICIENT


def test_a_sample_is_told():
    found = judged(limit(max=0.1), reading(n=500, n_total=10_000, seed=7))
    assert (found.n, found.n_total, found.seed) == (500, 10_000, 7)


def test_what_was_left_out_withholds_a_pass_and_no_fail():
    partly = reading("drift_share", 0.2, excluded=("'a' (all missing)",))
    found = judged(limit("drift_share", max=0.3), partly)
    assert found.verdict is INSUFFICIENT
    assert found.reason == "0.2 is not above 0.3, but without 'a' (all missing)"
    assert judged(limit("drift_share", max=0.1), partly).verdict is FAIL
    assert judged(limit("drift_share", max=0.3, small_groups="exclude"), partly).verdict is PASS


# --- change --------------------------------------------------------------------------------------


def test_a_change_is_counted_from_the_reference_in_both_directions():
    threshold = limit("missing_share", max_change=0.1)
    for value, verdict in ((0.55, PASS), (0.45, PASS), (0.35, FAIL), (0.65, FAIL)):
        found = judged(threshold, reading("missing_share", value, reference=0.5))
        assert found.verdict is verdict
        assert (found.value, found.baseline) == (pytest.approx(abs(value - 0.5)), 0.5)
        assert found.reason.endswith(f": {value} now, 0.5 of the reference")
        assert found.limit == "change <= 0.1 from the reference"


def test_a_change_may_be_off_by_both_errors():
    near = reading("latency_p95", 1.2, error_bound=0.05, reference=1.0, reference_bound=0.1)
    found = judged(limit("latency_p95", max_change=0.3), near)
    assert (found.verdict, round(found.error_bound, 9)) == (INSUFFICIENT, 0.15)
    assert judged(limit("latency_p95", max_change=0.36), near).verdict is PASS


def test_a_change_from_the_version_in_production():
    threshold = limit("latency_p95", max_change=0.3, change_from="production")
    value = reading("latency_p95", 1.5, column="ms", reference=1.5)
    found = judged(threshold, value, production={"latency_p95/ms": 1.0})
    assert (found.verdict, found.baseline) == (FAIL, 1.0)
    assert found.reason == "0.5 is above 0.3: 1.5 now, 1 of the version in production"
    found = judged(threshold, value)
    assert found.verdict is INSUFFICIENT
    assert "the version in production has no value of it" in found.reason


def test_no_reference_is_no_change_of_nothing():
    found = judged(limit(max_change=0.1), reading(value=0.0))
    assert found.verdict is INSUFFICIENT
    assert found.reason == "the reference has no value of it from which to count the change"
    few = judged(limit(max_change=0.1), reading(reference=0.05, reference_n=3))
    assert few.verdict is INSUFFICIENT


# --- columns and other parts ---------------------------------------------------------------------

COLUMNS = (
    reading(value=0.02),
    reading(value=0.30, column="age"),
    reading(value=0.01, column="sex"),
)


def test_without_a_column_the_reading_of_all_decides():
    assert judged(limit(max=0.1), *COLUMNS).verdict is PASS
    found = judged(limit(max=0.1, column="age"), *COLUMNS)
    assert (found.verdict, found.column, found.value) == (FAIL, "age", 0.30)


def test_a_column_that_was_not_measured_is_named_with_what_is_near():
    found = judged(limit(max=0.1, column="agee"), *COLUMNS)
    assert found.verdict is INSUFFICIENT
    assert found.reason == "missing_share was not measured of 'agee'; did you mean 'age'?"
    assert found.column == "agee"


def shares(**values: float | None) -> list[MonitorReading]:
    return [
        reading("out_of_range_share", value, column=name, reason="" if value is not None else "why")
        for name, value in values.items()
    ]


def test_where_every_column_has_its_own_the_worst_decides_and_is_named():
    threshold = limit("out_of_range_share", max=0.1)
    found = judged(threshold, *shares(a=0.2, b=0.4, c=0.0))
    assert (found.verdict, found.column, found.value) == (FAIL, "b", 0.4)
    assert found.reason == "column 'b': 0.4 is above 0.1; so fail column 'a'"
    found = judged(threshold, *shares(a=0.02, b=0.09, c=0.0))
    assert (found.verdict, found.column) == (PASS, "b")
    assert "the other 2 are further from the limit" in found.reason


def test_a_column_that_could_not_be_measured_withholds_a_pass_and_no_fail():
    threshold = limit("out_of_range_share", max=0.1)
    found = judged(threshold, *shares(a=0.02, b=None))
    assert (found.verdict, found.column, found.reason) == (INSUFFICIENT, "b", "column 'b': why")
    assert judged(threshold, *shares(a=0.2, b=None)).verdict is FAIL


def test_a_thousand_columns_are_told_in_one_line():
    names = {f"{'long' * 50}{index}": 0.5 for index in range(1000)}
    found = judged(limit("out_of_range_share", max=0.1), *shares(**names))
    assert "and 996 more" in found.reason
    assert len(found.reason) < 600


def test_a_prediction_drift_is_found_under_the_name_of_its_column():
    drift = reading("prediction_drift", 0.4, column="score", test="wasserstein")
    assert judged(limit("prediction_drift", max=0.1), drift).verdict is FAIL


def test_a_metric_that_nobody_measured_says_what_to_declare():
    found = judged(limit("freshness_hours", max=24), *COLUMNS)
    assert found.verdict is INSUFFICIENT
    assert found.reason == (
        "freshness_hours was not measured: the monitor needs the 'timestamp' of the rows"
    )


def test_a_custom_metric_is_held_against_the_readings_of_its_monitor():
    threshold = Threshold(id="t", custom_metric="pii_share", monitor="pii", max=0.01)
    found = judged(threshold, reading("pii_share", 0.2, column="comment"))
    assert (found.verdict, found.metric, found.column) == (FAIL, "pii_share", "comment")
    found = judged(threshold, reading("pi_share", 0.2))
    assert found.reason == ("the monitor 'pii' measured no 'pii_share'; did you mean 'pi_share'?")
    assert judged(threshold).reason == "the monitor 'pii' measured no 'pii_share'"


# --- drift: what the score is ---------------------------------------------------------------------


def drifted(value: float, p_value: float | None = None) -> MonitorReading:
    test = "wasserstein" if p_value is None else "ks"
    return reading("column_drift", value, column="age", test=test, p_value=p_value)


def test_a_limit_on_the_wrong_side_of_a_drift_score_proves_nothing():
    most = limit("column_drift", column="age", max=0.1)
    least = limit("column_drift", column="age", min=0.05)
    assert judged(most, drifted(0.4)).verdict is FAIL
    assert judged(least, drifted(0.001, p_value=0.001)).verdict is FAIL
    assert judged(least, drifted(0.9, p_value=0.9)).verdict is PASS
    for found in (judged(most, drifted(0.001, p_value=0.001)), judged(least, drifted(0.4))):
        assert found.verdict is INSUFFICIENT
        assert "limit it with" in found.reason
    assert "p-value of the test 'ks'" in judged(most, drifted(0.001, p_value=0.001)).reason


@pytest.mark.parametrize("declared", [{"min": 0, "max": 0.1}, {"min": 0}, {"min": 1e-13}])
def test_no_limit_lets_the_p_value_of_total_drift_pass(declared):
    found = judged(
        limit("column_drift", column="age", **declared),
        drifted(0.0, p_value=0.0).model_copy(update={"drifted": True}),
    )
    assert found.verdict is INSUFFICIENT
    assert "limit it with a 'min' above 0" in found.reason
    both = limit("column_drift", column="age", min=0.05, max=1)
    assert judged(both, drifted(0.9, p_value=0.9)).verdict is PASS
    assert judged(both, drifted(0.0, p_value=0.0)).verdict is FAIL


def test_a_distance_with_both_limits_passes_only_between_them():
    both = limit("column_drift", column="age", min=0, max=0.1)
    assert judged(both, drifted(0.05)).verdict is PASS
    assert judged(both, drifted(0.4)).verdict is FAIL


def test_a_reading_without_a_threshold_judges_nothing():
    assert judge_readings([], [drifted(9)], day=DAY) == ((), ())


# --- problems and validity -----------------------------------------------------------------------


def test_a_problem_withholds_a_pass_and_no_fail():
    problem = "current: 2 of 3 files cannot be read"
    found = judged(limit(max=0.1), *COLUMNS, problems=[problem])
    assert (found.verdict, found.value) == (INSUFFICIENT, 0.02)
    assert found.reason == f"0.02 is not above 0.1; {problem}"
    assert judged(limit(max=0.01), *COLUMNS, problems=[problem]).verdict is FAIL
    assert problem in judged(limit("row_count", min=1), problems=[problem]).reason


def test_a_problem_of_another_column_withholds_nothing():
    problem = "column 'sex': its type cannot be counted"
    assert judged(limit(max=0.5, column="age"), *COLUMNS, problems=[problem]).verdict is PASS
    assert (
        judged(limit(max=0.5, column="sex"), *COLUMNS, problems=[problem]).verdict is INSUFFICIENT
    )


def test_a_lost_reference_withholds_only_what_needs_it():
    problem = "reference: models:/m@champion points nowhere"
    assert judged(limit(max=0.1), *COLUMNS, problems=[problem]).verdict is PASS
    changed = judged(limit(max_change=0.1), *COLUMNS, problems=[problem])
    assert changed.verdict is INSUFFICIENT
    assert problem in changed.reason
    schema = reading("schema_changes", None, reason="there is no reference")
    assert problem in judged(limit("schema_changes", max=0), schema, problems=[problem]).reason


@pytest.mark.parametrize(
    ("declared", "note"),
    [
        ({"valid_from": "2026-11-24"}, "it holds from 2026-11-24"),
        ({"valid_until": "2026-11-22"}, "it held until 2026-11-22"),
        ({"valid_from": "2026-11-23", "valid_until": "2026-11-23"}, None),
    ],
)
def test_a_threshold_out_of_force_is_not_judged_and_noted(declared, note):
    found, notes = judge_readings([limit(max=0.1, **declared)], COLUMNS, day=DAY)
    if note is None:
        assert (len(found), notes) == (1, ())
    else:
        assert (found, notes) == (
            (),
            (f"threshold 't' was not judged on 2026-11-23: {note}",),
        )


def test_thresholds_of_training_runs_are_left_to_them():
    logged = Threshold(id="t", logged_metric="loss", max=1)
    assert judge_readings([logged], COLUMNS, day=DAY) == ((), ())


def test_the_verdict_of_a_monitor_is_its_worst_and_never_a_pass_of_nothing():
    passed, failed = judged(limit(max=0.1), *COLUMNS), judged(limit(max=0.01), *COLUMNS)
    open_ = judged(limit("freshness_hours", max=1), *COLUMNS)
    assert verdict_of([passed, open_, failed]) is FAIL
    assert verdict_of([passed, open_]) is INSUFFICIENT
    assert verdict_of([passed]) is PASS
    assert verdict_of([]) is INSUFFICIENT
