"""Thresholds in force that are not the published ones: nobody recorded who changed them. Pure."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aims_mlflow.evidence import Evidence, EvidenceKind, normalise
from aims_mlflow.governance.thresholds import Threshold
from aims_mlflow.secrets import cleared_tree

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from aims_mlflow.governance.system import AISystem

#: Thresholds that are told one by one.
_TOLD = 5


def unpublished_thresholds(system: AISystem, items: Iterable[Evidence]) -> str:
    """How the thresholds in force differ from those that were published last, for people.

    Args:
        system: Declares those in force.
        items: Current evidence of the system, with bodies.

    Returns:
        Such as `"max-missing: limit <= 0.2 is now <= 2"`; empty where they are the same, or
        where there are none.
    """
    current = list(items)
    inventory = [e for e in current if e.kind is EvidenceKind.SYSTEM_INVENTORY_ENTRY]
    if any((e.body or {}).get("declared") == system.digest() for e in inventory):
        return ""
    newest = published_thresholds(current)
    declared = _declared(system)
    if newest is None:
        return f"none of the {len(declared)} ever was" if declared else ""
    known = {str(each["id"]): each for each in (newest.body or {})["thresholds"]}
    told = list(_differences(known, declared))
    more = f"; and {len(told) - _TOLD} more" if len(told) > _TOLD else ""
    return "; ".join(told[:_TOLD]) + more


def published_thresholds(items: Iterable[Evidence]) -> Evidence | None:
    """The thresholds of a system that were published last, of its current evidence."""
    configs = [e for e in items if e.kind is EvidenceKind.THRESHOLD_CONFIG and e.body is not None]
    return max(configs, key=lambda e: e.receipt_time, default=None)


def _declared(system: AISystem) -> dict[str, dict[str, Any]]:
    """As `aims publish` seals them."""
    dumped = [each.model_dump(mode="json", exclude_defaults=True) for each in system.thresholds]
    body, _ = normalise(cleared_tree({"thresholds": dumped}))
    return {str(each["id"]): each for each in body["thresholds"]}


def _differences(
    known: dict[str, dict[str, Any]], declared: dict[str, dict[str, Any]]
) -> Iterator[str]:
    for name, now in declared.items():
        before = known.get(name)
        if before is None:
            yield f"{name} is new"
        elif before != now:
            old, new = (Threshold.model_construct(**each).limit for each in (before, now))
            changed = sorted(k for k in {*before, *now} if before.get(k) != now.get(k))
            yield f"{name}: " + (
                f"limit {old} is now {new}" if old != new else f"{', '.join(changed)} changed"
            )
    yield from (f"{name} is gone" for name in known if name not in declared)
