"""Write a first governance folder: what was answered as values, everything else as comments."""

from __future__ import annotations

from importlib.resources import files
from string import Template
from typing import TYPE_CHECKING, Any

import yaml
from pydantic import BaseModel, ValidationError

from aims_mlflow.catalogue.loader import load_catalogue
from aims_mlflow.errors import UsageError
from aims_mlflow.governance.find import FOLDER
from aims_mlflow.governance.metrics import METRICS, MetricFamily
from aims_mlflow.governance.missing import SNIPPETS
from aims_mlflow.governance.organization import Organization
from aims_mlflow.governance.system import AISystem

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

#: The answers that `scaffold` understands. Lists are separated by commas, uses by semicolons.
ANSWERS = (
    "organization",
    "tracking_uri",
    "owner",
    "email",
    "roles",
    "intended_use",
    "out_of_scope_uses",
    "risk_tier",
    "human_oversight",
    "registered_models",
    "production_alias",
)


def scaffold(
    target: Path,
    *,
    system_id: str,
    name: str,
    answers: Mapping[str, str],
    experiments: Sequence[str] = (),
    sensitive: Sequence[str] = (),
    metrics: Sequence[str] = (),
) -> list[Path]:
    """Write `governance/aims.yaml`, `systems/<system_id>.yaml` and `soa.yaml` below `target`.

    An existing file is never touched. What nobody answered stays a comment, and so do thresholds:
    a limit is a decision.

    Args:
        target: The project folder.
        system_id: The id of the AI system, a slug.
        name: Its name for people.
        answers: Any of `ANSWERS`; a blank one counts as unanswered.
        experiments: MLflow experiments that the system claims.
        sensitive: Names of protected attributes.
        metrics: Metrics to suggest thresholds for: of this package, or as the script logs them.

    Returns:
        The files that were written, in order.

    Raises:
        UsageError: An answer cannot be declared, or a file cannot be written.
    """
    given = _answered(answers)
    organization = _organization(given)
    system = _system(system_id, name, given, experiments, sensitive)
    _check(Organization, organization)
    _check(AISystem, system)
    texts = {
        "aims.yaml": _render("aims.yaml", organization, Organization),
        f"systems/{system_id}.yaml": _render("system.yaml", system, AISystem, sensitive, metrics),
        "soa.yaml": _template("soa.yaml").substitute(controls=_controls()),
    }
    folder = target / FOLDER
    return [path for path, text in ((folder / n, t) for n, t in texts.items()) if _new(path, text)]


def _answered(answers: Mapping[str, str]) -> dict[str, str]:
    unknown = sorted(set(answers) - set(ANSWERS))
    if unknown:
        raise UsageError(f"unknown answer '{unknown[0]}'", f"Allowed: {', '.join(ANSWERS)}.")
    return {key: value.strip() for key, value in answers.items() if value.strip()}


def _organization(given: Mapping[str, str]) -> dict[str, Any]:
    data = {"name": given.get("organization"), "tracking_uri": given.get("tracking_uri")}
    return {key: value for key, value in data.items() if value}


def _system(
    system_id: str,
    name: str,
    given: Mapping[str, str],
    experiments: Sequence[str],
    sensitive: Sequence[str],
) -> dict[str, Any]:
    owner = {"name": given.get("owner"), "email": given.get("email")}
    claim = {
        "experiments": list(dict.fromkeys(experiments)),
        "registered_models": _split(given.get("registered_models"), ","),
        "production_alias": given.get("production_alias"),
    }
    data = {
        "id": system_id,
        "name": name,
        "owner": {k: v for k, v in owner.items() if v},
        "roles": _split(given.get("roles"), ","),
        "intended_use": given.get("intended_use"),
        "out_of_scope_uses": _split(given.get("out_of_scope_uses"), ";"),
        "risk_tier": given.get("risk_tier"),
        "human_oversight": given.get("human_oversight"),
        "mlflow": {k: v for k, v in claim.items() if v},
        "sensitive_features": [{"name": feature} for feature in dict.fromkeys(sensitive)],
    }
    return {key: value for key, value in data.items() if value or key in ("id", "name")}


def _split(answer: str | None, separator: str) -> list[str]:
    parts = (part.strip() for part in (answer or "").split(separator))
    return [part for part in parts if part]


def _check(model: type[BaseModel], data: dict[str, Any]) -> None:
    try:
        model.model_validate(data)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        message = f"{place}: {first['input']!r} cannot be declared"
        raise UsageError(message, f"{first['msg']}.") from error


def _render(
    template: str,
    data: Mapping[str, Any],
    model: type[BaseModel],
    sensitive: Sequence[str] = (),
    metrics: Sequence[str] = (),
) -> str:
    lines = {}
    for key in model.model_fields:
        if key in data:
            lines[key] = f"{key}: {_inline(data[key])}"
        elif key == "thresholds" and metrics:
            lines[key] = _suggestions(metrics, sensitive)
        else:
            lines[key] = f"# {SNIPPETS.get(key, f'{key}: ...')}"
    return _template(template).substitute(lines)


def _suggestions(metrics: Sequence[str], sensitive: Sequence[str]) -> str:
    """Thresholds to fill in, as comments: nobody but a person can set a limit."""
    lines = ["# thresholds:"]
    for metric in dict.fromkeys(metrics):
        known = METRICS.get(metric)
        key = "metric" if known else "logged_metric"
        by_group = known is not None and known.family is MetricFamily.FAIRNESS
        for feature in (sensitive or ["..."]) if by_group else [None]:
            named = f"{key}: {_inline(metric)}"
            if feature is not None:
                named += f", feature: {_inline(feature)}"
            rest = "min: ..., max: ..., reason: ..., approved_by: ..., review_by: ..."
            lines.append(f"#   - {{id: ..., {named}, {rest}}}")
    return "\n".join(lines)


def _controls() -> str:
    catalogue = load_catalogue()
    titles = {area.id: area.title for area in catalogue.areas}
    lines: list[str] = []
    for control in catalogue.controls:
        area = titles.pop(control.area, None)
        if area is not None:
            lines.append(f"\n# {control.area} {area}")
        lines.append(f"# {control.title}\n{control.id}:\n  decision: undecided")
    return "\n".join(lines)


def _inline(value: Any) -> str:
    """Any value as one line of YAML that reads back as the same value.

    Text that a terminal or an editor would not show as it is (line breaks, marks that reverse the
    direction of writing) is written with escapes, so that it cannot leave its line or a comment.
    """
    plain = _dump(value, allow_unicode=True)
    if plain.isprintable():
        return plain
    return _dump(value, allow_unicode=False, default_style='"')


def _dump(value: Any, **style: Any) -> str:
    text: str = yaml.safe_dump(
        value, default_flow_style=True, width=float("inf"), sort_keys=False, **style
    )
    return text.removesuffix("\n").removesuffix("\n...")


def _template(name: str) -> Template:
    source = files("aims_mlflow.governance") / "scaffold" / name
    return Template(source.read_text("utf-8"))


def _new(path: Path, text: str) -> bool:
    """Write `path` unless it exists; whether it was written."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with path.open("x", encoding="utf-8", newline="\n") as file:
            file.write(text)
    except FileExistsError:
        return False
    except OSError as error:
        raise UsageError(
            f"{path} cannot be written: {error.strerror}", "Check the folder and its permissions."
        ) from error
    return True
