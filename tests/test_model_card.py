"""Cards and records: every field once, measured as in the report, declared, or missing."""

import math
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aims_mlflow.catalogue.loader import load_catalogue
from aims_mlflow.evidence import canonical_bytes, digest, normalise
from aims_mlflow.facts import DatasetFacts, MetricFacts, ModelFacts, ModelVersionFacts, RunFacts
from aims_mlflow.governance.system import AISystem
from aims_mlflow.model_card.bounds import MAX_ENTRIES, bound_list, bound_map, cut_text
from aims_mlflow.model_card.builder import build_card, is_required
from aims_mlflow.model_card.card import Card, Status
from aims_mlflow.model_card.evaluation import build_report
from aims_mlflow.model_card.formats import Stamp
from aims_mlflow.model_card.formats.html import render_html
from aims_mlflow.model_card.formats.markdown import render_markdown
from aims_mlflow.model_card.records import (
    dataset_records,
    environment_lock,
    provenance_record,
    run_record,
)
from aims_mlflow.readings import GroupRow, GroupTable, Judgement, Reading, Scores, Verdict

START = datetime(2026, 11, 20, 9, 30, tzinfo=UTC)
FILE = "governance/systems/credit-scoring.yaml"
LOANS = DatasetFacts(
    name="loans",
    digest="a1b2c3d4",
    source_type="s3",
    source="s3://bank/loans.parquet",
    context="training",
    schema_text='{"mlflow_colspec": [{"type": "double", "name": "income", "required": true}]}',
    profile='{"num_rows": 39074, "num_elements": 547036}',
)
MODEL = ModelFacts(
    model_id="m-77",
    name="credit-lgbm",
    uri="models:/m-77",
    flavors={"lightgbm": "4.6.0"},
    model_class="lightgbm.sklearn.LGBMClassifier",
    inputs=({"type": "double", "name": "income", "required": True},),
    outputs=({"type": "long"},),
    created=START + timedelta(minutes=6),
    mlmodel_sha256="ab" * 32,
)
FACTS = RunFacts(
    run_id="3f2a",
    run_name="bright-owl",
    experiment_id="7",
    experiment_name="credit",
    status="FINISHED",
    user="ada",
    start_time=START,
    end_time=START + timedelta(minutes=7),
    git_commit="9f1c",
    params={"seed": "7"},
    metrics=(MetricFacts(key="val_auc", value=0.903, step=4, time=START),),
    tags={"team": "risk", "mlflow.user": "ada"},
    datasets=(LOANS,),
    models=(MODEL,),
    model_versions=(ModelVersionFacts(name="credit-scoring", version="7", aliases=("champion",)),),
    artifacts=("plots/roc.png", "model.txt"),
    environment={
        "packages": {"numpy": "2.1", "mlflow": "3.17.2"},
        "python": {"version": "3.11.9"},
        "hardware": {"cpu_count": 8},
        "git": {"commit": "9f1c", "dirty": True},
    },
)
SYSTEM = AISystem.model_validate(
    {
        "id": "credit-scoring",
        "name": "Consumer credit scoring",
        "owner": {"name": "Ada Osei", "email": "ada@bank.example"},
        "intended_use": "Rank applications.",
        "risk_tier": "high",
        "sensitive_features": [{"name": "sex"}, {"name": "age", "bins": [25, 40]}],
        "data": [{"name": "loans", "lawful_basis": "contract", "retention": "P5Y"}],
        "thresholds": [{"id": "min-auc", "metric": "roc_auc", "min": 0.75}],
        "card": {
            "overview": "Scores between 0 and 1.",
            "fairness_assessment": [{"group": "women", "harms": "refusals"}],
        },
    }
)
SCORE = Scores(
    dataset="loans-test",
    task="binary",
    n=9768,
    overall=(
        Reading(metric="accuracy", value=0.8512345678901, n=9768),
        Reading(metric="roc_auc", value=0.9041, n=9768),
        Reading(metric="log_loss", value=None, n=9768, reason="no scores were given"),
    ),
    groups=(
        GroupTable(
            dataset="loans-test",
            features=("sex",),
            min_group_size=30,
            rows=(
                GroupRow(group={"sex": "F"}, n=3211, metrics={"accuracy": 0.9}),
                GroupRow(group={"sex": "X"}, n=12, metrics={}, excluded="n=12 below 30"),
            ),
        ),
    ),
    disparities=(Reading(metric="accuracy_difference", value=0.04, n=9756, feature="sex"),),
)
JUDGEMENT = Judgement(
    threshold="min-auc",
    metric="roc_auc",
    feature=None,
    dataset="loans-test",
    value=0.9041,
    limit=">= 0.75",
    verdict=Verdict.PASS,
    severity="major",
    reason="0.9041 is at least 0.75",
    n=9768,
)
BARE = RunFacts(
    run_id="e1",
    run_name="lost-fox",
    experiment_id="0",
    experiment_name="Default",
    status="FINISHED",
    start_time=START,
)


