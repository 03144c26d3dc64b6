"""The standard as data: the ids and titles an auditor knows by heart, and nothing that dangles."""

from collections import Counter

import pytest

from aims_mlflow.catalogue.loader import STANDARD, load_catalogue, read_yaml
from aims_mlflow.evidence import EvidenceKind
from aims_mlflow.governance.system import months

CONTROLS = [
    ("A.2.2", "AI policy"),
    ("A.2.3", "Alignment with other organizational policies"),
    ("A.2.4", "Review of the AI policy"),
    ("A.3.2", "AI roles and responsibilities"),
    ("A.3.3", "Reporting of concerns"),
    ("A.4.2", "Resource documentation"),
    ("A.4.3", "Data resources"),
    ("A.4.4", "Tooling resources"),
    ("A.4.5", "System and computing resources"),
    ("A.4.6", "Human resources"),
    ("A.5.2", "AI system impact assessment process"),
    ("A.5.3", "Documentation of AI system impact assessments"),
    ("A.5.4", "Assessing AI system impact on individuals or groups of individuals"),
    ("A.5.5", "Assessing societal impacts of AI systems"),
    ("A.6.1.2", "Objectives for responsible development of AI system"),
    ("A.6.1.3", "Processes for responsible AI system design and development"),
    ("A.6.2.2", "AI system requirements and specification"),
    ("A.6.2.3", "Documentation of AI system design and development"),
    ("A.6.2.4", "AI system verification and validation"),
    ("A.6.2.5", "AI system deployment"),
    ("A.6.2.6", "AI system operation and monitoring"),
    ("A.6.2.7", "AI system technical documentation"),
    ("A.6.2.8", "AI system recording of event logs"),
    ("A.7.2", "Data for development and enhancement of AI system"),
    ("A.7.3", "Acquisition of data"),
    ("A.7.4", "Quality of data for AI systems"),
    ("A.7.5", "Data provenance"),
    ("A.7.6", "Data preparation"),
    ("A.8.2", "System documentation and information for users"),
    ("A.8.3", "External reporting"),
    ("A.8.4", "Communication of incidents"),
    ("A.8.5", "Information for interested parties"),
    ("A.9.2", "Processes for responsible use of AI systems"),
    ("A.9.3", "Objectives for responsible use of AI system"),
    ("A.9.4", "Intended use of the AI system"),
    ("A.10.2", "Allocating responsibilities"),
    ("A.10.3", "Suppliers"),
    ("A.10.4", "Customers"),
]


def test_the_38_ids_and_titles_in_order():
    assert len(CONTROLS) == 38
    assert [(c.id, c.title) for c in load_catalogue().controls] == CONTROLS


def test_nine_areas_of_the_declared_size():
    catalogue = load_catalogue()
    declared = [area.control_count for area in catalogue.areas]
    counted = Counter(control.area for control in catalogue.controls)
    assert declared == [3, 2, 5, 4, 9, 5, 4, 3, 3]
    assert [counted[area.id] for area in catalogue.areas] == declared


def test_vocabulary_and_kinds_are_the_same_words():
    vocabulary = [info.kind for info in load_catalogue().kinds]
    assert len(vocabulary) == len(set(vocabulary))
    assert set(vocabulary) == set(EvidenceKind) - {EvidenceKind.GAP}


def test_every_kind_that_serves_a_control_is_in_the_vocabulary():
    catalogue = load_catalogue()
    used = {k for c in catalogue.controls for k in (*c.design_evidence, *c.operation_evidence)}
    assert all(catalogue.kind(kind) is not None for kind in used)
    assert EvidenceKind.GAP not in used


def test_every_kind_serves_a_control_except_those_of_the_clauses():
    catalogue = load_catalogue()
    used = {k for c in catalogue.controls for k in (*c.design_evidence, *c.operation_evidence)}
    unused = {info.kind for info in catalogue.kinds} - used
    assert unused == {EvidenceKind.STATEMENT_OF_APPLICABILITY, EvidenceKind.AUDIT_REPORT}


def test_security_artifacts_are_no_evidence_kinds():
    assert not set(load_catalogue().security_kinds) & {kind.value for kind in EvidenceKind}


def test_automation_counts_are_those_the_map_states():
    counted = Counter(control.automation for control in load_catalogue().controls)
    assert counted == {"auto": 7, "assisted": 21, "manual": 10}
    assert counted == read_yaml("evidence_map")["counts"]


def test_every_control_can_be_designed_operated_and_outdated():
    for control in load_catalogue().controls:
        assert control.design_evidence, control.id
        assert control.operation_evidence, control.id
        assert control.insufficient, control.id
        assert control.max_age == "per_version" or months(control.max_age).days >= 31


def test_an_id_is_stored_with_its_standard():
    assert load_catalogue().control("A.5.3").reference == f"{STANDARD} A.5.3"


@pytest.mark.parametrize("unknown", ["A.5.1", "A.11.1", "a.2.2", ""])
def test_an_id_of_another_standard_is_unknown(unknown):
    assert not load_catalogue().has(unknown)
    with pytest.raises(KeyError, match="is not a control of ISO/IEC 42001:2023"):
        load_catalogue().control(unknown)
