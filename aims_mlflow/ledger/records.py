"""What goes into the ledger and what comes out of it."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from aims_mlflow.errors import LedgerError
from aims_mlflow.evidence import (
    MAX_SAFE_INTEGER,
    Artifact,
    Draft,
    Evidence,
    Frozen,
    UtcDatetime,
)

if TYPE_CHECKING:
    from sqlalchemy import Row

#: Advice where the ledger does not hold together.
VERIFY = "Run `aims verify` to see what was changed."


class Sealing(Frozen):
    """A draft and what is known of its capture: all that an entry needs but its place.

    `version` counts from 1 within the draft's lineage; `supersedes` is the id of the version
    before, None for the first; `store` is the MLflow store that holds the artifacts.
    """

    draft: Draft
    version: int
    supersedes: str | None
    artifacts: tuple[Artifact, ...]
    actor: str
    source: str
    capture_time: UtcDatetime
    store: str | None = None


class Entry(Frozen):
    """One piece of evidence, body included, and its place in the log, from 0."""

    seq: int
    evidence: Evidence


class Head(Frozen):
    """The state of the whole log: how many entries, and the root over them (hex)."""

    size: int
    root: str

    @property
    def checkpoint(self) -> str:
        """`SIZE:ROOT`, to be kept where whoever runs the ledger cannot change it."""
        return f"{self.size}:{self.root}"


def read_entry(row: Row[Any]) -> Entry:
    """The entry in a row of the table.

    Raises:
        LedgerError: Its bytes are no evidence: they were changed, or are of a newer version.
    """
    try:
        evidence = Evidence.model_validate_json(row.header)
        body = None if row.body is None else decode_body(row.body)
    except (ValueError, TypeError, RecursionError) as error:
        raise LedgerError(
            f"Entry {row.seq} of the ledger cannot be read by this version of aims-mlflow.", VERIFY
        ) from error
    return Entry(seq=row.seq, evidence=evidence.model_copy(update={"body": body}))


def decode_body(data: bytes) -> dict[str, Any]:
    """The body from its canonical bytes, so that encoding it again gives the same bytes.

    Raises:
        ValueError: The bytes are not JSON.
    """
    body: dict[str, Any] = json.loads(data, parse_int=_number)
    return body


def _number(text: str) -> int | float:
    # RFC 8785 writes a float such as 1e20 without a point; as an int it could not be encoded.
    value = float(text)
    return int(text) if abs(value) <= MAX_SAFE_INTEGER else value
