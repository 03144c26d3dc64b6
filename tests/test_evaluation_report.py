"""The evaluation report: its verdict, its identity, and what it could not judge."""

import math
from datetime import UTC, datetime

import pytest

from aims_mlflow.evidence import canonical_bytes, normalise
from aims_mlflow.facts import DatasetFacts, MetricFacts, RunFacts, SelectionFacts
from aims_mlflow.governance.system import AISystem
from aims_mlflow.model_card.evaluation import EvaluationReport, GenAIEvaluation, build_report
from aims_mlflow.readings import GroupTable, Judgement, Reading, Scores, Verdict

FACTS = RunFacts(
    run_id="3f2a",
    run_name="bright-owl",
    experiment_id="7",
    experiment_name="credit",
    status="FINISHED",
    start_time=datetime(2026, 11, 20, 9, 30, tzinfo=UTC),
)
SYSTEM = AISystem.model_validate(
    {"id": "credit", "name": "Credit", "sensitive_features": [{"name": "sex"}, {"name": "age"}]}
)
SCORE = Scores(
    dataset="test-2026",
    task="binary",
    n=100,
    overall=(Reading(metric="accuracy", value=0.8, n=100),),
)


def judged(verdict: Verdict, threshold: str = "min-accuracy") -> Judgement:
    return Judgement(
        threshold=threshold,
        metric="accuracy",
        feature=None,
        dataset="test-2026",
        value=0.8,
        limit=">= 0.7",
        verdict=verdict,
        severity="major",
        reason="because",
    )


def report(
    facts: RunFacts = FACTS,
    system: AISystem | None = SYSTEM,
    scores: tuple[Scores, ...] = (SCORE,),
    judgements: tuple[Judgement, ...] = (),
    problems: tuple[str, ...] = (),
    genai: GenAIEvaluation | None = None,
) -> EvaluationReport:
    return build_report(facts, "credit", system, scores, judgements, problems, genai=genai)


@pytest.mark.parametrize(
    ("verdicts", "expected"),
    [
        ([], "INSUFFICIENT"),
        (["PASS"], "PASS"),
        (["PASS", "INSUFFICIENT"], "INSUFFICIENT"),
        (["PASS", "INSUFFICIENT", "FAIL"], "FAIL"),
    ],
)
def test_the_verdict_is_the_worst_judgement(verdicts: list[str], expected: str) -> None:
    found = report(judgements=tuple(judged(Verdict(verdict)) for verdict in verdicts))
    assert found.verdict == expected


def test_the_body_has_what_the_mapper_reads() -> None:
    body = report(judgements=(judged(Verdict.PASS),)).body()
    assert {"judgements", "datasets", "verdict", "scores", "declared_digest"} <= body.keys()
    assert body["judgements"][0]["threshold"] == "min-accuracy"
    assert body["scores"][0]["overall"][0]["value"] == 0.8
    assert body["declared_digest"] == SYSTEM.digest()
    assert report(system=None).body()["declared_digest"] is None


def test_a_dataset_of_the_same_name_gives_its_digest() -> None:
    def logged(*digests: str) -> RunFacts:
        inputs = tuple(
            DatasetFacts(name="test-2026", digest=d, source_type="local", source="x.csv")
            for d in digests
        )
        return FACTS.model_copy(update={"datasets": inputs})

    assert report(logged("d1", "d1")).datasets[0].digest == "d1"
    assert report(logged("d1", "d2")).datasets[0].digest is None
    unknown = report()
    assert unknown.datasets[0].digest is None
    assert any("mlflow.log_input" in item.fix for item in unknown.insufficient)


def test_no_evaluation_names_the_line_to_add() -> None:
    fixes = [item.fix for item in report(scores=()).insufficient]
    assert (
        'aims_mlflow.log_evaluation(y_true, y_pred, sensitive_features=frame[["sex", "age"]])'
        in fixes
    )


def test_an_evaluation_without_groups_names_the_declared_features() -> None:
    assert any(
        item.subject == "Groups of test-2026" and '["sex", "age"]' in item.fix
        for item in report().insufficient
    )


