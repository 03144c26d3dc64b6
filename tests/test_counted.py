"""Evaluations counted in an engine: the same tables as from the rows, and as other tools give."""

from __future__ import annotations

import math
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aims_mlflow.errors import AimsError, EvaluationInputError, MonitorError, SourceError
from aims_mlflow.governance.system import SensitiveFeature, Slice
from aims_mlflow.monitors import counted
from aims_mlflow.monitors.counted import count_evaluation
from aims_mlflow.monitors.performance import overall_metric, score
from aims_mlflow.monitors.tables import EvaluationTable, aggregate

ROOT = Path(__file__).parents[1]
DATA = Path(os.environ.get("AIMS_DATA_DIR") or ROOT.parent / "shared" / "data")
FEATURES = (
    SensitiveFeature(name="sex"),
    SensitiveFeature(name="age", bins=(25, 40, 60)),
    SensitiveFeature(name="income"),
)
SLICES = (
    Slice(name="members", where={"member": True}),
    Slice(name="older women", where={"age": {"min": 60}, "sex": ["F", "X"]}),
    Slice(name="two regions", where={"region": [1, "3"]}),
    Slice(name="nobody", where={"sex": "absent"}),
)


def rows(n: int = 3000, seed: int = 1) -> pd.DataFrame:
    r = np.random.default_rng(seed)
    truth = r.integers(0, 2, n)
    scores = np.clip(r.beta(2, 3, n) * 0.7 + truth * 0.25, 0, 1)
    return pd.DataFrame(
        {
            "label": truth,
            "said": (scores > 0.5).astype(int),
            "probability": scores,
            "sex": r.choice(["F", "M", None], n, p=[0.45, 0.5, 0.05]),
            "age": np.where(r.random(n) < 0.03, np.nan, r.integers(18, 90, n)),
            "income": np.where(r.random(n) < 0.02, np.nan, r.lognormal(10, 1, n)),
            "member": r.random(n) < 0.1,
            "region": r.integers(1, 5, n),
        }
    )


def duck(frame: pd.DataFrame) -> Any:
    duckdb = pytest.importorskip("duckdb")
    table = pl.from_pandas(frame).to_arrow()
    connection = duckdb.connect()
    connection.register("given", table)
    return connection.sql("select * from given")


ENGINES = {
    "polars lazy": lambda frame: pl.from_pandas(frame).lazy(),
    "polars": pl.from_pandas,
    "pandas": lambda frame: frame,
    "pandas nullable": lambda frame: frame.convert_dtypes(),
    "pandas arrow": lambda frame: frame.convert_dtypes(dtype_backend="pyarrow"),
    "pyarrow": lambda frame: pl.from_pandas(frame).to_arrow(),
    "duckdb": duck,
}
every_engine = pytest.mark.parametrize("engine", ENGINES.values(), ids=ENGINES.keys())


def flat(value: Any, at: str = "") -> Any:
    if isinstance(value, dict):
        for key, each in value.items():
            yield from flat(each, f"{at}.{key}")
    elif isinstance(value, list | tuple):
        yield f"{at}.length", len(value)
        for i, each in enumerate(value):
            yield from flat(each, f"{at}[{i}]")
    else:
        yield at, value


def differences(
    found: EvaluationTable, expected: EvaluationTable, near: float = 1e-12, without: str = "?"
) -> list[Any]:
    a, b = (dict(flat(t.model_dump(exclude={"notes"}))) for t in (found, expected))
    return [
        (key, a.get(key), b.get(key))
        for key in sorted(a.keys() | b.keys())
        if a.get(key) != b.get(key)
        and without not in key
        and not (
            isinstance(a.get(key), float)
            and isinstance(b.get(key), int | float)
            and math.isclose(a[key], b[key], rel_tol=near, abs_tol=near)
        )
    ]


def counted_rows(frame: Any, **given: Any) -> EvaluationTable:
    columns = {"target": "label", "prediction": "said"}
    return count_evaluation(frame, **columns | {"declared": FEATURES, "slices": SLICES} | given)


