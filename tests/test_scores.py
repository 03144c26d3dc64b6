"""Every number equals scikit-learn's and Fairlearn's on the rows; what is undefined says why."""

import gzip
import os
import subprocess
import sys
import warnings
from pathlib import Path

import fairlearn.metrics as fl
import numpy as np
import pandas as pd
import pytest
import sklearn.metrics as sk
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sklearn.calibration import calibration_curve

from aims_mlflow.governance.system import Slice
from aims_mlflow.monitors.bias import disparity, worst_group
from aims_mlflow.monitors.performance import score
from aims_mlflow.monitors.tables import EvaluationTable, aggregate

CLOSE = {"rel": 1e-12, "abs": 1e-12}
DATA = Path(os.environ.get("AIMS_DATA_DIR", Path(__file__).parents[2] / "shared" / "data"))


def macro(function):
    return lambda t, p: function(t, p, average="macro")


REFERENCE = {
    "accuracy": sk.accuracy_score,
    "balanced_accuracy": sk.balanced_accuracy_score,
    "precision_macro": macro(sk.precision_score),
    "recall_macro": macro(sk.recall_score),
    "f1_macro": macro(sk.f1_score),
    "matthews_corrcoef": sk.matthews_corrcoef,
    "precision": sk.precision_score,
    "recall": sk.recall_score,
    "f1": sk.f1_score,
    "selection_rate": fl.selection_rate,
    "true_positive_rate": lambda t, p: fl.true_positive_rate(t, p, pos_label=1),
    "false_positive_rate": lambda t, p: fl.false_positive_rate(t, p, pos_label=1),
    "false_negative_rate": lambda t, p: fl.false_negative_rate(t, p, pos_label=1),
    "mae": sk.mean_absolute_error,
    "mse": sk.mean_squared_error,
    "rmse": sk.root_mean_squared_error,
    "r2": sk.r2_score,
    "mean_error": lambda t, p: np.mean(np.asarray(p) - np.asarray(t)),
    "median_absolute_error": sk.median_absolute_error,
}


def calibration_error(y, y_score):
    """Expected calibration error over scikit-learn's ten bins, from the rows."""
    share, mean_score = calibration_curve(y, y_score, n_bins=10)
    bins = np.searchsorted(np.linspace(0, 1, 11)[1:-1], y_score)
    sizes = np.bincount(bins, minlength=10)
    return np.abs(share - mean_score) @ sizes[sizes > 0] / len(y)


LABELS = {
    "precision_macro": macro(sk.precision_score),
    "recall_macro": macro(sk.recall_score),
    "f1_macro": macro(sk.f1_score),
    "f1_micro": lambda t, p: sk.f1_score(t, p, average="micro"),
    "subset_accuracy": sk.accuracy_score,
    "hamming_loss": sk.hamming_loss,
}
SCORED = {
    "roc_auc": sk.roc_auc_score,
    "average_precision": sk.average_precision_score,
    "log_loss": sk.log_loss,
    "brier_score": sk.brier_score_loss,
    "expected_calibration_error": calibration_error,
}
DISPARITIES = {
    "demographic_parity_difference": fl.demographic_parity_difference,
    "demographic_parity_ratio": fl.demographic_parity_ratio,
    "equalized_odds_difference": fl.equalized_odds_difference,
    "equalized_odds_ratio": fl.equalized_odds_ratio,
    "equal_opportunity_difference": fl.equal_opportunity_difference,
    "equal_opportunity_ratio": fl.equal_opportunity_ratio,
}
FRAMES = {
    "predictive_parity_difference": ("precision", "difference"),
    "predictive_parity_ratio": ("precision", "ratio"),
    "accuracy_difference": ("accuracy", "difference"),
    "accuracy_ratio": ("accuracy", "ratio"),
    "mae_difference": ("mae", "difference"),
    "mae_ratio": ("mae", "ratio"),
    "rmse_difference": ("rmse", "difference"),
    "rmse_ratio": ("rmse", "ratio"),
    "mean_error_difference": ("mean_error", "difference"),
}


def agrees(measured, reference, *args):
    """Equal, or undefined where the reference warns or has a zero denominator."""
    if measured is not None:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            assert measured == pytest.approx(reference(*args), **CLOSE)


