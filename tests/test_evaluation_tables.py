"""log_evaluation's input: what it accepts, what it refuses and how, and what it keeps."""

import json
import os
import subprocess
import sys

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest

from aims_mlflow.errors import EvaluationInputError
from aims_mlflow.evidence import canonical_bytes, normalise
from aims_mlflow.governance.system import SensitiveFeature, Slice
from aims_mlflow.monitors.tables import EvaluationTable, aggregate

TRUE = [0, 1, 1, 0, 1, 0, 1, 1, 0, 0]
PRED = [0, 1, 0, 0, 1, 1, 1, 1, 0, 0]
SEX = ["F", "M", "F", "M", "F", "M", "F", "M", "F", "M"]


def groups(table, *features):
    return {tuple(row.group.values()): row.n for row in table.table(features).rows}


@pytest.mark.parametrize(
    "make",
    [
        list,
        tuple,
        np.array,
        pd.Series,
        lambda v: pd.Series(v, index=range(len(v), 0, -1)),
        lambda v: pd.Series(v).astype("category"),
        pl.Series,
        pa.array,
        lambda v: pa.chunked_array([v]),
        lambda v: np.ma.masked_array(v, mask=False),
    ],
)
def test_every_container_gives_the_same_table(make):
    expected = aggregate(TRUE, PRED, None, {"sex": SEX})
    assert aggregate(make(TRUE), make(PRED), None, {"sex": make(SEX)}) == expected
    assert expected.overall.counts == ((0, 0, 4), (0, 1, 1), (1, 0, 1), (1, 1, 4))


@pytest.mark.parametrize("make", [pd.DataFrame, pl.DataFrame, pa.table, dict])
def test_every_frame_gives_the_same_groups(make):
    columns = {"sex": SEX, "old": [True, False] * 5}
    table = aggregate(TRUE, PRED, None, make(columns))
    assert groups(table, "sex") == {("F",): 5, ("M",): 5}
    assert groups(table, "old", "sex") == {("F", "True"): 5, ("M", "False"): 5}


@pytest.mark.parametrize(
    ("features", "name"),
    [
        (pd.Series(SEX, name="sex"), "sex"),
        (pd.Series(SEX), "sensitive_feature_0"),
        (SEX, "sensitive_feature_0"),
        (np.array(SEX), "sensitive_feature_0"),
        (np.array([SEX, SEX]).T, "sensitive_feature_1"),
    ],
)
def test_a_feature_without_a_name_is_numbered_like_fairlearn(features, name):
    assert groups(aggregate(TRUE, PRED, None, features), name) == {("F",): 5, ("M",): 5}


@pytest.mark.parametrize(
    ("true", "predicted", "task"),
    [
        ([0, 1], [1, 0], "binary"),
        ([0.0, 1.0], [1, 0], "binary"),
        ([True, False], [True, True], "binary"),
        (["a", "b"], ["a", "a"], "binary"),
        ([0, 0], [0, 0], "binary"),
        ([0, 1, 2], [0, 1, 1], "multiclass"),
        (["a", "b", "a"], ["a", "b", "c"], "multiclass"),
        ([0.5, 1.5], [1.0, 1.0], "regression"),
        ([3, 7, 12], [3.2, 6.9, 11.0], "regression"),
        ([3, 3, 3], [2.9, 3.1, 3.0], "regression"),
    ],
)
def test_task_is_inferred(true, predicted, task):
    assert aggregate(true, predicted).task == task


def test_task_can_be_overridden():
    assert aggregate([0, 1], [1, 0], task="multiclass").task == "multiclass"
    assert aggregate([0, 1], [0.2, 0.7], task="regression").task == "regression"


@pytest.mark.parametrize(
    ("true", "given", "labels", "positive"),
    [
        ([0, 1], None, ("0", "1"), "1"),
        ([False, True], None, ("False", "True"), "True"),
        ([True, False], 1, ("False", "True"), "True"),
        ([0, 1], True, ("0", "1"), "1"),
        ([-1, 1], None, ("-1", "1"), "1"),
        ([1, 2], None, ("1", "2"), "1"),
        (["no", "yes"], None, ("no", "yes"), "yes"),
        (["no", "yes"], "no", ("no", "yes"), "no"),
        ([0, 0], None, ("0", "1"), "1"),
        ([1, 1], None, ("0", "1"), "1"),
        (["yes", "yes"], "yes", ("yes",), "yes"),
        (["no", "no"], "yes", ("no", "yes"), "yes"),
        (["yes", "yes"], None, ("yes",), None),
    ],
)
def test_positive_label(true, given, labels, positive):
    table = aggregate(true, true, positive_label=given)
    assert (table.labels, table.positive_label) == (labels, positive)
    assert any("label" in note for note in table.notes)


