"""What a system's owners have not declared yet, as YAML lines that a person can paste."""

from __future__ import annotations

from typing import TYPE_CHECKING

from aims_mlflow.catalogue.loader import load_catalogue
from aims_mlflow.governance.system import AISystem, RiskTier, Role

if TYPE_CHECKING:
    from collections.abc import Mapping

#: `...` marks what a person must write; the loader refuses it as a value.
SNIPPETS: Mapping[str, str] = {
    "id": "id: ...",
    "name": "name: ...",
    "owner": "owner: {name: ..., email: ...}",
    "roles": f"roles: [...]  # {', '.join(Role)}",
    "intended_use": "intended_use: ...",
    "out_of_scope_uses": "out_of_scope_uses: [...]",
    "risk_tier": f"risk_tier: ...  # {', '.join(RiskTier)}",
    "human_oversight": "human_oversight: ...",
    "mlflow": "mlflow: {experiments: [...], registered_models: [...], production_alias: ...}",
    "sensitive_features": "sensitive_features: [{name: ...}]",
    "positive_label": "positive_label: ...",
    "data": "data: [{name: ..., source: ..., lawful_basis: ..., licence: ..., retention: ...}]",
    "thresholds": (
        "thresholds: [{id: ..., metric: ..., min: ..., severity: major, "
        "reason: ..., approved_by: ..., review_by: ...}]"
    ),
    "slices": "slices: [{name: ..., where: {...: ...}}]",
    "robustness": "robustness: {perturbations: [{id: noise-tenth, kind: noise, amount: 0.1}]}",
    "sweep": "sweep: {chosen: best, metric: ..., mode: ...}",
    "reference": "reference: {dataset: ..., target: ..., prediction: ...}",
    "monitors": 'monitors: [{kind: drift, schedule: "0 6 * * *", current: ...}]',
    "incidents": "incidents: {close_after: 3}",
    "on_breach": "on_breach: {critical: propose, major: propose, minor: alert}",
    "gate": "gate: {aliases: [...], require: [evaluation_report, bias_report, approval]}",
    "card": "card: {limitations: ...}",
}
#: Fields of the model card that are declared by a key of their own, under another name.
_CARD_KEYS: Mapping[str, str] = {
    "system_id": "id",
    "owners": "owner",
    "out_of_scope_use": "out_of_scope_uses",
    "data_acquisition": "data",
    "sensitive_data": "data",
    "factors": "sensitive_features",
    "monitoring": "monitors",
}


def line_to_add(system: AISystem | None, key: str) -> str:
    """The YAML to add to the system's file so that `key` is declared; empty if it is already.

    `key` is a field of `AISystem`, or a field of the model card that people write (`limitations`
    or `card.limitations`), which belongs below `card:`. Without a system the whole line is given.

    Raises:
        KeyError: Nobody can declare `key`.

    >>> line_to_add(None, "intended_use")
    'intended_use: ...'
    >>> line_to_add(None, "limitations")
    'card: {limitations: ...}'
    """
    key = _CARD_KEYS.get(key.removeprefix("card."), key.removeprefix("card."))
    if key in SNIPPETS:
        default = AISystem.model_fields[key].get_default()
        declared = system is not None and getattr(system, key) != default
        return "" if declared else SNIPPETS[key]
    if all(f.field != key or f.filled_by == "machine" for f in load_catalogue().card_fields):
        raise KeyError(f"nobody declares '{key}': it is no key of a system file or of its card")
    if system is None or not system.card:
        return f"card: {{{key}: ...}}"
    return "" if key in system.card else f"  {key}: ...  # below `card:`"


def lines_to_add(system: AISystem) -> dict[str, str]:
    """The line to add for each field of `AISystem` that is not declared, in their order."""
    lines = {key: line_to_add(system, key) for key in SNIPPETS}
    return {key: line for key, line in lines.items() if line}
