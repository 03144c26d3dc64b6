"""Record bodies: what MLflow holds of a run, its data, its lineage and its environment.

Each is a plain dict, a pure function of `RunFacts`. Numbers are left as MLflow has them, NaN
included; `aims_mlflow.evidence.normalise` makes them fit for evidence and notes the change.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from aims_mlflow.evidence import canonical_bytes, digest, isoformat, normalise
from aims_mlflow.model_card.bounds import bound_list, bound_map, cut_text, cut_texts

if TYPE_CHECKING:
    from aims_mlflow.evidence import UtcDatetime
    from aims_mlflow.facts import DatasetFacts, MetricFacts, ModelFacts, RunFacts
    from aims_mlflow.governance.system import AISystem

MISSING = "missing"
#: What only people know of a dataset, in the order in which it is shown.
DECLARED_DATA_KEYS = (
    "source",
    "purpose",
    "lawful_basis",
    "licence",
    "retention",
    "sensitive",
    "collected",
    "labelling",
    "known_bias",
)


def run_record(facts: RunFacts, system_id: str | None) -> dict[str, Any]:
    """The run: when, who, from which code, with which parameters, metrics, data and models."""
    return {
        "schema_version": "aims.run_record/1",
        "run": _run(facts) | {"system": system_id, "user": _cut(facts.user)},
        "code": code_of(facts),
        "params": bound_map(facts.params),
        "metrics": bound_map({metric.key: _metric(metric) for metric in facts.metrics}),
        "tags": bound_map(facts.tags),
        "datasets": [_dataset_reference(dataset) for dataset in facts.datasets],
        "models": [model_summary(model) for model in facts.models],
        "registered_versions": registered_versions(facts),
        "artifacts": bound_list(facts.artifacts),
        "redactions": bound_list([r.model_dump() for r in facts.redactions]),
        "notes": cut_texts(facts.notes),
    }


def dataset_records(
    facts: RunFacts, system: AISystem | None
) -> list[tuple[DatasetFacts, dict[str, Any]]]:
    """One record for each dataset input: what was measured, and what was declared or is missing."""
    return [(dataset, _dataset_record(dataset, system)) for dataset in facts.datasets]


def provenance_record(facts: RunFacts) -> dict[str, Any]:
    """The chain from dataset digests through the run and its code to registered versions."""
    return {
        "schema_version": "aims.provenance_record/1",
        "datasets": [_dataset_reference(dataset) for dataset in facts.datasets],
        "code": code_of(facts),
        "run": _run(facts),
        "models": [
            {
                "model_id": model.model_id,
                "name": cut_text(model.name),
                "uri": cut_text(model.uri),
                "mlmodel_sha256": model.mlmodel_sha256,
            }
            for model in facts.models
        ],
        "registered_versions": registered_versions(facts),
    }


def environment_lock(facts: RunFacts) -> dict[str, Any] | None:
    """The environment as the training process saw it; None when it recorded none.

    `lock_sha256` is the SHA-256 of the canonical bytes of `packages` alone, so that two runs with
    the same packages on different machines share it.
    """
    if facts.environment is None:
        return None
    packages = facts.environment.get("packages") or {}
    return dict(facts.environment) | {
        "package_count": len(packages),
        "lock_sha256": digest(canonical_bytes(normalise(packages)[0])),
    }


def dataset_size(dataset: DatasetFacts) -> dict[str, Any]:
    """The numbers of MLflow's dataset profile, such as `num_rows`; empty when there are none."""
    profile = _parsed(dataset.profile)
    if not isinstance(profile, dict):
        return {}
    return {
        cut_text(str(key)): value
        for key, value in sorted(profile.items())
        if isinstance(value, int | float) and not isinstance(value, bool)
    }


def dataset_columns(dataset: DatasetFacts) -> list[dict[str, Any]] | None:
    """The columns of MLflow's dataset schema; None when it stores none or an unreadable one."""
    schema = _parsed(dataset.schema_text)
    if not isinstance(schema, dict):
        return None
    for key in ("mlflow_colspec", "mlflow_tensorspec"):
        spec = schema.get(key)
        if isinstance(spec, list):
            return [column for column in spec if isinstance(column, dict)]
        if isinstance(spec, dict):
            return [spec]
    return None


def model_summary(model: ModelFacts) -> dict[str, Any]:
    """What MLflow knows of a logged model, bounded."""
    return {
        "model_id": model.model_id,
        "name": cut_text(model.name),
        "uri": cut_text(model.uri),
        "flavors": cut_texts(model.flavors),
        "model_class": _cut(model.model_class),
        "inputs": bound_list(model.inputs),
        "outputs": bound_list(model.outputs),
        "requirements": bound_list(model.requirements),
        "size_bytes": model.size_bytes,
        "created": _time(model.created),
        "mlmodel_sha256": model.mlmodel_sha256,
    }


def registered_versions(facts: RunFacts) -> list[dict[str, Any]]:
    """The registered model versions that point at the run."""
    return [
        {
            "name": cut_text(version.name),
            "version": version.version,
            "created": _time(version.created),
        }
        for version in facts.model_versions
    ]


def code_of(facts: RunFacts) -> dict[str, Any]:
    """Where the code came from: source, git commit, and whether it had uncommitted changes."""
    git = (facts.environment or {}).get("git")
    git = git if isinstance(git, dict) else {}
    return {
        "source_name": _cut(facts.source_name),
        "git_commit": _cut(facts.git_commit or git.get("commit")),
        "uncommitted_changes": git.get("dirty"),
    }


def _dataset_record(dataset: DatasetFacts, system: AISystem | None) -> dict[str, Any]:
    entries = system.data if system else ()
    found = next((entry for entry in entries if entry.name == dataset.name), None)
    declared = {key: getattr(found, key, None) for key in DECLARED_DATA_KEYS}
    columns = dataset_columns(dataset)
    return {
        "schema_version": "aims.dataset_record/1",
        "measured": _dataset_reference(dataset)
        | {
            "source_type": cut_text(dataset.source_type),
            "source": cut_text(dataset.source),
            "columns": bound_list(columns) if columns is not None else MISSING,
            "profile": dataset_size(dataset),
        },
        "declared": {key: MISSING if value is None else value for key, value in declared.items()},
    }


def _dataset_reference(dataset: DatasetFacts) -> dict[str, Any]:
    return {
        "name": cut_text(dataset.name),
        "digest": cut_text(dataset.digest),
        "context": _cut(dataset.context),
    }


def _run(facts: RunFacts) -> dict[str, Any]:
    return {
        "run_id": facts.run_id,
        "run_name": cut_text(facts.run_name),
        "experiment_id": facts.experiment_id,
        "experiment_name": cut_text(facts.experiment_name),
        "parent_run_id": facts.parent_run_id,
        "status": facts.status,
        "started": isoformat(facts.start_time),
        "ended": _time(facts.end_time),
        "exception": _cut(facts.exception),
        "ended_by": _cut(facts.ended_by),
    }


def _metric(metric: MetricFacts) -> dict[str, Any]:
    return {"value": metric.value, "step": metric.step, "time": _time(metric.time)}


def _time(moment: UtcDatetime | None) -> str | None:
    return isoformat(moment) if moment else None


def _cut(text: str | None) -> str | None:
    return cut_text(text) if text is not None else None


def _parsed(text: str | None) -> Any:
    """MLflow's JSON text as data; None for what no version of MLflow wrote."""
    try:
        return json.loads(text) if text else None
    except (ValueError, RecursionError):
        return None