def of_rows(frame: pd.DataFrame, scored: str | None = "probability", **given: Any) -> Any:
    return aggregate(
        frame["label"],
        frame["said"],
        None if scored is None else frame[scored],
        frame[[feature.name for feature in FEATURES]],
        "production",
        features=frame,
        declared=FEATURES,
        slices=SLICES,
        **given,
    )


@every_engine
def test_every_engine_counts_what_the_rows_give(engine):
    frame = rows()
    found = counted_rows(engine(frame), score="probability")
    assert differences(found, of_rows(frame)) == []
    assert found.notes[:2] == of_rows(frame).notes
    assert found.overall.bounds == {}


@every_engine
def test_missing_values_in_every_column_are_missing_everywhere(engine):
    frame = rows(2000)
    lost = np.random.default_rng(3).random((len(frame), len(frame.columns))) < 0.1
    for i, name in enumerate(frame.columns):
        frame[name] = frame[name].astype(object).where(~lost[:, i], None)
    frame = frame.infer_objects()
    complete = frame[frame["label"].notna() & frame["said"].notna()]
    found = counted_rows(engine(frame))
    assert differences(found, of_rows(complete, None)) == []
    assert found.n == len(complete)
    without = int(frame["said"].isna().sum())
    assert f"{without} of 2000 rows are not measured: they have no 'said'." in found.notes
    scored = complete[complete["probability"].notna()]
    expected = overall_metric(of_rows(scored), "roc_auc")
    metrics = counted_rows(engine(frame), score="probability")
    assert overall_metric(metrics, "roc_auc").value == pytest.approx(expected.value, abs=1e-12)
    assert f"{len(complete) - len(scored)} of {len(complete)} rows have no 'probability'" in str(
        metrics.notes
    )


@every_engine
def test_a_regression_far_from_zero_keeps_its_digits(engine):
    frame = rows(1500)
    noise = np.random.default_rng(5)
    frame["label"] = 1e9 + noise.normal(0, 1, len(frame))
    frame["said"] = frame["label"] + noise.standard_t(3, len(frame)) + 0.1
    found = counted_rows(engine(frame))
    assert found.task == "regression"
    assert differences(found, of_rows(frame, None), near=1e-6) == []
    expected = score(of_rows(frame, None))
    for reading, other in zip(score(found).overall, expected.overall, strict=True):
        assert reading.value == pytest.approx(other.value, rel=1e-6), reading.metric


@every_engine
def test_classes_of_text_and_categories(engine):
    frame = rows(1200)
    words = np.array(["cat", "dog", "emu"])
    r = np.random.default_rng(2)
    frame["label"] = pd.Categorical(words[r.integers(0, 3, len(frame))])
    frame["said"] = words[r.integers(0, 3, len(frame))]
    frame["sex"] = frame["sex"].astype("category")
    found = counted_rows(engine(frame), score="probability")
    plain = frame.astype({"label": str, "sex": object})
    assert differences(found, of_rows(plain, None)) == []
    assert found.task == "multiclass"
    assert "y_score was ignored: it is used for binary tasks, and this is multiclass." in (
        found.notes
    )


@pytest.mark.parametrize(
    ("label", "said", "labels"),
    [
        ([0, 1, 1, 0], [0.0, 1.0, 0.0, 1.0], ("0", "1")),
        ([True, False, True, True], [1, 0, 0, 1], ("0", "1")),
        (["1", "0", "1", "1"], ["1", "1", "0", "0"], ("0", "1")),
        ([True, False, True, True], [True, True, False, True], ("False", "True")),
        ([1, 1, 1, 1], [1, 1, 1, 1], ("0", "1")),
    ],
)
def test_labels_of_different_types_mean_the_same(label, said, labels):
    frame = pd.DataFrame({"label": label * 3, "said": said * 3})
    expected = aggregate(frame["label"], frame["said"], dataset="production")
    for engine in ENGINES.values():
        found = count_evaluation(engine(frame), target="label", prediction="said")
        assert differences(found, expected) == []
        assert found.labels == labels


