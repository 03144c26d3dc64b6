"""Reference statistics: how they lie on a run, and how a monitor finds those of a model.

They are not evidence of the run but an input of its monitors, whose reports seal their digest.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, NamedTuple

from aims_mlflow.errors import RunNotFoundError, TrackingError
from aims_mlflow.facts import ARTIFACT_DIR, INPUTS_DIR
from aims_mlflow.secrets import cleared

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from aims_mlflow.governance.monitoring import Monitor
    from aims_mlflow.governance.system import AISystem
    from aims_mlflow.monitors.summaries import DataSummary
    from aims_mlflow.monitors.tables import EvaluationTable
    from aims_mlflow.tracking import Tracking
    from aims_mlflow.tracking.registry import Version

#: The folder of a run's artifacts that holds its reference statistics.
REFERENCE_DIR = f"{ARTIFACT_DIR}/reference"
#: What carries reference statistics from a training process to the run.
SCHEMA = "aims.reference/1"
#: The name of what `log_reference` saves unless it is told another, and of what is made by itself.
DEFAULT, AUTOMATIC = "reference", "automatic"
_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]{0,99}")
_RUN = re.compile(r"runs:/([A-Za-z0-9_-]{1,100})(?:/([^/]+))?/?")
_VERSION = re.compile(r"models:/([^/@]+)/(\d+)/?")
_ALIAS = re.compile(r"models:/([^/@]+)@([^/@]+)/?")
_MAX_SAID = 300
_ADVICE = (
    "Call aims_mlflow.log_reference(frame, ...) in the training script, or declare "
    "`reference: {dataset: ...}` in the system's file, and train again; or name a data set as "
    "the `reference` of the monitor."
)


@dataclass(frozen=True)
class FoundReference:
    """The statistics that a monitor compares with, or why there are none.

    `tables` are the evaluations that were logged with the same run, also where it has no
    statistics. `model_version` is the version that both belong to, `production` the one in
    production, as `name/version`; `other_version` says that they differ, so that predictions
    cannot be compared. `reason` tells what is missing and what to do, where `summary` is None.
    """

    summary: DataSummary | None = None
    run_id: str | None = None
    model_version: str | None = None
    production: str | None = None
    uri: str = ""
    tables: tuple[EvaluationTable, ...] = ()
    other_version: bool = False
    notes: tuple[str, ...] = ()
    reason: str = ""


class _Target(NamedTuple):
    """The run whose statistics are wanted; `reason` where there is none."""

    run_id: str | None = None
    version: Version | None = None
    name: str | None = None
    reason: str = ""


def is_name(name: object) -> bool:
    """Whether statistics can be saved under this name: it becomes that of a file.

    >>> is_name("train-2026"), is_name("../x")
    (True, False)
    """
    return isinstance(name, str) and _NAME.fullmatch(name) is not None


def is_saved(reference: str | None) -> bool:
    """Whether a monitor's `reference` is statistics saved with a run, and no source to open.

    >>> is_saved(None), is_saved("models:/credit/3"), is_saved("data/*.parquet")
    (True, True, False)
    """
    return reference is None or reference.startswith(("runs:/", "models:/"))


def reference_body(summary: DataSummary, name: str) -> dict[str, Any]:
    """Statistics as they travel from the training process to the run; plain JSON."""
    return {"schema_version": SCHEMA, "name": name, "summary": summary.model_dump(mode="json")}


def is_reference(body: Mapping[str, Any]) -> bool:
    """Whether what a training process logged are reference statistics."""
    return body.get("schema_version") == SCHEMA


def save_reference(tracking: Tracking, run_id: str, body: Mapping[str, Any]) -> None:
    """Write statistics to their run, as `aims/reference/<name>.json`; again changes nothing.

    Raises:
        RunNotFoundError: The run is gone.
        TrackingError: MLflow or the artifact store refuses.
    """
    data = json.dumps(body["summary"], sort_keys=True, separators=(",", ":")).encode()
    tracking.write(run_id, {f"{REFERENCE_DIR}/{body['name']}.json": data})


def find_reference(tracking: Tracking, system: AISystem, monitor: Monitor) -> FoundReference:
    """The reference statistics of a monitor: those of the version in production, unless it names.

    Args:
        tracking: The MLflow store of the system.
        system: Names its registered models and the alias of the one in production.
        monitor: Its `reference` is None, `runs:/<run id>` (`runs:/<run id>/<name>` where a run has
            several), `models:/<name>/<version>` or `models:/<name>@<alias>`. Anything else is a
            source that the caller opens (`is_saved`): then only the evaluations of the version in
            production are found.

    Returns:
        What was found. Nothing is raised: an MLflow that does not answer is a `reason` too.
    """
    production = _in_production(tracking, system)
    try:
        saved = is_saved(monitor.reference)
        target = _target(tracking, monitor.reference, production) if saved else production
        if target.run_id is None:
            return FoundReference(
                reason=_text(target.reason), production=_label(production.version)
            )
        found = FoundReference(run_id=target.run_id, reason="The reference is a data set.")
        if saved:
            found = _loaded(tracking, target.run_id, target.name)
        return _placed(tracking, system, found, target, production)
    except FileNotFoundError as error:
        return FoundReference(reason=_text(f"{error} is gone from its run. {_ADVICE}"))
    except TrackingError as error:
        advice = _ADVICE if isinstance(error, RunNotFoundError) else error.fix
        return FoundReference(reason=_text(f"{error.message}. {advice}"))


def _in_production(tracking: Tracking, system: AISystem) -> _Target:
    claim = system.mlflow
    if not claim.registered_models or not claim.production_alias:
        return _Target(
            reason=f"The system '{system.id}' does not say which model version is in production. "
            "Declare `mlflow: {registered_models: [...], production_alias: ...}` in its file, or "
            "name the `reference` of the monitor."
        )
    alias, names = claim.production_alias, claim.registered_models
    found = None
    try:
        for name in names:
            found = tracking.registry.aliased(name, alias)
            if found is not None and found.run_id:
                return _Target(found.run_id, found)
    except RunNotFoundError as error:
        return _Target(
            reason=f"The alias '{alias}' points at a version that does not exist: {error.message}. "
            "Move the alias to an existing version."
        )
    except TrackingError as error:
        return _Target(reason=f"{error.message}. {error.fix}")
    if found is not None:
        return _Target(reason=_without_run(found))
    return _Target(
        reason=f"No version of {' or '.join(names)} has the alias '{alias}'. Set it on the version "
        "in production, or name the `reference` of the monitor."
    )


def _target(tracking: Tracking, reference: str | None, production: _Target) -> _Target:
    if reference is None:
        return production
    if run := _RUN.fullmatch(reference):
        return _Target(run[1], name=run[2])
    version: Version | None
    if numbered := _VERSION.fullmatch(reference):
        version = tracking.registry.version(numbered[1], numbered[2])
    elif aliased := _ALIAS.fullmatch(reference):
        version = tracking.registry.aliased(aliased[1], aliased[2])
        if version is None:
            return _Target(
                reason=f"No version of '{aliased[1]}' has the alias '{aliased[2]}'. "
                "Set the alias, or correct the `reference` of the monitor."
            )
    else:
        return _Target(
            reason=f"'{reference}' names no saved reference. Write runs:/<run id>, "
            "models:/<name>/<version> or models:/<name>@<alias>."
        )
    if not version.run_id:
        return _Target(reason=_without_run(version))
    return _Target(version.run_id, version)


def _loaded(tracking: Tracking, run_id: str, name: str | None) -> FoundReference:
    """The statistics of a run, by their name; the one that is there where no name is given."""
    from aims_mlflow.monitors.reference_summary import parse_reference

    saved = {
        path.rpartition("/")[2].removesuffix(".json")
        for path in tracking.files(run_id, REFERENCE_DIR)
        if path.endswith(".json")
    }
    if not saved:
        return FoundReference(
            run_id=run_id, reason=f"Run {run_id} has no reference statistics. {_ADVICE}"
        )
    chosen = _chosen(saved, name)
    if chosen is None:
        wanted = f"none named '{name}'" if name else "several"
        return FoundReference(
            run_id=run_id,
            reason=_text(
                f"Of reference statistics, run {run_id} has {wanted}: {', '.join(sorted(saved))}. "
                f"Set the monitor's `reference` to runs:/{run_id}/<one of these>."
            ),
        )
    path = f"{REFERENCE_DIR}/{chosen}.json"
    found = FoundReference(run_id=run_id, uri=f"runs:/{run_id}/{path}")
    summary, fault = parse_reference(tracking.read(run_id, path))
    if fault:
        reason = f"The reference statistics {found.uri} cannot be used: {fault}. {_ADVICE}"
        return replace(found, reason=_text(reason))
    return replace(found, summary=summary)


def _chosen(saved: set[str], name: str | None) -> str | None:
    if name is not None:
        return name if name in saved else None
    if DEFAULT in saved:
        return DEFAULT
    by_hand = saved - {AUTOMATIC}
    if not by_hand:
        return AUTOMATIC
    return next(iter(by_hand)) if len(by_hand) == 1 else None


def _placed(
    tracking: Tracking,
    system: AISystem,
    found: FoundReference,
    target: _Target,
    production: _Target,
) -> FoundReference:
    """What was found, with the version it belongs to and the evaluations of its run."""
    notes: list[str] = []
    now, label = _label(production.version), _label(target.version)
    if label is None and found.run_id == production.run_id:
        label = now
    elif label is None:
        label = _registered(tracking, system, str(found.run_id), notes)
    other = production.run_id is not None and found.run_id != production.run_id
    if other:
        whose = label or f"run {found.run_id}, of which no version is registered"
        notes.append(f"the reference is of {whose}, not of {now}, which is in production")
    elif production.run_id is None:
        notes.append(f"whether it is of the version in production is unknown: {production.reason}")
    tables = tuple(_tables(tracking, str(found.run_id), notes))
    return replace(
        found,
        model_version=label,
        production=now,
        tables=tables,
        other_version=other,
        notes=tuple(map(_text, notes)),
    )


def _label(version: Version | None) -> str | None:
    return f"{version.name}/{version.version}" if version else None


def _registered(tracking: Tracking, system: AISystem, run_id: str, notes: list[str]) -> str | None:
    """The version that was registered from a run: of the system's models, if of one of them."""
    try:
        versions = tracking.fetch_once(run_id).model_versions
    except TrackingError as error:
        notes.append(f"the versions of run {run_id} could not be read: {error.message}")
        return None
    ranked = sorted(versions, key=lambda v: v.name not in system.mlflow.registered_models)
    return f"{ranked[0].name}/{ranked[0].version}" if ranked else None


def _tables(tracking: Tracking, run_id: str, notes: list[str]) -> Iterator[EvaluationTable]:
    from aims_mlflow.monitors.tables import EvaluationTable

    try:
        for path in tracking.files(run_id, INPUTS_DIR):
            if not path.rpartition("/")[2].startswith("evaluation-"):
                continue
            logged = json.loads(tracking.read(run_id, path))
            if "problem" in logged:
                notes.append(f"an evaluation of the reference was refused: {logged['problem']}")
            else:
                yield EvaluationTable.model_validate(logged)
    except (TrackingError, FileNotFoundError, ValueError, TypeError) as error:
        notes.append(f"an evaluation of the reference cannot be read: {error}")


def _without_run(version: Version) -> str:
    return (
        f"Version {version.version} of '{version.name}' names no run that it was made by, so it "
        "has no reference statistics. Register a model that a run logged, or name the "
        "`reference` of the monitor."
    )


def _text(text: str) -> str:
    """A message of bounded length without what looks like a secret."""
    return cleared(" ".join(text.split()))[0][: 2 * _MAX_SAID]
