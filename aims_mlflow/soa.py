"""The Statement of Applicability: 38 rows, decisions declared by people, states from evidence.

Pure. States, from worst to best: *none* (no design evidence), *designed* (design evidence, and no
operation evidence beside it), *stale* (it did operate, too long ago or not on the newest
version), *operating*. There is no percentage: a count of rows says little, a missing item much.
"""

from __future__ import annotations

from collections import defaultdict
from datetime import UTC, date, datetime, time
from enum import StrEnum
from typing import TYPE_CHECKING, NamedTuple

from aims_mlflow.evidence import Evidence, EvidenceKind, Frozen, UtcDatetime, digest
from aims_mlflow.governance.soa_decisions import Applicability, DeclaredItem
from aims_mlflow.governance.system import months
from aims_mlflow.mapper import SYSTEM_SCOPES, is_monitoring, map_evidence

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from aims_mlflow.catalogue.loader import Catalogue, Control
    from aims_mlflow.governance.profile import Profile

#: Freshness by version instead of by age: the newest version must be evidenced.
PER_VERSION = "per_version"
#: Kinds that show operation only beside another kind, and what they show when alone.
_NEVER_ALONE = {
    "A.4.5": (EvidenceKind.COMPUTE_RECORD, "training hardware only, no serving environment"),
    "A.6.2.6": (EvidenceKind.EVALUATION_REPORT, "evaluated at training only, not in operation"),
    "A.6.2.8": (EvidenceKind.RUN_RECORD, "training run logs only, none from live use"),
}


class ControlState(StrEnum):
    """What the evidence shows of a control; members are in order from worst to best."""

    NONE = "none"
    DESIGNED = "designed"
    STALE = "stale"
    OPERATING = "operating"


class Assessment(Frozen):
    """What evidence shows of a control, for one AI system or for the organization.

    `design` and `operation` are evidence ids, newest first; `newest` is the time of the newest
    operation evidence; `missing` says what the next better state asks for, empty if nothing.
    """

    state: ControlState
    design: tuple[str, ...] = ()
    operation: tuple[str, ...] = ()
    newest: UtcDatetime | None = None
    missing: str = ""


class Refused(Frozen):
    """Evidence of the right kind that does not count for a control, by rule and reason."""

    rule: str
    reason: str
    items: tuple[str, ...]


class SoaRow(Assessment):
    """One control: what people decided, what evidence shows, what is missing.

    Where the control looks at AI systems, `by_system` assesses each declared one, and the state
    of the row is the worst of them. The state is computed whatever the decision.
    """

    control: str
    reference: str
    title: str
    area: str
    scope: str
    decision: Applicability
    justification: str | None
    owner: str | None
    by_system: dict[str, Assessment]
    refused: tuple[Refused, ...]

    @property
    def counts(self) -> dict[str, int]:
        """How many items stand behind the row, by aspect, and how many were refused."""
        return {
            "design": len(self.design),
            "operation": len(self.operation),
            "refused": sum(len(refused.items) for refused in self.refused),
        }


class Soa(Frozen):
    """The statement as of `now`. `refused` are items that serve no control at all."""

    now: UtcDatetime
    rows: tuple[SoaRow, ...]
    refused: tuple[Refused, ...]

    def row(self, control: str) -> SoaRow:
        """The row of a control id such as `A.6.2.4`.

        Raises:
            KeyError: Annex A has no such control.
        """
        found = next((row for row in self.rows if row.control == control), None)
        if found is None:
            raise KeyError(control)
        return found


class _Item(NamedTuple):
    """What is asked of an item once it is linked."""

    id: str
    kind: str
    system: str | None
    time: datetime
    run_id: str | None
    in_operation: bool = False


class _Sorted:
    """Evidence sorted by control: what links to it, and what was refused."""

    def __init__(self, catalogue: Catalogue, profile: Profile, now: datetime) -> None:
        self.scopes = {control.reference: control.scope for control in catalogue.controls}
        self.profile = profile
        self.now = now
        self.linked: dict[tuple[str, str], list[_Item]] = defaultdict(list)
        self.refused: dict[str | None, dict[tuple[str, str], list[str]]] = defaultdict(dict)
        self.newest_card: dict[str | None, _Item] = {}

    def add(self, source: Evidence | DeclaredItem, under: Control | None = None) -> None:
        """Map one item; `under` is the control that a declared pointer stands under."""
        item = _item(source)
        mapping = map_evidence(source, control=under.id if under else None)
        for refusal in mapping.refusals:
            reference = refusal.control or (under.reference if under else None)
            self._refuse(item, reference, refusal.rule, refusal.reason)
        for link in mapping.links:
            fault = self._fault(item, link.control)
            if fault is not None:
                self._refuse(item, link.control, *fault)
            else:
                self.linked[link.control, link.aspect].append(item)
        if item.kind == EvidenceKind.MODEL_CARD and item.time <= self.now:
            known = self.newest_card.get(item.system)
            if known is None or item.time > known.time:
                self.newest_card[item.system] = item

    def refusals(self, reference: str | None) -> tuple[Refused, ...]:
        """What was refused for one control, or altogether (None)."""
        found = sorted(self.refused.get(reference, {}).items())
        return tuple(Refused(rule=r, reason=why, items=tuple(ids)) for (r, why), ids in found)

    def _fault(self, item: _Item, reference: str) -> tuple[str, str] | None:
        if item.time > self.now:
            return "future", "it is dated in the future; check the clock of whoever made it"
        of_system = self.scopes[reference] in SYSTEM_SCOPES
        if of_system and item.system not in self.profile.systems:
            file = self.profile.where(item.system)
            return "unclaimed", f"its AI system '{item.system}' is not declared; add {file}"
        return None

    def _refuse(self, item: _Item, reference: str | None, rule: str, reason: str) -> None:
        items = self.refused[reference].setdefault((rule, reason), [])
        if item.id not in items[-1:]:  # refused for design and for operation, it is still one item
            items.append(item.id)


