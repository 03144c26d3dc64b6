"""Intervals cover the truth at their stated rate, and equal published or reference values."""

import math

import numpy as np
import pytest
import scipy.stats
from hypothesis import given, settings
from hypothesis import strategies as st

from aims_mlflow.monitors.bias import disparity, worst_group
from aims_mlflow.monitors.bootstrap import MAX_CELLS, _replicates, bootstrap
from aims_mlflow.monitors.formulas import measure
from aims_mlflow.monitors.gaps import difference, disparity_interval, ratio, shared_level
from aims_mlflow.monitors.intervals import (
    Estimate,
    closed_intervals,
    row_intervals,
    student,
    wilson,
)
from aims_mlflow.monitors.tables import CountRow, CountTable, ErrorSums, EvaluationTable

#: 2,000 draws: the standard error of a coverage of 95 % is 0.5 %.
DRAWS = 2_000
NOMINAL = (0.93, 0.97)


@pytest.fixture
def generator():
    return np.random.default_rng(20_250_101)


def evaluation(counts, task="binary", groups=()):
    """An evaluation of the classes 0, 1, ... with these (true, predicted, n)."""
    rows = tuple(
        CountRow(group={"g": str(i)}, n=sum(c[2] for c in group), counts=group)
        for i, group in enumerate(groups)
    )
    n = sum(c[2] for c in counts)
    k = max(max(c[:2]) for c in counts) + 1
    return EvaluationTable(
        dataset="test",
        task=task,
        n=n,
        labels=tuple(map(str, range(k))),
        positive_label="1" if task == "binary" else None,
        overall=CountRow(group={}, n=n, counts=counts),
        tables=(CountTable(features=("g",), rows=rows),) if rows else (),
    )


