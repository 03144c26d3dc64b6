"""Link each piece of evidence to the Annex A controls that it serves, or refuse to and say why.

Pure: the answer depends on the item and on the catalogue alone. What a control still lacks, and
whether evidence is too old, is for `soa`. Control ids are given with their standard.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from aims_mlflow.catalogue.loader import Control, load_catalogue
from aims_mlflow.evidence import Evidence, EvidenceKind, Frozen, SubjectType
from aims_mlflow.governance.soa_decisions import DeclaredItem
from aims_mlflow.readings import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator

#: Design: the control is suitably defined. Operation: it ran.
Aspect: TypeAlias = Literal["design", "operation"]

#: Controls that look at one AI system, or at a version or dataset of one.
SYSTEM_SCOPES = frozenset({"system", "model_version", "dataset"})
_UNCLAIMED = (
    "it belongs to no declared AI system; name its experiment in a file of governance/systems/ "
    "(`mlflow: {experiments: [...]}`), or its system in the code or in AIMS_SYSTEM"
)


class Link(Frozen):
    """The item serves an aspect of a control. `reason` also says what weakens it."""

    control: str
    aspect: Aspect
    reason: str


class Refusal(Frozen):
    """The item does not serve a control, or none at all (`control` is None).

    `rule` is a rejection of the catalogue (R1 security artifact, R2 organization-wide impact
    assessment, R3 organization-wide risk entry, R6 undated, unsigned or ownerless) or `gap`,
    `kind`, `scope`, `stage`, `unclaimed`, `unjudged`, `unfilled`, `body`.
    """

    control: str | None
    rule: str
    reason: str


class Mapping(Frozen):
    """Everything that one item serves, and everything that it was refused for."""

    links: tuple[Link, ...] = ()
    refusals: tuple[Refusal, ...] = ()


def map_evidence(item: Evidence | DeclaredItem, *, control: str | None = None) -> Mapping:
    """The controls that `item` serves by its kind, minus those that its content or subject bars.

    Args:
        item: Sealed evidence with its body, or a pointer that a person declared.
        control: Look at this control (`A.5.3`) alone, as for a pointer declared there.

    Raises:
        KeyError: `control` is no control of Annex A.
    """
    refusal = _refused_altogether(item)
    if refusal is not None:
        return Mapping(refusals=(refusal,))
    catalogue = load_catalogue()
    served = [c for c in catalogue.controls if _aspects(c, item.kind)]
    asked = served if control is None else [catalogue.control(control)]
    unserved = _serves_none(item.kind, served, asked)
    if unserved is not None:
        return Mapping(refusals=(unserved,))
    links: list[Link] = []
    refusals: list[Refusal] = []
    for candidate in asked:
        barred = _barred(candidate, item)
        if barred is not None:
            refusals.append(barred)
        else:
            links += _links(candidate, item)
    return Mapping(links=tuple(links), refusals=tuple(refusals))


def _serves_none(kind: str, served: list[Control], asked: list[Control]) -> Refusal | None:
    if not served:
        reason = f"{kind} serves clauses 4 to 10 and no control of Annex A"
        return Refusal(control=None, rule="kind", reason=reason)
    if any(control not in served for control in asked):
        others = ", ".join(c.id for c in served)
        reason = f"{kind} is no evidence of {asked[0].id}; it serves {others}"
        return Refusal(control=asked[0].reference, rule="kind", reason=reason)
    return None


def _aspects(control: Control, kind: str) -> tuple[Aspect, ...]:
    design: tuple[Aspect, ...] = ("design",) if kind in control.design_evidence else ()
    return (*design, "operation") if kind in control.operation_evidence else design


def _links(control: Control, item: Evidence | DeclaredItem) -> Iterator[Link]:
    caveat = _caveat(item)
    for aspect in _aspects(control, item.kind):
        reason = f"{item.kind} is {aspect} evidence of '{control.title}'{caveat}"
        yield Link(control=control.reference, aspect=aspect, reason=reason)


def _refused_altogether(item: Evidence | DeclaredItem) -> Refusal | None:
    """What bars an item whatever the control."""
    rule = reason = ""
    if item.kind == EvidenceKind.GAP:
        rule, reason = "gap", "a gap records that evidence is missing and serves no control"
    elif item.kind in load_catalogue().security_kinds:
        rule = "R1"
        reason = f"{item.kind} is a security artifact and never evidence of an AI control"
    elif isinstance(item, DeclaredItem):
        lacking = [key for key in ("date", "owner") if getattr(item, key) is None]
        if lacking:
            rule, reason = "R6", f"it has no {' and no '.join(lacking)}; add them in soa.yaml"
    elif not item.actor.strip():
        rule, reason = "R6", "it names no person or job that made it"
    return Refusal(control=None, rule=rule, reason=reason) if rule else None


def _barred(control: Control, item: Evidence | DeclaredItem) -> Refusal | None:
    fault = _scope_fault(control, item) or _content_fault(control, item)
    return Refusal(control=control.reference, rule=fault[0], reason=fault[1]) if fault else None


def _scope_fault(control: Control, item: Evidence | DeclaredItem) -> tuple[str, str] | None:
    if control.scope not in SYSTEM_SCOPES:
        return None
    if _of_organization(item):
        return _organization_wide(control, item.kind)
    return ("unclaimed", _UNCLAIMED) if item.system is None else None


def _of_organization(item: Evidence | DeclaredItem) -> bool:
    if isinstance(item, DeclaredItem):
        return item.system is None
    return item.subject.type is SubjectType.ORGANIZATION


def _organization_wide(control: Control, kind: str) -> tuple[str, str]:
    if kind == EvidenceKind.IMPACT_ASSESSMENT:
        return "R2", "one organization-wide impact assessment; each AI system needs its own"
    if kind == EvidenceKind.RISK_REGISTER_ENTRY:
        return "R3", "a risk of the organization as a whole; the risks of each AI system are asked"
    unit = control.scope.replace("_", " ")
    return "scope", f"it is about the organization, and the control looks at each {unit}"


def _content_fault(control: Control, item: Evidence | DeclaredItem) -> tuple[str, str] | None:
    """What the catalogue calls insufficient and the body of the evidence shows."""
    if isinstance(item, DeclaredItem):
        return None
    if is_monitoring(item.body):
        return _unmeasured(control, item.body or {})
    if control.id == "A.6.2.4" and item.kind is EvidenceKind.EVALUATION_REPORT:
        return _unproven(item.body)
    # The fields that these two controls rest on (intended use, limits, oversight) are human ones.
    if control.id in ("A.6.2.7", "A.9.4") and item.kind is EvidenceKind.MODEL_CARD:
        completeness = _completeness(item.body)
        if completeness is not None and not completeness.get("declared"):
            return "unfilled", "model card with empty human fields: nobody declared anything on it"
    return None


def is_monitoring(body: dict[str, Any] | None) -> bool:
    """Whether the body of an item is that of an execution of a monitor."""
    return str((body or {}).get("schema_version", "")).startswith("aims.monitoring_report/")


def _unmeasured(control: Control, body: dict[str, Any]) -> tuple[str, str] | None:
    if control.id == "A.6.2.4":
        return "stage", "measured in operation; verification and validation come before release"
    if all(reading.get("value") is None for reading in body.get("readings") or ()):
        return "unjudged", "the monitor ran and measured nothing; its report says why"
    return None


def _unproven(body: dict[str, Any] | None) -> tuple[str, str] | None:
    if body is None:
        return "body", "its body was erased, so that thresholds and test set cannot be shown"
    if not body.get("datasets"):
        return "unjudged", "score without test-set identity: no evaluated dataset is named"
    if not body.get("judgements"):
        return "unjudged", "score without threshold: nothing was declared to hold it against"
    if not _decided(body):
        return "unjudged", "every threshold is INSUFFICIENT: nothing was proven either way"
    return None


def _decided(body: dict[str, Any]) -> bool:
    judgements = body.get("judgements") or ()
    return any(j.get("verdict") in (Verdict.PASS, Verdict.FAIL) for j in judgements)


def _completeness(body: dict[str, Any] | None) -> dict[str, Any] | None:
    found = (body or {}).get("completeness")
    return found if isinstance(found, dict) else None


def _caveat(item: Evidence | DeclaredItem) -> str:
    """What an auditor should know at once about an item that is linked nevertheless."""
    if isinstance(item, DeclaredItem):
        return f" (declared by {item.owner}; not verified)"
    body = item.body or {}
    if is_monitoring(body) and body.get("verdict") == Verdict.INSUFFICIENT:
        return "; it could not judge every threshold"
    if is_monitoring(body):
        failed = body.get("verdict") == Verdict.FAIL
        return "; its verdict is FAIL, which needs a recorded decision" if failed else ""
    if item.kind is EvidenceKind.EVALUATION_REPORT and not _decided(body):
        return "; it judged nothing against a threshold"
    if item.kind is EvidenceKind.EVALUATION_REPORT and body.get("verdict") == Verdict.FAIL:
        return "; its verdict is FAIL, which needs a recorded decision"
    missing = (_completeness(item.body) or {}).get("missing")
    if item.kind is EvidenceKind.MODEL_CARD and missing:
        return f"; {missing} required fields are missing"
    return ""
