"""The MLflow port: read a run as facts, write files and tags. Nothing else here knows MLflow."""

from __future__ import annotations

import tempfile
from functools import cached_property, lru_cache
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

import mlflow
import yaml
from mlflow import MlflowClient
from mlflow.entities import Run, ViewType
from mlflow.store.artifact.artifact_repository_registry import get_artifact_repository
from mlflow.tracking.fluent import _get_experiment_id

from aims_mlflow.errors import RunNotFoundError, TrackingError
from aims_mlflow.evidence import digest
from aims_mlflow.facts import (
    ARTIFACT_DIR,
    INPUTS_DIR,
    TAG_ENDED_BY,
    TAG_EXCEPTION,
    ModelFacts,
    ModelVersionFacts,
    RunFacts,
)
from aims_mlflow.scope import TAG_ENVIRONMENT_OF, TAG_SYSTEM
from aims_mlflow.tracking.children import Children
from aims_mlflow.tracking.entities import (
    flavor_version,
    model_class,
    parsed,
    run_datasets,
    run_metrics,
    signature_fields,
)
from aims_mlflow.tracking.genai import genai_facts
from aims_mlflow.tracking.monitor_runs import MonitorRuns
from aims_mlflow.tracking.registry import BASELINE_FILE, Registry, parse_pin
from aims_mlflow.tracking.translation import moment, said, translated

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

#: Files that are read whole are never larger than this, bytes.
MAX_READ = 16 * 1024 * 1024
#: Artifact paths that the facts list.
MAX_LISTED = 1000


