"""Reliability and threshold curve: scikit-learn's on the rows, from the bins alone."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.calibration import calibration_curve
from sklearn.metrics import confusion_matrix

from aims_mlflow.monitors.calibration import calibration, threshold_curve
from aims_mlflow.monitors.performance import score
from aims_mlflow.monitors.tables import aggregate

#: Scores on the edges of the bins, and between them.
SCORES = st.one_of(st.sampled_from([i / 10 for i in range(11)]), st.floats(0, 1))
ROWS = st.lists(st.tuples(st.integers(0, 1), SCORES), min_size=5, max_size=60)


def scored(drawn):
    y, y_score = map(np.array, zip(*drawn, strict=True))
    # One row of each class, so that the score means something.
    y, y_score = np.append(y, [0, 1]), np.append(y_score, [0.35, 0.65]).astype(float)
    return y, y_score, score(aggregate(y, (y_score >= 0.5) * 1, y_score, task="binary"))


@settings(deadline=None, max_examples=40)
@given(ROWS)
def test_bins_equal_the_reference(drawn):
    y, y_score, scores = scored(drawn)
    share, mean_score = calibration_curve(y, y_score, n_bins=10, strategy="uniform")
    bins = scores.calibration.bins
    assert [b.observed for b in bins] == pytest.approx(share, rel=1e-12, abs=1e-12)
    assert [b.mean_score for b in bins] == pytest.approx(mean_score, rel=1e-12, abs=1e-12)
    assert sum(b.n for b in bins) == len(y)
    for b in bins:
        assert b.interval[0] <= b.observed <= b.interval[1]
    gaps = np.abs(share - mean_score)
    assert scores.calibration.mce == pytest.approx(gaps.max(), rel=1e-12, abs=1e-12)
    overall = {r.metric: r.value for r in scores.overall}
    assert scores.calibration.ece == pytest.approx(
        overall["expected_calibration_error"], rel=1e-12, abs=1e-12
    )


@settings(deadline=None, max_examples=40)
@given(ROWS, st.sampled_from([1.0, 7.0]))
def test_the_curve_is_exact_at_every_threshold(drawn, scale):
    y, y_score, _ = scored(drawn)
    y_score = y_score * scale - (scale > 1)
    scores = score(aggregate(y, (y_score >= 0.5) * 1, y_score, task="binary"))
    assert 0 < len(scores.curve) <= 51
    for point in scores.curve:
        selected = y_score >= point.threshold
        _, fp, _, tp = confusion_matrix(y, selected, labels=[0, 1]).ravel()
        assert point.true_positive_rate == tp / y.sum()
        assert point.false_positive_rate == fp / (1 - y).sum()
        assert point.selection_rate == selected.mean()
        assert point.precision == (tp / selected.sum() if selected.any() else None)
        assert point.f1 == pytest.approx(2 * tp / (selected.sum() + y.sum()), rel=1e-12)


def test_a_perfectly_calibrated_score_has_no_error():
    bins = {"edges": [0, 0.5, 1], "n": [4, 4], "positives": [1, 3], "score_sum": [1.0, 3.0]}
    found = calibration(bins)
    assert (found.ece, found.mce) == (0, 0)
    assert [(b.low, b.high, b.n) for b in found.bins] == [(0, 0.5, 4), (0.5, 1, 4)]


def test_errors_are_weighted_by_rows_and_empty_bins_are_left_out():
    bins = {
        "edges": [0, 0.25, 0.5, 1],
        "n": [9, 0, 1],
        "positives": [0, 0, 0],
        "score_sum": [0.9, 0.0, 0.6],
    }
    found = calibration(bins)
    assert len(found.bins) == 2
    assert found.ece == pytest.approx(0.9 * 0.1 + 0.1 * 0.6)
    assert found.mce == pytest.approx(0.6)
    assert calibration({"edges": [0, 1], "n": [0], "positives": [0], "score_sum": [0.0]}) is None


def test_one_class_has_a_curve_without_the_other_rate():
    (point,) = threshold_curve({"edges": [0, 1], "negatives": [0], "positives": [3]})
    assert (point.true_positive_rate, point.false_positive_rate) == (1.0, None)


def test_scores_that_are_no_probabilities_have_no_calibration():
    scores = score(aggregate([0, 1] * 10, [0, 1] * 10, [-3.0, 5.0] * 10))
    assert scores.calibration is None
    assert scores.curve[0].threshold == -3.0