def test_a_score_matrix_follows_the_sorted_labels():
    matrix = np.column_stack([1 - np.array(TRUE) * 0.9, np.array(TRUE) * 0.9])
    assert aggregate(TRUE, PRED, matrix).overall.exact["roc_auc"] == 1.0
    assert aggregate(TRUE, PRED, matrix, positive_label=0).overall.exact["roc_auc"] == 1.0


REFUSED = {
    "unequal lengths: y_true 2, y_pred 1": (([0, 1], [0]), {}),
    "sensitive feature 'sex' 1": (([0, 1], [0, 1]), {"sensitive_features": {"sex": ["F"]}}),
    "y_score 3": (([0, 1], [0, 1], [0.1, 0.2, 0.3]), {}),
    "nothing to evaluate": (([], []), {}),
    "y_true has 2 missing values (rows 0, 2)": (([None, 1, float("nan")], [0, 1, 1]), {}),
    "y_pred has 1 missing value (row 1)": ((["a", "b"], pl.Series(["a", None])), {}),
    "y_score has 1 missing value": (([0, 1], [0, 1], [0.1, None]), {}),
    "y_true has 1 infinite value (row 1)": (([0.5, float("inf")], [0.1, 0.2]), {}),
    "y_true has the shape (2, 1)": (([[0], [1]], [0, 1]), {}),
    "y_pred has the shape (2, 2)": (([0, 1], np.eye(2)), {}),
    "y_true holds text, and regression": ((["a", "b"], [1, 2]), {"task": "regression"}),
    "y_score holds text": (([0, 1], [0, 1], ["a", "b"]), {}),
    "y_score has the shape (2, 3)": (([0, 1], [0, 1], np.ones((2, 3))), {}),
    "Unknown task 'clustering'": (([0, 1], [0, 1]), {"task": "clustering"}),
    "y_pred looks like probabilities": (([0, 1], [0.2, 0.9]), {}),
    "y_true holds text and the other": ((["0", "1"], [0, 1]), {}),
    "mixes values": (([0, "1"], [0, 1]), {}),
    "101 different labels, which looks like regression": ((list(range(101)), [0] * 101), {}),
    "A binary task has two labels": (([0, 1, 2], [0, 1, 2]), {"task": "binary"}),
    "'yes' is none of the labels: 0, 1": (([0, 1], [0, 1]), {"positive_label": "yes"}),
    "y_true is a generator": (((i for i in [0, 1]), [0, 1]), {}),
    "y_true cannot be a dict": (({"a": 1}, [0]), {}),
    "y_true cannot be a LazyFrame": ((pl.LazyFrame({"a": [1]}), [0]), {}),
    "two columns of the same name": (
        ([0, 1], [0, 1]),
        {"sensitive_features": pd.DataFrame([[1, 2], [3, 4]], columns=["a", "a"])},
    ),
    "query 1": (([0, 1], [0, 1]), {"query": [1], "task": "ranking"}),
    "features 3": (([0, 1], [0, 1]), {"features": pd.DataFrame({"hour": [1, 2, 3]})}),
    "features cannot be a ndarray": (([0, 1], [0, 1]), {"features": np.eye(2)}),
    "features has two columns of the same name": (
        ([0, 1], [0, 1]),
        {"features": pd.DataFrame([[1, 2], [3, 4]], columns=["a", "a"])},
    ),
    "features['hour'] 1": (
        ([0, 1], [0, 1]),
        {"features": {"hour": [1]}, "slices": [Slice(name="night", where={"hour": 1})]},
    ),
    "'night' is declared with a range of 'hour', which holds text": (
        ([0, 1], [0, 1]),
        {
            "features": {"hour": ["early", "late"]},
            "slices": [Slice(name="night", where={"hour": {"min": 22}})],
        },
    ),
    "y_true, label 'label_1', holds values other than 0 and 1": (
        ([[0, 2], [1, 0]], [[0, 1], [1, 0]]),
        {},
    ),
    "y_pred, label 'label_0', holds values other than 0 and 1": (
        ([[0, 1], [1, 0]], [[0.1, 0.9], [0.7, 0.2]]),
        {},
    ),
    "y_true, label 'label_1', has 1 missing value (row 1)": (
        ([[0, 1], [1, None]], [[0, 1], [1, 0]]),
        {},
    ),
    "y_true has 2 labels and y_pred 3": (([[0, 1]] * 2, [[0, 1, 1]] * 2), {}),
    "There are 101 labels": ((np.zeros((2, 101)), np.zeros((2, 101))), {}),
    "y_true has the shape (2,), and a multilabel task": (
        ([0, 1], [0, 1]),
        {"task": "multilabel"},
    ),
    "name different labels: cat, dog are on one side only": (
        (
            pd.DataFrame([[0, 1]] * 2, columns=["cat", "cow"]),
            pd.DataFrame([[0, 1]] * 2, columns=["dog", "cow"]),
        ),
        {},
    ),
    "A ranking task needs the query": (([0, 1], [0.1, 0.2]), {"task": "ranking"}),
    "y_true has 2 negative relevance values (rows 0, 2)": (
        ([-1, 1, -2], [0.1, 0.2, 0.3]),
        {"task": "ranking", "query": [1, 1, 1]},
    ),
    "y_pred holds text, and a ranking needs the predicted scores": (
        ([0, 1], ["a", "b"]),
        {"task": "ranking", "query": [1, 1]},
    ),
    "query has 1 missing value (row 1)": (
        ([0, 1], [0.1, 0.2]),
        {"task": "ranking", "query": ["a", None]},
    ),
    "The sum of y_true is beyond the range of numbers": (
        ([1.7e308, 1.7e308], [0.1, 0.2]),
        {"task": "ranking", "query": [1, 1]},
    ),
    "'age' is declared with bins and holds text": (
        ([0, 1], [0, 1]),
        {
            "sensitive_features": {"age": ["old", "young"]},
            "declared": [SensitiveFeature(name="age", bins=(30,))],
        },
    ),
    "values that cannot be compared": (
        ([0, 1], [0, 1]),
        {"sensitive_features": pd.Series([{"a": 1}, {}], name="sex")},
    ),
    "beyond the range of numbers": (([1e200, -1e200], [1.5, 2.5]), {}),
}