def check(y, predicted, frame, y_score=None, task=None):
    """Hold everything that `score` says against the reference on the rows."""
    table = aggregate(y, predicted, y_score, frame, task=task)
    table = EvaluationTable.model_validate_json(table.model_dump_json())
    scores = score(table, min_group_size=5)
    for reading in scores.overall:
        assert (reading.value is None) == bool(reading.reason)
        check_metric(reading.metric, reading.value, y, predicted, y_score)
    for groups in scores.groups:
        for row in groups.rows:
            mask = np.logical_and.reduce([frame[f].astype(str) == v for f, v in row.group.items()])
            assert row.n == mask.sum()
            for name, value in row.metrics.items():
                part = None if y_score is None else y_score[mask]
                check_metric(name, value, y[mask], predicted[mask], part)
    for reading in scores.disparities:
        assert (reading.value is None) == bool(reading.reason)
        if reading.value is not None:
            check_disparity(reading, groups_kept(table, reading, frame), y, predicted)
    return scores


def check_metric(name, value, y, predicted, y_score):
    if name in SCORED:
        agrees(value, SCORED[name], y, y_score)
    else:
        agrees(value, REFERENCE[name], y, predicted)


def groups_kept(table, reading, frame):
    """The rows of the groups that took part, and their sensitive features."""
    features = reading.feature.split(" x ")
    small = {
        tuple(row.group[f] for f in features) for row in table.table(features).rows if row.n < 5
    }
    keys = list(zip(*(frame[f].astype(str) for f in features), strict=True))
    mask = np.array([key not in small for key in keys])
    assert reading.n == mask.sum()
    return mask, frame.loc[mask, features]


def check_disparity(reading, kept, y, predicted):
    mask, sensitive = kept
    y, predicted = y[mask], predicted[mask]
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if reading.metric in DISPARITIES:
            expected = DISPARITIES[reading.metric](y, predicted, sensitive_features=sensitive)
        else:
            metric, by = FRAMES[reading.metric]
            expected = getattr(
                fl.MetricFrame(
                    metrics=REFERENCE[metric],
                    y_true=y,
                    y_pred=predicted,
                    sensitive_features=sensitive,
                ),
                by,
            )()
    assert reading.value == pytest.approx(expected, **CLOSE)


def rows(values):
    row = st.tuples(values, values, st.sampled_from("ab"), st.sampled_from("xyz"))
    return st.lists(row, min_size=2, max_size=80)


def unpacked(drawn):
    y, predicted, a, b = map(np.array, zip(*drawn, strict=True))
    return y, predicted, pd.DataFrame({"a": a, "b": b})


slow = settings(deadline=None, max_examples=40, suppress_health_check=[HealthCheck.too_slow])


@slow
@given(rows(st.integers(0, 1)), st.randoms(use_true_random=False))
def test_binary_equals_the_reference(drawn, random):
    y, predicted, frame = unpacked(drawn)
    y_score = np.array([random.random() for _ in y])
    check(y, predicted, frame, y_score, "binary")


@slow
@given(rows(st.integers(0, 3)))
def test_multiclass_equals_the_reference(drawn):
    y, predicted, frame = unpacked(drawn)
    check(y, predicted, frame, task="multiclass")


@slow
@given(rows(st.integers(-(10**6), 10**6).map(lambda i: i / 1000)), st.sampled_from([0, 1e6]))
def test_regression_equals_the_reference(drawn, offset):
    y, predicted, frame = unpacked(drawn)
    table = aggregate(y + offset, predicted + offset, None, frame, task="regression")
    # What the offset takes from the digits of the target is gone for the reference as well.
    r2 = next(r for r in score(table).overall if r.metric == "r2")
    if r2.value is not None:
        reference = sk.r2_score(y + offset, predicted + offset)
        assert r2.value == pytest.approx(reference, rel=1e-12, abs=1e-12)
    check(y, predicted, frame, task="regression")


@pytest.fixture(scope="module")
def adult():
    path = DATA / "adult.csv.gz"
    if not path.exists():
        pytest.skip(f"UCI Adult is not here ({path.name}); set AIMS_DATA_DIR to its folder")
    from sklearn.linear_model import LogisticRegression
    from sklearn.preprocessing import StandardScaler

    with gzip.open(path, "rt") as file:
        frame = pd.read_csv(file)
    numbers = ["age", "education-num", "capital-gain", "capital-loss", "hours-per-week"]
    features = StandardScaler().fit_transform(frame[numbers])
    y = (frame["Salary"].str.strip() == ">50K").to_numpy().astype(int)
    model = LogisticRegression().fit(features, y)
    return y, model.predict(features), model.predict_proba(features)[:, 1], frame[["sex", "race"]]


def test_adult_equals_the_reference_for_every_group_and_disparity(adult):
    y, predicted, y_score, sensitive = adult
    scores = check(y, predicted, sensitive, y_score)
    assert [g.features for g in scores.groups] == [("sex",), ("race",), ("sex", "race")]
    assert [len(g.rows) for g in scores.groups] == [2, 5, 10]
    assert len(scores.disparities) == 3 * 10
    assert all(r.value is not None for r in (*scores.overall, *scores.disparities))
    for groups in scores.groups[:2]:
        assert all(value is not None for row in groups.rows for value in row.metrics.values())