@every_engine
def test_a_positive_label_is_read_as_in_training(engine):
    frame = rows(400)
    frame["label"], frame["said"] = frame["label"].eq(1), frame["said"].eq(1)
    for positive in (True, 1, False, "False"):
        found = counted_rows(engine(frame), positive_label=positive, score="probability")
        assert differences(found, of_rows(frame, positive_label=positive)) == []
    with pytest.raises(EvaluationInputError, match="'maybe' is none of the labels"):
        counted_rows(engine(frame), positive_label="maybe")
    same = frame.assign(label="b", said="b")
    found = counted_rows(engine(same), score="probability")
    assert differences(found, of_rows(same)) == []
    assert found.positive_label is None


def test_scores_that_are_no_probabilities_are_ranked_only():
    frame = rows(800)
    frame["probability"] = np.random.default_rng(9).standard_cauchy(800) * 1e6 + frame["label"]
    for engine in ENGINES.values():
        found = counted_rows(engine(frame), score="probability")
        assert differences(found, of_rows(frame)) == []
        assert "no probability" in found.overall.undefined["brier_score"]


@pytest.mark.parametrize("kind", ["uniform", "rare class", "margins", "ties", "one value", "huge"])
def test_fine_bins_are_off_by_no_more_than_they_say(kind, monkeypatch):
    monkeypatch.setattr(counted, "_ALL_BINS", 2000)
    frame, r = rows(6000), np.random.default_rng(4)
    scores = {
        "uniform": frame["probability"],
        "rare class": 10 ** (-6 * r.random(6000)) * (0.2 + 0.8 * frame["label"]),
        "margins": r.standard_t(2, 6000) * 50 + frame["label"] * 40,
        "ties": frame["probability"].round(2),
        "one value": frame["probability"] * 0 + 0.25,
        "huge": np.where(r.random(6000) < 0.1, 1e300, -1e300) * r.random(6000),
    }
    frame["probability"] = scores[kind]
    exact = of_rows(frame)
    engines = [ENGINES[name] for name in ("polars lazy", "pandas", "duckdb")]
    tables = [counted_rows(engine(frame), score="probability") for engine in engines]
    for found in tables:
        assert differences(found, tables[0], near=1e-9) == []
    pairs = [(tables[0].overall, exact.overall)]
    for a, b in zip(tables[0].tables, exact.tables, strict=True):
        pairs += zip(a.rows, b.rows, strict=True)
    for got, expected in pairs:
        assert got.exact.keys() == expected.exact.keys()
        for name, value in expected.exact.items():
            off = abs(got.exact[name] - value)
            assert off <= got.bounds.get(name, 0) + 1e-12, (name, got.group)
    assert tables[0].score_histogram == exact.score_histogram
    bounds = tables[0].overall.bounds
    assert bounds.get("roc_auc", 0) < (0.5 if kind == "huge" else 0.02)
    assert (bounds == {}) == (kind in ("ties", "one value"))
    assert any("off by at most" in note for note in tables[0].notes) == bool(bounds)


def test_a_median_from_fine_bins_says_how_far_it_can_be_off(monkeypatch):
    monkeypatch.setattr(counted, "_ALL_BINS", 1000)
    frame, r = rows(5000), np.random.default_rng(4)
    frame["label"] = r.normal(100, 10, 5000)
    frame["said"] = frame["label"] + r.standard_cauchy(5000)
    expected = of_rows(frame, None).overall
    found = counted_rows(pl.from_pandas(frame).lazy()).overall
    off = abs(found.exact["median_absolute_error"] - expected.exact["median_absolute_error"])
    assert off <= found.bounds["median_absolute_error"] < 0.05
    low, high = found.intervals["median_absolute_error"]
    exact_low, exact_high = expected.intervals["median_absolute_error"]
    assert low <= exact_low and exact_high <= high


