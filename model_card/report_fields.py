"""Card fields that the evaluation report answers: one small function each."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from aims_mlflow.evidence import isoformat
from aims_mlflow.model_card.bounds import bound_list, cut_text, cut_texts, plain
from aims_mlflow.model_card.run_fields import EVALUATION, datasets
from aims_mlflow.readings import Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from aims_mlflow.facts import RunFacts
    from aims_mlflow.model_card.evaluation import EvaluationReport, ScorerResult
    from aims_mlflow.readings import Interval, Judgement, Reading, Robustness, Scores


def evaluation_data(facts: RunFacts, report: EvaluationReport) -> list[dict[str, Any]]:
    """The datasets that were logged for evaluation, and those that were evaluated."""
    logged = datasets(facts, EVALUATION)
    known = {row["name"] for row in logged}
    return logged + [
        {"name": cut_text(d.name), "digest": d.digest, "context": "evaluated", "rows": d.n}
        for d in report.datasets
        if cut_text(d.name) not in known
    ]


def _reading(reading: Reading, score: Scores, report: EvaluationReport) -> dict[str, Any]:
    judged = [j for j in report.judgements if _answers(j, reading, score.dataset)]
    return _row(reading, score, judged)


def _row(reading: Reading, score: Scores, judged: Sequence[Judgement]) -> dict[str, Any]:
    row = {
        "metric": reading.metric,
        "dataset": score.dataset,
        "value": reading.value,
        "n": reading.n,
        "limit": ", ".join(dict.fromkeys(j.limit for j in judged)),
        "verdict": _worst(judged),
        "note": cut_text(reading.reason),
    }
    return _with_interval(row, reading.interval)


def _with_interval(row: dict[str, Any], interval: Interval | None) -> dict[str, Any]:
    """The row with the bounds after its value; without them where there are none."""
    if interval is None:
        return row
    bounds = {"interval_low": interval.low, "interval_high": interval.high}
    place = next(i for i, key in enumerate(row, start=1) if key in ("value", "fall"))
    items = list(row.items())
    return dict([*items[:place], *bounds.items(), *items[place:]])


def _answers(judgement: Judgement, reading: Reading, dataset: str) -> bool:
    return (
        judgement.metric == reading.metric
        and judgement.feature == reading.feature
        and judgement.dataset in (None, dataset)
        and not judgement.part
    )


def _worst(judged: Sequence[Judgement]) -> Verdict | None:
    return Verdict.worst(j.verdict for j in judged) if judged else None


def metrics(report: EvaluationReport) -> dict[str, Any] | None:
    """What was measured, what scorers said and what the script logged; None without any."""
    readings = [plain(_reading(r, s, report)) for s in report.scores for r in s.overall]
    logged = [
        {"metric": metric.key, "value": metric.value, "step": metric.step}
        for metric in report.logged_metrics
    ]
    found: dict[str, Any] = {}
    if readings:
        found["measured on an evaluated dataset"] = readings
    if report.genai and report.genai.scorers:
        found["scorers of generative AI"] = [_scorer(s) for s in report.genai.scorers]
    if logged:
        found["logged by the training script"] = bound_list(logged)
    return found or None


def _scorer(result: ScorerResult) -> dict[str, Any]:
    rated = result.pass_rate is not None
    row = {
        "scorer": cut_text(result.scorer),
        "metric": "pass_rate" if rated else "mean_score",
        "value": result.pass_rate if rated else result.mean,
        "n": result.n,
        "errors": result.errors,
        "judged_by": cut_text(result.judged_by),
    }
    return _with_interval(row, result.interval)


def tasks(report: EvaluationReport) -> list[str]:
    """The tasks that were evaluated."""
    found = {score.task for score in report.scores}
    return sorted({*found, "genai"} if report.genai else found)


def robustness(report: EvaluationReport) -> dict[str, Any] | None:
    """How the metrics fell under each perturbation, and how many rows were looked at."""
    if not report.robustness:
        return None
    rows = [row for tested in report.robustness for row in _falls(tested)]
    sampled = [
        {
            "dataset": cut_text(tested.dataset),
            "rows": tested.n,
            "of": tested.n_total,
            "seed": tested.seed,
            "error_bound": tested.error_bound,
        }
        for tested in report.robustness
    ]
    return {"rows perturbed": sampled, "falls": bound_list(rows)}


def _falls(tested: Robustness) -> Iterator[dict[str, Any]]:
    for result in tested.results:
        named = {"dataset": tested.dataset, "perturbation": result.id, "amount": result.amount}
        if not result.falls:
            note = result.note or "not measured"
            yield {**named, "metric": None, "fall": None, "note": cut_text(note)}
        for fall in result.falls:
            row = {
                **named,
                "metric": fall.metric,
                "clean": fall.clean,
                "perturbed": fall.perturbed,
                "fall": fall.fall,
                "note": cut_text(fall.reason or result.note),
            }
            yield _with_interval(row, fall.interval)


def disaggregated(report: EvaluationReport) -> list[dict[str, Any]]:
    """The table of each feature and of each combination of features."""
    return [cut_texts(plain(table)) for score in report.scores for table in score.groups]


def fairness(report: EvaluationReport) -> list[dict[str, Any]]:
    """The disparities between groups, each with its limit and its verdict."""
    return [row for score in report.scores for row in _disparities(score, report)]


def _disparities(score: Scores, report: EvaluationReport) -> Iterator[dict[str, Any]]:
    for reading in score.disparities:
        judged = [j for j in report.judgements if _answers(j, reading, score.dataset)]
        same = [j for j in judged if _is_of(j, reading)]
        others = [j for j in judged if j not in same]
        # A value of other groups than those that were judged would stand beside the verdict.
        if same or not others:
            yield _disparity(reading, score, same)
        yield from (_disparity(_as_judged(reading, other), score, [other]) for other in others)


def _disparity(reading: Reading, score: Scores, judged: Sequence[Judgement]) -> dict[str, Any]:
    row: dict[str, Any] = plain(_row(reading, score, judged))
    note = row.pop("note")
    return {
        "feature": reading.feature,
        **row,
        "excluded": cut_texts(plain(reading.excluded)),
        "note": note,
    }


def _is_of(judgement: Judgement, reading: Reading) -> bool:
    """Whether a threshold judged this very value, from the same groups."""
    mine = (judgement.value, judgement.n, judgement.excluded)
    return mine == (reading.value, reading.n, reading.excluded)


def _as_judged(reading: Reading, judgement: Judgement) -> Reading:
    size = judgement.declared.get("min_group_size")
    groups = f"groups from {size} rows on" if size is not None else "other groups"
    reason = judgement.reason if judgement.value is None else ""
    return reading.model_copy(
        update={
            "value": judgement.value,
            "n": judgement.n,
            "excluded": judgement.excluded,
            "interval": None,
            "reason": f"threshold {judgement.threshold}, {groups}{reason and f': {reason}'}",
        }
    )


def source(report: EvaluationReport) -> dict[str, Any] | None:
    """Who or what produced the results, and when; None without any."""
    names = []
    if report.scores:
        names.append("aims_mlflow.log_evaluation")
    if report.genai:
        names.append("mlflow.genai.evaluate")
    if report.logged_metrics and not names:
        names.append("metrics logged by the training script")
    if not names:
        return None
    return {
        "name": ", ".join(names),
        "run_id": report.run_id,
        "evaluator": report.evaluator,
        "date": isoformat(report.event_time),
    }