def test_groups_of_an_undeclared_feature_are_no_answer_for_the_declared_ones() -> None:
    table = GroupTable(dataset=SCORE.dataset, features=("city",), rows=(), min_group_size=30)
    found = report(scores=(SCORE.model_copy(update={"groups": (table,)}),))
    (gap,) = [item for item in found.insufficient if item.subject.startswith("Groups of")]
    assert gap.reason.endswith("names no group of 'sex', 'age'")
    age = table.model_copy(update={"features": ("age", "city")})
    found = report(scores=(SCORE.model_copy(update={"groups": (age,)}),))
    (gap,) = [item for item in found.insufficient if item.subject.startswith("Groups of")]
    assert gap.reason.endswith("names no group of 'sex'")


def test_no_threshold_says_where_to_declare_one() -> None:
    first = report().insufficient[0]
    assert "declares no threshold" in first.reason
    assert first.fix.startswith("thresholds: ")
    assert "governance/systems/credit.yaml" in report(system=None).insufficient[0].fix
    unclaimed = build_report(FACTS, None, None, (), (), ())
    assert "aims_mlflow.govern" in unclaimed.insufficient[0].fix


def test_an_insufficient_judgement_and_a_refused_evaluation_are_told() -> None:
    found = report(
        judgements=(judged(Verdict.INSUFFICIENT, "tpr-age"),), problems=("y_true has 2 NaN",)
    )
    told = {(item.subject, item.reason) for item in found.insufficient}
    assert ("tpr-age", "because") in told
    assert ("Evaluation", "refused: y_true has 2 NaN") in told


def test_logged_metrics_are_there_and_not_judged() -> None:
    metrics = tuple(
        MetricFacts(key=key, value=value, step=3, time=FACTS.start_time)
        for key, value in (("loss", math.nan), ("auc", 0.9))
    )
    found = report(FACTS.model_copy(update={"metrics": metrics}))
    assert [metric.key for metric in found.logged_metrics] == ["auc", "loss"]
    assert found.verdict is Verdict.INSUFFICIENT
    body, notes = normalise(found.body())
    assert body["logged_metrics"]["entries"][1]["value"] == "NaN"
    assert [note.change for note in notes] == ["NaN written as text"]


def test_the_same_run_gives_the_same_bytes() -> None:
    first, second = (canonical_bytes(normalise(report().body())[0]) for _ in range(2))
    assert first == second


SWEEP = SelectionFacts(
    parent_run_id="p", parent_name="sweep", candidates=500, finished=498, chosen_by=""
)


def subjects(found: EvaluationReport) -> dict[str, str]:
    return {item.subject: f"{item.reason} -> {item.fix}" for item in found.insufficient}


def test_the_best_of_many_says_that_its_value_is_optimistic() -> None:
    chosen = SWEEP.model_copy(
        update={"chosen_by": "sweep rule", "metric": "val_rmse", "mode": "min", "rank": 1}
    )
    found = report(FACTS.model_copy(update={"selection": chosen}))
    assert found.selection == chosen
    assert "500 candidates by 'val_rmse'" in subjects(found)["Selection"]
    assert "took no part in the selection" in subjects(found)["Selection"]
    registered = chosen.model_copy(update={"metric": None, "chosen_by": "registration"})
    assert "Selection" not in subjects(report(FACTS.model_copy(update={"selection": registered})))


def test_a_sweep_without_a_chosen_candidate_names_the_rule_to_declare() -> None:
    found = subjects(report(FACTS.model_copy(update={"selection": SWEEP}), scores=()))
    assert "none of 500 candidates was chosen" in found["Sweep"]
    assert "sweep: {chosen: best, metric: ..., mode: min}" in found["Sweep"]
    assert "Evaluation" not in found


def test_generative_ai_needs_scorers_and_no_table() -> None:
    found = report(scores=(), genai=GenAIEvaluation(traces=12, failed=1, scorers=()))
    assert "12 traces were evaluated" in subjects(found)["Scorers"]
    assert "scorers=[...]" in subjects(found)["Scorers"]
    assert "Evaluation" not in subjects(found)


def test_a_ranking_is_not_asked_for_groups() -> None:
    ranking = SCORE.model_copy(update={"task": "ranking"})
    assert "Groups of test-2026" not in subjects(report(scores=(ranking,)))
