"""The model registry: who is in production, and what a version says of its card."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from pydantic import ValidationError

from aims_mlflow.errors import RunNotFoundError
from aims_mlflow.evidence import Frozen
from aims_mlflow.facts import BaselineFacts
from aims_mlflow.tracking.translation import translated

if TYPE_CHECKING:
    from collections.abc import Mapping
    from typing import Any

    from mlflow import MlflowClient

#: The file on a run that says which version was in production when the run was captured.
BASELINE_FILE = "baseline.json"
#: Characters that MLflow's registry keeps of a description.
MAX_DESCRIPTION = 5000


class Pin(Frozen):
    """What a run is compared with, decided once so that every capture of it compares the same.

    `baseline` is None where nothing else was in production. `registered` lists the versions of
    the run itself at that time: a further one decides anew.
    """

    baseline: BaselineFacts | None
    registered: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Version:
    """A registered model version as the registry holds it; `run_id` is None without a run."""

    name: str
    version: str
    run_id: str | None
    description: str
    tags: Mapping[str, str]


class Registry:
    """The registry that belongs to a tracking store.

    Every method raises TrackingError where the registry does not answer or refuses, and
    RunNotFoundError, which is one, where a version does not exist.
    """

    def __init__(self, client: MlflowClient) -> None:
        self._client = client

    def version(self, name: str, version: str) -> Version:
        """One version of a registered model."""
        with translated(f"version {version} of {name}"):
            return _version(self._client.get_model_version(name, version))

    def aliased(self, name: str, alias: str) -> Version | None:
        """The version that an alias points at; None where no version of the model has it."""
        try:
            with translated(f"registered model {name}"):
                aliases = self._client.get_registered_model(name).aliases
        except RunNotFoundError:  # nobody registered the model that the profile names
            return None
        if alias not in aliases:
            return None
        return self.version(name, str(aliases[alias]))

    def describe(self, version: Version, description: str, tags: Mapping[str, str]) -> bool:
        """Give a version this description and these tags; whether anything had to change."""
        changed = {key: value for key, value in tags.items() if version.tags.get(key) != value}
        with translated(f"version {version.version} of {version.name}"):
            if description != version.description:
                self._client.update_model_version(version.name, version.version, description)
            for key, value in changed.items():
                self._client.set_model_version_tag(version.name, version.version, key, value)
        return bool(changed) or description != version.description


def parse_pin(data: bytes | None) -> Pin | None:
    """The pin in a file of a run; None without one, and where it is not one of ours."""
    try:
        return None if data is None else Pin.model_validate_json(data)
    except ValidationError:
        return None


def _version(found: Any) -> Version:
    return Version(
        name=str(found.name),
        version=str(found.version),
        run_id=found.run_id or None,
        description=found.description or "",
        tags=dict(found.tags or {}),
    )