class Tracking:
    """One MLflow tracking store, by its URI (default: MLflow's own rules)."""

    def __init__(self, uri: str | None = None) -> None:
        self.uri: str = uri or mlflow.get_tracking_uri()
        self._written: dict[tuple[str, str], bytes] = {}

    @cached_property
    def _client(self) -> MlflowClient:
        """Made when first used: MLflow creates a missing SQLite store as soon as it is asked."""
        with translated(f"MLflow at {self.uri_shown}"):
            return MlflowClient(tracking_uri=self.uri)

    @cached_property
    def children(self) -> Children:
        """The child runs of runs."""
        return Children(self._client)

    @cached_property
    def monitor_runs(self) -> MonitorRuns:
        """The runs that monitors make."""
        return MonitorRuns(self._client)

    @cached_property
    def registry(self) -> Registry:
        """The model registry that belongs to this store."""
        return Registry(self._client)

    def probe(self) -> None:
        """Ask MLflow anything.

        Raises:
            TrackingError: It does not answer.
        """
        with translated(f"MLflow at {self.uri_shown}"):
            self._client.search_experiments(max_results=1)

    def is_gone(self, run_id: str) -> bool:
        """Whether MLflow says that the run does not exist or was deleted."""
        try:
            with translated(f"run {run_id}"):
                return bool(self._client.get_run(run_id).info.lifecycle_stage == "deleted")
        except RunNotFoundError:
            return True
        except TrackingError:
            return False

    def fetch(self, run_id: str) -> RunFacts:
        """Everything that MLflow knows of the run.

        What belongs to the run but cannot be read (artifacts, a model) is named in `notes`.

        Raises:
            RunNotFoundError: No such run, or it was deleted.
            TrackingError: MLflow does not answer.
        """
        with translated(f"run {run_id}"):
            run = self._client.get_run(run_id)
        if run.info.lifecycle_stage == "deleted":
            raise RunNotFoundError(f"run {run_id} was deleted from MLflow at {self.uri_shown}")
        notes: list[str] = []
        tags = dict(run.data.tags)
        return RunFacts(
            run_id=run.info.run_id,
            run_name=run.info.run_name or run.info.run_id,
            experiment_id=run.info.experiment_id,
            experiment_name=self.experiment_name(run.info.experiment_id),
            status=run.info.status,
            user=run.info.user_id or tags.get("mlflow.user"),
            start_time=moment(run.info.start_time),
            end_time=moment(run.info.end_time) if run.info.end_time else None,
            parent_run_id=tags.get("mlflow.parentRunId"),
            system_tag=tags.get(TAG_SYSTEM),
            exception=tags.get(TAG_EXCEPTION),
            ended_by=tags.get(TAG_ENDED_BY),
            source_name=tags.get("mlflow.source.name"),
            git_commit=tags.get("mlflow.source.git.commit"),
            params=dict(run.data.params),
            metrics=tuple(run_metrics(run)),
            tags={
                k: v for k, v in tags.items() if not k.startswith((f"{ARTIFACT_DIR}.", "mlflow."))
            },
            datasets=tuple(run_datasets(run)),
            models=tuple(self._models(run, notes)),
            model_versions=tuple(self._model_versions(run_id, notes)),
            **self._inputs(run, notes),
            genai=genai_facts(self._client, run, notes),
            notes=tuple(notes),
        )

    @lru_cache(maxsize=8)  # noqa: B019 - a Tracking lives as long as its process needs it
    def fetch_once(self, run_id: str) -> RunFacts:
        """As `fetch`, from memory the next time: a run that many others are compared with."""
        return self.fetch(run_id)

    @property
    def uri_shown(self) -> str:
        """The URI without a password."""
        scheme, mark, rest = self.uri.partition("://")
        return f"{scheme}{mark}{rest.rpartition('@')[2]}" if mark else self.uri

    @lru_cache(maxsize=1024)  # noqa: B019 - a Tracking lives as long as its process needs it
    def experiment_name(self, experiment_id: str) -> str:
        """The name of an experiment."""
        with translated(f"experiment {experiment_id}"):
            return str(self._client.get_experiment(experiment_id).name)

    def read(self, run_id: str, path: str) -> bytes:
        """The bytes of one of the run's artifacts.

        Raises:
            FileNotFoundError: The run has no such artifact.
            TrackingError: The artifact store does not answer.
        """
        with translated(f"run {run_id}"):
            root = self._client.get_run(run_id).info.artifact_uri
        return self._read(root, path)

    def files(self, run_id: str, folder: str) -> tuple[str, ...]:
        """Paths of the run's artifacts that lie right in a folder, sorted; empty without one.

        Raises:
            RunNotFoundError: No such run.
            TrackingError: The artifact store does not answer.
        """
        with translated(f"run {run_id}"):
            root = self._client.get_run(run_id).info.artifact_uri
            repository = get_artifact_repository(root, tracking_uri=self.uri)
            return tuple(sorted(i.path for i in repository.list_artifacts(folder) if not i.is_dir))

    def write(self, run_id: str, files: Mapping[str, bytes]) -> None:
        """Write artifacts of the run; keys are paths below its artifact root.

        Raises:
            RunNotFoundError: The run is gone.
            TrackingError: MLflow or the artifact store refuses.
        """
        with tempfile.TemporaryDirectory(prefix="aims-") as folder:
            for path, data in files.items():
                target = Path(folder, path)
                target.parent.mkdir(parents=True, exist_ok=True)
                target.write_bytes(data)
            with translated(f"artifacts of run {run_id}"):
                self._client.log_artifacts(run_id, folder)

    def write_input(self, run_id: str, name: str, data: bytes) -> None:
        """Log what only the training process knows, as `aims/inputs/<name>`."""
        path = f"{INPUTS_DIR}/{name}"
        self.write(run_id, {path: data})
        self._written[run_id, path] = data

    def read_input(self, run_id: str, name: str) -> bytes | None:
        """What was logged as `aims/inputs/<name>`; None where the run has no such file.

        Raises:
            RunNotFoundError: No such run.
            TrackingError: The artifact store does not answer.
        """
        path = f"{INPUTS_DIR}/{name}"
        if (run_id, path) in self._written:
            return self._written[run_id, path]
        with translated(f"run {run_id}"):
            root = self._client.get_run(run_id).info.artifact_uri
            repository = get_artifact_repository(root, tracking_uri=self.uri)
            listed = [info.path for info in repository.list_artifacts(INPUTS_DIR)]
        return self._read(root, path) if path in listed else None

    def forget(self, run_id: str) -> None:
        """Drop what was kept of the run's inputs to spare reading them back."""
        for key in [k for k in self._written if k[0] == run_id]:
            del self._written[key]

    def tag(self, run_id: str, tags: Mapping[str, str]) -> None:
        """Set tags of the run."""
        with translated(f"run {run_id}"):
            for key, value in tags.items():
                self._client.set_tag(run_id, key, value)

    def create_run(self, *, name: str, started: int, tags: Mapping[str, str]) -> str:
        """Make a run in the active experiment.

        Args:
            name: Its name.
            started: Milliseconds since 1970.
            tags: Its tags.

        Returns:
            Its id.
        """
        with translated("a new run"):
            run = self._client.create_run(
                _get_experiment_id(), start_time=started, tags=dict(tags), run_name=name
            )
        return str(run.info.run_id)

    def end_run(self, run_id: str, status: str, ended: int) -> None:
        """End a run with a status, at a time in milliseconds since 1970."""
        with translated(f"run {run_id}"):
            self._client.set_terminated(run_id, status, ended)

    def runs(self, experiments: Iterable[str] | None = None) -> Iterator[Run]:
        """Every run that is not deleted, newest first, page by page.

        Args:
            experiments: Names to look in; all experiments when None.
        """
        with translated("experiments"):
            found = {e.name: e.experiment_id for e in self._experiments()}
        ids = [i for name, i in found.items() if experiments is None or name in set(experiments)]
        yield from self._search(ids, ViewType.ACTIVE_ONLY)

    def deleted_runs(self) -> Iterator[str]:
        """Ids of the runs in MLflow's bin."""
        with translated("experiments"):
            ids = [e.experiment_id for e in self._experiments()]
        for run in self._search(ids, ViewType.DELETED_ONLY):
            yield run.info.run_id

    def runs_of_models(self, names: Iterable[str]) -> dict[str, set[str]]:
        """The registered models, of those named, that have a version of each run."""
        found: dict[str, set[str]] = {}
        for name in names:
            with translated(f"registered model {name}"):
                quoted = name.replace("'", "''")
                for version in self._client.search_model_versions(f"name='{quoted}'"):
                    if version.run_id:
                        found.setdefault(version.run_id, set()).add(name)
        return found

    def _search(self, experiment_ids: list[str], view: int) -> Iterator[Run]:
        token: str | None = None
        while experiment_ids:
            with translated("runs"):
                page = self._client.search_runs(
                    experiment_ids,
                    run_view_type=view,
                    max_results=1000,
                    order_by=["start_time DESC"],
                    page_token=token,
                )
            yield from page
            token = page.token
            if not token:
                return

    def _experiments(self) -> Iterator[Any]:
        token: str | None = None
        while True:
            page = self._client.search_experiments(ViewType.ACTIVE_ONLY, page_token=token)
            yield from page
            token = page.token
            if not token:
                return

    def _inputs(self, run: Run, notes: list[str]) -> dict[str, Any]:
        run_id, root = run.info.run_id, run.info.artifact_uri
        known = {path: data for (owner, path), data in self._written.items() if owner == run_id}
        artifacts: list[str] = []
        try:
            artifacts = self._listed(root)
            paths = {p for p in artifacts if p.startswith(f"{INPUTS_DIR}/")} | set(known)
            blobs = {p: known[p] if p in known else self._read(root, p) for p in sorted(paths)}
        except (TrackingError, FileNotFoundError) as error:
            notes.append(f"artifacts could not be listed: {said(error)}")
            blobs = known
        pin = parse_pin(blobs.pop(f"{INPUTS_DIR}/{BASELINE_FILE}", None))
        loaded = {p.rpartition("/")[2]: parsed(p, data, notes) for p, data in blobs.items()}
        return {
            "artifacts": tuple(p for p in artifacts if not p.startswith(f"{ARTIFACT_DIR}/")),
            "environment": loaded.get("environment.json") or self._shared_environment(run, notes),
            "baseline": pin.baseline if pin else None,
            "evaluations": tuple(
                value
                for name, value in loaded.items()
                if name.startswith("evaluation-") and isinstance(value, dict)
            ),
            "robustness": tuple(
                value
                for name, value in loaded.items()
                if name.startswith("robustness-") and isinstance(value, dict)
            ),
        }

    def _shared_environment(self, run: Run, notes: list[str]) -> Any:
        """The environment of the run that was open in the same process when this one began."""
        owner = run.data.tags.get(TAG_ENVIRONMENT_OF)
        if owner is None:
            return None
        try:
            data = self.read_input(owner, "environment.json")
        except (TrackingError, FileNotFoundError) as error:
            notes.append(f"the environment that run {owner} recorded could not be read: {error}")
            return None
        if data is None:
            return None
        notes.append(f"the environment is that of run {owner}, of the same process")
        return parsed("environment.json", data, notes)

    def _listed(self, root: str) -> list[str]:
        """Paths of files below the artifact root: all of ours, the others two levels deep."""
        with translated("artifacts"):
            repository = get_artifact_repository(root, tracking_uri=self.uri)
            top = list(repository.list_artifacts(None))
            # What we logged ourselves never falls under the limit.
            inputs = [i.path for i in repository.list_artifacts(INPUTS_DIR) if not i.is_dir]
            found = [info.path for info in top if not info.is_dir]
            folders = [info.path for info in top if info.is_dir and info.path != ARTIFACT_DIR]
            for folder in folders:
                if len(found) >= MAX_LISTED:
                    break
                found += [i.path for i in repository.list_artifacts(folder) if not i.is_dir]
        return sorted(found)[:MAX_LISTED] + sorted(inputs)

    def _read(self, root: str, path: str) -> bytes:
        with tempfile.TemporaryDirectory(prefix="aims-") as folder, translated(path):
            repository = get_artifact_repository(root, tracking_uri=self.uri)
            local = Path(folder, PurePosixPath(path).name)
            # The step that every repository must implement: `download_artifacts` around it would
            # use a thread pool, which takes no work at interpreter exit, and a progress bar.
            repository._download_file(path, str(local))
            if local.stat().st_size > MAX_READ:
                raise TrackingError(f"{path} is larger than {MAX_READ} bytes and is not read")
            return local.read_bytes()

    def _models(self, run: Run, notes: list[str]) -> Iterator[ModelFacts]:
        outputs = run.outputs.model_outputs if run.outputs else []
        for output in outputs:
            try:
                with translated(f"model {output.model_id}"):
                    model = self._client.get_logged_model(output.model_id)
                yield self._model(model)
            except (TrackingError, FileNotFoundError) as error:
                notes.append(f"model {output.model_id} could not be read: {said(error)}")

    def _model(self, model: Any) -> ModelFacts:
        raw = self._read(model.artifact_location, "MLmodel")
        described = yaml.safe_load(raw) or {}
        flavors = described.get("flavors") or {}
        signature = described.get("signature") or {}
        return ModelFacts(
            model_id=model.model_id,
            name=model.name,
            uri=f"models:/{model.model_id}",
            flavors={name: flavor_version(name, spec) for name, spec in flavors.items()},
            model_class=model_class(flavors),
            inputs=tuple(signature_fields(signature.get("inputs"))),
            outputs=tuple(signature_fields(signature.get("outputs"))),
            requirements=tuple(self._requirements(model.artifact_location)),
            size_bytes=described.get("model_size_bytes"),
            created=moment(model.creation_timestamp),
            mlmodel_sha256=digest(raw),
        )

    def _requirements(self, root: str) -> list[str]:
        try:
            text = self._read(root, "requirements.txt").decode("utf-8", "replace")
        except (TrackingError, FileNotFoundError):
            return []
        return [line.strip() for line in text.splitlines() if line.strip()]

    def _model_versions(self, run_id: str, notes: list[str]) -> Iterator[ModelVersionFacts]:
        try:
            with translated(f"model versions of run {run_id}"):
                found = list(self._client.search_model_versions(f"run_id='{run_id}'"))
        except TrackingError as error:
            notes.append(f"registered versions could not be read: {said(error)}")
            return
        for version in sorted(found, key=lambda v: (v.name, int(v.version))):
            yield ModelVersionFacts(
                name=version.name,
                version=str(version.version),
                created=moment(version.creation_timestamp),
            )
