"""The organization and where its records are kept: `governance/aims.yaml`."""

from __future__ import annotations

from aims_mlflow.evidence import Frozen
from aims_mlflow.governance.system import Person
from aims_mlflow.governance.words import Text


class Organization(Frozen):
    """What holds for all AI systems. Every key may be left out.

    `tracking_uri` is the MLflow server and `ledger_uri` the ledger's database; the environment
    takes precedence over both, and passwords belong there.
    """

    name: Text | None = None
    owner: Person | None = None
    tracking_uri: Text | None = None
    ledger_uri: Text | None = None
