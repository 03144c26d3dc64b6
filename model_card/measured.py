"""Card fields that the run or its evaluation report answers: one small function each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from aims_mlflow.evidence import isoformat
from aims_mlflow.model_card import records
from aims_mlflow.model_card.bounds import bound_list, bound_map, cut_text, cut_texts, plain
from aims_mlflow.readings import Verdict

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from aims_mlflow.facts import DatasetFacts, ModelFacts, RunFacts
    from aims_mlflow.model_card.evaluation import EvaluationReport
    from aims_mlflow.readings import Judgement, Reading, Scores

RUN = "MLflow run"
REPORT = "evaluation report"
SCHEMA = "card schema"
_TRAINING = ("train", "fit")
_EVALUATION = ("eval", "test", "valid", "holdout")
_IMAGES = (".png", ".svg", ".jpg", ".jpeg")
_LOG_MODEL = 'mlflow.sklearn.log_model(model, name="...", signature=infer_signature(X, y))'
_LOG_EVALUATION = "aims_mlflow.log_evaluation(y_true, y_pred, sensitive_features=...)"


Read: TypeAlias = "Callable[[RunFacts, EvaluationReport], Any]"


class Measured(NamedTuple):
    """How a field is measured, where its value comes from, and what to do when there is none."""

    read: Read
    source: str
    fix: str = ""


def model_name(facts: RunFacts) -> str | None:
    """The registered name, else the name under which the run logged the model."""
    named = [*(v.name for v in facts.model_versions), *(m.name for m in facts.models)]
    return cut_text(named[0]) if named else None


def _version(facts: RunFacts) -> list[dict[str, Any]]:
    return records.registered_versions(facts)


def _model_type(facts: RunFacts) -> list[str]:
    return [cut_text(m.model_class) for m in facts.models if m.model_class]


def _registry(facts: RunFacts) -> dict[str, Any]:
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


def _signature(facts: RunFacts, side: Callable[[ModelFacts], tuple[dict[str, Any], ...]]) -> Any:
    fields = [field for model in facts.models for field in side(model)]
    return bound_list(fields) if fields else None


def _library(facts: RunFacts) -> list[dict[str, str]]:
    found = {item for model in facts.models for item in model.flavors.items()}
    return [{"flavor": cut_text(f), "version": cut_text(v)} for f, v in sorted(found)]


def _environment(facts: RunFacts) -> dict[str, Any] | None:
    lock = records.environment_lock(facts)
    if lock is not None:
        asked = ("lock_sha256", "package_count", "python", "platform", "image")
        return {key: cut_texts(lock.get(key)) for key in asked}
    required = sorted({line for model in facts.models for line in model.requirements})
    return {"requirements of the model": bound_list(required)} if required else None


def _compute(facts: RunFacts) -> dict[str, Any] | None:
    hardware = (facts.environment or {}).get("hardware")
    found = cut_texts(hardware) if isinstance(hardware, dict) else {}
    if facts.end_time is not None:
        seconds = (facts.end_time - facts.start_time).total_seconds()
        found = found | {"duration_seconds": round(seconds, 3)}
    return found or None


def _datasets(facts: RunFacts, contexts: tuple[str, ...]) -> list[dict[str, Any]]:
    return [_dataset(d) for d in facts.datasets if (d.context or "").lower().startswith(contexts)]


def unplaced_datasets(facts: RunFacts) -> list[str]:
    """Names of datasets whose context says neither training nor evaluation."""
    known = _TRAINING + _EVALUATION
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


def _evaluation_data(facts: RunFacts, report: EvaluationReport) -> list[dict[str, Any]]:
    logged = _datasets(facts, _EVALUATION)
    known = {row["name"] for row in logged}
    return logged + [
        {"name": cut_text(d.name), "digest": d.digest, "context": "evaluated", "rows": d.n}
        for d in report.datasets
        if cut_text(d.name) not in known
    ]


def _reading(reading: Reading, score: Scores, report: EvaluationReport) -> dict[str, Any]:
    judged = [j for j in report.judgements if _answers(j, reading, score.dataset)]
    return {
        "metric": reading.metric,
        "dataset": score.dataset,
        "value": reading.value,
        "n": reading.n,
        "limit": ", ".join(dict.fromkeys(j.limit for j in judged)),
        "verdict": _worst(judged),
        "note": cut_text(reading.reason),
    }


def _answers(judgement: Judgement, reading: Reading, dataset: str) -> bool:
    return (
        judgement.metric == reading.metric
        and judgement.feature == reading.feature
        and judgement.dataset in (None, dataset)
    )


def _worst(judged: list[Judgement]) -> Verdict | None:
    return Verdict.worst(j.verdict for j in judged) if judged else None


def _metrics(report: EvaluationReport) -> dict[str, Any] | None:
    readings = [plain(_reading(r, s, report)) for s in report.scores for r in s.overall]
    logged = [
        {"metric": metric.key, "value": metric.value, "step": metric.step}
        for metric in report.logged_metrics
    ]
    found: dict[str, Any] = {}
    if readings:
        found["measured on an evaluated dataset"] = readings
    if logged:
        found["logged by the training script"] = bound_list(logged)
    return found or None


def _disaggregated(report: EvaluationReport) -> list[dict[str, Any]]:
    return [cut_texts(plain(table)) for score in report.scores for table in score.groups]


def _fairness(report: EvaluationReport) -> list[dict[str, Any]]:
    return [row for score in report.scores for row in _disparities(score, report)]


def _disparities(score: Scores, report: EvaluationReport) -> Iterator[dict[str, Any]]:
    for reading in score.disparities:
        row = plain(_reading(reading, score, report))
        note = row.pop("note")
        yield {
            "feature": reading.feature,
            **row,
            "excluded": cut_texts(plain(reading.excluded)),
            "note": note,
        }


def _evaluation_source(report: EvaluationReport) -> dict[str, Any] | None:
    if not report.scores and not report.logged_metrics:
        return None
    logged = "metrics logged by the training script"
    return {
        "name": "aims_mlflow.log_evaluation" if report.scores else logged,
        "run_id": report.run_id,
        "evaluator": report.evaluator,
        "date": isoformat(report.event_time),
    }


def _history(facts: RunFacts) -> list[dict[str, Any]]:
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


def _graphics(facts: RunFacts) -> Any:
    found = [path for path in facts.artifacts if path.lower().endswith(_IMAGES)]
    return bound_list(found) if found else None


def _params(facts: RunFacts) -> Any:
    return bound_map(facts.params) if facts.params else None


def _tags(facts: RunFacts) -> Any:
    shown = {key: tag for key, tag in facts.tags.items() if not key.startswith("mlflow.")}
    return bound_map(shown) if shown else None


def _of_run(read: Callable[[RunFacts], Any]) -> Read:
    return lambda facts, _report: read(facts)


def _of_report(read: Callable[[EvaluationReport], Any]) -> Read:
    return lambda _facts, report: read(report)


MEASURED: dict[str, Measured] = {
    "schema_version": Measured(lambda *_: "aims.model_card/1", SCHEMA),
    "card_id": Measured(_of_run(lambda facts: f"model_card/{facts.run_id}"), RUN),
    # Whoever reviews or approves does so later, in evidence of its own.
    "card_status": Measured(lambda *_: "draft", SCHEMA),
    "model_name": Measured(_of_run(model_name), RUN, _LOG_MODEL),
    "version": Measured(_of_run(_version), RUN, 'mlflow.register_model(model_uri, "...")'),
    "model_type": Measured(_of_run(_model_type), RUN, _LOG_MODEL),
    "tags": Measured(_of_run(_tags), RUN, "mlflow.set_tag(key, value)"),
    "registry": Measured(_of_run(_registry), RUN),
    "inputs": Measured(_of_run(lambda f: _signature(f, lambda m: m.inputs)), RUN, _LOG_MODEL),
    "outputs": Measured(_of_run(lambda f: _signature(f, lambda m: m.outputs)), RUN, _LOG_MODEL),
    "hyperparameters": Measured(_of_run(_params), RUN, "mlflow.log_params({...})"),
    "library": Measured(_of_run(_library), RUN, _LOG_MODEL),
    "environment": Measured(_of_run(_environment), RUN, '@aims_mlflow.govern("...")'),
    "compute": Measured(_of_run(_compute), RUN, '@aims_mlflow.govern("...")'),
    "training_data": Measured(
        _of_run(lambda facts: _datasets(facts, _TRAINING)),
        RUN,
        'mlflow.log_input(mlflow.data.from_pandas(frame, name="..."), context="training")',
    ),
    "evaluation_data": Measured(
        _evaluation_data,
        f"{RUN}, {REPORT}",
        'mlflow.log_input(mlflow.data.from_pandas(frame, name="..."), context="evaluation")',
    ),
    "data_quality": Measured(lambda *_: None, REPORT, "monitors: [{kind: quality, schedule: ...}]"),
    "task": Measured(_of_report(lambda r: sorted({s.task for s in r.scores})), REPORT),
    "metrics": Measured(_of_report(_metrics), REPORT, _LOG_EVALUATION),
    "disaggregated_results": Measured(_of_report(_disaggregated), REPORT, _LOG_EVALUATION),
    "fairness_assessment": Measured(_of_report(_fairness), REPORT, _LOG_EVALUATION),
    "evaluation_source": Measured(_of_report(_evaluation_source), REPORT, _LOG_EVALUATION),
    "graphics": Measured(_of_run(_graphics), RUN, 'mlflow.log_figure(figure, "....png")'),
    "change_history": Measured(_of_run(_history), RUN),
}
