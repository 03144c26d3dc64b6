"""The `modelCard` of CycloneDX 1.6: parameters, quantitative analysis, considerations."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple

from aims_mlflow.model_card.bounds import MAX_ENTRIES, cut_text
from aims_mlflow.model_card.card import Status
from aims_mlflow.model_card.formats.statements import (
    declared,
    line,
    records,
    stated,
    text_of,
    texts,
)
from aims_mlflow.model_card.formats.text import visible
from aims_mlflow.model_card.formats.vocabulary import words

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aims_mlflow.model_card.card import Card
    from aims_mlflow.model_card.evaluation import EvaluationReport
    from aims_mlflow.readings import GroupTable, Interval, Scores

#: `approach.type` of CycloneDX.
_APPROACHES = frozenset(
    {
        "supervised",
        "unsupervised",
        "reinforcement-learning",
        "semi-supervised",
        "self-supervised",
    }
)
#: Fields that have a place of their own in the document; all others become properties.
_PLACED = frozenset(
    words(
        "schema_version card_id model_name version overview description owners card_authors",
        "licenses base_model references intended_use intended_users inputs outputs task",
        "architecture model_type learning_approach training_data evaluation_data metrics",
        "disaggregated_results fairness_assessment robustness_safety_tests limitations tradeoffs",
        "ethical_considerations environmental_impact hyperparameters tags graphics change_history",
    )
)
#: Measured fields of which the declared part has a place too.
_DECLARED_PLACED = ("fairness_assessment", "task")


class _Measure(NamedTuple):
    type: str
    value: float | None
    slice: str
    interval: tuple[float, float] | None = None


def prop(name: str, value: object) -> dict[str, str]:
    """A CycloneDX property: a name and a text; numbers keep all their digits."""
    text = repr(value) if isinstance(value, float) else str(value)
    return {"name": cut_text(visible(name)), "value": cut_text(visible(text))}


def model_card(card: Card, report: EvaluationReport, datasets: list[str]) -> dict[str, Any]:
    """The model card as CycloneDX has it.

    Args:
        card: The model card.
        report: The evaluation report of the same run.
        datasets: The `bom-ref` of each data component.

    Returns:
        `modelCard`; empty parts are left for the caller to drop. At most 1,000 performance
        metrics are kept, and a property then tells the number of all.
    """
    measures = [item for item in _measures(report) if _finite(item.value)]
    return {
        "bom-ref": "model-card",
        "modelParameters": _parameters(card, datasets),
        "quantitativeAnalysis": {
            "performanceMetrics": [_performance(item) for item in measures[:MAX_ENTRIES]]
        },
        "considerations": _considerations(card),
        "properties": [
            *_verdicts(card, report),
            prop("aims:performance_metrics:count", len(measures)),
            *_states(card),
            *_others(card),
            *_parameters_and_tags(card),
            *_logged(report),
        ],
    }


def _parameters(card: Card, datasets: list[str]) -> dict[str, Any]:
    approach = next(iter(texts(stated(card, "learning_approach"))), "").lower().replace(" ", "-")
    tasks = texts(declared(card, "task")) or texts(stated(card, "task"))
    return {
        "approach": {"type": approach if approach in _APPROACHES else None},
        "task": ", ".join(map(line, tasks)),
        "architectureFamily": ", ".join(texts(stated(card, "model_type"))),
        "modelArchitecture": "\n".join(texts(stated(card, "architecture"))),
        "datasets": [{"ref": reference} for reference in datasets],
        "inputs": list(_formats(card, "inputs")),
        "outputs": list(_formats(card, "outputs")),
    }


def _formats(card: Card, field: str) -> Iterator[dict[str, str]]:
    """Each field of the signature as `name: type`."""
    for row in records(stated(card, field)):
        name, kind = text_of(row, "name"), text_of(row, "type", "format", "dtype")
        text = f"{name}: {kind}" if name and kind else name or kind
        if text:
            yield {"format": cut_text(text)}


def _measures(report: EvaluationReport) -> Iterator[_Measure]:
    for score in report.scores:
        for reading in score.overall:
            yield _Measure(reading.metric, reading.value, score.dataset, _bounds(reading.interval))
    for score in report.scores:
        yield from _parts(score)
    for tested in report.robustness:
        for result in tested.results:
            where = f"{tested.dataset}: under {result.id}"
            for fall in result.falls:
                yield _Measure(fall.metric, fall.perturbed, where)
                yield _Measure(f"fall of {fall.metric}", fall.fall, where, _bounds(fall.interval))
    for scorer in report.genai.scorers if report.genai else ():
        where = f"scorer {scorer.scorer}, judged by {scorer.judged_by}"
        interval = _bounds(scorer.interval)
        if scorer.pass_rate is not None:
            yield _Measure("pass_rate", scorer.pass_rate, where, interval)
            interval = None
        yield _Measure("mean_score", scorer.mean, where, interval)


def _parts(score: Scores) -> Iterator[_Measure]:
    tables = (*score.groups, score.slices, score.classes)
    for reading in score.disparities:
        where = f"{score.dataset}: by {reading.feature}"
        yield _Measure(reading.metric, reading.value, where, _bounds(reading.interval))
    for table in tables:
        if table is not None:
            yield from _groups(table)


def _groups(table: GroupTable) -> Iterator[_Measure]:
    for row in table.rows:
        named = ", ".join(f"{feature}={value}" for feature, value in row.group.items())
        for metric, value in row.metrics.items():
            yield _Measure(metric, value, f"{table.dataset}: {named}", row.intervals.get(metric))


def _bounds(interval: Interval | None) -> tuple[float, float] | None:
    return (interval.low, interval.high) if interval else None


def _finite(value: float | None) -> bool:
    return value is not None and math.isfinite(value)


def _performance(item: _Measure) -> dict[str, Any]:
    found: dict[str, Any] = {
        "type": cut_text(line(item.type)),
        "value": repr(item.value),
        "slice": cut_text(line(item.slice)),
    }
    if item.interval is not None and all(map(_finite, item.interval)):
        low, high = item.interval
        found["confidenceInterval"] = {"lowerBound": repr(low), "upperBound": repr(high)}
    return found


def _considerations(card: Card) -> dict[str, Any]:
    return {
        "users": texts(stated(card, "intended_users")),
        "useCases": texts(stated(card, "intended_use")),
        "technicalLimitations": texts(stated(card, "limitations")),
        "performanceTradeoffs": texts(stated(card, "tradeoffs")),
        "ethicalConsiderations": list(_risks(card)),
        "environmentalConsiderations": {
            "properties": [
                prop(f"aims:environmental_impact:{key}", line(value))
                for row in records(stated(card, "environmental_impact"))
                for key, value in row.items()
            ]
        },
        "fairnessAssessments": list(_fairness(card)),
    }


def _risks(card: Card) -> Iterator[dict[str, str]]:
    value = stated(card, "ethical_considerations")
    told = records(value)
    for row in told:
        yield {
            "name": text_of(row, "name", "risk"),
            "mitigationStrategy": text_of(row, "mitigation", "mitigation_strategy"),
        }
    if not told:
        yield from ({"name": text} for text in texts(value))


def _fairness(card: Card) -> Iterator[dict[str, str]]:
    """What people say of groups at risk; the measured disparities are performance metrics."""
    for row in records(declared(card, "fairness_assessment")):
        found = {
            "groupAtRisk": text_of(row, "group", "group_at_risk"),
            "benefits": text_of(row, "benefits"),
            "harms": text_of(row, "harms"),
            "mitigationStrategy": text_of(row, "mitigation", "mitigation_strategy"),
        }
        if any(found.values()):
            yield found


def _verdicts(card: Card, report: EvaluationReport) -> Iterator[dict[str, str]]:
    yield prop("aims:verdict", card.about.verdict.value)
    for judgement in report.judgements[:MAX_ENTRIES]:
        on = f" on {judgement.dataset}" if judgement.dataset else ""
        by = f" by {judgement.feature}" if judgement.feature else ""
        part = f" in {judgement.part}" if judgement.part else ""
        told = f"{judgement.verdict}: {judgement.metric}{by}{part}{on} {judgement.limit}"
        yield prop(f"aims:threshold:{judgement.threshold}", line(told))


def _states(card: Card) -> Iterator[dict[str, str]]:
    for item in card.statements:
        source = f", {item.source}" if item.source else ""
        yield prop(f"aims:status:{item.field}", line(f"{item.status.value}{source}"))


def _others(card: Card) -> Iterator[dict[str, str]]:
    """Statements that CycloneDX has no place for, as text."""
    for item in card.statements:
        if item.field not in _PLACED and stated(card, item.field) is not None:
            yield from (prop(f"aims:{item.field}", text) for text in texts(item.value))
        if item.field not in _DECLARED_PLACED and item.status is Status.MEASURED:
            yield from (prop(f"aims:declared:{item.field}", text) for text in texts(item.declared))


def _parameters_and_tags(card: Card) -> Iterator[dict[str, str]]:
    for field in ("hyperparameters", "tags"):
        value = stated(card, field)
        entries = value.get("entries", value) if isinstance(value, dict) else {}
        for key, item in entries.items() if isinstance(entries, dict) else ():
            yield prop(f"aims:{field}:{key}", line(item))


def _logged(report: EvaluationReport) -> Iterator[dict[str, str]]:
    for metric in report.logged_metrics[:MAX_ENTRIES]:
        yield prop(f"aims:logged_metric:{metric.key}", metric.value)