def disparities_of(y, predicted, sex, metric, size=5):
    return disparity(aggregate(y, predicted, None, {"sex": sex}), metric, ("sex",), size)


def test_zero_denominators_are_undefined_and_never_zero():
    readings = {r.metric: r for r in score(aggregate([0] * 9, [0] * 9)).overall}
    for name in ("precision", "recall", "f1", "matthews_corrcoef", "balanced_accuracy", "roc_auc"):
        assert readings[name].value is None
        assert readings[name].reason
    assert readings["accuracy"].value == 1.0
    constant = {r.metric: r for r in score(aggregate([0.1] * 3, [0.2] * 3)).overall}
    assert constant["r2"].value is None
    assert "constant" in constant["r2"].reason


def test_a_group_without_positives_is_named_and_makes_no_disparity():
    y, sex = [0, 1] * 10 + [0] * 10, ["F"] * 20 + ["M"] * 10
    reading = disparities_of(y, y, sex, "equal_opportunity_difference")
    assert reading.value is None
    assert "sex=M (no positives in y_true)" in reading.reason
    assert disparities_of(y, y, sex, "demographic_parity_difference").value == 0.5


def test_nobody_selected_has_no_ratio():
    reading = disparities_of(
        [0, 1] * 20, [0] * 40, ["F", "F", "M", "M"] * 10, "demographic_parity_ratio"
    )
    assert reading.value is None
    assert "0 in every group" in reading.reason


def test_small_groups_are_excluded_and_named():
    sex = ["F"] * 30 + ["M"] * 30 + ["X"]
    y = [0, 1] * 30 + [1]
    reading = disparities_of(y, y, sex, "demographic_parity_difference", 30)
    assert (reading.value, reading.n, reading.excluded) == (0.0, 60, ("X (n=1)",))
    assert "fewer than two groups" in disparities_of(y, y, sex, "accuracy_difference", 31).reason


def test_rows_of_unknown_group_make_no_second_group():
    y = [0, 1] * 20
    reading = disparities_of(y, y, ["F"] * 20 + [None] * 20, "demographic_parity_difference")
    assert reading.value is None


def test_a_disparity_shows_the_groups_that_make_it():
    y = [0, 1] * 20
    predicted = [1] * 20 + [0] * 20
    reading = disparities_of(y, predicted, ["F"] * 20 + ["M"] * 20, "equalized_odds_difference")
    assert reading.groups == ("sex=M true_positive_rate 0", "sex=F true_positive_rate 1")


def test_worst_group_by_bound():
    y = [1] * 20 + [1] * 20 + [0]
    predicted = [1] * 15 + [0] * 5 + [1] * 20 + [0]
    table = aggregate(y, predicted, None, {"sex": ["F"] * 20 + ["M"] * 20 + ["M"]})
    lowest = worst_group(table, "recall", ("sex",), 5, "min")
    assert (lowest.value, lowest.groups) == (0.75, ("sex=F 0.75",))
    assert worst_group(table, "recall", ("sex",), 5, "max").value == 1.0


def test_merged_groups_are_never_compared():
    towns = [f"t{i % 201}" for i in range(2010)]
    table = aggregate([0, 1] * 1005, [0, 1] * 1005, None, {"town": towns})
    reading = disparity(table, "accuracy_difference", ("town",), 5)
    assert reading.excluded == ("(other) (n=10, many groups merged)",)


@slow
@given(rows(st.integers(0, 3)))
def test_every_class_equals_the_reference(drawn):
    y, predicted, frame = unpacked(drawn)
    scores = score(aggregate(y, predicted, None, frame, task="multiclass"))
    present = np.unique([*y, *predicted])
    assert [row.group for row in scores.classes.rows] == [{"class": str(c)} for c in present]
    for row, label in zip(scores.classes.rows, present, strict=True):
        assert row.n == (y == label).sum()
        for name in ("precision", "recall", "f1"):
            agrees(row.metrics[name], REFERENCE[name], y == label, predicted == label)
            assert (name in row.intervals) == (row.metrics[name] is not None)


