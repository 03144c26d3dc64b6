"""What binds a document to the ledger."""

from __future__ import annotations

from pydantic import Field

from aims_mlflow.evidence import Frozen


class Stamp(Frozen):
    """The version of a document, the evidence that seals it and the one that it replaces.

    `evidence` maps the content digest of what the document rests on to the id of the sealed
    evidence; what is not in it was not sealed when the document was written.
    """

    version: int = Field(ge=1)
    supersedes: str | None
    evidence_id: str
    evidence: dict[str, str] = {}
