"""Scalars from the rows equal scikit-learn's; their intervals cover the truth as often as said."""

import math
import warnings

import numpy as np
import pandas as pd
import pytest
import sklearn.metrics as sk
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binom, norm
from sklearn.calibration import calibration_curve

from aims_mlflow.governance.system import Slice
from aims_mlflow.monitors.exact import median, r2_bounds
from aims_mlflow.monitors.tables import EvaluationTable, aggregate

CLOSE = {"rel": 1e-12, "abs": 1e-12}
quick = settings(deadline=None, max_examples=100)
#: Scores with many ties, on the edges of bins, at 0 and 1, and beside each other.
SCORES = st.one_of(
    st.sampled_from([0.0, 0.1, 0.2, 0.3, 0.5, 0.7, 1.0, math.nextafter(0.5, 1)]), st.floats(0, 1)
)
ROWS = st.lists(st.tuples(st.booleans(), SCORES, st.sampled_from("ab")), min_size=5, max_size=60)


def calibration_error(y, scores):
    """By the definition, on scikit-learn's curve."""
    observed, predicted = calibration_curve(y, scores, n_bins=10)
    places = np.searchsorted(np.linspace(0, 1, 11)[1:-1], scores)
    weights = np.unique(places, return_counts=True)[1] / len(scores)
    return float((weights * abs(observed - predicted)).sum())


REFERENCE = {
    "roc_auc": sk.roc_auc_score,
    "average_precision": sk.average_precision_score,
    "log_loss": sk.log_loss,
    "brier_score": sk.brier_score_loss,
    "expected_calibration_error": calibration_error,
}


def binary(y, scores, groups=None, **more):
    scores = np.asarray(scores)
    return aggregate(y, scores > 0.5, scores, groups, task="binary", **more)


def check_row(row, y, scores):
    assert row.n == len(y)
    if row.suppressed or len(set(y.tolist())) < 2:
        assert not row.exact
        return
    for name, reference in REFERENCE.items():
        assert row.exact[name] == pytest.approx(reference(y, scores), **CLOSE), name
    for name, (low, high) in row.intervals.items():
        assert 0 <= low <= row.exact[name] <= high, name


@quick
@given(ROWS)
def test_every_scalar_of_every_group_equals_scikit_learn(rows):
    y, scores, group = map(np.array, zip(*rows, strict=True))
    declared = [Slice(name="a only", where={"g": "a"})]
    table = binary(y, scores, {"g": group}, slices=declared)
    table = EvaluationTable.model_validate_json(table.model_dump_json())
    check_row(table.overall, y, scores)
    for row in table.table(["g"]).rows:
        part = group == row.group["g"]
        check_row(row, y[part], scores[part])
    (sliced,) = table.slices.rows
    check_row(sliced, y[group == "a"], scores[group == "a"])


@quick
@given(ROWS)
def test_calibration_equals_scikit_learn(rows):
    y, scores, _ = map(np.array, zip(*rows, strict=True))
    bins = binary(y, scores).calibration
    if len(set(y.tolist())) < 2:
        assert bins is None
        return
    n, positives, sums = (np.array(bins[key]) for key in ("n", "positives", "score_sum"))
    assert (len(bins["edges"]), len(n), n.sum(), positives.sum()) == (11, 10, len(y), y.sum())
    some = n > 0
    observed, predicted = calibration_curve(y, scores, n_bins=10, strategy="uniform")
    assert positives[some] / n[some] == pytest.approx(observed, **CLOSE)
    assert sums[some] / n[some] == pytest.approx(predicted, **CLOSE)


@quick
@given(ROWS)
def test_the_histogram_equals_numpys(rows):
    y, scores, _ = map(np.array, zip(*rows, strict=True))
    for scale in (1.0, 7.0):
        found = binary(y, scores * scale).score_histogram
        for key, part in (("positives", y), ("negatives", ~y)):
            expected = np.histogram(scores[part] * scale, bins=found["edges"])[0]
            assert found[key] == expected.tolist()


@pytest.mark.parametrize("pair", [(2.0, math.nextafter(2, 3)), (-1.7e308, 1.7e308), (1e300, 1e300)])
def test_scores_whose_range_has_no_bins_still_rank(pair):
    table = binary([0, 1] * 5, list(pair) * 5)
    assert table.score_histogram is None
    assert any("no histogram" in note for note in table.notes)
    assert 0 <= table.overall.exact["roc_auc"] <= 1


