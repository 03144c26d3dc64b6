"""MLflow's entities as facts: pure conversions, no store is asked."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from aims_mlflow.facts import DatasetFacts, MetricFacts
from aims_mlflow.tracking.translation import moment

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from mlflow.entities import Run


def run_metrics(run: Run) -> Iterator[MetricFacts]:
    """The last value of every metric, by key."""
    objects = getattr(run.data, "_metric_objs", None)
    if objects is None:
        for key, value in sorted(run.data.metrics.items()):
            yield MetricFacts(key=key, value=value, step=0, time=None)
        return
    for metric in sorted(objects, key=lambda m: m.key):
        yield MetricFacts(
            key=metric.key, value=metric.value, step=metric.step, time=moment(metric.timestamp)
        )


def run_datasets(run: Run) -> Iterator[DatasetFacts]:
    """The dataset inputs of the run, each with its context."""
    for item in run.inputs.dataset_inputs if run.inputs else []:
        contexts = [tag.value for tag in item.tags if tag.key == "mlflow.data.context"]
        yield DatasetFacts(
            name=item.dataset.name,
            digest=item.dataset.digest,
            source_type=item.dataset.source_type,
            source=item.dataset.source,
            context=contexts[0] if contexts else None,
            schema_text=item.dataset.schema,
            profile=item.dataset.profile,
        )


def parsed(path: str, data: bytes, notes: list[str]) -> Any:
    """The JSON of an artifact; None, with a note, for what is none."""
    try:
        return json.loads(data)
    except ValueError as error:
        notes.append(f"{path} is not JSON: {error}")
        return None


def signature_fields(text: Any) -> list[dict[str, Any]]:
    """The columns or tensors of one side of a model signature."""
    if not isinstance(text, str):
        return []
    fields = json.loads(text)
    return [field for field in fields if isinstance(field, dict)]


def flavor_version(name: str, spec: Any) -> str:
    """The version of the library behind a flavor, or an empty text."""
    if not isinstance(spec, dict):
        return ""
    for key in (f"{name}_version", "sklearn_version", "lgb_version", "xgb_version"):
        if key in spec:
            return str(spec[key])
    return next((str(v) for k, v in sorted(spec.items()) if str(k).endswith("_version")), "")


def model_class(flavors: Mapping[str, Any]) -> str | None:
    """The class of the model, else its type, else its flavor."""
    for name, spec in flavors.items():
        if name != "python_function" and isinstance(spec, dict):
            return str(spec.get("model_class") or spec.get("model_type") or name)
    spec = flavors.get("python_function")
    return str(spec.get("loader_module")) if isinstance(spec, dict) else None