@slow
@given(
    st.lists(
        st.tuples(
            *[st.lists(st.integers(0, 1), min_size=3, max_size=3)] * 2, st.sampled_from("ab")
        ),
        min_size=5,
        max_size=60,
    )
)
def test_multilabel_equals_the_reference(drawn):
    y, predicted, a = (np.array(part) for part in zip(*drawn, strict=True))
    table = aggregate(y, predicted, None, {"a": a}, task="multilabel")
    scores = score(EvaluationTable.model_validate_json(table.model_dump_json()))
    assert {reading.metric for reading in scores.overall} == set(LABELS)
    for reading in scores.overall:
        assert (reading.value is None) == bool(reading.reason)
        agrees(reading.value, LABELS[reading.metric], y, predicted)
    for row in scores.groups[0].rows:
        part = a == row.group["a"]
        for name, value in row.metrics.items():
            agrees(value, LABELS[name], y[part], predicted[part])
    for index, row in enumerate(scores.classes.rows):
        assert row.n == y[:, index].sum()
        for name in ("precision", "recall", "f1"):
            agrees(row.metrics[name], REFERENCE[name], y[:, index], predicted[:, index])


def test_labels_of_one_row_depend_on_each_other_and_have_no_interval_of_counts():
    generator = np.random.default_rng(0)
    y, predicted = generator.integers(0, 2, (2, 200, 3))
    scores = score(aggregate(y, predicted, task="multilabel"))
    with_interval = {r.metric for r in scores.overall if r.interval}
    assert with_interval == {"subset_accuracy"}
    assert set(scores.classes.rows[0].intervals) == {"precision", "recall", "f1"}


def test_a_ranking_shows_what_was_computed_from_its_queries():
    query = np.repeat(np.arange(40), 5)
    generator = np.random.default_rng(0)
    relevance, y_score = generator.integers(0, 4, 200), generator.random(200)
    scores = score(aggregate(relevance, y_score, query=query, task="ranking"))
    readings = {r.metric: r for r in scores.overall}
    kept = [q for q in range(40) if relevance[query == q].any()]
    expected = np.mean(
        [sk.ndcg_score([relevance[query == q]], [y_score[query == q]]) for q in kept]
    )
    assert readings["ndcg"].value == pytest.approx(expected, **CLOSE)
    assert "queries" in scores.interval_methods["ndcg"]
    assert set(readings) == {
        "ndcg",
        "ndcg_at_10",
        "mean_reciprocal_rank",
        "mean_average_precision",
    }


def test_slices_are_a_table_with_intervals():
    hour = np.tile(np.arange(24), 20)
    y = np.arange(480) % 2
    predicted = np.where(hour < 6, 1 - y, y)
    slices = [
        Slice(name="night", where={"hour": {"max": 6}}),
        Slice(name="noon", where={"hour": 12}),
        Slice(name="rain", where={"rain": True}),
    ]
    table = aggregate(y, predicted, None, features={"hour": hour}, slices=slices)
    scores = score(table)
    assert scores.slices.features == ("slice",)
    night, noon = scores.slices.rows
    assert (night.group, night.n, night.metrics["accuracy"]) == ({"slice": "night"}, 120, 0.0)
    assert night.intervals["accuracy"][0] == 0.0
    assert (noon.n, noon.excluded) == (20, "n=20 below 30")
    assert "The slice 'rain' was not measured: there is no column 'rain'." in scores.notes


def test_every_interval_holds_its_value_and_names_its_method(adult):
    y, predicted, y_score, sensitive = adult
    scores = score(aggregate(y, predicted, y_score, sensitive))
    assert scores.positive_label == "1"
    for reading in (*scores.overall, *scores.disparities):
        if reading.metric == "expected_calibration_error":
            continue
        assert reading.interval.method
        assert reading.interval.low <= reading.value <= reading.interval.high
    assert set(scores.interval_methods) == {r.metric for r in scores.overall if r.interval}
    for groups in scores.groups:
        for row in groups.rows:
            for name, (low, high) in row.intervals.items():
                assert low <= row.metrics[name] <= high


def test_scoring_twice_gives_the_same_bytes(adult):
    y, predicted, y_score, sensitive = adult
    table = aggregate(y, predicted, y_score, sensitive)
    again = EvaluationTable.model_validate_json(table.model_dump_json())
    assert score(table).model_dump_json() == score(again).model_dump_json()


def test_scoring_loads_no_library_of_statistics():
    code = """
import sys
from aims_mlflow.monitors.performance import score
from aims_mlflow.monitors.judge import judge
from aims_mlflow.monitors.tables import EvaluationTable
assert not {"numpy", "pandas", "scipy", "sklearn", "fairlearn"} & set(sys.modules)
score(EvaluationTable.model_validate_json(sys.argv[1]))
assert not {"pandas", "scipy", "sklearn", "fairlearn"} & set(sys.modules)
"""
    table = aggregate([0, 1, 1] * 40, [0, 1, 0] * 40, [0.1, 0.9, 0.4] * 40, {"s": ["F", "M"] * 60})
    subprocess.run([sys.executable, "-c", code, table.model_dump_json()], check=True)