def test_many_groups_are_merged_as_in_training():
    n = 1500
    r = np.random.default_rng(0)
    frame = pd.DataFrame(
        {
            "label": r.integers(0, 2, n),
            "said": r.integers(0, 2, n),
            "town": [f"t{int(x)}" for x in r.exponential(90, n)],
            "sex": r.choice(["F", "M"], n),
            "region": r.integers(0, 3, n),
        }
    )
    declared = [SensitiveFeature(name=name) for name in ("town", "sex", "region")]
    expected = aggregate(
        frame["label"],
        frame["said"],
        sensitive_features=frame[["town", "sex", "region"]],
        dataset="production",
        declared=declared,
    )
    found = count_evaluation(frame, target="label", prediction="said", declared=declared)
    assert differences(found, expected) == []
    assert any(row.merged for row in found.tables[0].rows)
    assert any(row.suppressed for row in found.tables[-1].rows)
    assert set(found.notes) == set(expected.notes)


@every_engine
def test_slices_of_dates_booleans_and_numbers_as_text(engine):
    frame = rows(300)
    frame["day"] = pd.Timestamp("2026-01-30") + pd.to_timedelta(frame["region"], unit="D")
    frame["weight"] = frame["region"] + 0.5
    where: dict[str, dict[str, Any]] = {
        "the first": {"day": "2026-01-31"},
        "no time": {"day": ["yesterday", 5]},
        "light": {"weight": ["1.5", 2.5]},
        "not members": {"member": ["False", "no"]},
        "some": {"member": {"min": 1}},
    }
    slices = [Slice(name=name, where=conditions) for name, conditions in where.items()]
    found = counted_rows(engine(frame), slices=slices).slices
    sizes = {row.group["slice"]: row.n for row in found.rows}
    assert sizes == {
        "the first": int((frame["region"] == 1).sum()),
        "no time": 0,
        "light": int(frame["region"].isin([1, 2]).sum()),
        "not members": int((~frame["member"]).sum()),
        "some": int(frame["member"].sum()),
    }


def test_more_slices_than_bits():
    frame = rows(500)
    slices = [Slice(name=f"from {age}", where={"age": {"min": age}}) for age in range(20, 90)]
    found = counted_rows(pl.from_pandas(frame), slices=slices).slices
    sizes = {row.group["slice"]: row.n for row in found.rows}
    assert sizes == {f"from {age}": int((frame["age"] >= age).sum()) for age in range(20, 90)}


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_any_small_evaluation_is_the_one_of_its_rows(data):
    n = data.draw(st.integers(1, 40))

    def column(values: st.SearchStrategy[Any]) -> list[Any]:
        return data.draw(st.lists(values, min_size=n, max_size=n))

    labels = data.draw(
        st.sampled_from(
            [st.integers(0, 1), st.booleans(), st.sampled_from("ab"), st.integers(0, 3)]
        )
    )
    frame = pd.DataFrame(
        {
            "label": column(labels),
            "said": column(labels),
            "probability": column(st.floats(0, 1) | st.sampled_from([0.1, 0.5, 0.58, 1.0])),
            "sex": column(st.sampled_from(["F", "M", "", "é", None])),
            "age": column(st.integers(0, 80) | st.none()),
            "income": column(st.floats(allow_nan=True, width=32) | st.none()),
            "member": column(st.booleans() | st.none()),
            "region": column(st.integers(0, 4)),
        }
    )
    frame["sex"] = frame["sex"].astype(object)
    frame["age"] = frame["age"].astype(float)
    frame["income"] = frame["income"].astype(float)
    try:
        expected = of_rows(frame)
    except AimsError as error:
        with pytest.raises(type(error)):
            counted_rows(pl.from_pandas(frame), score="probability")
        return
    found = counted_rows(pl.from_pandas(frame), score="probability")
    assert differences(found, expected, near=1e-9) == []