def drawn_tables(generator, cells, n, draws=DRAWS):
    """Confusion tables with the cell probabilities (k, k), as count tuples."""
    k = len(cells)
    for counts in generator.multinomial(n, np.ravel(cells), size=draws).tolist():
        yield tuple((i // k, i % k, count) for i, count in enumerate(counts) if count)


def covered(intervals, truth):
    return np.mean([low <= truth <= high for low, high in intervals])


def assert_covers(intervals, truth, least=NOMINAL[0], most=NOMINAL[1]):
    assert least <= covered(intervals, truth) <= most


def test_wilson_equals_the_reference():
    for hits, n in ((0, 5), (5, 5), (3, 17), (999, 1000)):
        for level in (0.95, 0.99):
            reference = scipy.stats.binomtest(hits, n).proportion_ci(level, method="wilson")
            assert wilson(hits, n, level) == pytest.approx(tuple(reference), abs=1e-12)


def test_student_equals_the_reference():
    for level in (0.95, 0.9898, 0.999):
        for degrees in (4, 9, 30, 1000):
            reference = scipy.stats.t.ppf((1 + level) / 2, degrees)
            assert student(level, degrees) == pytest.approx(reference, rel=0.03)
    assert student(0.95, 4) == pytest.approx(scipy.stats.t.ppf(0.975, 4), rel=0.003)


def test_newcombe_equals_the_paper():
    # Newcombe (1998), table II, contrast a, method 10: 56/70 against 48/80.
    a, b = (Estimate(hits / n, *wilson(hits, n)) for hits, n in ((56, 70), (48, 80)))
    assert difference(a, b) == pytest.approx((0.0524, 0.3339), abs=5e-5)


def test_the_ratio_of_equal_estimates_is_symmetric_about_one():
    one = Estimate(0.4, *wilson(40, 100))
    low, high = ratio(one, one)
    assert low * high == pytest.approx(1)
    assert ratio(one, Estimate(0.01, *wilson(0, 100)))[1] == math.inf


@pytest.mark.parametrize(("p", "n"), [(0.5, 40), (0.8, 100), (0.1, 200)])
def test_wilson_covers(generator, p, n):
    hits = generator.binomial(n, p, size=DRAWS).tolist()
    assert_covers([wilson(h, n) for h in hits], p)


def metric_intervals(generator, cells, n, metric, intervals):
    for counts in drawn_tables(generator, cells, n):
        table = evaluation(counts)
        found = intervals(measure(table, table.overall), table.overall)
        if metric in found:
            yield found[metric]


@pytest.mark.parametrize("n", [60, 400])
def test_f1_covers(generator, n):
    cells = [[0.6, 0.1], [0.08, 0.22]]
    intervals = list(metric_intervals(generator, cells, n, "f1", closed_intervals))
    assert len(intervals) == DRAWS
    assert_covers(intervals, 2 * 0.22 / (2 * 0.22 + 0.1 + 0.08))


CELLS = np.array([[0.3, 0.03, 0.02], [0.05, 0.25, 0.05], [0.02, 0.03, 0.25]])
TRUE, PREDICTED, HITS = CELLS.sum(axis=1), CELLS.sum(axis=0), np.diag(CELLS)
TRUTH = {
    "f1_macro": (2 * HITS / (TRUE + PREDICTED)).mean(),
    "precision_macro": (HITS / PREDICTED).mean(),
    "balanced_accuracy": (HITS / TRUE).mean(),
    "matthews_corrcoef": (HITS.sum() - TRUE @ PREDICTED)
    / math.sqrt((1 - TRUE @ TRUE) * (1 - PREDICTED @ PREDICTED)),
}


def test_metrics_of_three_classes_cover(generator):
    intervals = {name: [] for name in TRUTH}
    for counts in drawn_tables(generator, CELLS, 200, draws=1_000):
        table = evaluation(counts, "multiclass")
        found = row_intervals(measure(table, table.overall), table.overall)
        for name in TRUTH:
            intervals[name].append(found[name])
    for name, truth in TRUTH.items():
        assert_covers(intervals[name], truth, 0.925, 0.975)


def test_the_bootstrap_covers_a_rare_class(generator):
    cells = [[0.85, 0.03], [0.05, 0.07]]
    truth = (2 * 0.85 / (0.88 + 0.90) + 2 * 0.07 / (0.12 + 0.10)) / 2
    intervals = list(metric_intervals(generator, cells, 150, "f1_macro", row_intervals))
    assert len(intervals) > 0.99 * DRAWS
    assert_covers(intervals, truth, 0.925, 0.975)


@settings(deadline=None, max_examples=40)
@given(
    st.dictionaries(
        st.tuples(st.integers(0, 4), st.integers(0, 4)),
        st.integers(1, 50),
        min_size=1,
        max_size=20,
    )
)
def test_replicates_are_the_formulas_and_the_interval_holds_the_value(cells):
    counts = tuple((*cell, n) for cell, n in sorted(cells.items()))
    table = evaluation(counts, "multiclass")
    found = measure(table, table.overall)
    for name, (low, high) in bootstrap(counts, found).items():
        assert -1 <= low <= found[name].value <= high <= 1
        assert low < high
    assert bootstrap(counts, found) == bootstrap(counts, found)


def test_replicates_have_the_metrics_own_formula(monkeypatch):
    counts = ((0, 0, 7), (0, 2, 2), (1, 1, 5), (2, 1, 1), (2, 2, 4), (3, 0, 1))
    drawn = np.array([n for *_, n in counts])

    class Fixed:
        def multinomial(self, *_, size):
            return np.tile(drawn, (size, 1))

    monkeypatch.setattr(np.random, "RandomState", lambda seed: Fixed())
    table = evaluation(counts, "multiclass")
    found = measure(table, table.overall)
    for name, replicates in _replicates(counts).items():
        assert replicates == pytest.approx(found[name].value, rel=1e-12)


def test_the_interval_never_changes():
    counts = ((0, 0, 50), (0, 1, 10), (1, 0, 8), (1, 1, 32))
    table = evaluation(counts)
    found = bootstrap(counts, measure(table, table.overall))
    assert found["f1_macro"] == pytest.approx((0.7329730540569666, 0.8852095829252872), rel=1e-9)
    assert found["matthews_corrcoef"] == pytest.approx(
        (0.4569418640176252, 0.7679076865990957), rel=1e-9
    )


def test_perfect_predictions_and_huge_tables_get_no_bootstrap():
    perfect = evaluation(((0, 0, 50), (1, 1, 50)))
    found = row_intervals(measure(perfect, perfect.overall), perfect.overall)
    assert "matthews_corrcoef" not in found
    assert found["balanced_accuracy"][0] < 1
    side = math.isqrt(MAX_CELLS) + 1
    huge = tuple((i, j, 1 + (i == j)) for i in range(side) for j in range(side))
    table = evaluation(huge, "multiclass")
    assert bootstrap(huge, measure(table, table.overall)) == {}


def regression(error):
    sums = ErrorSums(
        error=error.sum(),
        abs_error=np.abs(error).sum(),
        squared_error=(error**2).sum(),
        y=0.0,
        squared_deviation_y=1.0,
        quartic_error=(error**4).sum(),
    )
    return CountRow(group={}, n=len(error), sums=sums)


def regression_intervals(row):
    table = EvaluationTable(dataset="test", task="regression", n=row.n, overall=row)
    return row_intervals(measure(table, row), row)


def test_errors_of_a_regression_cover(generator):
    # Error is normal with mean 0.2 and standard deviation 1.
    normal = scipy.stats.norm(0.2, 1)
    truth = {
        "mean_error": 0.2,
        "mse": 1.04,
        "rmse": math.sqrt(1.04),
        "mae": normal.expect(abs),
    }
    found = [
        regression_intervals(regression(error))
        for error in generator.normal(0.2, 1, size=(DRAWS, 150))
    ]
    for name, value in truth.items():
        assert_covers([intervals[name] for intervals in found], value)


def test_heavy_tails_cover_with_enough_rows(generator):
    found = [
        regression_intervals(regression(error)) for error in generator.laplace(size=(DRAWS, 1000))
    ]
    assert_covers([intervals["mae"] for intervals in found], 1)
    assert_covers([intervals["rmse"] for intervals in found], math.sqrt(2))


def test_without_fourth_powers_only_the_squares_lack_an_interval():
    row = regression(np.arange(10.0))
    row = row.model_copy(update={"sums": row.sums.model_copy(update={"quartic_error": None})})
    assert set(regression_intervals(row)) == {"mae", "mean_error"}


def test_errors_that_are_all_zero_have_no_interval():
    assert regression_intervals(regression(np.zeros(9))) == {}


def disparities(generator, rates, sizes, by):
    """The interval of each of many draws of groups with these true rates and sizes."""
    level = shared_level(len(rates))
    for hits in generator.binomial(sizes, rates, size=(DRAWS, len(rates))).tolist():
        groups = [Estimate(h / n, *wilson(h, n, level)) for h, n in zip(hits, sizes, strict=True)]
        found = disparity_interval([groups], by)
        yield found.low, found.high


@pytest.mark.parametrize(
    ("rates", "sizes"),
    [([0.3, 0.2], [100, 80]), ([0.3, 0.3], [100, 80]), ([0.9, 0.6], [60, 40])],
)
def test_two_groups_cover(generator, rates, sizes):
    gap, share = max(rates) - min(rates), min(rates) / max(rates)
    assert covered(disparities(generator, rates, sizes, "difference"), gap) >= NOMINAL[0]
    assert covered(disparities(generator, rates, sizes, "ratio"), share) >= NOMINAL[0]


@pytest.mark.parametrize(
    ("rates", "sizes"),
    [
        ([0.3, 0.2, 0.25], [100, 200, 50]),
        ([0.3] * 5, [100, 200, 50, 40, 30]),
        ([0.1, 0.5, 0.3, 0.3, 0.3], [100, 200, 50, 40, 30]),
    ],
)
def test_more_groups_cover_at_least_as_often_as_stated(generator, rates, sizes):
    gap, share = max(rates) - min(rates), min(rates) / max(rates)
    assert covered(disparities(generator, rates, sizes, "difference"), gap) >= 0.95
    assert covered(disparities(generator, rates, sizes, "ratio"), share) >= 0.95


def test_equalized_odds_covers_both_rates(generator):
    # Men and women: 100 positives and 120 negatives each; TPR 0.8 and 0.7, FPR 0.2 and 0.15.
    truth, intervals = 0.1, []
    for tp_a, tp_b, fp_a, fp_b in generator.binomial(
        [100, 100, 120, 120], [0.8, 0.7, 0.2, 0.15], size=(1_000, 4)
    ).tolist():
        groups = [
            ((0, 0, 120 - fp), (0, 1, fp), (1, 0, 100 - tp), (1, 1, tp))
            for tp, fp in ((tp_a, fp_a), (tp_b, fp_b))
        ]
        table = evaluation(groups[0], groups=groups)
        reading = disparity(table, "equalized_odds_difference", ("g",), 5)
        assert reading.interval.low <= reading.value <= reading.interval.high
        intervals.append((reading.interval.low, reading.interval.high))
    assert covered(intervals, truth) >= 0.95


@settings(deadline=None, max_examples=50)
@given(
    st.lists(st.tuples(*[st.integers(0, 30)] * 4), min_size=2, max_size=5),
    st.sampled_from(
        [
            "demographic_parity_difference",
            "demographic_parity_ratio",
            "equalized_odds_ratio",
            "predictive_parity_ratio",
            "accuracy_ratio",
            "accuracy_difference",
        ]
    ),
)
def test_every_disparity_lies_in_its_interval(cells, metric):
    groups = [
        tuple((i // 2, i % 2, n) for i, n in enumerate(group) if n)
        for group in cells
        if sum(group) > 4
    ]
    if len(groups) < 2:
        return
    table = evaluation(((0, 0, 1), (1, 1, 1)), groups=groups)
    reading = disparity(table, metric, ("g",), 5)
    if reading.value is not None:
        interval = reading.interval
        assert 0 <= interval.low <= reading.value + 1e-12
        assert reading.value - 1e-12 <= interval.high <= 1


def test_the_worst_group_has_the_range_of_all_groups():
    groups = [((1, 0, 20), (1, 1, 80)), ((1, 0, 5), (1, 1, 15))]
    table = evaluation(groups[0], groups=groups)
    reading = worst_group(table, "recall", ("g",), 5, "min")
    assert reading.value == 0.75
    assert reading.interval.low == wilson(15, 20, 0.95**0.5)[0]
    assert reading.interval.high == wilson(80, 100, 0.95**0.5)[1]
