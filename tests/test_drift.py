"""Drift of whole data sets: which columns, which readings, what cannot be told, and why."""

import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aims_mlflow.errors import SourceError
from aims_mlflow.governance.monitoring import Monitor
from aims_mlflow.monitors.column_comparisons import comparison
from aims_mlflow.monitors.drift import drift
from aims_mlflow.monitors.summarise import summarise
from aims_mlflow.monitors.suppression import suppress


def watch(**declared):
    return Monitor(kind="drift", schedule="0 6 * * *", **declared)


def rows(n=3_000, seed=0, shift=0.0):
    rng = np.random.default_rng(seed)
    return pl.DataFrame(
        {
            "id": [f"c-{seed}-{i}" for i in range(n)],
            "day": pl.datetime_range(
                pl.datetime(2026, 1, 1), pl.datetime(2026, 2, 1), "1s", eager=True
            )[:n],
            "age": rng.normal(40 + 12 * shift, 12, n),
            "job": rng.choice(["clerk", "cook", "nurse"], n, p=[0.5 - shift, 0.3, 0.2 + shift]),
            "score": rng.random(n) * (1 - shift),
            "approved": rng.random(n) < 0.4 + shift,
            "paid": rng.random(n) < 0.7,
        }
    )


ROLES = {"prediction": "approved", "target": "paid", "score": "score"}


def found(reference, current, monitor=None, below=1, **kept):
    before = summarise(reference)
    after = summarise(current, like=before)
    if below > 1:
        before = suppress(before, below)
    readings, shown = drift(before, after, monitor or watch(exclude=["id"], **ROLES), **kept)
    return {one.key: one for one in readings}, {one.column: one for one in shown}


def test_what_drifted_and_what_did_not():
    readings, shown = found(rows(), rows(seed=1, shift=0.2))
    assert list(readings) == [
        "drift_share",
        "column_drift/age",
        "column_drift/job",
        "target_drift/paid",
        "prediction_drift/approved",
        "prediction_drift/score",
    ]
    share = readings["drift_share"]
    assert (share.value, share.n, share.error_bound) == (1.0, 3_000, 0)
    assert share.detail == "2 of 2 columns drifted: age, job"
    age = readings["column_drift/age"]
    assert (age.test, age.limit, age.drifted, age.reference_n) == ("wasserstein", 0.1, True, 3_000)
    assert age.value == pytest.approx(0.2, abs=0.05)
    assert age.p_value is None
    assert readings["target_drift/paid"].drifted is False
    assert readings["prediction_drift/approved"].drifted is True
    assert set(shown) == {"age", "job", "score", "approved", "paid"}


def test_the_same_data_do_not_drift():
    readings, _shown = found(rows(), rows())
    assert readings["drift_share"].value == 0
    assert all(one.value == pytest.approx(0, abs=1e-12) for one in readings.values())


