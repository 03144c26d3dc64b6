"""What an item of evidence counts for, and the sentence that an auditor reads when it does not."""

from datetime import UTC, date, datetime

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aims_mlflow.catalogue.loader import STANDARD, load_catalogue
from aims_mlflow.evidence import Draft, Evidence, EvidenceKind, Subject, SubjectType, evidence_id
from aims_mlflow.governance.soa_decisions import DeclaredItem
from aims_mlflow.mapper import SYSTEM_SCOPES, map_evidence

REPORT = {
    "judgements": [{"threshold": "min-auc", "verdict": "PASS"}],
    "datasets": ["test"],
    "verdict": "PASS",
}


def evidence(
    kind, *, system="credit", subject=SubjectType.RUN, body=None, actor="job", keep_body=True
):
    draft = Draft(
        kind=kind,
        system=system,
        subject=Subject(type=subject, id="r1", run_id="r1" if subject == "run" else None),
        event_time=datetime(2026, 11, 1, tzinfo=UTC),
        body=body or {},
    )
    return Evidence(
        id=evidence_id(draft.content_digest(), None),
        kind=kind,
        system=system,
        subject=draft.subject,
        version=1,
        supersedes=None,
        event_time=draft.event_time,
        capture_time=draft.event_time,
        receipt_time=draft.event_time,
        actor=actor,
        source="test",
        content_digest=draft.content_digest(),
        body_sha256="0" * 64,
        body=draft.body if keep_body else None,
    )


def pointer(kind="impact_assessment", **changes):
    given = {"title": "t", "date": date(2026, 11, 1), "owner": "Ann", "system": "credit"}
    return DeclaredItem(kind=kind, **(given | changes))


def served(mapping, aspect=None):
    return {link.control for link in mapping.links if aspect in (None, link.aspect)}


def rules(mapping):
    return {refusal.control: refusal.rule for refusal in mapping.refusals}


def reference(control):
    return f"{STANDARD} {control}"


def test_an_evaluation_report_shows_operation_of_verification():
    mapping = map_evidence(evidence(EvidenceKind.EVALUATION_REPORT, body=REPORT))
    assert reference("A.6.2.4") in served(mapping, "operation")
    assert not served(mapping, "design")
    assert not mapping.refusals


@settings(deadline=None)
@given(kind=st.sampled_from(sorted(set(EvidenceKind) - {EvidenceKind.GAP})))
def test_links_and_refusals_are_exactly_what_the_map_lists(kind):
    body = {**REPORT, "completeness": {"required": 1, "measured": 0, "declared": 1, "missing": 0}}
    mapping = map_evidence(evidence(kind, body=body))
    controls = load_catalogue().controls
    design = {c.reference for c in controls if kind in c.design_evidence}
    operation = {c.reference for c in controls if kind in c.operation_evidence}
    assert served(mapping, "design") == design
    assert served(mapping, "operation") == operation
    assert all(link.reason for link in mapping.links)


@settings(deadline=None)
@given(
    kind=st.sampled_from(sorted(EvidenceKind)),
    subject=st.sampled_from(sorted(SubjectType)),
    system=st.sampled_from(["credit", None]),
)
def test_nothing_is_dropped_without_a_word(kind, subject, system):
    mapping = map_evidence(evidence(kind, subject=subject, system=system))
    assert mapping.links or mapping.refusals
    assert not served(mapping) & set(rules(mapping)), "a control links or refuses, never both"


@settings(deadline=None)
@given(kind=st.sampled_from(sorted(set(EvidenceKind) - {EvidenceKind.GAP})))
def test_an_organization_level_item_never_serves_a_control_about_systems(kind):
    item = evidence(kind, system=None, subject=SubjectType.ORGANIZATION)
    scopes = {c.reference: c.scope for c in load_catalogue().controls}
    assert not {scopes[c] for c in served(map_evidence(item))} & SYSTEM_SCOPES


@pytest.mark.parametrize(
    ("kind", "control", "rule"),
    [
        (EvidenceKind.IMPACT_ASSESSMENT, "A.5.3", "R2"),
        (EvidenceKind.RISK_REGISTER_ENTRY, "A.5.5", "R3"),
        (EvidenceKind.POLICY_DOCUMENT, "A.6.1.2", "scope"),
    ],
)
def test_organization_wide_items_are_refused_in_the_words_of_the_rule(kind, control, rule):
    mapping = map_evidence(evidence(kind, system=None, subject=SubjectType.ORGANIZATION))
    assert rules(mapping)[reference(control)] == rule


@pytest.mark.parametrize("kind", load_catalogue().security_kinds)
def test_a_security_artifact_serves_nothing(kind):
    mapping = map_evidence(pointer(kind), control="A.5.4")
    assert not mapping.links
    assert rules(mapping) == {None: "R1"}
    assert "security artifact" in mapping.refusals[0].reason


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"date": None}, "no date"),
        ({"owner": None}, "no owner"),
        ({"date": None, "owner": None}, "no date and no owner"),
    ],
)
def test_an_undated_or_ownerless_pointer_is_refused(changes, words):
    mapping = map_evidence(pointer(**changes), control="A.5.3")
    assert rules(mapping) == {None: "R6"}
    assert words in mapping.refusals[0].reason


