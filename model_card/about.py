"""The head of a card: the verdict, the figures to know first, and what is wrong with the run."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from aims_mlflow.model_card.bounds import cut_text
from aims_mlflow.model_card.card import About, KeyFigure
from aims_mlflow.readings import Judgement, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator

    from aims_mlflow.facts import RunFacts
    from aims_mlflow.governance.system import AISystem
    from aims_mlflow.model_card.evaluation import EvaluationReport

#: Figures in the head; the sections below hold all of them.
_MAX_FIGURES = 6
_WORST_FIRST = (Verdict.FAIL, Verdict.INSUFFICIENT, Verdict.PASS)


def describe(
    facts: RunFacts, system_id: str | None, system: AISystem | None, report: EvaluationReport
) -> About:
    """What a reader of the card must know first."""
    return About(
        verdict=report.verdict,
        verdict_counts=verdict_counts(report),
        key_figures=key_figures(report),
        alerts=tuple(_alerts(facts, system_id, system)),
    )


def verdict_counts(report: EvaluationReport) -> dict[str, int]:
    """How many thresholds got each verdict, worst first; verdicts that none got are left out."""
    counts = Counter(judgement.verdict for judgement in report.judgements)
    return {verdict.value: counts[verdict] for verdict in _WORST_FIRST if counts[verdict]}


def key_figures(report: EvaluationReport) -> tuple[KeyFigure, ...]:
    """What thresholds judged, worst first; then what was measured, else what the script logged."""
    judged = [
        _judged(judgement)
        for judgement in sorted(report.judgements, key=lambda j: _WORST_FIRST.index(j.verdict))
    ]
    read = [
        KeyFigure(metric=reading.metric, value=reading.value, dataset=score.dataset, n=reading.n)
        for score in report.scores
        for reading in score.overall
        if reading.value is not None
    ]
    read += _scored(report)
    logged = [KeyFigure(metric=metric.key, value=metric.value) for metric in report.logged_metrics]
    named = {(figure.metric, figure.dataset) for figure in judged}
    others = [figure for figure in read or logged if (figure.metric, figure.dataset) not in named]
    return tuple((judged + others)[:_MAX_FIGURES])


def _scored(report: EvaluationReport) -> list[KeyFigure]:
    scorers = report.genai.scorers if report.genai else ()
    found = []
    for scorer in scorers:
        rated = scorer.pass_rate is not None
        value = scorer.pass_rate if rated else scorer.mean
        if value is not None:
            metric = "pass_rate" if rated else "mean_score"
            dataset = f"scorer {cut_text(scorer.scorer)}"
            found.append(KeyFigure(metric=metric, value=value, dataset=dataset, n=scorer.n))
    return found


def _judged(judgement: Judgement) -> KeyFigure:
    place = ", ".join(filter(None, (judgement.dataset, cut_text(judgement.part))))
    return KeyFigure(
        metric=cut_text(judgement.metric),
        value=judgement.value,
        dataset=place or None,
        feature=judgement.feature,
        n=judgement.n,
        limit=judgement.limit,
        verdict=judgement.verdict,
    )


def _alerts(facts: RunFacts, system_id: str | None, system: AISystem | None) -> Iterator[str]:
    if facts.status != "FINISHED":
        cause = f": {facts.exception}" if facts.exception else ""
        ended = f" (ended by {facts.ended_by})" if facts.ended_by else ""
        yield cut_text(f"The run is {facts.status}{ended}, not FINISHED{cause}")
    if not facts.models:
        yield "The run logged no model. This card describes the run."
    if system_id is None:
        yield "No AI system claims this run."
    elif system is None:
        yield f"The AI system '{system_id}' is not declared in governance/systems/."
