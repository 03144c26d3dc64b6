"""Labels that arrive late, and what production shows against the version that was evaluated."""

from __future__ import annotations

from datetime import date
from typing import Any

import narwhals as nw
import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aims_mlflow.errors import MonitorError, SourceError
from aims_mlflow.governance.system import SensitiveFeature, Slice
from aims_mlflow.governance.thresholds import Threshold
from aims_mlflow.monitors.counted import count_evaluation
from aims_mlflow.monitors.judge import judge
from aims_mlflow.monitors.judge_production import judge_production
from aims_mlflow.monitors.labels import join_labels
from aims_mlflow.monitors.performance import score
from aims_mlflow.monitors.production import production_readings
from aims_mlflow.monitors.tables import EvaluationTable
from aims_mlflow.readings import Judgement, Verdict

DAY = date(2026, 10, 1)
PASS, FAIL, INSUFFICIENT = Verdict.PASS, Verdict.FAIL, Verdict.INSUFFICIENT
SEX, TOWN = SensitiveFeature(name="sex"), SensitiveFeature(name="town")
NIGHT = Slice(name="night", where={"hour": {"min": 20}})


def data(n: int = 2000, seed: int = 0, gap: float = 0.0, noise: float = 0.1) -> pl.DataFrame:
    r = np.random.default_rng(seed)
    sex = r.choice(["F", "M"], n)
    truth = r.random(n) < 0.4
    said = np.where(r.random(n) < noise, ~truth, truth) | ((sex == "M") & (r.random(n) < gap))
    scores = np.clip(0.5 * said + 0.25 + r.normal(0, 0.1, n), 0, 1)
    return pl.DataFrame(
        {
            "label": truth,
            "said": said,
            "score": scores,
            "sex": sex,
            "hour": r.integers(0, 24, n),
        }
    )


def counted(frame: Any, **given: Any) -> EvaluationTable:
    arguments = {"score": "score", "declared": [SEX], "slices": [NIGHT]} | given
    return count_evaluation(frame, target="label", prediction="said", **arguments)


def limit(metric: str, **given: Any) -> Threshold:
    return Threshold(id=given.pop("id", "t"), metric=metric, **given)


def judged(
    threshold: Threshold, now: EvaluationTable, then: EvaluationTable | None = None, **more: Any
) -> Judgement:
    baseline = score(then) if then is not None else None
    (found,) = judge_production([threshold], [now], day=DAY, baseline=baseline, **more)
    return found


def test_readings_stand_beside_those_of_the_version_in_production():
    now, then = counted(data(gap=0.3)), counted(data(900, seed=5))
    readings = production_readings(score(now), now, baseline=score(then), n_total=2500)
    found = {reading.key: reading for reading in readings}
    accuracy = found["accuracy"]
    right = float((data(gap=0.3)["label"] == data(gap=0.3)["said"]).mean())
    assert accuracy.value == pytest.approx(right, abs=1e-12)
    assert (accuracy.n, accuracy.n_total, accuracy.reference_n) == (2000, 2500, 900)
    old = data(900, seed=5)
    assert accuracy.reference == pytest.approx(float((old["label"] == old["said"]).mean()))
    assert "95 % interval" in accuracy.detail
    parity = found["demographic_parity_difference/sex"]
    assert parity.value > parity.reference
    assert "sex=M" in parity.detail
    night = found["accuracy/slice night"]
    at_night = data(gap=0.3).filter(pl.col("hour") >= 20)
    assert night.value == pytest.approx(float((at_night["label"] == at_night["said"]).mean()))
    assert night.n == len(at_night) and night.reference is not None
    for name in ("brier_score", "expected_calibration_error", "log_loss", "roc_auc"):
        assert found[name].value is not None and found[name].reference is not None


def test_an_evaluation_of_something_else_is_no_reference():
    now = counted(data())
    other = counted(data(), positive_label=False)
    assert {r.reference for r in production_readings(score(now), now, baseline=score(other))} == {
        None
    }
    found = judged(limit("accuracy", max_change=0.1), now, other)
    assert found.verdict is INSUFFICIENT
    assert "positive label 'False'" in found.reason


