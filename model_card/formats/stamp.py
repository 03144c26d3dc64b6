"""What binds a document to the ledger."""

from __future__ import annotations

from pydantic import Field

from aims_mlflow.evidence import Frozen


class Stamp(Frozen):
    """The version of a document, the evidence that seals it and the one that it replaces."""

    version: int = Field(ge=1)
    supersedes: str | None
    evidence_id: str