def where(system_id: str, *path: str) -> str:
    return f"governance/systems/{system_id}.yaml" + (":12" if path else "")


def card_of(
    facts: RunFacts = FACTS,
    system: AISystem | None = SYSTEM,
    system_id: str | None = "credit-scoring",
    scores: tuple[Scores, ...] = (SCORE,),
    judgements: tuple[Judgement, ...] = (JUDGEMENT,),
) -> Card:
    report = build_report(facts, system_id, system, scores, judgements, ())
    return build_card(facts, system_id, system, report, where)


def test_every_field_of_the_catalogue_is_on_the_card_once() -> None:
    fields = [statement.field for statement in card_of().statements]
    assert len(fields) == 64
    assert sorted(fields) == sorted(f.field for f in load_catalogue().card_fields)


def test_required_statements_are_measured_declared_or_missing() -> None:
    card = card_of()
    counts = card.completeness
    assert counts.required == counts.measured + counts.declared + counts.missing
    assert counts.missing == len(card.missing) > 0
    assert card.body()["completeness"] == counts.model_dump()


def test_every_statement_has_a_value_and_its_source_or_neither() -> None:
    for statement in card_of().statements:
        if statement.status is Status.MISSING:
            assert statement.value is None
            assert statement.fix, statement.field
        else:
            assert statement.value not in (None, "", [], {}), statement.field
            assert statement.source, statement.field


def test_a_missing_human_field_names_its_key_its_file_and_who_answers() -> None:
    missing = card_of().statement("limitations")
    assert missing.status is Status.MISSING
    assert missing.fix.startswith(FILE)
    assert "card: {limitations: ...}" in missing.fix
    assert missing.owner == "Ada Osei"


def test_a_field_with_a_key_of_its_own_names_that_key() -> None:
    assert "human_oversight: ..." in card_of().statement("human_oversight").fix


def test_declared_fields_name_the_line_they_came_from() -> None:
    overview = card_of().statement("overview")
    assert (overview.status, overview.value) == (Status.DECLARED, "Scores between 0 and 1.")
    assert overview.source == f"{FILE}:12"
    acquisition = card_of().statement("data_acquisition").value
    assert acquisition[0]["lawful_basis"] == "contract"
    assert acquisition[0]["licence"] == "missing"


def test_measured_numbers_are_those_of_the_report() -> None:
    card = card_of()
    rows = card.statement("metrics").value["measured on an evaluated dataset"]
    assert {row["metric"]: row["value"] for row in rows} == {
        reading.metric: reading.value for reading in SCORE.overall
    }
    judged = next(row for row in rows if row["metric"] == "roc_auc")
    assert (judged["limit"], judged["verdict"]) == (">= 0.75", "PASS")
    assert next(row for row in rows if row["metric"] == "accuracy")["verdict"] is None
    groups = card.statement("disaggregated_results").value[0]["rows"]
    assert groups[1]["excluded"] == "n=12 below 30"
    assert card.about.key_figures[0].value == 0.9041


def test_what_people_state_stands_beside_what_was_measured() -> None:
    fairness = card_of().statement("fairness_assessment")
    assert fairness.status is Status.MEASURED
    assert fairness.value[0]["metric"] == "accuracy_difference"
    assert fairness.declared == [{"group": "women", "harms": "refusals"}]
    assert fairness.declared_source == f"{FILE}:12"


def test_a_key_of_its_own_and_card_text_are_both_kept() -> None:
    system = SYSTEM.model_copy(update={"card": {"intended_use": "In more words."}})
    statement = card_of(system=system).statement("intended_use")
    assert (statement.value, statement.declared) == ("Rank applications.", "In more words.")


