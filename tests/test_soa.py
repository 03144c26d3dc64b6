"""The Statement of Applicability: no state that the evidence has not earned."""

from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from aims_mlflow.catalogue.loader import load_catalogue
from aims_mlflow.evidence import Draft, Evidence, EvidenceKind, Subject, SubjectType, evidence_id
from aims_mlflow.governance.profile import Profile
from aims_mlflow.governance.soa_decisions import Applicability, DeclaredItem, SoaDecision
from aims_mlflow.governance.system import AISystem
from aims_mlflow.soa import ControlState, statement

NOW = datetime(2026, 11, 23, tzinfo=UTC)
CATALOGUE = load_catalogue()
K = EvidenceKind
BODY = {
    "judgements": [{"threshold": "a", "verdict": "PASS"}],
    "datasets": ["test"],
    "verdict": "PASS",
    "completeness": {"required": 2, "measured": 1, "declared": 1, "missing": 0},
}


def evidence(kind, *, system="credit", run=None, days=1.0, body=None):
    """Evidence of `days` ago, about a run or else about the system or the organization."""
    if run is not None:
        subject = Subject(type=SubjectType.RUN, id=run, run_id=run)
    elif system is not None:
        subject = Subject(type=SubjectType.SYSTEM, id=system)
    else:
        subject = Subject(type=SubjectType.ORGANIZATION, id="organization")
    draft = Draft(
        kind=kind,
        system=system,
        subject=subject,
        event_time=NOW - timedelta(days=days),
        body=BODY if body is None else body,
    )
    return Evidence(
        id=evidence_id(draft.content_digest(), None),
        kind=kind,
        system=system,
        subject=subject,
        version=1,
        supersedes=None,
        event_time=draft.event_time,
        capture_time=NOW,
        receipt_time=NOW,
        actor="job",
        source="test",
        content_digest=draft.content_digest(),
        body_sha256="0" * 64,
        body=draft.body,
    )


def profile(*systems, **decisions):
    return Profile(
        systems={s: AISystem(id=s, name=s) for s in systems or ("credit",)},
        soa={key.replace("_", "."): decision for key, decision in decisions.items()},
    )


def soa(*items, of=None):
    return statement(CATALOGUE, of or profile(), items, now=NOW)


def test_without_evidence_38_rows_are_undecided_and_nothing_flatters():
    result = soa()
    assert [row.control for row in result.rows] == [c.id for c in CATALOGUE.controls]
    assert {row.state for row in result.rows} == {ControlState.NONE}
    assert {row.decision for row in result.rows} == {Applicability.UNDECIDED}
    assert all("design evidence is missing" in row.missing.lower() for row in result.rows)
    assert result.row("A.5.3").reference == "ISO/IEC 42001:2023 A.5.3"
    with pytest.raises(KeyError):
        result.row("A.5.1")


def test_a_profile_without_systems_says_that_one_must_be_declared():
    row = soa(of=Profile()).row("A.6.2.4")
    assert row.state is ControlState.NONE
    assert "No AI system is declared" in row.missing


def test_decisions_are_shown_as_declared_and_do_not_change_the_state():
    decision = SoaDecision(
        decision=Applicability.NOT_APPLICABLE, justification="no customers", owner="Ann"
    )
    row = soa(of=profile(A_10_4=decision)).row("A.10.4")
    assert (row.decision, row.justification, row.owner) == (
        Applicability.NOT_APPLICABLE,
        "no customers",
        "Ann",
    )
    assert row.state is ControlState.NONE


def test_from_none_over_designed_to_operating_and_stale():
    limit = evidence(K.THRESHOLD_CONFIG)
    card = evidence(K.MODEL_CARD, run="r1", days=3)
    report = evidence(K.EVALUATION_REPORT, run="r1", days=3)
    assert soa(report, card).row("A.6.2.4").state is ControlState.NONE
    assert "Operation evidence exists; design" in soa(report, card).row("A.6.2.4").missing
    designed = soa(limit, card).row("A.6.2.4")
    assert designed.state is ControlState.DESIGNED
    assert "evaluation_report or bias_report" in designed.missing
    operating = soa(limit, card, report).row("A.6.2.4")
    assert operating.state is ControlState.OPERATING
    assert operating.missing == ""
    assert operating.design == (limit.id,) and operating.operation == (report.id,)
    assert operating.newest == report.event_time
    newer = evidence(K.MODEL_CARD, run="r2", days=2)
    stale = soa(limit, card, report, newer).row("A.6.2.4")
    assert stale.state is ControlState.STALE
    assert "newest version (run r2)" in stale.missing