def test_columns_that_cannot_be_tested_are_named_and_the_others_go_on():
    n = 200
    rng = np.random.default_rng(0)
    before = pl.DataFrame(
        {
            "good": rng.normal(size=n),
            "gone": rng.normal(size=n),
            "retyped": rng.normal(size=n),
            "silent": rng.normal(size=n),
            "endless": rng.normal(size=n),
            "once": rng.normal(size=n),
            "text": [f"note {i}" for i in range(n)],
            "nested": [[i] for i in range(n)],
        }
    )
    after = before.drop("gone").with_columns(
        retyped=pl.Series(["high"] * n),
        silent=pl.Series([None, math.nan] * (n // 2), dtype=pl.Float64),
        endless=pl.Series([math.inf] * n),
        once=pl.Series([1.0] + [None] * (n - 1)),
        fresh=pl.Series(rng.normal(size=n)),
    )
    readings, shown = found(before, after, watch())
    reasons = {one.column: one.reason for one in readings.values() if one.value is None}
    assert reasons.keys() == {
        *("gone", "retyped", "silent", "endless", "once", "text", "nested", "fresh"),
    }
    assert reasons["gone"] == "is not in the current data"
    assert reasons["fresh"] == "is not in the reference data"
    assert reasons["retyped"] == "is of string values now and was of float values"
    assert reasons["silent"] == "is missing in all 200 rows of the current data"
    assert reasons["endless"] == "has no finite value in the current data"
    assert "one value only" in reasons["once"]
    assert "is a text or an identifier" in reasons["text"]
    assert "'exclude' it" in reasons["nested"]
    share = readings["drift_share"]
    assert share.value == 0
    assert len(share.excluded) == 8
    assert "gone (is not in the current data)" in share.excluded
    assert "0 of 1 columns drifted; 8 could not be tested" in share.detail
    assert set(shown) == {"good"}


def test_an_empty_window_is_a_reason_everywhere():
    readings, shown = found(rows(), rows().head(0))
    assert shown == {}
    assert all(one.value is None for one in readings.values())
    assert readings["column_drift/age"].reason == "there are no rows in the window"
    assert "none of 2 columns could be tested" in readings["drift_share"].reason


def test_integers_may_become_floats_and_constants_are_defined():
    before = pl.DataFrame({"a": range(2_000), "c": [1] * 2_000, "s": ["x"] * 2_000})
    after = before.with_columns(pl.col("a").cast(pl.Float64))
    readings, _shown = found(before, after, watch())
    assert {one.value for one in readings.values()} == {0.0}
    assert all(one.drifted is False for key, one in readings.items() if key != "drift_share")


def test_evidently_without_a_number_is_replaced_by_the_counts():
    """Evidently's chi-square of one category is NaN; there is no drift in it."""
    before = pl.DataFrame({"c": ["x"] * 50})
    tests = {"c": {"test": "chisquare"}}
    readings, _shown = found(before, before, watch(tests=tests), rows=(before, before))
    one = readings["column_drift/c"]
    assert (one.value, one.drifted) == (1, False)
    assert "not by Evidently (its score of 'chisquare' is not a number)" in one.detail


def test_only_declared_columns_with_declared_tests_and_limits():
    tests = {"age": {"test": "ks", "limit": 0.001}, "job": {"test": "psi", "limit": 9}}
    readings, _shown = found(
        rows(), rows(seed=1, shift=0.1), watch(columns=["age", "job", "nope"], tests=tests)
    )
    assert list(readings) == [
        *("drift_share", "column_drift/age", "column_drift/job", "column_drift/nope")
    ]
    age, job = readings["column_drift/age"], readings["column_drift/job"]
    assert (age.test, age.limit, age.drifted, age.p_value) == ("ks", 0.001, True, age.value)
    assert (job.test, job.limit, job.drifted) == ("psi", 9, False)
    assert readings["drift_share"].value == 0.5


def test_a_test_of_numbers_for_categories_is_refused_and_the_reverse_is_done():
    tests = {"job": {"test": "ks"}, "level": {"test": "chisquare"}}
    before = rows().with_columns(level=pl.Series(np.arange(3_000) % 30 + 0.5))
    readings, _shown = found(before, before, watch(columns=["job", "level"], tests=tests))
    assert "which its test 'ks' is for" in readings["column_drift/job"].reason
    assert readings["column_drift/level"].value == 1


def test_key_and_time_are_not_data():
    readings, _shown = found(rows(), rows(seed=1), watch(key=["id"], timestamp="day"))
    assert not {"column_drift/id", "column_drift/day"} & readings.keys()
    readings, _shown = found(rows(), rows(seed=1), watch(columns=["day"]))
    assert "times, which are not tested" in readings["column_drift/day"].reason


def many(seed, columns=20, n=300):
    rng = np.random.default_rng(seed)
    return pl.DataFrame({f"x{i:02}": rng.normal(size=n) for i in range(columns)})


def test_corrections_take_false_alarms_away():
    """Twenty tests at 5 % of data that did not change: one false alarm is expected."""
    tests = {f"x{i:02}": {"test": "ks"} for i in range(20)}
    counts = {}
    for correction in ("none", "benjamini_hochberg", "bonferroni"):
        drifted = 0
        for seed in range(0, 12, 2):
            readings, _shown = found(
                many(seed), many(seed + 1), watch(tests=tests, correction=correction)
            )
            drifted += sum(one.drifted is True for one in readings.values())
        counts[correction] = drifted
    assert counts["none"] >= 3
    assert counts["benjamini_hochberg"] <= 1
    assert counts["bonferroni"] <= counts["benjamini_hochberg"]
    assert "after correction (Bonferroni, 20 tests)" in readings["column_drift/x00"].detail


def test_a_correction_keeps_a_real_change_and_the_uncorrected_score():
    tests = {f"x{i:02}": {"test": "ks"} for i in range(20)}
    after = many(1).with_columns(pl.col("x03") + 1)
    readings, _shown = found(many(0), after, watch(tests=tests, correction="bonferroni"))
    moved = readings["column_drift/x03"]
    assert moved.drifted is True
    assert moved.value == moved.p_value < 1e-10
    assert "D = " in moved.detail


def test_too_coarse_a_reference_leaves_it_open():
    """Merged bins cannot tell whether the middle of the distribution moved."""
    rng = np.random.default_rng(0)
    before = pl.DataFrame({"x": rng.normal(size=1_200)})
    after = pl.DataFrame({"x": rng.normal(size=1_200) + 0.05})
    readings, _shown = found(before, after, watch(tests={"x": {"test": "ks"}}), below=400)
    one = readings["column_drift/x"]
    assert one.drifted is None
    assert one.value is not None
    assert one.reason.startswith("undecided: ")
    assert one.error_bound >= abs(one.value - one.limit)
    assert "reference saved without counts below 400" in one.detail
    share = readings["drift_share"]
    assert (share.value, share.error_bound) == (0, 1)
    assert "1 undecided: x" in share.detail


def test_a_saved_reference_decides_as_the_rows_would():
    reference, current = rows(20_000), rows(20_000, seed=1, shift=0.15)
    raw, _shown = found(reference, current)
    saved, shown = found(reference, current, below=10)
    for key, one in raw.items():
        assert saved[key].drifted is one.drifted
        if one.value is not None:
            gap = abs(saved[key].value - one.value)
            assert gap <= saved[key].error_bound + one.error_bound + 1e-9
            assert gap <= 1e-3
    assert set(shown) >= {"age", "job"}


def test_a_source_that_fails_while_counting_again_is_a_reason():
    def recount(column, edges):
        raise SourceError("the share went away")

    readings, _shown = found(
        rows(),
        rows(seed=1),
        watch(columns=["age", "job"], tests={"age": {"test": "psi"}}),
        recount=recount,
    )
    assert readings["column_drift/age"].reason == "the share went away"
    assert readings["column_drift/job"].value is not None


def test_the_report_sees_few_bars_that_add_up():
    rng = np.random.default_rng(0)
    n = 4_000
    before = pl.DataFrame(
        {
            "heavy": rng.standard_cauchy(n),
            "huge": rng.normal(size=n) * 1e200,
            "levels": rng.integers(0, 9, n) + 0.5,
            "city": [f"city {i % 40} " + "x" * 150 for i in range(n)],
        }
    )
    _readings, shown = found(before, before.head(n // 2), watch())
    assert shown.keys() == set(before.columns)
    for one in shown.values():
        assert len(one.labels) == len(one.reference) == len(one.current)
        assert len(one.labels) == len(set(one.labels))
        assert len(one.labels) <= (20 if one.kind == "numeric" else 12)
        assert sum(one.reference) == pytest.approx(1)
        assert sum(one.current) == pytest.approx(1)
        assert all(len(label) <= 80 for label in one.labels)
    assert len(shown["levels"].labels) == 9
    assert shown["city"].labels[-1] == "29 other categories"
    # The tails are one bar each: the middle is what one sees.
    assert max(shown["heavy"].reference) < 0.5


def rows_of(shown, before, after):
    shares = zip(shown.reference, shown.current, strict=True)
    return [(p * len(before), q * len(after)) for p, q in shares]


def test_no_bar_of_the_report_tells_of_a_few_rows():
    rng = np.random.default_rng(1)
    before = pl.DataFrame(
        {
            "who": [f"Jane Roe {i}" if i < 4 else "bob" for i in range(1_500)],
            "pay": np.append(rng.lognormal(0, 1, 1_499), 98_765.4321),
            "grade": [1.5] * 700 + [2.5] * 797 + [77.125] * 3,
        }
    )
    after = pl.DataFrame(
        {
            "who": ["bob"] * 700 + ["ann"] * 297 + ["John Doe"] * 3,
            "pay": np.append(rng.lognormal(1, 1, 999), -4_321.8765),
            "grade": [1.5] * 500 + [2.5] * 498 + [88.375] * 2,
        }
    )
    _readings, shown = found(before, after, watch())
    assert shown["who"].labels == ("bob", "ann", "5 other categories")
    assert not {"Jane", "John"} & set(str(shown).split())
    for name in ("pay", "grade"):
        bars = rows_of(shown[name], before, after) if name in shown else []
        assert all(count < 1e-6 or count > 9.999 for bar in bars for count in bar)
    text = " ".join(shown["pay"].labels)
    assert shown["pay"].labels[0].startswith("below ")
    assert shown["pay"].labels[-1].endswith(" and more")
    assert "98" not in text
    assert "-4" not in text


def test_a_thin_tail_of_one_side_leaves_the_bars_of_the_other():
    rng = np.random.default_rng(2)
    before = pl.DataFrame({"x": rng.normal(0, 1, 1_500)})
    after = pl.DataFrame({"x": rng.normal(5, 1, 1_500)})
    _readings, shown = found(before, after, watch())
    bars = rows_of(shown["x"], before, after)
    assert sum(q for _p, q in bars) == pytest.approx(1_500)
    assert len([q for _p, q in bars if q > 100]) >= 5
    assert len([p for p, _q in bars if p > 100]) >= 5


def test_of_fewer_than_ten_rows_there_is_no_picture():
    few = pl.DataFrame({"x": [float(i) for i in range(8)], "who": list("abcdefgh")})
    many = pl.DataFrame({"x": [float(i) for i in range(90)], "who": list("abcdefghi") * 10})
    _readings, shown = found(few, many, watch())
    assert shown == {}


@settings(max_examples=50, deadline=None)
@given(
    st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=200),
    st.lists(st.floats(allow_nan=False, allow_infinity=False), min_size=1, max_size=200),
)
def test_pictures_of_any_numbers_add_up_and_hide_few_rows(one, other):
    before, after = pl.DataFrame({"x": one * 3}), pl.DataFrame({"x": other * 3})
    reference = summarise(before)
    shown = comparison(reference.columns[0], summarise(after, like=reference).columns[0])
    if shown is None:
        return
    assert sum(shown.reference) == pytest.approx(1)
    assert sum(shown.current) == pytest.approx(1)
    assert len(set(shown.labels)) == len(shown.labels) <= 20
    for bar in rows_of(shown, before, after):
        assert all(count < 1e-5 or count > 9.999 for count in bar)


@pytest.mark.parametrize("huge", [1e155, 1e200, 1e300])
def test_a_column_of_huge_numbers_leaves_the_others_to_be_judged(huge):
    rng = np.random.default_rng(0)
    before = pl.DataFrame({"x": rng.normal(size=2_000), "ok": rng.normal(size=2_000)})
    x = np.append(rng.normal(size=200), huge * np.array([1, 1.0005, 1.0008]))
    after = pl.DataFrame({"x": x, "ok": rng.normal(size=203)})
    for one, other in ((before, after), (after, before)):
        readings, _shown = found(one, other, watch())
        assert readings["column_drift/ok"].value is not None
        far = readings["column_drift/x"]
        assert far.value is not None or far.reason


def test_a_mistyped_column_is_told_with_the_name_that_is_meant_even_of_an_empty_window():
    for current in (rows(), rows().head(0)):
        readings, _shown = found(rows(), current, watch(columns=["agee"]))
        assert readings["column_drift/agee"].reason == (
            "is neither in the current data nor in the reference; did you mean 'age'?"
        )
