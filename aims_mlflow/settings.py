"""Settings: `AIMS_*` variables first, then `governance/aims.yaml`, then defaults."""

from __future__ import annotations

import os
from pathlib import Path
from urllib.parse import unquote, urlsplit

from pydantic import Field, ValidationError
from pydantic_settings import BaseSettings, SettingsConfigDict

from aims_mlflow.errors import UsageError


class Settings(BaseSettings):
    """What a person can set; each field is the variable `AIMS_<NAME>`.

    Attributes:
        system: AI system of every run of this process that names none itself.
        profile: The `governance` folder, where it is not found from the working directory.
        ledger_uri: SQLAlchemy URL of the ledger; by default SQLite beside the MLflow store.
        spool_dir: Folder of the spool; by default `.aims/spool` beside `governance/`.
        exit_timeout: Seconds that a process waits at its exit for captures to finish.
        strict: Let `log_evaluation` raise on bad input instead of recording a gap (for CI).
        quiet: Say nothing on standard error at the end of a process.
        disable: Set no hooks at all.

    `system`, `profile` and `disable` are read from the environment directly where a training
    process needs them, without the cost of this class.
    """

    model_config = SettingsConfigDict(env_prefix="AIMS_", extra="ignore", env_ignore_empty=True)

    system: str | None = None
    profile: Path | None = None
    ledger_uri: str | None = None
    spool_dir: Path | None = None
    exit_timeout: float = Field(default=10.0, ge=0)
    strict: bool = False
    quiet: bool = False
    disable: bool = False

    @classmethod
    def lenient(cls) -> tuple[Settings, str]:
        """For a training process: a variable that cannot be used counts as unset.

        Returns:
            The settings, and what is wrong with the environment, or an empty text.
        """
        try:
            return cls(), ""
        except ValidationError as error:
            wrong = {str(e["loc"][0]) for e in error.errors()}
            defaults = {name: cls.model_fields[name].default for name in wrong}
            return cls(**defaults), _told(error)

    @classmethod
    def load(cls) -> Settings:
        """Read the environment.

        Raises:
            UsageError: A variable has a value that cannot be used; names it.
        """
        try:
            return cls()
        except ValidationError as error:
            raise UsageError(_told(error), "Correct or unset the variable.") from error


def _told(error: ValidationError) -> str:
    names = [f"AIMS_{str(e['loc'][0]).upper()}" for e in error.errors()]
    return "; ".join(
        f"{name}={os.environ.get(name)!r}: {e['msg']}"
        for name, e in zip(names, error.errors(), strict=True)
    )


def ledger_uri(settings: Settings, declared: str | None, tracking_uri: str, base: Path) -> str:
    """The ledger's URL: the variable, the profile, else SQLite beside the MLflow store.

    Args:
        settings: The environment.
        declared: `ledger_uri` of `governance/aims.yaml`; a relative SQLite path counts from `base`.
        tracking_uri: MLflow's tracking URI, resolved.
        base: The project folder, used where the MLflow store is not on this machine's disk.

    >>> ledger_uri(Settings(), None, "sqlite:////data/mlflow.db", Path("/work"))
    'sqlite:////data/aims.db'
    """
    if settings.ledger_uri:
        return settings.ledger_uri
    if declared:
        return anchored(declared, base)
    return f"sqlite:///{(_store_folder(tracking_uri) or base.absolute()) / 'aims.db'}"


def anchored(uri: str, base: Path) -> str:
    """A URI whose relative SQLite or file path is taken from `base` instead of the cwd."""
    prefix = "sqlite:///"
    if uri.startswith(prefix) and not uri.startswith(f"{prefix}/") and ":memory:" not in uri:
        return prefix + str((base / uri[len(prefix) :]).absolute())
    if "://" not in uri and not uri.startswith("file:") and uri not in {"databricks", "uc"}:
        return str((base / uri).absolute())
    return uri


def _store_folder(tracking_uri: str) -> Path | None:
    parts = urlsplit(tracking_uri)
    if parts.scheme.split("+")[0] == "sqlite":
        path = unquote(parts.path)[1:]
        return Path(path).absolute().parent if path and ":memory:" not in path else None
    if parts.scheme in {"", "file"}:
        return Path(unquote(parts.path)).absolute().parent
    return None
