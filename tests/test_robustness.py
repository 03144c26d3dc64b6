"""evaluate_robustness: what falls, by how much, and what it refuses."""

import math
import os
import subprocess
import sys
import textwrap

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.linear_model import LinearRegression, LogisticRegression
from sklearn.metrics import accuracy_score, f1_score, mean_absolute_error, roc_auc_score

import aims_mlflow
from aims_mlflow.api import robustness as api_robustness
from aims_mlflow.errors import EvaluationInputError
from aims_mlflow.governance.system import Perturbation
from aims_mlflow.monitors.falls import Predicted, falls, paired_shares
from aims_mlflow.monitors.frames import read_frame
from aims_mlflow.monitors.perturbations import DEFAULTS, candidates, perturb
from aims_mlflow.monitors.robustness import Request, evaluate, sampling_error
from aims_mlflow.monitors.tables import aggregate
from aims_mlflow.readings import Robustness
from aims_mlflow.tracking.store import Tracking

NOISE = {"id": "noise", "kind": "noise", "amount": 0.5}
ROWS = 2000


@pytest.fixture(autouse=True)
def nowhere(tmp_path, monkeypatch):
    monkeypatch.setenv("AIMS_STRICT", "1")
    """No profile, no run: the result is all there is."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path / 'mlflow.db'}")
    for name in ("AIMS_SYSTEM", "AIMS_PROFILE"):
        monkeypatch.delenv(name, raising=False)


def evaluated(model, X, y, *perturbations, **options):
    given = list(perturbations) or None
    return aims_mlflow.evaluate_robustness(model, X, y, perturbations=given, **options)


def result(robustness, name):
    return next(r for r in robustness.results if r.id == name)


def fall(robustness, name, metric):
    return next(f for f in result(robustness, name).falls if f.metric == metric)


def people(n=ROWS, seed=0):
    random = np.random.default_rng(seed)
    frame = pd.DataFrame(
        {
            "age": random.integers(18, 90, n),
            "income": random.normal(50, 10, n),
            "job": random.choice(["clerk", "cook", "judge"], n, p=[0.6, 0.3, 0.1]),
            "member": random.random(n) < 0.5,
        }
    )
    good = frame.income / 10 + (frame.job == "judge") * 3 + random.normal(size=n) > 5.2
    return frame, good.astype(int)


class Rule:
    """A model that anybody can follow, and that reads pandas and Polars."""

    def predict(self, X):
        job = np.array(list(X["job"]), dtype=object)
        return (np.asarray(X["income"], dtype=float) / 10 + (job == "judge") * 3 > 5.2).astype(int)


def test_noise_makes_a_threshold_rule_fall_as_the_normal_distribution_says():
    x = np.random.default_rng(1).normal(size=(40_000, 1))
    y = (x[:, 0] > 0).astype(int)
    found = evaluated(lambda X: (X[:, 0] > 0).astype(int), x, y, NOISE, max_rows=40_000)
    accuracy = fall(found, "noise", "accuracy")
    # The sign of x + 0.5 e differs from that of x with the probability arctan(0.5) / pi.
    expected = math.atan(0.5) / math.pi
    assert accuracy.clean == 1
    assert accuracy.fall == pytest.approx(expected, abs=0.006)
    assert accuracy.interval.low < expected < accuracy.interval.high
    assert accuracy.perturbed == 1 - accuracy.fall


def test_values_are_those_of_scikit_learn_and_worse_is_positive():
    frame, y = people()
    X = frame[["age", "income"]]
    model = LogisticRegression(max_iter=500).fit(X, y)
    seen = []

    class Spy:
        def predict(self, X):
            seen.append(X)
            return model.predict(X)

        def predict_proba(self, X):
            return model.predict_proba(X)

    found = evaluated(Spy(), X, y, NOISE, metrics=["accuracy", "f1", "roc_auc", "brier_score"])
    before, after = seen
    scores = [model.predict_proba(x)[:, 1] for x in (before, after)]
    for name, measure, values in (
        ("accuracy", accuracy_score, [model.predict(x) for x in seen]),
        ("f1", f1_score, [model.predict(x) for x in seen]),
        ("roc_auc", roc_auc_score, scores),
    ):
        one = fall(found, "noise", name)
        assert one.clean == pytest.approx(measure(y, values[0]), abs=1e-12)
        assert one.perturbed == pytest.approx(measure(y, values[1]), abs=1e-12)
        assert one.fall == pytest.approx(one.clean - one.perturbed, abs=1e-12)
        assert one.fall > 0
    brier = fall(found, "noise", "brier_score")
    assert brier.fall == pytest.approx(brier.perturbed - brier.clean)
    assert brier.fall > 0


def test_a_regression_falls_by_its_added_error():
    frame, _ = people()
    X, y = frame[["age", "income"]], frame["income"] * 3
    model = LinearRegression().fit(X, y)
    found = evaluated(model, X, y, NOISE)
    assert found.task == "regression"
    assert [f.metric for f in result(found, "noise").falls] == ["mae", "rmse", "r2"]
    mae = fall(found, "noise", "mae")
    assert mae.clean == pytest.approx(mean_absolute_error(y, model.predict(X)), abs=1e-9)
    # Half a deviation of the income, normal: its mean size is sigma * sqrt(2 / pi).
    expected = 3 * 0.5 * X["income"].std(ddof=0) * math.sqrt(2 / math.pi)
    assert mae.interval.low < expected < mae.interval.high
    assert fall(found, "noise", "rmse").fall > 0
    assert fall(found, "noise", "r2").fall > 0


def test_classes_multilabel_and_one_class():
    frame, _ = people()
    income = frame[["income"]].to_numpy()
    three = np.digitize(income[:, 0], [45, 55])
    found = evaluated(lambda X: np.digitize(X[:, 0], [45, 55]), income, three, NOISE)
    assert found.task == "multiclass"
    macro = fall(found, "noise", "f1_macro")
    assert macro.interval.low < macro.fall < macro.interval.high

    ones = evaluated(lambda X: np.ones(len(X), dtype=int), income, np.ones(len(income)), NOISE)
    assert fall(ones, "noise", "accuracy").fall == 0
    auc = evaluated(
        LogisticRegression().fit(income, income[:, 0] > 50),
        income,
        np.full(len(income), True),
        NOISE,
        task="binary",
    )
    undefined = fall(auc, "noise", "roc_auc")
    assert undefined.fall is None
    assert "only one class" in undefined.reason


def test_multilabel_targets():
    frame, _ = people()
    income = frame[["income"]].to_numpy()

    def both(X):
        return np.column_stack([X[:, 0] > 45, X[:, 0] > 55]).astype(int)

    found = evaluated(both, income, both(income), NOISE, task="multilabel")
    share = fall(found, "noise", "subset_accuracy")
    assert share.clean == 1
    assert share.interval.low < share.fall < share.interval.high


def test_pandas_and_polars_fall_alike_and_nothing_is_changed_in_place():
    frame, y = people()
    frame.index = frame.index[::-1]
    polars = pl.from_pandas(frame)
    kept, kept_polars = frame.copy(deep=True), polars.clone()
    found = evaluated(Rule(), frame, y)
    again = evaluated(Rule(), polars, pl.Series(y))
    assert found == again
    pd.testing.assert_frame_equal(frame, kept)
    assert polars.equals(kept_polars)
    assert {r.id for r in found.results} >= {p.id for p in DEFAULTS}
    assert fall(found, "category-swap", "accuracy").fall > 0


def test_numpy_gives_what_pandas_gives_for_the_same_column_names():
    frame, _ = people()
    array = frame[["age", "income"]].to_numpy()
    y = (array[:, 1] > 50).astype(int)
    kept = array.copy()

    def spoil(X):
        values = np.array(X)
        if isinstance(X, np.ndarray):
            X[:] = 0  # a model that changes what it is given
        return (values[:, 1] > 50).astype(int)

    found = evaluated(spoil, array, y, NOISE)
    assert found == evaluated(spoil, pd.DataFrame(array, columns=["0", "1"]), y, NOISE)
    assert (array == kept).all()


def test_another_perturbation_changes_no_other_result():
    frame, y = people()
    swap = {"id": "swap", "kind": "category_swap", "amount": 0.3}
    alone = evaluated(Rule(), frame, y, NOISE, seed=3)
    both = evaluated(Rule(), frame, y, swap, NOISE, seed=3)
    assert result(alone, "noise") == result(both, "noise")
    assert alone == evaluated(Rule(), frame, y, NOISE, seed=3)
    other = evaluated(Rule(), frame, y, NOISE, seed=4)
    assert result(other, "noise") != result(alone, "noise")
    fewer = evaluated(Rule(), frame.drop(columns="age"), y, NOISE, seed=3)
    assert result(fewer, "noise").falls == result(alone, "noise").falls


def test_what_does_not_apply_is_a_result_with_a_note(capsys):
    X = np.arange(200.0).reshape(-1, 1)
    y = (X[:, 0] > 100).astype(int)
    model = LogisticRegression(max_iter=1000).fit(X, y)
    found = evaluated(model, X, y)
    swap = result(found, "category-swap")
    assert swap.falls == ()
    assert swap.note == "X has no column of text, categories or booleans"
    refused = result(found, "missing")
    assert refused.columns == ("0",)
    assert refused.falls == ()
    assert refused.note == "the model has no answer to these inputs: ValueError"
    said = capsys.readouterr().err
    assert "of perturbation 'missing': ValueError: Input X contains NaN" in said
    same = result(found, "rounding")
    assert same.falls == ()
    assert same.note == "no value changed in '0'"


def test_a_named_column_that_does_not_fit_is_said():
    frame, y = people()
    found = evaluated(Rule(), frame, y, {**NOISE, "columns": ["income", "job"]})
    noise = result(found, "noise")
    assert noise.columns == ("income",)
    assert noise.note == "not applied to 'job': no numeric column"
    coded = {"id": "swap", "kind": "category_swap", "amount": 0.5, "columns": ["age"]}
    assert result(evaluated(Rule(), frame, y, coded), "swap").columns == ("age",)


def test_a_permutation_shows_every_column_and_the_largest_fall():
    frame, y = people()
    found = evaluated(Rule(), frame, y, {"id": "shuffle", "kind": "permutation"})
    ids = [r.id for r in found.results]
    assert ids == ["shuffle", *(f"shuffle/{name}" for name in frame.columns)]
    by_column = {r.columns[0]: r.falls[0].fall for r in found.results[1:]}
    assert by_column["age"] == 0
    assert by_column["income"] > by_column["job"] > 0
    assert fall(found, "shuffle", "accuracy").fall == by_column["income"]
    assert fall(found, "shuffle", "accuracy").interval is None


def test_a_permutation_of_many_columns_is_bounded_and_says_so():
    X = np.random.default_rng(0).normal(size=(60, 25))
    y = (X[:, 24] > 0).astype(int)
    shuffle = {"id": "shuffle", "kind": "permutation"}
    found = evaluated(lambda X: (X[:, 24] > 0).astype(int), X, y, shuffle)
    assert len(found.results) == 21
    assert "the first 20 columns only, 5 were not permuted" in result(found, "shuffle").note
    named = {**shuffle, "columns": ["24"]}
    found = evaluated(lambda X: (X[:, 24] > 0).astype(int), X, y, named)
    assert fall(found, "shuffle", "accuracy").fall > 0.2


def test_a_permutation_that_the_model_refuses_leaves_no_largest_fall(capsys):
    frame, y = people(200)

    def picky(X):
        if list(X["job"]) != list(frame["job"]):
            raise RuntimeError(f"jobs\nout of order {X}" + "x" * 1000)
        return Rule().predict(X)

    found = evaluated(picky, frame, y, {"id": "shuffle", "kind": "permutation"})
    whole = result(found, "shuffle")
    assert whole.falls == ()
    assert "no falls: the model had no answer for 'job'" in whole.note
    assert result(found, "shuffle/job").note == (
        "the model has no answer to these inputs: RuntimeError"
    )
    # What the model raised shows rows: it is for this process, and not for evidence.
    assert "clerk" not in found.model_dump_json()
    (told,) = [line for line in capsys.readouterr().err.splitlines() if "out of order" in line]
    assert "RuntimeError: jobs out of order" in told
    assert len(told) < 500


def test_an_answer_that_cannot_be_evaluated_is_said():
    X = np.arange(100.0).reshape(-1, 1)

    def unsure(X):
        return np.where(X[:, 0] % 1, np.nan, X[:, 0])

    found = evaluated(unsure, X, X[:, 0], NOISE, task="regression")
    assert result(found, "noise").falls == ()
    assert "the model's answer cannot be evaluated: y_pred has 100 missing values" in (
        result(found, "noise").note
    )


def test_sampling_is_disclosed():
    frame, y = people()
    found = evaluated(Rule(), frame, y, NOISE, max_rows=500, seed=7)
    assert (found.n, found.n_total, found.seed) == (500, ROWS, 7)
    assert found.error_bound == sampling_error(500, ROWS)
    assert found.notes[0].startswith("500 of 2000 rows, drawn without replacement with seed 7.")
    whole = evaluated(Rule(), frame, y, NOISE)
    assert (whole.n, whole.error_bound) == (ROWS, 0)


def test_the_error_bound_holds_in_a_simulation():
    random = np.random.default_rng(0)
    rows = np.arange(1000) < 480
    errors = [abs(rows[random.choice(1000, 200, replace=False)].mean() - 0.48) for _ in range(2000)]
    assert np.quantile(errors, 0.95) <= sampling_error(200, 1000) < 0.1
    assert np.mean(np.array(errors) > sampling_error(200, 1000)) <= 0.05


@pytest.mark.parametrize("share", [(0.05, 0.02), (0.2, 0.01), (0.01, 0.0)])
def test_the_interval_of_shares_covers_at_its_stated_rate(share):
    worse, better = share
    counts = np.random.default_rng(0).multinomial(
        200, [worse, better, 1 - worse - better], size=2000
    )
    found = [paired_shares(b, c, 200) for b, c, _ in counts.tolist()]
    covered = np.mean([i.low <= worse - better <= i.high for i in found])
    assert covered >= 0.94


def test_the_interval_of_f1_covers_at_its_stated_rate():
    cells = np.array([(t, c, p) for t in (0, 1) for c in (0, 1) for p in (0, 1)])
    chances = np.array([0.4, 0.03, 0.03, 0.04, 0.05, 0.03, 0.07, 0.35])
    expected = _f1(chances, cells[:, 1], cells[:, 0]) - _f1(chances, cells[:, 2], cells[:, 0])
    random = np.random.default_rng(0)
    covered = []
    for i in range(150):
        truth, clean, perturbed = cells[random.choice(8, 400, p=chances)].T
        pair = [Predicted(p, aggregate(truth, p, task="binary")) for p in (clean, perturbed)]
        (one,) = falls(truth, *pair, ["f1"], i, "noise")
        covered.append(one.interval.low <= expected <= one.interval.high)
    assert np.mean(covered) >= 0.9


def _f1(chances, predicted, truth):
    hit = chances[(predicted == 1) & (truth == 1)].sum()
    return 2 * hit / (chances[predicted == 1].sum() + chances[truth == 1].sum())


def test_rates_of_one_class_have_the_interval_of_that_class():
    frame, y = people()
    metrics = ["recall", "false_positive_rate", "false_negative_rate", "selection_rate"]
    found = evaluated(Rule(), frame, y, NOISE, metrics=metrics)
    for metric in metrics[:3]:
        one = fall(found, "noise", metric)
        assert one.interval.low < one.fall < one.interval.high
    assert fall(found, "noise", "recall").fall == pytest.approx(
        fall(found, "noise", "false_negative_rate").fall
    )
    undirected = fall(found, "noise", "selection_rate")
    assert undirected.fall is None
    assert undirected.perturbed is not None
    assert "neither a high nor a low" in undirected.reason


@pytest.mark.parametrize(
    ("arguments", "message", "fix"),
    [
        ({"y": []}, "X 4 and y 0|X 4, y 0", "same rows"),
        ({"y": [0, 1, 0]}, "unequal lengths: X 4, y 3", "same rows"),
        ({"y": [0, 1, 0, None]}, "y has 1 missing value", "Drop or fill"),
        ({"X": np.zeros((0, 2)), "y": []}, "nothing to evaluate", "at least one row"),
        ({"X": np.zeros(4)}, r"shape \(4,\)", "reshape"),
        ({"X": np.zeros((4, 0))}, "no columns", "inputs"),
        ({"X": [[1], [2], [3], [4]]}, "X cannot be a list", "data frame"),
        ({"X": pl.LazyFrame({"a": [1]})}, "X cannot be a LazyFrame", "collect"),
        ({"X": np.ma.zeros((4, 1))}, "masked array", "filled"),
        ({"X": pd.DataFrame([[1, 2]] * 4, columns=["a", "a"])}, "two columns", "Rename"),
        ({"model": 3}, "no predict and cannot be called", "predict="),
        ({"model": lambda X: 1 / 0}, "failed on the inputs as they are: ZeroDivision", "predict="),
        ({"model": lambda X: [1]}, "unequal lengths", "same rows"),
        ({"task": "ranking"}, "ranking", "log_evaluation"),
        ({"task": "clustering"}, "Unknown task", "regression"),
        ({"metrics": ["mae"]}, "'mae' is none of a binary task", "accuracy"),
        ({"metrics": "acuracy"}, "'acuracy' is none", "accuracy"),
        ({"metrics": []}, "No metric is named", "accuracy"),
        ({"max_rows": 0}, "max_rows is 0", "at least 1"),
        ({"max_rows": 1.5}, "max_rows is 1.5", "at least 1"),
        ({"seed": -1}, "seed is -1", "at least 0"),
        ({"seed": True}, "seed is True", "at least 0"),
        ({"dataset": pd.DataFrame()}, "dataset is a DataFrame", "text"),
        ({"perturbations": []}, "perturbations cannot be empty", "Pass a list"),
        ({"perturbations": "noise"}, "perturbations cannot be a str", "Pass a list"),
        (
            {"perturbations": [{"id": "a", "kind": "blur"}]},
            r"perturbations\[0\]\['kind'\]",
            "kinds",
        ),
        ({"perturbations": [{"id": "a", "kind": "noise"}]}, "needs an 'amount'", "kinds"),
        ({"perturbations": [NOISE, NOISE]}, "Two perturbations have the id 'noise'", "own"),
        (
            {"perturbations": [{**NOISE, "columns": ["0", "agee"]}]},
            "'noise' names the column 'agee', which X does not have",
            "columns '0'",
        ),
        (
            {"perturbations": [{"id": "r", "kind": "rounding", "amount": 1.5}]},
            "'amount' is the number of decimals that are kept, a whole number",
            "kinds",
        ),
    ],
)
def test_arguments_that_cannot_be_meant_are_refused_with_a_fix(arguments, message, fix):
    given = {
        "model": lambda X: np.array([0, 1, 1, 0]),
        "X": np.arange(4.0).reshape(-1, 1),
        "y": [0, 1, 1, 0],
        **arguments,
    }
    with pytest.raises(EvaluationInputError, match=message) as caught:
        aims_mlflow.evaluate_robustness(**given)
    assert fix in caught.value.fix


def test_unless_strict_a_refusal_is_said_and_training_goes_on(monkeypatch, capsys):
    monkeypatch.delenv("AIMS_STRICT")

    def broken(X):
        raise ValueError("no GPU")

    found = aims_mlflow.evaluate_robustness(broken, people()[0], people()[1], progress=False)
    assert found.results == ()
    assert "failed on the inputs as they are" in found.notes[0]
    assert "evaluate_robustness: The model failed" in capsys.readouterr().err


def test_hostile_column_names_stay_bounded_text():
    name = "<script>" + "x" * 100_000
    X = pd.DataFrame({name: np.arange(50.0), "[bold]": ["a", "b"] * 25})
    y = np.arange(50) % 2
    found = evaluated(lambda X: np.arange(50) % 2, X, y, progress=True)
    assert len(found.model_dump_json()) < 20_000
    assert result(found, "noise-small").columns[0].startswith("<script>xxx")


def test_many_columns_are_named_up_to_a_limit():
    X = np.random.default_rng(0).normal(size=(40, 300))
    found = evaluated(lambda X: (X[:, 0] > 0).astype(int), X, X[:, 0] > 0, NOISE, task="binary")
    assert len(result(found, "noise").columns) == 50
    assert result(found, "noise").note == "300 columns, the first 50 of which are named"


COLUMNS = [
    pd.Series([1, 2, 3, 4] * 5, dtype="int64"),
    pd.Series([250, 2, 3, 255] * 5, dtype="uint8"),
    pd.Series([1.5, 2.25, 3.125, 4] * 5, dtype="float32"),
    pd.Series([1, 2, None, 4] * 5, dtype="Int64"),
    pd.Series([1.5, None, 3, 4] * 5, dtype="Float64"),
    pd.Series([1, 2, None, 4] * 5, dtype="int64[pyarrow]"),
    pd.Series([True, False] * 10),
    pd.Series([True, None] * 10, dtype="boolean"),
    pd.Series(["a", "b", None, "c"] * 5),
    pd.Series(["a", "b", None, "c"] * 5, dtype=object),
    pd.Series(["a", "b", "b", "c"] * 5, dtype="category"),
    pd.Series([1, 2, 3, 1] * 5, dtype="category"),
    pd.Series(pd.date_range("2026-01-01", periods=20)),
    pd.Series([[1], [2], {}, None] * 5),
    pd.Series([None] * 20, dtype=object),
]


@pytest.mark.parametrize("column", COLUMNS, ids=lambda c: str(c.dtype))
@pytest.mark.parametrize("kind", ["noise", "missing", "category_swap", "rounding", "permutation"])
def test_every_type_of_column_is_perturbed_or_left_as_it_is(column, kind):
    frame = read_frame(pd.DataFrame({"x": column}))
    amount = {"rounding": 1, "permutation": None}.get(kind, 0.5)
    one = Perturbation(id="p", kind=kind, amount=amount)
    done = perturb(frame, one, candidates(one, frame), 0)
    if not done.columns:
        assert done.note
        return
    after = frame.with_columns(done.columns)["x"]
    plain = column.dtype in ("int64", "uint8", "bool")
    if kind == "missing":
        assert after.isna().sum() == column.isna().sum() + round(column.notna().sum() / 2)
    else:
        assert after.isna().sum() == column.isna().sum()
    if not (plain and kind == "missing"):
        assert after.dtype == column.dtype
    if kind == "permutation":
        assert sorted(map(repr, after)) == sorted(map(repr, column))


def test_missing_values_are_written_as_the_column_writes_them():
    everything = Perturbation(id="p", kind="missing", amount=1)
    for native, expected in (
        (pd.DataFrame({"x": [1, 2]}), "float64"),
        (pd.DataFrame({"x": [True, False]}), "float64"),
        (pl.DataFrame({"x": [1, 2]}), "Int64"),
        (np.array([[1], [2]]), "float64"),
        (np.array([["a"], ["b"]]), "object"),
        (np.array([["2026-01-01"]], dtype="datetime64[D]"), "datetime64[D]"),
    ):
        frame = read_frame(native)
        (name,) = frame.names
        after = frame.with_columns(perturb(frame, everything, [name], 0).columns)
        column = after if isinstance(after, np.ndarray) else after["x"]
        assert str(column.dtype) == expected
        values = column.to_list() if isinstance(column, pl.Series) else column
        assert pd.isna(np.asarray(values)).all()
    none = read_frame(pd.DataFrame({"x": pd.Series(["a", None], dtype=object)}))
    after = none.with_columns(perturb(none, everything, ["x"], 0).columns)
    assert after["x"].tolist() == [None, None]


@settings(max_examples=50, deadline=None)
@given(
    values=st.lists(st.sampled_from(["a", "b", "c", None]), min_size=1, max_size=60),
    amount=st.floats(0.01, 1),
    seed=st.integers(0, 1000),
)
def test_a_swap_takes_another_value_that_the_column_has(values, amount, seed):
    one = Perturbation(id="swap", kind="category_swap", amount=amount, columns=("x",))
    frame = read_frame(pl.DataFrame({"x": pl.Series(values, dtype=pl.String)}))
    done = perturb(frame, one, ["x"], seed)
    present = [v for v in values if v is not None]
    if len(set(present)) < 2:
        assert done.columns == {}
        return
    after = frame.with_columns(done.columns)["x"].to_list()
    changed = sum(a != b for a, b in zip(values, after, strict=True))
    assert changed == max(round(amount * len(present)), 1)
    assert set(after) <= set(values)
    assert [v is None for v in values] == [v is None for v in after]


def test_swaps_follow_the_frequency_of_the_other_values():
    values = ["a"] * 5000 + ["b"] * 3000 + ["c"] * 1000
    one = Perturbation(id="swap", kind="category_swap", amount=1, columns=("x",))
    frame = read_frame(pd.DataFrame({"x": values}))
    after = frame.with_columns(perturb(frame, one, ["x"], 0).columns)["x"]
    from_a = after.iloc[:5000].value_counts(normalize=True)
    assert from_a["b"] == pytest.approx(0.75, abs=0.03)
    assert "a" not in from_a


def test_huge_values_neither_overflow_nor_wrap():
    X = np.array([[1e308], [-1e308], [3.0], [np.inf]])
    frame = read_frame(X)
    noise, rounding = DEFAULTS[1], DEFAULTS[4]
    after = frame.with_columns(perturb(frame, noise, ["0"], 0).columns)
    assert np.isfinite(after[:3]).all()
    assert np.isinf(after[3, 0])
    assert not perturb(frame, rounding, ["0"], 0).columns
    small = read_frame(np.array([[0], [255]] * 50, dtype=np.uint8))
    after = small.with_columns(perturb(small, noise, ["0"], 0).columns)
    assert (after[::2] < 250).all()
    assert after.dtype == np.uint8


def test_lightgbm_and_a_booster_with_predict():
    import lightgbm

    frame, y = people()
    X = frame.astype({"job": "category"})
    model = lightgbm.LGBMClassifier(n_estimators=10, verbose=-1, n_jobs=1).fit(X, y)
    found = evaluated(model, X, y)
    assert not [r for r in found.results if "no answer" in r.note]
    assert {f.metric for f in result(found, "missing").falls} == {"accuracy", "f1", "roc_auc"}
    booster = evaluated(
        model.booster_, X, y, NOISE, predict=lambda X: (model.booster_.predict(X) > 0.5).astype(int)
    )
    assert (
        fall(booster, "noise", "accuracy").fall
        == fall(evaluated(model, X, y, NOISE), "noise", "accuracy").fall
    )


def test_a_log_gets_no_progress_bar_and_a_person_may_have_one(capsys):
    frame, y = people(200)
    evaluated(Rule(), frame, y, NOISE)
    assert "robustness" not in capsys.readouterr().err.replace("evaluate_robustness", "")
    steps = []
    with api_robustness._progress_bar(False) as advance:
        assert advance is None
    request = Request(advance=lambda done, total, what: steps.append((done, total, what)))
    evaluate(Rule(), frame, y, request)
    assert [done for done, _, _ in steps] == list(range(10))
    assert {total for _, total, _ in steps} == {10}
    assert steps[1][2] == "noise-small"


DECLARED = """
id: tumours
name: Tumours
mlflow: {experiments: [tumours]}
robustness:
  max_rows: 120
  seed: 5
  perturbations:
    - {id: shaky-hands, kind: noise, amount: 0.5, columns: [sepal length (cm)]}
