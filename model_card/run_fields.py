"""Card fields that the run answers: one small function each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aims_mlflow.evidence import isoformat
from aims_mlflow.model_card import records
from aims_mlflow.model_card.bounds import bound_list, bound_map, cut_text, cut_texts

if TYPE_CHECKING:
    from collections.abc import Callable

    from aims_mlflow.facts import DatasetFacts, ModelFacts, RunFacts

TRAINING = ("train", "fit")
EVALUATION = ("eval", "test", "valid", "holdout")
_IMAGES = (".png", ".svg", ".jpg", ".jpeg")
#: Tags of scikit-learn's autologging, which names the class where the model's files do not.
_CLASS_TAGS = ("estimator_class", "estimator_name")
#: Flavors of models that are built upon another one, and where their trainers log its name.
_DERIVED_FLAVORS = frozenset({"transformers", "sentence_transformers", "peft", "openai"})
_BASE_TAG = "base_model"
_BASE_PARAMS = ("base_model", "base_model_name_or_path", "model_name_or_path", "_name_or_path")


def model_name(facts: RunFacts) -> str | None:
    """The registered name, else the name under which the run logged the model."""
    named = [*(v.name for v in facts.model_versions), *(m.name for m in facts.models)]
    return cut_text(named[0]) if named else None


def model_types(facts: RunFacts) -> list[str]:
    """The class of each model; its flavor where neither its files nor a tag names the class."""
    tagged = next((facts.tags[tag] for tag in _CLASS_TAGS if facts.tags.get(tag)), None)
    found = []
    for model in facts.models:
        known = model.model_class
        if tagged and len(facts.models) == 1 and known in (None, *model.flavors):
            known = tagged
        if known:
            found.append(cut_text(known))
    return found


def base_models(facts: RunFacts) -> list[str]:
    """The models that this one was made from, as a tag or the trainer's own params name them."""
    flavors = {flavor for model in facts.models for flavor in model.flavors}
    params = _BASE_PARAMS if flavors & _DERIVED_FLAVORS else ()
    named = [facts.tags.get(_BASE_TAG), *(facts.params.get(key) for key in params)]
    return [cut_text(name) for name in dict.fromkeys(named) if name]


def registry(facts: RunFacts) -> dict[str, Any]:
    """Run, code commit and the models with their digests."""
    code = records.code_of(facts)
    return {
        "run_id": facts.run_id,
        "git_commit": code["git_commit"],
        "uncommitted_changes": code["uncommitted_changes"],
        "source_name": code["source_name"],
        "models": [
            {
                "name": cut_text(model.name),
                "model_uri": cut_text(model.uri),
                "MLmodel SHA-256": model.mlmodel_sha256,
            }
            for model in facts.models
        ],
    }


def signature(facts: RunFacts, side: Callable[[ModelFacts], tuple[dict[str, Any], ...]]) -> Any:
    """Inputs or outputs of the models as MLflow signed them, bounded; None without any."""
    fields = [field for model in facts.models for field in side(model)]
    return bound_list(fields) if fields else None


def libraries(facts: RunFacts) -> list[dict[str, str]]:
    """The frameworks of the models and their versions."""
    found = {item for model in facts.models for item in model.flavors.items()}
    return [{"flavor": cut_text(f), "version": cut_text(v)} for f, v in sorted(found)]


def environment(facts: RunFacts) -> dict[str, Any] | None:
    """The lock of the environment; else what the models require; else None."""
    lock = records.environment_lock(facts)
    if lock is not None:
        asked = ("lock_sha256", "package_count", "python", "platform", "image")
        return {key: cut_texts(lock.get(key)) for key in asked}
    required = sorted({line for model in facts.models for line in model.requirements})
    return {"requirements of the model": bound_list(required)} if required else None


def compute(facts: RunFacts) -> dict[str, Any] | None:
    """The hardware and how long the run took."""
    hardware = (facts.environment or {}).get("hardware")
    found = cut_texts(hardware) if isinstance(hardware, dict) else {}
    if facts.end_time is not None:
        seconds = (facts.end_time - facts.start_time).total_seconds()
        found = found | {"duration_seconds": round(seconds, 3)}
    return found or None


def datasets(facts: RunFacts, contexts: tuple[str, ...]) -> list[dict[str, Any]]:
    """The dataset inputs whose context begins with one of `contexts`."""
    return [_dataset(d) for d in facts.datasets if (d.context or "").lower().startswith(contexts)]


def unplaced_datasets(facts: RunFacts) -> list[str]:
    """Names of datasets whose context says neither training nor evaluation."""
    known = TRAINING + EVALUATION
    return [
        cut_text(dataset.name)
        for dataset in facts.datasets
        if not (dataset.context or "").lower().startswith(known)
    ]


def _dataset(dataset: DatasetFacts) -> dict[str, Any]:
    columns = records.dataset_columns(dataset)
    return {
        "name": cut_text(dataset.name),
        "digest": cut_text(dataset.digest),
        "context": cut_text(dataset.context or ""),
        "rows": records.dataset_size(dataset).get("num_rows"),
        "columns": len(columns) if columns is not None else None,
        "source": cut_text(dataset.source),
    }


def history(facts: RunFacts) -> list[dict[str, Any]]:
    """What happened to the run and its models, in order of time."""
    events = [(facts.start_time, "run started")]
    if facts.end_time is not None:
        events.append((facts.end_time, f"run ended: {facts.status}"))
    events += [(m.created, f"model {m.name} logged") for m in facts.models if m.created]
    events += [
        (v.created, f"registered as {v.name} version {v.version}")
        for v in facts.model_versions
        if v.created
    ]
    return [{"time": isoformat(t), "change": cut_text(change)} for t, change in sorted(events)]


def graphics(facts: RunFacts) -> Any:
    """The images among the artifacts of the run, bounded; None without any."""
    found = [path for path in facts.artifacts if path.lower().endswith(_IMAGES)]
    return bound_list(found) if found else None


def params(facts: RunFacts) -> Any:
    """All parameters, bounded; None without any."""
    return bound_map(facts.params) if facts.params else None


def tags(facts: RunFacts) -> Any:
    """The user's own tags, bounded; None without any."""
    shown = {key: tag for key, tag in facts.tags.items() if not key.startswith("mlflow.")}
    return bound_map(shown) if shown else None
