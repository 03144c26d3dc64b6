"""Cards and records: every field once, measured as in the report, declared, or missing."""

import math
from datetime import UTC, datetime, timedelta
from typing import Any

import pandas
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aims_mlflow.catalogue.loader import load_catalogue
from aims_mlflow.evidence import EvidenceKind, canonical_bytes, digest, normalise
from aims_mlflow.facts import (
    DatasetFacts,
    MetricFacts,
    ModelFacts,
    ModelVersionFacts,
    Redaction,
    RunFacts,
)
from aims_mlflow.governance.authorship import Authorship
from aims_mlflow.governance.card_text import Written
from aims_mlflow.governance.system import AISystem
from aims_mlflow.model_card.bounds import MAX_ENTRIES, bound_list, bound_map, cut_text
from aims_mlflow.model_card.builder import build_card, is_required
from aims_mlflow.model_card.card import Card, EvidenceLink, Status
from aims_mlflow.model_card.evaluation import GenAIEvaluation, ScorerResult, build_report
from aims_mlflow.model_card.formats import Stamp
from aims_mlflow.model_card.formats.html import render_html
from aims_mlflow.model_card.formats.markdown import render_markdown
from aims_mlflow.model_card.records import (
    dataset_records,
    environment_lock,
    provenance_record,
    run_record,
)
from aims_mlflow.monitors.tables import aggregate
from aims_mlflow.planning import evaluate
from aims_mlflow.readings import (
    Fall,
    GroupRow,
    GroupTable,
    Interval,
    Judgement,
    PerturbationResult,
    Reading,
    Robustness,
    Scores,
    Verdict,
)

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
    model_versions=(ModelVersionFacts(name="credit-scoring", version="7"),),
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
    assert card.statement("monitoring").status is Status.MISSING


def declared(**more: Any) -> AISystem:
    return AISystem.model_validate(SYSTEM.model_dump(mode="json") | more)


LIMITS = [
    {"id": "night", "metric": "accuracy", "min": 0.9, "slice": "night", "reason": "Lit badly."},
    {"id": "gap", "metric": "accuracy", "min": 0.8, "feature": "sex", "reason": "Equal service."},
    {"id": "auc", "logged_metric": "val_auc", "min": 0.7, "dataset": "loans", "reason": "Agreed."},
    {"id": "silent", "metric": "accuracy", "min": 0.5},
    {"id": "drift", "metric": "drift_share", "max": 0.3, "column": "income", "reason": "Usual."},
]


def test_limits_of_training_are_reasoned_under_evaluation_and_name_their_part() -> None:
    system = declared(thresholds=LIMITS, slices=[{"name": "night", "where": {"hour": 2}}])
    card = card_of(system=system)
    rationale = card.statement("metric_rationale")
    assert (rationale.status, rationale.section) == (Status.DECLARED, "evaluation")
    assert {row["id"]: row["part"] for row in rationale.value} == {
        "night": "slice night",
        "gap": "by sex",
        "auc": "overall, on loans",
    }
    assert rationale.value[2]["metric"] == "val_auc (logged by the script)"
    assert rationale.value[0]["reason"] == "Lit badly."
    missing = card.statement("monitoring")
    assert missing.status is Status.MISSING
    assert "monitors: [{kind: drift" in missing.fix


def test_limits_without_a_reason_are_no_rationale() -> None:
    assert card_of().statement("metric_rationale").status is Status.MISSING


def test_a_monitor_is_told_with_the_limits_that_wait_for_it() -> None:
    system = declared(
        thresholds=LIMITS,
        slices=[{"name": "night", "where": {"hour": 2}}],
        monitors=[{"kind": "drift", "schedule": "0 6 * * *"}],
    )
    found = card_of(system=system).statement("monitoring")
    assert found.status is Status.DECLARED
    assert found.value["monitors"][0]["kind"] == "drift"
    assert [(row["id"], row["part"]) for row in found.value["thresholds"]] == [
        ("drift", "column income")
    ]


