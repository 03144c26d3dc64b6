"""Child runs: what a sweep needs to know of each candidate, without keeping its data."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID

from aims_mlflow.errors import RunNotFoundError
from aims_mlflow.evidence import canonical_bytes, digest, normalise
from aims_mlflow.facts import TAG_CHOSEN
from aims_mlflow.scope import TAG_KIND, TAG_SYSTEM
from aims_mlflow.tracking.entities import run_metrics
from aims_mlflow.tracking.translation import is_terminated, translated

if TYPE_CHECKING:
    from collections.abc import Iterator

    from mlflow import MlflowClient
    from mlflow.entities import Run

_PAGE = 1000
#: Model versions are asked for by so many run ids at once.
_AT_ONCE = 100
#: What people write for "not this one".
_UNTRUE = frozenset({"", "0", "false", "no", "none", "off"})


@dataclass(frozen=True, slots=True)
class RunHead:
    """A run in short: enough to see which sweep it belongs to. Times are milliseconds since 1970.

    `system` is the AI system that its tag names, `chosen` whether a person tagged it as chosen,
    `kind` what a run of this package's own is.
    """

    run_id: str
    name: str
    experiment_id: str
    status: str
    started: int
    ended: int | None
    parent: str | None
    system: str | None
    chosen: bool
    kind: str | None = None

    @property
    def terminated(self) -> bool:
        """Whether the run has ended."""
        return is_terminated(self.status)


@dataclass(frozen=True, slots=True)
class Candidate:
    """A child run: its head, the SHA-256 of what it logged, and the value that a rule looks at.

    `sha256` is taken over the RFC 8785 bytes of parameters, last metrics, status, times, dataset
    digests and model ids.
    """

    head: RunHead
    sha256: str
    value: float | None


def head_of(run: Run) -> RunHead:
    """The head of one of MLflow's runs."""
    tags = run.data.tags
    return RunHead(
        run_id=run.info.run_id,
        name=run.info.run_name or run.info.run_id,
        experiment_id=run.info.experiment_id,
        status=run.info.status,
        started=run.info.start_time or 0,
        ended=run.info.end_time or None,
        parent=tags.get(MLFLOW_PARENT_RUN_ID),
        system=tags.get(TAG_SYSTEM),
        chosen=str(tags.get(TAG_CHOSEN, "")).strip().lower() not in _UNTRUE,
        kind=tags.get(TAG_KIND),
    )


class Children:
    """What MLflow knows of the child runs of a run; only those in its experiment count.

    Every method raises TrackingError where MLflow does not answer.
    """

    def __init__(self, client: MlflowClient) -> None:
        self._client = client

    def head(self, run_id: str) -> RunHead:
        """The head of a run.

        Raises:
            RunNotFoundError: No such run, or it was deleted.
        """
        with translated(f"run {run_id}"):
            run = self._client.get_run(run_id)
        if run.info.lifecycle_stage == "deleted":
            raise RunNotFoundError(f"run {run_id} was deleted from MLflow")
        return head_of(run)

    def reach(self, parent: RunHead, number: int) -> bool:
        """Whether the run has so many child runs; asks for no more of them."""
        with translated(f"child runs of {parent.run_id}"):
            page = self._client.search_runs(
                [parent.experiment_id], _children_of(parent.run_id), max_results=number
            )
        return len(page) >= number

    def candidates(self, parent: RunHead, metric: str | None) -> list[Candidate]:
        """The child runs of a run by start and id, `value` being the last one of `metric`."""
        found = [
            _candidate(run, metric)
            for run in self._search(parent.experiment_id, _children_of(parent.run_id))
        ]
        return sorted(found, key=lambda one: (one.head.started, one.head.run_id))

    def nested(self, parent: RunHead) -> list[Candidate]:
        """Runs of the experiment that began while `parent` was open and have another parent.

        What lies below its children is among them.
        """
        query = f"tags.`{MLFLOW_PARENT_RUN_ID}` != '{parent.run_id}'"
        query += f" and attributes.start_time >= {parent.started}"
        if parent.ended is not None:
            query += f" and attributes.start_time <= {parent.ended}"
        runs = self._search(parent.experiment_id, query)
        return [one for one in (_candidate(run, None) for run in runs) if one.head.parent]

    def registered(self, run_ids: list[str]) -> set[str]:
        """Those of the runs that a registered model version points at."""
        found: set[str] = set()
        for start in range(0, len(run_ids), _AT_ONCE):
            listed = ",".join(f"'{run_id}'" for run_id in run_ids[start : start + _AT_ONCE])
            token: str | None = None
            while True:
                with translated("registered model versions"):
                    page = self._client.search_model_versions(
                        f"run_id IN ({listed})", page_token=token
                    )
                found.update(version.run_id for version in page)
                token = page.token
                if not token:
                    break
        return found

    def _search(self, experiment_id: str, query: str) -> Iterator[Run]:
        token: str | None = None
        while True:
            with translated("child runs"):
                page = self._client.search_runs(
                    [experiment_id], query, max_results=_PAGE, page_token=token
                )
            yield from page
            token = page.token
            if not token:
                return


def _children_of(run_id: str) -> str:
    return f"tags.`{MLFLOW_PARENT_RUN_ID}` = '{run_id}'"


def _candidate(run: Run, metric: str | None) -> Candidate:
    value = run.data.metrics.get(metric) if metric is not None else None
    return Candidate(
        head=head_of(run),
        sha256=digest(canonical_bytes(normalise(_logged(run))[0])),
        value=None if value is None else float(value),
    )


def _logged(run: Run) -> dict[str, Any]:
    inputs = run.inputs.dataset_inputs if run.inputs else []
    outputs = run.outputs.model_outputs if run.outputs else []
    return {
        "status": run.info.status,
        "started": run.info.start_time,
        "ended": run.info.end_time,
        "params": dict(run.data.params),
        "metrics": {
            metric.key: [metric.value, metric.step, metric.time] for metric in run_metrics(run)
        },
        "datasets": sorted([i.dataset.name, i.dataset.digest] for i in inputs),
        "models": sorted(output.model_id for output in outputs),
    }
