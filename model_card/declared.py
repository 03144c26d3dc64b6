"""Card fields that people declare with keys of their own in the system file.

Every other human field is declared under `card:` by its own name.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

from aims_mlflow.governance.missing import SNIPPETS
from aims_mlflow.model_card.bounds import plain
from aims_mlflow.model_card.records import DECLARED_DATA_KEYS, MISSING

if TYPE_CHECKING:
    from collections.abc import Callable

    from aims_mlflow.governance.system import AISystem, SensitiveFeature
    from aims_mlflow.governance.thresholds import Threshold


class Declaration(NamedTuple):
    """The key of the system file, an example of it, and how its value reads on the card.

    `origin` names the key that the value really comes from, where that may be another one.
    """

    key: str
    example: str
    read: Callable[[AISystem], Any]
    origin: Callable[[AISystem], str] | None = None

    def stands_at(self, system: AISystem) -> str:
        """The key of the system file that holds the value."""
        return self.origin(system) if self.origin else self.key


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
    features = [feature.name for feature in system.sensitive_features]
    found = {"datasets": _sensitive_datasets(system), "attributes": features}
    return {key: value for key, value in found.items() if value} or None


def _sensitive_datasets(system: AISystem) -> list[dict[str, Any]]:
    return [
        {"name": entry.name, "sensitive": entry.sensitive}
        for entry in system.data
        if entry.sensitive is not None
    ]


def _sensitive_origin(system: AISystem) -> str:
    # Without a line of its own, a statement would have neither author nor commit.
    only_features = system.sensitive_features and not _sensitive_datasets(system)
    return "sensitive_features" if only_features else "data"


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
    # Limits that nothing watches are no plan.
    if not system.monitors:
        return None
    waiting = [
        threshold
        for threshold in system.thresholds
        if any(monitor.judges(threshold) for monitor in system.monitors)
    ]
    found = {
        "monitors": plain(system.monitors),
        "thresholds": [_threshold(threshold) for threshold in waiting],
        "on_breach": plain({key.value: value for key, value in system.on_breach.items()}),
    }
    return {key: value for key, value in found.items() if value} or None


def _rationale(system: AISystem) -> list[dict[str, Any]]:
    """Why the limits that a training run is held against are what they are."""
    return [
        _threshold(threshold)
        for threshold in system.thresholds
        if threshold.judged_on_runs and threshold.reason
    ]


def _threshold(threshold: Threshold) -> dict[str, Any]:
    return {
        "id": threshold.id,
        "metric": threshold.metric or f"{threshold.logged_metric} (logged by the script)",
        "part": _part(threshold),
        "limit": threshold.limit,
        "severity": threshold.severity.value,
        "reason": threshold.reason,
        "approved_by": threshold.approved_by,
        "review_by": threshold.review_by.isoformat() if threshold.review_by else None,
    }


def _part(threshold: Threshold) -> str:
    """What the limit speaks of: "slice night, on loans-test"; all rows where nothing is named."""
    named = ("slice", "perturbation", "scorer", "column")
    told = [f"{key} {value}" for key in named if (value := getattr(threshold, key)) is not None]
    if threshold.feature is not None:
        told.insert(0, f"by {threshold.feature}")
    on = [f"on {threshold.dataset}"] if threshold.dataset is not None else []
    return ", ".join([*(told or ["overall"]), *on])


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
    "sensitive_data": Declaration(
        "data", "data: [{name: ..., sensitive: true}]", _sensitive, _sensitive_origin
    ),
    "factors": Declaration("sensitive_features", "sensitive_features: [{name: ...}]", _factors),
    "metric_rationale": Declaration(
        "thresholds", "thresholds: [{id: ..., metric: ..., min: ..., reason: ...}]", _rationale
    ),
    "monitoring": Declaration("monitors", SNIPPETS["monitors"], _monitoring),
}