thresholds:
  - {id: steady, metric: balanced_accuracy, perturbation: shaky-hands, max_fall: 0.9}
"""
SCRIPT = """
import sys
import mlflow, aims_mlflow
from sklearn.datasets import load_iris
from sklearn.linear_model import LogisticRegression
x, y = load_iris(return_X_y=True, as_frame=True)
model = LogisticRegression(max_iter=500).fit(x, y)
"""


def run(folder, code, **extra):
    keep = {k: v for k, v in os.environ.items() if not k.startswith(("AIMS_", "MLFLOW_"))}
    (folder / "train.py").write_text(SCRIPT + textwrap.dedent(code), "utf-8")
    return subprocess.run(
        [sys.executable, "train.py"],
        cwd=folder,
        env={**keep, "AIMS_EXIT_TIMEOUT": "60", **extra},
        capture_output=True,
        text=True,
        timeout=200,
    )


def facts(folder):
    tracking = Tracking(f"sqlite:///{folder / 'mlflow.db'}")
    return [tracking.fetch(found.info.run_id) for found in tracking.runs()]


@pytest.fixture
def project(tmp_path, blank_store):
    systems = tmp_path / "governance" / "systems"
    systems.mkdir(parents=True)
    (systems / "tumours.yaml").write_text(DECLARED, "utf-8")
    return tmp_path


def test_the_result_arrives_on_the_run_with_what_the_system_declares(project):
    code = """
    mlflow.set_experiment("tumours")
    with mlflow.start_run():
        found = aims_mlflow.evaluate_robustness(model, x, y, dataset="iris")
        aims_mlflow.log_evaluation(y, model.predict(x), dataset="iris")
    print(found.model_dump_json())
    """
    done = run(project, code)
    assert done.returncode == 0, done.stderr
    (run_facts,) = facts(project)
    (body,) = run_facts.robustness
    assert len(run_facts.evaluations) == 1
    arrived = Robustness.model_validate(body)
    assert arrived == Robustness.model_validate_json(done.stdout.splitlines()[-1])
    assert (arrived.dataset, arrived.n, arrived.n_total, arrived.seed) == ("iris", 120, 150, 5)
    (shaky,) = arrived.results
    assert shaky.columns == ("sepal length (cm)",)
    assert [f.metric for f in shaky.falls] == ["accuracy", "f1_macro", "balanced_accuracy"]
    assert "not recorded" not in done.stderr


def test_a_governed_function_without_a_run_gets_one_that_holds_the_result(project):
    code = """
    @aims_mlflow.govern("tumours")
    def check():
        aims_mlflow.evaluate_robustness(model, x, y)
    check()
    """
    done = run(project, code)
    assert done.returncode == 0, done.stderr
    (run_facts,) = facts(project)
    assert len(run_facts.robustness) == 1
    assert run_facts.evaluations == ()


def test_a_weaker_perturbation_cannot_pass_for_the_declared_one(project):
    code = """
    weaker = {"id": "shaky-hands", "kind": "noise", "amount": 0.01}
    with aims_mlflow.system("tumours"), mlflow.start_run():
        found = aims_mlflow.evaluate_robustness(model, x, y, perturbations=[weaker])
    print(len(found.results))
    """
    done = run(project, code)
    assert (done.returncode, done.stdout.strip()) == (0, "0")
    assert "'shaky-hands' is not the one that the system declares" in done.stderr


def test_without_a_run_the_result_is_returned_and_that_is_said_once(project):
    code = """
    for seed in (1, 2):
        found = aims_mlflow.evaluate_robustness(model, x, y, seed=seed)
    print(len(found.results))
    """
    done = run(project, code)
    assert done.stdout.strip() == "10"
    assert done.stderr.count("not recorded") == 1
    assert facts(project) == []


def test_importing_the_modules_loads_no_heavy_library():
    code = """
import sys, aims_mlflow, aims_mlflow.api.robustness, aims_mlflow.monitors.robustness
print([m for m in ("numpy", "pandas", "sklearn", "scipy", "polars", "mlflow", "rich", "matplotlib")
       if m in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
