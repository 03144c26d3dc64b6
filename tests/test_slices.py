"""Declared slices: the rows that a person would expect, and their measures."""

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
import sklearn.metrics as sk

from aims_mlflow.governance.system import Slice
from aims_mlflow.monitors.tables import EvaluationTable, aggregate

N = 60
Y = [0, 1] * (N // 2)
HOUR = [i % 24 for i in range(N)]
FRAME = {
    "hour": HOUR,
    "weekend": [i % 7 == 0 for i in range(N)],
    "season": [["spring", "fall"][i % 2] for i in range(N)],
    "wind": [None if i % 3 == 0 else i / 10 for i in range(N)],
}


def sliced(where, features=FRAME, sensitive=None):
    declared = [Slice(name="part", where=where)]
    return aggregate(Y, Y, None, sensitive, features=features, slices=declared)


def size(where, **more):
    (row,) = sliced(where, **more).slices.rows
    assert row.group == {"slice": "part"}
    return row.n


@pytest.mark.parametrize("make", [dict, pd.DataFrame, pl.DataFrame, pa.table])
def test_every_kind_of_condition_in_every_frame(make):
    features = make(FRAME)
    rush = sum(h in (7, 8) for h in HOUR)
    for hours in ((7, 8), ("7", 8.0)):
        assert size({"hour": hours}, features=features) == rush
    assert size({"season": "fall"}, features=features) == N // 2
    for value in (True, "True"):
        assert size({"weekend": value}, features=features) == sum(FRAME["weekend"])
    low, high = 1.0, 2.5
    expected = sum(w is not None and low <= w < high for w in FRAME["wind"])
    assert size({"wind": {"min": low, "max": high}}, features=features) == expected
    assert size({"wind": {"min": -100}}, features=features) == N - N // 3
    both = sum(h in (7, 8) and i % 2 == 1 for i, h in enumerate(HOUR))
    assert size({"hour": [7, 8], "season": "fall"}, features=features) == both


@pytest.mark.parametrize(
    ("column", "value", "n"),
    [
        ([1.0, 2.0, np.nan], 1, 20),
        ([1, 2, 3], 1.0, 20),
        ([1, 2, 3], "1", 20),
        ([1, 2, 3], "1.0", 0),
        ([1, 2, 3], True, 0),
        (["1", "2", None], 1, 20),
        ([True, False, None], True, 20),
        ([True, False, None], "nan", 0),
        (["a", None, "None"], "None", 20),
        ([None, None, None], "None", 0),
        ([0.25, 2**60, 3], 0.25, 20),
        ([2**60, 2**60 + 1, 3], 2**60 + 1, 20),
        ([1, "1", 1.5], 1, 40),
    ],
)
def test_values_compare_by_their_text_and_missing_ones_match_nothing(column, value, n):
    assert size({"x": value}, features={"x": column * 20}) == n


def test_sensitive_features_serve_as_columns_and_features_come_first():
    assert size({"sex": "F"}, features=None, sensitive={"sex": ["F", "M"] * 30}) == 30
    both = {"features": {"sex": ["F"] * N}, "sensitive": {"sex": ["M"] * N}}
    assert size({"sex": "F"}, **both) == N


def test_slices_without_their_columns_are_named():
    table = sliced({"hour": 7, "town": "x", "weather": "rain"})
    assert table.slices is None
    assert table.absent_slices == {"part": ("town", "weather")}
    assert sliced({"hour": 7}, features=None).absent_slices == {"part": ("hour",)}


def test_small_and_empty_slices_keep_their_size_only():
    (few,) = sliced({"hour": 7}).slices.rows
    assert (few.n, few.suppressed, few.counts, few.exact) == (3, True, (), {})
    (none,) = sliced({"hour": 99}).slices.rows
    assert (none.n, none.suppressed) == (0, True)


def test_a_slice_is_measured_like_the_rows_by_themselves():
    random = np.random.default_rng(0)
    y = random.random(500) < 0.4
    scores = np.clip(random.normal(0.4 + 0.2 * y, 0.2), 0, 1)
    age = random.integers(18, 90, 500)
    declared = [
        Slice(name="young", where={"age": {"max": 30}}),
        Slice(name="all", where={"age": {"min": 0}}),
    ]
    table = aggregate(y, scores > 0.5, scores, features={"age": age}, slices=declared)
    young, everyone = table.slices.rows
    part = age < 30
    alone = aggregate(y[part], scores[part] > 0.5, scores[part]).overall
    assert young.model_copy(update={"group": {}}) == alone
    assert everyone.model_copy(update={"group": {}}) == table.overall
    assert young.exact["roc_auc"] == pytest.approx(sk.roc_auc_score(y[part], scores[part]))
    assert EvaluationTable.model_validate_json(table.model_dump_json()) == table


def test_a_regression_is_sliced_too():
    y = np.arange(60.0)
    declared = [Slice(name="fall", where={"season": "fall"})]
    table = aggregate(y, y + 0.5, features=FRAME, slices=declared)
    (row,) = table.slices.rows
    assert (row.n, row.sums.abs_error) == (30, 15.0)


def test_columns_that_no_slice_names_are_not_read():
    class Unread(list):
        def __getitem__(self, index):
            raise AssertionError("read")

        __array__ = __iter__ = __getitem__

    assert size({"hour": 7}, features={"hour": HOUR, "secret": Unread(HOUR)}) == 3