def test_evidence_without_a_maker_is_refused():
    assert rules(map_evidence(evidence(EvidenceKind.MODEL_CARD, actor=" "))) == {None: "R6"}


def test_a_pointer_serves_the_control_it_stands_under_and_no_other():
    mapping = map_evidence(pointer(), control="A.5.3")
    assert served(mapping) == {reference("A.5.3")}
    assert "declared by Ann; not verified" in mapping.links[0].reason
    elsewhere = map_evidence(pointer(), control="A.7.3")
    assert rules(elsewhere) == {reference("A.7.3"): "kind"}
    assert "it serves A.5.2, A.5.3" in elsewhere.refusals[0].reason
    with pytest.raises(KeyError):
        map_evidence(pointer(), control="A.5.1")


def test_a_pointer_without_a_system_is_about_the_organization():
    mapping = map_evidence(pointer(system=None), control="A.5.3")
    assert rules(mapping) == {reference("A.5.3"): "R2"}
    assert served(map_evidence(pointer(system=None), control="A.5.2"))


def test_a_gap_serves_nothing():
    assert rules(map_evidence(evidence(EvidenceKind.GAP))) == {None: "gap"}


def test_a_kind_of_the_clauses_says_so():
    mapping = map_evidence(evidence(EvidenceKind.AUDIT_REPORT))
    assert not mapping.links
    assert "clauses 4 to 10" in mapping.refusals[0].reason


def test_an_unclaimed_run_serves_the_organization_only_and_says_what_to_add():
    mapping = map_evidence(evidence(EvidenceKind.RUN_RECORD, system=None))
    assert served(mapping) == {reference("A.6.1.3")}
    refusal = next(r for r in mapping.refusals if r.control == reference("A.4.4"))
    assert refusal.rule == "unclaimed"
    assert "belongs to no declared AI system" in refusal.reason
    assert "mlflow: {experiments: [...]}" in refusal.reason


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"judgements": []}, "score without threshold"),
        ({"datasets": []}, "score without test-set identity"),
        (
            {"judgements": [{"threshold": "a", "verdict": "INSUFFICIENT"}]},
            "every threshold is INSUFFICIENT",
        ),
    ],
)
def test_a_score_alone_is_no_validation_but_stays_visible_elsewhere(changes, words):
    mapping = map_evidence(evidence(EvidenceKind.EVALUATION_REPORT, body=REPORT | changes))
    refusal = next(r for r in mapping.refusals if r.control == reference("A.6.2.4"))
    assert words in refusal.reason
    assert reference("A.6.1.2") in served(mapping)


def test_what_weakens_a_linked_report_is_said():
    unjudged = map_evidence(
        evidence(EvidenceKind.EVALUATION_REPORT, body=REPORT | {"judgements": []})
    )
    assert all("judged nothing" in link.reason for link in unjudged.links)
    failed = REPORT | {"verdict": "FAIL", "judgements": [{"threshold": "a", "verdict": "FAIL"}]}
    mapping = map_evidence(evidence(EvidenceKind.EVALUATION_REPORT, body=failed))
    assert reference("A.6.2.4") in served(mapping), "a failed report is evidence that it ran"
    assert all("FAIL" in link.reason for link in mapping.links)


def test_an_erased_body_proves_no_validation():
    item = evidence(EvidenceKind.EVALUATION_REPORT, keep_body=False)
    assert rules(map_evidence(item))[reference("A.6.2.4")] == "body"


def test_a_card_that_nobody_filled_in_is_no_documentation():
    body = {"completeness": {"required": 30, "measured": 12, "declared": 0, "missing": 18}}
    mapping = map_evidence(evidence(EvidenceKind.MODEL_CARD, body=body))
    assert rules(mapping)[reference("A.6.2.7")] == "unfilled"
    body["completeness"] |= {"declared": 5, "missing": 13}
    mapping = map_evidence(evidence(EvidenceKind.MODEL_CARD, body=body))
    assert reference("A.6.2.7") in served(mapping, "design")
    assert all("13 required fields are missing" in link.reason for link in mapping.links)


MONITORED = {
    "schema_version": "aims.monitoring_report/1",
    "verdict": "FAIL",
    "readings": [{"metric": "drift_share", "value": 0.5}],
}


def test_a_monitors_report_serves_operation_and_not_verification_before_release():
    mapping = map_evidence(evidence(EvidenceKind.EVALUATION_REPORT, body=MONITORED))
    assert reference("A.6.2.6") in served(mapping, "operation")
    assert rules(mapping)[reference("A.6.2.4")] == "stage"
    (link,) = [link for link in mapping.links if link.control == reference("A.6.2.6")]
    assert "needs a recorded decision" in link.reason


def test_a_monitor_that_measured_nothing_serves_no_control():
    body = {**MONITORED, "verdict": "INSUFFICIENT", "readings": [{"metric": "r2", "value": None}]}
    mapping = map_evidence(evidence(EvidenceKind.DRIFT_REPORT, body=body))
    assert not mapping.links
    assert set(rules(mapping).values()) == {"unjudged"}