@pytest.mark.parametrize(
    ("data", "key"),
    [([], "sensitive_features"), ([{"name": "loans", "sensitive": True}], "data")],
)
def test_sensitive_data_names_the_line_it_comes_from(data: list[Any], key: str) -> None:
    report = build_report(FACTS, SYSTEM.id, SYSTEM, (), (), ())
    card = build_card(
        FACTS, SYSTEM.id, declared(data=data), report, lambda *path: "/".join(path[1:])
    )
    assert card.statement("sensitive_data").source == key


def test_a_disparity_stands_with_the_value_that_its_own_threshold_judged() -> None:
    gap = SCORE.disparities[0]
    other = Judgement(
        threshold="gap-of-large-groups",
        metric=gap.metric,
        feature=gap.feature,
        dataset="loans-test",
        value=None,
        limit="<= 0.1",
        verdict=Verdict.INSUFFICIENT,
        severity="major",
        reason="too small",
        n=3000,
        excluded=("X (n=12)", "Y (n=40)"),
        declared={"min_group_size": 100},
    )
    same = other.model_copy(
        update={
            "threshold": "gap",
            "value": gap.value,
            "n": gap.n,
            "excluded": gap.excluded,
            "verdict": Verdict.PASS,
            "declared": {"min_group_size": 30},
        }
    )

    def rows(*judgements: Judgement) -> list[tuple[Any, ...]]:
        report = build_report(FACTS, SYSTEM.id, SYSTEM, (SCORE,), judgements, ())
        card = build_card(FACTS, SYSTEM.id, SYSTEM, report, lambda *_: FILE)
        found = card.statement("fairness_assessment").value
        return [(row["value"], row["n"], row["verdict"]) for row in found[: len(judgements)]]

    assert rows(other) == [(None, 3000, "INSUFFICIENT")]
    assert rows(same, other) == [(gap.value, gap.n, "PASS"), (None, 3000, "INSUFFICIENT")]


def test_groups_are_compared_as_the_strictest_threshold_on_them_asks() -> None:
    sex = pandas.DataFrame({"sex": ["a"] * 60 + ["b"] * 60 + ["c"] * 40})
    table = aggregate([0, 1] * 80, [0, 1] * 80, sensitive_features=sex, dataset="loans-test")
    limit = {"metric": "accuracy_difference", "max": 0.1, "feature": "sex"}
    system = declared(
        thresholds=[
            {"id": "strict", **limit, "min_group_size": 50},
            {"id": "loose", **limit, "min_group_size": 10},
        ]
    )
    facts = FACTS.model_copy(update={"evaluations": (table.model_dump(mode="json"),)})
    report = evaluate(facts, system.id, system)
    (groups,) = report.scores[0].groups
    assert (groups.min_group_size, groups.rows[2].excluded) == (50, "n=40 below 50")
    found = next(d for d in report.scores[0].disparities if d.metric == "accuracy_difference")
    strict = next(j for j in report.judgements if j.threshold == "strict")
    assert (found.n, found.excluded) == (strict.n, strict.excluded) == (120, ("c (n=40)",))


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
    assert chain["registered_versions"][0]["version"] == "7"
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


# --- evidence, authors, text by hand --------------------------------------------------------------

LINKS = tuple(
    EvidenceLink(kind=kind, subject="3f2a", content_digest=f"{index}" * 64)
    for index, kind in enumerate(
        (
            EvidenceKind.RUN_RECORD,
            EvidenceKind.PROVENANCE_RECORD,
            EvidenceKind.EVALUATION_REPORT,
            EvidenceKind.ENVIRONMENT_LOCK,
            EvidenceKind.DATASET_RECORD,
        )
    )
)
ADA = Authorship(author="Ada Osei", time=START, commit="9f1c")


def full_card(
    facts: RunFacts = FACTS, links: tuple[EvidenceLink, ...] = LINKS, **more: Any
) -> Card:
    """A card with all that capture hands over; `report` arguments go to the report."""
    report = build_report(
        facts,
        "credit-scoring",
        SYSTEM,
        (SCORE,),
        (JUDGEMENT,),
        (),
        robustness=more.pop("robustness", ()),
        genai=more.pop("genai", None),
    )
    return build_card(facts, "credit-scoring", SYSTEM, report, where, evidence=links, **more)


