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
    """A registered model version that points at the run."""

    name: str
    version: str
    aliases: tuple[str, ...] = ()
    created: UtcDatetime | None = None


class RunFacts(Frozen):
    """One run, as MLflow holds it. `metrics` and `params` are complete; `tags` are without ours.

    `environment` is the environment lock that the training process logged, `evaluations` the
    aggregates of `log_evaluation`, `notes` what could not be read and why.
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
    notes: tuple[str, ...] = ()

    @property
    def event_time(self) -> UtcDatetime:
        """When it happened: the end of the run, or its start while it is running."""
        return self.end_time or self.start_time
