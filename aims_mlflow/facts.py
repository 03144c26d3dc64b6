"""What MLflow knows of one run, as plain data: the input of capture.

`tracking.py` fills these; everything that builds documents reads only these, so that a document
is a pure function of the run and of the governance profile.
"""

from __future__ import annotations

from typing import Any

from aims_mlflow.evidence import Frozen, UtcDatetime

#: Folder of the run's artifacts that belongs to this package.
ARTIFACT_DIR = "aims"
#: What only the training process knew, logged by it: environment, evaluations.
INPUTS_DIR = "aims/inputs"
#: Run tags of this package.
TAG_EXCEPTION = "aims.exception"
TAG_ENDED_BY = "aims.ended_by"
TAG_VERDICT = "aims.verdict"
#: Set by a person on a candidate of a sweep: this one is chosen, whatever the rule says.
TAG_CHOSEN = "aims.chosen"


class MetricFacts(Frozen):
    """The last value of a metric, its step and its time; NaN and infinities as MLflow has them."""

    key: str
    value: float
    step: int
    time: UtcDatetime | None


class DatasetFacts(Frozen):
    """A dataset input of a run. `context` is training, evaluation, ... as the run tagged it.

    `schema_text` and `profile` are the JSON texts that MLflow stores.
    """

    name: str
    digest: str
    source_type: str
    source: str
    context: str | None = None
    schema_text: str | None = None
    profile: str | None = None


class ModelFacts(Frozen):
    """A model that the run logged. `inputs`/`outputs` are MLflow signature fields.

    `files_digest` is the SHA-256 over the sorted (path, size) list where contents are not read.
    """

    model_id: str | None
    name: str
    uri: str
    flavors: dict[str, str] = {}
    model_class: str | None = None
    inputs: tuple[dict[str, Any], ...] = ()
    outputs: tuple[dict[str, Any], ...] = ()
    requirements: tuple[str, ...] = ()
    size_bytes: int | None = None
    created: UtcDatetime | None = None
    mlmodel_sha256: str | None = None


class ModelVersionFacts(Frozen):
    """A registered model version that points at the run.

    Without its aliases: they move, and what is sealed of a run must not change with them.
    """

    name: str
    version: str
    created: UtcDatetime | None = None


class ScorerFacts(Frozen):
    """What one scorer of `mlflow.genai.evaluate` said of a run's traces.

    `source_type` and `sources` tell who judged (CODE, LLM_JUDGE, HUMAN, and the model or person).
    `n` assessments have a value, `errors` failed. `values` counts booleans and texts by value;
    numbers are kept as their count, sum and sum of squares (`numbers`), and nothing else.
    """

    name: str
    source_type: str
    sources: tuple[str, ...]
    n: int
    errors: int = 0
    values: dict[str, int] = {}
    numbers: tuple[int, float, float] | None = None


class GenAIFacts(Frozen):
    """The traces that an evaluation of generative AI assessed; `failed` ended in an error."""

    traces: int
    failed: int
    scorers: tuple[ScorerFacts, ...]


class SelectionFacts(Frozen):
    """How a run was chosen among the candidates of a sweep.

    `chosen_by` is the tag, the rule of the profile, or a registration; `rank` counts from 1 by
    `metric`, where the rule names one. On the parent itself, an empty `chosen_by` says that none
    of its candidates was chosen.
    """

    parent_run_id: str
    parent_name: str
    candidates: int
    finished: int
    chosen_by: str
    metric: str | None = None
    mode: str | None = None
    value: float | None = None
    rank: int | None = None


class BaselineFacts(Frozen):
    """The model version in production when the run was captured: what it is compared with."""

    name: str
    version: str
    alias: str
    run_id: str


class Redaction(Frozen):
    """A value that looked like a secret and was left out: where it stood, and by which rule."""

    where: str
    rule: str


class RunFacts(Frozen):
    """One run, as MLflow holds it. `metrics` and `params` are complete; `tags` are without ours.

    `environment` is the environment lock that the training process logged, `evaluations` the
    aggregates of `log_evaluation`, `robustness` those of `evaluate_robustness`, `notes` what could
    not be read and why. `redactions` name what was left out because it looked like a secret.
    """

    run_id: str
    run_name: str
    experiment_id: str
    experiment_name: str
    status: str
    user: str | None = None
    start_time: UtcDatetime
    end_time: UtcDatetime | None = None
    parent_run_id: str | None = None
    system_tag: str | None = None
    exception: str | None = None
    ended_by: str | None = None
    source_name: str | None = None
    git_commit: str | None = None
    params: dict[str, str] = {}
    metrics: tuple[MetricFacts, ...] = ()
    tags: dict[str, str] = {}
    datasets: tuple[DatasetFacts, ...] = ()
    models: tuple[ModelFacts, ...] = ()
    model_versions: tuple[ModelVersionFacts, ...] = ()
    artifacts: tuple[str, ...] = ()
    environment: dict[str, Any] | None = None
    evaluations: tuple[dict[str, Any], ...] = ()
    robustness: tuple[dict[str, Any], ...] = ()
    genai: GenAIFacts | None = None
    selection: SelectionFacts | None = None
    baseline: BaselineFacts | None = None
    redactions: tuple[Redaction, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def event_time(self) -> UtcDatetime:
        """When it happened: the end of the run, or its start while it is running."""
        return self.end_time or self.start_time
