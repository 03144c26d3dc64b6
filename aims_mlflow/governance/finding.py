"""A finding: one thing that a person must look at."""

from __future__ import annotations

from enum import StrEnum

from aims_mlflow.evidence import Frozen
from aims_mlflow.governance.thresholds import Severity


class Rank(StrEnum):
    """How urgent a finding is; the order is the order on the screen."""

    ERROR = "error"
    FAIL = "fail"
    GAP = "gap"
    INSUFFICIENT = "insufficient"
    MISSING = "missing"
    NOTE = "note"


class Finding(Frozen):
    """One thing to look at: what is wrong, about what, and the line to add or command to run.

    `severity` is that of the threshold, for incidents.
    """

    rank: Rank
    rule: str
    system: str | None
    message: str
    fix: str = ""
    where: str = ""
    evidence_id: str | None = None
    severity: Severity | None = None