def test_adult_equals_fairlearn_and_scikit_learn():
    source = next(iter(DATA.glob("adult.csv*")), None)
    if source is None:
        pytest.skip("UCI Adult is not here: put adult.csv.gz into AIMS_DATA_DIR")
    fairlearn = pytest.importorskip("fairlearn.metrics")
    from sklearn import metrics

    frame = pd.read_csv(source)
    frame["label"] = frame["Salary"].str.contains(">50K").astype(int)
    z = (frame["hours-per-week"] - 45) / 10 + frame["education-num"] - 12 + frame["age"] / 20
    frame["probability"] = 1 / (1 + np.exp(-z))
    frame["said"] = (frame["probability"] > 0.5).astype(int)
    declared = [SensitiveFeature(name="sex"), SensitiveFeature(name="race")]
    table = count_evaluation(
        pl.from_pandas(frame).lazy(),
        target="label",
        prediction="said",
        score="probability",
        declared=declared,
    )
    scores = score(table, min_group_size=1)
    rates = {
        "selection_rate": fairlearn.selection_rate,
        "true_positive_rate": fairlearn.true_positive_rate,
        "false_positive_rate": fairlearn.false_positive_rate,
        "accuracy": metrics.accuracy_score,
    }
    for groups in scores.groups:
        raw = fairlearn.MetricFrame(
            metrics=rates,
            y_true=frame["label"],
            y_pred=frame["said"],
            sensitive_features=frame[list(groups.features)],
        )
        for row in groups.rows:
            at = tuple(row.group[name] for name in groups.features)
            expected = raw.by_group.loc[at if len(at) > 1 else at[0]]
            for name in rates:
                assert row.metrics[name] == pytest.approx(expected[name], abs=1e-12)
    y, p, s = frame["label"], frame["said"], frame["probability"]
    asked = {
        "roc_auc": metrics.roc_auc_score(y, s),
        "average_precision": metrics.average_precision_score(y, s),
        "log_loss": metrics.log_loss(y, s),
        "brier_score": metrics.brier_score_loss(y, s),
        "f1": metrics.f1_score(y, p),
        "matthews_corrcoef": metrics.matthews_corrcoef(y, p),
    }
    for name, value in asked.items():
        assert overall_metric(table, name).value == pytest.approx(value, abs=1e-12), name
    gap = fairlearn.equalized_odds_difference(y, p, sensitive_features=frame["sex"])
    found = {(r.metric, r.feature): r.value for r in scores.disparities}
    assert found["equalized_odds_difference", "sex"] == pytest.approx(gap, abs=1e-12)


def test_parquet_on_disk_is_counted_where_it_lies(tmp_path):
    frame = rows(2000)
    pl.from_pandas(frame).write_parquet(tmp_path / "a.parquet")
    pl.from_pandas(frame).write_parquet(tmp_path / "b.parquet")
    found = counted_rows(pl.scan_parquet(tmp_path / "*.parquet"), score="probability")
    twice = pd.concat([frame, frame], ignore_index=True)
    assert differences(found, of_rows(twice)) == []


def test_spark_counts_the_same():
    try:
        from pyspark.sql import SparkSession
    except ImportError:
        assert not os.environ.get("CI"), "pyspark is to be tested in CI"
        pytest.skip("pyspark is not installed")
    frame = rows(800)
    frame["sex"] = frame["sex"].astype(object)
    builder = SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false")
    builder = builder.config("spark.sql.shuffle.partitions", "2")
    spark = builder.config("spark.driver.bindAddress", "127.0.0.1").getOrCreate()
    try:
        given = spark.createDataFrame(pl.from_pandas(frame).to_arrow())
        found = counted_rows(given, score="probability")
        assert differences(found, of_rows(frame), near=1e-9) == []
        frame["label"] = frame["income"].fillna(3.0)
        frame["said"] = frame["label"] * 1.1
        given = spark.createDataFrame(pl.from_pandas(frame).to_arrow())
        assert differences(counted_rows(given), of_rows(frame, None), near=1e-9) == []
    finally:
        spark.stop()