def test_what_is_too_small_or_absent_has_a_reason():
    slices = [NIGHT, Slice(name="tall", where={"height": {"min": 2}})]
    now = counted(data(60), slices=slices, declared=[SEX, TOWN])
    found = {r.key: r for r in production_readings(score(now), now)}
    assert found["accuracy/slice night"].value is None
    assert "below 30" in found["accuracy/slice night"].reason
    assert found["accuracy/slice tall"].reason == "the data have no column 'height'"
    assert judged(limit("recall", slice="tall", min=0.1), now).reason.startswith(
        "the data have no column 'height'"
    )
    absent = judged(limit("demographic_parity_difference", feature="town", max=0.1), now)
    assert absent.verdict is INSUFFICIENT and "no column 'town'" in absent.reason
    unknown = judged(limit("demographic_parity_difference", feature="sexx", max=0.1), now)
    assert "did you mean 'sex'" in unknown.reason


def test_limits_are_held_as_on_a_training_run():
    table = counted(data(gap=0.3))
    thresholds = [
        limit("accuracy", id="a", min=0.99),
        limit("accuracy", id="b", min=0.5),
        limit("demographic_parity_difference", id="c", feature="sex", max=0.05),
        limit("recall", id="d", feature="sex", min=0.2),
        limit("recall", id="e", slice="night", min=0.999),
        limit("expected_calibration_error", id="f", max=0.5),
    ]
    found = judge_production(thresholds, [table], day=DAY)
    assert found == judge(thresholds, [table], {})
    assert [f.verdict for f in found] == [FAIL, PASS, FAIL, PASS, FAIL, PASS]


def test_only_thresholds_in_force_and_of_these_metrics_are_judged():
    thresholds = [
        limit("accuracy", id="later", min=0.5, valid_from="2026-10-02"),
        limit("accuracy", id="over", min=0.5, valid_until="2026-09-30"),
        limit("accuracy", id="today", min=0.5, valid_from=DAY, valid_until=DAY),
        limit("accuracy", id="training", min=0.5, stage="evaluation"),
        limit("accuracy", id="test-set", dataset="test", min=0.5),
        limit("drift_share", id="drift", max=0.3),
    ]
    found = judge_production(thresholds, [counted(data())], day=DAY)
    assert [judgement.threshold for judgement in found] == ["today"]


@pytest.mark.parametrize("source", ["reference", "production"])
def test_change_is_counted_from_the_version_in_production(source):
    then = counted(data(seed=5))
    small = judged(limit("accuracy", max_change=0.05, change_from=source), counted(data()), then)
    assert small.verdict is PASS
    worse = counted(data(noise=0.3))
    large = judged(limit("accuracy", max_change=0.05, change_from=source), worse, then)
    assert large.verdict is FAIL
    now, before = (
        next(r.value for r in score(t).overall if r.metric == "accuracy") for t in (worse, then)
    )
    assert large.value == pytest.approx(before - now)
    assert large.baseline == before
    assert f"{before:.6g} of the version in production" in large.reason
    unknown = judged(limit("accuracy", max_change=0.05), worse)
    assert unknown.verdict is INSUFFICIENT
    assert "the evaluation of the version in production is not known" in unknown.reason


def test_change_of_groups_disparities_and_slices():
    then, now = counted(data(seed=5)), counted(data(gap=0.5))
    gap = judged(limit("demographic_parity_difference", feature="sex", max_change=0.1), now, then)
    assert gap.verdict is FAIL
    group = judged(limit("selection_rate", feature="sex", max_change=0.1), now, then)
    assert group.verdict is FAIL and "sex=M" in group.reason
    night = judged(limit("selection_rate", slice="night", max_change=0.9), now, then)
    assert night.verdict is PASS
    fewer = counted(data(seed=5).filter(pl.col("sex") == "F"))
    absent = judged(limit("selection_rate", feature="sex", max_change=0.1), now, fewer)
    assert absent.verdict is INSUFFICIENT
    assert "its evaluation has not the group sex=M" in absent.reason


def test_a_baseline_of_a_few_rows_proves_nothing():
    found = judged(limit("accuracy", max_change=0.5), counted(data()), counted(data(20)))
    assert found.verdict is INSUFFICIENT
    assert "20 rows of the version in production are fewer than min_rows (30)" in found.reason


def test_one_class_one_group_and_no_score_withhold_and_others_go_on():
    frame = data().with_columns(label=pl.lit(True), sex=pl.lit("F"))
    table = counted(frame, score=None)
    thresholds = [
        limit("accuracy", id="one-class", min=0.01),
        limit("demographic_parity_difference", id="one-group", feature="sex", max=0.5),
        limit("roc_auc", id="no-score", min=0.5),
        limit("accuracy", id="fails", min=0.99),
    ]
    found = judge_production(thresholds, [table], day=DAY)
    assert [f.verdict for f in found] == [INSUFFICIENT, INSUFFICIENT, INSUFFICIENT, FAIL]
    assert "only one class" in found[0].reason
    assert "fewer than two groups of sex" in found[1].reason
    assert found[2].reason


