"""Card fields that the run or its evaluation report answers, and the evidence of each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

from aims_mlflow.evidence import EvidenceKind, isoformat
from aims_mlflow.model_card import records, report_fields, run_fields
from aims_mlflow.model_card.bounds import cut_text
from aims_mlflow.model_card.release_notes import plain_lines

if TYPE_CHECKING:
    from collections.abc import Callable

    from aims_mlflow.facts import RunFacts
    from aims_mlflow.model_card.diff import CardDiff
    from aims_mlflow.model_card.evaluation import EvaluationReport

RUN = "MLflow run"
REPORT = "evaluation report"
SCHEMA = "card schema"
_LOG_MODEL = 'mlflow.sklearn.log_model(model, name="...", signature=infer_signature(X, y))'
_LOG_EVALUATION = "aims_mlflow.log_evaluation(y_true, y_pred, sensitive_features=...)"
_GOVERN = '@aims_mlflow.govern("...")'
#: Lines of a comparison with production that the history of a card tells.
_MAX_CHANGES = 40


Read: TypeAlias = "Callable[[RunFacts, EvaluationReport], Any]"
Kinds: TypeAlias = tuple[EvidenceKind, ...]

_RUN_RECORD: Kinds = (EvidenceKind.RUN_RECORD,)
_REPORTED: Kinds = (EvidenceKind.EVALUATION_REPORT,)
_DATASETS: Kinds = (EvidenceKind.DATASET_RECORD,)
_LOCK: Kinds = (EvidenceKind.ENVIRONMENT_LOCK,)
_CHAIN: Kinds = (EvidenceKind.PROVENANCE_RECORD, EvidenceKind.RUN_RECORD)


class Measured(NamedTuple):
    """How a field is measured, where its value comes from, and what to do when there is none.

    `evidence` are the kinds of sealed facts that the value can be checked against.
    """

    read: Read
    source: str
    evidence: Kinds
    fix: str = ""


def _run(read: Callable[[RunFacts], Any], fix: str = "", evidence: Kinds = _RUN_RECORD) -> Measured:
    return Measured(lambda facts, _report: read(facts), RUN, evidence, fix)


def _report(read: Callable[[EvaluationReport], Any], fix: str = "") -> Measured:
    return Measured(lambda _facts, report: read(report), REPORT, _REPORTED, fix)


def _schema(value: str) -> Measured:
    return Measured(lambda *_: value, SCHEMA, ())


MEASURED: dict[str, Measured] = {
    "schema_version": _schema("aims.model_card/1"),
    "card_id": _run(lambda facts: f"model_card/{facts.run_id}"),
    # Whoever reviews or approves does so later, in evidence of its own.
    "card_status": _schema("draft"),
    "model_name": _run(run_fields.model_name, _LOG_MODEL),
    "version": _run(records.registered_versions, 'mlflow.register_model(model_uri, "...")', _CHAIN),
    "model_type": _run(run_fields.model_types, _LOG_MODEL),
    "tags": _run(run_fields.tags, "mlflow.set_tag(key, value)"),
    "base_model": _run(run_fields.base_models, 'mlflow.set_tag("base_model", "...")'),
    "registry": _run(run_fields.registry, evidence=_CHAIN),
    "inputs": _run(lambda f: run_fields.signature(f, lambda m: m.inputs), _LOG_MODEL),
    "outputs": _run(lambda f: run_fields.signature(f, lambda m: m.outputs), _LOG_MODEL),
    "hyperparameters": _run(run_fields.params, "mlflow.log_params({...})"),
    "library": _run(run_fields.libraries, _LOG_MODEL),
    "environment": _run(run_fields.environment, _GOVERN, _LOCK),
    "compute": _run(run_fields.compute, _GOVERN, _LOCK),
    "training_data": _run(
        lambda facts: run_fields.datasets(facts, run_fields.TRAINING),
        'mlflow.log_input(mlflow.data.from_pandas(frame, name="..."), context="training")',
        _DATASETS,
    ),
    "evaluation_data": Measured(
        report_fields.evaluation_data,
        f"{RUN}, {REPORT}",
        _DATASETS + _REPORTED,
        'mlflow.log_input(mlflow.data.from_pandas(frame, name="..."), context="evaluation")',
    ),
    "data_quality": _report(lambda _: None, "monitors: [{kind: quality, schedule: ...}]"),
    "task": _report(report_fields.tasks),
    "metrics": _report(report_fields.metrics, _LOG_EVALUATION),
    "disaggregated_results": _report(report_fields.disaggregated, _LOG_EVALUATION),
    "fairness_assessment": _report(report_fields.fairness, _LOG_EVALUATION),
    "robustness_safety_tests": _report(
        report_fields.robustness, "aims_mlflow.evaluate_robustness(model, X, y)"
    ),
    "evaluation_source": _report(report_fields.source, _LOG_EVALUATION),
    "graphics": _run(run_fields.graphics, 'mlflow.log_figure(figure, "....png")'),
    "change_history": _run(run_fields.history),
}


def with_changes(field: str, value: Any, facts: RunFacts, changes: CardDiff | None) -> Any:
    """A measured value with what changed since the version in production, where it tells that."""
    if changes is None or field not in ("version", "change_history"):
        return value
    base = facts.baseline
    production = (
        cut_text(f"{base.name} {base.version} ({base.alias})") if base else changes.before.name
    )
    if field == "version":
        told = f"{production}: {changes.summary}"
        return [{**row, "changes_since_production": told} for row in value or ()]
    time = isoformat(facts.event_time)
    first = f"compared with {production}, in production then: {changes.summary}"
    lines = [first, *plain_lines(changes)[:_MAX_CHANGES]]
    return [*(value or ()), *({"time": time, "change": line} for line in lines)]