def test_columns_that_the_data_lack():
    frame = pl.from_pandas(rows(100))
    with pytest.raises(SourceError) as missing:
        count_evaluation(frame, target="lable", prediction="said")
    assert "'lable'" in missing.value.message and "label" in missing.value.fix
    found = counted_rows(
        frame.drop("sex"), slices=[*SLICES, Slice(name="f", where={"height": 1, "sex": "F"})]
    )
    assert found.absent_features == ("sex",)
    assert found.absent_slices["f"] == ("height", "sex")
    assert [table.features for table in found.tables][:2] == [("age",), ("income",)]


@every_engine
@pytest.mark.parametrize(
    ("changed", "message"),
    [
        ({"label": None}, "None of the 60 rows of 'production' has a label yet"),
        ({"said": np.nan}, "None of the 60 rows of 'production' has a prediction"),
    ],
)
def test_no_labels_yet_is_said(engine, changed, message):
    frame = rows(60).assign(**changed)
    with pytest.raises(EvaluationInputError, match=message):
        counted_rows(engine(frame))


def test_what_cannot_be_counted_is_named():
    frame = rows(3000)
    cases: list[tuple[pd.DataFrame, dict[str, Any], type[AimsError], str]] = [
        (frame.head(0), {}, EvaluationInputError, "0 rows"),
        (frame, {"task": "ranking"}, EvaluationInputError, "ranking task cannot be counted"),
        (frame, {"task": "multilabel"}, EvaluationInputError, "multilabel task cannot be"),
        (frame, {"task": "clustering"}, EvaluationInputError, "Unknown task"),
        (frame, {"score": "sex"}, EvaluationInputError, "probabilities are numbers"),
        (frame.assign(said="yes"), {}, EvaluationInputError, "holds text and the other one numb"),
        (frame.assign(label="a"), {"task": "regression"}, EvaluationInputError, "holds text"),
        (frame.assign(label=range(3000)), {}, EvaluationInputError, "looks like regression"),
        (frame.assign(said=frame["probability"]), {}, EvaluationInputError, "probabilities"),
        (frame.assign(age="old"), {"slices": ()}, EvaluationInputError, "declared with bins"),
        (
            frame,
            {"slices": [Slice(name="s", where={"sex": {"min": 1}})]},
            EvaluationInputError,
            "range of 'sex', which holds text",
        ),
    ]
    for engine in (ENGINES["polars lazy"], ENGINES["pandas"], ENGINES["duckdb"]):
        for data, arguments, error, message in cases:
            with pytest.raises(error, match=message) as raised:
                counted_rows(engine(data), **arguments)
            assert raised.value.fix
    with pytest.raises(MonitorError):
        counted_rows([1, 2, 3])


def test_infinite_values_are_left_out_and_said():
    frame = rows(200)
    frame["label"] = frame["income"].fillna(1.0)
    frame["said"] = frame["label"] + 1
    frame.loc[[3, 4], "label"] = [np.inf, -np.inf]
    found = counted_rows(pl.from_pandas(frame).lazy())
    assert found.n == 198
    assert "2 infinite values of 'label' were taken as missing." in found.notes
    frame.loc[5, "label"] = 1e200
    for engine in ENGINES.values():
        with pytest.raises(EvaluationInputError, match="beyond the range"):
            counted_rows(engine(frame))


def test_corrupt_data_are_an_error_with_a_name(tmp_path):
    path = tmp_path / "broken.parquet"
    pl.from_pandas(rows(1000)).write_parquet(path)
    content = bytearray(path.read_bytes())
    content[100:2000] = b"\xff" * 1900
    path.write_bytes(content)
    with pytest.raises(SourceError):
        counted_rows(pl.scan_parquet(path))


def test_importing_loads_no_engine():
    code = (
        "import sys\n"
        "import aims_mlflow.monitors.counted, aims_mlflow.monitors.judge_production\n"
        "import aims_mlflow.monitors.labels, aims_mlflow.monitors.production\n"
        "heavy = {'numpy', 'pandas', 'polars', 'narwhals', 'scipy', 'pyarrow', 'mlflow'}\n"
        "print(sorted(heavy & set(sys.modules)))"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