def test_measured_statements_name_evidence_that_the_card_links_to() -> None:
    card = full_card()
    kinds = {link.kind for link in card.evidence}
    for statement in card.statements:
        assert set(statement.evidence) <= kinds, statement.field
        computed = statement.status is Status.MEASURED and statement.source != "card schema"
        assert bool(statement.evidence) is computed, statement.field
    assert card.statement("environment").evidence == (EvidenceKind.ENVIRONMENT_LOCK,)
    assert card.statement("metrics").evidence == (EvidenceKind.EVALUATION_REPORT,)
    assert card.statement("training_data").evidence == (EvidenceKind.DATASET_RECORD,)
    assert EvidenceKind.PROVENANCE_RECORD in card.statement("registry").evidence


def test_without_a_lock_the_environment_rests_on_the_run_record() -> None:
    links = tuple(link for link in LINKS if link.kind is not EvidenceKind.ENVIRONMENT_LOCK)
    assert full_card(links=links).statement("environment").evidence == (EvidenceKind.RUN_RECORD,)


def test_declared_statements_name_who_declared_them() -> None:
    asked: list[tuple[str, ...]] = []

    def authorship(system_id: str, *path: str) -> Authorship:
        asked.append((system_id, *path))
        return ADA

    card = full_card(authorship=authorship)
    assert card.statement("overview").authorship == ADA
    assert card.statement("overview").source == f"{FILE}:12"
    assert card.statement("intended_use").authorship == ADA
    assert ("credit-scoring", "card", "overview") in asked
    assert card.statement("fairness_assessment").declared_authorship == ADA
    assert card.statement("fairness_assessment").authorship is None
    assert card.statement("limitations").authorship is None
    assert ("credit-scoring", "human_oversight") not in asked


def test_mitigation_oversight_and_limits_are_declared_and_never_measured() -> None:
    fields = (
        *("human_oversight", "limitations", "ethical_considerations", "recommendations"),
        *("cybersecurity_measures", "metric_rationale", "explainability", "tradeoffs"),
    )
    text = dict.fromkeys(fields, "We look after it.")
    card = card_of(system=SYSTEM.model_copy(update={"card": text}))
    for name in fields:
        statement = card.statement(name)
        assert (statement.status, statement.evidence) == (Status.DECLARED, ()), name


def test_a_missing_machine_field_has_an_owner_too() -> None:
    missing = card_of(FACTS.model_copy(update={"params": {}})).statement("hyperparameters")
    assert (missing.status, missing.owner) == (Status.MISSING, "Ada Osei")
    assert missing.fix == "training script: mlflow.log_params({...})"


def test_sections_written_by_hand_are_on_the_card() -> None:
    written = Written(title="History", text="It *began*.", source="x.card.md:7", authorship=ADA)
    card = full_card(written=(written,))
    assert card.written == (written,)
    assert card.body()["written"][0]["authorship"]["author"] == "Ada Osei"


def test_left_out_secrets_are_noted_by_their_place_alone() -> None:
    one = Redaction(where="param db_password", rule="key named like a secret")
    notes = full_card(FACTS.model_copy(update={"redactions": (one,)})).notes
    assert "1 value was left out because it looked like a secret: param db_password" in notes
    many = tuple(Redaction(where=f"param p{i}", rule="r") for i in range(15))
    (note,) = [
        note
        for note in full_card(FACTS.model_copy(update={"redactions": many})).notes
        if "left out" in note
    ]
    assert note.startswith("15 values were left out because they looked like secrets: param p0,")
    assert note.endswith("param p9 and 5 more")


# --- fields that other libraries fill -------------------------------------------------------------


@pytest.mark.parametrize(
    ("known", "tags", "expected"),
    [
        ("sklearn", {"estimator_class": "sklearn.linear_model._ridge.Ridge"}, "sklearn.linear_"),
        ("sklearn", {"estimator_name": "Ridge"}, "Ridge"),
        ("sklearn", {}, "sklearn"),
        ("lightgbm.sklearn.LGBMClassifier", {"estimator_class": "other"}, "lightgbm.sklearn."),
    ],
)
def test_the_class_of_a_model_is_told_where_anything_tells_it(
    known: str, tags: dict[str, str], expected: str
) -> None:
    model = MODEL.model_copy(update={"model_class": known, "flavors": {"sklearn": "1.7"}})
    card = card_of(FACTS.model_copy(update={"models": (model,), "tags": tags}))
    assert card.statement("model_type").value[0].startswith(expected)


