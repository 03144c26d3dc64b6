"""A value passes only if its own denominator is more than a handful of rows."""

import pytest

from aims_mlflow.governance.thresholds import Threshold
from aims_mlflow.monitors.judge import judge
from aims_mlflow.monitors.tables import aggregate


def verdict(table, **declared):
    declared = {"id": "t", **declared}
    (found,) = judge([Threshold.model_validate(declared)], [table], {})
    return found.verdict.value, found.reason


def one_positive(n=1000, positives=1):
    truth = [1] * positives + [0] * (n - positives)
    scores = [0.9] * positives + [0.1] * (n - positives)
    groups = ["a", "b"] * (n // 2)
    return aggregate(truth, truth, scores, {"group": groups}, "test")


@pytest.mark.parametrize("metric", ["recall", "roc_auc", "average_precision", "f1", "precision"])
def test_one_positive_among_a_thousand_rows_passes_nothing(metric):
    found, reason = verdict(one_positive(), metric=metric, min=0.9)
    assert found == "INSUFFICIENT"
    assert f"{metric} rests on 1 of 1000 rows" in reason


def test_enough_positives_pass():
    assert verdict(one_positive(positives=40), metric="recall", min=0.9)[0] == "PASS"


def test_too_few_never_hide_a_breach():
    wrong = aggregate([1] + [0] * 999, [0] * 1000, dataset="test")
    assert verdict(wrong, metric="recall", min=0.9)[0] == "FAIL"


def test_a_disparity_of_two_positives_passes_nothing():
    found, reason = verdict(
        one_positive(positives=2),
        metric="equal_opportunity_difference",
        feature="group",
        max=0.1,
    )
    assert found == "INSUFFICIENT"
    assert "true_positive_rate of group=a rests on 1 of 500 rows" in reason


def test_the_worst_group_needs_positives_too():
    table = one_positive(positives=2)
    found, _ = verdict(table, metric="recall", feature="group", min=0.9)
    assert found == "INSUFFICIENT"


def test_a_threshold_may_ask_for_fewer_rows():
    small = aggregate([1, 1, 1, 1, 1, 0, 0, 0], [1, 1, 1, 1, 1, 0, 0, 0], dataset="test")
    assert verdict(small, metric="recall", min=0.9, min_rows=5)[0] == "PASS"
