"""Verdicts: PASS only when nothing was left out, FAIL on any value beyond the limit."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aims_mlflow.errors import EvaluationInputError
from aims_mlflow.governance.system import Threshold
from aims_mlflow.monitors.judge import judge
from aims_mlflow.monitors.tables import aggregate
from aims_mlflow.readings import Verdict

PASS, FAIL, INSUFFICIENT = Verdict.PASS, Verdict.FAIL, Verdict.INSUFFICIENT
SEX = ["Female"] * 100 + ["Male"] * 100
#: Selected: 10 of 100 women, 30 of 100 men; every prediction is right in 180 of 200 rows.
PRED = [1] * 10 + [0] * 90 + [1] * 30 + [0] * 70
TRUE = [1] * 20 + [0] * 80 + [1] * 40 + [0] * 60


def threshold(**given):
    return Threshold(id="t", **given)


def parity(**given):
    return threshold(
        **{"metric": "demographic_parity_difference", "feature": "sex", "max": 0.1} | given
    )


def table(y=TRUE, predicted=PRED, sex=SEX, dataset="test"):
    return aggregate(y, predicted, None, {"sex": sex} if sex else None, dataset)


def one(declared, *tables, logged=None, problems=()):
    (judgement,) = judge([declared], tables, logged or {}, problems)
    return judgement


def test_a_breach_reads_like_a_sentence():
    judgement = one(parity(), table())
    assert judgement.verdict is FAIL
    assert judgement.reason == "0.2 is above 0.1: sex=Female 0.1, sex=Male 0.3"
    assert (judgement.limit, judgement.dataset, judgement.n) == ("<= 0.1", "test", 200)
    assert judgement.declared["min_group_size"] == 30


def test_within_the_limit_passes():
    judgement = one(parity(max=0.25), table())
    assert judgement.verdict is PASS
    assert judgement.reason == "0.2 is not above 0.25: sex=Female 0.1, sex=Male 0.3"
    both = one(parity(max=0.25, min=0.15), table())
    assert (both.verdict, both.limit) == (PASS, "0.15 to 0.25")


@pytest.mark.parametrize(
    ("value", "verdict"), [(0.75, PASS), (0.7499, FAIL), (0.75 - 1e-16, PASS), (0.8, PASS)]
)
def test_equal_to_the_limit_passes(value, verdict):
    declared = threshold(logged_metric="auc", min=0.75)
    assert one(declared, logged={"auc": value}).verdict is verdict


def test_equal_on_paper_passes_whatever_the_last_bit_says():
    y = [1] * 4 + [0] * 6 + [1] * 3 + [0] * 7
    t = table(y * 10, y * 10, (["F"] * 10 + ["M"] * 10) * 10)
    judgement = one(parity(), t)
    assert judgement.value > 0.1
    assert judgement.verdict is PASS


def test_a_value_just_beyond_is_shown_with_enough_digits():
    judgement = one(threshold(logged_metric="loss", max=0.1), logged={"loss": 0.10004})
    assert judgement.reason == "0.10004 is above 0.1"


@given(st.floats(allow_nan=False, allow_infinity=False), st.floats(-1e6, 1e6))
def test_every_logged_number_gets_a_verdict(value, limit):
    judgement = one(threshold(logged_metric="m", max=limit), logged={"m": value})
    near = math.isclose(value, limit, rel_tol=1e-12, abs_tol=1e-12)
    assert judgement.verdict is (PASS if value <= limit or near else FAIL)


def test_a_logged_metric_that_is_absent_names_its_neighbours():
    judgement = one(threshold(logged_metric="val_auc", min=0.5), logged={"val_auc_1": 0.9})
    assert judgement.verdict is INSUFFICIENT
    assert judgement.reason == "the run logged no metric 'val_auc'; did you mean 'val_auc_1'?"


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_a_logged_metric_that_is_no_number_proves_nothing(value):
    judgement = one(threshold(logged_metric="auc", min=0.5), logged={"auc": value})
    assert (judgement.verdict, judgement.value) == (INSUFFICIENT, None)


def test_no_evaluation():
    judgement = one(threshold(metric="accuracy", min=0.5))
    assert judgement.verdict is INSUFFICIENT
    assert "add aims_mlflow.log_evaluation(...)" in judgement.reason
    refused = one(threshold(metric="accuracy", min=0.5), problems=["unequal lengths"])
    assert "unequal lengths" in refused.reason


def test_the_dataset_picks_the_evaluation():
    tables = (table(dataset="a"), table(dataset="b"))
    declared = threshold(metric="accuracy", min=0.5, dataset="b")
    assert one(declared, *tables).dataset == "b"
    other = one(threshold(metric="accuracy", min=0.5, dataset="c"), *tables)
    assert other.verdict is INSUFFICIENT
    assert "only of 'a', 'b'" in other.reason


def test_without_a_dataset_every_evaluation_is_judged():
    tables = (table(dataset="good"), table(predicted=[0] * 200, dataset="bad"))
    found = judge([threshold(metric="accuracy", min=0.8)], tables, {})
    assert [(j.dataset, j.verdict) for j in found] == [("good", PASS), ("bad", FAIL)]


def test_a_refused_evaluation_withholds_the_pass_of_the_others():
    found = judge([threshold(metric="accuracy", min=0.8)], [table()], {}, ["unequal lengths"])
    assert Verdict.worst(j.verdict for j in found) is INSUFFICIENT


def test_thresholds_that_wait_for_a_monitor_are_left_out():
    assert judge([threshold(metric="drift_share", max=0.3)], [table()], {}) == ()


def test_the_wrong_task_proves_nothing():
    numbers = aggregate([i / 7 for i in range(100)], [i / 8 for i in range(100)], dataset="t")
    for declared in (threshold(metric="roc_auc", min=0.5), parity()):
        judgement = one(declared, numbers)
        assert judgement.verdict is INSUFFICIENT
        assert "applies to binary, and this evaluation is regression" in judgement.reason


def test_too_few_rows():
    judgement = one(threshold(metric="accuracy", min=0.99, min_rows=201), table())
    assert judgement.verdict is INSUFFICIENT
    assert "200 rows are fewer than min_rows (201)" in judgement.reason


def test_an_absent_feature_says_how_to_pass_it():
    judgement = one(parity(), table(sex=None))
    assert judgement.verdict is INSUFFICIENT
    assert "sensitive_features=frame[['sex']]" in judgement.reason


def test_a_performance_metric_of_a_feature_is_the_worst_group():
    judgement = one(threshold(metric="recall", feature="sex", min=0.6), table())
    assert (judgement.verdict, judgement.value) == (FAIL, 0.5)
    assert judgement.reason == "0.5 is below 0.6: sex=Female 0.5"
    capped = one(threshold(metric="selection_rate", feature="sex", min=0.05, max=0.2), table())
    assert capped.reason == "0.3 is above 0.2: sex=Male 0.3"


def with_small_group():
    return table([*TRUE, 1], [*PRED, 1], [*SEX, "Other"])


def test_a_small_group_withholds_the_pass():
    judgement = one(parity(max=0.25), with_small_group())
    assert judgement.verdict is INSUFFICIENT
    assert judgement.excluded == ("Other (n=1)",)
    assert "too small to judge: Other (n=1)" in judgement.reason


def test_a_small_group_does_not_hide_a_breach():
    assert one(parity(), with_small_group()).verdict is FAIL


def test_small_groups_can_be_declared_excluded():
    judgement = one(parity(max=0.25, small_groups="exclude"), with_small_group())
    assert judgement.verdict is PASS
    assert judgement.reason.endswith("not judged: Other (n=1)")


def test_groups_of_30_30_and_1():
    y = [0, 1] * 30 + [1]
    t = table(y, y, ["F"] * 30 + ["M"] * 30 + ["X"])
    assert one(parity(), t).verdict is INSUFFICIENT


def test_suppressed_groups_count_as_excluded_however_small_they_may_be():
    judgement = one(parity(max=0.25, min_group_size=1), with_small_group())
    assert judgement.verdict is INSUFFICIENT


FAULTS = {
    "one class": ([1] * 200, [1] * 200, SEX),
    "one class, wrong predictions": ([0] * 200, PRED, SEX),
    "no sensitive attribute": (TRUE, TRUE, None),
    "nothing known of the attribute": (TRUE, TRUE, [math.nan] * 200),
    "one group": (TRUE, TRUE, ["F"] * 200),
    "a group of one row": (TRUE, TRUE, [*SEX[:-1], "Other"]),
    "every row a group": (TRUE, TRUE, [str(i) for i in range(200)]),
    "no rows": ([], [], []),
    "no labels": ([None] * 200, PRED, SEX),
}


@pytest.mark.parametrize("fault", FAULTS)
@pytest.mark.parametrize(
    "declared",
    [
        parity(max=1),
        threshold(metric="equalized_odds_difference", feature="sex", max=1),
        threshold(metric="recall", feature="sex", min=0),
        threshold(metric="accuracy", feature="sex", min=0),
    ],
    ids=lambda t: t.metric,
)
def test_a_fault_never_passes(fault, declared):
    try:
        judgement = one(declared, table(*FAULTS[fault]))
    except EvaluationInputError:
        return
    assert judgement.verdict is INSUFFICIENT
    assert judgement.reason


def test_one_class_does_not_pass_overall_metrics():
    judgement = one(threshold(metric="accuracy", min=0.9), table([0] * 50, [0] * 50, None))
    assert judgement.verdict is INSUFFICIENT
    assert "y_true holds only one class" in judgement.reason
