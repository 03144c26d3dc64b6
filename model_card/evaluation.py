"""The evaluation report: what was measured on a run, and how it stands against the thresholds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from aims_mlflow.evidence import Frozen, UtcDatetime
from aims_mlflow.facts import SelectionFacts
from aims_mlflow.model_card.bounds import bound_list, cut_text, cut_texts, plain
from aims_mlflow.model_card.insufficiency import Insufficiency, digest_of, insufficiencies
from aims_mlflow.readings import Interval, Judgement, Robustness, Scores, Verdict

if TYPE_CHECKING:
    from collections.abc import Sequence

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
    `delta_interval` is its confidence interval where both values have one: a change whose
    interval holds 0 is within noise.
    """

    metric: str
    dataset: str
    feature: str | None
    value: float | None
    baseline: float | None
    delta: float | None
    better: bool | None
    delta_interval: Interval | None = None

    @property
    def within_noise(self) -> bool | None:
        """Whether the change may be chance; None where no interval tells."""
        interval = self.delta_interval
        return None if interval is None else interval.low <= 0 <= interval.high


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
    *,
    robustness: Sequence[Robustness] = (),
    genai: GenAIEvaluation | None = None,
    baseline: BaselineComparison | None = None,
) -> EvaluationReport:
    """The evaluation report of a run.

    Args:
        facts: The run as MLflow holds it.
        system_id: The system that the run belongs to; None for an unclaimed run.
        system: Its declaration; None when no file declares it.
        scores: One for each evaluated dataset.
        judgements: One for each threshold that a run can answer, and dataset.
        problems: What was given to `log_evaluation` and refused.
        robustness: What `evaluate_robustness` recorded.
        genai: What the scorers of `mlflow.genai.evaluate` said.
        baseline: The comparison with the version in production.
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
        datasets=tuple(
            EvaluatedDataset(name=s.dataset, n=s.n, digest=digest_of(s.dataset, facts))
            for s in scores
        ),
        declared_digest=system.digest() if system else None,
        insufficient=tuple(
            insufficiencies(facts, system_id, system, scores, judgements, genai, problems)
        ),
        robustness=tuple(robustness),
        genai=genai,
        selection=facts.selection,
        baseline=baseline,
    )