def statement(
    catalogue: Catalogue, profile: Profile, evidence: Iterable[Evidence], *, now: datetime
) -> Soa:
    """The Statement of Applicability, from the current version of all evidence.

    Args:
        catalogue: The controls.
        profile: Decisions, declared pointers and systems.
        evidence: The newest version of every fact of every system, with bodies.
        now: The aware time as of which ages are counted; later evidence does not count.
    """
    found = _Sorted(catalogue, profile, now)
    for item in evidence:
        found.add(item)
    for control in catalogue.controls:
        for pointer in profile.decision(control.id).evidence:
            found.add(pointer, control)
    rows = tuple(_row(control, profile, found) for control in catalogue.controls)
    return Soa(now=now, rows=rows, refused=found.refusals(None))


def _row(control: Control, profile: Profile, found: _Sorted) -> SoaRow:
    decision = profile.decision(control.id)
    design = found.linked[control.reference, "design"]
    operation = found.linked[control.reference, "operation"]
    by_system: dict[str, Assessment] = {}
    if control.scope in SYSTEM_SCOPES:
        for system in profile.systems:
            own = [[i for i in items if i.system == system] for items in (design, operation)]
            card = found.newest_card.get(system)
            by_system[system] = _assess(control, own[0], own[1], card, found.now)
        state, missing = _worst(by_system)
    else:
        state, missing = _state(control, design, operation, None, found.now)
    return SoaRow(
        control=control.id,
        reference=control.reference,
        title=control.title,
        area=control.area,
        scope=control.scope,
        decision=decision.decision,
        justification=decision.justification,
        owner=decision.owner,
        state=state,
        design=_ids(design),
        operation=_ids(operation),
        newest=_newest(operation),
        missing=missing,
        by_system=by_system,
        refused=found.refusals(control.reference),
    )


def _worst(by_system: dict[str, Assessment]) -> tuple[ControlState, str]:
    if not by_system:
        return ControlState.NONE, "No AI system is declared; add one with `aims init`."
    order = list(ControlState)
    system, worst = min(by_system.items(), key=lambda entry: order.index(entry[1].state))
    return worst.state, f"{system}: {worst.missing}" if worst.missing else ""


def _assess(
    control: Control,
    design: Sequence[_Item],
    operation: Sequence[_Item],
    card: _Item | None,
    now: datetime,
) -> Assessment:
    state, missing = _state(control, design, operation, card, now)
    return Assessment(
        state=state,
        design=_ids(design),
        operation=_ids(operation),
        newest=_newest(operation),
        missing=missing,
    )


def _state(
    control: Control,
    design: Sequence[_Item],
    operation: Sequence[_Item],
    card: _Item | None,
    now: datetime,
) -> tuple[ControlState, str]:
    wanted = " or ".join(control.operation_evidence)
    if not design:
        lacking = f"design evidence is missing: {' or '.join(control.design_evidence)}."
        prefix = "Operation evidence exists; d" if operation else "D"
        return ControlState.NONE, prefix + lacking[1:]
    if not operation:
        return ControlState.DESIGNED, f"Operation evidence is missing: {wanted}."
    if len({item.id for item in (*design, *operation)}) == 1:
        message = f"One item cannot show both design and operation; add another: {wanted}."
        return ControlState.DESIGNED, message
    kind, why = _NEVER_ALONE.get(control.id, (None, ""))
    if all(item.kind == kind and not item.in_operation for item in operation):
        others = " or ".join(k for k in control.operation_evidence if k != kind)
        return ControlState.DESIGNED, f"Only {kind}: {why}; add {others}."
    stale = _stale(control, operation, card, now)
    return (ControlState.STALE, stale) if stale else (ControlState.OPERATING, "")


def _stale(control: Control, operation: Sequence[_Item], card: _Item | None, now: datetime) -> str:
    """Why the operation evidence is too old, or an empty string."""
    if control.max_age != PER_VERSION:
        newest = max(item.time for item in operation)
        fresh = now - newest <= months(control.max_age)
        age = f"of {newest:%Y-%m-%d}, older than {control.max_age}"
        return "" if fresh else f"The newest operation evidence is {age}."
    if card is None:
        return "No run of this system has a model card: there is no version to hold it against."
    if any(item.run_id is not None and item.run_id == card.run_id for item in operation):
        return ""
    wanted = " or ".join(control.operation_evidence)
    return f"The newest version (run {card.run_id}) has no {wanted}."


def _item(source: Evidence | DeclaredItem) -> _Item:
    if isinstance(source, Evidence):
        return _Item(
            source.id,
            source.kind,
            source.system,
            source.event_time,
            source.subject.run_id,
            is_monitoring(source.body),
        )
    # A pointer has no id of its own: what it says is its identity.
    name = f"declared:{digest(source.model_dump_json().encode())[:12]}"
    moment = datetime.combine(source.date or date.min, time(), UTC)
    return _Item(name, source.kind, source.system, moment, None)


def _newest(items: Sequence[_Item]) -> datetime | None:
    return max((item.time for item in items), default=None)


def _ids(items: Sequence[_Item]) -> tuple[str, ...]:
    return tuple(item.id for item in sorted(items, key=lambda i: (i.time, i.id), reverse=True))
