"""Evidently on raw rows: what it says is what we say, by itself on small data, by counts beyond."""

import math
import os
import warnings
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest

from aims_mlflow.governance.monitoring import Monitor
from aims_mlflow.monitors.drift import drift
from aims_mlflow.monitors.evidently_tests import Answer, Asked, evidently_tests
from aims_mlflow.monitors.summarise import count_in_bins, summarise

NUMBERS = ("normal", "lognormal", "heavy", "age", "price", "far", "gaps", "few", "levels")
CATEGORIES = ("month", "letter", "flag", "new")
TESTS_OF_NUMBERS = ("wasserstein", "ks", "jensenshannon", "psi", "hellinger")
TESTS_OF_CATEGORIES = ("jensenshannon", "psi", "hellinger", "chisquare", "z", "TVD")


def frame(n, seed, shift=0.0, new=()):
    """Columns of every type with missing and infinite values."""
    rng = np.random.default_rng(seed)
    found = pd.DataFrame(
        {
            "normal": rng.normal(size=n) + shift,
            "lognormal": np.exp(rng.normal(size=n)) * (1 + shift),
            "heavy": rng.standard_t(2, size=n) + shift,
            "age": rng.integers(17, 91, n) + int(20 * shift),
            "price": np.round(rng.gamma(2, 10 + shift, n), 2),
            "far": 1e9 + rng.normal(size=n) + shift,
            "gaps": rng.normal(size=n),
            "few": rng.integers(0, 4, n) + 0.5,
            "levels": rng.integers(0, 15, n) + 0.5,
            "month": rng.integers(1, 8, n),
            "letter": rng.choice(
                [*"abcdef"], n, p=[0.4 - shift, 0.3 + shift, 0.2, 0.07, 0.02, 0.01]
            ),
            "flag": rng.random(n) < 0.3 + shift,
            "new": rng.choice([*"xy", *new], n),
        }
    )
    found.loc[rng.random(n) < 0.2, "gaps"] = np.nan
    found.loc[rng.random(n) < 0.1, "letter"] = None
    found.loc[:1, "heavy"] = (np.inf, -np.inf)
    return found


def monitor(test=None, columns=()):
    tests = {column: {"test": test} for column in columns} if test else {}
    return Monitor(kind="drift", schedule="0 6 * * *", tests=tests)


def ours(reference, current, watched):
    """What the counted tables say, counted again where that is needed."""
    before, after = (pl.from_pandas(one, nan_to_null=True) for one in (reference, current))

    def recount(column, edges):
        return tuple(count_in_bins(one, column, edges) for one in (before, after))

    summary = summarise(before)
    readings, _shown = drift(summary, summarise(after, like=summary), watched, recount=recount)
    return {one.column: one for one in readings if one.column is not None}


def evidently(reference, current, asked):
    found = evidently_tests(reference, current, asked)
    faults = {column: why for column, why in found.items() if not isinstance(why, Answer)}
    assert not faults
    return found


@pytest.mark.parametrize("n", [100, 1_000, 5_000, 20_000])
def test_defaults_are_those_of_evidently(n):
    reference, current = frame(n, 1), frame(n, 2, 0.05, new="z")
    asked = [*map(partial(Asked, categories=False), NUMBERS)]
    asked += map(partial(Asked, categories=True), CATEGORIES)
    truth = evidently(reference, current, asked)
    for column, reading in ours(reference, current, monitor()).items():
        agrees(reading, truth[column])


SIZES = (100, 1_000, 5_000, 20_000)


@pytest.mark.parametrize(
    ("test", "n"),
    [
        *((test, n) for test in (*TESTS_OF_NUMBERS, "chisquare", "z") for n in SIZES),
        ("TVD", 100),  # Evidently permutes the rows themselves, a thousand times.
        ("TVD", 1_000),
    ],
)
def test_declared_tests_are_those_of_evidently(test, n):
    reference, current = frame(n, 3), frame(n, 4, 0.04, new="z")
    asked = [Asked(c, False, test) for c in NUMBERS if test in TESTS_OF_NUMBERS]
    asked += [Asked(c, True, test) for c in CATEGORIES if test in TESTS_OF_CATEGORIES]
    if test == "TVD":
        asked = asked[-1:]
    truth = evidently(reference, current, asked)
    found = ours(reference, current, monitor(test, [one.column for one in asked]))
    for column, answer in truth.items():
        agrees(found[column], answer)


DATA = Path(os.environ.get("AIMS_DATA_DIR") or Path(__file__).parents[2] / "shared" / "data")


def halves(name):
    """Real data in two: seasons and years of Bike Sharing, and Adult by working hours."""
    file = DATA / ("adult.csv.gz" if name == "adult" else "bike_sharing_hour.csv.gz")
    if not file.exists():
        pytest.skip(f"{file.name} is not here: set AIMS_DATA_DIR to a folder that has it")
    data = pd.read_csv(file, na_values=" ?", skipinitialspace=True)
    data = data.drop(columns=[c for c in ("instant", "dateday", "fnlwgt") if c in data])
    if name == "adult":
        return data[data.iloc[:, 0] < 37], data[data.iloc[:, 0] >= 37]
    first, second = {"season": (1, 3), "year": (0, 1)}[name]
    return data[data[name] == first], data[data[name] == second]


