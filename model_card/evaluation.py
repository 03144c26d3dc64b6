"""The evaluation report: what was measured on a run, and how it stands against the thresholds."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, Literal

from aims_mlflow.evidence import Frozen, UtcDatetime
from aims_mlflow.facts import SelectionFacts
from aims_mlflow.model_card.bounds import bound_list, cut_text, cut_texts, plain
from aims_mlflow.readings import Interval, Judgement, Robustness, Scores, Verdict

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from aims_mlflow.facts import RunFacts
    from aims_mlflow.governance.system import AISystem


class LoggedMetric(Frozen):
    """A metric that the training script logged itself; judged only where a threshold names it."""

    key: str
    value: float
    step: int
    time: UtcDatetime | None = None


class EvaluatedDataset(Frozen):
    """The dataset of an evaluation; `digest` when the run logged a dataset of the same name."""

    name: str
    n: int
    digest: str | None = None


class Insufficiency(Frozen):
    """Something that could not be judged: what, why, and the line to add."""

    subject: str
    reason: str
    fix: str = ""


class ScorerResult(Frozen):
    """What one scorer said of a generative AI's answers.

    `judged_by` names who judged: code, a model by its name, a person. `pass_rate` is the share of
    the `n` assessments that passed, `mean` the mean of numeric ones; None where the scorer gives no
    such values. `values` counts every value.
    """

    scorer: str
    judged_by: str
    n: int
    errors: int
    passed: int | None = None
    pass_rate: float | None = None
    mean: float | None = None
    interval: Interval | None = None
    values: dict[str, int] = {}


class GenAIEvaluation(Frozen):
    """The report's part on generative AI; `failed` traces ended in an error."""

    traces: int
    failed: int
    scorers: tuple[ScorerResult, ...]


class Comparison(Frozen):
    """One measured value beside that of the model version in production.

    `delta` is this run minus production; `better` is None where neither direction is better.
    """

    metric: str
    dataset: str
    feature: str | None
    value: float | None
    baseline: float | None
    delta: float | None
    better: bool | None


class BaselineComparison(Frozen):
    """The version in production and every value that both have on a dataset of the same name.

    `same_data` maps each dataset to whether its digest is the same in both runs; None where a
    digest is not known.
    """

    name: str
    version: str
    alias: str
    run_id: str
    same_data: dict[str, bool | None]
    rows: tuple[Comparison, ...]


class EvaluationReport(Frozen):
    """Everything measured on one run and every threshold held against it.

    `verdict` is the worst of `judgements`; without a threshold it is INSUFFICIENT, because a
    number without a limit proves nothing. `declared_digest` is the digest of the declaration of
    the system that was in force.
    """

    schema_version: Literal["aims.evaluation_report/1"] = "aims.evaluation_report/1"
    run_id: str
    run_name: str
    system: str | None
    event_time: UtcDatetime
    evaluator: str | None
    verdict: Verdict
    judgements: tuple[Judgement, ...]
    scores: tuple[Scores, ...]
    logged_metrics: tuple[LoggedMetric, ...]
    datasets: tuple[EvaluatedDataset, ...]
    declared_digest: str | None
    insufficient: tuple[Insufficiency, ...]
    robustness: tuple[Robustness, ...] = ()
    genai: GenAIEvaluation | None = None
    selection: SelectionFacts | None = None
    baseline: BaselineComparison | None = None

    def body(self) -> dict[str, Any]:
        """The report as plain data, bounded.

        NaN is left as it is: `aims_mlflow.evidence.normalise` turns it into text and notes that.
        """
        data = {
            name: cut_texts(plain(getattr(self, name)))
            for name in type(self).model_fields
            if name != "logged_metrics"
        }
        return data | {"logged_metrics": bound_list(plain(self.logged_metrics))}