def test_scores_that_are_no_probabilities_have_no_calibration():
    y = [0, 1] * 10
    table = binary(y, np.arange(20.0))
    assert table.calibration is None
    assert set(table.overall.exact) == {"roc_auc", "average_precision"}
    assert "outside 0 to 1" in table.overall.undefined["expected_calibration_error"]


def test_a_hundred_thousand_rows_equal_scikit_learn():
    random = np.random.default_rng(0)
    y = random.random(100_000) < 0.3
    scores = 1 / (1 + np.exp(-random.normal(size=len(y)) - 1.5 * y + 1))
    for values in (scores, scores.round(2), scores.astype(np.float32)):
        check_row(binary(y, values).overall, y, values.astype(float))


def delong(y, scores):
    """The standard error by its definition: every positive beside every negative."""
    kernel = np.subtract.outer(scores[y], scores[~y])
    kernel = (kernel > 0) + 0.5 * (kernel == 0)
    by_positive, by_negative = kernel.mean(axis=1), kernel.mean(axis=0)
    return math.sqrt(
        by_positive.var(ddof=1) / len(by_positive) + by_negative.var(ddof=1) / len(by_negative)
    )


@pytest.mark.parametrize("decimals", [1, 12])
def test_the_auc_interval_is_delongs_on_the_logit_scale(decimals):
    random = np.random.default_rng(3)
    y = random.random(300) < 0.4
    scores = np.round(random.random(300) * 0.5 + 0.3 * y, decimals)
    row = binary(y, scores).overall
    value = row.exact["roc_auc"]
    half = norm.ppf(0.975) * delong(y, scores) / (value * (1 - value))
    logit = math.log(value / (1 - value))
    expected = [1 / (1 + math.exp(-logit - side * half)) for side in (-1, 1)]
    assert row.intervals["roc_auc"] == pytest.approx(expected, **CLOSE)


def test_the_average_precision_interval_agrees_with_the_jackknife():
    random = np.random.default_rng(4)
    y = random.random(400) < 0.4
    scores = random.normal(size=400) + y
    value = sk.average_precision_score(y, scores)
    left_out = [
        sk.average_precision_score(np.delete(y, i), np.delete(scores, i)) for i in range(400)
    ]
    error = math.sqrt(399 * np.var(left_out))
    low, high = (
        math.log(p / (1 - p)) for p in binary(y, scores).overall.intervals["average_precision"]
    )
    assert (high - low) / 4 == pytest.approx(error / (value * (1 - value)), rel=0.05)


def test_no_interval_where_none_is_defined():
    y = [0, 1] * 10
    perfect = binary(y, y).overall
    assert perfect.exact["roc_auc"] == perfect.exact["average_precision"] == 1
    assert perfect.intervals == {}
    one_positive = binary([1] + [0] * 9, np.linspace(0.9, 0.1, 10)).overall
    assert set(one_positive.intervals) == {"log_loss", "brier_score"}
    assert "expected_calibration_error" not in binary(y, [0.4, 0.6] * 10).overall.intervals


def covered(draw, name, truth, times):
    """How often the interval of a simulated evaluation holds the truth."""
    hits = found = 0
    for _ in range(times):
        bounds = draw().overall.intervals.get(name)
        if bounds is not None:
            found += 1
            hits += bounds[0] <= truth <= bounds[1]
    assert found > times * 0.98
    return hits / found


def expected_binary(share_positive, distance):
    """The population's AUC, average precision, log loss and Brier score, by quadrature."""
    s = np.linspace(-12, 12 + distance, 400_001)
    step = s[1] - s[0]
    positive, negative = norm.pdf(s - distance), norm.pdf(s)
    above = share_positive * norm.sf(s - distance)
    precision = above / (above + (1 - share_positive) * norm.sf(s))
    p = 1 / (1 + np.exp(-s))
    losses = share_positive * positive * -np.log(p), (1 - share_positive) * negative * -np.log1p(-p)
    squares = share_positive * positive * (1 - p) ** 2, (1 - share_positive) * negative * p**2
    return {
        "roc_auc": norm.cdf(distance / math.sqrt(2)),
        "average_precision": float((positive * np.nan_to_num(precision)).sum() * step),
        "log_loss": float(sum(np.nan_to_num(loss).sum() for loss in losses) * step),
        "brier_score": float(sum(square.sum() for square in squares) * step),
    }


