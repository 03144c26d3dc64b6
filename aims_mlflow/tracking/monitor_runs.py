"""The MLflow runs that monitors make: one for each execution, and the history of each monitor.

The history is two or three runs in an experiment of their own, which share their metric keys:
MLflow's charts then draw the readings over time beside the limits, without any setting.
"""

from __future__ import annotations

import math
import re
from typing import TYPE_CHECKING

from mlflow.entities import Metric, Param, RunTag
from mlflow.exceptions import MlflowException

from aims_mlflow.scope import KIND_HISTORY, KIND_MONITOR, TAG_KIND, TAG_SYSTEM
from aims_mlflow.tracking.translation import translated

if TYPE_CHECKING:
    from collections.abc import Mapping
    from datetime import datetime

    from mlflow import MlflowClient

    from aims_mlflow.monitored import Window

#: Tags that tell a monitor's runs apart.
TAG_MONITOR = "aims.monitor"
TAG_WINDOW = "aims.window"
#: What MLflow takes in one call.
_METRICS_AT_ONCE = 1000
_MAX_KEY = 250
#: What MLflow refuses in the key of a metric.
_REFUSED = re.compile(r"[^\w\-. :/]")


def execution_experiment(system: str) -> str:
    """The name of the experiment with one run for each execution of the system's monitors."""
    return f"{system}/monitoring"


def history_experiment(system: str) -> str:
    """The name of the experiment with the history of the system's monitors."""
    return f"{system}/monitoring history"


def metric_keys(names: Mapping[str, float]) -> dict[str, float]:
    """Readings by keys that MLflow takes, none of them twice; what is not finite is left out.

    >>> metric_keys({"column_drift/hours per week": 0.1, "drift_share": 0.5, "r2": float("nan")})
    {'column_drift/hours per week': 0.1, 'drift_share': 0.5}
    >>> metric_keys({"a/<b>": 1.0, "a/(b)": 2.0, "a//b": 3.0})
    {'a/_b_': 1.0, 'a/_b_ 2': 2.0, 'a/b': 3.0}
    """
    found: dict[str, float] = {}
    for name, value in names.items():
        if not math.isfinite(value):
            continue
        # As paths, keys must be their own shortest form: no empty part, no "." and no "..".
        parts = [_REFUSED.sub("_", part).strip() for part in name.split("/")]
        key = (
            "/".join(p if p.strip(".") else "_" for p in parts if p)[:_MAX_KEY].rstrip(" /") or "_"
        )
        unique, number = key, 1
        while unique in found:
            number += 1
            unique = f"{key} {number}"
        found[unique] = value
    return found


class MonitorRuns:
    """Writes the runs of monitors into one tracking store.

    Every method raises TrackingError where MLflow does not answer or refuses.
    """

    def __init__(self, client: MlflowClient) -> None:
        self._client = client

    def begin(self, system: str, monitor: str, window: Window, tags: Mapping[str, str]) -> str:
        """Make the run of one execution; returns its id."""
        name = f"{monitor} {window.end:%Y-%m-%d %H:%M}"
        own = {TAG_KIND: KIND_MONITOR, TAG_MONITOR: monitor, TAG_WINDOW: window.key}
        return self._create(execution_experiment(system), system, name, {**own, **tags})

    def log(
        self,
        run_id: str,
        metrics: Mapping[str, float],
        at: datetime,
        *,
        step: int = 0,
        params: Mapping[str, str] | None = None,
    ) -> None:
        """Log metrics at a time, and parameters."""
        milliseconds = round(at.timestamp() * 1000)
        found = [Metric(k, v, milliseconds, step) for k, v in metric_keys(metrics).items()]
        given = [Param(key, value[:500]) for key, value in (params or {}).items()]
        with translated(f"run {run_id}"):
            if given:
                self._client.log_batch(run_id, params=given)
            for start in range(0, len(found), _METRICS_AT_ONCE):
                self._client.log_batch(run_id, metrics=found[start : start + _METRICS_AT_ONCE])

    def end(self, run_id: str, *, failed: bool, tags: Mapping[str, str]) -> None:
        """End the run of an execution."""
        with translated(f"run {run_id}"):
            if tags:
                self._client.log_batch(run_id, tags=[RunTag(k, v) for k, v in tags.items()])
            self._client.set_terminated(run_id, "FAILED" if failed else "FINISHED")

    def discard(self, run_id: str) -> None:
        """Delete the run of an execution whose window another runner has judged."""
        with translated(f"run {run_id}"):
            self._client.delete_run(run_id)

    def begin_history(self, system: str, monitor: str, name: str) -> str:
        """Make the run that holds one series of a monitor's history; returns its id."""
        tags = {TAG_KIND: KIND_HISTORY, TAG_MONITOR: monitor}
        run_id = self._create(history_experiment(system), system, name, tags)
        self.end(run_id, failed=False, tags={})
        return run_id

    def _create(self, experiment: str, system: str, name: str, tags: Mapping[str, str]) -> str:
        with translated(f"a new run of {experiment}"):
            run = self._client.create_run(
                self._experiment(experiment), tags={TAG_SYSTEM: system, **tags}, run_name=name
            )
        return str(run.info.run_id)

    def _experiment(self, name: str) -> str:
        found = self._client.get_experiment_by_name(name)
        if found is None:
            try:
                return str(self._client.create_experiment(name))
            except MlflowException:  # another process made it meanwhile
                found = self._client.get_experiment_by_name(name)
                if found is None:
                    raise
        if found.lifecycle_stage == "deleted":
            self._client.restore_experiment(found.experiment_id)
        return str(found.experiment_id)
