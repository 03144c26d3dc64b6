"""Verify: recompute the ledger and hold every artifact in MLflow against its sealed digest."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from aims_mlflow.errors import TrackingError
from aims_mlflow.evidence import Evidence, Frozen, digest
from aims_mlflow.ledger.verify import Finding as LedgerFinding
from aims_mlflow.ledger.verify import verify as verify_ledger

if TYPE_CHECKING:
    from aims_mlflow.ledger.log import Ledger
    from aims_mlflow.tracking import Tracking

Progress = Callable[[str, int, int], None]

#: What a green result does not prove, said with every result.
NOT_PROVEN = (
    "This shows that nothing sealed was altered. It does not show that every run was captured "
    "(aims status), nor that the ledger was not cut short since a checkpoint that you do not hold."
)


class Verification(Frozen):
    """The outcome: how much was checked, and everything that is wrong, the first thing first."""

    size: int
    root: str
    checkpoint: str
    artifacts: int
    problems: tuple[LedgerFinding, ...]

    @property
    def ok(self) -> bool:
        """Whether nothing is wrong."""
        return not self.problems


def verify(
    ledger: Ledger,
    tracking: Tracking | None,
    *,
    checkpoint: str | None = None,
    progress: Progress | None = None,
) -> Verification:
    """Recompute every leaf, digest and link, then the artifacts' digests.

    Args:
        ledger: The ledger.
        tracking: Where the artifacts are; None leaves them out.
        checkpoint: `SIZE:ROOT` kept elsewhere; shows truncation and a rewritten log.
        progress: Called with what is checked, how many are done and how many there are.

    Raises:
        UsageError: The checkpoint is not of the form SIZE:ROOT.
        LedgerError: The ledger cannot be read.
    """

    def advance(done: int, total: int) -> None:
        if progress is not None:
            progress("ledger entries", done, total)

    report = verify_ledger(ledger, checkpoint, advance)
    problems = list(report.problems)
    checked = 0
    if tracking is not None:
        for entry in ledger.entries():
            if not entry.evidence.artifacts:
                continue
            problems += _artifacts(entry.seq, entry.evidence, tracking)
            checked += len(entry.evidence.artifacts)
            if progress is not None:
                progress("artifacts", entry.seq + 1, report.size)
    return Verification(
        size=report.size,
        root=report.root,
        checkpoint=f"{report.size}:{report.root}",
        artifacts=checked,
        problems=tuple(problems),
    )


def _artifacts(seq: int, evidence: Evidence, tracking: Tracking) -> list[LedgerFinding]:
    found = []
    run_id = evidence.subject.run_id or evidence.subject.id
    for artifact in evidence.artifacts:
        try:
            data = tracking.read(run_id, artifact.path)
        except FileNotFoundError:
            fault = "is missing"
        except TrackingError as error:
            fault = f"cannot be read: {error.message}"
        else:
            if digest(data) == artifact.sha256:
                continue
            fault = (
                f"was changed: its SHA-256 is {digest(data)[:12]}..., "
                f"sealed was {artifact.sha256[:12]}..."
            )
        message = f"artifact {artifact.path} of run {run_id} {fault}"
        found.append(LedgerFinding(seq=seq, entry_id=evidence.id, message=message))
    return found
