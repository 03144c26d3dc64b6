"""Verdicts: PASS only when nothing was left out, FAIL on any value beyond the limit."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aims_mlflow.errors import EvaluationInputError
from aims_mlflow.governance.system import Perturbation
from aims_mlflow.governance.thresholds import Threshold
from aims_mlflow.monitors.judge import judge
from aims_mlflow.monitors.tables import CountRow, CountTable, EvaluationTable, aggregate
from aims_mlflow.readings import Fall, Interval, PerturbationResult, Robustness, Verdict

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


def one(declared, *tables, logged=None, problems=(), robustness=(), scorers=None):
    (judgement,) = judge([declared], tables, logged or {}, problems, robustness, scorers)
    return judgement


def test_a_breach_reads_like_a_sentence():
    judgement = one(parity(), table())
    assert judgement.verdict is FAIL
    assert judgement.reason == (
        "0.2 is above 0.1, but its 95 % interval 0.09 to 0.306 reaches across the limit: "
        "sex=Female 0.1, sex=Male 0.3"
    )
    assert (judgement.limit, judgement.dataset, judgement.n) == ("<= 0.1", "test", 200)
    assert judgement.declared["min_group_size"] == 30


def test_within_the_limit_passes():
    judgement = one(parity(max=0.35), table())
    assert judgement.verdict is PASS
    assert judgement.reason == "0.2 is not above 0.35: sex=Female 0.1, sex=Male 0.3"
    both = one(parity(max=0.35, min=0.05), table())
    assert (both.verdict, both.limit) == (PASS, "0.05 to 0.35")


def test_an_interval_across_the_limit_is_said_and_changes_no_verdict():
    judgement = one(threshold(metric="accuracy", min=0.89), table())
    assert judgement.verdict is PASS
    assert judgement.reason == (
        "0.9 is not below 0.89, but its 95 % interval 0.851 to 0.934 reaches across the limit"
    )
    failed = one(threshold(metric="accuracy", min=0.91), table())
    assert failed.verdict is FAIL
    assert "reaches across" in failed.reason
    assert "interval" not in one(threshold(metric="accuracy", min=0.8), table()).reason


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
    assert judgement.reason == (
        "0.5 is below 0.6, but its 95 % interval 0.276 to 0.724 reaches across the limit: "
        "sex=Female 0.5"
    )
    capped = one(threshold(metric="selection_rate", feature="sex", min=0.05, max=0.2), table())
    assert capped.reason.startswith("0.3 is above 0.2")
    assert capped.reason.endswith(": sex=Male 0.3")


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


def sliced(*rows, absent=None, **fields):
    """An evaluation of two classes whose slices hold (correct, wrong) rows of each class."""
    counts = tuple(
        CountRow(
            group={"slice": name},
            n=2 * (right + wrong),
            suppressed=2 * (right + wrong) < 5,
            counts=((0, 0, right), (0, 1, wrong), (1, 0, wrong), (1, 1, right)),
        )
        for name, right, wrong in rows
    )
    return EvaluationTable(
        dataset="test",
        task="binary",
        n=1000,
        labels=("0", "1"),
        positive_label="1",
        overall=CountRow(group={}, n=1000, counts=((0, 0, 500), (1, 1, 500))),
        slices=CountTable(features=("slice",), rows=counts) if rows else None,
        absent_slices=absent or {},
        **fields,
    )


NIGHT = {"metric": "accuracy", "slice": "night", "min": 0.8}


def test_a_slice_is_judged_on_its_own_rows():
    judgement = one(threshold(**NIGHT), sliced(("day", 100, 0), ("night", 30, 20)))
    assert (judgement.verdict, judgement.value, judgement.n) == (FAIL, 0.6, 100)
    assert (judgement.part, judgement.dataset) == ("slice night", "test")
    assert judgement.reason == "0.6 is below 0.8"
    assert one(threshold(**NIGHT), sliced(("night", 49, 1))).verdict is PASS


def test_a_slice_that_is_absent_or_small_proves_nothing():
    absent = one(threshold(**NIGHT), sliced(absent={"night": ("hour", "day")}))
    assert (absent.verdict, absent.value) == (INSUFFICIENT, None)
    assert "pass log_evaluation(..., features=frame[['hour', 'day']])" in absent.reason
    later = one(threshold(**NIGHT), sliced())
    assert later.verdict is INSUFFICIENT
    assert "log it again" in later.reason
    for right in (14, 1, 0):
        small = one(threshold(**NIGHT), sliced(("night", right, 0)))
        assert small.verdict is INSUFFICIENT
        assert f"'night' has {2 * right} rows, below min_group_size (30)" in small.reason
    suppressed = one(threshold(**NIGHT, min_group_size=1), sliced(("night", 2, 0)))
    assert suppressed.verdict is INSUFFICIENT


def test_a_slice_of_one_class_does_not_pass():
    row = CountRow(group={"slice": "night"}, n=50, counts=((0, 0, 50),))
    one_class = sliced().model_copy(update={"slices": CountTable(features=("slice",), rows=(row,))})
    judgement = one(threshold(**NIGHT), one_class)
    assert judgement.verdict is INSUFFICIENT
    assert "y_true holds only one class" in judgement.reason


def robust(*falls, dataset="test", n=500, n_total=500, note="", name="noise"):
    result = PerturbationResult(
        id=name, kind="noise", amount=0.1, columns=("x",), falls=falls, note=note
    )
    return Robustness(
        dataset=dataset,
        task="binary",
        n=n,
        n_total=n_total,
        seed=0,
        error_bound=0.0,
        results=(result,),
    )


ACCURACY = Fall(
    metric="accuracy",
    clean=0.9,
    perturbed=0.83,
    fall=0.07,
    interval=Interval(low=0.04, high=0.1, method="paired"),
)


def under_noise(**given):
    return threshold(**{"metric": "accuracy", "perturbation": "noise"} | given)


def test_a_fall_is_held_against_the_limit():
    judgement = one(under_noise(max_fall=0.05), robustness=[robust(ACCURACY)])
    assert (judgement.verdict, judgement.value, judgement.n) == (FAIL, 0.07, 500)
    assert (judgement.part, judgement.limit) == ("perturbation noise", "fall <= 0.05")
    assert judgement.reason == (
        "0.07 is above 0.05, but its 95 % interval 0.04 to 0.1 reaches across the limit: "
        "accuracy 0.9 as it is, 0.83 perturbed"
    )
    assert one(under_noise(max_fall=0.07), robustness=[robust(ACCURACY)]).verdict is PASS


def test_a_metric_under_a_perturbation_is_held_against_the_limit():
    judgement = one(under_noise(min=0.8), robustness=[robust(ACCURACY, n_total=900)])
    assert (judgement.verdict, judgement.value) == (PASS, 0.83)
    assert judgement.reason.endswith("0.83 perturbed, on 500 of 900 rows")
    assert one(under_noise(min=0.84), robustness=[robust(ACCURACY)]).verdict is FAIL


def test_a_perturbation_that_was_not_measured_proves_nothing():
    declared = under_noise(max_fall=0.05)
    undefined = Fall(metric="accuracy", clean=0.9, perturbed=None, fall=None, reason="refused NaN")
    for found, said in (
        ([], "add aims_mlflow.evaluate_robustness(model, X, y)"),
        ([robust(ACCURACY, name="gaps")], "has no perturbation 'noise', only 'gaps'"),
        ([robust(note="no numeric column")], "was not measured under 'noise': no numeric column"),
        ([robust(undefined)], "refused NaN"),
        ([robust(ACCURACY, n=20)], "20 rows are fewer than min_rows (30)"),
    ):
        judgement = one(declared, table(), robustness=found)
        assert judgement.verdict is INSUFFICIENT
        assert said in judgement.reason


def test_the_dataset_picks_the_robustness_evaluation():
    found = [robust(ACCURACY, dataset="a"), robust(ACCURACY, dataset="b")]
    named = one(under_noise(min=0.8, dataset="b"), robustness=found)
    assert (named.dataset, named.verdict) == ("b", PASS)
    absent = one(under_noise(min=0.8, dataset="c"), robustness=found)
    assert "only of 'a', 'b'" in absent.reason
    assert "evaluate_robustness(model, X, y, dataset='c')" in absent.reason
    assert len(judge([under_noise(min=0.8)], (), {}, robustness=found)) == 2


def test_a_refused_robustness_evaluation_withholds_the_pass():
    unreadable = ["a robustness evaluation in aims/inputs cannot be read: no id"]
    found = judge([under_noise(min=0.8)], (), {}, unreadable, [robust(ACCURACY)])
    assert Verdict.worst(j.verdict for j in found) is INSUFFICIENT
    assert found[-1].reason.startswith("a robustness evaluation was refused: ")
    of_rows = judge([threshold(metric="accuracy", min=0.8)], [table()], {}, unreadable)
    assert [j.verdict for j in of_rows] == [PASS]


def test_a_refused_evaluation_says_nothing_of_robustness():
    refused = ["Dataset 'x': unequal lengths"]
    assert (
        one(under_noise(min=0.8), problems=refused, robustness=[robust(ACCURACY)]).verdict is PASS
    )
    missing = one(under_noise(min=0.8), table(), problems=refused)
    assert missing.verdict is INSUFFICIENT
    assert missing.reason == (
        "no robustness evaluation was logged; add aims_mlflow.evaluate_robustness(model, X, y)"
    )


def test_a_refused_evaluation_of_a_dataset_called_robustness_withholds_the_pass():
    found = judge(
        [threshold(metric="accuracy", min=0.8)], [table()], {}, ["'robustness': unequal lengths"]
    )
    assert Verdict.worst(j.verdict for j in found) is INSUFFICIENT


def test_a_dataset_typo_names_the_datasets_and_no_unrelated_refusal():
    refused = [f"Dataset 'other-{i}': unequal lengths" for i in range(7)]
    typo = one(threshold(metric="accuracy", min=0.8, dataset="tset"), table(), problems=refused)
    assert typo.verdict is INSUFFICIENT
    assert typo.reason == (
        "no evaluation of the dataset 'tset' was logged, only of 'test'; did you mean 'test'?"
    )
    about = one(threshold(metric="accuracy", min=0.8, dataset="other-3"), table(), problems=refused)
    assert about.reason == (
        "no evaluation of the dataset 'other-3' was logged, only of 'test'; "
        "an evaluation was refused: Dataset 'other-3': unequal lengths"
    )


def test_of_many_refusals_two_are_told_and_the_others_counted():
    refused = [f"Dataset 'other-{i}': unequal lengths" for i in range(7)]
    judgement = one(threshold(metric="accuracy", min=0.8, dataset="test"), problems=refused)
    assert judgement.reason == (
        "an evaluation was refused: Dataset 'other-0': unequal lengths; "
        "Dataset 'other-1': unequal lengths; and 5 more"
    )


@pytest.mark.parametrize(
    "declared",
    [
        Perturbation(id="noise", kind="noise", amount=0.5),
        Perturbation(id="noise", kind="missing", amount=0.1),
    ],
    ids=["amount", "kind"],
)
def test_another_perturbation_of_the_same_id_proves_nothing(declared):
    thresholds, found = [under_noise(max_fall=0.2)], [robust(ACCURACY)]
    same = Perturbation(id="noise", kind="noise", amount=0.1)
    (kept,) = judge(thresholds, (), {}, robustness=found, declared_perturbations=[same])
    assert kept.verdict is PASS
    (judgement,) = judge(thresholds, (), {}, robustness=found, declared_perturbations=[declared])
    assert (judgement.verdict, judgement.value) == (INSUFFICIENT, None)
    assert judgement.reason == (
        f"'noise' was tried on 'test' as noise 0.1, and is declared as {declared.kind} "
        f"{declared.amount}: evaluate the robustness again"
    )


def test_a_missing_column_is_said_before_too_few_rows():
    few = {"min_rows": 5000}
    judgement = one(threshold(**NIGHT, **few), sliced(absent={"night": ("hour",)}))
    assert judgement.verdict is INSUFFICIENT
    assert judgement.reason.startswith("the evaluation of 'test' has no column 'hour'")
    assert judgement.reason.endswith("; and 1000 rows are fewer than min_rows (5000)")
    unknown = one(parity(**few), table(sex=None))
    assert unknown.reason.startswith("the evaluation of 'test' has no sensitive feature 'sex'")
    assert one(parity(**few), table()).reason == "200 rows are fewer than min_rows (5000)"


def test_a_scorer_is_judged_by_its_pass_rate_or_its_mean():
    scorers = {"relevance": (0.9, None, 100, 0), "length": (None, 3.5, 40, 2)}
    passing = threshold(metric="pass_rate", scorer="relevance", min=0.8)
    judgement = one(passing, scorers=scorers)
    assert (judgement.verdict, judgement.value, judgement.n) == (PASS, 0.9, 100)
    assert (judgement.part, judgement.reason) == ("scorer relevance", "0.9 is not below 0.8")
    close = one(threshold(metric="pass_rate", scorer="relevance", min=0.85), scorers=scorers)
    assert "95 % interval 0.826 to 0.945 reaches across the limit" in close.reason
    mean = one(threshold(metric="mean_score", scorer="length", max=3), scorers=scorers)
    assert (mean.verdict, mean.reason) == (FAIL, "3.5 is above 3")


@pytest.mark.parametrize(
    ("scorers", "said"),
    [
        (None, "no scorer 'relevance' assessed this run; add it to mlflow.genai.evaluate"),
        ({"relevancy": (1.0, None, 9, 0)}, "did you mean 'relevancy'?"),
        ({"relevance": (None, 3.0, 99, 0)}, "passes or fails nothing"),
        ({"relevance": (1.0, None, 9, 0)}, "9 assessments are fewer than min_rows (30)"),
        ({"relevance": (math.nan, None, 99, 0)}, "passes or fails nothing"),
        ({"relevance": (None, None, 0, 0)}, "passes or fails nothing"),
        ({"relevance": (1.0, None, 99, 7)}, "but the scorer failed on 7"),
    ],
)
def test_a_scorer_without_assessments_proves_nothing(scorers, said):
    declared = threshold(metric="pass_rate", scorer="relevance", min=0.8)
    judgement = one(declared, table(), scorers=scorers)
    assert judgement.verdict is INSUFFICIENT
    assert said in judgement.reason


def multilabel(*label_counts, n=100):
    row = CountRow(group={}, n=n, label_counts=label_counts, exact={"subset_accuracy": 0.9})
    labels = tuple(f"label_{i}" for i in range(len(label_counts)))
    return EvaluationTable(dataset="test", task="multilabel", n=n, labels=labels, overall=row)


def test_a_multilabel_evaluation_is_judged():
    table = multilabel((40, 10, 10, 40), (20, 0, 0, 80))
    judgement = one(threshold(metric="f1_micro", min=0.8), table)
    assert (judgement.verdict, judgement.value) == (PASS, 120 / 140)
    assert one(threshold(metric="hamming_loss", max=0.05), table).verdict is FAIL
    wrong = one(threshold(metric="f1", min=0.5), table)
    assert "applies to binary, and this evaluation is multilabel" in wrong.reason


def test_labels_that_never_vary_prove_nothing():
    table = multilabel((100, 0, 0, 0), (0, 0, 0, 100))
    judgement = one(threshold(metric="hamming_loss", max=0.05), table)
    assert judgement.verdict is INSUFFICIENT
    assert "only one class" in judgement.reason


def test_a_ranking_evaluation_is_judged():
    row = CountRow(group={}, n=200, exact={"ndcg": 0.7}, undefined={"ndcg_at_10": "no relevance"})
    table = EvaluationTable(dataset="test", task="ranking", n=200, overall=row, n_queries=20)
    assert one(threshold(metric="ndcg", min=0.6), table).verdict is PASS
    undefined = one(threshold(metric="ndcg_at_10", min=0.6), table)
    assert (undefined.verdict, undefined.reason) == (INSUFFICIENT, "no relevance")
