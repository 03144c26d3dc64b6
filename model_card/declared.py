"""Card fields that people declare with keys of their own in the system file.

Every other human field is declared under `card:` by its own name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from aims_mlflow.model_card.bounds import plain
from aims_mlflow.model_card.records import DECLARED_DATA_KEYS, MISSING

if TYPE_CHECKING:
    from collections.abc import Callable

    from aims_mlflow.governance.system import AISystem, SensitiveFeature, Threshold


class Declaration(NamedTuple):
    """The key of the system file, an example of it, and how its value reads on the card."""

    key: str
    example: str
    read: Callable[[AISystem], Any]


def _owners(system: AISystem) -> list[dict[str, Any]] | None:
    return [plain(system.owner)] if system.owner else None


def _acquisition(system: AISystem) -> list[dict[str, Any]]:
    asked = ("name", *(k for k in DECLARED_DATA_KEYS if k not in {"sensitive", "labelling"}))
    return [{key: getattr(entry, key) or MISSING for key in asked} for entry in system.data]


def _preparation(system: AISystem) -> list[dict[str, Any]]:
    return [
        {"name": entry.name, "labelling": entry.labelling}
        for entry in system.data
        if entry.labelling
    ]


def _sensitive(system: AISystem) -> dict[str, Any] | None:
    stated = [
        {"name": entry.name, "sensitive": entry.sensitive}
        for entry in system.data
        if entry.sensitive is not None
    ]
    features = [feature.name for feature in system.sensitive_features]
    found = {"datasets": stated, "attributes": features}
    return {key: value for key, value in found.items() if value} or None


def _factors(system: AISystem) -> list[dict[str, Any]]:
    return [
        {"feature": feature.name, "groups": _groups(feature)}
        for feature in system.sensitive_features
    ]


def _groups(feature: SensitiveFeature) -> str:
    if feature.bins is None:
        return "one for each value"
    return f"cut at {', '.join(f'{edge:g}' for edge in feature.bins)}"


def _monitoring(system: AISystem) -> dict[str, Any] | None:
    found = {
        "thresholds": [_threshold(threshold) for threshold in system.thresholds],
        "monitors": plain(system.monitors),
        "on_breach": plain({key.value: value for key, value in system.on_breach.items()}),
    }
    return {key: value for key, value in found.items() if value} or None


def _threshold(threshold: Threshold) -> dict[str, Any]:
    return {
        "id": threshold.id,
        "metric": threshold.metric or threshold.logged_metric,
        "feature": threshold.feature,
        "limit": threshold.limit,
        "severity": threshold.severity.value,
        "reason": threshold.reason,
        "approved_by": threshold.approved_by,
        "review_by": threshold.review_by.isoformat() if threshold.review_by else None,
    }


DECLARATIONS: dict[str, Declaration] = {
    "system_id": Declaration("id", "id: ...", lambda system: system.id),
    "owners": Declaration("owner", "owner: {name: ..., email: ...}", _owners),
    "intended_use": Declaration(
        "intended_use", "intended_use: ...", lambda system: system.intended_use
    ),
    "out_of_scope_use": Declaration(
        "out_of_scope_uses",
        "out_of_scope_uses: [...]",
        lambda system: list(system.out_of_scope_uses),
    ),
    "human_oversight": Declaration(
        "human_oversight", "human_oversight: ...", lambda system: system.human_oversight
    ),
    "data_acquisition": Declaration(
        "data",
        "data: [{name: ..., source: ..., lawful_basis: ..., licence: ..., retention: P5Y}]",
        _acquisition,
    ),
    "data_preparation": Declaration("data", "data: [{name: ..., labelling: ...}]", _preparation),
    "sensitive_data": Declaration("data", "data: [{name: ..., sensitive: true}]", _sensitive),
    "factors": Declaration("sensitive_features", "sensitive_features: [{name: ...}]", _factors),
    "monitoring": Declaration(
        "thresholds", "thresholds: [{id: ..., metric: ..., min: ..., reason: ...}]", _monitoring
    ),
}