def test_the_run_fills_what_it_can() -> None:
    card = card_of()
    assert card.title == "credit-scoring"
    assert card.statement("version").value[0]["version"] == "7"
    assert card.statement("inputs").value["entries"][0]["name"] == "income"
    assert card.statement("library").value == [{"flavor": "lightgbm", "version": "4.6.0"}]
    assert card.statement("training_data").value[0]["rows"] == 39074
    assert card.statement("evaluation_data").value[0]["name"] == "loans-test"
    assert card.statement("registry").value["uncommitted_changes"] is True
    assert card.statement("compute").value == {"cpu_count": 8, "duration_seconds": 420.0}
    assert card.statement("graphics").value["entries"] == ["plots/roc.png"]
    assert card.statement("tags").value["entries"] == {"team": "risk"}
    assert [row["limit"] for row in card.statement("monitoring").value["thresholds"]] == [">= 0.75"]


def test_a_run_of_no_system_gets_an_honest_card() -> None:
    card = card_of(BARE, None, None, (), ())
    assert card.title == "lost-fox"
    assert card.about.verdict is Verdict.INSUFFICIENT
    assert any("no model" in alert for alert in card.about.alerts)
    assert any("No AI system" in alert for alert in card.about.alerts)
    assert "@aims_mlflow.govern" in card.statement("system_id").fix
    assert card.completeness.declared == 0
    assert {s.field for s in card.statements if s.status is Status.MEASURED} == {
        "schema_version",
        "card_id",
        "card_status",
        "registry",
        "change_history",
    }


def test_an_undeclared_system_is_named_with_the_file_to_write() -> None:
    card = card_of(BARE, None, "churn", (), ())
    assert any("'churn' is not declared" in alert for alert in card.about.alerts)
    assert card.statement("system_id").status is Status.MISSING
    assert "governance/systems/churn.yaml" in card.statement("overview").fix


def test_a_failed_run_says_so_first() -> None:
    failed = FACTS.model_copy(update={"status": "FAILED", "exception": "ValueError: abc"})
    assert card_of(failed).about.alerts[0] == "The run is FAILED, not FINISHED: ValueError: abc"


def test_a_run_without_data_or_metrics_says_what_to_add() -> None:
    facts = FACTS.model_copy(update={"datasets": (), "metrics": ()})
    card = card_of(facts, scores=(), judgements=())
    assert "mlflow.log_input" in card.statement("training_data").fix
    assert "log_evaluation" in card.statement("metrics").fix
    assert card.statement("evaluation_source").status is Status.MISSING


def test_data_of_unknown_use_is_not_taken_for_training_data() -> None:
    unplaced = FACTS.model_copy(update={"datasets": (LOANS.model_copy(update={"context": None}),)})
    card = card_of(unplaced)
    assert card.statement("training_data").status is Status.MISSING
    assert any("'loans'" in note for note in card.notes)


@pytest.mark.parametrize(
    ("rule", "system", "expected"),
    [
        ("always", None, True),
        ("if_high_risk", SYSTEM, True),
        ("if_high_risk", None, False),
        ("if_affects_people", SYSTEM, True),
        ("if_affects_people", SYSTEM.model_copy(update={"sensitive_features": ()}), False),
        ("if_text_or_speech", SYSTEM, False),
        ("if_derived", SYSTEM, False),
        ("at_retirement", SYSTEM, False),
        ("optional", SYSTEM, False),
    ],
)
def test_conditional_requirements(rule: str, system: AISystem | None, expected: bool) -> None:
    assert is_required(rule, system) is expected


def test_a_condition_that_is_known_not_to_hold_is_told() -> None:
    low = AISystem.model_validate({"id": "x", "name": "X", "risk_tier": "minimal"})
    statement = card_of(system=low).statement("cybersecurity_measures")
    assert (statement.status, statement.required) == (Status.NOT_APPLICABLE, False)
    assert "minimal" in statement.value


def test_the_same_facts_give_the_same_body() -> None:
    first, second = (canonical_bytes(normalise(card_of().body())[0]) for _ in range(2))
    assert first == second