@pytest.mark.parametrize("name", ["season", "year", "adult"])
def test_real_data_drift_as_evidently_says(name):
    reference, current = (half.reset_index(drop=True) for half in halves(name))
    found = ours(reference, current, monitor())
    asked = [
        Asked(column, reading.test == "jensenshannon", None)
        for column, reading in found.items()
        if reading.value is not None
    ]
    assert len(asked) > 10
    truth = evidently(reference, current, asked)
    for column, answer in truth.items():
        agrees(found[column], answer)
    drifted = {column for column, reading in found.items() if reading.drifted}
    expected = {"season": "temp", "year": "count", "adult": "age"}[name]
    assert expected in drifted
    assert drifted != set(found)


def agrees(reading, answer):
    """The same test, score and verdict; or undecided, with a bound that says why."""
    assert (reading.test, reading.limit) == (answer.test, answer.limit)
    if answer.test == "TVD":
        # Evidently's own 1,000 permutations have a standard error too.
        noise = 4 * math.sqrt(answer.score * (1 - answer.score) / 1_000)
        assert abs(reading.value - answer.score) <= reading.error_bound + noise, reading
    elif answer.test in ("ks", "hellinger"):
        assert abs(reading.value - answer.score) <= reading.error_bound + 1e-9, reading
    elif answer.test == "wasserstein":
        assert abs(reading.value - answer.score) <= 1e-3, reading
        assert abs(reading.value - answer.score) <= reading.error_bound + 1e-7, reading
    else:
        # The root of a divergence of 1e-16, which is rounding, is 1e-8.
        power = 2 if answer.test == "jensenshannon" else 1
        assert reading.value**power == pytest.approx(answer.score**power, abs=1e-12), reading
    if reading.drifted is None:
        assert abs(reading.value - reading.limit) <= reading.error_bound
        assert reading.reason.startswith("undecided")
    else:
        assert reading.drifted is answer.drifted


def test_up_to_a_thousand_rows_evidently_itself_decides():
    reference, current = frame(400, 5), frame(3_000, 6, 0.1, new="z")
    summary = summarise(reference)
    readings, shown = drift(
        summary,
        summarise(current, like=summary),
        monitor(),
        rows=(reference, pl.from_pandas(current)),
    )
    truth = evidently(
        reference,
        current,
        [Asked(c, False) for c in NUMBERS] + [Asked(c, True) for c in CATEGORIES],
    )
    assert {one.column for one in shown} == {*NUMBERS, *CATEGORIES}
    for reading in readings[1:]:
        answer = truth[reading.column]
        said = (reading.test, reading.value, reading.limit, reading.drifted, reading.error_bound)
        assert said == (*answer, 0)
        assert "by Evidently on the raw rows" in reading.detail
    drifted = sum(answer.drifted for answer in truth.values())
    assert readings[0].value == drifted / len(truth)


def test_a_column_that_evidently_cannot_take_is_counted():
    """Two infinite values and nothing else on one side of it: Evidently has nothing left."""
    reference, current = frame(200, 7), frame(200, 8)
    found = evidently_tests(
        reference.assign(gaps=np.nan), current, [Asked("gaps", False), Asked("age", False)]
    )
    assert "empty column" in found["gaps"]
    assert isinstance(found["age"], Answer)


def test_a_column_that_fails_in_evidently_keeps_the_others_and_says_so():
    reference, current = frame(200, 7), frame(200, 8)
    summary = summarise(reference)
    readings, _shown = drift(
        summary,
        summarise(current, like=summary),
        monitor(),
        rows=(reference.assign(price="?"), current),
    )
    by_name = {one.column: one for one in readings}
    assert "not by Evidently" in by_name["price"].detail
    assert by_name["price"].value is not None
    assert "by Evidently on the raw rows" in by_name["age"].detail


@pytest.mark.parametrize("convert", [pl.from_pandas, lambda f: pl.from_pandas(f).lazy(), None])
def test_frames_of_any_engine_and_hostile_names(convert):
    name = "<b>drop table</b>"
    reference, current = (
        pd.DataFrame({name: np.random.default_rng(seed).normal(size=50)}) for seed in (1, 2)
    )
    truth = evidently_tests(reference, current, [Asked(name, False)])[name]
    if convert is not None:
        reference, current = convert(reference), convert(current)
    found = evidently_tests(reference, current, [Asked(name, False)])[name]
    assert found == truth
    assert found.test == "ks"


def test_it_leaves_no_trace_in_the_process():
    reference, current = frame(60, 1), frame(60, 2)
    np.random.seed(5)
    expected = np.random.random()
    np.random.seed(5)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = evidently_tests(reference, current, [Asked("letter", True, "TVD", 0.01)])
    assert np.random.random() == expected
    assert found["letter"].limit == 0.01
    assert math.isfinite(found["letter"].score)
    assert evidently_tests(reference, current, []) == {}