def test_without_a_card_there_is_no_version_to_operate_on():
    row = soa(evidence(K.THRESHOLD_CONFIG), evidence(K.EVALUATION_REPORT, run="r1")).row("A.6.2.4")
    assert row.state is ControlState.STALE
    assert "model card" in row.missing


@pytest.mark.parametrize(
    ("days", "state"), [(30, ControlState.OPERATING), (32, ControlState.STALE)]
)
def test_monitoring_goes_stale_after_31_days(days, state):
    row = soa(evidence(K.MONITORING_CONFIG, days=90), evidence(K.DRIFT_REPORT, days=days))
    assert row.row("A.6.2.6").state is state
    if state is ControlState.STALE:
        assert "older than P31D" in row.row("A.6.2.6").missing


@settings(deadline=None)
@given(
    st.lists(
        st.sampled_from(sorted({k for c in CATALOGUE.controls for k in c.design_evidence})),
        unique=True,
    ),
    st.sampled_from(["credit", None]),
)
def test_design_evidence_alone_never_operates(kinds, system):
    items = [evidence(kind, system=system) for kind in kinds]
    for row, control in zip(soa(*items).rows, CATALOGUE.controls, strict=True):
        if not set(kinds) & set(control.operation_evidence):
            assert row.state in (ControlState.NONE, ControlState.DESIGNED)
            assert row.missing


@settings(deadline=None)
@given(
    st.lists(
        st.builds(
            evidence,
            st.sampled_from(sorted(EvidenceKind)),
            system=st.sampled_from(["credit", "churn", "unknown", None]),
            run=st.sampled_from(["r1", "r2", None]),
            days=st.floats(-10, 1000),
        ),
        max_size=12,
    )
)
def test_whatever_comes_operating_is_earned(items):
    result = soa(*items, of=profile("credit", "churn"))
    times = {item.id: item.event_time for item in items}
    for row in result.rows:
        for view in (row, *row.by_system.values()):
            assert all(times[i] <= NOW for i in (*view.design, *view.operation))
            assert (view.missing == "") == (view.state is ControlState.OPERATING)
            if view.state is ControlState.OPERATING:
                assert view.design and view.operation
                assert len({*view.design, *view.operation}) > 1
        if row.by_system:
            order = list(ControlState)
            assert row.state is min((a.state for a in row.by_system.values()), key=order.index)


def test_one_item_does_not_show_both_that_it_is_designed_and_that_it_ran():
    card = evidence(K.MODEL_CARD, run="r1")
    row = soa(card).row("A.6.2.7")
    assert row.state is ControlState.DESIGNED
    assert "One item cannot show both" in row.missing
    bom = evidence(K.ML_BOM, run="r1")
    assert soa(card, bom).row("A.6.2.7").state is ControlState.OPERATING


def test_the_worst_system_gives_the_state_of_the_row():
    items = [evidence(K.MONITORING_CONFIG), evidence(K.DRIFT_REPORT)]
    row = soa(*items, of=profile("credit", "churn")).row("A.6.2.6")
    assert row.by_system["credit"].state is ControlState.OPERATING
    assert row.by_system["churn"].state is ControlState.NONE
    assert row.state is ControlState.NONE
    assert row.missing.startswith("churn: ")


def test_training_logs_alone_are_no_event_log_of_the_live_system():
    items = [evidence(K.MONITORING_CONFIG), evidence(K.RUN_RECORD, run="r1")]
    row = soa(*items).row("A.6.2.8")
    assert row.state is ControlState.DESIGNED
    assert "training run logs only" in row.missing and "event_log" in row.missing
    live = evidence(K.EVENT_LOG)
    assert soa(*items, live).row("A.6.2.8").state is ControlState.OPERATING