def test_problems_withhold_a_pass_and_no_failure():
    problem = "the labels of 2026-09-30 could not be read"
    table = counted(data())
    passed = judged(limit("accuracy", min=0.1), table, problems=[problem])
    assert passed.verdict is INSUFFICIENT and problem in passed.reason
    assert judged(limit("accuracy", min=0.99), table, problems=[problem]).verdict is FAIL
    (nothing,) = judge_production([limit("accuracy", min=0.1)], [], day=DAY, problems=[problem])
    assert (nothing.verdict, nothing.reason, nothing.value) == (INSUFFICIENT, problem, None)
    (silent,) = judge_production([limit("accuracy", min=0.1)], [], day=DAY)
    assert silent.verdict is INSUFFICIENT and silent.reason


def test_a_value_that_its_bins_let_lie_on_either_side_is_not_judged():
    table = counted(data())
    value = table.overall.exact["roc_auc"]
    row = table.overall.model_copy(update={"bounds": {"roc_auc": 0.01}})
    blurred = table.model_copy(update={"overall": row})
    for limited, verdict in ((value - 0.005, INSUFFICIENT), (value + 0.005, INSUFFICIENT)):
        found = judged(limit("roc_auc", min=limited), blurred)
        assert found.verdict is verdict and "may be off by 0.01" in found.reason
        assert found.error_bound == 0.01
    assert judged(limit("roc_auc", min=value - 0.05), blurred).verdict is PASS
    assert judged(limit("roc_auc", min=value + 0.05), blurred).verdict is FAIL
    readings = {r.key: r for r in production_readings(score(blurred), blurred)}
    assert readings["roc_auc"].error_bound == 0.01
    assert readings["accuracy"].error_bound == 0


def duck(frame: pl.DataFrame) -> Any:
    duckdb = pytest.importorskip("duckdb")
    connection = duckdb.connect()
    connection.register("given", frame.to_arrow())
    return connection.sql("select * from given")


ENGINES = {
    "polars": lambda frame: frame.lazy(),
    "pandas": lambda frame: frame.to_pandas(),
    "pyarrow": lambda frame: frame.to_arrow(),
    "duckdb": duck,
}
every_engine = pytest.mark.parametrize("engine", ENGINES.values(), ids=ENGINES.keys())


@every_engine
def test_labels_meet_their_predictions(engine):
    predictions = pl.DataFrame(
        {
            "id": ["a", "b", "c", None, "d"],
            "day": [1, 1, 2, 2, 2],
            "said": [1, 0, 1, 0, 1],
            "label": [None, None, 9, None, None],
        },
        schema_overrides={"label": pl.Int64},
    )
    labels = pl.DataFrame(
        {
            "id": ["a", "c", "d", "d", None, "z"],
            "day": [1, 2, 2, 3, 2, 1],
            "label": [1, 0, 1, 0, 1, 1],
        }
    )
    frame, join = join_labels(engine(predictions), engine(labels), ["id", "day"], target="label")
    rows = frame.collect().to_arrow().to_pylist()
    met = {row["id"]: row["label"] for row in rows}
    assert {k: None if v is None or v != v else int(v) for k, v in met.items() if k == k} == {
        "a": 1,
        "b": None,
        "c": 0,
        "d": 1,
    } | ({None: None} if None in met else {})
    assert len(rows) == 5
    assert (join.predictions, join.labelled, join.unmatched_labels) == (5, 3, 2)
    assert (join.without_key, join.labels_without_key) == (1, 1)
    assert join.coverage == 0.6
    assert join.notes == (
        "the target 'label' is that of the labels; values of the predictions' own column of this "
        "name differ in 1 row",
    )
    table = count_evaluation(frame, target="label", prediction="said")
    assert table.n == 3
    assert "2 of 5 rows are not measured: they have no 'label'." in table.notes


@every_engine
def test_a_key_that_occurs_twice_is_refused_on_either_side(engine):
    once = pl.DataFrame({"id": [1, 2, 3], "said": [1, 0, 1]})
    twice = pl.DataFrame({"id": [1, 1, 1, 2, 2], "label": [1, 0, 1, 1, 1]})
    with pytest.raises(MonitorError) as error:
        join_labels(engine(once), engine(twice), ["id"], target="label")
    assert "2 keys (id) occur more than once in the labels, up to 3 times" in error.value.message
    with pytest.raises(MonitorError, match="in the predictions"):
        join_labels(engine(twice), engine(once), ["id"], target="said")