@pytest.mark.parametrize("message", REFUSED)
def test_bad_input_is_refused_with_one_clear_sentence(message):
    args, kwargs = REFUSED[message]
    with pytest.raises(EvaluationInputError) as caught:
        aggregate(*args, **kwargs)
    assert message in caught.value.message
    assert caught.value.fix


def test_values_under_a_mask_are_missing():
    with pytest.raises(EvaluationInputError, match="1 missing value"):
        aggregate(np.ma.masked_array([0, 1], mask=[False, True]), [0, 1])


def test_scores_that_are_no_probabilities_still_rank():
    overall = aggregate(TRUE, PRED, [2.0 * t - 1 for t in TRUE]).overall
    assert overall.exact == {"roc_auc": 1.0, "average_precision": 1.0}
    assert "outside 0 to 1" in overall.undefined["log_loss"]


def test_ignored_scores_are_noted():
    table = aggregate([0, 1, 2], [0, 1, 1], np.eye(3))
    assert any("y_score was ignored" in note for note in table.notes)
    assert table.score_histogram is None


def test_score_histogram_has_fifty_bins_by_class():
    histogram = aggregate(TRUE, PRED, np.linspace(0, 1, 10)).score_histogram
    assert (len(histogram["edges"]), histogram["edges"][0], histogram["edges"][-1]) == (51, 0, 1)
    assert sum(histogram["negatives"]) == 5
    assert sum(histogram["positives"]) == 5
    beyond = aggregate(TRUE, PRED, [3.0] * 10).score_histogram
    assert sum(beyond["positives"]) == 5