@pytest.mark.parametrize(("share_positive", "distance", "n"), [(0.3, 1.0, 200), (0.8, 0.5, 300)])
def test_binary_intervals_cover_the_truth(share_positive, distance, n):
    random = np.random.default_rng(11)

    def draw():
        y = random.random(n) < share_positive
        s = random.normal(size=n) + distance * y
        return binary(y, 1 / (1 + np.exp(-s)))

    truth = expected_binary(share_positive, distance)
    tables = [draw() for _ in range(1000)]
    for name, value in truth.items():
        rate = covered(iter(tables).__next__, name, value, 1000)
        # The simulation's own standard error is 0.7 %.
        assert 0.93 <= rate <= 0.97, (name, rate)


@pytest.mark.parametrize("n", [50, 400])
def test_regression_intervals_cover_the_truth(n):
    random = np.random.default_rng(12)

    def draw():
        y = random.normal(size=n)
        return aggregate(y, y + random.normal(scale=0.5, size=n))

    tables = [draw() for _ in range(1000)]
    assert 0.92 <= covered(iter(tables).__next__, "r2", 0.75, 1000) <= 0.97
    middle = 0.5 * norm.ppf(0.75)
    rate = covered(iter(tables).__next__, "median_absolute_error", middle, 1000)
    assert 0.94 <= rate <= 0.98


@pytest.mark.parametrize("n", [1, 2, 5, 6, 7, 20, 101, 1000, 12345])
def test_the_median_interval_is_the_innermost_that_holds_its_level(n):
    values = np.random.default_rng(n).permutation(n).astype(float)
    found = median(values)
    assert found.value == np.median(values)
    if n < 6:
        assert found.bounds is None
        return
    low, high = found.bounds
    assert low + high == n - 1
    assert 1 - 2 * binom.cdf(low, n, 0.5) >= 0.95
    assert 1 - 2 * binom.cdf(low + 1, n, 0.5) < 0.95


def test_r2_has_no_interval_where_it_is_undefined_or_perfect():
    assert r2_bounds(np.zeros(9), np.ones(9)) is None
    assert r2_bounds(np.ones(9), np.zeros(9)) is None
    assert "r2" not in aggregate([1.5] * 9, np.arange(9) / 7).overall.intervals


@quick
@given(st.lists(st.tuples(*[st.floats(-1e6, 1e6)] * 2), min_size=6, max_size=40))
def test_regression_sums_and_intervals(rows):
    y, predicted = map(np.array, zip(*rows, strict=True))
    row = aggregate(y, predicted, task="regression").overall
    quartic = math.fsum(((predicted - y) ** 4).tolist())
    assert row.sums.quartic_error == pytest.approx(quartic, rel=1e-12)
    low, high = row.intervals["median_absolute_error"]
    assert low <= row.exact["median_absolute_error"] <= high
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        r2 = sk.r2_score(y, predicted)
    if "r2" in row.intervals:
        low, high = row.intervals["r2"]
        assert low <= r2 + 1e-9 * (1 + abs(r2))
        assert r2 - 1e-9 * (1 + abs(r2)) <= high <= 1


def test_fourth_powers_beyond_the_range_of_numbers_are_absent():
    sums = aggregate([0.0, 1e90], [0.5, 2e90]).overall.sums
    assert sums.quartic_error is None
    assert math.isfinite(sums.squared_error)


def test_groups_have_intervals_and_intersections_none():
    random = np.random.default_rng(5)
    y = random.random(400) < 0.5
    frame = pd.DataFrame({"a": random.choice(["x", "y"], 400), "b": random.choice(["u", "v"], 400)})
    table = binary(y, random.random(400), frame)
    for row in table.table(["a"]).rows:
        assert set(row.intervals) == {"roc_auc", "average_precision", "log_loss", "brier_score"}
    assert not any(row.exact or row.intervals for row in table.table(["a", "b"]).rows)