@every_engine
def test_labels_outside_the_window_and_stale_columns_of_labels_change_nothing(engine):
    predictions = pl.DataFrame({"id": [1, 2, 3, 4], "p": [1, 0, 1, 0]})
    labels = pl.DataFrame(
        {
            "id": [1, 2, 3, 4, 9, 9],
            "y": [1, 0, 1, 0, 1, 1],
            "p": [0, 1, 0, 1, 0, 0],
            "age": [30] * 6,
        }
    )
    frame, join = join_labels(engine(predictions), engine(labels), ["id"], target="y")
    table = count_evaluation(frame, target="y", prediction="p")
    assert {m.metric: m.value for m in score(table).overall}["accuracy"] == 1
    assert (join.labelled, join.unmatched_labels) == (4, 2)
    assert join.notes == ("the column 'p' is that of the predictions, not of the labels",)
    assert "age" in frame.collect_schema().names()
    with pytest.raises(SourceError, match="The table of labels has no column 'truth'"):
        join_labels(engine(predictions), engine(labels), ["id"], target="truth")


@every_engine
def test_keys_of_other_types_are_compared_by_value_or_refused(engine):
    predictions = pl.DataFrame({"id": [1, 2, 3], "said": [1, 0, 1]})
    for dtype in (pl.Int16, pl.UInt32, pl.Float64, pl.Float32):
        labels = pl.DataFrame({"id": [3, 1], "label": [1, 0]}).cast({"id": dtype})
        assert (
            join_labels(engine(predictions), engine(labels), ["id"], target="label")[1].labelled
            == 2
        )
    text = pl.DataFrame({"id": ["3", "1"], "label": [1, 0]})
    with pytest.raises(MonitorError, match="which are never equal"):
        join_labels(engine(predictions), engine(text), ["id"], target="label")
    fractions = pl.DataFrame({"id": [3.5, 1.0], "label": [1, 0]})
    with pytest.raises(MonitorError, match="holds fractions"):
        join_labels(engine(predictions), engine(fractions), ["id"], target="label")
    names = text.cast({"id": pl.Categorical})
    assert join_labels(
        engine(text.rename({"label": "said"})), engine(names), ["id"], target="label"
    )[1].labelled


def test_labels_that_cannot_be_joined_say_why():
    predictions = pl.DataFrame({"id": [1], "said": [1]})
    with pytest.raises(SourceError, match="The table of labels has no column 'id'"):
        join_labels(predictions, pl.DataFrame({"ids": [1], "label": [1]}), ["id"], target="label")
    with pytest.raises(MonitorError, match="without a key"):
        join_labels(predictions, predictions, [], target="label")
    with pytest.raises(MonitorError, match="held by"):
        join_labels(
            predictions.lazy(), pd.DataFrame({"id": [1], "label": [1]}), ["id"], target="label"
        )


@every_engine
def test_no_label_at_all_has_no_coverage(engine):
    predictions = pl.DataFrame({"id": [1, 2], "said": [1, 0]})
    labels = pl.DataFrame({"id": [1], "label": [1]}).clear()
    join = join_labels(engine(predictions), engine(labels), ["id"], target="label")[1]
    assert (join.labelled, join.coverage, join.unmatched_labels) == (0, 0.0, 0)
    nobody = join_labels(engine(predictions.clear()), engine(labels), ["id"], target="label")[1]
    assert (nobody.predictions, nobody.coverage) == (0, 0.0)


@settings(max_examples=40, deadline=None)
@given(st.sets(st.integers(-5, 20)), st.sets(st.integers(-5, 20)))
def test_counts_of_any_join_add_up(predicted, labelled):
    schema = {"id": pl.Int64, "v": pl.Int64}
    left, right = (
        pl.DataFrame({"id": sorted(ids), "v": [0] * len(ids)}, schema=schema)
        for ids in (predicted, labelled)
    )
    frame, join = join_labels(left, right.rename({"v": "label"}), ["id"], target="label")
    assert join.labelled == len(predicted & labelled)
    assert join.unmatched_labels == len(labelled - predicted)
    assert nw.from_native(frame.collect()).shape[0] == join.predictions == len(predicted)