def test_an_evaluation_at_training_is_no_monitoring():
    items = [evidence(K.THRESHOLD_CONFIG), evidence(K.EVALUATION_REPORT, run="r1")]
    row = soa(*items).row("A.6.2.6")
    assert row.state is ControlState.DESIGNED
    assert "at training only" in row.missing


def test_an_organization_wide_control_takes_items_of_any_level():
    items = [evidence(K.PROCEDURE_DOCUMENT, system=None), evidence(K.RUN_RECORD, run="r1")]
    row = soa(*items).row("A.6.1.3")
    assert row.state is ControlState.OPERATING
    assert row.by_system == {}


def test_one_assessment_for_all_systems_is_refused_in_the_open():
    row = soa(evidence(K.IMPACT_ASSESSMENT, system=None)).row("A.5.3")
    assert row.state is ControlState.NONE
    assert [refused.rule for refused in row.refused] == ["R2"]
    assert row.counts == {"design": 0, "operation": 0, "refused": 1}


def test_evidence_of_the_future_does_not_count_and_is_named():
    row = soa(evidence(K.MONITORING_CONFIG), evidence(K.DRIFT_REPORT, days=-1)).row("A.6.2.6")
    assert row.state is ControlState.DESIGNED
    assert row.refused[0].rule == "future"
    assert "clock" in row.refused[0].reason


def test_a_future_card_does_not_make_a_version():
    items = [
        evidence(K.THRESHOLD_CONFIG),
        evidence(K.MODEL_CARD, run="r1"),
        evidence(K.EVALUATION_REPORT, run="r1"),
        evidence(K.MODEL_CARD, run="r2", days=-1),
    ]
    assert soa(*items).row("A.6.2.4").state is ControlState.OPERATING


def test_an_undeclared_system_is_refused_with_the_file_to_add():
    row = soa(evidence(K.THRESHOLD_CONFIG, system="ghost")).row("A.6.2.4")
    assert row.refused[0].rule == "unclaimed"
    assert "add governance/systems/ghost.yaml" in row.refused[0].reason


def test_many_refusals_of_one_reason_are_one_line():
    runs = [evidence(K.RUN_RECORD, system=None, run=f"r{n}") for n in range(50)]
    row = soa(*runs).row("A.4.4")
    assert len(row.refused) == 1
    assert len(row.refused[0].items) == 50


def test_gaps_are_refused_altogether():
    gap = evidence(K.GAP, run="r1")
    assert soa(gap).refused[0].items == (gap.id,)


def decision(**item):
    given = {"title": "t", "date": date(2026, 10, 1), "owner": "Ann"}
    return SoaDecision(evidence=(DeclaredItem(**(given | item)),))


def test_a_declared_pointer_counts_for_its_control_alone():
    row = soa(of=profile(A_2_2=decision(kind="policy_document"))).row("A.2.2")
    assert row.state is ControlState.DESIGNED
    assert row.design[0].startswith("declared:")
    others = soa(of=profile(A_2_2=decision(kind="policy_document")))
    assert others.row("A.2.3").state is ControlState.NONE


@pytest.mark.parametrize(
    ("item", "rule"),
    [
        ({"kind": "penetration_test"}, "R1"),
        ({"kind": "iso27001_certificate"}, "R1"),
        ({"kind": "impact_assessment", "system": "credit", "date": None}, "R6"),
        ({"kind": "impact_assessment", "system": "credit", "owner": None}, "R6"),
        ({"kind": "impact_assessment"}, "R2"),
        ({"kind": "impact_assessment", "system": "credit", "date": date(2027, 1, 1)}, "future"),
        ({"kind": "training_record"}, "kind"),
    ],
)
def test_pointers_are_refused_in_the_row_where_they_stand(item, rule):
    row = soa(of=profile(A_5_3=decision(**item))).row("A.5.3")
    assert row.state is ControlState.NONE
    assert [refused.rule for refused in row.refused] == [rule]