def build_report(
    facts: RunFacts,
    system_id: str | None,
    system: AISystem | None,
    scores: Sequence[Scores],
    judgements: Sequence[Judgement],
    problems: Sequence[str],
) -> EvaluationReport:
    """The evaluation report of a run.

    Args:
        facts: The run as MLflow holds it.
        system_id: The system that the run belongs to; None for an unclaimed run.
        system: Its declaration; None when no file declares it.
        scores: One for each evaluated dataset.
        judgements: One for each threshold that a run can answer, and dataset.
        problems: What was given to `log_evaluation` and refused.
    """
    metrics = sorted(facts.metrics, key=lambda metric: metric.key)
    return EvaluationReport(
        run_id=facts.run_id,
        run_name=cut_text(facts.run_name),
        system=system_id,
        event_time=facts.event_time,
        evaluator=facts.user,
        verdict=Verdict.worst(judgement.verdict for judgement in judgements),
        judgements=tuple(judgements),
        scores=tuple(scores),
        logged_metrics=tuple(
            LoggedMetric(key=cut_text(m.key), value=m.value, step=m.step, time=m.time)
            for m in metrics
        ),
        datasets=tuple(_evaluated(score, facts) for score in scores),
        declared_digest=system.digest() if system else None,
        insufficient=tuple(_insufficiencies(facts, system_id, system, scores, judgements))
        + tuple(_refused(problem, system) for problem in problems),
    )


def _evaluated(score: Scores, facts: RunFacts) -> EvaluatedDataset:
    # Two inputs of one name and different digests leave open which one was evaluated.
    digests = {dataset.digest for dataset in facts.datasets if dataset.name == score.dataset}
    return EvaluatedDataset(
        name=score.dataset, n=score.n, digest=digests.pop() if len(digests) == 1 else None
    )


def _insufficiencies(
    facts: RunFacts,
    system_id: str | None,
    system: AISystem | None,
    scores: Sequence[Scores],
    judgements: Sequence[Judgement],
) -> Iterator[Insufficiency]:
    if not judgements:
        yield _no_threshold(system_id, system)
    if not scores:
        yield Insufficiency(
            subject="Evaluation",
            reason="the run logged no evaluation",
            fix=_log_evaluation(system),
        )
    for score in scores:
        yield from _unidentified(score, facts)
        yield from _ungrouped(score, system)
    for judgement in judgements:
        if judgement.verdict is Verdict.INSUFFICIENT:
            yield Insufficiency(subject=judgement.threshold, reason=judgement.reason)


def _no_threshold(system_id: str | None, system: AISystem | None) -> Insufficiency:
    subject = "Thresholds"
    if system is not None:
        return Insufficiency(
            subject=subject,
            reason=f"the system '{system.id}' declares no threshold that a run can answer",
            fix="thresholds: [{id: min-accuracy, metric: accuracy, min: ..., reason: ...}]",
        )
    if system_id is not None:
        return Insufficiency(
            subject=subject,
            reason=f"no file declares the system '{system_id}', so nothing has a limit",
            fix=f"governance/systems/{system_id}.yaml: {{id: {system_id}, name: ...}}",
        )
    return Insufficiency(
        subject=subject,
        reason="the run belongs to no AI system, so nothing has a limit",
        fix='@aims_mlflow.govern("...")',
    )


def _unidentified(score: Scores, facts: RunFacts) -> Iterator[Insufficiency]:
    if _evaluated(score, facts).digest is None:
        yield Insufficiency(
            subject=f"Dataset {score.dataset}",
            reason="the run logged no one dataset of this name, so its digest is not known",
            fix=(
                f"mlflow.log_input(mlflow.data.from_pandas(frame, name={score.dataset!r}), "
                'context="evaluation")'
            ),
        )


def _ungrouped(score: Scores, system: AISystem | None) -> Iterator[Insufficiency]:
    if system is not None and system.sensitive_features and not score.groups:
        yield Insufficiency(
            subject=f"Groups of {score.dataset}",
            reason="sensitive features are declared, and the evaluation names no group",
            fix=_log_evaluation(system),
        )


def _refused(problem: str, system: AISystem | None) -> Insufficiency:
    return Insufficiency(
        subject="Evaluation", reason=f"refused: {cut_text(problem)}", fix=_log_evaluation(system)
    )


def _log_evaluation(system: AISystem | None) -> str:
    names = [feature.name for feature in system.sensitive_features] if system else []
    groups = f", sensitive_features=frame[{json.dumps(names)}]" if names else ""
    return f"aims_mlflow.log_evaluation(y_true, y_pred{groups})"