def test_a_query_outside_a_ranking_is_ignored_with_a_note():
    table = aggregate(TRUE, PRED, query=list(range(10)))
    assert any("query was ignored" in note for note in table.notes)
    assert table.n_queries is None


def test_small_groups_keep_their_size_only():
    sex = ["F"] * 96 + ["X"] * 4
    table = aggregate([0, 1] * 50, [0, 1] * 50, [0.2, 0.8] * 50, {"sex": sex, "all": ["x"] * 100})
    for features in (("sex",), ("sex", "all")):
        kept, small = table.table(features).rows
        assert not kept.suppressed
        assert kept.counts
        assert (small.n, small.suppressed) == (4, True)
        assert (small.counts, small.exact, small.sums) == ((), {}, None)


def test_missing_values_are_a_group_of_their_own():
    for missing in (None, float("nan"), pd.NA):
        table = aggregate(TRUE, PRED, None, {"sex": [missing, *SEX[1:]], "age": [missing] * 10})
        assert groups(table, "sex") == {("F",): 4, ("M",): 5, ("(missing)",): 1}
        assert groups(table, "age") == {("(missing)",): 10}


def test_declared_bins():
    ages = [24.9, 25, 39, 40, 90, None, 10, 30, 41, 26]
    declared = [SensitiveFeature(name="age", bins=(25, 40)), SensitiveFeature(name="race")]
    table = aggregate(TRUE, PRED, None, {"age": ages}, declared=declared)
    assert groups(table, "age") == {("<25",): 2, ("25-40",): 4, (">=40",): 3, ("(missing)",): 1}
    assert table.absent_features == ("race",)


def test_undeclared_numbers_are_cut_at_quartiles_with_a_note():
    y = [0, 1] * 50
    table = aggregate(y, y, None, {"age": range(100)})
    assert list(groups(table, "age").values()) == [24, 25, 25, 26]
    assert any("'age' was cut at its quartiles" in note for note in table.notes)
    few = aggregate(y, y, None, {"children": [float(i % 10) for i in range(100)]})
    assert list(groups(few, "children")) == [(str(i),) for i in range(10)]
    skewed = aggregate(y, y, None, {"gain": [0] * 85 + list(range(1, 16))})
    assert groups(skewed, "gain") == {("<1",): 85, (">=1",): 15}


def test_groups_beyond_the_limit_are_merged_with_a_note():
    names = [f"g{i % 250}" for i in range(2500)]
    y = [0, 1] * 1250
    table = aggregate(y, y, None, {"town": [*names[:-1], "g0"], "sex": SEX * 250})
    rows = table.table(["town"]).rows
    assert len(rows) == 201
    assert (rows[-1].group, rows[-1].merged) == ({"town": "(other)"}, True)
    assert sum(row.n for row in rows) == 2500
    assert any("250 groups" in note for note in table.notes)
    assert sum(row.n for row in table.table(["sex", "town"]).rows) == 2500


def test_combinations():
    columns = dict.fromkeys("abcd", SEX)
    table = aggregate(TRUE, PRED, None, columns)
    assert [len(t.features) for t in table.tables] == [1] * 4 + [2] * 6 + [4]
    five = aggregate(TRUE, PRED, None, columns | {"e": SEX})
    assert [len(t.features) for t in five.tables] == [1] * 5 + [5]


def test_hostile_group_names_survive_as_json():
    sex = ["\ud800"] * 5 + ["<script>"] * 5
    table = aggregate(TRUE, PRED, [0.5] * 10, {"sex": sex})
    body, notes = normalise(table.model_dump(mode="json"))
    assert not notes
    assert EvaluationTable.model_validate(json.loads(canonical_bytes(body))) == table


def test_no_row_leaves_the_process():
    y = np.random.default_rng(0).normal(size=1000)
    text = aggregate(y, y + 0.5, None, {"sex": ["F", "M"] * 500}).model_dump_json()
    assert len(text) < 2000
    assert not any(str(value) in text for value in y)


def test_importing_the_monitors_imports_no_library():
    code = (
        "import sys; from aims_mlflow.monitors import tables, performance, bias, judge;"
        "print({'numpy','pandas','sklearn','fairlearn','narwhals','scipy'} & set(sys.modules))"
    )
    done = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        env=dict(os.environ),
    )
    assert done.stdout.strip() == "set()"