def test_a_tag_names_no_class_where_it_may_mean_another_model() -> None:
    model = MODEL.model_copy(update={"model_class": "sklearn", "flavors": {"sklearn": "1.7"}})
    tags = {"estimator_class": "sklearn.linear_model._ridge.Ridge"}
    facts = FACTS.model_copy(update={"models": (model, MODEL), "tags": tags})
    assert card_of(facts).statement("model_type").value[0] == "sklearn"


def test_a_base_model_is_read_from_what_trainers_log() -> None:
    model = MODEL.model_copy(update={"flavors": {"transformers": "4.57"}})
    params = {"_name_or_path": "org/base"}
    derived = card_of(FACTS.model_copy(update={"models": (model,), "params": params}))
    assert derived.statement("base_model").value == ["org/base"]
    assert (
        card_of(FACTS.model_copy(update={"params": params})).statement("base_model").value is None
    )
    tagged = card_of(FACTS.model_copy(update={"tags": {"base_model": "org/other"}}))
    assert tagged.statement("base_model").value == ["org/other"]


def test_intervals_stand_beside_the_values() -> None:
    interval = Interval(low=0.89, high=0.92, method="DeLong")
    reading = Reading(metric="roc_auc", value=0.9041, n=9768, interval=interval)
    score = SCORE.model_copy(update={"overall": (reading, SCORE.overall[0])})
    rows = card_of(scores=(score,)).statement("metrics").value["measured on an evaluated dataset"]
    assert (rows[0]["interval_low"], rows[0]["interval_high"]) == (0.89, 0.92)
    assert list(rows[0])[2:5] == ["value", "interval_low", "interval_high"]
    assert "interval_low" not in rows[1]


def test_a_threshold_on_a_part_is_not_shown_beside_the_whole() -> None:
    part = JUDGEMENT.model_copy(update={"part": "slice night", "limit": ">= 0.5"})
    card = card_of(judgements=(part,))
    rows = card.statement("metrics").value["measured on an evaluated dataset"]
    assert {row["limit"] for row in rows} == {""}
    assert card.about.key_figures[0].dataset == "loans-test, slice night"


def test_robustness_is_measured_with_its_sampling() -> None:
    tested = Robustness(
        dataset="loans-test",
        task="binary",
        n=100,
        n_total=1000,
        seed=7,
        error_bound=0.1,
        results=(
            PerturbationResult(
                id="noise",
                kind="noise",
                amount=0.1,
                columns=("income",),
                falls=(Fall(metric="accuracy", clean=0.9, perturbed=0.8, fall=0.1),),
            ),
            PerturbationResult(
                id="swap", kind="category_swap", amount=0.1, columns=(), note="none"
            ),
        ),
    )
    statement = full_card(robustness=(tested,)).statement("robustness_safety_tests")
    assert statement.status is Status.MEASURED
    assert statement.value["rows perturbed"][0]["of"] == 1000
    falls = statement.value["falls"]["entries"]
    assert [(row["perturbation"], row["fall"], row["note"]) for row in falls] == [
        ("noise", 0.1, ""),
        ("swap", None, "none"),
    ]
    missing = full_card().statement("robustness_safety_tests")
    assert "aims_mlflow.evaluate_robustness" in missing.fix


def test_what_scorers_said_is_measured() -> None:
    scored = ScorerResult(scorer="relevance", judged_by="code", n=9, errors=1, pass_rate=0.9)
    card = full_card(genai=GenAIEvaluation(traces=10, failed=0, scorers=(scored,)))
    (row,) = card.statement("metrics").value["scorers of generative AI"]
    assert (row["metric"], row["value"], row["errors"]) == ("pass_rate", 0.9, 1)
    assert card.statement("task").value == ["binary", "genai"]
    assert "mlflow.genai.evaluate" in card.statement("evaluation_source").value["name"]
    assert any(figure.dataset == "scorer relevance" for figure in card.about.key_figures)