def test_nan_reaches_the_normaliser() -> None:
    facts = FACTS.model_copy(
        update={"metrics": (MetricFacts(key="loss", value=math.nan, step=0, time=None),)}
    )
    for body in (card_of(facts).body(), run_record(facts, None)):
        assert any(note.change == "NaN written as text" for note in normalise(body)[1])


def test_run_and_provenance_records_tell_the_chain() -> None:
    record, chain = run_record(FACTS, "credit-scoring"), provenance_record(FACTS)
    assert record["run"]["system"] == "credit-scoring"
    assert record["metrics"]["entries"]["val_auc"]["value"] == 0.903
    assert chain["datasets"] == [{"name": "loans", "digest": "a1b2c3d4", "context": "training"}]
    assert chain["models"][0]["mlmodel_sha256"] == "ab" * 32
    assert chain["registered_versions"][0]["aliases"] == ["champion"]
    assert chain["code"]["git_commit"] == "9f1c"


def test_dataset_records_hold_measured_and_declared() -> None:
    ((dataset, body),) = dataset_records(FACTS, SYSTEM)
    assert dataset is LOANS
    assert body["measured"]["profile"]["num_rows"] == 39074
    assert body["measured"]["columns"]["entries"][0]["name"] == "income"
    assert body["declared"]["retention"] == "P5Y"
    assert body["declared"]["licence"] == "missing"
    assert set(dataset_records(FACTS, None)[0][1]["declared"].values()) == {"missing"}


@pytest.mark.parametrize("text", ["", "{", "[1]", '{"other": 1}', "null"])
def test_an_unreadable_schema_is_missing(text: str) -> None:
    broken = LOANS.model_copy(update={"schema_text": text, "profile": text})
    body = dataset_records(FACTS.model_copy(update={"datasets": (broken,)}), None)[0][1]
    assert body["measured"]["columns"] == "missing"


def test_the_environment_lock_has_a_digest_over_its_packages() -> None:
    lock = environment_lock(FACTS)
    assert lock is not None
    assert lock["package_count"] == 2
    assert lock["lock_sha256"] == digest(b'{"mlflow":"3.17.2","numpy":"2.1"}')
    assert environment_lock(BARE) is None


def test_a_huge_parameter_is_cut_and_sealed() -> None:
    text = "x" * 10_000_000
    facts = FACTS.model_copy(update={"params": {"blob": text}})
    body = canonical_bytes(normalise(run_record(facts, None))[0])
    assert len(body) < 10_000
    assert digest(text.encode()) in body.decode()
    assert "10000000 characters" in body.decode()


def test_too_many_parameters_are_counted_and_sealed() -> None:
    params = {f"p{index:06}": "1" for index in range(100_000)}
    value = card_of(FACTS.model_copy(update={"params": params})).statement("hyperparameters").value
    assert value["count"] == 100_000
    assert list(value["entries"]) == sorted(params)[:MAX_ENTRIES]
    assert value["sha256"] == digest(canonical_bytes(params))


@given(st.text(max_size=2_000))
def test_cut_texts_are_bounded_and_short_ones_untouched(text: str) -> None:
    cut = cut_text(text)
    assert len(cut) < 650
    assert (cut == text) is (len(text) <= 500)


@given(st.dictionaries(st.text(), st.text()), st.lists(st.integers()))
def test_bounds_keep_small_collections_whole(values: dict[str, str], items: list[int]) -> None:
    assert bound_map(values)["entries"] == values
    assert bound_list(items)["entries"] == items
    assert bound_map(values)["count"] == len(values)


def test_card_text_may_be_any_yaml() -> None:
    deep: list[object] = []
    for _ in range(100):
        deep = [deep]
    odd = {
        "references": {"b", "a"},
        "approvals": [{"time": datetime(2026, 1, 1)}],  # noqa: DTZ001
        "logging": {"count": "x", "sha256": 1, "entries": 5},
        "recommendations": deep,
    }
    card = card_of(system=SYSTEM.model_copy(update={"card": odd}))
    assert card.statement("references").value == ["a", "b"]
    assert card.statement("approvals").value == [{"time": "2026-01-01T00:00:00"}]
    stamp = Stamp(version=1, supersedes=None, evidence_id="5e" * 32)
    assert b"(cut)" in render_html(card, stamp)
    assert b"sha256" in render_markdown(card, stamp)
