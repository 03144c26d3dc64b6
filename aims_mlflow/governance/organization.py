"""The organization and where its records are kept: `governance/aims.yaml`."""

from __future__ import annotations

import re
from typing import Annotated

from pydantic import AfterValidator, field_validator

from aims_mlflow.evidence import Frozen
from aims_mlflow.governance.system import Person
from aims_mlflow.governance.thresholds import Severity
from aims_mlflow.governance.words import Slug, Text


def _variable(value: str) -> str:
    if "://" in value:
        raise ValueError(
            "'url_env' holds a URL, and URLs of services hold secrets: put it in an environment "
            "variable, and the name of the variable here, for example AIMS_NOTIFY_ONCALL"
        )
    if not re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", value):
        raise ValueError(
            "'url_env' is not the name of an environment variable, for example AIMS_NOTIFY_ONCALL"
        )
    return value


class Channel(Frozen):
    """Where people are told of incidents.

    `url_env` names the environment variable that holds the Apprise URL of the service. Without
    `severities` or `systems`, all of them are told.
    """

    name: Slug
    url_env: Annotated[Text, AfterValidator(_variable)]
    severities: tuple[Severity, ...] = ()
    systems: tuple[Slug, ...] = ()

    def wants(self, severity: Severity, system: str) -> bool:
        """Whether it is to be told of an incident of this severity and this AI system."""
        return (not self.severities or severity in self.severities) and (
            not self.systems or system in self.systems
        )


class Organization(Frozen):
    """What holds for all AI systems. Every key may be left out.

    `tracking_uri` is the MLflow server and `ledger_uri` the ledger's database; the environment
    takes precedence over both, and passwords belong there. `notify` are the channels that are told
    of incidents.
    """

    name: Text | None = None
    owner: Person | None = None
    tracking_uri: Text | None = None
    ledger_uri: Text | None = None
    notify: tuple[Channel, ...] = ()

    @field_validator("notify")
    @classmethod
    def _distinct(cls, value: tuple[Channel, ...]) -> tuple[Channel, ...]:
        names = [channel.name for channel in value]
        twice = sorted({name for name in names if names.count(name) > 1})
        if twice:
            raise ValueError(f"two channels of 'notify' are named {', '.join(twice)}")
        return value
